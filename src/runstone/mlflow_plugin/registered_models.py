"""Registered models for MLflow: made, tagged, renamed, deleted, found, with the codes its SQL store gives."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mlflow.entities.model_registry import ModelVersion, RegisteredModel, RegisteredModelTag
from mlflow.entities.model_registry.model_version_stages import ALL_STAGES, get_canonical_stage
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry import SEARCH_REGISTERED_MODEL_MAX_RESULTS_DEFAULT
from mlflow.utils import validation

from runstone.errors import RunstoneError
from runstone.mlflow_plugin import compat
from runstone.mlflow_plugin.errors import SpeaksMlflow
from runstone.mlflow_plugin.model_entities import to_model, to_version
from runstone.mlflow_plugin.model_search import search_models
from runstone.registry import model, model_edits
from runstone.registry.branch import registry_commit
from runstone.registry.state import read_policy

if TYPE_CHECKING:
    from mlflow.store.entities.paged_list import PagedList

    from runstone.client import Client
    from runstone.mlflow_plugin.place import Place
    from runstone.tracking.workspace import Workspace


class ModelStore(SpeaksMlflow):
    """What MLflow's registry does with registered models."""

    _client: "Client"
    _place: "Place"
    _workspace: "Workspace"

    def create_registered_model(
        self,
        name: str,
        tags: Iterable[RegisteredModelTag] | None = None,
        description: str | None = None,
        deployment_job_id: str | None = None,
    ) -> RegisteredModel:
        """Make a model that has no version yet."""
        del deployment_job_id
        validation._validate_model_name(name)
        given = list(tags or ())
        for tag in given:
            validation._validate_registered_model_tag(tag.key, tag.value)
        texts = {tag.key: _text(tag.value) for tag in given}
        return to_model(self._place, model_edits.create_model(self._workspace, name, texts, description))

    def update_registered_model(
        self, name: str, description: str | None, deployment_job_id: str | None = None
    ) -> RegisteredModel:
        """Say what a model is for; None takes it away."""
        del deployment_job_id
        self._check_name(name)
        return to_model(self._place, model_edits.describe_model(self._workspace, name, description))

    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        """Give a model another name, or propose it."""
        checked = compat.entity("_validate_model_renaming", "mlflow.utils.validation")
        (checked or validation._validate_model_name)(new_name)
        self._check_name(name)
        model_edits.need_key(self._workspace.repo, name)
        if name != new_name:
            self._client.rename_registered_model(name, new_name)
        return self._model(new_name)

    def delete_registered_model(self, name: str) -> None:
        """Delete a model, or propose it. A model of this name that is made later counts its versions on."""
        self._check_name(name)
        self._client.delete_registered_model(name)

    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> "PagedList[RegisteredModel]":
        """One page of the models that meet a filter."""
        return search_models(
            [to_model(self._place, found) for found in model.list_models(self._workspace.repo)],
            filter_string,
            SEARCH_REGISTERED_MODEL_MAX_RESULTS_DEFAULT if max_results is None else max_results,
            order_by,
            page_token,
        )

    def get_registered_model(self, name: str) -> RegisteredModel:
        """One model."""
        self._check_name(name)
        return self._model(name)

    def get_latest_versions(self, name: str, stages: Sequence[str] | None = None) -> list[ModelVersion]:
        """The version with the highest number in each stage, or in each of those named."""
        self._check_name(name)
        found = model.get_model(self._workspace.repo, name)
        wanted = {self._stage(found.key, stage) for stage in stages or ()}
        kept = [version for version in found.latest_versions if not wanted or version.current_stage in wanted]
        return [to_version(self._place, version) for version in kept]

    def set_registered_model_tag(self, name: str, tag: RegisteredModelTag) -> None:
        """Set a tag of a model."""
        self._check_name(name)
        validation._validate_registered_model_tag(tag.key, tag.value)
        model_edits.set_model_tags(self._workspace, name, {tag.key: _text(tag.value)})

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Remove a tag of a model, if it has it."""
        self._check_name(name)
        validation._validate_tag_name(key)
        model_edits.delete_model_tags(self._workspace, name, [key])

    # --- inside

    def _model(self, name: str) -> RegisteredModel:
        return to_model(self._place, model.get_model(self._workspace.repo, name))

    def _check_name(self, name: str) -> None:
        """Refuse what MLflow refuses as a name, but of models that are there: names of Runstone's may hold `/`, `:`."""
        try:
            validation._validate_model_name(name)
        except MlflowException:
            try:
                model_edits.need_key(self._workspace.repo, name)
                return
            except RunstoneError:
                pass
            raise

    def _stage(self, key: str, stage: str) -> str:
        """A stage as it is written: one of MLflow's, or one that the project's policy has."""
        if stage.lower() in {each.lower() for each in ALL_STAGES}:
            return str(get_canonical_stage(stage))
        repo = self._workspace.repo
        found = read_policy(repo, registry_commit(repo), key).find_stage(stage)
        return found if found is not None else str(get_canonical_stage(stage))  # which says what there is


def _text(value: Any) -> str:
    """A tag's value; of none an empty text, as a record holds texts."""
    return "" if value is None else str(value)
