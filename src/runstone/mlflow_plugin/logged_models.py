"""MLflow 3's logged models: kept as models of the run that logged them, with their files among its artifacts.

So the `runstone` commands, `runs:/<run>/<name>` and the registry see an ordinary model. One that no run logged gets a
run of its own, which MLflow's searches of runs do not show.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.utils.name_utils import _generate_random_name

from runstone.errors import RecordInvalid, RunNotFound
from runstone.index.documents import get_row
from runstone.index.search import get_run
from runstone.mlflow_plugin import compat, logged_search
from runstone.mlflow_plugin.entities import MADE_FOR_MODEL, ours, shown_value, theirs
from runstone.mlflow_plugin.log import LogStore
from runstone.mlflow_plugin.logged_records import (
    Found,
    LoggedModel,
    described,
    find_model,
    free_path,
    list_models,
    models_of,
    new_id,
)
from runstone.mlflow_plugin.place import is_server
from runstone.records import model_metric
from runstone.records.experiment import Experiment
from runstone.records.model import ModelReference
from runstone.records.model_metric import ModelPoint
from runstone.tracking.read import read_artifacts
from runstone.tracking.shared import begin, edit

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel as Entity
    from mlflow.store.entities.paged_list import PagedList

    from runstone.records.document import Document
    from runstone.tracking.shared_edit import Edit

MODEL_OUTPUTS = "model_outputs"
"""The key of a run's record that lists the logged models it made, as `{model, step}`."""


def outputs_of(document: "Document") -> Any:
    """MLflow's `run.outputs`; there is none before MLflow 3."""
    found = document.get(MODEL_OUTPUTS)
    make = compat.entity("LoggedModelOutput")
    outputs = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return compat.entity("RunOutputs")([make(str(each.get("model")), _step(each.get("step"))) for each in outputs])


class LoggedModelStore(LogStore):
    """What MLflow asks a tracking store about logged models."""

    def create_logged_model(
        self,
        experiment_id: str,
        name: str | None = None,
        source_run_id: str | None = None,
        tags: Sequence[Any] | None = None,
        params: Sequence[Any] | None = None,
        model_type: str | None = None,
    ) -> "Entity":
        """Begin a model, whose files are to follow; `finalize_logged_model` says that they are all there."""
        compat.entity("_validate_logged_model_name", "mlflow.utils.validation")(name)
        experiment = self._need_active(experiment_id)
        name = name or _generate_random_name()
        run_id = self._run_for(experiment, name, source_run_id)
        now = int(time() * 1000)
        with edit(self._workspace, run_id) as change:
            taken = [*change.models, *(entry.path for entry in read_artifacts(self._workspace, run_id))]
            path = free_path(name, taken)
            digest, size = self._workspace.artifacts.folder_digest(())
            model = LoggedModel(
                new_id(run_id, change.models.values()),
                now,
                now,
                name=name if name != path else None,
                type=model_type,
                source_run=source_run_id if source_run_id != run_id else None,
                tags=self._texts({tag.key: tag.value for tag in tags or ()}),
                params=self._texts({param.key: param.value for param in params or ()}),
            )
            change.put_model(model.within(ModelReference(path, (), f"md5:{digest}", size)))
        return self.get_logged_model(model.id)

    def get_logged_model(self, model_id: str, allow_deleted: bool = False) -> "Entity":
        """A model, with the metrics that any run measured of it."""
        found = self._need(model_id)
        if found.model.lifecycle == "deleted" and not allow_deleted:
            raise _not_found(model_id)
        entity = self._entity(found)
        entity.metrics = self._metrics(found)
        return entity

    def finalize_logged_model(self, model_id: str, status: Any) -> "Entity":
        """Say that the model's files are all there, or that they never will be; what they are is recorded now."""
        found = self._need(model_id)
        with edit(self._workspace, found.run.run_id) as change:
            reference, model = _in(change, model_id)
            artifacts = read_artifacts(self._workspace, found.run.run_id)
            reference = described(self._workspace, reference, artifacts)
            change.put_model(replace(model, status=status.value, updated=int(time() * 1000)).within(reference))
            if found.has_own_run and not change.has_ended and status.value != "PENDING":
                change.end("FINISHED" if status.value == "READY" else "FAILED")
        return self.get_logged_model(model_id, allow_deleted=True)

    def delete_logged_model(self, model_id: str) -> None:
        """Mark a model deleted; its files stay."""
        self._change(model_id, lambda model: replace(model, lifecycle="deleted", updated=int(time() * 1000)))

    def _hard_delete_logged_model(self, model_id: str) -> None:
        """Forget a model for good, as far as MLflow can tell; git keeps what was committed."""
        self._change(model_id, lambda model: replace(model, lifecycle="removed", updated=int(time() * 1000)))

    def _get_deleted_logged_models(self, older_than: int = 0) -> list[str]:
        before = int(time() * 1000) - older_than
        found = (each.model for each in list_models(self._workspace, None))
        return [model.id for model in found if model.lifecycle == "deleted" and model.updated <= before]

    def set_logged_model_tags(self, model_id: str, tags: Sequence[Any]) -> None:
        """Set tags; of one key the last value wins."""
        fresh = self._texts({tag.key: tag.value for tag in tags})
        self._change(model_id, lambda model: replace(model, tags={**model.tags, **fresh}))

    def delete_logged_model_tag(self, model_id: str, key: str) -> None:
        """Remove a tag."""

        def without(model: LoggedModel) -> LoggedModel:
            if key not in model.tags:
                message = f"No tag with key {key!r} found for model with ID {model_id!r}."
                raise MlflowException(message, RESOURCE_DOES_NOT_EXIST)
            return replace(model, tags={each: value for each, value in model.tags.items() if each != key})

        self._change(model_id, without)

    def log_logged_model_params(self, model_id: str, params: Sequence[Any]) -> None:
        """Record params; one that has another value already is refused, and then none of them is recorded."""
        fresh = self._texts({param.key: param.value for param in params})

        def with_params(model: LoggedModel) -> LoggedModel:
            changed = [key for key, value in fresh.items() if model.params.get(key, value) != value]
            if changed:
                message = f"The param {changed[0]!r} of the model {model_id} has another value already."
                raise MlflowException(message, INVALID_PARAMETER_VALUE)
            return replace(model, params={**model.params, **fresh})

        self._change(model_id, with_params)

    def search_logged_models(
        self,
        experiment_ids: list[str],
        filter_string: str | None = None,
        datasets: list[dict[str, Any]] | None = None,
        max_results: int | None = None,
        order_by: list[dict[str, Any]] | None = None,
        page_token: str | None = None,
    ) -> "PagedList[Entity]":
        """Models that meet a filter, and were measured on one of some datasets, in an order, one page of them."""
        query = logged_search.parse(experiment_ids, filter_string, datasets, max_results, order_by, page_token)
        found = list_models(self._workspace, [ours(each) for each in experiment_ids])
        active = {each.model.id: each for each in found if each.model.lifecycle == "active"}

        def measure(entity: "Entity") -> None:
            entity.metrics = self._metrics(active[entity.model_id])

        return query.page([self._entity(each) for each in active.values()], measure)

    def log_outputs(self, run_id: str, models: Sequence[Any]) -> None:
        """Record logged models that a run made."""
        with self._writing(run_id) as change:
            before = list(change.run.extra.get(MODEL_OUTPUTS) or ())
            fresh = [{"model": model.model_id, "step": model.step} for model in models]
            change.set_extra(MODEL_OUTPUTS, [*before, *fresh])

    # --- inside

    def _log(
        self, run_id: str, metrics: Sequence[Metric] = (), params: Sequence[Any] = (), tags: Sequence[Any] = ()
    ) -> None:
        """As `LogStore`; the models that metrics were measured of must be there, and note which run measured them."""
        measured = {metric.model_id for metric in metrics if getattr(metric, "model_id", None) is not None}
        noted: set[tuple[str, str]] = self.__dict__.setdefault("_noted", set())
        for model_id in measured:
            if (model_id, run_id) not in noted:
                self._note_run(model_id, run_id)
                noted.add((model_id, run_id))
        super()._log(run_id, metrics, params, tags)

    def _note_run(self, model_id: str, run_id: str) -> None:
        """Note on a model which other run measures it: a look at that run tells its metrics then, and no search."""
        found = self._need(model_id)
        if run_id not in (found.run.run_id, *found.model.evaluated_by):
            self._change(
                model_id,
                lambda now: replace(now, evaluated_by=tuple({**dict.fromkeys(now.evaluated_by), run_id: None})),
            )

    def _run_for(self, experiment: Experiment, name: str, source_run_id: str | None) -> str:
        """The run that holds a new model: the one that logs it, or one made for it."""
        if source_run_id is not None:
            with suppress(RunNotFound):
                run = get_run(self._workspace.repo, source_run_id)
                if run.lifecycle != "deleted" and run.experiment_id == experiment.experiment_id:
                    return run.id
        own = not is_server()
        tags = {MADE_FOR_MODEL: "true"}
        return begin(self._workspace, experiment, name=name, tags=tags, captured=own, owned=own).id

    def _need(self, model_id: str) -> Found:
        found = find_model(self._workspace, model_id)
        if found is None:
            raise _not_found(model_id)
        return found

    def _change(self, model_id: str, how: Callable[[LoggedModel], LoggedModel]) -> None:
        with edit(self._workspace, self._need(model_id).run.run_id) as change:
            reference, model = _in(change, model_id)
            change.put_model(how(model).within(reference))

    def _entity(self, found: Found) -> "Entity":
        """MLflow's entity of a model, as yet without metrics."""
        run, reference, model = found
        make, status = compat.entity("LoggedModel"), compat.entity("LoggedModelStatus")
        return make(
            experiment_id=theirs(run.experiment_id),
            model_id=model.id,
            name=model.name or reference.path,
            artifact_location=self._place.model_uri(run.experiment_id, model.id),
            creation_timestamp=model.created,
            last_updated_timestamp=model.updated,
            model_type=model.type,
            source_run_id=found.source_run_id,
            status=status(model.status),
            tags=dict(model.tags) or None,
            params=dict(model.params) or None,
        )

    def _metrics(self, found: Found) -> list[Metric] | None:
        """All that was measured of a model, by whichever run; None for nothing.

        What another pushed may hold anything, and must not take a model out of every search: where a record's points
        cannot be read, those before are shown.
        """
        runs = [(found.run.run_id, found.run.document)]
        for run_id in found.model.evaluated_by:
            with suppress(RunNotFound):  # it was removed for good
                runs.append((run_id, get_row(self._workspace.repo, run_id).document))
        metrics = []
        for run_id, document in runs:
            with suppress(RecordInvalid):
                for point in model_metric.parse(document.get(model_metric.KEY), run_id):
                    if point.model == found.model.id:
                        metrics.append(_metric(run_id, point))
        return metrics or None

    def _texts(self, given: Mapping[str, str]) -> dict[str, str]:
        """Tags or params as a record may hold them: without secrets, and without the place of the work tree."""
        redactor, tree = self._workspace.redactor, self._workspace.repo.work_tree
        return {key: _portable(str(redactor.param(key, value)), tree) for key, value in given.items()}


def _metric(run_id: str, point: ModelPoint) -> Metric:
    return Metric(
        point.metric,
        shown_value(point.value),
        point.timestamp,
        point.step,
        model_id=point.model,
        dataset_name=point.dataset,
        dataset_digest=point.digest,
        run_id=run_id,
    )


def _in(change: "Edit", model_id: str) -> tuple[ModelReference, LoggedModel]:
    """A model as of now, under the run's lock."""
    for reference, model in models_of(change.models.values()):
        if model.id == model_id:
            return reference, model
    raise _not_found(model_id)


def _step(value: object) -> int:
    return value if isinstance(value, int) else 0


def _portable(text: str, work_tree: Path | None) -> str:
    """A path in the work tree as one relative to it; any other text as it is."""
    return text.removeprefix(f"{work_tree}/") if work_tree is not None else text


def _not_found(model_id: str) -> MlflowException:
    return MlflowException(f"Logged model with ID '{model_id}' not found.", RESOURCE_DOES_NOT_EXIST)
