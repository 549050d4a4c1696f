"""Runstone as a contender."""

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.benchmarks.contenders import BLOCK, FILTER, LIMIT, ORDER, Tracker, shape_of, times


class Runstone(Tracker):
    """Ours, through the fluent API and the client."""

    def __init__(self) -> None:
        super().__init__()
        import runstone

        self.api = runstone

    def use(self, experiment: str) -> None:
        """Track in this experiment from now on."""
        self.api.set_experiment(experiment)

    def log(self, blocks: int, block: int = BLOCK) -> list[float]:
        """See `Tracker.log`."""
        log_metric = self.api.log_metric
        with self.api.start_run():
            return self.blocks(lambda step: log_metric("loss", 0.123456789, step), blocks, block)

    def log_and_die(self, calls: int) -> None:
        """Log, then be killed as by `kill -9` as soon as the last call has returned."""
        self.api.start_run(run_id="killed")
        for step in range(calls):
            self.api.log_metric("loss", 0.123456789, step)
        os.kill(os.getpid(), 9)

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

    def track_ids(self, runs: int) -> list[tuple[str, float]]:
        """Track whole runs; the id of each, and the seconds that ending it took."""
        ended = []
        for number in range(runs):
            active = self.api.start_run()
            self.api.log_params({f"param_{i}": number * i for i in range(10)})
            self.api.log_metrics({f"metric_{i}": number / (i + 1) for i in range(10)})
            self.api.set_tags({"tag_0": "red", "tag_1": "green", "tag_2": "blue"})
            begun = perf_counter()
            self.api.end_run()
            ended.append((active.id, perf_counter() - begun))
        return ended

    def search(self, rounds: int) -> list[float]:
        """Search with a filter, an order and a limit."""
        client = self.api.Client()
        return self._times(rounds, lambda: client.search_runs(None, FILTER, order_by=ORDER, max_results=LIMIT))

    def found(self) -> list[str]:
        """What `search` finds: names of runs."""
        runs = self.api.Client().search_runs(None, FILTER, order_by=ORDER, max_results=LIMIT)
        return [run.info.run_name for run in runs]

    def frame(self, rounds: int) -> list[float]:
        """All runs as a DataFrame."""
        client = self.api.Client()
        return self._times(rounds, client.search_runs_frame)

    def shape(self) -> list[int]:
        """Rows of `frame`, and its columns of params, metrics and tags of the user."""
        return shape_of(self.api.Client().search_runs_frame())

    def rebuild(self, rounds: int) -> list[float]:
        """Index from nothing: there is no file."""
        from runstone.index import cache
        from runstone.tracking.workspace import Workspace

        repo = Workspace.open().repo
        samples = []
        for _ in range(rounds):
            cache.open_index(repo).close()
            for suffix in ("", "-wal", "-shm"):
                (repo.cache_dir / f"{cache.FILE}{suffix}").unlink(missing_ok=True)
            begun = perf_counter()
            cache.rebuild(repo)
            samples.append(perf_counter() - begun)
        return samples

    def refresh(self, rounds: int) -> list[float]:
        """Bring the index up to date after one new run."""
        from runstone.index import cache
        from runstone.tracking.workspace import Workspace

        repo = Workspace.open().repo
        samples = []
        for _ in range(rounds):
            self.track(1)
            begun = perf_counter()
            cache.open_index(repo).read(repo, lambda _connection: None)
            samples.append(perf_counter() - begun)
        return samples

    def indexed(self) -> int:
        """How many runs the index holds."""
        from runstone.index import cache
        from runstone.tracking.workspace import Workspace

        repo = Workspace.open().repo
        return int(cache.open_index(repo).read(repo, lambda c: c.execute("SELECT count(*) FROM run").fetchone()[0]))

    def add(self, source: str) -> list[float]:
        """Keep a file, or what a folder holds: seconds of the call, and until all is committed and synced."""
        run = self.api.start_run()
        begun = perf_counter()
        if Path(source).is_dir():
            self.api.log_artifacts(source)
        else:
            self.api.log_artifact(source)
        called = perf_counter() - begun
        run.end()
        return [called, perf_counter() - begun]

    def _times(self, rounds: int, work: Callable[[], object]) -> list[float]:
        work()  # opens what a process opens once
        return times(rounds, work)
