"""What a model of one's own finds: its artifacts, each as it was checked, for as long as somebody has the model."""

import gc
import shutil
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest

from runstone.errors import InvalidModelFolder, ModelFileChanged
from runstone.flavors import mlmodel, pyfunc
from runstone.flavors.trust import Trust
from runstone.pyfunc import PythonModel, load_model, save_model
from tests.flavors.support import ALLOWED, digests_of


@pytest.fixture
def factor(tmp_path: Path) -> str:
    """A file with the number 3."""
    (tmp_path / "factor.txt").write_text("3")
    return str(tmp_path / "factor.txt")


class Names(PythonModel):
    """What its artifacts are."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Name → files and their text."""
        found = {name: Path(path) for name, path in context.artifacts.items()}
        return {
            name: path.read_text() if path.is_file() else sorted(file.name for file in path.iterdir())
            for name, path in found.items()
        }


@pytest.mark.mlflow
def test_artifacts_of_one_name_do_not_meet(tmp_path: Path) -> None:
    """Files and folders, of one name, of names that differ by case, and one called as the way out."""
    for folder, text in (("x", "1"), ("y", "2"), ("z", "3")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ("F.txt" if folder == "z" else "f.txt")).write_text(text)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "inside").write_text("")
    artifacts = {"one": tmp_path / "x/f.txt", "two": tmp_path / "y/f.txt", "three": tmp_path / "z/F.txt"}
    save_model(tmp_path / "m", python_model=Names(), artifacts={**artifacts, "four": tmp_path / "0"})
    expected = {"one": "1", "two": "2", "three": "3", "four": ["inside"]}
    assert expected == load_model(str(tmp_path / "m"), allow_pickle=True).predict(None)
    assert expected == mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(None)
    places = [info["path"] for info in mlmodel.read(tmp_path / "m").flavors["python_function"]["artifacts"].values()]
    assert 4 == len({place.casefold() for place in places}), "not every disk tells case apart"
    assert str(tmp_path) not in (tmp_path / "m" / "MLmodel").read_text()


def test_artifacts_outlive_the_folder_and_go_with_the_model(tmp_path: Path, factor: str) -> None:
    """A folder that git vouches for may be a temporary one, so the model reads a copy of its own, as checked."""
    save_model(tmp_path / "m", python_model=Names(), artifacts={"factor": factor})
    model = pyfunc.load(tmp_path / "m", trust=Trust(digests_of(tmp_path / "m")))
    shutil.rmtree(tmp_path / "m")
    raw = model.unwrap_python_model()
    assert {"factor": "3"} == model.predict(None)
    copy = Path(model._predictor.context.artifacts["factor"])  # type: ignore[attr-defined]  # of this predictor
    del model
    gc.collect()
    assert copy.is_file(), "the user still has the model"
    del raw
    gc.collect()
    assert not copy.parent.exists()


class Slotted:
    """A model that is derived from nothing, and that nobody can watch going."""

    __slots__ = ()

    def load_context(self, context: Any) -> None:
        """Nothing to do."""

    def predict(self, context: Any, model_input: Any) -> str:
        """The text of its artifact."""
        return Path(context.artifacts["factor"]).read_text()


def test_a_model_that_cannot_be_watched_keeps_its_artifacts_to_the_end(tmp_path: Path, factor: str) -> None:
    """Its copy goes with the process."""
    save_model(tmp_path / "m", python_model=Slotted(), artifacts={"factor": factor})
    model = pyfunc.load(tmp_path / "m", trust=Trust(digests_of(tmp_path / "m")))
    shutil.rmtree(tmp_path / "m")
    gc.collect()
    assert "3" == model.predict(None)


def test_an_artifact_that_is_not_the_recorded_one_is_refused(tmp_path: Path, factor: str) -> None:
    """Changed after git recorded it, or leading out of the folder."""
    save_model(tmp_path / "m", python_model=Names(), artifacts={"factor": factor})
    digests = digests_of(tmp_path / "m")
    (tmp_path / "m" / "artifacts" / "factor.txt").write_text("4")
    with pytest.raises(ModelFileChanged):
        pyfunc.load(tmp_path / "m", trust=Trust(digests))
    text = (tmp_path / "m" / "MLmodel").read_text()
    for bad in ("../factor.txt", "/etc/passwd"):
        (tmp_path / "m" / "MLmodel").write_text(text.replace("path: artifacts/factor.txt", f"path: {bad}"))
        with pytest.raises(InvalidModelFolder, match="leaves the folder"):
            pyfunc.load(tmp_path / "m", trust=ALLOWED)
    (tmp_path / "m" / "MLmodel").write_text(text.replace("factor:\n", "factor: []\n    x:\n"))
    with pytest.raises(InvalidModelFolder, match="must be a map of maps"):
        pyfunc.load(tmp_path / "m", trust=ALLOWED)
