"""Files of others to be read: those of a commit, through git, and those of a folder; links in neither are followed."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from runstone.git.repository import Repository
from runstone.imports.foreign import MAX_FILE
from runstone.imports.incoming import IncomingFile, Unavailable, unlisted

_KEPT = 4096
_LFS = b"version https://git-lfs.github.com/spec/"
_SKIPPED = frozenset({".git", ".dvc", ".hg", ".venv", "node_modules", "__pycache__"})


class Tree(Protocol):
    """Files by path, with forward slashes."""

    name: str
    """What to call it in messages."""

    @property
    def paths(self) -> Sequence[str]:
        """The files there are; no links, and nothing of git's and DVC's own folders."""

    def read(self, path: str) -> bytes | None:
        """What a file holds; None if there is none, or if it is too large to be read whole."""

    def incoming(self, path: str, target: str) -> IncomingFile:
        """A file, as an artifact of a path."""


class CommitTree:
    """The files of a commit.

    Args:
        repo: The repository.
        commit: The commit's id.
    """

    def __init__(self, repo: Repository, commit: str) -> None:
        self.name = commit[:7]
        self._repo = repo
        self._root = repo.objects.commit(commit).tree
        self._files: dict[str, str] | None = None

    @property
    def _oids(self) -> dict[str, str]:
        if self._files is None:
            self._files = dict(_below(self._repo, self._root))
        return self._files

    @property
    def paths(self) -> list[str]:
        """See `Tree`."""
        return list(self._oids)

    def read(self, path: str) -> bytes | None:
        """See `Tree`."""
        oid = self._oids.get(path)
        data = self._repo.objects.blob(oid) if oid is not None else None
        return data if data is not None and len(data) <= MAX_FILE else None

    def incoming(self, path: str, target: str) -> IncomingFile:
        """See `Tree`."""

        def write(file: Path) -> None:
            oid = self._oids.get(path)
            if oid is None:
                raise Unavailable(f"{self.name} has no such file")
            data = self._repo.objects.blob(oid)
            if data.startswith(_LFS) and len(data) < 1024:
                raise Unavailable("Git LFS keeps it, and only its pointer is in the commit")
            file.write_bytes(data)

        return IncomingFile(target, write)


_known: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}


def _below(repo: Repository, tree: str) -> tuple[tuple[str, str], ...]:
    """The files of a tree: path and blob; remembered, as the commits of one repository share most of theirs."""
    key = (str(repo.common_dir), tree)
    if key not in _known:
        found: list[tuple[str, str]] = []
        for name, entry in repo.objects.tree(tree).items():
            if entry.is_file:
                found.append((name, entry.oid))
            elif entry.is_tree and name not in _SKIPPED:
                found += [(f"{name}/{path}", oid) for path, oid in _below(repo, entry.oid)]
        if len(_known) >= _KEPT:
            _known.clear()
        _known[key] = tuple(found)
    return _known[key]


class FolderTree:
    """The files below a folder."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self.root = root
        self.passed: list[str] = []
        """Links, what is no file, and folders that cannot be listed; as far as `paths` was asked for."""
        self._paths: list[str] | None = None

    @property
    def paths(self) -> list[str]:
        """See `Tree`."""
        if self._paths is None:
            self._paths = []
            for folder, folders, files in os.walk(self.root, onerror=self._unlisted):
                folders[:] = sorted(name for name in folders if name not in _SKIPPED)
                for name in sorted(files + [each for each in folders if Path(folder, each).is_symlink()]):
                    path = Path(folder, name)
                    known = self._paths if stat.S_ISREG(path.lstat().st_mode) else self.passed
                    known.append(path.relative_to(self.root).as_posix())
        return self._paths

    def _unlisted(self, error: OSError) -> None:
        self.passed.append(unlisted(error, self.root)[0])

    def read(self, path: str) -> bytes | None:
        """See `Tree`."""
        try:
            file = self.root / path
            status = file.lstat()
            return file.read_bytes() if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE else None
        except OSError:
            return None

    def incoming(self, path: str, target: str) -> IncomingFile:
        """See `Tree`."""
        return IncomingFile(target, self.root / path)
