"""What the tests of model folders share."""

import hashlib
from pathlib import Path
from typing import Any

from runstone.flavors.trust import Trust
from tests.support import run_python

ALLOWED = Trust(allow_pickle=True)


def digests_of(folder: Path) -> dict[str, str]:
    """What git would have recorded of a folder: path → md5."""
    return {
        file.relative_to(folder).as_posix(): hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def message_without(flavor: str, folder: Path) -> str:
    """What one is told who loads a model folder where the flavor's library is not installed."""
    code = f"""
from pathlib import Path
from runstone.errors import MissingLibrary
from runstone.flavors import environment, {flavor}
from runstone.flavors.trust import Trust

environment.installed_version = lambda name: None  # as if it were not installed
try:
    {flavor}.load(Path({str(folder)!r}), trust=Trust(allow_pickle=True))
except MissingLibrary as error:
    print(error)
"""
    return run_python(code, cwd=folder.parent).stdout


class Boom:
    """Unpickling it makes a file: the proof that code ran."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))
