"""Two changes of one `metrics.tsv` become one: no appended point is lost, and a correction is made once."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.runs.merge import merge_run
from runstone.git.runs.points import merge_metrics
from runstone.records import yaml
from runstone.records.metric import Metric, format_metrics


def tsv(points: list[Metric]) -> bytes:
    """A `metrics.tsv`."""
    return format_metrics(points).encode()


def series(*values: float) -> list[Metric]:
    """Points of one key, a step each."""
    return [Metric("loss", value, 5, step) for step, value in enumerate(values)]


def join(base: list[Metric], ours: list[Metric], theirs: list[Metric]) -> tuple[list[tuple[str, ...]], list[str]]:
    """The points of two sides, in comparable form, and what was told."""
    merged, notes = merge_metrics(tsv(base), tsv(ours), tsv(theirs), run_id="r1")
    return shown(merged), [str(note) for note in notes]


def shown(points: list[Metric]) -> list[tuple[str, ...]]:
    """Points in the order of the file, each as comparable text: NaN is itself."""
    ordered = sorted(points, key=lambda point: point.key)
    return [(point.key, str(point.step), str(point.timestamp), repr(point.value)) for point in ordered]


def amended(points: list[Metric], at: int, value: float) -> list[Metric]:
    """The points with one corrected, as `runs amend` does it."""
    old = points[at]
    return [*points[:at], Metric(old.key, value, old.timestamp, old.step), *points[at + 1 :]]


def test_points_are_added_and_the_summary_is_made_of_all() -> None:
    """Theirs, then what ours added; equal lines that both added are two points."""
    base, ours, theirs = series(1.0, 2.0), series(1.0, 2.0, 0.5), series(1.0, 2.0, 9.0, math.nan)
    merged, _ = merge_metrics(tsv(base), tsv(ours), tsv(theirs), run_id="r1")
    assert [1.0, 2.0, 9.0, 0.5] == [p.value for p in merged if not math.isnan(p.value)]
    assert 5 == len(merged)
    head = "schema: runstone/run/v1\nid: r1\nname: one\nexperiment: Default\nstatus: FINISHED\nuser: kim\n"
    summary = "metrics:\n  loss: {last: 1.0, step: 0, min: 1.0, max: 1.0, count: 1, new: 7}\n"
    record = f'{head}started: "2026-01-01T00:00:00.000Z"\n{summary}'.encode()
    found, notes = merge_run(record, record, record, run_id="r1", points=merged)
    made = yaml.load(found, "x")["metrics"]["loss"]
    assert ([], 5, 9.0, 0.5, 7) == (notes, made["count"], made["max"], made["min"], made["new"])


def test_both_sides_correct_one_point() -> None:
    """One point is left, that of ours, where the old one stood; the other is told."""
    base = series(0.1, 0.2, 0.5, 0.6)
    found, notes = join(base, amended(base, 2, 0.8), amended(base, 2, 0.7))
    assert (shown(amended(base, 2, 0.8)), ["Replaced: metrics.loss@2: 0.7 -> 0.8"]) == (found, notes)
    assert (shown(amended(base, 2, 0.8)), []) == join(base, amended(base, 2, 0.8), amended(base, 2, 0.8))


def test_a_correction_meets_points_that_were_added() -> None:
    """The correction is made among all points, whichever side made it."""
    base = series(0.1, 0.5)
    corrected, longer = amended(base, 1, 0.7), [*base, Metric("loss", 0.9, 8, 1), Metric("acc", 1.0, 8, 0)]
    expected = shown([*corrected, *longer[2:]])
    assert (expected, []) == join(base, corrected, longer)
    assert (expected, []) == join(base, longer, corrected)


@pytest.mark.parametrize(
    ("ours", "theirs", "values", "notes"),
    [
        (series(1.0), series(1.0, 3.0), ["1.0"], ["Replaced: metrics.loss@1: 3.0 -> removed"]),
        (series(1.0, 3.0), series(1.0), ["1.0", "3.0"], ["Replaced: metrics.loss@1: removed -> 3.0"]),
        (series(1.0), series(1.0, 2.0), ["1.0"], []),
        (series(1.0, 2.0), series(1.0), ["1.0"], []),
        (series(1.0), series(1.0), ["1.0"], []),
        (series(1.0, math.nan), series(1.0, math.nan), ["1.0", "nan"], []),
        (series(1.0, 0.0), series(1.0, -0.0), ["1.0", "0.0"], ["Replaced: metrics.loss@1: -0.0 -> 0.0"]),
    ],
)
def test_a_line_that_was_taken_away(
    ours: list[Metric], theirs: list[Metric], values: list[str], notes: list[str]
) -> None:
    """What one side took away goes, though the other has it still; of two changes ours stands, and it is told."""
    found, told = join(series(1.0, 2.0), ours, theirs)
    assert (values, notes) == ([point[3] for point in found], told)


@pytest.mark.parametrize("broken", [b"", b"not: [yaml", b"\xff", b"# schema: runstone/metrics/v9\n"])
def test_what_is_no_file_of_metrics_is_refused(broken: bytes) -> None:
    """On any side; the caller takes a whole file then."""
    good = tsv(series(1.0))
    for sides in ((good, good, broken), (good, broken, good), (broken, good, good)):
        with pytest.raises((RecordInvalid, NewerFormat)):
            merge_metrics(*sides, run_id="r1")


# --- any files: few keys, steps and times, so that points meet

points = st.lists(
    st.builds(
        Metric,
        st.sampled_from(["acc", "loss"]),
        st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf]),
        st.integers(0, 1),
        st.integers(0, 1),
    ),
    max_size=6,
)


@given(base=points, mine=points, other=points)
def test_no_appended_point_is_lost_or_doubled(base: list[Metric], mine: list[Metric], other: list[Metric]) -> None:
    """Where both sides appended, the result has the base once and what each added once, in order."""
    found, notes = join(base, base + mine, base + other)
    assert (shown(base + other + mine), []) == (found, notes)


@st.composite
def corrections(draw: st.DrawFn) -> tuple[list[Metric], dict[int, float], dict[int, float]]:
    """Points each with a place of its own, and what either side corrects to values that no other point has."""
    base = [Metric("loss", float(n), draw(st.integers(0, 1)), n // 2) for n in range(draw(st.integers(1, 6)))]
    each = st.dictionaries(st.integers(0, len(base) - 1), st.integers(100, 103).map(float))
    return base, draw(each), draw(each)


@given(made=corrections(), mine=points, other=points)
def test_a_correction_is_kept_exactly(
    made: tuple[list[Metric], dict[int, float], dict[int, float]], mine: list[Metric], other: list[Metric]
) -> None:
    """Of each point: the correction of one side, of both ours; all that was appended; a note where two disagree."""
    base, by_us, by_them = made
    ours, theirs, expected = base, base, base
    for at, value in by_us.items():
        ours = amended(ours, at, value)
    for at, value in by_them.items():
        theirs = amended(theirs, at, value)
    for at, value in (by_them | by_us).items():
        expected = amended(expected, at, value)
    mine = [point for point in mine if point.key == "acc"]  # an own key: which point a correction meant is plain
    other = [point for point in other if point.key == "acc"]
    found, notes = join(base, ours + mine, theirs + other)
    assert shown(expected + other + mine) == found
    assert len([at for at in by_us if at in by_them and by_us[at] != by_them[at]]) == len(notes)


@given(base=points, ours=points, theirs=points)
def test_joining_is_a_three_way_merge(base: list[Metric], ours: list[Metric], theirs: list[Metric]) -> None:
    """What only one side changed is as that side has it, in any files; joining again changes nothing."""
    assert shown(theirs) == join(base, base, theirs)[0]
    only_ours, notes = join(base, ours, base)
    assert (sorted(shown(ours)), []) == (sorted(only_ours), notes)
    merged, _ = merge_metrics(tsv(base), tsv(ours), tsv(theirs), run_id="r1")
    assert sorted(shown(merged)) == sorted(join(base, merged, base)[0])
