"""A URI → the files it stands for, each with the digest that git recorded, and a folder to read them from."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runstone import uris
from runstone.artifacts.descriptor import Descriptor
from runstone.artifacts.store import below
from runstone.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    ArtifactNotFound,
    RemoteNotConfigured,
)
from runstone.git.repository import Repository
from runstone.git.runs import layout, live
from runstone.git.runs.branch import Draft
from runstone.registry.alias import get_version_by_alias
from runstone.registry.stage import get_version_by_stage
from runstone.registry.version import ModelVersion, get_version, latest_version
from runstone.tracking.read import need_recorded, read_artifacts
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, RunUri


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a URI stands for.

    Attributes:
        uri: The URI.
        path: The folder (or file) among the run's artifacts.
        entries: Its files, with paths among the run's artifacts.
    """

    uri: str
    path: str
    entries: tuple[Descriptor, ...]

    @property
    def digests(self) -> dict[str, str]:
        """Path inside the folder → MD5, as git recorded it."""
        start = len(self.path) + 1 if self.path else 0
        return {entry.path[start:]: entry.md5 for entry in self.entries}


def resolve_version(repo: Repository, uri: ModelUri) -> ModelVersion:
    """The model version a `models:/…` URI names.

    Raises:
        ModelNotFound: There is no such model.
        VersionNotFound: It has no such version.
        AliasNotFound: It has no such alias.
        StageNotFound: No version of it is in such a stage.
    """
    if uri.version is not None:
        return get_version(repo, uri.name, uri.version)
    if uri.alias is not None:
        return get_version_by_alias(repo, uri.name, uri.alias)
    if uri.word == "latest":
        return latest_version(repo, uri.name)
    return get_version_by_stage(repo, uri.name, uri.word or "")


def resolve(workspace: Workspace, uri: str) -> Resolved:
    """The files of the folder (or the file) of a `runs:/…` or `models:/…` URI; nothing is fetched but the listing.

    Of a model these are the files that it was logged with, whatever was logged into its folder later.

    Raises:
        InvalidUri: It is neither.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
        ArtifactNotFound: The run has no such artifact.
        ArtifactCorrupt: A registered model's folder is not the one its tag names.
    """
    parsed = uris.parse_uri(uri)
    if isinstance(parsed, RunUri):
        run = live.read_live(workspace.repo, parsed.run_id) or need_recorded(workspace, parsed.run_id).run
        model = next((model for model in run.models if model.path == parsed.path), None)
        entries = None if model is None else _model_files(workspace, model.digest, model.path)
        if entries is None:
            entries = below(read_artifacts(workspace, parsed.run_id), parsed.path)
        if not entries:
            raise ArtifactNotFound(parsed.run_id, parsed.path)
        return Resolved(uri, parsed.path, tuple(entries))
    version = resolve_version(workspace.repo, parsed)
    entries = _model_files(workspace, version.digest, version.path)
    if entries is not None:
        return Resolved(uri, version.path, tuple(entries))
    return _resolve_by_run(workspace, uri, version)


def _model_files(workspace: Workspace, digest: str, path: str) -> list[Descriptor] | None:
    """The files of a model by the digest of its folder; None where neither cache nor remote has its listing."""
    try:
        inside = workspace.artifacts.listing_of(digest.removeprefix("md5:"))
    except (ArtifactMissing, RemoteNotConfigured):
        return None
    return [replace(entry, path=f"{path}/{entry.path}") for entry in inside]


def _resolve_by_run(workspace: Workspace, uri: str, version: ModelVersion) -> Resolved:
    """As `resolve`, through the listing of all artifacts of the run, which is all that plain DVC pushes."""
    recorded = Draft(workspace.repo, version.commit).run(version.record)
    text = recorded.files.get(layout.ARTIFACTS) if recorded is not None else None
    if text is None:
        raise ArtifactNotFound(version.run_id, version.path)
    entries = below(workspace.artifacts.listing(text, f"{version.record}/{layout.ARTIFACTS}"), version.path)
    resolved = Resolved(uri, version.path, tuple(entries))
    inside = [Descriptor(path, None, md5) for path, md5 in resolved.digests.items()]
    digest = workspace.artifacts.listing_digest(inside)
    if f"md5:{digest}" != version.digest:
        step = "Fetch the model's own listing from where it was logged: `runstone artifacts push --all` there"
        raise ArtifactCorrupt(version.digest.removeprefix("md5:"), uri, digest, step)
    return resolved


@contextmanager
def checked_out(workspace: Workspace, resolved: Resolved) -> Iterator[Path]:
    """A temporary folder with the files, each verified by its digest; gone when the `with` block ends."""
    with tempfile.TemporaryDirectory(prefix="runstone-") as folder:
        workspace.artifacts.fetch(resolved.entries, Path(folder), strip=resolved.path)
        yield Path(folder)
