"""The files that a store of MLflow's names by URI: in folders of this machine, or wherever MLflow itself can reach.

A database from others may name any folder. So files of this machine are read only below the store's own folder, and
below those that the user names.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from runstone.imports.incoming import IncomingFile, Refusal, Unavailable, local_files

_PROXIED, _WEB = "mlflow-artifacts", ("http", "https")
_MAX_FILES = 1_000_000


class Artifacts:
    """What URIs lead to.

    Args:
        folders: The folders of this machine that may be read.
        base: What relative paths are relative to.
        roots: What stands for the root of a server's artifacts (`mlflow-artifacts:/`): folders, or URIs.
    """

    def __init__(self, folders: Iterable[Path], base: Path | None, roots: Sequence[str] = ()) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self._base, self._roots = base, roots

    def files(self, uri: str, refuse: Refusal) -> Iterable[IncomingFile]:
        """The files below a URI.

        Raises:
            Unavailable: They cannot be had; the message says why, and what to do.
        """
        if not uri:
            raise Unavailable("the store does not say where its files are")
        try:
            parts, local = urlsplit(uri), local_path(uri)
        except ValueError as error:
            raise Unavailable(f"{uri!r} is no place of files: {error}") from error
        if parts.scheme == _PROXIED:
            return self._proxied(uri, parts.path, refuse)
        if local is None:
            if parts.scheme in _WEB and not any(f"{uri}/".startswith(f"{root.rstrip('/')}/") for root in self._roots):
                raise Unavailable(not_asked(uri))
            return distant_files(uri, refuse)
        if "\0" in str(local):
            raise Unavailable(f"{uri!r} is no place of files")
        return local_files(self._find(local), refuse)

    def check(self, folder: Path) -> Path:
        """A folder, if it may be read, wherever links in its path lead.

        Raises:
            Unavailable: It may not; the message says what to do.
        """
        real = folder.resolve()
        if any(real.is_relative_to(allowed) for allowed in self._folders):
            return folder
        raise Unavailable(
            f"{real} is outside the store's folder. If you trust the store: `--artifact-root {real.parent}`"
        )

    def _find(self, path: Path) -> Path:
        tried = [path] if path.is_absolute() or self._base is None else [self._base / path, path]
        for each in tried:
            if each.is_dir():
                return self.check(each)
        found = self._moved(path) or self._never(path)
        if found is None:
            raise Unavailable(f"{path} is not here. If its files are elsewhere: `--artifact-root DIR`")
        return found

    def _never(self, path: Path) -> Path | None:
        """A folder that is not there because nothing was logged: it would lie where files may be read."""
        whole = path if path.is_absolute() or self._base is None else self._base / path
        return whole if any(whole.resolve().is_relative_to(folder) for folder in self._folders) else None

    def _moved(self, path: Path) -> Path | None:
        """A folder of the same last parts below one of the folders: the store was moved, or copied from elsewhere.

        Where there is the folder of its experiment alone, its run has logged nothing.
        """
        near = None
        for folder in self._folders:
            for length in range(min(5, len(path.parts) - 1), 2, -1):
                found = folder.joinpath(*path.parts[-length:])
                if not found.resolve().is_relative_to(folder):
                    continue
                if found.is_dir():
                    return found
                if found.parent.parent.is_dir():
                    near = near or found
        return near

    def _proxied(self, uri: str, path: str, refuse: Refusal) -> Iterable[IncomingFile]:
        inner = unquote(path).strip("/")
        if ".." in PurePosixPath(inner).parts:
            raise Unavailable(f"{uri!r} leads out of the server's artifacts")
        for root in self._roots:
            folder = local_path(root)
            if folder is None:
                return distant_files(f"{root.rstrip('/')}/{inner}", refuse)
            if folder.joinpath(*inner.split("/")[:1]).is_dir():
                return local_files(self.check(folder / inner), refuse)
        raise Unavailable(
            f"{uri} is kept by MLflow's server. Import from the server, or name its artifacts: `--artifact-root PATH`"
        )


def not_asked(uri: str) -> str:
    """Why a web address that a store names is left alone: MLflow sends it MLFLOW_TRACKING_TOKEN, whosever it is."""
    return f"{uri} is an address in the web, which is asked only if you name it: `--artifact-root {uri}`"


def local_folders(roots: Iterable[str]) -> list[Path]:
    """Those of some places that are folders of this machine."""
    return [path for path in map(local_path, roots) if path is not None]


def local_path(uri: str) -> Path | None:
    """The path of a `file:` URI, or of a bare path; None for any other URI."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        path = unquote(parts.path)
        return Path(path[1:] if re.match(r"/[A-Za-z]:", path) and os.name == "nt" else path)
    if not parts.scheme or (len(parts.scheme) == 1 and os.name == "nt"):
        return Path(uri)
    return None


def distant_files(uri: str, refuse: Refusal) -> Iterator[IncomingFile]:
    """The files below a URI of a store that MLflow knows, as `s3:`, each fetched when it is its turn.

    Raises:
        Unavailable: MLflow is not installed, or does not reach it.
    """
    try:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    except ImportError as error:
        raise Unavailable(f"MLflow is needed to read {uri}: `pip install 'runstone[mlflow]'`") from error
    if urlsplit(uri).scheme in ("runs", "models", "runstone", "runstone+file", "file"):
        raise Unavailable(f"{uri} names no place of files")
    try:
        repository: Any = get_artifact_repository(uri)
        found = list(walk(repository.list_artifacts, refuse))
    except Exception as error:  # whatever the library of a store raises
        raise Unavailable(f"{uri} cannot be read: {error or type(error).__name__}") from error
    for path, size in found:
        yield IncomingFile(path, _fetcher(repository, path), size)


def _fetcher(repository: Any, path: str) -> Callable[[Path], None]:
    def fetch(target: Path) -> None:
        try:
            repository._download_file(path, str(target))
        except Exception as error:  # likewise
            raise Unavailable(f"it cannot be fetched: {error or type(error).__name__}") from error

    return fetch


def walk(listing: Callable[[str | None], Iterable[Any]], refuse: Refusal) -> Iterator[tuple[str, int | None]]:
    """The files that a listing of folders leads to: path and size."""
    folders: list[str | None] = [None]
    seen: set[str | None] = set()
    while folders:
        folder = folders.pop()
        if folder in seen:
            continue
        seen.add(folder)
        for each in listing(folder):
            if not str(each.path).startswith(f"{folder}/" if folder else ""):
                refuse(str(each.path), f"it is listed in {folder}, and is not below it")
            elif each.is_dir:
                folders.append(each.path)
            else:
                yield each.path, each.file_size
        if len(seen) > _MAX_FILES:
            return
