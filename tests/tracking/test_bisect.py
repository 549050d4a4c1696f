"""Where a metric went bad: the neighbours on the line between which a condition began to hold."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import FilterInvalid, UsageError
from runstone.git.repository import Repository
from runstone.tracking.bisect import Crossing, find_crossing, metric_condition
from tests.support import git


def record(repo: Path, name: str, value: float | None, *, status: str = "FINISHED", start: int | None = None) -> str:
    """Record a run with the metric `val/acc`, or without it."""
    client = Client(repo)
    run_id = client.create_run("0", run_name=name, start_time=start).info.run_id
    client.log_param(run_id, "lr", 0.1)
    if value is not None:
        client.log_metric(run_id, "val/acc", value)
    client.set_terminated(run_id, status)
    return run_id


def record_all(repo: Path, values: Sequence[float | None]) -> None:
    """Record runs called 0, 1, 2 … with these values."""
    for number, value in enumerate(values):
        record(repo, str(number), value)


def names(found: Crossing) -> tuple[str | None, str | None, int, str | None]:
    """The names of the last good run and of the first bad, how many are bad in a row, and who is good again."""
    good, bad, recovered = (None if each is None else each.name for each in (found.good, found.bad, found.recovered))
    return good, bad, found.stretch, recovered


BELOW = metric_condition("val/acc", below=0.9)


@pytest.mark.parametrize(
    ("values", "last", "first"),
    [
        ((0.95, 0.9, 0.8, 0.7), ("1", "2", 2, None), ("1", "2", 2, None)),
        ((0.95, 0.8, 0.92, 0.7), ("2", "3", 1, None), ("0", "1", 1, "2")),
        ((0.95, 0.8, 0.7, 0.92), ("0", "1", 2, "3"), ("0", "1", 2, "3")),
        ((0.95, None, 0.8), ("0", "2", 1, None), ("0", "2", 1, None)),
        ((0.95, math.nan, 0.99), ("0", "1", 1, "2"), ("0", "1", 1, "2")),
        ((0.8, 0.95), (None, None, 0, None), (None, None, 0, None)),
        ((0.8, 0.7), (None, None, 0, None), (None, None, 0, None)),
        ((0.95, 0.96), (None, None, 0, None), (None, None, 0, None)),
        ((None,), (None, None, 0, None), (None, None, 0, None)),
        ((), (None, None, 0, None), (None, None, 0, None)),
    ],
)
def test_where_it_crossed(
    git_repo: Path,
    values: tuple[float | None, ...],
    last: tuple[str | None, str | None, int, str | None],
    first: tuple[str | None, str | None, int, str | None],
) -> None:
    """The newest stretch of bad runs with a good one before it, or the first; runs without the metric do not count."""
    record_all(git_repo, values)
    repo = Repository.open(git_repo)
    found = find_crossing(repo, BELOW)
    assert (last, first) == (names(found), names(find_crossing(repo, BELOW, first=True)))
    measured = [value for value in values if value is not None]
    bad = sum(not value >= 0.9 for value in measured)
    assert (len(measured), bad, len(values) - len(measured)) == (found.runs, found.bad_runs, found.unmeasured)


def test_the_line_decides_and_not_the_clock(git_repo: Path) -> None:
    """A run whose clock is years ahead stands where it came onto the branch; so does one that was changed later."""
    future = record(git_repo, "good", 0.95, start=4_000_000_000_000)
    record(git_repo, "bad", 0.5)
    Client(git_repo).set_tag(future, "reviewed", "yes")
    found = find_crossing(Repository.open(git_repo), BELOW)
    assert ("good", "bad", 1, None) == names(found)
    assert found.good is not None
    assert (
        git("log", "--first-parent", "--grep=Record run good", "--format=%H", "runs", cwd=git_repo) == found.good.commit
    )


def test_which_runs_count(git_repo: Path) -> None:
    """Those that ended well and are not deleted, unless other filters are given; of some experiments, if named."""
    record(git_repo, "good", 0.95)
    record(git_repo, "failed", 0.1, status="FAILED")
    gone = record(git_repo, "gone", 0.2)
    record(git_repo, "bad", 0.5)
    Client(git_repo).delete_run(gone)
    repo = Repository.open(git_repo)
    assert ("good", "bad", 1, None) == names(find_crossing(repo, BELOW))
    assert ("good", "failed", 2, None) == names(find_crossing(repo, BELOW, filter_string=""))
    assert 0 == find_crossing(repo, BELOW, experiment_ids=["none"]).runs
    assert (None, None, 0, None) == names(find_crossing(repo, BELOW, filter_string="run_name = 'bad'"))


@pytest.mark.parametrize(
    ("condition", "fields", "meant"),
    [
        ("val/acc < 0.9", ('metrics."val/acc"',), 'metrics."val/acc" < 0.9'),
        ("val/acc<0.9", ('metrics."val/acc"',), 'metrics."val/acc" < 0.9'),
        ("metrics.`val/acc` < 0.9", ("metrics.`val/acc`",), "metrics.`val/acc` < 0.9"),
        (
            "min(metrics.'val/acc') < 0.9 OR params.lr > 7",
            None,
            "",
        ),
        ('max(metrics."val/acc") < 0.9 AND NOT params.lr > 7', ('max(metrics."val/acc")', "params.lr"), None),
    ],
)
def test_conditions_in_the_language_of_filters(
    git_repo: Path, condition: str, fields: tuple[str, ...] | None, meant: str | None
) -> None:
    """A whole filter, or a metric's bare name with a bound; what cannot be read is refused with the place."""
    record_all(git_repo, (0.95, 0.5))
    repo = Repository.open(git_repo)
    if fields is None:
        with pytest.raises(FilterInvalid):
            find_crossing(repo, condition)
        return
    found = find_crossing(repo, condition)
    assert ((condition if meant is None else meant), fields) == (found.condition, found.fields)
    assert ("0", "1", 1, None) == names(found)


def test_a_bare_name_that_no_run_has_is_the_filter_s_own_error(git_repo: Path) -> None:
    """So that a slip in an attribute is told as such."""
    record_all(git_repo, (0.95,))
    with pytest.raises(FilterInvalid, match="no attribute `nothing`"):
        find_crossing(Repository.open(git_repo), "nothing > 3")


@pytest.mark.parametrize(
    ("name", "bounds", "expected"),
    [
        ("rmse", {"above": 60.0}, "metrics.rmse > 60.0 OR metrics.rmse = nan"),
        ("a b", {"below": -1.5}, 'metrics."a b" < -1.5 OR metrics."a b" = nan'),
        ('a"b', {"below": 1.0}, 'metrics."a""b" < 1.0 OR metrics."a""b" = nan'),
        ("min(loss)", {"above": 1.0}, "min(loss) > 1.0 OR min(loss) = nan"),
        (
            "metrics.loss",
            {"above": 1.0, "below": 0.0},
            "metrics.loss > 1.0 OR metrics.loss < 0.0 OR metrics.loss = nan",
        ),
    ],
)
def test_bounds_as_a_filter(name: str, bounds: dict[str, float], expected: str) -> None:
    """A name of a metric is quoted where it must be; a metric that is NaN is bad, too."""
    assert expected == metric_condition(name, **bounds)


def test_a_metric_without_a_bound(git_repo: Path) -> None:
    """There is nothing to look for."""
    with pytest.raises(UsageError, match="needs a bound"):
        metric_condition("rmse")


def test_of_a_history_that_is_cut_the_ids_give_the_order(git_repo: Path, tmp_path: Path) -> None:
    """All runs of before the cut come with one commit; that the order is not certain is told."""
    record_all(git_repo, (0.95, 0.96, 0.8, 0.7))
    git("clone", "-q", "--depth", "2", "-b", "runs", f"file://{git_repo}", "cut", cwd=tmp_path)
    found = find_crossing(Repository.open(tmp_path / "cut"), BELOW)
    assert ("1", "2", 2, None, True) == (*names(found), found.is_cut)
    assert not find_crossing(Repository.open(git_repo), BELOW).is_cut
