"""Any file or folder as a model folder: weights of something that no flavor knows, kept and verified, not understood.

Its key in MLmodel is `files`. There is no python_function, so it does not predict.
"""

import platform
import shutil
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import mlmodel
from runstone.flavors.kept import keep
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import Predictor, SaveOptions
from runstone.flavors.saving import Weights, save_folder
from runstone.flavors.trust import Trust

name = "files"

DATA = "data"


def version() -> str | None:
    """The running Python: there is no library."""
    return platform.python_version()


def save(model: Any, folder: Path, options: SaveOptions = SaveOptions()) -> None:  # noqa: B008  # frozen
    """Save a file or a folder as a model folder.

    Args:
        model: Its path.
        folder: Where; it must be new or empty.
        options: What is saved beside it.

    Writes:
        The folder: MLmodel, the files below `data/`, requirements.txt, python_env.yaml, conda.yaml.

    Raises:
        UsageError: There is no such file or folder, or it is empty.
        InvalidModelFolder: The folder is not empty.
    """
    source = Path(model).resolve()
    if not source.is_file() and not (source.is_dir() and any(path.is_file() for path in source.rglob("*"))):
        raise UsageError(f"{model} is no file, and no folder with files.")
    if folder.resolve().is_relative_to(source):
        raise UsageError(f"{model} holds the model folder {folder}. Save it elsewhere.")

    def write(target: Path, code: str | None) -> Weights:
        del code
        (target / DATA).mkdir()
        if source.is_dir():
            shutil.copytree(source, target / DATA / source.name)
        else:
            shutil.copyfile(source, target / DATA / source.name)
        return Weights(settings={"data": f"{DATA}/{source.name}"}, requirements=[])

    save_folder(folder, name, options, write)


def load(folder: Path, *, trust: Trust) -> Path:
    """The path of the file or folder: as checked, in a copy that lasts until the process ends, if there are digests.

    Raises:
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or holds no such files.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    return keep(folder, settings.get("data"), trust=trust)


def load_pyfunc(folder: Path, *, trust: Trust) -> Predictor:
    """Files do not predict; raises `InvalidModelFolder`."""
    del trust
    raise InvalidModelFolder(
        folder,
        "it holds files that no flavor understands, and does not predict",
        next_step="Get the files: `runstone.files.load_model(...)`",
    )
