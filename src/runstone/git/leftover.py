"""Lock files that a killed git left: they bar a ref for ever, and git never removes them by itself.

git holds such a lock for milliseconds and takes it away even when it is told to end; only `kill -9` and power loss
leave one. It is removed only when its owner is known to be dead: it is ten seconds old, and no git that works on the
repository and is older lives on this machine. Where that cannot be known, as on a disk that other machines write to,
it must be an hour old.
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

_BLIND_AGE_S = 3600.0
_LOCAL_DISKS = set("ext2 ext3 ext4 xfs btrfs zfs tmpfs overlay f2fs jfs reiserfs bcachefs ramfs".split())
_HARMLESS = {b"cat-file", b"fsmonitor--daemon", b"credential-cache--daemon", b"daemon", b"for-each-ref", b"ls-remote"}


def clear_locks(locks: Iterable[Path], *, patience_s: float = 15.0, age_s: float = 10.0) -> None:
    """Return when none of these lock files is there any more, or when patience has run out.

    Args:
        locks: The lock files; most will not be there.
        patience_s: How long to wait for those that somebody holds.
        age_s: How old a lock must be before its owner is looked for.

    Writes:
        Removes those whose owner is known to be dead.
    """
    until = time.monotonic() + patience_s
    waiting = [lock for lock in locks if _age(lock) is not None]
    while waiting:
        waiting = [lock for lock in waiting if not _is_gone(lock, age_s)]
        if waiting and time.monotonic() > until:
            return
        if waiting:
            time.sleep(0.1)


def _is_gone(lock: Path, age_s: float) -> bool:
    age = _age(lock)
    if age is None:
        return True
    if age < age_s or (age < _BLIND_AGE_S and _may_be_owned(lock, time.time() - age)):
        return False
    with suppress(OSError):
        lock.unlink()
    return not lock.exists()


def _age(lock: Path) -> float | None:
    try:
        return max(0.0, time.time() - lock.stat().st_mtime)
    except OSError:
        return None


def _may_be_owned(lock: Path, made: float) -> bool:
    """Whether a git that may have made the file at that time still lives; True where nobody can tell."""
    if not _is_local(lock):
        return True  # it may live on another machine
    try:
        names = os.listdir("/proc")  # noqa: PTH208  # a Path for each process of the machine is of no use
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return True
    tops = _tops(lock)
    return "self" not in names or any(
        _is_likely(Path("/proc", name), tops, lambda start: booted + start / ticks <= made + 1)
        for name in names
        if name.isdigit()
    )


def _is_likely(process: Path, tops: list[str], is_older: Callable[[int], bool]) -> bool:
    """Whether a process is a git that is old enough, writes, and works on the repository that lies at `tops`."""
    try:
        name, _, rest = (process / "stat").read_bytes().partition(b"(")[2].rpartition(b")")
        fields = rest.split()
        if not name.startswith(b"git") or fields[0] == b"Z" or int(fields[1]) == os.getpid():
            return False
        command = (process / "cmdline").read_bytes()
        if not is_older(int(fields[19])) or not _HARMLESS.isdisjoint(command.split(b"\0")):
            return False
    except (OSError, IndexError):
        return False  # it has just ended
    try:
        place = f"{(process / 'cwd').readlink()}/"
        said = command + (process / "environ").read_bytes()
    except OSError:
        return True  # another user's
    return any(place.startswith(f"{top}/") or os.fsencode(top) in said for top in tops)


def _is_local(path: Path) -> bool:
    """Whether only this machine writes to the disk that holds a file, as far as is known."""
    place = f"{path.resolve()}/"
    best, kind = "", ""
    try:
        for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
            head, _, tail = line.partition(" - ")
            top = head.split(" ")[4].rstrip("/") + "/"
            if place.startswith(top) and len(top) >= len(best):
                best, kind = top, tail.partition(" ")[0]
    except (OSError, IndexError):
        return False
    return kind in _LOCAL_DISKS


def _tops(lock: Path) -> list[str]:
    """Where a git that works on the repository of a lock file may stand: in its git directory or one of its trees."""
    git_dir = next((folder for folder in lock.absolute().parents if (folder / "HEAD").is_file()), lock.parent)
    found = [git_dir, *([git_dir.parent] if git_dir.name == ".git" else [])]
    for link in git_dir.glob("worktrees/*/gitdir"):
        with suppress(OSError):
            found.append(Path(link.read_text(errors="surrogateescape").rstrip("\n")).parent)
    return [str(path.resolve()) for path in found]
