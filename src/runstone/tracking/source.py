"""Where the code of a run came from: command, directory, notebook, HEAD, branch, snapshot and remote.

The snapshot is taken by a thread of `capture`. No absolute path leaves this module.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from runstone.errors import GitFailed, GitMissing
from runstone.git.code.leftout import LeftOut, to_documents
from runstone.git.code.snapshot import Snapshot, take_snapshot
from runstone.git.repository import Repository
from runstone.records.document import Document
from runstone.records.run import Source
from runstone.tracking.command import Place, printable, process_command, process_notebook
from runstone.tracking.script import OUTSIDE, find_outside
from runstone.tracking.secrets import Redactor, callers_frame

_REMOTE_URL = re.compile(r"remote\.(?P<name>.+)\.url", re.DOTALL)
_LOCAL = re.compile(r"file:|/|\\|[A-Za-z]:[\\/]|[A-Za-z]:$", re.IGNORECASE)
_TOLD = 10
"""How many paths a warning names; the record names more."""
_told: set[tuple[str, str]] = set()
"""What this process has warned of: a repository and a text. A thousand runs of one tree lack the same files."""


class SourceUnknown(UserWarning):
    """git could not say which code a run runs; the run is recorded without commit and branch."""


class SnapshotIncomplete(UserWarning):
    """The code snapshot of a run does not hold all of the work tree, or could not be made."""


class SourceCapture:
    """The source of a run as it is now. Command and directory are taken at once; `result` asks git, once.

    Args:
        repo: The repository; None outside git code. Without a work tree only the command and the remote are known.
        redactor: Hides secrets in the command.
        cwd: The working directory, if not the process's.
        command: The command line, if not the process's.
        read: What `runstone run` was told to read of that command.
        known: The state of the work tree, if it was asked for already and is clean.
    """

    def __init__(
        self,
        repo: Repository | None = None,
        *,
        redactor: Redactor | None = None,
        cwd: Path | None = None,
        command: Sequence[str] | None = None,
        read: Document | None = None,
        known: Snapshot | None = None,
    ) -> None:
        redactor = redactor or Redactor()
        cwd = cwd or _current_directory()
        work_tree = repo.work_tree if repo is not None else None
        place = Place(cwd, work_tree)
        argv = process_command() if command is None else command
        # The command of a worker process is that of its parent, in `sys.argv`; else it stands there as it was typed.
        self._outside = find_outside(argv, cwd, work_tree) if work_tree is not None else None
        frame = callers_frame()
        self._line = (frame.f_code.co_filename, frame.f_lineno)
        notebook = process_notebook() if command is None else None
        self._known = Source(
            command=place.shorten_command(redactor.command(argv)),
            directory=place.directory(),
            remote=remote_url(repo.git_config, redactor) if repo is not None else None,
            notebook=place.inside(notebook) if notebook is not None else None,
            capture=read,
        )
        self._repo, self._snapshot = repo, known
        self._found: Source | None = None

    def result(self) -> Source:
        """The source; the first call takes the code snapshot.

        Writes:
            What `take_snapshot` does.

        Warns:
            SourceUnknown: git failed; what it would have said is None.
            SnapshotIncomplete: The snapshot lacks something, or could not be made.
        """
        if self._found is None:
            self._found = self._ask()
        return self._found

    def _ask(self) -> Source:
        if self._repo is None or self._repo.work_tree is None:
            return self._known
        try:
            found = self._snapshot or take_snapshot(
                self._repo, self._repo.config.snapshot, notebook=self._known.notebook
            )
        except (GitFailed, GitMissing, OSError) as error:
            self._warn(SourceUnknown, f"The run is recorded without its commit and branch: {error}")
            return self._known
        if found.failure is not None:
            text = f"The run is recorded without a snapshot of its code, which differs from HEAD: {found.failure}"
            self._warn(SnapshotIncomplete, text)
        if found.left_out:
            self._warn(SnapshotIncomplete, _tell(found.left_out))
        left_out = list(found.left_out)
        if self._outside is not None:
            name = _visible(self._outside)
            self._warn(SnapshotIncomplete, f"{name}: {OUTSIDE}. Copy it into the repository, and run it there.")
            left_out.append(LeftOut(self._outside, OUTSIDE))
        return replace(
            self._known,
            commit=found.head,
            branch=found.branch,
            snapshot=found.commit,
            dirty=found.dirty,
            left_out=to_documents(left_out),
        )

    def _warn(self, category: type[Warning], text: str) -> None:
        """Warn once a process, at the line of the user's that began the run: this may be another thread."""
        assert self._repo is not None
        key = (str(self._repo.common_dir), text)
        if key not in _told:
            _told.add(key)
            warnings.warn_explicit(text, category, *self._line)


def _tell(left_out: Sequence[LeftOut]) -> str:
    lines = [f"\n  {_visible(one.path)}: {one.reason}" for one in left_out[:_TOLD]]
    if len(left_out) > _TOLD:
        lines.append(f"\n  and {len(left_out) - _TOLD:,} more")
    return (
        "The code snapshot of the run does not hold all of the work tree as it is:"
        f"{''.join(lines)}\nIgnore what is not code (.gitignore), commit what is, or set `snapshot` in runstone.yaml."
    )


def _visible(path: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in printable(path))


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
