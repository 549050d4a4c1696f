"""Any file or folder as a model: log, save and load what no flavor understands, verified by its digest."""

from functools import partial
from os import PathLike
from pathlib import Path
from typing import Unpack

from runstone.flavors import files as flavor
from runstone.flavors.protocol import LogArguments, SaveArguments, SaveOptions
from runstone.models import ModelInfo, load_trusted, log_folder

__all__ = ["load_model", "log_model", "save_model"]


def save_model(file: str | PathLike[str], path: str | PathLike[str], **options: Unpack[SaveArguments]) -> None:
    """Save a file or a folder as a model folder.

    Args:
        file: The file or folder.
        path: A new or empty folder.
        options: As in every flavor, see `runstone.models.SaveArguments`.

    Raises:
        UsageError: There is no such file, or an option is not understood.
        InvalidModelFolder: The folder is not empty.
    """
    flavor.save(file, Path(path), SaveOptions.of(options))


def log_model(
    file: str | PathLike[str], artifact_path: str | None = None, **options: Unpack[LogArguments]
) -> ModelInfo:
    """Keep a file or a folder as a model among the active run's artifacts; a run is begun if there is none.

    Args:
        file: The file or folder.
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        options: As in every flavor, see `runstone.models.LogArguments`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """
    return log_folder(partial(flavor.save, file), artifact_path, options)


def load_model(model_uri: str, dst_path: str | PathLike[str] | None = None) -> Path:
    """The path of the file or folder that was kept. Nothing of it is run, so no trust is needed.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        dst_path: An existing folder to keep a copy of the model folder in.

    Returns:
        Of a URI a copy, verified file by file, that lasts until the process ends; of a folder the file in it.

    Raises:
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    return load_trusted(model_uri, dst_path, False, flavor.load)
