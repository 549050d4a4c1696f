"""A lock between processes on one machine.

It is for fairness, never for correctness: refs are moved by compare-and-swap. So a disk that cannot lock
(some network file systems) costs speed, nothing else. The kernel drops it when its holder dies.
"""

import errno
import os
import threading
from pathlib import Path
from types import TracebackType

from runstone.git import forks

_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF}  # EBADF: NFS, opened to read
_HELD = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN}


class FileLock:
    """`with FileLock(path):` — one holder among processes and threads; waits without spinning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = threading.RLock()
        self._depth = 0
        self._descriptor = -1
        forks.watch(self)

    def __enter__(self) -> "FileLock":
        self._thread.acquire()
        try:
            if self._depth == 0:
                self._descriptor = _open(self._path)
                _lock(self._descriptor)
            self._depth += 1
        except BaseException:
            if self._depth == 0 and self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
            self._thread.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            descriptor, self._descriptor = self._descriptor, -1
            _unlock(descriptor)
            os.close(descriptor)
        self._thread.release()

    def after_fork(self) -> None:
        """In a forked child: it holds nothing, even if a thread of the parent did when it forked."""
        self._thread = threading.RLock()
        self._depth = 0
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)  # and no unlocking: that would take the lock from the parent


def can_lock(path: Path) -> bool:
    """Whether the disk that holds `path` can lock; asks without waiting. The file is made if need be."""
    try:
        import fcntl
    except ImportError:
        return os.access(path.parent, os.W_OK)
    try:
        descriptor = _open(path)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _HELD
    finally:
        os.close(descriptor)
    return True


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY)  # another user of a shared repository made it


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:
        _lock_windows(descriptor)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def _unlock(descriptor: int) -> None:
    """Closing alone would leave it locked while a child forked at that moment holds a copy of the descriptor."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def _lock_windows(descriptor: int) -> None:
    import importlib
    import time

    msvcrt = importlib.import_module("msvcrt")
    while True:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            return
        except OSError:
            time.sleep(0.01)  # the blocking form gives up after ten tries
