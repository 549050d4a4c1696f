"""DVC-tracked inputs of a checkout: what the pointers in its tree say, placed from the cache or the remote, by digest.

The pointer in the snapshot is the truth; a record that says otherwise is reported. Pointers and records come from other
people's pushes, so a path that leads out of the checkout is left out and named, and what git tracks is never touched.
"""

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.artifacts.copying import file_md5
from runstone.artifacts.descriptor import DIR, Descriptor, check_artifact_path, check_digest
from runstone.artifacts.store import ArtifactStore
from runstone.errors import InvalidName, RecordInvalid
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.dataset import Dataset

LOCK, PIPELINE = "dvc.lock", "dvc.yaml"
_FILES = {"100644", "100755"}


@dataclass(frozen=True, slots=True)
class Tracked:
    """One file or folder that a pointer stands for: its path from the top of the tree, and its digest."""

    path: str
    digest: str
    is_executable: bool = False


class Inputs:
    """What DVC tracks in the tree of one commit.

    Args:
        repo: The repository.
        commit: The commit.
        warn: Told what was left out, and why.
    """

    def __init__(self, repo: Repository, commit: str, warn: Callable[[str], None]) -> None:
        self._repo = repo
        self._commit = commit
        self._tree = repo.objects.commit(commit).tree
        self._warn = warn

    def chosen(self, datasets: Iterable[Dataset], every: bool) -> list[Tracked]:
        """The inputs of a record, or everything there is; each path once."""
        found = self._all() if every else self._of_record(datasets)
        return list({each.path: each for each in found}.values())

    def _of_record(self, datasets: Iterable[Dataset]) -> Iterator[Tracked]:
        for dataset in datasets:
            if dataset.dvc is None:
                continue
            tracked = list(self.read(dataset.dvc))
            ours = [t for t in tracked if dataset.path is None or _holds(t.path, dataset.path)]
            if tracked and not ours:
                self._warn(f"The input {dataset.name!r} was not placed: `{dataset.dvc}` is not about `{dataset.path}`.")
            for each in ours:
                if each.path == dataset.path and dataset.digest not in (f"md5:{each.digest}", each.digest):
                    self._warn(
                        f"`{each.path}` is what `{dataset.dvc}` in the snapshot says (md5:{each.digest}); the record "
                        f"of the run says {dataset.digest}."
                    )
            yield from ours

    def _all(self) -> Iterator[Tracked]:
        _, out = self._repo.git("ls-tree", "-r", "-z", "--full-tree", "--name-only", self._commit)
        for name in out.decode("utf-8", "surrogateescape").split("\0"):
            file = name.rpartition("/")[2]
            if file == LOCK or (file.endswith(".dvc") and file != ".dvc"):
                yield from self.read(name)

    def read(self, pointer: str) -> Iterator[Tracked]:
        """What one pointer (`x.dvc`, or a `dvc.lock`) stands for; what cannot be placed is named in a warning."""
        document = self._load(pointer)
        if not isinstance(document, dict):
            return
        folder, is_lock = posixpath.dirname(pointer), posixpath.basename(pointer) == LOCK
        if is_lock:
            wdirs = self._working_directories(folder)
            stages = document.get("stages")
            sections = [(wdirs.get(str(n)), s) for n, s in (stages if isinstance(stages, dict) else {}).items()]
        else:
            sections = [(document.get("wdir"), document)]
        for wdir, section in sections:
            outs = section.get("outs") if isinstance(section, dict) else None
            for out in outs if isinstance(outs, list) else []:
                found = self._tracked(posixpath.join(folder, wdir) if isinstance(wdir, str) else folder, out, pointer)
                if found is not None:
                    yield found

    def _load(self, pointer: str) -> Any:
        where = f"{pointer} at {self._commit[:7]}"
        try:
            entry = self._repo.objects.entry(self._tree, check_artifact_path(pointer))
        except InvalidName as error:
            self._warn(f"The DVC pointer was passed over: {error}")
            return None
        if entry is None or entry.mode not in _FILES:
            self._warn(f"The snapshot has no DVC pointer `{pointer}`, so what it stands for was not placed.")
            return None
        try:
            return yaml.load(self._repo.objects.blob(entry.oid), where)
        except RecordInvalid as error:
            self._warn(f"The DVC pointer was passed over: {error}")
            return None

    def _working_directories(self, folder: str) -> dict[str, str]:
        """The `wdir` of each stage: `dvc.lock` does not repeat it."""
        entry = self._repo.objects.entry(self._tree, posixpath.join(folder, PIPELINE))
        if entry is None or entry.mode not in _FILES:
            return {}
        try:
            document = yaml.load(self._repo.objects.blob(entry.oid), PIPELINE)
        except RecordInvalid:
            return {}
        stages = document.get("stages") if isinstance(document, dict) else None
        found = stages if isinstance(stages, dict) else {}
        return {str(n): s["wdir"] for n, s in found.items() if isinstance(s, dict) and isinstance(s.get("wdir"), str)}

    def _tracked(self, base: str, out: Any, pointer: str) -> Tracked | None:
        path, digest = (out.get("path"), out.get("md5")) if isinstance(out, dict) else (None, None)
        try:
            joined = posixpath.normpath(posixpath.join(base, path)) if isinstance(path, str) else path
            whole = check_artifact_path(joined)
            if digest is not None and out.get("hash") == "md5":
                return Tracked(whole, check_digest(digest), out.get("isexec") is True)
        except InvalidName as error:
            self._warn(f"`{pointer}` was passed over in part: {error}")
            return None
        self._warn(
            f"`{whole}` was not placed: `{pointer}` does not name it by an MD5 of DVC 3. "
            f"Bring it with DVC itself: `dvc pull '{pointer}'` in the checkout"
        )
        return None


def place(
    store: ArtifactStore,
    tracked: Sequence[Tracked],
    top: Path,
    warn: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
    *,
    reserved: Path | None = None,
) -> list[str]:
    """Write files and folders below a checkout, each verified; what the cache lacks is pulled first.

    Args:
        store: The repository's cache and remotes.
        tracked: What to place.
        top: The top of the checkout.
        warn: Told what was left as it is.
        progress: Told of each object that is pulled.
        reserved: A folder below `top` that no link of the tree may lead into.

    Returns:
        The paths that were placed, as the pointers name them.

    Raises:
        ArtifactMissing, ArtifactCorrupt, RemoteNotConfigured, RemoteFailed: Bytes cannot be had.
        DiskFull: There is no room.
    """
    placed, top = [], top.resolve()
    wanted: list[Descriptor] = []
    taken: dict[str, bool] = {}  # path → whether a file is to lie there, or only what is in it
    executable: list[str] = []
    for each in tracked:
        inside = store.listing_of(each.digest) if each.digest.endswith(DIR) else None
        entries = (
            [Descriptor(each.path, None, each.digest)]
            if inside is None
            else [Descriptor(f"{each.path}/{entry.path}", entry.size, entry.md5) for entry in inside]
        )
        free = [
            entry for entry in entries if _is_free(entry, top, warn, reserved) and not _collides(entry, taken, warn)
        ]
        wanted += free
        executable += [entry.path for entry in free if each.is_executable]
        if free or not entries:
            placed.append(each.path)
        if not entries and _leads_inside(top, each.path):
            (top / each.path).mkdir(parents=True, exist_ok=True)
    missing = list(dict.fromkeys(entry.md5 for entry in wanted if not store.cache.has(entry.md5)))
    if missing:
        store.pull(missing, progress=progress)
    store.fetch(wanted, top)
    for path in executable:
        (top / path).chmod((top / path).stat().st_mode | 0o111)
    return placed


def find_here(store: ArtifactStore, tracked: Iterable[Tracked]) -> list[Tracked]:
    """What of these the cache holds whole."""

    def is_here(each: Tracked) -> bool:
        if not store.cache.has(each.digest):
            return False
        inside = store.listing_of(each.digest) if each.digest.endswith(DIR) else []
        return all(store.cache.has(entry.md5) for entry in inside)

    return [each for each in tracked if is_here(each)]


def _is_free(entry: Descriptor, top: Path, warn: Callable[[str], None], reserved: Path | None) -> bool:
    """Whether a file may be written: nothing is there, and no link of the tree leads elsewhere."""
    path = top / entry.path
    where = path.parent.resolve()
    if not where.is_relative_to(top):
        warn(f"`{entry.path}` was not placed: a symbolic link leads out of the checkout.")
        return False
    if reserved is not None and where.is_relative_to(reserved):
        warn(f"`{entry.path}` was not placed: it would lie among Runstone's own files.")
        return False
    if os.path.lexists(path):
        if not path.is_file() or file_md5(path) != entry.md5:
            warn(f"`{entry.path}` was left as git has it; DVC's pointer names other bytes (md5:{entry.md5}).")
        return False
    above = next(folder for folder in path.parents if os.path.lexists(folder))
    if not above.is_dir():
        warn(f"`{entry.path}` was not placed: `{above.relative_to(top).as_posix()}` is a file.")
    return above.is_dir()


def _collides(entry: Descriptor, taken: dict[str, bool], warn: Callable[[str], None]) -> bool:
    """Whether pointers want a file and a folder, or two files, in one place; the first of them has it."""
    parts = entry.path.split("/")
    above = ["/".join(parts[:length]) for length in range(1, len(parts))]
    if entry.path in taken or any(taken.get(folder) for folder in above):
        warn(f"`{entry.path}` was not placed: another DVC pointer of the tree stands for something in its place.")
        return True
    taken |= {entry.path: True} | dict.fromkeys(above, False)
    return False


def _leads_inside(top: Path, path: str) -> bool:
    return (top / path).parent.resolve().is_relative_to(top)


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
