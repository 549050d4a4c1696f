"""Keras models: log, save and load them. Names of arguments are MLflow's."""

from collections.abc import Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from runstone.flavors import keras as flavor
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

get_default_pip_requirements, get_default_conda_env = defaults("keras")


def save_model(
    model: Any,
    path: str | PathLike[str],
    *,
    save_model_kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[SaveArguments],
) -> None:
    """Save a model as a model folder, which MLflow loads too.

    Args:
        model: A `keras.Model`.
        path: A new or empty folder.
        save_model_kwargs: For `keras.Model.save`, as `{"include_optimizer": False}`.
        options: As in every flavor, see `runstone.models.SaveArguments`.

    Raises:
        UsageError: The model is no Keras model.
        InvalidModelFolder: The folder is not empty.
    """
    flavor.save(model, Path(path), SaveOptions.of(options), save_model_kwargs=save_model_kwargs)


def log_model(
    model: Any,
    artifact_path: str | None = None,
    *,
    save_model_kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[LogArguments],
) -> ModelInfo:
    """Save a Keras model among the active run's artifacts; a run is begun if there is none.

    Args:
        model: A `keras.Model`.
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        save_model_kwargs: As for `save_model`.
        options: As in every flavor, see `runstone.models.LogArguments`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """
    return log_folder(partial(flavor.save, model, save_model_kwargs=save_model_kwargs), artifact_path, options)


def load_model(
    model_uri: str,
    dst_path: str | PathLike[str] | None = None,
    *,
    custom_objects: Mapping[str, Any] | None = None,
    allow_pickle: bool = False,
) -> Any:
    """Load the Keras model that was logged.

    A model of Keras' own layers runs no code when it is loaded, so it needs no trust. Lambda layers, functions and
    classes of your own do: from a folder they are loaded only if you say that you trust it.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        dst_path: An existing folder to keep a copy of the model folder in.
        custom_objects: Classes and functions of your own that the model is made of, by name.
        allow_pickle: You trust the folder.

    Raises:
        UntrustedModel: A folder whose model holds code, and `allow_pickle` is not said.
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    load = partial(flavor.load, custom_objects=custom_objects)
    return load_trusted(model_uri, dst_path, allow_pickle, load)
