"""What is no model of one's own, and what such a model does not do: each with the words for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest

from runstone.errors import InputMismatch, InvalidModelFolder, RunstoneError, UsageError
from runstone.pyfunc import PyFuncModel, PythonModel, load_model, save_model


class Words(PythonModel):
    """A class, to be given for an instance."""


def lengths(model_input: list[str]) -> list[int]:
    """A function as a model."""
    return [len(word) for word in model_input]


def ours(path: Path) -> PyFuncModel:
    """Loaded by us."""
    return load_model(str(path), allow_pickle=True)


def test_a_model_that_does_not_stream_says_so(tmp_path: Path) -> None:
    """And one that does takes one input."""
    save_model(tmp_path / "m", python_model=lengths)
    with pytest.raises(UsageError, match=r"This model has no `predict_stream`\. Call `predict`\."):
        ours(tmp_path / "m").predict_stream(["a"])

    class Model(PythonModel):
        def predict_stream(self, model_input: Any) -> Iterator[Any]:  # type: ignore[override]  # allowed
            yield from model_input

    save_model(tmp_path / "s", python_model=Model())
    assert ["a", "b"] == list(ours(tmp_path / "s").predict_stream("ab"))
    with pytest.raises(InputMismatch, match="`predict_stream` takes one input, and these are 2"):
        ours(tmp_path / "s").predict_stream(["a", "b"])


class Agent(mlflow.pyfunc.ChatAgent):  # type: ignore[misc]  # MLflow is not typed
    """A model that takes messages."""

    def predict(self, messages: Any, context: Any = None, custom_inputs: Any = None) -> None:
        """Nothing."""


def three(a: Any, b: Any, c: Any) -> None:
    """Takes too much."""


def two(data: Any, options: Any) -> None:
    """Takes what is not params."""


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "A model of one's own is made by a `python_model` or by a `loader_module`: give one of them."),
    "both": (
        {"python_model": lengths, "loader_module": "x"},
        "A model of one's own is made by a `python_model` or by a `loader_module`: give one of them.",
    ),
    "data with a model": (
        {"python_model": lengths, "data_path": "x"},
        "`data_path` goes with a `loader_module`; give a `python_model` its files as `artifacts`.",
    ),
    "artifacts with a loader": (
        {"loader_module": "x", "artifacts": {"a": "x"}},
        "`artifacts` go with a `python_model`; give a `loader_module` its files as `data_path`.",
    ),
    "a class": ({"python_model": Words}, "A model is an instance, and `Words` is a class. Give `Words()`."),
    "a number": (
        {"python_model": 7},
        "A int is no model of one's own. Give an instance of `runstone.pyfunc.PythonModel`, a function of the data, or "
        "the path of a script that calls `runstone.models.set_model`.",
    ),
    "three arguments": (
        {"python_model": three},
        "A function as a model takes the data, or the data and `params`, and this one takes (a, b, c).",
    ),
    "two arguments": (
        {"python_model": two},
        "A function as a model takes the data, or the data and `params`, and this one takes (data, options).",
    ),
    "a chat agent": (
        {"python_model": Agent()},
        "MLflow's ChatAgent is no model for tables and lists. Derive from `PythonModel` instead.",
    ),
    "no script": (
        {"python_model": "missing.py"},
        "`python_model`: there is no file missing.py. Name the script, as a path from the current folder.",
    ),
    "no artifact": (
        {"python_model": lengths, "artifacts": {"a": "missing"}},
        "`artifacts`: there is no missing, which was given as 'a'.",
    ),
    "an artifact elsewhere": (
        {"python_model": lengths, "artifacts": {"a": "s3://bucket/a"}},
        "'s3://bucket/a' is none of `runs:/…`, `models:/…`, `file:…` and a path. Fetch it, and give its path.",
    ),
    "settings that are no map": (
        {"python_model": lengths, "model_config": [1]},
        "`model_config` must be a map whose keys are text, or a YAML file with one.",
    ),
    "settings that JSON lacks": (
        {"python_model": lengths, "model_config": {"a": {1}}},
        "`model_config` may hold what JSON can say, and this cannot: Object of type set is not JSON serializable.",
    ),
    "no settings": (
        {"python_model": lengths, "model_config": "missing.yaml"},
        "`model_config`: there is no file missing.yaml.",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_model_is_refused_before_anything_is_written(tmp_path: Path, what: str) -> None:
    """Each with the words for it."""
    arguments, message = REFUSED[what]
    with pytest.raises(UsageError) as error:
        save_model(tmp_path / "m", **arguments)
    assert message == str(error.value)
    assert not (tmp_path / "m").exists()


def test_what_cannot_be_pickled_says_how_else(tmp_path: Path) -> None:
    """A script is the way out."""
    import threading

    lock = threading.Lock()

    def locked(model_input: Any) -> Any:
        return lock, model_input

    with pytest.raises(InvalidModelFolder, match=r"or give the path of a script .* `python_model='model\.py'`"):
        save_model(tmp_path / "m", python_model=locked)
    assert not (tmp_path / "m").exists()


def test_a_class_without_predict_says_so(tmp_path: Path) -> None:
    """When it is asked."""
    save_model(tmp_path / "m", python_model=PythonModel())
    with pytest.raises(RunstoneError) as error:
        ours(tmp_path / "m").predict(1)
    assert "`PythonModel` has no `predict(self, context, model_input, params=None)`. Write it." == str(error.value)
