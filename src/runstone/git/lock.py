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
        before = self._depth
        try:
            if before == 0:
                self._take()
            self._depth = before + 1
            return self
        except BaseException:
            self._depth = before
            if before == 0:
                self._drop()
            self._thread.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        depth = self._depth - 1
        try:
            self._depth = depth
            if depth == 0:
                self._drop()
        except BaseException:  # Ctrl-C, which may come between any two lines
            self._depth = depth
            if depth == 0:
                self._drop()
            raise
        finally:
            self._thread.release()

    def settle(self) -> None:
        """Let go what this thread still holds: Ctrl-C may come as `with` ends, before `__exit__` does anything."""
        if not self._thread.acquire(blocking=False):
            return  # another thread's
        if self._depth:
            self._depth = 0
            self._drop()
        try:
            while True:
                self._thread.release()
        except RuntimeError:
            return  # it is held no more

    def _take(self) -> None:
        # One descriptor for good: a lock that was not let go is then held by it, and locking it again does not wait.
        if self._descriptor < 0:
            self._descriptor = _open(self._path)
        _lock(self._descriptor)

    def _drop(self) -> None:
        if self._descriptor >= 0:
            _unlock(self._descriptor)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

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
    try:
        import fcntl
    except ImportError:
        _unlock_windows(descriptor)
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


def _unlock_windows(descriptor: int) -> None:
    import importlib
    from contextlib import suppress

    msvcrt = importlib.import_module("msvcrt")
    with suppress(OSError):  # it was not locked
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
