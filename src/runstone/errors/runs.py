"""Experiments and runs: which there are, and what can be done to them."""

from collections.abc import Sequence

from runstone.errors.base import RunstoneError, UsageError


class ExperimentExists(RunstoneError):
    """An experiment has this name already."""

    error_code = "RESOURCE_ALREADY_EXISTS"

    def __init__(self, name: str, *, deleted: bool) -> None:
        self.name, self.deleted = name, deleted
        state = (
            f"is deleted. Restore it: `runstone experiments restore '{name}'`, or take another name."
            if deleted
            else "exists already. Use it: `runstone.set_experiment`, or take another name."
        )
        super().__init__(f"The experiment {name!r} {state}")


class ExperimentNotFound(RunstoneError):
    """No experiment has this id or name."""

    error_code = "RESOURCE_DOES_NOT_EXIST"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"No experiment {name[:120]!r} in this repository. List them: `runstone experiments list`; "
            "make it: `runstone experiments create NAME`"
        )


class RunExists(RunstoneError):
    """A run of this id exists already."""

    error_code = "RESOURCE_ALREADY_EXISTS"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"The run {run_id} exists already. Take another id, or take it up again: `start_run(run_id={run_id!r})`"
        )


class RunNotFound(RunstoneError):
    """No run has this id, begins with it, or bears this name."""

    error_code = "RESOURCE_DOES_NOT_EXIST"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"No run {run_id[:120]!r} in this repository. List them: `runstone runs list`; "
            "bring those of others: `runstone pull`"
        )


class RunAmbiguous(UsageError):
    """Several runs begin with this id, or bear this name."""

    def __init__(self, text: str, candidates: Sequence[str], *, is_name: bool = False) -> None:
        self.text, self.candidates = text, tuple(candidates)
        step = "Name one by its id" if is_name else "Write more of the id"
        listed = "".join(f"\n  {candidate}" for candidate in candidates[:10])
        more = f"\n  … and {len(candidates) - 10} more" if len(candidates) > 10 else ""
        super().__init__(f"{text!r} means {len(candidates)} runs. {step}:{listed}{more}")


class RunActive(UsageError):
    """A run was to begin while another is active in this thread."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id} is already active in this thread. End it first: `runstone.end_run()`, "
            "or begin the new one inside it: `start_run(nested=True)`."
        )


class RunIsLive(RunstoneError):
    """A run was to be changed while another process logs to it."""

    def __init__(self, run_id: str, what: str) -> None:
        self.run_id, self.what = run_id, what
        super().__init__(
            f"Run {run_id} cannot be {what}: a process still logs to it. Let it end; if it hangs or is on a machine "
            f"that is gone: `runstone recover --force {run_id}`"
        )


class RunEnded(RunstoneError):
    """Something was to be logged to a run that has ended."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id} has ended, so nothing more can be logged through this handle. "
            f"Take it up again: `runstone.start_run(run_id={run_id!r})`"
        )


class RunNotDeleted(UsageError):
    """A run was to be removed for good that is not deleted."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id} is not deleted, so it is not removed. Delete it first: `runstone runs rm {run_id}`"
        )


class RunNotRecorded(RunstoneError):
    """A run has ended and could not be committed; the message says where its journal is."""

    def __init__(self, run_id: str, text: str) -> None:
        self.run_id = run_id
        super().__init__(text)


class ParamConflict(UsageError):
    """A param was logged again with another value. Params describe what a run was given, so they never change."""

    error_code = "INVALID_PARAMETER_VALUE"

    def __init__(self, run_id: str, key: str, old: object, new: object) -> None:
        self.run_id, self.key, self.old, self.new = run_id, key, old, new
        super().__init__(
            f"The param {key!r} of run {run_id} is {old!r:.80} and cannot become {new!r:.80}. "
            "Log what changes as a metric or a tag, or begin a nested run."
        )


class EndingFailed(UserWarning):
    """A `with` block ended with an exception, and its run could not be ended as it should; the exception goes on."""
