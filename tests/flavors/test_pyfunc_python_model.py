"""Models of one's own: a class, a function, their artifacts and settings; saved and loaded by us and by MLflow."""

import gzip
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.types.type_hints import TypeFromExample

from runstone.errors import InputMismatch, InvalidModelFolder, ModelFileChanged, UntrustedModel
from runstone.flavors import pyfunc
from runstone.flavors.requirements import modules_of_pickle
from runstone.flavors.trust import Trust
from runstone.pyfunc import PyFuncModel, PythonModel, load_model, save_model
from tests.flavors.support import ALLOWED, Boom, digests_of
from tests.support import run_python

FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [1, 0]})


class Scaled(PythonModel):
    """Ours: an artifact, a setting and a param go into what it answers."""

    def load_context(self, context: Any) -> None:
        """Read the factor."""
        self.factor = float(Path(context.artifacts["factor"]).read_text())

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Factor times a, plus the setting, plus the param."""
        return (model_input["a"] * self.factor + context.model_config["bias"] + (params or {}).get("add", 0)).tolist()

    def predict_stream(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Iterator[Any]:
        """The value and the param, one after the other."""
        yield model_input["a"] * self.factor + context.model_config["bias"]
        yield (params or {}).get("add", 0)


class Theirs(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow is not typed
    """As `Scaled`, of MLflow's class; without hints, as MLflow warns of those that are no lists."""

    load_context = Scaled.load_context
    predict_stream = Scaled.predict_stream

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # see above
        """As `Scaled`."""
        return Scaled.predict(self, context, model_input, params)


class Words(PythonModel):
    """Hints that say a list of text, and no context."""

    def predict(self, model_input: list[str]) -> list[str]:  # type: ignore[override]  # allowed
        """In capitals."""
        return [word.upper() for word in model_input]


def lengths(model_input: list[str]) -> list[int]:
    """A function as a model."""
    return [len(word) for word in model_input]


def cut(model_input: list[str], params: Any = None) -> list[str]:
    """A function with params."""
    return [word[: params["size"]] for word in model_input]


def ours(path: Path) -> Any:
    """Loaded by us."""
    return load_model(str(path), allow_pickle=True)


def theirs(path: Path) -> Any:
    """Loaded by MLflow."""
    return mlflow.pyfunc.load_model(str(path))


LOADERS = pytest.mark.parametrize("load", [ours, theirs])
SAVERS = pytest.mark.parametrize("save", [save_model, mlflow.pyfunc.save_model])


@pytest.fixture
def factor(tmp_path: Path) -> str:
    """A file with the number 3."""
    (tmp_path / "factor.txt").write_text("3")
    return str(tmp_path / "factor.txt")


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")  # MLflow's, of its own classes
@LOADERS
@pytest.mark.parametrize(
    ("kind", "save"), [(Scaled, save_model), (Theirs, save_model), (Theirs, mlflow.pyfunc.save_model)]
)
def test_a_class_predicts_alike_whoever_saves_and_loads(
    tmp_path: Path, factor: str, save: Callable[..., None], load: Callable[[Path], Any], kind: type[Any]
) -> None:
    """Artifacts, settings, params, stream and signature; but MLflow saves its own class only."""
    save(
        path=str(tmp_path / "m"),
        python_model=kind(),
        artifacts={"factor": factor},
        model_config={"bias": 10},
        input_example=(FRAME, {"add": 1}),
        pip_requirements=["cloudpickle"],  # or MLflow starts a process to find them
    )
    model = load(tmp_path / "m")
    assert [18.0, 21.0] == model.predict(FRAME, {"add": 5})
    assert [14.0, 17.0] == model.predict(FRAME[["b", "a"]].assign(more=0))
    assert [13.0, 7] == list(model.predict_stream(FRAME[:1], {"add": 7}))
    assert {"bias": 10} == model.model_config
    assert 3.0 == model.unwrap_python_model().factor
    assert kind.__name__ == type(model.unwrap_python_model()).__name__
    assert ["a", "b"] == model.metadata.get_input_schema().input_names()


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")
@LOADERS
@SAVERS
def test_a_function_is_a_model(tmp_path: Path, save: Callable[..., None], load: Callable[[Path], Any]) -> None:
    """Lists and tables alike, the signature from its hints."""
    save(path=str(tmp_path / "m"), python_model=lengths, pip_requirements=["cloudpickle"])
    model = load(tmp_path / "m")
    assert [1, 3] == model.predict(["a", "bcd"]) == model.predict(pd.DataFrame({"any": ["a", "bcd"]}))
    signature = model.metadata.signature.to_dict()
    assert ('[{"type": "string", "required": true}]', '[{"type": "long", "required": true}]') == (
        signature["inputs"],
        signature["outputs"],
    )


@pytest.mark.mlflow
@LOADERS
def test_a_function_may_take_params(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    """Those of the example are the defaults; MLflow saves no such function, and loads ours."""
    save_model(tmp_path / "m", python_model=cut, input_example=(["abc"], {"size": 2}))
    model = load(tmp_path / "m")
    assert (["xy"], ["x"]) == (model.predict(["xyz"]), model.predict(["xyz"], {"size": 1}))


def told(model_input: list[str], params: Any = None) -> list[str]:
    """A function that tells what params it was given."""
    return [repr(params) for _ in model_input]


@pytest.mark.mlflow
@LOADERS
def test_where_there_are_no_params_the_model_is_given_none(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    """As MLflow calls it: a model that asks `if params is None` finds its own defaults."""
    save_model(tmp_path / "m", python_model=told)
    model = load(tmp_path / "m")
    assert ["None"] == model.predict(["x"])
    save_model(tmp_path / "n", python_model=told, input_example=(["abc"], {"size": 2}))
    assert ["{'size': 2}"] == load(tmp_path / "n").predict(["x"])


@pytest.mark.mlflow
@LOADERS
def test_hints_are_checked_wherever_the_model_is_loaded(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    """The signature is that of the hints, and what does not fit them is refused before the model sees it."""
    save_model(tmp_path / "m", python_model=Words())
    model = load(tmp_path / "m")
    assert ["A"] == model.predict(["a"]) == model.predict(pd.DataFrame({"any": ["a"]}))
    with pytest.raises(InputMismatch) as error:
        model.predict(["a", 1])
    assert (
        "The data does not fit the model's signature: `predict` takes str, and the data[1] is the int 1. "
        "See it: `model.metadata.signature`"
    ) == str(error.value)


def years(model_input: list[datetime]) -> list[int]:
    """A function of times."""
    return [time.year for time in model_input]


@pytest.mark.mlflow
@LOADERS
def test_hints_decide_alone_what_is_let_through(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    """The signature, which says the same to people, does not refuse first what the hints can make fit."""
    save_model(tmp_path / "m", python_model=years)
    assert [2024] == load(tmp_path / "m").predict(["2024-01-02T03:04:05"])


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")
def test_a_model_of_mlflow_that_takes_its_example_for_a_hint(tmp_path: Path) -> None:
    """The table that the check makes of a list becomes a list again."""

    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow is not typed
        def predict(self, model_input: TypeFromExample) -> Any:
            return list(model_input)

    mlflow.pyfunc.save_model(
        str(tmp_path / "m"), python_model=Model(), input_example=["a", "b"], pip_requirements=["a"]
    )
    assert ["x", "y"] == theirs(tmp_path / "m").predict(["x", "y"]) == ours(tmp_path / "m").predict(["x", "y"])


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("packed", ["lzma", "bzip2", "gzip"])
def test_compressed_pickles_of_mlflow_are_loaded(tmp_path: Path, packed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each of its ways."""
    monkeypatch.setenv("MLFLOW_LOG_MODEL_COMPRESSION", packed)
    mlflow.pyfunc.save_model(str(tmp_path / "m"), python_model=lengths, pip_requirements=["cloudpickle"])
    assert [2] == ours(tmp_path / "m").predict(["ab"])
    text = (tmp_path / "m" / "MLmodel").read_text()
    (tmp_path / "m" / "MLmodel").write_text(text.replace(f"compression: {packed}", "compression: zip"))
    with pytest.raises(InvalidModelFolder, match="its pickle is compressed by 'zip', which is not known"):
        ours(tmp_path / "m")


def test_the_callers_model_does_not_notice_that_it_was_tried(tmp_path: Path, factor: str) -> None:
    """The example is predicted by a copy that was loaded from the folder; what was saved is as it was given."""
    model = Scaled()
    save_model(
        tmp_path / "m",
        python_model=model,
        artifacts={"factor": factor},
        model_config={"bias": 1},
        input_example=(FRAME, {"add": 1}),
    )
    assert {} == vars(model)
    outputs = pyfunc.load(tmp_path / "m", trust=ALLOWED).metadata.get_output_schema()
    assert '[{"type": "double", "required": true}]' == (outputs and outputs.to_json())


def test_settings_are_chosen_when_loading(tmp_path: Path, factor: str) -> None:
    """From a map or a YAML file; only settings that the model was saved with, and the others are told."""
    (tmp_path / "config.yaml").write_text("bias: 1\n")
    save_model(
        tmp_path / "m",
        python_model=Scaled(),
        artifacts={"factor": factor},
        model_config=tmp_path / "config.yaml",
    )
    assert [4.0, 7.0] == ours(tmp_path / "m").predict(FRAME)
    (tmp_path / "config.yaml").write_text("bias: 2\n")
    model = load_model(str(tmp_path / "m"), model_config=tmp_path / "config.yaml", allow_pickle=True)
    assert ([5.0, 8.0], {"bias": 2}) == (model.predict(FRAME), model.model_config)
    with pytest.warns(UserWarning, match=r"The settings \['x'\] are ignored: the model was saved with bias\."):
        load_model(str(tmp_path / "m"), model_config={"x": 1}, allow_pickle=True)


@pytest.mark.mlflow
def test_a_class_of_a_script_is_loaded_by_another_process(tmp_path: Path) -> None:
    """It is in the pickle, hints and all; and of Runstone that names the public module only, so it may be changed."""
    code = """
import runstone
class Model(runstone.pyfunc.PythonModel):
    def load_context(self, context):
        self.context = context
    def predict(self, context, model_input: list[int], params=None):
        return [value + context.model_config["add"] for value in model_input]
runstone.pyfunc.save_model("m", python_model=Model(), model_config={"add": 2}, input_example=[1])
runstone.pyfunc.save_model("f", python_model=lambda model_input: "seven", input_example=[1])
"""
    run_python(code, cwd=tmp_path)
    for folder in ("m", "f"):
        with (tmp_path / folder / "python_model.pkl").open("rb") as stream:
            named = {module for module in modules_of_pickle(stream) if module.startswith("runstone")}
        assert {"runstone.pyfunc"} == named
    assert [3] == ours(tmp_path / "m").predict([1]) == theirs(tmp_path / "m").predict([1])
    with pytest.raises(InputMismatch):
        theirs(tmp_path / "m").predict(["a"])
    code = "import mlflow.pyfunc; print(mlflow.pyfunc.load_model('f').predict(7))"
    assert "seven" == run_python(code, cwd=tmp_path).stdout.strip()


# --- trust


def test_a_pickle_needs_trust(tmp_path: Path, factor: str) -> None:
    """Nothing of it runs before; with the digests of git it is loaded, and not once it was changed."""
    save_model(tmp_path / "m", python_model=lengths, input_example=["a"])
    digests = digests_of(tmp_path / "m")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [1] == pyfunc.load(tmp_path / "m", trust=Trust(digests)).predict(["a"])
    import cloudpickle

    (tmp_path / "m" / "python_model.pkl").write_bytes(cloudpickle.dumps(Boom(tmp_path / "ran")))
    for trust, refusal in ((Trust(), UntrustedModel), (Trust(digests), ModelFileChanged)):
        with pytest.raises(refusal):
            pyfunc.load(tmp_path / "m", trust=trust)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InvalidModelFolder, match="its model cannot be used"):
        pyfunc.load(tmp_path / "m", trust=ALLOWED)
    assert (tmp_path / "ran").exists()


def test_a_compressed_bomb_is_not_opened_without_trust(tmp_path: Path) -> None:
    """The word of the folder that its pickle is compressed has it opened by nobody."""
    save_model(tmp_path / "m", python_model=lengths)
    text = (tmp_path / "m" / "MLmodel").read_text()
    line = "    python_model: python_model.pkl\n"
    (tmp_path / "m" / "MLmodel").write_text(text.replace(line, f"{line}    python_model_compression: gzip\n"))
    (tmp_path / "m" / "python_model.pkl").write_bytes(gzip.compress(b"\0" * 10**6))
    with pytest.raises(UntrustedModel):
        pyfunc.load(tmp_path / "m", trust=Trust())


def test_a_pickle_of_another_python_is_told(tmp_path: Path) -> None:
    """Functions in pickles are bytecode."""
    save_model(tmp_path / "m", python_model=lengths)
    text = (tmp_path / "m" / "MLmodel").read_text()
    import platform

    (tmp_path / "m" / "MLmodel").write_text(text.replace(f"'{platform.python_version()}'", "2.7.18"))
    with pytest.warns(UserWarning, match=r"was pickled by Python 2\.7, and this is 3\."):
        pyfunc.load(tmp_path / "m", trust=ALLOWED)


def test_a_model_that_fails_to_get_ready_is_an_error_that_says_so(tmp_path: Path) -> None:
    """With the cause attached."""

    class Model(PythonModel):
        def load_context(self, context: Any) -> None:
            raise KeyError("weights")

        def predict(self, context: Any, model_input: Any, params: Any = None) -> None:
            """Nothing."""

    save_model(tmp_path / "m", python_model=Model())
    with pytest.raises(InvalidModelFolder) as error:
        ours(tmp_path / "m")
    assert (
        f"The model folder {tmp_path / 'm'}: the `load_context` of its Model raised KeyError: 'weights'. "
        "See the cause above, correct it, and save the model again."
    ) == str(error.value)
    assert isinstance(error.value.__cause__, KeyError)


def test_a_loaded_model_is_shown_with_its_place(tmp_path: Path) -> None:
    """As every model behind `predict`."""
    save_model(tmp_path / "m", python_model=lengths)
    model: PyFuncModel = ours(tmp_path / "m")
    assert ("<PyFuncModel mlflow.pyfunc.model>", {}) == (repr(model), model.model_config)
