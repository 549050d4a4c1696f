"""A command as a child process: its output shown as it comes and kept, signals passed on, its end told.

The child stays in this process's group, so that Ctrl-C at a terminal reaches it from the terminal itself and its input
stays its own. Its output goes through pipes, so it sees no terminal there.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple

from runstone.errors import CommandNotExecutable, CommandNotFound
from runstone.projects.masking import Mask

KEPT_HEAD = KEPT_TAIL = 8 * 1024 * 1024
"""Bytes kept of the beginning and of the end of one stream; what comes in between is shown, but not kept."""

_SILENCE_S = 1.0
_PATIENCE_S = 5.0
_GRACE_S = 1.0
_STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))


class Outcome(NamedTuple):
    """How a child ended.

    Attributes:
        code: Its exit code, as a shell tells it: 128 + N where signal N ended it.
        signal: The name of the signal that ended it, as `SIGKILL`.
        stopped: Whether this process was told to stop meanwhile, as by Ctrl-C.
    """

    code: int
    signal: str | None
    stopped: bool

    @property
    def status(self) -> str:
        """The status of a run that ended so."""
        if self.code == 0:
            return "FINISHED"
        was_stopped = self.code in (128 + signal.SIGINT, 128 + signal.SIGTERM)
        return "KILLED" if self.stopped or was_stopped else "FAILED"


class Stream:
    """One stream of a child: shown as it comes, byte for byte, and kept.

    Args:
        show: The file descriptor it is shown on.
    """

    def __init__(self, show: int) -> None:
        self._show = show
        self._head, self._tail = bytearray(), bytearray()
        self._cut = 0
        self._lock = threading.Lock()
        self._is_closed = self._is_showing = False
        self._last = 0.0
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None

    def begin(self, pipe: int) -> None:
        """Read a pipe until its end, in a thread."""
        self._thread = threading.Thread(target=self._read, args=(pipe,), name="runstone-output", daemon=True)
        self._thread.start()

    def finish(self, ended: float) -> None:
        """Return when the child, which ended at a time of the monotonic clock, has nothing more to say.

        A process that it left behind may hold the pipe open for ever, so a second of silence ends it too.
        """
        assert self._thread is not None
        while self._thread.is_alive():
            self._thread.join(0.05)
            now = time.monotonic()
            silent = now - max(ended, self._last) > _SILENCE_S or now - ended > _PATIENCE_S
            if silent and not self._is_showing:
                break
        with self._lock:
            self._is_closed = True

    def kept(self, mask: Mask | None = None) -> bytes:
        """What it said, secrets masked; of more than is kept, its beginning and its end."""
        mask = mask or Mask()
        if not self._cut:
            return mask.whole(bytes(self._head + self._tail))
        head, tail = mask.head(bytes(self._head)), mask.tail(bytes(self._tail))
        return b"%b\n[... %d bytes are not kept ...]\n%b" % (head, self._cut, tail)

    def _read(self, pipe: int) -> None:
        while data := _read_some(pipe):
            with self._lock:
                if self._is_closed:
                    break
                self._keep(data)
            if not self._write(data):
                break
        with suppress(OSError):
            os.close(pipe)

    def _keep(self, data: bytes) -> None:
        self._last = time.monotonic()
        room = KEPT_HEAD - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * KEPT_TAIL:
            self._cut_tail()

    def _cut_tail(self) -> None:
        extra = max(0, len(self._tail) - KEPT_TAIL)
        self._cut += extra
        del self._tail[:extra]

    def _write(self, data: bytes) -> bool:
        """Show it; False where nobody reads any more, so that the child, too, is told so by its pipe."""
        if self.trouble is not None:
            return True
        self._is_showing = True
        try:
            view = memoryview(data)
            while view:
                try:
                    view = view[os.write(self._show, view) :]
                except BlockingIOError:
                    time.sleep(0.01)
        except BrokenPipeError:
            return False
        except OSError as error:
            self.trouble = str(error.strerror)
        finally:
            self._is_showing = False
        return True


def find_program(program: str, *, cwd: Path, path: str | None) -> str:
    """The file that a command's first word means.

    Args:
        program: The word.
        cwd: Where the command runs.
        path: The search path; the system's if None.

    Raises:
        CommandNotFound: There is none.
        CommandNotExecutable: It is there, and may not be executed.
    """
    if os.path.dirname(program):  # noqa: PTH120  # `./x` has one, and Path would drop it
        found = cwd / program
        if found.is_file() and os.access(found, os.X_OK):
            return str(found)
        if found.exists():
            raise CommandNotExecutable(program, is_folder=found.is_dir())
        raise CommandNotFound(program)
    which = shutil.which(program, path=path)
    if which is None:
        raise CommandNotFound(program, is_here=(cwd / program).is_file())
    return which


def run_child(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    streams: tuple[Stream, Stream] | None = None,
    stdout: int | None = None,
) -> Outcome:
    """Run a command to its end.

    SIGTERM is passed on. SIGINT and its kin reach the child from the terminal; where there is none, and it still runs a
    second later, they are passed on too.

    Args:
        command: The command.
        cwd: Where it runs.
        env: Its environment.
        streams: Where its standard output and standard error go; this process's own if None.
        stdout: Without `streams`, the file descriptor that takes its standard output.

    Raises:
        CommandNotFound: There is no such program.
        CommandNotExecutable: The system cannot execute it.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with _Stopping() as stopping:
        try:
            child = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(env),
                stdout=stdout if streams is None else subprocess.PIPE,
                stderr=None if streams is None else subprocess.PIPE,
                bufsize=0,
            )
        except FileNotFoundError:
            raise CommandNotFound(command[0]) from None
        except OSError as error:
            raise CommandNotExecutable(command[0], why=error.strerror) from None
        stopping.watch(child)
        for stream_, pipe in zip(streams or (), (child.stdout, child.stderr), strict=False):
            assert pipe is not None
            stream_.begin(os.dup(pipe.fileno()))
            pipe.close()
        code = child.wait()
        ended = time.monotonic()
        for stream_ in streams or ():
            stream_.finish(ended)
    if code >= 0:
        return Outcome(code, None, stopping.stopped)
    return Outcome(128 - code, _signal_name(-code), stopping.stopped)


class _Stopping:
    """While a child runs, what tells this process to stop is noted and passed on instead of ending it."""

    def __init__(self) -> None:
        self.stopped = False
        self._child: subprocess.Popen[bytes] | None = None
        self._before: dict[int, Any] = {}
        self._early: list[int] = []

    def __enter__(self) -> "_Stopping":
        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def watch(self, child: "subprocess.Popen[bytes]") -> None:
        """The child there is now; it gets what came while it was begun."""
        self._child = child
        for number in self._early:
            self._pass_on(number)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True
        if self._child is None:
            self._early.append(number)
        elif number == signal.SIGTERM:
            self._pass_on(number)
        elif not _has_terminal():
            # A group may have been signalled, and the child with it: a second signal would cut its tidying up short.
            later = threading.Timer(_GRACE_S, self._pass_on, (number,))
            later.daemon = True
            later.start()

    def _pass_on(self, number: int) -> None:
        if self._child is not None and self._child.returncode is None:
            with suppress(OSError):
                os.kill(self._child.pid, number)


def _has_terminal() -> bool:
    """Whether this process's group is the one that a terminal sends Ctrl-C to."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | getattr(os, "O_NOCTTY", 0))
    except OSError:
        return os.name != "posix"
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _read_some(pipe: int) -> bytes:
    try:
        return os.read(pipe, 65536)
    except OSError:
        return b""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
