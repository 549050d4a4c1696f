"""`runstone run`: any command as a run, with no change of its code.

The run is begun before the command and ended after it. What is read of it (arguments, files of metrics, artifacts) is
read when it has ended, so that what the command itself logs to the run always comes first and never clashes.
"""

import os
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

from runstone import names
from runstone.errors import CommandNotExecutable, CommandNotFound, InvalidName, RunstoneError
from runstone.git.runs import live
from runstone.projects.arguments import parse_arguments
from runstone.projects.child import Outcome, Stream, find_program, run_child
from runstone.projects.interpreter import ask_interpreter
from runstone.projects.masking import Mask
from runstone.projects.results import FileState, ResultsUnreadable, check_format, read_results
from runstone.records.document import Document
from runstone.records.metric import Metric
from runstone.records.run import Environment
from runstone.tracking.command import Place
from runstone.tracking.environment import REQUIREMENTS_FILE, platform
from runstone.tracking.experiment import DEFAULT, ensure_experiment
from runstone.tracking.run import RERUN_VARIABLE, RUN_VARIABLE, ActiveRun, need_clean, start_run
from runstone.tracking.workspace import Workspace

STDOUT, STDERR = "logs/stdout.txt", "logs/stderr.txt"
EXIT_TAG = "exit_code"
"""The tag of a run whose command did not end with 0."""


class NotRecorded(UserWarning):
    """Something that `runstone run` was to read of a command could not be recorded."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to run, and what to read of it.

    Attributes:
        command: The command line.
        params: Whether its arguments are params.
        metrics: Files of metrics that it writes, relative to its working directory.
        artifacts: Files and folders to keep, as `FILE` or `FILE:FOLDER`.
    """

    command: Sequence[str]
    params: bool = True
    metrics: Sequence[str] = ()
    artifacts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Label:
    """What a run is called and linked with; see `tracking.run.start_run`."""

    experiment: str | None = None
    name: str | None = None
    parent: str | None = None
    rerun_of: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Executed:
    """A run that was recorded, how its command ended, and which of the named files it did not make."""

    run_id: str
    name: str
    outcome: Outcome
    missing: tuple[str, ...] = ()


def run_command(
    workspace: Workspace,
    task: Task,
    label: Label | None = None,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    program: str | None = None,
    show: tuple[int, int] = (1, 2),
    require_clean: bool = False,
) -> Executed:
    """Run a command to its end and record it as a run.

    Args:
        workspace: The repository.
        task: What to run, and what to read of it.
        label: What the run is called and linked with.
        cwd: Where it runs; the current folder if not given.
        env: Its environment, to which the names of the run are added; this process's if not given.
        program: What is executed in place of the command's first word, which is recorded.
        show: The file descriptors that its output and its errors are shown on.
        require_clean: Refuse the run unless its code is a commit; what is set otherwise holds if False.

    Writes:
        One commit on the branch `runs`; its output and the artifacts into the cache.

    Raises:
        CommandNotFound, CommandNotExecutable: Nothing was run, and no run is recorded.
        WorkTreeDirty: A clean work tree is required, and it is not.
        UsageError: The name of a file of metrics tells no format.
        InvalidName, InvalidValue: A tag or a param cannot be recorded.

    Warns:
        NotRecorded: A file is not there or cannot be read, or a key cannot be used.
    """
    label = label or Label()
    cwd = Path.cwd() if cwd is None else cwd
    command = [program or task.command[0], *task.command[1:]]
    base = dict(os.environ if env is None else env)
    find_program(command[0], cwd=cwd, path=base.get("PATH"))
    for path in task.metrics:
        check_format(path)
    before = {path: FileState.of(cwd / path) for path in task.metrics}
    place = Place(cwd, workspace.repo.work_tree)
    code = need_clean(workspace, require_clean or None)  # before the experiment is made
    experiment = ensure_experiment(workspace.repo, label.experiment or DEFAULT)
    active = start_run(
        workspace,
        experiment,
        name=label.name,
        parent=label.parent,
        rerun_of=label.rerun_of,
        tags=label.tags,
        description=label.note,
        command=task.command,
        cwd=cwd,
        capture=_capture(task, label, place),
        require_clean=code is not None,
        code=code,
    )
    child_env = _child_environment(base, active, experiment.name)
    try:
        active.log_params(label.params)
        active.wait_captured()
        _log_interpreter(active, command, cwd, child_env)
        streams = (Stream(show[0]), Stream(show[1]))
        outcome = run_child(command, cwd=cwd, env=child_env, streams=streams)
    except RunstoneError:
        active.abandon()
        raise
    arguments = parse_arguments(place.shorten_command(task.command)) if task.params else {}
    given = {**parse_arguments(task.command), **label.tags, **label.params}
    _log_output(active, streams, Mask(workspace.redactor.secrets(task.command, given)))
    missing = _log_results(active, task, cwd, before)
    missing += _log_artifacts(active, task, cwd, failed=outcome.code != 0)
    _log_arguments(active, arguments)
    if outcome.code:
        with _told("The exit code was not recorded as a tag"):
            active.set_tags({EXIT_TAG: outcome.signal or str(outcome.code)})
        with _told("What a part of the command logged that was killed is not in the record yet"):
            workspace.recover()
    active.end(outcome.status)
    return Executed(active.id, active.info.run_name, outcome, tuple(missing))


def task_of(command: Sequence[str], capture: Document) -> Task:
    """The inverse of what is recorded as `source.capture`; what is of the wrong kind there counts as missing."""
    return Task(
        command,
        params=capture.get("params") is not False,
        metrics=_texts(capture.get("metrics")),
        artifacts=_texts(capture.get("artifacts")),
    )


def given_params(capture: Document, params: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run's params, those that were given beside its command."""
    return {key: params[key] for key in _texts(capture.get("given")) if key in params}


def split_artifact(text: str, cwd: Path) -> tuple[Path, str]:
    """`FILE[:FOLDER]`; a file whose own name holds a colon wins. The file need not be there."""
    file, colon, folder = text.rpartition(":")
    if not colon or not file or (cwd / text).exists():
        return cwd / text, ""
    return cwd / file, folder.strip("/")


# --- inside


def _capture(task: Task, label: Label, place: Place) -> Document:
    """No absolute path enters a record, so paths outside the work tree lose their folders."""
    found: Document = {"params": task.params}
    if label.params:
        found["given"] = sorted(label.params)
    if task.metrics:
        found["metrics"] = list(place.shorten_command(task.metrics))
    if task.artifacts:
        found["artifacts"] = [_shorten_artifact(place, text) for text in task.artifacts]
    return found


def _shorten_artifact(place: Place, text: str) -> str:
    file, colon, folder = text.rpartition(":")
    if not colon or not file or os.path.exists(text):  # noqa: PTH110  # Path.exists raises on a text too long
        return place.shorten_command([text])[0]
    return f"{place.shorten_command([file])[0]}:{folder}"


def _child_environment(base: Mapping[str, str], active: ActiveRun, experiment: str) -> dict[str, str]:
    """What the command sees: a script that uses Runstone joins the run, and Python prints into a pipe at once."""
    repo = active.workspace.repo
    env = {key: value for key, value in base.items() if key != RERUN_VARIABLE}
    env[RUN_VARIABLE] = active.id
    env["RUNSTONE_EXPERIMENT_NAME"] = experiment
    env["RUNSTONE_REPO"] = str(repo.work_tree or repo.git_dir)
    env["PYTHONUNBUFFERED"] = env.get("PYTHONUNBUFFERED") or "1"
    return env


def _log_interpreter(active: ActiveRun, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
    try:
        found = ask_interpreter(command, cwd=cwd, env=env)
    except (CommandNotFound, CommandNotExecutable, OSError, ValueError, subprocess.SubprocessError) as error:
        _warn(f"The packages that the command runs with are not known, so those of Runstone are recorded: {error}")
        return
    if found is not None:
        environment = Environment(python=found.python, platform=platform(), requirements=REQUIREMENTS_FILE)
        active.log_environment(environment, found.requirements)


def _log_output(active: ActiveRun, streams: tuple[Stream, Stream], mask: Mask) -> None:
    for stream, path in zip(streams, (STDOUT, STDERR), strict=True):
        data = stream.kept(mask)
        if data:
            with _told(f"{path} was not kept"):
                active.log_bytes(data, path)
        if stream.trouble is not None:
            _warn(f"Not all of the command's output could be shown: {stream.trouble}")


def _log_results(active: ActiveRun, task: Task, cwd: Path, before: Mapping[str, FileState | None]) -> list[str]:
    """The files that are not there."""
    missing = []
    for path in task.metrics:
        state = FileState.of(cwd / path)
        if state is None:
            _warn(f"There is no file {path!r}, so no metrics were read from it.")
            missing.append(path)
            continue
        if state == before[path]:
            _warn(f"{path!r} is from before the run and was not written by it, so its metrics are not recorded.")
            continue
        try:
            results = read_results(cwd / path, path)
        except ResultsUnreadable as error:
            _warn(str(error))
            continue
        for warning in results.warnings:
            _warn(warning)
        now = int(time() * 1000)
        with _told(f"The metrics of {path!r} were not recorded"):
            active.log_points(Metric(key, value, now, step) for key, value, step in results.points)
    return missing


def _log_artifacts(active: ActiveRun, task: Task, cwd: Path, *, failed: bool) -> list[str]:
    """The files that are not there."""
    missing = []
    for text in task.artifacts:
        path, folder = split_artifact(text, cwd)
        if not path.exists():
            missing.append(text)
            if not failed:  # of a command that failed nothing else can be expected
                _warn(f"There is no file or folder {text!r}, so it was not kept.")
            continue
        target = "/".join(filter(None, [folder, path.absolute().name])) if path.is_dir() else folder
        with _told(f"{text!r} was not kept"):
            active.log_artifact(path, target)
    return missing


def _log_arguments(active: ActiveRun, params: Mapping[str, Any]) -> None:
    """The params of the command line; where the command logged one itself, its own value stays."""
    composed = live.compose_live(active.workspace.repo, active.id)
    known = {} if composed is None else composed.run.params
    usable = {}
    for key, value in params.items():
        try:
            names.check_key("param", key)
        except InvalidName as error:
            _warn(f"An argument is no param: {error}")
            continue
        if key not in known:
            usable[key] = value
    with _told("The arguments were not recorded as params"):
        active.log_params(usable)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """A command has run, perhaps for days: what of it cannot be recorded must not cost the rest."""
    try:
        yield
    except (RunstoneError, OSError) as error:
        _warn(f"{what}: {error}")


def _warn(text: str) -> None:
    warnings.warn(text, NotRecorded, stacklevel=3)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
