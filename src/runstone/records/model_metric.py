"""Points of a run's metrics that were measured of a model: `model_metrics` of its record, text a model and metric.

One line a point, so that a diff shows what came; a list of lists would take YAML a second for 10,000 of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

from runstone.errors import RecordInvalid
from runstone.records.document import Document

KEY = "model_metrics"
"""The key of the run's record."""


_TEXTS = ("model", "metric", "points", "dataset", "digest")


class ModelPoint(NamedTuple):
    """One value that was measured of a model.

    Attributes:
        model: The logged model's id.
        metric: The metric's key.
        step: The training step.
        timestamp: Unix milliseconds.
        value: The value.
        dataset: The name of the dataset it was measured on, if that was said.
        digest: That dataset's digest.
    """

    model: str
    metric: str
    step: int
    timestamp: int
    value: float
    dataset: str | None = None
    digest: str | None = None


def parse(document: Any, where: str) -> Iterator[ModelPoint]:
    """The points of a record, in the order of its text.

    Raises:
        RecordInvalid: It is no list of them.
    """
    if document is None:
        return
    if not isinstance(document, list):
        raise RecordInvalid(where, f"`{KEY}` must be a list")
    for number, item in enumerate(document):
        texts = [item.get(key) if isinstance(item, dict) else 0 for key in _TEXTS]
        if not all(text is None or isinstance(text, str) for text in texts) or None in texts[:3]:
            raise RecordInvalid(where, f"`{KEY}[{number}]` must be a map with the texts `model`, `metric` and `points`")
        model, metric, points, dataset, digest = cast(list[Any], texts)
        for line in points.split("\n"):
            try:
                step, timestamp, value = line.split(" ")
                yield ModelPoint(model, metric, int(step), int(timestamp), float(value), dataset, digest)
            except ValueError:
                what = f"must hold lines of step, time and value, but has {line[:60]!r}"
                raise RecordInvalid(where, f"`{KEY}[{number}].points` {what}") from None


def add(document: Any, rows: Iterable[Sequence[Any]], where: str) -> list[Document] | None:
    """What a record holds, with further points; of one model, metric, time and step the first value stays.

    Args:
        document: What the record holds; None for nothing.
        rows: The fields of `ModelPoint`, as a journal's lines hold them.
        where: What to call it in an error.

    Returns:
        What the record is to hold; None for nothing.

    Raises:
        RecordInvalid: One of them cannot be read.
    """
    fresh = list(rows)
    if not fresh:
        return document  # type: ignore[no-any-return]  # as it was, whatever it holds
    try:
        points = [*parse(document, where), *(ModelPoint(*row) for row in fresh)]
        texts: dict[tuple[str, str, str | None, str | None], list[str]] = {}
        seen = set()
        for point in points:
            place = point[:4]
            if place not in seen:
                seen.add(place)
                line = f"{point.step:d} {point.timestamp:d} {float(point.value)!r}"
                texts.setdefault((point.model, point.metric, point.dataset, point.digest), []).append(line)
    except (TypeError, ValueError) as error:
        raise RecordInvalid(where, f"a point of a model's metric cannot be read ({error})") from error
    return [_group(*key, lines) for key, lines in texts.items()]


def _group(model: str, metric: str, dataset: str | None, digest: str | None, lines: list[str]) -> Document:
    group = {"model": model, "metric": metric, "dataset": dataset, "digest": digest, "points": "\n".join(lines)}
    return {key: value for key, value in group.items() if value is not None}
