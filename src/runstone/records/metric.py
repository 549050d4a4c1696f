"""Metrics: the points of a run's `metrics.tsv`, and the one-line summary its record keeps of each."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from runstone.errors import RecordInvalid
from runstone.records.document import Document, Reader
from runstone.records.upgrade import check_format

SCHEMA = "runstone/metrics/v1"
_HEADER = f"# schema: {SCHEMA}\nkey\tstep\ttimestamp\tvalue\n"
_match_row = re.compile(
    r"([^\t]+)\t(-?[0-9]{1,4000})\t(-?[0-9]{1,4000})\t(nan|-?inf|-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
).fullmatch


@dataclass(frozen=True, slots=True)
class Metric:
    """One logged value.

    Attributes:
        key: The metric's name.
        value: A float; NaN and the infinities are kept as such.
        timestamp: Unix time in milliseconds, UTC.
        step: The training step.
    """

    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """What a record says of one metric.

    Attributes:
        last: The value at the highest step; of equal steps the last written.
        step: That step.
        min: The smallest value that is a number; NaN when there is none.
        max: The largest such value.
        count: How many points were logged.
        extra: Keys of a newer minor version, carried through.
        latest: The value at the highest step with the latest time, of equal times the greatest, NaN as 0, as MLflow's
            stores have it; None where that is `last`.
    """

    last: float
    step: int
    min: float
    max: float
    count: int
    extra: Document = field(default_factory=dict)
    latest: float | None = None

    def to_document(self) -> Document:
        """The summary as the record's YAML holds it."""
        known = {"last": self.last, "step": self.step, "min": self.min, "max": self.max, "count": self.count}
        if self.latest is not None:
            known["latest"] = self.latest
        return known | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str, prefix: str) -> "MetricSummary":
        """Read the summary of one metric; raises `RecordInvalid` with the key."""
        reader = Reader(document, where, prefix)
        return cls(
            last=reader.need("last", float),
            step=reader.need("step", int),
            min=reader.need("min", float),
            max=reader.need("max", float),
            count=reader.need("count", int),
            latest=reader.take("latest", float),
            extra=reader.extra(),
        )


def summarize(points: Iterable[Metric]) -> dict[str, MetricSummary]:
    """Fold points, in the order they were written, into one summary a key."""
    folded: dict[str, list[Any]] = {}
    for point in points:
        value = point.value
        state = folded.get(point.key)
        if state is None:
            folded[point.key] = [value, point.step, value, value, 1, point.timestamp, value]
            continue
        if point.step >= state[1]:
            if point.step > state[1] or _is_later(point, state[5], state[6]):
                state[5], state[6] = point.timestamp, value
            state[0], state[1] = value, point.step
        if value < state[2] or math.isnan(state[2]):
            state[2] = value
        if value > state[3] or math.isnan(state[3]):
            state[3] = value
        state[4] += 1
    return {
        key: MetricSummary(last, step, low, high, count, latest=None if repr(latest) == repr(last) else latest)
        for key, (last, step, low, high, count, _, latest) in folded.items()
    }


def _is_later(point: Metric, timestamp: int, value: float) -> bool:
    """Whether a point comes after another of its step by MLflow's rule."""
    if point.timestamp != timestamp:
        return point.timestamp > timestamp
    return (0.0 if math.isnan(point.value) else point.value) > (0.0 if math.isnan(value) else value)


def format_metrics(points: Iterable[Metric]) -> str:
    """The text of `metrics.tsv`: keys in order of name, the points of a key as they were written."""
    by_key: dict[str, list[Metric]] = {}
    for point in points:
        by_key.setdefault(point.key, []).append(point)
    lines = [_HEADER]
    for key in sorted(by_key):
        lines += [f"{key}\t{p.step}\t{p.timestamp}\t{p.value!r}\n" for p in by_key[key]]
    return "".join(lines)


def parse_metrics(text: str, where: str) -> Iterator[Metric]:
    """The inverse of `format_metrics`.

    Raises:
        RecordInvalid: The two lines at the top are not there, or a line has not four fields, or one that is not
            a number where one must be.
        NewerFormat: The file was written by a newer Runstone.
    """
    lines = text.split("\n")
    if lines[0].startswith("# schema: "):
        check_format({"schema": lines[0].removeprefix("# schema: ")}, "metrics", where)
    if "\n".join(lines[:2]) + "\n" != _HEADER:
        raise RecordInvalid(where, f"must begin with the lines {_HEADER.rstrip()!r}")
    if lines.pop():
        raise RecordInvalid(where, f"line {len(lines) + 1} is torn: the file must end with a line end")
    for number, line in enumerate(lines[2:], 3):
        match = _match_row(line)
        if match is None:
            problem = f"line {number} must be key, step, timestamp and value with tabs between, but is {line[:60]!r}"
            raise RecordInvalid(where, problem)
        key, step, timestamp, value = match.groups()
        yield Metric(key, float(value), int(timestamp), int(step))
