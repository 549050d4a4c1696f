"""The fluent API: the active run and experiment of this process, and the verbs that act on them.

Only this module has such state. Names, order of arguments and meaning are those of MLflow's fluent API, so that
`import runstone as mlflow` is all a script changes. Each thread has its own active runs; they share the experiment.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from runstone import uris
from runstone.client import DEFAULT_EXPERIMENT_ID, Client, repository_path
from runstone.errors import ExperimentNotFound, InvalidValue, RunActive, RunstoneError, UsageError
from runstone.records.experiment import Experiment
from runstone.records.run import Run
from runstone.tracking import experiment as experiments
from runstone.tracking import run as runs
from runstone.tracking.ids import is_made_up
from runstone.tracking.read import is_taken
from runstone.tracking.run import ActiveRun
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from runstone.index.paging import PagedList
    from runstone.registry.model import RegisteredModel
    from runstone.registry.version import ModelVersion

T = TypeVar("T")

REPO_VARIABLE = "RUNSTONE_REPO"
RUN_VARIABLE = "RUNSTONE_RUN_ID"
EXPERIMENT_NAME_VARIABLE = "RUNSTONE_EXPERIMENT_NAME"
EXPERIMENT_ID_VARIABLE = "RUNSTONE_EXPERIMENT_ID"


class _Threads(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.stack: list[ActiveRun] = []
        self.last: ActiveRun | None = None


_threads = _Threads()
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
    repo = _workspace().repo
    return f"runstone:{repo.work_tree or repo.git_dir}"


def client() -> Client:
    """The explicit client of the repository in use."""
    return Client(_repository())


# --- experiments


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
    workspace = _workspace()
    if experiment_name is not None:
        found = experiments.ensure_experiment(workspace.repo, experiment_name)
    else:
        found = Client(_repository()).get_experiment(str(experiment_id))
        if found.lifecycle_stage == "deleted":
            found = experiments.ensure_experiment(workspace.repo, found.name)
    _experiment = (found.experiment_id, workspace)
    return found


def create_experiment(name: str, artifact_location: str | None = None, tags: Mapping[str, Any] | None = None) -> str:
    """Make an experiment and return its id; see `Client.create_experiment`."""
    return client().create_experiment(name, artifact_location, tags)


def get_experiment(experiment_id: str) -> Experiment:
    """An experiment by id; see `Client.get_experiment`."""
    return client().get_experiment(experiment_id)


def get_experiment_by_name(name: str) -> Experiment | None:
    """An experiment by name, or None; see `Client.get_experiment_by_name`."""
    return client().get_experiment_by_name(name)


def search_experiments(
    view_type: str | int = 1,
    max_results: int | None = None,
    filter_string: str | None = None,
    order_by: Sequence[str] | None = None,
) -> list[Experiment]:
    """Experiments that meet a filter; see `Client.search_experiments`."""
    return list(client().search_experiments(view_type, max_results or 50_000, filter_string, order_by))


def delete_experiment(experiment_id: str) -> None:
    """Mark an experiment deleted; see `Client.delete_experiment`."""
    client().delete_experiment(experiment_id)


def set_experiment_tag(key: str, value: Any) -> None:
    """Set a tag of the experiment in use."""
    set_experiment_tags({key: value})


def set_experiment_tags(tags: Mapping[str, Any]) -> None:
    """Set tags of the experiment in use."""
    workspace = _workspace()
    experiments.set_experiment_tags(workspace.repo, _active_experiment(workspace).experiment_id, tags)


# --- runs


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
    workspace = _workspace()
    stack = _open_stack()
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
            _active_experiment(workspace, experiment_id),
            run_id=run_id,
            name=run_name,
            parent=parent_run_id or (stack[-1].id if stack else told),
            tags=tags,
            description=description,
            require_clean=code is not None,
            code=code,
        )
    stack.append(active)
    _threads.last = active
    return active


def end_run(status: str = "FINISHED") -> None:
    """End this thread's active run, if there is one, and commit it. See `ActiveRun.end`."""
    stack = _open_stack()
    if stack:
        stack[-1].end(status)


def active_run() -> ActiveRun | None:
    """This thread's active run, or None."""
    stack = _open_stack()
    return stack[-1] if stack else None


def last_active_run() -> Run | None:
    """The active run, or else the last one that was active in this thread; None if there was none."""
    active = active_run() or _threads.last
    return None if active is None else active.snapshot()


def get_run(run_id: str) -> Run:
    """A run; see `Client.get_run`."""
    return client().get_run(run_id)


def get_parent_run(run_id: str) -> Run | None:
    """The run a run is nested in; see `Client.get_parent_run`."""
    return client().get_parent_run(run_id)


def delete_run(run_id: str) -> None:
    """Mark a run deleted; see `Client.delete_run`."""
    client().delete_run(run_id)


@overload
def search_runs(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str = ...,
    run_view_type: str | int = ...,
    max_results: int = ...,
    order_by: Sequence[str] | None = ...,
    output_format: Literal["pandas"] = ...,
    search_all_experiments: bool = ...,
    experiment_names: Sequence[str] | None = ...,
) -> "pd.DataFrame": ...


@overload
def search_runs(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str = ...,
    run_view_type: str | int = ...,
    max_results: int = ...,
    order_by: Sequence[str] | None = ...,
    *,
    output_format: Literal["list"],
    search_all_experiments: bool = ...,
    experiment_names: Sequence[str] | None = ...,
) -> list[Run]: ...


def search_runs(
    experiment_ids: Sequence[str] | None = None,
    filter_string: str = "",
    run_view_type: str | int = 1,
    max_results: int = 100_000,
    order_by: Sequence[str] | None = None,
    output_format: str = "pandas",
    search_all_experiments: bool = False,
    experiment_names: Sequence[str] | None = None,
) -> "pd.DataFrame | list[Run]":
    """Runs that meet a filter, as a DataFrame with MLflow's column names, or as a list.

    Args:
        experiment_ids: Only runs of these; or
        filter_string: As `metrics.mse < 0.5`; see `Client.search_runs`.
        run_view_type: `ViewType`.
        max_results: Runs at most.
        order_by: As `["metrics.mse ASC"]`.
        output_format: `pandas` or `list`.
        search_all_experiments: Of every experiment, not only the one in use.
        experiment_names: Only runs of the experiments with these names; an unknown name gives no run.

    Raises:
        FilterInvalid: The filter or the order cannot be understood.
    """
    if experiment_ids and experiment_names:
        raise UsageError("Name the experiments: either `experiment_ids` or `experiment_names`.")
    if output_format not in ("pandas", "list"):
        raise InvalidValue(f"`output_format` must be pandas or list, but is {output_format!r}.")
    at = client()
    ids: list[str] | None = list(experiment_ids) if experiment_ids else None
    if experiment_names:
        found = [at.get_experiment_by_name(name) for name in experiment_names]
        ids = [experiment.experiment_id for experiment in found if experiment is not None]
    elif ids is None and not search_all_experiments:
        ids = [_active_experiment_id(at.workspace)]
    if output_format == "pandas":
        return at.search_runs_frame(ids, filter_string, run_view_type, max_results, order_by)
    result: list[Run] = []
    token: str | None = None
    while len(result) < max_results:
        wanted = min(max_results - len(result), 50_000)
        page = at.search_runs(ids, filter_string, run_view_type, wanted, order_by, token)
        result += page
        token = page.token
        if token is None:
            break
    return result


# --- logging


def log_metric(
    key: str,
    value: float,
    step: int | None = None,
    synchronous: bool | None = None,
    timestamp: int | None = None,
    run_id: str | None = None,
) -> None:
    """Append one value to the history of a metric of the active run, which is begun if there is none.

    Args:
        key: Metric name; `/` groups it, as in `val/loss`.
        value: A number; NaN and infinities are kept as such.
        step: Training step, 0 if not given.
        synchronous: For MLflow's signature only: when the call returns, the value survives `kill -9`.
        timestamp: Unix milliseconds; now if not given.
        run_id: Another run than the active one.
    """
    if run_id is not None:
        client().log_metric(run_id, key, value, timestamp, step)
        return
    stack = _threads.stack
    run = stack[-1] if stack and stack[-1].is_open else _active()
    run.log_metric(key, value, step, timestamp)


def log_metrics(
    metrics: Mapping[str, float],
    step: int | None = None,
    synchronous: bool | None = None,
    run_id: str | None = None,
    timestamp: int | None = None,
) -> None:
    """Append one value to each of several metrics: all of them, or none. See `log_metric`."""
    if run_id is None:
        _active().log_metrics(metrics, step, timestamp)
        return
    with client().handle(run_id) as run:
        run.log_metrics(metrics, step, timestamp)


def log_param(key: str, value: T, synchronous: bool | None = None) -> T:
    """Record one param of the active run and return its value. See `ActiveRun.log_params`."""
    _active().log_params({key: value})
    return value


def log_params(params: Mapping[str, Any], synchronous: bool | None = None, run_id: str | None = None) -> None:
    """Record params of the active run: all of them, or none. See `ActiveRun.log_params`."""
    if run_id is None:
        _active().log_params(params)
        return
    with client().handle(run_id) as run:
        run.log_params(params)


def set_tag(key: str, value: Any, synchronous: bool | None = None) -> None:
    """Set one tag of the active run."""
    _active().set_tags({key: value})


def set_tags(tags: Mapping[str, Any], synchronous: bool | None = None) -> None:
    """Set tags of the active run."""
    _active().set_tags(tags)


def delete_tag(key: str) -> None:
    """Remove one tag of the active run; raises `InvalidValue` if it has none of this name."""
    at, run_id = _target(None)
    at.delete_tag(run_id, key)


def set_note(text: str) -> None:
    """Set the notes of the active run (Markdown)."""
    _active().set_note(text)


def log_batch(metrics: Sequence[Any] = (), params: Sequence[Any] | Mapping[str, Any] = (), tags: Any = ()) -> None:
    """Log metrics, params and tags of the active run together: all of them, or none. See `Client.log_batch`."""
    at, run_id = _target(None)
    at.log_batch(run_id, metrics, params, tags)


def log_input(
    dataset: Any, context: str | None = None, tags: Mapping[str, str] | None = None, *, name: str | None = None
) -> None:
    """Record what the active run reads.

    Args:
        dataset: A DataFrame, an array, a file's path, or a `Dataset` of `runstone.data`.
        context: What it is used for: `train`, `test` …
        tags: Not recorded, so refused.
        name: What people call it.
    """
    from runstone.tracking.dataset import describe

    if tags:
        raise InvalidValue("Tags of a dataset are not recorded. Tag the run: `set_tag`.")
    run = _active()
    run.log_dataset(describe(run.workspace.repo, dataset, context, name))


def log_artifact(
    local_path: str | os.PathLike[str], artifact_path: str | None = None, run_id: str | None = None
) -> None:
    """Keep a file (or a folder, below its own name) among the artifacts. See `ActiveRun.log_artifact`."""
    at, run_id = _target(run_id)
    at.log_artifact(run_id, local_path, artifact_path)


def log_artifacts(
    local_dir: str | os.PathLike[str], artifact_path: str | None = None, run_id: str | None = None
) -> None:
    """Keep what a folder holds among the artifacts. See `ActiveRun.log_artifact`."""
    at, run_id = _target(run_id)
    at.log_artifacts(run_id, local_dir, artifact_path)


def log_text(text: str, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a text as an artifact, in UTF-8."""
    at, run_id = _target(run_id)
    at.log_text(run_id, text, artifact_file)


def log_dict(dictionary: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a dictionary as YAML or JSON, by the name's ending."""
    at, run_id = _target(run_id)
    at.log_dict(run_id, dictionary, artifact_file)


def log_figure(figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None) -> None:
    """Keep a figure of matplotlib or plotly, in the format of the name's ending."""
    at, run_id = _target(None)
    at.log_figure(run_id, figure, artifact_file, save_kwargs=save_kwargs)


def log_image(
    image: Any,
    artifact_file: str | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
    synchronous: bool | None = None,
) -> None:
    """Keep an image: PIL, or an array of shape (H, W[, 1|3|4]). See `Client.log_image`."""
    at, run_id = _target(None)
    at.log_image(run_id, image, artifact_file, key, step, timestamp)


def log_table(data: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a table as JSON; logged again under one name, its rows are added."""
    at, run_id = _target(run_id)
    at.log_table(run_id, data, artifact_file)


def get_metric_history(run_id: str, key: str) -> list[Any]:
    """All values of a metric; see `Client.get_metric_history`."""
    return list(client().get_metric_history(run_id, key))


def get_artifact_uri(artifact_path: str | None = None) -> str:
    """The URI of the active run's artifacts, or of one of them: `runs:/<run id>/<path>`."""
    run = _active()
    return str(uris.RunUri(run.id, uris.check_relative("runs:/", artifact_path or "")))


def flush() -> None:
    """Return when all that this thread's active run has logged survives power loss."""
    run = active_run()
    if run is not None:
        run.flush()


def flush_async_logging() -> None:
    """MLflow's name for `flush`; nothing here is asynchronous."""
    flush()


# --- models


def register_model(
    model_uri: str,
    name: str,
    await_registration_for: int | None = None,
    *,
    tags: Mapping[str, Any] | None = None,
    env_pack: Any = None,
    description: str | None = None,
) -> "ModelVersion":
    """Make a model of a run the next version of a registered model: a git tag `<name>@v<N>`.

    Args:
        model_uri: `runs:/<run id>/<path>`, or `models:/<name>/<version>` to copy a version.
        name: The registered model.
        await_registration_for: For MLflow's signature only: when the call returns, the version is there.
        tags: Text to text, kept in the version's git tag.
        env_pack: For MLflow's signature only; must be None.
        description: What to say of this version; not in MLflow.

    Raises:
        RunNotFound: There is no such run.
        NotAModel: The run logged no model there.
        RunIsLive: The run has not ended.
    """
    if env_pack is not None:
        raise InvalidValue("Environments are not packed: leave `env_pack` out. The model's folder says what it needs.")
    return client().create_model_version(name, model_uri, tags=tags, description=description)


def search_registered_models(
    max_results: int | None = None, filter_string: str | None = None, order_by: Sequence[str] | None = None
) -> "list[RegisteredModel]":
    """Registered models that meet a filter; all of them if `max_results` is not given. See the client's."""
    at = client()
    return _all_pages(
        lambda size, token: at.search_registered_models(filter_string, size, order_by, token), max_results, 1000
    )


def search_model_versions(
    max_results: int | None = None, filter_string: str | None = None, order_by: Sequence[str] | None = None
) -> "list[ModelVersion]":
    """Model versions that meet a filter; all of them if `max_results` is not given. See the client's."""
    at = client()
    return _all_pages(
        lambda size, token: at.search_model_versions(filter_string, size, order_by, token), max_results, 200_000
    )


def set_model_version_tag(
    name: str, version: str | int | None = None, key: str | None = None, value: Any = None
) -> None:
    """Set a tag of a model version: one commit on the default branch."""
    client().set_model_version_tag(name, version, key, value)


def set_registry_uri(uri: str) -> None:
    """For MLflow's users: the registry of a repository is in that repository, so the one in use is all that fits.

    Raises:
        InvalidValue: It is another one.
    """
    Client(_repository(), uri)


def get_registry_uri() -> str:
    """The repository in use, as `runstone:PATH`: it holds the registry, too."""
    return get_tracking_uri()


# --- inside


def _all_pages(search: "Callable[[int, str | None], PagedList[T]]", max_results: int | None, limit: int) -> list[T]:
    """What a search gives, page after page, until there are enough."""
    page = search(limit if max_results is None else min(max_results, limit), None)
    found = list(page)
    while page.token is not None and (max_results is None or len(found) < max_results):
        page = search(limit if max_results is None else min(max_results - len(found), limit), page.token)
        found += page
    return found


def _repository() -> str | os.PathLike[str] | None:
    return _tracking_uri or repository_path(os.environ.get(REPO_VARIABLE) or None)


def _workspace() -> Workspace:
    return Workspace.open(_repository())


def _open_stack() -> list[ActiveRun]:
    """This thread's active runs, the innermost last; those that were ended otherwise are dropped."""
    stack = _threads.stack
    while stack and not stack[-1].is_open:
        _threads.last = stack.pop()
    return stack


def _active() -> ActiveRun:
    stack = _open_stack()
    return stack[-1] if stack else start_run()


def _active_experiment(workspace: Workspace, experiment_id: str | None = None) -> Experiment:
    """The experiment of a new run; `Default` is made when it is first needed."""
    experiment_id = experiment_id if experiment_id is not None else _active_experiment_id(workspace)
    if str(experiment_id) == DEFAULT_EXPERIMENT_ID:
        return experiments.ensure_experiment(workspace.repo, experiments.DEFAULT)
    found = experiments.get_experiment(workspace.repo, str(experiment_id))
    if found.lifecycle_stage == "deleted":
        return experiments.ensure_experiment(workspace.repo, found.name)  # raises, saying how to restore it
    return found


def _active_experiment_id(workspace: Workspace) -> str:
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
            if experiment_id != DEFAULT_EXPERIMENT_ID:
                raise
    return DEFAULT_EXPERIMENT_ID


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


def _target(run_id: str | None) -> tuple[Client, str]:
    """The run a verb acts on: the one that is named, or the active one, in its repository wherever we are now."""
    if run_id is not None:
        return client(), run_id
    run = _active()
    return Client.of(run.workspace), run.id
