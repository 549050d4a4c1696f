"""Model versions: git tags on the commits of runs, numbered without gaps and never twice."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runstone import names
from runstone.artifacts.descriptor import Descriptor
from runstone.errors import (
    ArtifactMissing,
    InvalidName,
    ModelNotFound,
    NotAModel,
    NotYetRegistered,
    RecordInvalid,
    RemoteFailed,
    RunNotFound,
    RunstoneError,
    VersionNotFound,
)
from runstone.records.model import ModelReference
from runstone.registry import version as versions
from runstone.registry.alias import set_alias
from runstone.registry.model import get_model, search_models
from runstone.registry.search import search_versions
from runstone.registry.version import ModelVersion, get_version, register_version
from runstone.tracking import edit, setup, shared
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.push import push_runs
from runstone.tracking.read import need_recorded
from runstone.tracking.run import join_run, start_run
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.support import git, run_python


def test_a_version_is_an_annotated_tag_on_its_runs_commit(
    workspace: Workspace, version: ModelVersion, git_repo: Path
) -> None:
    """Plain git shows all of it; what is read back is what was registered."""
    reference = need_recorded(workspace, "first-run").run.models[0]
    assert ("churn", 1, "first-run", "runs:/first-run/model") == (
        version.name,
        version.version,
        version.run_id,
        version.source,
    )
    assert (reference.digest, reference.size, ("sklearn",), {"inputs": "[]"}, "The first") == (
        version.digest,
        version.size,
        version.flavors,
        version.signature,
        version.description,
    )
    assert ("Kim Example", "None", "READY", ()) == (
        version.user_id,
        version.current_stage,
        version.status,
        version.aliases,
    )
    assert "tag" == git("cat-file", "-t", "churn@v1", cwd=git_repo)
    assert (
        git("rev-parse", "runs", cwd=git_repo) == git("rev-parse", "churn@v1^{commit}", cwd=git_repo) == version.commit
    )
    message = git("tag", "-l", "--format=%(contents)", "churn@v1", cwd=git_repo)
    assert message.startswith("churn version 1\n\n")
    assert "\nschema: runstone/version/v1\n" in message
    created = int(git("tag", "-l", "--format=%(taggerdate:unix)", "churn@v1", cwd=git_repo))
    assert created * 1000 == version.creation_timestamp
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)


def test_the_tag_stays_right_when_the_run_changes_later(workspace: Workspace, version: ModelVersion) -> None:
    """A later commit of the run, and a further version of it, are commits of their own."""
    with join_run(workspace, "first-run") as added:
        added.log_metric("late", 1)
    second = register_version(workspace, "churn", RunUri("first-run", "model"))
    assert version == get_version(workspace.repo, "churn", 1)
    assert (2, False) == (second.version, second.commit == version.commit)


def test_eight_processes_get_consecutive_numbers(workspace: Workspace, model: RunUri, git_repo: Path) -> None:
    """Five versions each, at once: 1 to 40, none given twice."""
    code = f"""
import runstone
for _ in range(5):
    print(runstone.Client().create_model_version('churn', '{model}').version)
"""
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: run_python(code, cwd=git_repo).stdout.split(), range(8)))
    assert list(range(1, 41)) == sorted(int(number) for each in done for number in each)
    assert list(range(1, 41)) == versions.list_numbers(workspace.repo, "churn")
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)


NAMES = [
    "plain",
    "with space",
    "team/model",
    "a@b",
    "émoji 🎈",
    "-dash",
    "x" * 300,
    "..",
    "a.lock",
    "日本",
    "100%",
    "@",
    "con",
]


def test_any_name_is_a_model(workspace: Workspace, model: RunUri, git_repo: Path) -> None:
    """Spaces, slashes, `@`, Unicode, 300 characters: listed under their true names, and git accepts the tags."""
    for name in NAMES:
        made = register_version(workspace, name, model)
        assert (name, 1) == (made.name, made.version)
        assert made == get_version(workspace.repo, name, 1) == versions.latest_version(workspace.repo, name)
    assert sorted(NAMES) == versions.list_names(workspace.repo)
    assert sorted(NAMES) == [found.name for found in search_models(workspace.repo)]
    git("clone", "-q", git_repo, git_repo.parent / "clone", cwd=git_repo)
    assert len(NAMES) == len(git("tag", cwd=git_repo.parent / "clone").splitlines())


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 501])
def test_other_names_are_refused(workspace: Workspace, model: RunUri, name: str) -> None:
    """By every verb, with one kind of error."""
    for call in (
        lambda: register_version(workspace, name, model),
        lambda: get_version(workspace.repo, name, 1),
        lambda: versions.latest_version(workspace.repo, name),
        lambda: get_model(workspace.repo, name),
        lambda: set_alias(workspace.repo, name, "champion", 1),
    ):
        with pytest.raises(InvalidName):
            call()


def test_names_that_differ_by_case_alone_are_refused(
    workspace: Workspace, version: ModelVersion, model: RunUri
) -> None:
    """A clone on a disk that ignores case would lose one of the two."""
    with pytest.raises(InvalidName) as caught:
        register_version(workspace, "Churn", model)
    assert "The model 'Churn' cannot be used: it differs from the model 'churn' by case alone." == str(caught.value)


def test_what_cannot_be_registered_says_why(workspace: Workspace, model: RunUri) -> None:
    """No run, no model there, a live run, a deleted one."""
    with pytest.raises(RunNotFound):
        register_version(workspace, "m", RunUri("unknown", "model"))
    with pytest.raises(NotAModel, match=r"`runs:/first-run/other` is no model. The run logged model\."):
        register_version(workspace, "m", RunUri("first-run", "other"))
    live = start_run(workspace, ensure_experiment(workspace.repo, "trees"), run_id="live-run")
    with pytest.raises(NotYetRegistered) as caught:
        register_version(workspace, "m", RunUri("live-run", "model"))
    assert (
        "Run live-run has not ended, so its model cannot be registered yet: a version is a git tag on the run's "
        "commit. Register after the `with start_run()` block, or leave it to the run's end: "
        "`log_model(…, registered_model_name=NAME)`"
    ) == str(caught.value)
    live.end()
    edit.delete_run(workspace, "first-run")
    with pytest.raises(RunstoneError, match=r"Run first-run is deleted\. Restore it"):
        register_version(workspace, "m", model)
    assert "" == git("tag", cwd=workspace.repo.common_dir)


def test_a_live_run_that_was_committed_can_be_registered(workspace: Workspace, git_repo: Path) -> None:
    """MLflow registers while a run goes on: the version is of what was committed, and of no model that is newer."""
    digests = [workspace.artifacts.folder_digest([_file(workspace, text)])[0] for text in ("old", "new")]
    run = shared.begin(workspace, ensure_experiment(workspace.repo, "trees"), captured=False)

    def log(number: int) -> None:
        with shared.edit(workspace, run.id) as change:
            change.put_model(ModelReference("model", ("sklearn",), f"md5:{digests[number]}", 3))

    log(0)
    with pytest.raises(NotYetRegistered):
        register_version(workspace, "m", RunUri(run.id, "model"))
    shared.checkpoint(workspace, run.id)
    assert f"md5:{digests[0]}" == register_version(workspace, "m", RunUri(run.id, "model")).digest
    log(1)
    with pytest.raises(NotYetRegistered):
        register_version(workspace, "m", RunUri(run.id, "model"))
    with shared.edit(workspace, run.id) as change:
        change.end("FINISHED")
    assert f"md5:{digests[1]}" == register_version(workspace, "m", RunUri(run.id, "model")).digest
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)


def _file(workspace: Workspace, text: str) -> Descriptor:
    return Descriptor("MLmodel", len(text), workspace.artifacts.cache.add_bytes(text.encode()))


def test_a_model_without_bytes_is_not_registered(workspace: Workspace, model: RunUri, tmp_path: Path) -> None:
    """In the cache or on the remote, or else nobody could load it; a remote that is away is asked again later."""
    cache = workspace.artifacts.cache
    digest = need_recorded(workspace, "first-run").run.models[0].digest.removeprefix("md5:")
    files = [entry.md5 for entry in cache.read_dir(digest)]
    setup.begin(workspace.repo.work_tree, {}, remote=str(tmp_path / "store"))
    push_runs(workspace, ["first-run"])
    for lost in (digest, files[1]):
        cache.path(lost).unlink()
    assert 1 == register_version(workspace, "m", model).version  # the remote has both
    cache.path(files[0]).unlink()
    stored = tmp_path / "store" / "files" / "md5" / files[0][:2] / files[0][2:]
    stored.unlink()
    with pytest.raises(ArtifactMissing) as caught:
        register_version(workspace, "m", model)
    assert (
        f"The artifact bytes md5:{files[0]} are not in the cache, nor on the DVC remote `storage` ({tmp_path}/store). "
        "So `runs:/first-run/model` was not registered. Push them from where they were logged: "
        "`runstone artifacts push first-run`"
    ) == str(caught.value)
    (tmp_path / "store").rename(tmp_path / "away")
    with pytest.raises(RemoteFailed, match="its folder does not exist"):
        register_version(workspace, "m", model)
    git("update-ref", "refs/remotes/origin/runs", "refs/heads/runs", cwd=workspace.repo.common_dir)
    assert 2 == register_version(workspace, "m", model).version  # the run is shared, and its bytes were before


def test_a_model_lost_without_any_remote(workspace: Workspace, model: RunUri) -> None:
    """There is nowhere else to look."""
    cache = workspace.artifacts.cache
    digest = need_recorded(workspace, "first-run").run.models[0].digest.removeprefix("md5:")
    cache.path(cache.read_dir(digest)[0].md5).unlink()
    with pytest.raises(ArtifactMissing, match="are not in the cache, and no DVC remote is configured"):
        register_version(workspace, "m", model)
    assert "" == git("tag", cwd=workspace.repo.common_dir)


def test_what_is_not_there_says_what_is(workspace: Workspace, version: ModelVersion) -> None:
    """The error lists versions, or models."""
    with pytest.raises(VersionNotFound) as missing:
        get_version(workspace.repo, "churn", 7)
    expected = "No model version `churn/7`. The registry has 1. List them: `runstone models show churn`"
    assert expected == str(missing.value)
    with pytest.raises(ModelNotFound) as unknown:
        versions.latest_version(workspace.repo, "other")
    assert "The registry has no model 'other'. It has churn. List them: `runstone models list`" == str(unknown.value)


def test_tags_that_only_look_like_versions_stand_in_nobodys_way(
    workspace: Workspace, version: ModelVersion, model: RunUri, git_repo: Path
) -> None:
    """Plain ones, annotated ones of other tools, one about another model: skipped in lists, named when asked for."""
    git("tag", "churn@v2", cwd=git_repo)
    git("tag", "-a", "-m", "by hand", "churn@v3", cwd=git_repo)
    git("tag", "-a", "-m", "by hand", "other@v1", cwd=git_repo)
    body = git("cat-file", "tag", "churn@v1", cwd=git_repo)
    forged = git_repo.parent / "forged"
    forged.write_text(body.replace("tag churn@v1", "tag stolen@v1"))
    oid = git("hash-object", "-t", "tag", "-w", forged, cwd=git_repo)
    git("update-ref", "refs/tags/stolen@v1", oid, cwd=git_repo)
    assert ["churn"] == versions.list_names(workspace.repo)
    assert [version] == versions.list_versions(workspace.repo) == list(search_versions(workspace.repo))
    assert version == versions.latest_version(workspace.repo, "churn")
    assert ["churn"] == [found.name for found in search_models(workspace.repo)]
    with pytest.raises(RecordInvalid, match="it must be an annotated tag that Runstone wrote, but is a plain one"):
        get_version(workspace.repo, "churn", 2)
    with pytest.raises(RecordInvalid, match="its body is about another model, 'churn'"):
        get_version(workspace.repo, "stolen", 1)
    assert 4 == register_version(workspace, "churn", model).version


def test_a_retired_version_is_not_listed_and_its_number_not_given_again(
    workspace: Workspace, version: ModelVersion, model: RunUri, git_repo: Path
) -> None:
    """A tag `churn@v1!` retires it."""
    git("tag", "-a", "-m", "retired", "churn@v1!", cwd=git_repo)
    assert [] == versions.list_versions(workspace.repo, "churn")
    with pytest.raises(ModelNotFound):
        versions.latest_version(workspace.repo, "churn")
    assert 2 == register_version(workspace, "churn", model).version


def test_a_signature_is_no_part_of_the_body(workspace: Workspace, model: RunUri, git_repo: Path) -> None:
    """`git tag -s` puts it at the end; the same words inside a description stay."""
    description = "-----BEGIN of a story\n-----BEGIN again"
    made = register_version(workspace, "churn", model, description=description)
    assert description == made.description
    text = git("cat-file", "tag", "churn@v1", cwd=git_repo)
    signed = f"{text}\n-----BEGIN PGP SIGNATURE-----\n\niQ: [\n-----END PGP SIGNATURE-----\n"
    done = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin"],
        cwd=git_repo,
        input=signed,
        text=True,
        capture_output=True,
        check=True,
    )
    git("update-ref", "refs/tags/churn@v1", done.stdout.strip(), cwd=git_repo)
    assert made == get_version(workspace.repo, "churn", 1)


def test_versions_and_models_are_searched(workspace: Workspace, version: ModelVersion, model: RunUri) -> None:
    """By MLflow's words; newest first."""
    for _ in range(2):
        register_version(workspace, "churn", model)
    register_version(workspace, "fraud", model)
    set_alias(workspace.repo, "churn", "champion", 2)
    found = search_versions(workspace.repo, "name = 'churn' AND run_id = 'first-run'")
    assert [3, 2, 1] == [each.version for each in found]
    assert [("champion",)] == [
        v.aliases for v in search_versions(workspace.repo, "name = 'churn' AND version_number = 2")
    ]
    assert ["fraud"] == [each.name for each in search_models(workspace.repo, "name LIKE 'fr%'")]
    churn = get_model(workspace.repo, "churn")
    assert ({"champion": 2}, [3], version.creation_timestamp) == (
        churn.aliases,
        [each.version for each in churn.latest_versions],
        churn.creation_timestamp,
    )
    assert names.format_version_tag("churn", 3) in git("tag", cwd=workspace.repo.common_dir)
