"""MLflow's entities made of our records: experiments, runs, metrics; and what the two spell differently.

A run is made of its document, as the index and the journals have it, with no `Run` in between, which would cost a page
of a thousand more than the rest of it. What a record has fields for, and MLflow keeps as tags, is shown as those tags.
"""

import math
from collections.abc import Iterator
from shlex import join
from typing import TYPE_CHECKING, Any

from mlflow.entities import Experiment as MlflowExperiment
from mlflow.entities import ExperimentTag, Param, RunData, RunInfo, RunTag
from mlflow.entities import Metric as MlflowMetric
from mlflow.entities import Run as MlflowRun
from mlflow.utils import mlflow_tags

from runstone import names
from runstone.index.values import param_text
from runstone.mlflow_plugin import compat
from runstone.records.scalar import typed as typed

if TYPE_CHECKING:
    from pathlib import Path

    from runstone.index.documents import RunRow
    from runstone.index.experiments import ExperimentRow
    from runstone.mlflow_plugin.place import Place
    from runstone.records.document import Document

DEFAULT_NAME = "Default"
DEFAULT_ID = "0"
"""The id of the experiment `Default`, as MLflow's own code and its UI expect it."""

DEFAULT_FOLDER = names.experiment_id(DEFAULT_NAME)
"""Its id here."""

MADE_FOR_MODEL = "runstone.loggedModelRun"
"""The tag of a run that exists only to hold a logged model; MLflow's searches do not show it."""

PARENT_TAG = mlflow_tags.MLFLOW_PARENT_RUN_ID
NAME_TAG = mlflow_tags.MLFLOW_RUN_NAME
NOTE_TAG = "mlflow.note.content"

FIELD_TAGS = {
    PARENT_TAG: "parent",
    mlflow_tags.MLFLOW_USER: "user_id",
    mlflow_tags.MLFLOW_GIT_COMMIT: "commit",
    mlflow_tags.MLFLOW_GIT_BRANCH: "branch",
    mlflow_tags.MLFLOW_SOURCE_NAME: "command",
}
"""Tags that a run shows although nobody set them, and the fields of the run, as filters name them, that they show."""

MAX_FLOAT = 1.7976931348623157e308
_HAS_OUTPUTS = compat.has_logged_models()


# --- experiments


def ours(experiment_id: object) -> str:
    """The id that an experiment has here, of MLflow's."""
    text = DEFAULT_ID if experiment_id is None or experiment_id == "" else str(experiment_id)
    return DEFAULT_FOLDER if text == DEFAULT_ID else text


def theirs(experiment_id: str) -> str:
    """The id that MLflow knows an experiment by; the inverse of `ours`."""
    return DEFAULT_ID if experiment_id == DEFAULT_FOLDER else experiment_id


def experiment_entity(row: "ExperimentRow", place: "Place") -> MlflowExperiment:
    """MLflow's entity of an experiment."""
    experiment = row.experiment
    tags = dict(experiment.tags)
    if experiment.description:
        tags[NOTE_TAG] = experiment.description
    return MlflowExperiment(
        experiment_id=theirs(experiment.experiment_id),
        name=experiment.name,
        artifact_location=place.experiment_uri(experiment.experiment_id),
        lifecycle_stage=experiment.lifecycle_stage,
        tags=[ExperimentTag(key, value) for key, value in tags.items()],
        creation_time=row.created,
        last_update_time=row.updated,
    )


# --- runs


def run_entity(row: "RunRow", place: "Place", work_tree: "Path | None") -> MlflowRun:
    """MLflow's entity of a run, with what it read and made."""
    from runstone.mlflow_plugin.datasets import inputs_of

    document = row.document
    data = RunData(
        metrics=list(_metrics(row)),
        params=[Param(key, param_text(value)) for key, value in (document.get("params") or {}).items()],
        tags=[RunTag(key, value) for key, value in tags_of(document, row.note).items()],
    )
    return MlflowRun(info_entity(row, place), data, inputs_of(document, work_tree), *_outputs(document))


def info_entity(row: "RunRow", place: "Place") -> RunInfo:
    """MLflow's `run.info`."""
    document = row.document
    info: RunInfo = compat.made(
        RunInfo,
        run_uuid=row.run_id,
        run_id=row.run_id,
        run_name=document["name"],
        experiment_id=theirs(row.experiment_id),
        user_id=document.get("user") or "",
        status=document["status"],
        start_time=row.started,
        end_time=row.ended,
        lifecycle_stage="active" if row.is_active else "deleted",
        artifact_uri=place.run_uri(row.experiment_id, row.run_id),
    )
    return info


def tags_of(document: "Document", note: str | None) -> dict[str, str]:
    """The tags of a run as MLflow shows them: those that were set, and what a record has fields for."""
    source = document.get("source") or {}
    command = source.get("command")
    shown = {
        NAME_TAG: document["name"],
        NOTE_TAG: note,
        PARENT_TAG: document.get("parent"),
        mlflow_tags.MLFLOW_USER: document.get("user"),
        mlflow_tags.MLFLOW_GIT_COMMIT: source.get("commit"),
        mlflow_tags.MLFLOW_GIT_BRANCH: source.get("branch"),
        mlflow_tags.MLFLOW_SOURCE_NAME: join(command) if command else None,
    }
    return {key: value for key, value in shown.items() if value} | (document.get("tags") or {})


def _metrics(row: "RunRow") -> Iterator[MlflowMetric]:
    time = row.started if row.ended is None else row.ended  # a record keeps no time of a metric; its history does
    for key, summary in (row.document.get("metrics") or {}).items():
        latest = summary.get("latest")
        yield MlflowMetric(key, shown_value(summary["last"] if latest is None else latest), time, summary["step"])


def _outputs(document: "Document") -> tuple[Any, ...]:
    """MLflow's `run.outputs`, which there is since MLflow 3."""
    if not _HAS_OUTPUTS:
        return ()
    from runstone.mlflow_plugin.logged_models import outputs_of

    return (outputs_of(document),)


# --- values


def shown_value(value: float) -> float:
    """A metric's value as MLflow's stores give it back: what is infinite is the greatest float there is."""
    return value if math.isfinite(value) or math.isnan(value) else math.copysign(MAX_FLOAT, value)
