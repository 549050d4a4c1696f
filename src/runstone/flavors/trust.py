"""Reading the files of a model folder: never outside it, and never what runs code unless someone vouches.

A model folder says nothing about itself that is believed. Each file is read once; the bytes that are
checked are the bytes that are used, so nothing can be exchanged in between.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from runstone.errors import InvalidModelFolder, ModelFileChanged, UntrustedModel

_BLOCK = 1024**2


@dataclass(frozen=True, slots=True)
class Trust:
    """Why the files of a model folder may be loaded. `Trust()` is none: nothing that runs code is loaded.

    Attributes:
        digests: The files that git recorded: path in the folder → md5. Given, every file that is read must
            match, even with `allow_pickle`.
        allow_pickle: The caller vouches for the folder.
    """

    digests: Mapping[str, str] | None = None
    allow_pickle: bool = False

    @property
    def runs_code(self) -> bool:
        """Whether a file that runs code when loaded may be loaded at all."""
        return self.allow_pickle or self.digests is not None

    def read(self, folder: Path, path: object, *, limit: int | None = None) -> bytes:
        """The bytes of one file of the folder, checked against its recorded digest if there are digests.

        Args:
            folder: The model folder.
            path: As the MLmodel file gives it, relative to the folder.
            limit: Bytes the file may have.

        Raises:
            InvalidModelFolder: The path leaves the folder, or no such file is there, or it is too large.
            ModelFileChanged: The file is not the recorded one.
        """
        name, file = resolve(folder, path)
        if not file.is_file():
            raise InvalidModelFolder(folder, f"the file `{name}` is missing")
        with file.open("rb") as stream:
            data = stream.read() if limit is None else stream.read(limit + 1)
        if limit is not None and len(data) > limit:
            raise InvalidModelFolder(folder, f"`{name}` is larger than {limit // 1024**2} MiB")
        if self.digests is not None:
            self._compare(folder, name, hashlib.md5(data, usedforsecurity=False).hexdigest())
        return data

    def copy(self, folder: Path, path: object, target: Path) -> None:
        """As `read`, into a file: for weights that are large, or that a library reads from a file only.

        Writes:
            `target`, and the folders that lead to it.
        """
        name, file = resolve(folder, path)
        if not file.is_file():
            raise InvalidModelFolder(folder, f"the file `{name}` is missing")
        digest = hashlib.md5(usedforsecurity=False)
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as source, target.open("wb") as copy:
            while block := source.read(_BLOCK):
                digest.update(block)
                copy.write(block)
        if self.digests is not None:
            self._compare(folder, name, digest.hexdigest())

    def _compare(self, folder: Path, name: str, found: str) -> None:
        recorded = (self.digests or {}).get(name)
        if recorded != found:
            raise ModelFileChanged(folder, name, recorded, found)

    def read_code(self, folder: Path, path: object) -> bytes:
        """As `read`, for a file that runs code when loaded.

        Raises:
            UntrustedModel: Neither git nor the caller vouches for it.
        """
        name, _ = resolve(folder, path)
        if not self.runs_code:
            raise UntrustedModel(folder, name)
        return self.read(folder, name)


def resolve(folder: Path, path: object) -> tuple[str, Path]:
    """A path that a model folder gives, in its plain form, and where it leads.

    Raises:
        InvalidModelFolder: It is no relative path with forward slashes, or leads out of the folder, be it by
            `..` or by a symbolic link.
    """
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidModelFolder(folder, f"{path!r} is not the path of a file")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or re.match(r"[A-Za-z]:", path) or not pure.parts:
        raise InvalidModelFolder(folder, f"the path {path!r} leaves the folder")
    try:
        real = (folder / pure).resolve()
        real.is_file()
    except (OSError, RuntimeError) as error:  # links in a circle, or a name longer than the system has
        why = error.strerror if isinstance(error, OSError) else "its links lead in a circle"
        raise InvalidModelFolder(folder, f"the path `{_short(pure)}` leads nowhere: {why}") from None
    if not real.is_relative_to(folder.resolve()):
        raise InvalidModelFolder(folder, f"`{pure}` is a link that leads out of the folder")
    return str(pure), real


def _short(path: PurePosixPath) -> str:
    return text if len(text := str(path)) <= 60 else f"{text[:57]}…"
