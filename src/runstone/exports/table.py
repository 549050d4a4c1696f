"""Runs as tables: a row a run, or a row a point of a metric, as CSV, Parquet or lines of JSON.

Columns are named as MLflow's `search_runs` names them. Which there are is found out first, then rows are written as
they are read, so that the number of runs and points does not matter.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

from runstone.errors import MissingLibrary
from runstone.exports.choice import Choice
from runstone.exports.sink import opened
from runstone.index.values import param_text
from runstone.records.document import format_time
from runstone.records.run import Run
from runstone.tracking.read import read_artifacts, read_metrics
from runstone.tracking.shown import csv_cell, strict
from runstone.tracking.workspace import Workspace

Format = Literal["csv", "parquet", "json"]
Progress = Callable[[int, int], None]

_ABOUT = (
    "run_id name experiment experiment_id status user start_time end_time parent_run_id "
    "commit snapshot branch lifecycle"
).split()
_POINT = ("run_id", "key", "step", "timestamp", "value")
_ROWS = 10_000
_TIMES = frozenset({"start_time", "end_time"})


def export_table(
    workspace: Workspace,
    form: Format,
    path: Path | None,
    choice: Choice,
    *,
    history: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write runs, or the points of their metrics, as a table.

    Args:
        workspace: The repository.
        form: `csv` and `parquet`: a row a run, with `params.*` (text), `metrics.*` (last values) and `tags.*`.
            `json`: a line a run, its whole record, with the digests of its artifacts.
        path: The file; standard output if None.
        choice: Which runs.
        history: A row a point instead; of JSON, the points in each run's line.
        progress: Told how many runs are done, of how many.

    Returns:
        How many rows were written.

    Raises:
        FilterInvalid, ExperimentNotFound: The choice cannot be understood.
        MissingLibrary: Parquet needs pyarrow.
        OutputRefused: The file cannot be written.
    """
    repo = workspace.repo
    if form == "json":
        with opened(path) as file:
            return _write_json(file, _told(choice.walk(repo), progress, None), workspace, history=history)
    number, columns = (None, list(_POINT)) if history else _columns(choice.walk(repo))
    runs = _told(choice.walk(repo), progress, number)
    rows = _points(workspace, runs) if history else (_row(run) for run in runs)
    write = _write_csv if form == "csv" else _write_parquet
    with opened(path) as file:
        return write(file, columns, rows)


def _columns(runs: Iterable[Run]) -> tuple[int, list[str]]:
    """How many runs there are, and which columns they need."""
    keys: dict[str, set[str]] = {"params": set(), "metrics": set(), "tags": set()}
    count = 0
    for run in runs:
        count += 1
        keys["params"].update(run.params)
        keys["metrics"].update(run.metrics)
        keys["tags"].update(run.tags)
    return count, [*_ABOUT, *(f"{kind}.{key}" for kind in keys for key in sorted(keys[kind]))]


def _row(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run_id": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "experiment_id": run.experiment_id,
        "status": run.status,
        "user": run.user,
        "start_time": run.started,
        "end_time": run.ended,
        "parent_run_id": run.parent,
        "commit": run.source.commit,
        "snapshot": run.source.snapshot,
        "branch": run.source.branch,
        "lifecycle": run.lifecycle,
    }
    row |= {f"params.{key}": param_text(value) for key, value in run.params.items()}
    row |= {f"metrics.{key}": summary.last for key, summary in run.metrics.items()}
    return row | {f"tags.{key}": value for key, value in run.tags.items()}


def _points(workspace: Workspace, runs: Iterable[Run]) -> Iterator[dict[str, Any]]:
    for run in runs:
        if run.metrics:
            for point in read_metrics(workspace, run.id):
                yield dict(zip(_POINT, (run.id, point.key, point.step, point.timestamp, point.value), strict=True))


def _told(runs: Iterable[Run], progress: Progress | None, number: int | None) -> Iterator[Run]:
    for done, run in enumerate(runs, 1):
        yield run
        if progress is not None and number:
            progress(done, number)


def _write_csv(file: BinaryIO, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> int:
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([csv_cell(column) for column in columns])
        count = 0
        for row in rows:
            writer.writerow([_cell(column, row.get(column)) for column in columns])
            count += 1
        return count
    finally:
        text.detach()


def _cell(column: str, value: Any) -> Any:
    return format_time(value) if column in _TIMES and value is not None else csv_cell(value)


def _write_parquet(file: BinaryIO, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingLibrary("pyarrow", "write Parquet", "'runstone[parquet]'") from error
    kinds = dict.fromkeys(_TIMES, pa.timestamp("ms", tz="UTC"))
    kinds |= {"step": pa.int64(), "timestamp": pa.int64(), "value": pa.float64()}

    def kind(name: str) -> Any:
        return kinds.get(name, pa.float64() if name.startswith("metrics.") else pa.string())

    schema = pa.schema([pa.field(name, kind(name)) for name in columns])
    number = 0
    with pq.ParquetWriter(file, schema) as writer:
        for batch in _batches(rows):
            writer.write_table(pa.Table.from_pylist([{c: row.get(c) for c in columns} for row in batch], schema))
            number += len(batch)
    return number


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _write_json(file: BinaryIO, runs: Iterable[Run], workspace: Workspace, *, history: bool) -> int:
    count = 0
    for run in runs:
        document = {"experiment_id": run.experiment_id, **run.to_document()}
        artifacts = read_artifacts(workspace, run.id)
        document["artifacts"] = [{"path": e.path, "size": e.size, "digest": f"md5:{e.md5}"} for e in artifacts]
        if history:
            points = read_metrics(workspace, run.id)
            document["history"] = [[p.key, p.step, p.timestamp, p.value] for p in points]
        file.write(json.dumps(strict(document), ensure_ascii=False).encode() + b"\n")
        count += 1
    return count
