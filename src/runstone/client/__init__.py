"""`Client`: every verb, with the repository and the run named explicitly; no ambient state.

The names, the order of arguments and the meaning are those of MLflow's client, wherever both have a thing.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from runstone.client.late import Late
from runstone.client.models import ModelVerbs
from runstone.errors import (
    ArtifactNotFound,
    ArtifactRefused,
    CopyRefused,
    FilesInTheWay,
    InvalidModelFolder,
    InvalidValue,
    RunNotFound,
    RunstoneError,
)
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from runstone import uris
    from runstone.artifacts import store
    from runstone.artifacts.store import FileInfo
    from runstone.entities import Param, RunTag
    from runstone.git.runs import layout
    from runstone.index.paging import PagedList
    from runstone.projects.checkout import Checkout
    from runstone.records.experiment import Experiment
    from runstone.records.metric import Metric
    from runstone.records.run import Run
    from runstone.tracking import edit, media, read, values
    from runstone.tracking import experiment as experiments
    from runstone.tracking import run as runs
    from runstone.tracking.amend import Change
    from runstone.tracking.run import ActiveRun
    from runstone.tracking.sync import Synced
else:
    store, layout, values = Late("artifacts.store"), Late("git.runs.layout"), Late("tracking.values")
    uris = Late("uris")
    edit, media, read = Late("tracking.edit"), Late("tracking.media"), Late("tracking.read")
    experiments, runs = Late("tracking.experiment"), Late("tracking.run")

DEFAULT_EXPERIMENT_ID = "0"
"""MLflow's id of the experiment `Default`; accepted wherever an experiment's id is."""


class Client(ModelVerbs):
    """Everything Runstone can do with one repository.

    ```python
    client = Client("path/to/repository")
    run = client.create_run(client.get_experiment_by_name("churn").experiment_id)
    client.log_metric(run.info.run_id, "auc", 0.93)
    client.set_terminated(run.info.run_id)
    ```
    """

    def __init__(self, tracking_uri: str | os.PathLike[str] | None = None, registry_uri: str | None = None) -> None:
        """Open a repository.

        Args:
            tracking_uri: A folder in it, as a path or as `runstone:PATH`; what `set_tracking_uri` or RUNSTONE_REPO
                names, else the current folder, if not given.
            registry_uri: For MLflow's signature only: the registry is in the same repository.

        Raises:
            NotARepository: No git repository holds that folder.
            UsageError: `registry_uri` names another repository.
        """
        self._workspace = Workspace.open(repository_path(tracking_uri))
        if registry_uri is not None and Workspace.open(repository_path(registry_uri)) is not self._workspace:
            raise InvalidValue(
                "The registry of a repository is in that repository, so `registry_uri` must be the same."
            )

    @classmethod
    def of(cls, workspace: Workspace) -> "Client":
        """The client of a workspace that is open already, wherever the current folder is by now."""
        made = cls.__new__(cls)
        made._workspace = workspace
        return made

    # --- experiments

    def create_experiment(
        self, name: str, artifact_location: str | None = None, tags: Mapping[str, Any] | None = None
    ) -> str:
        """Make an experiment and return its id; see `tracking.experiment.create_experiment`.

        Args:
            name: Any text of 1 to 500 characters.
            artifact_location: For MLflow's signature only: bytes go to the repository's DVC cache and remotes.
            tags: Text to text.

        Raises:
            ExperimentExists: One has this name, perhaps a deleted one.
            InvalidValue: An artifact location was given.
        """
        if artifact_location is not None:
            raise InvalidValue(
                "Artifacts are kept in the repository's DVC cache, so an experiment has no artifact location of its "
                "own. Choose where they are pushed: `dvc remote add -d NAME URL`."
            )
        return experiments.create_experiment(self._workspace.repo, name, tags).experiment_id

    def get_experiment(self, experiment_id: str) -> "Experiment":
        """An experiment by id, deleted ones too; raises `ExperimentNotFound`."""
        return experiments.get_experiment(self._workspace.repo, self._experiment_id(experiment_id))

    def get_experiment_by_name(self, name: str) -> "Experiment | None":
        """An experiment by name, deleted ones too; None if there is none."""
        return experiments.get_experiment_by_name(self._workspace.repo, name)

    def search_experiments(
        self,
        view_type: str | int = 1,
        max_results: int | None = 1000,
        filter_string: str | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> "PagedList[Experiment]":
        """Experiments that meet a filter; see `index.experiments.search_experiments`."""
        from runstone.index.experiments import search_experiments

        self._recover()
        return search_experiments(
            self._workspace.repo, view_type, max_results or 1000, filter_string, order_by, page_token
        )

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Give an experiment another name; its id stays. Raises `ExperimentExists`, `ExperimentNotFound`."""
        experiments.rename_experiment(self._workspace.repo, self._experiment_id(experiment_id), new_name)

    def delete_experiment(self, experiment_id: str) -> None:
        """Mark an experiment deleted, and with it its runs, until it is restored. Raises `ExperimentNotFound`."""
        experiments.delete_experiment(self._workspace.repo, self._experiment_id(experiment_id))

    def restore_experiment(self, experiment_id: str) -> None:
        """Undo `delete_experiment`. Raises `ExperimentNotFound`."""
        experiments.restore_experiment(self._workspace.repo, self._experiment_id(experiment_id))

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        """Set one tag of an experiment. Raises `ExperimentNotFound`."""
        experiments.set_experiment_tags(self._workspace.repo, self._experiment_id(experiment_id), {key: value})

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Remove one tag of an experiment. Raises `ExperimentNotFound`."""
        experiments.delete_experiment_tag(self._workspace.repo, self._experiment_id(experiment_id), key)

    # --- runs

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, Any] | None = None,
        run_name: str | None = None,
        *,
        run_id: str | None = None,
    ) -> "ActiveRun":
        """Begin a run; `set_terminated` ends it, and so does the end of this process.

        Args:
            experiment_id: The experiment it belongs to.
            start_time: Unix milliseconds; now if not given.
            tags: Tags to begin with.
            run_name: What people call it; made up if not given.
            run_id: An id of the caller's own.

        Raises:
            ExperimentNotFound: No experiment has this id.
            RunExists: The id is taken.
        """
        if str(experiment_id) == DEFAULT_EXPERIMENT_ID:
            experiment = experiments.ensure_experiment(self._workspace.repo, experiments.DEFAULT)
        else:
            experiment = self.get_experiment(experiment_id)
            if experiment.lifecycle_stage == "deleted":
                experiment = experiments.ensure_experiment(self._workspace.repo, experiment.name)
        return runs.start_run(
            self._workspace, experiment, run_id=run_id, name=run_name, tags=tags, start_time=start_time
        )

    def get_run(self, run_id: str) -> "Run":
        """A run, deleted ones too, a live one as its journals tell so far. Raises `RunNotFound`, `RecordInvalid`."""
        from runstone.index.search import get_run

        self._recover()
        try:
            return get_run(self._workspace.repo, run_id)
        except RunNotFound:  # or left out of searches, since its record cannot be read: then that is told
            return read.need_recorded(self._workspace, run_id).run

    def get_parent_run(self, run_id: str) -> "Run | None":
        """The run that a run is nested in, or None. Raises `RunNotFound`."""
        parent = self.get_run(run_id).parent
        return None if parent is None else self.get_run(parent)

    def search_runs(
        self,
        experiment_ids: Sequence[str] | str | None = None,
        filter_string: str = "",
        run_view_type: str | int = 1,
        max_results: int = 1000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> "PagedList[Run]":
        """Runs that meet a filter, in an order; see `index.search.search_runs`.

        Args:
            experiment_ids: Only runs of these; all if None.
            filter_string: As `metrics.mse < 0.5 AND params.model = 'forest'`.
            run_view_type: `ViewType`.
            max_results: Runs in a page, up to 50,000.
            order_by: As `["metrics.mse ASC"]`.
            page_token: `.token` of the page before.

        Raises:
            FilterInvalid: The filter or the order cannot be understood; the error points at the place.
        """
        from runstone.index.search import search_runs

        self._recover()
        return search_runs(
            self._workspace.repo,
            self._experiment_ids(experiment_ids),
            filter_string,
            run_view_type,
            max_results,
            order_by,
            page_token,
        )

    def search_runs_frame(
        self,
        experiment_ids: Sequence[str] | str | None = None,
        filter_string: str = "",
        run_view_type: str | int = 1,
        max_results: int = 100_000,
        order_by: Sequence[str] | None = None,
    ) -> "pd.DataFrame":
        """As `search_runs`, as a DataFrame with MLflow's column names: one row a run."""
        from runstone.index.frame import runs_to_frame

        self._recover()
        return runs_to_frame(
            self._workspace.repo,
            self._experiment_ids(experiment_ids),
            filter_string,
            run_view_type,
            max_results=max_results,
            order_by=order_by,
        )

    def set_terminated(self, run_id: str, status: str | None = None, end_time: int | None = None) -> None:
        """End a run and commit it; of a run that has ended, correct its status and, if given, its end.

        Raises:
            RunNotFound: No run has this id.
            RunIsLive: Another process logs to it.
        """
        status = status or "FINISHED"
        active = runs.find_open(self._workspace, run_id)
        if active is not None and not active.has_joined:
            active.end(status, end_time)
        else:
            edit.set_status(self._workspace, run_id, status, end_time)

    def update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        """Change the name of a run, or its status as `set_terminated` does. Raises `RunNotFound`, `RunIsLive`."""
        if name is not None:
            self.set_tag(run_id, runs.RUN_NAME_TAG, name)
        if status is not None:
            self.set_terminated(run_id, status)

    def delete_run(self, run_id: str, *, reason: str | None = None) -> None:
        """Mark a run deleted; the record stays, with the reason. Raises `RunNotFound`, `RunIsLive`."""
        edit.delete_run(self._workspace, run_id, reason)

    def restore_run(self, run_id: str) -> None:
        """Undo `delete_run`. Raises `RunNotFound`."""
        edit.restore_run(self._workspace, run_id)

    def amend_run(
        self,
        run_id: str,
        *,
        reason: str,
        params: Mapping[str, Any] | None = None,
        metrics: Sequence[tuple[str, float, int | None]] = (),
        tags: Mapping[str, Any] | None = None,
        delete: Sequence[str] = (),
        name: str | None = None,
        note: str | None = None,
    ) -> "list[Change]":
        """Correct what an ended run says, with the reason; returns what changed. See `tracking.edit.amend_run`."""
        return edit.amend_run(
            self._workspace,
            run_id,
            reason=reason,
            params=params,
            metrics=metrics,
            tags=tags,
            delete=delete,
            name=name,
            note=note,
        )

    def move_run(self, run_id: str | Sequence[str], experiment_id: str) -> None:
        """Put a run, or several, into another experiment; all that is found by run id stays. See `edit.move_runs`.

        Raises:
            RunNotFound, RunIsLive: There is no such run, or a process still logs to it.
            ExperimentNotFound: No experiment has this id.
        """
        found = experiments.get_experiment(self._workspace.repo, self._experiment_id(experiment_id))
        edit.move_runs(self._workspace, [run_id] if isinstance(run_id, str) else run_id, found)

    # --- logging

    @contextmanager
    def handle(self, run_id: str) -> "Iterator[ActiveRun]":
        """A handle to log to a run: this process's own, or one that joins it.

        What is added to a run that has ended is committed when the `with` block ends, as one commit.

        Raises:
            RunNotFound: No run has this id.
        """
        active = runs.find_open(self._workspace, run_id)
        if active is not None:
            yield active
            return
        active = runs.join_run(self._workspace, run_id)
        try:
            yield active
        finally:
            if active.adds_to_ended:
                active.end()

    def log_metric(
        self,
        run_id: str,
        key: str,
        value: float,
        timestamp: int | None = None,
        step: int | None = None,
        synchronous: bool | None = None,
    ) -> None:
        """Append one value to the history of a metric; see `ActiveRun.log_metric`."""
        with self.handle(run_id) as run:
            run.log_metric(key, value, step, timestamp)

    def log_param(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> Any:
        """Record one param and return its value; see `ActiveRun.log_params`."""
        with self.handle(run_id) as run:
            run.log_params({key: value})
        return value

    def set_tag(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> None:
        """Set one tag."""
        with self.handle(run_id) as run:
            run.set_tags({key: value})

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove one tag; raises `InvalidValue` if the run has none of this name."""
        if key not in self.get_run(run_id).tags:
            raise InvalidValue(f"Run {run_id} has no tag {key!r}. See its tags: `runstone runs show {run_id}`")
        with self.handle(run_id) as run:
            run.delete_tag(key)

    def set_note(self, run_id: str, text: str) -> None:
        """Set the notes of a run (Markdown)."""
        with self.handle(run_id) as run:
            run.set_note(text)

    def get_note(self, run_id: str) -> str | None:
        """The notes of a run, or None."""
        return read.read_file(self._workspace, run_id, layout.NOTES)

    def get_requirements(self, run_id: str) -> str | None:
        """The exact packages of a run as the text of a requirements file, or None."""
        return read.read_file(self._workspace, run_id, layout.REQUIREMENTS)

    def log_batch(
        self,
        run_id: str,
        metrics: "Sequence[Metric]" = (),
        params: "Sequence[Param] | Mapping[str, Any]" = (),
        tags: "Sequence[RunTag] | Mapping[str, Any]" = (),
        synchronous: bool | None = None,
    ) -> None:
        """Log metrics, params and tags together: all of them, or, if one is refused, none.

        Args:
            run_id: The run.
            metrics: `Metric(key, value, timestamp, step)`.
            params: `Param(key, value)`, or a dictionary.
            tags: `RunTag(key, value)`, or a dictionary.
            synchronous: For MLflow's signature only: a call returns when it is safe.
        """
        with self.handle(run_id) as run:
            run.log_batch(metrics, _pairs("param", params), _pairs("tag", tags))

    def log_inputs(
        self, run_id: str, datasets: Sequence[Any] | None = None, models: Sequence[Any] | None = None
    ) -> None:
        """Record what a run read: DataFrames, arrays, files' paths or `Dataset` values."""
        from runstone.tracking.dataset import describe

        if models:
            raise InvalidValue("Models as inputs of a run are not recorded. Record their URI as a param.")
        described = [describe(self._workspace.repo, data) for data in datasets or ()]
        with self.handle(run_id) as run:
            for dataset in described:
                run.log_dataset(dataset)

    def log_artifact(self, run_id: str, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep a file among the run's artifacts; a folder goes below its own name. See `ActiveRun.log_artifact`."""
        path = Path(local_path)
        folder = _folder(artifact_path)
        if path.is_dir():
            name = os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119  # `..` goes, links stay
            folder = f"{folder}/{name}" if folder else name
        self._log_folder(run_id, path, folder)

    def log_artifacts(self, run_id: str, local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep what a folder holds among the run's artifacts. See `ActiveRun.log_artifact`.

        One with an `MLmodel` file, as `save_model` writes it, is a model then, which can be registered.
        """
        path = Path(local_dir)
        if not path.is_dir():
            raise ArtifactRefused(path, "it is not a folder")
        self._log_folder(run_id, path, _folder(artifact_path))

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        """Keep a text as an artifact, in UTF-8."""
        with self.handle(run_id) as run:
            run.log_bytes(values.check_text("artifact", artifact_file, text).encode(), artifact_file)

    def log_dict(self, run_id: str, dictionary: Any, artifact_file: str) -> None:
        """Keep a dictionary as YAML or JSON, by the name's ending."""
        with self.handle(run_id) as run:
            run.log_bytes(media.dictionary_bytes(dictionary, artifact_file), artifact_file)

    def log_figure(
        self, run_id: str, figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Keep a figure of matplotlib or plotly as an artifact, in the format of the name's ending."""
        with self.handle(run_id) as run:
            run.log_bytes(media.figure_bytes(figure, artifact_file, save_kwargs), artifact_file)

    def log_image(
        self,
        run_id: str,
        image: Any,
        artifact_file: str | None = None,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
        synchronous: bool | None = None,
    ) -> None:
        """Keep an image (PIL, or an array of shape (H, W[, 1|3|4])) as an artifact.

        Args:
            run_id: The run.
            image: The image.
            artifact_file: Its name; or else `key` and `step` make one: `images/<key>/<step>-<timestamp>.png`.
            key: What the image shows, for a series over steps.
            step: The step of the series.
            timestamp: Unix milliseconds.
            synchronous: For MLflow's signature only.
        """
        if (artifact_file is None) == (key is None):
            raise InvalidValue("Name the image: either `artifact_file`, or `key` (and `step`) for a series.")
        if artifact_file is None:
            artifact_file = f"images/{key}/{step or 0:08d}-{timestamp or int(time() * 1000)}.png"
        with self.handle(run_id) as run:
            run.log_bytes(media.image_bytes(image, artifact_file), artifact_file)

    def log_table(self, run_id: str, data: Any, artifact_file: str) -> None:
        """Keep a table as JSON; logged again under one name, its rows are added."""
        with self.handle(run_id) as run, self._workspace.lock:
            old = next((entry for entry in run.artifacts() if entry.path == artifact_file), None)
            before = None if old is None else self._workspace.artifacts.read(old)
            run.log_bytes(media.table_bytes(data, artifact_file, before), artifact_file)

    def get_metric_history(self, run_id: str, key: str) -> "list[Metric]":
        """All values of a metric, in the order written; an unknown key gives an empty list. Raises `RunNotFound`."""
        return read.read_metrics(self._workspace, run_id, key)

    # --- artifacts

    def list_artifacts(self, run_id: str, path: str | None = None) -> "list[FileInfo]":
        """The files and folders right below `path` among a run's artifacts. Raises `RunNotFound`."""
        return store.list_folder(read.read_artifacts(self._workspace, run_id), path or "")

    def download_artifacts(
        self,
        run_id: str,
        path: str = "",
        dst_path: str | os.PathLike[str] | None = None,
        *,
        overwrite: bool = True,
    ) -> str:
        """Copy a run's artifacts out, each verified by its digest; those not in the cache are pulled.

        Args:
            run_id: The run.
            path: A file or folder among the artifacts; all if empty.
            dst_path: An existing folder; a new temporary one if not given.
            overwrite: Whether files there of other content are replaced; else they are refused, and nothing is copied.

        Returns:
            Where the file or folder lies now.

        Raises:
            RunNotFound: No run has this id.
            ArtifactNotFound: The run has no such artifact.
            CopyRefused: The target is no folder, or a link leads out of it.
            FilesInTheWay: Files there have other content.
            ArtifactCorrupt: Bytes are not those that were logged.
        """
        path = uris.check_relative(f"runs:/{run_id}/{path}", path.strip("/"))
        entries = store.below(read.read_artifacts(self._workspace, run_id), path)
        if not entries and path:
            raise ArtifactNotFound(run_id, path)
        if dst_path is None:
            import tempfile  # slow to import, and seldom needed

            dst_path = tempfile.mkdtemp(prefix="runstone-")
        target = Path(dst_path)
        if not target.is_dir():
            raise CopyRefused(target, "it is not an existing folder")
        in_the_way = [] if overwrite else store.find_in_the_way(entries, target)
        if in_the_way:
            raise FilesInTheWay(in_the_way)
        self._workspace.artifacts.fetch(entries, target)
        return str(target.joinpath(*path.split("/")) if path else target)

    # --- projects

    def checkout(
        self,
        what: str,
        target: str | os.PathLike[str] | None = None,
        *,
        branch: str | None = None,
        artifacts: bool = True,
        data: str = "inputs",
        environment: bool = False,
        submodules: bool = False,
    ) -> "Checkout":
        """Check a past run out in a linked work tree of its own; see `projects.checkout.checkout`.

        Args:
            what: A run (id, beginning of one, name), or a model version: `churn@v4`, `churn@champion`,
                `churn/Production`.
            target: The folder; beside the repository if not given.
            branch: A new branch to make there.
            artifacts: Whether to place the run's artifacts.
            data: Which DVC-tracked files to place: `inputs`, `all` or `none`.
            environment: Whether to build its environment; that runs code of its packages.
            submodules: Whether to check submodules out.
        """
        from runstone.projects.checkout import checkout

        self._recover()
        place = None if target is None else Path(target)
        return checkout(
            self._workspace,
            what,
            place,
            branch=branch,
            artifacts=artifacts,
            data=data,
            environment=environment,
            submodules=submodules,
        )

    # --- sharing

    def sync(
        self, remote: str | None = None, *, send: bool = True, receive: bool = True, artifacts: bool = True
    ) -> "Synced":
        """Share runs: first their artifacts, then the branch, then model versions; and bring those of others.

        Args:
            remote: The git remote; else that of the branch, `origin`, or the only one.
            send: Whether to push; False brings only what others have shared.
            receive: Whether model versions that only the remote has are made here.
            artifacts: Whether runs are pushed together with their artifacts.

        Returns:
            What was moved.

        Writes:
            See `tracking.sync.sync`, also for what it raises.
        """
        from runstone.tracking.sync import sync

        return sync(self._workspace, remote=remote, send=send, receive=receive, artifacts=artifacts)

    # --- inside

    def _log_folder(self, run_id: str, path: Path, folder: str) -> None:
        described = None
        if folder and (path / "MLmodel").is_file():
            from runstone.flavors import mlmodel

            with suppress(InvalidModelFolder):  # then these are files like any others
                described = mlmodel.describe(path)
        with self.handle(run_id) as run:
            if described is None:
                run.log_artifact(path, folder)
            else:
                run.log_model(path, folder, *described)

    def _experiment_id(self, experiment_id: str) -> str:
        if str(experiment_id) != DEFAULT_EXPERIMENT_ID:
            return str(experiment_id)
        found = experiments.get_experiment_by_name(self._workspace.repo, experiments.DEFAULT)
        return str(experiment_id) if found is None else found.experiment_id

    def _experiment_ids(self, given: Sequence[str] | str | None) -> list[str] | None:
        if given is None:
            return None
        return [self._experiment_id(each) for each in ([given] if isinstance(given, str) else given)]

    def _recover(self) -> None:
        """Record runs of dead processes before a read; a repository that cannot be written is read as it is."""
        try:
            self._workspace.notice_dead_runs()
        except RunstoneError as error:
            import warnings

            warnings.warn(f"Runs that were cut short could not be recorded: {error}", stacklevel=3)


MlflowClient = Client
"""What MLflow calls it."""


def repository_path(uri: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """The folder that a tracking URI names: a path, `runstone:PATH` or `file:PATH`; None stays None."""
    if not isinstance(uri, str):
        return uri
    scheme, found, rest = uri.partition(":")
    if not found or len(scheme) == 1 or scheme not in ("runstone", "runstone+file", "file"):
        if "://" in uri:
            raise InvalidValue(f"{uri!r} is a server's address. Name a git repository: a path, or `runstone:PATH`.")
        return uri
    return rest.removeprefix("//") or "."


def _pairs(kind: str, given: "Sequence[Param] | Sequence[RunTag] | Mapping[str, Any]") -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    pairs: dict[str, Any] = {}
    for each in given:
        if each.key in pairs and pairs[each.key] != each.value:
            raise InvalidValue(f"The {kind} {each.key!r} stands twice in one batch, with different values.")
        pairs[each.key] = each.value
    return pairs


def _folder(artifact_path: str | None) -> str:
    return (artifact_path or "").rstrip("/")
