"""scikit-learn estimators and pipelines as model folders.

The default format is cloudpickle, because it holds every estimator, the user's own classes included. Loading
it runs code, so it is loaded only when git recorded its digest or the caller vouches for it (see `trust`).
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import environment, mlmodel, pickled
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, check_version, library, save_folder
from runstone.flavors.trust import Trust

name = "sklearn"

FORMATS = (*pickled.FORMATS, "skops")
PREDICT_FUNCTIONS = ("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba", "score")


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

    def write(target: Path, code: str | None) -> Weights:
        del code
        weights = "model.skops" if serialization_format == "skops" else "model.pkl"
        if serialization_format == "skops":
            _dump_skops(model, target / weights, skops_trusted_types)
        else:
            pickled.dump(model, target, weights, serialization_format)
        predict = getattr(model, pyfunc_predict_fn, None)
        how = {"loader_module": "mlflow.sklearn", "model_path": weights, "predict_fn": pyfunc_predict_fn}
        return Weights(
            settings={
                "pickled_model": weights,
                "serialization_format": serialization_format,
                "sklearn_version": version(),
                "skops_trusted_types": None if skops_trusted_types is None else list(skops_trusted_types),
            },
            requirements=[
                "scikit-learn",
                "numpy",
                "scipy",
                *([] if serialization_format == "pickle" else [serialization_format]),
            ],
            pyfunc=None if predict is None else how,
            predict=predict,
        )

    save_folder(folder, name, options, write)


def load(folder: Path, *, trust: Trust) -> Any:
    """The estimator or pipeline of a model folder, be it ours or MLflow's.

    Raises:
        UntrustedModel: Its weights run code when loaded, and neither git nor the caller vouches for them.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or is of another flavor.
        MissingLibrary: The library it was saved with is not installed.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    check_version(folder, "scikit-learn", settings.get("sklearn_version"))
    weights, format_ = settings.get("pickled_model"), settings.get("serialization_format", "pickle")
    if format_ not in FORMATS:
        raise InvalidModelFolder(folder, f"its serialization format {format_!r} is not known")
    if format_ == "skops":
        skops = library("skops.io", "load this model")
        # skops itself refuses types that are not scikit-learn's; which others are good, only a trusted file may say.
        types = settings.get("skops_trusted_types") if trust.runs_code else None
        data = trust.read(folder, weights)
        try:
            return skops.loads(data, trusted=types)
        except skops.exceptions.UntrustedTypesFoundException as error:
            raise InvalidModelFolder(folder, f"{error}".rstrip("."), next_step=_VOUCH) from None
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise InvalidModelFolder(folder, f"`{weights}` is no skops file: {error}") from None
    return pickled.load(folder, weights, format_, code=settings.get("code"), trust=trust)


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


def _dump_skops(model: Any, file: Path, types: Sequence[str] | None) -> None:
    skops = library("skops.io", "save a model so", "skops")
    data = skops.dumps(model)
    unknown = set(skops.get_untrusted_types(data=data)) - set(types or ())
    if unknown:
        raise UsageError(
            f"skops would refuse to load this model, since it holds {', '.join(sorted(unknown))}. "
            f"If these are safe to load: `skops_trusted_types={sorted(unknown)}`"
        )
    file.write_bytes(data)
