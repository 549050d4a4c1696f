"""MLflow's artifact repository over the artifacts of runs: bytes go through Runstone's cache, digests are verified.

A repository's root is a run's artifacts, a logged model's folder among them, or, in a server that hands artifacts
through, the repository itself. MLflow asks for uploads in parts only where they are offered, and here they are not.
"""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repo import ArtifactRepository as MlflowArtifactRepository

from runstone.artifacts.descriptor import Descriptor, check_artifact_path, with_logged
from runstone.artifacts.store import below, list_folder
from runstone.errors import RunstoneError
from runstone.flavors import mlmodel
from runstone.index.search import get_run
from runstone.mlflow_plugin import compat
from runstone.mlflow_plugin.errors import speak_mlflow, to_mlflow
from runstone.mlflow_plugin.logged_records import described, find_model, is_pending
from runstone.mlflow_plugin.place import open_workspace, split_uri
from runstone.names import check_run_id
from runstone.records.model import ModelReference
from runstone.tracking.read import read_artifacts
from runstone.tracking.shared import edit
from runstone.tracking.shared_edit import Edit


class _Spot(NamedTuple):
    """Where a path of a repository lies.

    Attributes:
        run_id: The run.
        root: The folder among the run's artifacts that the rest is relative to.
        path: The path below it.
        prefix: What the repository's paths have before it, where its root is above the artifacts of one run.
    """

    run_id: str
    root: str
    path: str
    prefix: str

    @property
    def full(self) -> str:
        """The path among the run's artifacts."""
        return _join(self.root, self.path)

    def shown(self, full: str) -> str:
        """A path among the run's artifacts as the repository names it."""
        return _join(self.prefix, full[len(self.root) + 1 :] if self.root else full)


@speak_mlflow
class ArtifactRepository(MlflowArtifactRepository):  # type: ignore[misc]  # MLflow is untyped
    """The artifacts below one `runstone:` URI."""

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        """See MLflow's class; raises `MlflowException` if the URI names no repository."""
        options = {"tracking_uri": tracking_uri, "registry_uri": registry_uri}  # both since MLflow 3
        compat.made(MlflowArtifactRepository.__init__, self, artifact_uri, **options)
        try:
            self._workspace = open_workspace(artifact_uri)
            self._inside = [part for part in split_uri(artifact_uri)[1].split("/") if part]
        except RunstoneError as error:
            raise to_mlflow(error) from error

    # --- in

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Keep a file; it takes the place of one of its name."""
        self._log(Path(local_file), artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Keep what a folder holds. One with an `MLmodel` file is a model then, as Runstone's own commands see it."""
        if not Path(local_dir).is_dir():
            raise MlflowException(f"{local_dir} is not a folder.", INVALID_PARAMETER_VALUE)
        self._log(Path(local_dir), artifact_path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Take files away from a run. Those of a deleted run stay in its record; `runstone gc` frees their bytes."""
        spot = self._need_spot(artifact_path)
        if get_run(self._workspace.repo, spot.run_id).lifecycle == "deleted":
            return
        with edit(self._workspace, spot.run_id) as change:
            before = read_artifacts(self._workspace, spot.run_id)
            gone = [entry.path for entry in below(before, spot.full)]
            if gone:
                change.remove_artifacts(gone)
                kept = with_logged(before, [(path, None, None) for path in gone])
                self._describe_models(change, self._touched(change, gone), kept.values())

    # --- out

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """What lies right below a path; nothing if it is a file, or nothing is there."""
        spot = self._spot(path)
        if spot is None:
            return []
        found = list_folder(read_artifacts(self._workspace, spot.run_id), spot.full)
        return [FileInfo(spot.shown(info.path), info.is_dir, info.file_size) for info in found]

    def download_artifacts(self, artifact_path: str | None, dst_path: str | None = None) -> str:
        """Copy a file, or a folder with all below it, into a folder; what only the DVC remote has is pulled at once."""
        target = Path(dst_path).absolute() if dst_path else Path(tempfile.mkdtemp(prefix="runstone-"))
        if not target.exists():
            message = f"The folder for the artifacts does not exist: {target}. Make it: `mkdir -p {target}`"
            raise MlflowException(message, RESOURCE_DOES_NOT_EXIST)
        if not target.is_dir():
            message = f"Artifacts are copied into a folder, and {target} is a file. Name another place."
            raise MlflowException(message, INVALID_PARAMETER_VALUE)
        spot = self._spot(artifact_path)
        entries = below(read_artifacts(self._workspace, spot.run_id), spot.full) if spot is not None else []
        if spot is None or not entries:
            if (artifact_path or "").strip("/"):
                raise self._missing(str(artifact_path))
            return str(target)
        self._workspace.artifacts.fetch(entries, target.joinpath(*spot.prefix.split("/")), strip=spot.root)
        return str(target.joinpath(*spot.shown(spot.full).split("/")))

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        spot = self._spot(remote_file_path)
        entries = read_artifacts(self._workspace, spot.run_id) if spot is not None else []
        entry = next((entry for entry in entries if spot is not None and entry.path == spot.full), None)
        if entry is None:
            raise self._missing(remote_file_path)
        if not self._workspace.artifacts.cache.has(entry.md5):
            self._workspace.artifacts.pull([entry.md5])
        self._workspace.artifacts.cache.copy_out(entry.md5, Path(local_path))

    # --- inside

    def _spot(self, path: str | None) -> _Spot | None:
        """Where a path lies; None if it is above the artifacts of one run, where nothing is kept.

        Raises:
            InvalidName: No path is written so: it climbs out, or is absolute.
            MlflowException: There is no such logged model.
        """
        if path:
            check_artifact_path(path.rstrip("/"))
        depth = len(self._inside)
        parts = [*self._inside, *(path or "").rstrip("/").split("/")] if path else self._inside
        if parts:
            check_artifact_path("/".join(parts))
        is_model = parts[1:2] == ["models"] and parts[3:4] == ["artifacts"]
        start = 4 if is_model else 3
        if parts[start - 1 : start] != ["artifacts"]:
            return None
        run_id, folder = self._model_folder(parts[2]) if is_model else (check_run_id(parts[1]), "")
        root = _join(folder, *self._inside[start:])
        return _Spot(run_id, root, _join(*parts[max(start, depth) :]), _join(*parts[depth:start]))

    def _model_folder(self, model_id: str) -> tuple[str, str]:
        found = find_model(self._workspace, model_id)
        if found is None:
            raise MlflowException(f"Logged model with ID '{model_id}' not found.", RESOURCE_DOES_NOT_EXIST)
        return found.run.run_id, found.reference.path

    def _need_spot(self, path: str | None) -> _Spot:
        spot = self._spot(path)
        if spot is None:
            raise MlflowException(
                f"Artifacts are kept of runs and logged models, and {_join(*self._inside, path or '')!r} names none. "
                "Write below `<experiment id>/<run id>/artifacts`.",
                INVALID_PARAMETER_VALUE,
            )
        return spot

    def _missing(self, path: str) -> MlflowException:
        return MlflowException(f"No such artifact: {path!r} in {self.artifact_uri}.", RESOURCE_DOES_NOT_EXIST)

    def _log(self, source: Path, artifact_path: str | None) -> None:
        spot = self._need_spot(artifact_path)
        entries = self._workspace.artifacts.add_path(source, spot.full)
        with edit(self._workspace, spot.run_id) as change:
            change.add_artifacts(entries)
            paths = [entry.path for entry in entries]
            references = self._touched(change, paths) or _found(paths, change.models)
            if references:
                before = read_artifacts(self._workspace, spot.run_id)
                now = with_logged(before, [(entry.path, entry.size, entry.md5) for entry in entries])
                self._describe_models(change, references, now.values())

    def _touched(self, change: Edit, paths: Sequence[str]) -> list[ModelReference]:
        """The models that the files are of. A logged model is described when it is finalized: then all are there."""
        touched = (ref for ref in change.models.values() if any(path.startswith(f"{ref.path}/") for path in paths))
        return [reference for reference in touched if not is_pending(reference)]

    def _describe_models(
        self, change: Edit, references: Iterable[ModelReference], artifacts: Iterable[Descriptor]
    ) -> None:
        entries = list(artifacts)
        for reference in references:
            found = described(self._workspace, reference, entries)
            if found.flavors or found.path in change.models:
                change.put_model(found)


def _found(paths: Iterable[str], known: Iterable[str]) -> list[ModelReference]:
    """Models that no record names yet: folders with an `MLmodel`, in no model's own folder."""
    folders = {path.rpartition("/")[0] for path in paths if path.endswith(f"/{mlmodel.FILE}")}
    models = set(known) | folders
    inner = {folder for folder in folders if any(folder.startswith(f"{path}/") for path in models)}
    return [ModelReference(folder, (), "", 0) for folder in sorted(folders - inner - set(known))]


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)
