"""Stages: the file that says which versions of a model are in a stage."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from runstone.records.document import EMPTY, Document, Reader, show
from runstone.records.upgrade import check_format

SCHEMA = "runstone/stage/v1"

NO_STAGE = "None"
"""Where a version is that is in no stage."""


class Stage(NamedTuple):
    """What `registry/<model>/stages/<Stage>.yaml` says.

    Attributes:
        versions: Numbers of versions, ascending, none twice. A stage without any has no file.
    """

    versions: tuple[int, ...]
    extra: Document = EMPTY

    @classmethod
    def of(cls, versions: Iterable[int]) -> "Stage":
        """The stage with these versions, in whatever order they come."""
        return cls(tuple(sorted(set(versions))))

    def to_document(self) -> Document:
        """The stage as its file holds it."""
        return {"schema": SCHEMA, "versions": list(self.versions)} | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str) -> "Stage":
        """Read a stage's file; raises `RecordInvalid` or `NewerFormat`."""
        reader = Reader(document, where)
        check_format(document, "stage", where)
        reader.take("schema", str)
        versions = reader.need("versions", list)
        seen: set[int] = set()
        for i, version in enumerate(versions):
            if type(version) is not int or version < 1:
                raise reader.fail(f"versions[{i}]", f"must be a whole number of 1 or more, but is {show(version)}")
            if version in seen:
                raise reader.fail(f"versions[{i}]", f"must stand there once, but {version} stands there twice")
            seen.add(version)
        return cls(tuple(sorted(versions)), reader.extra())
