"""LightGBM models as model folders: boosters as LightGBM's own text, estimators as scikit-learn's are.

The text runs no code, so it needs no trust. But LightGBM checks little of what it reads: a file that somebody damaged
on purpose may end the process, so serve what git recorded, whose digest is held against it first.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import environment, estimator, mlmodel
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, check_version, library, save_folder
from runstone.flavors.trust import Trust

name = "lightgbm"

_BOOSTER = "lightgbm.basic.Booster"
_WEIGHTS = "model.lgb"


def version() -> str | None:
    """The installed LightGBM; None if there is none."""
    return environment.installed_version("lightgbm")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    serialization_format: str | None = None,
    skops_trusted_types: Sequence[str] | None = None,
) -> None:
    """Save a booster or estimator as a model folder, which MLflow loads too.

    Args:
        model: A `Booster`, or one of LightGBM's estimators.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights.
        serialization_format: Of an estimator: `skops`, `cloudpickle` or `pickle`; None chooses the safest that can
            hold it. A booster is always text.
        skops_trusted_types: Types of your own that you reviewed and skops may load.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: It is no model of LightGBM, or an option is not understood.
        InvalidModelFolder: The folder is not empty, or the model cannot be saved; then nothing is left of it.
    """
    estimator.check_format(serialization_format)
    lightgbm = library("lightgbm", "save a model")
    is_booster = isinstance(model, lightgbm.Booster)
    if not is_booster and not isinstance(model, lightgbm.LGBMModel):
        raise UsageError(f"A {type(model).__name__} is no model of LightGBM: neither a Booster nor an estimator.")

    def write(target: Path, code: str | None) -> Weights:
        settings: dict[str, Any] = {"lgb_version": version()}
        modules: frozenset[str] = frozenset()
        if is_booster:
            weights = _WEIGHTS
            (target / weights).write_text(model.model_to_string(), encoding="utf-8", newline="\n")
            settings |= {"model_class": _BOOSTER}
        else:
            stored = estimator.dump(model, target, serialization_format, skops_trusted_types)
            weights, modules = stored.file, stored.modules
            settings |= {
                "model_class": f"{type(model).__module__}.{type(model).__qualname__}",
                "serialization_format": stored.format,
                "skops_trusted_types": stored.types,
            }
        return Weights(
            settings=settings | {"data": weights},
            requirements=["lightgbm", "numpy", "scipy", *([] if is_booster else ["scikit-learn"])],
            modules=modules,
            pyfunc={"loader_module": "mlflow.lightgbm", "data": weights},
            predict=model.predict,
        )

    save_folder(folder, name, options, write)


def load(folder: Path, *, trust: Trust) -> Any:
    """The booster or estimator of a model folder, be it ours or MLflow's.

    Raises:
        UntrustedModel: An estimator as a pickle, and neither git nor the caller vouches for it.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or is of another flavor.
        MissingLibrary: LightGBM is not installed, or scikit-learn for one of its estimators.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    check_version(folder, "lightgbm", settings.get("lgb_version"))
    weights = settings.get("data")
    lightgbm = library("lightgbm", "load this model")
    if settings.get("model_class", _BOOSTER) == _BOOSTER:  # MLflow before 1.23 saved boosters only, and did not say so
        data = trust.read(folder, weights)
        if not _is_complete(data):
            raise InvalidModelFolder(folder, f"`{weights}` is cut off, or no booster of LightGBM")
        try:
            return lightgbm.Booster(model_str=data.decode("utf-8"))
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise InvalidModelFolder(folder, f"`{weights}` holds no booster of LightGBM: {error}") from None
    library("sklearn", "load this model", "scikit-learn")
    model = estimator.load(folder, weights, settings, default="cloudpickle", trust=trust)
    if not isinstance(model, lightgbm.LGBMModel):
        raise InvalidModelFolder(folder, f"`{weights}` holds a {type(model).__name__}, and no estimator of LightGBM")
    return model


@dataclass(frozen=True, slots=True)
class LightGBMPredictor:
    """A booster or estimator behind `predict`."""

    raw: Any

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """What the model predicts. As in MLflow no params are passed on."""
        return self.raw.predict(data)


def load_pyfunc(folder: Path, *, trust: Trust) -> LightGBMPredictor:
    """The model behind `predict`; raises as `load`."""
    return LightGBMPredictor(load(folder, trust=trust))


def _is_complete(data: bytes) -> bool:
    """Whether trees and parameters are all there: of a text that was cut off LightGBM dies with the whole process."""
    sizes = re.search(rb"^tree_sizes=([\d ]*)$", data, re.MULTILINE)
    if not data.startswith(b"tree\n") or sizes is None or b"\nend of parameters" not in data:
        return False
    first, size = data.find(b"\nTree=0\n") + 1, sum(map(int, sizes[1].split()))
    return size == 0 if first == 0 else data.startswith(b"end of trees", first + size)
