"""Runs as a DataFrame: MLflow's columns, from the index alone."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from runstone.git.repository import Repository
from runstone.index.frame import runs_to_frame
from runstone.records.run import Source
from tests.benchmarks import synthetic
from tests.benchmarks.synthetic import Shape
from tests.index.rows import once

SHAPE = Shape(params=2, metrics=2, tags=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A repository with three runs that have little in common."""
    path = synthetic.init(tmp_path / "repo")
    runs = [
        replace(
            synthetic.run(0, SHAPE),
            params={"lr": 0.1, "opt": "adam"},
            metrics={"mse": once(0.5), "nan": once(math.nan)},
            tags={"team": "growth"},
        ),
        replace(synthetic.run(1, SHAPE), params={"lr": 1e-05}, metrics={"mse": once(math.inf)}, tags={}, ended=None),
        replace(synthetic.run(2, SHAPE), params={}, metrics={}, tags={}, source=Source(), parent="p"),
    ]
    for run in runs:
        synthetic.commit_files(path, dict(synthetic.run_files(run)))
    return path


@pytest.mark.mlflow
def test_columns_and_values(repo: Repository) -> None:
    """MLflow's columns in MLflow's order of kinds; missing metrics are NaN, missing params and tags None."""
    frame = runs_to_frame(repo, order_by=["start_time ASC"])
    assert [
        "run_id",
        "experiment_id",
        "status",
        "artifact_uri",
        "start_time",
        "end_time",
        "metrics.mse",
        "metrics.nan",
        "params.lr",
        "params.opt",
        "tags.mlflow.parentRunId",
        "tags.mlflow.runName",
        "tags.mlflow.source.git.branch",
        "tags.mlflow.source.git.commit",
        "tags.mlflow.user",
        "tags.team",
    ] == list(frame.columns)
    assert [synthetic.run(n, SHAPE).id for n in range(3)] == list(frame["run_id"])
    assert f"runs:/{synthetic.run(0, SHAPE).id}" == frame["artifact_uri"][0]
    assert [0.5, math.inf] == list(frame["metrics.mse"][:2])
    assert [True, True, True] == list(frame["metrics.nan"].isna())
    assert math.isnan(frame["metrics.mse"][2])
    assert ["0.1", "1e-05", None] == list(frame["params.lr"])
    assert ["adam", None, None] == list(frame["params.opt"])
    assert ["growth", None, None] == list(frame["tags.team"])
    assert ["brave-otter-0", "brave-otter-1", "brave-otter-2"] == list(frame["tags.mlflow.runName"])
    assert [None, None, "p"] == list(frame["tags.mlflow.parentRunId"])
    assert ["main", "main", None] == list(frame["tags.mlflow.source.git.branch"])


@pytest.mark.mlflow
def test_times_are_utc(repo: Repository) -> None:
    """Starts and ends are moments with a zone; a run that has not ended has none."""
    frame = runs_to_frame(repo, order_by=["start_time ASC"])
    assert pd.Timestamp("2026-01-01T00:00:47Z") == frame["start_time"][1]
    assert pd.Timestamp("2026-01-01T00:00:06Z") == frame["end_time"][0]
    assert frame["end_time"][1] is pd.NaT
    assert ["float64", "object", "UTC"] == [
        str(frame["metrics.mse"].dtype),
        str(frame["params.lr"].dtype),
        str(frame["end_time"].dt.tz),
    ]


def test_a_filter_leaves_out_rows_and_empty_columns(repo: Repository) -> None:
    """Only columns that some of the runs have are there, and the order is the one asked for."""
    frame = runs_to_frame(repo, filter_string="metrics.mse > 0.7", order_by=["metrics.mse DESC"])
    assert ["metrics.mse", "params.lr"] == [c for c in frame.columns if c.startswith(("metrics", "params", "tags.t"))]
    frame = runs_to_frame(repo, order_by=["metrics.mse DESC"], max_results=2)
    assert [math.inf, 0.5] == list(frame["metrics.mse"])


def test_no_runs(repo: Repository) -> None:
    """Without a run there is a frame all the same, with the columns that every run has."""
    frame = runs_to_frame(repo, [])
    assert (0, "run_id", "UTC") == (len(frame), frame.columns[0], str(frame["start_time"].dt.tz))
