"""The write-ahead log of live runs: append-only files, one writer each, one `os.write` a call.

`<state>/journal/<run>~<writer>.<state>`: `live` while its writer logs, `ended` when it waits to be committed; then
it is removed. A rename is a change of state, so a listing tells all states without reading a file, and a `kill -9` at
any moment leaves one of them. A dead writer's file lacks its last line: reading adds a FAILED end at its last write.
"""

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time, time_ns
from typing import Any

from runstone.errors import RunEnded
from runstone.git import forks
from runstone.git.liveness import Owner, is_alive, this_process
from runstone.git.repository import Repository
from runstone.git.runs import copies, journal_file
from runstone.git.runs.lines import (
    ARTIFACT,
    COMMITTED,
    CONTINUE,
    DATASET,
    END,
    ENVIRONMENT,
    EXTRA,
    HEADER,
    JOIN,
    LEAVE,
    MODEL,
    MODEL_POINT,
    NAME,
    NOTE,
    OWNERS,
    PARAMS,
    REQUIREMENTS,
    RESUME,
    SOURCE,
    START,
    TAGS,
    UNTAG,
    Event,
    Journal,
    format_line,
    is_checkpoint,
    lines,
    parse_event,
    read,
)
from runstone.records.document import Document

__all__ = [
    "ARTIFACT",
    "COMMITTED",
    "CONTINUE",
    "DATASET",
    "END",
    "ENVIRONMENT",
    "EXTRA",
    "HEADER",
    "JOIN",
    "LEAVE",
    "MODEL",
    "MODEL_POINT",
    "NAME",
    "NOTE",
    "OWNERS",
    "PARAMS",
    "REQUIREMENTS",
    "RESUME",
    "SOURCE",
    "START",
    "TAGS",
    "UNTAG",
    "Entry",
    "Event",
    "Journal",
    "Writer",
    "append_line",
    "end_abandoned",
    "is_abandoned",
    "is_checkpoint",
    "lines",
    "list_entries",
    "read",
    "read_ended",
    "read_header",
    "remove_unborn",
]

_LIVE, _ENDED, _UNBORN = journal_file.LIVE, ".ended", journal_file.UNBORN
SHARED = "shared-"
LOST_AFTER_S = "lost_after_s"
"""In the header of a journal that no process owns: after how long without a write its run counts as cut short."""
_BINARY = getattr(os, "O_BINARY", 0)
_ORPHAN_AGE_S = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal file: the run, the writer, and the state its name tells."""

    path: Path
    run_id: str
    writer: str
    live: bool

    @property
    def is_shared(self) -> bool:
        """Whether any process may write to it, under the run's lock; see `git.runs.shared`."""
        return self.writer.startswith(SHARED)


class Writer:
    """One writer of one run's journal. Threads may share it; another process needs its own."""

    def __init__(self, repo: Repository, run_id: str, header: Mapping[str, Any]) -> None:
        """Begin a journal file.

        Args:
            repo: The repository.
            run_id: The run.
            header: What recovery needs to know if the process dies: role, name, experiment, start.

        Writes:
            A new file in `<state>/journal/`.

        Raises:
            ReadOnlyRepository: The repository cannot be written.
            DiskFull: There is no room.
        """
        self.repo = repo
        self.run_id = run_id
        self._header = dict(header)
        self._lock = threading.Lock()
        self._fd = -1
        self._forked = False
        self._now = 0
        self.path = Path()
        self._begin()
        forks.watch(self)

    @property
    def role(self) -> str:
        """`start`, `resume` or `join`."""
        return str(self._header["role"])

    @property
    def is_open(self) -> bool:
        """Whether it can still be written."""
        return self._fd >= 0 or self._forked

    @property
    def is_idle_fork(self) -> bool:
        """Whether this is a forked child's copy that has not written yet: there is no file of its own to finish."""
        return self._forked

    def metric(self, key: str, value: float, timestamp: int | None, step: int) -> None:
        """Append one point; when this returns, the point survives `kill -9` of the process.

        Raises:
            RunEnded: The writer was closed.
            DiskFull: The line could not be written; nothing of it is left.
        """
        if timestamp is None:
            timestamp = int(time() * 1000)
        line = f"m\t{step}\t{timestamp}\t{value!r}\t{key}\n".encode()
        with self._lock:
            try:
                written = os.write(self._fd, line)
                if written == len(line):
                    return
                failure = None
            except OSError as error:
                written, failure = 0, error
            self._mend(line, written, failure)

    def metrics(self, points: Iterable[tuple[str, float, int, int]]) -> None:
        """Append many points with one write: all of them, or none."""
        text = "".join(f"m\t{step}\t{ms}\t{value!r}\t{key}\n" for key, value, ms, step in points)
        with self._lock:
            self._write(text.encode())

    def event(self, kind: str, value: Any) -> None:
        """Append one line of another kind; as safe as `metric`."""
        self.events([(kind, value)])

    def events(self, events: Iterable[tuple[str, Any]]) -> None:
        """Append several lines with one write: all of them, or none."""
        with self._lock:
            now = self._tick()
            self._write(b"".join(format_line(kind, now, value) for kind, value in events))

    def sync(self) -> None:
        """Make all that was appended survive power loss."""
        with self._lock:
            if self._fd >= 0:
                _sync_file(self._fd)

    def finish(self, kind: str, value: Any) -> Path:
        """Append the last line (`END` or `LEAVE`) and hand the file over to be committed.

        It is synced only if it may have to wait: what is committed at once is synced as objects, with one sync for all.

        Returns:
            The file under its new name.

        Raises:
            RunEnded: The writer was closed, or the run ended by `recover --force`.
            DiskFull: There is no room; the writer stays open.
        """
        with self._lock:
            if self._fd < 0 and not self._forked:
                raise RunEnded(self.run_id)
            self._write(format_line(kind, self._tick(), value))
            if kind == LEAVE:
                _sync_file(self._fd)
            descriptor, self._fd = self._fd, -1
            os.close(descriptor)
        ended = self.path.with_suffix(_ENDED)
        try:
            self.path.rename(ended)
        except FileNotFoundError:
            raise RunEnded(self.run_id) from None
        return ended

    def abandon(self) -> None:
        """Remove the file: the run was refused before anything was logged."""
        with self._lock:
            self._forked = False
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
                self.path.unlink(missing_ok=True)

    def _begin(self) -> None:
        token = f"{os.getpid():x}-{os.urandom(4).hex()}"
        self.path = self.repo.writable_state("journal") / f"{self.run_id}~{token}{_LIVE}"
        self._fd = journal_file.create(self.repo, self.path, self._header | this_process().to_document(), self._tick())

    def _tick(self) -> int:
        """Nanoseconds that never go back, even if the clock is set back: they order the lines."""
        self._now = max(time_ns(), self._now + 1)
        return self._now

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
            if written == len(data):
                return
            failure = None
        except OSError as error:
            written, failure = 0, error
        self._mend(data, written, failure)

    def _mend(self, data: bytes, written: int, error: OSError | None) -> None:
        """After a write that failed: in a forked child join the run and write again, else undo and raise."""
        if self._forked:
            self._begin()
            self._forked = False
            self._write(data)
            return
        if self._fd < 0:
            raise RunEnded(self.run_id) from error
        raise journal_file.cut_off(self._fd, written, self.path, error)

    def after_fork(self) -> None:
        """In a forked child: leave the parent's file alone, and join the run with one of its own when first used."""
        self._lock = threading.Lock()
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        self._forked = True
        self._header["role"] = JOIN


def list_entries(repo: Repository) -> list[Entry]:
    """The journals that are live or wait to be committed, oldest first."""
    try:
        with os.scandir(repo.state_dir / "journal") as found:
            names = sorted(e.name for e in found if e.name.endswith((_LIVE, _ENDED)))
    except FileNotFoundError:
        return []
    entries = []
    for name in names:
        stem, _, state = name.rpartition(".")
        run_id, _, writer = stem.partition("~")
        if writer:
            entries.append(Entry(repo.state_dir / "journal" / name, run_id, writer, state == "live"))
    return entries


def read_header(path: Path) -> Document | None:
    """Only the first line; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            line = file.readline()
        event = parse_event(line.decode()) if line.endswith(b"\n") else None
    except (FileNotFoundError, ValueError):
        return None
    return event.value if event is not None and event.kind == HEADER else None


def read_ended(path: Path) -> Journal:
    """As `read`, of a journal whose writer is done or dead: the latter gets the last line it could not write."""
    ended = path.stat().st_mtime_ns
    content = read(path)
    if content.header is None or any(event.kind in (END, LEAVE) for event in content.events):
        return content
    if content.header.get("role") == JOIN:
        content.events.append(Event(LEAVE, ended, None))
    else:
        content.events.append(Event(END, ended, {"status": "FAILED", "ended": ended // 1_000_000}))
    return content


def is_abandoned(entry: Entry) -> bool:
    """Whether a live journal's writer is dead, or logs into another file, of which this one is a copy.

    Of a process on another machine neither can be known: then no.
    """
    if not entry.live:
        return False
    try:
        header = read_header(entry.path)
        writer = Owner.from_document(header) if header is not None else None
        if writer is not None:
            return not is_alive(writer) or copies.is_copy(entry.path, header or {}, writer)
        if header is not None and LOST_AFTER_S in header:
            return entry.path.stat().st_mtime < time() - float(header[LOST_AFTER_S])
        # No writer leaves a file without its first line; power loss may, and people.
        return entry.path.stat().st_mtime < time() - _ORPHAN_AGE_S
    except OSError:
        return False  # it has just ended, or is another user's


def end_abandoned(repo: Repository, entry: Entry, *, force: bool = False) -> Path | None:
    """Hand a dead writer's journal over to be committed; see `read_ended`. The copy of one is put aside.

    Args:
        repo: The repository.
        entry: The journal.
        force: Although its writer may live.

    Returns:
        The file under its new name; None if another process did it first, or it is a copy. Only a torn last line is
        dropped.
    """
    if not entry.is_shared:
        return _end_abandoned(entry)
    with journal_file.shared_lock(repo, entry.run_id):
        # Whoever held the lock may have written to it meanwhile, or ended it.
        return _end_abandoned(entry) if force or is_abandoned(entry) else None


def _end_abandoned(entry: Entry) -> Path | None:
    header = read_header(entry.path)
    writer = Owner.from_document(header) if header is not None else None
    if header is not None and writer is not None and is_alive(writer) and copies.is_copy(entry.path, header, writer):
        copies.put_aside(entry.path)
        return None
    ended = entry.path.with_suffix(_ENDED)
    try:
        seen = entry.path.stat()
        entry.path.rename(ended)  # first: of two processes that recover, one gets it
    except FileNotFoundError:
        return None
    size = read(ended).size
    if size < seen.st_size:
        os.truncate(ended, size)  # else the next line would be glued to it
        os.utime(ended, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    return ended


def remove_unborn(repo: Repository) -> None:
    """Remove what writers leave that were killed before their file had its name; nothing was logged to it."""
    for path in (repo.state_dir / "journal").glob(f"*{_UNBORN}"):
        try:
            if path.stat().st_mtime < time() - _ORPHAN_AGE_S:
                path.unlink()
        except OSError:
            continue  # it has got its name, or is another user's


def append_line(path: Path, kind: str, value: Any) -> None:
    """Append one line to a journal that waits to be committed; it looks as old as before."""
    seen = path.stat()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _BINARY)
    try:
        os.write(descriptor, format_line(kind, time_ns(), value))
    finally:
        os.close(descriptor)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


_sync_file = getattr(os, "fdatasync", os.fsync)
