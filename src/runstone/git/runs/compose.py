"""A run made of what was recorded of it before and of what its journals say: the one place where lines become a record.

It serves the commit of an ended run, the recovery of a killed one, and the view of a live one alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runstone.errors import RecordInvalid
from runstone.git.runs import journal, layout
from runstone.git.runs.branch import Recorded
from runstone.git.runs.journal import Journal
from runstone.records import model_metric
from runstone.records.dataset import Dataset
from runstone.records.document import Document, format_time
from runstone.records.metric import Metric, parse_metrics, summarize
from runstone.records.model import ModelReference
from runstone.records.run import STATUSES, Environment, ParamValue, Run, Source


@dataclass(frozen=True, slots=True)
class Composed:
    """A run, and what its other files are made of.

    Attributes:
        run: The record.
        folder: Where it belongs.
        points: All points, in the order written.
        artifacts: `[path, size, md5]` of each artifact that the journals name; without a digest, one that was removed.
        requirements: The exact packages, if the journals name them.
        notes: The notes, if the journals change them.
        damaged: Journal lines that could not be read.
    """

    run: Run
    folder: str
    points: list[Metric]
    artifacts: list[list[Any]]
    requirements: str | None
    notes: str | None
    damaged: int


def compose(run_id: str, base: Recorded | None, journals: Sequence[Journal]) -> Composed:
    """Fold journals onto what was recorded.

    Of a param logged twice with different values the first stays and the others are kept in `conflicts`; of tags,
    notes and names the last wins.

    Args:
        run_id: The run.
        base: What the branch holds of it; None for a new run.
        journals: In order of their start.

    Raises:
        RecordInvalid: The journals do not say which run they belong to, or hold a line that is no record.
    """
    where = f"journal of {run_id}"
    run = _begin(run_id, base, journals, where)
    for document in journal.lines(journal.SOURCE, journals):
        run = replace(run, source=Source.from_document(document, where, "source"))
    for document in journal.lines(journal.ENVIRONMENT, journals):
        run = replace(run, environment=Environment.from_document(document, where, "environment"))
    params, conflicts = _params(run, journals)
    extra = _extra(run.extra, journals, where)
    points = _points(base, journals)
    if next(journal.lines(journal.MODEL_POINT, journals), None) is not None:
        points = _once(points, extra, where)
    run = replace(
        run,
        name=_last(journal.NAME, journals, run.name),
        params=params,
        conflicts=conflicts,
        tags=_tags(run.tags, journals),
        metrics=summarize(points),
        datasets=_datasets(run, journals, where),
        models=_models(run, journals, where),
        extra=extra,
    )
    run = _end(run, base, journals)
    return Composed(
        run=run,
        folder=base.folder if base else layout.run_folder(run.experiment_id, run.started, run.id),
        points=points,
        artifacts=list(journal.lines(journal.ARTIFACT, journals)),
        requirements=_last(journal.REQUIREMENTS, journals, None),
        notes=_last(journal.NOTE, journals, None),
        damaged=sum(j.damaged for j in journals),
    )


def _begin(run_id: str, base: Recorded | None, journals: Sequence[Journal], where: str) -> Run:
    if base is not None:
        return base.run
    headers = [j.header for j in journals if j.header]
    # A joiner's header tells the same of the run; it counts when the first writer's file is lost.
    header = next((h for h in headers if h.get("role") == journal.START), headers[0] if headers else None)
    try:
        if header is None:
            raise KeyError("header")
        return Run(
            id=run_id,
            name=str(header["name"]),
            experiment=str(header["experiment"]),
            experiment_id=str(header["experiment_id"]),
            status="RUNNING",
            user=str(header["user"]),
            started=int(header["started"]),
            parent=header.get("parent"),
            rerun_of=header.get("rerun_of"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordInvalid(where, f"its first line does not say what run it is ({error})") from error


def _end(run: Run, base: Recorded | None, journals: Sequence[Journal]) -> Run:
    stretches = [j for j in journals if (j.header or {}).get("role") in journal.OWNERS]
    attempts = list(run.attempts)
    for stretch in stretches:
        header = stretch.header or {}
        ended = next((e.value for e in stretch.events if e.kind == journal.END), None)
        status = ended["status"] if ended else "RUNNING"
        end_time = int(ended["ended"]) if ended and ended.get("ended") is not None else None
        if header.get("role") == journal.RESUME:
            if not attempts:
                attempts.append(_attempt(run.started, run.ended, run.status, base.run.source.commit if base else None))
            attempts.append(_attempt(int(header["resumed"]), end_time, status, run.source.commit))
        run = replace(run, status=status if status in STATUSES else "FAILED", ended=end_time)
    return replace(run, attempts=tuple(attempts))


def _attempt(started: int, ended: int | None, status: str, commit: str | None) -> Document:
    document: Document = {"started": format_time(started)}
    if ended is not None:
        document["ended"] = format_time(ended)
    document["status"] = status
    if commit is not None:
        document["commit"] = commit
    return document


def _params(run: Run, journals: Sequence[Journal]) -> tuple[dict[str, ParamValue], tuple[Document, ...]]:
    params = dict(run.params)
    conflicts = list(run.conflicts)
    for batch in journal.lines(journal.PARAMS, journals):
        for key, value in batch.items():
            if key not in params:
                params[key] = value
            elif not same_value(params[key], value):
                lost = {"param": key, "value": value}
                if lost not in conflicts:
                    conflicts.append(lost)
    return params, tuple(conflicts)


def same_value(a: object, b: object) -> bool:
    """Whether two param values are the same: equal and, unlike `1 == True` and `1 == 1.0`, of one kind; NaN is NaN."""
    return type(a) is type(b) and (a == b or repr(a) == repr(b))


def _tags(tags: Mapping[str, str], journals: Sequence[Journal]) -> dict[str, str]:
    result = dict(tags)
    found = [e for j in journals for e in j.events if e.kind in (journal.TAGS, journal.UNTAG)]
    for event in sorted(found, key=lambda event: event.time_ns):
        if event.kind == journal.TAGS:
            result.update(event.value)
        else:
            for key in event.value:
                result.pop(key, None)
    return result


def _extra(extra: Document, journals: Sequence[Journal], where: str) -> Document:
    """Keys of the record that this library gives no meaning; the last value wins, None takes one away."""
    result = dict(extra)
    for values in journal.lines(journal.EXTRA, journals):
        result.update(values)
    points = journal.lines(journal.MODEL_POINT, journals)
    result[model_metric.KEY] = model_metric.add(result.get(model_metric.KEY), points, where)
    return {key: value for key, value in result.items() if value is not None}


def _points(base: Recorded | None, journals: Sequence[Journal]) -> list[Metric]:
    points: list[Metric] = []
    if base is not None and layout.METRICS in base.files:
        text = base.files[layout.METRICS].decode()
        points.extend(parse_metrics(text, f"{base.folder}/{layout.METRICS}"))
    logged = [j.points for j in journals if j.points]
    if len(logged) == 1:
        points.extend(Metric(*point) for point in logged[0])
    else:
        # Several writers: only the clock can say who was last where steps are equal; one writer's order is kept.
        together = sorted((point for each in logged for point in each), key=lambda point: point[2])
        points.extend(Metric(*point) for point in together)
    return points


def _once(points: list[Metric], extra: Document, where: str) -> list[Metric]:
    """Without the points that were logged again only to say which model they were measured of."""
    linked = {
        (point.metric, repr(point.value), point.timestamp, point.step): False
        for point in model_metric.parse(extra.get(model_metric.KEY), where)
    }
    kept = []
    for point in points:
        place = (point.key, repr(point.value), point.timestamp, point.step)
        if not linked.get(place):
            kept.append(point)
        if place in linked:
            linked[place] = True
    return kept


def _datasets(run: Run, journals: Sequence[Journal], where: str) -> tuple[Dataset, ...]:
    datasets = list(run.datasets)
    for i, document in enumerate(journal.lines(journal.DATASET, journals)):
        dataset = Dataset.from_document(document, where, f"datasets[{i}]")
        if dataset not in datasets:
            datasets.append(dataset)
    return tuple(datasets)


def _models(run: Run, journals: Sequence[Journal], where: str) -> tuple[ModelReference, ...]:
    models = {model.path: model for model in run.models}
    for i, document in enumerate(journal.lines(journal.MODEL, journals)):
        model = ModelReference.from_document(document, where, f"models[{i}]")
        models[model.path] = model
    return tuple(models.values())


def _last(kind: str, journals: Sequence[Journal], default: Any) -> Any:
    value = default
    for value in journal.lines(kind, journals):  # noqa: B007  # the last one is what is asked for
        pass
    return value
