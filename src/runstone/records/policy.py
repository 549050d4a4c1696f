"""The policy of a registry: the stages and how a version may move between them, what must hold first, who approves.

`registry/policy.yaml` holds for all models; a model's own file replaces the rules that it names. Without any policy the
stages are MLflow's, and every move is free. Unknown keys inside rules are refused, not carried: a misspelt `holders`
would be no limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from runstone import names
from runstone.errors import InvalidName
from runstone.records.document import Document, Reader, show
from runstone.records.gate import Gate, read_gate, refuse_unknown
from runstone.records.stage import NO_STAGE
from runstone.records.upgrade import check_format

SCHEMA = "runstone/policy/v1"

Direction = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Approvals:
    """Who must say yes.

    Attributes:
        count: How many people.
        by: Whose yes counts, as mail addresses or patterns such as `*@example.org`; anybody's if empty.
        by_author: Whether the yes of the one who proposed it counts.
        signed: Whether only a commit with a signature that git accepts counts.
        trailers: Whether those count whom `Approved-by:` and `Reviewed-by:` in the message of a merge name, on the word
            of whoever merged it.
    """

    count: int = 0
    by: tuple[str, ...] = ()
    by_author: bool = False
    signed: bool = False
    trailers: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of one stage or alias.

    Attributes:
        sources: The stages that a version may come from, `None` being no stage; any if None. Not for aliases.
        holders: How many versions may be in the stage at once; any number if None. An alias has one.
        previous: The stage that those go to which the newcomer displaces; they leave the stages if None.
        gates: What must hold.
        approvals: Who must say yes; as the project's mode asks if None.
        bypass: Who may set gates aside, with a reason: mail addresses or patterns; nobody if empty.
    """

    sources: tuple[str, ...] | None = None
    holders: int | None = None
    previous: str | None = None
    gates: tuple[Gate, ...] = ()
    approvals: Approvals | None = None
    bypass: tuple[str, ...] = ()


_MLFLOW = {name: Rule() for name in ("Staging", "Production", "Archived")}


@dataclass(frozen=True, slots=True)
class Policy:
    """What `registry/policy.yaml` says.

    Attributes:
        stages: The stage graph: name → rule, in the order of the file.
        aliases: Alias, or `*` for all others → rule.
        metrics: Metric → which of two values is better.
        changes: Who approves a change of the policy itself; as the project's mode asks if None.
    """

    stages: Mapping[str, Rule] = field(default_factory=lambda: dict(_MLFLOW))
    aliases: Mapping[str, Rule] = field(default_factory=dict)
    metrics: Mapping[str, Direction] = field(default_factory=dict)
    changes: Approvals | None = None
    extra: Document = field(default_factory=dict)

    def find_stage(self, name: str) -> str | None:
        """The stage of a name, however large or small its letters are; None if there is none."""
        if name in self.stages:
            return name
        return next((stage for stage in self.stages if stage.lower() == name.lower()), None)

    def alias_rule(self, alias: str) -> Rule:
        """The rule of an alias."""
        return self.aliases.get(alias) or self.aliases.get("*") or Rule()

    def overridden_by(self, own: "Policy | None", *, stages: bool = True) -> "Policy":
        """This policy with the rules of a model's own in place of those of the same name.

        Args:
            own: The model's own policy, if it has one.
            stages: Whether the model's file has a key `stages` at all; else its default ones do not count.
        """
        if own is None:
            return self
        return replace(
            self,
            stages={**self.stages, **(own.stages if stages else {})},
            aliases={**self.aliases, **own.aliases},
            metrics={**self.metrics, **own.metrics},
            changes=own.changes or self.changes,
        )

    @classmethod
    def from_document(cls, document: Any, where: str, *, own: bool = False) -> "Policy":
        """Read a policy; raises `RecordInvalid` or `NewerFormat`.

        Args:
            document: What YAML gave.
            where: File and commit, for messages.
            own: Whether it is a model's own: then stages that it does not name are the project's.
        """
        reader = Reader(document, where)
        check_format(document, "policy", where)
        reader.take("schema", str)
        stages = reader.take("stages", dict)
        aliases = reader.take("aliases", dict) or {}
        metrics = reader.take("metrics", dict) or {}
        changes = reader.take("changes", dict)
        policy = cls(
            stages={} if own else dict(_MLFLOW),
            aliases={alias: _read_alias(reader, alias, rule, where) for alias, rule in aliases.items()},
            metrics={key: _read_direction(reader, key, value) for key, value in metrics.items()},
            changes=None if changes is None else _read_approvals(changes, where, "changes"),
            extra=reader.extra(),
        )
        if stages is not None:
            policy = replace(policy, stages={n: _read_stage(reader, n, rule, where) for n, rule in stages.items()})
        if not own:
            _check_graph(reader, policy)
        return policy


def check_graph(policy: Policy, where: str) -> None:
    """Refuse a policy in which a stage leads from or to one that it does not have; raises `RecordInvalid`."""
    _check_graph(Reader({}, where), policy)


def _check_graph(reader: Reader, policy: Policy) -> None:
    for name, rule in policy.stages.items():
        for source in rule.sources or ():
            if source != NO_STAGE and source not in policy.stages:
                raise reader.fail(f"stages.{name}.from", f"names the stage {source!r}, which the policy does not have")
        if rule.previous is not None and (rule.previous not in policy.stages or rule.previous == name):
            raise reader.fail(f"stages.{name}.previous", f"must be another stage, but is {show(rule.previous)}")


def _read_stage(reader: Reader, name: str, document: Any, where: str) -> Rule:
    try:
        names.check_stage(name)
    except InvalidName as error:
        raise reader.fail(f"stages.{name}", f"is no name for a stage: {error.why}") from None
    inner = Reader({} if document is None else document, where, f"stages.{name}")
    has_sources = isinstance(document, Mapping) and document.get("from") is not None
    sources = inner.take_texts("from")
    holders = inner.take("holders", int)
    if holders is not None and holders < 1:
        raise inner.fail("holders", f"must be 1 or more, but is {show(holders)}")
    previous = inner.take("previous", str)
    rule = _read_rule(inner, where, ("from", "holders", "previous"))
    return replace(rule, sources=sources if has_sources else None, holders=holders, previous=previous)


def _read_alias(reader: Reader, alias: str, document: Any, where: str) -> Rule:
    if alias != "*":
        try:
            names.check_alias(alias)
        except InvalidName as error:
            raise reader.fail(f"aliases.{alias}", f"is no name for an alias: {error.why}") from None
    return _read_rule(Reader({} if document is None else document, where, f"aliases.{alias}"), where)


def _read_rule(reader: Reader, where: str, known: tuple[str, ...] = ()) -> Rule:
    gates = reader.take("gates", list) or []
    approvals = reader.take("approvals", dict)
    rule = Rule(
        gates=tuple(read_gate(gate, where, reader.path(f"gates[{i}]")) for i, gate in enumerate(gates)),
        approvals=None if approvals is None else _read_approvals(approvals, where, reader.path("approvals")),
        bypass=reader.take_texts("bypass"),
    )
    refuse_unknown(reader, (*known, "gates", "approvals", "bypass"))
    return rule


def _read_approvals(document: Any, where: str, prefix: str) -> Approvals:
    reader = Reader(document, where, prefix)
    count = reader.take("count", int)
    if count is not None and count < 0:
        raise reader.fail("count", f"must be 0 or more, but is {show(count)}")
    approvals = Approvals(
        count=1 if count is None else count,
        by=reader.take_texts("by"),
        by_author=reader.take("by_author", bool) or False,
        signed=reader.take("signed", bool) or False,
        trailers=reader.take("trailers", bool) or False,
    )
    refuse_unknown(reader, ("count", "by", "by_author", "signed", "trailers"))
    return approvals


def _read_direction(reader: Reader, key: str, value: Any) -> Direction:
    if value not in ("higher", "lower"):
        raise reader.fail(f"metrics.{key}", f"must be `higher` or `lower`, but is {show(value)}")
    direction: Direction = value
    return direction
