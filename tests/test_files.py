"""`runstone.files` keeps what no flavor understands, and gives it back as it was."""

from pathlib import Path
from typing import Any

import pytest

import runstone
from runstone.errors import ArtifactCorrupt, InvalidModelFolder, ModelFileChanged, UsageError
from runstone.flavors import files
from runstone.flavors.trust import Trust
from tests.flavors.support import digests_of
from tests.support import run_python


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder of files, some of them deeper."""
    folder = tmp_path / "net"
    (folder / "deep").mkdir(parents=True)
    (folder / "w.bin").write_bytes(bytes(range(256)))
    (folder / "deep" / "vocabulary.txt").write_text("a\nb\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Path in the folder → bytes."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.usefixtures("here")
def test_a_folder_and_a_file_come_back_as_they_were(weights: Path, tmp_path: Path) -> None:
    """From the run and from the registry; the copy lasts longer than the call."""
    with runstone.start_run() as run:
        made = runstone.files.log_model(weights, "net", registered_model_name="net")
        runstone.files.log_model(weights / "w.bin", name="one")
    assert ("files",) == made.flavors
    assert contents(weights) == contents(runstone.files.load_model("models:/net/1"))
    assert "net" == runstone.files.load_model(made.model_uri).name
    assert bytes(range(256)) == runstone.files.load_model(f"runs:/{run.id}/one").read_bytes()
    assert contents(weights) == contents(runstone.files.load_model(made.model_uri, tmp_path))


def test_copies_are_removed_when_the_process_ends(here: Path, weights: Path) -> None:
    """They are for one process."""
    code = f"""
import runstone
with runstone.start_run():
    made = runstone.files.log_model({str(weights)!r}, "net")
path = runstone.files.load_model(made.model_uri)
print(path if (path / "w.bin").is_file() else "")
"""
    path = Path(run_python(code, cwd=here).stdout.strip())
    assert ("net", False) == (path.name, path.exists())


def test_a_folder_on_disk_needs_no_trust_and_no_copy(weights: Path, tmp_path: Path) -> None:
    """Nothing of it is run."""
    runstone.files.save_model(weights, tmp_path / "m", metadata={"made": "elsewhere"})
    assert tmp_path / "m" / "data" / "net" == runstone.files.load_model(str(tmp_path / "m"))
    assert (tmp_path / "m" / "requirements.txt").read_text() == ""


@pytest.mark.mlflow
def test_mlflow_reads_what_the_folder_says(weights: Path, tmp_path: Path) -> None:
    """It knows that there is no python_function."""
    from mlflow.models import Model

    runstone.files.save_model(weights, tmp_path / "m", metadata={"made": "elsewhere"})
    theirs = Model.load(str(tmp_path / "m"))
    assert (["files"], {"made": "elsewhere"}) == (list(theirs.flavors), theirs.metadata)


def test_changed_files_are_not_given_out(weights: Path, tmp_path: Path, here: Path) -> None:
    """Neither from a folder that git recorded nor from a cache that somebody wrote to."""
    runstone.files.save_model(weights, tmp_path / "m")
    digests = digests_of(tmp_path / "m")
    (tmp_path / "m" / "data" / "net" / "w.bin").write_bytes(b"other")
    (tmp_path / "m" / "data" / "net" / "more").write_bytes(b"")
    with pytest.raises(ModelFileChanged):
        files.load(tmp_path / "m", trust=Trust(digests))
    (tmp_path / "m" / "data" / "net" / "w.bin").write_bytes(bytes(range(256)))
    assert contents(weights) == contents(files.load(tmp_path / "m", trust=Trust(digests)))
    with runstone.start_run():
        made = runstone.files.log_model(weights, "net")
    cache = runstone.Client().workspace.artifacts.cache
    (md5,) = [e.md5 for e in cache.read_dir(made.digest.removeprefix("md5:")) if e.path.endswith("w.bin")]
    cache.path(md5).chmod(0o644)
    cache.path(md5).write_bytes(b"other")
    with pytest.raises(ArtifactCorrupt):
        runstone.files.load_model(made.model_uri)


@pytest.mark.parametrize("data", ["../net", "/etc", "", None, 7], ids=repr)
def test_a_path_out_of_the_folder_is_refused(weights: Path, tmp_path: Path, data: Any) -> None:
    """Whatever the folder gives."""
    import json

    runstone.files.save_model(weights, tmp_path / "m")
    text = (tmp_path / "m" / "MLmodel").read_text()
    (tmp_path / "m" / "MLmodel").write_text(text.replace("data: data/net", f"data: {json.dumps(data)}"))
    with pytest.raises(InvalidModelFolder):
        runstone.files.load_model(str(tmp_path / "m"))


def test_what_is_no_file_is_refused(weights: Path, tmp_path: Path) -> None:
    """Missing, empty, or around the model folder itself; and files do not predict."""
    (tmp_path / "empty").mkdir()
    for bad in (tmp_path / "missing", tmp_path / "empty"):
        with pytest.raises(UsageError) as error:
            runstone.files.save_model(bad, tmp_path / "m")
        assert f"{bad} is no file, and no folder with files." == str(error.value)
    with pytest.raises(UsageError, match="holds the model folder"):
        runstone.files.save_model(weights, weights / "m")
    runstone.files.save_model(weights, tmp_path / "m")
    with pytest.raises(InvalidModelFolder, match="it has no flavor `python_function`, but `files`"):
        runstone.pyfunc.load_model(str(tmp_path / "m"))
    with pytest.raises(InvalidModelFolder, match="does not predict"):
        files.load_pyfunc(tmp_path / "m", trust=Trust())
