"""What DVC keeps for a commit outside git: which paths, by which digests, and their bytes from caches and remotes."""

import hashlib
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from runstone.artifacts.config import find_cache
from runstone.artifacts.descriptor import DIR, Descriptor, check_digest
from runstone.artifacts.remote import Remote
from runstone.errors import InvalidName, RecordInvalid, RunstoneError
from runstone.git.repository import Repository
from runstone.imports.incoming import IncomingFile, Unavailable
from runstone.imports.trees import Tree
from runstone.records import yaml
from runstone.tracking.workspace import Workspace

_KEPT = 8192


@dataclass(frozen=True, slots=True)
class Output:
    """A file or folder that DVC keeps: its path in the commit, and its digest, which of a folder ends with `.dir`."""

    path: str
    digest: str
    size: int | None


def find_outputs(tree: Tree) -> dict[str, Output]:
    """What the pointers (`*.dvc`) and the lock files of a tree name, by path; what cannot be read is passed over."""
    found: dict[str, Output] = {}
    for path in tree.paths:
        name = posixpath.basename(path)
        if name.endswith(".dvc") and name != ".dvc":
            document = read_yaml(tree, path)
            found |= _outputs(document, posixpath.join(posixpath.dirname(path), str(document.get("wdir") or "")))
        elif name == "dvc.lock":
            stages = read_yaml(tree, path).get("stages")
            known = read_yaml(tree, posixpath.join(posixpath.dirname(path), "dvc.yaml")).get("stages")
            for stage, document in (stages if isinstance(stages, dict) else {}).items():
                if isinstance(document, dict):
                    said = known.get(stage) if isinstance(known, dict) else None
                    wdir = said.get("wdir") if isinstance(said, dict) else None
                    found |= _outputs(document, posixpath.join(posixpath.dirname(path), str(wdir or "")))
    return found


def read_yaml(tree: Tree, path: str) -> dict[str, Any]:
    """A map of a tree's file; empty if it is none."""
    data = tree.read(path)
    return _parse(data) if data is not None else {}


@lru_cache(_KEPT)
def _parse(data: bytes) -> dict[str, Any]:
    """Remembered, since the commits of one repository share most of their files; not to be changed."""
    try:
        document = yaml.load(data, "DVC's file")
    except RecordInvalid:
        return {}
    return document if isinstance(document, dict) else {}


def find_files(
    tree: Tree, outputs: dict[str, Output], data: "DvcBytes", path: str, folder: str | None = None
) -> Iterator[IncomingFile]:
    """The files that a path of a commit stands for: in git, by DVC, or, of a folder, some in each.

    Args:
        tree: The commit.
        outputs: What DVC keeps for it.
        data: Where the bytes of that are.
        path: A file or folder.
        folder: Where they go: a file keeps its name, a folder's files go right there; None keeps their paths.

    Raises:
        Unavailable: There is no such path, or the list of a folder's files cannot be had.
    """
    name = posixpath.basename(path)
    as_file, as_folder = (path, path) if folder is None else (f"{folder}/{name}", folder)
    around = next((each for each in outputs.values() if path.startswith(f"{each.path}/")), None)
    below = [each for each in tree.paths if each.startswith(f"{path}/")]
    kept = [each for each in outputs.values() if each.path.startswith(f"{path}/")]
    if path in tree.paths:
        yield tree.incoming(path, as_file)
    elif path in outputs:
        yield from data.files(outputs[path], as_folder if outputs[path].digest.endswith(DIR) else as_file)
    elif around is not None:
        entries = list(data.files(around, as_folder, path.removeprefix(f"{around.path}/")))
        is_file = len(entries) == 1 and entries[0].path == as_folder
        yield from ([entries[0]._replace(path=as_file)] if is_file else entries)
    elif not below and not kept:
        raise Unavailable("it is neither in the commit nor tracked by DVC there")
    for each in below:
        yield tree.incoming(each, f"{as_folder}/{each.removeprefix(f'{path}/')}")
    for output in kept:
        yield from data.files(output, f"{as_folder}/{output.path.removeprefix(f'{path}/')}")


def _outputs(document: dict[str, Any], folder: str) -> dict[str, Output]:
    outs = document.get("outs")
    found = {}
    for out in outs if isinstance(outs, list) else ():
        if not isinstance(out, dict) or not isinstance(out.get("path"), str):
            continue
        path = posixpath.normpath(posixpath.join(folder, out["path"]))
        size = out.get("size")
        try:
            digest = check_digest(out.get("md5"))
        except InvalidName:
            continue
        if not path.startswith(("../", "/")):
            found[path] = Output(path, digest, size if type(size) is int and size >= 0 else None)
    return found


class DvcBytes:
    """The bytes that DVC keeps for a repository: in its cache, in ours, or on its remote.

    Args:
        into: The repository that they are brought to; what a remote gives goes into its cache.
        repo: The repository whose they are.
        config: Its `.dvc/config`, where it has no work tree to read that from.
        may_pull: Whether the remote is asked.
    """

    def __init__(self, into: Workspace, repo: Repository, config: str | None = None, *, may_pull: bool = True) -> None:
        self._own = into.artifacts.cache
        self._theirs = find_cache(repo.work_tree, repo.state_dir)
        self._repo, self._config, self._may_pull = repo, config, may_pull

    def files(self, output: Output, target: str, inside: str = "") -> Iterator[IncomingFile]:
        """The files of an output as artifacts.

        Args:
            output: A file or folder.
            target: The path of the file, or of the folder that they go to.
            inside: A path in the folder: only what is that, or below it.

        Raises:
            Unavailable: It is a folder, and the list of its files cannot be had.
        """
        if not output.digest.endswith(DIR):
            yield IncomingFile(target, self._fetch(output.digest))
            return
        entries = self._listing(output.digest)
        wanted = [e for e in entries if not inside or e.path == inside or e.path.startswith(f"{inside}/")]
        if inside and not wanted:
            raise Unavailable(f"DVC's folder {output.path} has no {inside}")
        self._bring(entry.md5 for entry in wanted)
        for entry in wanted:
            name = entry.path.removeprefix(inside).lstrip("/") if inside else entry.path
            yield IncomingFile(f"{target}/{name}" if name else target, self._fetch(entry.md5))

    def read(self, output: Output) -> bytes:
        """The content of a file; raises `Unavailable`."""
        for cache in (self._own, self._theirs):
            if cache.has(output.digest):
                return cache.read_bytes(output.digest)
        self._pull([output.digest])
        return self._own.read_bytes(output.digest)

    def _listing(self, digest: str) -> list[Descriptor]:
        try:
            for cache in (self._own, self._theirs):
                if cache.has(digest):
                    return cache.read_dir(digest)
            self._pull([digest])
            return self._own.read_dir(digest)
        except RunstoneError as error:
            raise Unavailable(str(error)) from error

    def _fetch(self, digest: str) -> Callable[[Path], None]:
        def copy(target: Path) -> None:
            try:
                for cache in (self._own, self._theirs):
                    if cache.has(digest):
                        cache.copy_out(digest, target)
                        return
                if not self._copy_old(digest, target):
                    self._pull([digest])
                    self._own.copy_out(digest, target)
            except RunstoneError as error:
                raise Unavailable(str(error)) from error

        return copy

    def _bring(self, digests: Iterable[str]) -> None:
        """Fetch at once what would be fetched one by one; what fails here is told when it is its turn."""
        missing = [digest for digest in digests if not self._own.has(digest) and not self._theirs.has(digest)]
        if missing and self._may_pull:
            try:
                if self._remote is not None:
                    self._remote.pull(set(missing) - self._remote.missing(missing), self._own)
            except RunstoneError:
                return

    def _pull(self, digests: list[str]) -> None:
        if not self._may_pull:
            raise Unavailable("its bytes are not in a cache on this machine")
        try:
            remote = self._remote
            if remote is None:
                raise Unavailable("its bytes are in no cache on this machine, and there is no DVC remote")
            remote.pull(digests, self._own, expand=False)
        except RunstoneError as error:
            raise Unavailable(f"its bytes are in no cache on this machine: {error}") from error

    @cached_property
    def _remote(self) -> Remote | None:
        return Remote.open(self._repo.work_tree, self._repo.state_dir, self._config)

    def _copy_old(self, digest: str, target: Path) -> bool:
        """Copy from a cache as DVC 2 laid it out, where texts are known by their digest without carriage returns."""
        place = self._theirs.root / digest[:2] / digest[2:]
        if place.is_symlink() or not place.is_file():
            return False
        data = place.read_bytes()
        texts = (data, data.replace(b"\r\n", b"\n"))
        if all(hashlib.md5(text, usedforsecurity=False).hexdigest() != digest for text in texts):
            return False
        target.write_bytes(data)
        return True
