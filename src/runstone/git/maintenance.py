"""git's own housekeeping, begun where Runstone has written many loose objects; `git commit` would begin it itself.

It is a process of its own that outlives this one; nothing waits for it and nothing fails for it. How many loose objects
there are is guessed as `git gc --auto` does, from one of the 256 folders that they lie in.
"""

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from runstone.git.process import clean_environment
from runstone.git.repository import Repository

STAMP = "maintenance"
"""The file in Runstone's folder that tells when it was begun last."""

_SAMPLE = "17"  # the folder that git looks at: builtin/gc.c, `too_many_loose_objects`
_DEFAULT_LOOSE = 6700
_AGAIN_S = 3600
_LOOK_EVERY_S = 10.0
_looked: dict[Path, float] = {}
_begun: "list[subprocess.Popen[bytes]]" = []
"""Processes that this one began; they are looked at again only so that none stays a zombie."""


def begin_if_due(repo: Repository) -> bool:
    """Begin `git maintenance run --auto` beside this process, if there are many loose objects; at most once an hour.

    `gc.auto=0` and `maintenance.auto=false` turn it off. Inside a hook that has its objects in quarantine it does
    nothing. Called after each commit of a run: it looks every ten seconds at most, at one folder.

    Returns:
        Whether it was begun.

    Writes:
        The time of a stamp file; what git does is git's.
    """
    now = time.monotonic()
    if now - _looked.get(repo.common_dir, -_LOOK_EVERY_S) < _LOOK_EVERY_S:
        return False
    _looked[repo.common_dir] = now
    _begun[:] = [process for process in _begun if process.poll() is None]
    try:
        if "GIT_QUARANTINE_PATH" in os.environ or not _is_due(repo):
            return False
        (repo.state_dir / STAMP).touch()
        _begin(repo)
    except OSError:
        return False  # read-only, full, or no more processes: git will be asked another time
    return True


def _is_due(repo: Repository) -> bool:
    with os.scandir(repo.common_dir / "objects" / _SAMPLE) as found:
        count = sum(1 for _ in found)
    if count <= -(-_number(repo, "gc.auto", _DEFAULT_LOOSE) // 256) or not _is_wanted(repo):
        return False
    with suppress(FileNotFoundError):
        return time.time() - (repo.state_dir / STAMP).stat().st_mtime > _AGAIN_S
    return True


def _is_wanted(repo: Repository) -> bool:
    is_off = repo.git_config.get("maintenance.auto", "true").lower() in ("false", "no", "off", "0")
    return not is_off and _number(repo, "gc.auto", _DEFAULT_LOOSE) > 0


def _number(repo: Repository, key: str, default: int) -> int:
    try:
        return int(repo.git_config[key])
    except (KeyError, ValueError):
        return default


def _begin(repo: Repository) -> None:
    _begun.append(
        subprocess.Popen(
            ["git", f"--git-dir={repo.common_dir}", "maintenance", "run", "--auto", "--quiet"],
            cwd=repo.common_dir,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=os.name == "posix",
        )
    )
