"""`runstone rerun`: a recorded run once more, in a checkout of its code, as a new run that is linked to it.

The command comes from a record, that is, from whoever pushed it: to run it is what the verb means, so nothing is asked,
but the plan is made and can be shown before anything is executed.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from secrets import token_hex
from shlex import quote
from time import time
from urllib.parse import quote as quote_url

from runstone.errors import EnvironmentNotBuilt, ExperimentNotFound, RerunNotFound, RerunRefused
from runstone.projects.arguments import is_python, python_script
from runstone.projects.checkout import Checkout, checkout, default_folder, remove_checkout
from runstone.projects.child import Outcome, find_program, run_child
from runstone.projects.execute import Label, given_params, run_command, split_artifact, task_of
from runstone.projects.subject import find_subject
from runstone.records.run import Run
from runstone.tracking.experiment import get_experiment
from runstone.tracking.run import RERUN_VARIABLE, RUN_VARIABLE
from runstone.tracking.script import OUTSIDE
from runstone.tracking.secrets import REDACTED
from runstone.tracking.workspace import Workspace

_OWN_VARIABLES = (RUN_VARIABLE, "RUNSTONE_REPO", "RUNSTONE_EXPERIMENT_ID", "RUNSTONE_EXPERIMENT_NAME")
_MLFLOW_VARIABLES = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_REGISTRY_URI")
_MLFLOW_TAG = "mlflow.source.type"
"""MLflow's fluent API gives it to every run that it begins."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run again.

    Attributes:
        what: What the run was called.
        run: The record.
        command: The command.
        is_given: Whether the command is the caller's own, not the recorded one.
    """

    what: str
    run: Run
    command: tuple[str, ...]
    is_given: bool


@dataclass(frozen=True, slots=True)
class Rerun:
    """A run that repeats another, and how its command ended."""

    run_id: str
    outcome: Outcome


def plan_rerun(workspace: Workspace, what: str, command: Sequence[str] = ()) -> Plan:
    """Find a run and the command that repeats it. Nothing is checked out or executed.

    Args:
        workspace: The repository.
        what: A run or a model version; see `subject.find_subject`.
        command: To be run in place of the recorded one.

    Raises:
        RunNotFound, RunAmbiguous, RunIsLive, ModelNotFound, VersionNotFound: `what` names no run that is recorded.
        RerunRefused: The recorded command cannot be run as it is.
    """
    run = find_subject(workspace, what).run
    if not command:
        why = _why_not(run)
        if why is not None:
            raise RerunRefused(run.id, why)
    return Plan(what, run, tuple(command) or run.source.command, bool(command))


def prepare(
    workspace: Workspace, plan: Plan, target: Path | None = None, *, environment: bool = False, data: str = "likely"
) -> Checkout:
    """Check the run out to be run there; see `checkout.checkout`. Its artifacts are not needed, so not placed.

    Args:
        workspace: The repository.
        plan: What is to be run again.
        target: The folder; a new one beside the repository if None.
        environment: Whether to rebuild its environment.
        data: Which DVC-tracked files to place: `likely`, `inputs`, `all` or `none`. Without those that a script reads
            it would fail, and many a script does not record what it reads.

    Raises:
        RerunRefused: The script of the recorded command is not in the snapshot.
        EnvironmentFailed: The environment cannot be built; as nothing can be run, the checkout is removed.
        RunstoneError: As `checkout.checkout`.
    """
    if target is None:
        beside = default_folder(workspace.repo, plan.run.name)
        target = beside.with_name(f"{beside.name}-rerun-{token_hex(3)}")
    try:
        made = checkout(workspace, plan.run.id, target, artifacts=False, data=data, environment=environment)
    except EnvironmentNotBuilt as error:
        remove_checkout(workspace, error.path, force=True)
        raise error.cause from None
    script = None if plan.is_given else python_script(plan.command)
    if script is not None and script[0] == "script" and not _has_script(made, script[1]):
        remove_checkout(workspace, made.path, force=True)
        raise RerunRefused(plan.run.id, f"its script {script[1]!r} is not in its snapshot")
    return made


def carry_out(workspace: Workspace, plan: Plan, made: Checkout, *, show: tuple[int, int] = (1, 2)) -> Rerun:
    """Run the command in its checkout, and find the run that it made.

    A run that `runstone run` had recorded is recorded in the same way; of another one the script does it itself, and
    each run that it begins at the top says which run it repeats.

    Args:
        workspace: The repository.
        plan: What is to be run again.
        made: Where.
        show: The file descriptors that its output and its errors are shown on.

    Writes:
        The new run's commit, as any run's.

    Raises:
        CommandNotFound, CommandNotExecutable: Nothing was run, and nothing is recorded.
        RerunNotFound: It made no run, or several of which none is like the old one more than the others.
    """
    run, cwd = plan.run, made.path / made.directory
    env = _environment(workspace, plan, made)
    program = _program(workspace, plan, made, cwd, env)
    if run.source.capture is not None:
        here = Workspace.open(made.path)
        task = task_of(plan.command, run.source.capture)
        task = replace(
            task,
            metrics=[path for path in task.metrics if _is_inside(cwd / path, made.path)],
            artifacts=[text for text in task.artifacts if _is_inside(split_artifact(text, cwd)[0], made.path)],
        )
        label = Label(
            experiment=_experiment(workspace, run),
            rerun_of=run.id,
            params=given_params(run.source.capture, run.params),
        )
        executed = run_command(here, task, label, cwd=cwd, env=env, program=program, show=show)
        here.repo.close()
        return Rerun(executed.run_id, executed.outcome)
    begun = int(time() * 1000)
    command = [program or plan.command[0], *plan.command[1:]]
    find_program(command[0], cwd=cwd, path=env.get("PATH"))
    outcome = run_child(command, cwd=cwd, env=env, stdout=show[0])
    return Rerun(_choose(run, _made_since(workspace, run, begun), outcome.code), outcome)


# --- inside


def _has_script(made: Checkout, script: str) -> bool:
    """Whether a checkout has the script; not another of its name, where the one that ran was in no repository."""
    is_there = (made.path / made.directory / script).exists()
    return is_there and made.left_out.get(PurePath(script).name) != OUTSIDE


def _why_not(run: Run) -> str | None:
    command, notebook = run.source.command, run.source.notebook
    if not command:
        return "its command is not known"
    if any("\0" in word for word in command):
        return "its command holds a zero character, which no system accepts"
    if any(REDACTED in word for word in command):
        return f"its command held a secret, which is recorded as {REDACTED}"
    if run.source.capture is None and _is_logged_by_hand(command):
        return "`runstone log` recorded it, so there is no command that made what it holds"
    if notebook is None and command[:2] == ("jupyter", "notebook"):
        notebook = command[2] if len(command) > 2 else ""
    if notebook is not None or any("ipykernel" in word for word in command[:3]):
        named = notebook or "NOTEBOOK.ipynb"
        return (
            f"it ran in a notebook, {named}, where cells may run in any order. To run all of them from the top: "
            f"`runstone rerun {run.id} -- jupyter nbconvert --to notebook --execute {quote(named)}`"
        )
    if is_python(command[0]):
        script = python_script(command)
        if script is None or script[1] in ("", "-"):
            return "its code was typed in, or read from standard input"
    return None


def _is_logged_by_hand(command: Sequence[str]) -> bool:
    """Whether a command is `runstone log`, as `python -m runstone` too, with options of the group before the verb."""
    words = list(command)
    if is_python(words[0]):
        if python_script(words) != ("-m", "runstone"):
            return False
        words = words[words.index("runstone") if "runstone" in words else 0 :]
    elif Path(words[0].replace("\\", "/")).name.removesuffix(".exe") != "runstone":
        return False
    words = words[1:]
    while words and words[0].startswith("-"):
        words = words[1 if "=" in words[0] else 2 :]
    return words[:1] == ["log"]


def _environment(workspace: Workspace, plan: Plan, made: Checkout) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key not in _OWN_VARIABLES}
    env[RERUN_VARIABLE] = plan.run.id
    env["RUNSTONE_EXPERIMENT_NAME"] = experiment = _experiment(workspace, plan.run)
    if _MLFLOW_TAG in plan.run.tags:  # it was tracked through MLflow, which is to find the checkout's repository
        env = {key: value for key, value in env.items() if key not in _MLFLOW_VARIABLES}
        env |= {"MLFLOW_TRACKING_URI": f"runstone:{quote_url(str(made.path))}", "MLFLOW_EXPERIMENT_NAME": experiment}
    paths = _python_paths(workspace.repo.work_tree, made)
    env.pop("PYTHONPATH", None)
    if paths:
        env["PYTHONPATH"] = os.pathsep.join(paths)
    folders = [env.get("PATH") or os.defpath]
    if made.python is not None:
        env["VIRTUAL_ENV"] = str(made.python.parent.parent)
        env.pop("PYTHONHOME", None)
        folders.insert(0, str(made.python.parent))
    else:
        folders.append(str(Path(sys.executable).parent))  # of commands that were installed beside Runstone
    env["PATH"] = os.pathsep.join(folders)
    return env


def _python_paths(work_tree: Path | None, made: Checkout) -> list[str]:
    """PYTHONPATH for the checkout: what lies in the user's work tree means the checkout's copy.

    So do the folders of the work tree that an installation in place (`pip install -e .`) adds to `sys.path`: else the
    command would import the present code, not that of the run. A rebuilt environment sees none from elsewhere.
    """
    top = None if work_tree is None else work_tree.resolve()
    found: list[str] = []
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    own = () if made.python is not None else sys.path
    installed = [entry for entry in own if entry and entry != str(Path.cwd())]  # `python -m` puts that there
    for entry in [*given, *installed]:
        path = Path(entry)
        inside = top is not None and path.is_absolute() and path.resolve().is_relative_to(top)
        if inside and top is not None:
            copy = made.path / path.resolve().relative_to(top)
            if copy.is_dir():
                found.append(str(copy))
        elif entry in given and (made.python is None or not path.is_absolute()):
            found.append(entry)
    return list(dict.fromkeys(found))


def _program(workspace: Workspace, plan: Plan, made: Checkout, cwd: Path, env: Mapping[str, str]) -> str | None:
    """What to execute in place of the command's first word; None for that word as it is."""
    word = plan.command[0]
    if plan.is_given:
        return None
    if is_python(word):
        if made.python is not None:
            return str(made.python)
        # `runstone run` had taken Python from the PATH; a script that uses Runstone needs the one that has it.
        return None if plan.run.source.capture is not None and _is_on_path(word, env) else sys.executable
    own = workspace.repo.work_tree
    if "/" in word and own is not None and not (cwd / word).exists():
        present = own / made.directory / word  # as `.venv/bin/train`, which no snapshot holds
        if present.exists():
            return str(present)
    return None


def _is_on_path(word: str, env: Mapping[str, str]) -> bool:
    return "/" not in word and shutil.which(word, path=env.get("PATH")) is not None


def _experiment(workspace: Workspace, run: Run) -> str:
    """The present name of its experiment, which may have been renamed."""
    try:
        return get_experiment(workspace.repo, run.experiment_id).name
    except ExperimentNotFound:
        return run.experiment


def _is_inside(path: Path, top: Path) -> bool:
    """Paths in a record are other people's: what leads out of the checkout is not read."""
    return path.resolve().is_relative_to(top.resolve())


def _made_since(workspace: Workspace, old: Run, begun: int) -> list[Run]:
    from runstone.index.search import search_runs

    workspace.recover()
    page = search_runs(workspace.repo, None, f"start_time >= {begun}", max_results=10_000)
    return sorted((run for run in page if run.rerun_of == old.id), key=lambda run: (run.started, run.id))


def _choose(old: Run, found: list[Run], code: int) -> str:
    """Of the runs that a script made, the one that has the old one's params, or else its name."""
    for alike in (
        found,
        [run for run in found if run.params == old.params],
        [run for run in found if run.params == old.params and run.name == old.name],
        [run for run in found if run.name == old.name],
    ):
        if len(alike) == 1:
            return alike[0].id
    raise RerunNotFound(old.id, [run.id for run in found], code)
