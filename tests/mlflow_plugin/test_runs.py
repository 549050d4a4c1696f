"""Runs through the plug-in: every call gives what MLflow's SQL store gives, results and error codes alike."""

from collections.abc import Iterator
from typing import Any

import pytest
from mlflow.entities import Metric, Param, RunStatus, RunTag

from runstone.mlflow_plugin import compat
from tests.mlflow_plugin.both import Both, Call

pytestmark = pytest.mark.mlflow

NAN, INF = float("nan"), float("inf")


def metrics(*points: Metric) -> Call:
    """Log points in one batch."""
    return lambda s, i: s.log_batch(i["run"], list(points), [], [])


def params(**values: str) -> Call:
    """Log params in one batch."""
    return lambda s, i: s.log_batch(i["run"], [], [Param(key, value) for key, value in values.items()], [])


def tags(**values: str) -> Call:
    """Set tags in one batch."""
    return lambda s, i: s.log_batch(i["run"], [], [], [RunTag(key, value) for key, value in values.items()])


def param(key: Any, value: Any) -> Call:
    """Log one param."""
    return lambda s, i: s.log_param(i["run"], Param(key, value))


def metric(*fields: Any) -> Call:
    """Log one point: key, value, time, step."""
    return lambda s, i: s.log_metric(i["run"], Metric(*fields))


def tag(key: Any, value: Any) -> Call:
    """Set one tag."""
    return lambda s, i: s.set_tag(i["run"], RunTag(key, value))


def untag(key: str) -> Call:
    """Remove one tag."""
    return lambda s, i: s.delete_tag(i["run"], key)


def update(status: int | None = None, end: int | None = None, name: str | None = None) -> Call:
    """Change a run itself."""
    return lambda s, i: s.update_run_info(i["run"], status, end, name)


def batch(points: int, params_: int, tags_: int) -> Call:
    """A batch of some size."""
    return lambda s, i: s.log_batch(
        i["run"],
        [Metric(f"m{n}", n, 1, 0) for n in range(points)],
        [Param(f"p{n}", "v") for n in range(params_)],
        [RunTag(f"t{n}", "v") for n in range(tags_)],
    )


LONG = "x" * 250
IS_NEW = compat.has_logged_models()
KEYED = (param, tag)
CALLS: dict[str, list[Call]] = {
    "a param again, the same": [param("p", "10"), param("p", "10"), params(p="10")],
    "a param again, another": [param("p", "10"), param("p", "11"), params(p="12")],
    "params that look like others": [params(a="10", b="10.0", c="1e1", d="True", e="true", f="None", g="", h="010")],
    "one refused param refuses the batch": [
        param("p", "1"),
        lambda s, i: s.log_batch(
            i["run"], [Metric("m", 1, 1, 0)], [Param("new", "1"), Param("p", "2")], [RunTag("t", "u")]
        ),
    ],
    "a param twice in a batch": [lambda s, i: s.log_batch(i["run"], [], [Param("p", "1"), Param("p", "1")], [])],
    "a tag twice in a batch": [lambda s, i: s.log_batch(i["run"], [], [], [RunTag("t", "1"), RunTag("t", "2")])],
    "a tag again": [tag("t", "1"), tag("t", "2"), tags(t="3")],
    "tags that are taken away": [tag("t", "1"), untag("t"), untag("t"), untag("never")],
    "keys that are paths": [*(c(k, "1") for k in ("../a", "/a", "a/../b", ".", "a//b", "a/") for c in (param, tag))],
    "keys of metrics that are paths": [metric(key, 1.0, 1, 0) for key in ("../a", "/a", "a/../b", ".", "a/")],
    "keys with signs": [*(c(k, "1") for k in ("a b", "a:b", "a.b/c-d_e", "a;b", "ä", "a\tb", "") for c in KEYED)],
    "no key": [param(None, "1"), tag(None, "1"), metric(None, 1.0, 1, 0)],
    "the longest keys": [param(LONG, "1"), tag(LONG, "1"), metric(LONG, 1.0, 1, 0)],
    "keys too long": [param(f"{LONG}x", "1"), tag(f"{LONG}x", "1"), metric(f"{LONG}x", 1.0, 1, 0)],
    "long values": [param("p", "v" * 6000), tag("t", "v" * 8000), param("q", "v" * 6001), tag("u", "v" * 8001)],
    "a long value again": [param("q", "v" * 6001), param("q", "v" * 7001), params(q="v" * 6000)],
    "batches at their limits": [batch(1000, 0, 0), batch(0, 100, 100), *(batch(800, 100, 100) for _ in "1" if IS_NEW)],
    "batches too large": [batch(1001, 0, 0), batch(0, 101, 0), batch(0, 0, 101), batch(900, 100, 1)],
    "an empty batch": [batch(0, 0, 0)],
    "values that are no numbers": [metric("m", value, 1, 0) for value in ("1", True, None, [1.0])],
    "times and steps that are none": [
        metric("m", 1.0, -1, 0),
        metric("m", 1.0, None, 0),
        metric("m", 1.0, 1, None),
        metric("m", 1.0, 1, "0"),
        metric("m", 1.0, "1", 0),
        metric("m", 1.0, 1, -5),
    ],
    "NaN and infinities": [metrics(Metric("m", NAN, 1, 0), Metric("i", INF, 1, 0), Metric("j", -INF, 1, 0))],
    "NaN counts as 0 among values of one moment": [metrics(*(Metric("m", v, 1, 0) for v in (-1.0, NAN, -2.0)))],
    "the latest is of the highest step": [metrics(Metric("m", 1.0, 1, 5)), metrics(Metric("m", 2.0, 9, 4))],
    "of one step, of the latest time": [metrics(Metric("m", 1.0, 7, 5)), metrics(Metric("m", 2.0, 6, 5))],
    "of one time, the greatest": [metrics(Metric("m", 3.0, 7, 5)), metrics(Metric("m", 2.0, 7, 5))],
    "identical points": [metrics(*[Metric("m", 1.0, 1, 0)] * 3), metric("m", 1.0, 1, 0), metric("m", NAN, 1, 0)],
    "points out of order": [metrics(*(Metric("m", float(n % 3), n % 5, n % 2) for n in range(30)))],
    "a name": [
        update(name="other"),
        tag("mlflow.runName", "third"),
        tags(**{"mlflow.runName": "fourth"}),
        update(name=""),
    ],
    "a name, which the end tells": [tag("mlflow.runName", "third"), update(RunStatus.FINISHED, 9)],
    "a name that comes with the end": [tag("mlflow.runName", "third"), update(RunStatus.FAILED, 9, "last")],
    "a note": [tag("mlflow.note.content", "Hi"), tag("mlflow.note.content", "Ho"), untag("mlflow.note.content")],
    "a parent set late": [tag("mlflow.parentRunId", "abc")],
    "an end": [update(RunStatus.FINISHED, 99, None), metric("m", 1.0, 1, 0), param("p", "1"), tag("t", "1")],
    "an end told again": [update(RunStatus.FINISHED, 99), update(RunStatus.FAILED, 100), update(None, 101), update()],
    "killed": [update(RunStatus.KILLED, 5, "dead")],
    "deleted": [
        update(RunStatus.FINISHED, 9),
        lambda s, i: s.delete_run(i["run"]),
        lambda s, i: s.delete_run(i["run"]),
        *(metric("m", 1.0, 1, 0), param("p", "1"), tag("t", "1"), untag("t"), update(RunStatus.FAILED)),
        update(name="n"),
        *(params(p="1"), tags(t="1"), metrics(Metric("m", 1.0, 1, 0))),
        lambda s, i: s.get_run(i["run"]),
        lambda s, i: s.restore_run(i["run"]),
        lambda s, i: s.restore_run(i["run"]),
        param("p", "1"),
    ],
    "of a deleted experiment": [
        update(RunStatus.FINISHED, 9),
        lambda s, i: s.delete_experiment(i["of run"]),
        *(metric("m", 1.0, 1, 0), params(p="1"), tag("t", "1"), update(RunStatus.FAILED)),
        lambda s, i: s.create_run(i["of run"], "kim", 1, [], None),
        lambda s, i: s.get_run(i["run"]),
        lambda s, i: s.restore_experiment(i["of run"]),
        param("p", "1"),
    ],
    "no such run": [
        lambda s, i: s.get_run("0" * 32),
        lambda s, i: s.log_batch("0" * 32, [], [Param("p", "1")], []),
        lambda s, i: s.log_metric("0" * 32, Metric("m", 1.0, 1, 0)),
        lambda s, i: s.log_param("0" * 32, Param("p", "1")),
        lambda s, i: s.set_tag("0" * 32, RunTag("p", "1")),
        lambda s, i: s.delete_tag("0" * 32, "t"),
        lambda s, i: s.delete_run("0" * 32),
        lambda s, i: s.restore_run("0" * 32),
        lambda s, i: s.update_run_info("0" * 32, RunStatus.FINISHED, 1, None),
        lambda s, i: s.get_metric_history("0" * 32, "m"),
        lambda s, i: s.log_batch("../../etc", [], [], []),
        lambda s, i: s.get_run("../../etc"),
        lambda s, i: s._hard_delete_run("0" * 32),
    ],
}


@pytest.fixture
def one(both: Both) -> Iterator[Both]:
    """Both stores with one run in one experiment."""
    both.experiment("of run")
    both.run("run", "of run", tags=[RunTag("first", "1")])
    yield both
    both.theirs.store.delete_experiment(both.theirs.ids["of run"])
    both.theirs.store._hard_delete_experiment(both.theirs.ids["of run"])


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
def test_calls_give_what_mlflows_store_gives(calls: list[Call], one: Both) -> None:
    """Call by call the result or the code of the error is the same, and the run, with its histories, at the end."""
    one.do(*calls)
    one.state("run", "m", "i", "j")
