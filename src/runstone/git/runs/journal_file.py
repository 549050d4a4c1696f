"""The files that journals are: made whole or not at all, appended to all or nothing, locked where several write."""

import errno
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from runstone.errors import DiskFull, ReadOnlyRepository
from runstone.git.lock import FileLock
from runstone.git.repository import Repository
from runstone.git.runs.lines import HEADER, format_line

LIVE, UNBORN = ".live", ".new"
_BINARY = getattr(os, "O_BINARY", 0)
_LOCKS = 64
_KEPT = 16
"""Locks that stay open when nobody holds them; each is a file descriptor."""

_locks: dict[Path, FileLock] = {}
_locks_guard = threading.Lock()


def create(repo: Repository, path: Path, header: Mapping[str, Any], now: int, rest: bytes = b"") -> int:
    """Make a journal file; it bears its name only with its header, so that no one sees a live journal of nobody.

    Args:
        repo: The repository.
        path: The file.
        header: What its first line says; the file's own inode is added.
        now: Nanoseconds, the time of the first line.
        rest: Further lines.

    Returns:
        The file, open to append.

    Raises:
        ReadOnlyRepository: The repository cannot be written.
        DiskFull: There is no room.
    """
    unnamed = path.with_suffix(UNBORN)
    try:
        try:
            descriptor = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
            try:
                text = format_line(HEADER, now, {**header, "inode": os.fstat(descriptor).st_ino}) + rest
                if os.write(descriptor, text) != len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                repo.share(descriptor)
            finally:
                os.close(descriptor)
            unnamed.rename(path)
            return os.open(path, os.O_WRONLY | os.O_APPEND | _BINARY)
        except BaseException:
            unnamed.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ReadOnlyRepository(repo.common_dir, str(error.strerror)) from error
        raise DiskFull(path, str(error.strerror)) from error


def open_to_append(path: Path) -> int:
    """A journal that is there, to append to; raises `FileNotFoundError`. A torn last line is cut off."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | _BINARY)
    try:
        size = os.fstat(descriptor).st_size
        if size and (os.lseek(descriptor, size - 1, os.SEEK_SET), os.read(descriptor, 1))[1] != b"\n":
            os.ftruncate(descriptor, path.read_bytes().rfind(b"\n") + 1)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_all(descriptor: int, data: bytes, path: Path) -> None:
    """Append to an open journal: all of it, or, where the disk takes only part, nothing; raises `DiskFull`."""
    try:
        written = os.write(descriptor, data)
        failure = None
    except OSError as error:
        written, failure = 0, error
    if written != len(data):
        raise cut_off(descriptor, written, path, failure)


def cut_off(descriptor: int, written: int, path: Path, failure: OSError | None) -> DiskFull:
    """What to raise of a write that failed, once what the disk took of it is cut off: the next line starts clean."""
    if written:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
    error = DiskFull(path, failure.strerror if failure and failure.strerror else "the disk took only part of it")
    error.__cause__ = failure
    return error


def shared_lock(repo: Repository, run_id: str) -> FileLock:
    """The lock of those who write to the shared journals of a run, or end them. Many runs share one.

    Whoever commits takes it while holding the lock of the commits, so nobody who holds it may commit.
    """
    folder = repo.cache_dir / "shared"
    path = folder / f"{crc32(run_id.encode()) % _LOCKS:02x}.lock"
    with _locks_guard:
        found = _locks.pop(path, None)
        if found is None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ReadOnlyRepository(repo.common_dir, str(error.strerror)) from error
            found = FileLock(path)
        _locks[path] = found
        while len(_locks) > _KEPT:
            del _locks[next(iter(_locks))]  # closed when whoever holds it lets it go
        return found
