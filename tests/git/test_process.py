"""One git process answers many questions, and never the wrong one."""

import os
import signal
import time
from pathlib import Path

import pytest

from runstone.errors import GitFailed
from runstone.git.process import Conversation, clean_environment, run_git
from runstone.git.repository import Repository
from tests.support import git, run_python


def test_answer_of_cut_exchange_is_never_read(git_repo: Path) -> None:
    """Ctrl-C between question and answer, hundreds of times: the next answer is always that of the next question."""
    done = run_python(
        """
import signal, sys
from runstone.git.repository import Repository
repo = Repository.open(sys.argv[1])
big = repo.objects.write("blob", b"x" * 400_000)
small = {repo.objects.write("blob", b"%d" % n): b"%d" % n for n in range(50)}
cut = 0
for n in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.00002 + n * 0.000002)
        while True:
            repo.objects.blob(big)  # until the alarm, which comes once
    except KeyboardInterrupt:
        cut += 1
    for oid, data in small.items():
        assert data == repo.objects.blob(oid), "an answer of an earlier question"
print(cut)
""".replace("cut = 0\n", "cut = 0\nsignal.signal(signal.SIGALRM, signal.default_int_handler)\n", 1),
        str(git_repo),
        cwd=git_repo,
    )
    assert "300\n" == done.stdout


INTERRUPTED = """
import signal, subprocess, sys
from runstone.git import process as module
from runstone.git.repository import Repository

repo = Repository.open(sys.argv[1])
oids = [repo.objects.write("blob", b"%d" % n) for n in range(3)]
# What ends a process, and what asks one that runs; beginning one is Popen's own affair.
ours = set("ask _exchange _open _end _close_pipes _reap poll wait _wait _internal_poll _try_wait".split())

def interrupt(point, call):
    seen, where = 0, None
    def trace(frame, event, arg):
        nonlocal seen, where
        code = frame.f_code
        if code.co_filename not in (module.__file__, subprocess.__file__) or code.co_name not in ours:
            return None
        if event in ("call", "line"):
            seen += 1
            if seen == point:
                where = f"{code.co_name} {event} {frame.f_lineno}"
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    signal.alarm(10)  # kills a process that waits for ever
    for n, oid in enumerate(oids):
        assert b"%d" % n == repo.objects.blob(oid), where
    repo.objects.close()
    assert b"0" == repo.objects.blob(oids[0]), where
    signal.alarm(0)
    return where

for call in (lambda: repo.objects.blob(oids[1]), repo.objects.close):
    point = 1
    while interrupt(point, call):
        point += 1
    print(point - 1 > 10)
"""


def test_interrupt_at_every_line(git_repo: Path) -> None:
    """Ctrl-C at each line of asking git and of ending it: the next answers are right, and nothing waits for ever."""
    done = run_python(INTERRUPTED, str(git_repo), cwd=git_repo, check=False)
    assert (0, "True\nTrue\n") == (done.returncode, done.stdout), done.stderr


def test_dead_process_is_replaced(git_repo: Path) -> None:
    """If somebody kills the idle git process, the next question goes to a new one."""
    repo = Repository.open(git_repo)
    head = repo.head()
    process = repo.objects._reader._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    assert head == repo.head()


def test_forked_child_has_its_own(git_repo: Path) -> None:
    """After a fork both processes go on asking, and the child's end does not end the parent's git."""
    done = run_python(
        """
import os, sys
from runstone.git.repository import Repository
repo = Repository.open(sys.argv[1])
oids = {repo.objects.write("blob", b"%d" % n): b"%d" % n for n in range(300)}
repo.head()
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        ok = all(repo.objects.blob(oid) == data for oid, data in oids.items())
        os._exit(0 if ok else 1)
    children.append(pid)
assert all(repo.objects.blob(oid) == data for oid, data in oids.items())
print([os.waitpid(pid, 0)[1] for pid in children])
""",
        str(git_repo),
        cwd=git_repo,
    )
    assert "[0, 0, 0]\n" == done.stdout


def test_close_does_not_wait_for_a_child(git_repo: Path) -> None:
    """A forked child that lives on does not keep the parent from ending its git processes."""
    done = run_python(
        """
import os, sys, time
from runstone.git.repository import Repository
repo = Repository.open(sys.argv[1])
repo.head()
pid = os.fork()
if pid == 0:
    time.sleep(30)
    os._exit(0)
begun = time.monotonic()
repo.close()
print(time.monotonic() - begun < 15)
os.kill(pid, 9)
""",
        str(git_repo),
        cwd=git_repo,
    )
    assert "True\n" == done.stdout


def test_many_repositories_leave_few_processes(tmp_path: Path) -> None:
    """Threads go round through thirty: the git processes of the last few run, and each answers when it is asked."""
    for number in range(30):
        git("init", "-q", "--bare", tmp_path / f"{number}.git", cwd=tmp_path)
    done = run_python(
        """
import os, sys, threading
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository

folders = sorted(os.scandir(sys.argv[1]), key=lambda each: each.name)
repos = [Repository.open(each.path) for each in folders]
before = len(os.listdir("/dev/fd"))

def go_round(me):
    for turn in range(2):
        for repo in repos:
            oid = repo.objects.write("blob", f"{me} {turn}".encode())
            repo.refs.update([RefUpdate(f"refs/kept/{me}/{turn}", oid, None)])
            assert f"{me} {turn}".encode() == repo.objects.blob(oid)
    done.append(me)

done = []
threads = [threading.Thread(target=go_round, args=(me,)) for me in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(done), len(os.listdir("/dev/fd")) - before <= 24 * 3)
""",
        str(tmp_path),
        cwd=tmp_path,
    )
    assert "[0, 1, 2] True\n" == done.stdout


def test_chatty_git_does_not_block(git_repo: Path) -> None:
    """Megabytes on stderr, as trace2 sends them, do not fill a pipe: thousands of questions are answered."""
    git("config", "--global", "trace2.normalTarget", "2", cwd=git_repo)
    conversation = Conversation(["cat-file", "--batch-check"], cwd=git_repo)
    begun = time.monotonic()
    for _ in range(3000):
        answer = conversation.ask(b"HEAD:nothing-" + b"x" * 200 + b"\n", lambda got: 0 if got.endswith(b"\n") else 1)
        assert answer.endswith(b" missing\n")
    conversation.close()
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("name", ["GIT_TRACE", "GIT_TRACE_SETUP", "GIT_TRACE2", "GIT_TRACE_PACKET"])
def test_trace_of_the_user(git_repo: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Tracing to stderr is left out, so that it is not taken for an error; tracing to a file goes on."""
    monkeypatch.setenv(name, "1")
    with pytest.raises(GitFailed) as caught:
        run_git(["rev-parse", "--verify", "nothing"], cwd=git_repo)
    assert "fatal: Needed a single revision" == caught.value.stderr
    monkeypatch.setenv(name, str(git_repo / "trace"))
    assert str(git_repo / "trace") == clean_environment()[name]


def test_messages_in_english(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors are told apart by their text, so the user's language does not reach git."""
    for name in ("LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"):
        monkeypatch.setenv(name, "de_DE.UTF-8")
    env = clean_environment()
    assert "C.UTF-8" == env["LC_ALL"]
    assert "LANGUAGE" not in env


def test_failure_names_command_and_reason(tmp_path: Path) -> None:
    """What git refused, its exit code and its words stand in the error."""
    with pytest.raises(GitFailed) as caught:
        run_git(["rev-parse", "HEAD"], cwd=tmp_path)
    why = "fatal: not a git repository (or any of the parent directories): .git"
    assert f"`git rev-parse HEAD` ended with 128: {why}" == str(caught.value)
