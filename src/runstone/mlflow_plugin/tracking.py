"""The tracking store: what MLflow makes of a `runstone:` URI, in a user's process and in MLflow's server alike."""

from mlflow.store.tracking.abstract_store import AbstractStore

from runstone.client import Client
from runstone.errors import RunstoneError
from runstone.mlflow_plugin import compat
from runstone.mlflow_plugin.datasets import DatasetStore
from runstone.mlflow_plugin.errors import to_mlflow
from runstone.mlflow_plugin.logged_models import LoggedModelStore
from runstone.mlflow_plugin.place import open_workspace, store_place
from runstone.mlflow_plugin.runs import RunStore
from runstone.mlflow_plugin.unsupported import Unsupported


class TrackingStore(
    RunStore,
    DatasetStore,
    LoggedModelStore,
    Unsupported,
    AbstractStore,  # type: ignore[misc]  # MLflow is untyped
):
    """MLflow's tracking store on a git repository."""

    def __init__(self, store_uri: str, artifact_uri: str | None = None) -> None:
        """Open the repository that a URI names.

        Args:
            store_uri: `runstone:PATH` or `runstone+file:PATH`.
            artifact_uri: The root of artifacts that a server was told to give its clients.

        Raises:
            MlflowException: It names no repository, or this MLflow is too old or too new.
        """
        try:
            compat.check()
            self._place = store_place(store_uri, artifact_uri)
            self._workspace = open_workspace(store_uri)
        except RunstoneError as error:
            raise to_mlflow(error) from error
        super().__init__()
        self._client = Client.of(self._workspace)
