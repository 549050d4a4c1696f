"""Numbers are given on the shared remote first: distinct, consecutive, and a race that was lost leaves no trace."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runstone.errors import InvalidName, SigningFailed, VersionNotAllotted
from runstone.registry.numbers import highest_here, read_numbers
from runstone.registry.version import get_version, list_numbers, register_version
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.git.support import FULL, check_clean
from tests.registry.support import log_model
from tests.sharing import Team, number_here, record, register
from tests.support import git, run_python, sign_with_key

pytestmark = pytest.mark.dvc


def tags(repo: Path) -> list[str]:
    """The git tags of a repository."""
    return git("tag", "--list", cwd=repo).split()


def test_the_remote_has_run_and_tag_before_the_clone_has_the_tag(team: Team) -> None:
    """One call sends the bytes, the run, and the tag; a sync after it has nothing left to do."""
    ann, bob = team.folder / "ann", team.clone("bob")
    assert "churn@v1" == register(ann, "one")
    assert (["churn@v1"], ["churn@v1"], ["one"]) == (team.tags(), tags(ann), team.runs())
    assert git("rev-parse", "churn@v1", cwd=ann) == git("rev-parse", "churn@v1", cwd=team.remote)
    team.check()
    done = sync(Workspace.open(ann))
    assert ([], [], []) == (done.runs_sent, done.versions_sent, done.versions_received)
    assert ["churn@v1"] == sync(Workspace.open(bob)).versions_received


def test_another_clones_number_is_not_given_again(team: Team) -> None:
    """Also where this clone has not heard of it yet, and where it is retired; the run is put on top of the others'."""
    ann, bob = team.folder / "ann", team.clone("bob")
    register(ann, "one")
    assert "churn@v2" == register(bob, "two")
    tip = git("rev-parse", "churn@v2^{commit}", cwd=bob)
    assert tip in git("rev-list", "--first-parent", "runs", cwd=team.remote).split()
    git("tag", "-a", "-m", "Retired", "churn@v3!", "churn@v2^{commit}", cwd=team.remote, env=_somebody())
    assert "churn@v4" == register(ann, "three")
    assert (["one", "three", "two"], ["churn@v1", "churn@v4"]) == (team.runs(), tags(ann))
    team.check()


def test_a_number_that_is_only_here_is_not_given_again(team: Team) -> None:
    """Versions that were numbered in the clone count, and go to the remote with the run."""
    ann = team.folder / "ann"
    number_here(ann)
    register(ann, "one")
    assert [] == team.tags()
    (ann / "runstone.yaml").unlink()
    code = "from tests.sharing import register; from pathlib import Path; print(register(Path(), 'two'))"
    assert "churn@v2\n" == run_python(code, cwd=ann, env={"PYTHONPATH": str(Path(__file__).parents[2])}).stdout
    assert ["churn@v1", "churn@v2"] == team.tags()


def test_names_that_differ_by_case_from_one_on_the_remote_are_refused(team: Team) -> None:
    """Though this clone has not seen the other model yet; nothing is made."""
    bob = team.clone("bob")
    register(team.folder / "ann", "one")
    with pytest.raises(InvalidName, match="it differs from the model 'churn' by case alone"):
        register(bob, "two", model="Churn")
    assert (["churn@v1"], []) == (team.tags(), tags(bob))


def test_processes_of_several_clones_get_consecutive_numbers(team: Team) -> None:
    """All at once on one remote: each number once, none left out; no clone has a tag that the remote has otherwise."""
    clones = [team.folder / "ann", team.clone("bob"), team.clone("kim")]
    processes, each = (6, 3) if FULL else (2, 2)
    for clone in clones:
        log_model(Workspace.open(clone), f"run-{clone.name}")
    code = """
import runstone, sys
for _ in range(int(sys.argv[2])):
    print(runstone.Client().create_model_version('churn', f'runs:/{sys.argv[1]}/model').version)
"""
    jobs = clones * processes
    with ThreadPoolExecutor(len(jobs)) as pool:
        done = list(pool.map(lambda c: run_python(code, f"run-{c.name}", str(each), cwd=c).stdout.split(), jobs))
    wanted = list(range(1, len(jobs) * each + 1))
    assert wanted == sorted(int(number) for numbers in done for number in numbers)
    there = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/tags", cwd=team.remote).splitlines()
    assert len(wanted) == len(there)
    for clone in clones:
        here = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/tags", cwd=clone).splitlines()
        assert set() == set(here) - set(there), "a lost race left a tag"
        assert [] == sync(Workspace.open(clone)).diverged
    team.check()


def test_sixteen_processes_of_one_repository(workspace: Workspace, model: RunUri, git_repo: Path) -> None:
    """Without a remote, at one moment: 1 to 16."""
    start = time.time() + 1.5
    code = f"""
import runstone, time
client = runstone.Client()
time.sleep(max(0, {start} - time.time()))
print(client.create_model_version('churn', '{model}').version)
"""
    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(lambda _: run_python(code, cwd=git_repo).stdout.strip(), range(16)))
    assert list(range(1, 17)) == sorted(map(int, done)) == list_numbers(workspace.repo, "churn")
    check_clean(git_repo)


def test_the_highest_number_is_found_in_packed_and_loose_refs(
    workspace: Workspace, model: RunUri, git_repo: Path
) -> None:
    """As git lists them; a retirement alone gives no number and takes its own, and other models do not count."""
    repo = workspace.repo
    for name in ("churn", "churn", "churn 2"):
        register_version(workspace, name, model)
    git("tag", "-a", "-m", "Another", "churn-2@v9", cwd=git_repo)
    for retired in ("churn@v999999999999999999!", "churn@v3!", "churn@v4!"):
        git("tag", "-a", "-m", "Retired", retired, cwd=git_repo)
        assert 2 == highest_here(repo, "churn") == read_numbers(repo, "churn").highest
        git("pack-refs", "--all", cwd=git_repo)
        assert (2, 1) == (highest_here(repo, "churn"), highest_here(repo, "churn%202"))
    assert (0, 5) == (highest_here(repo, "other"), register_version(workspace, "churn", model).version)


def test_a_remote_that_is_away(team: Team) -> None:
    """The error says what can be done; neither a tag nor a number is left behind; later the number is the next."""
    ann = team.folder / "ann"
    register(ann, "one")
    uri = log_model(Workspace.open(ann), "two")
    away = team.remote.rename(team.folder / "away.git")
    with pytest.raises(VersionNotAllotted) as caught:
        register_version(Workspace.open(ann), "churn", uri)
    first, *said, last = str(caught.value).splitlines()
    assert (
        "No version of 'churn' was made: the git remote `origin`, which gives the numbers, could not be asked:" == first
    )
    assert "does not appear to be a git repository" in "\n".join(said)
    assert (
        "Nothing was changed. Try again when it can be reached. Ask for the version by a request that is reviewed: "
        "`runstone register 'churn' --run RUN --propose --no-push`; or give numbers in each clone, and send the "
        "versions with a later sync: `versions: local` in runstone.yaml"
    ) == last
    assert ["churn@v1"] == tags(ann)
    away.rename(team.remote)
    assert 2 == register_version(Workspace.open(ann), "churn", uri).version


def test_a_remote_that_does_not_take_such_tags(team: Team) -> None:
    """As where a forge protects them: its words are told, and the request that is reviewed is named."""
    ann = team.folder / "ann"
    team.hook("update", 'case "$1" in refs/tags/*) echo "tags are protected here" >&2; exit 1;; esac')
    with pytest.raises(VersionNotAllotted) as caught:
        register(ann, "one")
    text = str(caught.value)
    assert (True, True) == (caught.value.is_refused, "tags are protected here" in text)
    assert "Nothing was changed. Ask for the version by a request that is reviewed: `runstone register 'churn'" in text
    assert ([], [], ["one"]) == (tags(ann), team.tags(), team.runs())


def test_a_push_that_was_cut_off_after_the_remote_took_it(team: Team) -> None:
    """The number is given, and the next sync brings the tag: it is not lost, and not given twice."""
    ann = team.folder / "ann"
    uri = log_model(Workspace.open(ann), "one")
    sync(Workspace.open(ann))
    team.hook("post-receive", "kill -9 $(cat $GIT_DIR/victim)")
    code = f"""
import os, runstone, pathlib
pathlib.Path({str(team.remote)!r}, "victim").write_text(str(os.getpid()))
runstone.Client().create_model_version('churn', '{uri}')
"""
    assert -9 == run_python(code, cwd=ann, check=False).returncode
    assert (["churn@v1"], []) == (team.tags(), tags(ann))
    (team.remote / "hooks" / "post-receive").unlink()
    assert "churn@v2" == register(ann, "two")
    assert ["churn@v1"] == sync(Workspace.open(ann)).versions_received
    assert ("one", "two") == tuple(get_version(Workspace.open(ann).repo, "churn", n).run_id for n in (1, 2))


def test_a_run_that_was_shared_without_its_bytes(team: Team) -> None:
    """The bytes of the model are sent before its tag."""
    ann = team.folder / "ann"
    uri = log_model(Workspace.open(ann), "one")
    sync(Workspace.open(ann), artifacts=False)
    assert not team.store.exists()
    version = register_version(Workspace.open(ann), "churn", uri)
    assert team.has(version.digest.removeprefix("md5:"))


def test_without_a_dvc_remote_a_version_is_numbered_here(plain_team: Team) -> None:
    """Its run cannot be shared yet, as its bytes would be nowhere; sent without them, it is numbered on the remote."""
    ann = plain_team.folder / "ann"
    uri = log_model(Workspace.open(ann), "one")
    assert 1 == register_version(Workspace.open(ann), "churn", uri).version
    assert (["churn@v1"], []) == (tags(ann), plain_team.tags())
    assert ["churn@v1"] == sync(Workspace.open(ann), artifacts=False).versions_sent
    assert 2 == register_version(Workspace.open(ann), "churn", uri).version
    assert ["churn@v1", "churn@v2"] == plain_team.tags()


def test_a_shallow_clone_registers(team: Team) -> None:
    """As a CI job does: of a run that it has just recorded, and of one that the remote had."""
    ann = team.folder / "ann"
    log_model(Workspace.open(ann), "first")
    record(ann, "second")
    sync(Workspace.open(ann))
    ci = team.clone("ci", "--depth", "1", url=f"file://{team.remote}")
    sync(Workspace.open(ci))
    assert "churn@v1" == register(ci, "from-ci")
    assert 2 == register_version(Workspace.open(ci), "churn", RunUri("first", "model")).version
    assert "Run: from-ci" in git("log", "-1", "--format=%B", "churn@v1^{commit}", cwd=team.remote)
    team.check()


def test_tags_are_signed_where_git_is_set_to(team: Team, isolated_home: Path) -> None:
    """By git's own programs and keys, so that `git verify-tag` accepts them; a key that is gone is an error."""
    ann = team.folder / "ann"
    key = sign_with_key(ann, "kim@example.org", isolated_home)
    git("config", "tag.gpgSign", "true", cwd=ann)
    assert "churn@v1" == register(ann, "one")
    git("verify-tag", "churn@v1", cwd=ann)
    found = get_version(Workspace.open(ann).repo, "churn", 1)
    assert ("one", "churn@v1") == (found.run_id, git("describe", "--exact-match", found.commit, cwd=ann))
    key.unlink()
    Path(f"{key}.pub").unlink()
    with pytest.raises(SigningFailed):
        register(ann, "two")
    assert ["churn@v1"] == tags(ann) == team.tags()


def _somebody() -> dict[str, str]:
    return {"GIT_COMMITTER_NAME": "Bo", "GIT_COMMITTER_EMAIL": "bo@example.org"}
