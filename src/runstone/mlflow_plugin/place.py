"""Places as MLflow names them: the repository of a store URI, and the URIs of artifacts in it.

`runstone:.`, `runstone:/path` and `runstone+file:///path` name a repository; what follows `/@/` in one names artifacts:
`<experiment id>/<run id>/artifacts` or `<experiment id>/models/<model id>/artifacts`, and then a path among them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from runstone.errors import InvalidValue
from runstone.tracking.workspace import Workspace

SCHEMES = ("runstone", "runstone+file")
MARK = "/@/"
_SERVER_VARIABLE = "_MLFLOW_SERVER_FILE_STORE"
_DESTINATION_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
_DEFAULT_DESTINATION = "./mlartifacts"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is, and what the URIs of its artifacts begin with.

    Attributes:
        folder: A folder of the repository, absolute.
        root: What the URIs of artifacts begin with; without a slash at the end, its query string apart.
        query: The query string of the root, with its question mark, or nothing.
    """

    folder: str
    root: str
    query: str = ""

    def run_uri(self, experiment_id: str, run_id: str) -> str:
        """Where MLflow finds the artifacts of a run."""
        return f"{self.root}/{experiment_id}/{run_id}/artifacts{self.query}"

    def model_uri(self, experiment_id: str, model_id: str) -> str:
        """Where MLflow finds the artifacts of a logged model."""
        return f"{self.root}/{experiment_id}/models/{model_id}/artifacts{self.query}"

    def experiment_uri(self, experiment_id: str) -> str:
        """What MLflow calls the artifact location of an experiment."""
        return f"{self.root}/{experiment_id}{self.query}"


def is_server() -> bool:
    """Whether this process is one of MLflow's server, which speaks for clients elsewhere."""
    return _SERVER_VARIABLE in os.environ


def keep_artifacts_here() -> None:
    """Have MLflow's server keep artifacts in the repository that it tracks to, unless it was told another place.

    By itself it would put them into a folder `mlartifacts`, apart from their runs, and find none of those that are in
    the repository. What it was told is in the environment of each of its processes, read when it is first needed.
    """
    store = os.environ.get(_SERVER_VARIABLE, "")
    if store.partition(":")[0] in SCHEMES and os.environ.get(_DESTINATION_VARIABLE) == _DEFAULT_DESTINATION:
        os.environ[_DESTINATION_VARIABLE] = store


def store_place(store_uri: str, artifact_root: str | None = None) -> Place:
    """The place of a store URI.

    Args:
        store_uri: As given to MLflow: `runstone:PATH` or `runstone+file:PATH`.
        artifact_root: What the server was told to give clients as the root of artifacts; only a root that clients
            reach through the server (`mlflow-artifacts:`) is heeded, as all bytes are kept in the repository.

    Raises:
        InvalidValue: It is no such URI.
    """
    folder, _ = split_uri(store_uri)
    if artifact_root is not None and artifact_root.startswith("mlflow-artifacts:"):
        bare, mark, query = artifact_root.partition("?")
        return Place(folder, bare.rstrip("/"), mark + query)
    return Place(folder, f"runstone:{quote(folder)}{MARK.rstrip('/')}")


def split_uri(uri: str) -> tuple[str, str]:
    """The repository's folder, absolute, and what follows `/@/`; the latter empty if nothing does.

    A folder may be written as it is, or with percent signs as URIs have them.

    Raises:
        InvalidValue: It is no URI of ours.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme not in SCHEMES:
        raise InvalidValue(f"{uri!r} is no `runstone:` URI. Write `runstone:.` or `runstone:/path/to/repository`.")
    rest = rest.partition("?")[0]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost", "."):
            raise InvalidValue(
                f"{uri!r} names the machine {host!r}; a repository must be a folder here. "
                f"Write `{scheme}:///path/to/repository`, and share it by git: `runstone sync`."
            )
        rest = f"{host if host == '.' else ''}{slash}{path}"
    path, _, inside = rest.partition(MARK) if MARK in rest else (rest.removesuffix(MARK.rstrip("/")), "", "")
    folder = Path(path or ".").expanduser().absolute()
    if "%" in path and not folder.exists():
        folder = Path(unquote(path)).expanduser().absolute()
    return os.path.normpath(folder), inside.strip("/")


def open_workspace(uri: str) -> Workspace:
    """The repository that a store URI names.

    Raises:
        InvalidValue: It is no URI of ours.
        NotARepository: No git repository holds that folder.
    """
    folder, _ = split_uri(uri)
    return Workspace.open(folder)
