"""Whether the process that writes a journal still lives: by host, process id and the moment it began.

A process id alone would be fooled by its reuse. Of another machine nothing can be known from here, so its
processes count as alive; `runstone recover --force` overrules that.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from runstone.records.document import Document

_MACHINE = "pid:[4026531836]"  # the namespace of a machine's own processes, PROC_PID_INIT_INO of the kernel


@dataclass(frozen=True, slots=True)
class Owner:
    """A process. `birth` is what the system says of its start, `boot` names the boot; None if it says nothing."""

    host: str
    pid: int
    birth: str | None
    boot: str | None

    def to_document(self) -> Document:
        """The keys it adds to a journal's header."""
        return {"host": self.host, "pid": self.pid, "birth": self.birth, "boot": self.boot}

    @classmethod
    def from_document(cls, document: Any) -> "Owner | None":
        """The inverse; None if the keys are not there."""
        try:
            return cls(str(document["host"]), int(document["pid"]), document.get("birth"), document.get("boot"))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


def this_process() -> Owner:
    """The process that asks."""
    return _describe(os.getpid())


def is_alive(owner: Owner) -> bool:
    """Whether `owner` still runs, or may (another machine)."""
    if owner.host != _host():
        return True
    if owner.boot is not None and owner.boot != _boot():
        return False
    if owner.pid == os.getpid():
        return owner.birth is None or owner.birth == this_process().birth
    birth = _birth(owner.pid)
    if birth is None:
        return _answers(owner.pid)
    if birth == "":
        return False
    return owner.birth is None or owner.birth == birth


@cache
def _describe(pid: int) -> Owner:
    return Owner(_host(), pid, _birth(pid), _boot())


def _host() -> str:
    """The machine, or the container: process ids mean something only within one of them."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # no file, so no Path
    except OSError:
        namespace = _MACHINE
    import socket  # here: it is slow to import, and readers do not need it

    return socket.gethostname() if namespace == _MACHINE else f"{socket.gethostname()}/{namespace}"


@cache
def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _birth(pid: int) -> str | None:
    """What the system says of the process's start; empty if it has ended, None if that cannot be known here."""
    if not Path("/proc/self/stat").exists():
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if _answers(pid) else ""  # `hidepid`, usual on clusters, hides the processes of others
    except OSError:
        return None
    # The name in brackets may hold anything; after it come state (field 3) and, 19 later, the start in ticks.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


def _answers(pid: int) -> bool:
    if os.name != "posix":
        return True
    if pid <= 0:
        return False  # these numbers mean groups of processes
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
