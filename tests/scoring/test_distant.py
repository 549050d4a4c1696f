"""A model out of a repository at a URL: no clone, nothing left behind, and no byte that git does not vouch for."""

import tempfile
from pathlib import Path

import pytest

pytest.importorskip("dvc", reason="the extra `dvc` is not installed")

import runstone  # after what may skip the file
from runstone.client import Client
from runstone.errors import (
    AliasNotFound,
    ArtifactCorrupt,
    ModelNotFound,
    RemoteModelFailed,
    VersionNotFound,
)
from runstone.registry.distant import distant
from tests.cli.support import run_cli
from tests.scoring.support import EXPECTED, linear
from tests.sharing import Team
from tests.support import git


@pytest.fixture
def url(team: Team, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bare repository that others pushed a model to, with an alias, a stage and code; it can leave things out."""
    import runstone.sklearn

    clone = team.clone("dora")
    monkeypatch.chdir(clone)
    (clone / "code").mkdir()
    (clone / "code" / "large.txt").write_text("code\n" * 1000)
    git("add", "-A", cwd=clone)
    git("commit", "-q", "-m", "Code", cwd=clone)
    model, x = linear()
    with runstone.start_run():
        made = runstone.sklearn.log_model(model, "model", input_example=x)
    runstone.register_model(made.model_uri, "churn")
    client = Client(clone)
    client.set_registered_model_alias("churn", "champion", 1)
    client.transition_model_version_stage("churn", 1, "Production")
    git("push", "-q", "origin", "HEAD", cwd=clone)
    client.sync()
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git("config", key, "true", cwd=team.remote)
    monkeypatch.chdir(team.folder)
    return team.remote.as_uri()


@pytest.mark.parametrize("uri", ["models:/churn@champion", "models:/churn/1", "models:/churn/Production"])
def test_a_model_is_loaded_without_a_clone(url: str, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From no repository at all; nothing stays in the folder for temporary files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    model = runstone.load_model(uri, repo=url)
    import pandas

    data = pandas.DataFrame({"a": [float(i) for i in range(10)], "b": [0.5] * 10})
    assert EXPECTED == pytest.approx(list(model.predict(data)))
    assert [] == [path for path in temporary.iterdir() if "kept" not in path.name]


def test_no_code_is_brought(url: str) -> None:
    """Neither history nor the files of the code, only what the registry needs."""
    with distant(url, "models:/churn@champion") as workspace:
        repo = workspace.repo
        text = git("rev-list", "--objects", "--all", "--missing=print", cwd=repo.git_dir)
        assert "1" == git("rev-list", "--count", "HEAD", cwd=repo.git_dir)
        large = git("rev-parse", "main:code/large.txt", cwd=Path(url.removeprefix("file://")))
        assert f"?{large}" in text.split() or large not in text


def test_a_server_that_knows_no_filter(url: str, team: Team) -> None:
    """It sends more; the model is the same."""
    git("config", "uploadpack.allowFilter", "false", cwd=team.remote)
    assert runstone.load_model("models:/churn@champion", repo=url).metadata.run_id is not None


def test_a_run_of_another_repository(url: str, team: Team, tmp_path: Path) -> None:
    """By its own URI, kept in a folder."""
    (run_id,) = team.runs()
    (tmp_path / "kept").mkdir()
    runstone.load_model(f"runs:/{run_id}/model", repo=url, dst_path=tmp_path / "kept")
    assert (tmp_path / "kept" / "model" / "MLmodel").is_file()


def test_a_path_is_a_repository_too(url: str) -> None:
    """As git takes it."""
    assert runstone.load_model("models:/churn/1", repo=url.removeprefix("file://")) is not None


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("models:/churn@other", AliasNotFound),
        ("models:/churn/7", VersionNotFound),
        ("models:/other/1", ModelNotFound),
    ],
)
def test_what_is_not_there(url: str, uri: str, error: type[Exception]) -> None:
    """Each is an error of its kind."""
    with pytest.raises(error):
        runstone.load_model(uri, repo=url)


def test_no_repository_at_the_url(tmp_path: Path) -> None:
    """Git's own words, and no password."""
    with pytest.raises(RemoteModelFailed) as caught:
        runstone.load_model("models:/churn/1", repo=f"file://kim:secret@localhost{tmp_path}/none.git")
    assert "could not be read" in str(caught.value)
    assert f"`git ls-remote -- file://localhost{tmp_path}/none.git`" in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(RemoteModelFailed) as caught:
        runstone.load_model("models:/churn/1", repo="--upload-pack=touch x")
    assert "`git ls-remote -- '--upload-pack=touch x'`" in str(caught.value), "what it says to paste runs nothing else"


def test_a_dvc_remote_that_is_meant_relative_to_a_clone(url: str, team: Team, tmp_path: Path) -> None:
    """It says that there is none, and what to do, and names no folder that was there for a moment."""
    runs = team.clone("runs", "-b", "runs")
    config = runs / ".dvc" / "config"
    config.write_text(config.read_text().replace(str(team.store), "../../artifacts"))
    git("commit", "-q", "-a", "-m", "Relative", cwd=runs)
    git("push", "-q", "origin", "runs", cwd=runs)
    before = sorted(tmp_path.iterdir())
    done = run_cli("models", "pull", "churn@champion", "out", "--repo", url, cwd=tmp_path)
    assert 1 == done.returncode
    assert "(../../artifacts): its URL is meant relative to each clone, and here is none. Work in a" in done.stderr
    assert f"`git clone {url}`" in done.stderr
    assert before == sorted(tmp_path.iterdir())


def test_bytes_that_were_changed_on_the_dvc_remote(url: str, team: Team, tmp_path: Path) -> None:
    """Are refused, and nothing is pulled."""
    weights = max(
        (p for p in team.store.rglob("*") if p.is_file() and p.suffix != ".dir"), key=lambda p: p.stat().st_size
    )
    weights.chmod(0o644)
    weights.write_bytes(b"x" + weights.read_bytes()[1:])
    with pytest.raises(ArtifactCorrupt):
        runstone.load_model("models:/churn@champion", repo=url)
    done = run_cli("models", "pull", "churn@champion", "out", "--repo", url, cwd=tmp_path)
    assert 1 == done.returncode
    assert [] == [path.name for path in tmp_path.iterdir() if "out" in path.name or path.name.startswith(".runstone")]


def test_pull(url: str, tmp_path: Path) -> None:
    """The files, whole, from outside any repository; what is there is replaced by force alone."""
    done = run_cli("models", "pull", "churn/Production", "out", "--repo", url, cwd=tmp_path)
    assert (0, "out\n") == (done.returncode, done.stdout), done.stderr
    assert (tmp_path / "out" / "MLmodel").is_file()
    again = run_cli("models", "pull", "churn@champion", "out", "--repo", url, cwd=tmp_path)
    assert 1 == again.returncode
    assert f"Nothing was written to {tmp_path}/out: it exists." in again.stderr
    (tmp_path / "out" / "old").write_text("old")
    forced = run_cli("models", "pull", "churn@champion", "out", "--repo", url, "--force", cwd=tmp_path)
    assert 0 == forced.returncode
    assert not (tmp_path / "out" / "old").exists()


def test_pull_from_here(url: str, team: Team) -> None:
    """Of the repository at hand."""
    done = run_cli("models", "pull", "churn/1", "../out", "--json", cwd=team.folder / "dora")
    assert 0 == done.returncode, done.stderr
    assert '"uri": "models:/churn/1"' in done.stdout
    assert (team.folder / "out" / "MLmodel").is_file()


@pytest.mark.parametrize("target", [".", "..", "../ann"])
def test_pull_replaces_no_repository(url: str, team: Team, target: str) -> None:
    """Nor what holds the current folder: a slip of the keyboard would cost all of it, whatever `--force` says."""
    here = team.folder / "dora"
    before = [sorted(path.name for path in folder.iterdir()) for folder in (here, team.folder)]
    done = run_cli("models", "pull", "churn/1", target, "--force", cwd=here)
    assert 1 == done.returncode
    assert "which is not replaced. Name another folder." in done.stderr
    assert before == [sorted(path.name for path in folder.iterdir()) for folder in (here, team.folder)]
