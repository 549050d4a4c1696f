"""statsmodels models: log, save and load them. Names of arguments are MLflow's."""

from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from runstone.flavors import statsmodels as flavor
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

get_default_pip_requirements, get_default_conda_env = defaults("statsmodels")


def save_model(
    statsmodels_model: Any, path: str | PathLike[str], *, remove_data: bool = False, **options: Unpack[SaveArguments]
) -> None:
    """Save a model as a model folder, which MLflow loads too.

    Args:
        statsmodels_model: The results: what `fit()` returned.
        path: A new or empty folder.
        remove_data: Leave out the data it was fitted to.
        options: As in every flavor, see `runstone.models.SaveArguments`.

    Raises:
        UsageError: An option is not understood, or the model is of another library.
        InvalidModelFolder: The folder is not empty, or the model cannot be saved.
    """
    flavor.save(statsmodels_model, Path(path), SaveOptions.of(options), remove_data=remove_data)


def log_model(
    statsmodels_model: Any,
    artifact_path: str | None = None,
    *,
    remove_data: bool = False,
    **options: Unpack[LogArguments],
) -> ModelInfo:
    """Save a model among the active run's artifacts; a run is begun if there is none.

    Args:
        statsmodels_model: The results: what `fit()` returned.
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        remove_data: As for `save_model`.
        options: As in every flavor, see `runstone.models.LogArguments`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """
    return log_folder(partial(flavor.save, statsmodels_model, remove_data=remove_data), artifact_path, options)


def load_model(model_uri: str, dst_path: str | PathLike[str] | None = None, *, allow_pickle: bool = False) -> Any:
    """Load the model that was logged.

    Results are pickles, which run code when they are loaded. From `runs:/…` and `models:/…` they are loaded only
    when their digest is the one git recorded; from a folder only if you say that you trust it.

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
