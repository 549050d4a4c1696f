"""Journals that came with a copy of the repository's folder: their writer lives, and logs into the original.

Such a run will be recorded where its writer is, so here it is neither open nor to be recorded: one run would be two.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runstone.git.liveness import Owner, this_process

FOLDER = "copied"
"""The folder beside the journals in which copies are kept, for the case that the original is lost."""


def is_copy(path: Path, header: Mapping[str, Any], writer: Owner) -> bool:
    """Whether a journal is not the file that its writer, a process that lives, has begun.

    A journal names its own inode, which a copy does not have and which no renaming changes. That its writer has it
    closed says nothing by itself: the process may be ending at this moment, or have begun another program.

    Args:
        path: The journal.
        header: Its first line.
        writer: The process that the header names.
    """
    if writer.host != this_process().host:
        return False
    try:
        is_another = header.get("inode") not in (None, path.stat().st_ino)
    except FileNotFoundError:
        return False  # it has just ended
    return is_another and _is_open(path, writer.pid) is False


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
