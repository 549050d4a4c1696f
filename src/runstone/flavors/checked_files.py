"""Files of a model folder for libraries that read files and not bytes: a private copy of what was checked."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from runstone.errors import InvalidModelFolder, UntrustedModel
from runstone.flavors.trust import Trust, resolve


@contextmanager
def checked(folder: Path, path: object, *, trust: Trust, runs_code: bool = False) -> Iterator[Path]:
    """A file of a model folder, or a folder with all its files, as they were checked.

    With digests this is a copy that nobody else writes to, gone when the block ends, and what git did not record is
    not in it. Without digests there is nothing to hold the files against, so they are used where they are, once
    none of them is seen to lead out of the model folder.

    Args:
        folder: The model folder.
        path: As the MLmodel file gives it, relative to the folder.
        trust: Why it may be loaded.
        runs_code: Loading it runs code.

    Raises:
        UntrustedModel: It runs code, and neither git nor the caller vouches for it.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: There is no such file or folder, or it leads out of the model folder.
    """
    name, real = resolve(folder, path)
    if runs_code and not trust.runs_code:
        raise UntrustedModel(folder, name)
    names = list_files(folder, name, trust=trust)
    if trust.digests is None:
        yield real
        return
    with tempfile.TemporaryDirectory(prefix="runstone-") as temporary:
        copy = Path(temporary) / PurePosixPath(name).name
        for file in names:
            trust.copy(folder, file, copy / PurePosixPath(file).relative_to(name))
        yield copy


def list_files(folder: Path, path: object, *, trust: Trust) -> list[str]:
    """The files at a path of a model folder: itself, or all below it; with digests those that git recorded.

    Raises:
        InvalidModelFolder: There are none, or one of them leads out of the model folder.
    """
    name, real = resolve(folder, path)
    if trust.digests is not None and not real.is_file():
        names = sorted(file for file in trust.digests if file.startswith(f"{name}/"))
    elif real.is_file():
        names = [name]
    else:
        found = (file for file in real.rglob("*") if file.is_file())
        names = sorted(f"{name}/{file.relative_to(real).as_posix()}" for file in found)
    if not names:
        raise InvalidModelFolder(folder, f"the file `{name}` is missing")
    for file in names:
        resolve(folder, file)
    return names
