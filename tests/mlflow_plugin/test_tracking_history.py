"""Histories of metrics, by page, of several runs at once, as samples: the points that MLflow's SQL store gives."""

from functools import partial
from typing import Any

import pytest
from mlflow.entities import Metric

from runstone.mlflow_plugin import compat
from runstone.mlflow_plugin.history import sample
from runstone.records.metric import Metric as Point
from tests.mlflow_plugin.both import Both

pytestmark = pytest.mark.mlflow
IS_NEW = compat.has_logged_models()


def test_the_history_is_paged(both: Both) -> None:
    """Page by page as MLflow's SQL store gives it; that of MLflow 2 has no pages."""
    both.experiment("paged")
    both.run("r", "paged")
    points = [Metric("m", float(n * 7 % 5), n % 3, n % 4) for n in range(12)]
    both.do(lambda s, i: s.log_batch(i["r"], points, [], []))
    sizes, token = [], None
    for _ in range(3):
        call = partial(_page, token)
        if IS_NEW:
            both.do(call)
        page = call(both.ours.store, both.ours.ids)
        sizes.append(len(page))
        token = page.token
    assert ([5, 5, 2], None) == (sizes, token)


def _page(token: str | None, store: Any, ids: dict[str, str]) -> Any:
    return store.get_metric_history(ids["r"], "m", max_results=5, page_token=token)


@pytest.mark.parametrize("limit", [1, 2, 5, 7, 11, 12, 13, 100])
def test_histories_in_bulk_are_mlflows(limit: int, both: Both) -> None:
    """Of several runs at once, at steps, and as evenly spread samples, the same points as MLflow's SQL store gives."""
    both.experiment(f"bulk {limit}")
    for number in range(2):
        both.run(f"r{number}", f"bulk {limit}")
        points = [Metric("m", n / 3 if n % 4 else float("nan"), n % 5, n // 2) for n in range(12 + number)]
        both.do(partial(_log, f"r{number}", points))
    for run in ("r0", "r1"):
        both.do(
            partial(_bulk, "get_metric_history_bulk", run, limit),
            partial(_at_steps, run, limit),
            partial(_bulk, "get_max_step_for_metric", run, None),
        )
    for side in both.sides:
        run_ids = [side.ids["r0"], side.ids["r1"]]
        found = side.store.get_metric_history_bulk(run_ids, "m", 100)
        assert sorted(run_ids) == list(dict.fromkeys(metric.run_id for metric in found))
    if IS_NEW:
        both.do(*(partial(_spread, limit, steps) for steps in ((None, None), (2, 4), (None, 3), (7, 1))))


def _log(run: str, points: list[Metric], store: Any, ids: dict[str, str]) -> Any:
    return store.log_batch(ids[run], points, [], [])


def _bulk(verb: str, run: str, limit: int | None, store: Any, ids: dict[str, str]) -> Any:
    return getattr(store, verb)(*(([ids[run]], "m", limit) if limit is not None else (ids[run], "m")))


def _at_steps(run: str, limit: int, store: Any, ids: dict[str, str]) -> Any:
    return store.get_metric_history_bulk_interval_from_steps(ids[run], "m", [0, 2, 5, 99], limit)


def _spread(limit: int, steps: tuple[int | None, int | None], store: Any, ids: dict[str, str]) -> Any:
    return store.get_metric_history_bulk_interval([ids["r0"], ids["r1"]], "m", limit, *steps)


def test_a_sample_is_evenly_spread_with_both_ends() -> None:
    """Of ten points some: the first and the last are always among them, but that of one only the last is taken."""
    points = [Point("m", 0.0, 0, step) for step in range(10)]
    steps = {size: [point.step for point in sample(points, size)] for size in (1, 2, 3, 4, 9, 10, 50)}
    assert {
        1: [9],
        2: [0, 9],
        3: [0, 4, 9],
        4: [0, 3, 6, 9],
        9: [0, 2, 3, 4, 5, 6, 7, 8, 9],
        10: list(range(10)),
        50: list(range(10)),
    } == steps
    assert [] == sample([], 5)
