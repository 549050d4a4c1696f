"""Commands as runs: what is recorded of them, and what they see. Real commands, each in a repository of its own."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import CommandNotExecutable, CommandNotFound, UsageError, WorkTreeDirty
from runstone.projects import child
from runstone.projects.child import Outcome, Stream
from runstone.projects.execute import (
    Executed,
    Label,
    NotRecorded,
    Task,
    given_params,
    run_command,
    split_artifact,
    task_of,
)
from runstone.records.run import Run
from runstone.tracking.secrets import SecretRedacted
from runstone.tracking.workspace import Workspace
from tests.support import SOURCE, git

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands of these tests are of POSIX")
Execute = Callable[..., tuple[Executed, Run]]


@pytest.fixture
def execute(git_repo: Path, tmp_path: Path) -> Iterator[Execute]:
    """Run a task in `git_repo`; the run as recorded. What it shows goes to `shown.txt` and `errors.txt`."""
    out, err = (os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT) for name in ("shown.txt", "errors.txt"))

    def run(task: Task, label: Label | None = None, cwd: Path = git_repo, **options: object) -> tuple[Executed, Run]:
        workspace = Workspace.open(git_repo)
        executed = run_command(workspace, task, label, cwd=cwd, show=(out, err), **options)  # type: ignore[arg-type]  # options differ in type
        return executed, Client(git_repo).get_run(executed.run_id)

    yield run
    os.close(out)
    os.close(err)


def python(code: str, *arguments: str) -> tuple[str, ...]:
    """The command of a line of Python."""
    return (sys.executable, "-c", code, *arguments)


def test_a_whole_command(execute: Execute, git_repo: Path, tmp_path: Path) -> None:
    """Params, metrics, artifacts, output, note, tags, code and what was read are recorded."""
    (git_repo / "fit.py").write_text(
        "import sys\nopen('m.json', 'w').write('{\"loss\": 0.5}')\nopen('model.bin', 'w').write('w')\n"
        "print('fitted')\nprint('hot', file=sys.stderr)\n"
    )
    git("add", ".", cwd=git_repo)
    git("commit", "-qm", "Fit", cwd=git_repo)
    task = Task((sys.executable, "fit.py", "data.csv", "--lr", "0.1"), metrics=["m.json"], artifacts=["model.bin:out"])
    label = Label("churn", "first", tags={"team": "growth"}, params={"machine": "a100"}, note="A *note*.")
    executed, run = execute(task, label)
    assert Outcome(0, None, False) == executed.outcome
    assert ("first", "churn", "FINISHED") == (run.name, run.experiment, run.status)
    assert {"lr": 0.1, "machine": "a100"} == run.params
    assert {"team": "growth"} == run.tags
    assert 0.5 == run.metrics["loss"].last
    client = Client(git_repo)
    assert "A *note*." == client.get_note(run.id)
    assert ["fitted\n", "hot\n", "w"] == [
        Path(client.download_artifacts(run.id, path)).read_text()
        for path in ("logs/stdout.txt", "logs/stderr.txt", "out/model.bin")
    ]
    assert ("fitted\n", "hot\n") == tuple((tmp_path / name).read_text() for name in ("shown.txt", "errors.txt"))
    assert (Path(sys.executable).name, "fit.py", "data.csv", "--lr", "0.1") == run.source.command
    assert git("rev-parse", "HEAD", cwd=git_repo) == run.source.snapshot
    assert "." == run.source.directory
    assert {
        "params": True,
        "metrics": ["m.json"],
        "artifacts": ["model.bin:out"],
        "given": ["machine"],
    } == run.source.capture


def test_the_snapshot_is_of_the_start(execute: Execute, git_repo: Path) -> None:
    """What the command writes is not in it, however soon it writes."""
    (git_repo / "notes.txt").write_text("before\n")
    _, run = execute(Task(("sh", "-c", "echo after > notes.txt; echo x > new.txt")))
    assert run.source.snapshot is not None
    assert "before" == git("show", f"{run.source.snapshot}:notes.txt", cwd=git_repo)
    assert "new.txt" not in git("ls-tree", "--name-only", run.source.snapshot, cwd=git_repo)


def test_it_runs_in_its_folder_and_paths_are_relative(execute: Execute, git_repo: Path, tmp_path: Path) -> None:
    """A path in the work tree is recorded relative to the folder, one elsewhere by its last name, in params too."""
    (git_repo / "sub").mkdir()
    outside = tmp_path / "data.csv"
    outside.write_text("x\n1\n")
    inside = git_repo / "sub" / "in.csv"
    (git_repo / "sub" / "copy.sh").write_text('cp "$1" m.csv\n')
    task = Task(("sh", "copy.sh", str(outside), "--in", str(inside)), metrics=[str(git_repo / "sub" / "m.csv")])
    _, run = execute(task, cwd=git_repo / "sub")
    assert ("sh", "copy.sh", "data.csv", "--in", "in.csv") == run.source.command
    assert {"in": "in.csv"} == run.params
    assert "sub" == run.source.directory
    assert {"params": True, "metrics": ["m.csv"]} == run.source.capture
    assert 1.0 == run.metrics["x"].last


@pytest.mark.parametrize(
    ("script", "expected", "status", "tags"),
    [
        ("exit 3", Outcome(3, None, False), "FAILED", {"exit_code": "3"}),
        ("kill -KILL $$", Outcome(137, "SIGKILL", False), "FAILED", {"exit_code": "SIGKILL"}),
        ("kill -TERM $$", Outcome(143, "SIGTERM", False), "KILLED", {"exit_code": "SIGTERM"}),
        ("exit 130", Outcome(130, None, False), "KILLED", {"exit_code": "130"}),
    ],
)
def test_how_it_ended(
    execute: Execute, git_repo: Path, script: str, expected: Outcome, status: str, tags: dict[str, str]
) -> None:
    """The exit code makes the status; what it left is kept, and nothing is said of what it did not come to."""
    task = Task(("sh", "-c", f"echo begun; echo w > model.bin; {script}"), artifacts=["model.bin", "never.bin"])
    executed, run = execute(task)
    assert (expected, status, tags) == (executed.outcome, run.status, run.tags)
    assert {"logs", "model.bin"} == {entry.path for entry in Client(git_repo).list_artifacts(run.id)}


def test_what_cannot_be_run_is_not_recorded(execute: Execute, git_repo: Path) -> None:
    """A program that is not there, a file without permission, a folder, an unknown format: no run and no journal."""
    (git_repo / "plain.py").write_text("print(1)\n")
    (git_repo / "broken").write_text("#!/no/such/interpreter\n")
    (git_repo / "broken").chmod(0o755)
    with pytest.raises(CommandNotFound, match="There is no program 'no-such-program'"):
        execute(Task(("no-such-program",)))
    with pytest.raises(CommandNotFound, match=r"so name it as one: `\./plain\.py`"):
        execute(Task(("plain.py",)))
    with pytest.raises(CommandNotExecutable, match=r"`chmod \+x \./plain\.py`"):
        execute(Task(("./plain.py",)))
    with pytest.raises(CommandNotExecutable, match="is a folder"):
        execute(Task(("./.git",)))
    with pytest.raises(UsageError, match=r"'m\.txt' is none of them"):
        execute(Task(("true",), metrics=["m.txt"]))
    with pytest.raises(WorkTreeDirty):
        execute(Task(("true",)), require_clean=True)
    assert [] == Client(git_repo).search_runs()
    assert [] == Client(git_repo).search_experiments()
    with pytest.raises(CommandNotFound):  # only the system can tell, when the run is begun
        execute(Task(("./broken",)))
    assert [] == Client(git_repo).search_runs()
    assert [] == [path.name for path in (git_repo / ".git" / "runstone" / "journal").glob("*~*")]


def test_metrics_of_before_are_not_taken(execute: Execute, git_repo: Path) -> None:
    """A file that the command did not write is told, and one that cannot be read costs the run nothing."""
    (git_repo / "old.json").write_text('{"old": 1}')
    (git_repo / "same.json").write_text('{"same": 1}')
    script = "printf '{\"same\": 1}' > same.json; echo nonsense > bad.json"
    task = Task(("sh", "-c", script), metrics=["old.json", "same.json", "bad.json", "no.json"])
    with pytest.warns(NotRecorded) as caught:
        _, run = execute(task)
    assert ["same"] == list(run.metrics)
    texts = [str(each.message) for each in caught if each.category is NotRecorded]
    assert "'old.json' is from before the run and was not written by it, so its metrics are not recorded." == texts[0]
    assert texts[1].startswith("No metrics were read from 'bad.json': it is not JSON: ")
    assert "There is no file 'no.json', so no metrics were read from it." == texts[2]


def test_arguments_that_are_no_params(execute: Execute) -> None:
    """A key that cannot be used is left out with a warning, a secret is redacted; none is read if not asked for."""
    command = ("true", "--../x", "1", "--lr", "2", "--api-key", "hunter2")
    refused = pytest.warns(NotRecorded, match=r"An argument is no param: The param '\.\./x' cannot be used")
    with refused, pytest.warns(SecretRedacted):
        _, run = execute(Task(command))
    assert {"lr": 2, "api_key": "[redacted]"} == run.params
    assert "hunter2" not in " ".join(run.source.command)
    _, run = execute(Task(("true", "--lr", "2"), params=False))
    assert {} == run.params


def test_a_secret_that_is_redacted_is_masked_in_the_kept_output(
    execute: Execute, git_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the command, a param and a tag; on the terminal it stays. Cut by what is not kept, its parts are masked."""
    label = Label(params={"password": "swordfish"}, tags={"auth_token": "t0ken-x"})
    script = "printf hun; printf 'ter9 %s' \"$2\"; echo ' swordfish t0ken-x'; echo hunter9 >&2"
    with pytest.warns(SecretRedacted):
        _, run = execute(Task(("sh", "-c", script, "--api-key", "hunter9")), label)
    client = Client(git_repo)
    kept = [Path(client.download_artifacts(run.id, f"logs/{name}.txt")).read_text() for name in ("stdout", "stderr")]
    assert ["[redacted]  [redacted] [redacted]\n", "[redacted]\n"] == kept
    assert "hunter9  swordfish t0ken-x\n" == (tmp_path / "shown.txt").read_text()
    monkeypatch.setattr(child, "KEPT_HEAD", 10)
    monkeypatch.setattr(child, "KEPT_TAIL", 10)
    code = "import sys; sys.stdout.write('abcd' + 'hunter99' + '.' * 5000 + 'hunter99' + 'efghi')"
    with pytest.warns(SecretRedacted):
        _, run = execute(Task(python(code.replace("hunter99", "' + sys.argv[2] + '"), "--api-key", "hunter99")))
    text = Path(client.download_artifacts(run.id, "logs/stdout.txt")).read_text()
    assert ("abcd[redacted]\n", "\n[redacted]efghi") == (text[:15], text[-16:])


def test_a_script_that_uses_runstone_joins(execute: Execute, git_repo: Path) -> None:
    """It logs to the same run; its own value of a param stays, and the experiment is the one the run was begun in."""
    code = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import runstone\n"
        "runstone.set_experiment('other')\n"
        "with runstone.start_run() as run:\n"
        "    runstone.log_param('lr', '0.1 as text'); runstone.log_metric('loss', 0.5)\n"
        "print(run.info.run_id)\n"
    )
    (git_repo / "fit.py").write_text(code)
    executed, run = execute(Task((sys.executable, "fit.py", "--lr", "0.1", "--depth", "3")), Label("churn"))
    client = Client(git_repo)
    assert f"{run.id}\n" == Path(client.download_artifacts(run.id, "logs/stdout.txt")).read_text()
    assert {"lr": "0.1 as text", "depth": 3} == run.params
    assert (0.5, "churn", ()) == (run.metrics["loss"].last, run.experiment, run.conflicts)
    said = Path(client.download_artifacts(run.id, "logs/stderr.txt")).read_text()
    assert f"This process joins run {executed.run_id}, which RUNSTONE_RUN_ID names and which is of the exp" in said
    assert 1 == len(client.search_runs())


def test_a_part_that_is_killed_leaves_what_it_logged(execute: Execute) -> None:
    """What a killed child had logged to the run is in its record."""
    code = (
        f"import os, sys; sys.path.insert(0, {str(SOURCE)!r}); import runstone\n"
        "runstone.log_metric('loss', 0.5); os.kill(os.getpid(), 9)\n"
    )
    executed, run = execute(Task(python(code)))
    assert (137, "FAILED", 0.5) == (executed.outcome.code, run.status, run.metrics["loss"].last)


def test_output_is_kept_byte_for_byte_and_bounded(
    execute: Execute, git_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No byte is changed; of more than is kept the beginning and the end stay, and all of it is shown."""
    data = bytes(range(256)) * 4
    _, run = execute(Task(python("import sys; sys.stdout.buffer.write(bytes(range(256)) * 4)")))
    path = Client(git_repo).download_artifacts(run.id, "logs/stdout.txt")
    assert data == Path(path).read_bytes() == (tmp_path / "shown.txt").read_bytes()
    monkeypatch.setattr(child, "KEPT_HEAD", 1000)
    monkeypatch.setattr(child, "KEPT_TAIL", 1000)
    _, run = execute(Task(python("for i in range(2000): print(f'{i:09}')")))
    kept = Path(Client(git_repo).download_artifacts(run.id, "logs/stdout.txt")).read_text()
    assert "".join(f"{i:09}\n" for i in range(100)) + "\n[... " == kept[:1006]
    assert kept.endswith("000001998\n000001999\n")
    assert len(kept) < 4000
    assert len(data) + 20_000 == (tmp_path / "shown.txt").stat().st_size


def test_what_is_left_behind_is_not_waited_for(execute: Execute) -> None:
    """A daemon that holds the output open does not hold the run."""
    executed, run = execute(Task(("sh", "-c", "sleep 60 & echo done")))
    assert (0, "FINISHED") == (executed.outcome.code, run.status)
    assert run.ended is not None
    assert run.ended - run.started < 20_000


def test_output_that_cannot_be_shown_is_kept(execute: Execute, git_repo: Path) -> None:
    """Where the disk behind the standard output is full, the run goes on and the log has all."""
    full = os.open("/dev/full", os.O_WRONLY)
    stream = Stream(full)
    reading, writing = os.pipe()
    stream.begin(reading)
    os.write(writing, b"said")
    os.close(writing)
    stream.finish(time.monotonic())
    os.close(full)
    assert (b"said", "No space left on device") == (stream.kept(), stream.trouble)


def test_the_packages_are_those_of_its_python(execute: Execute, git_repo: Path, tmp_path: Path) -> None:
    """A command with a Python of its own is recorded with that one's packages, also through its scripts."""
    import venv

    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    (site / "onlyhere-1.5.dist-info").mkdir(parents=True)
    (site / "onlyhere-1.5.dist-info" / "METADATA").write_text("Name: Only_Here\nVersion: 1.5\n")
    tool = tmp_path / "venv" / "bin" / "tool"
    tool.write_text(f"#!{tmp_path}/venv/bin/python\nprint('tool')\n")
    tool.chmod(0o755)
    for command in ((str(tmp_path / "venv" / "bin" / "python"), "-c", "pass"), (str(tool), "--lr", "1")):
        _, run = execute(Task(command))
        assert "only-here==1.5\n" == Client(git_repo).get_requirements(run.id)
    _, run = execute(Task(python("pass")))
    assert "pytest==" in (Client(git_repo).get_requirements(run.id) or "")


def test_a_python_that_cannot_be_asked(execute: Execute, git_repo: Path) -> None:
    """The command runs all the same, and the warning says whose packages are recorded."""
    (git_repo / "python3").write_text('#!/bin/sh\n[ "$1" = -c ] && exit 9; echo "ran $1"\n')
    (git_repo / "python3").chmod(0o755)
    with pytest.warns(NotRecorded, match="so those of Runstone are recorded: .* returned non-zero exit status 9"):
        executed, run = execute(Task(("./python3", "fit.py")))
    assert (0, "FINISHED") == (executed.outcome.code, run.status)
    assert "pytest==" in (Client(git_repo).get_requirements(run.id) or "")


def test_what_was_read_is_read_again() -> None:
    """`source.capture` and the task are inverse; what others may have written there does no harm."""
    task = Task(("x",), metrics=("m.json",), artifacts=("a:b",), params=False)
    assert task == task_of(("x",), {"params": False, "metrics": ["m.json"], "artifacts": ["a:b"]})
    assert Task(("x",)) == task_of(("x",), {"params": "yes", "metrics": {"a": 1}, "artifacts": [3, None]})
    assert {"a": 1} == given_params({"given": ["a", "gone", 3]}, {"a": 1, "b": 2})


def test_artifacts_and_their_folders(tmp_path: Path) -> None:
    """`FILE:FOLDER`; a file whose own name has a colon wins."""
    (tmp_path / "a:b").write_text("x")
    assert (tmp_path / "a:b", "") == split_artifact("a:b", tmp_path)
    assert (tmp_path / "c", "d/e") == split_artifact("c:d/e/", tmp_path)
    assert (tmp_path / "c", "") == split_artifact("c", tmp_path)
