"""What the remote has now: the default branch, proposals, git tags of versions. One question, one fetch."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

from runstone.errors import RemoteUnreachable
from runstone.git import transport
from runstone.git.lock import FileLock
from runstone.git.notes import NOTES_REF
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.stream import Progress
from runstone.registry.branch import default_branch
from runstone.tracking import version_tags
from runstone.tracking.approval_notes import exchange_notes

PREFIXES = ("promote/", "demote/", "rollback/", "register/", "rename/", "remove/", "edit/")
"""What the branches of proposals begin with."""


class NotAsked(UserWarning):
    """The remote could not be asked, so what is shown or done rests on what was seen of it last."""


@dataclass(frozen=True, slots=True)
class View:
    """What is known of the shared repository.

    Attributes:
        branch: The default branch's short name.
        tip: Where it is: on the remote, as far as is known; else here. None before the first commit.
        remote: The remote's name; None without one.
        there: The refs that it has, by full name.
        is_fresh: Whether it was asked just now; else what was seen of it last counts.
    """

    branch: str
    tip: str | None
    remote: str | None = None
    there: Mapping[str, str] = field(default_factory=dict)
    is_fresh: bool = False

    @property
    def ref(self) -> str:
        """The default branch's full name."""
        return f"refs/heads/{self.branch}"

    @property
    def target(self) -> str:
        """The default branch as people call it: `origin/main`, or `main` where there is no remote."""
        return self.branch if self.remote is None else f"{self.remote}/{self.branch}"


def look(
    repo: Repository,
    *,
    ask: bool = True,
    may_fail: bool = False,
    remote: str | None = None,
    progress: Progress | None = None,
) -> View:
    """Ask the remote, if there is one, and bring what is new.

    Args:
        repo: The repository.
        ask: Whether to ask; else what was seen last counts.
        may_fail: Whether what was seen last counts where the remote cannot be reached.
        remote: The remote's name; see `transport.find_remote`.
        progress: Told of git's steps.

    Writes:
        Objects; `refs/remotes/<remote>/` for the default branch and the proposals, from which goes what the remote has
        no longer; git tags of versions, and approval notes, that were not here.

    Raises:
        RemoteUnreachable: It cannot be asked, and `may_fail` is not set.
        UsageError: There is no such remote.

    Warns:
        NotAsked: It could not be asked, and `may_fail` is set.
    """
    name, branch = transport.find_remote(repo, remote), default_branch(repo)
    if name is None or not ask:
        return _seen_last(repo, branch, name)
    heads = (f"refs/heads/{branch}", *(f"refs/heads/{prefix}*" for prefix in PREFIXES))
    patterns = [*heads, version_tags.PATTERN, NOTES_REF]
    lock = FileLock(repo.cache_dir / "sync.lock")  # or two that bring the same would move each other's refs
    try:
        with lock:
            there = transport.list_remote(repo, name, patterns)
            _bring(repo, name, there, progress)
    except RemoteUnreachable as error:
        if not may_fail:
            raise
        why = error.why.partition("\n")[0].removeprefix("fatal: ").rstrip(".")
        told = f"`{name}` could not be asked ({why}), so what was seen of it last counts."
        warnings.warn(told, NotAsked, stacklevel=2)
        return _seen_last(repo, branch, name)
    finally:
        lock.settle()
    tip = there.get(f"refs/heads/{branch}") or repo.refs.read(f"refs/heads/{branch}")
    return View(branch, tip, name, there, True)


def tracking_ref(remote: str, ref: str) -> str:
    """Where a remote's branch is kept here."""
    return f"refs/remotes/{remote}/{ref.removeprefix('refs/heads/')}"


def _seen_last(repo: Repository, branch: str, remote: str | None) -> View:
    ref = f"refs/heads/{branch}"
    tip = repo.refs.read(tracking_ref(remote, ref)) if remote is not None else None
    there = {}
    if remote is not None:
        prefix = f"refs/remotes/{remote}/"
        there = {f"refs/heads/{kept.removeprefix(prefix)}": oid for kept, oid in repo.refs.list(prefix).items()}
    return View(branch, tip or repo.refs.read(ref), remote, there)


def _bring(repo: Repository, remote: str, there: Mapping[str, str], progress: Progress | None) -> None:
    heads = {ref: oid for ref, oid in there.items() if ref.startswith("refs/heads/")}
    prefixes = tuple(tracking_ref(remote, prefix) for prefix in PREFIXES)
    known = repo.refs.list(f"refs/remotes/{remote}/")
    wanted = {tracking_ref(remote, ref): ref for ref in heads}
    new = [f"+{ref}:{kept}" for kept, ref in wanted.items() if known.get(kept) != heads[ref]]
    if new:
        transport.fetch(repo, remote, new, progress=progress)
        repo.objects.close()  # it remembers which objects were not here
    gone = [ref for ref in known if ref.startswith(prefixes) and ref not in wanted]
    if gone:
        repo.refs.update([RefUpdate(ref, None, known[ref]) for ref in gone])
    exchange_notes(repo, remote, there.get(NOTES_REF), send=False, progress=progress)
    version_tags.fetch(repo, remote, there, progress)
    version_tags.receive(repo, remote, there, version_tags.local(repo))
