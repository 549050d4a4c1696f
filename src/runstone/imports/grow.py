"""A run that comes in, beside one of its id that is here: whether they are one, and what the record of both says."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from runstone.artifacts.store import ArtifactStore
from runstone.git.runs import layout
from runstone.git.runs.branch import Draft, Recorded
from runstone.git.runs.compose import same_value
from runstone.imports.incoming import IMPORTED
from runstone.imports.prepare import EMPTY_FOLDER, Prepared
from runstone.records import yaml
from runstone.records.metric import format_metrics, parse_metrics, summarize
from runstone.records.run import Run

Files = dict[str, str | bytes | None]


def mark_of(run: Run) -> dict[str, Any]:
    """Where a run was imported from: `from`, `id`, `digest`; empty if it was not."""
    mark = run.extra.get(IMPORTED)
    return mark if isinstance(mark, dict) else {}


def is_grown(recorded: Recorded, ready: Prepared) -> bool:
    """Whether a run that comes in is one that was imported before, as it is now.

    It is if it is from the same place, and says nothing else of what never changes: its start, and params it had; or,
    from wherever, if it has all that the recorded one had.
    """
    was, run, mark = recorded.run, ready.run, mark_of(recorded.run)
    if not mark or was.started != run.started:
        return False
    if any(key in run.params and not same_value(value, run.params[key]) for key, value in was.params.items()):
        return False
    if mark.get("from") == ready.origin:
        return True
    if (was.user, was.experiment) != (run.user, run.experiment) or was.params.keys() - run.params.keys():
        return False
    if any(key not in run.metrics or run.metrics[key].count < was.metrics[key].count for key in was.metrics):
        return False
    lines = set(ready.metrics.splitlines())
    return all(line in lines for line in recorded.files.get(layout.METRICS, b"").decode().splitlines())


def candidates(run_id: str) -> Iterator[str]:
    """The ids to try for a run, its own first."""
    yield run_id
    number = 2
    while True:
        yield f"{run_id[: 98 - len(str(number))]}-{number}"
        number += 1


def run_folders(draft: Draft) -> Iterator[tuple[str, str]]:
    """The runs of a branch: id → folder."""
    objects = draft.repo.objects
    for experiment_id, entry in draft.list(layout.EXPERIMENTS).items():
        if not entry.is_tree:
            continue
        for day, below in objects.tree(entry.oid).items():
            if not below.is_tree:
                continue
            for part, runs in objects.tree(below.oid).items():
                for run_id in objects.tree(runs.oid) if runs.is_tree else ():
                    yield run_id, f"{layout.EXPERIMENTS}/{experiment_id}/{day}/{part}/{run_id}"


def new_files(ready: Prepared, run: Run) -> Files:
    """The files of a run that is new here."""
    files: Files = {layout.RECORD: yaml.dump(run.to_document())}
    if ready.metrics:
        files[layout.METRICS] = ready.metrics
    if ready.pointer is not None:
        files[layout.ARTIFACTS] = ready.pointer
    if ready.notes is not None:
        files[layout.NOTES] = ready.notes
    if ready.requirements is not None:
        files[layout.REQUIREMENTS] = ready.requirements
    return files


def grown_files(store: ArtifactStore, recorded: Recorded, ready: Prepared, run: Run) -> Files:
    """The files of a run that was here, and has changed at its source: what the source says wins, the rest stays."""
    was = recorded.run
    files = new_files(ready, run)
    metrics = run.metrics
    before = recorded.files.get(layout.METRICS)
    if before is not None and was.metrics.keys() - run.metrics.keys():
        old = parse_metrics(before.decode(), f"{recorded.folder}/{layout.METRICS}")
        points = [point for point in old if point.key not in run.metrics]
        points += parse_metrics(ready.metrics, layout.METRICS) if ready.metrics else []
        files[layout.METRICS], metrics = format_metrics(points), summarize(points)
    if ready.rows:
        files[layout.ARTIFACTS] = store.pointer(recorded.files.get(layout.ARTIFACTS), ready.rows)
    models = {model.path: model for model in was.models}
    for model in run.models:
        there = models.get(model.path)
        if there is not None and model.digest == EMPTY_FOLDER:  # its files are not brought now
            model = there._replace(extra={**there.extra, **model.extra})
        models[model.path] = model
    merged = replace(
        was,
        name=run.name,
        status=run.status,
        ended=run.ended,
        parent=run.parent or was.parent,
        lifecycle=was.lifecycle if was.lifecycle == "deleted" else run.lifecycle,
        deleted=was.deleted or run.deleted,
        source=run.source if was.source.code is None else was.source,
        environment=run.environment if run.environment.requirements is not None else was.environment,
        params={**was.params, **run.params},
        metrics=metrics,
        tags={**was.tags, **run.tags},
        datasets=(*was.datasets, *(each for each in run.datasets if each not in was.datasets)),
        models=tuple(models[path] for path in sorted(models)),
        extra={**was.extra, **run.extra},
    )
    return files | {layout.RECORD: yaml.dump(merged.to_document())}
