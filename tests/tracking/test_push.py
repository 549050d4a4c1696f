"""Artifacts go to the DVC remote when asked, or by themselves after a run under `push: auto`."""

import time
from pathlib import Path

import pytest

from runstone.errors import RemoteFailed, RemoteNotConfigured, RunNotFound, RunstoneError
from runstone.tracking import push
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.read import need_recorded, read_artifacts
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from tests.support import git, run_python


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


@pytest.mark.dvc
def test_what_is_marked_is_pushed_and_what_fails_stays_marked(workspace: Workspace, remote: Path) -> None:
    """One run that cannot be sent keeps no other from being sent; one that is gone is forgotten."""
    for number in "123":
        log(workspace, f"run-{number}", number)
    folder = workspace.repo.writable_state("push")
    for name in ("run-1", "run-2", "gone"):
        (folder / name).touch()
    (digest,) = [entry.md5 for entry in read_artifacts(workspace, "run-1")]
    path = workspace.artifacts.cache.path(digest)
    path.rename(path.with_suffix(".away"))
    with pytest.raises(RunstoneError, match="Run run-1 could not be pushed and will be tried again"):
        push.push_marked(workspace)
    assert (["run-1"], 2) == ([mark.name for mark in folder.iterdir()], len(objects(remote)))
    path.with_suffix(".away").rename(path)
    assert (1, [], 4) == (push.push_marked(workspace), list(folder.iterdir()), len(objects(remote)))
    assert 0 == push.push_marked(workspace)


@pytest.mark.dvc
def test_under_push_auto_a_script_need_not_push(git_repo: Path, remote: Path) -> None:
    """The script ends at once, and a process of its own sends what its runs kept; a run without files starts none."""
    (git_repo / "runstone.yaml").write_text("push: auto\n")
    code = "import runstone\nfor i in range(3):\n    with runstone.start_run(): runstone.log_text(str(i), 'a.txt')\n"
    run_python(code, cwd=git_repo)
    folder = git_repo / ".git" / "runstone" / "push"
    until = time.monotonic() + 60
    while (list(folder.iterdir()) or len(objects(remote)) < 6) and time.monotonic() < until:
        time.sleep(0.1)
    assert ([], 6) == (list(folder.iterdir()), len(objects(remote))), (folder.parent / "push.log").read_text()


@pytest.mark.dvc
def test_a_remote_that_is_away_never_fails_a_run(git_repo: Path, remote: Path) -> None:
    """The run is recorded and stays marked; the next push sends it."""
    (git_repo / "runstone.yaml").write_text("push: auto\n")
    remote.write_text("a file where the folder should be")
    workspace = Workspace.open(git_repo)
    run_python("import runstone\nwith runstone.start_run(run_id='one'): runstone.log_text('x', 'a.txt')", cwd=git_repo)
    log, until = git_repo / ".git" / "runstone" / "push.log", time.monotonic() + 60
    while b"could not be pushed" not in log.read_bytes() and time.monotonic() < until:
        time.sleep(0.1)
    assert "FINISHED" == need_recorded(workspace, "one").run.status
    with pytest.raises(RunstoneError) as caught:
        push.push_marked(workspace)
    assert isinstance(caught.value.__cause__, RemoteFailed)
    remote.unlink()
    assert 1 == push.push_marked(workspace)
    assert 2 == len(objects(remote))
