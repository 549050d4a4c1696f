"""The exact work tree as a commit on HEAD, made through a copy of the user's index.

The copy has the stat cache of the original, so only what changed is read; the user's branch, index and work tree stay
as they are. What is left out is sorted out before git reads a file, so no object ever holds it. The commit is the same
for the same tree on the same HEAD, in every process and clone: runs of one tree share it.
"""

import os
from dataclasses import dataclass

from runstone.errors import RunstoneError
from runstone.git.code.converted import find_converted
from runstone.git.code.hold import hold
from runstone.git.code.intake import Intake, plan_intake
from runstone.git.code.leftout import LeftOut
from runstone.git.code.scratch import ScratchIndex, is_any_overlooked, may_be_refused
from runstone.git.code.status import Status, read_status
from runstone.git.repository import Repository
from runstone.records.config import SnapshotRules

_IDENTITY = "Runstone <runstone@localhost>"
_MESSAGE = "Snapshot of a work tree\n\nTaken when a run began. It holds the tree as it was then, not yet committed."


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The code of a run.

    Attributes:
        head: HEAD; None before the first commit.
        branch: Its branch; None when detached.
        commit: A commit that holds the tree; HEAD where the tree is clean, or nothing of its changes could be taken in.
            None before the first commit while there is nothing, and where it could not be made.
        dirty: Whether the work tree differs from HEAD.
        left_out: What of the work tree the commit does not hold as it is on disk.
        failure: Why there is no commit.
    """

    head: str | None
    branch: str | None
    commit: str | None
    dirty: bool
    left_out: tuple[LeftOut, ...] = ()
    failure: str | None = None


def take_snapshot(repo: Repository, rules: SnapshotRules, *, notebook: str | None = None) -> Snapshot:
    """Take a snapshot of the work tree as it is now.

    Args:
        repo: A repository with a work tree.
        rules: What is left out.
        notebook: A file that matters even if git ignores it: then it is named among what is left out.

    Writes:
        Where the tree differs from HEAD: objects, synced, and a ref that holds them; see `hold`.

    Raises:
        GitFailed: git cannot say what is in the work tree. That no snapshot can be made of it is no error.
        GitMissing: There is no git.
    """
    try:
        with ScratchIndex(repo) as index:
            overlooked = index.uncover()
            status = read_status(repo, index=index.path)
            ignored = _find_ignored(repo, notebook)
            if not status.changes:
                return Snapshot(status.commit, status.branch, status.commit, False, ignored)
            commit, left_out = _take(repo, rules, status, index, overlooked)
    except (RunstoneError, OSError) as error:
        status = read_status(repo)
        dirty = bool(status.changes)
        return Snapshot(status.commit, status.branch, None if dirty else status.commit, dirty, (), str(error))
    return Snapshot(status.commit, status.branch, commit, True, (*left_out, *ignored))


def read_work_tree(repo: Repository) -> Status:
    """As `read_status`, with the edits that git was told to overlook; the user's index stays as it is.

    Writes:
        A copy of the index, for a moment, only if there are such files.
    """
    if not is_any_overlooked(repo):
        return read_status(repo)
    with ScratchIndex(repo) as index:
        index.uncover()
        return read_status(repo, index=index.path)


def _take(
    repo: Repository, rules: SnapshotRules, status: Status, index: ScratchIndex, overlooked: set[str]
) -> tuple[str | None, list[LeftOut]]:
    plan = plan_intake(os.fspath(repo.work_tree or ""), status.changes, rules, overlooked)
    index.reset(plan.reset)
    plan.left_out += index.take_in(plan.taken)
    tree = index.write_tree()
    plan.left_out += _find_refused(repo, tree, plan)
    plan.left_out += find_converted(repo, tree, plan, rules.max_file)
    head = repo.objects.commit(status.commit) if status.commit is not None else None
    if head is not None and head.tree == tree:
        return head.oid, plan.left_out
    if head is None and not repo.objects.tree(tree):
        return None, plan.left_out
    moment = " ".join(head.committer.split(" ")[-2:]) if head is not None else "0 +0000"
    who = f"{_IDENTITY} {moment}"
    commit = repo.objects.write_commit(tree, [head.oid] if head is not None else [], who, who, _MESSAGE)
    hold(repo, commit)
    return commit, plan.left_out


def _find_refused(repo: Repository, tree: str, plan: Intake) -> list[LeftOut]:
    """The files that git has left out without a word."""
    named = {one.path for one in plan.left_out}
    suspects = [path for path in plan.taken if may_be_refused(path) and path not in named]
    missing = [path for path in suspects if repo.objects.entry(tree, path) is None]
    # What is gone meanwhile is not in the tree either.
    return [LeftOut(path, "git refuses its name") for path in missing if os.path.lexists(f"{repo.work_tree}/{path}")]


def _find_ignored(repo: Repository, notebook: str | None) -> tuple[LeftOut, ...]:
    if notebook is None:
        return ()
    code, _ = repo.git("check-ignore", "--quiet", "--", notebook, allowed=(0, 1, 128))
    return (LeftOut(notebook, "git ignores it"),) if code == 0 else ()
