"""The lines of a journal: their kinds, how they are written, and how a file of them is read.

A line is a kind, a tab, and its fields:
    m <step> <ms> <value> <key>          a metric point: the hot path, so no JSON
    <kind> <ns> <json>                   anything else; ns orders the lines of several writers
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.records.document import Document

HEADER, PARAMS, TAGS, UNTAG, NOTE, NAME = "h", "p", "t", "u", "n", "N"
SOURCE, ENVIRONMENT, REQUIREMENTS, DATASET, MODEL, ARTIFACT = "s", "e", "r", "d", "o", "a"
END, LEAVE, COMMITTED, EXTRA, MODEL_POINT = "x", "l", "k", "X", "M"

START, RESUME, CONTINUE, JOIN = "start", "resume", "continue", "join"
"""The roles of a writer: it began the run, took an ended one up again, goes on with one that was committed while it was
live, or logs to one that another process began."""

OWNERS = (START, RESUME, CONTINUE)
"""Those of a run's own writers: while one is live, the run is."""

_SHAPES: dict[str, type] = {
    **dict.fromkeys((HEADER, PARAMS, TAGS, SOURCE, ENVIRONMENT, DATASET, MODEL, END, COMMITTED, EXTRA), dict),
    **dict.fromkeys((UNTAG, ARTIFACT, MODEL_POINT), list),
    **dict.fromkeys((NOTE, NAME, REQUIREMENTS), str),
}
_format_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Event:
    """One line that is no metric point."""

    kind: str
    time_ns: int
    value: Any


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal file as read.

    Attributes:
        points: `(key, value, timestamp, step)` in the order written.
        events: The other lines, in the order written; the header is among them.
        damaged: Lines in the middle that could not be read (a torn last line is dropped without a word).
        size: Bytes of whole lines.
    """

    points: list[tuple[str, float, int, int]]
    events: list[Event]
    damaged: int
    size: int

    @property
    def header(self) -> Document | None:
        """What the writer said of itself and the run at its start."""
        for event in self.events[:1]:
            if event.kind == HEADER and isinstance(event.value, dict):
                return event.value
        return None


def read(path: Path) -> Journal:
    """Read a journal file; a last line without its end is dropped, as `kill -9` may leave one."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    points: list[tuple[str, float, int, int]] = []
    events: list[Event] = []
    damaged = 0
    for line in data[:whole].decode("utf-8", "replace").split("\n")[:-1]:
        try:
            if line[:2] == "m\t":
                _, step, ms, value, key = line.split("\t")
                points.append((key, float(value), int(ms), int(step)))
            else:
                events.append(parse_event(line))
        except ValueError:
            damaged += 1
    return Journal(points, events, damaged, whole)


def parse_event(line: str) -> Event:
    """One line that is no metric point; ValueError if it cannot be read."""
    kind, ns, text = line.split("\t", 2)
    value = json.loads(text)
    if not isinstance(value, _SHAPES.get(kind, object)):
        raise ValueError(f"a {kind!r} line holds a {type(value).__name__}")
    return Event(kind, int(ns), value)


def is_checkpoint(content: Journal) -> bool:
    """Whether a journal was handed over while its run went on, so that the record says RUNNING."""
    ends = [event.value for event in content.events if event.kind == END]
    return bool(ends) and ends[-1].get("status") == "RUNNING"


def lines(kind: str, journals: Iterable[Journal]) -> Iterator[Any]:
    """The values of one kind of line, in order of time, over several journals."""
    found = [event for journal in journals for event in journal.events if event.kind == kind]
    for event in sorted(found, key=lambda event: event.time_ns):
        yield event.value


def format_line(kind: str, now: int, value: Any) -> bytes:
    """One line that is no metric point; the inverse of `parse_event`."""
    return f"{kind}\t{now}\t{_format_json(value)}\n".encode()
