"""`runstone.yaml`: what a project decides. Every key has a default, so the file may be missing."""

from dataclasses import dataclass, field
from typing import Any

from runstone.records.document import Document, Reader
from runstone.records.upgrade import check_format

SCHEMA = "runstone/config/v1"


@dataclass(frozen=True, slots=True)
class SecretRules:
    """Patterns for what must not be recorded; empty lists mean the built-in ones.

    Attributes:
        keys: Regular expressions for keys whose text values are redacted.
        values: Regular expressions for text that is redacted wherever it stands.
        allow: Keys that are never redacted.
    """

    keys: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one repository.

    Attributes:
        branch: The branch that holds the runs.
        push: `manual`, or `auto`: artifacts go to the DVC remote when a run ends.
        promotion: `direct` or `review`.
        registry: The folder of the registry on the default branch.
        secrets: What is redacted.
    """

    branch: str = "runs"
    push: str = "manual"
    promotion: str = "direct"
    registry: str = "registry"
    secrets: SecretRules = field(default_factory=SecretRules)
    extra: Document = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Any, where: str) -> "Config":
        """Read `runstone.yaml`; raises `RecordInvalid` with the key."""
        reader = Reader({} if document is None else document, where)
        if reader.take("schema", str) is not None:
            check_format(document, "config", where)
        secrets = Reader(reader.take("secrets", dict) or {}, where, "secrets")
        return cls(
            branch=reader.take("branch", str) or "runs",
            push=reader.take_choice("push", ("manual", "auto")),
            promotion=reader.take_choice("promotion", ("direct", "review")),
            registry=reader.take_path("registry") or "registry",
            secrets=SecretRules(secrets.take_texts("keys"), secrets.take_texts("values"), secrets.take_texts("allow")),
            extra=reader.extra(),
        )
