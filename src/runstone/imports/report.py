"""What an import carried over, and what it did not: counted by kind, each thing that is missing by name and reason."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Change = Literal["new", "updated", "same", "clash"]
"""Made; changed because it has grown; here already; made under another id, as its own is another one's."""

CHANGES: tuple[Change, ...] = ("new", "updated", "same", "clash")


class NotCarried(NamedTuple):
    """Something of the source that is not here.

    Attributes:
        kind: `artifact`, `param`, `traces` …
        what: Which: a path, a key, a run.
        why: The reason, and what to do where something can be done.
        is_loss: Whether it should be here: False for what Runstone has no place for, or leaves out on purpose.
        number: How many there are.
    """

    kind: str
    what: str
    why: str
    is_loss: bool = True
    number: int = 1


@dataclass(slots=True)
class Report:
    """The outcome of one import.

    Attributes:
        source: Where it is from, without credentials.
        carried: Kind → how many of each change: `{"runs": {"new": 3, "same": 7}}`.
        clashes: The id at the source → the id here, of runs whose id was another's here.
        not_carried: What is missing, in the order found.
        notes: What else to know.
        is_dry: Whether nothing was written.
    """

    source: str = ""
    carried: dict[str, dict[Change, int]] = field(default_factory=dict)
    clashes: dict[str, str] = field(default_factory=dict)
    not_carried: list[NotCarried] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_dry: bool = False
    _told: set[tuple[str, str, str]] = field(default_factory=set)

    @property
    def is_whole(self) -> bool:
        """Whether all that could be carried was."""
        return not any(each.is_loss for each in self.not_carried)

    def count(self, kind: str, change: Change, number: int = 1) -> None:
        """Count something that was carried."""
        counts = self.carried.setdefault(kind, {})
        counts[change] = counts.get(change, 0) + number

    def miss(self, kind: str, what: str, why: str, *, is_loss: bool = True, number: int = 1) -> None:
        """Keep something that was not carried; said once, however often it is met."""
        if (kind, what, why) not in self._told:
            self._told.add((kind, what, why))
            self.not_carried.append(NotCarried(kind, what, why, is_loss, number))

    def refusal(self, kind: str, of: str) -> Callable[[str, str], None]:
        """A function that keeps what is missing of one thing, to be handed to readers."""
        return lambda what, why: self.miss(kind, f"{of}: {what}", why)

    def to_document(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "source": self.source,
            "dry_run": self.is_dry,
            "carried": {kind: {c: n.get(c, 0) for c in CHANGES} for kind, n in self.carried.items()},
            "clashes": self.clashes,
            "not_carried": [each._asdict() for each in self.not_carried],
            "notes": self.notes,
            "complete": self.is_whole,
        }
