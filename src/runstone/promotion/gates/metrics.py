"""Gates on metrics: a threshold, and no worse than the version that holds the place now."""

import math

from runstone.promotion.gates.protocol import Answer, Candidate, failed, passed, run_not_here, unknown
from runstone.promotion.rules.versions import TaggedVersion
from runstone.records.document import Document

_ROUNDING = 1e-12
"""Share of the values that the rounding of floats may add to their difference."""


def threshold(candidate: Candidate, asks: Document) -> Answer:
    """`metric`: the last value that the run logged is within bounds."""
    name = asks["name"]
    value = _value(candidate, candidate.version, name)
    if isinstance(value, Answer):
        return value
    if math.isnan(value):
        return failed(f"`{name}` of {candidate.name} is nan.")
    parts = []
    for key, word, beyond in (("at_least", "below", value.__lt__), ("at_most", "above", value.__gt__)):
        bound = asks.get(key)
        if bound is None:
            continue
        if beyond(bound):
            return failed(f"`{name}` of {candidate.name} is {_exact(value)}, {word} {_exact(bound)}.")
        parts.append(f"{key.replace('_', ' ')} {_exact(bound)}")
    return passed(f"`{name}` of {candidate.name} is {_exact(value)}; {' and '.join(parts)} is asked for.")


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
    value = _value(candidate, candidate.version, name)
    if isinstance(value, Answer):
        return value
    if math.isnan(value):
        return failed(f"`{name}` of {candidate.name} is nan.")
    if candidate.holder is None:
        return passed(f"`{name}` is {_exact(value)}, and there is nothing to compare it with: nobody holds the place.")
    if direction is None:
        step = f"Declare it in the policy: `metrics: {{{name}: higher}}`"
        return unknown(f"Whether a higher or a lower `{name}` is better is not known. {step}")
    held = _value(candidate, candidate.holder, name)
    if isinstance(held, Answer):
        step = "Set the gate aside with a reason, or have a holder that logged it"
        return (
            held if held.result == "unknown" else unknown(f"{held.message} So there is nothing to compare with. {step}")
        )
    holder = f"v{candidate.holder.number}"
    if math.isnan(held):
        return passed(f"`{name}` is {_exact(value)}, and nan of the present holder {holder}.")
    return _compare(name, value, held, holder, direction == "higher", asks)


def _compare(name: str, value: float, held: float, holder: str, is_higher_better: bool, asks: Document) -> Answer:
    by, relative = asks["by"], asks["relative"]
    allowed = by if not relative else by * abs(held) if math.isfinite(held) else 0.0
    worse = 0.0 if value == held else held - value if is_higher_better else value - held
    slack = _ROUNDING * max(abs(value), abs(held)) if math.isfinite(value) and math.isfinite(held) else 0.0
    share = f" ({abs(worse) / abs(held):.2%})" if math.isfinite(worse) and math.isfinite(held) and held else ""
    how = f"{abs(worse):.6g}{share} {'worse' if worse > 0 else 'better'} than" if worse else "as good as"
    limit = f"{by:.6%}".rstrip("0%").rstrip(".") + "%" if relative else f"{by:.6g}"
    allowance = f"; {limit} worse is allowed" if by else ""
    told = f"`{name}` is {_exact(value)}, {how} the {_exact(held)} of the present holder {holder}{allowance}."
    return passed(told) if worse <= allowed + slack else failed(told)


def _value(candidate: Candidate, version: TaggedVersion, name: str) -> float | Answer:
    recorded = candidate.run_of(version)
    if recorded is None:
        return run_not_here(candidate, version)
    summary = recorded.run.metrics.get(name)
    if summary is None:
        return failed(f"The run {version.body.run} of v{version.number} logged no metric `{name}`.")
    return summary.last


def _exact(value: float) -> str:
    """All digits: a threshold that is missed by the last one must not look as if it were met."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)
