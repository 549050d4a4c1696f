"""A number for a git tag of the registry: given on the shared remote first, so that no two clones ever get one.

The push of a tag that is not there yet is a compare-and-swap. The local tag is made only once it succeeded; should the
process be killed between the two, the next sync brings it. Without a remote the local ref is the compare-and-swap.
"""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import SystemRandom

from runstone import names
from runstone.errors import RefMoved, RemoteUnreachable, VersionNotAllotted
from runstone.git import signing, transport
from runstone.git.lock import FileLock
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.model import VersionBody
from runstone.registry.numbers import (
    TAGS,
    Numbers,
    highest_here,
    highest_seen,
    next_number,
    parse_numbers,
    read_all_numbers,
    refuse_other_case,
)
from runstone.tracking import push as pushing
from runstone.tracking import version_tags
from runstone.tracking.exchange import private_refs
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace

ATTEMPTS = 100
_LOCKED_ATTEMPTS = 12
_SYNCS = 5
_random = SystemRandom()

Refs = Mapping[str, str]


class NotTaken(Exception):
    """The remote has not taken a tag; told in words of the registry by who knows what for.

    Attributes:
        remote: The git remote.
        why: What git or the remote said.
        is_refused: Whether it was asked, and does not take such tags from this user.
    """

    def __init__(self, remote: str, why: str, *, is_refused: bool = False) -> None:
        super().__init__(why)
        self.remote, self.why, self.is_refused = remote, why, is_refused

    def explain(self, key: str, retiring: int | None = None) -> VersionNotAllotted:
        """The same as an error of the registry."""
        model = names.decode_component(key)
        return VersionNotAllotted(model, self.remote, self.why, is_refused=self.is_refused, retiring=retiring)


def shared_remote(repo: Repository) -> str | None:
    """The git remote that gives the numbers; None where there is none, or `versions: local` says so."""
    if repo.config.versions == "local" or not _may_have_remote(repo):
        return None
    return transport.find_remote(repo)


def _may_have_remote(repo: Repository) -> bool:
    """Whether git is to be asked for remotes: one may have come since its configuration was read."""
    if any(key.startswith("remote.") for key in repo.git_config):
        return True
    for name in ("config", "config.worktree"):
        with suppress(FileNotFoundError):
            if re.search(rb"^\s*\[\s*(remote|include)", (repo.common_dir / name).read_bytes(), re.I | re.M):
                return True
    return False


def allocate(
    workspace: Workspace,
    key: str,
    body: VersionBody,
    find_commit: Callable[[], str],
) -> int:
    """Make the git tag of a model's next version, and return its number.

    Args:
        workspace: The repository.
        key: The model.
        body: What its message says.
        find_commit: Tells the commit of the run that made it, on the branch of runs as it is when asked.

    Writes:
        Where there is a git remote: what of the branch of runs it lacks, after the bytes; then the tag there; then the
        tag here. Else the tag here; likewise where no DVC remote is configured, so that the run cannot be shared yet.

    Raises:
        VersionNotAllotted: The remote cannot be reached, or does not take the tag. Nothing was changed.
        ArtifactsNotShared: The run cannot be shared, as bytes are lost.
        InvalidName: The name differs from another model's by case alone.
        SigningFailed: git is set to sign tags, and it could not be signed.
    """
    remote = shared_remote(workspace.repo)
    if remote is None or not _can_be_shared(workspace, remote, find_commit()):
        return _allocate_here(workspace.repo, key, body, find_commit(), remote)
    lock = FileLock(workspace.repo.cache_dir / "allocate.lock")  # of one clone one at a time: fewer races on the remote
    try:
        with lock:
            return _allocate_there(workspace, remote, key, body, find_commit)
    except NotTaken as error:
        raise error.explain(key) from error.__cause__
    finally:
        lock.settle()


def allocate_number(
    workspace: Workspace, key: str, body: VersionBody, find_commit: Callable[[], str], number: int
) -> bool:
    """Make the git tag of a version whose number is given already, as by another registry that it comes from.

    Args:
        workspace: The repository.
        key: The model.
        body: What its message says.
        find_commit: As for `allocate`.
        number: The number.

    Returns:
        Whether the number was free.

    Writes:
        As `allocate`.

    Raises:
        VersionNotAllotted, ArtifactsNotShared, InvalidName, SigningFailed: As `allocate`.
    """
    repo, tag = workspace.repo, f"{key}@v{number}"
    remote = shared_remote(repo)
    if not highest_here(repo, key):
        refuse_other_case(key, read_all_numbers(repo))
    if remote is None or not _can_be_shared(workspace, remote, find_commit()):
        return _make_here(repo, None, tag, signing.write_tag(repo, find_commit(), tag, _message(body, number)))
    try:
        commit, there = _share(workspace, remote, find_commit, body.digest.removeprefix("md5:"))
        if TAGS + tag in there:
            return False
        body = body._replace(event=f"{_random.getrandbits(64):016x}")
        oid = signing.write_tag(repo, commit, tag, _message(body, number))
        return _push(repo, remote, tag, oid) and _make_here(repo, remote, tag, oid)
    except NotTaken as error:
        raise error.explain(key) from error.__cause__


def retire_number(workspace: Workspace, key: str, number: int, commit: str, message: str) -> bool:
    """Make the git tag that retires a version, on the shared remote first; returns whether nobody was faster.

    Writes:
        The tag: there, then here.

    Raises:
        VersionNotAllotted: The remote cannot be reached, or does not take it. Nothing was changed.
        SigningFailed: git is set to sign tags, and it could not be signed.
    """
    repo, tag = workspace.repo, f"{key}@v{number}!"
    oid = signing.write_tag(repo, commit, tag, message)
    remote = shared_remote(repo)
    try:
        if remote is not None and not _push(repo, remote, tag, oid):
            return False
    except NotTaken as error:
        raise error.explain(key, number) from error.__cause__
    return _make_here(repo, remote, tag, oid)


def _can_be_shared(workspace: Workspace, remote: str, commit: str) -> bool:
    """Whether there is a place for the bytes of a run; or it is on the git remote already, sent without them."""
    if workspace.artifacts.remote() is not None:
        return True
    repo = workspace.repo
    return _has(repo, repo.refs.read(private_refs(repo.config.branch, remote)[0]), commit)


def _allocate_here(repo: Repository, key: str, body: VersionBody, commit: str, remote: str | None) -> int:
    for _ in range(ATTEMPTS):
        highest = max(highest_here(repo, key), 0 if remote is None else highest_seen(repo, remote, key))
        if not highest:
            refuse_other_case(key, read_all_numbers(repo))
        number = next_number(repo, key, highest)
        tag = f"{key}@v{number}"
        if _make_here(repo, None, tag, signing.write_tag(repo, commit, tag, _message(body, number))):
            return number
    raise RefMoved(TAGS + tag, None)


def _allocate_there(
    workspace: Workspace,
    remote: str,
    key: str,
    body: VersionBody,
    find_commit: Callable[[], str],
) -> int:
    repo = workspace.repo
    commit, there = _share(workspace, remote, find_commit, body.digest.removeprefix("md5:"))
    return allot(repo, remote, key, body, commit, there, lambda: _look(repo, remote))[0]


def allot(
    repo: Repository,
    remote: str | None,
    key: str,
    body: VersionBody,
    commit: str,
    there: Refs,
    look: Callable[[], Refs],
    *,
    unless: Callable[[], int | None] | None = None,
) -> tuple[int, str | None]:
    """Give the next number of a model to a commit that the others have already; all numbers of a remote come from here.

    Args:
        repo: The repository.
        remote: The remote that gives the numbers; None where the repository itself does.
        key: The model.
        body: What the message of the tag says.
        commit: What it is put on.
        there: The refs of the remote, as it was looked at last.
        look: Looks again.
        unless: Tells the version that meets the wish already, by what was looked at last. It is asked before each
            attempt. A number is then tried for only when all below it were looked at, as two who try for one number
            cannot both get it: so one wish gives one version. Numbers that were given here alone do not count for that.

    Returns:
        The number; and the tag's object if it was made now, None if `unless` told of the version.

    Writes:
        The tag: on the remote by compare-and-swap, and then here.

    Raises:
        NotTaken: The remote does not take it, or cannot be reached.
        InvalidName: The name differs from another model's by case alone.
        SigningFailed: git is set to sign tags, and it could not be signed.
    """
    if remote is not None:  # what one process pushes is then nobody else's object, not even that of one second
        body = body._replace(event=f"{_random.getrandbits(64):016x}")
    free = 0
    for _ in range(ATTEMPTS):
        met = None if unless is None else unless()
        if met is not None:
            return met, None
        number = _next_number(repo, remote, key, there, with_own=unless is None)
        tag = f"{key}@v{number}"
        oid = signing.write_tag(repo, commit, tag, _message(body, number))
        if remote is None:
            is_made = _make_here(repo, None, tag, oid)
        elif is_made := _push(repo, remote, tag, oid):
            _make_here(repo, remote, tag, oid)
        if is_made:
            return number, oid
        time.sleep(_random.uniform(0, 0.05))
        there = look()
        free = free + 1 if TAGS + tag not in there else 0
        if free > _LOCKED_ATTEMPTS:
            break
    raise NotTaken(remote or "this repository", f"it is busy: `{tag}` could not be made, and nobody else has")


def _message(body: VersionBody, number: int) -> str:
    return f"{body.model} version {number}\n\n{yaml.dump(body.to_document())}"


def _next_number(repo: Repository, remote: str | None, key: str, there: Refs, *, with_own: bool) -> int:
    theirs = parse_numbers(there)
    own = highest_here(repo, key) if with_own else 0
    seen = highest_seen(repo, remote, key) if remote is not None else 0
    highest = max(theirs.get(key, Numbers()).highest, own, seen)
    if not highest:
        refuse_other_case(key, {*theirs, *read_all_numbers(repo)})
    return next_number(repo, key, highest, there)


def _look(repo: Repository, remote: str) -> Refs:
    try:
        return transport.list_remote(repo, remote, [repo.runs_ref, version_tags.PATTERN])
    except RemoteUnreachable as error:
        raise NotTaken(remote, error.why) from error


def _share(workspace: Workspace, remote: str, find_commit: Callable[[], str], digest: str) -> tuple[str, Refs]:
    """See that the others can get the run: its bytes, then its commit; returns that, and what the remote has now."""
    repo = workspace.repo
    there = _look(repo, remote)
    commit = find_commit()
    if _has(repo, there.get(repo.runs_ref), commit):
        _store(workspace, digest)
        return commit, there
    for _ in range(_SYNCS):  # again where another process has recorded something of this run meanwhile
        try:
            sync(workspace, remote=remote, receive=False)
        except RemoteUnreachable as error:
            raise NotTaken(remote, error.why) from error
        there, commit = _look(repo, remote), find_commit()
        if _has(repo, there.get(repo.runs_ref), commit):
            return commit, there
    raise NotTaken(remote, "it does not have the run yet, which other processes change all the time")


def _has(repo: Repository, tip: str | None, commit: str) -> bool:
    """Whether a commit stands on what the remote has."""
    if tip is None or tip == commit or repo.objects.find(tip) is None:
        return tip == commit
    return repo.git("merge-base", "--is-ancestor", commit, tip, allowed=(0, 1))[0] == 0


def _store(workspace: Workspace, digest: str) -> None:
    """Send the bytes of a model whose run was shared without its artifacts, as far as they are here."""
    store = workspace.artifacts
    remote = store.remote() if store.cache.has(digest) else None
    if remote is not None:
        pushing.need_used_folder(workspace, remote)
        remote.push([digest], store.cache)


def _push(repo: Repository, remote: str, tag: str, oid: str) -> bool:
    """Whether the remote has taken the tag; a connection that broke is asked about."""
    ref = TAGS + tag
    try:
        result = transport.push(repo, remote, {ref: oid})[ref]
    except RemoteUnreachable as error:
        with suppress(RemoteUnreachable):
            found = transport.list_remote(repo, remote, [ref])
            if ref in found:
                return found[ref] == oid
        raise NotTaken(remote, error.why) from error
    if result.state == "refused":
        raise NotTaken(remote, result.reason, is_refused=True)
    return result.state != "lost"


def _make_here(repo: Repository, remote: str | None, tag: str, oid: str) -> bool:
    try:
        repo.refs.update([RefUpdate(TAGS + tag, oid, None)])
    except RefMoved:
        # Of those of one second one object may be made twice; what a remote has given is one's own, brought by a sync.
        if remote is None or repo.refs.list(TAGS + tag).get(TAGS + tag) != oid:
            return False
    if remote is not None:
        with suppress(RefMoved):  # it is only for not having to ask
            version_tags.note_sent(repo, remote, {tag: oid})
    return True
