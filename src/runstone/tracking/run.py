"""Begin a run, take one up again, join one; and end all that this process has open when it ends.

What is slow (the state of the work tree, the list of packages) is captured in threads and written to the journal when
it is known, so that a killed run has it too.
"""

from collections.abc import Mapping
from dataclasses import replace
from time import time
from typing import Any

from runstone import names
from runstone.errors import RunExists, RunIsLive, RunstoneError, UsageError
from runstone.git import journal, live
from runstone.git.journal import Writer
from runstone.records.experiment import Experiment
from runstone.records.run import Run
from runstone.tracking import exits, ids, values
from runstone.tracking.capture import Capture
from runstone.tracking.environment import capture_user
from runstone.tracking.log import NOTE_TAG as NOTE_TAG
from runstone.tracking.log import RUN_NAME_TAG as RUN_NAME_TAG
from runstone.tracking.log import ActiveRun as ActiveRun
from runstone.tracking.read import is_taken, need_recorded
from runstone.tracking.workspace import Workspace, all_workspaces

PARENT_TAG = "mlflow.parentRunId"


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

    Writes:
        A journal file; the work tree's state and the packages follow from threads.

    Raises:
        RunExists: The id is taken.
        InvalidName: A name, id or key cannot be used.
        InvalidValue: A tag or the time cannot be recorded.
        ReadOnlyRepository: The repository cannot be written.
    """
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
    )
    active = _open(workspace, begun, {"role": journal.START})
    try:
        if tags or description:
            active.set_tags(tags | ({NOTE_TAG: description} if description else {}))
    except RunstoneError:
        active.abandon()
        raise
    return active


def resume_run(workspace: Workspace, run_id: str) -> ActiveRun:
    """Take an ended run up again: what is logged now is added to its record, as a further attempt.

    Raises:
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
    return _open(workspace, replace(recorded.run, status="RUNNING", ended=None), header)


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


def _open(workspace: Workspace, begun: Run, header: Mapping[str, Any], *, captured: bool = True) -> ActiveRun:
    about = {
        "name": begun.name,
        "experiment": begun.experiment,
        "experiment_id": begun.experiment_id,
        "started": begun.started,
        "user": begun.user,
        "parent": begun.parent,
    }
    writer = Writer(workspace.repo, begun.id, {**header, **about})
    active = ActiveRun(workspace, writer, begun, capture=Capture(workspace, writer) if captured else None)
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
