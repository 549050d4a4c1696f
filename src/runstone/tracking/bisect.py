"""Where a metric went bad: the two neighbouring runs of the line between which a condition began to hold.

The order is that in which the runs came onto the branch, which no clock decides. A run that does not have what the
condition speaks of is neither good nor bad.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from runstone.errors import FilterInvalid, UsageError
from runstone.git.history import is_cut, read_recordings
from runstone.git.repository import Repository
from runstone.index.fields import RUNS
from runstone.index.filter import And, Comparison, Filter, Not, Or, parse_filter
from runstone.index.search import list_runs

FINISHED = "status = 'FINISHED'"
_BARE = re.compile(
    r"\s*(?P<name>.+?)\s*(?P<operator><=|>=|!=|=|<|>)\s*(?P<value>[-+]?[0-9.][0-9.eE+-]*|[-+]?inf|nan)\s*"
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run as the condition sees it.

    Attributes:
        run_id: The run.
        name: Its name.
        values: What it has for each field of the condition.
        is_bad: Whether the condition holds.
        commit: The commit of the branch that brought it.
    """

    run_id: str
    name: str
    values: tuple[Any, ...]
    is_bad: bool
    commit: str


@dataclass(frozen=True, slots=True)
class Crossing:
    """What was found.

    Attributes:
        condition: What is bad, in the language of filters.
        fields: What it speaks of.
        runs: How many runs have that.
        bad_runs: How many of these are bad.
        unmeasured: How many do not have it.
        good: The last good run before it went bad; None if it did not cross.
        bad: The first bad one after it; None if it did not cross.
        stretch: How many runs in a row are bad from there on.
        recovered: The first good one after those; None if it is bad still.
        is_cut: Whether history ends at a shallow clone's cut, before which the order is that of the runs' ids.
    """

    condition: str
    fields: tuple[str, ...]
    runs: int
    bad_runs: int
    unmeasured: int
    good: Measured | None = None
    bad: Measured | None = None
    stretch: int = 0
    recovered: Measured | None = None
    is_cut: bool = False


def find_crossing(
    repo: Repository,
    condition: str,
    *,
    experiment_ids: Sequence[str] | None = None,
    filter_string: str = FINISHED,
    first: bool = False,
) -> Crossing:
    """Find where runs went from good to bad.

    Args:
        repo: The repository.
        condition: What is bad: a filter, as `metrics.rmse > 60`, or a metric's name with a bound, as `val/acc < 0.9`.
        experiment_ids: Only runs of these experiments; None for all.
        filter_string: Only runs that meet this filter.
        first: Where it happened for the first time; else for the last: into the newest stretch of bad runs.

    Raises:
        FilterInvalid: The condition or the filter cannot be understood.
    """
    condition = _complete(repo, condition)
    fields = tuple(dict.fromkeys(_fields(parse_filter(condition, RUNS))))
    joined = f"({condition})" if not filter_string.strip() else f"({filter_string}) AND ({condition})"
    rows = list_runs(repo, ["run_id", "run_name", *fields], experiment_ids=experiment_ids, filter_string=filter_string)
    bad_ids = {id_ for (id_,) in list_runs(repo, ["run_id"], experiment_ids=experiment_ids, filter_string=joined)}
    recordings = read_recordings(repo)
    place = {run_id: at for at, run_id in enumerate(recordings)}
    known = sorted((row for row in rows if row[0] in place), key=lambda row: place[row[0]])
    line = [
        Measured(id_, name, tuple(values), id_ in bad_ids, recordings[id_].commit)
        for id_, name, *values in known
        if None not in values
    ]
    crossings = [at for at in range(1, len(line)) if line[at].is_bad and not line[at - 1].is_bad]
    bad_runs = sum(each.is_bad for each in line)
    cut = bool(recordings) and is_cut(repo, next(iter(recordings.values())))
    common = (condition, fields, len(line), bad_runs, len(known) - len(line))
    if not crossings:
        return Crossing(*common, is_cut=cut)
    begin = crossings[0] if first else crossings[-1]
    end = next((at for at in range(begin, len(line)) if not line[at].is_bad), len(line))
    recovered = line[end] if end < len(line) else None
    return Crossing(*common, line[begin - 1], line[begin], end - begin, recovered, cut)


def metric_condition(name: str, *, above: float | None = None, below: float | None = None) -> str:
    """The filter that holds where a metric is out of bounds, or is NaN.

    Args:
        name: The metric, as it was logged; or as a filter names it: `metrics.loss`, `min(metrics.loss)`.
        above: Bad is more than this.
        below: Bad is less than this.

    Raises:
        UsageError: There is no bound.
    """
    field = name if re.match(r"(?:metrics?\.|(?:min|max|last|count|step)\s*\()", name) else quote_metric(name)
    bounds = [f"{field} {sign} {value!r}" for sign, value in ((">", above), ("<", below)) if value is not None]
    if not bounds:
        raise UsageError("A metric needs a bound: --above X or --below X.")
    return " OR ".join([*bounds, f"{field} = nan"])


def quote_metric(name: str) -> str:
    """A metric as filters name it, whatever its name."""
    escaped = name.replace('"', '""')
    return f'metrics."{escaped}"'


def _complete(repo: Repository, condition: str) -> str:
    """A condition whose metric stands without `metrics.`, as a whole filter; any other as it is."""
    match = _BARE.fullmatch(condition)
    if match is None:
        return condition
    try:
        parse_filter(condition, RUNS)
        return condition
    except FilterInvalid:
        field = quote_metric(match["name"])
        if not list_runs(repo, ["run_id"], filter_string=f"{field} IS NOT NULL", run_view_type="ALL", max_results=1):
            raise
        return f"{field} {match['operator']} {match['value']}"


def _fields(condition: Filter | None) -> Iterator[str]:
    """What a condition compares, as written."""
    if isinstance(condition, Comparison):
        if condition.operator != "NULL":
            yield condition.field.text
    elif isinstance(condition, And | Or):
        for term in condition.terms:
            yield from _fields(term)
    elif isinstance(condition, Not):
        yield from _fields(condition.term)
