"""Exchange the git notes of who approved what with a remote, so that `verify` sees them in every clone.

CI writes them on the remote, people may write them anywhere; both sides get all of them, and none is ever taken back.
"""

import time
from dataclasses import dataclass, field
from random import SystemRandom

from runstone.errors import RefMoved
from runstone.git import transport
from runstone.git.notes import NOTES_REF, join_notes, list_notes, seen_ref
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.stream import Progress

_ATTEMPTS = 50
_random = SystemRandom()


@dataclass(slots=True)
class NotesMoved:
    """What one exchange has moved.

    Attributes:
        sent, received: How many notes the other side did not have.
        said: What is to be told, in words.
        refused: Why the remote did not take them; None if it did, or was not asked to.
    """

    sent: int = 0
    received: int = 0
    said: list[str] = field(default_factory=list)
    refused: str | None = None


def exchange_notes(
    repo: Repository, remote: str, there: str | None, *, send: bool, progress: Progress | None = None
) -> NotesMoved:
    """Join the notes here with a remote's, and push what that lacks, until nobody else was faster.

    A remote that does not take them from this user has all else by now, so that is told, and is no error.

    Args:
        repo: The repository.
        remote: The remote's name.
        there: Where its notes are; None if it has none.
        send: Whether to push.
        progress: Told of git's steps.

    Writes:
        `refs/notes/runstone`, here and on the remote, by compare-and-swap; `refs/runstone/notes/<remote>`.

    Raises:
        RemoteUnreachable: The remote cannot be reached.
    """
    moved, why = NotesMoved(), ""
    for attempt in range(1, _ATTEMPTS + 1):
        here = repo.refs.read(NOTES_REF)
        if there == here:
            return moved
        if there is not None and repo.refs.read(seen_ref(remote)) != there:
            there = _fetch(repo, remote, progress)
        joined, differing = join_notes(repo, here, there)
        if joined is None:
            return moved
        if joined != here:
            try:
                repo.refs.update([RefUpdate(NOTES_REF, joined, here)])
            except RefMoved:
                continue  # a job beside this one has noted something
            moved.received += _count_new(repo, joined, here)
            moved.said += [f"Of two approval notes on {noted[:12]} that of `{remote}` stays." for noted in differing]
        if joined == there or not send:
            return moved
        result = transport.push(repo, remote, {NOTES_REF: joined}, progress=progress)[NOTES_REF]
        if result.state == "refused":
            moved.refused = result.reason
            moved.said.append(f"`{remote}` does not take approval notes from you: {result.reason}")
            return moved
        if result.state != "lost":
            moved.sent = _count_new(repo, joined, there)
            repo.refs.update([RefUpdate(seen_ref(remote), joined, repo.refs.read(seen_ref(remote)))])
            return moved
        why = result.reason
        time.sleep(_random.uniform(0, min(0.02 * 2**attempt, 1.0)))
        there = transport.list_remote(repo, remote, [NOTES_REF]).get(NOTES_REF)
    moved.refused = why or "others were faster"
    moved.said.append(f"Approval notes wait for the next sync, since others were faster: {why or 'here'}")
    return moved


def _fetch(repo: Repository, remote: str, progress: Progress | None) -> str | None:
    """Bring the remote's notes as they are now."""
    depth = 1 if repo.shallow else None
    transport.fetch(repo, remote, [f"+{NOTES_REF}:{seen_ref(remote)}"], depth=depth, progress=progress)
    repo.objects.close()  # it remembers which objects were not here
    return repo.refs.read(seen_ref(remote))


def _count_new(repo: Repository, new: str, old: str | None) -> int:
    return len(list_notes(repo, new).keys() - list_notes(repo, old).keys())
