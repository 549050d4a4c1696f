"""The values that calls take and give have MLflow's names and values."""

import mlflow.entities
import pytest
from mlflow.entities import RunStatus, ViewType

from runstone import entities


@pytest.mark.mlflow
def test_views_and_statuses_mean_what_mlflow_means() -> None:
    """The numbers of views, the names of statuses, and the fields of what searches return."""
    for name in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"):
        assert getattr(ViewType, name) == getattr(entities.ViewType, name)
    for name in ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"):
        assert RunStatus.to_string(getattr(RunStatus, name)) == getattr(entities.RunStatus, name)


@pytest.mark.mlflow
def test_a_run_has_mlflows_attributes() -> None:
    """`info`, `data`, `inputs`, and in `info` all that scripts read."""
    ours = entities.Run("id", "name", "trees", "trees", "RUNNING", "kim", 5)
    theirs = mlflow.entities.RunInfo("id", "1", "u", "RUNNING", 5, 6, "active", artifact_uri="x", run_name="n")
    for name in ("run_id", "run_name", "experiment_id", "status", "start_time", "end_time", "lifecycle_stage"):
        assert hasattr(ours.info, name)
        assert hasattr(theirs, name)
    assert (5, None, {}, ()) == (
        ours.info.start_time,
        ours.info.end_time,
        dict(ours.data.metrics),
        ours.inputs.dataset_inputs,
    )


@pytest.mark.mlflow
def test_small_values_are_made_as_mlflows_are() -> None:
    """By position: key, value, timestamp, step."""
    ours, theirs = entities.Metric("m", 1.5, 10, 3), mlflow.entities.Metric("m", 1.5, 10, 3)
    assert (theirs.key, theirs.value, theirs.timestamp, theirs.step) == (
        ours.key,
        ours.value,
        ours.timestamp,
        ours.step,
    )
    assert ("p", 1) == (entities.Param("p", 1).key, entities.Param("p", 1).value)
    assert ("t", "v") == (entities.RunTag("t", "v").key, entities.RunTag("t", "v").value)
