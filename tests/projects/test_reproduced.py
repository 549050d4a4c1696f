"""What of a run was reproduced: tolerances, and what counts."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.client import Client
from runstone.errors import InvalidValue
from runstone.projects.reproduced import Reproduction, compare_reproduction, is_close
from runstone.records.run import Run
from runstone.tracking.dataset import describe
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace

Record = Callable[..., Run]
NAN, INF = math.nan, math.inf


@pytest.fixture
def record(git_repo: Path, tmp_path: Path) -> Record:
    """Record a run of `git_repo` with params, points, artifacts (path → text), a dataset's text, and a status."""
    workspace = Workspace.open(git_repo)

    def make(
        params: dict[str, Any] | None = None,
        points: dict[str, list[float]] | None = None,
        artifacts: dict[str, str] | None = None,
        data: str | None = None,
        status: str = "FINISHED",
    ) -> Run:
        active = start_run(workspace, ensure_experiment(workspace.repo, "Default"))
        active.log_params(params or {})
        for key, values in (points or {}).items():
            for step, value in enumerate(values):
                active.log_metric(key, value, step)
        for path, text in (artifacts or {}).items():
            active.log_bytes(text.encode(), path)
        if data is not None:
            (tmp_path / "data.csv").write_text(data)
            active.log_dataset(describe(workspace.repo, tmp_path / "data.csv", "train", "data"))
        active.end(status)
        return Client(git_repo).get_run(active.id)

    return make


def compare(repo: Path, old: Run, new: Run, **options: Any) -> Reproduction:
    """Compare two runs of a repository."""
    return compare_reproduction(Workspace.open(repo), old, new, **options)


def states(found: Reproduction, section: str) -> dict[str, tuple[str, bool]]:
    """Of each item of a section its state, and whether it counts."""
    return {item.key: (item.state, item.counts) for item in found.section(section)}


@pytest.mark.parametrize(
    ("a", "b", "rtol", "atol", "expected"),
    [
        (1.0, 1.0, 0, 0, True),
        (1.0, 1.0 + 1e-15, 0, 0, False),
        (1.0, 1.0 + 1e-15, 1e-9, 0, True),
        (100.0, 101.0, 0.01, 0, True),
        (100.0, 101.1, 0.01, 0, False),
        (-100.0, -101.0, 0.01, 0, True),
        (0.0, 1e-12, 1e-3, 0, False),
        (0.0, 1e-12, 0, 1e-9, True),
        (-0.0, 0.0, 0, 0, True),
        (NAN, NAN, 0, 0, True),
        (NAN, 1.0, 1, 1e9, False),
        (INF, INF, 0, 0, True),
        (INF, -INF, 1, 1e300, False),
        (INF, 1e308, 1, 1e300, False),
        (1e308, -1e308, 1e-9, 0, False),
    ],
)
def test_tolerance(a: float, b: float, rtol: float, atol: float, expected: bool) -> None:
    """Relative to the larger value, or absolute, whichever allows more; the same in both directions."""
    assert expected is is_close(a, b, rtol=rtol, atol=atol)
    assert expected is is_close(b, a, rtol=rtol, atol=atol)


@given(st.floats(), st.floats())
def test_with_no_tolerance_only_equals_are_close(a: float, b: float) -> None:
    """And every value is close to itself."""
    assert (a == b or (math.isnan(a) and math.isnan(b))) is is_close(a, b, rtol=0, atol=0)
    assert is_close(a, a, rtol=0, atol=0)


def test_all_the_same(record: Record, git_repo: Path) -> None:
    """Two equal runs: every item is the same, and nothing counts, strictly seen too."""
    what: dict[str, Any] = {
        "params": {"lr": 0.1, "deep": {"a": [1]}},
        "points": {"loss": [2, 1], "gap": [NAN]},
        "artifacts": {"m.bin": "w"},
        "data": "x\n1\n",
    }
    found = compare(git_repo, record(**what), record(**what), rtol=0, strict=True)
    assert {"same"} == {item.state for item in found.items}
    assert {"run", "params", "metrics", "artifacts", "datasets", "environment", "packages", "code"} == {
        item.section for item in found.items
    }
    assert found.is_reproduced


def test_params_count_as_they_are_typed(record: Record, git_repo: Path) -> None:
    """Another value or another type, a lost or a new one: none of these is the same run."""
    old = record({"a": 1, "b": 1, "c": {"d": 1}, "e": 2})
    found = compare(git_repo, old, record({"a": 1, "b": 1.0, "c": {"d": 2}, "f": 3}))
    assert {
        "a": ("same", False),
        "b": ("differs", True),
        "c.d": ("differs", True),
        "e": ("missing", True),
        "f": ("added", True),
    } == states(found, "params")
    assert not found.is_reproduced


def test_a_model_is_the_same_but_for_its_ids_and_times(git_repo: Path, tmp_path: Path) -> None:
    """What every saving makes anew in `MLmodel` is no difference, unless strictly seen; another field is one."""
    workspace = Workspace.open(git_repo)

    def save(text: str) -> Run:
        active = start_run(workspace, ensure_experiment(workspace.repo, "Default"))
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "MLmodel").write_text(text)
        active.log_model(tmp_path / "model", "model", ["python_function"], None)
        active.end()
        return Client(git_repo).get_run(active.id)

    ids = "run_id: {0}\nmodel_uuid: u{0}\nmodel_id: m{0}\nutc_time_created: t{0}\nartifact_path: {0}\nflavors: {1}\n"
    old, same, other = save(ids.format(1, "a")), save(ids.format(2, "a")), save(ids.format(2, "b"))
    (item,) = compare(git_repo, old, same).section("artifacts")
    assert ("same", "but for ids and times", False) == (item.state, item.note, item.counts)
    assert {"model/MLmodel": ("differs", True)} == states(compare(git_repo, old, same, strict=True), "artifacts")
    assert {"model/MLmodel": ("differs", False)} == states(compare(git_repo, old, other), "artifacts")


def test_metrics_within_tolerance_and_their_points(record: Record, git_repo: Path) -> None:
    """The last value may be off by the tolerance; the number of points may not be off at all."""
    old = record(points={"loss": [2, 1.0], "acc": [0.5], "gap": [NAN], "old": [1]})
    new = record(points={"loss": [2, 1.001], "acc": [0.5, 0.5], "gap": [NAN], "new": [1]})
    found = compare(git_repo, old, new, rtol=0.01)
    assert {
        "loss": ("close", False),
        "acc": ("differs", True),
        "gap": ("same", False),
        "old": ("missing", True),
        "new": ("added", True),
    } == states(found, "metrics")
    assert ["1 points before, 2 now"] == [item.note for item in found.items if item.note]
    assert ("differs", True) == states(compare(git_repo, old, new, rtol=1e-6), "metrics")["loss"]
    assert ("close", False) == states(compare(git_repo, old, new, rtol=0, atol=0.1), "metrics")["loss"]


def test_bytes_count_only_where_it_is_asked_for(record: Record, git_repo: Path) -> None:
    """A lost artifact counts unless it is a log; other bytes and other data are told."""
    old = record(artifacts={"m.bin": "w", "logs/stderr.txt": "x", "logs/stdout.txt": "1 s"}, data="x\n1\n")
    new = record(artifacts={"m.bin": "v", "logs/stdout.txt": "2 s", "more.txt": ""}, data="x\n2\n")
    found = compare(git_repo, old, new)
    assert {
        "m.bin": ("differs", False),
        "logs/stderr.txt": ("missing", False),
        "logs/stdout.txt": ("differs", False),
        "more.txt": ("added", False),
    } == states(found, "artifacts")
    assert {"data (train)": ("differs", False)} == states(found, "datasets")
    assert found.is_reproduced
    strict = compare(git_repo, old, new, strict=True)
    assert {True} == {item.counts for item in strict.items if item.state != "same"}
    assert not strict.is_reproduced
    assert {"m.bin": ("missing", True)} == {
        key: value for key, value in states(compare(git_repo, old, record()), "artifacts").items() if value[1]
    }


def test_another_status_counts(record: Record, git_repo: Path) -> None:
    """A run that failed is reproduced by one that fails."""
    failed = record(status="FAILED")
    assert not compare(git_repo, record(), failed).is_reproduced
    assert compare(git_repo, failed, record(status="FAILED")).is_reproduced


@pytest.mark.parametrize("wrong", [-1.0, NAN, INF])
def test_tolerances_are_checked(record: Record, git_repo: Path, wrong: float) -> None:
    """A negative one would make equals differ, an infinite one all the same."""
    run = record()
    with pytest.raises(InvalidValue, match="`rtol` must be a number from 0 up"):
        compare(git_repo, run, run, rtol=wrong)
    with pytest.raises(InvalidValue, match="`atol` must be a number from 0 up"):
        compare(git_repo, run, run, atol=wrong)
