"""Registered models and their versions as rows of tables and as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.output import Column, Form, emit, emit_json, format_iso, split_columns

if TYPE_CHECKING:
    from runstone.registry.model import RegisteredModel
    from runstone.registry.version import ModelVersion

MODEL_COLUMNS = {
    "name": Column("name"),
    "latest": Column("latest", "number"),
    "stages": Column("stages"),
    "aliases": Column("aliases"),
    "updated": Column("updated", "age"),
    "created": Column("created", "time"),
    "tags": Column("tags"),
    "owners": Column("owners"),
    "description": Column("description"),
}
VERSION_COLUMNS = {
    "model": Column("model"),
    "version": Column("version", "number"),
    "stage": Column("stage"),
    "aliases": Column("aliases"),
    "created": Column("created", "age"),
    "run": Column("run", "id"),
    "path": Column("path"),
    "flavors": Column("flavors"),
    "size": Column("size", "size"),
    "user": Column("user"),
    "digest": Column("digest"),
    "commit": Column("commit"),
    "source": Column("source"),
    "tags": Column("tags"),
    "description": Column("description"),
}
USUAL_MODEL = ("name", "latest", "stages", "aliases", "updated", "description")
USUAL_VERSION = ("model", "version", "stage", "aliases", "created", "run", "path", "description")


def chosen(given: Sequence[str], usual: Sequence[str], known: dict[str, Column], noun: str) -> list[str]:
    """The columns to show; raises `click.UsageError` for one that is not known."""
    names, is_added = split_columns(given)
    for name in names:
        if name not in known:
            raise click.UsageError(f"{noun} have no column {name!r}. There are: {', '.join(known)}.")
    return [*usual, *names] if is_added or not names else names


def model_values(model: "RegisteredModel") -> dict[str, Any]:
    """A model as columns hold it."""
    stages = sorted((each.current_stage, each.version) for each in model.latest_versions)
    return {
        "name": model.name,
        "latest": model.latest_versions[0].version if model.latest_versions else None,
        "stages": ", ".join(f"{stage}={number}" for stage, number in stages if stage != "None") or None,
        "aliases": ", ".join(f"{alias}={number}" for alias, number in sorted(model.aliases.items())) or None,
        "updated": model.last_updated_timestamp,
        "created": model.creation_timestamp,
        "tags": _pairs(model.tags),
        "owners": ", ".join(model.owners) or None,
        "description": _line(model.description),
    }


def model_row(model: "RegisteredModel") -> dict[str, Any]:
    """A model as the columns of a list are in JSON: what is more than one is a map or a list."""
    values = model_values(model)
    return values | {
        "stages": {
            each.current_stage: each.version
            for each in sorted(model.latest_versions, key=lambda version: version.current_stage)
            if each.current_stage != "None"
        },
        "aliases": dict(sorted(model.aliases.items())),
        "tags": model.tags,
        "owners": list(model.owners),
        "description": model.description,
        **{name: None if values[name] is None else format_iso(values[name]) for name in ("created", "updated")},
    }


def model_document(model: "RegisteredModel") -> dict[str, Any]:
    """A model as JSON."""
    created, updated = model.creation_timestamp, model.last_updated_timestamp
    return {
        "name": model.name,
        "key": model.key,
        "description": model.description,
        "tags": model.tags,
        "owners": list(model.owners),
        "created": None if created is None else format_iso(created),
        "updated": None if updated is None else format_iso(updated),
        "aliases": model.aliases,
    }


def version_values(version: "ModelVersion") -> dict[str, Any]:
    """A version as columns hold it."""
    return {
        "model": version.name,
        "version": version.version,
        "stage": None if version.current_stage == "None" else version.current_stage,
        "aliases": ", ".join(version.aliases) or None,
        "created": version.creation_timestamp,
        "run": version.run_id,
        "path": version.path,
        "flavors": ", ".join(version.flavors),
        "size": version.size,
        "user": version.user_id,
        "digest": version.digest,
        "commit": version.commit,
        "source": version.source,
        "tags": _pairs(version.tags),
        "description": _line(version.description),
    }


def version_document(version: "ModelVersion") -> dict[str, Any]:
    """A version as JSON."""
    created = version.creation_timestamp
    return version_values(version) | {
        "aliases": list(version.aliases),
        "flavors": list(version.flavors),
        "created": None if created is None else format_iso(created),
        "signature": version.signature,
        "tags": version.tags,
        "description": version.description,
        "copied_from": version.copied_from,
    }


def print_versions(found: "Sequence[ModelVersion]", columns: Sequence[str], form: Form) -> None:
    """Versions as the form says; in JSON what is more than one is a map or a list."""
    if form == "json":
        documents = map(version_document, found)
        emit_json([{name: document[name] for name in columns} for document in documents])
        return
    rows = [[values[name] for name in columns] for values in map(version_values, found)]
    emit([VERSION_COLUMNS[name] for name in columns], rows, form, empty="There are no such versions.")


def _pairs(tags: dict[str, str]) -> str | None:
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items())) or None


def _line(text: str | None) -> str | None:
    """The first line of a text."""
    lines = (text or "").strip().splitlines()
    return None if not lines else lines[0] if len(lines) == 1 else f"{lines[0]} …"
