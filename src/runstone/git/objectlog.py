"""The write-ahead log of objects: a ref is moved only when all it leads to would survive power loss.

Syncing each object would cost a sync apiece. So what is new is written once more into one file, that file is synced,
and it stays until the objects are known to be on the disk too: the kernel writes dirty pages within about half a
minute, and syncing old objects is nearly free. After power loss `kept` puts back from these files what is torn.

A file is named `<host>-<boot>~<time>~<token>.objects`; it begins with a line of JSON, then come, for each object, a
line with its id and size and its compressed content, and then the line `end`. `.unmoved` is put into the name when the
refs turned out to be elsewhere: the objects stay protected, and nothing else is made of it.
"""

import errno
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from time import time_ns
from typing import NamedTuple

from runstone.errors import DiskFull, ReadOnlyRepository
from runstone.git import forks
from runstone.git.files import NEW_FILE, write_all
from runstone.git.objects import Objects

SUFFIX, UNMOVED = ".objects", ".unmoved"
_sync = getattr(os, "fdatasync", os.fsync)


class Logged(NamedTuple):
    """One file of the log.

    Attributes:
        path: The file.
        moves: `[ref, new, old]` of each ref that was about to be moved.
        journals: The journals that these moves record, by name without their state.
        objects: Id → compressed content.
    """

    path: Path
    moves: list[tuple[str, str | None, str | None]]
    journals: list[str]
    objects: dict[str, bytes]


class ObjectLog:
    """The log of one repository."""

    def __init__(self, folder: Path, objects: Objects) -> None:
        self.folder = folder
        self._objects = objects
        self._lock = threading.Lock()
        forks.watch(self)

    def write(self, moves: Sequence[tuple[str, str | None, str | None]], journals: Sequence[str] = ()) -> Path | None:
        """Return when every object written so far survives power loss.

        Args:
            moves: The refs about to be moved: `(ref, new, old)`.
            journals: The journals that these moves record.

        Returns:
            The file; None when nothing is new, and none was written.

        Writes:
            One file, synced.

        Raises:
            DiskFull: There is no room.
            ReadOnlyRepository: The repository cannot be written.
        """
        with self._lock:
            new = self._objects.unsynced()
            if not new:
                return None
            import json  # here, as below: readers of the repository, which are to be quick, need neither

            header = json.dumps({"moves": [list(move) for move in moves], "journals": list(journals)})
            parts = [header.encode(), b"\n"]
            for oid, packed in new.items():
                parts += [f"{oid} {len(packed)}\n".encode(), packed]
            parts.append(b"end\n")
            path = self._put(b"".join(parts))
            self._objects.note_logged(new)
            return path

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def _put(self, data: bytes) -> Path:
        host, present = machine()
        path = self.folder / f"{host}-{present}~{time_ns():020d}~{os.urandom(4).hex()}{SUFFIX}"
        try:
            try:
                descriptor = os.open(path, NEW_FILE, 0o666)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(path, NEW_FILE, 0o666)
            try:
                write_all(descriptor, data)
                _sync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise ReadOnlyRepository(self.folder, str(error.strerror)) from error
            path.unlink(missing_ok=True)
            raise DiskFull(path, str(error.strerror)) from error
        return path


def disown(path: Path) -> None:
    """Note that the refs were not moved after all."""
    # Gone: of two processes that recorded one journal the other won with the same commit, and that was rewritten since.
    with suppress(FileNotFoundError):
        path.rename(path.with_suffix(UNMOVED + SUFFIX))


@cache
def machine() -> tuple[str, str]:
    """This machine and its present boot, as file names of the log tell them."""
    import hashlib

    from runstone.git.liveness import this_process

    process = this_process()
    return hashlib.sha256(process.host.encode()).hexdigest()[:8], (process.boot or "unknown").replace("-", "")[:8]


def list_logs(folder: Path) -> list[Path]:
    """The files of the log, oldest first."""
    return [folder / name for name in sorted(log_names(folder), key=lambda name: name.split("~")[1:])]


def log_names(folder: Path) -> list[str]:
    """The names of the files of the log, in no order: as text, since every write looks at all of them."""
    try:
        with os.scandir(folder) as found:
            return [entry.name for entry in found if entry.name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []


def read_moves(path: Path) -> list[tuple[str, str | None, str | None]]:
    """The moves that one file names, by its first line alone; none if that is torn or the refs were not moved."""
    import json

    if UNMOVED in path.name:
        return []
    try:
        with path.open("rb") as file:
            return [(str(ref), new, old) for ref, new, old in json.loads(file.readline())["moves"]]
    except (ValueError, KeyError, TypeError):
        return []


def read_log(path: Path) -> Logged | None:
    """Read one file; None if it is torn: then the refs had not been moved yet."""
    import json

    data = path.read_bytes()
    try:
        at = data.index(b"\n") + 1
        header = json.loads(data[:at])
        objects: dict[str, bytes] = {}
        while not data.startswith(b"end\n", at):
            end = data.index(b"\n", at)
            oid, _, size = data[at:end].decode().partition(" ")
            at = end + 1 + int(size)
            objects[oid] = data[end + 1 : at]
        moves = [(str(ref), new, old) for ref, new, old in header["moves"]] if UNMOVED not in path.name else []
        return Logged(path, moves, [str(name) for name in header["journals"]] if moves else [], objects)
    except (ValueError, KeyError, TypeError):
        return None
