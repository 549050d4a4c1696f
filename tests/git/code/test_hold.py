"""The refs that hold the snapshots of live runs, and let go of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runstone.git.code import hold
from runstone.git.code.snapshot import take_snapshot
from runstone.git.repository import Repository
from runstone.git.runs import journal
from runstone.git.runs.commit import drain, recover
from runstone.git.runs.journal import Writer
from runstone.records.config import SnapshotRules
from tests.git.support import SHELF, begin, check_clean, finish, leave_another_boot, recorded
from tests.support import SOURCE, git, make_repository, run_python


def held(folder: Path) -> list[str]:
    """The snapshots that refs hold."""
    out = git("for-each-ref", "--format=%(refname)", hold.PREFIX, cwd=folder)
    return [name.removeprefix(hold.PREFIX) for name in out.splitlines()]


def take(repo: Repository, content: str) -> str:
    """Edit the work tree and take a snapshot of it."""
    assert repo.work_tree is not None
    (repo.work_tree / "train.py").write_text(content)
    commit = take_snapshot(repo, SnapshotRules()).commit
    assert commit is not None
    return commit


def begin_with(repo: Repository, run_id: str, commit: str) -> Writer:
    """A run that has named its snapshot."""
    writer = begin(repo, run_id)
    writer.event(journal.SOURCE, {"commit": repo.head(), "snapshot": commit, "dirty": True})
    return writer


def test_a_live_runs_snapshot_survives_gc_and_is_let_go_once_recorded(git_repo: Path) -> None:
    """Held from when it is taken until the branch leads to it; then it survives by that, with no ref and no reflog."""
    repo = Repository.open(git_repo)
    commit = take(repo, "edited\n")
    assert [commit] == held(git_repo)
    writer = begin_with(repo, "first", commit)
    git("gc", "-q", "--prune=now", cwd=git_repo)
    finish(writer)
    assert ["first"] == drain(repo, SHELF)
    assert [] == held(git_repo)
    assert [] == list((git_repo / ".git" / "logs" / "refs").rglob(commit))
    git("reflog", "expire", "--expire=now", "--all", cwd=git_repo)
    git("gc", "-q", "--prune=now", cwd=git_repo)
    assert commit == git("rev-parse", "runs^2", cwd=git_repo)
    assert "edited" == git("show", f"{commit}:train.py", cwd=git_repo)
    check_clean(git_repo)


def test_two_live_runs_share_one_and_either_may_end_first(git_repo: Path) -> None:
    """When the first is recorded the snapshot is reachable, so that the second needs no ref any more."""
    repo = Repository.open(git_repo)
    commit = take(repo, "edited\n")
    first, second = begin_with(repo, "first", commit), begin_with(repo, "second", commit)
    assert commit == take(repo, "edited\n")
    finish(second)
    drain(repo, SHELF)
    git("gc", "-q", "--prune=now", cwd=git_repo)
    finish(first)
    drain(repo, SHELF)
    assert [[commit], [commit]] == [git("rev-parse", f"{tip}^2", cwd=git_repo).split() for tip in ("runs", "runs^")]
    assert [] == held(git_repo)


def test_a_ref_that_cannot_be_written_or_removed_fails_nothing(git_repo: Path) -> None:
    """A hook that vetoes Runstone's own refs: the snapshot is taken, the run recorded."""
    hook = git_repo / ".git" / "hooks" / "reference-transaction"
    hook.write_text('#!/bin/sh\nif [ "$1" = prepared ] && grep -q refs/runstone/; then exit 1; fi\n')
    repo = Repository.open(git_repo)
    hook.chmod(0o755)
    commit = take(repo, "edited\n")
    assert [] == held(git_repo)
    hook.chmod(0o644)
    assert commit == take(repo, "edited\n")
    assert [commit] == held(git_repo)
    hook.chmod(0o755)
    writer = begin_with(repo, "first", commit)
    finish(writer)
    assert ["first"] == drain(repo, SHELF)
    assert [commit] == held(git_repo)
    hook.chmod(0o644)
    assert 1 == hold.sweep(repo)
    assert [] == held(git_repo)


def test_a_killed_run_is_recorded_with_its_snapshot_and_lets_go_of_it(git_repo: Path) -> None:
    """The process died while it held a snapshot, and another one before it had named its own: both refs go."""
    code = (
        "import os, sys\n"
        "from runstone.git.repository import Repository\n"
        "from tests.git.code.test_hold import begin, begin_with, take\n"
        "repo = Repository.open(sys.argv[1])\n"
        "begin_with(repo, 'named', take(repo, 'one'))\n"
        "take(repo, 'two')\n"
        "begin(repo, 'unnamed')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    run_python(code, str(git_repo), cwd=Path(__file__).parents[3], check=False)
    assert 2 == len(held(git_repo))
    repo = Repository.open(git_repo)
    assert {"named", "unnamed"} == set(recover(repo, SHELF))
    assert [] == held(git_repo)
    found = recorded(repo, "named").run.source.snapshot
    assert "one" == git("show", f"{found}:train.py", cwd=git_repo)


def test_sweeping_spares_what_live_runs_need(git_repo: Path) -> None:
    """Named by a journal it stays; while a run has yet to name its own, all stay; torn refs go."""
    repo = Repository.open(git_repo)
    named, stray = take(repo, "one\n"), take(repo, "two\n")
    first, second = begin_with(repo, "first", named), begin(repo, "second")
    assert 0 == hold.sweep(repo)
    second.event(journal.SOURCE, {"commit": repo.head(), "snapshot": repo.head()})
    assert 1 == hold.sweep(repo)
    assert [named] == held(git_repo)
    (git_repo / ".git" / hold.PREFIX / stray).write_bytes(b"")
    assert 1 == hold.sweep(repo)
    git("gc", "-q", "--prune=now", cwd=git_repo)
    first.abandon()
    second.abandon()
    assert 1 == hold.sweep(repo)


def test_a_record_without_its_snapshot_leads_to_head(git_repo: Path) -> None:
    """Somebody removed the objects of a live run: its commit still leads to the commit it was based on."""
    repo = Repository.open(git_repo)
    writer = begin(repo, "first")
    writer.event(journal.SOURCE, {"commit": repo.head(), "snapshot": "1" * 40, "dirty": True})
    finish(writer)
    drain(repo, SHELF)
    assert repo.head() == git("rev-parse", "runs^2", cwd=git_repo)


def test_a_snapshot_survives_power_loss_while_its_run_is_live(git_repo: Path) -> None:
    """Its commit was torn: the log of objects has it, and what git wrote for it was synced when it was written."""
    repo = Repository.open(git_repo)
    commit = take(repo, "edited\n")
    leave_another_boot(repo)
    torn = repo.objects.path(commit)
    torn.chmod(0o644)
    torn.write_bytes(b"")
    code = "import sys; from runstone.git import kept; from runstone.git.repository import Repository as R\n"
    run_python(f"{code}kept.check(R.open(sys.argv[1]))", str(git_repo), cwd=git_repo)
    assert "edited" == git("show", f"{held(git_repo)[0]}:train.py", cwd=git_repo)
    check_clean(git_repo)


@pytest.mark.skipif(shutil.which("strace") is None, reason="only strace sees what git syncs")
def test_what_git_writes_is_synced_before_the_ref(git_repo: Path, tmp_path: Path) -> None:
    """The content and the trees are synced (from git 2.37 on with one call each), then our log, then the ref moves."""
    for number in range(20):
        (git_repo / f"new_{number}.py").write_text(f"{number}\n")
    trace = tmp_path / "trace"
    imports = "import sys; from tests.git.code.test_hold import Repository, take"
    code = f"{imports}; take(Repository.open(sys.argv[1]), 'edited')"
    calls = "--trace=fsync,fdatasync,/^link,/^rename"
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{SOURCE.parent}"}
    command = ["strace", "-f", "-qq", "-y", calls, "-o", str(trace), sys.executable, "-c", code, str(git_repo)]
    if subprocess.run(command, env=environment, capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    at = next(number for number, line in enumerate(lines) if hold.PREFIX in line)
    synced = [line for line in lines[:at] if "sync(" in line]
    assert 2 <= sum("/objects/" in line for line in synced)
    assert ["/journal/kept/" in line for line in synced] == [False] * (len(synced) - 1) + [True]


def test_the_refs_do_not_travel(git_repo: Path, bare_remote: Path, tmp_path: Path) -> None:
    """A push of all branches and tags, and a clone, leave them where they are."""
    repo = Repository.open(git_repo)
    take(repo, "edited\n")
    git("push", "-q", "--all", bare_remote, cwd=git_repo)
    git("push", "-q", "--tags", bare_remote, cwd=git_repo)
    git("clone", "-q", git_repo.as_uri(), "clone", cwd=tmp_path)
    assert [[], []] == [held(bare_remote), held(tmp_path / "clone")]


def test_a_linked_work_tree_holds_for_all(tmp_path: Path) -> None:
    """Snapshots of a linked work tree are held in the repository they share."""
    folder = make_repository(tmp_path / "repo")
    git("worktree", "add", "-q", "--detach", tmp_path / "side", cwd=folder)
    side = Repository.open(tmp_path / "side")
    commit = take(side, "edited\n")
    assert [commit] == held(folder)
    assert git("rev-parse", "HEAD", cwd=folder) == git("rev-parse", f"{commit}^", cwd=folder)
