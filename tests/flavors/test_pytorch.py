"""PyTorch modules: both formats run code when loaded, so neither is loaded on the word of the folder."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runstone.errors import InputMismatch, InvalidModelFolder, UntrustedModel, UsageError
from runstone.flavors import pyfunc
from runstone.flavors import pytorch as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.trust import Trust
from tests.flavors.boosters import edit, requirements_of
from tests.flavors.networks import check_damage, check_missing_library, check_other_version
from tests.flavors.support import ALLOWED, Boom, digests_of
from tests.support import run_python

torch = pytest.importorskip("torch", reason="the extra `pytorch` is not installed")

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
FRAME = pd.DataFrame(X.astype(float), columns=list("abcd"), index=list("vwxyz"))


def make_model() -> Any:
    """Two layers, with a dropout that would change every answer if it were in training."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.9), torch.nn.ReLU(), torch.nn.Linear(8, 2))


def make_class(name: str, **methods: Any) -> Any:
    """A class of modules with these methods."""
    return type(name, (torch.nn.Module,), methods)


def answer_of(model: Any) -> Any:
    """What the model says to `X` when it is not in training."""
    with torch.no_grad():
        return model.eval()(torch.tensor(X)).numpy()


@pytest.mark.parametrize("format_", flavor.FORMATS)
@pytest.mark.parametrize("example", [X, X[:1], FRAME, torch.tensor(X)], ids=["array", "one row", "frame", "tensor"])
def test_a_module_comes_back_and_predicts(tmp_path: Path, format_: str, example: Any) -> None:
    """With the digests that git recorded; a batch of another size than the example's predicts too."""
    model = make_model()
    flavor.save(model, tmp_path / "m", SaveOptions(input_example=example), serialization_format=format_)
    assert [True] * 5 == [module.training for module in model.modules()]  # saving leaves it in training
    loaded = pyfunc.load(tmp_path / "m", trust=Trust(digests_of(tmp_path / "m")))
    given = FRAME if example is FRAME else X
    found = loaded.predict(given)
    np.testing.assert_allclose(answer_of(model), found, rtol=1e-5)
    if example is FRAME:
        assert list("vwxyz") == found.index.tolist()
    assert ["numpy", *(["pandas"] if example is FRAME else []), "torch"] == requirements_of(tmp_path / "m")


def test_the_module_itself_comes_back(tmp_path: Path) -> None:
    """Of its own class, ready to predict, and to be trained further."""
    model = make_model()
    flavor.save(model, tmp_path / "m")
    loaded = flavor.load(tmp_path / "m", trust=ALLOWED, device="cpu", map_location="cpu")
    assert torch.nn.Sequential is type(loaded)
    assert not loaded.training
    assert all(each.requires_grad for each in loaded.parameters())
    np.testing.assert_array_equal(answer_of(model), answer_of(loaded))


@pytest.mark.mlflow
@pytest.mark.parametrize("format_", flavor.FORMATS)
@pytest.mark.parametrize("example", [X, FRAME], ids=["array", "frame"])
def test_mlflow_loads_what_we_save(tmp_path: Path, format_: str, example: Any) -> None:
    """Both its faces, with equal answers, and with our signature."""
    import mlflow.pyfunc
    import mlflow.pytorch

    model = make_model()
    flavor.save(model, tmp_path / "m", SaveOptions(input_example=example), serialization_format=format_)
    again = mlflow.pytorch.load_model(str(tmp_path / "m"))
    with torch.no_grad():
        np.testing.assert_allclose(answer_of(model), again(torch.tensor(X)).numpy(), rtol=1e-5)
    theirs, ours = mlflow.pyfunc.load_model(str(tmp_path / "m")), pyfunc.load(tmp_path / "m", trust=ALLOWED)
    np.testing.assert_array_equal(theirs.predict(example), ours.predict(example))
    assert ours.metadata.signature is not None
    assert ours.metadata.signature.to_dict() == theirs.metadata.signature.to_dict()


@pytest.mark.mlflow
@pytest.mark.parametrize("format_", flavor.FORMATS)
def test_we_load_what_mlflow_saved(tmp_path: Path, format_: str) -> None:
    """In both of its formats, with digests as git would have them."""
    import mlflow.pyfunc
    import mlflow.pytorch

    path = str(tmp_path / "m")
    mlflow.pytorch.save_model(
        make_model().eval(), path, input_example=X, serialization_format=format_, pip_requirements=["torch"]
    )
    trust = Trust(digests_of(tmp_path / "m"))
    np.testing.assert_array_equal(
        mlflow.pyfunc.load_model(path).predict(X), pyfunc.load(tmp_path / "m", trust=trust).predict(X)
    )
    assert isinstance(flavor.load(tmp_path / "m", trust=trust), torch.nn.Module)


def test_a_class_of_a_script_needs_no_script(tmp_path: Path) -> None:
    """A module whose class is in `__main__` loads in a process that has no such class."""
    saving = """
from pathlib import Path
import torch
from runstone.flavors import pytorch

class Twice(torch.nn.Module):
    def forward(self, x):
        return x * 2

pytorch.save(Twice(), Path("m"))
"""
    loading = """
from pathlib import Path
import torch
from runstone.flavors import pytorch
from runstone.flavors.trust import Trust

print(pytorch.load(Path("m"), trust=Trust(allow_pickle=True))(torch.ones(2)).tolist())
"""
    run_python(saving, cwd=tmp_path)
    assert ["cloudpickle", "numpy", "torch"] == requirements_of(tmp_path / "m")
    assert "[2.0, 2.0]\n" == run_python(loading, cwd=tmp_path).stdout


def test_a_class_of_a_project_travels_by_code_paths(tmp_path: Path) -> None:
    """Without it, the missing module is named; with it, the module's code is loaded with the weights."""
    (tmp_path / "my_net.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x + 1\n"
    )
    saving = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
import my_net
from runstone.flavors import pytorch
from runstone.flavors.protocol import SaveOptions

pytorch.save(my_net.Net(), Path("with"), SaveOptions(code_paths=["my_net.py"]))
pytorch.save(my_net.Net(), Path("without"))
"""
    run_python(saving, cwd=tmp_path)
    (tmp_path / "my_net.py").unlink()
    for trust in (ALLOWED, Trust(digests_of(tmp_path / "with"))):
        assert [2.0] == flavor.load(tmp_path / "with", trust=trust)(torch.ones(1)).tolist()
    loading = """
from pathlib import Path
from runstone.errors import InvalidModelFolder
from runstone.flavors import pytorch
from runstone.flavors.trust import Trust

try:
    pytorch.load(Path("without"), trust=Trust(allow_pickle=True))
except InvalidModelFolder as error:
    print(error)
"""
    assert (
        "The model folder without: its model needs the module `my_net`, which is not here. "
        "Install it, or save the model with `code_paths=[...]`.\n" == run_python(loading, cwd=tmp_path).stdout
    )


def test_weights_only_needs_the_classes_named_and_no_trust(tmp_path: Path) -> None:
    """PyTorch's own restricted reading, for folders from anywhere."""
    flavor.save(torch.nn.Sequential(torch.nn.Linear(4, 2)), tmp_path / "m")
    with pytest.raises(UntrustedModel):
        flavor.load(tmp_path / "m", trust=Trust())
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(tmp_path / "m", trust=Trust(), weights_only=True)
    assert (
        "PyTorch does not unpickle `data/model.pth`: Unsupported global: GLOBAL "
        "torch.nn.modules.container.Sequential was not an allowed global" == error.value.problem
    )
    with torch.serialization.safe_globals([torch.nn.Sequential, torch.nn.Linear]):
        loaded = flavor.load(tmp_path / "m", trust=Trust(), weights_only=True)
    assert (5, 2) == loaded(torch.tensor(X)).shape


def test_weights_only_of_an_old_pytorch_is_no_protection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 2.10 a file could get round it, so it needs trust there."""
    flavor.save(torch.nn.Linear(4, 2), tmp_path / "m")
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.9.1+cpu"))
    with torch.serialization.safe_globals([torch.nn.Linear]):
        with pytest.raises(InvalidModelFolder, match=r"Install a newer one: `pip install 'torch>=2\.10'`"):
            flavor.load(tmp_path / "m", trust=Trust(), weights_only=True)
        assert (2,) == flavor.load(tmp_path / "m", trust=ALLOWED, weights_only=True).bias.shape


def test_a_hostile_pickle_does_not_run(tmp_path: Path) -> None:
    """Neither without trust nor with `weights_only`; nor under the name of the pickle module that the folder gives."""
    flavor.save(make_model(), tmp_path / "m")
    torch.save(Boom(tmp_path / "ran"), tmp_path / "m" / "data" / "model.pth")
    (tmp_path / "m" / "data" / "pickle_module_info.txt").write_text("antigravity")
    with pytest.raises(UntrustedModel):
        flavor.load(tmp_path / "m", trust=Trust())
    with pytest.raises(InvalidModelFolder, match="was not an allowed global"):
        flavor.load(tmp_path / "m", trust=Trust(), weights_only=True)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InvalidModelFolder, match="holds a NoneType, and no module"):
        flavor.load(tmp_path / "m", trust=ALLOWED)
    assert (tmp_path / "ran").exists()


def test_an_exported_program_can_run_code_and_so_needs_trust(tmp_path: Path) -> None:
    """A size in `model.pt2` is Python text that PyTorch evaluates: nothing in the archive is a pickle of code."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Flatten(0))
    flavor.save(model, tmp_path / "m", SaveOptions(input_example=X), serialization_format="pt2")
    file = tmp_path / "m" / "data" / "model.pt2"
    hostile = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(hostile, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("models/model.json"):
                code = f"__import__('pathlib').Path('{tmp_path / 'ran'}').touch() or 2"
                data = re.sub(rb'"expr_str": "[^"]*"', f'"expr_str": "{code}"'.encode(), data, count=1)
            target.writestr(name, data)
    file.write_bytes(hostile.getvalue())
    for weights_only in (False, True):
        with pytest.raises(UntrustedModel) as error:
            flavor.load(tmp_path / "m", trust=Trust(), weights_only=weights_only)
        assert "data/model.pt2" == error.value.file
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InvalidModelFolder, match=r"PyTorch cannot load `data/model\.pt2`"):
        flavor.load(tmp_path / "m", trust=ALLOWED)
    assert (tmp_path / "ran").exists()


def test_scripted_modules(tmp_path: Path) -> None:
    """A module of `torch.jit` is saved in its own format under the same name, as MLflow does."""
    scripted = torch.jit.trace(make_model().eval(), torch.tensor(X))
    flavor.save(scripted, tmp_path / "m", SaveOptions(input_example=X))
    loaded = flavor.load(tmp_path / "m", trust=ALLOWED)
    np.testing.assert_allclose(answer_of(make_model()), loaded(torch.tensor(X)).detach().numpy(), rtol=1e-5)
    with pytest.raises(UntrustedModel):
        flavor.load(tmp_path / "m", trust=Trust())


def test_modules_of_several_inputs_and_outputs(tmp_path: Path) -> None:
    """Several inputs are exported, but `pyfunc` has one; several outputs are several arrays, where MLflow fails."""
    add = make_class("Sum", forward=lambda self, a, b: a + b)
    both = make_class("Both", forward=lambda self, x, scale=1.0: {"x": x * scale, "parts": (x, x + 1)})
    example = (torch.tensor(X), torch.tensor(X))
    flavor.save(add(), tmp_path / "sum", SaveOptions(input_example=example), serialization_format="pt2")
    loaded = flavor.load(tmp_path / "sum", trust=ALLOWED, device="cpu")
    np.testing.assert_array_equal(X[:3] * 2, loaded(torch.tensor(X[:3]), torch.tensor(X[:3])).numpy())
    with pytest.raises(InvalidModelFolder, match="it has no flavor `python_function`"):
        pyfunc.load(tmp_path / "sum", trust=ALLOWED)
    flavor.save(both(), tmp_path / "both", SaveOptions(input_example=(X, {"scale": 1.0})))
    found = pyfunc.load(tmp_path / "both", trust=ALLOWED).predict(X, {"scale": 2.0})
    np.testing.assert_array_equal(X * 2, found["x"])
    np.testing.assert_array_equal(X + 1, found["parts"][1])


@pytest.mark.parametrize("data", [[1.0], {"a": 1.0}, np.array(["a"]), pd.DataFrame({"a": ["text"]})])
def test_data_that_make_no_tensor(tmp_path: Path, data: Any) -> None:
    """Lists, maps and texts are bad input."""
    flavor.save(make_model(), tmp_path / "m")
    with pytest.raises(InputMismatch):
        pyfunc.load(tmp_path / "m", trust=ALLOWED).predict(data)


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    """Nothing is left of the folder, and the error says what to do."""

    def refuse(self: Any) -> Any:
        raise TypeError("a lock")

    branches = make_class("Branches", forward=lambda self, x: x * 2 if x.sum() > 0 else x)
    locked = make_class("Locked", __reduce__=refuse)
    options = SaveOptions(input_example=X)
    with pytest.raises(InvalidModelFolder, match=r"torch\.export cannot trace the Branches"):
        flavor.save(branches(), tmp_path / "m", options, serialization_format="pt2")
    with pytest.raises(InvalidModelFolder, match="the Locked cannot be pickled: a lock"):
        flavor.save(locked(), tmp_path / "m")
    with pytest.raises(UsageError, match="needs an `input_example`"):
        flavor.save(make_model(), tmp_path / "m", serialization_format="pt2")
    with pytest.raises(UsageError, match="must be one of pickle, pt2"):
        flavor.save(make_model(), tmp_path / "m", serialization_format="safetensors")
    with pytest.raises(UsageError, match="this is a dict"):
        flavor.save({}, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_device_that_is_none(tmp_path: Path) -> None:
    """The folder may say where it predicts, and an unknown place is named."""
    flavor.save(make_model(), tmp_path / "m")
    with pytest.raises(InvalidModelFolder):
        pyfunc.load(tmp_path / "m", trust=ALLOWED, model_config={"device": "fridge"})
    assert "cpu" == str(flavor.load_pyfunc(tmp_path / "m", trust=ALLOWED, model_config={"device": "cpu"}).device)
    edit(tmp_path / "m", "device: null", "device: fridge")
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load_pyfunc(tmp_path / "m", trust=ALLOWED)
    assert "it is to predict on 'fridge', which is no device" == error.value.problem


@pytest.mark.parametrize("format_", flavor.FORMATS)
def test_damage(tmp_path: Path, format_: str) -> None:
    """Every damage of the weights is an error that names them."""
    flavor.save(make_model(), tmp_path / "m", SaveOptions(input_example=X), serialization_format=format_)
    weights = "data/model.pth" if format_ == "pickle" else "data/model.pt2"
    check_damage("pytorch", tmp_path / "m", weights, "model_data: data")


def test_other_versions_and_none(tmp_path: Path) -> None:
    """A warning that names both; an error that says what to install."""
    flavor.save(make_model(), tmp_path / "m")
    check_missing_library("pytorch", tmp_path / "m", "torch")
    check_missing_library("pytorch", tmp_path / "m", "torch", "load_pyfunc")
    check_other_version("pytorch", tmp_path / "m", "torch", "pytorch_version")
    edit(tmp_path / "m", "pytorch_version: 0.0.1", f"pytorch_version: {flavor.version()}+cu130")
    flavor.load(tmp_path / "m", trust=ALLOWED)  # another build of the same version is no other version
