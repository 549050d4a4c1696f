"""Send the artifacts of runs to the DVC remote, now or, under `push: auto`, when a run has ended.

The automatic push is a process of its own that outlives the script: the end of a run never waits for a network and
never fails for one. What it could not send stays marked and is sent with the next push.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from runstone.artifacts.pointer import parse_pointer
from runstone.errors import RunNotFound, RunstoneError
from runstone.git import layout
from runstone.git.branch import DVC_CONFIG, Draft, read_runs, update_runs
from runstone.git.lock import FileLock
from runstone.tracking.read import need_recorded
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from runstone.artifacts.remote import Transfer

Progress = Callable[[int, int], None]
_pushers: "list[subprocess.Popen[bytes]]" = []
"""Processes that push and that this one began; they outlive it, and it never waits for them."""


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
    digests = _folder_digests(workspace, run_ids)
    publish_remote(workspace)
    return workspace.artifacts.push(digests, remote=remote, progress=progress)


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


def push_in_background(workspace: Workspace, run_id: str) -> None:
    """Mark a run to be pushed, and see that a process pushes all that are marked."""
    folder = workspace.repo.writable_state("push")
    (folder / run_id).touch()
    _pushers[:] = [pusher for pusher in _pushers if pusher.poll() is None]
    if len(_pushers) >= 2:
        return  # one pushes, the other waits for its turn and will find the mark
    where = workspace.repo.work_tree or workspace.repo.git_dir
    with (folder.parent / "push.log").open("ab") as log:
        _pushers.append(
            subprocess.Popen(
                [sys.executable, "-m", "runstone", "--repo", str(where), "artifacts", "push", "--marked"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=os.name == "posix",
            )
        )


def push_marked(workspace: Workspace) -> int:
    """Push the runs that are marked; returns how many. One process does it at a time.

    Raises:
        RunstoneError: A run could not be pushed; it stays marked, and the others were tried.
    """
    folder = workspace.repo.writable_state("push")
    pushed = 0
    failed: dict[str, RunstoneError] = {}
    with FileLock(workspace.repo.cache_dir / "push.lock"):
        while marks := [path for path in sorted(folder.iterdir()) if path.name not in failed]:
            for mark in marks:
                try:
                    push_runs(workspace, [mark.name])
                    pushed += 1
                except RunNotFound:
                    pass  # its branch is gone, so there is nothing left that would need its bytes
                except RunstoneError as error:
                    failed[mark.name] = error
                    continue
                mark.unlink(missing_ok=True)
    if failed:
        run_id, cause = next(iter(failed.items()))
        raise RunstoneError(f"Run {run_id} could not be pushed and will be tried again: {cause}") from cause
    return pushed


def _folder_digests(workspace: Workspace, run_ids: Iterable[str]) -> list[str]:
    """The digests of the folders of some runs: of all their artifacts, and of each model on its own."""
    digests: dict[str, None] = {}
    for run_id in run_ids:
        recorded = need_recorded(workspace, run_id)
        digests.update(dict.fromkeys(model.digest.removeprefix("md5:") for model in recorded.run.models))
        text = recorded.files.get(layout.ARTIFACTS)
        if text is not None:
            digests[parse_pointer(text.decode(), f"{recorded.folder}/{layout.ARTIFACTS}").digest] = None
    return list(digests)


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
