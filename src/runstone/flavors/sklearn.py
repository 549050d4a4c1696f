"""scikit-learn estimators and pipelines as model folders; see `estimator` for their formats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import environment, estimator, mlmodel
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, check_version, save_folder
from runstone.flavors.trust import Trust

name = "sklearn"

PREDICT_FUNCTIONS = ("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba", "score")


def version() -> str | None:
    """The installed scikit-learn; None if there is none."""
    return environment.installed_version("scikit-learn")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    serialization_format: str | None = None,
    pyfunc_predict_fn: str = "predict",
    skops_trusted_types: Sequence[str] | None = None,
) -> None:
    """Save an estimator or pipeline as a model folder, which MLflow loads too.

    Args:
        model: A scikit-learn estimator, or anything that pickles and predicts like one.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights.
        serialization_format: `skops`, `cloudpickle` or `pickle`; None chooses the safest that can hold the model.
        pyfunc_predict_fn: The method that `pyfunc` predicts with; without it there is no python_function.
        skops_trusted_types: Types of your own that you reviewed and skops may load.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: An option is not understood.
        InvalidModelFolder: The folder is not empty, or the model cannot be pickled; then nothing is left of it.
    """
    estimator.check_format(serialization_format)
    if pyfunc_predict_fn not in PREDICT_FUNCTIONS:
        raise UsageError(
            f"`pyfunc_predict_fn` must be one of {', '.join(PREDICT_FUNCTIONS)}, but is {pyfunc_predict_fn!r}."
        )

    def write(target: Path, code: str | None) -> Weights:
        del code
        stored = estimator.dump(model, target, serialization_format, skops_trusted_types)
        predict = getattr(model, pyfunc_predict_fn, None)
        how = {"loader_module": "mlflow.sklearn", "model_path": stored.file, "predict_fn": pyfunc_predict_fn}
        return Weights(
            settings={
                "pickled_model": stored.file,
                "serialization_format": stored.format,
                "sklearn_version": version(),
                "skops_trusted_types": stored.types,
            },
            requirements=["scikit-learn", "numpy", "scipy"],
            modules=stored.modules,
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
    return estimator.load(folder, settings.get("pickled_model"), settings, default="pickle", trust=trust)


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
