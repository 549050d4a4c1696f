"""Weights as pickles: they hold whatever Python holds, and run code when they are loaded, so only with trust."""

import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from runstone.errors import InvalidModelFolder
from runstone.flavors.code import add_code
from runstone.flavors.requirements import modules_of_pickle
from runstone.flavors.saving import library
from runstone.flavors.trust import Trust

FORMATS = ("cloudpickle", "pickle")
_PROTOCOL = 5  # every Python that we run on reads it, and arrays are written in half the time of protocol 4


def dump(model: Any, folder: Path, weights: str, format_: str) -> set[str]:
    """Write an object as a pickle.

    Returns:
        The modules that it names, and loading it imports; cloudpickle's own if it was written so.

    Raises:
        InvalidModelFolder: It cannot be pickled.
        MissingLibrary: cloudpickle is wanted and not installed.
    """
    module: ModuleType = pickle if format_ == "pickle" else library("cloudpickle", "save a model")
    try:
        with (folder / weights).open("wb") as stream:
            module.dump(model, stream, protocol=_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InvalidModelFolder(
            folder,
            f"the {type(model).__name__} cannot be saved as {format_}: {error}",
            next_step="Nothing was written. `serialization_format='cloudpickle'` holds the most; locks, open files and "
            "connections must be left out by `__getstate__`.",
        ) from error
    with (folder / weights).open("rb") as stream:
        return modules_of_pickle(stream) | ({"cloudpickle"} if format_ == "cloudpickle" else set())


def load(
    folder: Path,
    weights: object,
    format_: str,
    *,
    code: object,
    trust: Trust,
    unpack: Callable[[bytes], bytes] | None = None,
) -> Any:
    """The object of a pickle in a model folder.

    Args:
        folder: The model folder.
        weights: The file, as the MLmodel file gives it.
        format_: How it was pickled.
        code: Where the model's code lies in the folder, if anywhere.
        trust: Why it may be loaded.
        unpack: Makes the pickle of the file's bytes, where it is compressed.

    Raises:
        UntrustedModel: Neither git nor the caller vouches for it.
        ModelFileChanged: It is not the recorded file.
        InvalidModelFolder: It is no pickle, or needs what is not here.
    """
    data = trust.read_code(folder, weights)
    if format_ == "cloudpickle":
        library("cloudpickle", "load this model")
    if code:
        add_code(folder, code, trust=trust)
    try:
        return pickle.loads(data if unpack is None else unpack(data))
    except ModuleNotFoundError as error:
        raise InvalidModelFolder(
            folder,
            f"its model needs the module `{error.name}`, which is not here",
            next_step="Install it, or save the model with `code_paths=[...]`.",
        ) from error
    except AttributeError as error:
        raise InvalidModelFolder(
            folder,
            f"its model needs what is not here: {error}",
            next_step="Save it with `serialization_format='cloudpickle'`, which keeps classes of a script.",
        ) from error
    except (pickle.UnpicklingError, EOFError) as error:
        raise InvalidModelFolder(folder, f"`{weights}` is no pickle: {error}") from None
    except Exception as error:  # of damage, and of another version of a library, which have no class in common
        raise InvalidModelFolder(
            folder,
            f"`{weights}` cannot be unpickled: {type(error).__name__}: {error}".rstrip(" .:"),
            next_step="Get the folder again from where it was tracked; or, if it is whole, install the versions that "
            "its `requirements.txt` names.",
        ) from error
