"""Files of a model folder that are read after the model is loaded: they outlive the folder, as they were checked."""

import atexit
import os
import shutil
import tempfile
import weakref
from pathlib import Path, PurePosixPath

from runstone.flavors.checked_files import list_files
from runstone.flavors.trust import Trust, resolve


class Owner:
    """Who has the files, where the model is made of them and so is not there yet."""


def keep(folder: Path, path: object, *, trust: Trust, owner: object = None) -> Path:
    """A file of a model folder, or a folder with all its files, for as long as somebody has the model.

    With digests this is a copy, for the folder may be a temporary one, and anybody may write to one that is not.
    Without digests it is the file itself.

    Args:
        folder: The model folder.
        path: As the MLmodel file gives it, relative to the folder.
        trust: Why it may be loaded.
        owner: The copy goes when this does; else when the process ends.

    Raises:
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: There is no such file or folder, or it leads out of the model folder.
    """
    name, real = resolve(folder, path)
    names = list_files(folder, name, trust=trust)
    return real if trust.digests is None else _copy(folder, name, names, trust, owner)


def keep_all(folder: Path, *, trust: Trust, owner: object = None) -> Path:
    """As `keep`, the whole model folder; with digests what git recorded of it."""
    return folder.resolve() if trust.digests is None else _copy(folder, "", sorted(trust.digests), trust, owner)


def _copy(folder: Path, name: str, files: list[str], trust: Trust, owner: object) -> Path:
    private = Path(tempfile.mkdtemp(prefix="runstone-kept-"))
    _forget_with(owner, private)
    copy = private / (PurePosixPath(name).name or "model")
    for file in files:
        trust.copy(folder, file, copy / PurePosixPath(file).relative_to(name))
    return copy


def _forget_with(owner: object, private: Path) -> None:
    if owner is not None:
        try:
            weakref.finalize(owner, _remove, private, os.getpid())
            return
        except TypeError:  # a class with __slots__
            pass
    atexit.register(_remove, private, os.getpid())


def _remove(private: Path, process: int) -> None:
    if os.getpid() == process:  # a forked one ends first, and the files are not its own
        shutil.rmtree(private, ignore_errors=True)
