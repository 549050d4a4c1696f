"""The verbs of the client that are about registered models, their versions, aliases and stages."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runstone.client.late import Late
from runstone.client.numbers import version_number
from runstone.client.promotions import PromotionVerbs
from runstone.errors import InvalidValue
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from runstone import uris
    from runstone.index.paging import PagedList
    from runstone.registry.model import RegisteredModel
    from runstone.registry.version import ModelVersion
else:
    uris = Late("uris")


class ModelVerbs(PromotionVerbs):
    """What a client can do with the registry of its repository."""

    _workspace: Workspace

    @property
    def workspace(self) -> Workspace:
        """The repository, its artifacts and its rules."""
        return self._workspace

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        await_creation_for: int | None = None,
        model_id: str | None = None,
    ) -> "ModelVersion":
        """Make a model folder of a run the next version of a registered model; see `registry.version`.

        Args:
            name: The registered model; made if there is none.
            source: `runs:/<run id>/<path>`, or `models:/<name>/<version>` to copy a version.
            run_id: For MLflow's signature: must be the run of `source`.
            tags: Text to text, kept in the version's git tag.
            run_link: Where its run is shown; kept as the tag `mlflow.runLink`.
            description: What to say of this version.
            await_creation_for: For MLflow's signature only: when the call returns, the version is there.
            model_id: For MLflow's signature only: models have no id beside their run and path, so it must be None.
        """
        from runstone.registry.copy import copy_version
        from runstone.registry.entity import RUN_LINK_TAG
        from runstone.registry.version import register_version

        if model_id is not None:
            raise InvalidValue("A model has no id of its own: leave `model_id` out. Its run and path name it.")
        if run_link is not None:
            tags = {**(tags or {}), RUN_LINK_TAG: run_link}
        uri = uris.parse_uri(source)
        if isinstance(uri, uris.ModelUri) and run_id is None:
            return copy_version(self._workspace, uri, name, description=description, tags=tags)
        if not isinstance(uri, uris.RunUri) or (run_id is not None and run_id != uri.run_id):
            raise InvalidValue(
                f"The source of a version must be `runs:/<run id>/<path>` of its run, but is {source!r}."
            )
        return register_version(self._workspace, name, uri, description=description, tags=tags)

    def delete_model_version(self, name: str, version: str | int, *, reason: str | None = None) -> None:
        """Retire a version: it is found and listed no more, and its number never given again. See `registry.retire`.

        Args:
            name: The registered model.
            version: Its number.
            reason: Why; not in MLflow.
        """
        from runstone.registry.retire import retire_version

        retire_version(self._workspace, name, version_number(version), reason=reason)

    def copy_model_version(self, src_model_uri: str, dst_name: str) -> "ModelVersion":
        """Make a version the next version of another model, with the same run and files. See `registry.copy`.

        Args:
            src_model_uri: `models:/<name>/<version>`, or by alias or stage.
            dst_name: The other model; made if there is none.
        """
        from runstone.registry.copy import copy_version

        return copy_version(self._workspace, src_model_uri, dst_name)

    def get_model_version(self, name: str, version: str | int) -> "ModelVersion":
        """One version of a registered model. Raises `ModelNotFound`, `VersionNotFound`."""
        from runstone.registry.version import get_version

        return get_version(self._workspace.repo, name, version_number(version))

    def get_model_version_by_alias(self, name: str, alias: str) -> "ModelVersion":
        """The version an alias points at. Raises `ModelNotFound`, `AliasNotFound`."""
        from runstone.registry.alias import get_version_by_alias

        return get_version_by_alias(self._workspace.repo, name, alias)

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int = 10_000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> "PagedList[ModelVersion]":
        """Versions of all models that meet a filter, as `name = 'churn' AND run_id = '…'`."""
        from runstone.registry.search import search_versions

        return search_versions(self._workspace.repo, filter_string, max_results, order_by, page_token)

    def get_registered_model(self, name: str) -> "RegisteredModel":
        """A registered model with its aliases and latest version. Raises `ModelNotFound`."""
        from runstone.registry.model import get_model

        return get_model(self._workspace.repo, name)

    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int = 100,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> "PagedList[RegisteredModel]":
        """Registered models that meet a filter, as `name LIKE 'churn%'`."""
        from runstone.registry.model import search_models

        return search_models(self._workspace.repo, filter_string, max_results, order_by, page_token)

    def create_registered_model(
        self, name: str, tags: Mapping[str, Any] | None = None, description: str | None = None
    ) -> "RegisteredModel":
        """Make a registered model that has no version yet. See `registry.model_edits.create_model`."""
        from runstone.registry.model_edits import create_model

        return create_model(self._workspace, name, tags, description)

    def update_registered_model(self, name: str, description: str | None = None) -> "RegisteredModel":
        """Say what a model is for; None takes it away. See `registry.model_edits.describe_model`."""
        from runstone.registry.model_edits import describe_model

        return describe_model(self._workspace, name, description)

    def rename_registered_model(self, name: str, new_name: str) -> "RegisteredModel":
        """Give a model another name; the old one means nothing more. See `proposals.models.rename_model`.

        Raises:
            ReviewRequired: The project reviews such changes; it names the proposal that was opened, or is open.
        """
        from runstone.registry.model import get_model

        self._need_done(self.rename_model(name, new_name), name, "renamed")
        return get_model(self._workspace.repo, new_name)

    def delete_registered_model(self, name: str) -> None:
        """Retire all versions of a model and remove its files. See `proposals.models.delete_model`.

        Raises:
            ReviewRequired: The project reviews such changes; it names the proposal that was opened, or is open. Once
                that is merged, the same call retires the versions.
        """
        self._need_done(self.delete_model(name), name, "deleted")

    def set_registered_model_tag(self, name: str, key: str, value: Any) -> None:
        """Set a tag of a model: one commit on the default branch."""
        from runstone.registry.model_edits import set_model_tags

        set_model_tags(self._workspace, name, {key: value})

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Remove a tag of a model, if it has it: one commit on the default branch."""
        from runstone.registry.model_edits import delete_model_tags

        delete_model_tags(self._workspace, name, [key])

    def get_latest_versions(self, name: str, stages: Sequence[str] | None = None) -> "list[ModelVersion]":
        """The version with the highest number in each stage, or in each of those named; `None` is no stage.

        Raises:
            ModelNotFound: There is no such model.
            UnknownStage: The policy has no stage of a name that is named.
        """
        from runstone.registry.model import latest_versions

        return latest_versions(self._workspace.repo, name, stages)

    def update_model_version(self, name: str, version: str | int, description: str | None = None) -> "ModelVersion":
        """Say something of a version; an empty text takes it away. See `registry.notes.describe_version`."""
        from runstone.registry.notes import describe_version

        if description is None:
            raise InvalidValue("Nothing is to change: give a `description`; an empty one takes away what was said.")
        return describe_version(self._workspace, name, version_number(version), description)

    def set_model_version_tag(
        self,
        name: str,
        version: str | int | None = None,
        key: str | None = None,
        value: Any = None,
        stage: str | None = None,
    ) -> None:
        """Set a tag of a version, named by its number or as the newest one of a stage: one commit."""
        from runstone.registry.notes import set_version_tags

        set_version_tags(self._workspace, name, self._version_of(name, version, stage), {_need_tag(key): value})

    def delete_model_version_tag(
        self, name: str, version: str | int | None = None, key: str | None = None, stage: str | None = None
    ) -> None:
        """Remove a tag of a version, if it has it; the version is named as in `set_model_version_tag`."""
        from runstone.registry.notes import delete_version_tags

        delete_version_tags(self._workspace, name, self._version_of(name, version, stage), [_need_tag(key)])

    def get_model_version_stages(self, name: str, version: str | int) -> list[str]:
        """The stages that a version may be put into, by the policy; `None` is no stage.

        Raises:
            ModelNotFound, VersionNotFound: There is no such version.
        """
        from runstone.registry.branch import registry_commit
        from runstone.registry.state import read_policy

        found = self.get_model_version(name, version)
        repo = self._workspace.repo
        return ["None", *read_policy(repo, registry_commit(repo), found.key).stages]

    def get_model_version_download_uri(self, name: str, version: str | int) -> str:
        """The artifacts of a version as a `runs:/…` URI."""
        return self.get_model_version(name, version).source

    def _version_of(self, name: str, version: str | int | None, stage: str | None) -> int:
        from runstone.registry.stage import get_version_by_stage

        if (version is None) == (stage is None):
            raise InvalidValue("Name the version by its number or by its stage: one of `version` and `stage`.")
        if version is not None:
            return version_number(version)
        return get_version_by_stage(self._workspace.repo, name, stage or "").version


def _need_tag(key: str | None) -> str:
    if key is None:
        raise InvalidValue("Name the tag: `key`.")
    return key
