"""MLflow 3's logged models: written when all runs are, as any of these may have made a model, or measured it."""

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha1
from typing import Any, NamedTuple

from runstone.exports.mlflow.files import Files
from runstone.exports.mlflow.target import OutgoingModel, Target
from runstone.imports.report import Report
from runstone.mlflow_plugin.datasets import MODEL_INPUTS
from runstone.mlflow_plugin.entities import MADE_FOR_MODEL
from runstone.mlflow_plugin.logged_models import MODEL_OUTPUTS
from runstone.mlflow_plugin.logged_records import LoggedModel, models_of
from runstone.mlflow_plugin.tracking import TrackingStore
from runstone.records import yaml
from runstone.records.model import ModelReference
from runstone.records.run import Run

_KIND = "logged models"


class Exported(NamedTuple):
    """A logged model that is there: its id, where its files are, and whether it can be named by its id."""

    model_id: str
    uri: str
    is_active: bool


class LoggedModels:
    """The logged models of the runs of an export."""

    def __init__(self, target: Target, tracking: TrackingStore, files: Files, report: Report) -> None:
        """Write to a target what a store of the plug-in tells."""
        self._target = target
        self._tracking = tracking
        self._files = files
        self._report = report
        self._ids: dict[str, str] = {}
        self._exported: dict[tuple[str, str], Exported] = {}

    def folders(self, run: Run) -> list[str]:
        """The folders among a run's artifacts that are logged models, and exported as such."""
        return [reference.path for reference, _ in models_of(run.models)] if self._target.takes_models else []

    def holds_only(self, run: Run) -> bool:
        """Whether a run was made to hold a logged model that no run has made."""
        return MADE_FOR_MODEL in run.tags and bool(self.folders(run))

    def put(
        self, run: Run, experiment_id: Callable[[str], str], runs: Mapping[str, str], *, with_deleted: bool
    ) -> None:
        """Write the logged models that a run holds.

        Args:
            run: The run.
            experiment_id: Gives the id there of an experiment of the plug-in.
            runs: The id there of each exported run.
            with_deleted: Whether those are written that are deleted here.
        """
        if not self._target.takes_models:
            for _ in models_of(run.models):
                why = "this MLflow has none: their files are written with their runs"
                self._report.miss(_KIND, "what MLflow 3 keeps beside the files", why, is_loss=False)
            return
        for reference, model in models_of(run.models):
            if with_deleted or model.lifecycle == "active":
                self._put(run, reference, model, experiment_id, runs)

    def link(self, run: Run, run_id: str, client: Any) -> None:
        """See that a run names there the logged models that it made, and those that it used."""
        if not self._target.takes_models or not (run.extra.get(MODEL_INPUTS) or run.extra.get(MODEL_OUTPUTS)):
            return
        entity = self._tracking.get_run(run.id)
        outputs = self._named(getattr(entity.outputs, "model_outputs", None))
        inputs = self._named(getattr(entity.inputs, "model_inputs", None))
        there = client.get_run(run_id)
        outputs = _fresh(outputs, getattr(there.outputs, "model_outputs", None))
        inputs = _fresh(inputs, getattr(there.inputs, "model_inputs", None))
        if (outputs or inputs) and there.info.lifecycle_stage != "active":
            self._report.miss("outputs", run.id, "MLflow takes none for a deleted run")
            return
        if outputs:
            client.log_outputs(run_id, outputs)
        if inputs:
            client.log_inputs(run_id, models=inputs)

    def source(self, run_id: str, path: str) -> str | None:
        """The source of a version whose files are a folder of a run; None where no logged model has them."""
        for (holder, folder), exported in self._exported.items():
            if holder == run_id and f"{path}/".startswith(f"{folder}/"):
                if path == folder and exported.is_active:
                    return f"models:/{exported.model_id}"
                return exported.uri + path[len(folder) :]
        return None

    def _put(
        self,
        run: Run,
        reference: ModelReference,
        model: LoggedModel,
        experiment_id: Callable[[str], str],
        runs: Mapping[str, str],
    ) -> None:
        entity = self._tracking.get_logged_model(model.id, allow_deleted=True)
        where = experiment_id(entity.experiment_id)
        source, points = runs.get(str(entity.source_run_id)), self._points(entity, runs)
        measured = [{**dict(point), "run": point.run_id} for point in points]
        told = {"model": reference.to_document(), "source": source, "measured": measured}
        digest = sha1(yaml.dump(told).encode(), usedforsecurity=False).hexdigest()
        place = self._files.of_folder(run.id, reference.path)
        outgoing = OutgoingModel(entity, source, points, model.lifecycle == "deleted", digest, place)
        before = self._target.find_model(outgoing)
        if before is not None and before[1] is None:
            self._report.count(_KIND, "clash")
            self._report.miss("logged model", model.id, "another one of this id is there, not exported from here")
            return
        if before is not None and before[1] == digest:
            self._report.count(_KIND, "same")
            there = before[0]
        else:
            there, lost = self._target.put_model(outgoing, where, None if before is None else before[0])
            self._report.count(_KIND, "new" if before is None else "updated")
            for each in lost:
                self._report.miss(each.kind, f"{model.id}: {each.what}", each.why)
        self._ids[model.id] = there
        uri = self._target.model_uri(where, there)
        self._exported[run.id, reference.path] = Exported(there, uri, not outgoing.is_deleted)

    def _points(self, entity: Any, runs: Mapping[str, str]) -> list[Any]:
        """What was measured of a model, by runs as they are named there; of other runs it is told."""
        from mlflow.entities import Metric

        points = []
        for point in entity.metrics or ():
            if point.run_id in runs:
                points.append(Metric(**{**dict(point), "run_id": runs[point.run_id]}))
            else:
                what = f"{entity.model_id}: {point.key}"
                self._report.miss("metric", what, f"it was measured by the run {point.run_id}, which is not exported")
        return points

    def _named(self, links: Iterable[Any] | None) -> list[Any]:
        """Inputs or outputs with the models' ids there; without the models that are not."""
        known = [link for link in links or () if link.model_id in self._ids]
        return [type(link)(**{**dict(link), "model_id": self._ids[link.model_id]}) for link in known]


def _fresh(links: list[Any], there: Iterable[Any] | None) -> list[Any]:
    known = {link.model_id for link in there or ()}
    return [link for link in links if link.model_id not in known]
