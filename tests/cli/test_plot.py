"""`runstone plot`: what is drawn, as a user sees it, and the drawing itself at the limits of floats."""

import csv
import io
import json
import math
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.cli.chart import Series, draw
from runstone.client import Client
from runstone.entities import Metric
from tests.support import git, run_python

START = 1_700_000_000_000


def plot(
    repo: Path, *arguments: str, check: bool = True, encoding: str = "utf-8"
) -> "subprocess.CompletedProcess[str]":
    """Run `runstone plot` where standard output has an encoding."""
    env = {"PYTHONIOENCODING": encoding}
    return run_python(Path("-m"), "runstone", "--color", "never", "plot", *arguments, cwd=repo, check=check, env=env)


def record(repo: Path, name: str, **histories: list[float]) -> str:
    """Record a run with histories of metrics, a value a step and a step a second; returns its id."""
    client = Client(repo)
    run = client.create_run("0", run_name=name, start_time=START)
    points = [Metric(k, v, START + 1000 * i, i) for k, values in histories.items() for i, v in enumerate(values)]
    client.log_batch(run.info.run_id, points)
    client.set_terminated(run.info.run_id)
    return run.info.run_id


def text(series: list[Series], *, width: int = 30, height: int = 8, log: bool = False, ascii_only: bool = True) -> str:
    """A drawing as text."""
    lines = draw(series, width=width, height=height, log=log, ascii_only=ascii_only)
    return "\n".join("".join(cell.text for cell in line).rstrip() for line in lines)


def test_a_line_in_ascii(git_repo: Path) -> None:
    """The whole output: the axes with round numbers, the line, and whose it is."""
    record(git_repo, "owl", loss=[10.0, 5.0, 2.0, 1.0, 0.0])
    expected = """\
10 +*
   | *
   |  **
   |    *
   |     *
 5 +      **
   |        **
   |          **
   |            *****
   |                 *******
 0 +                        ***
   ++------------+------------+
    0            2            4
"""
    out = plot(git_repo, "owl", "-m", "loss", "--ascii", "--width", "31", "--height", "13").stdout
    assert [*expected.splitlines(), "step".rjust(31), "* loss  owl"] == out.splitlines()


def test_runs_and_metrics_are_overlaid(git_repo: Path) -> None:
    """Each line has a sign of its own in the drawing and in the legend; a run that lacks a metric is named."""
    record(git_repo, "owl", loss=[3.0, 2.0, 1.0], auc=[0.0, 0.5, 0.75])
    record(git_repo, "fox", loss=[4.0, 3.5, 3.0])
    done = plot(git_repo, "owl", "fox", "-m", "loss", "-m", "auc", "--width", "60", "--height", "16")
    assert ["● loss  owl", "■ loss  fox", "▲ auc  owl"] == done.stdout.splitlines()[-3:]
    drawing = done.stdout.splitlines()[:-3]
    assert {"●", "■", "▲"} <= set("".join(drawing))
    assert 17 == len(drawing)
    assert max(map(len, drawing)) <= 60
    assert "fox has no metric 'auc'\n" == done.stderr


def test_runs_of_one_name_are_told_apart(git_repo: Path) -> None:
    """Where the name says too little, the legend has the id."""
    ids = [record(git_repo, "owl", loss=[1.0, 2.0]) for _ in range(2)]
    legend = plot(git_repo, *ids, "-m", "loss").stdout.splitlines()[-2:]
    assert [f"● loss  owl {ids[0]}", f"■ loss  owl {ids[1]}"] == legend


def test_ascii_where_the_terminal_has_no_unicode(git_repo: Path) -> None:
    """An encoding without braille gets ASCII unasked, names included."""
    record(git_repo, "eule-ü", loss=[1.0, 2.0])
    out = plot(git_repo, "eule-ü", "-m", "loss", encoding="ascii").stdout
    assert out.isascii()
    assert r"* loss  eule-\xfc" == out.splitlines()[-1]


def test_colour_tells_lines_apart(git_repo: Path) -> None:
    """With colour each line has its own, in the drawing and in the legend."""
    record(git_repo, "owl", a=[1.0, 2.0], b=[2.0, 1.0])
    options = ["--color", "always", "plot", "owl", "-m", "a", "-m", "b"]
    done = run_python(Path("-m"), "runstone", *options, cwd=git_repo, env={"PYTHONIOENCODING": "utf-8"})
    *drawing, first, second = done.stdout.splitlines()
    assert ["\x1b[36m●\x1b[0m a  owl", "\x1b[33m■\x1b[0m b  owl"] == [first, second]
    assert {"36", "33"} == set(re.findall(r"\x1b\[(\d\d)m", "".join(drawing)))


def test_values_that_are_not_finite(git_repo: Path) -> None:
    """They are gaps, and their number is told; with nothing else there is nothing to draw, and no failure."""
    record(git_repo, "owl", loss=[1.0, 1.0, math.nan, math.inf, 1.0, 1.0], lost=[math.nan])
    done = plot(git_repo, "owl", "-m", "loss", "--ascii", "--width", "24", "--height", "5")
    assert "loss  owl: 2 of 6 values not drawn: not finite\n" == done.stderr
    (line,) = [line for line in done.stdout.splitlines()[:-1] if "*" in line]
    assert "*****" == line[5:].split()[0]
    assert 2 == len(line[5:].split())
    lost = plot(git_repo, "owl", "-m", "lost")
    assert (0, "") == (lost.returncode, lost.stdout)
    assert "nothing to draw: no value is a finite number\n" in lost.stderr


def test_logarithmic(git_repo: Path) -> None:
    """Powers of ten lie at even distances; what is not above 0 is left out and counted."""
    record(git_repo, "owl", loss=[1000.0, 100.0, 10.0, 1.0, 0.0, -1.0])
    done = plot(git_repo, "owl", "-m", "loss", "--log", "--ascii", "--width", "40", "--height", "18")
    assert "loss  owl: 2 of 6 values not drawn: not above 0\n" == done.stderr
    ticks = {line.split(" +")[0].strip(): at for at, line in enumerate(done.stdout.splitlines()[:16]) if " +" in line}
    assert {"1000": 0, "100": 5, "10": 10, "1": 15} == ticks


def test_over_time(git_repo: Path) -> None:
    """Seconds since the run began, so that runs of different days lie over each other."""
    record(git_repo, "owl", loss=[1.0, 2.0, 3.0])
    out = plot(git_repo, "owl", "-m", "loss", "--x", "time").stdout
    assert "seconds since the run began" == out.splitlines()[-2].strip()
    points = json.loads(plot(git_repo, "owl", "-m", "loss", "--x", "time", "--json").stdout)["series"][0]["points"]
    assert [0.0, 1.0, 2.0] == [point["x"] for point in points]


def test_points_as_json_and_csv(git_repo: Path) -> None:
    """Every point in the order written, NaN as JSON and CSV can hold it."""
    run = record(git_repo, "owl", loss=[0.1, math.nan])
    assert {
        "x": "step",
        "series": [
            {
                "run_id": run,
                "run_name": "owl",
                "metric": "loss",
                "points": [
                    {"x": 0.0, "step": 0, "timestamp": START, "value": 0.1},
                    {"x": 1.0, "step": 1, "timestamp": START + 1000, "value": "nan"},
                ],
            }
        ],
    } == json.loads(plot(git_repo, "owl", "-m", "loss", "--json").stdout)
    rows = list(csv.reader(io.StringIO(plot(git_repo, "owl", "-m", "loss", "--csv").stdout)))
    assert [
        ["run_id", "run_name", "metric", "step", "timestamp", "value"],
        [run, "owl", "loss", "0", str(START), "0.1"],
        [run, "owl", "loss", "1", str(START + 1000), "nan"],
    ] == rows


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["owl"], 2, "error: Name a metric to draw: `-m METRIC`. The run has: auc, loss.\n"),
        (["owl", "-m", "los"], 2, "error: There is no metric 'los' to draw. The run has: auc, loss.\n"),
        (["owl", "nobody", "-m", "loss"], 1, "No run 'nobody' in this repository."),
        (["owl", "-m", "loss", "--width", "3"], 2, "3 is not in the range 20<=x<=1000"),
        ([], 2, "Missing argument 'RUN...'"),
    ],
)
def test_wrong_calls(git_repo: Path, arguments: list[str], code: int, message: str) -> None:
    """What is missing or wrong is said, with what there is."""
    record(git_repo, "owl", loss=[1.0], auc=[0.5])
    done = plot(git_repo, *arguments, check=False)
    assert (code, "") == (done.returncode, done.stdout)
    assert message in done.stderr


def test_whole_numbers_that_no_float_can_hold(git_repo: Path) -> None:
    """A hand-written step of a thousand digits is drawn at the far end, and kept as it is in JSON."""
    record(git_repo, "owl", loss=[1.0, 2.0])
    step = "9" * 1000
    git("switch", "-q", "runs", cwd=git_repo)
    (table,) = git_repo.glob("experiments/**/metrics.tsv")
    table.write_text(table.read_text().replace("loss\t1\t", f"loss\t{step}\t"))
    git("commit", "-q", "-a", "-m", "By hand", cwd=git_repo)
    assert "1e+300" in plot(git_repo, "owl", "-m", "loss", "--width", "40", "--height", "8").stdout
    points = json.loads(plot(git_repo, "owl", "-m", "loss", "--json").stdout)["series"][0]["points"]
    assert [0, int(step)] == [point["step"] for point in points]


# --- the drawing itself


def test_braille_has_eight_dots_a_character() -> None:
    """A straight line in dots, and at its ends what marks a point."""
    expected = """\
1.0 ┤        ⢀⠔●
    │     ⢀⠤⠊⠁
0.5 ┤  ⢀⡠⠒⠁
0.0 ┤●⠔⠁
    └┬─────────┬
     0         1"""
    assert expected == text([Series("a", [(0.0, 0.0), (1.0, 1.0)])], width=16, height=6, ascii_only=False)


def test_a_single_value_has_room_around_it() -> None:
    """One point, and a constant, lie in the middle."""
    for points in ([(3.0, 5.0)], [(0.0, 5.0), (9.0, 5.0)]):
        rows = ["*" in line for line in text([Series("a", points)], height=9).splitlines()]
        assert [3] == [at for at, found in enumerate(rows) if found]


def test_neighbouring_labels_differ() -> None:
    """Numbers on the axis have as many digits as tell them apart, also far from 0."""
    for low, high in ((0.91234, 0.91236), (1e9, 1e9 + 1e-5), (-1e-12, 1e-12), (1e300, 2e300)):
        drawn = text([Series("a", [(0.0, low), (1.0, high)])], width=60, height=20)
        labels = [line.split(" +")[0].strip() for line in drawn.splitlines()[:-2] if " +" in line]
        assert len(labels) >= 2
        assert len(set(labels)) == len(labels)
        assert sorted(map(float, labels), reverse=True) == list(map(float, labels))


def test_a_long_history_keeps_its_extremes() -> None:
    """A spike of one step among 100,000 is drawn to its full height."""
    points = [(float(i), 0.0) for i in range(100_000)]
    points[70_001] = (70_001.0, 1.0)
    top, *rest = text([Series("a", points)], width=60, height=12).splitlines()
    assert 1 == top.count("*")
    assert all("*" in line for line in rest[:-2])


finite = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.lists(st.lists(st.tuples(finite, finite), max_size=8), max_size=3),
    st.integers(20, 60),
    st.integers(5, 12),
    st.booleans(),
    st.booleans(),
)
def test_any_points_can_be_drawn(
    histories: list[list[tuple[float, float]]], width: int, height: int, log: bool, ascii_only: bool
) -> None:
    """Whatever the floats, there are as many rows as asked for, or none; the series that lies on top is seen."""
    series = [
        Series(str(n), sorted(points, key=lambda p: (math.isnan(p[0]), p[0]))) for n, points in enumerate(histories)
    ]
    lines = draw(series, width=width, height=height, log=log, ascii_only=ascii_only)
    drawable = [
        any(math.isfinite(x) and math.isfinite(y) and (y > 0 or not log) for x, y in points) for points in histories
    ]
    assert (height if any(drawable) else 0) == len(lines)
    last = max((n for n, found in enumerate(drawable) if found), default=None)
    assert last is None or last in {cell.series for line in lines for cell in line}
    assert not ascii_only or all(cell.text.isascii() for line in lines for cell in line)
