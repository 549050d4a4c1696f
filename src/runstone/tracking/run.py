"""Begin a run, take one up again, join one; and end all that this process has open when it ends.

What is slow (the state of the work tree, the list of packages) is captured in threads and written to the journal when
it is known, so that a killed run has it too.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from runstone import names
from runstone.errors import RunExists, RunIsLive, RunstoneError, UsageError, WorkTreeDirty
from runstone.git.runs import journal, live
from runstone.git.runs.journal import Writer
from runstone.records.document import Document
from runstone.records.experiment import Experiment
from runstone.records.run import Run
from runstone.tracking import exits, ids, values
from runstone.tracking.log import ActiveRun as ActiveRun
from runstone.tracking.read import is_taken, need_recorded
from runstone.tracking.texts import NOTE_TAG as NOTE_TAG
from runstone.tracking.texts import RUN_NAME_TAG as RUN_NAME_TAG
from runstone.tracking.workspace import Workspace, all_workspaces

if TYPE_CHECKING:  # imported where a run begins: whoever only loads a model needs none of it
    from runstone.git.code.snapshot import Snapshot

PARENT_TAG = "mlflow.parentRunId"
CLEAN_VARIABLE = "RUNSTONE_REQUIRE_CLEAN"
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")

RUN_VARIABLE = "RUNSTONE_RUN_ID"
"""Names the run that a process belongs to; `runstone run` sets it."""

RERUN_VARIABLE = "RUNSTONE_RERUN_OF"
"""Names the run that the runs of this process repeat; `runstone rerun` sets it."""


def start_run(
    workspace: Workspace,
    experiment: Experiment,
    *,
    run_id: str | None = None,
    name: str | None = None,
    parent: str | None = None,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    start_time: int | None = None,
    command: Sequence[str] | None = None,
    cwd: Path | None = None,
    capture: Document | None = None,
    rerun_of: str | None = None,
    require_clean: bool | None = None,
    code: "Snapshot | None" = None,
) -> ActiveRun:
    """Begin a run.

    Args:
        workspace: The repository.
        experiment: The experiment it belongs to.
        run_id: An id of the caller's own; made up if not given.
        name: What people call it; made up if not given.
        parent: The id of the run it is nested in.
        tags: Tags to begin with.
        description: Notes to begin with.
        start_time: Unix milliseconds; now if not given.
        command: The command line to record, if it is not that of this process.
        cwd: The working directory to record, likewise.
        capture: What `runstone run` was told to read of that command.
        rerun_of: The id of the run it repeats; of a run that is nested in no other, else what RUNSTONE_RERUN_OF says.
        require_clean: Refuse the run unless its code is a commit; if not given, as RUNSTONE_REQUIRE_CLEAN says, else
            `runstone.yaml`.
        code: What `need_clean` found, if the caller has asked.

    Writes:
        A journal file; the snapshot of the work tree and the packages follow from threads.

    Raises:
        WorkTreeDirty: A clean work tree is required, and it is not, or there is none.
        RunExists: The id is taken.
        InvalidName: A name, id or key cannot be used.
        InvalidValue: A tag or the time cannot be recorded.
        ReadOnlyRepository: The repository cannot be written.
    """
    from runstone.tracking.environment import capture_user

    now = int(time() * 1000)
    started = now if start_time is None else values.time_value("start_time", start_time, is_date=True)
    if run_id is not None:
        names.check_run_id(run_id)
        if is_taken(workspace, run_id):
            raise RunExists(run_id)
    tags = dict(tags or {})
    parent = str(tags.pop(PARENT_TAG)) if PARENT_TAG in tags else parent
    named = tags.pop(RUN_NAME_TAG, None)
    if name is not None and named is not None and name != named:
        raise UsageError(f"The run is named {name!r}, but the tag {RUN_NAME_TAG} says {named!r}. Give one of them.")
    name = names.check_name("run name", name or named or ids.new_run_name())
    begun = Run(
        id=run_id or ids.new_run_id(),
        name=workspace.redactor.text(name),
        experiment=experiment.name,
        experiment_id=experiment.experiment_id,
        status="RUNNING",
        user=capture_user(),
        started=started,
        parent=names.check_run_id(parent) if parent is not None else None,
        rerun_of=repeated_by(parent, rerun_of),
    )
    code = code or need_clean(workspace, require_clean)
    active = _open(workspace, begun, {"role": journal.START}, command=command, cwd=cwd, read=capture, code=code)
    try:
        if tags or description:
            active.set_tags(tags | ({NOTE_TAG: description} if description else {}))
    except RunstoneError:
        active.abandon()
        raise
    return active


def resume_run(workspace: Workspace, run_id: str, *, require_clean: bool | None = None) -> ActiveRun:
    """Take an ended run up again: what is logged now is added to its record, as a further attempt.

    Args:
        workspace: The repository.
        run_id: The run.
        require_clean: As for `start_run`.

    Raises:
        WorkTreeDirty: As for `start_run`.
        RunNotFound: No run has this id.
        RunIsLive: A process still logs to it.
        RunstoneError: It is deleted.
    """
    workspace.recover()
    if run_id in live.list_live(workspace.repo):
        raise RunIsLive(run_id, "taken up again")
    recorded = need_recorded(workspace, run_id)
    if recorded.run.lifecycle == "deleted":
        raise RunstoneError(f"Run {run_id} is deleted. Restore it: `runstone runs restore {run_id}`")
    header = {"role": journal.RESUME, "folder": recorded.folder, "resumed": int(time() * 1000)}
    code = need_clean(workspace, require_clean)
    return _open(workspace, replace(recorded.run, status="RUNNING", ended=None), header, code=code)


def join_run(workspace: Workspace, run_id: str) -> ActiveRun:
    """Log to a run that another process began, or add to an ended one without changing its status.

    Ending this handle leaves the run as it is; what was logged is in its record once its own process has ended it,
    at once if it has.

    Raises:
        RunNotFound: No run has this id.
    """
    found = live.compose_live(workspace.repo, run_id)
    if found is not None:
        return _open(workspace, found.run, {"role": journal.JOIN, "folder": found.folder}, captured=False)
    recorded = need_recorded(workspace, run_id)
    return _open(workspace, recorded.run, {"role": journal.JOIN, "folder": recorded.folder}, captured=False)


def repeated_by(parent: str | None, given: str | None = None) -> str | None:
    """The run that a new one repeats: the given one; for one that is nested in none, else what RUNSTONE_RERUN_OF says.

    Raises:
        InvalidName: It is no run's id.
    """
    repeated = given or (os.environ.get(RERUN_VARIABLE) if parent is None else None)
    return names.check_run_id(repeated) if repeated else None


def need_clean(workspace: Workspace, require_clean: bool | None = None) -> "Snapshot | None":
    """The state of the work tree where it must be clean, so that it is not asked for again; None where it need not be.

    Args:
        workspace: The repository.
        require_clean: Whether it must be; if not given, as RUNSTONE_REQUIRE_CLEAN says, else `runstone.yaml`.

    Raises:
        WorkTreeDirty: It is not, or there is no commit that holds the code.
        UsageError: The variable says neither yes nor no.
        GitFailed: git cannot say.
    """
    if require_clean is None:
        require_clean = _switch(CLEAN_VARIABLE)
    if not (workspace.repo.config.require_clean if require_clean is None else require_clean):
        return None
    if workspace.repo.work_tree is None:
        raise WorkTreeDirty(None)
    from runstone.git.code.snapshot import Snapshot, read_work_tree

    found = read_work_tree(workspace.repo)
    if found.changes or found.commit is None:
        raise WorkTreeDirty(found.commit, [change.path for change in found.changes])
    return Snapshot(found.commit, found.branch, found.commit, dirty=False)


def _switch(variable: str) -> bool | None:
    """What a variable of the environment says; None if it is not set."""
    text = os.environ.get(variable, "").strip().lower()
    if text in ("", *_ON, *_OFF):
        return text in _ON if text else None
    raise UsageError(f"{variable} must be 1 or 0, but is {text!r}.")


def _open(
    workspace: Workspace,
    begun: Run,
    header: Mapping[str, Any],
    *,
    captured: bool = True,
    command: Sequence[str] | None = None,
    cwd: Path | None = None,
    read: Document | None = None,
    code: "Snapshot | None" = None,
) -> ActiveRun:
    about = {
        "name": begun.name,
        "experiment": begun.experiment,
        "experiment_id": begun.experiment_id,
        "started": begun.started,
        "user": begun.user,
        "parent": begun.parent,
        "rerun_of": begun.rerun_of,
    }
    writer = Writer(workspace.repo, begun.id, {**header, **about})
    capture = None
    if captured:
        from runstone.tracking.capture import Capture

        capture = Capture(workspace, writer, command=command, cwd=cwd, read=read, code=code)
    active = ActiveRun(workspace, writer, begun, capture=capture)
    with workspace.lock:
        workspace.open_runs[begun.id] = active
    exits.watch(end_open_runs)
    return active


def is_live(workspace: Workspace, run_id: str) -> bool:
    """Whether a process still logs to a run; a run whose process died is recorded first, and is not."""
    workspace.recover()
    return run_id in live.list_live(workspace.repo)


def end_open_runs(status: str) -> None:
    """End every run this process has open, the innermost first; called when the process ends.

    Every run is tried: the error of one must not keep another from being recorded.
    """
    failure: Exception | None = None
    for workspace in all_workspaces():
        for active in reversed(list(workspace.open_runs.values())):
            try:
                active.end(status)
            except Exception as error:
                failure = error
    if failure is not None:
        raise failure


def find_open(workspace: Workspace, run_id: str) -> ActiveRun | None:
    """The handle this process has on a run, if it is open."""
    found = workspace.open_runs.get(run_id)
    return found if found is not None and found.is_open else None
