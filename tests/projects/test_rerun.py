"""Runs once more: which command, in which environment, and which new run it is."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import InvalidName, RerunNotFound, RerunRefused
from runstone.projects.checkout import checkout, remove_checkout
from runstone.projects.execute import Label, Task, run_command
from runstone.projects.rerun import Rerun, carry_out, plan_rerun, prepare
from runstone.records.run import Run
from runstone.tracking.experiment import ensure_experiment, rename_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from tests.support import SOURCE, git, run_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands of these tests are of POSIX")
USES_RUNSTONE = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import runstone\n"


@pytest.fixture
def workspace(git_repo: Path) -> Workspace:
    """The workspace of `git_repo`."""
    return Workspace.open(git_repo)


@pytest.fixture
def nowhere() -> Iterator[tuple[int, int]]:
    """Where output is shown that no test looks at."""
    sink = os.open(os.devnull, os.O_WRONLY)
    yield sink, sink
    os.close(sink)


def record(workspace: Workspace, command: Sequence[str]) -> str:
    """A run with this command, as a script that uses Runstone records it; its id."""
    active = start_run(workspace, ensure_experiment(workspace.repo, "Default"), command=command)
    active.end()
    return active.id


def commit(repo: Path, script: str, name: str = "fit.py") -> Path:
    """Commit a script; its path."""
    (repo / name).write_text(textwrap.dedent(script))
    git("add", "-A", cwd=repo)
    git("commit", "-qm", f"Write {name}", cwd=repo)
    return repo / name


def run_own(repo: Path, script: str, *arguments: str) -> list[Run]:
    """Commit and run a script that uses Runstone, with the command as a user types it; its runs, oldest first."""
    commit(repo, USES_RUNSTONE + textwrap.dedent(script))
    run_python(Path("fit.py"), *arguments, cwd=repo)
    return sorted(Client(repo).search_runs(), key=lambda run: run.id)


def repeat(workspace: Workspace, what: str, show: tuple[int, int], command: Sequence[str] = ()) -> tuple[Rerun, Run]:
    """Run a run again and remove the checkout; the new run."""
    plan = plan_rerun(workspace, what, command)
    made = prepare(workspace, plan)
    try:
        done = carry_out(workspace, plan, made, show=show)
    finally:
        remove_checkout(workspace, made.path, force=True)
    return done, Client(workspace.repo.work_tree).get_run(done.run_id)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ((), "its command is not known"),
        (("python", "fit.py", "--token", "[redacted]"), "its command held a secret"),
        (("jupyter", "notebook", "a b.ipynb"), "-- jupyter nbconvert --to notebook --execute 'a b.ipynb'`"),
        (("python", "-m", "ipykernel_launcher"), "it ran in a notebook"),
        (("python", "a\0b.py"), "its command holds a zero character"),
        (("python",), "its code was typed in"),
        (("python", "-i"), "its code was typed in"),
        (("python", "-", "--lr", "1"), "read from standard input"),
        (("runstone", "log", "-p", "lr=1"), "`runstone log` recorded it, so there is no command that made what it"),
        (("runstone", "--repo", "x", "--color=never", "log"), "`runstone log` recorded it"),
        (("python", "-m", "runstone", "log", "-m", "a=1"), "`runstone log` recorded it"),
    ],
)
def test_commands_that_cannot_be_run_again(workspace: Workspace, command: Sequence[str], why: str) -> None:
    """Each is refused with what to do, unless another command is given."""
    run_id = record(workspace, command)
    with pytest.raises(RerunRefused) as caught:
        plan_rerun(workspace, run_id)
    assert why in str(caught.value)
    assert f"Say what to run in its place: `runstone rerun {run_id} -- COMMAND`" in str(caught.value)
    assert ("true",) == plan_rerun(workspace, run_id, ["true"]).command


@pytest.mark.parametrize("command", [("runstone", "demo"), ("log",), ("python", "-m", "other", "log"), ("sh", "log")])
def test_other_commands_are_run_again(workspace: Workspace, command: tuple[str, ...]) -> None:
    """Only `runstone log` itself makes nothing."""
    assert command == plan_rerun(workspace, record(workspace, command)).command


def test_data_that_no_record_names(workspace: Workspace, git_repo: Path, nowhere: tuple[int, int]) -> None:
    """A script that reads a DVC-tracked file without recording it runs again; what cannot be had is told only."""
    digest = workspace.artifacts.cache.add_bytes(b"7")
    for name, md5 in (("x", digest), ("gone", "ab" * 16)):
        (git_repo / f"{name}.bin.dvc").write_text(f"outs:\n- md5: {md5}\n  hash: md5\n  size: 1\n  path: {name}.bin\n")
    commit(git_repo, "open('m.json', 'w').write(open('x.bin').read())\n")
    (git_repo / "x.bin").write_text("7")
    (git_repo / ".git" / "info" / "exclude").write_text("*.bin\n")
    old = run_command(workspace, Task((sys.executable, "fit.py"), metrics=["m.json"]), cwd=git_repo, show=nowhere)
    made = prepare(workspace, plan_rerun(workspace, old.run_id))
    assert (("x.bin",), 1) == (made.inputs, len(made.warnings))
    assert made.warnings[0].startswith("1 DVC-tracked path was not placed; the run recorded no such inputs, so it may ")
    remove_checkout(workspace, made.path, force=True)
    _, run = repeat(workspace, old.run_id, nowhere)
    assert 7.0 == run.metrics["m"].last
    plain = checkout(workspace, old.run_id)
    assert () == plain.inputs
    assert (
        "2 DVC-tracked paths were not placed, since the run recorded no such inputs. To place all: `--data all`",
    ) == plain.warnings


def test_a_script_that_is_in_no_snapshot(workspace: Workspace, git_repo: Path) -> None:
    """It is told before anything runs, and no checkout is left."""
    run_id = record(workspace, ("python", "elsewhere.py"))
    with pytest.raises(RerunRefused, match=r"its script 'elsewhere\.py' is not in its snapshot"):
        prepare(workspace, plan_rerun(workspace, run_id))
    assert 1 == len(git("worktree", "list", cwd=git_repo).splitlines())
    assert [git_repo.name] == [path.name for path in git_repo.parent.iterdir() if path.name.startswith("repo")]


def test_a_recorded_command(workspace: Workspace, git_repo: Path, nowhere: tuple[int, int]) -> None:
    """It is recorded as before: arguments, given params, metrics, artifacts, experiment; and it names the old run."""
    commit(git_repo, "import sys\nopen('m.json', 'w').write('{\"loss\": %s}' % sys.argv[2])\n")
    task = Task(("python", "fit.py", "--lr", "0.5"), metrics=["m.json"], artifacts=["m.json:out"])
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    old = run_command(workspace, task, Label("churn", params={"k": 2}), cwd=git_repo, env=env, show=nowhere)
    before = Client(git_repo).get_run(old.run_id)
    rename_experiment(workspace.repo, before.experiment_id, "renamed")
    (git_repo / "fit.py").write_text("raise SystemExit('changed since')\n")
    _, run = repeat(workspace, old.run_id, nowhere)
    assert (old.run_id, "renamed", "FINISHED") == (run.rerun_of, run.experiment, run.status)
    assert {"lr": 0.5, "k": 2} == run.params == before.params
    assert 0.5 == run.metrics["loss"].last
    assert before.source.capture == run.source.capture
    assert before.source.command == run.source.command
    assert before.source.snapshot == run.source.snapshot
    assert "repo" == git_repo.name
    assert "raise SystemExit('changed since')\n" == (git_repo / "fit.py").read_text()


def test_paths_that_lead_out_of_the_checkout(workspace: Workspace, git_repo: Path, nowhere: tuple[int, int]) -> None:
    """What a record tells to keep is other people's text: a private file beside the repository is not kept."""
    (git_repo.parent / "private.txt").write_text("mine")
    active = start_run(
        workspace,
        ensure_experiment(workspace.repo, "Default"),
        command=("true",),
        capture={"artifacts": ["../private.txt", str(git_repo.parent / "private.txt")], "metrics": ["../../m.json"]},
    )
    active.end()
    done, run = repeat(workspace, active.id, nowhere)
    assert (0, "FINISHED") == (done.outcome.code, run.status)
    assert [] == Client(git_repo).list_artifacts(run.id)


def test_a_script_that_uses_runstone(workspace: Workspace, git_repo: Path, nowhere: tuple[int, int]) -> None:
    """It records itself; top-level runs name the run they repeat, nested ones do not, and its code is the snapshot."""
    script = """
    with runstone.start_run():
        runstone.log_param("lr", float(sys.argv[2]))
        with runstone.start_run(nested=True):
            runstone.log_metric("inner", 1)
    """
    before, _ = run_own(git_repo, script, "--lr", "0.5")
    assert before.parent is None
    _, run = repeat(workspace, before.id, nowhere)
    assert (before.id, {"lr": 0.5}) == (run.rerun_of, run.params)
    assert before.source.snapshot == run.source.snapshot == run.source.commit
    child = next(each for each in Client(git_repo).search_runs() if each.parent == run.id)
    assert child.rerun_of is None


def test_a_script_that_makes_several_runs(workspace: Workspace, git_repo: Path, nowhere: tuple[int, int]) -> None:
    """The one with the same params is taken; of several with the same params the one of the same name, else none."""
    script = """
    for lr in (1, 2):
        with runstone.start_run():
            runstone.log_param("lr", lr)
    for name in ("a", "b", None, None):
        with runstone.start_run(run_name=name):
            runstone.log_param("lr", 3)
    """
    runs = run_own(git_repo, script)
    _, run = repeat(workspace, runs[1].id, nowhere)
    assert (runs[1].id, {"lr": 2}) == (run.rerun_of, run.params)
    _, run = repeat(workspace, runs[3].id, nowhere)
    assert (runs[3].id, "b") == (run.rerun_of, run.name)
    with pytest.raises(RerunNotFound, match=r"The command made 6 runs, and which of them repeats .* cannot be told"):
        repeat(workspace, runs[4].id, nowhere)


def test_a_command_that_makes_no_run(workspace: Workspace, git_repo: Path, nowhere: tuple[int, int]) -> None:
    """The error says so, with its exit code."""
    (run,) = run_own(git_repo, "runstone.log_param('lr', 1)\n")
    with pytest.raises(RerunNotFound, match="The command ended with 3 and made no run"):
        repeat(workspace, run.id, nowhere, ["sh", "-c", "exit 3"])


def test_the_run_before_is_not_taken_for_the_new_one(
    workspace: Workspace, git_repo: Path, nowhere: tuple[int, int]
) -> None:
    """Run again twice, the second time the runs of the first are not candidates."""
    (old,) = run_own(git_repo, "runstone.log_param('lr', 1)\n")
    first, second = (repeat(workspace, old.id, nowhere)[1] for _ in range(2))
    assert first.id != second.id
    assert {old.id} == {first.rerun_of, second.rerun_of}


def test_modules_of_the_project_are_those_of_the_snapshot(
    workspace: Workspace, git_repo: Path, nowhere: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders of the work tree on PYTHONPATH, and on `sys.path` by an installation in place, mean the checkout's."""
    for name in ("lib", "src"):
        (git_repo / name).mkdir()
        (git_repo / name / f"in_{name}.py").write_text("VALUE = 1\n")
    commit(git_repo, "import in_lib, in_src\nopen('m.json', 'w').write(str(in_lib.VALUE + in_src.VALUE))\n")
    env = {**os.environ, "PYTHONPATH": f"{git_repo / 'lib'}{os.pathsep}{git_repo / 'src'}"}
    task = Task((sys.executable, "fit.py"), metrics=["m.json"])
    old = run_command(workspace, task, cwd=git_repo, env=env, show=nowhere)
    for name in ("lib", "src"):
        (git_repo / name / f"in_{name}.py").write_text("VALUE = 100\n")
    monkeypatch.setenv("PYTHONPATH", str(git_repo / "lib"))
    monkeypatch.syspath_prepend(str(git_repo / "src"))
    _, run = repeat(workspace, old.run_id, nowhere)
    assert 2 == run.metrics["m"].last


def test_a_program_that_no_snapshot_holds(workspace: Workspace, git_repo: Path, nowhere: tuple[int, int]) -> None:
    """One in the project's own `.venv`, which git ignores, is executed from there, in the checkout."""
    (git_repo / ".gitignore").write_text(".venv\n")
    (git_repo / ".venv" / "bin").mkdir(parents=True)
    tool = git_repo / ".venv" / "bin" / "fit"
    tool.write_text("#!/bin/sh\npwd > where.txt\n")
    tool.chmod(0o755)
    commit(git_repo, "")
    task = Task((".venv/bin/fit",), artifacts=["where.txt"])
    old = run_command(workspace, task, cwd=git_repo, show=nowhere)
    _, run = repeat(workspace, old.run_id, nowhere)
    where = Path(Client(git_repo).download_artifacts(run.id, "where.txt")).read_text()
    assert where.startswith(f"{git_repo}@")


def test_a_rebuilt_environment(workspace: Workspace, git_repo: Path, nowhere: tuple[int, int]) -> None:
    """With `environment` the command runs with the environment's Python, and the new run records its packages."""
    commit(git_repo, "import sys\nopen('m.json', 'w').write(str(int(sys.prefix != sys.base_prefix)))\n")
    active = start_run(
        workspace,
        ensure_experiment(workspace.repo, "Default"),
        command=("python", "fit.py"),
        capture={"metrics": ["m.json"]},
    )
    active.wait_captured()
    active.log_environment(active.snapshot().environment, "")
    active.end()
    plan = plan_rerun(workspace, active.id)
    made = prepare(workspace, plan, environment=True)
    done = carry_out(workspace, plan, made, show=nowhere)
    client = Client(git_repo)
    assert 1.0 == client.get_run(done.run_id).metrics["m"].last
    assert "pytest==" not in (client.get_requirements(done.run_id) or "")
    shutil.rmtree(made.path)


def test_the_variable_names_the_run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUNSTONE_RERUN_OF links what a process begins at the top; what is no id is refused."""
    monkeypatch.setenv("RUNSTONE_RERUN_OF", "0" * 32)
    experiment = ensure_experiment(workspace.repo, "Default")
    with start_run(workspace, experiment) as active, start_run(workspace, experiment, parent=active.id) as inner:
        assert ("0" * 32, None) == (active.snapshot().rerun_of, inner.snapshot().rerun_of)
    client = Client(workspace.repo.work_tree)
    assert ("0" * 32, None) == (client.get_run(active.id).rerun_of, client.get_run(inner.id).rerun_of)
    monkeypatch.setenv("RUNSTONE_RERUN_OF", "../x")
    with pytest.raises(InvalidName):
        start_run(workspace, experiment)
