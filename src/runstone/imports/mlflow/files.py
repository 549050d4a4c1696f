"""MLflow's file store: a folder `mlruns` as MLflow 1.x, 2.x and 3.x laid it out, deleted experiments in `.trash`."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from runstone.errors import RunstoneError
from runstone.imports.incoming import IncomingFile, Refusal, local_files
from runstone.imports.mlflow.artifacts import Artifacts, local_folders
from runstone.imports.mlflow.reader import BROKEN, META, Reader, reason
from runstone.imports.mlflow.source import (
    SourceDataset,
    SourceExperiment,
    SourceModel,
    SourceRegistered,
    SourceRun,
    SourceVersion,
    origin_of,
    time_of,
)
from runstone.records.document import Document
from runstone.tracking.shown import counted

TRASH, REGISTRY, MODELS, DATASETS, TRACES = ".trash", "models", "models", "datasets", "traces"
STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
MODEL_STATUSES = {0: "UNSPECIFIED", 1: "PENDING", 2: "READY", 3: "FAILED"}
_match_run_id = re.compile(r"[0-9a-f]{32}").fullmatch


class NotAFileStore(RunstoneError):
    """A folder in which MLflow has kept nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} is no folder of MLflow's: no experiment (`<id>/{META}`) and no registered model is in it. "
            "Name the folder that is usually called `mlruns`, or the database: `sqlite:///mlflow.db`"
        )


class FileSource:
    """A file store.

    Args:
        folder: The folder.
        registry: The folder whose registered models are read; its own if None.
        roots: Further places that artifacts may be in; see `Artifacts`.
    """

    def __init__(self, folder: Path, *, registry: Path | None = None, roots: Sequence[str] = ()) -> None:
        self._folder, self._registry = folder, (registry or folder) / REGISTRY
        self.shown = str(folder)
        extra = local_folders(roots)
        self._artifacts = Artifacts([folder, *extra], folder.absolute().parent, roots)
        self._reader = Reader(folder, [self._registry, *extra])
        self._places: dict[str, Path] = {}
        if not self._experiments and not any(self._registry.glob(f"*/{META}")):
            self._reader.tell(_raise)
            raise NotAFileStore(folder)

    @cached_property
    def origin(self) -> str:
        """See `Source`."""
        return origin_of(self._experiments)

    # --- tracking

    def experiments(self) -> Sequence[SourceExperiment]:
        """See `Source`."""
        return self._experiments

    @cached_property
    def _experiments(self) -> list[SourceExperiment]:
        found: dict[str, SourceExperiment] = {}
        for above, is_trash in ((self._folder, False), (self._folder / TRASH, True)):
            for folder in self._reader.folders(above):
                if above == self._folder and folder.name in (REGISTRY, TRASH):
                    continue
                meta = self._reader.find(folder, partial(self._lost, folder))
                if meta is None or folder.name in found:
                    continue
                self._places[folder.name] = folder
                found[folder.name] = SourceExperiment(
                    id=folder.name,
                    name=str(meta.get("name") or folder.name),
                    tags=self._reader.texts(folder / "tags"),
                    created=self._time(folder, meta, "creation_time"),
                    is_deleted=is_trash or meta.get("lifecycle_stage") == "deleted",
                    location=str(meta.get("artifact_location") or ""),
                )
        return list(found.values())

    def count_runs(self, experiments: Sequence[SourceExperiment]) -> int:
        """See `Source`."""
        return sum(1 for each in experiments for _ in self._run_folders(each))

    def runs(self, experiments: Sequence[SourceExperiment], refuse: Refusal) -> Iterable[SourceRun]:
        """See `Source`."""
        found: list[tuple[int, Path, SourceExperiment]] = []
        for experiment in experiments:
            for folder in self._run_folders(experiment):
                try:
                    text = self._reader.text(folder / META)
                    started = re.search(r"^start_time: (\d{1,18})$", text, re.MULTILINE)
                    found.append((int(started[1]) if started else 0, folder, experiment))
                except BROKEN as error:
                    refuse(f"{experiment.id}/{folder.name}", reason(error))
        for _, folder, experiment in sorted(found, key=lambda each: (each[0], each[1].name)):
            try:
                run = self._run(folder, experiment)
            except BROKEN as error:
                refuse(f"{experiment.id}/{folder.name}", reason(error))
            else:
                yield run
        self._reader.tell(refuse)

    def _run_folders(self, experiment: SourceExperiment) -> Iterator[Path]:
        return self._runs_below(self._places[experiment.id])

    def _runs_below(self, above: Path) -> Iterator[Path]:
        for folder in self._reader.folders(above):
            is_run = os.path.lexists(folder / META) or _match_run_id(folder.name)
            if is_run and folder.name not in (MODELS, DATASETS, TRACES, "tags"):
                yield folder

    def _lost(self, folder: Path) -> str:
        return counted(sum(1 for _ in self._runs_below(folder)), "run")

    def _run(self, folder: Path, experiment: SourceExperiment) -> SourceRun:
        meta = self._reader.need(folder)
        status = meta.get("status", 3)
        self._places[f"run {folder.name}"] = folder
        inputs = [
            self._reader.need(each) for each in self._reader.folders(folder / "inputs") if (each / META).is_file()
        ]
        outputs = [
            self._reader.need(each) for each in self._reader.folders(folder / "outputs") if (each / META).is_file()
        ]
        return SourceRun(
            id=folder.name,
            experiment_id=experiment.id,
            name=str(meta.get("run_name") or meta.get("name") or "") or None,
            user=str(meta.get("user_id") or "") or None,
            status=STATUSES.get(status, str(status)) if isinstance(status, int) else str(status),
            started=self._time(folder, meta, "start_time"),
            ended=self._time(folder, meta, "end_time"),
            is_deleted=meta.get("lifecycle_stage") == "deleted" or experiment.is_deleted,
            deleted=self._time(folder, meta, "deleted_time"),
            artifact_uri=str(meta.get("artifact_uri") or ""),
            params=self._reader.texts(folder / "params"),
            tags=_old_tags(meta) | self._reader.texts(folder / "tags"),
            points=self._reader.points(folder / "metrics"),
            datasets=[self._dataset(experiment, each) for each in inputs if each.get("source_type") == "DATASET"],
            model_inputs=[str(each["source_id"]) for each in inputs if "MODEL" in str(each.get("destination_type"))],
            outputs=[
                (str(each["destination_id"]), int(each.get("step") or 0))
                for each in outputs
                if each.get("destination_type") == "MODEL_OUTPUT"
            ],
        )

    def _time(self, folder: Path, meta: Document, key: str) -> int | None:
        found = time_of(meta.get(key))
        if found is None and meta.get(key) is not None:
            self._reader.pass_over(folder / META, f"its `{key}` is no time")
        return found

    def _dataset(self, experiment: SourceExperiment, given: Document) -> SourceDataset:
        meta = self._reader.find(self._places[experiment.id] / DATASETS / _plain(str(given.get("source_id")))) or {}
        tags = given.get("tags")
        texts = {key: None if meta.get(key) is None else str(meta[key]) for key in ("source", "schema", "profile")}
        return SourceDataset(
            name=str(meta.get("name") or "dataset"),
            digest=str(meta.get("digest") or ""),
            source_type=str(meta.get("source_type") or "local"),
            tags={str(k): str(v) for k, v in tags.items()} if isinstance(tags, dict) else {},
            **texts,
        )

    # --- logged models

    def models(self, experiments: Sequence[SourceExperiment], refuse: Refusal) -> Iterable[SourceModel]:
        """See `Source`."""
        for experiment in experiments:
            for folder in self._reader.folders(self._places[experiment.id] / MODELS):
                try:
                    model = self._model(folder, experiment)
                except BROKEN as error:
                    refuse(f"{experiment.id}/models/{folder.name}", reason(error))
                else:
                    yield model

    def _model(self, folder: Path, experiment: SourceExperiment) -> SourceModel:
        meta = self._reader.need(folder)
        self._places[f"model {folder.name}"] = folder
        return SourceModel(
            id=folder.name,
            experiment_id=experiment.id,
            name=str(meta.get("name") or "model"),
            artifact_uri=str(meta.get("artifact_location") or ""),
            created=self._time(folder, meta, "creation_timestamp") or 0,
            updated=self._time(folder, meta, "last_updated_timestamp") or 0,
            status=MODEL_STATUSES.get(int(meta.get("status", 2)), str(meta.get("status"))),
            type=None if meta.get("model_type") is None else str(meta["model_type"]),
            run_id=None if meta.get("source_run_id") is None else str(meta["source_run_id"]),
            is_deleted=meta.get("lifecycle_stage") == "deleted" or experiment.is_deleted,
            tags=self._reader.texts(folder / "tags"),
            params=self._reader.texts(folder / "params"),
            points=list(self._reader.model_points(folder)),
        )

    # --- the registry

    def registered(self, refuse: Refusal) -> Sequence[SourceRegistered]:
        """See `Source`."""
        found = []
        for folder in self._reader.folders(self._registry):
            try:
                meta = self._reader.find(folder)
                if meta is not None:
                    found.append(self._registered_model(folder, meta, refuse))
            except BROKEN as error:
                refuse(folder.name, reason(error))
        self._reader.tell(refuse, self._registry)
        return found

    def _registered_model(self, folder: Path, meta: Document, refuse: Refusal) -> SourceRegistered:
        versions = []
        for each in self._reader.folders(folder):
            match = re.fullmatch(r"version-([1-9][0-9]{0,17})", each.name)
            if match is None:
                continue
            try:
                versions.append(self._version(each, int(match[1])))
            except BROKEN as error:
                refuse(f"{folder.name} version {match[1]}", reason(error))
        aliases = {
            key: int(text) for key, text in self._reader.texts(folder / "aliases").items() if text.strip().isdecimal()
        }
        return SourceRegistered(
            name=str(meta.get("name") or folder.name),
            description=None if meta.get("description") is None else str(meta["description"]),
            created=self._time(folder, meta, "creation_timestamp"),
            tags=self._reader.texts(folder / "tags"),
            aliases=aliases,
            versions=sorted(versions, key=lambda each: each.number),
        )

    def _version(self, folder: Path, number: int) -> SourceVersion:
        meta = self._reader.need(folder)
        texts = {
            key: None if meta.get(key) in (None, "") else str(meta[key])
            for key in ("description", "run_id", "run_link")
        }
        return SourceVersion(
            number=number,
            created=self._time(folder, meta, "creation_timestamp"),
            user=str(meta.get("user_id") or "") or None,
            stage=str(meta.get("current_stage") or "None"),
            source=str(meta.get("source") or ""),
            location=None if meta.get("storage_location") is None else str(meta["storage_location"]),
            model_id=None if meta.get("model_id") is None else str(meta["model_id"]),
            tags=self._reader.texts(folder / "tags"),
            **texts,
        )

    # --- files

    def run_files(self, run: SourceRun, refuse: Refusal) -> Iterable[IncomingFile]:
        """See `Source`."""
        return self._files(self._places.get(f"run {run.id}"), run.artifact_uri, refuse)

    def model_files(self, model: SourceModel, refuse: Refusal) -> Iterable[IncomingFile]:
        """See `Source`."""
        return self._files(self._places.get(f"model {model.id}"), model.artifact_uri, refuse)

    def place_files(self, uri: str, refuse: Refusal) -> Iterable[IncomingFile]:
        """See `Source`."""
        return self._artifacts.files(uri, refuse)

    def _files(self, folder: Path | None, uri: str, refuse: Refusal) -> Iterable[IncomingFile]:
        own = None if folder is None else folder / "artifacts"
        if own is not None and own.is_dir():  # whatever path its record names: the folder may have been moved
            return local_files(self._artifacts.check(own), refuse)
        return self._artifacts.files(uri, refuse)

    def left_out(self) -> Iterable[tuple[str, int]]:
        """See `Source`."""
        traces = sum(1 for each in self._experiments for _ in self._reader.folders(self._places[each.id] / TRACES))
        return [("traces", traces)]

    def close(self) -> None:
        """See `Source`."""


def _old_tags(meta: Document) -> dict[str, str]:
    """What MLflow before 1.0 kept in a run's own record, as the tags of today."""
    found: dict[str, Any] = {
        "mlflow.source.name": meta.get("source_name"),
        "mlflow.source.git.commit": meta.get("source_version"),
        "mlflow.project.entryPoint": meta.get("entry_point_name"),
    }
    return {key: str(value) for key, value in found.items() if value}


def _raise(what: str, why: str) -> None:
    raise RunstoneError(f"Nothing of it can be read. {what}: {why}")


def _plain(name: str) -> str:
    """The name of a folder, of what should be one."""
    return name if re.fullmatch(r"[\w.-]+", name) and name not in (".", "..") else "-"
