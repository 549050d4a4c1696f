"""Data and answers of odd shapes: no value lands under another name, or is changed, without a word."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runstone.errors import DataRefused, OutputRefused, ScoringFailed
from runstone.flavors.pyfunc import PyFuncModel
from runstone.flavors.schema import DataType
from runstone.scoring import batch
from runstone.scoring.batch import Job
from tests.scoring.support import left_in, load, score
from tests.scoring.test_batch import Steps, model_of, read


def echo(kind: DataType = DataType.double) -> PyFuncModel:
    """A model that answers with its column `n`."""
    return model_of(Steps(answer=lambda data, _: data["n"].to_numpy()), n=kind)


def answering(answer: Callable[[Any], Any]) -> PyFuncModel:
    """A model of one column `n`."""
    return model_of(Steps(answer=lambda data, _: answer(data)), n=DataType.double)


CHANGED = {
    "long.csv": ("n\n1e30\n", DataType.long, "in row 1, `n` is 1000000000000000019884624838656, which is no long"),
    "power.csv": (f"n\n1\n{2**70}\n", DataType.long, f"in row 2, `n` is {2**70}, which is no long"),
    "edge.csv": ("n\n9223372036854775808.0\n", DataType.long, "in row 1, `n` is 9223372036854775808"),
    "integer.csv": ("n\n1.0\n3e9\n", DataType.integer, "in row 2, `n` is 3000000000, which is no integer"),
    "float.csv": ("n\n1\n1e300\n", DataType.float, "in row 2, `n` is 1e+300, which is no float"),
    "long.jsonl": (f'{{"n": 1}}\n{{"n": {10**40}}}\n', DataType.long, f"in row 2, `n` is {10**40}, which is no long"),
    "double.jsonl": (f'{{"n": {10**400}}}\n', DataType.double, "in row 1, `n` is an integer of many digits"),
    "half.jsonl": ('{"n": "\\ud83d"}\n', DataType.string, "line 1 is no JSON: 'utf-8' codec can't encode"),
    "shifted.csv": ("n,m\nx,1,2\ny,3,4\n", DataType.double, "its rows have more fields (3) than its line of names (2)"),
    "shifted twice.csv": ("n,m\nx,y,1,2\n", DataType.double, "its rows have more fields (4) than its line"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_would_be_read_as_something_else(tmp_path: Path, name: str) -> None:
    """Numbers beyond their type, halves of characters, and rows that stand beside their names are refused."""
    text, kind, why = CHANGED[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(DataRefused) as caught:
        score(echo(kind), tmp_path / name, tmp_path / "out.jsonl")
    assert why in str(caught.value)
    assert [name] == left_in(tmp_path)


def test_the_edges_of_numbers(tmp_path: Path) -> None:
    """The greatest and least that fit, infinities, and whole numbers of JSON that only a fraction can hold."""
    (tmp_path / "in.csv").write_text(f"n\n{2**63 - 1}\n{-(2**63)}\n")
    score(echo(DataType.long), tmp_path / "in.csv", tmp_path / "out.jsonl")
    assert [2**63 - 1, -(2**63)] == [
        json.loads(line)["prediction"] for line in (tmp_path / "out.jsonl").read_text().splitlines()
    ]
    (tmp_path / "in.csv").write_text("n\ninf\n-3.4e38\n")
    score(echo(DataType.float), tmp_path / "in.csv", tmp_path / "out.csv")
    assert ["inf", "-3.4e+38"] == (tmp_path / "out.csv").read_text().split()[1:]
    (tmp_path / "in.jsonl").write_text(f'{{"n": {10**40}}}\n{{"n": null}}\n')
    score(echo(), tmp_path / "in.jsonl", tmp_path / "out.csv", force=True)
    assert "prediction\n1e+40\n" == (tmp_path / "out.csv").read_text().replace('""\n', "")


def test_a_delimiter_too_many_at_the_end_of_each_row(tmp_path: Path) -> None:
    """Is left out, as nothing stands behind it; in every chunk."""
    (tmp_path / "in.csv").write_text("m,n\n7,1,\n8,2,\n9,3,\n")
    score(echo(), tmp_path / "in.csv", tmp_path / "out.csv", keep=None, chunk_rows=2)
    assert "m,n,prediction\n7,1,1.0\n8,2,2.0\n9,3,3.0\n" == (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_columns_in_another_order_in_the_next_chunk(tmp_path: Path, name: str) -> None:
    """Those kept, and those the model gives, stand under their names all the same."""
    (tmp_path / "in.jsonl").write_text('{"n": 1, "m": 2}\n{"m": 4, "n": 3}\n')
    model = answering(lambda data: [{"x": 1, "y": 2} if data["n"].iloc[0] == 1 else {"y": 4, "x": 3}])
    score(model, tmp_path / "in.jsonl", tmp_path / name, keep=None, chunk_rows=1)
    assert {"n": [1, 3], "m": [2, 4], "x": [1, 3], "y": [2, 4]} == read(tmp_path / name).to_dict(orient="list")


def test_other_columns_in_the_next_chunk(tmp_path: Path) -> None:
    """A table has no place for them, and JSON lines have."""
    (tmp_path / "in.jsonl").write_text('{"n": 1, "m": 2}\n{"n": 3, "k": 4}\n')
    for name in ("out.csv", "out.parquet"):
        with pytest.raises(DataRefused, match=r"columns change from chunk to chunk: \['n', 'm', 'prediction'\], then"):
            score(echo(), tmp_path / "in.jsonl", tmp_path / name, keep=None, chunk_rows=1)
    score(echo(), tmp_path / "in.jsonl", tmp_path / "out.jsonl", keep=None, chunk_rows=1)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [{"n": 1, "m": 2, "prediction": 1.0}, {"n": 3, "k": 4, "prediction": 3.0}] == rows


def test_an_id_that_some_rows_lack(tmp_path: Path) -> None:
    """It makes no fractions of the others, which might be too great for one."""
    (tmp_path / "in.jsonl").write_text(f'{{"n": 1, "id": {2**53 + 1}}}\n{{"n": 3}}\n')
    score(echo(), tmp_path / "in.jsonl", tmp_path / "out.csv", keep=("id",))
    assert f"id,prediction\n{2**53 + 1},1.0\n,3.0\n" == (tmp_path / "out.csv").read_text()


def test_values_of_several_types_in_a_kept_column(tmp_path: Path) -> None:
    """Parquet has no place for them, and the message says what has."""
    (tmp_path / "in.jsonl").write_text('{"n": 1, "id": "a"}\n{"n": 3, "id": {"b": 1}}\n')
    with pytest.raises(DataRefused, match=r"a column holds values of several types: .*-o FILE\.jsonl"):
        score(echo(), tmp_path / "in.jsonl", tmp_path / "out.parquet", keep=("id",))
    assert ["in.jsonl"] == left_in(tmp_path)


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_outputs_of_one_name(tmp_path: Path, name: str) -> None:
    """Are told apart in every format, none is lost, and none takes the name of a kept column."""
    import pandas

    (tmp_path / "in.csv").write_text("n\n1\n")
    model = answering(lambda data: pandas.DataFrame([[1, 2, 3, 4]], columns=["a", "a", "n", "prediction_n"]))
    done = score(model, tmp_path / "in.csv", tmp_path / name, keep=None)
    assert ("n", "a", "a.1", "prediction_n", "prediction_n.1") == done.columns
    assert [1, 2, 3, 4] == read(tmp_path / name)[list(done.columns[1:])].iloc[0].tolist()


def leave(data: Any) -> Any:
    """A model that ends the process, as if all went well."""
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("answer", "why"), [(leave, "SystemExit: 0"), (lambda data: {1, 2}, "TypeError: 'set' type is unordered")]
)
def test_answers_that_are_none(tmp_path: Path, answer: Callable[[Any], Any], why: str) -> None:
    """A model that exits, or answers what has no order, has failed."""
    (tmp_path / "in.csv").write_text("n\n1\n2\n")
    with pytest.raises(ScoringFailed, match=f"rows 1 to 2: the model failed: {why}"):
        score(answering(answer), tmp_path / "in.csv", tmp_path / "out.csv")
    assert ["in.csv"] == left_in(tmp_path)


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_answers_that_are_no_unicode(tmp_path: Path, name: str) -> None:
    """Half a character of a model's cannot be written, which is told."""
    (tmp_path / "in.csv").write_text("n\n1\n")
    with pytest.raises(DataRefused, match="a text is no Unicode"):
        score(answering(lambda data: [["\ud83d"]]), tmp_path / "in.csv", tmp_path / name)
    assert ["in.csv"] == left_in(tmp_path)


def test_force_replaces_no_folder_that_is_no_output(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository, the folder one is in or above it, and the home folder are not replaced by a slip."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("a,b\n1,2\n")
    places = tmp_path / "places"
    for kind in ("repository/.git", "above/here", "home"):
        (places / kind).mkdir(parents=True)
    monkeypatch.chdir(places / "above" / "here")
    monkeypatch.setenv("HOME", str(places / "home"))
    for output, why in (
        (places / "repository", "it is a git repository"),
        (places / "above", "it is or holds the current folder"),
        (Path(), "it is or holds the current folder"),
        (places / "home", "it is or holds your home folder"),
    ):
        with pytest.raises(OutputRefused, match=why):
            score(load(folder), tmp_path / "in", output, force=True)
    assert ["above", "home", "repository"] == left_in(places)
    assert [".git"] == left_in(places / "repository")


def test_devices_and_pipes(folder: Path, tmp_path: Path) -> None:
    """Neither is read as a file, for it could be read once only, nor replaced by one, not even by force."""
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataRefused, match=r"pipe\.csv: it is a device or a pipe.*-i - < "):
        batch.plan(Job(str(tmp_path / "pipe.csv"), str(tmp_path / "out.csv")))
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    with pytest.raises(OutputRefused, match=r"pipe\.csv: it is a device or a pipe"):
        score(load(folder), tmp_path / "in.csv", tmp_path / "pipe.csv", force=True)
    assert (tmp_path / "pipe.csv").is_fifo()


def test_links_in_a_folder(folder: Path, tmp_path: Path) -> None:
    """One to a table is read; those to a folder, and to nothing, would leave rows out, so they are refused."""
    (tmp_path / "in").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.csv").write_text("a,b\n1,2\n")
    link = tmp_path / "in" / "link.csv"
    link.symlink_to(tmp_path / "elsewhere" / "a.csv")
    (tmp_path / "in" / "readme.txt").symlink_to("nothing")
    assert 1 == score(load(folder), tmp_path / "in", tmp_path / "out").rows
    for target, why in (
        (tmp_path / "elsewhere", "a link to a folder"),
        (tmp_path / "gone", "a link that leads nowhere"),
    ):
        link.unlink()
        link.symlink_to(target)
        with pytest.raises(DataRefused, match=f"link.csv: it is {why}"):
            batch.plan(Job(str(tmp_path / "in"), str(tmp_path / "other")))


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_an_index_of_pandas_is_a_column(tmp_path: Path, name: str) -> None:
    """Parquet that pandas wrote keeps a DataFrame's index: an id to keep, and an input if the signature says so."""
    import pandas

    frame = pandas.DataFrame({"n": [1.0, 2.0], "m": [3.0, 4.0]}, index=pandas.Index(["x", "y"], name="key"))
    frame.to_parquet(tmp_path / "in.parquet")
    score(echo(), tmp_path / "in.parquet", tmp_path / name, keep=("key",))
    made = read(tmp_path / name)
    assert {"key": ["x", "y"], "prediction": [1, 2]} == made.to_dict(orient="list")
    frame.reset_index().set_index("n").to_parquet(tmp_path / "in.parquet")
    score(echo(), tmp_path / "in.parquet", tmp_path / name, force=True)
    assert {"prediction": [1, 2]} == read(tmp_path / name).to_dict(orient="list")


def test_parquet_that_is_odd(tmp_path: Path) -> None:
    """Columns of one name, and notes of pandas that are no JSON, are refused in words."""
    import pyarrow
    from pyarrow import parquet

    columns = [pyarrow.array([1.0]), pyarrow.array([2]), pyarrow.array([3])]
    parquet.write_table(pyarrow.Table.from_arrays(columns, names=["n", "k", "k"]), tmp_path / "in.parquet")
    for keep in (None, ("k",)):
        with pytest.raises(DataRefused, match="there are several columns 'k'"):
            score(echo(), tmp_path / "in.parquet", tmp_path / "out.csv", keep=keep)
    assert 1 == score(echo(), tmp_path / "in.parquet", tmp_path / "out.csv").rows
    noted = pyarrow.table({"n": [1.0]}).replace_schema_metadata({b"pandas": b"{bad"})
    parquet.write_table(noted, tmp_path / "in.parquet")
    with pytest.raises(DataRefused, match="it cannot be read as Parquet"):
        score(echo(), tmp_path / "in.parquet", tmp_path / "other.csv")


def test_nested_values_in_csv(tmp_path: Path) -> None:
    """They are JSON, whole; Python's own text of a long array leaves out its middle."""
    import csv

    import numpy
    import pyarrow
    from pyarrow import parquet

    nested = {"n": [1.0], "l": [list(range(2000))], "s": [{"a": 1, "b": [1, 2]}], "b": [b"\xff"], "t": ["[x"]}
    parquet.write_table(pyarrow.table(nested), tmp_path / "in.parquet")
    answer = numpy.empty(1, dtype=object)
    answer[0] = numpy.arange(2000)
    score(answering(lambda data: answer), tmp_path / "in.parquet", tmp_path / "out.csv", keep=None)
    csv.field_size_limit(10**6)
    with (tmp_path / "out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(range(2000)) == json.loads(row["l"]) == json.loads(row["prediction"])
    assert {"a": 1, "b": [1, 2]} == json.loads(row["s"])
    assert ("/w==", "[x") == (row["b"], row["t"])
