"""What the flavors' `log_model` and `load_model` share: a model folder into the active run, and out of git again.

`infer_signature` and `ModelSignature` are here too, where MLflow users look for them.
"""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from runstone import fluent, names
from runstone.artifacts.descriptor import check_artifact_path
from runstone.errors import InvalidModelFolder, NotYetRegistered
from runstone.flavors import mlmodel
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.signature import ModelSignature as ModelSignature
from runstone.flavors.signature import infer_signature as infer_signature
from runstone.flavors.trust import Trust
from runstone.records.document import Document
from runstone.registry import resolve as registry
from runstone.registry.version import register_version
from runstone.tracking.run import ActiveRun
from runstone.uris import RunUri

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that was logged.

    Attributes:
        model_uri: `runs:/<run id>/<path>`.
        run_id: The run.
        artifact_path: The folder among its artifacts.
        flavors: What can load it.
        signature: The types of its inputs and outputs, if known.
        digest: `md5:<hex>.dir` of the folder.
        size: Bytes.
        registered_model_name: The model it becomes a version of when the run ends.
    """

    model_uri: str
    run_id: str
    artifact_path: str
    flavors: tuple[str, ...]
    signature: Document | None
    digest: str
    size: int
    registered_model_name: str | None = None


def log_folder(
    save: Callable[[Path, SaveOptions], None],
    options: SaveOptions,
    path: str,
    registered_model_name: str | None,
    params: Mapping[str, Any] | None,
) -> ModelInfo:
    """Save a model to a temporary folder and keep that among the active run's artifacts.

    Args:
        save: Saves the model to a folder.
        options: What is saved beside it.
        path: The folder among the artifacts.
        registered_model_name: Make it a version of this model when the run ends.
        params: Params of the run to record with it.
    """
    path = check_artifact_path(path.rstrip("/"))
    run = fluent.active_run() or fluent.start_run()
    if registered_model_name is not None:
        # What would refuse it at the end of the run is said now.
        registered_model_name = names.check_name("model", registered_model_name)
        if run.has_joined and not run.adds_to_ended:
            raise NotYetRegistered(run.id)
    with tempfile.TemporaryDirectory(prefix="runstone-") as temporary:
        folder = Path(temporary) / "model"
        save(folder, replace(options, run_id=run.id, artifact_path=path))
        flavors, signature = mlmodel.describe(folder)
        reference = run.log_model(folder, path, flavors, signature)
    if params:
        run.log_params(params)
    if registered_model_name is not None:
        _register_at_end(run, path, registered_model_name)
    uri = f"runs:/{run.id}/{path}"
    return ModelInfo(uri, run.id, path, flavors, signature, reference.digest, reference.size, registered_model_name)


def load_trusted(
    model_uri: str,
    dst_path: str | PathLike[str] | None,
    allow_pickle: bool,
    load: Callable[[Path, Trust], T],
) -> T:
    """Load a model folder with the trust that its origin earns: digests that git recorded, or the caller's word.

    Args:
        model_uri: `runs:/…`, `models:/…`, or a folder.
        dst_path: An existing folder to keep a copy in.
        allow_pickle: The caller trusts the folder.
        load: Loads from a folder.
    """
    if not model_uri.startswith(("runs:/", "models:/")):
        folder = Path(model_uri)
        if not folder.is_dir():
            raise InvalidModelFolder(folder, "it is neither a folder nor a `runs:/…` or `models:/…` URI")
        return load(folder, Trust(allow_pickle=allow_pickle))
    workspace = fluent.client().workspace
    resolved = registry.resolve(workspace, model_uri)
    if resolved.entries[0].path == resolved.path:
        raise InvalidModelFolder(Path(resolved.path), f"{model_uri} is a file, and a model is a folder")
    trust = Trust(digests=resolved.digests)
    with ExitStack() as stack:
        if dst_path is None:
            folder = stack.enter_context(registry.checked_out(workspace, resolved))
        else:
            folder = Path(dst_path) / (resolved.path.rpartition("/")[2] or "model")
            workspace.artifacts.fetch(resolved.entries, folder, strip=resolved.path)
        return load(folder, trust)


def _register_at_end(run: ActiveRun, path: str, name: str) -> None:
    """A version is a git tag on the run's commit, so it is made once there is one."""

    def register() -> None:
        register_version(run.workspace, name, RunUri(run.id, path))

    run.when_recorded(register)
