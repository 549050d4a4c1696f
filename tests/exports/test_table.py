"""Runs as CSV, Parquet and JSON."""

import csv
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runstone import Client
from runstone.errors import ExperimentNotFound, OutputRefused
from runstone.exports.choice import Choice
from runstone.exports.table import export_table
from runstone.tracking.workspace import Workspace


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_a_run_in_csv(filled: Workspace, tmp_path: Path) -> None:
    """With MLflow's column names; what a spreadsheet would run as a formula is text."""
    assert 2 == export_table(filled, "csv", tmp_path / "runs.csv", Choice())
    rows = read_csv(tmp_path / "runs.csv")
    assert ["run-0", "run-2"] == [row["name"] for row in rows]
    first = rows[0]
    assert ("0.1", "0", "'=cmd()", "0.2") == (
        first["params.lr"],
        first["params.depth"],
        first["params.kind"],
        first["metrics.loss"],
    )
    assert ("2023-11-14T22:13:20.000Z", "x", "inf") == (first["start_time"], first["tags.stage"], first["metrics.odd"])
    assert 3 == export_table(filled, "csv", tmp_path / "all.csv", Choice(with_deleted=True))
    assert ["active", "deleted", "active"] == [row["lifecycle"] for row in read_csv(tmp_path / "all.csv")]


def test_a_row_a_point(filled: Workspace, tmp_path: Path) -> None:
    """Every value that was logged, in the order written."""
    assert 7 == export_table(filled, "csv", tmp_path / "p.csv", Choice(["churn"]), history=True)
    rows = read_csv(tmp_path / "p.csv")
    assert [("loss", str(step), str(1.0 / (step + 1))) for step in range(5)] == [
        (row["key"], row["step"], row["value"]) for row in rows[:5]
    ]
    assert ["nan", "inf"] == [row["value"] for row in rows[5:]]


def test_parquet_holds_types(filled: Workspace, tmp_path: Path) -> None:
    """Times are times, metrics numbers, params the text that MLflow has."""
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    assert 2 == export_table(filled, "parquet", tmp_path / "runs.parquet", Choice())
    table = pq.read_table(tmp_path / "runs.parquet")
    assert "timestamp[ms, tz=UTC]" == str(table.schema.field("start_time").type)
    rows = table.to_pylist()
    assert [0.2, 0.2] == [row["metrics.loss"] for row in rows]
    assert ["0", "2"] == [row["params.depth"] for row in rows]
    assert 14 == export_table(filled, "parquet", tmp_path / "points.parquet", Choice(), history=True)
    assert ["run_id", "key", "step", "timestamp", "value"] == pq.read_table(tmp_path / "points.parquet").column_names


def test_json_holds_whole_records(filled: Workspace, tmp_path: Path) -> None:
    """Params with their types, digests of artifacts, and the points where asked."""
    export_table(filled, "json", tmp_path / "runs.jsonl", Choice(filter_string="params.depth = 2"), history=True)
    (line,) = (tmp_path / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    document = json.loads(line)
    assert ({"lr": 0.1, "depth": 2, "kind": "=cmd()"}, "other") == (document["params"], document["experiment"])
    assert ["model/MLmodel", "model/weights.txt", "notes/a.txt"] == [each["path"] for each in document["artifacts"]]
    assert ["loss", 0, 1_700_000_000_000, 1.0] == document["history"][0]
    assert ["odd", 0, 1_700_000_000_000, "nan"] == document["history"][5]


def test_nothing_half_written_is_left(filled: Workspace, tmp_path: Path) -> None:
    """Where something fails, what was there before stays, and no other file does."""
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "runs.csv"
    target.write_text("before")
    with pytest.raises(ExperimentNotFound):
        export_table(filled, "csv", target, Choice(["nothing of the name"]))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_table(filled, "csv", target, Choice(), progress=stop)
    assert (["runs.csv"], "before") == ([path.name for path in target.parent.iterdir()], target.read_text())
    with pytest.raises(OutputRefused, match="No such file"):
        export_table(filled, "csv", tmp_path / "nowhere" / "runs.csv", Choice())


def test_no_runs_make_a_table_of_headings(git_repo: Path, tmp_path: Path) -> None:
    """An empty repository is no error."""
    workspace = Client(git_repo).workspace
    assert 0 == export_table(workspace, "csv", tmp_path / "runs.csv", Choice())
    assert (tmp_path / "runs.csv").read_text().startswith("run_id,name,experiment,")
    assert 0 == export_table(workspace, "json", tmp_path / "runs.json", Choice())


def test_a_pipe_is_written_to_and_a_link_stays(filled: Workspace, tmp_path: Path) -> None:
    """Only a file is replaced as a whole: a device or a pipe would be gone."""
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as readers:
        text = readers.submit((tmp_path / "pipe").read_text)
        assert 2 == export_table(filled, "csv", tmp_path / "pipe", Choice())
        assert 3 == len(text.result(60).splitlines())
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link.csv").symlink_to("target.csv")
    assert 2 == export_table(filled, "csv", tmp_path / "link.csv", Choice())
    assert (tmp_path / "link.csv").is_symlink()
    assert 2 == len(read_csv(tmp_path / "target.csv"))
