"""After power loss: put back what was torn, by the log of objects. And what is kept for people to look at.

The kernel says which boot it is. Files of the log that another boot left tell what may be lost: objects, and the moves
of the branch `runs`. Whoever rewrites that branch must `supersede` what it replaces: no log may bring that back.
"""

import os
import time
import warnings
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from runstone.errors import RefBlocked, RefMoved
from runstone.git.files import sync_file
from runstone.git.objectlog import Logged, disown, list_logs, log_names, machine, read_log, read_moves
from runstone.git.objects import is_object_id
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository

_AGE_S = 60
_OLD_AGE_S = _FOREIGN_AGE_S = 900
_BUDGET_S = 0.02
_last_sweep: dict[Path, float] = {}
_checked: set[Path] = set()


class LostCommitWarning(UserWarning):
    """Power loss took a move of the branch back, and the branch went on without it; the commit is kept."""


def set_aside(repo: Repository, path: Path) -> None:
    """Move a journal that could not be read whole to `journal/damaged/`, for people to look at."""
    target = repo.writable_state("journal/damaged")
    try:
        path.rename(target / path.name)
    except FileNotFoundError:
        return  # another process was faster


def needs_check(repo: Repository) -> bool:
    """Whether an earlier boot left files of the log that this process has not looked at."""
    return repo.common_dir not in _checked and bool(_left_by_another_boot(repo))


def check(repo: Repository) -> None:
    """After power loss: make the objects and the branch what they were when the last move of the branch returned.

    Writes:
        Torn and missing objects; the branch, forward; removes journals that were recorded, and a lock file of the
        branch that an earlier boot left.
    """
    if not needs_check(repo):
        _checked.add(repo.common_dir)
        return
    with repo.lock:
        logs = []
        for path in _left_by_another_boot(repo):
            logged = read_log(path)
            if logged is None:
                path.unlink(missing_ok=True)
            else:
                logs.append(logged)
        for logged in logs:
            for oid, packed in logged.objects.items():
                repo.objects.restore(oid, packed)
        repo.objects.close()  # git remembers what it did not find
        _mend_ref(repo, logs)
        _settle(repo, logs)
        _checked.add(repo.common_dir)


def sweep(repo: Repository, *, everything: bool = False) -> int:
    """Remove logs whose objects are known to be synced; returns how many.

    Called after each commit, so it is quick: what is a minute old is synced, one by one, for as long as the budget
    lasts; what is a quarter of an hour old was written by the kernel long ago.

    Args:
        repo: The repository.
        everything: Also the young ones; this may take seconds.
    """
    now = time.monotonic()
    if not everything and now - _last_sweep.get(repo.common_dir, -_AGE_S) < _AGE_S / 2:
        return 0
    _last_sweep[repo.common_dir] = now
    if everything:
        getattr(os, "sync", lambda: None)()
    present = machine()[1]
    swept = 0
    for path in list_logs(repo.object_log.folder):
        try:
            age = time.time() - path.stat().st_mtime
            if not everything:
                if _boot_of(path.name) != present or age < _AGE_S:
                    continue
                if age < _OLD_AGE_S:
                    if time.monotonic() - now > _BUDGET_S:
                        break
                    _sync_logged(repo, path)
            path.unlink()
            swept += 1
        except (FileNotFoundError, PermissionError):
            continue  # another process sweeps too, or it is another user's
    return swept


def supersede(repo: Repository, commits: Collection[str]) -> None:
    """Before a rewrite of the branch `runs`: see that no log brings back the commits that are replaced.

    First the branch is synced as it stands, so that the logs of its moves are needed no more; then those that moved it
    to one of `commits` are marked as unmoved. Their objects stay protected. With the branch the removal of journals is
    synced: none of those whose log is marked here comes back after power loss. Of the rewrite itself the log of its own
    move tells, as of any other.

    Args:
        repo: The repository.
        commits: The commits that the branch will not hold any more. A move to any other is another process's, which
            may be under way: its log is left alone.

    Writes:
        Names of files in the log of objects; no ref.
    """
    ref = repo.common_dir / repo.runs_ref
    if not sync_file(ref):
        sync_file(repo.common_dir / "packed-refs")
    folder = repo.object_log.folder
    for each in (ref.parent, repo.common_dir, folder.parent):
        _sync_folder(each)
    for path in list_logs(folder):
        with suppress(FileNotFoundError, PermissionError):  # swept by another process, or another user's
            if any(name == repo.runs_ref and new in commits for name, new, _ in read_moves(path)):
                disown(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not there yet, or this system cannot open folders
        sync_file(folder)


def _sync_logged(repo: Repository, path: Path) -> None:
    logged = read_log(path)
    if logged is not None:
        for oid in logged.objects:
            sync_file(repo.objects.path(oid))  # no such file: packed meanwhile, and git syncs its packs
        for ref, _, _ in logged.moves:
            sync_file(repo.common_dir / ref)


def is_ancestor(repo: Repository, commit: str, tip: str) -> bool:
    """Whether `tip` leads back to `commit`."""
    code, _ = repo.git("merge-base", "--is-ancestor", commit, tip, allowed=(0, 1, 128))
    return code == 0


def _boot_of(name: str) -> str:
    return name.partition("~")[0].partition("-")[2]


def _left_by_another_boot(repo: Repository) -> list[Path]:
    """The logs to look at. Those of a machine that shares the disk and may live are left to it, for a while."""
    host, present = machine()
    folder, limit = repo.object_log.folder, time.time() - _FOREIGN_AGE_S
    if all(_boot_of(name) == present for name in log_names(folder)):
        return []
    found = []
    for path in list_logs(folder):
        try:
            if _boot_of(path.name) != present and (path.name.startswith(f"{host}-") or path.stat().st_mtime < limit):
                found.append(path)
        except FileNotFoundError:
            continue
    return found


def _mend_ref(repo: Repository, logs: list[Logged]) -> None:
    """Bring the branch to the newest commit that was logged for it, if that is forward or rewrites what is there."""
    ref = repo.runs_ref
    _remove_stale_lock(repo, ref)
    moves = [(new, old) for logged in logs for name, new, old in logged.moves if name == ref and new is not None]
    tip = repo.refs.read(ref)
    if tip is None:
        file = repo.common_dir / ref
        if file.is_file() and not is_object_id(file.read_text(errors="replace").removesuffix("\n")):
            file.unlink()  # torn: git can neither read nor replace it; an older value may be packed
            moves = [(new, None) for new in _reflog(repo, ref)] + moves
            tip = repo.refs.read(ref)
    for _ in range(len(moves)):  # beyond a rewrite there may be further moves
        step = _next_move(repo, moves, tip)
        if step is None:
            return
        try:
            repo.refs.update([RefUpdate(ref, step, tip)])
        except (RefMoved, RefBlocked):
            return  # another process is at it
        tip = step


def _next_move(repo: Repository, moves: list[tuple[str, str | None]], tip: str | None) -> str | None:
    """The newest commit that was logged and that the branch may go to; None if it is there, or nowhere to go."""
    for new, old in reversed(moves):
        if new == tip:
            return None
        if repo.refs.read(new) is not None and (tip is None or tip == old or is_ancestor(repo, tip, new)):
            return new
    return None


def _settle(repo: Repository, logs: list[Logged]) -> None:
    """What was recorded is not recorded again; what was lost is told."""
    tip = repo.refs.read(repo.runs_ref)
    recorded: set[str] = set()
    lost: list[tuple[Logged, str]] = []
    for logged in logs:
        moved = [new for ref, new, _ in logged.moves if ref == repo.runs_ref and new is not None]
        if all(tip is not None and is_ancestor(repo, new, tip) for new in moved):
            recorded.update(logged.journals)
            logged.path.unlink(missing_ok=True)
        else:
            lost.append((logged, moved[-1]))
    for name in recorded:
        for path in _journals(repo, name):
            path.unlink(missing_ok=True)
    for logged, commit in lost:
        if logged.journals and all(name in recorded or _journals(repo, name) for name in logged.journals):
            logged.path.unlink(missing_ok=True)  # recorded by a later attempt, or to be recorded again
            continue
        set_aside(repo, logged.path)
        warnings.warn(
            f"The commit {commit} was on `{repo.runs_ref}` before this machine lost power, and the branch has gone on "
            f"without it. It is kept in {repo.state_dir / 'journal' / 'damaged'}; look at it: `git show {commit}`",
            LostCommitWarning,
            stacklevel=2,
        )


def _journals(repo: Repository, name: str) -> list[Path]:
    paths = [repo.state_dir / "journal" / f"{name}{state}" for state in (".live", ".ended")]
    return [path for path in paths if path.exists()]


def _reflog(repo: Repository, ref: str) -> list[str]:
    try:
        text = (repo.common_dir / "logs" / ref).read_text(errors="replace")
    except FileNotFoundError:
        return []
    lines = (line.split(" ", 2) for line in text.split("\n"))
    return [parts[1] for parts in lines if len(parts) == 3 and is_object_id(parts[1])]


def _remove_stale_lock(repo: Repository, ref: str) -> None:
    """A git that lost power leaves its lock file, which bars the ref for ever; what lived then is dead now."""
    lock = repo.common_dir / f"{ref}.lock"
    try:
        up = time.clock_gettime(time.CLOCK_BOOTTIME)
        if lock.stat().st_mtime < time.time() - up - 1:
            lock.unlink()
    except (FileNotFoundError, AttributeError):
        return
