"""Models: the reference a run keeps to a model folder, and what a model version's git tag says."""

from typing import Any, NamedTuple

from runstone.records.document import EMPTY, Document, Reader
from runstone.records.upgrade import check_format

SCHEMA = "runstone/version/v1"


class ModelReference(NamedTuple):
    """A model folder among a run's artifacts.

    Attributes:
        path: The folder, relative to the run's artifacts.
        flavors: What can load it: `sklearn`, `python_function` …
        digest: `md5:<hex>.dir`, DVC's digest of the folder.
        size: Bytes of its files together.
        signature: The types of its inputs and outputs as the MLmodel file says them, if it does.
        extra: Keys of a newer minor version, carried through.
    """

    path: str
    flavors: tuple[str, ...]
    digest: str
    size: int
    signature: Document | None = None
    extra: Document = EMPTY

    def to_document(self) -> Document:
        """The reference as the record's YAML holds it."""
        document: Document = {
            "path": self.path,
            "flavors": list(self.flavors),
            "digest": self.digest,
            "size": self.size,
        }
        if self.signature is not None:
            document["signature"] = self.signature
        return document | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str, prefix: str) -> "ModelReference":
        """Read one reference; raises `RecordInvalid` with the key."""
        reader = Reader(document, where, prefix)
        return cls(
            path=reader.need_path("path"),
            flavors=reader.take_texts("flavors"),
            digest=reader.need("digest", str),
            size=reader.need("size", int),
            signature=reader.take("signature", dict),
            extra=reader.extra(),
        )


class VersionBody(NamedTuple):
    """The YAML body of a model version's annotated git tag.

    Attributes:
        model: The model's true name; the tag's own name may be encoded.
        run: The run that made it.
        record: The folder of that run's record, in the commit the tag points at.
        path: The model folder, relative to the run's artifacts.
        digest: `md5:<hex>.dir` of that folder.
        flavors: What can load it.
        size: Bytes.
        signature: As in `ModelReference`.
        description: What the author said of it.
        tags: What it was tagged with when it was made.
        copied_from: The version that it is a copy of, as `models:/churn/4`.
        event: A random word, where the number was allotted on a shared remote: no two versions are ever one object,
            so of two who ask for one number at once, only one can believe it is theirs.
    """

    model: str
    run: str
    record: str
    path: str
    digest: str
    flavors: tuple[str, ...] = ()
    size: int = 0
    signature: Document | None = None
    description: str | None = None
    tags: dict[str, str] = EMPTY
    copied_from: str | None = None
    event: str | None = None
    extra: Document = EMPTY

    def to_document(self) -> Document:
        """The body as the tag's message holds it."""
        document: Document = {
            "schema": SCHEMA,
            "model": self.model,
            "run": self.run,
            "record": self.record,
            "path": self.path,
            "digest": self.digest,
            "flavors": list(self.flavors),
            "size": self.size,
        }
        if self.signature is not None:
            document["signature"] = self.signature
        if self.description:
            document["description"] = self.description
        if self.tags:
            document["tags"] = dict(sorted(self.tags.items()))
        if self.copied_from is not None:
            document["copied_from"] = self.copied_from
        if self.event is not None:
            document["event"] = self.event
        return document | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str) -> "VersionBody":
        """Read the body of a version tag; raises `RecordInvalid` with the key."""
        reader = Reader(document, where)
        check_format(document, "version", where)
        reader.take("schema", str)
        return cls(
            model=reader.need("model", str),
            run=reader.need("run", str),
            record=reader.need_path("record"),
            path=reader.need_path("path"),
            digest=reader.need("digest", str),
            flavors=reader.take_texts("flavors"),
            size=reader.take("size", int) or 0,
            signature=reader.take("signature", dict),
            description=reader.take("description", str),
            tags=reader.take_text_map("tags"),
            copied_from=reader.take("copied_from", str),
            event=reader.take("event", str),
            extra=reader.extra(),
        )
