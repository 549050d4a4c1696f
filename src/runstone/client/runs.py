"""The verbs of the client that are about runs: begin, find, change and end them, and log values to them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runstone.client.experiments import ExperimentVerbs
from runstone.client.late import Late
from runstone.errors import InvalidValue, RunNotFound

if TYPE_CHECKING:
    import pandas as pd

    from runstone.entities import Param, RunTag
    from runstone.git.runs import layout
    from runstone.index.paging import PagedList
    from runstone.records.metric import Metric
    from runstone.records.run import Run
    from runstone.tracking import edit, read
    from runstone.tracking import experiment as experiments
    from runstone.tracking import run as runs
    from runstone.tracking.amend import Change
    from runstone.tracking.run import ActiveRun
else:
    layout, edit, read = Late("git.runs.layout"), Late("tracking.edit"), Late("tracking.read")
    experiments, runs = Late("tracking.experiment"), Late("tracking.run")


class RunVerbs(ExperimentVerbs):
    """What a client can do with runs, besides their artifacts."""

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
        if str(experiment_id) == experiments.DEFAULT_ID:
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

    def get_metric_history(self, run_id: str, key: str) -> "list[Metric]":
        """All values of a metric, in the order written; an unknown key gives an empty list. Raises `RunNotFound`."""
        return read.read_metrics(self._workspace, run_id, key)


def _pairs(kind: str, given: "Sequence[Param] | Sequence[RunTag] | Mapping[str, Any]") -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    pairs: dict[str, Any] = {}
    for each in given:
        if each.key in pairs and pairs[each.key] != each.value:
            raise InvalidValue(f"The {kind} {each.key!r} stands twice in one batch, with different values.")
        pairs[each.key] = each.value
    return pairs
