"""Keras models: those of Keras' own layers are data; what names or holds code needs trust."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runstone.errors import InputMismatch, InvalidModelFolder, UntrustedModel, UsageError
from runstone.flavors import keras as flavor
from runstone.flavors import pyfunc
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.trust import Trust
from tests.flavors.boosters import edit, requirements_of
from tests.flavors.networks import check_damage, check_missing_library, check_other_version
from tests.flavors.support import ALLOWED, digests_of
from tests.support import run_python

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("torch", reason="the extra `keras` is not installed")
keras = pytest.importorskip("keras", reason="the extra `keras` is not installed")

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
FRAME = pd.DataFrame(X.astype(float), columns=list("abcd"), index=list("vwxyz"))


def make_model(kind: str = "sequential") -> Any:
    """Dense layers, in a row or as a graph."""
    keras.utils.set_random_seed(0)
    if kind == "sequential":
        layers = [keras.layers.Dense(8, activation="relu", kernel_regularizer="l2"), keras.layers.Dropout(0.9)]
        model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(2)])
    else:
        given = keras.Input((4,))
        hidden = keras.layers.Dense(3, activation=keras.activations.tanh)(given)
        model = keras.Model(given, keras.layers.Concatenate()([given, hidden]))
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def rewrite(folder: Path, **parts: Any) -> None:
    """Exchange parts of the first dense layer's description in the weights file, as a hostile hand would."""
    file = folder / "data" / "model.keras"
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(contents["config.json"])
    layer = next(each for each in config["config"]["layers"] if each["class_name"] == "Dense")
    layer.update(parts)
    contents["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("kind", ["sequential", "functional"])
@pytest.mark.parametrize("example", [X, FRAME], ids=["array", "frame"])
def test_a_model_comes_back_and_predicts(tmp_path: Path, kind: str, example: Any) -> None:
    """With and without digests; a frame is answered by a frame with its rows' names."""
    model = make_model(kind)
    flavor.save(model, tmp_path / "m", SaveOptions(input_example=example))
    for trust in (Trust(), Trust(digests_of(tmp_path / "m"))):
        loaded = pyfunc.load(tmp_path / "m", trust=trust)
        np.testing.assert_allclose(model.predict(X, verbose=0), loaded.predict(example), rtol=1e-5)
        assert "mse" == flavor.load(tmp_path / "m", trust=trust).loss
    if example is FRAME:
        assert list("vwxyz") == loaded.predict(FRAME).index.tolist()
    frames = ["pandas"] if example is FRAME else []
    assert ["keras", "numpy", *frames, "torch"] == requirements_of(tmp_path / "m")


@pytest.mark.mlflow
@pytest.mark.parametrize("example", [X, FRAME], ids=["array", "frame"])
def test_mlflow_loads_what_we_save(tmp_path: Path, example: Any) -> None:
    """Both its faces, with equal answers, and with our signature."""
    import mlflow.keras
    import mlflow.pyfunc

    model = make_model()
    flavor.save(model, tmp_path / "m", SaveOptions(input_example=example))
    again = mlflow.keras.load_model(str(tmp_path / "m"))
    np.testing.assert_array_equal(model.predict(X, verbose=0), again.predict(X, verbose=0))
    theirs, ours = mlflow.pyfunc.load_model(str(tmp_path / "m")), pyfunc.load(tmp_path / "m", trust=Trust())
    np.testing.assert_array_equal(theirs.predict(example), ours.predict(example))
    assert ours.metadata.signature is not None
    assert ours.metadata.signature.to_dict() == theirs.metadata.signature.to_dict()


@pytest.mark.mlflow
def test_we_load_what_mlflow_saved(tmp_path: Path) -> None:
    """With and without digests as git would have them."""
    import mlflow.keras
    import mlflow.pyfunc

    path = str(tmp_path / "m")
    signature = mlflow.models.infer_signature(X, X[:, :2])
    mlflow.keras.save_model(make_model(), path, signature=signature, pip_requirements=["keras"])
    expected = mlflow.pyfunc.load_model(path).predict(X)
    for trust in (Trust(), Trust(digests_of(tmp_path / "m"))):
        np.testing.assert_array_equal(expected, pyfunc.load(tmp_path / "m", trust=trust).predict(X))


@pytest.mark.mlflow
def test_the_tensorflow_flavor_is_understood_where_its_model_is_kerass(tmp_path: Path) -> None:
    """MLflow's other flavor for Keras models, laid out as MLflow does; what was exported for TensorFlow is refused."""
    folder = tmp_path / "m"
    model = make_model()
    flavor.save(model, folder, SaveOptions(input_example=X))
    edit(folder, "loader_module: mlflow.keras", "data: data\n    loader_module: mlflow.tensorflow")
    edit(folder, "  keras:\n", "  tensorflow:\n    model_type: keras\n    save_format: keras\n")
    np.testing.assert_allclose(model.predict(X, verbose=0), pyfunc.load(folder, trust=Trust()).predict(X), rtol=1e-5)
    edit(folder, "save_format: keras", "save_format: tf")
    with pytest.raises(InvalidModelFolder, match="it was exported for TensorFlow"):
        pyfunc.load(folder, trust=Trust())


def test_models_of_several_inputs_and_outputs(tmp_path: Path) -> None:
    """Maps of arrays go in and come out."""
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    outputs = {"sum": keras.layers.Add()([first, second]), "product": keras.layers.Multiply()([first, second])}
    flavor.save(
        keras.Model([first, second], outputs), tmp_path / "m", SaveOptions(input_example={"first": X, "second": X})
    )
    found = pyfunc.load(tmp_path / "m", trust=Trust()).predict({"first": X, "second": X})
    np.testing.assert_allclose(X + X, found["sum"])
    np.testing.assert_allclose(X * X, found["product"])


def test_a_lambda_layer_is_code(tmp_path: Path) -> None:
    """It is loaded only if git or the caller vouches for it."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)])
    flavor.save(model, tmp_path / "m")
    with pytest.raises(UntrustedModel) as error:
        flavor.load(tmp_path / "m", trust=Trust())
    assert "data/model.keras" == error.value.file
    for trust in (ALLOWED, Trust(digests_of(tmp_path / "m"))):
        np.testing.assert_allclose(X * 2, pyfunc.load(tmp_path / "m", trust=trust).predict(X))


def test_a_module_of_pytorch_within_is_code(tmp_path: Path) -> None:
    """It is a pickle, loaded only if git or the caller vouches for it, and then it is."""
    import torch

    wrapped = keras.layers.TorchModuleWrapper(torch.nn.Linear(4, 3))
    model = keras.Sequential([keras.Input((4,)), wrapped, keras.layers.Dense(1)])
    expected = model.predict(X, verbose=0)
    flavor.save(model, tmp_path / "m")
    with pytest.raises(UntrustedModel):
        flavor.load(tmp_path / "m", trust=Trust())
    for trust in (ALLOWED, Trust(digests_of(tmp_path / "m"))):
        np.testing.assert_allclose(expected, pyfunc.load(tmp_path / "m", trust=trust).predict(X), rtol=1e-5)


@pytest.mark.parametrize(
    "parts",
    [
        {"module": "subprocess", "class_name": "Popen"},
        {"module": "evil_module", "class_name": "Layer"},
        {"module": "keras.utils", "class_name": "get_file"},
        {"module": "keras.config", "class_name": "enable_unsafe_deserialization"},
        {"module": "builtins", "class_name": "function", "config": "exec"},
        {"module": None, "class_name": "Layer", "registered_name": "mine>Layer"},
        {"module": "keras.layers", "class_name": "Dense", "registered_name": "mine>Dense"},
        {"module": "keras_hub.layers", "class_name": "Layer"},
        {"class_name": "__lambda__"},
        {"module": "keras.layers", "class_name": "TorchModuleWrapper"},
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "https://host/model"}},
        {"module": "keras.layers", "class_name": "JaxLayer"},
        {"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}},
        {"class_name": ["Dense"]},
    ],
    ids=lambda parts: f"{parts.get('module')}.{parts['class_name']}",
)
def test_what_is_not_keras_own_is_not_even_looked_up(tmp_path: Path, parts: dict[str, Any]) -> None:
    """A weights file that names other modules, functions, or classes of the user's is for those who trust it."""
    (tmp_path / "evil_module.py").write_text("raise SystemExit('ran')\n")
    flavor.save(make_model(), tmp_path / "m")
    rewrite(tmp_path / "m", **parts)
    with pytest.raises(UntrustedModel):
        flavor.load(tmp_path / "m", trust=Trust())


def test_a_layer_of_ones_own_travels_by_code_paths(tmp_path: Path) -> None:
    """Or is given as `custom_objects`; without either, the error says so."""
    (tmp_path / "my_layer.py").write_text(
        "import keras\n@keras.saving.register_keras_serializable('mine')\nclass Twice(keras.layers.Layer):\n"
        "    def call(self, x):\n        return x * 2\n"
    )
    saving = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
import keras, my_layer
from runstone.flavors import keras as flavor
from runstone.flavors.protocol import SaveOptions

model = keras.Sequential([keras.Input((4,)), my_layer.Twice()])
flavor.save(model, Path("with"), SaveOptions(code_paths=["my_layer.py"]))
flavor.save(model, Path("without"))
"""
    run_python(saving, cwd=tmp_path)
    code = (tmp_path / "my_layer.py").read_text()
    (tmp_path / "my_layer.py").unlink()
    with pytest.raises(UntrustedModel):
        flavor.load(tmp_path / "with", trust=Trust())
    with pytest.raises(InvalidModelFolder, match=r"give them as `custom_objects=\{...\}`"):
        flavor.load(tmp_path / "without", trust=ALLOWED)
    assert pyfunc.load(tmp_path / "with", trust=Trust(digests_of(tmp_path / "with"))).predict(X) == pytest.approx(X * 2)
    names: dict[str, Any] = {}
    exec(code, names)
    loaded = flavor.load(tmp_path / "without", trust=ALLOWED, custom_objects={"Twice": names["Twice"]})
    assert loaded.predict(X, verbose=0) == pytest.approx(X * 2)


@pytest.mark.parametrize("data", [np.ones((2, 3), np.float32), np.array([["a"] * 4]), FRAME[["a"]]])
def test_data_that_the_model_refuses(tmp_path: Path, data: Any) -> None:
    """What Keras says of it, as bad input."""
    flavor.save(make_model(), tmp_path / "m")
    with pytest.raises(InputMismatch, match="Keras refuses it: "):
        pyfunc.load(tmp_path / "m", trust=Trust()).predict(data)


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    """Only Keras models are; the options of `Model.save` are passed on."""
    with pytest.raises(UsageError, match="this is a int"):
        flavor.save(1, tmp_path / "m")
    flavor.save(make_model(), tmp_path / "m", save_model_kwargs={"zipped": True})
    with pytest.raises(InvalidModelFolder, match=r"Keras cannot save the model: .*no_such"):
        flavor.save(make_model(), tmp_path / "n", save_model_kwargs={"no_such": True})
    assert not (tmp_path / "n").exists()


def test_damage(tmp_path: Path) -> None:
    """Every damage of the weights is an error that names them."""
    flavor.save(make_model(), tmp_path / "m")
    check_damage("keras", tmp_path / "m", "data/model.keras", "data: data")


def test_other_versions_and_none(tmp_path: Path) -> None:
    """A warning that names both; an error that says what to install, be it Keras or what it computes with."""
    flavor.save(make_model(), tmp_path / "m")
    check_missing_library("keras", tmp_path / "m", "keras")
    code = """
from pathlib import Path
from runstone.errors import MissingLibrary
from runstone.flavors import keras
from runstone.flavors.trust import Trust

try:
    keras.load(Path("m"), trust=Trust())
except MissingLibrary as error:
    print(error)
"""
    done = run_python(code, cwd=tmp_path, env={"KERAS_BACKEND": "jax"})
    assert (
        "`jax` is needed to load this model with Keras, which KERAS_BACKEND chose; the model was saved with torch, "
        "and is not installed. Install it: `pip install jax`\n" == done.stdout
    )
    check_other_version("keras", tmp_path / "m", "keras", "keras_version")
