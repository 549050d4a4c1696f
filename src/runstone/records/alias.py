"""Aliases: the file that says which version of a model an alias points at."""

from typing import Any, NamedTuple

from runstone.records.document import EMPTY, Document, Reader
from runstone.records.upgrade import check_format

SCHEMA = "runstone/alias/v1"


class Alias(NamedTuple):
    """What `registry/<model>/aliases/<alias>.yaml` says: the version, 1, 2, 3 …"""

    version: int
    extra: Document = EMPTY

    def to_document(self) -> Document:
        """The alias as its file holds it."""
        return {"schema": SCHEMA, "version": self.version} | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str) -> "Alias":
        """Read an alias file; raises `RecordInvalid` or `NewerFormat`."""
        reader = Reader(document, where)
        check_format(document, "alias", where)
        reader.take("schema", str)
        version = reader.need("version", int)
        if version < 1:
            raise reader.fail("version", f"must be 1 or more, but is the number {version}")
        return cls(version, reader.extra())
