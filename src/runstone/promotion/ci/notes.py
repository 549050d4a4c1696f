"""Approval notes: what a forge knows of merged requests, kept in git with the commits that they became.

So that who approved can still be proved when the forge is gone. `approvals.py` reads them.
"""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from runstone.errors import RemoteBusy, UsageError
from runstone.git.notes import list_notes, note_path
from runstone.git.objects import FILE, TreeEntry
from runstone.git.repository import Repository
from runstone.promotion.ci.upstream import Upstream
from runstone.records import yaml
from runstone.records.approval import ApprovalNote
from runstone.registry.people import NOTES_REF

_ATTEMPTS = 50
_DEPTH = 50
_MOST = 500

Ask = Callable[[str], ApprovalNote | None]
"""What a forge knows of the request that became a commit; None if it knows of none."""


@dataclass(frozen=True, slots=True)
class Noted:
    """One note that was written."""

    commit: str
    note: ApprovalNote


def record_approvals(upstream: Upstream, ask: Ask, *, since: str | None = None) -> list[Noted]:
    """Note what a forge knows of the merges of the default branch that changed the registry and have no note yet.

    The oldest is asked for and noted first, and the newest note tells the next call where to go on: so none is left
    out when the forge is away for a while.

    Args:
        upstream: The remote.
        ask: The forge.
        since: A commit or a date as `2026-11-22`: look at all merges after it. Else at those after the last noted one,
            fifty commits back at most.

    Writes:
        One commit for each note on `refs/notes/runstone`, on the remote by compare-and-swap and then here.

    Raises:
        UsageError: `since` is neither a commit nor a date.
        PushRefused, RemoteBusy: The remote does not take the notes.
    """
    done = []
    for commit in list_unnoted(upstream, since=since):
        note = ask(commit)
        if note is not None:
            write_note(upstream, commit, note)
            done.append(Noted(commit, note))
    return done


def list_unnoted(upstream: Upstream, *, since: str | None = None) -> list[str]:
    """The commits of the default branch that changed the registry and have no note, the oldest first.

    Args:
        upstream: The remote.
        since: As `record_approvals`.
    """
    repo, tip = upstream.repo, upstream.tip
    if tip is None:
        return []
    upstream.bring_past(_DEPTH if since is None else _MOST)
    options = [f"--max-count={_DEPTH if since is None else _MOST}"]
    if since is not None and re.fullmatch(r"\d{4}-\d{2}-\d{2}", since):
        options.append(f"--since={since}T00:00:00Z")  # a date alone means this time of the day to git
    elif since is not None:
        start = repo.objects.resolve(since)
        if start is None:
            raise UsageError(f"--since must be a commit or a date such as 2026-11-22, but is {since[:80]!r}.")
        options.append(f"^{start}")
    _, out = repo.git("rev-list", "--first-parent", *options, tip)
    known, found = list_notes(repo, upstream.bring_notes()), []
    for commit in out.decode().split():
        if commit in known:
            if since is None:
                break
        elif _changes_registry(repo, commit):
            found.append(commit)
    return found[::-1]


def write_note(upstream: Upstream, commit: str, note: ApprovalNote) -> bool:
    """Put a note on a commit, unless it has one; whether it was put.

    Writes:
        As `record_approvals`.
    """
    repo, path = upstream.repo, note_path(commit)
    blob = TreeEntry(FILE, repo.objects.write("blob", yaml.dump(note.to_document()).encode()))
    for attempt in range(1, _ATTEMPTS + 1):
        tip = upstream.bring_notes()
        if commit in list_notes(repo, tip):
            return False
        tree = repo.objects.update_tree(repo.objects.commit(tip).tree if tip is not None else None, {path: blob})
        assert tree is not None
        who = repo.identity("author"), repo.identity("committer")
        message = f"Note who approved {commit[:7]}"
        new = repo.objects.write_commit(tree, [tip] if tip is not None else [], *who, message)
        if upstream.move_notes(tip, new):
            return True
        time.sleep(random.SystemRandom().uniform(0, min(0.02 * 2**attempt, 1.0)))
        upstream.look()
    raise RemoteBusy(upstream.remote or "this repository", NOTES_REF, _ATTEMPTS, "others were faster")


def _changes_registry(repo: Repository, commit: str) -> bool:
    """Whether a commit changed the registry; of the one where a history is cut short nobody can say, so not."""
    found = repo.objects.commit(commit)
    _, out = repo.git("rev-list", "--parents", "--max-count=1", "--end-of-options", commit)
    seen = out.decode().split()[1:]  # none where the history is cut off, whatever the commit says
    if found.parents and not seen:
        return False
    trees = [found.tree, *(repo.objects.commit(parent).tree for parent in seen[:1])]
    folders = [repo.objects.entry(tree, repo.config.registry) for tree in trees]
    return folders[0] != (folders[1] if len(folders) > 1 else None)
