"""spaCy models: log, save and load them. Names of arguments are MLflow's."""

from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from runstone.flavors import spacy as flavor
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

get_default_pip_requirements, get_default_conda_env = defaults("spacy")


def save_model(spacy_model: Any, path: str | PathLike[str], **options: Unpack[SaveArguments]) -> None:
    """Save a pipeline as a model folder, which MLflow loads too.

    Args:
        spacy_model: A `spacy.Language`.
        path: A new or empty folder.
        options: As in every flavor, see `runstone.models.SaveArguments`.

    Raises:
        UsageError: The model is no pipeline of spaCy.
        InvalidModelFolder: The folder is not empty.
    """
    flavor.save(spacy_model, Path(path), SaveOptions.of(options))


def log_model(spacy_model: Any, artifact_path: str | None = None, **options: Unpack[LogArguments]) -> ModelInfo:
    """Save a pipeline among the active run's artifacts; a run is begun if there is none.

    Args:
        spacy_model: A `spacy.Language`.
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        options: As in every flavor, see `runstone.models.LogArguments`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """
    return log_folder(partial(flavor.save, spacy_model), artifact_path, options)


def load_model(model_uri: str, dst_path: str | PathLike[str] | None = None, *, allow_pickle: bool = False) -> Any:
    """Load the pipeline that was logged.

    A pipeline of spaCy's own components runs no code when it is loaded, so it needs no trust.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        dst_path: An existing folder to keep a copy of the model folder in.
        allow_pickle: You trust the folder.

    Raises:
        UntrustedModel: A folder whose pipeline has parts that are not spaCy's own, and `allow_pickle` is not said.
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    return load_trusted(model_uri, dst_path, allow_pickle, flavor.load)
