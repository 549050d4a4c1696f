"""What a correction does to the record of a run: values set or taken away, each told with what it was before."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import time
from typing import Any

from runstone import names
from runstone.errors import InvalidValue, RunstoneError
from runstone.git.runs import layout
from runstone.git.runs.branch import Recorded
from runstone.git.runs.compose import same_value
from runstone.records.metric import Metric, format_metrics, parse_metrics, summarize
from runstone.records.run import Run
from runstone.tracking import values
from runstone.tracking.secrets import Redactor

Point = tuple[str, float, int | None]
"""Key, value, and step; None for the step whose value the summary shows as the last."""

Files = dict[str, str | bytes | None]
_SHOWN = 200
"""Characters of one value that are shown; both values are whole in the history of the record."""


@dataclass(frozen=True, slots=True)
class Change:
    """One value that a correction changed, as JSON shows it; None where there was, or is, none."""

    key: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        old, new = ("(none)" if value is None else value for value in (self.old, self.new))
        return f"{self.key}: {old} → {new}"


@dataclass(frozen=True, slots=True)
class Correction:
    """What is to be so; made by `check`."""

    params: Mapping[str, Any] = field(default_factory=dict)
    points: Sequence[Point] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    delete: Sequence[str] = ()
    name: str | None = None
    note: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not (self.params or self.points or self.tags or self.delete) and self.name is None and self.note is None


def check(given: Correction, redactor: Redactor) -> Correction:
    """The same with every key and value checked, and secrets redacted.

    Raises:
        InvalidName: A key or the name cannot be used.
        InvalidValue: A value cannot be recorded.
    """

    def each(kind: str, pairs: Mapping[str, Any], check_value: Callable[[str, Any], Any]) -> dict[str, Any]:
        values.check_keys(kind, pairs)
        return {key: redactor.param(key, check_value(key, value)) for key, value in pairs.items()}

    def text(kind: str, value: str | None) -> str | None:
        return None if value is None else redactor.text(values.check_text(kind, kind, value), key=kind)

    checked = values.metric_points(Metric(key, value, 0, step or 0) for key, value, step in given.points)
    return Correction(
        params=each("param", given.params, values.param_value),
        points=[
            (key, value, None if point[2] is None else step)
            for (key, value, _, step), point in zip(checked, given.points, strict=True)
        ],
        tags=each("tag", given.tags, values.tag_value),
        delete=tuple(given.delete),
        name=text("run name", None if given.name is None else names.check_name("run name", given.name)),
        note=text("note", given.note),
    )


def correct(recorded: Recorded, wanted: Correction, redactor: Redactor) -> tuple[Run, Files, list[Change]]:
    """The run as it is to be, the other files of its folder that change, by path, and what changed.

    A secret that was recorded is not told again.

    Raises:
        RunstoneError: It has no param that is to be taken away.
        InvalidValue: It would hold too much text.
    """
    run = recorded.run
    files: Files = {}
    changes: list[Change] = []
    params = dict(run.params)
    for key in wanted.delete:
        if key not in params:
            known = ", ".join(params) or "none"
            raise RunstoneError(f"Run {run.id} has no param {key!r:.80}. It has: {known[:400]}")
        changes.append(Change(f"params.{key}", _show(redactor.param(key, params.pop(key))), None))
    for key, value in wanted.params.items():
        if key not in params or not same_value(params[key], value):
            old = _show(redactor.param(key, params[key])) if key in params else None
            changes.append(Change(f"params.{key}", old, _show(value)))
            params[key] = value
    tags = dict(run.tags)
    for key, text in wanted.tags.items():
        if tags.get(key) != text:
            old = _show(redactor.param(key, tags[key])) if key in tags else None
            changes.append(Change(f"tags.{key}", old, _show(text)))
            tags[key] = text
    if sum(len(str(value)) for value in (*params.values(), *tags.values())) > values.MAX_TEXT:
        most = f"{values.MAX_TEXT // 1024**2} MiB"
        raise InvalidValue(f"The params and tags of run {run.id} would hold more than {most} of text.")
    run = replace(run, params=params, tags=tags)
    if wanted.points:
        run, points, found = _correct_metrics(recorded, run, wanted.points)
        changes += found
        if found:
            files[f"{recorded.folder}/{layout.METRICS}"] = format_metrics(points)
    if wanted.name is not None and wanted.name != run.name:
        changes.append(Change("name", _show(run.name), _show(wanted.name)))
        run = replace(run, name=wanted.name)
    if wanted.note is not None:
        data = recorded.files.get(layout.NOTES)
        before = None if data is None else data.decode(errors="replace")
        if before != wanted.note:
            old = None if before is None else _show(redactor.text(before, key="note"))
            changes.append(Change("note", old, _show(wanted.note)))
            files[f"{recorded.folder}/{layout.NOTES}"] = wanted.note
    return run, files, changes


def _correct_metrics(recorded: Recorded, run: Run, wanted: Sequence[Point]) -> tuple[Run, list[Metric], list[Change]]:
    text = recorded.files.get(layout.METRICS)
    where = f"{recorded.folder}/{layout.METRICS}"
    points = [] if text is None else list(parse_metrics(text.decode(errors="replace"), where))
    changes = []
    summaries = dict(run.metrics)
    for key, value, given in wanted:
        step = given if given is not None else summaries[key].step if key in summaries else 0
        at = next((i for i in reversed(range(len(points))) if (points[i].key, points[i].step) == (key, step)), None)
        shown = f"metrics.{key}" if given is None else f"metrics.{key}@{given}"
        if at is None:
            points.append(Metric(key, value, int(time() * 1000), step))
            changes.append(Change(shown, None, _show(value)))
        elif not same_value(points[at].value, value):
            changes.append(Change(shown, _show(points[at].value), _show(value)))
            points[at] = replace(points[at], value=value)
        else:
            continue
        made = summarize(point for point in points if point.key == key)[key]
        summaries[key] = replace(made, extra=summaries[key].extra if key in summaries else {})
    return replace(run, metrics=summaries), points, changes


def _show(value: Any) -> str:
    """A value as JSON on one line, of bounded length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
