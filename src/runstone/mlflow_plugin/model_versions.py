"""Model versions for MLflow: made, moved, tagged, deleted, found, with the codes its SQL store gives."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from mlflow.entities.model_registry.model_version_stages import DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry import SEARCH_MODEL_VERSION_MAX_RESULTS_DEFAULT
from mlflow.utils import validation

from runstone.errors import AliasNotFound, InvalidValue, ModelHasNoVersion
from runstone.mlflow_plugin import compat, sources
from runstone.mlflow_plugin.model_entities import (
    HIDDEN,
    MODEL_ID_TAG,
    SOURCE_RUN_TAG,
    download_uri,
    is_prompt,
    to_version,
    to_versions,
)
from runstone.mlflow_plugin.model_search import one_name, search_versions
from runstone.mlflow_plugin.registered_models import ModelStore
from runstone.registry import copy, model, model_edits, notes, version
from runstone.registry.alias import get_version_by_alias
from runstone.registry.entity import RUN_LINK_TAG
from runstone.registry.resolve import resolve_version
from runstone.registry.search import list_if_any
from runstone.uris import RunUri

if TYPE_CHECKING:
    from mlflow.store.entities.paged_list import PagedList

_PROMPT_TEXT_TAG = "mlflow.prompt.text"


class VersionStore(ModelStore):
    """What MLflow's registry does with versions, their stages and aliases."""

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Iterable[ModelVersionTag] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> ModelVersion:
        """Make the next version of a model; see `sources` for what it can be made from.

        Args:
            name: The model; it must be there.
            source: `runs:/…`, `models:/…`, a URI of artifacts here; what lies elsewhere is fetched.
            run_id: The run that made it.
            tags: Its tags.
            run_link: Where its run is shown.
            description: What to say of it.
            local_model_path: Where the files lie on this machine, if they do.
            model_id: The logged model that it is.
        """
        self._check_name(name)
        given = list(tags or ())
        for tag in given:
            validation._validate_model_version_tag(tag.key, tag.value)
        model_edits.need_key(self._workspace.repo, name)
        texts = {tag.key: str(tag.value) for tag in given if tag.key not in HIDDEN}
        if run_link:
            texts[RUN_LINK_TAG] = run_link
        found = self._source(name, source, local_model_path, texts)
        if isinstance(found.uri, RunUri):
            if not found.is_brought:
                sources.commit_source(self._workspace, found.uri)
            texts |= self._lineage(found, source, run_id or None, model_id or None)
            made = version.register_version(self._workspace, name, found.uri, description=description, tags=texts)
        else:
            original = resolve_version(self._workspace.repo, found.uri)
            texts |= {key: original.tags[key] for key in (MODEL_ID_TAG, SOURCE_RUN_TAG) if key in original.tags}
            _refuse_other_run(source, run_id or None, original.tags.get(SOURCE_RUN_TAG, original.run_id) or None)
            made = copy.copy_version(self._workspace, found.uri, name, description=description or "", tags=texts)
        return to_version(self._place, made)

    def update_model_version(self, name: str, version: Any, description: str | None = None) -> ModelVersion:
        """Say something of a version; None takes it away."""
        self._check_name(name)
        number = validation_number(version)
        return to_version(self._place, notes.describe_version(self._workspace, name, number, description))

    def transition_model_version_stage(
        self, name: str, version: Any, stage: str, archive_existing_versions: bool
    ) -> ModelVersion:
        """Move a version into a stage, or propose it."""
        self._check_name(name)
        number = validation_number(version)
        key = self._get(name, number).key
        wanted = self._stage(key, stage)
        if archive_existing_versions and wanted not in DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS:
            raise MlflowException(
                "Model version transition cannot archive existing model versions because "
                f"'{stage}' is not an Active stage. Valid stages are {DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS}"
            )
        moved = self._client.transition_model_version_stage(name, number, wanted, bool(archive_existing_versions))
        return to_version(self._place, moved)

    def delete_model_version(self, name: str, version: Any) -> None:
        """Retire a version: its stage and aliases are left, and its number is never given again."""
        self._check_name(name)
        self._client.delete_model_version(name, self._get(name, validation_number(version)).version)

    def get_model_version(self, name: str, version: Any) -> ModelVersion:
        """One version."""
        self._check_name(name)
        return to_version(self._place, self._get(name, validation_number(version)))

    def get_model_version_download_uri(self, name: str, version: Any) -> str:
        """Where the files of a version are: among the artifacts of its run."""
        self._check_name(name)
        return download_uri(self._place, self._get(name, validation_number(version)))

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> "PagedList[ModelVersion]":
        """One page of the versions that meet a filter."""
        repo, name = self._workspace.repo, one_name(filter_string)
        return search_versions(
            to_versions(self._place, version.list_versions(repo) if name is None else list_if_any(repo, name)),
            filter_string,
            SEARCH_MODEL_VERSION_MAX_RESULTS_DEFAULT if max_results is None else max_results,
            order_by,
            page_token,
        )

    def set_model_version_tag(self, name: str, version: Any, tag: ModelVersionTag) -> None:
        """Set a tag of a version."""
        self._check_name(name)
        number = validation_number(version)
        validation._validate_model_version_tag(tag.key, tag.value)
        self._get(name, number)
        if tag.key not in HIDDEN:
            notes.set_version_tags(self._workspace, name, number, {tag.key: tag.value})

    def delete_model_version_tag(self, name: str, version: Any, key: str) -> None:
        """Remove a tag of a version, if it has it."""
        self._check_name(name)
        number = validation_number(version)
        validation._validate_tag_name(key)
        self._get(name, number)
        if key not in HIDDEN:
            notes.delete_version_tags(self._workspace, name, number, [key])

    def set_registered_model_alias(self, name: str, alias: str, version: Any) -> None:
        """Point an alias at a version, or propose it."""
        self._check_name(name)
        validation._validate_model_alias_name(alias)
        reserved = compat.entity("_validate_model_alias_name_reserved", "mlflow.utils.validation")
        if reserved is not None:
            reserved(alias)
        found = self._get(name, validation_number(version))
        self._client.set_registered_model_alias(name, alias, found.version)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Remove an alias, if the model has it, or propose it."""
        self._check_name(name)
        validation._validate_model_alias_name(alias)
        if alias in model.get_model(self._workspace.repo, name).aliases:
            self._client.delete_registered_model_alias(name, alias)

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """The version that an alias points at; `latest` is the one with the highest number."""
        self._check_name(name)
        validation._validate_model_alias_name(alias)
        repo = self._workspace.repo
        if alias.lower() == "latest":
            return to_version(self._place, version.latest_version(repo, name))
        try:
            return to_version(self._place, get_version_by_alias(repo, name, alias))
        except ModelHasNoVersion:
            raise AliasNotFound(name, alias, []) from None

    def _await_model_version_creation(self, mv: ModelVersion, await_creation_for: int | None) -> None:
        """There is nothing to wait for: when the call returns, the version is there."""

    # --- inside

    def _get(self, name: str, number: int) -> version.ModelVersion:
        return version.get_version(self._workspace.repo, name, number)

    def _source(self, name: str, source: str, local_path: str | None, tags: dict[str, str]) -> sources.Source:
        if is_prompt(tags):
            return sources.keep_prompt(self._workspace, name, tags.get(_PROMPT_TEXT_TAG, ""))
        found = sources.find_source(self._workspace, self._place, source)
        return found if found is not None else sources.bring(self._workspace, source, local_path)

    def _lineage(self, found: sources.Source, source: str, run_id: str | None, model_id: str | None) -> dict[str, str]:
        """What MLflow is to be told of where a version is from, beside the run that holds its files."""
        assert isinstance(found.uri, RunUri)
        if not found.is_brought:
            _refuse_other_run(source, run_id, found.run_id)
        known, logged = run_id or found.run_id, found.model_id or model_id
        told = {} if logged is None else {MODEL_ID_TAG: logged}
        return told if known == found.uri.run_id else {**told, SOURCE_RUN_TAG: known or ""}


def validation_number(version: Any) -> int:
    """The number of a version, refused as MLflow does where it is none."""
    validation._validate_model_version(version)  # which returns it since MLflow 3
    return int(version)


def _refuse_other_run(source: str, run_id: str | None, own: str | None) -> None:
    if run_id is not None and own is not None and run_id != own:
        raise InvalidValue(f"{source!r} is of run {own}, not of run {run_id}. Leave `run_id` out, or name that run.")
