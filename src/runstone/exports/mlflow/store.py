"""The whole export: experiments, runs with all they logged, registered models; again and again, if need be."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from hashlib import sha1
from pathlib import Path
from typing import Any

from runstone.exports.choice import Choice
from runstone.exports.mlflow.files import Files
from runstone.exports.mlflow.target import OutgoingRun, Target, opened
from runstone.imports.report import Report
from runstone.records import yaml
from runstone.records.run import Run
from runstone.registry.version import ModelVersion, list_versions
from runstone.tracking.read import read_metrics
from runstone.tracking.workspace import Workspace

Progress = Callable[[int, int], None]
SNAPSHOT_TAG = "runstone.snapshot"


def export_to_mlflow(
    workspace: Workspace,
    uri: str,
    choice: Choice,
    *,
    artifacts: Path | None = None,
    with_artifacts: bool = True,
    with_models: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Write what is here into a store of MLflow's; what is there already, and has not changed, is left alone.

    Args:
        workspace: The repository.
        uri: A folder, a database's URI, or a server's.
        choice: Which runs.
        artifacts: Where artifacts go that a database's runs name; beside a SQLite file if not given.
        with_artifacts: Whether artifacts are copied.
        with_models: Whether registered models are written; of versions those whose runs are.
        progress: Told how many runs are done, of how many.

    Returns:
        What was carried, and what was not.

    Raises:
        MissingLibrary, InvalidValue, OutputRefused: The store cannot be written.
        FilterInvalid, ExperimentNotFound: The choice cannot be understood.
    """
    report = Report(source=str(uri))
    with opened(uri, artifacts) as target:
        export = _Export(workspace, target, report, with_artifacts=with_artifacts)
        runs = list(choice.walk(workspace.repo))
        for done, run in enumerate(runs, 1):
            export.run(run)
            if progress is not None:
                progress(done, len(runs))
        if choice.experiments is None and not choice.filter_string:
            export.empty_experiments()
        export.logged_models(runs, with_deleted=choice.with_deleted)
        target.settle()
        if with_models:
            export.models()
    if any(run.source.snapshot not in (None, run.source.commit) for run in runs):
        report.notes.append(f"The exact code stays in git: the tag `{SNAPSHOT_TAG}` of a run names its commit.")
    return report


class _Export:
    """One export under way."""

    def __init__(self, workspace: Workspace, target: Target, report: Report, *, with_artifacts: bool) -> None:
        from runstone.exports.mlflow.logged import LoggedModels
        from runstone.mlflow_plugin.registry import RegistryStore
        from runstone.mlflow_plugin.tracking import TrackingStore

        # A repository without a work tree has its git directory for a folder.
        folder = workspace.repo.work_tree or workspace.repo.common_dir
        self._workspace = workspace
        self._tracking = TrackingStore(f"runstone+file://{folder}")
        self._registry = RegistryStore(f"runstone+file://{folder}")
        self._target = target
        self._report = report
        self._files = Files(workspace, wanted=with_artifacts)
        self._logged = LoggedModels(target, self._tracking, self._files, report)
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, str] = {}
        self._roots: dict[str, str] = {}

    def run(self, run: Run) -> None:
        """Write a run, unless it is there as it is."""
        if self._logged.holds_only(run):
            return
        entity = self._tracking.get_run(run.id)
        if run.source.snapshot is not None:
            entity.data.tags[SNAPSHOT_TAG] = run.source.snapshot
        digest = sha1(yaml.dump(run.to_document()).encode(), usedforsecurity=False).hexdigest()
        experiment_id = self._experiment(entity.info.experiment_id)
        points = read_metrics(self._workspace, run.id) if run.metrics else []
        outgoing = OutgoingRun(entity, points, digest, self._files.of_run(run.id, self._logged.folders(run)))
        before = self._target.find(outgoing)
        if before is not None and before[1] is None:
            self._report.count("runs", "clash")
            self._report.miss("run", run.id, "another run of this id is there, which was not exported from here")
            return
        if before is not None and before[1] == digest:
            self._report.count("runs", "same")
            there = before[0]
        else:
            there, lost = self._target.put(outgoing, experiment_id, None if before is None else before[0])
            self._report.count("runs", "new" if before is None else "updated")
            for each in lost:
                self._report.miss(each.kind, f"{run.id}: {each.what}", each.why)
        self._runs[run.id] = there
        self._roots[run.id] = str(self._there.get_run(there).info.artifact_uri)

    def logged_models(self, runs: Sequence[Run], *, with_deleted: bool) -> None:
        """Write the logged models of some runs, all of which have been written; and which run made and used which."""
        for run in runs:
            self._logged.put(run, self._experiment, self._runs, with_deleted=with_deleted)
        for run in runs:
            if run.id in self._runs:
                self._logged.link(run, self._runs[run.id], self._there)

    def empty_experiments(self) -> None:
        """Write the experiments that no run has brought, but for `Default`, which is there from the start."""
        for experiment in _pages(self._tracking.search_experiments):
            if experiment.experiment_id != "0":
                self._experiment(experiment.experiment_id)

    def models(self) -> None:
        """Write the registered models."""
        from runstone.exports.mlflow.registry import OutgoingVersion, Registry

        registry = Registry(self._target, self._report)
        sources = {(v.name, v.version): self._source(v) for v in list_versions(self._workspace.repo)}
        versions = defaultdict(list)
        for version in _pages(self._registry.search_model_versions):
            run_id, source = self._runs.get(str(version.run_id)), sources[version.name, int(version.version)]
            versions[version.name].append(OutgoingVersion(version, source, run_id))
        for model in _pages(self._registry.search_registered_models):
            registry.put_model(model, sorted(versions[model.name], key=lambda each: each.number))

    def _source(self, version: ModelVersion) -> str | None:
        """Where the files of a version are there; None if they are not."""
        logged = self._logged.source(version.run_id, version.path)
        root = self._roots.get(version.run_id)
        return logged if logged is not None or root is None else f"{root}/{version.path}"

    def _experiment(self, experiment_id: str) -> str:
        found = self._experiments.get(experiment_id)
        if found is None:
            found, is_new = self._target.experiment(self._tracking.get_experiment(experiment_id))
            self._experiments[experiment_id] = found
            self._report.count("experiments", "new" if is_new else "same")
        return found

    @cached_property
    def _there(self) -> Any:
        from mlflow.tracking import MlflowClient

        return MlflowClient(self._target.uri, self._target.uri)


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    token = None
    while True:
        page = search(page_token=token, max_results=1000) if token else search(max_results=1000)
        yield from page
        token = page.token
        if not token:
            return
