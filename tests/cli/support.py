"""The command line as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support import SOURCE

COMMAND = [sys.executable, "-m", "runstone"]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, with our source tree first on the path."""
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **(extra or {})}


def run_cli(
    *arguments: str, cwd: Path, input: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `runstone` in a folder."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(env),
        input=input,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def start_cli(*arguments: str, cwd: Path, output: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """Begin `runstone` in a folder, to be interrupted or killed."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        text=True,
    )


def run_on_terminal(
    *arguments: str, cwd: Path, columns: int = 80, env: Mapping[str, str] | None = None, answer: str = ""
) -> tuple[int, str]:
    """Run `runstone` on a terminal of its own, where `answer` is typed; its exit code, and what it showed."""
    import pty

    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - the child
        os.chdir(cwd)
        import fcntl
        import struct
        import termios

        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        variables = environment({"TERM": "xterm", **(env or {})})
        variables.pop("COLUMNS", None)
        os.execve(sys.executable, [*COMMAND, *arguments], variables)
    os.write(terminal, answer.encode())
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the child has closed it
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown.decode().replace("\r\n", "\n")


def complete(line: str, cwd: Path) -> list[str]:
    """What the shell would offer for the last word of a line."""
    words = line.split(" ")
    variables = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_RUNSTONE_COMPLETE": "bash_complete"}
    done = run_cli(cwd=cwd, env=variables)
    assert (0, "") == (done.returncode, done.stderr)
    return [answer.partition(",")[2] for answer in done.stdout.splitlines() if answer]
