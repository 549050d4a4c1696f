"""Merge a proposal: a real merge commit on the default branch, made of the trees alone, judged first, and pushed.

It is the reviewer's yes where there is no forge: the commit names who merged, and what `verify` proves rests on it.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from runstone.errors import (
    BranchRefused,
    IndexBusy,
    LocalEdits,
    ProposalConflict,
    ProposalRefused,
    ProposalUnclear,
    RecordInvalid,
    RefMoved,
    RemoteUnreachable,
)
from runstone.errors.base import in_quotes
from runstone.git import checkouts, signing, transport
from runstone.git.objects import TreeEntry
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.stream import Progress
from runstone.promotion.proposals.bring import bring_runs
from runstone.promotion.proposals.follow import fast_forward
from runstone.promotion.proposals.listing import find_proposal
from runstone.promotion.proposals.look import PREFIXES, View, look, tracking_ref
from runstone.promotion.proposals.proposal import Proposal, parse_trailers
from runstone.promotion.proposals.publish import publish
from runstone.promotion.proposals.request import OpenRequest, find_request
from runstone.promotion.proposals.trees import Conflict, compare_trees
from runstone.promotion.proposals.verdict import hindrance, missing_approvals
from runstone.records import yaml
from runstone.registry.changes import read_changes
from runstone.registry.keys import find_name
from runstone.registry.layout import parse_path
from runstone.registry.numbers import read_numbers
from runstone.registry.people import NOBODY
from runstone.tracking.workspace import Workspace

_ATTEMPTS = 10
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did.

    Attributes:
        proposal: What was merged.
        commit: The merge commit; the default branch's tip where there was nothing left to merge.
        target: The branch, as people call it.
        is_new: Whether there was something to merge.
        remarks: What is left to do here.
    """

    proposal: Proposal
    commit: str
    target: str
    is_new: bool = True
    remarks: tuple[str, ...] = field(default=())


def merge_proposal(
    workspace: Workspace, name: str, *, remote: str | None = None, progress: Progress | None = None
) -> Merged:
    """Merge an open proposal into the default branch, as one who approves it.

    Interrupted, it may be called again: of one that was merged, what is left to do here is done.

    Args:
        workspace: The repository.
        name: See `find_proposal`.
        remote: The git remote; see `transport.find_remote`.
        progress: Told of git's steps.

    Writes:
        A merge commit, signed where git signs; the default branch on the remote, by compare-and-swap, and here, with
        work trees that have it checked out. The proposal's branch goes.

    Raises:
        ProposalNotFound, ProposalAmbiguous: As `find_proposal`.
        ProposalConflict: The default branch has changed the same files.
        ProposalRefused: A gate fails, the policy does not allow it, or approvals are lacking.
        BranchRefused: The remote does not take it.
        RemoteUnreachable: The remote is away.
        LocalEdits, IndexBusy: With no remote, a work tree is in the way.
        RefMoved: Others were faster, again and again.
    """
    repo = workspace.repo
    for attempt in range(_ATTEMPTS):
        view = look(repo, remote=remote, progress=progress)
        proposal = find_proposal(repo, view, name, merged=True)
        if view.tip is None or (proposal.base is None and repo.shallow):
            why = "it and the default branch share no history here: `git fetch --unshallow`"
            raise ProposalUnclear(proposal.branch, why)
        if proposal.state == "merged":
            return _finish(repo, view, proposal, view.tip)
        bring_runs(repo, view, proposal, progress)
        commit = _write_merge(repo, view, proposal)
        request = find_request(repo, view, proposal)
        _refuse_unless_allowed(workspace, view.tip, commit, proposal, request)
        try:
            if request is not None:
                commit, remarks = _merge_on_forge(repo, view, commit, proposal, request, progress)
            else:
                remarks = _land(repo, view, commit, progress)
        except RefMoved:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        remarks += [*remove_branches(repo, view, proposal), *_left_of_model(repo, proposal, commit)]
        remove_merged(repo, view)
        return Merged(proposal, commit, view.target, remarks=tuple(remarks))
    raise AssertionError("unreachable")


def _finish(repo: Repository, view: View, proposal: Proposal, tip: str) -> Merged:
    """Do what is left to do here about a proposal that the default branch has."""
    remarks = _follow(repo, view, tip) if view.remote is not None else []
    remarks += [*remove_branches(repo, view, proposal), *_left_of_model(repo, proposal, tip)]
    return Merged(proposal, tip, view.target, False, tuple(remarks))


def _left_of_model(repo: Repository, proposal: Proposal, tip: str) -> list[str]:
    """Of a model that was deleted, that its versions are not retired yet: a git tag does not wait for review."""
    if proposal.trailers.get("proposal") != ("remove",):
        return []
    parents = repo.objects.commit(proposal.commit).parents
    keys = {change.key for change in read_changes(repo, parents[0] if parents else None, proposal.commit)}
    names = [find_name(repo, key, tip) for key in sorted(keys - {""}) if read_numbers(repo, key).present]
    step = "are still there. Retire them: `runstone models delete"
    return [f"The versions of {name} {step} {in_quotes(name)}`" for name in names]


def remove_branches(repo: Repository, view: View, proposal: Proposal) -> list[str]:
    """Remove a proposal's branch, on the remote and here; what could not be removed, in words.

    Writes:
        The branch, only if it still is what was looked at; a fork's is its owner's.
    """
    ref, left = f"refs/heads/{proposal.branch}", []
    if view.remote is not None and view.is_fresh and view.there.get(ref) == proposal.commit:
        try:
            publish(repo, view.remote, ref, None, proposal.commit)
            with suppress(RefMoved):
                kept = tracking_ref(view.remote, ref)
                if repo.refs.read(kept) == proposal.commit:
                    repo.refs.update([RefUpdate(kept, None, proposal.commit)])
        except (BranchRefused, RefMoved, RemoteUnreachable) as error:
            why = " ".join((error.why if isinstance(error, BranchRefused | RemoteUnreachable) else str(error)).split())
            left.append(f"`{view.remote}` keeps the branch `{proposal.branch}`, which is of no more use: {why}")
    if proposal.is_local and not proposal.is_foreign:
        if checkouts.checkouts(repo, ref):
            left.append(f"The branch `{proposal.branch}` is checked out here, so it stays.")
        else:
            with suppress(RefMoved):
                repo.refs.update([RefUpdate(ref, None, proposal.commit)])
    return left


def remove_merged(repo: Repository, view: View) -> list[str]:
    """Remove the branches here of proposals that somebody else has merged, and removed on the remote; their names.

    Writes:
        Those branches whose commit the default branch of the remote holds, none that is checked out.
    """
    if view.remote is None or not view.is_fresh or view.tip is None:
        return []
    patterns = [f"refs/heads/{prefix}" for prefix in PREFIXES]
    form = "--format=%(refname) %(objectname)"
    _, out = repo.git("for-each-ref", form, f"--merged={view.tip}", "--", *patterns)
    gone = []
    for line in out.decode("utf-8", "surrogateescape").splitlines():
        ref, _, oid = line.rpartition(" ")
        is_proposal = "proposal" in parse_trailers(repo.objects.commit(oid).message)
        if ref in view.there or not is_proposal or checkouts.checkouts(repo, ref):
            continue
        with suppress(RefMoved):
            repo.refs.update([RefUpdate(ref, None, oid)])
            gone.append(ref.removeprefix("refs/heads/"))
    return gone


def describe_conflicts(repo: Repository, conflicts: Sequence[Conflict], target: str) -> list[str]:
    """One line for each file, with what both sides say."""
    return [
        f"{c.path}: {target} has {_value(repo, c.path, c.ours)}, the proposal {_value(repo, c.path, c.theirs)}"
        + (f" (it was {_value(repo, c.path, c.base)})" if c.base is not None else "")
        for c in conflicts
    ]


def _value(repo: Repository, path: str, entry: TreeEntry | None) -> str:
    """What a side says in a file, short."""
    if entry is None:
        return "no such file"
    place = parse_path(repo.config.registry, path)
    if place is not None and place.kind in ("stage", "alias") and entry.is_file:
        with suppress(RecordInvalid):
            document = yaml.load(repo.objects.blob(entry.oid), path)
            found = document.get("versions" if place.kind == "stage" else "version")
            numbers = found if isinstance(found, list) else [found]
            return " and ".join(f"v{number}" for number in numbers[:10])
    return f"another text ({entry.oid[:7]})"


def _write_merge(repo: Repository, view: View, proposal: Proposal) -> str:
    assert view.tip is not None
    ours, theirs = repo.objects.commit(view.tip).tree, repo.objects.commit(proposal.commit).tree
    base = repo.objects.commit(proposal.base).tree if proposal.base is not None else None
    changes, conflicts = compare_trees(repo.objects, base, ours, theirs)
    if conflicts:
        raise ProposalConflict(proposal.name, view.target, describe_conflicts(repo, conflicts, view.target))
    tree = repo.objects.update_tree(ours, changes) or repo.objects.write_tree({})
    who = repo.identity("committer").rpartition("> ")[0] + ">"
    subject = " ".join(_CONTROL.sub(" ", proposal.subject).split())  # of another's making: never a line of its own
    message = f"Merge proposal {proposal.branch}\n\nIt says: {subject}\n\nApproved-by: {who}\n"
    return signing.write_commit(repo, tree, [view.tip, proposal.commit], message)


def _refuse_unless_allowed(
    workspace: Workspace, base: str, commit: str, proposal: Proposal, request: OpenRequest | None
) -> None:
    repo, found = workspace.repo, hindrance(workspace, base, commit)
    note = request.forge.approvals(request.info.number) if request is not None else None
    lacking = missing_approvals(workspace, base, commit, note)
    if lacking and request is None and f"<{NOBODY}>" in repo.identity("committer"):
        step = "`git config user.name NAME && git config user.email YOU@example.org`"
        lacking.append(
            f"git knows no name and mail here, so this merge would be nobody's approval. Say who you are: {step}"
        )
    elif lacking and request is None:
        lacking.append(f"Whoever else approves it says so: `runstone proposals approve {in_quotes(proposal.name)}`")
    if found.reasons or lacking:
        undecided = found.is_undecided and not lacking
        raise ProposalRefused(proposal.name, [*found.reasons, *lacking], undecided=undecided)


def _land(repo: Repository, view: View, commit: str, progress: Progress | None) -> list[str]:
    """Put the merge commit on the default branch; what is left to do here, in words. Raises `RefMoved`."""
    if view.remote is None:
        if not fast_forward(repo, view.ref, commit):
            raise RefMoved(view.ref, view.tip)
        return []
    done = transport.push(repo, view.remote, {view.ref: commit}, progress=progress)[view.ref]
    if done.state == "lost":
        raise RefMoved(view.ref, view.tip)
    if done.state == "refused":
        raise BranchRefused(view.remote, view.ref, done.reason)
    with suppress(RefMoved):
        kept = tracking_ref(view.remote, view.ref)
        seen = repo.refs.read(kept)
        if seen != commit:
            repo.refs.update([RefUpdate(kept, commit, seen)])
    return _follow(repo, view, commit)


def _merge_on_forge(
    repo: Repository, view: View, commit: str, proposal: Proposal, request: OpenRequest, progress: Progress | None
) -> tuple[str, list[str]]:
    """Have the forge merge, so that it counts and closes the request; the commit that it made, and what is left."""
    title, _, message = repo.objects.commit(commit).message.partition("\n\n")
    info = request.forge.merge_request(request.info.number, head=proposal.commit, title=title, message=message)
    now = look(repo, remote=view.remote, progress=progress)
    merged = info.merge_commit or now.tip or commit
    return merged, _follow(repo, now, now.tip or commit)


def _follow(repo: Repository, view: View, commit: str) -> list[str]:
    """Bring the default branch here up to a commit that the remote has; why it is not, in words."""
    if repo.refs.read(view.ref) is None:
        return []  # as in a job of CI, which has no branch of its own
    try:
        is_there = fast_forward(repo, view.ref, commit)
    except (LocalEdits, IndexBusy, RefMoved) as error:
        return [
            f"`{view.target}` has it, and `{view.branch}` here does not: {str(error).rstrip('.')}. Then: `git pull`"
        ]
    return [] if is_there else [f"`{view.branch}` here has commits of its own. Join the two: `git pull`"]
