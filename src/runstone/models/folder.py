"""A model folder into the active run, and out of git again: what the flavors' `log_model` and `load_model` share."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Protocol, TypeVar, cast
from urllib.parse import unquote, urlsplit

from runstone import names
from runstone.artifacts.descriptor import check_artifact_path
from runstone.errors import InvalidModelFolder, NotYetRegistered, UsageError
from runstone.flavors import mlmodel
from runstone.flavors.protocol import LogArguments, SaveArguments, SaveOptions, check_arguments
from runstone.flavors.trust import Trust
from runstone.fluent.active import active_run, open_workspace, start_run
from runstone.models.info import ModelInfo
from runstone.registry import resolve as registry
from runstone.registry.version import register_version
from runstone.tracking.run import ActiveRun
from runstone.uris import RunUri

T_co = TypeVar("T_co", covariant=True)


class Load(Protocol[T_co]):
    """A flavor's `load`."""

    def __call__(self, folder: Path, *, trust: Trust) -> T_co:
        """What the model folder holds."""


def log_folder(
    save: Callable[[Path, SaveOptions], None], artifact_path: str | None, arguments: LogArguments
) -> ModelInfo:
    """Save a model to a temporary folder and keep that among the active run's artifacts.

    Args:
        save: Saves the model to a folder: a flavor's `save`, with the model and the flavor's own options bound.
        artifact_path: The folder among the artifacts; `model` if neither it nor the argument `name` is given.
        arguments: The `**options` of `log_model`.

    Raises:
        TypeError: One of the arguments does not exist.
    """
    check_arguments(arguments, LogArguments.__optional_keys__, "log_model")
    name, params = arguments.get("name"), arguments.get("params")
    registered_model_name = arguments.get("registered_model_name")
    saved = {key: value for key, value in arguments.items() if key in SaveArguments.__optional_keys__}
    options = SaveOptions.of(cast(SaveArguments, saved))
    path = check_artifact_path((name or artifact_path or "model").rstrip("/"))
    run = active_run() or start_run()
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


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """The file or folder of a URI, each file verified, while the `with` block lasts; of a path the path itself.

    Args:
        uri: `runs:/…`, `models:/…`, `file:…` or a path.

    Raises:
        UsageError: It is another kind of URI.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `ArtifactNotFound`.
    """
    kind, colon, rest = uri.partition(":")
    if uri.startswith(("runs:/", "models:/")):
        workspace = open_workspace()
        resolved = registry.resolve(workspace, uri)
        parent, _, name = resolved.path.rpartition("/")
        with registry.checked_out(workspace, replace(resolved, path=parent)) as folder:
            yield folder / name
    elif kind == "file":
        yield Path(unquote(urlsplit(uri).path))
    elif colon and len(kind) > 1 and rest.startswith("/"):
        raise UsageError(
            f"{uri!r} is none of `runs:/…`, `models:/…`, `file:…` and a path. Fetch it, and give its path."
        )
    else:
        yield Path(uri)


def load_trusted(
    model_uri: str,
    dst_path: str | PathLike[str] | None,
    allow_pickle: bool,
    load: Load[T_co],
) -> T_co:
    """Load a model folder with the trust that its origin earns: digests that git recorded, or the caller's word.

    Args:
        model_uri: `runs:/…`, `models:/…`, or a folder.
        dst_path: An existing folder to keep a copy in.
        allow_pickle: The caller trusts the folder.
        load: A flavor's `load`.
    """
    if not model_uri.startswith(("runs:/", "models:/")):
        folder = Path(model_uri)
        if not folder.is_dir():
            raise InvalidModelFolder.not_there(model_uri)
        return load(folder, trust=Trust(allow_pickle=allow_pickle))
    workspace = open_workspace()
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
        return load(folder, trust=trust)


def _register_at_end(run: ActiveRun, path: str, name: str) -> None:
    """A version is a git tag on the run's commit, so it is made once there is one."""

    def register() -> None:
        register_version(run.workspace, name, RunUri(run.id, path))

    run.when_recorded(register)
