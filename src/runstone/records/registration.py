"""Registrations: the reviewed request to make a model that a run logged the next version of a registered model."""

from dataclasses import dataclass, field
from typing import Any

from runstone.records.document import Document, Reader
from runstone.records.upgrade import check_format

SCHEMA = "runstone/registration/v1"


@dataclass(frozen=True, slots=True)
class Registration:
    """What `registry/<model>/registrations/<run-id>.yaml` says.

    It is met once a version of the model, retired or not, names this run and this path.

    Attributes:
        run: The run that logged it.
        path: The model folder, relative to the run's artifacts.
        record: The folder of the run's record, in `commit`.
        commit: The commit of the branch of runs that holds the record: what the version's git tag will point at.
        digest: `md5:<hex>.dir` of the model folder.
        description: What to say of the version.
        tags: Its tags.
    """

    run: str
    path: str
    record: str
    commit: str
    digest: str
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    extra: Document = field(default_factory=dict)

    def to_document(self) -> Document:
        """The request as its file holds it."""
        document: Document = {
            "schema": SCHEMA,
            "run": self.run,
            "path": self.path,
            "record": self.record,
            "commit": self.commit,
            "digest": self.digest,
        }
        if self.description:
            document["description"] = self.description
        if self.tags:
            document["tags"] = dict(sorted(self.tags.items()))
        return document | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str) -> "Registration":
        """Read a request; raises `RecordInvalid` or `NewerFormat`."""
        reader = Reader(document, where)
        check_format(document, "registration", where)
        reader.take("schema", str)
        return cls(
            run=reader.need("run", str),
            path=reader.need_path("path"),
            record=reader.need_path("record"),
            commit=reader.need_object_id("commit"),
            digest=reader.need("digest", str),
            description=reader.take("description", str),
            tags=reader.take_text_map("tags"),
            extra=reader.extra(),
        )
