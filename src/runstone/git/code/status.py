"""What differs between HEAD, the index and the work tree, by one `git status`.

`core.fsmonitor` is off for that question: the answer must come from the files themselves, and asking must start no
daemon. The user's index is not rewritten.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runstone.git.objects import TreeEntry
from runstone.git.process import run_git
from runstone.git.repository import Repository

_OPTIONS = ("-c", "core.fsmonitor=false", "--no-optional-locks")
_QUESTION = ("status", "--porcelain=v2", "--branch", "-z", "--ignore-submodules=none", "--no-renames")


class Change(NamedTuple):
    """One path that is not as HEAD has it.

    Attributes:
        path: Relative to the top of the work tree, bytes that are no UTF-8 as surrogates; that of a repository inside
            this one that git does not track ends in `/`.
        kind: git's letter: `1` tracked, `u` unmerged, `?` untracked.
        staged: How the index differs from HEAD: `.` not at all, else git's letter.
        work: How the work tree differs from the index.
        submodule: `N...`, or `S` and what is changed in the submodule.
        head: What HEAD has there; of an unmerged path, our side.
    """

    path: str
    kind: str
    staged: str = "."
    work: str = "."
    submodule: str = "N..."
    head: TreeEntry | None = None


class Status(NamedTuple):
    """HEAD (None before the first commit), its branch (None when detached), and all that differs from it."""

    commit: str | None
    branch: str | None
    changes: tuple[Change, ...]


def read_status(repo: Repository, *, index: Path | None = None) -> Status:
    """Ask git once.

    Args:
        repo: A repository with a work tree.
        index: An index to use instead of the user's.

    Returns:
        What differs: tracked edits, staged or not, changed submodules, and each file neither tracked nor ignored.
        A linked work tree of the same repository that lies inside this one is no part of it.

    Raises:
        GitFailed: git refuses, or the repository is broken.
        GitMissing: There is no git.
    """
    assert repo.work_tree is not None
    where = [f"--git-dir={repo.git_dir}", f"--work-tree={repo.work_tree}"]
    _, out = run_git(
        [*_OPTIONS, *where, *_QUESTION, "--no-ahead-behind", "--untracked-files=all"],
        cwd=repo.work_tree,
        env=None if index is None else {"GIT_INDEX_FILE": str(index)},
    )
    lines = out.decode("utf-8", "surrogateescape").split("\0")[:-1]
    facts = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = facts["branch.oid"], facts["branch.head"].encode("utf-8", "surrogateescape")
    return Status(
        None if commit == "(initial)" else commit,
        None if branch == b"(detached)" else branch.decode("utf-8", "replace"),
        tuple(change for change in _changes(lines) if not _is_linked_tree(repo, change.path)),
    )


def _is_linked_tree(repo: Repository, path: str) -> bool:
    if not path.endswith("/"):
        return False
    try:
        text = Path(f"{repo.work_tree}/{path}.git").read_bytes()[:4096].decode("utf-8", "surrogateescape")
    except OSError:
        return False
    folder = Path(text.removeprefix("gitdir: ").rstrip("\n"))
    return folder.is_absolute() and folder.parent == repo.common_dir / "worktrees"


def _changes(lines: list[str]) -> Iterator[Change]:
    """Source: git-status(1), "Porcelain Format Version 2"."""
    for line in lines:
        kind = line[0]
        if kind == "?":
            yield Change(line[2:], kind)
        elif kind == "1":
            _, states, submodule, mode, _, _, oid, _, path = line.split(" ", 8)
            yield Change(path, kind, states[0], states[1], submodule, _entry(mode, oid))
        elif kind == "u":
            _, _, submodule, _, mode, _, on_disk, _, oid, _, path = line.split(" ", 10)
            yield Change(path, kind, "U", "D" if int(on_disk) == 0 else "U", submodule, _entry(mode, oid))


def _entry(mode: str, oid: str) -> TreeEntry | None:
    return None if int(mode) == 0 else TreeEntry(mode, oid)
