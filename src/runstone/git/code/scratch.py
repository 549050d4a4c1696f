"""A copy of the user's index to make trees with, and git's own way to bring files of the work tree into it.

What git writes here is synced by git itself, which lets each object be written out and then syncs once
(`core.fsyncMethod=batch`, git 2.37; an older one syncs each). For our own log of objects it would have to be read
again; to sync the whole disk was hardly faster for thousands of files, and waits for what others write.
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from runstone.errors import GitFailed
from runstone.git.code.leftout import LeftOut
from runstone.git.files import NEW_FILE, write_all
from runstone.git.objects import TreeEntry
from runstone.git.process import run_git
from runstone.git.repository import Repository

_SETTINGS = (
    *("-c", "core.fsync=loose-object", "-c", "core.fsyncMethod=batch"),
    *("-c", "core.fsyncObjectFiles=true"),  # git 2.34 and 2.35; newer ones say that it is deprecated, and nobody hears
    *("-c", "core.safecrlf=false"),  # it may make git refuse a file for its line ends
    *("-c", "core.splitIndex=false", "-c", "core.fsmonitor=false"),
)
_LEFT_BEHIND_S = 3600
_SETTLED_NS = 2_000_000_000
_IndexState = tuple[str, int, int, int, int]
_plain: set[_IndexState] = set()
"""The index of which git has said that it overlooks no file: asking takes a git process, a good part of a short run."""

_ATTEMPTS = 100
_DISK_TROUBLE = re.compile(r"No space left|quota exceeded|File too large|unable to (?:write|create)|insufficient perm")
_REFUSED = re.compile(
    r"^fatal: (?:Unable to process path (?P<a>.*)|(?P<b>.*): clean filter '.*' failed"
    # what `working-tree-encoding` says of a file that is not in that encoding
    r"|(?:failed to encode|encoding|BOM is (?:required|prohibited) in) '(?P<c>.*)' (?:from|if encoded as) .*)\Z",
    re.MULTILINE | re.DOTALL,
)
_OVERLOOKED = re.compile(rb"(?:^|(?<=\0))([a-zS]) ([^\0]+)")
_SUSPECT = re.compile(r"(?:^|[/\\])(?:\.|git~|[^/]*[^\x00-\x7f])", re.IGNORECASE)


class ScratchIndex:
    """A copy of the index of a work tree, for as long as the `with` block lasts.

    It has the time of the original: git compares that with the times of the files, to know which it has to read.

    Attributes:
        path: The file. There is none where the user has none.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._folder = repo.writable_state("snapshot")
        self.path = self._folder / f"index-{os.urandom(8).hex()}"
        self._state: _IndexState | None = None

    def __enter__(self) -> "ScratchIndex":
        _remove_left_behind(self._folder)
        try:
            with (self._repo.git_dir / "index").open("rb") as index:
                seen, data = os.fstat(index.fileno()), index.read()
            self._state = _state(self._repo, seen)
        except FileNotFoundError:
            return self
        try:
            descriptor = os.open(self.path, NEW_FILE, 0o600)
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)
            os.utime(self.path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        except OSError:
            self.path.unlink(missing_ok=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)

    def uncover(self) -> set[str]:
        """Have git look at the files again that it was told to overlook: `assume-unchanged`, `skip-worktree`.

        Returns:
            The tracked paths that git overlooks in the user's own index; of a sparse work tree, those that are there.
        """
        if not self.path.exists():
            return set()
        if self._state in _plain:
            return set()
        skipped, assumed = _overlooked(self._repo, self._git("ls-files", "-v", "-z"), self._state)
        for option, paths in (("--no-skip-worktree", skipped), ("--no-assume-unchanged", assumed)):
            if paths:
                self._git("update-index", "-z", option, "--stdin", input=b"\0".join(paths) + b"\0")
        return {os.fsdecode(path) for path in (*skipped, *assumed)}

    def reset(self, entries: Mapping[str, TreeEntry | None]) -> None:
        """Set paths to what a tree has; None removes them.

        Not by `--remove`: git refuses that of a path which lies behind a link now.
        """
        rows = [
            f"{entry.mode} {entry.oid}\t{path}\0" if entry is not None else f"0 {self._repo.objects.zero}\t{path}\0"
            for path, entry in entries.items()
        ]
        if rows:
            self._git("update-index", "-z", "--add", "--replace", "--index-info", input=_bytes("".join(rows)))

    def take_in(self, paths: Sequence[str]) -> list[LeftOut]:
        """Set paths to what is on disk; what is gone is removed.

        Returns:
            What git refuses. Of some names it says nothing: see `may_be_refused`.

        Writes:
            The content as objects, synced.

        Raises:
            GitFailed: It is not the fault of one file.
        """
        left, refused = list(paths), list[LeftOut]()
        while left:
            try:
                names = _bytes("".join(f"{path}\0" for path in left))
                self._git("update-index", "-z", "--add", "--remove", "--replace", "--stdin", input=names)
            except GitFailed as failure:
                path = _find_refused(failure, left)
                if path is None or len(refused) == _ATTEMPTS:
                    raise
                left.remove(path)
                refused.append(LeftOut(path, f"git cannot take it in: {_why(failure)}"))
            else:
                break
        return refused

    def write_tree(self) -> str:
        """Write the trees, synced; returns the topmost."""
        return self._git("write-tree").decode().strip()

    def _git(self, *arguments: str, input: bytes | None = None) -> bytes:
        top = self._repo.work_tree
        assert top is not None
        where = [f"--git-dir={self._repo.git_dir}", f"--work-tree={top}"]
        env = {"GIT_INDEX_FILE": str(self.path)}
        try:
            return run_git([*_SETTINGS, *where, *arguments], cwd=top, input=input, env=env)[1]
        except GitFailed as failure:  # told without our settings, and without what git thinks of them
            lines = [line for line in failure.stderr.splitlines() if "core.fsync" not in line]
            raise GitFailed(arguments, failure.code, "\n".join(lines)) from None


def is_any_overlooked(repo: Repository) -> bool:
    """Whether git was told to overlook files of the work tree; see `ScratchIndex.uncover`."""
    state = _state(repo)
    return state not in _plain and any(_overlooked(repo, repo.git("ls-files", "-v", "-z")[1], state))


def _state(repo: Repository, seen: os.stat_result | None = None) -> _IndexState | None:
    """What changes whenever git writes the user's index: it makes a new file each time."""
    path = repo.git_dir / "index"
    try:
        seen = seen or path.stat()
    except OSError:
        return None
    return str(path), seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _overlooked(repo: Repository, listing: bytes, state: _IndexState | None) -> tuple[list[bytes], list[bytes]]:
    """The paths that are skipped though they are there, and those assumed to be unchanged."""
    found = _OVERLOOKED.findall(listing)
    # Only if the index is the one that git was asked about, and is old enough to be told from the next by its times.
    if not found and state is not None and state == _state(repo) and time.time_ns() - state[3] > _SETTLED_NS:
        _plain.clear()
        _plain.add(state)
    top = os.fsencode(repo.work_tree or "")
    skipped = [path for tag, path in found if tag in b"sS" and os.path.lexists(b"%b/%b" % (top, path))]
    return skipped, [path for tag, path in found if tag.islower()]


def may_be_refused(path: str) -> bool:
    """Whether git may leave a file out for its name, which some disk would take for `.git`: it does so silently."""
    return _SUSPECT.search(path) is not None


def _find_refused(failure: GitFailed, paths: Sequence[str]) -> str | None:
    """The file that git stumbled over; None if the disk is at fault, or all of them are."""
    found = None if _DISK_TROUBLE.search(failure.stderr) else _REFUSED.search(failure.stderr)
    named = found and next(path for path in found.groups() if path is not None).strip()
    return next((path for path in paths if _bytes(path).decode(errors="replace").strip() == named), None)


def _why(failure: GitFailed) -> str:
    return next(line[7:] for line in failure.stderr.splitlines() if line.startswith(("error: ", "fatal: ")))


def _remove_left_behind(folder: Path) -> None:
    """What processes left that were killed."""
    with os.scandir(folder) as found:
        for entry in found:
            try:
                if entry.stat().st_ctime < time.time() - _LEFT_BEHIND_S:
                    Path(entry).unlink()
            except OSError:
                continue  # another process was faster, or it is another user's


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
