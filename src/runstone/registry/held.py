"""Whether the bytes of a model are anywhere, asked before it is registered: a version is for good."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runstone.artifacts.descriptor import DIR, Descriptor
from runstone.artifacts.pointer import parse_pointer
from runstone.artifacts.store import ArtifactStore, below
from runstone.errors import ArtifactMissing, MissingLibrary, RemoteFailed
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.git.runs.branch import Draft, Recorded
from runstone.records.model import ModelReference
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri

if TYPE_CHECKING:
    from runstone.artifacts.remote import Remote


def need_bytes(workspace: Workspace, source: RunUri, recorded: Recorded, model: ModelReference) -> None:
    """See that the files of a model are in the cache, or on the DVC remote, which is asked only if they are not.

    Raises:
        ArtifactMissing: One is in neither, so that nobody could load the version.
        RemoteFailed, MissingLibrary: The remote cannot be asked, and the run is not shared yet: runs are shared after
            their bytes.
    """
    store, digest = workspace.artifacts, model.digest.removeprefix("md5:")
    if _is_cached(store, digest):
        return
    where = "the cache, and no DVC remote is configured"
    try:
        remote = store.remote()
        if remote is not None:
            remote.need_folder()
            where = f"the cache, nor on the DVC remote `{remote.name}` ({remote.url})"
        files = _files(store, remote, digest)
        if files is None:
            files = _files_in_run(store, remote, recorded, model)
        lost = [digest] if files is None else _lacking(store, remote, files)
    except (RemoteFailed, MissingLibrary):
        if _is_shared(workspace.repo, recorded.folder):
            return
        raise
    if lost:
        step = f"So `{source}` was not registered. Push them from where they were logged: `runstone artifacts push"
        raise ArtifactMissing(lost[0], where, f"{step} {source.run_id}`")


def _is_cached(store: ArtifactStore, digest: str) -> bool:
    files = _files(store, None, digest)
    return files is not None and not _lacking(store, None, files)


def _files(store: ArtifactStore, remote: "Remote | None", digest: str) -> list[Descriptor] | None:
    """What lies in a folder; None where its listing is nowhere."""
    if not store.cache.has(digest):
        if remote is None or remote.missing([digest]):
            return None
        remote.pull([digest], store.cache, expand=False)
    return store.cache.read_dir(digest) if digest.endswith(DIR) else []


def _files_in_run(
    store: ArtifactStore, remote: "Remote | None", recorded: Recorded, model: ModelReference
) -> list[Descriptor] | None:
    """The same by the listing of all artifacts of the run, which is all that plain DVC pushes."""
    text = recorded.files.get(layout.ARTIFACTS)
    if text is None:
        return None
    found = _files(store, remote, parse_pointer(text, f"{recorded.folder}/{layout.ARTIFACTS}").digest)
    files = below(found or [], model.path)
    inside = [Descriptor(entry.path.removeprefix(f"{model.path}/"), None, entry.md5) for entry in files]
    return files if f"md5:{store.listing_digest(inside)}" == model.digest else None


def _lacking(store: ArtifactStore, remote: "Remote | None", files: Iterable[Descriptor]) -> list[str]:
    absent = [entry.md5 for entry in files if not store.cache.has(entry.md5)]
    return absent if remote is None else sorted(remote.missing(absent))


def _is_shared(repo: Repository, folder: str) -> bool:
    """Whether a git remote was last seen to have a run."""
    seen = repo.refs.list("refs/remotes/").items()
    tips = [oid for ref, oid in seen if ref.removeprefix("refs/remotes/").partition("/")[2] == repo.config.branch]
    return any(repo.objects.resolve(oid) and Draft(repo, oid).find(folder) is not None for oid in tips)
