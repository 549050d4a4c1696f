"""Approve a proposal without merging it: a git note on its commit, by a commit of the reviewer's own.

So several people can say yes where there is no forge. The note is on that one commit: a proposal that is made anew
needs new approvals.
"""

from dataclasses import dataclass

from runstone.errors import NotApproved, ProposalRefused, RefMoved
from runstone.git import signing
from runstone.git.notes import NOTES_REF, list_notes, put_notes, read_lines, write_lines
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.stream import Progress
from runstone.promotion.proposals.contents import changes_of
from runstone.promotion.proposals.listing import find_proposal
from runstone.promotion.proposals.look import look
from runstone.promotion.proposals.proposal import Proposal
from runstone.promotion.rules.approvals import Evidence, Rules, lacking, with_reviews
from runstone.records.policy import Approvals
from runstone.registry.history.line import read_makers
from runstone.registry.history.reviews import format_line
from runstone.registry.people import NOBODY, find_mailmap, map_people, parse_person
from runstone.tracking.approval_notes import exchange_notes
from runstone.tracking.workspace import Workspace

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Approved:
    """What an approval did.

    Attributes:
        proposal: What was approved.
        is_new: Whether this person had not approved it before.
        lacking: What is still missing, one sentence each.
    """

    proposal: Proposal
    is_new: bool
    lacking: tuple[str, ...] = ()


def approve_proposal(
    workspace: Workspace,
    name: str,
    *,
    why: str | None = None,
    remote: str | None = None,
    progress: Progress | None = None,
) -> Approved:
    """Say yes to an open proposal, as whoever git says is at work.

    Args:
        workspace: The repository.
        name: See `find_proposal`.
        why: What to say of it; it stands in the commit of the note.
        remote: The git remote; see `transport.find_remote`.
        progress: Told of git's steps.

    Writes:
        `refs/notes/runstone`, here and on the remote: a line in the note on the proposal's commit, by one commit,
        signed where git signs.

    Raises:
        ProposalNotFound, ProposalAmbiguous: As `find_proposal`.
        ProposalRefused: It is the reviewer's own, or git does not know who they are.
        NotApproved: The remote does not take the note.
        RemoteUnreachable: The remote is away.
        SigningFailed: git is set to sign, and it could not be signed.
        RefMoved: Others were faster, again and again.
    """
    repo = workspace.repo
    view = look(repo, remote=remote, progress=progress)
    proposal = find_proposal(repo, view, name)
    who = repo.identity("committer").rpartition("> ")[0] + ">"
    _refuse_unless_other(repo, proposal, view.tip, who)
    is_new = _note(repo, proposal, who, why)
    if view.remote is not None:
        moved = exchange_notes(repo, view.remote, view.there.get(NOTES_REF), send=True, progress=progress)
        if moved.refused is not None:
            raise NotApproved(proposal.name, view.remote, moved.refused)
    return Approved(proposal, is_new, tuple(missing(repo, view.tip, proposal)))


def evidence_for(repo: Repository, tip: str | None, proposal: Proposal) -> Evidence:
    """Who made a proposal that is still open, and who has approved it by now.

    Args:
        repo: The repository.
        tip: The default branch.
        proposal: The proposal.
    """
    base = proposal.base or tip
    makers = () if base is None else read_makers(repo, base, proposal.commit)
    return with_reviews(repo, Evidence(proposal.commit, True, makers, None, ()), tip)


def missing(repo: Repository, tip: str | None, proposal: Proposal) -> list[str]:
    """The approvals that an open proposal still lacks, by the policy of the default branch; one sentence for a rule."""
    evidence = evidence_for(repo, tip, proposal)
    found = [lacking(rule, evidence) for rule in _rules(repo, tip, proposal)]
    return list(dict.fromkeys(sentence for sentences in found for sentence in sentences))


def is_own(repo: Repository, tip: str | None, proposal: Proposal) -> bool:
    """Whether whoever is at work here had a hand in a proposal."""
    person = parse_person(repo.identity("committer").rpartition("> ")[0] + ">")
    (mapped,) = map_people(repo, [person], find_mailmap(repo, tip)).values()
    return any(mapped.keys & maker.keys for maker in evidence_for(repo, tip, proposal).authors)


def _rules(repo: Repository, tip: str | None, proposal: Proposal) -> list[Approvals]:
    """The approvals that what a proposal changes needs."""
    rules = Rules(repo, tip)
    return list(dict.fromkeys(rule for change in changes_of(repo, proposal) for rule in rules.needed(change)))


def _refuse_unless_other(repo: Repository, proposal: Proposal, tip: str | None, who: str) -> None:
    if f"<{NOBODY}>" in who:
        step = "`git config user.name NAME && git config user.email YOU@example.org`"
        why = f"git knows no name and mail here, so this would be nobody's approval. Say who you are: {step}"
        raise ProposalRefused(proposal.name, [why], deed="approved")
    if is_own(repo, tip, proposal) and not any(rule.by_author for rule in _rules(repo, tip, proposal)):
        why = f"{parse_person(who).name} made it, and nobody approves what is their own"
        raise ProposalRefused(proposal.name, [why], deed="approved")


def _note(repo: Repository, proposal: Proposal, who: str, why: str | None) -> bool:
    """Add a reviewer's line to the note on a proposal; whether it was not there."""
    noted, line = proposal.commit, format_line(who)
    for attempt in range(_ATTEMPTS):
        tip = repo.refs.read(NOTES_REF)
        entry = list_notes(repo, tip).get(noted)
        lines = () if entry is None else read_lines(repo, entry.oid) or ()
        if line in lines:
            return False
        tree = put_notes(repo, tip, {noted: write_lines(repo, {*lines, line})})
        said = f"{why.strip()}\n\n" if why and why.strip() else ""
        message = f"Approve {proposal.branch}\n\n{said}Proposal: {noted}"
        commit = signing.write_commit(repo, tree, [tip] if tip is not None else [], message)
        try:
            repo.refs.update([RefUpdate(NOTES_REF, commit, tip)])
        except RefMoved:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        return True
    raise AssertionError("unreachable")
