"""The cache that holds artifact bytes, in DVC 3's layout: `files/md5/ab/cdef…`, read-only, each named by its MD5.

What is stored is exactly what was hashed, and is hashed again whenever it is read. Files are copied, never linked: the
user's file may change later.
"""

# A path is a text here: thousands of small files are added at once, and a Path costs more than its system call.
# ruff: noqa: PTH101, PTH102, PTH103, PTH105, PTH108, PTH110, PTH112, PTH120, PTH123

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from runstone.artifacts.copying import (
    NEW,
    READ,
    SMALL,
    copy_hashing,
    fsync,
    in_parallel,
    md5,
    set_mode,
    size_of,
    writing,
)
from runstone.artifacts.descriptor import (
    DIR,
    Descriptor,
    check_artifact_path,
    check_digest,
    format_listing,
    listing_digest,
    parse_listing,
)
from runstone.errors import ArtifactCorrupt, ArtifactMissing, InvalidValue

_SYNC_ALL = 32
"""Files from which one `sync` of everything beats one `fsync` each (2,000 files: 0.03 s against 0.5 s)."""

_STALE_S = 24 * 3600
_EMPTY = hashlib.md5(b"", usedforsecurity=False).hexdigest()


class Cache:
    """Artifact bytes by digest.

    Args:
        root: The folder DVC calls `cache.dir`.
        shared: Whether the folders made here may be written by the group, as DVC's `cache.shared = group`.
        fallback: Another cache, read where this one lacks something, and never written.
    """

    def __init__(self, root: Path, *, shared: bool = False, fallback: Path | None = None) -> None:
        self.root = root
        self._objects = str(root / "files" / "md5")
        self._fallback = None if fallback is None else Cache(fallback)
        self._folder_mode = 0o2775 if shared else None
        self._is_ready = False

    def path(self, digest: str) -> Path:
        """Where the bytes with this digest lie, or would lie."""
        return Path(self._find(check_digest(digest)))

    def has(self, digest: str) -> bool:
        """Whether the bytes are here. An empty file in the place of bytes, as a power loss leaves, does not count."""
        return self.size(digest) is not None

    def size(self, digest: str) -> int | None:
        """How many bytes there are; None if they are not here."""
        size = size_of(self._find(check_digest(digest)))
        return size if size or digest == _EMPTY else None

    def add_bytes(self, data: bytes) -> str:
        """Store bytes.

        Returns:
            Their MD5.

        Raises:
            DiskFull: There is no room, or no permission.
        """
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._store(digest, data)
        return digest

    def add_file(self, source: Path) -> tuple[str, int]:
        """Store what a file holds now. If it changes meanwhile, what was read is stored under its own digest.

        Returns:
            The MD5 and the size of what was stored.

        Raises:
            DiskFull: There is no room, or no permission to write into the cache.
            InvalidValue: It is neither a file nor a link to one.
            OSError: It cannot be read.
        """
        # Opening a pipe would wait for its writer; a file is not affected by O_NONBLOCK.
        handle = os.open(source, READ | getattr(os, "O_NONBLOCK", 0))
        with open(handle, "rb", buffering=0) as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidValue(f"{source} cannot be logged: it is not a file. To log a folder: `log_artifacts`")
            if status.st_size <= SMALL:
                data = stream.readall()
                return self.add_bytes(data), len(data)
            with self._temporary() as temporary:
                digest, size = copy_hashing(handle, temporary, 0o444)
                self._place(temporary, digest, size)
            return digest, size

    def add_files(self, files: Sequence[tuple[Path, str]]) -> list[Descriptor]:
        """Store many files, a few at a time in parallel.

        Args:
            files: Pairs of the file and its path below the folder of artifacts.

        Returns:
            Their descriptors, in the order given.

        Raises:
            InvalidName: A path cannot be used; nothing was stored.
            DiskFull, InvalidValue, OSError: As `add_file`.
        """
        for _, path in files:
            check_artifact_path(path)

        def add(item: tuple[Path, str]) -> Descriptor:
            digest, size = self.add_file(item[0])
            return Descriptor(item[1], size, digest)

        return in_parallel(add, files)

    def add_dir(self, entries: Iterable[Descriptor]) -> tuple[str, int, int]:
        """Store the listing of a folder whose files are stored already.

        Returns:
            Its digest (`….dir`), the sum of the sizes, and the number of files.

        Raises:
            InvalidName: Two entries cannot stand in one folder.
            ArtifactMissing: An entry has no size, and its bytes are not here.
            DiskFull: There is no room, or no permission.
        """
        entries = list(entries)
        data = format_listing(entries)
        total = sum(self._known_size(entry) for entry in entries)
        digest = listing_digest(data)
        self._store(digest, data)
        return digest, total, len(entries)

    def read_dir(self, digest: str) -> list[Descriptor]:
        """The files of a folder, by path. Sizes are those in this cache; None where the bytes are not here.

        Raises:
            ArtifactMissing, ArtifactCorrupt: As `read_bytes`.
            RecordInvalid: It is no listing.
        """
        entries = parse_listing(self.read_bytes(digest), f"artifact listing {digest}")
        return [e if e.size is not None else Descriptor(e.path, self.size(e.md5), e.md5) for e in entries]

    def read_bytes(self, digest: str) -> bytes:
        """The bytes with this digest, verified.

        Raises:
            ArtifactMissing: They are not here.
            ArtifactCorrupt: What lies in their place is something else.
        """
        with self._open(digest) as stream:
            data = stream.read()
        self._check(digest, hashlib.md5(data, usedforsecurity=False).hexdigest())
        return data

    def verify(self, digest: str) -> None:
        """Hash what is stored, and raise as `read_bytes` if it is not what its name says."""
        with self._open(digest) as stream:
            self._check(digest, hashlib.file_digest(stream, md5).hexdigest())

    def copy_out(self, digest: str, target: Path) -> None:
        """Copy bytes to a file of the user's, verified on the way; the file appears whole or not at all.

        Args:
            digest: What to copy.
            target: The file to write or replace; its folder is made.

        Raises:
            ArtifactMissing, ArtifactCorrupt: As `read_bytes`.
            DiskFull: The file cannot be written.
        """
        with self._open(digest) as stream, writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.parent / f".runstone-{os.urandom(8).hex()}.tmp"
            try:
                self._check(digest, copy_hashing(stream.fileno(), str(temporary), None)[0])
                os.replace(temporary, target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    @contextmanager
    def temporaries(self, count: int) -> Iterator[list[str]]:
        """Names of files in the cache to be filled and given to `adopt`; what is left of them goes away at the end.

        Raises:
            DiskFull: There is no permission to write into the cache.
        """
        self._make_ready()
        folder = self._new_name()  # of its own: who fills the files may leave others of its own beside them
        with writing(self.root):
            os.mkdir(folder)
        try:
            yield [f"{folder}/{number}" for number in range(count)]
        finally:
            _remove_folder(folder)

    def adopt(self, temporary: str, digest: str, origin: str, next_step: str) -> int:
        """Take in a file that came from elsewhere, if it is what its digest says.

        Args:
            temporary: A file named by `temporaries`.
            digest: What it should be.
            origin: Where it came from, for the message.
            next_step: What to do if it is something else.

        Returns:
            Its size.

        Raises:
            ArtifactCorrupt: It is something else, and was not taken in.
        """
        with open(temporary, "rb") as stream:
            size, found = os.fstat(stream.fileno()).st_size, hashlib.file_digest(stream, md5).hexdigest()
        if found != digest.removesuffix(DIR):
            raise ArtifactCorrupt(digest, origin, found, next_step)
        with writing(Path(temporary)):
            os.chmod(temporary, 0o444)
            self._place(temporary, digest, size)
        return size

    def sync(self, digests: Iterable[str]) -> None:
        """Make objects survive a power loss: their bytes and their names are on the disk when this returns.

        Raises:
            ArtifactMissing: One of them is not here.
            DiskFull: The disk refuses.
        """
        paths = {digest: self._find(check_digest(digest)) for digest in digests}
        for digest, path in paths.items():
            if size_of(path) is None:
                raise self._missing(digest)
        if len(paths) > _SYNC_ALL and hasattr(os, "sync"):
            os.sync()
            return
        for path in paths.values():
            fsync(path)
        for folder in {above for path in paths.values() for above in Path(path).parents[:5]}:
            with suppress(OSError):  # may not be opened: it is above the cache, or the system cannot open folders
                fsync(str(folder))

    def _path(self, digest: str) -> str:
        return f"{self._objects}/{digest[:2]}/{digest[2:]}"

    def _find(self, digest: str) -> str:
        path = self._path(digest)
        if self._fallback is not None and not os.path.exists(path) and self._fallback.has(digest):
            return self._fallback._path(digest)
        return path

    def _freshen(self, digest: str, size: int) -> bool:
        """Whether the bytes are here; if so they look new, so that `removal` leaves them to whoever adds them now."""
        path = self._path(digest)
        if size_of(path) != size:
            return False
        try:
            os.utime(path)
        except FileNotFoundError:
            return False  # removed at this moment
        except PermissionError:
            pass  # another user's, in a shared cache
        # The system may have found the file by this path before it was put out of the way, and its time been set after.
        return size_of(path) == size

    def _known_size(self, entry: Descriptor) -> int:
        size = entry.size if entry.size is not None else self.size(entry.md5)
        if size is None:
            raise self._missing(entry.md5)
        return size

    def _store(self, digest: str, data: bytes) -> None:
        if self._freshen(digest, len(data)):
            return
        with self._temporary() as temporary:
            handle = os.open(temporary, NEW, 0o444)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(handle, view) :]
                set_mode(temporary, handle, 0o444)
            finally:
                os.close(handle)
            self._place(temporary, digest, len(data))

    def _place(self, temporary: str, digest: str, size: int) -> None:
        """Give a finished file its name, unless the bytes are here; a torn object of the same name is replaced."""
        path = self._path(digest)
        if self._freshen(digest, size):
            os.unlink(temporary)
            return
        try:
            os.replace(temporary, path)
        except FileNotFoundError:
            self._make_folder(os.path.dirname(path))
            os.replace(temporary, path)

    @contextmanager
    def _temporary(self) -> Iterator[str]:
        self._make_ready()
        name = self._new_name()
        with writing(self.root):
            try:
                yield name
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(name)
                raise

    def _new_name(self) -> str:
        return f"{self._objects}/.runstone-{os.urandom(8).hex()}.tmp"

    def _make_ready(self) -> None:
        """Make the cache's folder, once, and sweep away what killed processes left in it."""
        if self._is_ready:
            return
        with writing(self.root):
            if not os.path.isdir(self._objects):
                for folder in (self.root, self.root / "files", self.root / "files" / "md5"):
                    self._make_folder(str(folder))
            with os.scandir(self._objects) as found:
                for entry in found:
                    if entry.name.startswith(".runstone-") and entry.name.endswith(".tmp"):
                        with suppress(FileNotFoundError):
                            if time.time() - entry.stat().st_mtime < _STALE_S:
                                continue
                            if entry.is_dir(follow_symlinks=False):
                                _remove_folder(entry.path)
                            else:
                                os.unlink(entry.path)
        self._is_ready = True

    def _make_folder(self, path: str) -> None:
        if os.path.isdir(path):
            return
        os.makedirs(path, exist_ok=True)
        if self._folder_mode is not None:
            os.chmod(path, self._folder_mode)

    @contextmanager
    def _open(self, digest: str) -> Iterator[FileIO]:
        try:
            stream = FileIO(self._find(check_digest(digest)))
        except FileNotFoundError:
            raise self._missing(digest) from None
        with stream:
            yield stream

    def _check(self, digest: str, found: str) -> None:
        if found != digest.removesuffix(DIR):
            path = self.path(digest)
            step = f"Delete it and fetch it again: `rm -f '{path}'`, then `runstone artifacts pull --all`"
            raise ArtifactCorrupt(digest, str(path), found, step)

    def _missing(self, digest: str) -> ArtifactMissing:
        return ArtifactMissing(
            digest, f"the cache {self.root}", "Fetch them from the remote: `runstone artifacts pull --all`"
        )


def _remove_folder(path: str) -> None:
    import shutil  # slow to import, and seldom needed

    shutil.rmtree(path, ignore_errors=True)
