"""PyTorch modules as model folders, laid out as MLflow does: `data/model.pth`, a pickle of the whole module.

PyTorch has no format for a module that is only data. What `torch.export` writes (`data/model.pt2`) is none either:
reading it evaluates the sizes and runs the guards that the file gives as Python text, and unpickles tensors. So both
are loaded only if git or the caller vouches for them, and the pickle is the default: it gives back the module itself,
to train further too, and every MLflow loads it. safetensors holds weights without the module, which is code as well.
"""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runstone.errors import InputMismatch, InvalidModelFolder, UsageError
from runstone.flavors import environment, mlmodel
from runstone.flavors.checked_files import checked
from runstone.flavors.code import add_code
from runstone.flavors.example import split_params
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.requirements import modules_of_pickle
from runstone.flavors.saving import Weights, check_version, library, save_folder
from runstone.flavors.state_dict import check_weights_only
from runstone.flavors.torch_export import example_tensors, export, on_device, plain_example
from runstone.flavors.trust import Trust

name = "pytorch"

FORMATS = ("pickle", "pt2")
DATA = "data"
_PICKLED, _EXPORTED, _PICKLE_INFO = "model.pth", "model.pt2", "pickle_module_info.txt"


def version() -> str | None:
    """The installed PyTorch; None if there is none."""
    return environment.installed_version("torch")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    serialization_format: str = "pickle",
) -> None:
    """Save a PyTorch module as a model folder, which MLflow loads too.

    Args:
        model: A `torch.nn.Module`, or one made by `torch.jit`.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights. The input example may be a tensor; for `pt2` it is needed, and
            may be a tuple of tensors or arrays, one for each argument of the module.
        serialization_format: `pickle` keeps the module, classes of a script included. `pt2` keeps the graph that
            `torch.export` traces for the example: it needs none of the module's code, cannot be trained, and MLflow
            reads it since version 3.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: An option is not understood, or the model is no module.
        InvalidModelFolder: The folder is not empty, or the module cannot be pickled or exported.
        MissingLibrary: PyTorch or cloudpickle is not installed.
    """
    torch = library("torch", "save a PyTorch module")
    if serialization_format not in FORMATS:
        raise UsageError(
            f"`serialization_format` must be one of {', '.join(FORMATS)}, but is {serialization_format!r}."
        )
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"A PyTorch model is a `torch.nn.Module`, and this is a {type(model).__name__}.")
    example, params = split_params(options.input_example)
    tensors = example_tensors(example)
    if serialization_format == "pt2" and not tensors:
        raise UsageError("`serialization_format='pt2'` needs an `input_example`: an array or tensor, or several.")
    kept = plain_example(example)
    options = replace(options, input_example=kept if params is None else (kept, params))
    takes_one = len(tensors) < 2
    if not takes_one and options.signature is None:
        options = replace(options, signature=False)  # `pyfunc` gives a module one argument, so it would say nothing

    def write(target: Path, code: str | None) -> Weights:
        del code
        (target / DATA).mkdir()
        if serialization_format == "pt2":
            export(model, tensors, target, f"{DATA}/{_EXPORTED}")
        modules = _pickle(torch, model, target) if serialization_format == "pickle" else set()
        return Weights(
            settings={"model_data": DATA, "pytorch_version": str(torch.__version__)},
            requirements=["numpy", "torch"],
            modules=modules,
            pyfunc={
                "loader_module": "mlflow.pytorch",
                "data": DATA,
                "config": {"device": None},
                "pickle_module_name": pickle.__name__,
            }
            if takes_one
            else None,
            predict=(lambda data: _predict_once(torch, model, data)) if takes_one else None,
        )

    save_folder(folder, name, options, write)


def load(
    folder: Path,
    *,
    trust: Trust,
    map_location: Any = None,
    device: Any = None,
    weights_only: bool = False,
) -> Any:
    """The module of a model folder, be it ours or MLflow's, ready to predict.

    Args:
        folder: The model folder.
        trust: Why it may be loaded.
        map_location: Where a pickle's tensors are put while they are read, as `torch.load` has it; `device` if not
            given.
        device: Where the module is moved to.
        weights_only: Read with `torch.load(weights_only=True)`, which builds nothing but tensors, plain values, and
            what you named by `torch.serialization.add_safe_globals`. It needs no trust.

    Raises:
        UntrustedModel: Neither git nor the caller vouches for the weights, and `weights_only` is not said.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, is of another flavor, or needs what is not here.
        MissingLibrary: PyTorch is not installed.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    check_version(folder, "torch", settings.get("pytorch_version"))
    torch = library("torch", "load this model")
    data = f"{settings.get('model_data', DATA)}"
    is_exported = not (folder / data / _PICKLED).is_file() and (folder / data / _EXPORTED).is_file()
    path = f"{data}/{_EXPORTED if is_exported else _PICKLED}"
    if trust.runs_code and settings.get("code"):
        add_code(folder, settings["code"], trust=trust)
    if weights_only and not trust.runs_code:
        check_weights_only(folder)
    place = device if map_location is None else map_location
    runs_code = is_exported or not weights_only
    with checked(folder, path, trust=trust, runs_code=runs_code) as file, _as_folder_error(folder, path):
        if is_exported:
            return on_device(torch.export.load(file), device).module()
        if runs_code and _is_script(file):
            model = torch.jit.load(file, map_location=place)
        else:
            model = torch.load(file, map_location=place, weights_only=weights_only)
    if not isinstance(model, torch.nn.Module):
        raise InvalidModelFolder(folder, f"`{path}` holds a {type(model).__name__}, and no module")
    return (model if device is None else model.to(device)).eval()


@dataclass(frozen=True, slots=True)
class PytorchPredictor:
    """A module behind `predict`."""

    raw: Any
    device: Any = "cpu"

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """Predict.

        Args:
            data: A DataFrame of numbers, which become float32, or an array as the module takes it.
            params: Arguments of the module's `forward`, beside the data.

        Returns:
            An array `(n_samples, …)`, or as many arrays as the module gives tensors; of a DataFrame a DataFrame.

        Raises:
            InputMismatch: The data are neither a DataFrame of numbers nor an array of them.
        """
        import numpy
        import torch

        is_frame = hasattr(data, "columns")
        if not is_frame and not isinstance(data, numpy.ndarray):
            raise InputMismatch(f"the model takes a DataFrame or an array, and this is a {type(data).__name__}")
        try:
            array = data.to_numpy(dtype=numpy.float32) if is_frame else data
            tensor = torch.from_numpy(numpy.require(array, requirements="W")).to(self.device)
        except (TypeError, ValueError) as error:
            raise InputMismatch(f"PyTorch makes no tensor of it: {error}") from None
        with torch.no_grad():
            found = _to_numpy(self.raw(tensor, **params))
        if not is_frame or not isinstance(found, numpy.ndarray) or found.ndim > 2:
            return found
        import pandas

        return pandas.DataFrame(found, index=data.index)


def load_pyfunc(folder: Path, *, trust: Trust, model_config: Mapping[str, Any] | None = None) -> PytorchPredictor:
    """The module behind `predict`, on the GPU if there is one and `device` does not say otherwise; raises as `load`."""
    described = mlmodel.read(folder, trust=trust)
    config = flavor_settings(folder, described, mlmodel.PYFUNC).get("config") if model_config is None else model_config
    torch = library("torch", "load this model", f"torch{_pinned(described)}")
    wanted = config.get("device") if isinstance(config, Mapping) else None
    try:
        device = torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (RuntimeError, TypeError):
        raise InvalidModelFolder(folder, f"it is to predict on {wanted!r}, which is no device") from None
    return PytorchPredictor(load(folder, trust=trust, device=device), device)


def _pinned(described: mlmodel.MLmodel) -> str:
    known = described.flavors.get(name, {}).get("pytorch_version")
    return f"=={known.partition('+')[0]}" if isinstance(known, str) and known.isprintable() else ""


def _to_numpy(found: Any) -> Any:
    if hasattr(found, "detach"):
        return found.detach().cpu().numpy()
    if isinstance(found, dict):
        return {key: _to_numpy(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_to_numpy(value) for value in found]
    return found


def _predict_once(torch: Any, model: Any, data: Any) -> Any:
    """Predict as after loading, and leave the model, which may be in training, as it was."""
    modes = [(module, module.training) for module in model.modules()]
    device = next((each.device for each in model.parameters()), torch.device("cpu"))
    model.eval()
    try:
        return PytorchPredictor(model, device).predict(data, {})
    finally:
        for module, mode in modes:
            module.training = mode


def _pickle(torch: Any, model: Any, target: Path) -> set[str]:
    """Write the module, and tell the Python modules that its classes come from."""
    # MLflow imports the module that is named here and unpickles with it. Plain pickle reads what cloudpickle wrote.
    (target / DATA / _PICKLE_INFO).write_text(pickle.__name__, encoding="utf-8")
    file = target / DATA / _PICKLED
    if isinstance(model, torch.jit.ScriptModule):
        model.save(str(file))
        return set()
    cloudpickle = library("cloudpickle", "save a PyTorch module")
    try:
        torch.save(model, file, pickle_module=_pickler(cloudpickle))
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError) as error:
        raise InvalidModelFolder(
            target,
            f"the {type(model).__name__} cannot be pickled: {error}",
            next_step="Nothing was written. Locks, open files and connections must be left out by `__getstate__`.",
        ) from error
    with zipfile.ZipFile(file) as archive:
        pickled = next(each for each in archive.namelist() if each.endswith("data.pkl"))
        return modules_of_pickle(BytesIO(archive.read(pickled)))


def _pickler(cloudpickle: Any) -> SimpleNamespace:
    """Cloudpickle as `torch.save` wants a pickle module: it subclasses `Pickler`, which there is the plain one."""
    return SimpleNamespace(__name__="cloudpickle", Pickler=cloudpickle.CloudPickler)


def _is_script(file: Path) -> bool:
    """Whether it is a module of `torch.jit`, and no pickle."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(each.endswith("/constants.pkl") for each in archive.namelist())
    except zipfile.BadZipFile:
        return False  # as PyTorch wrote it before 1.6, or nothing of PyTorch's


@contextmanager
def _as_folder_error(folder: Path, path: str) -> Iterator[None]:
    """What PyTorch says of a file that it cannot read, as an error of the folder."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InvalidModelFolder(
            folder,
            f"its model needs the module `{error.name}`, which is not here",
            next_step="Install it, or save the model with `code_paths=[...]`.",
        ) from error
    except pickle.UnpicklingError as error:
        _, _, refused = f"{error}".partition("WeightsUnpickler error: ")
        why = (refused or f"{error}").partition("\n")[0].partition(" by default")[0]
        raise InvalidModelFolder(
            folder,
            f"PyTorch does not unpickle `{path}`: {why}",
            next_step="With `weights_only=True`, name the module's classes first: "
            "`torch.serialization.add_safe_globals([...])`; or load the model from where it was tracked.",
        ) from error
    except Exception as error:  # damaged archives and pickles raise errors of every class
        first = f"{error}".partition("\n")[0].rstrip(".") or type(error).__name__
        raise InvalidModelFolder(folder, f"PyTorch cannot load `{path}`: {first}") from error
