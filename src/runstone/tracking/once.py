"""A run in one call: begun, filled and ended, or added to; for shells, where no process stays to log from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

from runstone.errors import InvalidValue, RunstoneError
from runstone.records.metric import Metric
from runstone.records.run import STATUSES
from runstone.tracking import edit
from runstone.tracking.experiment import DEFAULT, ensure_experiment
from runstone.tracking.run import ActiveRun, find_open, is_live, join_run, start_run
from runstone.tracking.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Logged:
    """What is logged in one go.

    Attributes:
        params: Key to value.
        points: `(key, value, step)`.
        tags: Key to text.
        artifacts: A file or folder, and the folder among the run's artifacts that it goes to; "" is the top.
        note: Markdown; None for none.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    points: Sequence[tuple[str, float, int]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Sequence[tuple[Path, str]] = ()
    note: str | None = None


def record_run(
    workspace: Workspace,
    logged: Logged,
    *,
    experiment: str | None = None,
    name: str | None = None,
    parent: str | None = None,
    status: str = "FINISHED",
) -> str:
    """Record a whole run and return its id: all of it, or, where something is refused, none.

    Args:
        workspace: The repository.
        logged: What the run logged.
        experiment: The name of its experiment, made if there is none; `Default` if not given.
        name: What people call it; made up if not given.
        parent: The id of the run it is nested in.
        status: FINISHED, FAILED or KILLED.

    Writes:
        One commit on the branch `runs`; the artifacts into the cache.

    Raises:
        InvalidName, InvalidValue, ArtifactRefused: Something cannot be logged.
    """
    _check_status(status)
    found = ensure_experiment(workspace.repo, experiment or DEFAULT)
    active = start_run(workspace, found, name=name, parent=parent)
    try:
        _log(active, logged)
    except RunstoneError:
        active._writer.abandon()
        raise
    active.end(status)
    return active.id


def add_to_run(workspace: Workspace, run_id: str, logged: Logged, *, status: str | None = None) -> None:
    """Add to a run that has ended, or to one that another process has open.

    Args:
        workspace: The repository.
        run_id: The run.
        logged: What to add.
        status: What its status becomes; only of a run that has ended.

    Writes:
        One commit on the branch `runs` and, with a status, a second one; of an open run, its journal.

    Raises:
        RunNotFound: No run has this id.
        RunIsLive: A status was given, and a process still logs to the run.
        ParamConflict: A param has another value already.
    """
    if status is not None:
        _check_status(status)
        if is_live(workspace, run_id):
            from runstone.errors import RunIsLive

            raise RunIsLive(run_id, "given a status")
    if logged != Logged():
        own = find_open(workspace, run_id)
        active = own or join_run(workspace, run_id)
        try:
            _log(active, logged)
        except RunstoneError:
            if own is None:
                active._writer.abandon()
            raise
        if own is None:
            active.end()
    if status is not None:
        edit.set_status(workspace, run_id, status)


def _log(active: ActiveRun, logged: Logged) -> None:
    now = int(time() * 1000)
    active.log_batch([Metric(key, value, now, step) for key, value, step in logged.points], logged.params, logged.tags)
    for path, folder in logged.artifacts:
        parts = [folder, path.absolute().name] if path.is_dir() else [folder]
        active.log_artifact(path, "/".join(filter(None, parts)))
    if logged.note is not None:
        active.set_note(logged.note)


def _check_status(status: str) -> None:
    if status not in STATUSES:
        raise InvalidValue(f"The status of a run must be one of {', '.join(STATUSES)}, but is {status!r}.")
