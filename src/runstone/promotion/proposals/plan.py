"""What a wish about a stage, an alias or a registration comes to: the files to change and the words of the commit.

Pure: everything that it needs to know of the registry is handed in, so that a wish is planned anew on another state of
the default branch by the same rules.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from runstone import names
from runstone.errors import (
    AliasNotFound,
    TooManyHolders,
    TransitionRefused,
    UnknownStage,
    UsageError,
    VersionNotFound,
    VersionRetired,
)
from runstone.records import yaml
from runstone.records.policy import Policy
from runstone.records.registration import Registration
from runstone.records.stage import NO_STAGE
from runstone.registry.alias import alias_changes
from runstone.registry.layout import Place
from runstone.registry.numbers import Numbers
from runstone.registry.stage import ARCHIVED, stage_changes
from runstone.registry.state import ModelState

Kind = Literal["promote", "demote", "rollback", "register", "rename", "remove", "edit"]
HasHeld = Callable[[int, str], bool]
"""Whether a version was in a stage before: then it may go back there, from wherever it is."""

_MAX_BRANCH = 200  # bytes; file systems stop at 255, and git adds `.lock`


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of one model; of `stage`, `alias` and `registration` one is set, if
    it is not about all of it.

    Attributes:
        kind: What is to be done.
        key: The model's folder.
        model: The model's present name.
        versions: Which; one, but where a rollback restores several holders.
        stage: The stage to enter or restore; of a demotion the one to leave, and empty for the one it is in.
        alias: The alias to point at the version; of a demotion the one to remove.
        to: Of a demotion, the stage to go to; where the policy's `previous` leads if None.
        archive_existing: Whether all who are in the stage go to Archived.
        registration: The request to register a run's model.
        new_name: What the model is to be called.
        bypass: Why gates are to be set aside.
        why: What the proposer says of it.
    """

    kind: Kind
    key: str
    model: str
    versions: tuple[int, ...] = ()
    stage: str | None = None
    alias: str | None = None
    to: str | None = None
    archive_existing: bool = False
    registration: Registration | None = None
    new_name: str | None = None
    bypass: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a wish comes to.

    Attributes:
        wish: The wish, its stages as the policy writes them.
        branch: The branch of its proposal.
        subject: The commit's subject.
        changes: Path → text; None removes the file. Empty where there is nothing to do.
        displaced: The versions that leave their place for it, ascending.
        nothing: Why there is nothing to do; empty where there is.
    """

    wish: Wish
    branch: str
    subject: str
    changes: dict[str, str | None] = field(default_factory=dict)
    displaced: tuple[int, ...] = ()
    nothing: str = ""


def plan(
    wish: Wish,
    state: ModelState,
    policy: Policy,
    numbers: Numbers,
    registry: str,
    has_held: HasHeld = lambda version, stage: False,
) -> Plan:
    """Work out what a wish comes to.

    Args:
        wish: What is wanted.
        state: The model at the commit to build on.
        policy: Its policy there.
        numbers: The versions that there are.
        registry: The registry's folder.
        has_held: Tells who was in a stage before.

    Raises:
        VersionNotFound, VersionRetired: A version is not there (any more).
        UnknownStage: The policy has no such stage.
        TransitionRefused: The policy does not let a version enter from where it is, and it was not there before.
        TooManyHolders: More versions at once than the stage may hold.
        AliasNotFound: There is no such alias to remove.
        InvalidName: The alias cannot be used.
    """
    for version in wish.versions:
        if wish.kind == "demote" and (version in numbers.retired or state.stage_of(version) != NO_STAGE):
            continue  # whatever became of it, it may leave
        if version in numbers.retired:
            raise VersionRetired(wish.model, version)
        if version not in numbers.versions:
            raise VersionNotFound(wish.model, version, numbers.present)
    if wish.registration is not None:
        return _register(wish, state, registry)
    if wish.alias is not None:
        return _point(wish, state, registry)
    if wish.kind == "demote":
        return _demote(wish, state, policy, registry, has_held)
    return _enter(wish, state, policy, registry, has_held)


def _register(wish: Wish, state: ModelState, registry: str) -> Plan:
    request = wish.registration
    assert request is not None
    short = request.run[:12]
    branch = branch_name("register", f"{wish.key}-{short}")
    subject = f"Register run {short} of {wish.model}"
    known = state.registrations.get(request.run)
    if known is not None and (known.path, known.digest) == (request.path, request.digest):
        return Plan(wish, branch, subject, nothing=f"Run {request.run} of {wish.model} is requested already.")
    path = Place("registration", wish.key, request.run).path(registry)
    return Plan(wish, branch, subject, {path: yaml.dump(request.to_document())})


def _point(wish: Wish, state: ModelState, registry: str) -> Plan:
    alias = wish.alias
    assert alias is not None
    now = state.aliases.get(alias)
    before = () if now is None else (now,)
    if wish.kind == "demote":
        if now is None:
            raise AliasNotFound(wish.model, alias, sorted(state.aliases))
        branch = branch_name("demote", f"{wish.key}-v{now}", alias)
        changes = alias_changes(registry, state, alias, None)
        return Plan(replace(wish, versions=before), branch, f"Remove {wish.model}@{alias}", changes, before)
    (version,) = wish.versions
    changes = alias_changes(registry, state, alias, version)
    if wish.kind == "rollback":
        branch, subject = branch_name("rollback", wish.key, alias), f"Roll {wish.model}@{alias} back to v{version}"
    else:
        branch = branch_name("promote", f"{wish.key}-v{version}", alias)
        subject = f"Point {wish.model}@{alias} at v{version}"
    nothing = "" if changes else f"{wish.model}@{alias} points at v{version} already."
    return Plan(wish, branch, subject, changes, before if changes else (), nothing)


def _demote(wish: Wish, state: ModelState, policy: Policy, registry: str, has_held: HasHeld) -> Plan:
    (version,) = wish.versions
    before = state.stage_of(version)
    left = wish.stage and (policy.find_stage(wish.stage) or wish.stage)
    branch = branch_name("demote", f"{wish.key}-v{version}", left or before)
    subject = f"Demote {wish.model} v{version} from {left or before}"
    rule = policy.stages.get(before)
    target = _need_stage(policy, wish.to) if wish.to else (rule.previous if rule is not None else None) or NO_STAGE
    wish = replace(wish, stage=left or before, to=target)
    if before in (NO_STAGE, target) or (left and left != before):
        where = "no stage" if before == NO_STAGE else before
        return Plan(wish, branch, subject, nothing=f"{wish.model} v{version} is in {where} already.")
    _check_source(wish.model, version, before, target, policy, has_held)
    moves = _moves(state, policy, target, (version,)) if target != NO_STAGE else {version: NO_STAGE}
    return _moved(wish, branch, subject, state, moves, registry)


def _enter(wish: Wish, state: ModelState, policy: Policy, registry: str, has_held: HasHeld) -> Plan:
    stage = _need_stage(policy, wish.stage or "")
    if stage == NO_STAGE:
        raise UsageError(f"`{NO_STAGE}` is no stage to enter. Take a version out of its stage: `runstone demote`")
    wish = replace(wish, stage=stage)
    shown = ", ".join(f"v{version}" for version in wish.versions)
    for version in wish.versions:
        if version not in state.stages.get(stage, ()):
            _check_source(wish.model, version, state.stage_of(version), stage, policy, has_held)
    if wish.kind == "rollback":
        branch, subject = branch_name("rollback", wish.key, stage), f"Roll {wish.model} {stage} back to {shown}"
        others = {v for v in state.stages.get(stage, ()) if v not in wish.versions}
        out = policy.stages[stage].previous or (ARCHIVED if stage != ARCHIVED and ARCHIVED in policy.stages else None)
        moves = _moves(state, policy, stage, wish.versions, dict.fromkeys(others, out or NO_STAGE))
    else:
        (version,) = wish.versions
        branch = branch_name("promote", f"{wish.key}-v{version}", stage)
        subject = f"Promote {wish.model} v{version} to {stage}"
        archived = {}
        if wish.archive_existing:
            if ARCHIVED not in policy.stages or stage == ARCHIVED:
                raise UsageError(
                    f"Those in {stage} cannot be archived: "
                    + ("they are." if stage == ARCHIVED else f"the policy has no stage {ARCHIVED!r}.")
                )
            out = policy.stages[stage].previous or ARCHIVED
            archived = {v: out for v in state.stages.get(stage, ()) if v != version}
        moves = _moves(state, policy, stage, wish.versions, archived)
    return _moved(wish, branch, subject, state, moves, registry)


def _moves(
    state: ModelState, policy: Policy, stage: str, newcomers: tuple[int, ...], leaving: Mapping[int, str] | None = None
) -> dict[int, str]:
    """Where versions go when some enter a stage: version → stage, those displaced further down the line included."""
    moves: dict[int, str] = dict.fromkeys(newcomers, stage) | dict(leaving or {})
    pending = [stage, *dict.fromkeys((leaving or {}).values())]
    seen = set(pending)
    for place in pending:  # grows
        rule = policy.stages.get(place)
        if rule is None:
            continue
        staying = [v for v in state.stages.get(place, ()) if v not in moves]
        coming = [v for v, target in moves.items() if target == place]
        excess = 0 if rule.holders is None else len(staying) + len(coming) - rule.holders
        if excess > len(staying):
            raise TooManyHolders(state.name, place, len(coming), rule.holders or 0)
        for version in staying[: max(excess, 0)]:
            target = rule.previous if rule.previous is not None and rule.previous not in seen else NO_STAGE
            moves[version] = target
            if target != NO_STAGE and target not in pending:
                pending.append(target)
        seen.add(place)
    return moves


def _moved(wish: Wish, branch: str, subject: str, state: ModelState, moves: Mapping[int, str], registry: str) -> Plan:
    changes = stage_changes(registry, state, moves)
    if not changes:
        shown = " and ".join(f"v{version}" for version in wish.versions)
        return Plan(wish, branch, subject, nothing=f"{wish.model} {shown} is in {wish.stage} already.")
    return Plan(wish, branch, subject, changes, tuple(sorted(moves.keys() - set(wish.versions))))


def branch_name(kind: Kind, subject: str, place: str = "") -> str:
    """The branch of a proposal. What a ref cannot hold is encoded; a name too long for a disk ends in a digest."""
    name = f"{subject}-{names.encode_component(place.lower())}" if place else subject
    if len(name.encode()) > _MAX_BRANCH:
        digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:10]
        head = name.encode()[: _MAX_BRANCH - 11].decode(errors="ignore")
        name = f"{head}-{digest}"
    return f"{kind}/{name}"


def _need_stage(policy: Policy, name: str) -> str:
    if name.lower() == NO_STAGE.lower():
        return NO_STAGE
    found = policy.find_stage(name)
    if found is None:
        raise UnknownStage(name, list(policy.stages))
    return found


def _check_source(model: str, version: int, before: str, after: str, policy: Policy, has_held: HasHeld) -> None:
    rule = policy.stages.get(after)
    if rule is None or rule.sources is None or before in rule.sources:
        return
    if not has_held(version, after):
        raise TransitionRefused(model, version, before, after, _way(policy, before, after), rule.sources)


def _way(policy: Policy, before: str, after: str) -> list[str]:
    """The stages to go through, the shortest way; empty where none leads there."""
    ways: list[list[str]] = [[before]]
    seen = {before}
    for way in ways:  # grows
        for name, rule in policy.stages.items():
            if name not in seen and (rule.sources is None or way[-1] in rule.sources):
                if name == after:
                    return [*way[1:], name]
                seen.add(name)
                ways.append([*way, name])
    return []
