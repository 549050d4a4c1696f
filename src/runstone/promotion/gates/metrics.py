"""Gates on metrics: a threshold, and no worse than the version that holds the place now.

A metric that the version's own run did not log may come from a later evaluation of the very same model; a gate that
names the data takes it from nowhere else.
"""

import math
from shlex import quote
from typing import NamedTuple

from runstone.promotion.gates.protocol import Answer, Candidate, failed, passed, run_not_here, unknown
from runstone.promotion.rules.versions import TaggedVersion
from runstone.records.document import Document
from runstone.registry.evaluations import Evaluation
from runstone.uris import ModelUri

_ROUNDING = 1e-12
"""Share of the values that the rounding of floats may add to their difference."""


class _Measured(NamedTuple):
    """A value, how it is told, and the digest of the data if an evaluation measured it."""

    value: float
    told: str
    data: str | None = None


def threshold(candidate: Candidate, asks: Document) -> Answer:
    """`metric`: the last value that the run logged, or else the newest evaluation, is within bounds."""
    measured = _value(candidate, candidate.version, asks["name"], asks.get("data"))
    if isinstance(measured, Answer):
        return measured
    value, told, _ = measured
    if math.isnan(value):
        return failed(f"{told} of {candidate.name} is nan.")
    parts = []
    for key, word, beyond in (("at_least", "below", value.__lt__), ("at_most", "above", value.__gt__)):
        bound = asks.get(key)
        if bound is None:
            continue
        if beyond(bound):
            return failed(f"{told} of {candidate.name} is {_exact(value)}, {word} {_exact(bound)}.")
        parts.append(f"{key.replace('_', ' ')} {_exact(bound)}")
    return passed(f"{told} of {candidate.name} is {_exact(value)}; {' and '.join(parts)} is asked for.")


def no_worse(candidate: Candidate, asks: Document) -> Answer:
    """`no_worse`: the last value is no worse than that of the present holder, but for what is allowed.

    A version that goes back into its stage passes: it is to undo what replaced it, and was measured when it came.
    """
    name = asks["metric"]
    if candidate.holder is not None and candidate.is_return:
        return passed(
            f"{candidate.name} held {candidate.stage} before; going back is not measured against what it replaces."
        )
    direction = asks.get("direction") or candidate.policy.metrics.get(name)
    asked = asks.get("data")
    measured = _value(candidate, candidate.version, name, asked)
    if isinstance(measured, Answer):
        return measured
    value, told, data = measured
    if math.isnan(value):
        return failed(f"{told} of {candidate.name} is nan.")
    if candidate.holder is None:
        return passed(f"{told} is {_exact(value)}, and there is nothing to compare it with: nobody holds the place.")
    if direction is None:
        step = f"Declare it in the policy: `metrics: {{{name}: higher}}`"
        return unknown(f"Whether a higher or a lower `{name}` is better is not known. {step}")
    of_holder = _held(candidate, candidate.holder, name, data, asked)
    if isinstance(of_holder, Answer):
        step = "Set the gate aside with a reason, or have a holder that logged it" if asked is None else ""
        return (
            of_holder
            if of_holder.result == "unknown"
            else unknown(f"{of_holder.message} So there is nothing to compare with. {step}".rstrip())
        )
    held = of_holder.value
    holder = f"v{candidate.holder.number}"
    if math.isnan(held):
        return passed(f"{told} is {_exact(value)}, and nan of the present holder {holder}.")
    return _compare(told, value, held, holder, direction == "higher", asks)


def _compare(measured: str, value: float, held: float, holder: str, is_higher_better: bool, asks: Document) -> Answer:
    by, relative = asks["by"], asks["relative"]
    allowed = by if not relative else by * abs(held) if math.isfinite(held) else 0.0
    worse = 0.0 if value == held else held - value if is_higher_better else value - held
    slack = _ROUNDING * max(abs(value), abs(held)) if math.isfinite(value) and math.isfinite(held) else 0.0
    share = f" ({abs(worse) / abs(held):.2%})" if math.isfinite(worse) and math.isfinite(held) and held else ""
    how = f"{abs(worse):.6g}{share} {'worse' if worse > 0 else 'better'} than" if worse else "as good as"
    limit = f"{by:.6%}".rstrip("0%").rstrip(".") + "%" if relative else f"{by:.6g}"
    allowance = f"; {limit} worse is allowed" if by else ""
    told = f"{measured} is {_exact(value)}, {how} the {_exact(held)} of the present holder {holder}{allowance}."
    return passed(told) if worse <= allowed + slack else failed(told)


def _value(candidate: Candidate, version: TaggedVersion, name: str, data: str | None) -> _Measured | Answer:
    if data is not None:
        on_it = candidate.evaluation_of(version, name, data)
        return _not_evaluated(version, name, data) if on_it is None else _of(on_it, name)
    own = _own(candidate, version, name)
    later = candidate.evaluation_of(version, name) if isinstance(own, Answer) and own.result == "fail" else None
    return own if later is None else _of(later, name)


def _of(evaluation: Evaluation, name: str) -> _Measured:
    told = f"`{name}` (run {evaluation.run_id}, on {evaluation.data!r:.80})"
    return _Measured(evaluation.metrics[name], told, evaluation.digest)


def _not_evaluated(version: TaggedVersion, name: str, data: str) -> Answer:
    uri = quote(str(ModelUri(version.body.model, version=version.number)))
    evaluate = f"runstone evaluate {uri} --data FILE --name {quote(data)} …"
    return failed(f"No evaluation of v{version.number} on {data!r:.80} measured `{name}`. Evaluate it: `{evaluate}`")


def _held(
    candidate: Candidate, holder: TaggedVersion, name: str, digest: str | None, asked: str | None
) -> _Measured | Answer:
    """The holder's value: what was measured on the same data, if the candidate was evaluated; else its run's own.

    Its run's own value is of whatever data, so a gate that names the data does not take it.
    """
    same = None if digest is None else candidate.evaluation_of(holder, name, digest=digest)
    if same is not None:
        return _of(same, name)
    return _own(candidate, holder, name) if asked is None else _not_evaluated(holder, name, asked)


def _own(candidate: Candidate, version: TaggedVersion, name: str) -> _Measured | Answer:
    recorded = candidate.run_of(version)
    if recorded is None:
        return run_not_here(candidate, version)
    summary = recorded.run.metrics.get(name)
    if summary is None:
        return failed(f"The run {version.body.run} of v{version.number} logged no metric `{name}`.")
    return _Measured(summary.last, f"`{name}`")


def _exact(value: float) -> str:
    """All digits: a threshold that is missed by the last one must not look as if it were met."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)
