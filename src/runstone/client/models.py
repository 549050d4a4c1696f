"""The verbs of the client that are about registered models, their versions, aliases and stages."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runstone import uris
from runstone.errors import InvalidValue
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from runstone.index.paging import PagedList
    from runstone.registry.model import RegisteredModel
    from runstone.registry.version import ModelVersion


class ModelVerbs:
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
    ) -> "ModelVersion":
        """Make a model folder of a run the next version of a registered model; see `registry.version`.

        Args:
            name: The registered model; made if there is none.
            source: `runs:/<run id>/<path>`.
            run_id: For MLflow's signature: must be the run of `source`.
            tags: Not kept yet, so refused.
            run_link: For MLflow's signature only.
            description: What to say of this version.
        """
        from runstone.registry.version import register_version

        uri = uris.parse_uri(source)
        if not isinstance(uri, uris.RunUri) or (run_id is not None and run_id != uri.run_id):
            raise InvalidValue(
                f"The source of a version must be `runs:/<run id>/<path>` of its run, but is {source!r}."
            )
        if tags:
            raise InvalidValue("Tags of a model version cannot be set yet. Tag the run: `client.set_tag`.")
        return register_version(self._workspace, name, uri, description=description)

    def get_model_version(self, name: str, version: str | int) -> "ModelVersion":
        """One version of a registered model. Raises `ModelNotFound`, `VersionNotFound`."""
        from runstone.registry.version import get_version

        return get_version(self._workspace.repo, name, int(version))

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
        from runstone.registry.version import search_versions

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

    def set_registered_model_alias(self, name: str, alias: str, version: str | int) -> None:
        """Point an alias at a version: one commit on the default branch. See `registry.alias.set_alias`."""
        from runstone.registry.alias import set_alias

        set_alias(self._workspace.repo, name, alias, int(version))

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Remove an alias: one commit on the default branch. See `registry.alias.delete_alias`."""
        from runstone.registry.alias import delete_alias

        delete_alias(self._workspace.repo, name, alias)

    def get_model_version_download_uri(self, name: str, version: str | int) -> str:
        """The artifacts of a version as a `runs:/…` URI."""
        return self.get_model_version(name, version).source
