"""MLflow's logged models as records: a model reference of a run, with what only MLflow asks for under `logged_model`.

The id `m-<run id>-<n>` says which run holds the model, so that nothing is searched for it.
"""

import json
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runstone.artifacts.descriptor import Descriptor, check_artifact_path
from runstone.artifacts.store import below
from runstone.errors import InvalidModelFolder, InvalidName, RecordInvalid, RunNotFound
from runstone.flavors import mlmodel
from runstone.index.contents import Held, runs_that_hold
from runstone.index.documents import get_row
from runstone.mlflow_plugin.entities import MADE_FOR_MODEL
from runstone.names import check_run_id
from runstone.records.document import Document, Reader, format_time
from runstone.records.model import ModelReference

if TYPE_CHECKING:
    from runstone.tracking.workspace import Workspace

KEY = "logged_model"
"""The key of a model reference."""

PENDING, READY = "PENDING", "READY"
STATUSES = (READY, PENDING, "FAILED", "UNSPECIFIED")

_ID = re.compile(r"m-(?P<run>[a-z0-9._-]+)-[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """What MLflow keeps of a logged model beside its files.

    Attributes:
        id: MLflow's id.
        created: Unix milliseconds.
        updated: Unix milliseconds.
        name: What people call it, where that is not the folder's path.
        status: PENDING, READY, FAILED or UNSPECIFIED.
        type: MLflow's model type.
        source_run: The run that MLflow names as its source, where that is another one than the run that holds it.
        tags: Text to text.
        params: Text to text.
        evaluated_by: Other runs whose metrics were measured of it.
        lifecycle: `active`, `deleted`, or `removed` for good.
        extra: Keys of a newer version, carried through.
    """

    id: str
    created: int
    updated: int
    name: str | None = None
    status: str = PENDING
    type: str | None = None
    source_run: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    evaluated_by: tuple[str, ...] = ()
    lifecycle: str = "active"
    extra: Document = field(default_factory=dict)

    def to_document(self) -> Document:
        """As the record's YAML holds it; the id comes first, and what is not known is left out."""
        document: Document = {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "type": self.type,
            "created": format_time(self.created),
            "updated": format_time(self.updated),
            "source_run": self.source_run,
            "tags": dict(self.tags) or None,
            "params": dict(self.params) or None,
            "evaluated_by": list(self.evaluated_by) or None,
            "lifecycle": self.lifecycle if self.lifecycle != "active" else None,
        }
        return {key: value for key, value in document.items() if value is not None} | self.extra

    @classmethod
    def of(cls, reference: ModelReference) -> "LoggedModel | None":
        """What a reference says of itself as a logged model; None if it is none. Raises `RecordInvalid`."""
        document = reference.extra.get(KEY)
        if document is None:
            return None
        reader = Reader(document, "run.yaml", f"models.{reference.path}.{KEY}")
        return cls(
            id=reader.need("id", str),
            created=reader.take_time("created") or 0,
            updated=reader.take_time("updated") or 0,
            name=reader.take("name", str),
            status=reader.take_choice("status", STATUSES),
            type=reader.take("type", str),
            source_run=reader.take("source_run", str),
            tags=reader.take_text_map("tags"),
            params=reader.take_text_map("params"),
            evaluated_by=reader.take_texts("evaluated_by"),
            lifecycle=reader.take("lifecycle", str) or "active",
            extra=reader.extra(),
        )

    def within(self, reference: ModelReference) -> ModelReference:
        """The reference with this as what MLflow keeps of it."""
        return reference._replace(extra={**reference.extra, KEY: self.to_document()})


class Found(NamedTuple):
    """A logged model.

    Attributes:
        run: The run that holds it.
        reference: Its reference there.
        model: What MLflow keeps of it.
    """

    run: Held
    reference: ModelReference
    model: LoggedModel

    @property
    def has_own_run(self) -> bool:
        """Whether its run was made for it."""
        return MADE_FOR_MODEL in (self.run.document.get("tags") or {})

    @property
    def source_run_id(self) -> str | None:
        """The run that MLflow names as its source; None if no run logged it."""
        return self.model.source_run or (None if self.has_own_run else self.run.run_id)


def find_model(workspace: "Workspace", model_id: str) -> Found | None:
    """A logged model by its id; None if there is none."""
    match = _ID.fullmatch(model_id)
    if match is not None:
        try:
            row = get_row(workspace.repo, check_run_id(match["run"]))
            found = _among(Held(row.run_id, row.experiment_id, row.document), model_id)
        except (InvalidName, RunNotFound):
            found = None
        if found is not None:
            return found
    # One that was imported keeps the id it had.
    for run in runs_that_hold(workspace.repo, json.dumps(model_id)):
        found = _among(run, model_id)
        if found is not None:
            return found
    return None


def list_models(workspace: "Workspace", experiment_ids: Sequence[str] | None) -> Iterator[Found]:
    """The logged models of some experiments, or of all, in the order in which their runs began."""
    for run in runs_that_hold(workspace.repo, f'"{KEY}":', experiment_ids):
        yield from _in(run)


def models_of(references: Iterable[ModelReference]) -> list[tuple[ModelReference, LoggedModel]]:
    """The logged models among references, without those that were removed for good, or that are badly described.

    Another's push may hold anything: one bad record must not take the others out of every search.
    """
    found = []
    for reference in references:
        try:
            model = LoggedModel.of(reference)
        except RecordInvalid:
            continue
        if model is not None and model.lifecycle != "removed":
            found.append((reference, model))
    return found


def is_pending(reference: ModelReference) -> bool:
    """Whether it is a logged model whose files are not all there yet."""
    return any(model.status == PENDING for _, model in models_of([reference]))


def new_id(run_id: str, references: Collection[ModelReference]) -> str:
    """An id that no model of the run has had."""
    told = [reference.extra.get(KEY) for reference in references]
    taken = {str(document.get("id")) for document in told if isinstance(document, dict)}
    number = len(taken) + 1
    while f"m-{run_id}-{number}" in taken:
        number += 1
    return f"m-{run_id}-{number}"


def free_path(name: str, taken: Iterable[str]) -> str:
    """A folder among a run's artifacts for a model of this name, which neither a model nor a file of the run has."""
    tops = {path.split("/")[0] for path in taken}
    try:
        path = check_artifact_path(name)
    except InvalidName:
        path = "model"
    number = 1
    while path in tops:
        number += 1
        path = f"{name}-{number}" if path != "model" else f"model-{number}"
    return path


def described(workspace: "Workspace", reference: ModelReference, artifacts: Iterable[Descriptor]) -> ModelReference:
    """The reference anew: digest and size of its files among a run's artifacts, flavors and signature of its MLmodel.

    A folder without a readable MLmodel has no flavors.
    """
    path = reference.path
    files = [entry for entry in below(artifacts, path) if entry.path != path]
    inside = [replace(entry, path=entry.path[len(path) + 1 :]) for entry in files]
    unknown = [entry.md5 for entry in inside if entry.size is None and not workspace.artifacts.cache.has(entry.md5)]
    if unknown:
        workspace.artifacts.pull(unknown)
    digest, size = workspace.artifacts.folder_digest(inside)
    flavors, signature = _describe(workspace, next((e for e in inside if e.path == mlmodel.FILE), None))
    return reference._replace(flavors=flavors, digest=f"md5:{digest}", size=size, signature=signature)


def _describe(workspace: "Workspace", entry: Descriptor | None) -> tuple[tuple[str, ...], Document | None]:
    if entry is None or (entry.size or 0) > mlmodel.MAX_SIZE:
        return (), None
    with tempfile.TemporaryDirectory(prefix="runstone-") as folder:
        Path(folder, mlmodel.FILE).write_bytes(workspace.artifacts.read(entry))
        try:
            return mlmodel.describe(Path(folder))
        except InvalidModelFolder:
            return (), None


def _in(run: Held) -> Iterator[Found]:
    documents = run.document.get("models") or ()
    references = (ModelReference.from_document(each, f"run.yaml of {run.run_id}", "models") for each in documents)
    return (Found(run, reference, model) for reference, model in models_of(references))


def _among(run: Held, model_id: str) -> Found | None:
    return next((found for found in _in(run) if found.model.id == model_id), None)
