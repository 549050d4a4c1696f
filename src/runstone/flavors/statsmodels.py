"""Results of statsmodels as model folders.

The library has no format but pickle, so they are loaded only when git recorded their digest or the caller vouches.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.errors import InputMismatch, UsageError
from runstone.flavors import environment, mlmodel, pickled
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, check_version, library, save_folder
from runstone.flavors.trust import Trust

name = "statsmodels"

_WEIGHTS = "model.statsmodels"


def version() -> str | None:
    """The installed statsmodels; None if there is none."""
    return environment.installed_version("statsmodels")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    remove_data: bool = False,
) -> None:
    """Save the results of a fit as a model folder, which MLflow loads too.

    Args:
        model: What `fit()` returned.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights.
        remove_data: Leave out the data it was fitted to. Your own object keeps them.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: It is no result of statsmodels.
        InvalidModelFolder: The folder is not empty, or the model cannot be pickled; then nothing is left of it.
    """
    if not (hasattr(model, "predict") and hasattr(model, "model") and hasattr(model, "remove_data")):
        raise UsageError(
            f"A {type(model).__name__} is no result of statsmodels. Give what `fit()` returned: "
            "`results = sm.OLS(y, x).fit()`"
        )

    def write(target: Path, code: str | None) -> Weights:
        results = model
        if remove_data:
            results = copy.deepcopy(model)
            results.remove_data()
        modules = pickled.dump(results, target, _WEIGHTS, "pickle")
        return Weights(
            settings={"data": _WEIGHTS, "statsmodels_version": version()},
            requirements=["statsmodels", "numpy", "pandas", "scipy"],
            modules=modules,
            pyfunc={"loader_module": "mlflow.statsmodels", "data": _WEIGHTS},
            predict=lambda data: StatsmodelsPredictor(model).predict(data, {}),
        )

    save_folder(folder, name, options, write)


def load(folder: Path, *, trust: Trust) -> Any:
    """The results of a model folder, be it ours or MLflow's.

    Raises:
        UntrustedModel: Neither git nor the caller vouches for the folder.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or is of another flavor.
        MissingLibrary: statsmodels is not installed.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    check_version(folder, "statsmodels", settings.get("statsmodels_version"))
    return pickled.load(folder, settings.get("data", _WEIGHTS), "pickle", code=settings.get("code"), trust=trust)


@dataclass(frozen=True, slots=True)
class StatsmodelsPredictor:
    """The results of a fit behind `predict`."""

    raw: Any

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """What the model predicts for data, or, of a time series, from `start` to `end`.

        Args:
            data: The exogenous data; for a time series a DataFrame of one row with the columns `start` and `end`.
            params: None is passed on, as in MLflow.

        Raises:
            InputMismatch: A time series, and the data has no `start` and `end`.
        """
        series = library("statsmodels.tsa.base.tsa_model", "predict with this model").TimeSeriesModel
        if not isinstance(self.raw.model, series):
            return self.raw.predict(data)
        if list(getattr(data, "shape", ()))[:1] != [1] or not {"start", "end"} <= set(getattr(data, "columns", ())):
            raise InputMismatch("a time series is predicted from one row with the columns `start` and `end`")
        return self.raw.predict(start=data["start"].iloc[0], end=data["end"].iloc[0])


def load_pyfunc(folder: Path, *, trust: Trust) -> StatsmodelsPredictor:
    """The results behind `predict`; raises as `load`."""
    return StatsmodelsPredictor(load(folder, trust=trust))
