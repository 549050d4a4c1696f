"""Datasets: what a run read, by digest, from a DataFrame, an array or a file."""

from pathlib import Path
from types import SimpleNamespace

import mlflow.data
import numpy as np
import pandas as pd
import pytest

from runstone.errors import ArtifactRefused, InvalidValue
from runstone.git.repository import Repository
from runstone.records.dataset import Dataset
from runstone.tracking.dataset import describe, from_file, from_numpy, from_pandas
from tests.support import git, run_python


def test_a_frames_digest_tells_every_difference() -> None:
    """Values, names, types, order and index count; a copy does not."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    others = [
        pd.DataFrame({"a": [1, 3], "b": ["x", "y"]}),
        pd.DataFrame({"c": [1, 2], "b": ["x", "y"]}),
        frame.astype({"a": "float64"}),
        frame.iloc[::-1],
        frame.set_index(pd.Index([5, 6])),
        frame["a"],
        pd.DataFrame({"a": [[1], [2]], "b": ["x", "y"]}),
    ]
    digests = [from_pandas(each).digest for each in [frame, *others]]
    assert len(digests) == len(set(digests))
    assert from_pandas(frame) == from_pandas(frame.copy())
    assert ("train set", "train", (2, 2)) == (
        (made := from_pandas(frame, "train set", "train")).name,
        made.role,
        made.shape,
    )


def test_an_arrays_digest_does_not_depend_on_its_layout() -> None:
    """Strides and byte order are the machine's; type, shape and values are the data's."""
    array = np.arange(6, dtype="<f8").reshape(2, 3)
    assert (
        from_numpy(array).digest
        == from_numpy(np.asfortranarray(array)).digest
        == from_numpy(array.astype(">f8")).digest
    )
    others = [array.astype("f4"), array.reshape(3, 2), array + 1, np.array([[0, "a", None]], dtype=object)]
    assert 5 == len({from_numpy(each).digest for each in [array, *others]})
    assert (2, 3) == from_numpy(array).shape


def test_a_digest_is_the_same_in_another_process(tmp_path: Path) -> None:
    """No hash seed and no address goes into it."""
    code = "import pandas as pd; from runstone.tracking.dataset import from_pandas\n"
    code += "print(from_pandas(pd.DataFrame({'a': ['x', 'y'], 'b': [1.5, None]})).digest)"
    found = run_python(code, cwd=tmp_path, env={"PYTHONHASHSEED": "1"}).stdout
    assert from_pandas(pd.DataFrame({"a": ["x", "y"], "b": [1.5, None]})).digest + "\n" == found


@pytest.mark.dvc
def test_a_file_is_known_by_path_digest_and_pointer(git_repo: Path) -> None:
    """What DVC tracks names its pointer as long as the pointer is right; also where DVC links the file."""
    repo = Repository.open(git_repo)
    file = git_repo / "data" / "d.csv"
    file.parent.mkdir()
    file.write_text("a,b\n1,2\n")
    plain = from_file(repo, file, role="train")
    assert ("d.csv", "data/d.csv", None, "train") == (plain.name, plain.path, plain.dvc, plain.role)
    run_python(
        "from dvc.cli import main; main(['init', '-q']); main(['config', 'cache.type', 'symlink'])", cwd=git_repo
    )
    run_python("from dvc.cli import main; import sys; sys.exit(main(['add', '-q', 'data/d.csv']))", cwd=git_repo)
    assert file.is_symlink()
    tracked = from_file(repo, file)
    assert (plain.digest, "data/d.csv", "data/d.csv.dvc") == (tracked.digest, tracked.path, tracked.dvc)
    file.unlink()
    file.write_text("a,b\n1,3\n")
    assert (None, False) == ((changed := from_file(repo, file)).dvc, changed.digest == plain.digest)


@pytest.mark.dvc
def test_a_folder_must_be_tracked_by_dvc(git_repo: Path) -> None:
    """Then its digest is the one that DVC gave it."""
    repo = Repository.open(git_repo)
    folder = git_repo / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    with pytest.raises(ArtifactRefused, match="it is a folder that DVC does not track"):
        from_file(repo, folder)
    run_python("from dvc.cli import main; main(['init', '-q']); main(['add', '-q', 'images'])", cwd=git_repo)
    found = from_file(repo, folder)
    assert (True, "images.dvc") == (found.digest.endswith(".dir"), found.dvc)
    assert found.digest.removeprefix("md5:") in (git_repo / "images.dvc").read_text()


def test_a_file_outside_the_repository_leaves_no_path(git_repo: Path, tmp_path: Path) -> None:
    """No absolute path ever enters a record."""
    (tmp_path / "far.csv").write_text("1")
    found = from_file(Repository.open(git_repo), tmp_path / "far.csv")
    assert ("far.csv", None, None) == (found.name, found.path, found.dvc)
    assert str(tmp_path) not in str(found.to_document())
    with pytest.raises(ArtifactRefused, match="there is no such file"):
        from_file(Repository.open(git_repo), tmp_path / "missing.csv")
    git("init", "-q", "--bare", tmp_path / "bare.git", cwd=tmp_path)
    assert None is from_file(Repository.open(tmp_path / "bare.git"), tmp_path / "far.csv").path


@pytest.mark.mlflow
def test_whatever_a_run_read_is_described(git_repo: Path) -> None:
    """A frame, a series, an array, a path, our own value, MLflow's datasets; anything else is refused."""
    repo = Repository.open(git_repo)
    frame = pd.DataFrame({"a": [1, 2]})
    assert from_pandas(frame, role="train") == describe(repo, frame, "train")
    assert (2,) == describe(repo, frame["a"]).shape
    assert from_numpy(np.zeros(3)) == describe(repo, np.zeros(3))
    assert "train.py" == describe(repo, git_repo / "train.py").path
    own = Dataset("mine", "md5:0", path="x.csv")
    assert Dataset("other", "md5:0", role="test", path="x.csv") == describe(repo, own, "test", "other")
    theirs = mlflow.data.from_pandas(frame, name="named")
    assert from_pandas(frame, "named", "train") == describe(repo, theirs, "train")
    assert Dataset("d", "abc") == describe(repo, SimpleNamespace(name="d", digest="abc"))
    with pytest.raises(InvalidValue, match="must be a DataFrame, an array or a file's path, but is a int"):
        describe(repo, 3)
