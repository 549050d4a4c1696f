"""Gates of a policy: what must hold before a version may enter a stage or get an alias. Only their form is here.

A gate is a map of one key, its kind, to what it asks: `metric: {name: auc, at_least: 0.9}`. Unknown keys in it are
refused, not carried: a misspelt bound would be no bound.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from runstone.records.document import Document, Reader, as_float, show

_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")
_PERCENT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)%")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate.

    Attributes:
        kind: A key of `GATES`.
        asks: What it asks, checked: see the function that reads the kind.
    """

    kind: str
    asks: Document = field(default_factory=dict)


def read_gate(document: Any, where: str, prefix: str) -> Gate:
    """Read a gate; raises `RecordInvalid` with the key."""
    reader = Reader(document, where, prefix)
    kinds = list(document)
    if len(kinds) != 1 or kinds[0] not in GATES:
        raise reader.fail(
            "", f"must be a map of one key, one of {', '.join(GATES)}, but has {', '.join(map(str, kinds)) or 'none'}"
        )
    kind: str = kinds[0]
    return Gate(kind, GATES[kind](reader, kind, where))


def parse_duration(text: str) -> int | None:
    """`90d` → seconds; None if it is no duration. Units: s, m, h, d, w."""
    match = _DURATION.fullmatch(text)
    return int(match[1]) * _UNITS[match[2]] if match else None


def _inner(reader: Reader, kind: str, where: str) -> Reader:
    return Reader(reader.need(kind, dict), where, reader.path(kind))


def refuse_unknown(reader: Reader, known: Iterable[str]) -> None:
    """Refuse what is left of a map once its known keys were taken; raises `RecordInvalid`."""
    for key in reader.extra():
        raise reader.fail(key, f"is unknown here; known are {', '.join(known)}")


def _metric(reader: Reader, kind: str, where: str) -> Document:
    """`name`; one or both of `at_least` and `at_most`: floats; `data`: name or digest of what it was evaluated on."""
    inner = _inner(reader, kind, where)
    name, data = inner.need("name", str), inner.take("data", str)
    bounds = {key: inner.take(key, float) for key in ("at_least", "at_most")}
    given = {key: bound for key, bound in bounds.items() if bound is not None}
    if not given:
        raise inner.fail("at_least", "or `at_most` is missing")
    for key, bound in given.items():
        if math.isnan(bound):
            raise inner.fail(key, "must be a number to compare with, but is nan")
    refuse_unknown(inner, ("name", "at_least", "at_most", "data"))
    return {"name": name, **given} if data is None else {"name": name, **given, "data": data}


def _no_worse(reader: Reader, kind: str, where: str) -> Document:
    """`metric`; `by`: how much worse is allowed, a float, or with `relative: True` a share of the holder's value.

    `data`: as that of `metric`.
    """
    inner = _inner(reader, kind, where)
    name, direction, by = inner.need("metric", str), inner.take("direction", str), inner.take_any("by")
    if direction not in (None, "higher", "lower"):
        raise inner.fail("direction", f"must be `higher` or `lower`, but is {show(direction)}")
    asks: Document = {"metric": name, "by": 0.0, "relative": False}
    if direction is not None:
        asks["direction"] = direction
    data = inner.take("data", str)
    if data is not None:
        asks["data"] = data
    refuse_unknown(inner, ("metric", "by", "direction", "data"))
    if by is None:
        return asks
    if isinstance(by, str) and (match := _PERCENT.fullmatch(by)):
        return asks | {"by": float(match[1]) / 100, "relative": True}
    if isinstance(by, bool) or not isinstance(by, int | float) or not (by >= 0):
        raise inner.fail("by", f"must be a number of 0 or more, or a share such as 2%, but is {show(by)}")
    return asks | {"by": as_float(by)}


def _tags(reader: Reader, kind: str, where: str) -> Document:
    """`required`: tag → the value it must have, or None for any."""
    required: dict[str, str | None] = {}
    for i, item in enumerate(reader.need(kind, list)):
        if isinstance(item, str):
            required[item] = None
            continue
        inner = Reader(item, where, reader.path(f"{kind}[{i}]"))
        required[inner.need("key", str)] = inner.need("value", str)
        refuse_unknown(inner, ("key", "value"))
    return {"required": required}


def _card(reader: Reader, kind: str, _where: str) -> Document:
    """`sections`: headings that the model card must have with text below them; none: a card at all."""
    return {"sections": list(reader.take_texts(kind))}


def _age(reader: Reader, kind: str, where: str) -> Document:
    """`at_least` and `at_most`: seconds since the version was made."""
    inner = _inner(reader, kind, where)
    asks: Document = {}
    for key in ("at_least", "at_most"):
        text = inner.take(key, str)
        if text is None:
            continue
        seconds = parse_duration(text)
        if seconds is None:
            raise inner.fail(key, f"must be a duration such as 90s, 90m, 12h or 30d, but is {show(text)}")
        asks[key] = seconds
    refuse_unknown(inner, ("at_least", "at_most"))
    if not asks:
        raise inner.fail("at_least", "or `at_most` is missing")
    return asks


def _command(reader: Reader, kind: str, where: str) -> Document:
    """`run`: the command, a list of words, started without a shell; `timeout`: seconds."""
    inner = _inner(reader, kind, where)
    run = inner.take_texts("run")
    if not run:
        raise inner.fail("run", "must be a list of words: the program, then its arguments")
    text = inner.take("timeout", str)
    refuse_unknown(inner, ("run", "timeout"))
    seconds = 600 if text is None else parse_duration(text)
    if seconds is None:
        raise inner.fail("timeout", f"must be a duration such as 90s, 90m, 12h or 30d, but is {show(text)}")
    return {"run": list(run), "timeout": seconds}


def _plain(reader: Reader, kind: str, _where: str) -> Document:
    """`true`: nothing more to say."""
    if reader.take(kind, bool) is not True:
        raise reader.fail(kind, "must be true; leave the gate out otherwise")
    return {}


GATES: dict[str, Callable[[Reader, str, str], Document]] = {
    "metric": _metric,
    "no_worse": _no_worse,
    "tags": _tags,
    "card": _card,
    "signature": _plain,
    "artifacts": _plain,
    "code": _plain,
    "clean": _plain,
    "age": _age,
    "no_secrets": _plain,
    "command": _command,
}
"""Kind → the function that reads what it asks.

Those that ask nothing more: `signature`, the version has one; `artifacts`, its bytes are whole on the DVC remote;
`code`, the snapshot is in git; `clean`, the snapshot is HEAD itself; `no_secrets`, nothing in the record, the card and
small text artifacts looks like one.
"""
