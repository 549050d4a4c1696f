"""Files of the object database: made whole or not at all, shared as the repository asks, synced on request."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from runstone.errors import DiskFull, ReadOnlyRepository

_ATTEMPTS = 100
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; one `os.write` may take fewer."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_object_file(path: str, data: bytes, *, shared: int, sync: bool) -> None:
    """Put a file in its place by a rename, so that no one ever sees a part of it.

    Args:
        path: Where; its folder is made if need be.
        data: The content.
        shared: Permission bits that all files must have; see `shared_folder_mode`.
        sync: Make it survive power loss.

    Raises:
        DiskFull: There is no room.
        ReadOnlyRepository: The repository cannot be written.
    """
    folder = path.rpartition("/")[0]
    temporary = f"{folder}/tmp_obj_{os.urandom(6).hex()}"  # a name that `git gc` cleans up
    try:
        descriptor = _open_new(temporary, folder, shared)
        try:
            write_all(descriptor, data)
            if shared:
                os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | shared & 0o444)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        Path(temporary).replace(path)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ReadOnlyRepository(Path(folder).parent.parent, str(error.strerror)) from error
        Path(temporary).unlink(missing_ok=True)
        raise DiskFull(Path(path), str(error.strerror)) from error


def freshen(path: str) -> bool:
    """Whether a loose object is there; if so it looks new, so that `git gc` does not prune it before it is used.

    An empty file is what power loss leaves of an object. git never heals it; here it counts as missing.
    """
    try:
        if os.stat(path).st_size == 0:  # noqa: PTH116  # on the path of every object: a Path costs more than the call
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True  # another user's, in a shared repository
    return True


def sync_file(path: str | Path) -> bool:
    """Make a file's content survive power loss; False if there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def shared_folder_mode(mode: int, shared: int) -> int:
    """The mode of a folder whose files must have the bits of `core.sharedRepository`: whoever reads may enter."""
    return stat.S_IMODE(mode) | shared | (shared & 0o444) >> 2 | stat.S_ISGID


def _open_new(temporary: str, folder: str, shared: int) -> int:
    """Open a new file, its folder made if need be: again and again, since `git gc` removes a folder that is empty."""
    for _ in range(_ATTEMPTS):
        try:
            return os.open(temporary, NEW_FILE, 0o444)
        except FileNotFoundError:
            _make_folder(Path(folder), shared)
    return os.open(temporary, NEW_FILE, 0o444)


def _make_folder(folder: Path, shared: int) -> None:
    folder.mkdir(exist_ok=True)
    if shared:
        with suppress(FileNotFoundError):  # removed again at this moment
            folder.chmod(shared_folder_mode(folder.stat().st_mode, shared))
