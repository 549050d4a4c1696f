"""Experiments: a name for runs that belong together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runstone.records.document import Document, Reader, format_time
from runstone.records.upgrade import check_format

SCHEMA = "runstone/experiment/v1"


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment.

    Attributes:
        experiment_id: The folder, a function of the first name (`names.experiment_id`).
        name: The present name.
        creation_time: Unix milliseconds; None if the record does not say.
        description: Free text.
        tags: Text to text.
        lifecycle_stage: `active` or `deleted`.
        extra: Keys of a newer minor version, carried through.
    """

    experiment_id: str
    name: str
    creation_time: int | None = None
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    lifecycle_stage: str = "active"
    extra: Document = field(default_factory=dict)

    def to_document(self) -> Document:
        """The experiment as `experiment.yaml` holds it."""
        document: Document = {"schema": SCHEMA, "name": self.name}
        if self.description:
            document["description"] = self.description
        if self.creation_time is not None:
            document["created"] = format_time(self.creation_time)
        if self.tags:
            document["tags"] = dict(self.tags)
        if self.lifecycle_stage != "active":
            document["lifecycle"] = self.lifecycle_stage
        return document | self.extra

    @classmethod
    def from_document(cls, document: Any, experiment_id: str, where: str) -> "Experiment":
        """Read `experiment.yaml`; raises `RecordInvalid` or `NewerFormat`."""
        reader = Reader(document, where)
        check_format(document, "experiment", where)
        reader.take("schema", str)
        lifecycle = reader.take_choice("lifecycle", ("active", "deleted"))
        return cls(
            experiment_id=experiment_id,
            name=reader.need("name", str),
            creation_time=reader.take_time("created"),
            description=reader.take("description", str),
            tags=reader.take_text_map("tags"),
            lifecycle_stage=lifecycle,
            extra=reader.extra(),
        )
