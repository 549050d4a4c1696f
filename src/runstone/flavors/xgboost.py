"""XGBoost models as model folders: boosters and the estimators around them, in XGBoost's own UBJSON or JSON.

Neither format runs code when it is read, so they need no trust. But XGBoost checks little of what it reads: a file that
somebody damaged on purpose may end the process, so serve what git recorded, whose digest is held against it first.
"""

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import environment, mlmodel
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, check_version, library, save_folder
from runstone.flavors.trust import Trust

name = "xgboost"

FORMATS = ("ubj", "json", "xgb")

_BOOSTER = "xgboost.core.Booster"
_ESTIMATORS = ("XGBModel", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")
CLASSES = {_BOOSTER: "Booster"} | {f"xgboost.sklearn.{kind}": kind for kind in _ESTIMATORS}
"""What a model can be, as the MLmodel file names it, and its name in XGBoost."""


def version() -> str | None:
    """The installed XGBoost; None if there is none."""
    return environment.installed_version("xgboost")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    model_format: str = "ubj",
) -> None:
    """Save a booster or estimator as a model folder, which MLflow loads too.

    Args:
        model: A `Booster`, or one of XGBoost's estimators.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights.
        model_format: `ubj`, `json`, or `xgb`: MLflow 2's default, which XGBoost writes as UBJSON too.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: The model is none of XGBoost's own, or an option is not understood.
        InvalidModelFolder: The folder is not empty, or the model is not fitted; then nothing is left of it.
    """
    if model_format not in FORMATS:
        raise UsageError(f"`model_format` must be one of {', '.join(FORMATS)}, but is {model_format!r}.")
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if kind not in CLASSES:
        raise UsageError(
            f"{kind} is none of XGBoost's own models, so its format would lose the class. "
            "Save it with `runstone.sklearn`, which keeps classes of your own."
        )

    def write(target: Path, code: str | None) -> Weights:
        weights = f"model.{model_format}"
        try:
            written = target / weights.replace(".xgb", ".ubj")  # XGBoost warns of a suffix that says no format
            model.save_model(written)
            written.rename(target / weights)
        except Exception as error:  # scikit-learn's NotFittedError, XGBoostError, TypeError: by what is wrong with it
            raise InvalidModelFolder(
                target, f"the {type(model).__name__} cannot be saved: {error}", next_step="Fit it first."
            ) from error
        return Weights(
            settings={
                "data": weights,
                "model_class": kind,
                "model_format": model_format,
                "xgb_version": version(),
            },
            requirements=["xgboost", "numpy", "scipy", *([] if kind == _BOOSTER else ["scikit-learn"])],
            pyfunc={"loader_module": "mlflow.xgboost", "data": weights},
            predict=lambda data: XGBoostPredictor(model).predict(data, {}),
        )

    save_folder(folder, name, options, write)


def load(folder: Path, *, trust: Trust) -> Any:
    """The booster or estimator of a model folder, be it ours or MLflow's.

    Raises:
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or is of another flavor.
        MissingLibrary: XGBoost is not installed, or scikit-learn for one of its estimators.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    check_version(folder, "xgboost", settings.get("xgb_version"))
    kind = settings.get("model_class", _BOOSTER)  # MLflow before 1.22 saved boosters only, and did not say so
    if kind not in CLASSES:
        raise InvalidModelFolder(folder, f"its model class {kind!r} is none of XGBoost's own")
    weights = settings.get("data")
    data = trust.read(folder, weights)
    if not (data.startswith(b"{") and data.rstrip().endswith(b"}")):
        # Of nothing at all, and of a UBJSON file that was cut off, XGBoost dies with the whole process.
        raise InvalidModelFolder(folder, f"`{weights}` is cut off, or no model of XGBoost")
    xgboost = library("xgboost", "load this model")
    if kind != _BOOSTER:
        library("sklearn", "load this model", "scikit-learn")
    model = getattr(xgboost, CLASSES[kind])()
    try:
        model.load_model(bytearray(data))
    except (xgboost.core.XGBoostError, TypeError, ValueError, KeyError) as error:
        why = f"{error}".splitlines()[0] if f"{error}" else repr(error)
        raise InvalidModelFolder(folder, f"`{weights}` holds no {CLASSES[kind]} of XGBoost: {why}") from None
    return model


@dataclass(frozen=True, slots=True)
class XGBoostPredictor:
    """A booster or estimator behind `predict`."""

    raw: Any

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """What the model predicts; a booster gets its data as a `DMatrix`.

        Args:
            data: As the signature lets through: a DataFrame, an array, or a sparse matrix.
            params: Arguments of XGBoost's own `predict`, as `output_margin` or `iteration_range`.

        Warns:
            UserWarning: Its `predict` has no such argument; it is left out, as MLflow does.
        """
        xgboost = library("xgboost", "predict with this model")
        known = inspect.signature(self.raw.predict).parameters
        left_out = sorted(set(params) - set(known))
        if left_out:
            warnings.warn(f"XGBoost's `predict` does not take {', '.join(left_out)}: left out.", stacklevel=3)
        matrix = xgboost.DMatrix(data) if isinstance(self.raw, xgboost.Booster) else data
        return self.raw.predict(matrix, **{key: value for key, value in params.items() if key in known})


def load_pyfunc(folder: Path, *, trust: Trust) -> XGBoostPredictor:
    """The model behind `predict`; raises as `load`."""
    return XGBoostPredictor(load(folder, trust=trust))
