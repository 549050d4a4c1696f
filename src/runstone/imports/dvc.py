"""Experiments of DVC, which are commits under `refs/exps`, and folders that DVCLive wrote to."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runstone.errors import ObjectMissing, RunNotFound, RunstoneError
from runstone.git.objects import Commit
from runstone.git.repository import Repository
from runstone.imports.dvc_files import Pipeline, read_pipeline, read_values
from runstone.imports.dvc_outputs import DvcBytes, Output, find_files, find_outputs
from runstone.imports.dvclive import PARAMS, SUMMARY, Live, find_folders, read_live
from runstone.imports.foreign import derived_id, file_time, flatten, number
from runstone.imports.incoming import IncomingFile, IncomingRun, Refusal, Unavailable
from runstone.imports.intake import Intake
from runstone.imports.trees import CommitTree, FolderTree
from runstone.records.experiment import Experiment
from runstone.records.metric import Metric
from runstone.records.run import Run, Source
from runstone.tracking.read import need_recorded

ORIGIN = "dvc"
_EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38,62})/(.+)")
_PERSON = re.compile(r"(.*?) <.*> (\d+) [+-]\d{4}")


@dataclass(slots=True)
class _Said:
    """What the files of one run say together."""

    params: dict[str, Any] = field(default_factory=dict)
    points: list[Metric] = field(default_factory=list)
    files: dict[str, IncomingFile] = field(default_factory=dict)

    def add_live(self, live: Live) -> None:
        self.add_params(live.params, PARAMS)
        self.points += live.points
        self.files |= {file.path: file for file in live.files}

    def add_params(self, params: dict[str, Any], file: str) -> None:
        """Where two files have one key with different values, the later one's has the file before it, as in DVC."""
        for key, value in params.items():
            is_other = key in self.params and self.params[key] != value
            self.params[f"{file}:{key}" if is_other else key] = value

    def add_metrics(self, metrics: dict[str, float], file: str, time: int) -> None:
        known = {point.key for point in self.points}
        for key, value in metrics.items():
            self.points.append(Metric(f"{file}:{key}" if key in known else key, value, time, 0))


def bring(intake: Intake, path: Path, *, experiment: str | None = None) -> None:
    """Take in the experiments of a repository, and the folders of DVCLive below a folder.

    An experiment's commit is the code of its run, and its id is made of it. The id of a folder's run is made of the
    folder's name, its params and its first point, so that it grows, and is another one when it is begun anew.

    Args:
        intake: Where to.
        path: The top of a repository, or a folder.
        experiment: The name of the experiment; `dvc` if not given.

    Raises:
        RunstoneError: There is neither an experiment nor a folder of DVCLive.
    """
    repo = _repository(path)
    commits = _experiments(repo) if repo is not None else {}
    tree = FolderTree(path)
    folders = find_folders(tree)
    if not commits and not folders:
        raise RunstoneError(
            f"There is nothing of DVC in {path}: no experiment (`dvc exp list --all-commits`), and no folder that "
            f"DVCLive wrote to, with `{SUMMARY}` and `plots/metrics` in it."
        )
    intake.total = len(commits) + len(folders)
    into = intake.experiment(experiment or ORIGIN, origin=ORIGIN)
    marks: set[str] = set()
    if repo is not None and commits:
        theirs = repo if repo.common_dir != intake.workspace.repo.common_dir else None
        if theirs is not None:
            why = "their commits are in another repository. To keep them, fetch them from there, and import again"
            intake.not_carried("code", "experiments", why, is_loss=False, number=len(commits))
        data = DvcBytes(intake.workspace, repo, may_pull=not intake.report.is_dry)
        for commit, (name, baseline) in commits.items():
            _bring_experiment(intake, repo, data, commit, name, baseline, into, marks)
    for folder in folders:
        _bring_folder(intake, tree, folder, into, marks)


def _repository(path: Path) -> Repository | None:
    """The repository whose top, or git directory, a folder is."""
    try:
        repo = Repository.open(path)
    except RunstoneError:
        return None
    here = path.resolve()
    return repo if here in {(repo.work_tree or repo.git_dir).resolve(), repo.git_dir.resolve()} else None


def _experiments(repo: Repository) -> dict[str, tuple[str, str]]:
    """The experiments: commit → name and baseline."""
    found = {}
    for ref, commit in repo.refs.list("refs/exps/").items():
        match = _EXPERIMENT.fullmatch(ref)
        if match is not None:
            found[commit] = (match[3], match[1] + match[2])
    return found


def _bring_experiment(
    intake: Intake,
    repo: Repository,
    data: DvcBytes,
    oid: str,
    name: str,
    baseline: str,
    into: Experiment,
    marks: set[str],
) -> None:
    told = f"run {name}"
    refuse = intake.report.refusal("file", told)
    try:
        commit = repo.objects.commit(oid)
        tree = CommitTree(repo, oid)
        user, time = _person(commit)
        said = _Said()
        for folder in find_folders(tree):
            live = read_live(tree, folder, refuse)
            marks.add(live.mark)
            said.add_live(live)
        pipeline = read_pipeline(tree, refuse)
        outputs = find_outputs(tree)
        _add_files(said, tree, pipeline, outputs, data, time, refuse)
    except ObjectMissing as error:
        intake.not_carried("run", name, str(error))
        return
    run = Run(
        id=derived_id(ORIGIN, oid),
        name=name,
        experiment=into.name,
        experiment_id=into.experiment_id,
        status="FINISHED",
        user=user,
        started=_started(said.points, time),
        ended=max([time, *(point.timestamp for point in said.points)]),  # a commit's time has whole seconds
        source=Source(commit=baseline, snapshot=oid, directory="."),
        params=said.params,
        tags={"dvc.experiment": name},
    )
    files = _artifacts(said, tree, pipeline, outputs, data, refuse)
    intake.run(IncomingRun(run=run, origin=ORIGIN, points=_timed(said.points, time), artifacts=files))


def _add_files(
    said: _Said,
    tree: CommitTree,
    pipeline: Pipeline,
    outputs: dict[str, Output],
    data: DvcBytes,
    time: int,
    refuse: Refusal,
) -> None:
    """Add what the files hold that `dvc.yaml` names, but those of DVCLive, which are read already."""
    live = find_folders(tree)
    own = {f"{folder}/{name}".lstrip("/") for folder in live for name in (SUMMARY, PARAMS)}

    def values(path: str) -> Any:
        content = tree.read(path)
        if content is None and path in outputs:
            try:
                content = data.read(outputs[path])
            except Unavailable as error:
                refuse(path, str(error))
                return None
        return read_values(content, path, refuse) if content is not None else None

    for path in pipeline.params:
        found = values(path) if path not in own else None
        if isinstance(found, dict):
            said.add_params({key: value for key, value in flatten(found) if key}, path)
    for path in pipeline.metrics:
        found = values(path) if path not in own else None
        if isinstance(found, dict):
            numbers = {key: number(value) for key, value in flatten(found)}
            said.add_metrics({key: value for key, value in numbers.items() if value is not None}, path, time)
            for key in (key for key, value in numbers.items() if value is None and key):
                refuse(f"{path}: {key}", "it is no number, and a metric is one")


def _artifacts(
    said: _Said, tree: CommitTree, pipeline: Pipeline, outputs: dict[str, Output], data: DvcBytes, refuse: Refusal
) -> Iterator[IncomingFile]:
    """What DVCLive wrote beside metrics, the plots, and the artifacts that `dvc.yaml` names, by their own paths."""
    seen = set(said.files)
    yield from said.files.values()
    for path in [*pipeline.plots, *(each.path for each in pipeline.artifacts.values() if each.path)]:
        try:
            for file in find_files(tree, outputs, data, path):
                if file.path not in seen and not _is_table(file.path):
                    seen.add(file.path)
                    yield file
        except Unavailable as error:
            refuse(path, str(error))


def _is_table(path: str) -> bool:
    return "plots/metrics/" in path and path.endswith(".tsv")


def _bring_folder(intake: Intake, tree: FolderTree, folder: str, into: Experiment, marks: set[str]) -> None:
    place = tree.root / folder
    name = place.resolve().name
    told = f"run {folder or name}"
    live = read_live(tree, folder, intake.report.refusal("file", told))
    if live.mark in marks:
        intake.not_carried("folder", folder or name, "it is that of an experiment, which was carried", is_loss=False)
        return
    if not live.points and not live.params:
        return
    written = [file_time(tree.root / path) for path in tree.paths if path.startswith(f"{folder}/" if folder else "")]
    ended = max([*written, *(point.timestamp for point in live.points)])
    run_id = derived_id("dvclive", name, json.dumps(live.params, sort_keys=True, default=str), live.first)
    started = _known_start(intake, run_id) or _started(live.points, min(written))
    run = Run(
        id=run_id,
        name=folder or name,
        experiment=into.name,
        experiment_id=into.experiment_id,
        status="FINISHED",
        user="",
        started=started,
        ended=max(started, ended),
        params=live.params,
        tags={"dvc.folder": folder or name},
    )
    start = f"{folder}/" if folder else ""
    for path in tree.passed:
        if path.startswith(start):
            intake.not_carried("artifact", f"{told}: {path}", "it is a symbolic link, no file, or may not be read")
    files = [file._replace(path=file.path.removeprefix(start)) for file in live.files]
    intake.run(IncomingRun(run=run, origin="dvclive", points=_timed(live.points, started), artifacts=files))


def _known_start(intake: Intake, run_id: str) -> int | None:
    """When a run that is here already was begun: the times of files, which tell that else, change when it grows."""
    try:
        return need_recorded(intake.workspace, run_id).run.started
    except RunNotFound:
        return None


def _person(commit: Commit) -> tuple[str, int]:
    """Who wrote a commit, and when."""
    match = _PERSON.fullmatch(commit.author)
    return (match[1], int(match[2]) * 1000) if match is not None else ("", 0)


def _started(points: list[Metric], otherwise: int) -> int:
    return min((point.timestamp for point in points if point.timestamp > 0), default=otherwise)


def _timed(points: list[Metric], time: int) -> Iterator[Metric]:
    """The points, those without a time of their own at a time."""
    for point in points:
        yield point if point.timestamp else Metric(point.key, point.value, time, point.step)
