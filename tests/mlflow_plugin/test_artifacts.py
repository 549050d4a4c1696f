"""MLflow's artifact repository on a git repository: in, out, away, below each root, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository as MlflowArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from runstone.client import Client
from runstone.flavors.mlmodel import MLmodel, write
from runstone.git.repository import Repository
from runstone.mlflow_plugin.artifacts import ArtifactRepository
from runstone.records.run import Run
from runstone.tracking import shared
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.read import read_artifacts
from runstone.tracking.workspace import Workspace
from tests.sharing import Team

pytestmark = pytest.mark.mlflow


@pytest.fixture
def live(repo: Repository) -> Run:
    """A run that anyone may log to."""
    return begin(repo.work_tree or Path())


@pytest.fixture
def root(folder: Path, live: Run) -> MlflowArtifactRepository:
    """The repository of that run's artifacts."""
    return get_artifact_repository(f"runstone:{folder}/@/{live.experiment_id}/{live.id}/artifacts")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with two files, one of them in a folder with a space in its name."""
    folder = tmp_path / "files"
    (folder / "some plots").mkdir(parents=True)
    (folder / "notes.txt").write_text("notes")
    (folder / "some plots" / "ä.txt").write_text("a plot")
    return folder


def begin(folder: Path) -> Run:
    """Begin a run that no process owns."""
    workspace = Workspace.open(folder)
    return shared.begin(workspace, ensure_experiment(workspace.repo, "Trees"), captured=False, owned=False)


def end(folder: Path, run: Run) -> None:
    """End a run, so that it is committed."""
    with shared.edit(Workspace.open(folder), run.id) as change:
        change.end("FINISHED")


def listing(repository: MlflowArtifactRepository, path: str | None = None) -> list[tuple[str, bool, int | None]]:
    """What a repository lists, without MLflow's class around it."""
    return [(info.path, info.is_dir, info.file_size) for info in repository.list_artifacts(path)]


def walk(repository: MlflowArtifactRepository, path: str | None = None) -> Iterator[tuple[str, bool, int | None]]:
    """All that a repository lists, folder by folder."""
    for entry in listing(repository, path):
        yield entry
        if entry[1]:
            yield from walk(repository, entry[0])


@pytest.mark.parametrize("is_ended", [False, True])
def test_artifacts_are_listed_and_copied_as_by_mlflows_own_repository(
    is_ended: bool, root: MlflowArtifactRepository, files: Path, folder: Path, live: Run, tmp_path: Path
) -> None:
    """Files and folders come back as by MLflow's repository of a local folder, of a live run as of a recorded one."""
    (tmp_path / "theirs").mkdir()
    theirs = LocalArtifactRepository((tmp_path / "theirs").as_uri())
    for repository in (root, theirs):
        repository.log_artifact(str(files / "notes.txt"))
        repository.log_artifact(str(files / "notes.txt"), "deep/er")
        repository.log_artifacts(str(files), "all of it")
    if is_ended:
        end(folder, live)
    assert list(walk(theirs)) == list(walk(root))
    assert [] == listing(root, "notes.txt")
    assert [] == listing(root, "nothing/here")
    (tmp_path / "out").mkdir()
    copied = Path(root.download_artifacts("all of it", str(tmp_path / "out")))
    assert tmp_path / "out" / "all of it" == copied
    assert "a plot" == (copied / "some plots" / "ä.txt").read_text()
    assert [tmp_path / "out" / "all of it"] == list((tmp_path / "out").iterdir())
    alone = root.download_artifacts("all of it/some plots/ä.txt")
    assert ("a plot", "ä.txt") == (Path(alone).read_text(), Path(alone).name)
    assert {"notes.txt", "deep", "all of it"} == {path.name for path in Path(root.download_artifacts("")).iterdir()}


def test_file_of_one_name_is_replaced(root: MlflowArtifactRepository, tmp_path: Path, folder: Path, live: Run) -> None:
    """A file that is logged again takes the place of the one before, after the run has ended, too."""
    (tmp_path / "a.txt").write_text("first")
    root.log_artifact(str(tmp_path / "a.txt"))
    end(folder, live)
    (tmp_path / "a.txt").write_text("second")
    root.log_artifact(str(tmp_path / "a.txt"))
    assert "second" == Path(root.download_artifacts("a.txt")).read_text()
    shared.flush(Workspace.open(folder))
    assert "second" == Path(root.download_artifacts("a.txt")).read_text()


def test_artifacts_lie_below_the_repository_of_a_server(folder: Path, live: Run, files: Path, tmp_path: Path) -> None:
    """A server that hands artifacts through writes and reads `<experiment>/<run>/artifacts/…` below the root."""
    root = get_artifact_repository(f"runstone:{folder}")
    below = f"{live.experiment_id}/{live.id}/artifacts"
    root.log_artifact(str(files / "notes.txt"), f"{below}/texts")
    assert [(f"{below}/texts", True, None)] == listing(root, below)
    assert [(f"{below}/texts/notes.txt", False, 5)] == listing(root, f"{below}/texts")
    (tmp_path / "out").mkdir()
    copied = root.download_artifacts(f"{below}/texts/notes.txt", str(tmp_path / "out"))
    assert str(tmp_path / "out" / below / "texts" / "notes.txt") == copied
    assert "notes" == Path(copied).read_text()
    assert ["texts/notes.txt"] == artifacts(folder, live)
    deeper = get_artifact_repository(f"runstone:{folder}/@/{below}/texts")
    assert [("notes.txt", False, 5)] == listing(deeper)
    assert [] == listing(root) == listing(root, live.experiment_id)


def artifacts(folder: Path, run: Run) -> list[str]:
    """The files that Runstone knows of a run."""
    return [entry.path for entry in read_artifacts(Workspace.open(folder), run.id)]


def test_folder_with_an_mlmodel_is_a_model(
    root: MlflowArtifactRepository, folder: Path, live: Run, tmp_path: Path
) -> None:
    """A model folder, whole or file by file as a server gets it, is a model of the run; each file describes it anew."""
    (tmp_path / "model" / "inner").mkdir(parents=True)
    write(tmp_path / "model", MLmodel({"sklearn": {}, "python_function": {}}))
    root.log_artifacts(str(tmp_path / "model"), "whole")
    (tmp_path / "weights.bin").write_bytes(b"12345")
    root.log_artifact(str(tmp_path / "model" / "MLmodel"), "by/file")
    alone = (tmp_path / "model" / "MLmodel").stat().st_size
    found = {model.path: model for model in Client(folder).get_run(live.id).models}
    assert {"whole": alone, "by/file": alone} == {path: model.size for path, model in found.items()}
    root.log_artifact(str(tmp_path / "weights.bin"), "by/file/data")
    found = {model.path: model for model in Client(folder).get_run(live.id).models}
    assert {"whole": alone, "by/file": alone + 5} == {path: model.size for path, model in found.items()}
    assert [("sklearn", "python_function")] * 2 == [model.flavors for model in found.values()]
    root.delete_artifacts("by/file/data/weights.bin")
    again = {model.path: model for model in Client(folder).get_run(live.id).models}
    assert found["whole"].digest == again["by/file"].digest


@pytest.mark.parametrize("is_ended", [False, True])
def test_artifacts_can_be_taken_away(
    is_ended: bool, root: MlflowArtifactRepository, files: Path, folder: Path, live: Run
) -> None:
    """A file, a folder and then all can be deleted, of a live run as of a recorded one, and logged again."""
    root.log_artifacts(str(files), "a")
    root.log_artifacts(str(files), "b")
    if is_ended:
        end(folder, live)
    root.delete_artifacts("a/notes.txt")
    assert [("a/some plots", True, None)] == listing(root, "a")
    root.delete_artifacts("b")
    assert [("a", True, None)] == listing(root)
    root.delete_artifacts("b")
    root.delete_artifacts()
    assert [] == listing(root)
    shared.flush(Workspace.open(folder))
    assert [] == listing(root)
    root.log_artifact(str(files / "notes.txt"), "b")
    if not is_ended:
        end(folder, live)
    shared.flush(Workspace.open(folder))
    assert [("b", True, None), ("b/notes.txt", False, 5)] == list(walk(root))


def test_artifacts_that_only_the_remote_has_are_pulled(team: Team, files: Path) -> None:
    """Another's clone, which has only the record, lists and copies what the DVC remote has."""
    kim = team.clone("kim")
    run = begin(kim)
    uri = f"@/{run.experiment_id}/{run.id}/artifacts"
    get_artifact_repository(f"runstone:{kim}/{uri}").log_artifacts(str(files), "all")
    end(kim, run)
    Client(kim).sync()
    lee = team.clone("lee")
    Client(lee).sync()
    root = get_artifact_repository(f"runstone:{lee}/{uri}")
    assert ["all/notes.txt", "all/some plots"] == [path for path, _, _ in listing(root, "all")]
    copied = Path(root.download_artifacts("all"))
    assert ("notes", "a plot") == ((copied / "notes.txt").read_text(), (copied / "some plots" / "ä.txt").read_text())


def test_damaged_bytes_are_refused(root: MlflowArtifactRepository, folder: Path, files: Path) -> None:
    """Bytes in the cache that are not those that were logged are not handed out."""
    root.log_artifact(str(files / "notes.txt"))
    (stored,) = (path for path in (folder / ".git").rglob("files/md5/*/*") if path.read_bytes() == b"notes")
    stored.chmod(0o644)
    stored.write_bytes(b"other")
    with pytest.raises(MlflowException, match="was damaged or changed"):
        root.download_artifacts("notes.txt")


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a/./b", "a//b", "C:\\x", "a\\b", ".git/hooks", "a\nb", "a/.dvc"]
)
def test_hostile_paths_are_refused(
    path: str, root: MlflowArtifactRepository, files: Path, folder: Path, live: Run
) -> None:
    """A path that leaves the artifacts, or that not every system can hold, is refused on every way in and out."""
    server = get_artifact_repository(f"runstone:{folder}")
    below = f"{live.experiment_id}/{live.id}/artifacts/{path}"
    for repository, given in ((root, path), (server, below)):
        for name, arguments in [
            ("log_artifact", [str(files / "notes.txt"), given]),
            ("log_artifacts", [str(files), given]),
            ("list_artifacts", [given]),
            ("download_artifacts", [given]),
            ("delete_artifacts", [given]),
        ]:
            with pytest.raises(MlflowException) as refused:
                getattr(repository, name)(*arguments)
            assert "INVALID_PARAMETER_VALUE" == refused.value.error_code
    assert [] == artifacts(folder, live)


def test_links_out_of_a_folder_are_refused(root: MlflowArtifactRepository, tmp_path: Path) -> None:
    """What a symbolic link shows outside of the folder that was named is not logged."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(MlflowException, match="leads out of"):
        root.log_artifacts(str(tmp_path / "folder"))
    assert [] == listing(root)


def test_what_is_not_there_is_said(root: MlflowArtifactRepository, folder: Path, files: Path, tmp_path: Path) -> None:
    """A missing artifact, run, logged model or target has MLflow's code for it; nothing is kept above a run."""
    server = get_artifact_repository(f"runstone:{folder}")
    notes = str(files / "notes.txt")
    for repository, name, arguments, code in [
        (root, "download_artifacts", ["none.txt"], "RESOURCE_DOES_NOT_EXIST"),
        (root, "download_artifacts", ["", str(tmp_path / "none")], "RESOURCE_DOES_NOT_EXIST"),
        (root, "download_artifacts", ["", notes], "INVALID_PARAMETER_VALUE"),
        (root, "log_artifacts", [notes], "INVALID_PARAMETER_VALUE"),
        (server, "list_artifacts", ["trees/0123abcd/artifacts"], "RESOURCE_DOES_NOT_EXIST"),
        (server, "list_artifacts", ["trees/models/m-0123abcd-1/artifacts"], "RESOURCE_DOES_NOT_EXIST"),
        (server, "log_artifact", [notes, "trees"], "INVALID_PARAMETER_VALUE"),
        (server, "log_artifact", [notes], "INVALID_PARAMETER_VALUE"),
    ]:
        with pytest.raises(MlflowException) as refused:
            getattr(repository, name)(*arguments)
        assert code == refused.value.error_code, str(refused.value)
    with pytest.raises(MlflowException, match="git init"):
        ArtifactRepository(f"runstone:{tmp_path}")


def test_uploads_in_parts_are_not_offered(folder: Path) -> None:
    """MLflow's server answers a client that asks for one that this store has none, by itself."""
    from mlflow.store.artifact.artifact_repo import MultipartUploadMixin

    assert not isinstance(get_artifact_repository(f"runstone:{folder}"), MultipartUploadMixin)
