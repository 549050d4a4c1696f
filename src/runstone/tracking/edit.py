"""Change a run that has ended: delete, restore, correct its status. Each change is one commit on the branch `runs`."""

from collections.abc import Callable
from dataclasses import replace
from time import time

from runstone.errors import RunIsLive, RunNotFound, RunstoneError
from runstone.git import layout, live
from runstone.git.branch import Draft, update_runs
from runstone.records import yaml
from runstone.records.document import format_time
from runstone.records.run import Run
from runstone.tracking import values
from runstone.tracking.run import find_open
from runstone.tracking.workspace import Workspace


def delete_run(workspace: Workspace, run_id: str, reason: str | None = None) -> None:
    """Mark a run deleted: searches leave it out until it is restored; the record stays as a tombstone.

    Args:
        workspace: The repository.
        run_id: The run.
        reason: Why, for those who come after.

    Raises:
        RunNotFound: No run has this id.
        RunIsLive: A process still logs to it.
    """
    note = {"at": format_time(int(time() * 1000))}
    if reason:
        note["reason"] = workspace.redactor.text(values.check_text("reason", "reason", reason), key="reason")

    def change(run: Run) -> Run:
        return run if run.lifecycle == "deleted" else replace(run, lifecycle="deleted", deleted=dict(note))

    _edit(workspace, run_id, change, "deleted", "Delete")


def restore_run(workspace: Workspace, run_id: str) -> None:
    """Undo `delete_run`; raises `RunNotFound`."""
    _edit(workspace, run_id, lambda run: replace(run, lifecycle="active", deleted=None), "restored", "Restore")


def set_status(workspace: Workspace, run_id: str, status: str, end_time: int | None = None) -> None:
    """Correct the status of a run that has ended, and, if given, when it did.

    Raises:
        InvalidValue: No run can end with this status or at this time.
        RunNotFound: No run has this id.
        RunIsLive: A process still logs to it.
        RunstoneError: It is deleted.
    """
    values.check_end(status)
    ended = None if end_time is None else values.time_value("end_time", end_time, is_date=True)

    def change(run: Run) -> Run:
        if run.lifecycle == "deleted":
            raise RunstoneError(f"Run {run_id} is deleted. Restore it: `runstone runs restore {run_id}`")
        return replace(run, status=status, ended=run.ended if ended is None else ended)

    _edit(workspace, run_id, change, "changed", f"Set status {status} of")


def _edit(workspace: Workspace, run_id: str, change: Callable[[Run], Run], what: str, verb: str) -> None:
    own = find_open(workspace, run_id)
    if own is not None and own.has_joined:
        own.end()  # this process only added to it; that must not stand in the way
    workspace.recover()
    if run_id in live.list_live(workspace.repo):
        raise RunIsLive(run_id, what)

    def edit(draft: Draft) -> None:
        folder = draft.find_run_folder(run_id)
        recorded = draft.run(folder) if folder is not None else None
        if recorded is None:
            raise RunNotFound(run_id)
        edited = change(recorded.run)
        message = f"{verb} run {edited.name}\n\nRun: {run_id}\nExperiment: {edited.experiment}"
        if edited.deleted and edited.deleted.get("reason"):
            message += f"\nReason: {edited.deleted['reason']}"
        draft.commit({f"{recorded.folder}/{layout.RECORD}": yaml.dump(edited.to_document())}, message)

    update_runs(workspace.repo, edit)
