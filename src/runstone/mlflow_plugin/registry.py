"""MLflow's model registry on a repository: `MLFLOW_REGISTRY_URI=runstone:.`, or what the tracking URI names."""

import os
from typing import Any

from mlflow.store.model_registry.abstract_store import AbstractStore

from runstone.client import Client
from runstone.mlflow_plugin import compat
from runstone.mlflow_plugin.model_versions import VersionStore
from runstone.mlflow_plugin.place import Place, is_server, open_workspace, split_uri, store_place
from runstone.mlflow_plugin.unsupported import LeftOut

_ROOT_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_ROOT"
_STORE_VARIABLE = "_MLFLOW_SERVER_FILE_STORE"


class RegistryStore(VersionStore, LeftOut, AbstractStore):  # type: ignore[misc]  # MLflow is untyped
    """The store of registered models and versions; what it makes are git tags and commits on the default branch."""

    def __init__(self, store_uri: str | None = None, tracking_uri: str | None = None) -> None:
        """See MLflow's class.

        Args:
            store_uri: `runstone:PATH` or `runstone+file:PATH`.
            tracking_uri: For MLflow's signature only.
        """
        super().__init__(store_uri, tracking_uri)
        self._open(store_uri or "runstone:.")

    def _open(self, store_uri: str) -> None:
        compat.check()
        self._workspace = open_workspace(store_uri)
        self._client = Client.of(self._workspace)
        self._place = _place(store_uri)


def _place(store_uri: str) -> Place:
    """Where artifacts are for MLflow: in a server, by the root that it was told, if it keeps its runs here, too."""
    kept: Any = os.environ.get(_STORE_VARIABLE, "")
    is_one = is_server() and kept.partition(":")[0] in ("runstone", "runstone+file")
    is_one = is_one and split_uri(kept)[0] == split_uri(store_uri)[0]
    return store_place(store_uri, os.environ.get(_ROOT_VARIABLE) if is_one else None)
