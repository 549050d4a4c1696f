"""Registered models: the file with what people say of a model as a whole."""

from typing import Any, NamedTuple

from runstone.records.document import EMPTY, Document, Reader, format_time
from runstone.records.upgrade import check_format

SCHEMA = "runstone/registered-model/v1"


class ModelFile(NamedTuple):
    """What `registry/<model>/model.yaml` says.

    Attributes:
        name: The model's present name, where it was renamed; its folder and its git tags keep the first one.
        description: What it is for.
        tags: Text to text.
        owners: Who answers for it: names, mail addresses, `@team`.
        created: When the file was made, Unix milliseconds.
    """

    name: str | None = None
    description: str | None = None
    tags: dict[str, str] = EMPTY
    owners: tuple[str, ...] = ()
    created: int | None = None
    extra: Document = EMPTY

    def to_document(self) -> Document:
        """The model as its file holds it."""
        document: Document = {"schema": SCHEMA}
        if self.name is not None:
            document["name"] = self.name
        if self.description:
            document["description"] = self.description
        if self.tags:
            document["tags"] = dict(sorted(self.tags.items()))
        if self.owners:
            document["owners"] = list(self.owners)
        if self.created is not None:
            document["created"] = format_time(self.created)
        return document | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str) -> "ModelFile":
        """Read a model's file; raises `RecordInvalid` or `NewerFormat`."""
        reader = Reader(document, where)
        check_format(document, "registered-model", where)
        reader.take("schema", str)
        return cls(
            name=reader.take("name", str),
            description=reader.take("description", str),
            tags=reader.take_text_map("tags"),
            owners=reader.take_texts("owners"),
            created=reader.take_time("created"),
            extra=reader.extra(),
        )
