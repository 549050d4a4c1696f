"""Statuses are true: how a process ends decides how its runs end. Every case is a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.records.run import Run
from tests.support import SOURCE, git, run_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

_BEGIN = "import os, signal, sys, time, runstone\n"
# Python forgets that it is to die of SIGINT when anything is compiled while it ends, as dataclasses are.
_INTERRUPTED = (1, -signal.SIGINT)
_WAIT = "print('ready', flush=True)\n[time.sleep(0.1) for _ in range(600)]\n"


def start(code: str, cwd: Path) -> "subprocess.Popen[str]":
    """Start code and return once it has printed `ready`."""
    process = subprocess.Popen(
        [sys.executable, "-c", _BEGIN + code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline(), process.communicate()[1]
    return process


def finish(process: "subprocess.Popen[str]", number: int | None = None) -> tuple[int, str]:
    """Send a signal, if any, and return the exit code and what went to standard error."""
    if number is not None:
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


def only_run(repo: Path) -> Run:
    """The only run there is, as the branch holds it."""
    runs = Client(repo).search_runs()
    assert 1 == len(runs)
    assert "" == git("status", "--porcelain", cwd=repo)
    return runs[0]


@pytest.mark.parametrize(
    ("code", "exit_code", "status"),
    [
        ("runstone.log_metric('m', 1.5)", 0, "FINISHED"),
        ("with runstone.start_run(): runstone.log_metric('m', 1.5)", 0, "FINISHED"),
        ("with runstone.start_run():\n    runstone.log_metric('m', 1.5)\n    1 / 0", 1, "FAILED"),
        ("runstone.log_metric('m', 1.5)\n1 / 0", 1, "FAILED"),
        ("with runstone.start_run():\n    runstone.log_metric('m', 1.5)\n    sys.exit()", 0, "FINISHED"),
        ("with runstone.start_run():\n    runstone.log_metric('m', 1.5)\n    sys.exit(0)", 0, "FINISHED"),
        ("with runstone.start_run():\n    runstone.log_metric('m', 1.5)\n    sys.exit(1)", 1, "FAILED"),
        ("with runstone.start_run():\n    runstone.log_metric('m', 1.5)\n    sys.exit('no data')", 1, "FAILED"),
        ("import types\nsys.modules['IPython'] = types.ModuleType('IPython')\nrunstone.log_metric('m', 1.5)\n1 / 0",
         1, "FAILED"),
    ],
)  # fmt: skip
def test_the_end_of_the_script_is_the_end_of_its_run(git_repo: Path, code: str, exit_code: int, status: str) -> None:
    """With a `with` block and without: normal end, exception, `sys.exit`; importing IPython changes nothing."""
    done = run_python(_BEGIN + code, cwd=git_repo, check=False)
    assert exit_code == done.returncode, done.stderr
    assert (status, {"m": 1.5}) == (only_run(git_repo).status, only_run(git_repo).data.metrics)


@pytest.mark.parametrize("block", ["with runstone.start_run():\n    ", "runstone.start_run()\n"])
def test_ctrl_c_kills_the_run(git_repo: Path, block: str) -> None:
    """SIGINT: KILLED, and the process ends as Python ends one on Ctrl-C."""
    body = "runstone.log_metric('m', 1.5); print('ready', flush=True); [time.sleep(0.1) for _ in range(600)]\n"
    code, stderr = finish(start(block + body, git_repo), signal.SIGINT)
    assert code in _INTERRUPTED
    assert "KeyboardInterrupt" in stderr
    assert ("KILLED", {"m": 1.5}) == (only_run(git_repo).status, only_run(git_repo).data.metrics)


@pytest.mark.parametrize("block", ["with runstone.start_run():\n    ", "runstone.start_run()\n"])
def test_sigterm_kills_the_run_and_the_process_dies_of_it(git_repo: Path, block: str) -> None:
    """What a cluster sends at the time limit: the run is recorded, no traceback is shown, the parent sees SIGTERM."""
    body = "runstone.log_metric('m', 1.5); print('ready', flush=True); [time.sleep(0.1) for _ in range(600)]\n"
    code, stderr = finish(start(block + body, git_repo), signal.SIGTERM)
    assert (-signal.SIGTERM, "") == (code, stderr)
    assert ("KILLED", {"m": 1.5}) == (only_run(git_repo).status, only_run(git_repo).data.metrics)


def test_except_exception_does_not_swallow_sigterm(git_repo: Path) -> None:
    """A training loop that catches what a step raises still ends when it is told to."""
    code = """
with runstone.start_run():
    runstone.log_metric('m', 1.5)
    print('ready', flush=True)
    while True:
        try:
            [time.sleep(0.1) for _ in range(600)]
        except Exception:
            continue
"""
    assert (-signal.SIGTERM, "") == finish(start(code, git_repo), signal.SIGTERM)
    assert "KILLED" == only_run(git_repo).status


def test_a_users_own_handler_is_respected(git_repo: Path) -> None:
    """A handler that was there before is called, and decides how the script ends."""
    code = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nrunstone.log_metric('m', 1.5)\n" + _WAIT
    assert (7, "") == finish(start(code, git_repo), signal.SIGTERM)
    assert "FINISHED" == only_run(git_repo).status


def test_kill_9_is_found_out_and_nothing_is_lost(git_repo: Path) -> None:
    """The dead process's run is FAILED with all that its calls had returned for, at the next read of any client."""
    watching = Client(git_repo)
    code = "runstone.start_run(run_id='killed')\nfor i in range(1000): runstone.log_metric('m', i, step=i)\n"
    process = start(code + "runstone.log_param('p', 1)\nrunstone.log_text('x', 'a.txt')\n" + _WAIT, git_repo)
    assert "RUNNING" == watching.get_run("killed").status
    assert -signal.SIGKILL == finish(process, signal.SIGKILL)[0]
    time.sleep(2.1)  # a client looks for dead runs every two seconds
    run = watching.search_runs()[0]
    assert ("FAILED", {"p": 1}, 1000) == (run.status, run.params, run.metrics["m"].count)
    assert run.ended is not None
    assert [] == list((git_repo / ".git" / "runstone" / "journal").glob("*.live"))
    assert ["a.txt"] == [file.path for file in watching.list_artifacts("killed")]
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)


def test_ctrl_c_while_a_run_is_being_ended_still_ends_it(git_repo: Path) -> None:
    """The ending is interrupted before it is done (its capture is made slow); the exit of the process completes it."""
    code = """
from runstone.tracking.capture import Capture
wait = Capture.wait
def slow(self):
    if not hasattr(Capture, 'seen'):
        Capture.seen = True
        print('ready', flush=True)
        [time.sleep(0.1) for _ in range(600)]
    wait(self)
Capture.wait = slow
with runstone.start_run():
    runstone.log_metric('m', 1.5)
"""
    exit_code, stderr = finish(start(code, git_repo), signal.SIGINT)
    assert exit_code in _INTERRUPTED
    assert "KeyboardInterrupt" in stderr
    assert ("KILLED", {"m": 1.5}) == (only_run(git_repo).status, only_run(git_repo).data.metrics)


def test_several_runs_are_all_ended(git_repo: Path) -> None:
    """Nested ones, those of threads, and those of a client: none is left open, and none keeps another from its end."""
    code = """
import threading
runstone.start_run(run_id='outer')
runstone.start_run(run_id='inner', nested=True)
def work():
    runstone.log_metric('m', 2.5)
    print(runstone.active_run().info.run_id, flush=True)
thread = threading.Thread(target=work)
thread.start()
thread.join()
client = runstone.Client()
client.create_run('0', run_id='by-client')
"""
    done = run_python(_BEGIN + code, cwd=git_repo)
    runs = {run.id: run for run in Client(git_repo).search_runs()}
    assert {"outer", "inner", "by-client", done.stdout.strip()} == runs.keys()
    assert {"FINISHED"} == {run.status for run in runs.values()}
    assert ("outer", None) == (runs["inner"].parent, runs[done.stdout.strip()].parent)


def test_a_forked_child_logs_to_its_parents_run(git_repo: Path) -> None:
    """A child that leaves by `os._exit` loses nothing, ends nothing, and its signal handling is its own again."""
    code = """
with runstone.start_run(run_id='forked'):
    runstone.log_metric('m', 0, step=0)
    for child in range(3):
        if os.fork() == 0:
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            runstone.log_metric('m', child, step=child + 1)
            runstone.log_text(str(child), f'{child}.txt')
            os._exit(0)
    for child in range(3):
        assert os.wait()[1] == 0
"""
    run_python(_BEGIN + code, cwd=git_repo)
    run = only_run(git_repo)
    assert ("FINISHED", 4) == (run.status, run.metrics["m"].count)
    assert ["0.txt", "1.txt", "2.txt"] == [file.path for file in Client(git_repo).list_artifacts("forked")]


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("work", "status", "code"),
    [("pass", "FINISHED", "0"), ("raise ValueError", "FAILED", "1"), ("_wait()", "KILLED", "-15")],
)
def test_a_worker_ends_its_own_run(git_repo: Path, method: str, work: str, status: str, code: str) -> None:
    """A worker of multiprocessing that begins a run and leaves it open: its end is told by how the worker ends."""
    script = git_repo.parent / "workers.py"
    script.write_text(f"""
import multiprocessing, os, time, runstone
def _wait():
    open('ready', 'w').close()
    [time.sleep(0.1) for _ in range(600)]
def work():
    runstone.start_run(run_id='worker')
    runstone.log_metric('m', 1.5)
    {work}
if __name__ == '__main__':
    worker = multiprocessing.get_context({method!r}).Process(target=work)
    worker.start()
    while worker.is_alive() and not os.path.exists('ready'):
        time.sleep(0.02)
    if os.path.exists('ready'):
        os.unlink('ready')
        worker.terminate()
    worker.join()
    print(worker.exitcode)
""")
    done = run_python(script, cwd=git_repo)
    assert code == done.stdout.strip()
    assert (status, {"m": 1.5}) == (only_run(git_repo).status, only_run(git_repo).data.metrics)
