"""Files moved at the speed of the disk: copied and hashed at once, many at a time, with errors that name the place.

A large file is copied by the kernel while the copy is hashed right behind it, so it costs the hash alone. Measured for
1 GiB: 1.5 s; hash, then copy 1.8 to 2.4 s; both through our own memory 2.2 s; the hash by itself 1.5 s.
"""

# A path is a text here; see cache.py.
# ruff: noqa: PTH101, PTH116

import errno
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from runstone.errors import DiskFull, ReadOnlyRepository

T = TypeVar("T")
R = TypeVar("R")

SMALL = 1 << 20
"""Bytes up to which a file goes through memory in one piece."""

READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_STEP = 8 << 20
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_NO_KERNEL_COPY = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.ETXTBSY}


def in_parallel(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Apply a function that waits for disks to each item, on a few threads; results in order, first error raised.

    Two threads on two cores took 1.2 s for 2,000 small files where one took 2.1 s; more did not help.
    """
    workers = min(4, os.cpu_count() or 1, len(items) // 8)
    if workers < 2:
        return [function(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    # Each worker takes the next item from one queue: a future for each of 2,000 files would cost more than it moves.
    waiting = deque(enumerate(items))
    results: dict[int, R] = {}

    def work() -> None:
        while waiting:
            try:
                position, item = waiting.popleft()
            except IndexError:
                return
            try:
                results[position] = function(item)
            except BaseException:
                waiting.clear()
                raise

    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work) for _ in range(workers)]:
            done.result()
    return [results[position] for position in range(len(items))]


def copy_hashing(source: int, target: str, mode: int | None) -> tuple[str, int]:
    """Copy an open file from its start to a new one, and hash the copy; returns MD5 and size of the copy."""
    from concurrent.futures import ThreadPoolExecutor

    copy = os.open(target, NEW, 0o666)
    try:
        with ThreadPoolExecutor(1) as pool:
            digest, done, step = hashlib.md5(usedforsecurity=False), 0, _copier(source, copy)
            count = step()
            while count:
                # A short file ends with its first piece, and needs no thread.
                ahead = pool.submit(step) if count == _STEP else None
                end = done + count
                while done < end:
                    part = os.pread(copy, min(SMALL, end - done), done)
                    if not part:
                        raise OSError(errno.EIO, "the copy ended early", target)
                    digest.update(part)
                    done += len(part)
                count = ahead.result() if ahead else step()
        if mode is not None:
            set_mode(target, copy, mode)
    finally:
        os.close(copy)
    return digest.hexdigest(), done


def _copier(source: int, target: int) -> Callable[[], int]:
    """A function that copies the next piece and returns its length, 0 at the end: in the kernel where it can."""
    can_copy = hasattr(os, "copy_file_range")
    done = 0

    def step() -> int:
        nonlocal can_copy, done
        count = 0
        if can_copy:
            try:
                count = os.copy_file_range(source, target, _STEP, done, done)
            except OSError as error:
                if error.errno not in _NO_KERNEL_COPY:
                    raise
                can_copy = False
        if not count:  # the end, or a file system whose kernel copy does nothing
            data = os.pread(source, _STEP, done)
            while count < len(data):
                count += os.pwrite(target, memoryview(data)[count:], done + count)
        done += count
        return count

    return step


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a disk's refusal to be written into an error that says which."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EROFS:
            raise ReadOnlyRepository(path, error.strerror or str(error)) from error
        if error.errno in _NO_ROOM:
            raise DiskFull(path, error.strerror or str(error)) from error
        raise


def fsync(path: str) -> None:
    """Put a file, or the names in a folder, on the disk; raises `DiskFull` where it refuses."""
    handle = os.open(path, READ)
    try:
        with writing(Path(path)):
            os.fsync(handle)
    finally:
        os.close(handle)


def size_of(path: str) -> int | None:
    """The size of a file; None if there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def set_mode(path: str, handle: int, mode: int) -> None:
    """Set who may do what with an open file, whatever the umask."""
    if hasattr(os, "fchmod"):
        os.fchmod(handle, mode)
    else:
        os.chmod(path, mode)


def md5() -> "hashlib._Hash":
    """A new MD5, for naming and not for secrecy, so that FIPS systems allow it."""
    return hashlib.md5(usedforsecurity=False)


def file_md5(path: Path) -> str:
    """The MD5 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, md5).hexdigest()
