"""What is in use in this process: the repository, the experiment, and each thread's active runs.

Only this module has such state; the other modules of the package act on what it says.
"""

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runstone.errors import ExperimentNotFound, RunActive, RunstoneError, UsageError
from runstone.records.experiment import Experiment
from runstone.records.run import Run
from runstone.tracking import experiment as experiments
from runstone.tracking import run as runs
from runstone.tracking.ids import is_made_up
from runstone.tracking.read import is_taken
from runstone.tracking.run import RUN_VARIABLE, ActiveRun
from runstone.tracking.workspace import Workspace, repository_path

if TYPE_CHECKING:  # imported where it is used: what only loads a model needs none
    from runstone.client import Client

REPO_VARIABLE = "RUNSTONE_REPO"
EXPERIMENT_NAME_VARIABLE = "RUNSTONE_EXPERIMENT_NAME"
EXPERIMENT_ID_VARIABLE = "RUNSTONE_EXPERIMENT_ID"


class _Threads(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.stack: list[ActiveRun] = []
        self.last: ActiveRun | None = None


threads = _Threads()
_tracking_uri: str | None = None
_experiment: tuple[str, Workspace] | None = None
"""The id of the experiment that was set, and the repository it is in."""
_joined: set[str] = set()
"""Runs that this process has joined because RUNSTONE_RUN_ID named them."""


# --- where


def set_tracking_uri(uri: str | os.PathLike[str]) -> None:
    """Choose the repository: a path in it, or `runstone:PATH`. Else it is RUNSTONE_REPO, or the current folder.

    Raises:
        NotARepository: No git repository holds that folder.
    """
    global _tracking_uri, _experiment
    Workspace.open(repository_path(uri))
    _tracking_uri = os.path.abspath(repository_path(uri) or ".")  # noqa: PTH100  # a text is kept
    _experiment = None


def get_tracking_uri() -> str:
    """The repository in use, as `runstone:PATH`."""
    repo = open_workspace().repo
    return f"runstone:{repo.work_tree or repo.git_dir}"


def client() -> "Client":
    """The explicit client of the repository in use."""
    from runstone.client import Client

    return Client(named_repository())


# --- the experiment


def set_experiment(experiment_name: str | None = None, experiment_id: str | None = None) -> Experiment:
    """Choose the experiment of the runs that follow; it is made if there is none of this name.

    Args:
        experiment_name: Its name; or else
        experiment_id: its id, which must exist.

    Raises:
        ExperimentNotFound: No experiment has this id.
        RunstoneError: It is deleted.
    """
    global _experiment
    if (experiment_name is None) == (experiment_id is None):
        raise UsageError("Name the experiment: either `experiment_name` or `experiment_id`.")
    workspace = open_workspace()
    if experiment_name is not None:
        found = experiments.ensure_experiment(workspace.repo, experiment_name)
    else:
        found = client().get_experiment(str(experiment_id))
        if found.lifecycle_stage == "deleted":
            found = experiments.ensure_experiment(workspace.repo, found.name)
    _experiment = (found.experiment_id, workspace)
    return found


# --- the run


def start_run(
    run_id: str | None = None,
    experiment_id: str | None = None,
    run_name: str | None = None,
    nested: bool = False,
    parent_run_id: str | None = None,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    log_system_metrics: bool | None = None,
    *,
    require_clean: bool | None = None,
) -> ActiveRun:
    """Begin a run and make it this thread's active one; as a context manager it ends with the block.

    Without arguments, a process that finds RUNSTONE_RUN_ID in its environment joins that run if its own process still
    logs to it, and takes it up again if it has ended. It does so once; further runs it begins are nested in that one.

    Args:
        run_id: A run that has ended, to take it up again; or an id of the caller's own for a new one, which is then
            not 32 hex digits, as the ids that Runstone makes up are.
        experiment_id: The experiment; the one that was set, else `Default`.
        run_name: What people call the run; made up if not given.
        nested: Begin it inside the active run.
        parent_run_id: The run it is nested in, if not the active one.
        tags: Tags to begin with.
        description: Notes to begin with.
        log_system_metrics: Not supported yet; must be None or False.
        require_clean: Refuse the run unless its code is a commit: the work tree must not differ from HEAD. If not
            given, as RUNSTONE_REQUIRE_CLEAN says (1 or 0), else `require_clean` in runstone.yaml.

    Raises:
        WorkTreeDirty: A clean work tree is required, and it is not, or there is none.
        RunActive: A run is active in this thread, and `nested` is not asked for.
        RunNotFound: No run has this id of 32 hex digits.
        NotARepository: The current folder is in no git repository.
        ExperimentNotFound: No experiment has this id.
    """
    if log_system_metrics:
        raise UsageError("System metrics are not recorded yet. Leave `log_system_metrics` out.")
    workspace = open_workspace()
    stack = open_stack()
    if stack and not nested:
        raise RunActive(stack[-1].id)
    told = os.environ.get(RUN_VARIABLE) if run_id is None and not stack else None
    joined = told if told not in _joined else None
    if joined:
        run_id = joined
    if run_id is not None and (joined or is_made_up(run_id) or is_taken(workspace, run_id)):
        active = _take_up(workspace, run_id, tags, description, require_clean)
        if joined:
            _joined.add(joined)
            _warn_of_experiment(workspace, active)
    else:
        code = runs.need_clean(workspace, require_clean)  # before the experiment is made
        active = runs.start_run(
            workspace,
            experiment_in_use(workspace, experiment_id),
            run_id=run_id,
            name=run_name,
            parent=parent_run_id or (stack[-1].id if stack else told),
            tags=tags,
            description=description,
            require_clean=code is not None,
            code=code,
        )
    stack.append(active)
    threads.last = active
    return active


def end_run(status: str = "FINISHED") -> None:
    """End this thread's active run, if there is one, and commit it. See `ActiveRun.end`."""
    stack = open_stack()
    if stack:
        stack[-1].end(status)


def active_run() -> ActiveRun | None:
    """This thread's active run, or None."""
    stack = open_stack()
    return stack[-1] if stack else None


def last_active_run() -> Run | None:
    """The active run, or else the last one that was active in this thread; None if there was none."""
    active = active_run() or threads.last
    return None if active is None else active.snapshot()


def flush() -> None:
    """Return when all that this thread's active run has logged survives power loss."""
    run = active_run()
    if run is not None:
        run.flush()


def flush_async_logging() -> None:
    """MLflow's name for `flush`; nothing here is asynchronous."""
    flush()


# --- for the other verbs


def named_repository() -> str | os.PathLike[str] | None:
    """The folder of the repository in use, as it was named; None for the current one."""
    return _tracking_uri or repository_path(os.environ.get(REPO_VARIABLE) or None)


def open_workspace() -> Workspace:
    """The repository in use."""
    return Workspace.open(named_repository())


def open_stack() -> list[ActiveRun]:
    """This thread's active runs, the innermost last; those that were ended otherwise are dropped."""
    stack = threads.stack
    while stack and not stack[-1].is_open:
        threads.last = stack.pop()
    return stack


def need_run() -> ActiveRun:
    """This thread's active run, which is begun if there is none."""
    stack = open_stack()
    return stack[-1] if stack else start_run()


def experiment_in_use(workspace: Workspace, experiment_id: str | None = None) -> Experiment:
    """The experiment of a new run; `Default` is made when it is first needed."""
    experiment_id = experiment_id if experiment_id is not None else experiment_id_in_use(workspace)
    if str(experiment_id) == experiments.DEFAULT_ID:
        return experiments.ensure_experiment(workspace.repo, experiments.DEFAULT)
    found = experiments.get_experiment(workspace.repo, str(experiment_id))
    if found.lifecycle_stage == "deleted":
        return experiments.ensure_experiment(workspace.repo, found.name)  # raises, saying how to restore it
    return found


def experiment_id_in_use(workspace: Workspace) -> str:
    """The id of the experiment that was set, or that the environment names; else that of `Default`."""
    if _experiment is not None and _experiment[1] is workspace:
        return _experiment[0]
    name = os.environ.get(EXPERIMENT_NAME_VARIABLE)
    if name:
        return experiments.ensure_experiment(workspace.repo, name).experiment_id
    experiment_id = os.environ.get(EXPERIMENT_ID_VARIABLE)
    if experiment_id:
        try:
            return experiments.get_experiment(workspace.repo, experiment_id).experiment_id
        except ExperimentNotFound:
            if experiment_id != experiments.DEFAULT_ID:
                raise
    return experiments.DEFAULT_ID


def _take_up(
    workspace: Workspace,
    run_id: str,
    tags: Mapping[str, Any] | None,
    description: str | None,
    require_clean: bool | None,
) -> ActiveRun:
    """A run that exists: this process's own handle, or one that joins a live run or resumes an ended one."""
    own = runs.find_open(workspace, run_id)
    if own is None and runs.is_live(workspace, run_id):
        active = runs.join_run(workspace, run_id)
    else:
        active = own or runs.resume_run(workspace, run_id, require_clean=require_clean)
    try:
        active.set_tags({**(tags or {}), **({runs.NOTE_TAG: description} if description else {})})
    except RunstoneError:
        if own is None:
            active.abandon()
        raise
    return active


def _warn_of_experiment(workspace: Workspace, joined: ActiveRun) -> None:
    """A run that another process began stays in the experiment that was chosen there."""
    info = joined.info
    if _experiment is not None and _experiment[1] is workspace and _experiment[0] != info.experiment_id:
        import warnings

        warnings.warn(
            f"This process joins run {info.run_id}, which {RUN_VARIABLE} names and which is of the experiment with the "
            f"id {info.experiment_id!r}, not of {_experiment[0]!r}, which was set here. Choose the experiment where "
            "the run is begun: `runstone run --experiment NAME`",
            stacklevel=3,
        )


def target(run_id: str | None) -> tuple["Client", str]:
    """The run a verb acts on: the one that is named, or the active one, in its repository wherever we are now."""
    if run_id is not None:
        return client(), run_id
    from runstone.client import Client

    run = need_run()
    return Client.of(run.workspace), run.id
