"""Where the code of a run came from: command, directory, HEAD, branch, cleanliness and remote.

git is asked once, by a thread of `capture`. `core.fsmonitor` is off for that question: the answer must come from
the files themselves, and asking must start no daemon. No absolute path leaves this module.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from runstone.errors import GitFailed, GitMissing
from runstone.git.process import run_git
from runstone.records.run import Source
from runstone.tracking.command import Place, printable, process_command
from runstone.tracking.secrets import Redactor

_REMOTE_URL = re.compile(r"remote\.(?P<name>.+)\.url", re.DOTALL)
_LOCAL = re.compile(r"file:|/|\\|[A-Za-z]:[\\/]|[A-Za-z]:$", re.IGNORECASE)


class SourceUnknown(UserWarning):
    """git could not say which code a run runs; the run is recorded without commit and branch."""


class WorkTreeState(NamedTuple):
    """What `git status` says: HEAD and its branch, and whether the tree differs from it."""

    commit: str | None
    branch: str | None
    dirty: bool


class SourceCapture:
    """The source of a run as it is now. Command and directory are taken at once; `result` asks git, once.

    Args:
        git_dir: The work tree's git directory.
        work_tree: Its top; None in a bare repository or outside git code: then only the command and the
            remote are known.
        config: git's configuration, lower-case `section.name` → value.
        redactor: Hides secrets in the command.
        cwd: The working directory, if not the process's.
        command: The command line, if not the process's.
    """

    def __init__(
        self,
        *,
        git_dir: Path | None = None,
        work_tree: Path | None = None,
        config: Mapping[str, str] | None = None,
        redactor: Redactor | None = None,
        cwd: Path | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        redactor = redactor or Redactor()
        place = Place(cwd or _current_directory(), work_tree)
        argv = process_command() if command is None else command
        self._known = Source(
            command=place.shorten_command(redactor.command(argv)),
            directory=place.directory(),
            remote=remote_url(config or {}, redactor),
        )
        self._git_dir, self._work_tree = git_dir, work_tree
        self._found: Source | None = None

    def result(self) -> Source:
        """The source; the first call asks git. `snapshot` is HEAD where the tree is clean, else None.

        Warns:
            SourceUnknown: git failed; what it would have said is None.
        """
        if self._found is None:
            self._found = self._ask()
        return self._found

    def _ask(self) -> Source:
        if self._git_dir is None or self._work_tree is None:
            return self._known
        try:
            state = work_tree_state(self._git_dir, self._work_tree)
        except (GitFailed, GitMissing, OSError) as error:
            warnings.warn(f"The run is recorded without its commit and branch: {error}", SourceUnknown, stacklevel=3)
            return self._known
        return replace(
            self._known,
            commit=state.commit,
            branch=state.branch,
            snapshot=None if state.dirty else state.commit,
            dirty=state.dirty,
        )


def work_tree_state(git_dir: Path, work_tree: Path) -> WorkTreeState:
    """Ask git once; the user's index is not rewritten.

    Returns:
        HEAD (None before the first commit), its branch (None when detached), and whether there are tracked
        edits, changed submodules, or files neither tracked nor ignored.

    Raises:
        GitFailed: git refuses, or the repository is broken.
        GitMissing: There is no git.
    """
    options = ["-c", "core.fsmonitor=false", "--no-optional-locks", f"--git-dir={git_dir}", f"--work-tree={work_tree}"]
    question = ["status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal", "--ignore-submodules=none"]
    _, out = run_git([*options, *question, "--no-renames", "--no-ahead-behind"], cwd=work_tree)
    commit = branch = None
    dirty = False
    for line in out.split(b"\0"):
        if line.startswith(b"# branch.oid "):
            oid = line[13:].decode()
            commit = None if oid == "(initial)" else oid
        elif line.startswith(b"# branch.head "):
            head = line[14:].decode("utf-8", "replace")
            branch = None if head == "(detached)" else head
        elif line and not line.startswith(b"#"):
            dirty = True
            break
    return WorkTreeState(commit, branch, dirty)


def remote_url(config: Mapping[str, str], redactor: Redactor) -> str | None:
    """The URL of `origin`, or of the only remote, without credentials; None for a folder of this machine."""
    urls = {m["name"]: url for key, url in config.items() if (m := _REMOTE_URL.fullmatch(key)) and url}
    url = urls.get("origin") or (next(iter(urls.values())) if len(urls) == 1 else None)
    if url is None or _LOCAL.match(url):
        return None
    return redactor.url(printable(url))


def _current_directory() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None  # removed under our feet
