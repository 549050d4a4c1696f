"""The lock lets one in at a time, and nobody is shut out by the dead or by children."""

import subprocess
import sys
import threading
import time
from pathlib import Path

from runstone.git.lock import FileLock, can_lock
from tests.support import run_python


def test_one_holder_among_processes(tmp_path: Path) -> None:
    """Four processes count to 50 each in one file under the lock: nothing is lost."""
    (tmp_path / "count").write_text("0")
    code = """
import sys
from pathlib import Path
from runstone.git.lock import FileLock
folder = Path(sys.argv[1])
for _ in range(50):
    with FileLock(folder / "lock"):
        (folder / "count").write_text(str(int((folder / "count").read_text()) + 1))
"""
    threads = [threading.Thread(target=run_python, args=(code, str(tmp_path)), kwargs={"cwd": tmp_path}) for _ in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "200" == (tmp_path / "count").read_text()


def test_same_thread_may_enter_again(tmp_path: Path) -> None:
    """A holder that enters once more goes on, and lets others in only after its outermost exit."""
    lock, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    entered = threading.Event()

    def enter() -> None:
        with other:
            entered.set()

    with lock:
        with lock:
            pass
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.1)
    thread.join(5)
    assert entered.is_set()


def test_forked_child_holds_nothing(tmp_path: Path) -> None:
    """A child forked by one thread while another holds the lock neither keeps it nor waits for itself."""
    done = run_python(
        """
import os, sys, threading, time
from pathlib import Path
from runstone.git.lock import FileLock
lock = FileLock(Path(sys.argv[1]))
held, go = threading.Event(), threading.Event()
def hold():
    with lock:
        held.set()
        go.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    os.read(read, 1)          # until the parent has let go
    with lock:
        os._exit(7)
go.set()
thread.join()
with FileLock(Path(sys.argv[1])):   # the child lives, and must not hold it
    print("in")
os.write(write, b"x")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""",
        str(tmp_path / "lock"),
        cwd=tmp_path,
        timeout_s=20,
    )
    assert "in\n7\n" == done.stdout


def test_killed_holder_lets_go(tmp_path: Path) -> None:
    """The kernel drops the lock of a process that was killed."""
    code = "import sys,time; from pathlib import Path; from runstone.git.lock import FileLock\n"
    code += "with FileLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    env_path = str(Path(__file__).parent.parent.parent / "src")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE, env={"PYTHONPATH": env_path}
    ) as process:
        assert process.stdout is not None
        assert b"held\n" == process.stdout.readline()
        assert can_lock(tmp_path / "lock")  # held by another, but this disk can lock
        process.kill()
    begun = time.monotonic()
    with FileLock(tmp_path / "lock"):
        assert time.monotonic() - begun < 5


def test_can_lock_says_no_where_it_cannot(tmp_path: Path) -> None:
    """A folder that is not there cannot hold a lock."""
    assert not can_lock(tmp_path / "missing" / "lock")
