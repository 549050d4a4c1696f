"""What is logged to runs through MLflow: checked by MLflow's own rules, then written whole or not at all."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.utils import mlflow_tags
from mlflow.utils.validation import (
    _validate_batch_log_data,
    _validate_batch_log_limits,
    _validate_metric,
    _validate_param,
    _validate_param_keys_unique,
    _validate_run_id,
    _validate_tag,
)

from runstone.errors import ParamConflict, RunNotFound, RunstoneError
from runstone.git.runs import layout, live
from runstone.git.runs.branch import read_runs
from runstone.index.documents import RunRow, get_row
from runstone.index.values import param_text
from runstone.mlflow_plugin.entities import NAME_TAG, NOTE_TAG, typed
from runstone.mlflow_plugin.experiments import ExperimentStore
from runstone.records.metric import Metric as Point
from runstone.records.model_metric import ModelPoint
from runstone.tracking import shared

if TYPE_CHECKING:
    from runstone.tracking.shared_edit import Edit


class LogStore(ExperimentStore):
    """What MLflow asks a tracking store to add to runs."""

    def log_batch(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
    ) -> None:
        """Record metrics, params and tags: all of them, or, if one is refused, none."""
        _validate_run_id(run_id)
        metrics, params, tags = _validate_batch_log_data(metrics, params, tags)
        _validate_batch_log_limits(metrics, params, tags)
        _validate_param_keys_unique(params)
        self._log(run_id, metrics, params, tags)

    def log_metric(self, run_id: str, metric: Metric) -> None:
        """Record one point of a metric."""
        _validate_metric(metric.key, metric.value, metric.timestamp, metric.step)
        self._log(run_id, metrics=[metric])

    def log_param(self, run_id: str, param: Param) -> None:
        """Record one param."""
        self._log(run_id, params=[_validate_param(param.key, param.value)])

    def set_tag(self, run_id: str, tag: RunTag) -> None:
        """Set one tag."""
        self._log(run_id, tags=[_validate_tag(tag.key, tag.value)])

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove one tag; what a record has fields for, as its name, stays, although it is shown as a tag."""
        with self._writing(run_id) as change:
            now = self._row(run_id)
            if key == NOTE_TAG and now.note:
                change.set_tags({NOTE_TAG: ""})
            elif key in (now.document.get("tags") or {}):
                change.delete_tag(key)
            elif key != NAME_TAG:
                raise MlflowException(f"No tag with name: {key} in run with id {run_id}", RESOURCE_DOES_NOT_EXIST)

    def record_logged_model(self, run_id: str, mlflow_model: Any) -> None:
        """Add a model to the tag in which MLflow 2 lists the models of a run."""
        from mlflow.models import Model

        if not isinstance(mlflow_model, Model):
            raise TypeError(f"Argument 'mlflow_model' should be mlflow.models.Model, got '{type(mlflow_model)}'")
        with self._writing(run_id) as change:
            before = json.loads(change.run.tags.get(mlflow_tags.MLFLOW_LOGGED_MODELS, "[]"))
            text = json.dumps([*before, mlflow_model.get_tags_dict()])
            _validate_tag(mlflow_tags.MLFLOW_LOGGED_MODELS, text)
            change.set_tags({mlflow_tags.MLFLOW_LOGGED_MODELS: text})  # whole: cut, it could not be read again

    # --- inside

    def _log(
        self, run_id: str, metrics: Sequence[Metric] = (), params: Sequence[Param] = (), tags: Sequence[RunTag] = ()
    ) -> None:
        """Write what was checked, all of it or nothing; every call that logs ends here."""
        with self._writing(run_id) as change:
            if params:
                _add_params(change, {param.key: typed(param.value) for param in params})
            if metrics:
                fresh = list(dict.fromkeys(metrics))
                change.add_points(Point(m.key, m.value, m.timestamp, m.step) for m in fresh)
                measured = [m for m in fresh if getattr(m, "model_id", None) is not None]
                if measured:
                    change.add_model_points(map(_model_point, measured))
            if tags:
                change.set_tags({tag.key: tag.value for tag in tags})

    @contextmanager
    def _writing(self, run_id: str, **options: bool) -> "Iterator[Edit]":
        """A change of a run that is not deleted, itself or with its experiment."""
        with ExitStack() as stack:
            try:
                change = stack.enter_context(shared.edit(self._workspace, run_id, **options))
            except RunNotFound:
                raise
            except RunstoneError:
                self._refuse_deleted(run_id, self._row(run_id).is_active)
                raise
            self._refuse_deleted(run_id, self._is_active(change.experiment_id))
            yield change

    def _refuse_deleted(self, run_id: str, is_active: bool) -> None:
        if not is_active:
            raise MlflowException(
                f"The run {run_id} must be in the 'active' state. Current state is deleted.", INVALID_PARAMETER_VALUE
            )

    def _is_active(self, experiment_id: str) -> bool:
        """Whether an experiment is not deleted; one that has no record is not."""
        experiment = self._experiment(experiment_id)
        return experiment is None or experiment.lifecycle_stage != "deleted"

    def _row(self, run_id: str) -> RunRow:
        """A run as it is now: out of its journals, if it has any, else out of the index."""
        repo = self._workspace.repo
        composed = live.compose_live(repo, run_id)
        if composed is None:
            try:
                return get_row(repo, run_id)
            except RunNotFound:  # or left out of the index, since its record cannot be read: then that is told
                found = self._client.get_run(run_id)
                return RunRow(run_id, found.experiment_id, found.started, found.ended, True, found.to_document())
        run = composed.run
        is_active = run.lifecycle == "active" and self._is_active(run.experiment_id)
        note = composed.notes
        if note is None and (data := read_runs(repo).read(f"{composed.folder}/{layout.NOTES}")) is not None:
            note = data.decode(errors="replace")
        return RunRow(run_id, run.experiment_id, run.started, run.ended, is_active, run.to_document(), note)


def _add_params(change: "Edit", params: dict[str, Any]) -> None:
    """Add params; one that the run has with the same text is the same to MLflow, whatever its type."""
    while True:
        try:
            change.add_params(params)
            return
        except ParamConflict as conflict:
            if param_text(conflict.old) != param_text(conflict.new):
                raise
            del params[conflict.key]


def _model_point(metric: Metric) -> ModelPoint:
    return ModelPoint(
        metric.model_id,
        metric.key,
        metric.step,
        metric.timestamp,
        float(metric.value),
        metric.dataset_name,
        metric.dataset_digest,
    )
