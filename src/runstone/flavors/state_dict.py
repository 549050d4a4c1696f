"""The weights of a PyTorch module without the module: tensors by their names, in a folder, as MLflow lays them out.

They are read with `torch.load(weights_only=True)`, which builds nothing but tensors and plain values.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import environment
from runstone.flavors.saving import library, new_folder

FILE = "state_dict.pth"


def save(state_dict: Mapping[str, Any], folder: Path) -> None:
    """Save weights to a folder.

    Args:
        state_dict: As `module.state_dict()` gives it; of an optimizer likewise.
        folder: Where; it must be new or empty.

    Writes:
        `state_dict.pth` in the folder.

    Raises:
        UsageError: It is no map, but a module perhaps.
        InvalidModelFolder: The folder is not empty.
        MissingLibrary: PyTorch is not installed.
    """
    torch = library("torch", "save weights of PyTorch")
    if not isinstance(state_dict, Mapping):
        raise UsageError(
            f"Weights are a map, and this is a {type(state_dict).__name__}. Of a module they are `module.state_dict()`."
        )
    with new_folder(folder):
        torch.save(state_dict, folder / FILE)


def load(folder: Path, *, map_location: Any = None) -> Any:
    """The weights of a folder; no code of it is run.

    Args:
        folder: As `save` or MLflow wrote it.
        map_location: Where the tensors are put, as `torch.load` has it.

    Raises:
        InvalidModelFolder: It has none, or they are more than tensors and plain values.
        MissingLibrary: PyTorch is not installed.
    """
    torch = library("torch", "load weights of PyTorch")
    file = folder / FILE
    if not file.is_file():
        raise InvalidModelFolder(folder, f"the file `{FILE}` is missing")
    check_weights_only(folder)
    try:
        return torch.load(file, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        why = f"{error}".strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise InvalidModelFolder(folder, f"PyTorch reads no weights from `{FILE}`: {why}") from None


def check_weights_only(folder: Path) -> None:
    """Refuse a PyTorch whose `weights_only` can be got round; raises `InvalidModelFolder`."""
    torch = library("torch", "load this model")
    if torch.__version__ < (2, 10):  # CVE-2025-32434, CVE-2026-24747
        raise InvalidModelFolder(
            folder,
            f"PyTorch {environment.installed_version('torch')} may run code of a hostile file in spite of "
            "`weights_only`",
            next_step="Install a newer one: `pip install 'torch>=2.10'`",
        )
