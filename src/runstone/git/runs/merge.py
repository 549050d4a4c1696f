"""Two changes of one record become one: field by field; `points` joins what lies in `metrics.tsv`.

Where both sides changed one field differently, `ours` wins: it is the event that is replayed, so the later one in the
line. No clock is asked. What lost is told in a `MergeNote`, of which the commit's message keeps a line.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runstone.records import yaml
from runstone.records.document import Document
from runstone.records.experiment import Experiment
from runstone.records.metric import Metric, summarize
from runstone.records.run import Run

_MAX_VALUE = 1000
_KEYED = {
    "models": ("path",),
    "datasets": ("name", "digest", "role"),
    "model_metrics": ("model", "metric", "dataset", "digest"),
}
_UNIONS = ("attempts", "conflicts", "amendments", "model_inputs", "model_outputs")
_SUMMARY = ("last", "step", "min", "max", "count", "latest")
_INVISIBLE = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


class _Absent:
    """The value of a field that a document does not have."""


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class MergeNote:
    """One value that another replaced when two changes met.

    Attributes:
        record: The id of the run or experiment; empty for another file of the branch.
        key: The field, such as `tags.team`, or the file.
        kept: The value that stands, in one line of JSON, cut if it is long; `removed` if there is none.
        other: The value that was replaced, likewise.
    """

    record: str
    key: str
    kept: str
    other: str

    def __str__(self) -> str:
        return f"Replaced: {self.key}: {self.other} -> {self.kept}"


def note(record: str, path: Sequence[str], kept: Any, other: Any, *, limit: int = _MAX_VALUE) -> MergeNote:
    """Tell of a value that was replaced, in text that is safe to show in one line."""
    return MergeNote(record, ".".join(map(_show_key, path)), show(kept, limit), show(other, limit))


def show(value: Any, limit: int = _MAX_VALUE) -> str:
    """A value as one line of JSON: control characters and what changes the direction of text escaped, long ones cut."""
    if value is ABSENT:
        return "removed"
    text = _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", _canonical(value))
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def merge_run(
    base: bytes | None, ours: bytes, theirs: bytes, *, run_id: str, points: Sequence[Metric] | None = None
) -> tuple[str, list[MergeNote]]:
    """Join two changes of one `run.yaml`.

    Args:
        base: What both changed; None if both made it.
        ours: The later one.
        theirs: The earlier one.
        run_id: For the notes.
        points: All points, where those of both sides were joined: the summary is made of them.

    Returns:
        The text of the record, and what lost.

    Raises:
        RecordInvalid, NewerFormat, InvalidValue: One of them is no record that this version can join.
    """
    documents = [_load(text, Run, f"run {run_id}") for text in (base, ours, theirs)]
    summaries: Document = {}
    if points is not None:
        for document in documents[:0:-1]:  # theirs, then ours
            _update_extras(summaries, document.get("metrics"))
        for document in documents:
            document.pop("metrics", None)
    merged, notes = merge_documents(documents[0] if base is not None else ABSENT, documents[1], documents[2], run_id)
    if points is not None:
        _summarize(merged, points, summaries)
    Run.from_document(merged, "", f"run {run_id}, joined")
    return yaml.dump(merged), notes


def merge_experiment(
    base: bytes | None, ours: bytes, theirs: bytes, *, experiment_id: str
) -> tuple[str, list[MergeNote]]:
    """As `merge_run`, of an `experiment.yaml`. An experiment that both sides made was created when theirs was."""
    documents = [_load(text, Experiment, f"experiment {experiment_id}") for text in (base, ours, theirs)]
    merged, notes = merge_documents(
        documents[0] if base is not None else ABSENT, documents[1], documents[2], experiment_id
    )
    Experiment.from_document(merged, "", f"experiment {experiment_id}, joined")
    return yaml.dump(merged), notes


def merge_documents(base: Any, ours: Document, theirs: Document, record: str) -> tuple[Document, list[MergeNote]]:
    """Join two changes of one document, maps into their depth; `base` may be `ABSENT`."""
    notes: list[MergeNote] = []
    merged = _Merge(record, notes).value((), base, ours, theirs)
    result: Document = merged if isinstance(merged, dict) else {}
    if result.get("lifecycle", "active") == "active" and "deleted" in result:
        notes.append(note(record, ("deleted",), ABSENT, result["deleted"]))
        result = {key: value for key, value in result.items() if key != "deleted"}
    return result, notes


def put_summary(text: bytes, points: Sequence[Metric], *, run_id: str) -> str:
    """A `run.yaml` with the summary of its metrics made anew.

    Raises:
        RecordInvalid, NewerFormat, InvalidValue: It is no record that this version can write.
    """
    document = _load(text, Run, f"run {run_id}")
    extras: Document = {}
    _update_extras(extras, document.pop("metrics", None))
    _summarize(document, points, extras)
    return yaml.dump(document)


class _Merge:
    """One pass over a document."""

    def __init__(self, record: str, notes: list[MergeNote]) -> None:
        self._record, self._notes = record, notes

    def value(self, path: tuple[str, ...], base: Any, ours: Any, theirs: Any) -> Any:
        """The joined value of one field, or `ABSENT`."""
        if _same(ours, theirs) or _same(ours, base):
            return theirs
        if _same(theirs, base):
            return ours
        values = (base, ours, theirs)
        is_set = len(path) == 1 and (path[0] in _KEYED or path[0] in _UNIONS)
        if is_set and all(map(_is_list_of_maps, values)):
            return self._items(path, base, ours, theirs)
        # A summary's numbers, or the time and reason of a deletion, belong together.
        is_whole = is_set or path[:1] == ("deleted",) or (len(path) > 1 and path[0] == "metrics")
        if not is_whole and all(value is ABSENT or isinstance(value, dict) for value in values):
            return self._map(path, base, ours, theirs)
        if path == ("created",):
            ours, theirs = theirs, ours  # an experiment is as old as its first record in the line
        self._notes.append(note(self._record, path, ours, theirs))
        return ours

    def _map(self, path: tuple[str, ...], base: Any, ours: Any, theirs: Any) -> Any:
        b, o, t = ({} if value is ABSENT else value for value in (base, ours, theirs))
        merged = {}
        for key in dict.fromkeys([*t, *o]):
            found = self.value((*path, key), b.get(key, ABSENT), o.get(key, ABSENT), t.get(key, ABSENT))
            if found is not ABSENT:
                merged[key] = found
        return merged if merged or (ours is not ABSENT and theirs is not ABSENT) else ABSENT

    def _items(self, path: tuple[str, ...], base: Any, ours: Any, theirs: Any) -> Any:
        """A list of maps as a set of them: models by path, datasets by name and digest, the rest by what they say."""
        b, o, t = (_by_key(value, _KEYED.get(path[0])) for value in (base, ours, theirs))
        merged = []
        for key in dict.fromkeys([*t, *o]):
            was, mine, other = b.get(key, ABSENT), o.get(key, ABSENT), t.get(key, ABSENT)
            if _same(mine, was):
                mine = other
            elif not _same(mine, other) and not _same(other, was):
                self._notes.append(note(self._record, (*path, key[0]), mine, other))
            if mine is not ABSENT:
                merged.append(mine)
        return merged or ABSENT


def _by_key(items: Any, fields: tuple[str, ...] | None) -> dict[tuple[str, int], Document]:
    """The maps of a list by what names them, and by how many of that name came before."""
    seen: Counter[str] = Counter()
    found = {}
    for item in [] if items is ABSENT else items:
        name = _canonical(item if fields is None else [item[field] for field in fields if field in item])
        found[name, seen[name]] = item
        seen[name] += 1
    return found


def _is_list_of_maps(value: Any) -> bool:
    return value is ABSENT or (isinstance(value, list) and all(isinstance(item, dict) for item in value))


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one and the same in YAML: 1, 1.0 and true are not, and NaN is itself."""
    if one is other:
        return True
    return type(one) is type(other) and _canonical(one) == _canonical(other)


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _show_key(key: str) -> str:
    return key if re.fullmatch(r"[\w@+/~-][\w .@+/~-]{0,200}", key, re.ASCII) else show(key)


def _load(text: bytes | None, kind: type[Run] | type[Experiment], where: str) -> Document:
    """A document of ours or theirs; it must be whole, since only then its fields mean what they are taken for."""
    if text is None:
        return {}
    document = yaml.load(text, where)
    kind.from_document(document, "", where)
    result: Document = document
    return result


def _update_extras(extras: Document, metrics: Any) -> None:
    """Collect the keys of summaries that a newer version has put there."""
    for key, summary in (metrics or {}).items():
        extras.setdefault(key, {}).update({k: v for k, v in summary.items() if k not in _SUMMARY})


def _summarize(document: Document, points: Sequence[Metric], extras: Document) -> None:
    metrics = {key: summary.to_document() | extras.get(key, {}) for key, summary in summarize(points).items()}
    if metrics:
        document["metrics"] = metrics
