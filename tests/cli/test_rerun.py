"""`runstone rerun`: what it shows, its exit codes, and what becomes of the checkout."""

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.projects.execute import NotRecorded, Task, run_command
from runstone.records.run import Run
from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli, start_cli
from tests.support import git

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands of these tests are of POSIX")
Recorded = Callable[..., Run]
STEADY = "import sys\nopen('m.json', 'w').write('{\"loss\": 0.5}')\nprint('fitted')\n"
RANDOM = "import os\nopen('m.json', 'w').write('{\"loss\": 1.%d}' % int.from_bytes(os.urandom(4), 'big'))\n"


@pytest.fixture
def recorded(git_repo: Path) -> Recorded:
    """Commit a script and record it as `runstone run` does; the run."""

    def make(script: str, *arguments: str) -> Run:
        (git_repo / ".gitignore").write_text("m.json\n")
        (git_repo / "fit.py").write_text(script)
        git("add", "-A", cwd=git_repo)
        git("commit", "-qm", "Fit", cwd=git_repo)
        sink = os.open(os.devnull, os.O_WRONLY)
        task = Task((sys.executable, "fit.py", *arguments), metrics=["m.json"])
        executed = run_command(Workspace.open(git_repo), task, cwd=git_repo, show=(sink, sink))
        os.close(sink)
        return Client(git_repo).get_run(executed.run_id)

    return make


def checkouts(repo: Path) -> list[Path]:
    """The folders of checkouts beside a repository."""
    return sorted(repo.parent.glob(f"{repo.name}@*"))


def test_what_was_reproduced(recorded: Recorded, git_repo: Path) -> None:
    """The plan on standard error, then the command's output and the comparison; the checkout is gone."""
    run = recorded(STEADY, "--lr", "0.1")
    done = run_cli("rerun", run.name, cwd=git_repo)
    new = Client(git_repo).search_runs()[0]
    assert (0, run.id) == (done.returncode, new.rerun_of)
    plan = done.stderr.splitlines()
    assert [f"run      {run.id} {run.name} FINISHED", f"command  {Path(sys.executable).name} fit.py --lr 0.1"] == plan[
        :2
    ]
    assert plan[2].startswith(f"snapshot {run.source.snapshot} in ../repo@{run.name}-rerun-")
    assert "fitted\n\nParams\nname  before  now  outcome\nlr    0.1     0.1  same\n" in done.stdout
    assert "\nMetrics\nname  before  now  outcome\nloss  0.5     0.5  same\n" in done.stdout
    assert "\nArtifacts\n1 file the same\n" in done.stdout
    assert done.stdout.endswith(f"\nReproduced. The new run: `runstone runs show {new.id}`\n")
    assert [] == checkouts(git_repo)
    assert 1 == len(git("worktree", "list", cwd=git_repo).splitlines())
    done = run_cli("rerun", run.name, "--all", cwd=git_repo)
    assert re.search(r"\nlogs/stdout\.txt  7 B \w{10}  7 B \w{10}  same\n", done.stdout)


def test_an_interrupted_rerun_says_so_and_no_more(recorded: Recorded, git_repo: Path) -> None:
    """After Ctrl-C no comparison with what was never made: the new run's id, and where the checkout is."""
    run = recorded(
        "import sys, time\nopen('m.json', 'w').write('{\"loss\": 0.5}')\nprint('ready', flush=True)\n"
        "time.sleep(60 if '@' in __import__('os').getcwd() else 0)\n"
    )
    running = start_cli("rerun", run.id, cwd=git_repo)
    assert running.stdout is not None
    assert "ready\n" == running.stdout.readline()
    running.send_signal(signal.SIGINT)
    out, errors = running.communicate(timeout=60)
    new = Client(git_repo).search_runs()[0]
    assert (130, "", "KILLED", run.id) == (running.returncode, out, new.status, new.rerun_of)
    (kept,) = checkouts(git_repo)
    last = [line for line in errors.splitlines() if not line.startswith(("Traceback", " ", "KeyboardInterrupt"))][-2:]
    assert f"interrupted; the new run is KILLED: {new.id}" == last[0]
    assert last[1].startswith(f"The checkout is kept: ../{kept.name};")


def test_a_command_that_is_not_deterministic(recorded: Recorded, git_repo: Path) -> None:
    """Reported as not reproduced, with 1, and the checkout is kept and named; a wide tolerance forgives it."""
    run = recorded(RANDOM)
    done = run_cli("rerun", run.id, cwd=git_repo)
    assert 1 == done.returncode
    assert "Not reproduced: metrics: loss. " in done.stdout
    (kept,) = checkouts(git_repo)
    assert f"The checkout is kept: ../{kept.name}; remove it: `runstone checkout --clean ../{kept.name}`" in done.stderr
    assert 0 == run_cli("checkout", "--clean", f"../{kept.name}", cwd=git_repo).returncode
    assert [] == checkouts(git_repo)
    done = run_cli("rerun", run.id, "--atol", "10", cwd=git_repo)
    assert 0 == done.returncode
    assert "within tolerance" in done.stdout
    assert 1 == run_cli("rerun", run.id, "--atol", "10", "--strict", "--", "true", cwd=git_repo).returncode


def test_a_command_that_fails(recorded: Recorded, git_repo: Path) -> None:
    """Its failure is told, and the new run is recorded. One that had failed is reproduced by failing."""
    run = recorded(STEADY)
    done = run_cli("rerun", run.id, "--", "sh", "-c", "exit 7", cwd=git_repo)
    assert 1 == done.returncode
    assert "Not reproduced: run: status, metrics: loss" in done.stdout
    assert "The command ended with exit code 7." in done.stderr
    (git_repo / "m.json").unlink()
    with pytest.warns(NotRecorded, match=r"There is no file 'm\.json'"):
        failed = recorded("raise SystemExit(7)\n")
    done = run_cli("rerun", failed.id, cwd=git_repo)
    assert (0, True) == (done.returncode, "Reproduced." in done.stdout)


def test_json_is_clean(recorded: Recorded, git_repo: Path) -> None:
    """What the command prints goes to standard error, and every item stands in its section."""
    run = recorded(STEADY, "--lr", "0.1")
    done = run_cli("rerun", run.id, "--json", "--keep", cwd=git_repo)
    document = json.loads(done.stdout)
    assert (True, run.id, 0) == (document["reproduced"], document["run_id"], document["exit_code"])
    assert Client(git_repo).get_run(document["rerun_id"]).rerun_of == run.id
    assert [{"key": "loss", "state": "same", "old": 0.5, "new": 0.5, "counts": False}] == document["metrics"]
    assert ["status"] == [item["key"] for item in document["run"]]
    assert "fitted\n" in done.stderr
    assert 1 == len(checkouts(git_repo))


def test_markdown_holds_no_markup_of_others(recorded: Recorded, git_repo: Path) -> None:
    """A name with a table's bar and a link is text."""
    run = recorded(STEADY, "--a|b", "[x](http://y)")
    done = run_cli("rerun", run.id, "--md", "--dir", "../here", cwd=git_repo)
    assert "## Reproduced.\n" in done.stdout
    assert "| params | a&#124;b | &#91;x&#93;(http://y) | &#91;x&#93;(http://y) | same |\n" in done.stdout
    assert (git_repo.parent / "here" / "fit.py").exists()


def test_what_the_snapshot_does_not_hold_is_told_first(recorded: Recorded, git_repo: Path) -> None:
    """Files that the snapshot left out, as the record names them, are told before the command runs."""
    recorded(STEADY)
    (git_repo / ".env").write_text("TOKEN=x\n")
    assert 0 == run_cli("run", "cat", ".env", cwd=git_repo).returncode
    run = Client(git_repo).search_runs()[0]
    done = run_cli("rerun", run.id, cwd=git_repo)
    assert 1 == done.returncode
    told, ran = done.stderr.index("The snapshot does not hold .env: "), done.stderr.index("cat: .env: No such file")
    assert told < ran


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--json", "--md"), 2, "--json and --md cannot be used together."),
        (("--rtol", "-1"), 2, "error: `rtol` must be a number from 0 up, but is -1.0."),
        (("--", "no-such-program"), 127, "error: There is no program 'no-such-program'"),
        (("--dir", "."), 1, "error: "),
    ],
)
def test_wrong_calls_record_nothing(
    recorded: Recorded, git_repo: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """Each ends with its code, and no new run is there."""
    run = recorded(STEADY)
    done = run_cli("rerun", run.id, *arguments, cwd=git_repo)
    assert code == done.returncode
    assert message in done.stderr
    assert 1 == len(Client(git_repo).search_runs())


def test_no_such_run(git_repo: Path) -> None:
    """As everywhere."""
    done = run_cli("rerun", "nothing", cwd=git_repo)
    assert (1, True) == (done.returncode, "error: No run 'nothing' in this repository." in done.stderr)
