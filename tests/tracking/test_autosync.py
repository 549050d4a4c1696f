"""Under `push: auto` a process in the background syncs when a run has ended; it never slows or fails a run."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.errors import RemoteUnreachable
from runstone.git.lock import FileLock
from runstone.tracking import autosync
from runstone.tracking.read import need_recorded
from runstone.tracking.workspace import Workspace
from tests.sharing import Team, make_team, record, recorded_ids, register
from tests.support import git, run_python


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """A team whose first clone pushes by itself."""
    team = make_team(tmp_path)
    (team.folder / "ann" / "runstone.yaml").write_text("push: auto\n")
    return team


def wait(until: Callable[[], bool], log: Path, seconds: float = 60) -> None:
    """Wait for what a process in the background does."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@pytest.mark.dvc
def test_a_script_need_not_push(team: Team) -> None:
    """The script ends at once, and its runs, their files and a model version arrive, each once."""
    ann = team.folder / "ann"
    body = "with runstone.start_run(run_id=f'r{i}'): runstone.log_text(str(i), 'a.txt')"
    run_python(f"import runstone\nfor i in range(5):\n    {body}\n", cwd=ann)
    log = autosync.log_file(Workspace.open(ann).repo)
    runs = [f"r{i}" for i in range(5)]
    wait(lambda: team.tip() is not None and runs == team.runs(), log)
    wait(lambda: not (ann / ".git" / "runstone" / "sync" / "wanted").exists(), log)
    assert runs == recorded_ids(team.remote)
    team.check()
    register(ann, "model")
    wait(lambda: ["model", *runs] == team.runs(), log)
    autosync.begin(Workspace.open(ann))
    wait(lambda: ["churn@v1"] == team.tags(), log)
    team.check()
    assert autosync.SyncState("origin", 0) == autosync.state(Workspace.open(ann))


@pytest.mark.dvc
def test_a_run_without_files_is_sent_too(team: Team) -> None:
    """Records are shared as artifacts are."""
    run_python("import runstone\nwith runstone.start_run(run_id='one'): pass", cwd=team.folder / "ann")
    log = autosync.log_file(Workspace.open(team.folder / "ann").repo)
    wait(lambda: team.tip() is not None and ["one"] == team.runs(), log)


def test_a_linked_work_tree_may_be_gone_before_the_sync(team: Team) -> None:
    """As that of a rerun is: the repository syncs all the same."""
    ann, linked = team.folder / "ann", team.folder / "linked"
    git("worktree", "add", "-q", "--detach", linked, cwd=ann)
    (linked / "runstone.yaml").write_text("push: auto\n")
    with FileLock(Workspace.open(ann).repo.cache_dir / "autosync.lock"):
        run_python("import runstone\nwith runstone.start_run(run_id='one'): pass", cwd=linked)
        git("worktree", "remove", "--force", linked, cwd=ann)
    wait(lambda: team.tip() is not None and ["one"] == team.runs(), autosync.log_file(Workspace.open(ann).repo))


def test_at_most_one_waits(team: Team) -> None:
    """A mark that is young begins no process; one that is old, as of a process that died, does."""
    workspace = Workspace.open(team.folder / "ann")
    mark = workspace.repo.writable_state("sync") / "wanted"
    mark.touch()
    begun = len(autosync._begun)
    autosync.begin(workspace)
    assert begun == len(autosync._begun)
    os.utime(mark, (time.time() - 3600,) * 2)
    autosync.begin(workspace)
    assert autosync._begun
    autosync._begun[-1].wait(60)
    assert not mark.exists()
    assert None is autosync.work(workspace), "the mark is gone, so another one has synced"


@pytest.mark.dvc
def test_a_remote_that_is_away_never_fails_a_run(team: Team) -> None:
    """The run is recorded; what failed is kept for `doctor`, and forgotten when a sync succeeds."""
    ann = team.folder / "ann"
    away = team.remote.rename(team.folder / "away.git")
    run_python("import runstone\nwith runstone.start_run(run_id='one'): runstone.log_text('x', 'a.txt')", cwd=ann)
    workspace = Workspace.open(ann)
    assert "FINISHED" == need_recorded(workspace, "one").run.status
    wait(lambda: autosync.state(workspace).failure is not None, autosync.log_file(workspace.repo))
    state = autosync.state(workspace)
    assert state.failure is not None
    assert state.failed_at is not None
    assert state.failure.startswith("The git remote `origin` (")
    assert 60 > abs(time.time() - state.failed_at)
    assert 0 < state.waiting
    assert "could not be used" in autosync.log_file(workspace.repo).read_text()
    (workspace.repo.writable_state("sync") / "wanted").touch()
    with pytest.raises(RemoteUnreachable):
        autosync.work(workspace)
    away.rename(team.remote)
    (workspace.repo.writable_state("sync") / "wanted").touch()
    done = autosync.work(workspace)
    assert done is not None
    assert ["one"] == done.runs_sent
    assert autosync.SyncState("origin", 0) == autosync.state(workspace)
    team.check()


def test_the_log_is_bounded(team: Team) -> None:
    """It begins anew when it is long."""
    workspace = Workspace.open(team.folder / "ann")
    log = autosync.log_file(workspace.repo)
    log.parent.mkdir(exist_ok=True)
    log.write_text("x" * 300_000)
    autosync.begin(workspace)
    autosync._begun[-1].wait(60)
    assert 10_000 > log.stat().st_size
    assert "origin" == json.loads(log.read_text())["remote"]


def test_without_a_remote_nothing_waits(git_repo: Path) -> None:
    """A repository that has none is well."""
    record(git_repo, "one")
    assert autosync.SyncState(None, 0) == autosync.state(Workspace.open(git_repo))
    git("remote", "add", "origin", "../nowhere", cwd=git_repo)
    assert 1 <= autosync.state(Workspace.open(git_repo)).waiting
