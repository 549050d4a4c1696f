"""Notes on model versions: what was said of one after its git tag was made, which cannot change."""

from dataclasses import dataclass, field
from typing import Any

from runstone.records.document import Document, Reader
from runstone.records.upgrade import check_format

SCHEMA = "runstone/version-notes/v1"


@dataclass(frozen=True, slots=True)
class VersionNotes:
    """What `registry/<model>/versions/<N>.yaml` says. Where the file is, it stands in place of what the git tag says.

    Attributes:
        description: What people say of the version.
        tags: Text to text.
    """

    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    extra: Document = field(default_factory=dict)

    def to_document(self) -> Document:
        """The notes as their file holds them."""
        document: Document = {"schema": SCHEMA}
        if self.description:
            document["description"] = self.description
        if self.tags:
            document["tags"] = dict(sorted(self.tags.items()))
        return document | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str) -> "VersionNotes":
        """Read notes on a version; raises `RecordInvalid` or `NewerFormat`."""
        reader = Reader(document, where)
        check_format(document, "version-notes", where)
        reader.take("schema", str)
        return cls(reader.take("description", str), reader.take_text_map("tags"), reader.extra())
