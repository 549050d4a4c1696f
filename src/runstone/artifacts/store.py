"""The artifacts of one repository: bytes into the cache, one folder a run, out again by digest.

It ties `cache`, `pointer` and `remote` to a repository; what a run is, it does not know.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from runstone.artifacts import pointer
from runstone.artifacts.cache import Cache
from runstone.artifacts.config import find_cache, public_config
from runstone.artifacts.copying import file_md5
from runstone.artifacts.descriptor import Descriptor, check_artifact_path, format_listing, listing_digest, with_logged
from runstone.errors import ArtifactRefused, CopyRefused, RemoteNotConfigured
from runstone.git.repository import Repository
from runstone.git.runs.branch import DVC_CONFIG, read_runs

if TYPE_CHECKING:
    from runstone.artifacts.remote import Remote, Transfer


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One entry of a listing, as MLflow's `FileInfo`. `file_size` is None for folders, or where it is not known."""

    path: str
    is_dir: bool
    file_size: int | None


class ArtifactStore:
    """Where the bytes of a repository's runs are kept. Nothing is made or read before it is used."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo

    @cached_property
    def cache(self) -> Cache:
        """The DVC cache: the repository's own, or the embedded one inside the git directory."""
        return find_cache(self._repo.work_tree, self._repo.state_dir)

    # --- in

    def add_path(self, source: Path, folder: str = "") -> list[Descriptor]:
        """Put a file, or a folder with all below it, into the cache.

        Args:
            source: What to keep. Being named outright, it may be a symbolic link.
            folder: Where it goes among the run's artifacts; a file keeps its name, a folder's content goes right there.

        Writes:
            Objects of the cache; nothing in the folder it came from.

        Raises:
            ArtifactRefused: It does not exist, is no file or folder, or holds a link that leads out of it.
            InvalidName: A name that not every system can hold.
            DiskFull: There is no room.
        """
        if folder:
            check_artifact_path(folder)
        if source.is_dir():
            files = [(path, _join(folder, relative)) for path, relative in _walk(source)]
            for _, path in files:
                check_artifact_path(path)
            return self.cache.add_files(files)
        if not source.exists():
            raise ArtifactRefused(source, "there is no such file")
        if not stat.S_ISREG(source.stat().st_mode):
            raise ArtifactRefused(source, "it is neither a file nor a folder")
        path = check_artifact_path(_join(folder, source.name))
        md5, size = self.cache.add_file(source)
        return [Descriptor(path, size, md5)]

    def folder_digest(self, entries: Iterable[Descriptor]) -> tuple[str, int]:
        """The digest and size of a folder; its listing goes into the cache, so that it can be fetched on its own."""
        digest, size, _ = self.cache.add_dir(entries)
        return digest, size

    @staticmethod
    def listing_digest(entries: Iterable[Descriptor]) -> str:
        """The digest that a folder of these files has; nothing is written."""
        return listing_digest(format_listing(entries))

    def pointer(self, base: bytes | None, artifacts: Sequence[Sequence[Any]]) -> str | None:
        """The text of `artifacts.dvc` for what was there and what was logged since; the later file of one path wins."""
        before = [] if base is None else self.listing(base, "artifacts.dvc")
        entries = with_logged(before, artifacts)
        if not entries and base is None:
            return None
        if base is not None:
            _fill_sizes(entries, pointer.parse_pointer(base, "artifacts.dvc").size, before)
            unknown = {entry.path: entry for entry in entries.values() if entry.size is None}
            if unknown:  # one of several files that are not here is replaced: no sum tells the size of the others
                self.pull([entry.md5 for entry in unknown.values()])
                entries |= {path: Descriptor(path, self.cache.size(e.md5), e.md5) for path, e in unknown.items()}
        _part_clashes(entries)
        digest, size, count = self.cache.add_dir(entries.values())
        return pointer.format_pointer(pointer.Pointer(digest, size, count))

    def merge_folders(self, base: bytes | None, ours: bytes | None, theirs: bytes | None) -> str | None:
        """The text of `artifacts.dvc` for the folders of two sides: path by path, where both changed one ours stays.

        Only the listings are needed, not the files.

        Returns:
            The text; None when nothing is left.

        Raises:
            ArtifactMissing: A listing is not in the cache, or the size of a file cannot be told without its bytes: pull
                the error's `digest` and call again.
            RecordInvalid: One of the texts is no pointer, or its listing is none.
        """
        was, mine, other = (self._folder(text) for text in (base, ours, theirs))
        before, own, others = ({entry.path: entry for entry in entries} for _, entries in (was, mine, other))
        merged = {}
        for path in [*others, *(path for path in own if path not in others)]:
            sides = [side[path].md5 if path in side else None for side in (before, own, others)]
            chosen = others if sides[1] == sides[0] else own
            if chosen is own and path not in own and sides[2] != sides[0]:
                chosen = others  # removed here, changed there
            if path in chosen:
                merged[path] = chosen[path]
        if not merged:
            return None
        for total, entries in (other, mine):
            _fill_sizes(merged, total, entries)
        _part_clashes(merged)
        digest, size, count = self.cache.add_dir(merged.values())
        return pointer.format_pointer(pointer.Pointer(digest, size, count))

    def _folder(self, text: bytes | None) -> tuple[int, list[Descriptor]]:
        """The size of a folder as its pointer tells it, and its files as far as the cache knows them."""
        if text is None:
            return 0, []
        found = pointer.parse_pointer(text, "artifacts.dvc")
        return found.size, self.cache.read_dir(found.digest)

    def sync(self, digests: Iterable[str]) -> None:
        """Make objects of the cache survive power loss."""
        self.cache.sync(digests)

    # --- out

    def listing(self, text: bytes | str, where: str) -> list[Descriptor]:
        """The files that an `artifacts.dvc` stands for; the listing is pulled if only the remote has it."""
        return self.listing_of(pointer.parse_pointer(text if isinstance(text, str) else text.decode(), where).digest)

    def listing_of(self, digest: str) -> list[Descriptor]:
        """The files of a folder by its digest; the listing, not its files, is pulled if only the remote has it."""
        if not self.cache.has(digest):
            self.need_remote().pull([digest], self.cache, expand=False)
        return self.cache.read_dir(digest)

    def read(self, entry: Descriptor) -> bytes:
        """The bytes of one file, verified; pulled if only the remote has them."""
        if not self.cache.has(entry.md5):
            self.pull([entry.md5])
        return self.cache.read_bytes(entry.md5)

    def fetch(self, entries: Iterable[Descriptor], target: Path, *, strip: str = "") -> None:
        """Write files below a folder, each verified by its digest; those not in the cache are pulled first.

        Args:
            entries: The files.
            target: The folder; made if need be.
            strip: A folder that their paths begin with and that is left off.
        """
        wanted = list(entries)
        missing = [entry.md5 for entry in wanted if not self.cache.has(entry.md5)]
        if missing:
            self.pull(missing)
        for entry in wanted:
            check_artifact_path(entry.path)
            relative = PurePosixPath(entry.path).relative_to(strip) if strip else PurePosixPath(entry.path)
            path = target.joinpath(*relative.parts)
            if not path.parent.resolve().is_relative_to(target.resolve()):
                raise CopyRefused(path, "a symbolic link leads out of the folder that was named")
            self.cache.copy_out(entry.md5, path)

    # --- remotes

    def remote(self, name: str | None = None) -> "Remote | None":
        """The DVC remote of the repository, or the one of a name; None if none is configured."""
        from runstone.artifacts.remote import Remote

        text = read_runs(self._repo).read(DVC_CONFIG)
        return Remote.open(
            self._repo.work_tree, self._repo.state_dir, text.decode() if text is not None else None, name=name
        )

    def need_remote(self, name: str | None = None) -> "Remote":
        """As `remote`; raises `RemoteNotConfigured` when there is none."""
        remote = self.remote(name)
        if remote is None:
            raise RemoteNotConfigured(name)
        return remote

    def push(
        self, digests: Iterable[str], *, remote: str | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "Transfer":
        """Send objects to the remote; those it has are not sent again."""
        return self.need_remote(remote).push(digests, self.cache, progress)

    def pull(
        self, digests: Iterable[str], *, remote: str | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "Transfer":
        """Bring objects from the remote into the cache."""
        return self.need_remote(remote).pull(digests, self.cache, progress)

    def remote_config(self) -> str | None:
        """The text of `.dvc/config` for the branch `runs`: the work tree's remotes without credentials.

        None where the work tree has no DVC configuration.
        """
        if self._repo.work_tree is None:
            return None
        try:
            text = (self._repo.work_tree / DVC_CONFIG).read_text(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return public_config(text)


def list_folder(entries: Iterable[Descriptor], folder: str = "") -> list[FileInfo]:
    """The files and folders right in `folder`, as MLflow's `list_artifacts` gives them; none if it is a file."""
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    found: dict[str, FileInfo] = {}
    for entry in entries:
        if not entry.path.startswith(prefix):
            continue
        name, slash, _ = entry.path[len(prefix) :].partition("/")
        path = prefix + name
        found[path] = FileInfo(path, bool(slash), None if slash else entry.size)
    return [found[path] for path in sorted(found)]


def below(entries: Iterable[Descriptor], path: str) -> list[Descriptor]:
    """The entries that are `path` or lie below it; all for an empty path."""
    path = path.strip("/")
    return [e for e in entries if not path or e.path == path or e.path.startswith(f"{path}/")]


def find_in_the_way(entries: Iterable[Descriptor], folder: Path) -> list[Path]:
    """What lies below a folder where these are to be copied, and is something else."""
    places = [(folder.joinpath(*entry.path.split("/")), entry.md5) for entry in entries]
    return [
        path for path, digest in places if os.path.lexists(path) and not (path.is_file() and file_md5(path) == digest)
    ]


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """The files below a folder with their paths in it. Links are followed to files inside it, never out of it."""
    real_root = root.resolve()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(folders + files):
            path = Path(folder, name)
            if path.is_symlink():
                target = path.resolve()
                if not target.is_relative_to(real_root):
                    raise ArtifactRefused(path, f"it is a symbolic link that leads out of {root}")
                if target.is_dir():
                    raise ArtifactRefused(path, "it is a symbolic link to a folder")
            elif name in folders:
                continue
            if not path.is_file():
                raise ArtifactRefused(path, "it is neither a file nor a folder")
            yield path, path.relative_to(root).as_posix()


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _part_clashes(entries: dict[str, Descriptor]) -> None:
    """Where one process logged a file `a` and another `a/b`, no folder can hold both: the file becomes `a.file`."""
    folders = _folders_of(entries)
    for path in folders & entries.keys():
        entry = entries.pop(path)
        renamed = f"{path}.file"
        while renamed in entries or renamed in folders:
            renamed += ".file"
        entries[renamed] = Descriptor(renamed, entry.size, entry.md5)


def _fill_sizes(merged: dict[str, Descriptor], total: int, entries: Sequence[Descriptor]) -> None:
    """Of files whose bytes are elsewhere only the sum of sizes is known, and only the sum is written: so one has it."""
    unknown = [entry for entry in entries if entry.size is None]
    if not unknown or any(merged.get(entry.path) != entry for entry in unknown):
        return
    rest = max(0, total - sum(entry.size or 0 for entry in entries))
    for number, entry in enumerate(unknown):
        merged[entry.path] = Descriptor(entry.path, 0 if number else rest, entry.md5)


def _folders_of(paths: Iterable[str]) -> set[str]:
    return {"/".join(parts[:i]) for path in paths for parts in [path.split("/")] for i in range(1, len(parts))}


class TakenPaths:
    """The paths that a run has kept: a name cannot be a file and a folder at once."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, entries: Sequence[Descriptor]) -> None:
        """Take the paths of some files: all of them, or, where one is barred, none.

        Raises:
            ArtifactRefused: A file and a folder would have one name.
        """
        files = {entry.path for entry in entries}
        folders = _folders_of(files)
        barred = (files & (self._folders | folders)) | (folders & self.files)
        if barred:
            raise ArtifactRefused(Path(min(barred)), "the run would have a file and a folder of this name")
        self.files |= files
        self._folders |= folders
