"""One run as a page of text, and as a document."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.output import (
    Column,
    clean,
    emit,
    emit_facts,
    format_iso,
    format_size,
    format_value,
    heading,
    hint,
    styled_status,
)
from runstone.errors import RunstoneError

if TYPE_CHECKING:
    from runstone.cli.session import Session
    from runstone.records.model import ModelReference
    from runstone.records.run import Run

_FILES_SHOWN = 20


def run_document(run: "Run") -> dict[str, Any]:
    """The record as `run.yaml` holds it, and the id of its experiment."""
    return run.to_document() | {"experiment_id": run.experiment_id}


def print_run(session: "Session", run: "Run") -> None:
    """Print all there is to read of a run."""
    source, environment = run.source, run.environment
    took = (
        None if run.ended is None else f"{format_iso(run.ended)}  ({format_value(run.ended - run.started, 'duration')})"
    )
    code = None
    if source.commit:
        branch = f" on {source.branch}" if source.branch else ""
        edits = {True: ", with edits that were not committed", False: "", None: ""}[source.dirty]
        code = f"{source.commit[:12]}{branch}{edits}"
    emit_facts(
        [
            ("run", run.name),
            ("id", run.id),
            ("experiment", run.experiment),
            ("status", styled_status(run.status)),
            ("deleted", _deleted(run)),
            ("user", run.user),
            ("started", f"{format_iso(run.started)}  ({format_value(run.started, 'age')})"),
            ("ended", took),
            ("parent", run.parent),
            ("rerun of", run.rerun_of),
            ("attempts", len(run.attempts) or None),
            ("command", " ".join(_shell_word(word) for word in source.command)),
            ("directory", source.directory),
            ("notebook", source.notebook),
            ("commit", code),
            ("snapshot", (source.snapshot or "")[:12] if source.snapshot != source.commit else None),
            ("remote", source.remote),
            ("python", environment.python),
            ("platform", environment.platform),
        ]
    )
    _print_map("params", run.params)
    if run.metrics:
        heading("metrics")
        columns = [Column("name"), *(Column(part, "number") for part in ("last", "step", "min", "max", "count"))]
        rows = [(key, m.last, m.step, m.min, m.max, m.count) for key, m in run.metrics.items()]
        emit(columns, rows, "table")
    _print_map("tags", run.tags)
    if run.datasets:
        heading("datasets")
        rows_ = [(each.name, each.role, each.digest, each.path) for each in run.datasets]
        emit([Column("name"), Column("role"), Column("digest"), Column("path")], rows_, "table")
    if run.models:
        heading("models")
        models = [(each.path, _flavors_of(each), each.size, each.digest) for each in run.models]
        emit([Column("path"), Column("flavors"), Column("size", "size"), Column("digest")], models, "table")
    _print_list("left out of the snapshot", [f"{each.get('path')}: {each.get('reason')}" for each in source.left_out])
    _print_list("conflicts", run.conflicts)
    _print_list(
        "amendments",
        [
            f"{each.get('at')}  {each.get('by')}: {each.get('reason')} ({_joined(each.get('keys'))})"
            for each in run.amendments
        ],
    )
    _print_artifacts(session, run)
    note = session.client.get_note(run.id)
    if note:
        heading("notes")
        click.echo(clean(note.rstrip(), keep="\n\t"))


def _flavors_of(model: "ModelReference") -> str:
    """What can load a model; of one of MLflow's that has none since its files never came, that."""
    logged = model.extra.get("logged_model")
    status = logged.get("status") if isinstance(logged, Mapping) else None
    return ", ".join(model.flavors) or (f"({str(status).lower()})" if status in ("FAILED", "PENDING") else "")


def _print_map(title: str, values: Mapping[str, Any]) -> None:
    if values:
        heading(title)
        width = min(40, max(len(clean(key)) for key in values))
        for key, value in values.items():
            # A param keeps its type, so the text "1" is shown unlike the number 1.
            shown = f'"{clean(value)}"' if title == "params" and _looks_typed(value) else _whole(value)
            click.echo(f"  {clean(key).ljust(width)}  {shown}")


def _joined(keys: Any) -> str:
    return ", ".join(map(str, keys)) if isinstance(keys, list) else str(keys)


def _print_list(title: str, values: Sequence[Any]) -> None:
    if values:
        heading(title)
        for value in values:
            click.echo(f"  {clean(value)}")


def _print_artifacts(session: "Session", run: "Run") -> None:
    from runstone.tracking.read import read_artifacts

    try:
        entries = read_artifacts(session.workspace, run.id)
    except RunstoneError as error:  # the listing lies on a remote that is not there
        heading("artifacts")
        hint(f"The list of files is not here: {error}")
        return
    if not entries:
        return
    heading("artifacts")
    for entry in entries[:_FILES_SHOWN]:
        size = "" if entry.size is None else f"  {format_size(entry.size)}"
        click.echo(f"  {clean(entry.path)}{size}")
    if len(entries) > _FILES_SHOWN:
        hint(f"  … and {len(entries) - _FILES_SHOWN} more: `runstone artifacts list {run.id}`")


def _deleted(run: "Run") -> str | None:
    if run.lifecycle != "deleted":
        return None
    note = run.deleted or {}
    reason = f": {note['reason']}" if note.get("reason") else ""
    return f"{note.get('at', 'yes')}{reason}"


def _looks_typed(value: Any) -> bool:
    from runstone.records.scalar import parse_scalar

    return isinstance(value, str) and parse_scalar(value) != value


def _whole(value: Any) -> str:
    return repr(value) if isinstance(value, float) else format_value(value)


def _shell_word(word: str) -> str:
    from shlex import quote

    return quote(word)
