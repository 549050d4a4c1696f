"""Change a run that has ended: delete, restore, correct, move it. Each change of a run is one commit on `runs`."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import time
from typing import Any

from runstone.errors import ExperimentNotFound, InvalidValue, RunExists, RunIsLive, RunNotFound, RunstoneError
from runstone.git.objects import DIRECTORY, FILE, TreeEntry
from runstone.git.runs import layout, live
from runstone.git.runs.branch import Draft, Recorded, update_runs
from runstone.records import yaml
from runstone.records.document import format_time
from runstone.records.experiment import Experiment
from runstone.records.run import Run
from runstone.tracking import shared, values
from runstone.tracking.amend import Change, Correction, Point, check, correct
from runstone.tracking.run import find_open
from runstone.tracking.workspace import Workspace

_LINES = 100
"""Changed values that the message of a commit shows."""


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
        _refuse_deleted(run)
        return replace(run, status=status, ended=run.ended if ended is None else ended)

    _edit(workspace, run_id, change, "changed", f"Set status {status} of")


def amend_run(
    workspace: Workspace,
    run_id: str,
    *,
    reason: str,
    params: Mapping[str, Any] | None = None,
    metrics: Sequence[Point] = (),
    tags: Mapping[str, Any] | None = None,
    delete: Sequence[str] = (),
    name: str | None = None,
    note: str | None = None,
) -> list[Change]:
    """Correct what an ended run says, and say why; what it said before stays in the history of the branch.

    Args:
        workspace: The repository.
        run_id: The run.
        reason: Why it was wrong.
        params: Params to set; unlike while logging, one that has another value gets the new one.
        metrics: `(key, value, step)`: the value that was written last at that step becomes this one; where the step
            has none, a point is added. Without a step, the one whose value the summary shows as the last. The
            summary is made anew from the points.
        tags: Tags to set.
        delete: Params to take away.
        name: What people call it.
        note: Its notes, as Markdown.

    Returns:
        What changed; empty, and nothing written, when all was so already.

    Writes:
        One commit on the branch `runs`. Its message holds the reason and each value, old → new; the record gets an
        entry in `amendments`, and `metrics.tsv` and `notes.md` are written where they change.

    Raises:
        InvalidValue: There is no reason, nothing to change, or a value that cannot be recorded.
        InvalidName: A key or the name cannot be used.
        RunNotFound: No run has this id.
        RunIsLive: A process still logs to it.
        RunstoneError: It is deleted, or has no param that is to be taken away.
    """
    redactor = workspace.redactor
    reason = redactor.text(values.check_text("reason", "reason", reason), key="reason").strip()
    if not reason:
        raise InvalidValue("A correction needs a reason, for those who come after: `--reason TEXT`")
    given = Correction(params or {}, metrics, tags or {}, delete, name, note)
    if given.is_empty:
        raise InvalidValue("Nothing was named that is to change. See how: `runstone runs amend --help`")
    wanted = check(given, redactor)
    by = workspace.repo.identity("committer").rpartition(" ")[0].rpartition(" ")[0]

    def edit(draft: Draft) -> list[Change]:
        recorded = _need(draft, run_id)
        _refuse_deleted(recorded.run)
        run, files, changes = correct(recorded, wanted, redactor)
        if changes:
            keys = [change.key for change in changes]
            entry = {"at": format_time(int(time() * 1000)), "by": by, "reason": reason, "keys": keys}
            run = replace(run, amendments=(*run.amendments, entry))
            files[f"{recorded.folder}/{layout.RECORD}"] = yaml.dump(run.to_document())
            lines = [f"Reason: {reason}", "", *map(str, changes[:_LINES])]
            lines += [f"… and {len(changes) - _LINES} more"] if len(changes) > _LINES else []
            draft.commit(files, _message(run, "Amend", lines))
        return changes

    _check_ended(workspace, run_id, "amended")
    return update_runs(workspace.repo, edit)


def move_runs(workspace: Workspace, run_ids: Sequence[str], experiment: Experiment) -> None:
    """Put runs into another experiment: their folders move, their ids and all that is found by id stay.

    Args:
        workspace: The repository.
        run_ids: The runs; one that is there already stays as it is.
        experiment: Where to.

    Writes:
        One commit a run on the branch `runs`, and one move of the ref: all of them are moved, or none.

    Raises:
        RunNotFound: No run has one of the ids.
        RunIsLive: A process still logs to one of them.
        ExperimentNotFound: The experiment is gone meanwhile.
        RunExists: The experiment holds another run of this id.
    """
    for run_id in run_ids:
        _check_ended(workspace, run_id, "moved")
    objects = workspace.repo.objects

    def edit(draft: Draft) -> None:
        if draft.find(layout.experiment_file(experiment.experiment_id)) is None:
            raise ExperimentNotFound(experiment.experiment_id)
        for run_id in dict.fromkeys(run_ids):
            recorded = _need(draft, run_id)
            run = recorded.run
            if run.experiment_id == experiment.experiment_id:
                continue
            path = layout.parse_run_folder(recorded.folder)
            assert path is not None
            target = str(replace(path, experiment_id=experiment.experiment_id))
            if draft.find(target) is not None:
                raise RunExists(run_id)
            moved = replace(run, experiment=experiment.name, experiment_id=experiment.experiment_id)
            entry = draft.find(recorded.folder)
            assert entry is not None
            record = objects.write("blob", yaml.dump(moved.to_document()).encode())
            tree = objects.update_tree(entry.oid, {layout.RECORD: TreeEntry(FILE, record)})
            assert tree is not None
            message = _message(moved, "Move", [f"From: {run.experiment_id}", f"To: {moved.experiment_id}"])
            draft.put({recorded.folder: None, target: TreeEntry(DIRECTORY, tree)}, message)

    update_runs(workspace.repo, edit)


def _edit(workspace: Workspace, run_id: str, change: Callable[[Run], Run], what: str, verb: str) -> None:
    _check_ended(workspace, run_id, what)

    def edit(draft: Draft) -> None:
        recorded = _need(draft, run_id)
        edited = change(recorded.run)
        reason = (edited.deleted or {}).get("reason")
        message = _message(edited, verb, [f"Reason: {reason}"] if reason else [])
        draft.commit({f"{recorded.folder}/{layout.RECORD}": yaml.dump(edited.to_document())}, message)

    update_runs(workspace.repo, edit)


def _check_ended(workspace: Workspace, run_id: str, what: str) -> None:
    own = find_open(workspace, run_id)
    if own is not None and own.has_joined:
        own.end()  # this process only added to it; that must not stand in the way
    shared.flush(workspace, run_id)
    workspace.recover()
    if run_id in live.list_live(workspace.repo):
        raise RunIsLive(run_id, what)


def _need(draft: Draft, run_id: str) -> Recorded:
    folder = draft.find_run_folder(run_id)
    recorded = draft.run(folder) if folder is not None else None
    if recorded is None:
        raise RunNotFound(run_id)
    return recorded


def _refuse_deleted(run: Run) -> None:
    if run.lifecycle == "deleted":
        raise RunstoneError(f"Run {run.id} is deleted. Restore it: `runstone runs restore {run.id}`")


def _message(run: Run, verb: str, lines: Sequence[str]) -> str:
    """The message of a commit; what comes from records stays on its line."""
    head = [f"{verb} run {run.name}", "", f"Run: {run.id}", f"Experiment: {run.experiment}"]
    return "\n".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", line) for line in [*head, *lines])
