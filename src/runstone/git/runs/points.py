"""Two changes of one `metrics.tsv` become one: what was appended is all kept, what was corrected is corrected once.

A correction puts a new value where the old one stood, with its step and its time; what a run logs comes after it. So
points of one key, step and time are compared as they stand in the files.
"""

from collections import defaultdict, deque
from collections.abc import Sequence

from runstone.git.runs.merge import ABSENT, MergeNote, note
from runstone.records.metric import Metric, parse_metrics

_Groups = dict[tuple[str, int, int], list[int]]


def merge_metrics(
    base: bytes | None, ours: bytes, theirs: bytes, *, run_id: str
) -> tuple[list[Metric], list[MergeNote]]:
    """All points of two `metrics.tsv`: theirs, as ours corrected them, and after them those that ours added.

    Where both sides corrected one point otherwise, that of ours stands, as in `merge`. Equal points that both sides
    added are two.

    Args:
        base: What both changed; None if both made it.
        ours: The later one.
        theirs: The earlier one.
        run_id: For the notes.

    Returns:
        The points, and the corrections that lost.

    Raises:
        RecordInvalid, NewerFormat: One of the files cannot be read.
    """
    return _Join(_read(base, run_id), _read(ours, run_id), _read(theirs, run_id), run_id).all()


class _Join:
    """One pass over three files."""

    def __init__(self, base: list[Metric], ours: list[Metric], theirs: list[Metric], run_id: str) -> None:
        self._base, self._ours, self._theirs = base, ours, theirs
        self._run_id = run_id
        self._result: list[Metric | None] = list(theirs)
        self._added: list[int] = []
        self._notes: list[MergeNote] = []

    def all(self) -> tuple[list[Metric], list[MergeNote]]:
        """The points, and what lost."""
        base, theirs = _grouped(self._base), _grouped(self._theirs)
        mine = _grouped(self._ours)
        for group in dict.fromkeys([*mine, *base]):
            self._group(base.get(group, []), mine.get(group, []), theirs.get(group, []))
        kept = [point for point in self._result if point is not None]
        return kept + [self._ours[at] for at in sorted(self._added)], self._notes

    def _group(self, base: list[int], mine: list[int], theirs: list[int]) -> None:
        """The points of one key, step and time, each by its place in its file."""
        was = [self._base[at] for at in base]
        if _values(was) == _values([self._theirs[at] for at in theirs]):  # only ours changed them: as ours has them
            for n, at in enumerate(theirs):
                self._result[at] = self._ours[mine[n]] if n < len(mine) else None
            self._added += mine[len(theirs) :]
            return
        own, added = _pair(was, self._ours, mine)
        other, _ = _pair(was, self._theirs, theirs)
        self._added += added
        for point, mine_at, other_at in zip(was, own, other, strict=True):
            self._point(point, mine_at, other_at)

    def _point(self, was: Metric, mine_at: int | None, other_at: int | None) -> None:
        """One point that both sides had."""
        mine = None if mine_at is None else self._ours[mine_at]
        other = None if other_at is None else self._theirs[other_at]
        if _is_same(mine, was) or _is_same(mine, other):
            return
        if other_at is not None:
            self._result[other_at] = mine
        elif mine_at is not None:
            self._added.append(mine_at)
        if not _is_same(other, was):
            kept, lost = (ABSENT if point is None else point.value for point in (mine, other))
            self._notes.append(note(self._run_id, ("metrics", f"{was.key}@{was.step}"), kept, lost))


def _read(text: bytes | None, run_id: str) -> list[Metric]:
    if text is None:
        return []
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        decoded = ""  # which `parse_metrics` refuses, with a sentence
    return list(parse_metrics(decoded, f"the metrics of {run_id}"))


def _grouped(points: Sequence[Metric]) -> _Groups:
    groups: _Groups = defaultdict(list)
    for at, point in enumerate(points):
        groups[point.key, point.step, point.timestamp].append(at)
    return groups


def _pair(was: list[Metric], points: Sequence[Metric], places: list[int]) -> tuple[list[int | None], list[int]]:
    """What became of each point on one side: its place there, None where it was taken away; and the places of new ones.

    A point that is there with its value is itself; of the others, the first took the place of the first, and so on.
    """
    alike: dict[str, deque[int]] = defaultdict(deque)
    for at in places:
        alike[repr(points[at].value)].append(at)
    found: list[int | None] = [each.popleft() if (each := alike[repr(point.value)]) else None for point in was]
    rest = deque(sorted(at for each in alike.values() for at in each))
    for n, place in enumerate(found):
        if place is None and rest:
            found[n] = rest.popleft()
    return found, list(rest)


def _values(points: Sequence[Metric]) -> list[str]:
    return [repr(point.value) for point in points]


def _is_same(one: Metric | None, other: Metric | None) -> bool:
    """Whether two points of one key, step and time are one: NaN is itself, and -0.0 is not 0.0."""
    return one is other or (one is not None and other is not None and repr(one.value) == repr(other.value))
