"""Who proposed a change of the registry, who said yes to it, and whether that is enough.

All of it is read from git, so that it can be proved later and offline: how commits were merged, trailers of those
that somebody else than the author made, signatures, and what a forge knew, kept as git notes.
"""

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from runstone.git.objects import TreeEntry
from runstone.git.repository import Repository
from runstone.promotion.proposals.trees import compare_trees
from runstone.promotion.rules.settings import read_config, with_settings
from runstone.records.approval import Approval, ApprovalNote
from runstone.records.policy import Approvals, Policy
from runstone.records.stage import NO_STAGE
from runstone.registry.changes import AliasChange, Change, ModelChange, PolicyChange, RegistrationChange, StageChange
from runstone.registry.history.entry import Approver, Entry
from runstone.registry.history.joined import guarded_paths
from runstone.registry.history.line import read_entry
from runstone.registry.history.reviews import read_reviews
from runstone.registry.people import Person, find_mailmap, map_people, parse_person, read_people, with_opener
from runstone.registry.state import read_policy

_REVIEWED = Approvals(count=1)
_FREE = Approvals()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What git knows of how a commit came to the default branch.

    Attributes:
        commit: The commit.
        is_merge: Whether it is a merge; else the change was pushed, or squashed into one commit.
        authors: Everybody who had a hand in what it brought; see `Entry.makers`.
        merger: Who put it there; None where a forge did so in nobody's name.
        approvers: Everybody who said yes, authors included.
        request: The request's address on the forge, if it is noted.
        doubts: What was not counted, and why.
        head: What it merged, where that is known.
    """

    commit: str
    is_merge: bool
    authors: tuple[Person, ...]
    merger: Person | None
    approvers: tuple[Approver, ...]
    request: str | None = None
    doubts: tuple[str, ...] = ()
    head: str | None = None


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

    def needed(self, change: Change) -> tuple[Approvals, ...]:
        """The approvals that a change needs: each of these rules must be met; none if it is free.

        Of a stage that a version leaves and one that it enters, both rules hold. Where the policy is silent,
        `promotion: review` asks for one person other than the author, and `direct` for nobody. What a model is called
        is as guarded as the model: a name leads to all that is in its stages.

        Raises:
            RecordInvalid, NewerFormat: The policy or the settings at the base cannot be read.
        """
        if not isinstance(change, StageChange | AliasChange | PolicyChange | RegistrationChange | ModelChange):
            return ()
        if self._default is None:
            self._default = _REVIEWED if read_config(self.repo, self.base).promotion == "review" else _FREE
        default, policy = self._default, self.policy(change.key)
        match change:
            case StageChange():
                rules = [r for name in (change.after, change.before) for r in _stage_approvals(policy, name, default)]
            case AliasChange():
                rules = _alias_approvals(policy, change.alias, default)
            case PolicyChange():
                rules = _policy_approvals(policy, default)
            case ModelChange():
                rules = _strictest(policy, default) if _is_renaming(change) else []
            case _:
                rules = [default] if change.after is not None else []
        return tuple(dict.fromkeys(rule for rule in rules if rule.count))

    def policy(self, key: str) -> Policy:
        """The policy of a model; that of all if the key is empty."""
        if key not in self._policies:
            # In the folder of the base: in another one a change of the settings would find nothing that guards.
            repo = with_settings(self.repo, read_config(self.repo, self.base))
            self._policies[key] = read_policy(repo, self.base, key or None)
        return self._policies[key]


def needed(repo: Repository, base: str | None, change: Change) -> tuple[Approvals, ...]:
    """The approvals that one change needs, by the policy and the settings at its base; see `Rules.needed`."""
    return Rules(repo, base).needed(change)


def _stage_approvals(policy: Policy, stage: str, default: Approvals) -> list[Approvals]:
    """The rules of a stage, however large or small its letters are: a file of another spelling is the same stage."""
    if stage == NO_STAGE:
        return []
    found = [rule.approvals for name, rule in policy.stages.items() if name.lower() == stage.lower()]
    return [default if each is None else each for each in found] or [default]


def _alias_approvals(policy: Policy, alias: str, default: Approvals) -> list[Approvals]:
    found = [rule.approvals for name, rule in policy.aliases.items() if name.lower() == alias.lower()]
    found = found or [policy.alias_rule(alias).approvals]
    return [default if each is None else each for each in found]


def _policy_approvals(policy: Policy, default: Approvals) -> list[Approvals]:
    """Without a word on the policy itself: all that it asks anywhere, or one could abolish it alone."""
    return [policy.changes] if policy.changes is not None else _strictest(policy, default)


def _strictest(policy: Policy, default: Approvals) -> list[Approvals]:
    rules = [rule.approvals for rule in (*policy.stages.values(), *policy.aliases.values()) if rule.approvals]
    return [default, *rules]


def _is_renaming(change: ModelChange) -> bool:
    """Whether a name may lead elsewhere after it; what else a model's own file says is free."""
    if change.after is None:
        return True
    return change.after.name != (change.before.name if change.before is not None else None)


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
    merger, doubts = entry.landed_by, [] if entry.doubt is None else [entry.doubt]
    voices = [each for each in entry.voices if each.how != "note"]
    if entry.is_merge and merger is not None and entry.is_own and entry.doubt is None:
        voices.append(Approver(merger, "merge", merger.login))  # the author's own
    if entry.trailed and entry.is_merge and entry.is_own:
        doubts.append("its Approved-by and Reviewed-by lines are the author's own word")
    if len(entry.others) > 1:
        doubts.append("it merges several branches at once, which counts as work of who merged: merge one at a time")
    if signatures:
        voices = [_signed(repo, each, entry.commit) for each in voices]
    head = entry.others[0] if len(entry.others) == 1 else None
    evidence = Evidence(
        entry.commit, entry.is_merge, entry.makers, merger, _distinct(voices), doubts=tuple(doubts), head=head
    )
    return evidence if entry.note is None else with_note(repo, evidence, entry.note, entry.parent, people=entry.noted)


def _signed(repo: Repository, voice: Approver, commit: str) -> Approver:
    """A yes, and whether the commit by which it was said has a good signature: the merge, or that of a note."""
    if voice.how == "trailer":
        return voice
    return replace(voice, signed=is_signed_by(repo, voice.said or commit, voice.person))


def with_reviews(repo: Repository, evidence: Evidence, base: str | None, head: str | None = None) -> Evidence:
    """Evidence, and what reviewers said of a proposal that is still open, by notes of their own.

    Args:
        repo: The repository.
        evidence: What is known without it.
        base: The commit that it is merged into, whose `.mailmap` says whose address is whose.
        head: The proposal; the commit that the evidence is of if None.
    """
    head = head or evidence.commit
    found = read_reviews(repo, [head]).get(head, ())
    mapped = map_people(repo, [each.person for each in found], find_mailmap(repo, base))
    people = [(mapped[each.person.name, each.person.mail], each.commit) for each in found]
    voices = [_signed(repo, Approver(p, "review", said=said), head) for p, said in people if not p.is_nobody]
    return replace(evidence, approvers=_distinct([*evidence.approvers, *voices]))


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

    An approval counts for the head that is merged, or for an earlier one that would have made the same of all that is
    guarded and guards. The author's account on the forge is the author.

    Args:
        repo: The repository.
        evidence: What is known without it; of a request that is still open its head alone.
        note: What the forge knows of the request.
        base: The commit that it is merged into.
        people: Who gave its approvals, one each; after the `.mailmap` of the base if None.
        is_merged: Whether it has been.
    """
    head = (evidence.head or note.head) if is_merged else evidence.commit
    if people is None:
        texts = [f"{approval.by} <{approval.mail or ''}>" for approval in note.approvals]
        known = read_people(repo, texts, base)
        people = [replace(known[t], login=a.by) for t, a in zip(texts, note.approvals, strict=True)]
    doubts, voices = list(evidence.doubts), list(evidence.approvers)
    for approval, person in zip(note.approvals, people, strict=True):
        if not _is_for(repo, base, head, approval):
            deed = "was merged" if is_merged else "is proposed"
            doubts.append(f"{approval.by} approved {(approval.commit or '')[:7]}, and {(head or '')[:7]} {deed}")
            continue
        voices.append(Approver(person, "note", approval.by))
    return replace(
        evidence,
        authors=with_opener(evidence.authors, note),
        approvers=_distinct(voices),
        request=note.request,
        doubts=tuple(doubts),
    )


def progress(approvals: Approvals, evidence: Evidence) -> str:
    """How far a proposal is by one rule: `1 of 2 approvals: Ada`."""
    counted, _ = _weigh_voices(approvals, evidence)
    number, _ = _count(counted, evidence.approvers)
    names = ", ".join(dict.fromkeys(person.name for person in counted))
    word = "approval" if approvals.count == 1 else "approvals"
    return f"{number} of {approvals.count} {word}{f': {names}' if names else ''}"


def lacking(approvals: Approvals, evidence: Evidence) -> list[str]:
    """What is missing by one rule, one sentence each; empty when there are approvals enough."""
    if approvals.count == 0:
        return []
    counted, reasons = _weigh_voices(approvals, evidence)
    number, groups = _count(counted, evidence.approvers)
    if number >= approvals.count:
        return []
    if number < groups:
        reasons.append("of some an address is known and of others an account alone, who may be the same")
    if not evidence.is_merge and not evidence.approvers:
        reasons.insert(0, "it was pushed as it is, and nobody approved it")
    wanted = "1 approval is" if approvals.count == 1 else f"{approvals.count} approvals are"
    why = "; ".join(dict.fromkeys([*reasons, *evidence.doubts])) or f"nobody {'else ' if number else ''}approved it"
    return [f"{wanted} needed and {number or 'none'} counts: {why}"]


def _weigh_voices(approvals: Approvals, evidence: Evidence) -> tuple[list[Person], list[str]]:
    """Whose yes counts by a rule, and why that of others does not."""
    counted: list[Person] = []
    reasons: list[str] = []
    authors = frozenset(key for author in evidence.authors for key in author.keys)
    for approver in evidence.approvers:
        name = approver.account or approver.person.name
        group = _everything_of(approver.person, evidence.approvers)
        if group & authors and not approvals.by_author:
            reasons.append(f"{name} approved what is their own")
        elif approver.how == "trailer" and not approvals.trailers:
            if any(approver.person.keys & other.person.keys for other in evidence.approvers if other.how != "trailer"):
                continue  # who said so in a way that counts
            reasons.append(f"that {name} approved is the word of who merged it alone")
        elif approvals.by and not _matches(approver, approvals.by):
            reasons.append(f"{name} is not among those whose approval counts ({', '.join(approvals.by)})")
        elif approvals.signed and not approver.signed:
            reasons.append(f"the approval of {name} has no good signature")
        else:
            counted.append(approver.person)
    return counted, reasons


def _everything_of(person: Person, approvers: Iterable[Approver]) -> frozenset[str]:
    """All addresses and accounts of somebody, by whatever else has one of them."""
    found = person.keys
    while True:
        more = found.union(*(each.person.keys for each in approvers if each.person.keys & found))
        if more == found:
            return found
        found = more


def _count(people: Sequence[Person], approvers: Sequence[Approver]) -> tuple[int, int]:
    """How many people these are at least, and as how many they are known.

    Who is known by an address alone, and who by an account alone, may be one.
    """
    groups: dict[frozenset[str], set[tuple[bool, bool]]] = {}
    for person in people:
        everything = _everything_of(person, approvers)
        groups.setdefault(everything, set()).update(
            (each.person.has_mail, each.person.has_account) for each in approvers if each.person.keys & everything
        )
    kinds = [tuple(any(each[at] for each in kinds) for at in (0, 1)) for kinds in groups.values()]
    return kinds.count((True, True)) + max(kinds.count((True, False)), kinds.count((False, True))), len(groups)


def matches(mail: str, patterns: Iterable[str]) -> bool:
    """Whether a mail address is one of those that a policy names, as itself or by a pattern such as `*@example.org`."""
    return any(fnmatch.fnmatchcase(mail.lower(), pattern.lower()) for pattern in patterns)


def _matches(approver: Approver, patterns: Sequence[str]) -> bool:
    """Whether a policy names somebody, by the address as it is written: a `.mailmap` makes nobody an approver."""
    if approver.person.written and matches(approver.person.written, patterns):
        return True
    return bool(approver.account) and any(f"@{approver.account}".lower() == pattern.lower() for pattern in patterns)


def _is_for(repo: Repository, base: str | None, head: str | None, approval: Approval) -> bool:
    """Whether an approval is for what is merged: for that head, or for one that makes the same of what is guarded."""
    if approval.commit is None or head is None or approval.commit == head:
        return True
    if base is None or any(repo.objects.resolve(oid) != oid for oid in (approval.commit, head)):
        return False
    outcomes = [_outcome(repo, base, each) for each in (approval.commit, head)]
    return outcomes[0] is not None and outcomes[0] == outcomes[1]


def _outcome(repo: Repository, base: str, head: str) -> dict[str, TreeEntry | None] | None:
    """What the guarded files that a head changes would be if it were merged; None where that conflicts."""
    code, out = repo.git("merge-base", "--end-of-options", base, head, allowed=(0, 1))
    if code:
        return None
    before, ours, theirs = (repo.objects.commit(each).tree for each in (out.decode().strip(), base, head))
    changes, conflicts = compare_trees(repo.objects, before, ours, theirs, guarded_paths(repo))
    if conflicts:
        return None
    found: dict[str, TreeEntry | None] = {}
    for path, entry in changes.items():
        found |= _files(repo, path, repo.objects.entry(ours, path), entry)
    return found


def _files(
    repo: Repository, path: str, before: TreeEntry | None, after: TreeEntry | None
) -> dict[str, TreeEntry | None]:
    """The files below a path that differ, as they are after."""
    if before == after:
        return {}
    sides = [repo.objects.tree(e.oid) if e is not None and e.is_tree else None for e in (before, after)]
    found = {} if sides[1] is not None or (sides[0] is not None and after is None) else {path: after}
    a, b = (side or {} for side in sides)
    for name in sorted(a.keys() | b.keys()):
        found |= _files(repo, f"{path}/{name}", a.get(name), b.get(name))
    return found


def is_signed_by(repo: Repository, commit: str, person: Person) -> bool:
    """Whether git finds a good signature on a commit, of somebody with this mail address."""
    _, _, data = repo.objects.read(commit)
    if b"\ngpgsig" not in data.partition(b"\n\n")[0]:
        return False
    _, out = repo.git("log", "-1", "--no-show-signature", "--format=%G?%n%GS", "--end-of-options", commit)
    state, _, signer = out.decode("utf-8", "replace").partition("\n")
    return state == "G" and parse_person(signer).mail == person.written


def _distinct(approvers: Iterable[Approver]) -> tuple[Approver, ...]:
    """Each yes once; those of one person that were said in several ways stay, as each may meet another rule."""
    return tuple(dict.fromkeys(approvers))
