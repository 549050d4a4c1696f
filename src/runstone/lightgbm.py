"""LightGBM models: log, save and load them. Names of arguments are MLflow's."""

from collections.abc import Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from runstone.flavors import lightgbm as flavor
from runstone.flavors.absent import absent
from runstone.flavors.environment import defaults
from runstone.flavors.protocol import LogArguments, SaveArguments, SaveOptions
from runstone.models import ModelInfo, load_trusted, log_folder

__all__ = [
    "get_default_conda_env",
    "get_default_pip_requirements",
    "load_model",
    "log_model",
    "save_model",
]

if not TYPE_CHECKING:  # to which every name would then seem to be there
    __getattr__ = absent(__name__)

get_default_pip_requirements, get_default_conda_env = defaults("lightgbm")


def save_model(
    lgb_model: Any,
    path: str | PathLike[str],
    *,
    serialization_format: str | None = None,
    skops_trusted_types: Sequence[str] | None = None,
    **options: Unpack[SaveArguments],
) -> None:
    """Save a model as a model folder, which MLflow loads too.

    Args:
        lgb_model: A `Booster`, or one of LightGBM's estimators.
        path: A new or empty folder.
        serialization_format: Of an estimator: as in `runstone.sklearn`.
        skops_trusted_types: Types beyond the known ones that you reviewed and skops may load.
        options: As in every flavor, see `runstone.models.SaveArguments`.

    Raises:
        UsageError: An option is not understood, or the model is of another library.
        InvalidModelFolder: The folder is not empty, or the model cannot be saved.
    """
    flavor.save(
        lgb_model,
        Path(path),
        SaveOptions.of(options),
        serialization_format=serialization_format,
        skops_trusted_types=skops_trusted_types,
    )


def log_model(
    lgb_model: Any,
    artifact_path: str | None = None,
    *,
    serialization_format: str | None = None,
    skops_trusted_types: Sequence[str] | None = None,
    **options: Unpack[LogArguments],
) -> ModelInfo:
    """Save a model among the active run's artifacts; a run is begun if there is none.

    Args:
        lgb_model: A `Booster`, or one of LightGBM's estimators.
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        serialization_format: As for `save_model`.
        skops_trusted_types: As for `save_model`.
        options: As in every flavor, see `runstone.models.LogArguments`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """
    return log_folder(
        partial(
            flavor.save, lgb_model, serialization_format=serialization_format, skops_trusted_types=skops_trusted_types
        ),
        artifact_path,
        options,
    )


def load_model(model_uri: str, dst_path: str | PathLike[str] | None = None, *, allow_pickle: bool = False) -> Any:
    """Load the model that was logged.

    A booster is text, which needs no trust; of an estimator see `runstone.sklearn.load_model`.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        dst_path: An existing folder to keep a copy of the model folder in.
        allow_pickle: You trust the folder.

    Raises:
        UntrustedModel: A folder whose weights run code, and `allow_pickle` is not said.
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    return load_trusted(model_uri, dst_path, allow_pickle, flavor.load)
