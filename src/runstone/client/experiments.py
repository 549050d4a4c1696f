"""The verbs of the client that are about experiments."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runstone.client.late import Late
from runstone.errors import InvalidValue, RunstoneError
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from runstone.index.paging import PagedList
    from runstone.records.experiment import Experiment
    from runstone.tracking import experiment as experiments
else:
    experiments = Late("tracking.experiment")


class ExperimentVerbs:
    """What a client can do with experiments."""

    _workspace: Workspace

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

    # --- inside

    def _experiment_id(self, experiment_id: str) -> str:
        if str(experiment_id) != experiments.DEFAULT_ID:
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
