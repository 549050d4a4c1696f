"""`runstone.pyfunc` keeps models of one's own, and loads any flavor behind one `predict`."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.models import Model
from sklearn.linear_model import LinearRegression

import runstone
from runstone.errors import ArtifactNotFound, InputMismatch, InvalidModelFolder, NotAModel, UsageError
from runstone.flavors import mlmodel

X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})
MODEL = LinearRegression().fit(X, [1.0, 3.0, 3.0])


@pytest.mark.mlflow
def test_a_registered_model_predicts_as_mlflow_does(
    git_repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the signature checked: a column that is missing is refused before the model is asked."""
    monkeypatch.chdir(git_repo)
    with runstone.start_run():
        runstone.sklearn.log_model(MODEL, "model", input_example=X, registered_model_name="linear")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = runstone.pyfunc.load_model("models:/linear/1", suppress_warnings=True, dst_path=tmp_path)
    theirs = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert np.allclose(loaded.predict(X), theirs.predict(X))
    with pytest.raises(InputMismatch):
        loaded.predict(X[["a"]])


class Stacked(runstone.pyfunc.PythonModel):
    """A model that is made of another one, and of a file."""

    def load_context(self, context: Any) -> None:
        """Load both."""
        self.inner = runstone.sklearn.load_model(context.artifacts["inner"], allow_pickle=True)
        self.names = Path(context.artifacts["names"]).read_text().split()

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Names for numbers."""
        return [self.names[round(value) - 1] for value in self.inner.predict(model_input)]


@pytest.mark.mlflow
@pytest.mark.usefixtures("here")
def test_a_model_of_ones_own_is_logged_registered_and_loaded(tmp_path: Path) -> None:
    """Its artifacts come from a run, from the registry and from a file; what it loads from is verified by git."""
    (tmp_path / "names.txt").write_text("one two three")
    with runstone.start_run() as run:
        inner = runstone.sklearn.log_model(MODEL, "inner", registered_model_name="inner")
        runstone.log_artifact(str(tmp_path / "names.txt"), "deep")
    for number, artifacts in enumerate(
        (
            {"inner": inner.model_uri, "names": f"runs:/{run.id}/deep/names.txt"},
            {"inner": "models:/inner/1", "names": (tmp_path / "names.txt").as_uri()},
        )
    ):
        made = runstone.pyfunc.log_model(
            name="stacked",
            python_model=Stacked(),
            artifacts=artifacts,
            input_example=X,
            registered_model_name="stacked",
        )
        runstone.end_run()
        assert (f"runs:/{made.run_id}/stacked", ("python_function",)) == (made.model_uri, made.flavors)
        loaded = runstone.pyfunc.load_model(f"models:/stacked/{number + 1}", dst_path=_made(tmp_path / str(number)))
        assert ["one", "three", "three"] == loaded.predict(X)
        theirs = mlflow.pyfunc.load_model(str(tmp_path / str(number) / "stacked"))
        assert ["one", "three", "three"] == theirs.predict(X)
        saved = mlmodel.read(tmp_path / str(number) / "stacked").flavors["python_function"]["artifacts"]
        uris = (artifacts["inner"], artifacts["names"] if number == 0 else "names.txt")
        assert uris == (saved["inner"]["uri"], saved["names"]["uri"])
    with pytest.raises(ArtifactNotFound):
        runstone.pyfunc.log_model(python_model=Stacked(), artifacts={"names": f"runs:/{run.id}/missing"})


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.usefixtures("here")
def test_a_script_is_logged_and_loaded_with_no_word_of_trust(tmp_path: Path) -> None:
    """Git recorded its digest; there is no pickle."""
    (tmp_path / "model.py").write_text(
        "import runstone\n\ndef f(model_input: list[int]) -> list[int]:\n    return [-x for x in model_input]\n\n"
        "runstone.models.set_model(f)\n"
    )
    with runstone.start_run():
        made = runstone.pyfunc.log_model("negative", python_model=tmp_path / "model.py")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [-1, 2] == runstone.pyfunc.load_model(made.model_uri).predict([1, -2])


@pytest.mark.usefixtures("here")
def test_what_a_logged_model_is_and_needs_can_be_asked(tmp_path: Path) -> None:
    """Without loading it: the record of git, and the files that say what to install."""
    with runstone.start_run() as run:
        made = runstone.sklearn.log_model(
            MODEL, "m", input_example=X, pip_requirements=["numpy==1.2.3"], registered_model_name="linear"
        )
    assert replace(made, model_uri="models:/linear/1") == runstone.models.get_model_info("models:/linear/1")
    assert replace(made, registered_model_name=None) == runstone.models.get_model_info(made.model_uri)
    with pytest.raises(NotAModel):
        runstone.models.get_model_info(f"runs:/{run.id}/other")
    for uri in (made.model_uri, "models:/linear/1"):
        assert "numpy==1.2.3\n" == Path(runstone.pyfunc.get_model_dependencies(uri)).read_text()
        assert "conda.yaml" == Path(runstone.pyfunc.get_model_dependencies(uri, format="conda")).name
    runstone.sklearn.save_model(MODEL, tmp_path / "m")
    assert str(tmp_path / "m" / "requirements.txt") == runstone.pyfunc.get_model_dependencies(str(tmp_path / "m"))
    (tmp_path / "m" / "requirements.txt").unlink()
    with pytest.raises(InvalidModelFolder, match=r"the file `requirements\.txt` is missing"):
        runstone.pyfunc.get_model_dependencies(str(tmp_path / "m"))
    with pytest.raises(UsageError, match="`format` must be `pip` or `conda`, but is 'npm'"):
        runstone.pyfunc.get_model_dependencies(str(tmp_path / "m"), format="npm")


@pytest.mark.mlflow
def test_a_python_function_is_added_to_a_model_file(tmp_path: Path) -> None:
    """The file is a value, so a new one is returned; MLflow reads it as its own."""
    before = mlmodel.MLmodel(flavors={"acme": {"data": "w"}})
    after = runstone.pyfunc.add_to_model(before, "acme.loader", data="w", model_config={"a": 1}, predict_fn="go")
    assert ["acme"] == list(before.flavors)
    mlmodel.write(tmp_path, after)
    theirs = Model.load(str(tmp_path)).flavors["python_function"]
    assert ("acme.loader", "w", {"a": 1}, "go") == (
        theirs["loader_module"],
        theirs["data"],
        theirs["config"],
        theirs["predict_fn"],
    )


def test_arguments_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    """As Python says it of any function."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'code_path'"):
        runstone.pyfunc.save_model(tmp_path / "m", python_model=len, code_path=[])  # type: ignore[call-arg]  # the point
