"""Python code that travels with a model: copied in when it is saved, importable again when it is loaded."""

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from runstone.errors import InvalidModelFolder, UntrustedModel, UsageError
from runstone.flavors.trust import Trust, resolve

FOLDER = "code"

_loaded: dict[str, Path] = {}


def copy_code(folder: Path, paths: Sequence[str | PathLike[str]]) -> str | None:
    """Copy files and folders of Python code into a model folder.

    Returns:
        Where the code lies in the folder; None if there is none.

    Writes:
        `code/` in the folder.

    Raises:
        UsageError: One of the paths does not exist, or holds the model folder itself.
    """
    if not paths:
        return None
    target = folder / FOLDER
    target.mkdir()
    for path in map(Path, paths):
        if path.is_dir():
            if folder.resolve().is_relative_to(path.resolve()):
                raise UsageError(f"`code_paths`: {path} holds the model folder {folder}. Save it elsewhere.")
            skip = shutil.ignore_patterns("__pycache__", "*.pyc", ".git")
            shutil.copytree(path, target / path.resolve().name, ignore=skip, dirs_exist_ok=True)
        elif path.is_file():
            shutil.copyfile(path, target / path.name)
        else:
            raise UsageError(f"`code_paths`: there is no {path}.")
    return FOLDER


def add_code(folder: Path, path: object, *, trust: Trust) -> Path:
    """Make the code of a model folder importable, before anything else, until the process ends.

    The code is copied, checked as it is read, into a folder of this process alone: what is imported later is
    what was checked now. Modules of the same name from the code of another model are imported anew.

    Returns:
        The folder of this process.

    Raises:
        UntrustedModel: Neither git nor the caller vouches for the code.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: There is no such folder in the model folder.
    """
    name, root = resolve(folder, path)
    if not trust.runs_code:
        raise UntrustedModel(folder, name)
    if trust.digests is not None:
        files = [file for file in trust.digests if file.startswith(f"{name}/")]
    else:
        files = [f"{name}/{file.relative_to(root).as_posix()}" for file in root.rglob("*") if file.is_file()]
    if not files:
        raise InvalidModelFolder(folder, f"it names `{name}` as the folder of its code, and nothing is there")
    contents = {
        file.removeprefix(f"{name}/"): trust.read_code(folder, file)
        for file in sorted(files)
        if "__pycache__" not in file
    }
    digests = (f"{file}\0{hashlib.sha256(data).hexdigest()}\0" for file, data in contents.items())
    key = hashlib.sha256("".join(digests).encode()).hexdigest()
    private = _loaded.get(key)
    if private is None:
        private = Path(tempfile.mkdtemp(prefix="runstone-code-")).resolve()
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        for file, data in contents.items():
            (private / file).parent.mkdir(parents=True, exist_ok=True)
            (private / file).write_bytes(data)
        _loaded[key] = private
    elif str(private) in sys.path:  # unless somebody has set the path back
        sys.path.remove(str(private))
    sys.path.insert(0, str(private))
    _forget_others(private)
    return private


def _forget_others(private: Path) -> None:
    """Have modules imported anew that this code has too, and that came from the code of another model."""
    names = {path.stem for path in private.iterdir()}
    others = [str(other) + os.sep for other in _loaded.values() if other != private]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in names:
            places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
            if any(f"{place}".startswith(other) for place in places for other in others):
                del sys.modules[name]


@contextmanager
def importable(paths: Sequence[str | PathLike[str]]) -> Iterator[None]:
    """Files and folders of Python code, importable from where they are while the block runs."""
    before = list(sys.path)
    sys.path[:0] = dict.fromkeys(str(Path(path).resolve().parent) for path in paths)
    try:
        yield
    finally:
        sys.path[:] = before


def own_modules(folder: Path, path: object) -> list[str]:
    """The modules and packages of a model folder's code by name: what `add_code` makes importable."""
    _, root = resolve(folder, path)
    found = (file.stem for file in root.iterdir() if file.suffix == ".py" or (file / "__init__.py").is_file())
    return sorted(name for name in found if name.isidentifier())
