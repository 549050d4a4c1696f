"""Journals that came with a copy of the repository's folder: their writer lives, and logs into the original.

Such a run will be recorded where its writer is, so here it is neither open nor to be recorded: one run would be two.
"""

import os
import time
from pathlib import Path

from runstone.git.lines import END, LEAVE, read
from runstone.git.liveness import Owner, this_process

FOLDER = "copied"
"""The folder beside the journals in which copies are kept, for the case that the original is lost."""

_BEGINNING_S = 60
_seen_open: set[Path] = set()


def is_copy(path: Path, writer: Owner) -> bool:
    """Whether a journal's writer, a process that lives, has another file open than this one.

    Known only of processes on this machine whose open files may be seen; of others the answer is no.
    """
    if path in _seen_open or writer.host != this_process().host:
        return False
    if _is_open(path, writer.pid) is not False:
        _seen_open.add(path)
        return False
    try:
        changed = path.stat().st_mtime
        content = read(path)
    except FileNotFoundError:
        return False  # it has just ended
    if content.events and content.events[-1].kind in (END, LEAVE):
        return False  # it is ending: its writer has closed it, and is about to give it another name
    is_begun = bool(content.points) or len(content.events) > 1
    return is_begun or changed < time.time() - _BEGINNING_S  # else its writer may be about to open it


def put_aside(path: Path) -> None:
    """Keep a copied journal where nobody takes it for a run of this repository."""
    target = path.parent / FOLDER
    target.mkdir(exist_ok=True)
    try:
        path.rename(target / path.name)
    except FileNotFoundError:
        return  # another process was faster


def _is_open(path: Path, pid: int) -> bool | None:
    """Whether a process has a file open; None if that cannot be seen."""
    try:
        wanted = path.stat()
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                try:
                    found = entry.stat()
                except OSError:
                    continue  # closed at this moment
                if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
    except OSError:
        return None
    return False
