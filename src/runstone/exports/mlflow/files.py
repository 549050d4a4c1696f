"""The files of what is exported, from the cache or the remote into a folder."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from runstone.artifacts.descriptor import Descriptor
from runstone.artifacts.store import below
from runstone.errors import RunstoneError
from runstone.exports.mlflow.target import Lost
from runstone.tracking.read import read_artifacts
from runstone.tracking.workspace import Workspace


class Files:
    """The artifacts of a repository's runs."""

    def __init__(self, workspace: Workspace, *, wanted: bool) -> None:
        """Hand out the files of a repository, or, where they are not wanted, none."""
        self._workspace = workspace
        self._wanted = wanted

    def of_run(self, run_id: str, without: Sequence[str]) -> Callable[[Path], list[Lost]]:
        """What copies a run's artifacts into a folder, but for those in some folders of its own."""

        def place(folder: Path) -> list[Lost]:
            entries = read_artifacts(self._workspace, run_id)
            apart = {entry.path for path in without for entry in below(entries, path)}
            return self._place([entry for entry in entries if entry.path not in apart], folder)

        return place

    def of_folder(self, run_id: str, path: str) -> Callable[[Path], list[Lost]]:
        """What copies one folder of a run's artifacts into a folder."""

        def place(folder: Path) -> list[Lost]:
            entries = below(read_artifacts(self._workspace, run_id), path)
            inside = [replace(each, path=each.path[len(path) + 1 :]) for each in entries if each.path != path]
            return self._place(inside, folder)

        return place

    def _place(self, entries: Sequence[Descriptor], folder: Path) -> list[Lost]:
        """Copy artifacts into a folder; those that neither the cache nor a remote has are told."""
        if not self._wanted:
            return []
        missing = self._missing(entries)
        folder.mkdir(parents=True, exist_ok=True)
        self._workspace.artifacts.fetch([entry for entry in entries if entry.md5 not in missing], folder)
        return [
            Lost("artifact", entry.path, "its bytes are not here: `runstone artifacts pull`")
            for entry in entries
            if entry.md5 in missing
        ]

    def _missing(self, entries: Iterable[Descriptor]) -> set[str]:
        cache = self._workspace.artifacts.cache
        absent = {entry.md5 for entry in entries if not cache.has(entry.md5)}
        if absent:
            with suppress(RunstoneError):  # what came is here, what did not is told
                self._workspace.artifacts.pull(sorted(absent))
        return {digest for digest in absent if not cache.has(digest)}
