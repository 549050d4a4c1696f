"""Histories of metrics, as MLflow's SQL store gives them: identical points once, in its order, by page or sampled."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mlflow.entities import Metric
from mlflow.entities.metric import MetricWithRunId
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.entities.paged_list import PagedList
from mlflow.utils.search_utils import SearchUtils

from runstone.errors import RunNotFound
from runstone.mlflow_plugin.entities import shown_value
from runstone.mlflow_plugin.errors import SpeaksMlflow
from runstone.mlflow_plugin.search import page_offset
from runstone.tracking.read import read_metrics

if TYPE_CHECKING:
    from runstone.records.metric import Metric as Point
    from runstone.tracking.workspace import Workspace


class HistoryStore(SpeaksMlflow):
    """What MLflow asks a tracking store about the points of metrics."""

    _workspace: "Workspace"

    def get_metric_history(
        self, run_id: str, metric_key: str, max_results: int | None = None, page_token: str | None = None
    ) -> PagedList[Metric]:
        """The points of a metric by time, step and value; none of a metric, or a run, that there is not."""
        offset = page_offset(page_token)
        points = self._history_of(run_id, metric_key)
        end = len(points) if max_results is None else offset + max_results
        token = SearchUtils.create_page_token(end) if end < len(points) else None
        return PagedList([_entity(point) for point in points[offset:end]], token)

    def get_metric_history_bulk(
        self, run_ids: Iterable[str], metric_key: str, max_results: int
    ) -> list[MetricWithRunId]:
        """The points of a metric of several runs, run by run in order of their ids, up to a number of them all."""
        found: list[MetricWithRunId] = []
        for run_id in sorted(set(run_ids)):
            room = max_results - len(found)
            if room <= 0:
                break
            found += _with_run(run_id, self._history_of(run_id, metric_key)[:room])
        return found

    def get_metric_history_bulk_interval(
        self,
        run_ids: Iterable[str],
        metric_key: str,
        max_results: int,
        start_step: int | None,
        end_step: int | None,
    ) -> list[MetricWithRunId]:
        """Up to a number of points of each run, evenly spread over its steps, the first and the last among them."""
        if (start_step is None) != (end_step is None):
            raise MlflowException(
                "Both start_step and end_step must be specified together, or neither may be specified.",
                INVALID_PARAMETER_VALUE,
            )
        found: list[MetricWithRunId] = []
        for run_id in run_ids:
            points = sorted(self._history_of(run_id, metric_key), key=_by_step)
            if start_step is not None and end_step is not None:
                points = [point for point in points if start_step <= point.step <= end_step]
            found += _with_run(run_id, sample(points, max(1, max_results)))
        return found

    def get_metric_history_bulk_interval_from_steps(
        self, run_id: str, metric_key: str, steps: Iterable[int], max_results: int
    ) -> list[MetricWithRunId]:
        """The points of a metric at some steps, by step, time and value."""
        wanted = set(steps)
        points = [point for point in self._history_of(run_id, metric_key) if point.step in wanted]
        return _with_run(run_id, sorted(points, key=_by_step)[:max_results])

    def get_max_step_for_metric(self, run_id: str, metric_key: str) -> int:
        """The highest step of a metric; 0 if it has no points."""
        return max((point.step for point in self._history_of(run_id, metric_key)), default=0)

    def _history_of(self, run_id: str, metric_key: str) -> "list[Point]":
        """The points of a metric by time, step and value, identical ones once."""
        try:
            points = read_metrics(self._workspace, run_id, metric_key)
        except RunNotFound:
            return []  # as MLflow's SQL store
        found = {(point.timestamp, point.step, repr(point.value)): point for point in points}
        return sorted(found.values(), key=_by_time)


def sample(points: "Sequence[Point]", size: int) -> "list[Point]":
    """Points evenly chosen of ordered ones, the first and the last among them; of one, the last.

    They are dealt into so many heaps of equal size, the first ones one larger where they cannot be equal, and the first
    of each heap is taken, as SQL's NTILE does it.
    """
    least, larger = divmod(len(points), size)
    starts = [heap * least + min(heap, larger) for heap in range(min(size, len(points)))]
    chosen = [points[start] for start in starts]
    if starts and starts[-1] != len(points) - 1:
        chosen[-1 if len(chosen) >= size else len(chosen) :] = [points[-1]]
    return chosen


def _by_time(point: "Point") -> tuple[int, int, float, bool]:
    is_nan = math.isnan(point.value)
    return point.timestamp, point.step, 0.0 if is_nan else point.value, is_nan


def _by_step(point: "Point") -> tuple[int, int, float, bool]:
    timestamp, step, value, is_nan = _by_time(point)
    return step, timestamp, value, is_nan


def _entity(point: "Point") -> Metric:
    return Metric(point.key, shown_value(point.value), point.timestamp, point.step)


def _with_run(run_id: str, points: "Iterable[Point]") -> list[MetricWithRunId]:
    return [MetricWithRunId(_entity(point), run_id) for point in points]
