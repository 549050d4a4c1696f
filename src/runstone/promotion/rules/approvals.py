"""Who proposed a change of the registry, who said yes to it, and whether that is enough.

All of it is read from git, so that it can be proved later and offline: how commits were merged, trailers of those
that somebody else than the author made, signatures, and what a forge knew, kept as git notes.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from runstone.git.objects import Commit
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.records import yaml
from runstone.records.approval import Approval, ApprovalNote
from runstone.records.config import Config
from runstone.records.policy import NO_STAGE, Approvals, Policy
from runstone.registry.changes import AliasChange, Change, PolicyChange, RegistrationChange, StageChange, read_changes
from runstone.registry.people import Person, parse_person, read_note, read_people
from runstone.registry.state import read_policy

How = Literal["merge", "trailer", "note"]

_TRAILER = re.compile(r"^(?:Approved|Reviewed)-by:[ \t]*(.+?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
# Under such an address a forge itself commits what a person merges with a button. The hidden addresses of people there
# (`12+kim@users.noreply.github.com`) are people's.
_FORGES = re.compile(r"noreply@[a-z0-9.-]+")
_REVIEWED = Approvals(count=1)
_FREE = Approvals()


@dataclass(frozen=True, slots=True)
class Approver:
    """One yes.

    Attributes:
        name: The person, or the account on the forge.
        mail: Lower case; None where a forge tells the account alone.
        how: By merging, by a trailer of the merge, or as the forge recorded it.
        signed: Whether the commit that says so has a good signature of this person.
    """

    name: str
    mail: str | None
    how: How
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What git knows of how a commit came to the default branch.

    Attributes:
        commit: The commit.
        is_merge: Whether it is a merge; else the change was pushed, or squashed into one commit.
        authors: Who made what it brought.
        merger: Who put it there; None where a forge did so in nobody's name.
        approvers: Everybody who said yes, authors included.
        request: The request's address on the forge, if it is noted.
        doubts: What was not counted, and why.
    """

    commit: str
    is_merge: bool
    authors: tuple[Person, ...]
    merger: Person | None
    approvers: tuple[Approver, ...]
    request: str | None = None
    doubts: tuple[str, ...] = ()


def read_config(repo: Repository, commit: str | None) -> Config:
    """The settings in `runstone.yaml` at a commit; the default ones before the first.

    Raises:
        RecordInvalid, NewerFormat: The file cannot be read.
    """
    entry = None if commit is None else repo.objects.entry(repo.objects.commit(commit).tree, CONFIG_FILE)
    if commit is None or entry is None or not entry.is_file:
        return Config()
    where = f"{CONFIG_FILE} at {commit[:7]}"
    return Config.from_document(yaml.load(repo.objects.blob(entry.oid), where), where)


def needed(repo: Repository, base: str | None, change: Change) -> Approvals:
    """The approvals that a change needs, by the policy and the settings at its base.

    Of the stage that a version leaves and the one that it enters, the stricter rule holds. Where the policy is silent,
    `promotion: review` asks for one person other than the author, and `direct` for nobody.

    Raises:
        RecordInvalid, NewerFormat: The policy or the settings at the base cannot be read.
    """
    if not isinstance(change, StageChange | AliasChange | PolicyChange | RegistrationChange):
        return _FREE
    default = _REVIEWED if read_config(repo, base).promotion == "review" else _FREE
    policy = read_policy(repo, base, change.key or None)
    match change:
        case StageChange():
            rules = (_stage_approvals(policy, stage, default) for stage in (change.after, change.before))
            return max(rules, key=lambda rule: (rule.count, rule.signed, bool(rule.by)))
        case AliasChange():
            found = policy.alias_rule(change.alias).approvals
            return default if found is None else found
        case PolicyChange():
            return _policy_approvals(policy, default)
        case _:
            return default if change.after is not None else _FREE


def _stage_approvals(policy: Policy, stage: str, default: Approvals) -> Approvals:
    if stage == NO_STAGE:
        return _FREE
    rule = policy.stages.get(stage)
    return default if rule is None or rule.approvals is None else rule.approvals


def _policy_approvals(policy: Policy, default: Approvals) -> Approvals:
    """Without a word on the policy itself: the most that it asks anywhere, or one could abolish it alone."""
    if policy.changes is not None:
        return policy.changes
    rules = [rule.approvals for rule in (*policy.stages.values(), *policy.aliases.values()) if rule.approvals]
    return max([default, *rules], key=lambda rule: (rule.count, rule.signed, bool(rule.by)))


def collect(repo: Repository, commit: str) -> Evidence:
    """What git knows of how a commit of the default branch came there.

    A trailer counts in a commit that somebody else than the author of the change made: nobody vouches for themselves by
    naming others. A note's approval counts for the head that was merged, or for an earlier one that would have changed
    the same facts.

    Args:
        repo: The repository.
        commit: A full id, on the first-parent line.
    """
    found = repo.objects.commit(commit)
    brought = _brought(repo, found)
    note, doubts = read_note(repo, commit), list[str]()
    texts = {each: _identity(each) for c in (*brought, found) for each in (c.author, c.committer)}
    mapped = read_people(repo, texts.values(), commit)
    people = {each: mapped[text] for each, text in texts.items()}
    authors = tuple(dict.fromkeys(people[each.author] for each in brought))
    merger = _merger(people[found.author], people[found.committer], is_merge=len(found.parents) > 1)
    approvers: list[Approver] = []
    if merger is not None and (merger not in authors or len(found.parents) > 1):
        approvers.append(Approver(merger.name, merger.mail, "merge", _is_signed_by(repo, found, merger)))
    named = [match[1] for match in _TRAILER.finditer(found.message)]
    if named and merger is not None and merger not in authors:
        signed = any(approver.signed for approver in approvers)
        for person in read_people(repo, named, commit).values():
            approvers.append(Approver(person.name, person.mail, "trailer", signed))
    elif named:
        doubts.append("its Approved-by and Reviewed-by lines are the author's own word")
    if note is not None:
        for approval in note.approvals:
            if _is_for(repo, found, note, approval):
                approvers.append(Approver(approval.by, approval.mail and approval.mail.lower(), "note"))
            else:
                merged = (note.head or "")[:7]
                doubts.append(f"{approval.by} approved {(approval.commit or '')[:7]}, and {merged} was merged")
    account = None if note is None else note.author  # the author's account on the forge is the author
    mails = {person.mail for person in authors} | {note.author_mail.lower() if note and note.author_mail else ""}
    own = [each for each in approvers if each.mail in mails or (each.how == "note" and each.name == account)]
    authors += tuple(Person(each.name, each.mail or each.name) for each in own)
    return Evidence(
        commit=commit,
        is_merge=len(found.parents) > 1,
        authors=tuple(dict.fromkeys(authors)),
        merger=merger,
        approvers=tuple(_distinct(approvers)),
        request=None if note is None else note.request,
        doubts=tuple(doubts),
    )


def lacking(approvals: Approvals, evidence: Evidence) -> list[str]:
    """What is missing, one sentence each; empty when there are approvals enough."""
    if approvals.count == 0:
        return []
    own = {author.mail for author in evidence.authors}
    counted: dict[str, Approver] = {}
    reasons: list[str] = []
    for approver in evidence.approvers:
        who = approver.mail or approver.name
        if who in own and not approvals.by_author:
            reasons.append(f"{approver.name} approved what is their own")
        elif approvals.by and not _matches(approver, approvals.by):
            reasons.append(f"{approver.name} is not among those whose approval counts ({', '.join(approvals.by)})")
        elif approvals.signed and not approver.signed:
            reasons.append(f"the approval of {approver.name} has no good signature")
        else:
            counted.setdefault(who, approver)
    if len(counted) >= approvals.count:
        return []
    if not evidence.is_merge and not evidence.approvers:
        reasons.insert(0, "it was pushed as it is, and nobody approved it")
    wanted = "1 approval is" if approvals.count == 1 else f"{approvals.count} approvals are"
    why = "; ".join(dict.fromkeys([*reasons, *evidence.doubts])) or "nobody approved it"
    return [f"{wanted} needed and {len(counted) or 'none'} counts: {why}"]


def matches(mail: str, patterns: Iterable[str]) -> bool:
    """Whether a mail address is one of those that a policy names, as itself or by a pattern such as `*@example.org`."""
    return any(fnmatch.fnmatchcase(mail.lower(), pattern.lower()) for pattern in patterns)


def _matches(approver: Approver, patterns: Sequence[str]) -> bool:
    if approver.mail is not None and matches(approver.mail, patterns):
        return True
    return approver.how == "note" and any(f"@{approver.name}".lower() == pattern.lower() for pattern in patterns)


def _brought(repo: Repository, commit: Commit) -> list[Commit]:
    """The commits that a merge brought; of a plain commit, itself."""
    if len(commit.parents) < 2:
        return [commit]
    _, out = repo.git("rev-list", "--end-of-options", *commit.parents[1:], f"^{commit.parents[0]}")
    return [repo.objects.commit(oid) for oid in out.decode().split()] or [commit]


def _identity(text: str) -> str:
    """`Kim <kim@x.org> 1700000000 +0100` → `Kim <kim@x.org>`."""
    return text.rpartition(">")[0] + ">"


def _merger(author: Person, committer: Person, *, is_merge: bool) -> Person | None:
    """Who put a commit on the branch: the committer; where that is a forge, the author of the merge, who pressed the
    button. Who did so is not known of what a forge squashed.
    """
    if _FORGES.fullmatch(committer.mail) is None:
        return committer
    return author if is_merge and _FORGES.fullmatch(author.mail) is None else None


def _is_for(repo: Repository, merge: Commit, note: ApprovalNote, approval: Approval) -> bool:
    """Whether an approval is for what was merged: for that head, or for one with the same facts."""
    if approval.commit is None or note.head is None or approval.commit == note.head:
        return True
    base = merge.parents[0] if merge.parents else None
    if base is None or any(repo.objects.resolve(oid) != oid for oid in (approval.commit, note.head)):
        return False
    facts = []
    for head in (approval.commit, note.head):
        code, out = repo.git("merge-base", "--end-of-options", base, head, allowed=(0, 1))
        if code:
            return False
        facts.append(read_changes(repo, out.decode().strip(), head))
    return facts[0] == facts[1]


def _is_signed_by(repo: Repository, commit: Commit, person: Person) -> bool:
    """Whether git finds a good signature on a commit, of somebody with this mail address."""
    _, _, data = repo.objects.read(commit.oid)
    head = data.partition(b"\n\n")[0]
    if b"\ngpgsig" not in head:
        return False
    _, out = repo.git("log", "-1", "--no-show-signature", "--format=%G?%n%GS", "--end-of-options", commit.oid)
    state, _, signer = out.decode("utf-8", "replace").partition("\n")
    return state == "G" and parse_person(signer).mail == person.mail


def _distinct(approvers: Sequence[Approver]) -> list[Approver]:
    """One entry a person; a signed one before others."""
    found: dict[str, Approver] = {}
    for approver in sorted(approvers, key=lambda each: not each.signed):
        found.setdefault(approver.mail or approver.name, approver)
    return list(found.values())
