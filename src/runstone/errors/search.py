"""Searches: filters, pages, and what a search left out."""

from runstone.errors.base import UsageError


class FilterInvalid(UsageError):
    """A filter or an `order_by` that cannot be understood; the message points at the place.

    Attributes:
        unknown: The name, if it is that of no attribute.
    """

    def __init__(
        self, kind: str, text: str, at: int, problem: str, next_step: str, *, unknown: str | None = None
    ) -> None:
        self.kind, self.text, self.at, self.problem, self.next_step = kind, text, at, problem, next_step
        self.unknown = unknown
        begin = max(0, at - 60)
        shown = "".join(c if c.isprintable() else " " for c in text[begin : at + 40])
        lead, tail = "…" if begin else "", "…" if len(text) > at + 40 else ""
        pointer = " " * (len(lead) + at - begin) + "^"
        super().__init__(f"The {kind} cannot be read: {problem}.\n  {lead}{shown}{tail}\n  {pointer}\n{next_step}")


class InvalidPageToken(UsageError):
    """A page token that no search gave out."""

    def __init__(self, token: str) -> None:
        self.token = token
        super().__init__(
            f"The page token {token[:80]!r} cannot be read. Pass the `token` of the page before, unchanged, "
            "or none to begin at the first page."
        )


class RecordsSkipped(UserWarning):
    """Records that a search could not read and left out; nothing of them is lost."""
