"""What becomes of each changed path in a code snapshot: taken in as it is on disk, set as in HEAD, or left out."""

import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from runstone.errors import RunstoneError
from runstone.git.code.leftout import SCANNED_BYTES, LeftOut, SecretFiles, fit, secret_files
from runstone.git.code.status import Change
from runstone.git.objects import TreeEntry
from runstone.git.process import run_git
from runstone.records.config import SnapshotRules

_OVERLOOKED = "git was told to overlook its edits (assume-unchanged or skip-worktree); they are left out"


@dataclass(slots=True)
class Intake:
    """The plan of a snapshot.

    Attributes:
        taken: Paths to take in as they are on disk.
        reset: Paths to set to what HEAD has; None removes them.
        left_out: Paths that the snapshot does not hold as they are on disk, and why.
    """

    taken: list[str] = field(default_factory=list)
    reset: dict[str, TreeEntry | None] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def leave_out(self, path: str, reason: str) -> None:
        """Name a path that the snapshot does not hold as it is on disk."""
        self.left_out.append(LeftOut(path, reason))


def plan_intake(top: str, changes: Iterable[Change], rules: SnapshotRules, overlooked: Collection[str] = ()) -> Intake:
    """Decide for each change, before git reads a file; nothing is written.

    Args:
        top: The top of the work tree.
        changes: All that differs from HEAD.
        rules: What is left out.
        overlooked: Tracked paths whose edits git was told to overlook: often they hold what nobody else may see.
    """
    plan, secrets = Intake(), secret_files(rules)
    untracked: list[tuple[str, int]] = []
    for change in changes:
        path = change.path
        if path in overlooked and change.work != ".":
            plan.leave_out(path, _OVERLOOKED)
            change = change._replace(work=".")
        if change.submodule[0] == "S":
            _plan_submodule(top, change, plan)
        elif path.endswith("/"):
            plan.leave_out(path, "it is a git repository of its own")
        elif change.kind != "?":
            _plan_tracked(top, change, secrets, plan)
        elif (reason := secrets.reason(path, is_new=True)) is not None:
            plan.leave_out(path, reason)
        elif (size := _size(top, path)) is not None:
            untracked.append((path, size))
    kept, too_large = fit(untracked, rules)
    plan.left_out += too_large
    for path in kept:
        reason = _look_inside(top, path, secrets)
        if reason is None:
            plan.taken.append(path)
        else:
            plan.leave_out(path, reason)
    return plan


def _plan_submodule(top: str, change: Change, plan: Intake) -> None:
    if change.work == "D":
        plan.reset[change.path] = None
        return
    if change.work != ".":
        plan.taken.append(change.path)  # the commit it is at
    inside = {"M": "edits", "U": "files that are not tracked"}
    found = [text for letter, text in inside.items() if letter in change.submodule]
    if found:
        plan.leave_out(change.path, f"it is a submodule with {' and '.join(found)} inside")
    elif _is_nowhere_else(f"{top}/{change.path}"):
        plan.leave_out(change.path, "it is a git repository of its own, at a commit that none of its remotes has")


def _is_nowhere_else(submodule: str) -> bool:
    """Whether no remote-tracking branch and no tag of a submodule leads to the commit it is at."""
    folder = Path(submodule)
    if not (folder / ".git").exists():
        return False
    try:
        _, out = run_git(["for-each-ref", "--count=1", "--contains=HEAD", "refs/remotes", "refs/tags"], cwd=folder)
    except RunstoneError:
        return False  # it cannot be asked, and git takes its commit in all the same
    return not out


def _plan_tracked(top: str, change: Change, secrets: SecretFiles, plan: Intake) -> None:
    path, is_new = change.path, change.head is None
    if change.work == "D":
        plan.reset[path] = None
        return
    if change.staged == "D" and change.work == ".":
        return  # what is on disk, if anything, is untracked
    reason = secrets.reason(path, is_new=is_new)
    if reason is None and is_new:
        reason = _look_inside(top, path, secrets)
    if reason is not None:
        plan.reset[path] = change.head
        plan.leave_out(path, reason if is_new else f"{reason}; its edits are left out")
    elif change.work != ".":
        _plan_edited(top, change, plan)


def _plan_edited(top: str, change: Change, plan: Intake) -> None:
    path = change.path
    full = f"{top}/{path}"
    if _size(top, path) is None:
        plan.reset[path] = None
        if os.path.lexists(full):
            plan.leave_out(path, "it is neither a file nor a link")
    elif not os.path.islink(full) and not os.access(full, os.R_OK):  # noqa: PTH114  # a Path costs more than the call
        plan.reset[path] = change.head
        plan.leave_out(path, "it cannot be read; its edits are left out")
    else:
        plan.taken.append(path)
        if change.kind == "u":
            plan.leave_out(path, "it is in conflict; it is kept as on disk, with the conflict markers")


def _size(top: str, path: str) -> int | None:
    """A file's bytes; None if it is gone, or is nothing that git can hold."""
    try:
        found = os.lstat(f"{top}/{path}")
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode) else None


def _look_inside(top: str, path: str, secrets: SecretFiles) -> str | None:
    """Why a file that HEAD does not have is left out by its content, or None; a link has none."""
    full = f"{top}/{path}"
    if os.path.islink(full):  # noqa: PTH114  # asked of each new file: a Path costs more than the call
        return None
    try:
        descriptor = os.open(full, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            return secrets.reason_by_content(path, os.read(descriptor, SCANNED_BYTES))
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None  # gone meanwhile; git notices
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
