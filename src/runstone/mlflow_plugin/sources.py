"""What a model version is made from: MLflow's sources, found among the runs of the repository, or brought into one.

A version of Runstone is a git tag on real bytes. So a source that lies elsewhere is fetched into a run of its own,
which says where it is from, and a live run is committed as it stands.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from runstone.artifacts.descriptor import Descriptor
from runstone.artifacts.store import below
from runstone.errors import InvalidModelFolder, InvalidValue, NotAModel, RunIsLive, RunNotFound, RunstoneError
from runstone.flavors import mlmodel
from runstone.git.runs import live
from runstone.index.search import get_run
from runstone.mlflow_plugin.entities import MADE_FOR_MODEL
from runstone.mlflow_plugin.logged_records import described, find_model
from runstone.mlflow_plugin.place import SCHEMES, Place, is_server, open_workspace, split_uri
from runstone.records.document import Document
from runstone.records.model import ModelReference
from runstone.tracking import shared
from runstone.tracking.experiment import DEFAULT, ensure_experiment
from runstone.tracking.read import read_artifacts
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, RunUri, check_relative, parse_uri

SOURCE_TAG = "runstone.source"
"""Set on the run that was made for a model which was fetched: where it is from."""

_ALLOWED_VARIABLE = "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"
_MODEL_ID = re.compile(r"models:/+([^/@]+)/*")
_NO_FLAVORS: tuple[tuple[str, ...], Document | None] = ((), None)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a version is to be made from.

    Attributes:
        uri: A folder of a run here, or a version here.
        model_id: The logged model whose files these are.
        run_id: The run that MLflow knows as theirs; None where it knows of none.
        is_brought: Whether the run was made for them.
    """

    uri: RunUri | ModelUri
    model_id: str | None = None
    run_id: str | None = None
    is_brought: bool = False


def find_source(workspace: Workspace, place: Place, source: str) -> Source | None:
    """What a source names in this repository; None if it lies elsewhere.

    Args:
        workspace: The repository.
        place: Where the URIs of its artifacts begin.
        source: As MLflow's clients write it.

    Raises:
        InvalidUri: Its path leads out of where it begins.
        NotAModel: It is all that a run has kept, and no folder of it.
        InvalidValue: It names nothing at all, or a run that is deleted.
    """
    if not isinstance(source, str) or not source.strip():
        raise InvalidValue("A version is made from something: give its source, as `runs:/<run id>/<path>`.")
    scheme = source.partition(":")[0]
    if scheme == "models":
        named = _MODEL_ID.fullmatch(source)
        return Source(parse_uri(source)) if named is None else _of_model(workspace, named[1], source)
    if scheme == "runs":
        uri = parse_uri(source)
        return _of_run(workspace, uri.run_id, uri.path, source) if isinstance(uri, RunUri) else None
    inside = _inside(workspace, place, source)
    if inside is None:
        return None
    match inside.strip("/").split("/"):
        case [_, "models", model_id, "artifacts", *rest]:
            return _of_model(workspace, model_id, source, "/".join(rest))
        case [_, run_id, "artifacts", *rest]:
            return _of_run(workspace, run_id, "/".join(rest), source)
        case _:
            return None


def commit_source(workspace: Workspace, uri: RunUri) -> None:
    """See that a folder of a run is recorded as a model, as its files are now, on a commit; its run may go on.

    Writes:
        What is missing of that. Nothing, where the run has ended and its record tells of the model.

    Raises:
        NotAModel: Nothing lies there.
    """
    run = get_run(workspace.repo, uri.run_id)
    reference = next((model for model in run.models if model.path == uri.path), None)
    is_settled = uri.run_id not in live.list_live(workspace.repo)  # with nothing that waits to be recorded
    if reference is not None and reference.size and is_settled:
        return
    files = read_artifacts(workspace, uri.run_id)
    if not any(entry.path.startswith(f"{uri.path}/") for entry in below(files, uri.path)):
        raise NotAModel(str(uri), [model.path for model in run.models])
    found = described(workspace, reference or ModelReference(uri.path, (), "", 0), files)
    with suppress(RunIsLive):  # with a journal of its process's own: what is registered is then what it has recorded
        if found != reference:
            with shared.edit(workspace, uri.run_id) as change:
                change.put_model(found)
        shared.checkpoint(workspace, uri.run_id)


def bring(workspace: Workspace, source: str, local_path: str | None = None) -> Source:
    """Fetch files by MLflow's own artifact repository into a run of their own.

    Args:
        workspace: The repository.
        source: Where they are.
        local_path: Where they lie on this machine already, if they do.

    Writes:
        A run of the experiment `Default`, with the files in the folder `model` and the tag `runstone.source`.

    Raises:
        InvalidValue: They could not be fetched, or there is nothing; or a server is asked for what nobody allowed.
    """
    with tempfile.TemporaryDirectory(prefix="runstone-") as temporary:
        folder = Path(local_path) if local_path and not is_server() else _fetch(source, Path(temporary))
        entries = workspace.artifacts.add_path(folder, "model")
        if not entries:
            raise InvalidValue(_not_fetched(source, "nothing is there"))
        described_as = _NO_FLAVORS
        with suppress(InvalidModelFolder):
            described_as = mlmodel.describe(folder)
    return _own_run(workspace, "model", entries, described_as, {SOURCE_TAG: source})


def keep_prompt(workspace: Workspace, name: str, text: str) -> Source:
    """Keep the text of a prompt in a run of its own, which MLflow's searches of runs do not show."""
    data = text.encode()
    entry = Descriptor("prompt/prompt.txt", len(data), workspace.artifacts.cache.add_bytes(data))
    return _own_run(workspace, "prompt", [entry], _NO_FLAVORS, {MADE_FOR_MODEL: f"prompt {name}"})


# --- inside


def _of_run(workspace: Workspace, run_id: str, path: str, source: str) -> Source | None:
    path = check_relative(source, path)
    try:
        run = get_run(workspace.repo, run_id)
    except RunNotFound:
        return None  # of another tracking server, perhaps
    if run.lifecycle == "deleted":
        raise InvalidValue(f"Run {run.id} is deleted. Restore it: `runstone runs restore {run.id}`")
    if not path:
        raise NotAModel(source, [model.path for model in run.models])
    return Source(RunUri(run.id, path), run_id=run.id)


def _of_model(workspace: Workspace, model_id: str, source: str, path: str = "") -> Source | None:
    found = find_model(workspace, model_id)
    if found is None:
        return None
    inside, folder = check_relative(source, path), found.reference.path
    return Source(RunUri(found.run.run_id, f"{folder}/{inside}" if inside else folder), model_id, found.source_run_id)


def _inside(workspace: Workspace, place: Place, source: str) -> str | None:
    """What follows the root of this repository's artifacts in a URI; None if it is none of this repository."""
    scheme = source.partition(":")[0]
    if scheme in SCHEMES:
        try:
            return split_uri(source)[1] if open_workspace(source).repo.common_dir == workspace.repo.common_dir else None
        except RunstoneError:
            return None
    if scheme != "mlflow-artifacts":
        return None
    bare = source.partition("?")[0].partition("#")[0]
    if bare.startswith(f"{place.root}/"):
        return bare.removeprefix(place.root)
    return urlsplit(bare).path


def _fetch(source: str, target: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    if is_server():
        _need_allowed(source)
    try:
        return Path(download_artifacts(artifact_uri=source, dst_path=str(target)))
    except Exception as error:  # whatever the library of a store raises
        raise InvalidValue(_not_fetched(source, str(error) or type(error).__name__)) from error


def _need_allowed(source: str) -> None:
    """A server fetches nothing for whoever asks: by its own rights it can reach more than its clients can."""
    if source.startswith(("runs:", "models:")):
        raise InvalidValue(_not_fetched(source, "there is no such run or logged model in this server's repository"))
    pattern = os.environ.get(_ALLOWED_VARIABLE)  # an MLflow that does not know it heeds nothing of the kind itself
    if not (pattern and re.search(pattern, source)):
        raise InvalidValue(
            f"This server does not fetch {source!r}. Log the model to a run, and register that: "
            f"`runs:/<run id>/<path>`. Whoever runs the server can allow sources: `{_ALLOWED_VARIABLE}=<regex>`"
        )


def _not_fetched(source: str, why: str) -> str:
    why = why.strip().rstrip(".")
    return (
        f"No version was made, since its files could not be fetched from {source!r}: {why}. "
        "Log the model to a run, and register that: `runs:/<run id>/<path>`"
    )


def _own_run(
    workspace: Workspace,
    path: str,
    entries: list[Descriptor],
    described_as: tuple[tuple[str, ...], Document | None],
    tags: Mapping[str, str],
) -> Source:
    inside = [Descriptor(entry.path[len(path) + 1 :], entry.size, entry.md5) for entry in entries]
    digest, size = workspace.artifacts.folder_digest(inside)
    experiment = ensure_experiment(workspace.repo, DEFAULT)
    run = shared.begin(workspace, experiment, tags=tags, captured=False)
    with shared.edit(workspace, run.id) as change:
        change.add_artifacts(entries)
        change.put_model(ModelReference(path, described_as[0], f"md5:{digest}", size, described_as[1]))
        change.end("FINISHED")
    return Source(RunUri(run.id, path), run_id=run.id, is_brought=True)
