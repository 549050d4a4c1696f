"""MLflow's file store: a folder `mlruns` as MLflow 1.x, 2.x and 3.x laid it out, deleted experiments in `.trash`."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from runstone.errors import RecordInvalid, RunstoneError
from runstone.imports.incoming import IncomingFile, Refusal, local_files
from runstone.imports.mlflow.artifacts import Artifacts
from runstone.imports.mlflow.source import (
    SourceDataset,
    SourceExperiment,
    SourceModel,
    SourceRegistered,
    SourceRun,
    SourceVersion,
    origin_of,
)
from runstone.records import yaml
from runstone.records.document import Document
from runstone.records.metric import Metric
from runstone.records.model_metric import ModelPoint

META, TRASH, REGISTRY, MODELS, DATASETS, TRACES = "meta.yaml", ".trash", "models", "models", "datasets", "traces"
STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
MODEL_STATUSES = {0: "UNSPECIFIED", 1: "PENDING", 2: "READY", 3: "FAILED"}
_MAX_TEXT = 16 * 1024 * 1024


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
        extra = [Path(root) for root in roots if "://" not in root]
        self._artifacts = Artifacts([folder, *extra], folder.absolute().parent, roots)
        self._places: dict[str, Path] = {}
        if not self._experiments and not any(self._registry.glob(f"*/{META}")):
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
            for folder in _folders(above):
                if above == self._folder and folder.name in (REGISTRY, TRASH):
                    continue
                meta = _meta(folder)
                if meta is None or folder.name in found:
                    continue
                self._places[folder.name] = folder
                found[folder.name] = SourceExperiment(
                    id=folder.name,
                    name=str(meta.get("name") or folder.name),
                    tags=_texts(folder / "tags"),
                    created=_whole(meta.get("creation_time")),
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
                    text = _read(folder / META)
                    started = re.search(r"^start_time: (\d{1,18})$", text, re.MULTILINE)
                    found.append((int(started[1]) if started else 0, folder, experiment))
                except (RunstoneError, OSError, ValueError) as error:
                    refuse(f"{experiment.id}/{folder.name}", str(error))
        for _, folder, experiment in sorted(found, key=lambda each: (each[0], each[1].name)):
            try:
                yield self._run(folder, experiment)
            except (RunstoneError, OSError, ValueError) as error:
                refuse(f"{experiment.id}/{folder.name}", str(error))

    def _run_folders(self, experiment: SourceExperiment) -> Iterator[Path]:
        for folder in _folders(self._places[experiment.id]):
            if folder.name not in (MODELS, DATASETS, TRACES, "tags") and (folder / META).is_file():
                yield folder

    def _run(self, folder: Path, experiment: SourceExperiment) -> SourceRun:
        meta = _need(folder)
        status = meta.get("status", 3)
        self._places[f"run {folder.name}"] = folder
        inputs = [_need(each) for each in _folders(folder / "inputs") if (each / META).is_file()]
        outputs = [_need(each) for each in _folders(folder / "outputs") if (each / META).is_file()]
        return SourceRun(
            id=folder.name,
            experiment_id=experiment.id,
            name=str(meta.get("run_name") or meta.get("name") or "") or None,
            user=str(meta.get("user_id") or "") or None,
            status=STATUSES.get(status, str(status)),
            started=_whole(meta.get("start_time")),
            ended=_whole(meta.get("end_time")),
            is_deleted=meta.get("lifecycle_stage") == "deleted" or experiment.is_deleted,
            deleted=_whole(meta.get("deleted_time")),
            artifact_uri=str(meta.get("artifact_uri") or ""),
            params=_texts(folder / "params"),
            tags=_old_tags(meta) | _texts(folder / "tags"),
            points=_points(folder / "metrics"),
            datasets=[self._dataset(experiment, each) for each in inputs if each.get("source_type") == "DATASET"],
            model_inputs=[str(each["source_id"]) for each in inputs if "MODEL" in str(each.get("destination_type"))],
            outputs=[
                (str(each["destination_id"]), int(each.get("step") or 0))
                for each in outputs
                if each.get("destination_type") == "MODEL_OUTPUT"
            ],
        )

    def _dataset(self, experiment: SourceExperiment, given: Document) -> SourceDataset:
        meta = _meta(self._places[experiment.id] / DATASETS / _plain(str(given.get("source_id")))) or {}
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
            for folder in _folders(self._places[experiment.id] / MODELS):
                try:
                    yield self._model(folder, experiment)
                except (RunstoneError, OSError, ValueError) as error:
                    refuse(f"{experiment.id}/models/{folder.name}", str(error))

    def _model(self, folder: Path, experiment: SourceExperiment) -> SourceModel:
        meta = _need(folder)
        self._places[f"model {folder.name}"] = folder
        return SourceModel(
            id=folder.name,
            experiment_id=experiment.id,
            name=str(meta.get("name") or "model"),
            artifact_uri=str(meta.get("artifact_location") or ""),
            created=_whole(meta.get("creation_timestamp")) or 0,
            updated=_whole(meta.get("last_updated_timestamp")) or 0,
            status=MODEL_STATUSES.get(meta.get("status", 2), str(meta.get("status"))),
            type=None if meta.get("model_type") is None else str(meta["model_type"]),
            run_id=None if meta.get("source_run_id") is None else str(meta["source_run_id"]),
            is_deleted=meta.get("lifecycle_stage") == "deleted" or experiment.is_deleted,
            tags=_texts(folder / "tags"),
            params=_texts(folder / "params"),
            points=list(_model_points(folder)),
        )

    # --- the registry

    def registered(self, refuse: Refusal) -> Sequence[SourceRegistered]:
        """See `Source`."""
        found = []
        for folder in _folders(self._registry):
            try:
                meta = _meta(folder)
                if meta is not None:
                    found.append(_registered(folder, meta, refuse))
            except (RunstoneError, OSError, ValueError) as error:
                refuse(folder.name, str(error))
        return found

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
            return local_files(own, refuse)
        return self._artifacts.files(uri, refuse)

    def left_out(self) -> Iterable[tuple[str, int]]:
        """See `Source`."""
        traces = sum(1 for each in self._experiments for _ in _folders(self._places[each.id] / TRACES))
        return [("traces", traces)]

    def close(self) -> None:
        """See `Source`."""


def _registered(folder: Path, meta: Document, refuse: Refusal) -> SourceRegistered:
    versions = []
    for each in _folders(folder):
        match = re.fullmatch(r"version-([1-9][0-9]{0,17})", each.name)
        if match is None:
            continue
        try:
            versions.append(_version(each, int(match[1])))
        except (RunstoneError, OSError, ValueError) as error:
            refuse(f"{folder.name} version {match[1]}", str(error))
    aliases = {key: int(text) for key, text in _texts(folder / "aliases").items() if text.strip().isdecimal()}
    return SourceRegistered(
        name=str(meta.get("name") or folder.name),
        description=None if meta.get("description") is None else str(meta["description"]),
        created=_whole(meta.get("creation_timestamp")),
        tags=_texts(folder / "tags"),
        aliases=aliases,
        versions=sorted(versions, key=lambda each: each.number),
    )


def _version(folder: Path, number: int) -> SourceVersion:
    meta = _need(folder)
    texts = {
        key: None if meta.get(key) in (None, "") else str(meta[key]) for key in ("description", "run_id", "run_link")
    }
    return SourceVersion(
        number=number,
        created=_whole(meta.get("creation_timestamp")),
        user=str(meta.get("user_id") or "") or None,
        stage=str(meta.get("current_stage") or "None"),
        source=str(meta.get("source") or ""),
        location=None if meta.get("storage_location") is None else str(meta["storage_location"]),
        model_id=None if meta.get("model_id") is None else str(meta["model_id"]),
        tags=_texts(folder / "tags"),
        **texts,
    )


# --- one file


def _folders(above: Path) -> list[Path]:
    try:
        return sorted(each for each in above.iterdir() if each.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(path: Path) -> str:
    if path.stat().st_size > _MAX_TEXT:
        raise RecordInvalid(str(path), f"it is larger than {_MAX_TEXT // 1024**2} MiB")
    return path.read_text(encoding="utf-8", errors="replace")


def _meta(folder: Path) -> Document | None:
    """What `meta.yaml` says; None where there is none, or it cannot be read."""
    with suppress(FileNotFoundError, RunstoneError):
        return _need(folder)
    return None


def _need(folder: Path) -> Document:
    path = folder / META
    document = yaml.load(_read(path), str(path))
    if not isinstance(document, dict):
        raise RecordInvalid(str(path), "it holds no map")
    return document


def _texts(folder: Path) -> dict[str, str]:
    """Params or tags: a file each, whose path below the folder is the key."""
    return {path.relative_to(folder).as_posix(): _read(path) for path in _leaves(folder)}


def _leaves(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(each for each in folder.rglob("*") if each.is_file() and not each.is_symlink())


def _points(folder: Path) -> Iterator[Metric]:
    """Lines of time, value and, since MLflow 1.0, step; a line that is torn is left out."""
    for path in _leaves(folder):
        key = path.relative_to(folder).as_posix()
        rows = [line.split(" ") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        try:
            points = [Metric(key, float(row[1]), int(row[0]), int(row[2])) for row in rows]
        except (ValueError, IndexError, OverflowError):
            points = list(filter(None, (_point(key, row) for row in rows)))
        yield from in_order(points)


def _point(key: str, row: Sequence[str]) -> Metric | None:
    try:
        return Metric(key, float(row[1]), int(row[0]), int(row[2]) if len(row) > 2 else 0)
    except (ValueError, IndexError, OverflowError):
        return None


def in_order(points: Iterable[Metric]) -> list[Metric]:
    """The points of one metric so that the last of a step is the one that MLflow calls its latest."""
    return sorted(points, key=lambda p: (p.timestamp, p.step, 0.0 if math.isnan(p.value) else p.value))


def _model_points(folder: Path) -> Iterator[tuple[str | None, ModelPoint]]:
    for path in _leaves(folder / "metrics"):
        key = path.relative_to(folder / "metrics").as_posix()
        for line in _read(path).splitlines():
            parts = line.split(" ")
            with suppress(ValueError, IndexError):
                dataset, digest = (parts[4], parts[5]) if len(parts) > 5 else (None, None)
                point = ModelPoint(folder.name, key, int(parts[2]), int(parts[0]), float(parts[1]), dataset, digest)
                yield parts[3] if len(parts) > 3 else None, point


def _old_tags(meta: Document) -> dict[str, str]:
    """What MLflow before 1.0 kept in a run's own record, as the tags of today."""
    found: dict[str, Any] = {
        "mlflow.source.name": meta.get("source_name"),
        "mlflow.source.git.commit": meta.get("source_version"),
        "mlflow.project.entryPoint": meta.get("entry_point_name"),
    }
    return {key: str(value) for key, value in found.items() if value}


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def _plain(name: str) -> str:
    """The name of a folder, of what should be one."""
    return name if re.fullmatch(r"[\w.-]+", name) and name not in (".", "..") else "-"
