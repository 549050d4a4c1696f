"""MLflow's experiments, runs and logged models, told to the intake in Runstone's words; then its registry.

Of a run's tags those become fields that a record has fields for. A logged model is kept among the artifacts of the run
that made it; one that no run made gets a run of its own.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from runstone.artifacts.descriptor import check_artifact_path
from runstone.errors import InvalidName, InvalidValue, RunstoneError
from runstone.imports.incoming import NO_DIGEST, IncomingFile, IncomingRun, Refusal, Unavailable
from runstone.imports.intake import Intake
from runstone.imports.mlflow.places import Place, Places
from runstone.imports.mlflow.source import (
    NO_PLACE,
    Source,
    SourceDataset,
    SourceExperiment,
    SourceModel,
    SourceRun,
)
from runstone.records import model_metric
from runstone.records.dataset import Dataset
from runstone.records.document import Document, format_time
from runstone.records.experiment import Experiment
from runstone.records.model import ModelReference
from runstone.records.model_metric import ModelPoint
from runstone.records.run import STATUSES, Run
from runstone.records.run import Source as Code
from runstone.records.scalar import typed

NOTE_TAG, NAME_TAG, PARENT_TAG = "mlflow.note.content", "mlflow.runName", "mlflow.parentRunId"
USER_TAG, CONTEXT_TAG = "mlflow.user", "mlflow.data.context"
COMMIT_TAG, BRANCH_TAG, REMOTE_TAG = (f"mlflow.source.git.{name}" for name in ("commit", "branch", "repoURL"))
_NOBODY = "unknown"
"""What MLflow calls the user of a run that was made without one."""
HOLDER_TAG = "runstone.loggedModelRun"
"""The tag of a run that exists only to hold a model; the MLflow plug-in's searches do not show it."""

_match_commit = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?").fullmatch
_match_id = re.compile(r"m-([0-9a-f]{32})").fullmatch


@dataclass(slots=True)
class Carrier:
    """One import on its way.

    Attributes:
        source: What is read.
        registry: Where the registered models are read; mostly the same.
        intake: Who takes it in.
        names: The experiments that are wanted; all if empty.
        places: Where the files of models come to lie.
    """

    source: Source
    registry: Source
    intake: Intake
    names: Sequence[str] = ()
    places: Places = field(default_factory=Places)
    _running: int = 0

    def carry(self) -> None:
        """Bring everything.

        Raises:
            InvalidValue: A wanted experiment is not there.
            RunstoneError: The source or the repository fails. What was taken in until then is kept.
        """
        from runstone.imports.mlflow.registry import carry_registry

        chosen = self._chosen()
        self.intake.total = self.source.count_runs(chosen)
        registered = self.registry.registered(self._refusal("registered model"))
        models = list(self.source.models(chosen, self._refusal("logged model")))
        self.places.learn(registered, models)
        self._bring_runs(chosen, models)
        self.intake.flush()
        if not self.names:
            carry_registry(self, registered)
        elif registered:
            why = "only some experiments were asked for. All of it: leave `--experiment` out"
            self.intake.not_carried("registry", self.registry.shown, why, is_loss=False, number=len(registered))
        for kind, number in self.source.left_out():
            if number:
                self.intake.not_carried(kind, self.source.shown, NO_PLACE, is_loss=False, number=number)
        if self._running:
            has = "run has" if self._running == 1 else "runs have"
            text = f"{self._running} {has} not ended at the source. When that is so, import again."
            self.intake.report.notes.append(text)

    def _chosen(self) -> list[SourceExperiment]:
        known = self.source.experiments()
        missing = [name for name in self.names if name not in {each.name for each in known}]
        if missing:
            names = ", ".join(sorted(repr(each.name) for each in known)[:20])
            raise InvalidValue(f"{self.source.shown} has no experiment {missing[0]!r}. It has: {names or 'none'}.")
        return [each for each in known if not self.names or each.name in self.names]

    def _refusal(self, kind: str) -> Refusal:
        return lambda what, why: self.intake.not_carried(kind, what, why)

    # --- runs

    def _bring_runs(self, chosen: Sequence[SourceExperiment], models: Sequence[SourceModel]) -> None:
        experiments = {
            each.id: self.intake.experiment(
                each.name,
                {key: value for key, value in each.tags.items() if key != NOTE_TAG},
                each.tags.get(NOTE_TAG),
                each.created,
                deleted=each.is_deleted,
                origin=self.source.origin,
                id=each.id,
            )
            for each in chosen
        }
        by_run: dict[str | None, list[SourceModel]] = defaultdict(list)
        measured: dict[str, list[ModelPoint]] = defaultdict(list)
        for model in models:
            by_run[model.run_id].append(model)
            for run_id, point in model.points:
                measured[run_id or model.run_id or holder_id(model)].append(point)
        begun = {each.id: each.created or 0 for each in chosen}
        for run in self.source.runs(chosen, self._refusal("run")):
            own = by_run.pop(run.id, [])
            experiment, since = experiments[run.experiment_id], begun[run.experiment_id]
            self._running += run.status in ("RUNNING", "SCHEDULED") and not run.is_deleted
            with self._telling(run.id):
                self.intake.run(self._incoming(run, experiment, since, own, measured.get(run.id, ())))
        for orphans in by_run.values():  # of no run, or of one that is gone
            for model in orphans:
                held = measured.get(holder_id(model), ())
                with self._telling(holder_id(model)):
                    self.intake.run(self._holder(model, experiments[model.experiment_id], held))

    @contextmanager
    def _telling(self, run_id: str) -> Iterator[None]:
        """Within it, a run that no record can hold is told, and the others come."""
        try:
            yield
        except (InvalidName, InvalidValue) as error:
            self.intake.not_carried("run", run_id, str(error))

    def _incoming(
        self,
        run: SourceRun,
        experiment: Experiment,
        since: int,
        models: Sequence[SourceModel],
        measured: Sequence[ModelPoint],
    ) -> IncomingRun:
        tags = dict(run.tags)
        parent, notes, named = (tags.pop(key, None) for key in (PARENT_TAG, NOTE_TAG, NAME_TAG))
        user = next((each for each in (run.user, tags.get(USER_TAG)) if each and each != _NOBODY), "")
        if tags.get(USER_TAG) in (user, _NOBODY):
            del tags[USER_TAG]
        commit = tags.pop(COMMIT_TAG) if _match_commit(tags.get(COMMIT_TAG, "")) else None
        record = Run(
            id=run.id,
            name=run.name or named or run.id[:8],
            experiment=experiment.name,
            experiment_id=experiment.experiment_id,
            status=run.status if run.status in STATUSES else "FAILED",
            user=user,
            started=next((each for each in (run.started, run.ended) if each is not None), since),
            ended=run.ended,
            parent=parent or None,
            lifecycle="deleted" if run.is_deleted else "active",
            deleted={"at": _time(run.deleted), "reason": "deleted in MLflow"} if run.deleted else None,
            source=Code(commit=commit, branch=tags.pop(BRANCH_TAG, None), remote=tags.get(REMOTE_TAG)),
            params={key: typed(value) for key, value in run.params.items()},  # type: ignore[misc]  # texts and scalars
            tags=tags,
            datasets=tuple(_dataset(each) for each in run.datasets),
            extra=_links(run, measured),
        )
        files, references = self._files(run, models)
        return IncomingRun(
            run=replace(record, models=tuple(references)),
            origin=self.source.origin,
            points=run.points,
            artifacts=files,
            notes=notes or None,
        )

    def _holder(self, model: SourceModel, experiment: Experiment, measured: Sequence[ModelPoint]) -> IncomingRun:
        """A run that exists only to hold a logged model."""
        run_id = holder_id(model)
        run = SourceRun(
            id=run_id,
            experiment_id=model.experiment_id,
            name=model.name,
            user=model.tags.get(USER_TAG),
            status="FINISHED" if model.status in ("READY", "PENDING") else "FAILED",
            started=model.created,
            ended=model.updated,
            is_deleted=model.is_deleted,
            tags={HOLDER_TAG: "true"},
        )
        return self._incoming(run, experiment, model.created, [model], measured)

    # --- files

    def _files(self, run: SourceRun, models: Sequence[SourceModel]) -> tuple[list[IncomingFile], list[ModelReference]]:
        """The artifacts of a run with those of its models among them, and the models."""
        told = f"run {run.id}"
        is_own = HOLDER_TAG in run.tags
        files = [] if is_own else self._list(told, lambda refuse: self.source.run_files(run, refuse))
        references = [ModelReference(path, (), NO_DIGEST, 0) for path in self.places.registered_in(run.id)]
        if not is_own and not self.intake.without_files:
            for path in _logged_paths(run.tags):
                if not any(each.path.startswith(f"{path}/") for each in files):
                    why = "a model was logged there, and its files are missing"
                    self.intake.not_carried("artifact", f"{told}: {path}", why)
        taken = {path.split("/")[0] for path in (*(each.path for each in files), *(r.path for r in references))}
        for model in sorted(models, key=lambda each: (each.created, each.id)):
            path = _free_path(model.name, taken)
            taken.add(path)
            self.places.put(model.id, Place(run.id, path))
            if not model.is_deleted or model.status == "READY":
                found = self._list(
                    f"logged model {model.id}", lambda refuse, model=model: self.source.model_files(model, refuse)
                )
                files += [each._replace(path=f"{path}/{each.path}") for each in found]
            extra = {"logged_model": _logged_model(model, path, run.id)}
            references.append(ModelReference(path, (), NO_DIGEST, 0, extra=extra))
        return files, references

    def _list(self, told: str, listing: Any) -> list[IncomingFile]:
        if self.intake.without_files:
            return []
        refuse: Refusal = self.intake.report.refusal("artifact", told)
        try:
            return list(listing(refuse))
        except Unavailable as error:
            refuse("all files", str(error))
        except (OSError, ValueError, RunstoneError) as error:
            refuse("all files", str(error))
        return []


def holder_id(model: SourceModel) -> str:
    """The id of the run that holds a logged model which no run made: the same however often it is imported."""
    match = _match_id(model.id)
    return match[1] if match is not None else f"model-{model.id}"


def _logged_paths(tags: Mapping[str, str]) -> list[str]:
    """Where MLflow 1 and 2 say that they put models among the artifacts of a run."""
    try:
        logged = json.loads(tags.get("mlflow.log-model.history") or "[]")
        return sorted({str(each["artifact_path"]).strip("/") for each in logged if each.get("artifact_path")})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []


def _links(run: SourceRun, measured: Iterable[ModelPoint]) -> Document:
    """What a record keeps for MLflow beside its own fields."""
    outputs = [{"model": model_id, "step": step} for model_id, step in run.outputs]
    points = model_metric.add(None, measured, f"run {run.id}")
    inputs = [{"model": model_id} for model_id in run.model_inputs]
    found = {"model_inputs": inputs, "model_outputs": outputs, model_metric.KEY: points}
    return {key: value for key, value in found.items() if value}


def _dataset(given: SourceDataset) -> Dataset:
    tags = dict(given.tags)
    role = tags.pop(CONTEXT_TAG, None)
    kept: dict[str, Any] = {
        "source_type": given.source_type,
        "source": given.source,
        "schema": given.schema,
        "profile": given.profile,
        "tags": tags or None,
    }
    extra = {key: value for key, value in kept.items() if value is not None}
    return Dataset(given.name, given.digest, role=role, extra={"mlflow": extra} if extra else {})


def _logged_model(model: SourceModel, path: str, holder: str) -> Document:
    """What MLflow alone asks of a logged model, as the plug-in keeps it; the id comes first."""
    others = sorted({run_id for run_id, _ in model.points if run_id not in (None, holder)}, key=str)
    document: Document = {
        "id": model.id,
        "name": model.name if model.name != path else None,
        "status": model.status,
        "type": model.type,
        "created": _time(model.created),
        "updated": _time(model.updated),
        "source_run": model.run_id if model.run_id != holder else None,
        "tags": dict(model.tags) or None,
        "params": dict(model.params) or None,
        "evaluated_by": others or None,
        "lifecycle": "deleted" if model.is_deleted else None,
    }
    return {key: value for key, value in document.items() if value is not None}


def _free_path(name: str, taken: Iterable[str]) -> str:
    """A folder for a model of this name, which nothing else among the run's artifacts has."""
    try:
        base = check_artifact_path(name)
    except InvalidName:
        base = "model"
    base = base.replace("/", "-")
    path, number = base, 1
    while path in taken:
        number += 1
        path = f"{base}-{number}"
    return path


def _time(time_ms: int | None) -> str | None:
    try:
        return None if time_ms is None else format_time(time_ms)
    except InvalidValue:
        return None
