"""Experiments, as MLflow's stores have them. `Default` is there from the start; its record is made when it matters."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from mlflow.entities import Experiment as MlflowExperiment
from mlflow.entities import ExperimentTag, LifecycleStage, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, INVALID_STATE, RESOURCE_DOES_NOT_EXIST
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT
from mlflow.utils.search_utils import SearchExperimentsUtils, SearchUtils
from mlflow.utils.validation import _validate_experiment_name, _validate_experiment_tag

from runstone.errors import ExperimentExists, ExperimentNotFound
from runstone.git.runs.branch import Draft
from runstone.index.experiments import ExperimentRow, list_rows
from runstone.mlflow_plugin.entities import (
    DEFAULT_FOLDER,
    DEFAULT_NAME,
    NOTE_TAG,
    experiment_entity,
    ours,
    theirs,
)
from runstone.mlflow_plugin.errors import SpeaksMlflow
from runstone.mlflow_plugin.search import check_experiment_filter, check_max_results, page_offset
from runstone.records.experiment import Experiment
from runstone.tracking.experiment import ensure_experiment, set_experiment_tags

if TYPE_CHECKING:
    from runstone.client import Client
    from runstone.mlflow_plugin.place import Place
    from runstone.tracking.workspace import Workspace

_logger = logging.getLogger(__name__)
_NOT_USED = (
    "The artifact location %s of the experiment %r is not used: artifacts are kept in the repository's DVC cache. "
    "Choose where they are pushed: `dvc remote add -d NAME URL`"
)
_ORDER = ["creation_time DESC", "experiment_id ASC"]  # as MLflow's SQL store


class ExperimentStore(SpeaksMlflow):
    """What MLflow asks a tracking store about experiments."""

    _place: "Place"
    _workspace: "Workspace"
    _client: "Client"

    def search_experiments(
        self,
        view_type: int = ViewType.ACTIVE_ONLY,
        max_results: int = SEARCH_MAX_RESULTS_DEFAULT,
        filter_string: str | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[MlflowExperiment]:
        """A page of the experiments that meet a filter of MLflow's language."""
        check_max_results(max_results)
        page_offset(page_token)
        check_experiment_filter(filter_string)
        stages = set(LifecycleStage.view_type_to_stages(view_type))
        found = [experiment_entity(row, self._place) for row in self._rows()]
        found = [experiment for experiment in found if experiment.lifecycle_stage in stages]
        ordered = SearchExperimentsUtils.sort(
            SearchExperimentsUtils.filter(found, filter_string), list(order_by or _ORDER)
        )
        page, token = SearchUtils.paginate(ordered, page_token, max_results)
        return PagedList(page, token)

    def create_experiment(
        self, name: str, artifact_location: str | None = None, tags: Sequence[ExperimentTag] | None = None
    ) -> str:
        """Make an experiment and return its id. Of an artifact location it is said that it is not used.

        All bytes lie in the repository's DVC cache and remotes. A script that names a place of its own works all the
        same: its artifacts are found through MLflow, wherever they lie.
        """
        _validate_experiment_name(name)
        for tag in tags or ():
            _validate_experiment_tag(tag.key, tag.value)
        if name == DEFAULT_NAME:
            self._refuse_default()
        texts = {tag.key: tag.value for tag in tags or ()}
        made = theirs(self._client.create_experiment(name, tags=texts))
        if artifact_location and artifact_location != self._place.root:
            _logger.warning(_NOT_USED, artifact_location, name)
        return made

    def get_experiment(self, experiment_id: str | None) -> MlflowExperiment:
        """An experiment by id, deleted ones too."""
        wanted = ours(experiment_id)
        row = next((row for row in self._rows() if row.experiment.experiment_id == wanted), None)
        if row is None:
            raise ExperimentNotFound(str(experiment_id))
        return experiment_entity(row, self._place)

    def get_experiment_by_name(self, experiment_name: str) -> MlflowExperiment | None:
        """An experiment by name, deleted ones too; None if there is none."""
        found = self._client.get_experiment_by_name(experiment_name)
        if found is None:
            is_default = experiment_name == DEFAULT_NAME and not self._has_default()
            return self.get_experiment(DEFAULT_FOLDER) if is_default else None
        return self.get_experiment(found.experiment_id)

    def delete_experiment(self, experiment_id: str) -> None:
        """Mark an experiment deleted, and with it its runs."""
        experiment = self._writable(experiment_id)
        if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
            raise ExperimentNotFound(experiment_id)  # as MLflow's SQL store, which looks among the active ones
        self._client.delete_experiment(experiment.experiment_id)

    def restore_experiment(self, experiment_id: str) -> None:
        """Undo `delete_experiment`; a run that was deleted by itself stays deleted."""
        experiment = self._writable(experiment_id)
        if experiment.lifecycle_stage == LifecycleStage.ACTIVE:
            raise ExperimentNotFound(experiment_id)
        self._client.restore_experiment(experiment.experiment_id)

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Give an experiment another name; its id stays."""
        _validate_experiment_name(new_name)
        experiment = self._writable(experiment_id)
        if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
            raise MlflowException("Cannot rename a non-active experiment.", INVALID_STATE)
        if new_name == DEFAULT_NAME and experiment.experiment_id != DEFAULT_FOLDER and not self._has_default():
            self._refuse_default()
        self._client.rename_experiment(experiment.experiment_id, new_name)

    def set_experiment_tag(self, experiment_id: str, tag: ExperimentTag) -> None:
        """Set one tag of an experiment."""
        _validate_experiment_tag(tag.key, tag.value)
        experiment = self._need_active(experiment_id)
        self._client.set_experiment_tag(experiment.experiment_id, tag.key, tag.value)

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Remove one tag of an experiment."""
        experiment = self._need_active(experiment_id)
        if key == NOTE_TAG and experiment.description:
            set_experiment_tags(self._workspace.repo, experiment.experiment_id, {NOTE_TAG: ""})
        elif key in experiment.tags:
            self._client.delete_experiment_tag(experiment.experiment_id, key)
        else:
            raise MlflowException(
                f"No tag with name: {key} in experiment with id {experiment_id}", RESOURCE_DOES_NOT_EXIST
            )

    # --- inside

    def _rows(self) -> list[ExperimentRow]:
        """Every experiment, `Default` among them whether it has a record or not."""
        rows = list_rows(self._workspace.repo)
        if any(row.experiment.experiment_id == DEFAULT_FOLDER or row.experiment.name == DEFAULT_NAME for row in rows):
            return rows
        first = min((row.created for row in rows if row.created is not None), default=0)
        return [*rows, ExperimentRow(Experiment(DEFAULT_FOLDER, DEFAULT_NAME), first, first)]

    def _has_default(self) -> bool:
        """Whether some experiment has the id that is MLflow's 0."""
        return self._experiment(DEFAULT_FOLDER) is not None

    def _refuse_default(self) -> None:
        """Say that there is a `Default`, whether it has a record yet or not."""
        if self._client.get_experiment_by_name(DEFAULT_NAME) is None and not self._has_default():
            raise ExperimentExists(DEFAULT_NAME, deleted=False)

    def _writable(self, experiment_id: str | None) -> Experiment:
        """An experiment that has a record; that of `Default` is made now."""
        wanted = ours(experiment_id)
        found = self._experiment(wanted)
        if found is None:
            if wanted != DEFAULT_FOLDER or self._client.get_experiment_by_name(DEFAULT_NAME) is not None:
                raise ExperimentNotFound(str(experiment_id))
            found = ensure_experiment(self._workspace.repo, DEFAULT_NAME)
        return found

    def _experiment(self, experiment_id: str) -> Experiment | None:
        """The record of an experiment as it is now."""
        return _experiment_at(self._workspace, self._workspace.repo.runs_tip(), experiment_id)

    def _need_active(self, experiment_id: str | None) -> Experiment:
        """An experiment that may be written to."""
        experiment = self._writable(experiment_id)
        if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
            raise MlflowException(
                f"The experiment {theirs(experiment.experiment_id)} must be in the 'active' state. "
                f"Current state is {experiment.lifecycle_stage}.",
                INVALID_PARAMETER_VALUE,
            )
        return experiment

    def _hard_delete_experiment(self, experiment_id: str) -> None:
        """Take a deleted experiment, and its runs, from the tip of the branch; its history keeps them.

        MLflow's `gc` has removed its runs by then. Of the bytes only those go that nothing else needs.
        """
        experiment = self._writable(experiment_id)
        if experiment.lifecycle_stage == LifecycleStage.ACTIVE:
            raise ExperimentNotFound(experiment_id)
        from runstone.registry.removal.gc import collect, plan
        from runstone.registry.removal.removable import Wanted

        wanted = Wanted(experiment=experiment, older_than_s=0)
        collect(self._workspace, plan(self._workspace, wanted), wanted)


@lru_cache(maxsize=1024)
def _experiment_at(workspace: "Workspace", tip: str | None, experiment_id: str) -> Experiment | None:
    """An experiment at a commit of the branch: asked at every write, the same while the branch stands still."""
    if "/" in experiment_id or experiment_id in ("", ".", ".."):
        return None
    return Draft(workspace.repo, tip).experiment(experiment_id)
