"""Send the artifacts of runs to the DVC remote and bring them from there: of the runs that are named, by digest."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from runstone.artifacts.cache import Cache
from runstone.artifacts.config import public_remotes
from runstone.artifacts.descriptor import DIR, check_digest
from runstone.artifacts.pointer import parse_pointer
from runstone.errors import InvalidName, RemoteFailed
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.git.runs.branch import DVC_CONFIG, Draft, read_runs, update_runs
from runstone.git.runs.join import UNREADABLE
from runstone.names import encode_component
from runstone.records.run import Run
from runstone.tracking import version_tags
from runstone.tracking.read import need_recorded
from runstone.tracking.version_tags import VersionTag
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from runstone.artifacts.remote import Remote, Transfer

Progress = Callable[[int, int], None]


def push_runs(
    workspace: Workspace, run_ids: Iterable[str], *, remote: str | None = None, progress: Progress | None = None
) -> "Transfer":
    """Send what these runs have kept to the remote; what it has is not sent again.

    The branch `runs` tells clones where the bytes are, so its `.dvc/config` is brought up to date first.

    Raises:
        RunNotFound: There is no such run, or it has not ended.
        RemoteNotConfigured: There is no remote.
        RemoteFailed: The remote did not take it; what had arrived stays there.
    """
    run_ids = list(run_ids)
    digests = _folder_digests(workspace, run_ids)
    versions = version_digests(workspace.repo, version_tags.all_here(workspace.repo))
    digests += [digest for run_id in run_ids for digest in versions.get(run_id, ())]
    publish_remote(workspace)
    chosen = workspace.artifacts.need_remote(remote)
    need_used_folder(workspace, chosen)
    return chosen.push(digests, workspace.artifacts.cache, progress)


def pull_runs(
    workspace: Workspace, run_ids: Iterable[str], *, remote: str | None = None, progress: Progress | None = None
) -> "Transfer":
    """Bring what these runs have kept into the cache; by digest, so the other runs of the repository cost nothing.

    Raises:
        RunNotFound: There is no such run.
        RemoteNotConfigured: There is no remote.
        RemoteFailed: The remote did not give it.
    """
    return workspace.artifacts.pull(_folder_digests(workspace, run_ids), remote=remote, progress=progress)


def need_used_folder(workspace: Workspace, remote: "Remote") -> None:
    """See that a remote that is a folder is there, unless this is the first push to it, which makes the folder.

    A path that is right in one clone may lead elsewhere in another, or to a disk that is not mounted: what was sent to
    a folder made there, nobody else would find.

    Raises:
        RemoteFailed: The folder does not exist, and what is shared already has artifacts there.
    """
    try:
        remote.need_folder()
    except RemoteFailed:
        if _was_used(workspace, remote):
            raise


def stored_ref(remote: str) -> str:
    """Up to where, in a repository with no git remote, the artifacts have been sent to a DVC remote."""
    return f"refs/runstone/stored/{encode_component(remote)}"


def _was_used(workspace: Workspace, remote: "Remote") -> bool:
    """Whether a git remote has runs with artifacts and names this DVC remote for them, or it was sent some."""
    repo = workspace.repo
    if repo.refs.read(stored_ref(remote.name)) is not None:
        return True
    seen = repo.refs.list("refs/remotes/")
    branch = repo.config.branch
    tips = {oid for ref, oid in seen.items() if ref.removeprefix("refs/remotes/").partition("/")[2] == branch}
    for tip in tips | set(repo.refs.list("refs/runstone/synced/").values()):
        if repo.objects.resolve(tip) is None:
            continue
        text = Draft(repo, tip).read(DVC_CONFIG) or b""
        named = public_remotes(text.decode(errors="replace")).get(remote.name, {}).get("url")
        if remote.shared_url is None or named == remote.shared_url:
            _, out = repo.git("ls-tree", "-r", "--name-only", "-z", tip, "--", f"{layout.EXPERIMENTS}/")
            if f"/{layout.ARTIFACTS}\0".encode() in out:
                return True
    return False


def publish_remote(workspace: Workspace) -> None:
    """Make the branch `runs` name the remotes of the work tree, so that `git clone -b runs` and `dvc pull` find them.

    Writes:
        `.dvc/config` on the branch `runs`, one commit, if it says something else.
    """
    config = workspace.artifacts.remote_config()
    if not config:
        return

    def change(draft: Draft) -> None:
        present = draft.read(DVC_CONFIG)
        if present is None or present.decode(errors="replace") != config:
            draft.commit({DVC_CONFIG: config}, "Name the DVC remotes of the artifacts")

    update_runs(workspace.repo, change)


def digests_in(draft: Draft, folder: str) -> list[str]:
    """The digests of the folders that a run has kept: of all its artifacts, and of each model on its own."""
    return list(dict.fromkeys([*folder_digests(draft, folder), *model_digests(draft, folder)]))


def folder_digests(draft: Draft, folder: str) -> list[str]:
    """The digest of the artifacts of a run, if it has any."""
    text = draft.read(f"{folder}/{layout.ARTIFACTS}")
    return [] if text is None else [parse_pointer(text, f"{folder}/{layout.ARTIFACTS}").digest]


def model_digests(draft: Draft, folder: str) -> list[str]:
    """The digests of the models of a run that has artifacts; what is none, as somebody may have pushed it, is not."""
    has_artifacts = draft.find(f"{folder}/{layout.ARTIFACTS}") is not None
    recorded = draft.run(folder) if has_artifacts else None
    return [] if recorded is None else _valid_digests(recorded.run)


def version_digests(repo: Repository, tags: Iterable[VersionTag]) -> dict[str, list[str]]:
    """What model versions hold: run → digests of the folders that its record had when each was made.

    A run that was registered while it went on has kept more since, and the folder of then is in no newer record.
    """
    found: dict[str, list[str]] = {}
    for tag in tags:
        if tag.body is not None:
            digests = found.setdefault(tag.body.run, [])
            digests.append(tag.body.digest.removeprefix("md5:"))
            with suppress(*UNREADABLE):
                digests += digests_in(Draft(repo, tag.commit), tag.body.record)
    return found


def _valid_digests(run: Run) -> list[str]:
    found = []
    for model in run.models:
        with suppress(InvalidName):
            found.append(check_digest(model.digest.removeprefix("md5:")))
    return found


def _folder_digests(workspace: Workspace, run_ids: Iterable[str]) -> list[str]:
    found: list[str] = []
    for run_id in run_ids:
        recorded = need_recorded(workspace, run_id)
        text = recorded.files.get(layout.ARTIFACTS)
        if text is not None:
            found.append(parse_pointer(text, f"{recorded.folder}/{layout.ARTIFACTS}").digest)
            found += _valid_digests(recorded.run)
    return list(dict.fromkeys(found))


def all_run_ids(workspace: Workspace) -> list[str]:
    """Every run on the branch that has artifacts."""
    draft = read_runs(workspace.repo)
    found = []
    for experiment_id in draft.list(layout.EXPERIMENTS):
        base = layout.experiment_folder(experiment_id)
        for day in draft.list(base):
            for xx in draft.list(f"{base}/{day}"):
                for run_id in draft.list(f"{base}/{day}/{xx}"):
                    if draft.find(f"{base}/{day}/{xx}/{run_id}/{layout.ARTIFACTS}") is not None:
                        found.append(run_id)
    return found


def named_digests(draft: Draft, folder: str, there: Draft, known: str) -> list[str]:
    """The folders of bytes that a run names; of files that the remote has as they are, what cannot be read is none."""
    digests: list[str] = []
    for name, read in ((layout.ARTIFACTS, folder_digests), (layout.RECORD, model_digests)):
        try:
            digests += read(draft, folder)
        except UNREADABLE:
            if draft.find(f"{folder}/{name}") != there.find(f"{known}/{name}"):
                raise
    return list(dict.fromkeys(digests))


def with_files(cache: Cache, folders: Iterable[str]) -> set[str]:
    """Folders, and what lies in them, as far as their listings are here."""
    found = set(folders)
    for folder in folders:
        if folder.endswith(DIR) and cache.has(folder):
            found.update(entry.md5 for entry in cache.read_dir(folder))
    return found
