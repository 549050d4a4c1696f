"""What a benchmark gives back: samples, their medians and minima, ratios, and whether each bound is met."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0, "B": 1.0}
"""What a sample, kept in seconds or bytes, is multiplied with to be shown."""


@dataclass(frozen=True, slots=True)
class Series:
    """What one contender took, sample by sample, in seconds (or bytes)."""

    who: str
    samples: tuple[float, ...]
    unit: str = "ms"
    against: str | None = None
    """Whose median its own is divided by; of the first in the report, if not given."""

    @property
    def median(self) -> float:
        """The middle sample: what a user sees."""
        return statistics.median(self.samples)

    @property
    def least(self) -> float:
        """The smallest sample: what is left when nothing else uses the machine."""
        return min(self.samples)

    def show(self, value: float) -> str:
        """A value in this series' unit."""
        return f"{_number(value * UNITS[self.unit])} {self.unit}"


@dataclass(frozen=True, slots=True)
class Bound:
    """One promise: a figure that must not exceed, or not fall below, a limit."""

    what: str
    figure: float
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the promise is kept."""
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


@dataclass(slots=True)
class Report:
    """All that one benchmark found."""

    title: str
    series: list[Series] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Who could not be measured → why."""
    notes: list[str] = field(default_factory=list)

    def add(self, who: str, samples: Sequence[float], unit: str = "ms", *, against: str | None = None) -> Series:
        """Keep the samples of one contender; see `Series`."""
        series = Series(who, tuple(samples), unit, against)
        self.series.append(series)
        return series

    def at_most(self, what: str, figure: float, limit: float, unit: str = "") -> None:
        """Promise that a figure does not exceed a limit."""
        self.bounds.append(Bound(what, figure, limit, unit))

    def at_least(self, what: str, figure: float, limit: float, unit: str = "") -> None:
        """Promise that a figure does not fall below a limit."""
        self.bounds.append(Bound(what, figure, limit, unit, at_least=True))

    def __getitem__(self, who: str) -> Series:
        return next(series for series in self.series if series.who == who)

    def __contains__(self, who: str) -> bool:
        return any(series.who == who for series in self.series)

    def format(self) -> str:
        """The report as text: a table of contenders, then the bounds."""
        lines = [self.title, "=" * len(self.title)]
        rows = [("", "median", "least", "samples", "ratio")]
        for series in self.series:
            base = self[series.against or self.series[0].who]
            ratio = _number(series.median / base.median) if base.median else ""
            rows.append(
                (series.who, series.show(series.median), series.show(series.least), str(len(series.samples)), ratio)
            )
        if self.series:
            lines += _table(rows)
        kept = [
            (
                bound.what,
                f"{_number(bound.figure)} {bound.unit}".rstrip(),
                f"{'≥' if bound.at_least else '≤'} {_number(bound.limit)} {bound.unit}".rstrip(),
                "met" if bound.is_met else "MISSED",
            )
            for bound in self.bounds
        ]
        if kept:
            lines += ["", *_table([("bound", "figure", "limit", ""), *kept])]
        lines += [f"  without {who}: {reason}" for who, reason in self.skipped.items()]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)

    def to_document(self) -> dict[str, object]:
        """The report as JSON values; samples in seconds or bytes."""
        return {
            "title": self.title,
            "series": [
                {
                    "who": one.who,
                    "unit": "B" if one.unit == "B" else "s",
                    "median": one.median,
                    "least": one.least,
                    "samples": len(one.samples),
                }
                for one in self.series
            ],
            "bounds": [
                {
                    "what": bound.what,
                    "figure": bound.figure,
                    "limit": bound.limit,
                    "unit": bound.unit,
                    "at_least": bound.at_least,
                    "met": bound.is_met,
                }
                for bound in self.bounds
            ],
            "skipped": self.skipped,
            "notes": self.notes,
        }


def timed(work: Callable[[], object]) -> float:
    """How many seconds some work takes."""
    begun = perf_counter()
    work()
    return perf_counter() - begun


def interleave(contenders: Mapping[str, Callable[[], Sequence[float] | float]], rounds: int) -> dict[str, list[float]]:
    """Let each contender work in turn, round by round, and every other round in the opposite order.

    What else happens on the machine then falls on all of them alike.

    Args:
        contenders: Who → what to do; it returns one sample or several.
        rounds: How often each has its turn.

    Returns:
        Who → all samples.
    """
    samples: dict[str, list[float]] = {who: [] for who in contenders}
    for number in range(rounds):
        for who in list(contenders) if number % 2 == 0 else reversed(list(contenders)):
            found = contenders[who]()
            samples[who] += [found] if isinstance(found, float) else found
    return samples


def _number(value: float) -> str:
    """Four digits, all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
