"""The peers: other trackers, and the bare system call. Each is imported when it is made, and need not be installed."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.benchmarks import synthetic
from tests.benchmarks.contenders import BLOCK, FILTER, LIMIT, ORDER, Contender, Tracker, shape_of, times


class Mlflow(Tracker):
    """MLflow, with its SQLite store in the current folder."""

    def __init__(self) -> None:
        super().__init__()
        import mlflow

        self.api = mlflow
        self.api.set_tracking_uri(self.uri())
        self.experiment = self.api.set_experiment("benchmark")
        self.searched = str(self.experiment.experiment_id)

    def uri(self) -> str:
        """Where MLflow tracks to."""
        return f"sqlite:///{Path('mlflow.db').absolute()}"

    def log(self, blocks: int, block: int = BLOCK) -> list[float]:
        """See `Tracker.log`."""
        log_metric = self.api.log_metric
        with self.api.start_run():
            return self.blocks(lambda step: log_metric("loss", 0.123456789, step), blocks, block)

    def track_one(self, params: dict[str, Any], metrics: list[dict[str, float]], tags: dict[str, str]) -> None:
        """See `Tracker.track_one`."""
        with self.api.start_run():
            self.api.log_params(params)
            for step, values in enumerate(metrics):
                self.api.log_metrics(values, step)
            self.api.set_tags(tags)

    def track_singly(self, params: dict[str, Any], metrics: list[dict[str, float]], tags: dict[str, str]) -> None:
        """See `Tracker.track_singly`."""
        with self.api.start_run():
            for key, value in params.items():
                self.api.log_param(key, value)
            for step, values in enumerate(metrics):
                for key, value in values.items():
                    self.api.log_metric(key, value, step)
            for key, value in tags.items():
                self.api.set_tag(key, value)

    def log_batches(self, rounds: int, size: int) -> list[float]:
        """Log batches of metrics, each with five params and five tags, to one run through MLflow's client."""
        from mlflow.entities import Metric, Param, RunTag

        client = self.api.MlflowClient()
        run_id = client.create_run(self.experiment.experiment_id).info.run_id

        def log(step: int) -> None:
            points = [Metric(f"metric_{i}", i / 3, 1_800_000_000_000 + step, step) for i in range(size)]
            params = [Param(f"param_{step}_{i}", str(i)) for i in range(5)]
            client.log_batch(run_id, points, params, [RunTag(f"tag_{i}", str(step)) for i in range(5)])

        samples = self.blocks(log, rounds, 1)
        client.set_terminated(run_id)
        return samples

    def page(self, rounds: int, size: int) -> list[float]:
        """Search for half of the runs, sorted, one page of them."""
        return times(rounds, lambda: self._page(size))

    def paged(self, size: int) -> list[str]:
        """What `page` finds: names of runs."""
        return [str(run.info.run_name) for run in self._page(size)]

    def _page(self, size: int) -> Any:
        client = self.api.MlflowClient()
        return client.search_runs([self.searched], "metrics.metric_0 < 50", order_by=ORDER, max_results=size)

    def fill(self, runs: int) -> None:
        """Store the runs of `synthetic` straight in the tables MLflow made: by its API it takes half an hour."""
        import sqlite3

        shape = synthetic.Shape()
        tables: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COLUMNS}
        for number in range(runs):
            run = synthetic.run(number, shape)
            key = run.id
            names = {"mlflow.runName": run.name, "mlflow.user": run.user, "mlflow.source.type": "LOCAL"}
            tables["runs"].append(
                (
                    *(key, run.name, "LOCAL", "", "", run.user, run.status, run.started, run.ended, "", "active"),
                    *(f"mlruns/1/{key}/artifacts", self.experiment.experiment_id),
                )
            )
            tables["params"] += [(name, str(value), key) for name, value in run.params.items()]
            tables["tags"] += [(name, value, key) for name, value in {**names, **run.tags}.items()]
            for point in synthetic.points(number, shape):
                is_nan = point.value != point.value
                row = (point.key, 0.0 if is_nan else point.value, point.timestamp, key, point.step, is_nan)
                tables["metrics"].append(row)
        tables["latest_metrics"] = tables["metrics"]  # one step each
        with closing(sqlite3.connect("mlflow.db")) as connection, connection:
            for table, columns in _COLUMNS.items():
                marks = ",".join("?" * len(columns.split()))
                connection.executemany(
                    f"INSERT INTO {table} ({','.join(columns.split())}) VALUES ({marks})", tables[table]
                )

    def search(self, rounds: int) -> list[float]:
        """Search with a filter, an order and a limit."""
        return times(rounds, self._search)

    def found(self) -> list[str]:
        """What `search` finds: names of runs."""
        return [str(run.info.run_name) for run in self._search()]

    def frame(self, rounds: int) -> list[float]:
        """All runs as a DataFrame."""
        return times(rounds, lambda: self.api.search_runs([self.searched]))

    def shape(self) -> list[int]:
        """See `Runstone.shape`."""
        return shape_of(self.api.search_runs([self.searched]))

    def _search(self) -> Any:
        client = self.api.MlflowClient()
        return client.search_runs([self.searched], FILTER, order_by=ORDER, max_results=LIMIT)


_COLUMNS = {
    "runs": "run_uuid name source_type source_name entry_point_name user_id status start_time end_time source_version"
    " lifecycle_stage artifact_uri experiment_id",
    "params": "key value run_uuid",
    "metrics": "key value timestamp run_uuid step is_nan",
    "latest_metrics": "key value timestamp run_uuid step is_nan",
    "tags": "key value run_uuid",
}


class Plugin(Mlflow):
    """MLflow as it is, with the repository that is the current folder as its store."""

    def __init__(self) -> None:
        super().__init__()
        stored = self.api.get_experiment_by_name("experiment-0")  # whose runs `Setting.stored` made
        self.searched = self.searched if stored is None else str(stored.experiment_id)

    def uri(self) -> str:
        """See `Mlflow.uri`."""
        return "runstone:."


class Sacred(Tracker):
    """Sacred, with a `FileStorageObserver`; its metrics go to memory first."""

    def __init__(self) -> None:
        super().__init__()
        import logging

        import sacred
        from sacred.observers import FileStorageObserver

        self.work: Callable[[Any], object] = lambda run: None
        self.experiment = sacred.Experiment("benchmark", save_git_info=False)
        self.experiment.add_config({f"param_{i}": 0 for i in range(10)})
        self.experiment.logger = logging.getLogger("quiet")
        self.experiment.logger.setLevel(logging.ERROR)
        self.experiment.observers.append(FileStorageObserver("sacred"))

        def main(_run: Any) -> None:
            self.work(_run)

        self.experiment.main(main)

    def log(self, blocks: int, block: int = BLOCK) -> list[float]:
        """See `Tracker.log`."""
        samples: list[float] = []

        def work(run: Any) -> None:
            log_scalar = run.log_scalar
            samples.extend(self.blocks(lambda step: log_scalar("loss", 0.123456789, step), blocks, block))

        self._run(work, {})
        return samples

    def track_one(self, params: dict[str, Any], metrics: list[dict[str, float]], tags: dict[str, str]) -> None:
        """See `Tracker.track_one`."""

        def work(run: Any) -> None:
            for step, values in enumerate(metrics):
                for key, value in values.items():
                    run.log_scalar(key, value, step)
            run.info["tags"] = tags

        self._run(work, params)

    def _run(self, work: Callable[[Any], object], params: dict[str, Any]) -> None:
        self.work = work
        self.experiment.run(config_updates=params, options={"--capture": "no"})


class Trackio(Tracker):
    """Trackio, offline, with its own SQLite files; what it logs of the machine by itself is switched off."""

    def __init__(self) -> None:
        super().__init__()
        import trackio

        self.api = trackio

    def log(self, blocks: int, block: int = BLOCK) -> list[float]:
        """See `Tracker.log`."""
        self._init({})
        log = self.api.log
        samples = self.blocks(lambda step: log({"loss": 0.123456789}, step=step), blocks, block)
        self.api.finish()
        return samples

    def track_one(self, params: dict[str, Any], metrics: list[dict[str, float]], tags: dict[str, str]) -> None:
        """See `Tracker.track_one`."""
        self._init({**params, **tags})
        for step, values in enumerate(metrics):
            self.api.log(values, step=step)
        self.api.finish()

    def _init(self, config: dict[str, Any]) -> None:
        self.api.init("benchmark", f"run-{self.number}", config=config, auto_log_gpu=False, auto_log_cpu=False)


class Write(Contender):
    """The floor: a line written by `os.write` and nothing else."""

    def log(self, blocks: int, block: int = BLOCK) -> list[float]:
        """Write one line, over and over; see `blocks`."""
        file = os.open("lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        line = b"m\t1795349417776\t12345\t0.123456789\tloss\n"
        try:
            return self.blocks(lambda step: os.write(file, line), blocks, block)
        finally:
            os.close(file)
