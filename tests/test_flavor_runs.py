"""Models of deep learning and language in a run: logged, registered, and loaded with the digests that git recorded."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import runstone
from runstone.errors import UntrustedModel

X = np.arange(8, dtype=np.float32).reshape(2, 4)
TEXTS = pd.DataFrame({"text": ["good", "bad"]})


def make_torch() -> tuple[Any, Any]:
    """A linear layer."""
    torch = pytest.importorskip("torch", reason="the extra `pytorch` is not installed")
    return torch.nn.Linear(4, 1), X


def make_keras() -> tuple[Any, Any]:
    """A linear layer with a Lambda behind it, which is code."""
    pytest.importorskip("torch", reason="the extra `keras` is not installed")
    keras = pytest.importorskip("keras", reason="the extra `keras` is not installed")
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1), keras.layers.Lambda(lambda x: x * 2)]), X


def make_onnx() -> tuple[Any, Any]:
    """The identity."""
    onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 4]) for name in "xy"]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "identity", ends[:1], ends[1:])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), X


def make_transformers() -> tuple[Any, Any]:
    """A classifier with weights of chance."""
    pytest.importorskip("transformers", reason="the extra `transformers` is not installed")
    from tests.flavors.test_transformers import make_pipeline

    return make_pipeline("text-classification"), TEXTS


def make_spacy() -> tuple[Any, Any]:
    """A text categorizer that has seen nothing."""
    spacy = pytest.importorskip("spacy", reason="the extra `spacy` is not installed")
    nlp = spacy.blank("en")
    part = nlp.add_pipe("textcat")
    part.add_label("fair")
    part.add_label("foul")
    nlp.initialize()
    return nlp, TEXTS


MODELS = {
    "pytorch": make_torch,
    "keras": make_keras,
    "onnx": make_onnx,
    "transformers": make_transformers,
    "spacy": make_spacy,
}


@pytest.mark.parametrize("flavor", MODELS)
def test_a_model_of_a_run_is_loaded_without_a_word_of_trust(
    git_repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flavor: str
) -> None:
    """Its digests are in git; the copy of its folder that a user keeps is not, and needs trust if it runs code."""
    make: Callable[[], tuple[Any, Any]] = MODELS[flavor]
    model, data = make()
    monkeypatch.chdir(git_repo)
    module: Any = import_module(f"runstone.{flavor}")
    with runstone.start_run():
        made = module.log_model(model, name="m", input_example=data, registered_model_name="net", metadata={"a": 1})
    assert f"runs:/{made.run_id}/m" == made.model_uri
    assert (flavor, "python_function") == made.flavors
    (tmp_path / "kept").mkdir()
    for uri in (made.model_uri, "models:/net/1"):
        found = runstone.pyfunc.load_model(uri)
        assert {"a": 1} == found.metadata.metadata
        answer = found.predict(data)
        assert 2 == len(answer["y"] if flavor == "onnx" else answer)
    loaded = module.load_model(made.model_uri, str(tmp_path / "kept"))
    assert type(model) is type(loaded)
    if flavor in ("pytorch", "keras"):
        with pytest.raises(UntrustedModel):
            module.load_model(str(tmp_path / "kept" / "m"))
    assert type(model) is type(module.load_model(str(tmp_path / "kept" / "m"), allow_pickle=True))
    module.save_model(model, tmp_path / "saved", pip_requirements=["x==1"])
    assert "x==1\n" == (tmp_path / "saved" / "requirements.txt").read_text()
