"""Exit codes, messages, interruptions, closed pipes and bugs, through real processes."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import COMMAND, environment, run_cli
from tests.support import run_python


def test_an_expected_error_is_one(tmp_path: Path) -> None:
    """Outside a repository: exit code 1, and a message that says where and what next; nothing on standard output."""
    done = run_cli("runs", "list", cwd=tmp_path)
    expected = (
        f"error: {tmp_path} is not in a git repository. Make one there: `git init`; or work in one: `cd DIR`, "
        "`--repo DIR`.\n"
    )
    assert (1, "", expected) == (done.returncode, done.stdout, done.stderr)


def test_a_wrong_call_is_two(git_repo: Path) -> None:
    """An option that does not exist, and a name that cannot be used: exit code 2."""
    done = run_cli("runs", "list", "--nonsense", cwd=git_repo)
    assert (2, "") == (done.returncode, done.stdout)
    assert "error: No such option: --nonsense" in done.stderr.replace("option '--nonsense'", "option: --nonsense")
    done = run_cli("experiments", "create", "", cwd=git_repo)
    assert (2, "error: The experiment '' cannot be used: it is empty.\n") == (done.returncode, done.stderr)


def test_the_repository_comes_from_the_option_or_the_environment(git_repo: Path, tmp_path: Path) -> None:
    """`--repo` and RUNSTONE_REPO name a repository from anywhere; the option wins."""
    run_id = run_cli("--repo", str(git_repo), "log", cwd=tmp_path).stdout.strip()
    named = {"RUNSTONE_REPO": f"runstone:{git_repo}"}
    assert run_id in run_cli("runs", "list", cwd=tmp_path, env=named).stdout
    done = run_cli("--repo", str(tmp_path), "runs", "list", cwd=tmp_path, env=named)
    assert 1 == done.returncode


SLEEPER = """
import sys, time, click
from runstone.cli.outcome import run

@click.command()
def sleeper():
    print("ready", flush=True)
    time.sleep(60)

run(sleeper, [], {})
"""


def test_ctrl_c_is_130(tmp_path: Path) -> None:
    """An interrupted command ends with 130, without a traceback."""
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert (130, "interrupted\n") == (process.returncode, stderr)


def test_a_reader_that_went_away_is_no_error(git_repo: Path) -> None:
    """`runstone … | head -1` ends with 0 and without a word, however much there was to say."""
    points = [f"loss={n}@{n}" for n in range(3000)]
    run_id = run_cli("log", *(word for point in points for word in ("-m", point)), cwd=git_repo).stdout.strip()
    with subprocess.Popen(
        [*COMMAND, "runs", "metrics", run_id],
        cwd=git_repo,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"metric")
        process.stdout.close()
        stderr = process.stderr.read()
    assert (0, b"") == (process.returncode, stderr)


def test_help_into_a_closed_pipe_is_no_error(git_repo: Path) -> None:
    """The same where the pipe is closed before the first word."""
    with subprocess.Popen(
        [*COMMAND, "--help"], cwd=git_repo, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read()
    assert (0, b"") == (process.returncode, stderr)


BUGGY = """
import click
from runstone.cli.outcome import run

@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1)
def buggy(words):
    raise KeyError("no \\x1b[31msuch thing")

run(buggy, ["runs", "list", "--password", "hunter2"], {})
"""


@pytest.mark.parametrize("variable", ["RUNSTONE_CACHE_DIR", "XDG_CACHE_HOME"])
def test_a_bug_is_three_and_leaves_a_log(tmp_path: Path, variable: str) -> None:
    """The log holds versions, the verbs and the traceback, but no argument, and the message says where it is."""
    done = run_python(BUGGY, cwd=tmp_path, check=False, env={variable: str(tmp_path / "cache")})
    assert (3, "") == (done.returncode, done.stdout)
    folder = tmp_path / "cache" / ("runstone" if variable == "XDG_CACHE_HOME" else "")
    [log] = folder.glob("bug-*.log")
    expected = (
        "error: This is a bug in Runstone, sorry: KeyError: 'no \\x1b[31msuch thing'\n"
        f"The log is {log}\nReport it with that log, please.\n"
    )
    assert expected == done.stderr
    text = log.read_text()
    assert re.match(r"runstone \S+\npython 3\.\S+ \(.+\)\nclick \S+\ngit: git version .+\nplatform: .+\n", text)
    assert "command: runstone runs list …\n" in text
    assert "Traceback (most recent call last):" in text
    assert "hunter2" not in text


def test_a_bug_is_told_where_no_log_can_be_kept(tmp_path: Path) -> None:
    """A cache folder that is a file: the traceback goes to standard error, and the exit code is the same."""
    (tmp_path / "cache").write_text("")
    done = run_python(BUGGY, cwd=tmp_path, check=False, env={"RUNSTONE_CACHE_DIR": str(tmp_path / "cache")})
    assert 3 == done.returncode
    assert "No log could be written ([Errno 17] File exists:" in done.stderr
    assert "Traceback (most recent call last):" in done.stderr


def test_warnings_are_told_in_one_line_each(git_repo: Path) -> None:
    """What the library warns of comes as `warning: …`, not as Python's two lines; standard output stays clean."""
    done = run_cli("log", "-p", "password=hunter2", cwd=git_repo)
    assert 0 == done.returncode
    assert re.fullmatch(r"[0-9a-f]{32}\n", done.stdout)
    assert done.stderr.startswith("warning: ")
    assert "hunter2" not in done.stderr
    assert ".py" not in done.stderr


def test_a_warning_is_told_once(git_repo: Path) -> None:
    """However many readers stumble over one thing."""
    code = """
import click, warnings
from runstone.cli.outcome import run

@click.command()
def twice():
    warnings.warn("odd", stacklevel=1)
    warnings.warn("odd", stacklevel=1)
    warnings.warn("odder", stacklevel=1)

run(twice, [], {})
"""
    done = run_python(code, cwd=git_repo, check=False)
    assert (0, "warning: odd\nwarning: odder\n") == (done.returncode, done.stderr)


def test_a_disk_that_refuses_is_no_bug(git_repo: Path) -> None:
    """A file that cannot be written, as an error of the system: its name, its reason, exit code 1."""
    code = """
import click
from runstone.cli.outcome import run

@click.command()
def full():
    raise PermissionError(13, "Permission denied", "/data/out")

run(full, [], {})
"""
    done = run_python(code, cwd=git_repo, check=False)
    assert (1, "error: /data/out: Permission denied\n") == (done.returncode, done.stderr)


def test_a_path_too_long_is_no_bug(git_repo: Path) -> None:
    """A folder that somebody named: what the system says of it."""
    run_cli("log", "--name", "a", cwd=git_repo)
    done = run_cli("checkout", "a", "x" * 300, cwd=git_repo)
    assert (1, True) == (done.returncode, done.stderr.endswith("x: File name too long\n"))


@pytest.mark.skipif(os.name != "posix", reason="the shell is of POSIX")
@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_harm_nothing(git_repo: Path, closed: str) -> None:
    """As under some daemons: what a command prints is not written into the journal that took the number."""
    line = f"exec {shlex.join(COMMAND)} run --name closed echo hello {closed}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=git_repo, env=environment(), capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr if "2>" in closed else "")
    assert "FINISHED" in run_cli("runs", "show", "closed", cwd=git_repo).stdout
    run_cli("artifacts", "get", "closed", "logs", "kept", cwd=git_repo)
    assert "hello\n" == (git_repo / "kept" / "logs" / "stdout.txt").read_text()
