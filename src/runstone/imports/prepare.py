"""A run that comes in, made into the files of its record: checked, redacted, its artifacts in the cache.

What cannot be recorded is left out and told; nothing here moves a ref. The digest says what the source had, so that the
same content is known again, whatever was changed here since.
"""

import errno
import hashlib
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runstone import names
from runstone.artifacts import pointer
from runstone.artifacts.descriptor import Descriptor, check_artifact_path
from runstone.errors import InvalidModelFolder, InvalidName, InvalidValue, RunstoneError
from runstone.flavors import mlmodel
from runstone.git.runs import layout
from runstone.imports.foreign import is_time
from runstone.imports.incoming import IMPORTED, NO_DIGEST, IncomingFile, IncomingRun, Unavailable
from runstone.imports.report import Report
from runstone.records import yaml
from runstone.records.metric import Metric, format_metrics, summarize
from runstone.records.model import ModelReference
from runstone.records.run import Run
from runstone.tracking import values
from runstone.tracking.secrets import SecretRedacted
from runstone.tracking.workspace import Workspace

EMPTY_FOLDER = "md5:d751713988987e9331980363e24189ce.dir"
"""The digest of a model that has no files, or none that are here."""

Known = Callable[[], Iterable[Descriptor]]
"""The artifacts that a run of this id has here already."""

_REDACTED = "it looks like a secret, and is recorded as [redacted]; see `secrets` in runstone.yaml"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is ready to be written.

    Attributes:
        run: The record, whole, under the id that it has at the source.
        origin: Where it is from.
        digest: Of what the source has.
        metrics: The text of `metrics.tsv`; empty without points.
        rows: `[path, size, md5]` of its artifacts.
        pointer: The text of `artifacts.dvc`; None without artifacts.
        notes: See `IncomingRun`.
        requirements: See `IncomingRun`.
    """

    run: Run
    origin: str
    digest: str
    metrics: str
    rows: Sequence[Sequence[Any]]
    pointer: str | None
    notes: str | None
    requirements: str | None

    @property
    def digests(self) -> list[str]:
        """The objects of the cache that it needs."""
        found = [str(row[2]) for row in self.rows]
        return [*found, pointer.parse_pointer(self.pointer, layout.ARTIFACTS).digest] if self.pointer else found

    @property
    def size(self) -> int:
        """Characters of its largest texts, to bound what is held in memory."""
        return len(self.metrics) + len(self.requirements or "") + sum(len(str(row[0])) + 64 for row in self.rows)


def safe_id(given: str) -> str:
    """The id that a run of another tracker gets: its own, or, where that cannot name a folder, a digest of it."""
    try:
        return names.check_run_id(given)
    except InvalidName:
        return hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def prepare(
    workspace: Workspace, incoming: IncomingRun, report: Report, known: Known, *, with_files: bool = True
) -> Prepared:
    """Check, redact and describe a run.

    Args:
        workspace: The repository.
        incoming: The run.
        report: Told of what is left out.
        known: The artifacts that the run has here already; asked only if a file's path and size are known beforehand.
        with_files: Whether its artifacts are brought.

    Writes:
        Artifacts, into the cache.
    """
    given = incoming.run
    told = f"run {given.id}"
    points = list(_points(incoming.points, told, report))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecretRedacted)  # told in the report instead
        cleaned = _clean(workspace, given, told, report)
        notes = _text(workspace, "notes", incoming.notes, told, report)
    rows = _files(workspace, incoming.artifacts, known, told, report) if with_files else []
    models = _models(workspace, cleaned.models, rows, told, report) if with_files else _without_files(cleaned.models)
    run = replace(
        cleaned,
        id=safe_id(given.id),
        metrics=summarize(points),
        models=tuple(models),
        environment=replace(
            cleaned.environment, requirements=layout.REQUIREMENTS if incoming.requirements is not None else None
        ),
    )
    text = workspace.artifacts.pointer(None, rows) if rows else None
    metrics = format_metrics(points) if points else ""
    digest = hashlib.sha256()
    for part in (yaml.dump(run.to_document()), metrics, text, notes, incoming.requirements):
        digest.update(b"-" if part is None else b"%d:" % len(part) + part.encode())
    mark = {"from": incoming.origin, "id": given.id, "digest": digest.hexdigest()[:32]}
    return Prepared(
        replace(run, extra={**run.extra, IMPORTED: mark}),
        incoming.origin,
        mark["digest"],
        metrics,
        rows,
        text,
        notes,
        incoming.requirements,
    )


# --- texts


def _clean(workspace: Workspace, run: Run, told: str, report: Report) -> Run:
    size = 0

    def fits(kind: str, key: str, value: object) -> bool:
        nonlocal size
        size += len(str(value))
        if size > values.MAX_TEXT:
            report.miss(kind, f"{told}: {key}", f"a run holds at most {values.MAX_TEXT // 1024**2} MiB of text")
        return size <= values.MAX_TEXT

    params: dict[str, Any] = {}
    for key, value in run.params.items():
        with _Telling(report, "param", f"{told}: {key}"):
            found = values.param_value(names.check_key("param", key), value)
            kept = workspace.redactor.param(key, found)
            if kept != found and kept == kept:  # NaN is not what it is
                report.miss("param", f"{told}: {key}", _REDACTED, is_loss=False)
            if fits("param", key, kept):
                params[key] = kept
    tags: dict[str, str] = {}
    for key, value in run.tags.items():
        with _Telling(report, "tag", f"{told}: {key}"):
            text = values.tag_value(names.check_key("tag", key), value)
            kept = str(workspace.redactor.param(key, text))
            if kept != text:
                report.miss("tag", f"{told}: {key}", _REDACTED, is_loss=False)
            if fits("tag", key, kept):
                tags[key] = kept
    name = run.id[:8]
    with _Telling(report, "name", f"{told}: {run.name!r}"):
        name = workspace.redactor.text(names.check_name("run name", run.name))
    source = run.source
    if source.remote is not None:
        source = replace(source, remote=workspace.redactor.url(source.remote))
    started, ended = _times(run, told, report)
    user = run.user.encode("utf-8", "replace").decode()  # a commit may name its author in bytes that are not UTF-8
    run = replace(run, name=name, user=user, started=started, ended=ended)
    return replace(run, params=params, tags=tags, source=source, metrics={})


def _times(run: Run, told: str, report: Report) -> tuple[int, int | None]:
    """When a run began and ended; where one of them is of no possible year, it is the other."""
    for name, time in (("start", run.started), ("end", run.ended)):
        if time is not None and not is_time(time):
            report.miss("time", f"{told}: its {name}", "it is not in the years 1 to 9999")
    known = [time for time in (run.started, run.ended) if time is not None and is_time(time)]
    if not known:
        return 0, None if run.ended is None else 0
    return known[0], None if run.ended is None else known[-1]


def _text(workspace: Workspace, kind: str, text: str | None, told: str, report: Report) -> str | None:
    if not text:
        return None
    with _Telling(report, kind, told):
        return workspace.redactor.text(values.check_text(kind, kind, text), key=kind)
    return None


def _points(points: Iterable[Metric], told: str, report: Report) -> Iterable[Metric]:
    checked: dict[str, bool] = {}
    limit = values.MAX_INT
    for point in points:
        is_good = checked.get(point.key)
        if is_good is None:
            is_good = checked[point.key] = False
            with _Telling(report, "metric", f"{told}: {point.key}"):
                names.check_key("metric", point.key)
                is_good = checked[point.key] = True
        if is_good:
            if -limit <= point.step <= limit and -limit <= point.timestamp <= limit:
                yield point
            else:
                report.miss("metric", f"{told}: {point.key}", "a step or a time does not fit in 64 bits")


# --- files


def _files(
    workspace: Workspace, files: Iterable[IncomingFile], known: Known, told: str, report: Report
) -> list[list[Any]]:
    cache = workspace.artifacts.cache
    here: dict[str, Descriptor] | None = None
    near: list[tuple[Path, str]] = []
    rows: dict[str, list[Any]] = {}
    for path, file, size in files:
        with _Telling(report, "artifact", f"{told}: {path}"):
            check_artifact_path(path)
            if isinstance(file, Path):
                near.append((file, path))
                continue
            if size is not None:
                here = {entry.path: entry for entry in known()} if here is None else here
                entry = here.get(path)
                if entry is not None and entry.size == size:
                    rows[path] = [path, size, entry.md5]
                    continue
            with tempfile.TemporaryDirectory(prefix="runstone-") as folder:
                target = Path(folder, "file")
                file(target)
                md5, length = cache.add_file(target)
            rows[path] = [path, length, md5]
    try:
        rows |= {entry.path: [entry.path, entry.size, entry.md5] for entry in cache.add_files(near)}
    except (OSError, InvalidValue):  # one of them cannot be read: then one by one, to tell which
        for file, path in near:
            with _Telling(report, "artifact", f"{told}: {path}"):
                md5, length = cache.add_file(file)
                rows[path] = [path, length, md5]
    return [rows[path] for path in sorted(rows)]


def _models(
    workspace: Workspace, named: Sequence[ModelReference], rows: Sequence[Sequence[Any]], told: str, report: Report
) -> list[ModelReference]:
    """The models of a run: those named, described by their files; and each folder with an MLmodel that is in none."""
    entries = [Descriptor(*row) for row in rows]
    paths = {entry.path for entry in entries}
    found: dict[str, ModelReference] = {}
    for reference in named:
        with _Telling(report, "model", f"{told}: {reference.path}"):
            check_artifact_path(reference.path)
            known = reference.digest != NO_DIGEST
            found[reference.path] = reference if known else _described(workspace, reference, entries)
    for path in sorted(paths, key=lambda path: path.count("/")):
        folder, _, name = path.rpartition("/")
        if name != mlmodel.FILE or not folder:
            continue
        if not any(folder == path or folder.startswith(f"{path}/") for path in found):
            found[folder] = _described(workspace, ModelReference(folder, (), NO_DIGEST, 0), entries)
    return [found[path] for path in sorted(found)]


def _without_files(named: Sequence[ModelReference]) -> list[ModelReference]:
    """The models of which more is told than their files, which may come later."""
    return [each._replace(digest=EMPTY_FOLDER) if each.digest == NO_DIGEST else each for each in named if each.extra]


def _described(workspace: Workspace, reference: ModelReference, entries: Sequence[Descriptor]) -> ModelReference:
    start = f"{reference.path}/"
    inside = [replace(each, path=each.path.removeprefix(start)) for each in entries if each.path.startswith(start)]
    digest, size = workspace.artifacts.folder_digest(inside)
    described = reference._replace(digest=f"md5:{digest}", size=size)
    entry = next((each for each in inside if each.path == mlmodel.FILE), None)
    if entry is None or (entry.size or 0) > mlmodel.MAX_SIZE:
        return described
    with tempfile.TemporaryDirectory(prefix="runstone-") as folder:
        Path(folder, mlmodel.FILE).write_bytes(workspace.artifacts.read(entry))
        try:
            flavors, signature = mlmodel.describe(Path(folder))
        except InvalidModelFolder:
            return described
    return described._replace(flavors=flavors, signature=signature)


class _Telling:
    """Within it, what cannot be recorded is told and left out; what is wrong with the repository is raised."""

    def __init__(self, report: Report, kind: str, what: str) -> None:
        self._report, self._kind, self._what = report, kind, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, InvalidName | InvalidValue | Unavailable | OSError):
            return False
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return False
        why = error.why if isinstance(error, InvalidName) else getattr(error, "strerror", None) or str(error)
        self._report.miss(self._kind, self._what, re.sub(r"\s+", " ", str(why)) or type(error).__name__)
        return True


def code_of(workspace: Workspace, run: Run) -> str | None:
    """The commit of a run's code, where this repository has it."""
    from runstone.git.objects import is_object_id

    for commit in (run.source.snapshot, run.source.commit):
        if commit is not None and is_object_id(commit):
            try:
                return workspace.repo.objects.resolve(commit)
            except RunstoneError:
                return None
    return None
