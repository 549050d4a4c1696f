"""A registry made by the real gto, through `runstone import gto`, beside what `gto show` says of it."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.records.document import format_time
from runstone.records.yaml import load
from tests.cli.support import run_cli
from tests.imports.test_dvc import dvc
from tests.imports.tools import bring, changes, commits, files_of, missing, refused, runs_of
from tests.support import git, make_repository

pytest.importorskip("gto", reason="gto is not installed")

ARTIFACTS = """
churn: {type: model, path: models/churn.txt, labels: [tabular, good], description: Who leaves}
big: {type: model, path: data/big}
single: {type: model, path: data/big/a.txt}
whole: {type: model, path: models}
ghost: {type: dataset}
"""


_BEGUN = int(time.time()) + 3600


def gto(repo: Path, *arguments: str) -> str:
    """Run the real gto in a repository; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", "from gto.cli import app; app()", *arguments],
        cwd=repo,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def commit(repo: Path, text: str) -> None:
    """A commit that changes the model."""
    (repo / "models").mkdir(exist_ok=True)
    (repo / "models" / "churn.txt").write_text(text)
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", text, cwd=repo)


def tag(repo: Path, name: str, at: int, target: str = "HEAD") -> None:
    """An annotated tag as gto makes it, so many seconds after those of gto, which takes its time from the clock."""
    env = {"GIT_COMMITTER_DATE": f"{_BEGUN + at} +0000"}
    git("tag", "-a", name, target, "-m", f"Registering artifact {name}", cwd=repo, env=env)


def time_of(repo: Path, name: str) -> int:
    """When a git tag was made, in Unix milliseconds."""
    return 1000 * int(git("for-each-ref", "--format=%(taggerdate:unix)", f"refs/tags/{name}", cwd=repo))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with artifacts in git, in DVC and in neither, versions and stages; and what gto shows of it."""
    repo = make_repository(tmp_path_factory.mktemp("gto") / "models", commit=False)
    dvc("init", "-q", cwd=repo, env={"DVC_GLOBAL_CONFIG_DIR": str(repo.parent / "global")})
    (repo / "data" / "big").mkdir(parents=True)
    for name in ("a", "b"):
        (repo / "data" / "big" / f"{name}.txt").write_text(f"{name}\n")
    dvc("add", "-q", "data/big", cwd=repo)
    (repo / "artifacts.yaml").write_text(ARTIFACTS)
    commit(repo, "one")
    gto(repo, "register", "churn", "--version", "v1.0.0")
    gto(repo, "register", "big")
    for number, name in enumerate(("single@v0.1.0", "whole@v0.1.0", "ghost@v0.1.0")):
        tag(repo, name, 3 + number)
    commit(repo, "two")
    gto(repo, "register", "churn", "--version", "v1.1.0", "-m", "Better at weekends")
    gto(repo, "assign", "churn", "--version", "v1.0.0", "--stage", "prod")
    gto(repo, "assign", "churn", "--version", "v1.1.0", "--stage", "staging")
    (repo.parent / "shown.json").write_text(gto(repo, "show", "--json"))
    return repo


@pytest.fixture
def source(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "source", symlinks=True))


def test_a_registry_comes_as_gto_shows_it(git_repo: Path, source: Path, made: Path) -> None:
    """Versions in their order with gto's as tags, stages by name or as aliases, what artifacts.yaml says, and files."""
    report = bring(git_repo, "gto", source)
    client = Client(git_repo)
    assert ({"new": 6}, {"new": 6}, {"new": 5}) == (
        changes(report),
        changes(report, "model versions"),
        changes(report, "registered models"),
    )
    shown = json.loads((made.parent / "shown.json").read_text())
    models = {model.name: model for model in client.search_registered_models()}
    assert set(shown) == set(models)
    for name, theirs in shown.items():
        newest = client.get_model_version(name, models[name].latest_versions[0].version)
        versions = client.search_model_versions(f"name = '{name}'")
        assert theirs["version"] == versions[0].tags["gto.version"], newest
    first, second = client.get_model_version("churn", 1), client.get_model_version("churn", 2)
    assert ("v1.0.0", "None", ("prod",)) == (first.tags["gto.version"], first.current_stage, tuple(first.aliases))
    assert ("v1.1.0", "Staging", ()) == (second.tags["gto.version"], second.current_stage, tuple(second.aliases))
    assert (None, "Better at weekends") == (first.description, second.description)
    churn = models["churn"]
    assert "Who leaves" == churn.description
    expected = {"gto.type": "model", "gto.label.tabular": "true", "gto.label.good": "true"}
    assert expected == {key: value for key, value in churn.tags.items() if key != "gto.stages"}
    runs = runs_of(git_repo)
    contents = {name: files_of(git_repo, run) for name, run in runs.items()}
    assert {"model/churn.txt": b"one"} == contents["churn v1.0.0"]
    assert {"model/churn.txt": b"two"} == contents["churn v1.1.0"]
    assert {"model/a.txt": b"a\n", "model/b.txt": b"b\n"} == contents["big v0.0.1"]
    assert {"model/a.txt": b"a\n"} == contents["single v0.1.0"]
    assert {"model/churn.txt": b"one"} == contents["whole v0.1.0"]
    assert {"model/README.md"} == set(contents["ghost v0.1.0"])
    run = runs["churn v1.0.0"]
    assert git("rev-parse", "churn@v1.0.0^{commit}", cwd=source) == run.source.commit
    assert (time_of(source, "churn@v1.0.0"), "Kim Example", "gto") == (run.started, run.user, run.experiment)
    assert {} == missing(report)


def test_the_tags_of_the_repository_itself(source: Path) -> None:
    """Both kinds of git tags live side by side: gto shows what it showed, and runs hold the commits of its tags."""
    before = gto(source, "show", "--json")
    bring(source, "gto")
    assert before == gto(source, "show", "--json")
    tags = git("tag", "--list", "churn@*", cwd=source).split("\n")
    assert ["churn@v1", "churn@v1.0.0", "churn@v1.1.0", "churn@v2"] == sorted(tags)
    run = runs_of(source)["churn v1.0.0"]
    parents = git("log", "-1", "--format=%P", "churn@v1", cwd=source).split()
    assert run.source.commit == parents[1]
    assert "" == git("status", "--porcelain", "--untracked-files=no", cwd=source)


def test_twice_adds_nothing_and_what_grew_is_added(git_repo: Path, source: Path) -> None:
    """No commit and no tag the second time; then a new version gets the next number, and a stage moves with it."""
    bring(git_repo, "gto", source, "--stage", "prod=Production")
    client = Client(git_repo)
    assert 1 == client.get_latest_versions("churn", ["Production"])[0].version
    state = (commits(git_repo), git("tag", cwd=git_repo), git("rev-parse", "HEAD", cwd=git_repo))
    report = bring(git_repo, "gto", source, "--stage", "prod=Production")
    assert ({"same": 6}, {"same": 6}) == (changes(report), changes(report, "model versions"))
    assert state == (commits(git_repo), git("tag", cwd=git_repo), git("rev-parse", "HEAD", cwd=git_repo))
    commit(source, "three")
    tag(source, "churn@v1.0.1", 20)
    tag(source, "churn#prod#9", 21)
    report = bring(git_repo, "gto", source, "--stage", "prod=Production")
    assert ({"new": 1, "same": 6}, {}) == (changes(report, "model versions"), missing(report))
    assert ("3", "v1.0.1") == _holder(client, "Production")
    assert "None" == client.get_model_version("churn", 1).current_stage
    tag(source, "churn#staging!#10", 22, "churn@v1.1.0")
    bring(git_repo, "gto", source, "--stage", "prod=Production")
    assert "None" == client.get_model_version("churn", 2).current_stage


def _holder(client: Client, stage: str) -> tuple[str, str]:
    (found,) = client.get_latest_versions("churn", [stage])
    return str(found.version), found.tags["gto.version"]


def test_what_was_moved_here_stays(git_repo: Path, source: Path) -> None:
    """An alias that somebody moved here is told of with the command that would move it back, and left."""
    bring(git_repo, "gto", source)
    client = Client(git_repo)
    client.set_registered_model_alias("churn", "prod", 2)
    assert ["churn prod"] == list(missing(bring(git_repo, "gto", source, code=1), "stage"))
    commit(source, "three")
    tag(source, "churn@v2.0.0", 20)
    tag(source, "churn#prod#9", 21)
    told = missing(bring(git_repo, "gto", source, code=1), "stage")
    assert "`runstone promote 'churn' 3 --alias 'prod'`" in told["churn prod"]
    assert 2 == client.get_model_version_by_alias("churn", "prod").version
    done = run_cli("promote", "churn", "3", "--alias", "prod", cwd=git_repo)
    assert 0 == done.returncode, done.stderr
    assert {} == missing(bring(git_repo, "gto", source))


def test_what_gto_took_back(git_repo: Path, source: Path) -> None:
    """A registration that was taken back retires the version; a deprecation is a tag; a stage is left or freed."""
    bring(git_repo, "gto", source)
    gto(source, "deprecate", "churn", "v1.0.0", "prod")
    gto(source, "deprecate", "churn", "v1.1.0")
    gto(source, "deprecate", "big")
    report = bring(git_repo, "gto", source)
    client = Client(git_repo)
    assert {"churn v1.1.0"} == set(missing(report, "version"))
    assert [1] == [version.version for version in client.search_model_versions("name = 'churn'")]
    assert {} == dict(client.get_registered_model("churn").aliases)
    made = time_of(source, git("tag", "--list", "big@deprecated*", cwd=source))
    assert format_time(made) == client.get_registered_model("big").tags["gto.deprecated"]


def test_a_url_is_cloned_and_nothing_is_left(git_repo: Path, source: Path, tmp_path: Path) -> None:
    """Of a bare repository by its URL, with the bytes from a DVC remote that its configuration names."""
    dvc("remote", "add", "-q", "-d", "store", tmp_path / "store", cwd=source)
    dvc("push", "-q", cwd=source)
    git("commit", "-q", "-am", "Name the store", cwd=source)
    git("clone", "-q", "--bare", source, tmp_path / "bare.git", cwd=tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = {"TMPDIR": str(scratch)}
    done = run_cli("import", "gto", f"file://{tmp_path / 'bare.git'}", "--json", cwd=git_repo, env=env)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert {"model/a.txt": b"a\n", "model/b.txt": b"b\n"} == files_of(git_repo, runs_of(git_repo)["big v0.0.1"])
    assert [] == list(scratch.iterdir())


def test_bytes_that_are_missing_are_listed_and_come_later(git_repo: Path, source: Path, tmp_path: Path) -> None:
    """Without cache and remote such versions are not registered, and the others are; later they get the next number."""
    shutil.move(source / ".dvc" / "cache", tmp_path / "cache")
    report = bring(git_repo, "gto", source, code=1)
    assert {"big v0.0.1", "single v0.1.0"} == set(missing(report, "version"))
    assert {"big v0.0.1: data/big", "single v0.1.0: data/big/a.txt"} == set(missing(report, "artifact"))
    assert {"churn", "ghost", "whole"} == {model.name for model in Client(git_repo).search_registered_models()}
    shutil.move(tmp_path / "cache", source / ".dvc" / "cache")
    report = bring(git_repo, "gto", source)
    assert {"new": 2, "same": 4} == changes(report, "model versions")
    assert 1 == Client(git_repo).get_model_version("big", 1).version


def test_under_review_stages_are_left_to_proposals(git_repo: Path, source: Path) -> None:
    """Versions come; what would move a stage or an alias is told with the command that proposes it."""
    (git_repo / "runstone.yaml").write_text("promotion: review\n")
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Review promotions", cwd=git_repo)
    report = bring(git_repo, "gto", source, code=1)
    assert {"new": 6} == changes(report, "model versions")
    assert {"churn prod", "churn staging"} == set(missing(report, "stage"))
    version = Client(git_repo).get_model_version("churn", 2)
    assert ("None", ()) == (version.current_stage, tuple(version.aliases))


def test_a_dry_run_writes_nothing(git_repo: Path, source: Path) -> None:
    """It tells what would come."""
    before = git("for-each-ref", cwd=git_repo)
    report = bring(git_repo, "gto", source, "--dry-run")
    assert ({"new": 6}, {"new": 5}) == (changes(report, "model versions"), changes(report, "registered models"))
    assert before == git("for-each-ref", cwd=git_repo)


def test_hostile_tags_and_paths(git_repo: Path, tmp_path: Path) -> None:
    """Paths out of the commit, links, stages of what is no version, tags of other tools and plain ones do no harm."""
    source = make_repository(tmp_path / "evil")
    (tmp_path / "private.txt").write_text("secret")
    (source / "linked.txt").symlink_to(tmp_path / "private.txt")
    (source / "artifacts.yaml").write_text(
        "up: {path: ../private.txt}\nabsolute: {path: /etc/passwd}\nlinked: {path: linked.txt}\n"
        "dvc: {path: x.bin}\nlfs: {path: y.bin}\nbomb: {path: [1, 2], labels: {a: b}}\n"
    )
    (source / "x.bin.dvc").write_text("outs:\n- {md5: ../../../../etc/passwd, path: x.bin}\n")
    (source / "y.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    git("add", "-A", cwd=source)
    git("commit", "-q", "-m", "x", cwd=source)
    for number, name in enumerate(("up", "absolute", "linked", "dvc", "lfs", "bomb", "nowhere")):
        tag(source, f"{name}@v1.0.0", number)
    tag(source, "nowhere#a/b/c#1", 20)
    tag(source, "nowhere#lost#2", 21, "HEAD~1")
    tag(source, "release-1.0", 22)
    tag(source, "up@v2", 23)
    git("tag", "up@v3.0.0", cwd=source)
    report = bring(git_repo, "gto", source, code=1)
    runs = runs_of(git_repo)
    names = ("up", "absolute", "linked", "dvc", "lfs", "bomb", "nowhere")
    assert {f"{name} v1.0.0" for name in names} == set(runs)
    for run in runs.values():
        assert all(b"secret" not in data and b"root:" not in data for data in files_of(git_repo, run).values())
    assert {f"{name} v1.0.0" for name in ("up", "absolute", "linked", "dvc", "lfs")} == set(missing(report, "version"))
    assert {"nowhere a/b/c", "nowhere lost"} == set(missing(report, "stage"))


def test_stages_that_differ_by_case_alone(git_repo: Path, tmp_path: Path) -> None:
    """One of them becomes an alias, the other is told, and the versions come."""
    source = make_repository(tmp_path / "source")
    for number, name in enumerate(("churn@v1.0.0", "churn#blue#1", "churn#Blue#2")):
        tag(source, name, number)
    report = bring(git_repo, "gto", source, code=1)
    assert ({"new": 1}, {"new": 1}) == (changes(report, "model versions"), changes(report, "aliases"))
    assert 1 == len(missing(report, "stage"))


def test_names_that_differ_by_case_alone(git_repo: Path, tmp_path: Path) -> None:
    """One of them comes, and how many versions of the other are lost is told."""
    source = make_repository(tmp_path / "source")
    for number, name in enumerate(("Churn@v1.0.0", "churn@v1.0.0", "churn@v2.0.0")):
        tag(source, name, number)
    found = missing(bring(git_repo, "gto", source, code=1), "registered model")
    assert ["churn"] == list(found)
    assert found["churn"].endswith("Not here with it: 2 versions")


@pytest.mark.parametrize("url", ["--upload-pack=touch made", "ext::sh -c 'touch made'", "file:///nowhere/at/all.git"])
def test_a_url_is_no_command(git_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """What looks like an option or a command of git's is not run, and what cannot be cloned is an error."""
    monkeypatch.chdir(tmp_path)
    refused(git_repo, "gto", "--", url) if url.startswith("--") else refused(git_repo, "gto", url)
    assert not (tmp_path / "made").exists()


def test_without_tags_of_gto_it_says_what_to_do(git_repo: Path) -> None:
    """The error names an example, and how tags are fetched."""
    message = (
        f"{git_repo} has no git tags of gto's, such as `churn@v1.0.0`. If they are on a remote, fetch them first: "
        "`git fetch --tags`"
    )
    assert message in refused(git_repo, "gto").replace("\n", " ")


def test_the_stage_option_is_checked(git_repo: Path, source: Path) -> None:
    """A pair that is none is a wrong call; a stage that the policy has not is told."""
    done = run_cli("import", "gto", str(source), "--stage", "prod", cwd=git_repo)
    assert (2, True) == (done.returncode, "'prod' is not of the form GTO=STAGE, as prod=Production." in done.stderr)
    report = bring(git_repo, "gto", source, "--stage", "prod=Nowhere", code=1)
    assert {"churn prod": "the policy has no stage 'Nowhere'"} == missing(report, "stage")
    text = git("show", "HEAD:registry/churn/model.yaml", cwd=git_repo)
    assert '{"staging": "v1.1.0"}' == load(text, "model.yaml")["tags"]["gto.stages"]
