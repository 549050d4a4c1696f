"""What a filter can speak of: the fields of runs, experiments and models, by every name MLflow users write.

A vocabulary is one table of attributes. The entities (`params.`, `metrics.` …) are the same everywhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from runstone.errors import FilterInvalid

Entity = Literal["attribute", "param", "metric", "tag", "dataset"]
Kind = Literal["text", "number", "time", "flag", "param"]
Part = Literal["last", "min", "max", "count", "step", "latest"]

PARTS: tuple[Part, ...] = ("last", "min", "max", "count", "step")
"""What may be asked of a metric, as `min(metrics.loss)`; bare `metrics.loss` is the last value. `latest`, which is what
MLflow takes for the last, is for the plug-in alone."""

_ENTITIES: dict[str, Entity] = {
    "attribute": "attribute",
    "attributes": "attribute",
    "attr": "attribute",
    "run": "attribute",
    "param": "param",
    "params": "param",
    "parameter": "param",
    "parameters": "param",
    "metric": "metric",
    "metrics": "metric",
    "tag": "tag",
    "tags": "tag",
    "dataset": "dataset",
    "datasets": "dataset",
}
_PLURAL: dict[Entity, str] = {
    "attribute": "attributes",
    "param": "params",
    "metric": "metrics",
    "tag": "tags",
    "dataset": "dataset",
}
_DATASET_KEYS = {"name": "name", "digest": "digest", "context": "context", "role": "context"}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its name here, what it holds, and its other names."""

    name: str
    kind: Kind = "text"
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """What one side of a comparison speaks of.

    Attributes:
        entity: Where the value lies.
        key: The attribute's own name, or the key of the param, metric or tag.
        kind: What it can be compared with.
        part: Of a metric, which number of its summary.
        text: As it was written, for messages.
        at: Where it was written.
        expression: Of an attribute that only the caller knows, the SQL that gives it, over the table of runs as `r`.
    """

    entity: Entity
    key: str
    kind: Kind
    part: Part = "last"
    text: str = ""
    at: int = 0
    expression: str | None = None


class Vocabulary:
    """The attributes of one kind of thing, and the entities that it has."""

    def __init__(
        self,
        noun: str,
        attributes: tuple[Attribute, ...],
        entities: tuple[Entity, ...],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.noun = noun
        self.attributes = {attribute.name: attribute for attribute in attributes}
        self.entities = entities
        self._names = {alias: a for a in attributes for alias in (a.name, *a.aliases)}
        self._tags = {tag: self.attributes[name] for tag, name in (tags or {}).items()}

    def field(
        self, entity: str | None, key: str, part: str | None, *, text: str, at: int, kind: str, whole: str
    ) -> Field:
        """The field that `entity.key` means, or raise `FilterInvalid`.

        Args:
            entity: What stands before the first dot; None for a bare attribute.
            key: What stands after it.
            part: `min` of `min(metrics.x)`; None without such a function.
            text: The field as written.
            at: Where it stands in `whole`.
            kind: `filter` or `order`, for messages.
            whole: The text that is read.
        """
        name = _ENTITIES.get(entity.lower()) if entity is not None else "attribute"
        allowed = ", ".join(f"`{_PLURAL[e]}.`" for e in self.entities)
        if name is None or name not in self.entities:
            problem = f"{self.noun} have no `{entity}.`"
            known_entities = {_PLURAL[e]: e for e in self.entities}
            next_step = _nearest(entity or "", known_entities, f"Begin with {allowed}.")
            raise FilterInvalid(kind, whole, at, problem, next_step)
        if part is not None and name != "metric":
            problem = f"`{part.lower()}(…)` is for metrics, and `{text}` is none"
            raise FilterInvalid(kind, whole, at, problem, f"Write `{part.lower()}(metrics.loss)`.")
        if name == "attribute":
            found = self._names.get(key.lower().replace(" ", "_"))
            if found is None and entity is None and key.lower() in _ENTITIES:
                problem = f"`{key}` is followed by no name"
                raise FilterInvalid(kind, whole, at, problem, f"Write `{key}.` and the name behind it.")
            if found is None:
                known = f"Attributes: {', '.join(self.attributes)}. Others: `params.{key}`, `metrics.{key}` …"
                if self.entities == ("attribute", "tag"):
                    known = f"Attributes: {', '.join(self.attributes)}; and tags: `tags.{key}`."
                problem = f"{self.noun} have no attribute `{key}`"
                raise FilterInvalid(kind, whole, at, problem, _nearest(key, self._names, known), unknown=key)
            return Field("attribute", found.name, found.kind, "last", text, at)
        if name == "dataset":
            if key.lower() not in _DATASET_KEYS:
                problem = f"datasets have no `{key}`"
                raise FilterInvalid(kind, whole, at, problem, "Write dataset.name, dataset.digest or dataset.context.")
            return Field("dataset", _DATASET_KEYS[key.lower()], "text", "last", text, at)
        if name == "tag" and key in self._tags:
            meant = self._tags[key]
            return Field("attribute", meant.name, meant.kind, "last", text, at)
        if name == "metric":
            chosen: Part = next((p for p in PARTS if p == (part or "").lower()), "last")
            return Field("metric", key, "number", chosen, text, at)
        return Field(name, key, "param" if name == "param" else "text", "last", text, at)


def key_field(entity: Entity, key: str) -> str:
    """A metric, param or tag as filters name it, in quotes where its key needs them."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", key):
        return f"{_PLURAL[entity]}.{key}"
    escaped = key.replace('"', '""')
    return f'{_PLURAL[entity]}."{escaped}"'


def _nearest(word: str, known: Mapping[str, object], otherwise: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), known, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}? {otherwise}" if near else otherwise


RUNS = Vocabulary(
    "runs",
    (
        Attribute("run_id", aliases=("id",)),
        Attribute("run_name", aliases=("name",)),
        Attribute("status"),
        Attribute("user_id", aliases=("user",)),
        Attribute("start_time", "time", ("created", "started")),
        Attribute("end_time", "time", ("ended",)),
        Attribute("duration", "number"),  # in seconds
        Attribute("artifact_uri"),
        Attribute("experiment_id"),
        Attribute("experiment_name", aliases=("experiment",)),
        Attribute("lifecycle_stage", aliases=("lifecycle",)),
        Attribute("parent", aliases=("parent_run_id", "parent_id")),
        Attribute("rerun_of"),
        Attribute("commit"),
        Attribute("branch"),
        Attribute("snapshot"),
        Attribute("dirty", "flag"),
        Attribute("command"),
    ),
    ("attribute", "param", "metric", "tag", "dataset"),
    {
        "mlflow.runName": "run_name",
        "mlflow.user": "user_id",
        "mlflow.parentRunId": "parent",
        "mlflow.source.git.commit": "commit",
        "mlflow.source.git.branch": "branch",
    },
)
EXPERIMENTS = Vocabulary(
    "experiments",
    (
        Attribute("name", aliases=("experiment_name",)),
        Attribute("experiment_id", aliases=("id",)),
        Attribute("creation_time", "time", ("created",)),
        Attribute("last_update_time", "time"),
        Attribute("description"),
        Attribute("lifecycle_stage", aliases=("lifecycle",)),
    ),
    ("attribute", "tag"),
)
MODEL_VERSIONS = Vocabulary(
    "model versions",
    (
        Attribute("name"),
        Attribute("version", "number", ("version_number",)),
        Attribute("run_id"),
        Attribute("source_path", aliases=("source",)),
        Attribute("description"),
        Attribute("alias", aliases=("aliases",)),
        Attribute("stage", aliases=("current_stage",)),
        Attribute("user_id", aliases=("user",)),
        Attribute("creation_timestamp", "time", ("creation_time", "created")),
        Attribute("last_updated_timestamp", "time", ("last_update_time",)),
    ),
    ("attribute", "tag"),
)
REGISTERED_MODELS = Vocabulary(
    "registered models",
    (
        Attribute("name"),
        Attribute("description"),
        Attribute("alias", aliases=("aliases",)),
        Attribute("creation_timestamp", "time", ("creation_time", "created")),
        Attribute("last_updated_timestamp", "time", ("timestamp", "last_update_time")),
    ),
    ("attribute", "tag"),
)
