"""Keras 3 models as model folders, in Keras' own format `.keras`: JSON for the layers and HDF5 for the weights.

The JSON names classes to build. Those of Keras' own layers are data, and such a model is loaded from anywhere; a
Lambda layer, another library's module, a function or a class of the user's own is code, and needs git or the caller
to vouch for it. Keras' `safe_mode` alone was got round more than once, so what the file names is looked at before
Keras sees it.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from runstone.errors import InputMismatch, InvalidModelFolder, MissingLibrary, UntrustedModel, UsageError
from runstone.flavors import environment, mlmodel
from runstone.flavors.checked_files import checked
from runstone.flavors.code import add_code, own_modules
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, check_version, library, save_folder
from runstone.flavors.trust import Trust

name = "keras"

DATA = "data"
WEIGHTS = "model.keras"

_NOTHING = "Nothing was written. Layers of your own must say by `get_config` how to make them again."
_TENSORFLOW = "tensorflow"  # MLflow's other flavor for Keras models
_MAX_CONFIG = 64 * 1024**2
_VALUES = frozenset(
    {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__", "__tuple__"}
)

_CODE = frozenset({"FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper", "__lambda__", "function"})
"""What is code although Keras has it: functions, and layers that hold another library's pickles and programs."""


def version() -> str | None:
    """The installed Keras; None if there is none."""
    return environment.installed_version("keras")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    save_model_kwargs: Mapping[str, Any] | None = None,
) -> None:
    """Save a Keras model as a model folder, which MLflow loads too.

    Args:
        model: A `keras.Model`.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights.
        save_model_kwargs: For `keras.Model.save`, as `include_optimizer=False`.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: The model is no Keras model.
        InvalidModelFolder: The folder is not empty, or Keras cannot save the model; then nothing is left of it.
        MissingLibrary: Keras, or the library that it computes with, is not installed.
    """
    keras = _keras("save a Keras model")
    if not isinstance(model, keras.Model):
        raise UsageError(f"A Keras model is a `keras.Model`, and this is a {type(model).__name__}.")

    def write(target: Path, code: str | None) -> Weights:
        del code
        (target / DATA).mkdir()
        (target / DATA / "keras_module.txt").write_text("keras", encoding="utf-8")  # MLflow reads it
        try:
            model.save(target / DATA / WEIGHTS, **(save_model_kwargs or {}))
        except (ValueError, TypeError, NotImplementedError) as error:
            raise InvalidModelFolder(target, f"Keras cannot save the model: {error}", next_step=_NOTHING) from error
        backend = keras.backend.backend()
        return Weights(
            settings={
                "data": DATA,
                "keras_backend": backend,
                "keras_version": keras.__version__,
                "save_exported_model": False,
            },
            requirements=["keras", "numpy", backend],
            modules={type(part).__module__ for part in model.layers},
            pyfunc={"loader_module": "mlflow.keras"},
            predict=lambda data: KerasPredictor(model).predict(data, {}),
        )

    save_folder(folder, name, options, write)


def load(folder: Path, *, trust: Trust, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The `keras.Model` of a model folder, be it ours or MLflow's (also of its flavor `tensorflow`, if in `.keras`).

    Args:
        folder: The model folder.
        trust: Why it may be loaded.
        custom_objects: Classes and functions of your own that the model is made of, by name.

    Raises:
        UntrustedModel: It holds code, or classes that are not Keras' own, and neither git nor the caller vouches.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, is of another flavor, or was exported for TensorFlow.
        MissingLibrary: Keras, or the library that it computes with, is not installed.
    """
    described = mlmodel.read(folder, trust=trust)
    is_tensorflow = name not in described.flavors and _TENSORFLOW in described.flavors
    settings = flavor_settings(folder, described, _TENSORFLOW if is_tensorflow else name)
    if settings.get("save_exported_model") or (is_tensorflow and settings.get("save_format", "h5") != "keras"):
        raise InvalidModelFolder(
            folder,
            "it was exported for TensorFlow, and is no Keras model any more",
            next_step="Save the model itself: `runstone.keras.save_model(model, path)`",
        )
    if not is_tensorflow:  # MLflow gives TensorFlow's version there
        check_version(folder, "keras", settings.get("keras_version"))
    keras = _keras("load this model", settings.get("keras_backend"))
    data = settings.get("data", "model")
    path = f"{data}/{WEIGHTS}" if (folder / f"{data}" / WEIGHTS).is_file() else f"{data}.keras"
    with checked(folder, path, trust=trust) as file:
        foreign = [each for each in _named(_read_config(folder, path, file)) if not _is_known(each)]
        if foreign and not trust.runs_code:
            raise UntrustedModel(folder, path)
        try:
            if foreign and settings.get("code"):
                add_code(folder, settings["code"], trust=trust)
                own = own_modules(folder, settings["code"])
                for module in {f"{part.get('module')}" for part in foreign}:
                    if module.partition(".")[0] in own:
                        import_module(module)  # Keras finds no class that is not yet there
            return keras.saving.load_model(file, custom_objects=custom_objects, safe_mode=not foreign)
        except (ValueError, TypeError, KeyError, OSError, ModuleNotFoundError) as error:
            raise InvalidModelFolder(
                folder,
                f"Keras cannot load `{path}`: {error}",
                next_step="If the model is made of classes of your own, give them as `custom_objects={...}`, or save "
                "it with `code_paths=[...]`.",
            ) from error


@dataclass(frozen=True, slots=True)
class KerasPredictor:
    """A Keras model behind `predict`."""

    raw: Any

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """Predict.

        Args:
            data: A DataFrame of numbers, an array, or a list or map of arrays if the model has several inputs.
            params: None are passed on.

        Returns:
            An array, or a list or map of them if the model has several outputs; of a DataFrame a DataFrame.

        Raises:
            InputMismatch: The data are not what the model takes.
        """
        is_frame = hasattr(data, "columns")
        try:
            found = self.raw.predict(data.to_numpy() if is_frame else data, verbose=0)
        except (ValueError, TypeError) as error:
            raise InputMismatch(f"Keras refuses it: {error}") from None
        if not is_frame:
            return found
        import pandas

        return pandas.DataFrame(found, index=data.index)


def load_pyfunc(folder: Path, *, trust: Trust) -> KerasPredictor:
    """The model behind `predict`; raises as `load`."""
    return KerasPredictor(load(folder, trust=trust))


def _keras(purpose: str, saved_with: object = None) -> Any:
    """Keras, with whichever of its backends the user chose."""
    try:
        return library("keras", purpose)
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "tensorflow", "torch"):
            raise
        hint = f", which KERAS_BACKEND chose; the model was saved with {saved_with}" if saved_with else ""
        raise MissingLibrary(error.name, f"{purpose} with Keras{hint}", error.name) from None


def _read_config(folder: Path, path: str, file: Path) -> Any:
    try:
        with zipfile.ZipFile(file) as archive, archive.open("config.json") as stream:
            text = stream.read(_MAX_CONFIG + 1)
        if len(text) > _MAX_CONFIG:
            raise InvalidModelFolder(folder, f"in `{path}`, `config.json` is larger than {_MAX_CONFIG // 1024**2} MiB")
        return json.loads(text)
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, RecursionError) as error:
        raise InvalidModelFolder(folder, f"`{path}` is no Keras file: {error}") from None


def _named(config: Any) -> Iterator[Mapping[str, Any]]:
    """Everything that the file has Keras build."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _is_known(part: Mapping[str, Any]) -> bool:
    """Whether it is a class of Keras' own, or a plain value; functions, even Keras' own, can do things when called."""
    kind, module, registered = part["class_name"], part.get("module"), part.get("registered_name")
    if not isinstance(kind, str) or kind in _CODE:
        return False
    config = part.get("config")
    if isinstance(config, dict) and isinstance(config.get("vocabulary"), str):
        return False  # a file anywhere on this machine, that the model would give away
    if kind in _VALUES:
        return True
    is_class = kind[:1].isupper() and kind.isidentifier()
    is_keras = isinstance(module, str) and (module == "keras" or module.startswith("keras."))
    return is_class and is_keras and registered in (None, kind)
