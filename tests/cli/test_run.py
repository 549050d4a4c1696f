"""`runstone run`: any command as a run, from the command line; with real signals and a real terminal."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.records.run import Run
from tests.cli.support import COMMAND, environment, run_cli, run_on_terminal

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands and signals of these tests are of POSIX")


def only_run(repo: Path) -> Run:
    """The one run there is."""
    (run,) = Client(repo).search_runs()
    return run


def text_of(repo: Path, path: str) -> str:
    """An artifact of the one run there is."""
    return Path(Client(repo).download_artifacts(only_run(repo).id, path)).read_text()


def test_a_command_and_its_line(git_repo: Path) -> None:
    """Its output and exit code are its own; one line on standard error says what was recorded, and where to look."""
    (git_repo / "fit.py").write_text("import sys\nprint('fitted', *sys.argv[1:])\nsys.exit(3)\n")
    command = [sys.executable, "fit.py", "--lr", "0.1", "--name", "x", "--", "--help"]
    done = run_cli("run", "-e", "churn", "--name", "first", "-p", "k=2", "-t", "a=b", *command, cwd=git_repo)
    run = only_run(git_repo)
    assert (3, "fitted --lr 0.1 --name x -- --help\n") == (done.returncode, done.stdout)
    assert f"run {run.id} first FAILED (exit code 3): `runstone runs show {run.id}`\n" == done.stderr
    assert {"k": 2, "lr": 0.1, "name": "x"} == run.params
    assert {"a": "b", "exit_code": "3"} == run.tags
    assert tuple(command[1:]) == run.source.command[1:]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "error: Missing argument 'COMMAND...'."),
        (("--lr", "3", "true"), 2, "error: No such option"),
        (("-p", "x", "true"), 2, "error: 'x' must be KEY=VALUE."),
        (("--metrics", "m.txt", "true"), 2, "'m.txt' is none of them."),
        (("no-such-program",), 127, "error: There is no program 'no-such-program', so nothing was run"),
        (("./train.py",), 126, "error: './train.py' cannot be executed, so nothing was run"),
        (("--", "-x"), 127, "error: There is no program '-x'"),
        (("--require-clean", "true"), 1, "error: "),
    ],
)
def test_wrong_calls_record_nothing(git_repo: Path, arguments: Sequence[str], code: int, message: str) -> None:
    """Each ends with its code and says what is wrong."""
    (git_repo / "untracked.txt").write_text("x")
    done = run_cli("run", *arguments, cwd=git_repo)
    assert (code, "") == (done.returncode, done.stdout)
    assert message in done.stderr
    assert [] == Client(git_repo).search_runs()


def test_a_named_file_that_is_missing(git_repo: Path) -> None:
    """The command succeeded, and what was asked for is not there: 1, with the run recorded; its own failure wins."""
    for option in (("--metrics", "m.json"), ("--artifact", "m.bin:out")):
        done = run_cli("run", *option, "true", cwd=git_repo)
        assert (1, True) == (done.returncode, "There is no file " in done.stderr)
    assert 3 == run_cli("run", "--metrics", "m.json", "sh", "-c", "exit 3", cwd=git_repo).returncode
    assert ["FAILED", "FINISHED", "FINISHED"] == [run.status for run in Client(git_repo).search_runs()]


def test_json_is_the_last_line(git_repo: Path) -> None:
    """On standard output, behind what the command printed there; the exit code is the command's all the same."""
    done = run_cli("run", "--name", "first", "--json", "sh", "-c", "echo hello; exit 3", cwd=git_repo)
    first, last = done.stdout.splitlines()
    found = json.loads(last)
    assert (3, "hello") == (done.returncode, first)
    assert f"run {found.pop('run_id')} first FAILED" in done.stderr
    assert {"run_name": "first", "status": "FAILED", "exit_code": 3, "signal": None, "done": "recorded"} == found


def test_a_script_outside_the_repository_is_told_once(git_repo: Path, tmp_path: Path) -> None:
    """In the command line the warning stands alone, with no line of ours; the run and its checkout tell it, too."""
    (tmp_path / "elsewhere.py").write_text("print('ran')\n")
    done = run_cli("run", sys.executable, str(tmp_path / "elsewhere.py"), cwd=git_repo)
    told = "elsewhere.py: the script lies outside the repository; its code is not kept"
    assert [f"warning: {told}. Copy it into the repository, and run it there."] == done.stderr.splitlines()[:-1]
    run = only_run(git_repo)
    reason = "the script lies outside the repository; its code is not kept"
    assert ({"path": "elsewhere.py", "reason": reason},) == run.source.left_out
    assert f"elsewhere.py ({reason})" in run_cli("checkout", run.id, cwd=git_repo).stdout
    (git_repo / "elsewhere.py").write_text("print('another')\n")
    run_cli("run", sys.executable, str(tmp_path / "elsewhere.py"), cwd=git_repo)
    again = run_cli("rerun", Client(git_repo).search_runs()[0].id, cwd=git_repo)
    assert (1, True) == (again.returncode, "its script 'elsewhere.py' is not in its snapshot" in again.stderr)


def test_a_step_of_a_run_is_nested_in_it(git_repo: Path) -> None:
    """`runstone run` within a command that `runstone run` runs makes a child run, of the same experiment."""
    inner = [*COMMAND, "run", "true"]
    assert 0 == run_cli("run", "-e", "churn", *inner, cwd=git_repo).returncode
    by_parent = {run.parent is None: run for run in Client(git_repo).search_runs()}
    assert by_parent[True].id == by_parent[False].parent
    assert {"churn"} == {run.experiment for run in by_parent.values()}


def begin(repo: Path, script: str) -> subprocess.Popen[str]:
    """Begin `runstone run` on a script that says `ready` when it can be interrupted."""
    (repo / "work.py").write_text(script)
    running = subprocess.Popen(
        [*COMMAND, "run", "--artifact", "model.bin", sys.executable, "work.py"],
        cwd=repo,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    assert "ready\n" == running.stdout.readline()
    return running


_WAIT = "import time\nopen('model.bin', 'w').write('half')\nprint('ready')\ntime.sleep(60)\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_group_that_is_interrupted(git_repo: Path, number: signal.Signals) -> None:
    """As Ctrl-C at a terminal does it: the command ends, and the run is KILLED with all that came."""
    running = begin(git_repo, _WAIT)
    os.killpg(running.pid, number)
    _, errors = running.communicate(timeout=30)
    assert 128 + number == running.returncode
    assert f"KILLED ({number.name})" in errors
    run = only_run(git_repo)
    assert ("KILLED", {"exit_code": number.name}) == (run.status, run.tags)
    assert "half" == text_of(git_repo, "model.bin")
    assert "ready\n" == text_of(git_repo, "logs/stdout.txt")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_runstone_alone_reaches_the_command(git_repo: Path, number: signal.Signals) -> None:
    """SIGTERM at once; SIGINT after a second, since usually the whole group has it."""
    running = begin(git_repo, _WAIT)
    running.send_signal(number)
    running.communicate(timeout=30)
    assert 128 + number == running.returncode
    assert "KILLED" == only_run(git_repo).status


def test_a_command_that_tidies_up_is_given_the_time(git_repo: Path) -> None:
    """One that ends well on SIGTERM is FINISHED, however long it takes, and gets the signal once."""
    script = (
        "import signal, sys, time\ncount = []\n"
        "def stop(*_):\n    count.append(1); time.sleep(0.5); print('saved', len(count)); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\nopen('model.bin', 'w')\nprint('ready')\ntime.sleep(60)\n"
    )
    running = begin(git_repo, script)
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=30)
    assert (0, "saved 1\n") == (running.returncode, out)
    assert "FINISHED" == only_run(git_repo).status


def test_ctrl_c_at_a_terminal_reaches_the_command_once(git_repo: Path) -> None:
    """The terminal itself sends it to the command, so Runstone does not, however long the command tidies up."""
    import pty

    (git_repo / "work.py").write_text(
        "import signal, sys, time\ncount = []\nsignal.signal(signal.SIGINT, lambda *_: count.append(1))\n"
        "print('ready')\nend = time.time() + 60\n"
        "while not count and time.time() < end: time.sleep(0.05)\n"
        "time.sleep(1.5); print('saved', len(count)); sys.exit(5)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - the child
        os.chdir(git_repo)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.execve(sys.executable, [*COMMAND, "run", sys.executable, "work.py"], environment())
    shown = b""
    while b"ready" not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    while b"KILLED" not in shown:
        shown += os.read(terminal, 1000)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert 5 == os.waitstatus_to_exitcode(status)
    assert b"saved 1" in shown
    assert "KILLED" == only_run(git_repo).status


def test_a_killed_runstone_is_recovered(git_repo: Path) -> None:
    """`kill -9` of `runstone run` leaves a journal, and the next command records the run with its code and command."""
    running = begin(git_repo, _WAIT)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate(timeout=30)
    assert 0 == run_cli("recover", cwd=git_repo).returncode
    run = only_run(git_repo)
    assert ("FAILED", "work.py") == (run.status, run.source.command[-1])
    assert run.source.snapshot is not None


def test_output_comes_while_it_runs(git_repo: Path) -> None:
    """A line that Python prints is shown before the next one is printed, though it prints into a pipe."""
    running = begin(git_repo, "import time\nprint('ready')\ntime.sleep(1)\nprint(time.time())\n")
    seen = time.time()
    out, _ = running.communicate(timeout=30)
    assert seen < float(out)


def test_a_reader_that_goes_away(git_repo: Path) -> None:
    """In `runstone run yes | head -1` the command is told by its pipe, as it is without Runstone."""
    line = f"{sys.executable} -m runstone run yes | head -1"
    done = subprocess.run(
        ["sh", "-c", line], cwd=git_repo, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert "y\n" == done.stdout
    assert ("FAILED", {"exit_code": "SIGPIPE"}) == (only_run(git_repo).status, only_run(git_repo).tags)


def test_input_is_the_command_s_own(git_repo: Path) -> None:
    """What is piped in, and what is typed at a terminal, reaches the command; its output is no terminal."""
    assert "typed\n" == run_cli("run", "cat", cwd=git_repo, input="typed\n").stdout
    script = "import sys; print(sys.stdin.isatty(), sys.stdout.isatty())"
    code, shown = run_on_terminal("run", sys.executable, "-c", script, cwd=git_repo)
    assert (0, "True False") == (code, shown.split("\n")[0])


def test_in_json_the_record_says_what_was_read(git_repo: Path) -> None:
    """`source.capture` is part of the record, so that `runstone rerun` can do the same."""
    run_cli("run", "--no-params", "--metrics", "m.json", "sh", "-c", "echo '{\"a\": 1}' > m.json", cwd=git_repo)
    document = json.loads(run_cli("runs", "show", only_run(git_repo).id, "--json", cwd=git_repo).stdout)
    assert {"params": False, "metrics": ["m.json"]} == document["source"]["capture"]
    assert 0 == run_cli("validate", cwd=git_repo).returncode
