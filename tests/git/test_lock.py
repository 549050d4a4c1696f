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
    threads = [
        threading.Thread(target=run_python, args=(code, str(tmp_path)), kwargs={"cwd": tmp_path}) for _ in "abcd"
    ]
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


INTERRUPTED = """
import fcntl, os, signal, sys
from pathlib import Path
from runstone.git import lock as module

def is_free(path):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)

def interrupt(path, point):
    seen, where = 0, None
    lock = module.FileLock(path)
    def trace(frame, event, arg):
        nonlocal seen, where
        if frame.f_code.co_filename != module.__file__ or frame.f_code.co_name == "settle":
            return None
        if event in ("call", "line"):
            seen += 1
            if seen == point:
                where = f"{frame.f_code.co_name} {event} {frame.f_lineno}"
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace
    sys.settrace(trace)
    try:
        try:
            with lock:
                pass
        finally:
            lock.settle()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    if where is not None and not is_free(path):
        print("others are barred after", where)
    signal.alarm(2)  # kills a process that waits for itself
    with lock:
        assert not is_free(path)
    signal.alarm(0)
    assert is_free(path)
    return where

point = 1
while interrupt(Path(sys.argv[1]) / str(point), point):
    point += 1
print("points", point - 1 > 20)
"""


def test_interrupt_at_every_line(tmp_path: Path) -> None:
    """Ctrl-C at each line of taking the lock and letting it go: nobody is barred, and nobody waits for themselves."""
    done = run_python(INTERRUPTED, str(tmp_path), cwd=tmp_path, check=False)
    assert (0, "points True\n") == (done.returncode, done.stdout), done.stderr
