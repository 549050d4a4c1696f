"""Whether one commit of the default branch after the other had the approvals that its guarded changes needed."""

from dataclasses import dataclass, replace

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.notes import were_never_fetched
from runstone.git.repository import Repository
from runstone.promotion.proof.provenance import Break
from runstone.promotion.rules.approvals import Evidence, Rules, lacking, weigh
from runstone.promotion.rules.settings import settings_changes
from runstone.promotion.rules.shape import Shape
from runstone.records.policy import Approvals
from runstone.records.stage import NO_STAGE
from runstone.registry.changes import AliasChange, Change, PolicyChange, RegistrationChange, StageChange
from runstone.registry.history.entry import Entry

NOT_FETCHED = "Approvals that CI noted were never fetched here, so nobody can tell yet: `runstone pull`"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What became of one commit.

    Attributes:
        guarded: How many of its changes need approvals.
        breaks: Those that lack them.
        faults: What no approval makes right.
        noted: How many were approved by the word of notes alone.
        vouched: The versions, by their models' keys, of which its word counts: each of their moves that needs approval
            has it, or nothing about the model needs any.
    """

    guarded: int
    breaks: tuple[Break, ...]
    faults: tuple[Break, ...] = ()
    noted: int = 0
    vouched: frozenset[tuple[str, int]] = frozenset()


class Reviewer:
    """Reviews the entries of a line one after the other.

    What judges, the policies and the settings at the first parent, is read anew only where an entry has changed it.
    """

    def __init__(self, repo: Repository, key: str | None = None) -> None:
        """Prepare.

        Args:
            repo: The repository.
            key: Only the changes of one model, and those of policies and settings, which are about all.
        """
        self._repo, self._key = repo, key
        self._rules: Rules | None = None
        self._shape = Shape(repo)
        self._is_certain = not were_never_fetched(repo)

    def review(self, entry: Entry) -> Reviewed:
        """Whether the guarded changes of an entry were approved, and leave the registry as it can be; those of the line
        come in their order.
        """
        where, rules = f"commit {entry.commit[:7]}", self._rules or Rules(self._repo, entry.parent)
        changes: list[Change] = [
            change for change in entry.changes if self._key in (None, change.key) or not change.key
        ]
        if entry.beside:
            changes += settings_changes(self._repo, entry.parent, entry.commit)
        is_moving = bool(entry.beside) or any(isinstance(change, PolicyChange) for change in entry.changes)
        self._rules = None if is_moving else rules
        try:
            asked = [(change, rule) for change in changes for rule in rules.needed(change)]
            faults = tuple(Break(what, where, why) for what, why in self._shape.faults(entry, rules.policy))
        except (RecordInvalid, NewerFormat) as error:
            return Reviewed(0, (Break("policy", where, f"what it was judged by cannot be read: {error}"),))
        if not asked:
            return Reviewed(0, (), faults, vouched=_vouched(rules, entry, set(), set()))
        signatures = any(approvals.signed for _, approvals in asked)
        evidence = weigh(self._repo, entry, signatures=signatures)
        told = [(change, why) for change, approvals in asked for why in lacking(approvals, evidence)]
        lacks = {id(change) for change, _ in told}
        noted = {id(c) for c, approvals in asked if id(c) not in lacks and _rests_on_notes(approvals, evidence)}
        breaks = [Break(describe(change), where, why) for change, why in told]
        if not self._is_certain:
            breaks = [replace(each, why=f"{each.why}. {NOT_FETCHED}", is_certain=False) for each in breaks]
        vouched = _vouched(rules, entry, {id(change) for change, _ in asked}, lacks)
        return Reviewed(len({id(c) for c, _ in asked}), tuple(dict.fromkeys(breaks)), faults, len(noted), vouched)


def _vouched(rules: Rules, entry: Entry, asked: set[int], lacks: set[int]) -> frozenset[tuple[str, int]]:
    """Of which versions an entry's word counts, by the changes that need approval and those that lack it."""
    moves: dict[tuple[str, int], list[int]] = {}
    for change in entry.changes:
        for version in moved_versions(change):
            moves.setdefault((change.key, version), []).append(id(change))
    return frozenset(
        place
        for place, its in moves.items()
        if lacks.isdisjoint(its)
        and (not asked.isdisjoint(its) or not rules.needed(PolicyChange(place[0], "", None, None)))
    )


def moved_versions(change: Change) -> tuple[int, ...]:
    """The versions that a change moves, or an alias to or from."""
    match change:
        case StageChange():
            return (change.version,)
        case AliasChange():
            return tuple(version for version in (change.before, change.after) if version is not None)
        case _:
            return ()


def describe(change: Change) -> str:
    """A change in a few words: `churn/4 Staging → Production`."""
    match change:
        case StageChange():
            return f"{change.model}/{change.version} {_stage(change.before)} → {_stage(change.after)}"
        case AliasChange():
            before, after = ("nothing" if each is None else str(each) for each in (change.before, change.after))
            return f"{change.model}@{change.alias} {before} → {after}"
        case PolicyChange():
            return f"policy of {change.model}" if change.model else "policy"
        case RegistrationChange():
            return f"registration of run {change.run} as {change.model}"
        case _:
            return change.model


def _stage(stage: str) -> str:
    return "no stage" if stage == NO_STAGE else stage


def _rests_on_notes(approvals: Approvals, evidence: Evidence) -> bool:
    """Whether there are too few approvals without those that notes tell, which no signature of a commit is on."""
    if not any(each.how == "note" for each in evidence.approvers):
        return False
    without = tuple(each for each in evidence.approvers if each.how != "note")
    return bool(lacking(approvals, replace(evidence, approvers=without)))
