"""Tables, JSON, CSV, colours and widths."""

import csv
import io
import json
import math
from pathlib import Path

import pytest

from runstone.cli import output
from runstone.cli.output import Column
from tests.cli.support import run_on_terminal
from tests.support import make_repository


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain Ünïcode 漢字 🎉", "plain Ünïcode 漢字 🎉"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("two\nlines\ttab", "two\\nlines\\ttab"),
        ("\u202eright to left", "\\u202eright to left"),
        ("bell\x07", "bell\\x07"),
    ],
)
def test_text_of_others_cannot_move_the_cursor(text: str, expected: str) -> None:
    """Control characters, and those that turn the direction of text, are shown as escapes."""
    assert expected == output.clean(text)


def test_clean_keeps_what_it_is_told_to() -> None:
    """Notes keep their lines."""
    assert "two\nlines\\x1b" == output.clean("two\nlines\x1b", keep="\n")


@pytest.mark.parametrize(
    ("milliseconds", "expected", "coarse"),
    [
        (0, "0s", "0s"),
        (40, "0.04s", "0s"),
        (9_500, "9.5s", "10s"),
        (59_000, "59s", "59s"),
        (60_000, "1m", "1m"),
        (3_700_000, "1h 1m", "1h"),
        (90_061_000, "1d 1h", "1d"),
        (86_400_000, "1d", "1d"),
    ],
)
def test_durations(milliseconds: int, expected: str, coarse: str) -> None:
    """One or two units, the largest first."""
    assert (expected, coarse) == (
        output.format_duration(milliseconds),
        output.format_duration(milliseconds, coarse=True),
    )


@pytest.mark.parametrize(("size", "expected"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**41, "2.0 TiB")])
def test_sizes(size: int, expected: str) -> None:
    """Units of 1,024."""
    assert expected == output.format_size(size)


def test_a_table_in_a_pipe_is_whole_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers stand right, text left, wide letters count twice, and nothing is cut."""
    columns = [Column("name"), Column("value", "number"), Column("rest")]
    rows = [("漢字", 1.5, "x" * 200), ("a", float("nan"), None), ("bb", True, [1, {"k": "v"}])]
    output.emit(columns, rows, "table")
    expected = f'name  value  rest\n漢字    1.5  {"x" * 200}\na       nan  -\nbb      yes  [1, {{"k": "v"}}]\n'
    assert expected == capsys.readouterr().out


def test_json_is_strict(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and infinities, which JSON has not, are texts; times are ISO 8601; what is missing is null."""
    columns = [Column("v", "number"), Column("at", "age"), Column("took", "duration"), Column("none")]
    output.emit(columns, [(math.nan, 0, 1500, None), (-math.inf, 1, 0, "ü")], "json")

    def refuse(text: str) -> None:
        raise AssertionError(text)

    expected = [
        {"v": "nan", "at": "1970-01-01T00:00:00.000Z", "took": 1.5, "none": None},
        {"v": "-inf", "at": "1970-01-01T00:00:00.001Z", "took": 0.0, "none": "ü"},
    ]
    assert expected == json.loads(capsys.readouterr().out, parse_constant=refuse)


def test_csv_quotes_and_keeps_values_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Commas, quotes and line ends are quoted; floats are not rounded; what is missing is empty."""
    columns = [Column("a,b"), Column("v", "number")]
    output.emit(columns, [('say "x"\ny', 0.1 + 0.2), (None, None), (True, [1, "z"])], "csv")
    expected = '"a,b",v\n"say ""x""\ny",0.30000000000000004\n,\ntrue,"[1, ""z""]"\n'
    assert expected == capsys.readouterr().out


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+cmd|'/C calc'!A0", "@SUM(1)", "\tx", " =1+1", "\uff1d1"])
def test_csv_holds_no_formula(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """A text of others that a spreadsheet would run stays a text, as a name of a column too."""
    output.emit([Column(text)], [(text,)], "csv")
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))
    assert [[f"'{text}"]] * 2 == rows


@pytest.mark.parametrize(
    "value", [-1, -0.5, 1e-7, "-1", "+3", "-0.5", "-1e-07", "-inf", float("-inf"), "a=b", "runs@1"]
)
def test_csv_leaves_numbers_and_plain_texts(capsys: pytest.CaptureFixture[str], value: object) -> None:
    """A minus before a number is no formula, whether it is kept as a number or as a text."""
    output.emit([Column("x")], [(value,)], "csv")
    assert f"x\n{value}\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a,b", "c"], (["a", "b", "c"], False)),
        (["+params.lr"], (["params.lr"], True)),
        (['params."a,b", `x,y`'], (['params."a,b"', "`x,y`"], False)),
        ([], ([], False)),
    ],
)
def test_columns_are_parted_outside_quotes(given: list[str], expected: tuple[list[str], bool]) -> None:
    """A quoted name may hold a comma; a leading + adds to the usual columns."""
    assert expected == output.split_columns(given)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one failed run whose name and experiment are long."""
    from runstone.tracking.once import Logged, record_run
    from runstone.tracking.workspace import Workspace

    repo = make_repository(tmp_path_factory.mktemp("small") / "repo")
    logged = Logged(points=[("a_metric_with_a_long_name", 1.0, 0), ("another_metric_with_a_long_name", 2.0, 0)])
    record_run(Workspace.open(repo), logged, experiment="e" * 70, name="n" * 70, status="FAILED")
    return repo


def test_on_a_terminal_a_table_is_cut_to_its_width(small: Path) -> None:
    """What says least goes first, then long cells are cut, and no line of it is longer than the terminal."""
    code, shown = run_on_terminal("--color", "never", "runs", "list", cwd=small, columns=80)
    assert 0 == code
    lines = shown.splitlines()
    assert ["id", "name", "status", "metrics.a_m", "metrics.ano"] == [word[:11] for word in lines[0].split()]
    assert 78 <= max(map(len, lines[:2])) <= 80
    assert "n…" in lines[1]
    assert "No room for experiment, age, duration. Show one all the same: `-c +duration`" == lines[2]
    code, wide = run_on_terminal("--color", "never", "runs", "list", cwd=small, columns=300)
    assert "metrics.a_metric_with_a_long_name  metrics.another_metric_with_a_long_name" in wide
    assert "n" * 70 in wide


def test_on_a_narrow_terminal_metrics_stay_longer_than_times(small: Path, tmp_path: Path) -> None:
    """Duration and age go first, the experiment only where it tells nothing; what was asked for stays."""
    from runstone.tracking.once import Logged, record_run
    from runstone.tracking.workspace import Workspace
    from tests.cli.support import run_cli

    repo = make_repository(tmp_path / "two")
    logged = Logged(points=[("rmse", 1.0, 0), ("mae", 2.0, 0), ("r2", 3.0, 0)])
    for experiment in ("first", "second"):
        record_run(Workspace.open(repo), logged, experiment=experiment, name="calm-cedar-24")
    _, shown = run_on_terminal("--color", "never", "runs", "list", cwd=repo, columns=80)
    metrics = ["metrics.mae", "metrics.r2", "metrics.rmse"]
    assert ["id", "name", "experiment", "status", *metrics[:2]] == shown.splitlines()[0].split()
    assert "No room for age, duration, metrics.rmse. Show one all the same: `-c +metrics.rmse`\n" in shown
    one = ("--color", "never", "runs", "list", "-e", "first")
    assert ["id", "name", "status", *metrics] == run_on_terminal(*one, cwd=repo)[1].splitlines()[0].split()
    _, asked = run_on_terminal(*one, "-c", "+duration", cwd=repo, columns=70)
    assert ["id", "name", "status", "duration"] == asked.splitlines()[0].split()[:4]
    piped = run_cli(*one, cwd=repo)
    assert ("", 32) == (piped.stderr, len(piped.stdout.splitlines()[1].split()[0]))


@pytest.mark.parametrize(
    ("options", "variables", "is_colored"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": ""}, True),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_colour_on_terminals(small: Path, options: list[str], variables: dict[str, str], is_colored: bool) -> None:
    """On a terminal there is colour, unless NO_COLOR or --color say no; --color wins."""
    _, shown = run_on_terminal(*options, "runs", "list", cwd=small, env=variables)
    assert is_colored == ("\x1b[31mFAILED\x1b[0m" in shown)
    assert is_colored == ("\x1b[" in shown)


def test_no_colour_in_pipes_unless_asked_for(small: Path) -> None:
    """In a pipe there is none; --color always brings it back."""
    from tests.cli.support import run_cli

    assert "\x1b" not in run_cli("runs", "list", cwd=small).stdout
    assert "\x1b[31mFAILED\x1b[0m" in run_cli("--color", "always", "runs", "list", cwd=small).stdout


def test_a_bar_shows_on_terminals_only(small: Path) -> None:
    """Long work shows how far it is on a terminal, and nothing in a pipe."""
    from tests.cli.support import run_cli

    _, shown = run_on_terminal("index", "rebuild", cwd=small)
    assert "index" in shown.partition("indexed 1 run")[0]
    done = run_cli("index", "rebuild", cwd=small)
    assert ("indexed 1 run\n", "") == (done.stdout, done.stderr)
