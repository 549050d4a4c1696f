"""Runs as rows: what the tests of filters and of SQL have in common."""

import sqlite3
from collections.abc import Iterable, Sequence
from shlex import join

from runstone.index import tables
from runstone.index.cache import matches
from runstone.index.evaluate import Row
from runstone.index.search import plan_runs
from runstone.records.metric import MetricSummary
from runstone.records.run import Run


def describe(run: Run) -> Row:
    """A run as the Python evaluation of a filter sees it."""
    return {
        "attributes": {
            "run_id": run.id,
            "run_name": run.name,
            "status": run.status,
            "user_id": run.user,
            "start_time": run.started,
            "end_time": run.ended,
            "duration": None if run.ended is None else max(0, run.ended - run.started) / 1000,
            "artifact_uri": f"runs:/{run.id}",
            "experiment_id": run.experiment_id,
            "experiment_name": run.experiment,
            "lifecycle_stage": run.lifecycle,
            "parent": run.parent,
            "rerun_of": run.rerun_of,
            "commit": run.source.commit,
            "branch": run.source.branch,
            "snapshot": run.source.snapshot,
            "dirty": run.source.dirty,
            "command": join(run.source.command) if run.source.command else None,
        },
        "params": run.params,
        "metrics": run.metrics,
        "tags": run.tags,
        "datasets": [{"name": d.name, "digest": d.digest, "context": d.role} for d in run.datasets],
    }


def once(value: float) -> MetricSummary:
    """The summary of a metric logged once."""
    return MetricSummary(last=value, step=0, min=value, max=value, count=1)


def tables_of(runs: Iterable[Run]) -> sqlite3.Connection:
    """The tables of the index, in memory, with these runs."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.create_function("matches", 3, matches, deterministic=True)
    connection.execute("BEGIN")
    tables.create(connection)
    writer = tables.Writer(connection)
    for run in runs:
        writer.add_run(run, f"experiments/{run.experiment_id}/2026-01-01/{run.id[-2:]}/{run.id}/run.yaml")
    writer.finish()
    connection.execute("COMMIT")
    return connection


def ids_by_sql(
    connection: sqlite3.Connection, filter_string: str = "", order_by: Sequence[str] = (), view: str = "ALL"
) -> list[str]:
    """The ids of the runs that a search finds, in its order."""
    text, values = plan_runs(None, filter_string, view, order_by)(connection).select("r.id")
    return [row[0] for row in connection.execute(text, values)]
