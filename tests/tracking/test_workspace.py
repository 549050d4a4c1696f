"""One workspace a repository; it notices dead runs, and writes nothing where there are none."""

import os
import threading
from pathlib import Path

import pytest

from runstone.errors import NotARepository
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.secrets import SecretRedacted
from runstone.tracking.workspace import Workspace, redactor_of, repository_path
from tests.support import git, run_python


def test_one_object_for_each_work_tree(git_repo: Path, tmp_path: Path) -> None:
    """From any folder in it; a linked work tree has its own, for it has its own code and settings."""
    (git_repo / "deep").mkdir()
    assert Workspace.open(git_repo) is Workspace.open(git_repo / "deep")
    git("worktree", "add", "-q", tmp_path / "linked", cwd=git_repo)
    linked = Workspace.open(tmp_path / "linked")
    assert linked is not Workspace.open(git_repo)
    assert linked.repo.common_dir == Workspace.open(git_repo).repo.common_dir
    with pytest.raises(NotARepository, match=r"is not in a git repository\. Make one there: `git init`"):
        Workspace.open(tmp_path)


def test_a_repository_made_later_is_found(tmp_path: Path) -> None:
    """An error is not remembered."""
    with pytest.raises(NotARepository):
        Workspace.open(tmp_path)
    git("init", "-q", cwd=tmp_path)
    assert tmp_path.resolve() == Workspace.open(tmp_path).repo.work_tree


def test_dead_runs_are_noticed_without_a_lock_where_there_are_none(git_repo: Path) -> None:
    """While another run lives, looking touches no file; of a dead one the record is made."""
    workspace = Workspace.open(git_repo)
    run = start_run(workspace, ensure_experiment(workspace.repo, "trees"))
    lock = workspace.repo.cache_dir / "commit.lock"
    lock.unlink(missing_ok=True)
    workspace.notice_dead_runs()
    assert (False, None) == (lock.exists(), workspace._looked if workspace._looked < 0 else None)
    code = "import os, runstone; runstone.start_run(run_id='dead'); os.kill(os.getpid(), 9)"
    run_python(code, cwd=git_repo, check=False)
    workspace.notice_dead_runs()
    assert not lock.exists(), "it looked a moment ago"
    workspace._looked -= 3
    workspace.notice_dead_runs()
    assert "Record run" in git("log", "-1", "--format=%s", "runs", cwd=git_repo)
    assert run.is_open
    run.end()


def test_the_rules_of_runstone_yaml_are_followed(git_repo: Path) -> None:
    """What a project calls secret is redacted."""
    (git_repo / "runstone.yaml").write_text("secrets:\n  keys: [default, ^salary$]\n")
    redactor = redactor_of(Workspace.open(git_repo).repo)
    with pytest.warns(SecretRedacted):
        assert ["[redacted]", "[redacted]"] == [redactor.param("salary", "1000"), redactor.param("password", "hunter2")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
def test_a_forked_child_has_locks_of_its_own(git_repo: Path) -> None:
    """A thread of the parent held one at that moment: the child must not wait for it for ever."""
    workspace = Workspace.open(git_repo)
    run = start_run(workspace, ensure_experiment(workspace.repo, "trees"))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with workspace.lock, run._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        run.log_params({"p": 1})
        with workspace.lock:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    run.end()
    assert (0, {"p": 1}) == (status, run.data.params)


def test_a_repository_is_named_by_a_path_or_a_uri() -> None:
    """As a path, as `runstone:PATH` or as `file:PATH`; the letter of a drive is no scheme."""
    assert [None, ".", "/a b", "C:\\x", "/a"] == [
        repository_path(uri) for uri in (None, "runstone:", "runstone:///a b", "C:\\x", "file:/a")
    ]
