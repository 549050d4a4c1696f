"""CatBoost models as model folders, in CatBoost's own binary format or JSON.

Neither format runs code when it is read, so they need no trust. But CatBoost checks little of what it reads: a file
that somebody damaged on purpose may end the process, so serve what git recorded, whose digest is held against it first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import environment, mlmodel
from runstone.flavors.checked_files import checked
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, check_version, library, save_folder
from runstone.flavors.trust import Trust

name = "catboost"

FORMATS = ("cbm", "json")
CLASSES = ("CatBoost", "CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor")
_WEIGHTS = "model.cb"


def version() -> str | None:
    """The installed CatBoost; None if there is none."""
    return environment.installed_version("catboost")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    format: str = "cbm",  # CatBoost's own name for it, as MLflow passes it on
) -> None:
    """Save a CatBoost model as a model folder, which MLflow loads too.

    Args:
        model: A fitted `CatBoost`, `CatBoostClassifier`, `CatBoostRanker` or `CatBoostRegressor`.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights.
        format: `cbm`, or `json`, which holds no categorical features.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: The model is none of CatBoost's own, or an option is not understood.
        InvalidModelFolder: The folder is not empty, or the model is not fitted; then nothing is left of it.
    """
    if format not in FORMATS:
        raise UsageError(f"`format` must be one of {', '.join(FORMATS)}, but is {format!r}.")
    kind = type(model).__qualname__
    if type(model).__module__ != "catboost.core" or kind not in CLASSES:
        raise UsageError(
            f"{type(model).__module__}.{kind} is none of CatBoost's own models, so its format would lose the class. "
            "Save it with `runstone.sklearn`, which keeps classes of your own."
        )

    def write(target: Path, code: str | None) -> Weights:
        try:
            model.save_model(str(target / _WEIGHTS), format=format)
        except Exception as error:  # CatBoostError, or what the library underneath it raises
            raise InvalidModelFolder(
                target, f"the {kind} cannot be saved: {error}".rstrip(". "), next_step="Fit it first."
            ) from error
        return Weights(
            settings={"catboost_version": version(), "data": _WEIGHTS, "model_type": kind, "save_format": format},
            requirements=["catboost", "numpy"],
            pyfunc={"loader_module": "mlflow.catboost", "data": _WEIGHTS},
            predict=model.predict,
        )

    save_folder(folder, name, options, write)


def load(folder: Path, *, trust: Trust) -> Any:
    """The model of a model folder, be it ours or MLflow's.

    Raises:
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or is of another flavor.
        MissingLibrary: CatBoost is not installed.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    check_version(folder, "catboost", settings.get("catboost_version"))
    kind, format_ = settings.get("model_type"), settings.get("save_format", "cbm")
    if kind not in CLASSES:
        raise InvalidModelFolder(folder, f"its model type {kind!r} is none of CatBoost's own")
    if format_ not in FORMATS:
        raise InvalidModelFolder(folder, f"its format {format_!r} is not known")
    catboost = library("catboost", "load this model")
    model = getattr(catboost, kind)()
    weights = settings.get("data", _WEIGHTS)
    with checked(folder, weights, trust=trust) as file:
        try:
            model.load_model(str(file), format=format_)
        except catboost.CatBoostError as error:
            why = f"{error}".splitlines()[0]
            raise InvalidModelFolder(folder, f"`{weights}` holds no CatBoost model: {why}") from None
    return model


@dataclass(frozen=True, slots=True)
class CatBoostPredictor:
    """A CatBoost model behind `predict`."""

    raw: Any

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """What the model predicts. As in MLflow no params are passed on."""
        return self.raw.predict(data)


def load_pyfunc(folder: Path, *, trust: Trust) -> CatBoostPredictor:
    """The model behind `predict`; raises as `load`."""
    return CatBoostPredictor(load(folder, trust=trust))
