"""What the tests of model folders share."""

import hashlib
from pathlib import Path
from typing import Any

from runstone.flavors.trust import Trust

ALLOWED = Trust(allow_pickle=True)


def digests_of(folder: Path) -> dict[str, str]:
    """What git would have recorded of a folder: path → md5."""
    return {
        file.relative_to(folder).as_posix(): hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


class Boom:
    """Unpickling it makes a file: the proof that code ran."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))
