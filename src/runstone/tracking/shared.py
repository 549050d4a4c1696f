"""Runs that any thread or process may log to and end, call by call: what MLflow's stores need.

`edit` is the one way to change such a run: under the run's lock, all that a block adds is written with one append when
it ends, or nothing. What is added to a run that has ended waits a moment, so that many calls become one commit.
"""

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from typing import Any

from runstone import names
from runstone.errors import RunEnded, RunExists, RunIsLive, RunstoneError
from runstone.git.repository import Repository
from runstone.git.runs import journal, journal_file, live, shared
from runstone.records.experiment import Experiment
from runstone.records.run import Run
from runstone.tracking import ids, values
from runstone.tracking.capture import Capture
from runstone.tracking.read import is_taken, need_recorded
from runstone.tracking.shared_edit import Edit, Known
from runstone.tracking.texts import RUN_NAME_TAG, RunTexts
from runstone.tracking.workspace import Workspace, all_workspaces

PARENT_TAG = "mlflow.parentRunId"
_OPEN = 1000
"""Runs whose params this process remembers."""


def begin(
    workspace: Workspace,
    experiment: Experiment,
    *,
    run_id: str | None = None,
    name: str | None = None,
    user: str | None = None,
    tags: Mapping[str, Any] | None = None,
    start_time: int | None = None,
    captured: bool = True,
    owned: bool = True,
    commit: str | None = None,
) -> Run:
    """Begin a run.

    Args:
        workspace: The repository.
        experiment: The experiment it belongs to.
        run_id: An id of the caller's own; made up if not given.
        name: What people call it; made up if not given.
        user: Who runs it; whoever this process belongs to, if not given.
        tags: Tags to begin with; the parent is among them.
        start_time: Unix milliseconds; now if not given.
        captured: Whether this process's code and environment are the run's. Then it is nested in the run that
            RUNSTONE_RUN_ID names, if that goes on, and repeats the one that RUNSTONE_RERUN_OF names.
        owned: Whether the run is cut short when this process dies.
        commit: The commit of its code, where that is told and not captured.

    Writes:
        A journal file; what is captured follows from threads.

    Raises:
        RunExists: The id is taken.
        InvalidName, InvalidValue: A name, id, tag or time cannot be recorded.
        ReadOnlyRepository, DiskFull: The repository cannot be written.
        WorkTreeDirty: A clean work tree is required, and it is not.
    """
    from runstone.tracking.environment import capture_user
    from runstone.tracking.run import RUN_VARIABLE, need_clean, repeated_by

    code = need_clean(workspace) if captured else None
    started = int(time() * 1000) if start_time is None else values.time_value("start_time", start_time, is_date=True)
    if run_id is not None and is_taken(workspace, names.check_run_id(run_id)):
        raise RunExists(run_id)
    tags = dict(tags or {})
    parent = tags.pop(PARENT_TAG, None)
    around = os.environ.get(RUN_VARIABLE) if captured and parent is None else None
    if around is not None and around in live.list_live(workspace.repo):
        parent = around
    name = names.check_name("run name", name or tags.pop(RUN_NAME_TAG, None) or ids.new_run_name())
    tags.pop(RUN_NAME_TAG, None)
    begun = Run(
        id=run_id or ids.new_run_id(),
        name=workspace.redactor.text(name),
        experiment=experiment.name,
        experiment_id=experiment.experiment_id,
        status="RUNNING",
        user=user if user is not None else capture_user(),
        started=started,
        parent=names.check_run_id(str(parent)) if parent is not None else None,
        rerun_of=repeated_by(parent) if captured else None,
    )
    texts = RunTexts(workspace, begun)
    events = texts.tag_events(tags)
    if not captured:
        events.insert(0, (journal.SOURCE, {"commit": commit} if commit else {}))
    header = _header(begun) | {"role": journal.START}
    path = shared.begin(workspace.repo, begun.id, header, events, owned=owned)
    _keep(workspace, Known(workspace, path, begun, has_ended=False, texts=texts))
    if captured:
        _captures[begun.id] = Capture(workspace, _Sink(workspace.repo, begun.id, path), code=code)
    return begun


@contextmanager
def edit(workspace: Workspace, run_id: str, *, resume: bool = False, owned: bool = False) -> Iterator[Edit]:
    """Change a run: what the block adds is written when it ends, all of it, or, if it raises, nothing.

    Args:
        workspace: The repository.
        run_id: The run; live or ended.
        resume: Whether a run that has ended is taken up again.
        owned: Whether it is then cut short when this process dies.

    Yields:
        What to add to.

    Writes:
        One append to the run's journal. A run that is ended by it is committed before this returns; what is added to
        one that had ended is committed a moment later, or by `flush`.

    Raises:
        RunNotFound: No run has this id.
        RunstoneError: It is deleted, or cannot be written to; and what ending it raises.
    """
    with journal_file.shared_lock(workspace.repo, run_id):
        known = _catch_up(workspace, run_id, resume=resume, owned=owned)
        change = Edit(workspace, known)
        try:
            yield change
            if change.is_end:
                _wait_captured(run_id)
            change.write()
            if change.is_end:
                _forget(workspace.repo, run_id)
        except BaseException:
            _forget(workspace.repo, run_id)  # it may hold what was not written
            raise
    if change.is_end:
        finish(workspace, run_id)


def finish(workspace: Workspace, run_id: str) -> None:
    """Commit a run that was ended; what follows an end, as a sync in the background, follows."""
    workspace.drain(own=run_id)
    if workspace.repo.config.push == "auto":
        from runstone.tracking import autosync

        autosync.begin(workspace)


def checkpoint(workspace: Workspace, run_id: str) -> None:
    """Commit what a live run has logged so far, as RUNNING, and let it go on; a run that has ended is committed whole.

    Raises:
        RunNotFound: No run has this id.
        RunIsLive: A process logs to it that does so with a journal of its own.
    """
    with journal_file.shared_lock(workspace.repo, run_id):
        path = shared.find(workspace.repo, run_id)
        if path is not None:
            _wait_captured(run_id)
            _hand_on(workspace, run_id, path)
        elif run_id in live.list_live(workspace.repo):
            raise RunIsLive(run_id, "committed")
        else:
            need_recorded(workspace, run_id)
    if path is not None:
        finish(workspace, run_id)


def flush(workspace: Workspace, run_id: str | None = None) -> None:
    """Commit what was added to ended runs, by any process; to one run, if it is named."""
    ended = False
    for entry in journal.list_entries(workspace.repo):
        if entry.live and entry.is_shared and run_id in (None, entry.run_id):
            with journal_file.shared_lock(workspace.repo, entry.run_id):
                if (journal.read_header(entry.path) or {}).get("role") == journal.JOIN and entry.path.exists():
                    shared.append(entry.path, (), [(journal.LEAVE, None)])
                    shared.hand_over(entry.path)
                    ended = True
    if ended:
        workspace.drain()


def commit_idle(workspace: Workspace, idle_s: float) -> list[str]:
    """Commit the runs that no process owns and nobody has written to for `idle_s`; they go on as RUNNING.

    Returns:
        Their ids.

    Writes:
        A commit a run. A run that nobody has written to for a day is recorded as FAILED.
    """
    done = []
    for entry in shared.idle(workspace.repo, idle_s):
        with suppress(RunIsLive):
            checkpoint(workspace, entry.run_id)
            done.append(entry.run_id)
    flush(workspace)
    workspace.recover()
    return done


class _Sink:
    """Where the capture of a run writes to: its journal as long as it is live."""

    def __init__(self, repo: Repository, run_id: str, path: Path) -> None:
        self._repo = repo
        self._run_id = run_id
        self._path = path

    @property
    def repo(self) -> Repository:
        """The repository."""
        return self._repo

    def events(self, events: Iterable[shared.Line]) -> None:
        """Append lines; raises `RunEnded`. Without the run's lock: its end, which has it, waits for this."""
        try:
            shared.append(self._path, (), list(events))
        except FileNotFoundError:
            raise RunEnded(self._run_id) from None


# --- inside

_known: "OrderedDict[tuple[Path, str], Known]" = OrderedDict()
_known_guard = threading.Lock()
_captures: dict[str, Capture] = {}
_watching = False


def _catch_up(workspace: Workspace, run_id: str, *, resume: bool, owned: bool) -> Known:
    """What is known of a run, whose journal is begun if it has none; the caller has the run's lock."""
    key = (workspace.repo.common_dir, run_id)
    known = _known.get(key)
    if known is not None and not (resume and known.has_ended):
        try:
            known.catch_up()
            return known
        except FileNotFoundError:
            _forget(workspace.repo, run_id)
    path = shared.find(workspace.repo, run_id)
    if path is not None and resume and (journal.read_header(path) or {}).get("role") == journal.JOIN:
        shared.append(path, (), [(journal.LEAVE, None)])
        shared.hand_over(path)
        path = None
    known = _open(workspace, run_id, resume, owned) if path is None else _known_of(workspace, run_id, path)
    known.catch_up()
    _keep(workspace, known)
    return known


def _keep(workspace: Workspace, known: Known) -> None:
    with _known_guard:
        _known[workspace.repo.common_dir, known.run.id] = known
        while len(_known) > _OPEN:
            _known.popitem(last=False)


def _known_of(workspace: Workspace, run_id: str, path: Path) -> Known:
    """Of a journal that another process, or an earlier call, has begun."""
    header = journal.read_header(path) or {}
    found = live.read_live(workspace.repo, run_id)
    if found is None:
        raise RunEnded(run_id)
    is_guest = header.get("role") == journal.JOIN and found.status == "RUNNING"
    return Known(workspace, path, found, has_ended=found.status != "RUNNING", is_guest=is_guest)


def _open(workspace: Workspace, run_id: str, resume: bool, owned: bool) -> Known:
    """Begin a journal for a run that has none that is shared: it was committed, or logs to one of its process's own."""
    repo = workspace.repo
    known = live.compose_live(repo, run_id) or need_recorded(workspace, run_id)
    run = known.run
    if run.lifecycle == "deleted":
        raise RunstoneError(f"Run {run_id} is deleted. Restore it: `runstone runs restore {run_id}`")
    is_guest = run.status == "RUNNING" and live.is_open(repo, run_id)
    header = _header(run) | {"folder": known.folder, "role": journal.JOIN}
    if run.status == "RUNNING" and not is_guest:
        header["role"] = journal.CONTINUE  # it was committed while it went on
    elif resume and not is_guest:
        header |= {"role": journal.RESUME, "resumed": int(time() * 1000)}
    else:
        header[journal.LOST_AFTER_S] = shared.ADDED_AFTER_S
        _watch()
    path = shared.begin(repo, run_id, header, (), owned=owned and resume)
    return Known(workspace, path, run, has_ended=header["role"] == journal.JOIN and not is_guest, is_guest=is_guest)


def _hand_on(workspace: Workspace, run_id: str, path: Path) -> None:
    """Let a journal be committed, and begin the one that its run goes on with; the caller has the run's lock."""
    header = journal.read_header(path) or {}
    if header.get("role") == journal.JOIN:
        shared.append(path, (), [(journal.LEAVE, None)])
    else:
        known = _known.get((workspace.repo.common_dir, run_id))
        if known is not None and known.unsynced:
            workspace.artifacts.sync(known.unsynced)
        composed = live.compose_live(workspace.repo, run_id)
        if composed is None:
            raise RunEnded(run_id)
        shared.append(path, (), [(journal.END, {"status": "RUNNING"})])
        # Before the other is handed over: a run that is looked at in between has a journal that is live.
        shared.begin(workspace.repo, run_id, shared.lives_on(header, composed.folder), (), owned=False)
    shared.hand_over(path)
    _forget(workspace.repo, run_id)


def _forget(repo: Repository, run_id: str) -> None:
    with _known_guard:
        _known.pop((repo.common_dir, run_id), None)


def _wait_captured(run_id: str) -> None:
    capture = _captures.pop(run_id, None)
    if capture is not None:
        capture.wait()


def _header(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "experiment": run.experiment,
        "experiment_id": run.experiment_id,
        "started": run.started,
        "user": run.user,
        "parent": run.parent,
        "rerun_of": run.rerun_of,
    }


def _watch() -> None:
    """See that what waits is committed when this process ends."""
    global _watching
    if not _watching:
        _watching = True
        atexit.register(_at_exit)


def _at_exit() -> None:
    for workspace in all_workspaces():
        with suppress(RunstoneError, OSError):  # it stays in its journal, which the next command commits
            flush(workspace)
