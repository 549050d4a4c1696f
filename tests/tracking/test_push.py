"""Artifacts go to the DVC remote when asked, and come from there."""

from pathlib import Path

import pytest

from runstone.errors import RemoteNotConfigured, RunNotFound
from runstone.tracking import push
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from tests.support import git


def objects(folder: Path) -> set[str]:
    """The digests that lie in a cache or a remote."""
    return {path.parent.name + path.name for path in (folder / "files" / "md5").glob("??/*")}


@pytest.fixture
def remote(git_repo: Path, tmp_path: Path) -> Path:
    """A folder that DVC's configuration of the repository names as its default remote."""
    (git_repo / ".dvc").mkdir()
    url = tmp_path / "storage"
    (git_repo / ".dvc" / "config").write_text(f"[core]\n    remote = here\n['remote \"here\"']\n    url = {url}\n")
    return url


@pytest.fixture
def workspace(git_repo: Path, remote: Path) -> Workspace:
    """The workspace of a repository with a remote."""
    return Workspace.open(git_repo)


def log(workspace: Workspace, run_id: str, text: str) -> str:
    """A run that kept one file."""
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), run_id=run_id) as run:
        run.log_bytes(text.encode(), "a.txt")
    return run_id


@pytest.mark.dvc
def test_a_push_sends_the_runs_that_are_named(workspace: Workspace, remote: Path, git_repo: Path) -> None:
    """Their files and listings and nothing else; again, nothing; and the branch names the remote."""
    log(workspace, "one", "1")
    log(workspace, "two", "2")
    assert ["one", "two"] == sorted(push.all_run_ids(workspace))
    assert 2 == push.push_runs(workspace, ["one"]).count
    assert 2 == len(objects(remote))
    assert 0 == push.push_runs(workspace, ["one"]).count
    assert 2 == push.push_runs(workspace, push.all_run_ids(workspace)).count
    assert str(remote) in git("show", "runs:.dvc/config", cwd=git_repo)
    with pytest.raises(RunNotFound):
        push.push_runs(workspace, ["unknown"])


@pytest.mark.dvc
def test_a_clone_pulls_one_run_and_may_push_it_again(
    workspace: Workspace, remote: Path, git_repo: Path, tmp_path: Path
) -> None:
    """It brings that run's objects alone; pushing what is only on the remote sends nothing and fails for nothing."""
    log(workspace, "one", "1")
    log(workspace, "two", "2")
    push.push_runs(workspace, ["one", "two"])
    git("clone", "-q", git_repo, tmp_path / "clone", cwd=tmp_path)
    git("branch", "runs", "origin/runs", cwd=tmp_path / "clone")
    clone = Workspace.open(tmp_path / "clone")
    assert 0 == push.push_runs(clone, ["one", "two"]).count
    assert 2 == push.pull_runs(clone, ["two"]).count
    assert 2 == len(objects(clone.artifacts.cache.root))


def test_without_a_remote_it_says_so(git_repo: Path) -> None:
    """And the run is as it was."""
    workspace = Workspace.open(git_repo)
    log(workspace, "one", "1")
    for call in (push.push_runs, push.pull_runs):
        with pytest.raises(RemoteNotConfigured):
            call(workspace, ["one"])
