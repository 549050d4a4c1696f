"""What happened to the registry as typed events, for programs that wait for them.

Names and payloads are those of MLflow's webhooks wherever MLflow has the event, so that its receivers understand ours;
the rest is in the same style: `<entity>.<action>`, and a payload of plain texts in which a version is its number as
text. What is ours alone stands beside the payload, under `runstone`.

Events are a pure function of commits and tags: whoever computes them again gets the same ones, with the same ids.

Source: MLflow 3.17, `mlflow.entities.webhook` and `mlflow.webhooks.types`.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runstone import names
from runstone.git.repository import Repository
from runstone.records.document import format_time
from runstone.records.registration import Registration
from runstone.records.version_notes import VersionNotes
from runstone.registry.changes import (
    AliasChange,
    CardChange,
    Change,
    ModelChange,
    NotesChange,
    PolicyChange,
    RegistrationChange,
    StageChange,
)
from runstone.registry.history.entry import Entry
from runstone.registry.history.tags import VersionTag, read_version_tag

_NAMESPACE = uuid.UUID("5d0a3c2e-6a0e-5c43-9d52-3f5a7f0c8b11")

NAMES = (
    "registered_model.created",
    "registered_model.updated",
    "registered_model.renamed",
    "registered_model.deleted",
    "registered_model_tag.set",
    "registered_model_tag.deleted",
    "model_version.created",
    "model_version.updated",
    "model_version.deleted",
    "model_version.restored",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_stage.set",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "registration.created",
    "registration.updated",
    "registration.deleted",
    "model_card.created",
    "model_card.updated",
    "model_card.deleted",
    "policy.created",
    "policy.updated",
    "policy.deleted",
)
"""Every event there is."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        entity: What it is about: `registered_model`, `model_version`, `model_version_alias` …
        action: What happened to it: `created`, `set`, `deleted` …
        time: When it came onto the default branch, or the git tag was made; Unix milliseconds.
        data: MLflow's payload.
        origin: What is ours: the commit or git tag, who proposed, merged and approved it, and what was so before.
    """

    entity: str
    action: str
    time: int
    data: Mapping[str, Any]
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`model_version.created`."""
        return f"{self.entity}.{self.action}"

    @property
    def id(self) -> str:
        """The same for the same event, however often it is computed: receivers can tell a repetition."""
        facts = [self.name, dict(self.data), self.origin.get("commit"), self.origin.get("object")]
        return str(uuid.uuid5(_NAMESPACE, json.dumps(facts, sort_keys=True)))

    def to_document(self) -> dict[str, Any]:
        """The event as it is sent."""
        return {
            "entity": self.entity,
            "action": self.action,
            "timestamp": format_time(self.time).replace("Z", "+00:00"),  # as Python before 3.11 reads it, too
            "data": dict(self.data),
            "runstone": {"id": self.id, **self.origin},
        }


def of_entries(repo: Repository, entries: Iterable[Entry]) -> Iterator[Event]:
    """The events of commits of the default branch, in their order."""
    for entry in entries:
        origin = {
            "commit": entry.commit,
            "proposed_by": [str(person) for person in entry.proposers],
            "merged_by": str(entry.merger) if entry.merger is not None else None,
            "approved_by": [str(approver.person) for approver in entry.approvers],
            "request": entry.request,
            "bypass": entry.bypass,
        }
        for change in entry.changes:
            yield from of_change(repo, change, entry.time, origin)


def of_change(repo: Repository, change: Change, time: int, origin: Mapping[str, Any]) -> Iterator[Event]:
    """The events of one change: one, or one for each tag that was set or deleted.

    Args:
        repo: The repository: what the git tag of a version says is what its notes change.
        change: The change.
        time: When; Unix milliseconds.
        origin: What is known of where it came from.
    """
    name = change.model

    def event(kind: str, data: Mapping[str, Any], **more: Any) -> Event:
        entity, _, action = kind.partition(".")
        return Event(entity, action, time, data, {**origin, **more})

    match change:
        case StageChange(version=version, before=before, after=after):
            data = {"name": name, "version": str(version), "stage": after}
            yield event("model_version_stage.set", data, previous_stage=before)
        case AliasChange(alias=alias, after=None):
            yield event("model_version_alias.deleted", {"name": name, "alias": alias})
        case AliasChange(alias=alias, before=old, after=new):
            data = {"name": name, "alias": alias, "version": str(new)}
            yield event("model_version_alias.created", data, previous_version=None if old is None else str(old))
        case ModelChange():
            yield from (event(kind, data, **more) for kind, data, more in _of_model(repo, change, time))
        case NotesChange(version=version):
            yield from (
                event(kind, data) for kind, data in _of_notes(repo, change, {"name": name, "version": str(version)})
            )
        case RegistrationChange(run=run, before=was, after=now):
            yield event(f"registration.{_verb(was, now)}", _request(name, run, now or was))
        case CardChange(before=a, after=b):
            yield event(f"model_card.{_verb(a, b)}", {"name": name})
        case PolicyChange(before=a, after=b):
            yield event(f"policy.{_verb(a, b)}", {"name": name or None})


def of_tag(tag: VersionTag, model: str) -> Event:
    """The event of a git tag that was made: a version was created, or retired.

    Args:
        tag: The tag.
        model: The model's present name.
    """
    origin = {"tag": tag.tag, "object": tag.oid, "commit": tag.commit, "registered_by": str(tag.tagger)}
    data: dict[str, Any] = {"name": model, "version": str(tag.version)}
    if tag.body is None:
        return Event("model_version", "deleted", tag.time, data, origin)
    data |= {
        "source": f"runs:/{tag.body.run}/{tag.body.path}",
        "run_id": tag.body.run,
        "tags": dict(tag.body.tags),
        "description": tag.body.description,
    }
    return Event("model_version", "created", tag.time, data, origin)


def _had_version(repo: Repository, key: str, time: int) -> bool:
    """Whether the model was there before its file, by its first version."""
    tag = read_version_tag(repo, f"{key}@v1")
    return tag is not None and tag.time <= time


def of_removed_tag(tag: str, old: str, time: int) -> Event | None:
    """The event of a git tag that was removed: a version went, or its retirement was taken back; None for others.

    Args:
        tag: Its name.
        old: The object that it named.
        time: When that was seen; Unix milliseconds.
    """
    parsed = names.parse_version_tag(tag)
    if parsed is None:
        return None
    key, version, is_retirement = parsed
    data = {"name": names.decode_component(key), "version": str(version)}
    action = "restored" if is_retirement else "deleted"
    return Event("model_version", action, time, data, {"tag": tag, "object": old, "removed": True})


def _of_model(repo: Repository, change: ModelChange, time: int) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    was, now, name = change.before, change.after, change.model
    if now is None:
        yield "registered_model.deleted", {"name": name}, {}
        return
    whole = {"name": name, "tags": dict(now.tags), "description": now.description}
    is_known = was is not None or _had_version(repo, change.key, time)
    if is_known and change.renamed is not None:
        yield "registered_model.renamed", {"name": name}, {"previous_name": change.renamed[0]}
    if was is None:
        is_more = bool(now.tags or now.description or now.owners)
        if not is_known or change.renamed is None or is_more:
            yield f"registered_model.{'updated' if is_known else 'created'}", whole, {}
        return
    for verb, data in _of_tags(was.tags, now.tags):
        yield f"registered_model_tag.{verb}", {"name": name, **data}, {}
    if (was.description, was.owners, was.extra) != (now.description, now.owners, now.extra):
        yield "registered_model.updated", whole, {}


def _of_notes(repo: Repository, change: NotesChange, version: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    was, now = (notes if notes is not None else _original(repo, change) for notes in (change.before, change.after))
    for verb, data in _of_tags(was.tags, now.tags):
        yield f"model_version_tag.{verb}", {**version, **data}
    if was.description != now.description:
        yield "model_version.updated", {**version, "description": now.description}


def _original(repo: Repository, change: NotesChange) -> VersionNotes:
    """What the git tag of a version says of it, which notes stand in place of."""
    tag = read_version_tag(repo, f"{change.key}@v{change.version}")
    return VersionNotes() if tag is None or tag.body is None else VersionNotes(tag.body.description, tag.body.tags)


def _of_tags(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    for key in sorted(was.keys() | now.keys()):
        if key not in now:
            yield "deleted", {"key": key}
        elif was.get(key) != now[key]:
            yield "set", {"key": key, "value": now[key]}


def _request(name: str, run: str, request: Registration | None) -> dict[str, Any]:
    assert request is not None
    return {
        "name": name,
        "source": f"runs:/{request.run}/{request.path}",
        "run_id": run,
        "tags": dict(request.tags),
        "description": request.description,
    }


def _verb(before: object, after: object) -> str:
    return "created" if before is None else "deleted" if after is None else "updated"
