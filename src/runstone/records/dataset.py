"""Datasets: what a run read, by name, role and digest."""

from dataclasses import dataclass, field
from typing import Any

from runstone.records.document import Document, Reader


@dataclass(frozen=True, slots=True)
class Dataset:
    """One input of a run.

    Attributes:
        name: What people call it.
        role: What the run used it for: `train`, `test` … (MLflow's `context`); None if not said.
        digest: `<algorithm>:<hex>` of the content; a word of MLflow's own, where MLflow described it.
        path: Where it lies in the repository, with forward slashes; None for data in memory.
        dvc: The DVC pointer that tracks it, if one does.
        shape: Rows and columns (or the array's shape), if it has one.
        extra: Keys of a newer minor version, carried through.
    """

    name: str
    digest: str
    role: str | None = None
    path: str | None = None
    dvc: str | None = None
    shape: tuple[int, ...] = ()
    extra: Document = field(default_factory=dict)

    def to_document(self) -> Document:
        """The dataset as the record's YAML holds it; what is not known is left out."""
        known = {
            "name": self.name,
            "role": self.role,
            "digest": self.digest,
            "path": self.path,
            "dvc": self.dvc,
            "shape": list(self.shape) or None,
        }
        return {k: v for k, v in known.items() if v is not None} | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str, prefix: str) -> "Dataset":
        """Read one dataset; raises `RecordInvalid` with the key."""
        reader = Reader(document, where, prefix)
        shape = reader.take("shape", list) or []
        if not all(type(n) is int for n in shape):
            raise reader.fail("shape", "must be a list of whole numbers")
        return cls(
            name=reader.need("name", str),
            role=reader.take("role", str),
            digest=reader.need("digest", str),
            path=reader.take("path", str),
            dvc=reader.take("dvc", str),
            shape=tuple(shape),
            extra=reader.extra(),
        )
