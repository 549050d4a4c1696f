"""`Client`: every verb, with the repository and the run named explicitly; no ambient state.

The names, the order of arguments and the meaning are those of MLflow's client, wherever both have a thing. The verbs
stand by noun: experiments, runs, artifacts, models, promotions; here is what is about the repository as a whole.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from runstone.client.artifacts import ArtifactVerbs
from runstone.client.models import ModelVerbs
from runstone.errors import InvalidValue
from runstone.tracking.workspace import Workspace, repository_path

if TYPE_CHECKING:
    from runstone.projects.checkout import Checkout
    from runstone.tracking.sync import Synced


class Client(ArtifactVerbs, ModelVerbs):
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


MlflowClient = Client
"""What MLflow calls it."""
