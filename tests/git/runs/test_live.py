"""Runs that are not committed yet are shown as their journals tell, and counted once."""

import subprocess
import sys
from pathlib import Path

from runstone.git.repository import Repository
from runstone.git.runs import journal, live
from runstone.git.runs.commit import drain
from tests.git.support import SHELF, begin, finish, recorded
from tests.support import SOURCE, git


def test_live_run_as_it_stands(git_repo: Path) -> None:
    """While it logs, a run is RUNNING with all it has logged, and its token changes with each line."""
    repo = Repository.open(git_repo)
    writer = begin(repo, "r1")
    before = live.list_live(repo)
    writer.metric("loss", 0.5, 1, 3)
    writer.event(journal.PARAMS, {"lr": 0.1})
    assert before != live.list_live(repo)
    run = live.read_live(repo, "r1")
    assert run is not None
    assert ("RUNNING", {"lr": 0.1}, 0.5) == (run.status, run.params, run.metrics["loss"].last)
    finish(writer)
    drain(repo, SHELF)
    assert live.read_live(repo, "r1") is None
    assert {} == live.list_live(repo)


def start_elsewhere(repo: Path, run_id: str, role: str) -> "subprocess.Popen[bytes]":
    """A process that logs to a run and then waits to be killed."""
    code = (
        "import sys, time; from runstone.git.repository import Repository; from tests.git.support import begin\n"
        "w = begin(Repository.open(sys.argv[1]), sys.argv[2], sys.argv[3]); w.metric('loss', 2.0, 1, 1)\n"
        "print('on', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(repo), run_id, role]
    process = subprocess.Popen(command, cwd=SOURCE.parent, stdout=subprocess.PIPE, env={"PYTHONPATH": str(SOURCE)})
    assert process.stdout is not None
    assert b"on\n" == process.stdout.readline()
    return process


def test_dead_joiner_does_not_fail_the_run(git_repo: Path) -> None:
    """A run goes on when a process that had joined it is killed, and fails with its own process, whoever joined it."""
    repo = Repository.open(git_repo)
    owner = start_elsewhere(git_repo, "r1", journal.START)
    joiner, other = (start_elsewhere(git_repo, "r1", journal.JOIN) for _ in range(2))
    for process, status in ((joiner, "RUNNING"), (owner, "FAILED"), (other, "FAILED")):
        with process:
            process.kill()
        run = live.read_live(repo, "r1")
        assert run is not None
        assert (status, 3) == (run.status, run.metrics["loss"].count)


def test_committed_journal_counts_once(git_repo: Path) -> None:
    """Between the move of the ref and the removal of the journal, a reader sees each point once."""
    repo = Repository.open(git_repo)
    writer = begin(repo, "r1")
    writer.metric("loss", 0.5, 1, 0)
    ended = finish(writer)
    text = ended.read_bytes()
    drain(repo, SHELF)
    assert 1 == recorded(repo, "r1").run.metrics["loss"].count
    # What a crash right after the move of the ref leaves: the journal, with the commit's name in it.
    ended.write_bytes(text)
    journal.append_line(ended, journal.COMMITTED, {"commit": git("rev-parse", "runs", cwd=git_repo)})
    assert live.read_live(repo, "r1") is None
    assert [] == drain(repo, SHELF)
    assert 1 == recorded(repo, "r1").run.metrics["loss"].count
    assert not ended.exists()
