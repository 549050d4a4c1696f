"""The same calls on MLflow's own SQL store and on ours: what comes back, or which error, must be the same."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow.entities import Experiment, Metric, Run, RunInfo, ViewType
from mlflow.exceptions import MlflowException

Call = Callable[[Any, dict[str, str]], Any]
"""What is called: with a store, and the ids it has given out so far by the names the test gave them."""

_SHOWN_OF_RECORD = ("mlflow.source.git.commit", "mlflow.source.git.branch", "mlflow.source.name", "mlflow.user")
"""Tags that ours shows of a record, although nobody set them."""


@dataclass
class Side:
    """One of the two stores, with the ids it has given out."""

    store: Any
    ids: dict[str, str] = field(default_factory=dict)

    def call(self, call: Call) -> Any:
        """What a call gives, as plain values, or the code of its error."""
        try:
            return self.plain(call(self.store, self.ids))
        except MlflowException as error:
            return f"{error.error_code}"

    def plain(self, found: Any) -> Any:
        """Entities as plain values, ids as the names that the test gave them."""
        if isinstance(found, Run):
            tags = {k: v for k, v in found.data.tags.items() if k not in _SHOWN_OF_RECORD}
            inputs = [(i.dataset.name, i.dataset.digest) for i in found.inputs.dataset_inputs]
            data = found.data
            return {
                "info": self.plain(found.info),
                "params": data.params,
                "metrics": {metric.key: (self.plain(metric.value), metric.step) for metric in data._metric_objs},
                "tags": tags,
                "inputs": sorted(inputs),
            }
        if isinstance(found, RunInfo):
            times = (found.start_time, found.end_time)
            shown = (found.run_name, found.user_id, found.status, *times, found.lifecycle_stage)
            return (self.name(found.run_id), self.name(found.experiment_id), *shown)
        if isinstance(found, Experiment):
            return (self.name(found.experiment_id), found.name, found.lifecycle_stage, found.tags)
        if isinstance(found, Metric):
            run_id = getattr(found, "run_id", None)
            point = (found.key, self.plain(found.value), found.timestamp, found.step)
            return point if run_id is None else (self.name(run_id), *point)
        if isinstance(found, float) and math.isnan(found):
            return "nan"
        if isinstance(found, list | tuple):
            listed = [self.plain(item) for item in found]
            return (listed, found.token) if hasattr(found, "token") else listed
        return self.name(found) if isinstance(found, str) else found

    def name(self, text: str) -> str:
        """The name of an id; any other text as it is."""
        return next((name for name, id_ in self.ids.items() if id_ == text), text)


@dataclass
class Both:
    """MLflow's SQL store and ours."""

    theirs: Side
    ours: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both of them, MLflow's first."""
        return self.theirs, self.ours

    def experiment(self, name: str) -> None:
        """Make an experiment in both; the test calls it `name`."""
        for side in self.sides:
            side.ids[name] = side.store.create_experiment(name, None, [])

    def run(self, name: str, experiment: str, *, tags: Sequence[Any] = (), start: int = 1, called: str = "") -> None:
        """Begin a run in both; the test calls it `name`, and so do people if they call it nothing else."""
        for side in self.sides:
            made = side.store.create_run(side.ids[experiment], "kim", start, list(tags), called or name)
            side.ids[name] = made.info.run_id

    def do(self, *calls: Call) -> list[Any]:
        """Call both, and compare call by call; return what came back."""
        results = []
        for number, call in enumerate(calls):
            theirs, ours = (side.call(call) for side in self.sides)
            assert theirs == ours, f"call {number} differs: {theirs!r:.600} is ours {ours!r:.600}"
            results.append(ours)
        return results

    def state(self, name: str, *keys: str) -> Any:
        """A run, and the histories of some metrics; the same in both."""
        found = self.do(lambda s, i: s.get_run(i[name]), *(_history(name, key) for key in keys))
        return found[0] if not keys else found


def _history(name: str, key: str) -> Call:
    return lambda s, i: s.get_metric_history(i[name], key)


def search(experiment: str, filter_: str = "", order: Sequence[str] = (), **options: Any) -> Call:
    """A search: what is found are the names of runs, in order, and whether there is a next page."""

    def call(store: Any, ids: dict[str, str]) -> Any:
        page = {"max_results": 1000, "page_token": None, "run_view_type": ViewType.ACTIVE_ONLY, **options}
        runs, token = store._search_runs([ids[experiment]], filter_, order_by=list(order), **page)
        return [run.info.run_name for run in runs], token

    return call
