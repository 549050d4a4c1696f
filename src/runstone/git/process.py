"""git processes: one call, or a long-lived helper that answers many questions.

Nothing here goes through a shell, and nothing a hook left in the environment reaches git: GIT_DIR and its
kin would turn `git -C path` to another repository.
"""

import os
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from runstone.errors import GitFailed, GitMissing
from runstone.git import forks

# `git rev-parse --local-env-vars`, but for GIT_CONFIG_COUNT and GIT_CONFIG_PARAMETERS, by which CI jobs set
# safe.directory; and LANGUAGE, which glibc heeds even under LC_ALL=C.UTF-8.
_LOCAL_VARIABLES = frozenset(
    "GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR GIT_CONFIG GIT_DEFAULT_HASH GIT_DIR GIT_GRAFT_FILE "
    "GIT_IMPLICIT_WORK_TREE GIT_INDEX_FILE GIT_INTERNAL_SUPER_PREFIX GIT_NAMESPACE GIT_NO_REPLACE_OBJECTS "
    "GIT_OBJECT_DIRECTORY GIT_PREFIX GIT_QUARANTINE_PATH GIT_REPLACE_REF_BASE GIT_SHALLOW_FILE GIT_WORK_TREE "
    "LANGUAGE".split()
)
# Where git keeps what a push brings until its pre-receive hook has said yes.
_QUARANTINE = frozenset(("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"))
_admitted: set[str] = set()
_PATIENCE_S = 5.0
_KEPT_RUNNING = 24  # for some eight repositories
_running: "weakref.WeakValueDictionary[int, Conversation]" = weakref.WeakValueDictionary()  # the first begun first


def admit_quarantine() -> None:
    """From now on git also sees the objects of the push that a pre-receive hook of this process is asked about."""
    _admitted.update(_QUARANTINE)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The process's environment without what binds git to another repository; messages in English.

    GIT_TRACE and its kin go too, unless they name a file: what they print on stderr would be taken for git's errors.
    """
    env = {key: value for key, value in os.environ.items() if key not in _LOCAL_VARIABLES or key in _admitted}
    for key in [key for key in env if key.startswith("GIT_TRACE")]:
        if not os.path.isabs(env[key]):  # noqa: PTH117  # the value is no path otherwise
            del env[key]
    # What `refs/replace/` shows in place of an object is not what its id vouches for.
    env.update(LC_ALL="C.UTF-8", GIT_OPTIONAL_LOCKS="0", GIT_NO_REPLACE_OBJECTS="1")
    if extra:
        env.update(extra)
    return env


def run_git(
    arguments: Sequence[str],
    *,
    cwd: Path,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    allowed: Sequence[int] = (0,),
) -> tuple[int, bytes]:
    """Run git once and return its exit code and output.

    Args:
        arguments: The command line after `git`.
        cwd: Where it runs.
        input: What it reads, or nothing at all.
        env: Variables on top of `clean_environment`.
        allowed: Exit codes that are answers, not failures.

    Raises:
        GitFailed: Another exit code.
        GitMissing: There is no git on this machine.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            env=clean_environment(env),
            stdin=subprocess.DEVNULL if input is None else None,
            input=input,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        if cwd.is_dir():
            raise GitMissing() from error
        raise
    if done.returncode not in allowed:
        raise GitFailed(arguments, done.returncode, done.stderr.decode(errors="replace"))
    return done.returncode, done.stdout


class Conversation:
    """A git process that is asked again and again through its standard input.

    It belongs to the process that began it: after a fork the child begins its own. An exchange that was cut short, as
    by Ctrl-C, ends the git process, so that no answer is ever taken for that of a later question. A program that goes
    through many repositories keeps the git processes of the last few only: any other begins anew when it is asked.
    """

    def __init__(self, arguments: Sequence[str], *, cwd: Path) -> None:
        self.arguments = tuple(arguments)
        self._cwd = cwd
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = -1
        self._is_busy = False
        forks.watch(self)

    def ask(self, question: bytes, missing: Callable[[bytearray], int]) -> bytearray:
        """Ask one question and return the whole answer.

        Args:
            question: What git reads.
            missing: Given what has come of the answer, tells how many bytes are missing at least; 0 when it is whole.

        Raises:
            GitFailed: git ended instead of answering; the next question goes to a new process.
            GitMissing: There is no git on this machine.
        """
        with self._lock:
            answer = self._exchange(question, missing)
            if not answer:
                answer = self._exchange(question, missing)  # the first process had died while it was idle
            if not answer or missing(answer) > 0:
                raise self._failed()
            self._is_busy = False
            return answer

    def close(self) -> None:
        """End the process, if one runs."""
        with self._lock:
            self._end()

    def __del__(self) -> None:
        self._end()

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's process, which sees its input end when the parent closes it."""
        self._lock = threading.RLock()
        _running.pop(id(self), None)
        process, self._process = self._process, None
        if process is not None:
            self._close_pipes(process)
            process.returncode = 0  # not this process's child: nothing to wait for

    def _exchange(self, question: bytes, missing: Callable[[bytearray], int]) -> bytearray:
        """The answer as far as it came."""
        stdin, stdout = self._open()
        self._is_busy = True
        answer = bytearray()
        try:
            view = memoryview(question)
            while view:
                view = view[os.write(stdin, view) :]
        except BrokenPipeError:
            return answer
        while (lacking := missing(answer)) > 0:
            data = os.read(stdout, max(lacking, 65536))
            if not data:
                break
            answer += data
        return answer

    def _open(self) -> tuple[int, int]:
        process = self._process
        if process is None or self._is_busy:
            self._end()
            process = self._begin()
        assert process.stdin is not None
        assert process.stdout is not None
        return process.stdin.fileno(), process.stdout.fileno()

    def _begin(self) -> "subprocess.Popen[bytes]":
        # A pipe that nobody reads would block git once it is full, so its errors go to a file without a name.
        self._errors = nameless_file()
        try:
            process = subprocess.Popen(
                ["git", *self.arguments],
                cwd=self._cwd,
                env=clean_environment(),
                bufsize=0,  # what a buffer held would be sent twice after a fork, and late after Ctrl-C
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # Ctrl-C goes to the whole terminal group; the run that it ends still has to be committed.
                start_new_session=os.name == "posix",
            )
        except BaseException as error:
            os.close(self._errors)
            self._errors = -1
            if isinstance(error, FileNotFoundError) and self._cwd.is_dir():
                raise GitMissing() from error
            raise
        self._process = process
        self._is_busy = False
        _running[id(self)] = self
        _end_surplus()
        return process

    def _failed(self) -> GitFailed:
        process = self._process
        errors = self._end()
        return GitFailed(self.arguments, -1 if process is None else process.returncode, errors)

    def _end(self) -> str:
        """End the process and return what it had printed on stderr."""
        _running.pop(id(self), None)
        process, self._process = self._process, None
        if process is None:
            return ""
        errors = self._errors
        try:
            self._close_pipes(process, keep_errors=True)
            _reap(process)
            size = os.fstat(errors).st_size
            os.lseek(errors, max(0, size - 65536), os.SEEK_SET)
            return os.read(errors, 65536).decode(errors="replace")
        finally:
            os.close(errors)
            self._errors = -1

    def _close_pipes(self, process: "subprocess.Popen[bytes]", *, keep_errors: bool = False) -> None:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        if not keep_errors:
            os.close(self._errors)
            self._errors = -1


def _end_surplus() -> None:
    """End the git processes that were begun first, but for those that are being asked."""
    begun = list(_running.values())
    for each in begun[: max(0, len(begun) - _KEPT_RUNNING)]:
        if each._lock.acquire(blocking=False):
            try:
                if not each._is_busy:  # as in a signal handler, which runs in the very thread that asks
                    each._end()
            finally:
                each._lock.release()


def _reap(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a process whose input has ended; if it does not end, as while a forked child holds a copy, end it.

    Not by `Popen.wait` and `poll`: Ctrl-C in them can leave their inner lock taken, and the next call waits for ever.
    """
    if os.name != "posix":
        process.wait()
        return
    pause, patience = 0.0002, time.monotonic() + _PATIENCE_S
    while process.returncode is None:
        try:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:
            process.returncode = -1  # somebody else waited for it
            return
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return
        if time.monotonic() > patience:
            os.kill(process.pid, signal.SIGTERM)  # not SIGKILL: it must remove its lock files
            patience += _PATIENCE_S
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def nameless_file() -> int:
    """A descriptor of a file for what git says on stderr: a pipe that nobody reads would block it once it is full."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("git-stderr")
    import tempfile  # not on Linux: it is slow to import

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
