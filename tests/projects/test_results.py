"""Metrics out of files, good and hostile ones."""

import json
import os
from pathlib import Path

import pytest

from runstone.errors import UsageError
from runstone.projects import results
from runstone.projects.results import FileState, Point, ResultsUnreadable, check_format, read_results


def read(folder: Path, name: str, text: str | bytes) -> list[Point]:
    """The points of a file with this content, which gives no warning."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    found = read_results(path, name)
    assert [] == found.warnings
    return found.points


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("m.json", '{"loss": 0.5, "val": {"acc": 1, "deep": {"f1": 2}}}', [("loss", 0.5, 0), ("val/acc", 1, 0),
                                                                          ("val/deep/f1", 2, 0)]),
        ("m.json", '{"step": 7, "loss": 0.5, "val": {"acc": 1}}', [("loss", 0.5, 7), ("val/acc", 1, 7)]),
        ("m.json", '{"loss": [0.5, 0.25, null, 0.125]}', [("loss", 0.5, 0), ("loss", 0.25, 1), ("loss", 0.125, 3)]),
        ("m.json", '[{"epoch": 1, "loss": 3}, {"epoch": 5, "loss": 2}]', [("loss", 3, 1), ("loss", 2, 5)]),
        ("m.json", '{"history": [{"loss": 3}, {"loss": 2}]}', [("history/loss", 3, 0), ("history/loss", 2, 1)]),
        ("m.json", '{"loss": 3}\n{"loss": 2}\n', [("loss", 3, 0), ("loss", 2, 1)]),
        ("acc.json", "0.93", [("acc", 0.93, 0)]),
        ("m.json", '{"a": "text", "b": true, "c": null, "d": [], "e": {}, "f": "0.5"}', []),
        ("m.jsonl", '{"Step": 3, "loss": 1}\n\n{"loss": 2}\n', [("loss", 1, 3), ("loss", 2, 1)]),
        ("m.yaml", "loss: 0.5\nval:\n  acc: 1e-3\n  note: b\n  ok: yes\n", [("loss", 0.5, 0), ("val/acc", 0.001, 0)]),
        ("m.csv", "epoch,loss,note\n1,0.5,a\n2,0.25,b\n", [("loss", 0.5, 1), ("loss", 0.25, 2)]),
        ("m.csv", "loss,acc\n0.5,\n,0.9\n", [("loss", 0.5, 0), ("acc", 0.9, 1)]),
        ("m.csv", "\ufeffa;b\n1;2\n", [("a", 1, 0), ("b", 2, 0)]),
        ("m.csv", "step,epoch,loss\r\n10,1,5\r\n", [("epoch", 1, 10), ("loss", 5, 10)]),
        ("m.csv", "Iteration,x,flag\n3,inf,True\n", [("x", float("inf"), 3)]),
        ("m.csv", ",x\n0,1_000\n", []),
        ("m.csv", "", []),
        ("m.tsv", "step\tval/loss\n4\t-1.5e3\n", [("val/loss", -1500, 4)]),
    ],
)  # fmt: skip
def test_points_of_each_format(tmp_path: Path, name: str, text: str, expected: list[tuple[str, float, int]]) -> None:
    """Nested keys are joined with `/`; rows have the step their column says, else their number; the rest is left."""
    assert expected == read(tmp_path, name, text)


def test_nan_is_kept(tmp_path: Path) -> None:
    """JSON of Python, YAML and CSV all know it, each in its own spelling."""
    for name, text in (("m.json", '{"x": NaN}'), ("m.yaml", "x: .nan\n"), ("m.csv", "x\nnan\n")):
        assert "nan" == repr(read(tmp_path, name, text)[0].value)


def test_keys_and_rows_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    """The rest of the file is read."""
    (tmp_path / "m.csv").write_text("step,../x,loss\n1,3,0.5\nend,3,0.1\n2.5,3,0.1\n")
    found = read_results(tmp_path / "m.csv", "m.csv")
    assert [Point("loss", 0.5, 1)] == found.points
    assert [
        "m.csv: The metric '../x' cannot be used: it would be a path such as `../x` or `/x`.",
        "m.csv: rows without a whole number in the column 'step' were passed over",
    ] == found.warnings


_BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("m.yaml", _BOMB, "line 1 has the anchor `a`; write the value out where it is used instead"),
        ("m.yaml", "!!python/object/apply:os.system ['true']", "has the YAML tag"),
        ("m.json", "[" * 100_000, "it is nested too deep"),
        ("m.json", '{"a":' * 50 + "1" + "}" * 50, "it is nested too deep"),
        ("m.json", "{broken", "it is not JSON: "),
        ("m.json", '{"x": ' + "9" * 5000 + "}", "it is not JSON: "),
        ("m.jsonl", '{"a": 1}\nnope\n', "it is not LINES: line 2: "),
        ("m.csv", b"a\n\xff\xfe\n", "it is not UTF-8 text"),
        ("m.csv", "a,b\n" + "x" * 200_000 + ",1\n", "it is not CSV: field larger than field limit"),
        ("m.json", json.dumps({f"k{i}": i for i in range(results.MAX_KEYS + 1)}), "it names more than 10000 metrics"),
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, name: str, text: str | bytes, why: str) -> None:
    """Bombs, code, depth, junk: one error that says what it is, soon."""
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ResultsUnreadable) as caught:
        read_results(path, name)
    assert f"No metrics were read from {name!r}: " in str(caught.value)
    assert why in str(caught.value)


def test_a_number_beyond_any_float_is_passed_over(tmp_path: Path) -> None:
    """An int of 400 digits is legal JSON, and no metric."""
    assert [Point("y", 1.0, 0)] == read(tmp_path, "m.json", '{"x": ' + "9" * 400 + ', "y": 1}')


def test_files_are_bounded(tmp_path: Path) -> None:
    """A table of 100 MB and one of too many points are refused; the former without being read."""
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.write(b"a\n")
        file.truncate(100_000_000)
    with pytest.raises(ResultsUnreadable, match="it is larger than 32 MiB; keep it as an artifact"):
        read_results(huge)
    many = tmp_path / "many.csv"
    many.write_text("a,b,c\n" + "1,1,1\n" * (results.MAX_POINTS // 3 + 1))
    with pytest.raises(ResultsUnreadable, match="it has more than 1000000 values"):
        read_results(many)


@pytest.mark.skipif(os.name != "posix", reason="pipes with names are of POSIX")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A named pipe would be read for ever; a folder and a missing file are told as what they are."""
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.json", "folder.json"):
        with pytest.raises(ResultsUnreadable, match="it is no regular file"):
            read_results(tmp_path / name)
    with pytest.raises(ResultsUnreadable, match="No such file or directory"):
        read_results(tmp_path / "missing.json")


def test_the_name_tells_the_format() -> None:
    """Before a command runs for days, not after it."""
    assert "csv" == check_format("Logs.CSV")
    with pytest.raises(UsageError, match=r"'metrics\.txt' is none of them"):
        check_format("metrics.txt")


def test_a_file_that_is_written_anew_is_told_from_an_old_one(tmp_path: Path) -> None:
    """Also where it has the same content and size as before."""
    path = tmp_path / "m.json"
    assert FileState.of(path) is None
    path.write_text("1")
    before = FileState.of(path)
    assert before == FileState.of(path)
    os.utime(path, ns=(0, 1_000_000_000))
    assert before != FileState.of(path)
