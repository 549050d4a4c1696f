"""Who proposed a change of the registry, who said yes to it, and whether that is enough.

All of it is read from git, so that it can be proved later and offline: how commits were merged, trailers of those
that somebody else than the author made, signatures, and what a forge knew, kept as git notes.
"""

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from runstone.git.repository import Repository
from runstone.promotion.rules.settings import read_config
from runstone.records.approval import Approval, ApprovalNote
from runstone.records.policy import NO_STAGE, Approvals, Policy
from runstone.registry.changes import AliasChange, Change, PolicyChange, RegistrationChange, StageChange, read_changes
from runstone.registry.history.entry import Approver, Entry
from runstone.registry.history.line import read_entry
from runstone.registry.people import Person, parse_person, read_people
from runstone.registry.state import read_policy

_REVIEWED = Approvals(count=1)
_FREE = Approvals()


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


@dataclass
class Rules:
    """What the policies and the settings at one commit ask of changes; each is read once.

    Attributes:
        repo: The repository.
        base: The commit; None before the first.
    """

    repo: Repository
    base: str | None
    _default: Approvals | None = None
    _policies: dict[str, Policy] = field(default_factory=dict)

    def needed(self, change: Change) -> Approvals:
        """The approvals that a change needs.

        Of the stage that a version leaves and the one that it enters, the stricter rule holds. Where the policy is
        silent, `promotion: review` asks for one person other than the author, and `direct` for nobody.

        Raises:
            RecordInvalid, NewerFormat: The policy or the settings at the base cannot be read.
        """
        if not isinstance(change, StageChange | AliasChange | PolicyChange | RegistrationChange):
            return _FREE
        if self._default is None:
            self._default = _REVIEWED if read_config(self.repo, self.base).promotion == "review" else _FREE
        default, policy = self._default, self.policy(change.key)
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

    def policy(self, key: str) -> Policy:
        """The policy of a model; that of all if the key is empty."""
        if key not in self._policies:
            self._policies[key] = read_policy(self.repo, self.base, key or None)
        return self._policies[key]


def needed(repo: Repository, base: str | None, change: Change) -> Approvals:
    """The approvals that one change needs, by the policy and the settings at its base; see `Rules.needed`."""
    return Rules(repo, base).needed(change)


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
    """What git knows of how a commit of the default branch came there; see `weigh`.

    Args:
        repo: The repository.
        commit: A full id, on the first-parent line.
    """
    return weigh(repo, read_entry(repo, commit))


def weigh(repo: Repository, entry: Entry, *, signatures: bool = True) -> Evidence:
    """What an entry of the registry's history is worth as evidence.

    Args:
        repo: The repository.
        entry: The entry.
        signatures: Whether signatures are looked at, each by a process of its own.
    """
    merger, doubts = entry.landed_by, []
    voices = [each for each in entry.voices if each.how != "note"]
    if entry.is_merge and merger is not None and not entry.is_vouched:
        voices.append(Approver(merger, "merge"))  # the author's own
    if entry.trailed and not entry.is_vouched:
        doubts.append("its Approved-by and Reviewed-by lines are the author's own word")
    if signatures and merger is not None and voices:
        signed = _is_signed_by(repo, entry.commit, merger)
        voices = [replace(each, signed=signed) for each in voices]
    evidence = Evidence(entry.commit, entry.is_merge, entry.proposers, merger, _distinct(voices), doubts=tuple(doubts))
    return evidence if entry.note is None else with_note(repo, evidence, entry.note, entry.parent, people=entry.noted)


def with_note(
    repo: Repository,
    evidence: Evidence,
    note: ApprovalNote,
    base: str | None,
    *,
    people: Sequence[Person] | None = None,
    is_merged: bool = True,
) -> Evidence:
    """Evidence, and what a forge knows besides.

    An approval counts for the head that is merged, or for an earlier one that would have changed the same facts. The
    author's account on the forge is the author.

    Args:
        repo: The repository.
        evidence: What is known without it; of a request that is still open its head alone.
        note: What the forge knows of the request.
        base: The commit that it is merged into.
        people: Who gave its approvals, one each; after the `.mailmap` of the base if None.
        is_merged: Whether it has been.
    """
    head = note.head if is_merged else evidence.commit
    if people is None:
        texts = [f"{approval.by} <{approval.mail or ''}>" for approval in note.approvals]
        known = read_people(repo, texts, base)
        people = [known[text] for text in texts]
    doubts, voices = list(evidence.doubts), list(evidence.approvers)
    authors = list(evidence.authors)
    mails = {person.mail for person in authors} | ({note.author_mail.lower()} if note.author_mail else set())
    for approval, person in zip(note.approvals, people, strict=True):
        if not _is_for(repo, base, {head, note.head}, head, approval):
            deed = "was merged" if is_merged else "is proposed"
            doubts.append(f"{approval.by} approved {(approval.commit or '')[:7]}, and {(head or '')[:7]} {deed}")
            continue
        voices.append(Approver(person, "note", approval.by))
        if person.mail in mails - {""} or approval.by == note.author:
            authors.append(person)
    authors += [each.person for each in evidence.approvers if each.person.mail in mails - {""}]
    if not evidence.authors:
        authors.insert(0, Person(note.author, note.author_mail or ""))
    return replace(
        evidence,
        authors=tuple(dict.fromkeys(authors)),
        approvers=_distinct(voices),
        request=note.request,
        doubts=tuple(doubts),
    )


def lacking(approvals: Approvals, evidence: Evidence) -> list[str]:
    """What is missing, one sentence each; empty when there are approvals enough."""
    if approvals.count == 0:
        return []
    counted: set[Person] = set()
    reasons: list[str] = []
    for approver in evidence.approvers:
        name = approver.account or approver.person.name
        if approver.person in evidence.authors and not approvals.by_author:
            reasons.append(f"{name} approved what is their own")
        elif approvals.by and not _matches(approver, approvals.by):
            reasons.append(f"{name} is not among those whose approval counts ({', '.join(approvals.by)})")
        elif approvals.signed and not approver.signed:
            reasons.append(f"the approval of {name} has no good signature")
        else:
            counted.add(approver.person)
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
    if approver.person.mail and matches(approver.person.mail, patterns):
        return True
    return bool(approver.account) and any(f"@{approver.account}".lower() == pattern.lower() for pattern in patterns)


def _is_for(repo: Repository, base: str | None, heads: set[str | None], head: str | None, approval: Approval) -> bool:
    """Whether an approval is for what is merged: for that head, or for one with the same facts."""
    if approval.commit is None or head is None or approval.commit in heads:
        return True
    if base is None or any(repo.objects.resolve(oid) != oid for oid in (approval.commit, head)):
        return False
    facts = []
    for each in (approval.commit, head):
        code, out = repo.git("merge-base", "--end-of-options", base, each, allowed=(0, 1))
        if code:
            return False
        facts.append(read_changes(repo, out.decode().strip(), each))
    return facts[0] == facts[1]


def _is_signed_by(repo: Repository, commit: str, person: Person) -> bool:
    """Whether git finds a good signature on a commit, of somebody with this mail address."""
    _, _, data = repo.objects.read(commit)
    if b"\ngpgsig" not in data.partition(b"\n\n")[0]:
        return False
    _, out = repo.git("log", "-1", "--no-show-signature", "--format=%G?%n%GS", "--end-of-options", commit)
    state, _, signer = out.decode("utf-8", "replace").partition("\n")
    return state == "G" and parse_person(signer).mail == person.mail


def _distinct(approvers: Iterable[Approver]) -> tuple[Approver, ...]:
    """One entry a person; a signed one before others."""
    found: dict[Person, Approver] = {}
    for approver in sorted(approvers, key=lambda each: not each.signed):
        found.setdefault(approver.person, approver)
    return tuple(found.values())
