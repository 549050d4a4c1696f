"""Journals that any process may write to and end: one file a run, appended to under the run's lock.

MLflow's clients name a run in each call, and a server's next call may reach another of its processes. So here the file
belongs to the run and not to a process: who has the lock may append to it, or hand it over to be committed.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import time, time_ns
from typing import Any

from runstone.git.liveness import this_process
from runstone.git.repository import Repository
from runstone.git.runs import journal, journal_file
from runstone.git.runs.journal import Entry
from runstone.git.runs.lines import format_line
from runstone.records.document import Document

LOST_AFTER_S = 86_400.0
"""A run that no process owns, and that nobody has written to for a day, counts as cut short."""

ADDED_AFTER_S = 2.0
"""What was added to a run that had ended is committed once nothing more came for so long."""

Line = tuple[str, Any]


def find(repo: Repository, run_id: str) -> Path | None:
    """The journal of a run that may be written to now, or None."""
    prefix = f"{run_id}~{journal.SHARED}"
    try:
        with os.scandir(repo.state_dir / "journal") as found:
            names = [e.name for e in found if e.name.startswith(prefix) and e.name.endswith(journal_file.LIVE)]
    except FileNotFoundError:
        return None
    return repo.state_dir / "journal" / max(names) if names else None


def begin(repo: Repository, run_id: str, header: Mapping[str, Any], events: Sequence[Line], *, owned: bool) -> Path:
    """Make the journal of a run.

    Args:
        repo: The repository.
        run_id: The run.
        header: As `journal.Writer` takes it. An owner, or a time after which the run is lost, that it names is kept.
        events: Lines to begin with.
        owned: Whether the run is cut short when this process dies; else when nobody has written for long.

    Writes:
        A new file in `<state>/journal/`.

    Raises:
        ReadOnlyRepository, DiskFull: It cannot be made.
    """
    now = time_ns()
    # By time first: of two, the later one is found.
    path = repo.writable_state("journal") / f"{run_id}~{journal.SHARED}{now:x}-{os.urandom(3).hex()}{journal_file.LIVE}"
    if "pid" not in header and journal.LOST_AFTER_S not in header:
        header = {**header, **(this_process().to_document() if owned else {journal.LOST_AFTER_S: LOST_AFTER_S})}
    os.close(journal_file.create(repo, path, header, now, _format(events)))
    return path


def append(path: Path, points: Iterable[tuple[str, float, int, int]], events: Sequence[Line]) -> None:
    """Append points and other lines with one write: all of them, or none.

    Raises:
        FileNotFoundError: It was handed over.
        DiskFull: There is no room.
    """
    text = "".join(f"m\t{step}\t{ms}\t{value!r}\t{key}\n" for key, value, ms, step in points)
    descriptor = journal_file.open_to_append(path)
    try:
        journal_file.write_all(descriptor, text.encode() + _format(events), path)
    finally:
        os.close(descriptor)


def hand_over(path: Path) -> None:
    """Let the journal be committed: its last line is written."""
    path.rename(path.with_suffix(".ended"))


def lives_on(header: Document, folder: str) -> Document:
    """The header of the journal that goes on with a run whose first one is committed."""
    kept = {key: value for key, value in header.items() if key not in ("role", "inode", "resumed")}
    return {**kept, "role": journal.CONTINUE, "folder": folder}


def idle(repo: Repository, idle_s: float) -> list[Entry]:
    """Runs that no process owns and nobody has written to for some time, though there is something to commit."""
    found = []
    for entry in journal.list_entries(repo):
        if not (entry.live and entry.is_shared):
            continue
        header = journal.read_header(entry.path)
        try:
            is_idle = entry.path.stat().st_mtime < time() - idle_s
            if is_idle and header is not None and "pid" not in header and header.get("role") != journal.JOIN:
                content = journal.read(entry.path)
                if header["role"] == journal.START or content.points or len(content.events) > 1:
                    found.append(entry)
        except FileNotFoundError:
            continue  # it has just ended
    return found


def _format(events: Sequence[Line]) -> bytes:
    now = time_ns()
    return b"".join(format_line(kind, now + n, value) for n, (kind, value) in enumerate(events))
