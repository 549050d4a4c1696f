"""scikit-learn estimators and pipelines as model folders.

The default format is cloudpickle, because it holds every estimator, the user's own classes included. Loading
it runs code, so it is loaded only when git recorded its digest or the caller vouches for it (see `trust`).
"""

import pickle
import shutil
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from runstone.errors import InvalidModelFolder, MissingLibrary, UsageError
from runstone.flavors import environment, mlmodel
from runstone.flavors.code import add_code, copy_code
from runstone.flavors.example import split_params, write_example
from runstone.flavors.mlmodel import MLmodel, flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.signature import ModelSignature, infer_signature
from runstone.flavors.trust import Trust

name = "sklearn"

FORMATS = ("cloudpickle", "pickle", "skops")
PREDICT_FUNCTIONS = ("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba", "score")
_PROTOCOL = 5  # every Python that we run on reads it, and arrays are written in half the time of protocol 4


def version() -> str | None:
    """The installed scikit-learn; None if there is none."""
    return environment.installed_version("scikit-learn")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    serialization_format: str = "cloudpickle",
    pyfunc_predict_fn: str = "predict",
    skops_trusted_types: Sequence[str] | None = None,
) -> None:
    """Save an estimator or pipeline as a model folder, which MLflow loads too.

    Args:
        model: A scikit-learn estimator, or anything that pickles and predicts like one.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights.
        serialization_format: `cloudpickle`, `pickle`, or `skops`, which needs no trust to be loaded.
        pyfunc_predict_fn: The method that `pyfunc` predicts with; without it there is no python_function.
        skops_trusted_types: Types beyond scikit-learn's own that skops may load.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: An option is not understood.
        InvalidModelFolder: The folder is not empty, or the model cannot be pickled; then nothing is left of it.
    """
    if serialization_format not in FORMATS:
        raise UsageError(
            f"`serialization_format` must be one of {', '.join(FORMATS)}, but is {serialization_format!r}."
        )
    if pyfunc_predict_fn not in PREDICT_FUNCTIONS:
        raise UsageError(
            f"`pyfunc_predict_fn` must be one of {', '.join(PREDICT_FUNCTIONS)}, but is {pyfunc_predict_fn!r}."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidModelFolder(folder, "it exists and is not empty", next_step="Save to a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _write(model, folder, options, serialization_format, pyfunc_predict_fn, skops_trusted_types)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # it was new or empty: nothing but ours is in it
        raise


def load(folder: Path, *, trust: Trust) -> Any:
    """The estimator or pipeline of a model folder, be it ours or MLflow's.

    Raises:
        UntrustedModel: Its weights run code when loaded, and neither git nor the caller vouches for them.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or is of another flavor.
        MissingLibrary: The library it was saved with is not installed.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    saved_with = settings.get("sklearn_version")
    installed = version()
    if installed is None:
        raise MissingLibrary("scikit-learn", "load this model", "scikit-learn")
    if isinstance(saved_with, str) and saved_with.isprintable() and saved_with != installed:
        warnings.warn(
            f"The model in {folder} was saved with scikit-learn {saved_with}, and {installed} is installed; it may "
            f"fail or predict otherwise. Install the other: `pip install scikit-learn=={saved_with}`",
            stacklevel=2,
        )
    weights, format_ = settings.get("pickled_model"), settings.get("serialization_format", "pickle")
    if format_ not in FORMATS:
        raise InvalidModelFolder(folder, f"its serialization format {format_!r} is not known")
    if format_ == "skops":
        skops = _library("skops.io", "load this model")
        # skops itself refuses types that are not scikit-learn's; which others are good, only a trusted file may say.
        types = settings.get("skops_trusted_types") if trust.runs_code else None
        data = trust.read(folder, weights)
        try:
            return skops.loads(data, trusted=types)
        except skops.exceptions.UntrustedTypesFoundException as error:
            raise InvalidModelFolder(folder, f"{error}".rstrip("."), next_step=_VOUCH) from None
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise InvalidModelFolder(folder, f"`{weights}` is no skops file: {error}") from None
    data = trust.read_code(folder, weights)
    if format_ == "cloudpickle":
        _library("cloudpickle", "load this model")
    if settings.get("code"):
        add_code(folder, settings["code"], trust=trust)
    try:
        return pickle.loads(data)
    except ModuleNotFoundError as error:
        raise InvalidModelFolder(
            folder,
            f"its model needs the module `{error.name}`, which is not here",
            next_step="Install it, or save the model with `code_paths=[...]`.",
        ) from error
    except AttributeError as error:
        raise InvalidModelFolder(
            folder,
            f"its model needs what is not here: {error}",
            next_step="Save it with `serialization_format='cloudpickle'`, which keeps classes of a script.",
        ) from error
    except (pickle.UnpicklingError, EOFError) as error:
        raise InvalidModelFolder(folder, f"`{weights}` is no pickle: {error}") from None


_VOUCH = "If you trust whoever made it, say so: `allow_pickle=True`"


@dataclass(frozen=True, slots=True)
class SklearnPredictor:
    """An estimator behind `predict`."""

    raw: Any
    function: str = "predict"

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """What the estimator's method answers; scikit-learn's methods take no params, so none are passed."""
        return getattr(self.raw, self.function)(data)


def load_pyfunc(folder: Path, *, trust: Trust) -> SklearnPredictor:
    """The estimator behind `predict`, or behind the method it was saved to predict with; raises as `load`."""
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), mlmodel.PYFUNC)
    function = settings.get("predict_fn", "predict")
    if function not in PREDICT_FUNCTIONS:
        raise InvalidModelFolder(folder, f"it is to predict with {function!r}, which is no way to predict")
    return SklearnPredictor(load(folder, trust=trust), function)


def _write(
    model: Any, folder: Path, options: SaveOptions, format_: str, predict_fn: str, types: Sequence[str] | None
) -> None:
    code = copy_code(folder, options.code_paths)
    weights = "model.skops" if format_ == "skops" else "model.pkl"
    _dump(model, folder, weights, format_, types)
    example_info = None
    if options.input_example is not None:
        example_info = write_example(folder, options.input_example)
    signature = _signature(model, options, predict_fn)
    flavors: dict[str, dict[str, Any]] = {
        name: {
            "code": code,
            "pickled_model": weights,
            "serialization_format": format_,
            "sklearn_version": version(),
            "skops_trusted_types": None if types is None else list(types),
        }
    }
    if hasattr(model, predict_fn):
        flavors[mlmodel.PYFUNC] = mlmodel.pyfunc_settings(
            loader_module="mlflow.sklearn", model_path=weights, predict_fn=predict_fn, code=code
        )
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    mlmodel.write(
        folder,
        MLmodel(
            flavors=flavors,
            signature=signature,
            run_id=options.run_id,
            artifact_path=options.artifact_path,
            saved_input_example_info=example_info,
            metadata=options.metadata,
            model_size_bytes=size,
        ),
    )
    needed = ["scikit-learn", "numpy", "scipy"] + ([] if format_ == "pickle" else [format_])
    if signature and signature.inputs and not signature.inputs.is_tensor_spec():
        needed.append("pandas")
    environment.write_environment(folder, environment.pin(sorted(needed)), options)


def _dump(model: Any, folder: Path, weights: str, format_: str, types: Sequence[str] | None) -> None:
    if format_ == "skops":
        skops = _library("skops.io", "save a model so")
        data = skops.dumps(model)
        unknown = set(skops.get_untrusted_types(data=data)) - set(types or ())
        if unknown:
            raise UsageError(
                f"skops would refuse to load this model, since it holds {', '.join(sorted(unknown))}. "
                f"If these are safe to load: `skops_trusted_types={sorted(unknown)}`"
            )
        (folder / weights).write_bytes(data)
        return
    library: ModuleType = pickle if format_ == "pickle" else _library("cloudpickle", "save a model")
    try:
        with (folder / weights).open("wb") as stream:
            library.dump(model, stream, protocol=_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InvalidModelFolder(
            folder,
            f"the {type(model).__name__} cannot be saved as {format_}: {error}",
            next_step="Nothing was written. `serialization_format='cloudpickle'` holds the most; locks, open files and "
            "connections must be left out by `__getstate__`.",
        ) from error


def _signature(model: Any, options: SaveOptions, predict_fn: str) -> ModelSignature | None:
    if options.signature is not None:
        return options.signature or None
    if options.input_example is None:
        return None
    data, params = split_params(options.input_example)
    output = None
    try:
        output = getattr(model, predict_fn)(data)
    except Exception as error:
        warnings.warn(
            f"The model could not predict for its own input example, so its signature says nothing of its output: "
            f"{error!r}",
            stacklevel=4,
        )
    return infer_signature(data, output, params)


def _library(module: str, purpose: str) -> Any:
    """Import what is optional; the name is one of ours, never one from a model folder."""
    from importlib import import_module

    library = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise MissingLibrary(library, purpose, library) from None
