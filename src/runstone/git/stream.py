"""A git process that talks to a remote: its progress is told while it works, and it never waits for a person who is
not there.

Where standard input and standard error are a terminal, git and ssh may ask for a password there. Anywhere else nothing
is asked, and a connection that stands still ends by itself.
"""

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from runstone.errors import GitMissing
from runstone.git.process import clean_environment
from runstone.git.repository import Repository

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and of how much."""

_STEP = re.compile(r"(?:remote: )?([A-Z][a-z]+ (?:objects|deltas)):\s+[0-9]+% \(([0-9]+)/([0-9]+)\)")
_KEPT_LINES = 400
_PATIENCE_S = 5


@dataclass(frozen=True, slots=True)
class Streamed:
    """How a git process ended.

    Attributes:
        code: Its exit code.
        out: What it printed.
        err: What it said on standard error, without the lines of progress and without credentials in URLs.
    """

    code: int
    out: str
    err: str


def stream_git(
    repo: Repository, arguments: Sequence[str], *, input: bytes = b"", progress: Progress | None = None
) -> Streamed:
    """Run git on a repository to its end, whatever its exit code.

    Ctrl-C reaches git as well as this process: it ends, removes its lock files, and is waited for.

    Args:
        repo: The repository.
        arguments: The command line after `git`.
        input: What it reads.
        progress: Told of git's own steps; without it git is not asked to count.

    Raises:
        GitMissing: There is no git on this machine.
    """
    is_asked = _is_person_there()
    options = [f"--git-dir={repo.git_dir}", *([] if is_asked else _timeouts(repo))]
    try:
        process = subprocess.Popen(
            ["git", *options, *arguments],
            cwd=repo.work_tree or repo.git_dir,  # from where git reads a remote's relative path
            env=clean_environment({} if is_asked else _unasked(repo)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise GitMissing() from error
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    printed: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(process.stdout, printed), daemon=True)
    try:
        reader.start()
        with contextlib.suppress(BrokenPipeError):  # it refuses before it has read everything, and says why
            process.stdin.write(input)
            process.stdin.close()
        lines = _listen(process.stderr, progress)
        code = process.wait()
        reader.join()
    except BaseException:
        _end(process)
        raise
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()
    return Streamed(code, b"".join(printed).decode("utf-8", "surrogateescape"), hide_credentials("\n".join(lines)))


def hide_credentials(text: str) -> str:
    """The text without user and password in its URLs."""
    return re.sub(r"\b([a-z][a-z0-9+.-]*://)[^/@\s]*@", r"\1", text, flags=re.IGNORECASE)


def _is_person_there() -> bool:
    if os.environ.get("GIT_TERMINAL_PROMPT") == "0":
        return False
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def _unasked(repo: Repository) -> dict[str, str]:
    """Variables under which neither git nor ssh asks anybody, on a terminal or in a window."""
    env = {"GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never", "SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never"}
    is_chosen = os.environ.keys() & {"GIT_SSH_COMMAND", "GIT_SSH"} or "core.sshcommand" in repo.git_config
    if not is_chosen:
        env["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=30"
    return env


def _timeouts(repo: Repository) -> list[str]:
    """A connection over HTTP that brings nothing for two minutes ends; what the user has set holds."""
    wanted = {"http.lowSpeedLimit": "1", "http.lowSpeedTime": "120"}
    if any(key.lower() in repo.git_config for key in wanted):
        return []
    return [part for key, value in wanted.items() for part in ("-c", f"{key}={value}")]


def _drain(pipe: IO[bytes], into: list[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError):  # closed, after an interruption
        while data := pipe.read(65536):
            into.append(data)


def _listen(pipe: IO[bytes], progress: Progress | None) -> list[str]:
    """The lines that are no progress, the last ones if there are many; progress is told as it comes."""
    lines: list[str] = []
    rest = b""
    while data := os.read(pipe.fileno(), 65536):
        *whole, rest = re.split(rb"[\r\n]", rest + data)
        for raw in whole:
            _note(raw, lines, progress)
    _note(rest, lines, progress)
    return lines


def _note(raw: bytes, lines: list[str], progress: Progress | None) -> None:
    line = raw.decode("utf-8", "replace").removesuffix("\x1b[K").rstrip()
    step = _STEP.match(line)
    if step is not None:
        if progress is not None:
            progress(step[1], int(step[2]), int(step[3]))
    elif line:
        lines.append(line)
        del lines[:-_KEPT_LINES]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a git whose caller was interrupted; asked first, so that it removes its lock files."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
