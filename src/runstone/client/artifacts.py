"""The verbs of the client that are about the artifacts of runs."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from runstone.client.late import Late
from runstone.client.runs import RunVerbs
from runstone.errors import (
    ArtifactNotFound,
    ArtifactRefused,
    CopyRefused,
    FilesInTheWay,
    InvalidModelFolder,
    InvalidValue,
)

if TYPE_CHECKING:
    from runstone import uris
    from runstone.artifacts import store
    from runstone.artifacts.store import FileInfo
    from runstone.tracking import media, read, values
else:
    store, uris = Late("artifacts.store"), Late("uris")
    media, read, values = Late("tracking.media"), Late("tracking.read"), Late("tracking.values")


class ArtifactVerbs(RunVerbs):
    """What a client can do with the artifacts of runs."""

    def log_artifact(self, run_id: str, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep a file among the run's artifacts; a folder goes below its own name. See `ActiveRun.log_artifact`."""
        path = Path(local_path)
        folder = _folder(artifact_path)
        if path.is_dir():
            name = os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119  # `..` goes, links stay
            folder = f"{folder}/{name}" if folder else name
        self._log_folder(run_id, path, folder)

    def log_artifacts(self, run_id: str, local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep what a folder holds among the run's artifacts. See `ActiveRun.log_artifact`.

        One with an `MLmodel` file, as `save_model` writes it, is a model then, which can be registered.
        """
        path = Path(local_dir)
        if not path.is_dir():
            raise ArtifactRefused(path, "it is not a folder")
        self._log_folder(run_id, path, _folder(artifact_path))

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        """Keep a text as an artifact, in UTF-8."""
        with self.handle(run_id) as run:
            run.log_bytes(values.check_text("artifact", artifact_file, text).encode(), artifact_file)

    def log_dict(self, run_id: str, dictionary: Any, artifact_file: str) -> None:
        """Keep a dictionary as YAML or JSON, by the name's ending."""
        with self.handle(run_id) as run:
            run.log_bytes(media.dictionary_bytes(dictionary, artifact_file), artifact_file)

    def log_figure(
        self, run_id: str, figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Keep a figure of matplotlib or plotly as an artifact, in the format of the name's ending."""
        with self.handle(run_id) as run:
            run.log_bytes(media.figure_bytes(figure, artifact_file, save_kwargs), artifact_file)

    def log_image(
        self,
        run_id: str,
        image: Any,
        artifact_file: str | None = None,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
        synchronous: bool | None = None,
    ) -> None:
        """Keep an image (PIL, or an array of shape (H, W[, 1|3|4])) as an artifact.

        Args:
            run_id: The run.
            image: The image.
            artifact_file: Its name; or else `key` and `step` make one: `images/<key>/<step>-<timestamp>.png`.
            key: What the image shows, for a series over steps.
            step: The step of the series.
            timestamp: Unix milliseconds.
            synchronous: For MLflow's signature only.
        """
        if (artifact_file is None) == (key is None):
            raise InvalidValue("Name the image: either `artifact_file`, or `key` (and `step`) for a series.")
        if artifact_file is None:
            artifact_file = f"images/{key}/{step or 0:08d}-{timestamp or int(time() * 1000)}.png"
        with self.handle(run_id) as run:
            run.log_bytes(media.image_bytes(image, artifact_file), artifact_file)

    def log_table(self, run_id: str, data: Any, artifact_file: str) -> None:
        """Keep a table as JSON; logged again under one name, its rows are added."""
        with self.handle(run_id) as run, self._workspace.lock:
            old = next((entry for entry in run.artifacts() if entry.path == artifact_file), None)
            before = None if old is None else self._workspace.artifacts.read(old)
            run.log_bytes(media.table_bytes(data, artifact_file, before), artifact_file)

    def list_artifacts(self, run_id: str, path: str | None = None) -> "list[FileInfo]":
        """The files and folders right below `path` among a run's artifacts. Raises `RunNotFound`."""
        return store.list_folder(read.read_artifacts(self._workspace, run_id), path or "")

    def download_artifacts(
        self,
        run_id: str,
        path: str = "",
        dst_path: str | os.PathLike[str] | None = None,
        *,
        overwrite: bool = True,
    ) -> str:
        """Copy a run's artifacts out, each verified by its digest; those not in the cache are pulled.

        Args:
            run_id: The run.
            path: A file or folder among the artifacts; all if empty.
            dst_path: An existing folder; a new temporary one if not given.
            overwrite: Whether files there of other content are replaced; else they are refused, and nothing is copied.

        Returns:
            Where the file or folder lies now.

        Raises:
            RunNotFound: No run has this id.
            ArtifactNotFound: The run has no such artifact.
            CopyRefused: The target is no folder, or a link leads out of it.
            FilesInTheWay: Files there have other content.
            ArtifactCorrupt: Bytes are not those that were logged.
        """
        path = uris.check_relative(f"runs:/{run_id}/{path}", path.strip("/"))
        entries = store.below(read.read_artifacts(self._workspace, run_id), path)
        if not entries and path:
            raise ArtifactNotFound(run_id, path)
        if dst_path is None:
            import tempfile  # slow to import, and seldom needed

            dst_path = tempfile.mkdtemp(prefix="runstone-")
        target = Path(dst_path)
        if not target.is_dir():
            raise CopyRefused(target, "it is not an existing folder")
        in_the_way = [] if overwrite else store.find_in_the_way(entries, target)
        if in_the_way:
            raise FilesInTheWay(in_the_way)
        self._workspace.artifacts.fetch(entries, target)
        return str(target.joinpath(*path.split("/")) if path else target)

    # --- inside

    def _log_folder(self, run_id: str, path: Path, folder: str) -> None:
        described = None
        if folder and (path / "MLmodel").is_file():
            from runstone.flavors import mlmodel

            with suppress(InvalidModelFolder):  # then these are files like any others
                described = mlmodel.describe(path)
        with self.handle(run_id) as run:
            if described is None:
                run.log_artifact(path, folder)
            else:
                run.log_model(path, folder, *described)


def _folder(artifact_path: str | None) -> str:
    return (artifact_path or "").rstrip("/")
