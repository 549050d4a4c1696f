"""Where a metric went bad: the two neighbouring runs of the line between which a condition began to hold.

The order is that in which the runs came onto the branch, which no clock decides. A run that does not have what the
condition speaks of is neither good nor bad.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from runstone.errors import FilterInvalid, UsageError
from runstone.git.repository import Repository
from runstone.git.runs.history import is_cut, read_recordings
from runstone.index.fields import RUNS, key_field
from runstone.index.filter import list_fields, parse_filter
from runstone.index.search import list_runs

FINISHED = "status = 'FINISHED'"
_NAMED = 5
"""Experiments that a message names at most."""

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
    reruns: bool = False,
) -> Crossing:
    """Find where runs went from good to bad.

    Args:
        repo: The repository.
        condition: What is bad: a filter, as `metrics.rmse > 60`, or a metric's name with a bound, as `val/acc < 0.9`.
        experiment_ids: Only runs of these experiments; None for those of the only one that has such runs.
        filter_string: Only runs that meet this filter.
        first: Where it happened for the first time; else for the last: into the newest stretch of bad runs.
        reruns: Whether runs that repeat others count: such a one says when old code ran again, not when code changed.

    Raises:
        FilterInvalid: The condition or the filter cannot be understood.
        UsageError: Runs of several experiments have what the condition speaks of, and nobody said which are meant.
    """
    condition = _complete(repo, condition)
    fields = tuple(dict.fromkeys(field.text for field in list_fields(parse_filter(condition, RUNS))))
    chosen = [each for each in (filter_string, "" if reruns else "rerun_of IS NULL") if each.strip()]
    filter_string, joined = (" AND ".join(f"({each})" for each in terms) for terms in (chosen, [*chosen, condition]))
    columns = ["run_id", "run_name", "experiment_id", "experiment_name", *fields]
    rows = list_runs(repo, columns, experiment_ids=experiment_ids, filter_string=filter_string)
    if experiment_ids is None:
        _need_one_experiment({row[2]: row[3] for row in rows if None not in row[4:]}, fields)
    bad_ids = {id_ for (id_,) in list_runs(repo, ["run_id"], experiment_ids=experiment_ids, filter_string=joined)}
    recordings = read_recordings(repo)
    place = {run_id: at for at, run_id in enumerate(recordings)}
    known = sorted((row for row in rows if row[0] in place), key=lambda row: place[row[0]])
    line = [
        Measured(id_, name, tuple(values), id_ in bad_ids, recordings[id_].commit)
        for id_, name, _, _, *values in known
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
    field = name if re.match(r"(?:metrics?\.|(?:min|max|last|count|step)\s*\()", name) else key_field("metric", name)
    bounds = [f"{field} {sign} {value!r}" for sign, value in ((">", above), ("<", below)) if value is not None]
    if not bounds:
        raise UsageError("A metric needs a bound: --above X or --below X.")
    return " OR ".join([*bounds, f"{field} = nan"])


def _need_one_experiment(names: Mapping[str, str], fields: Sequence[str]) -> None:
    """Raise `UsageError` where there are several: between runs of different experiments nothing crosses."""
    if len(names) < 2:
        return
    listed = sorted(names.values())
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    raise UsageError(
        f"Runs of {len(listed)} experiments have {', '.join(fields)}: {', '.join(listed[:_NAMED])}{more}. "
        f"Say of which: `-e {quote(listed[0])}`"
    )


def _complete(repo: Repository, condition: str) -> str:
    """A condition whose metric stands without `metrics.`, as a whole filter; any other as it is."""
    match = _BARE.fullmatch(condition)
    if match is None:
        return condition
    try:
        parse_filter(condition, RUNS)
        return condition
    except FilterInvalid:
        field = key_field("metric", match["name"])
        if not list_runs(repo, ["run_id"], filter_string=f"{field} IS NOT NULL", run_view_type="ALL", max_results=1):
            raise
        return f"{field} {match['operator']} {match['value']}"
