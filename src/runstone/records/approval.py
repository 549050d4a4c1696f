"""Approvals: what a forge knew of a merged request, kept with the commit that it became, as a git note."""

from dataclasses import dataclass, field
from typing import Any

from runstone.records.document import Document, Reader, format_time
from runstone.records.upgrade import check_format

SCHEMA = "runstone/approval/v1"


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes.

    Attributes:
        by: The account on the forge.
        mail: The person's mail address, where the forge tells it.
        at: When, Unix milliseconds.
        commit: The head that was approved, where the forge tells it.
    """

    by: str
    mail: str | None = None
    at: int | None = None
    commit: str | None = None
    extra: Document = field(default_factory=dict)

    def to_document(self) -> Document:
        """The approval as the note holds it."""
        document: Document = {"by": self.by}
        if self.mail is not None:
            document["mail"] = self.mail
        if self.at is not None:
            document["at"] = format_time(self.at)
        if self.commit is not None:
            document["commit"] = self.commit
        return document | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str, prefix: str) -> "Approval":
        """Read one approval; raises `RecordInvalid`."""
        reader = Reader(document, where, prefix)
        return cls(
            by=reader.need("by", str),
            mail=reader.take("mail", str),
            at=reader.take_time("at"),
            commit=reader.take_object_id("commit"),
            extra=reader.extra(),
        )


@dataclass(frozen=True, slots=True)
class ApprovalNote:
    """The note in `refs/notes/runstone` on the commit of the default branch that a proposal became.

    Attributes:
        request: The request's address on the forge.
        author: The account that opened it.
        author_mail: Its mail address, where the forge tells it.
        merged_by: The account that merged it.
        head: The commit that was merged.
        approvals: Who approved.
    """

    request: str
    author: str
    author_mail: str | None = None
    merged_by: str | None = None
    head: str | None = None
    approvals: tuple[Approval, ...] = ()
    extra: Document = field(default_factory=dict)

    def to_document(self) -> Document:
        """The note as git holds it."""
        document: Document = {"schema": SCHEMA, "request": self.request, "author": self.author}
        if self.author_mail is not None:
            document["author_mail"] = self.author_mail
        if self.merged_by is not None:
            document["merged_by"] = self.merged_by
        if self.head is not None:
            document["head"] = self.head
        document["approvals"] = [approval.to_document() for approval in self.approvals]
        return document | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str) -> "ApprovalNote":
        """Read a note; raises `RecordInvalid` or `NewerFormat`."""
        reader = Reader(document, where)
        check_format(document, "approval", where)
        reader.take("schema", str)
        found = reader.take("approvals", list) or []
        return cls(
            request=reader.need("request", str),
            author=reader.need("author", str),
            author_mail=reader.take("author_mail", str),
            merged_by=reader.take("merged_by", str),
            head=reader.take_object_id("head"),
            approvals=tuple(Approval.from_document(each, where, f"approvals[{i}]") for i, each in enumerate(found)),
            extra=reader.extra(),
        )
