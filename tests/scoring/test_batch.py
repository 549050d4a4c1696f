"""Scoring files and folders in chunks: equal results whatever the format, and nothing half where something fails."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from runstone.errors import DataRefused, DiskFull, OutputRefused, ScoringFailed, UsageError
from runstone.flavors.mlmodel import MLmodel
from runstone.flavors.pyfunc import PyFuncModel
from runstone.flavors.schema import ColSpec, DataType, Schema
from runstone.flavors.signature import ModelSignature
from runstone.scoring import batch
from runstone.scoring.batch import Job
from tests.scoring.support import EXPECTED, left_in, load, score


def write(table: Any, path: Path) -> Path:
    """Write a table in the format that the path names."""
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path, index=False)
    return path


def read(path: Path) -> Any:
    """Read it again; ids stay text."""
    import pandas

    if path.suffix == ".csv":
        return pandas.read_csv(path, dtype={"id": str})
    if path.suffix == ".jsonl":
        return pandas.DataFrame([json.loads(line) for line in path.read_text().splitlines()])
    return pandas.read_parquet(path)


class Steps:
    """A predictor that counts its calls, and raises in one of them."""

    raw = None

    def __init__(self, fails_at: int = 0, answer: Any = None) -> None:
        self.calls, self._fails_at, self._answer = 0, fails_at, answer

    def predict(self, data: Any, params: Any) -> Any:
        """The column `a`, or what it was told."""
        self.calls += 1
        if self.calls == self._fails_at:
            raise RuntimeError("no more\nof this")
        return data["a"].to_numpy() if self._answer is None else self._answer(data, params)


def model_of(predictor: Any, **types: DataType) -> PyFuncModel:
    """A model with columns of these types; with none it has no signature."""
    signature = ModelSignature(Schema([ColSpec(kind, name) for name, kind in types.items()])) if types else None
    flavors = {"python_function": {"loader_module": "mlflow.sklearn"}}
    return PyFuncModel(MLmodel(flavors=flavors, signature=signature), predictor)


FORMATS = (".csv", ".jsonl", ".parquet")


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_every_format_into_every_other(folder: Path, table: Any, tmp_path: Path, source: str, target: str) -> None:
    """The predictions stand behind the id, in order, in chunks that do not divide the rows."""
    given, output = write(table, tmp_path / f"in{source}"), tmp_path / f"out{target}"
    scored = score(load(folder), given, output, keep=("id",), chunk_rows=3)
    found = read(output)
    assert ["id", "prediction"] == list(found.columns)
    assert list(table["id"]) == list(found["id"])
    assert EXPECTED == pytest.approx(list(found["prediction"]))
    assert (10, ("id", "prediction")) == (scored.rows, scored.columns)
    assert f"md5:{hashlib.md5(given.read_bytes()).hexdigest()}" == scored.input_digest
    assert f"md5:{hashlib.md5(output.read_bytes()).hexdigest()}" == scored.output_digest


def test_keep_all_leaves_the_inputs_as_they_were_written(folder: Path, tmp_path: Path) -> None:
    """Text such as 007 and 1.50 is not made a number on its way."""
    given = tmp_path / "in.csv"
    given.write_text("id,a,b\n007,1.50,0\n008,,NA\n")
    with pytest.raises(ScoringFailed, match="rows 1 to 2: the model failed: ValueError"):  # it takes no NaN
        score(load(folder), given, tmp_path / "out.csv", keep=None)
    given.write_text("id,a,b\n007,1.50,0\n")
    score(load(folder), given, tmp_path / "out.csv", keep=None)
    assert "id,a,b,prediction\n007,1.50,0,3.0\n" == _rounded(tmp_path / "out.csv")


def _rounded(path: Path) -> str:
    head, row = path.read_text().splitlines()
    *cells, last = row.split(",")
    return f"{head}\n{','.join(cells)},{round(float(last), 6)}\n"


def test_a_folder_into_a_folder(folder: Path, table: Any, tmp_path: Path) -> None:
    """Each file has its own under the same path; hidden ones, and those with `_`, are none; empty ones have none."""
    given = tmp_path / "in"
    (given / "day=1").mkdir(parents=True)
    write(table[:4], given / "day=1" / "a.parquet")
    write(table[4:], given / "b.parquet")
    write(table[:0], given / "c.parquet")
    (given / "_SUCCESS.parquet").write_text("")
    (given / ".hidden.parquet").write_text("")
    scored = score(load(folder), given, tmp_path / "out", keep=("id",))
    written = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert ["b.parquet", "day=1/a.parquet"] == written
    assert 10 == scored.rows
    assert scored.output_digest.endswith(".dir")
    assert EXPECTED[:4] == pytest.approx(list(read(tmp_path / "out" / "day=1" / "a.parquet")["prediction"]))
    assert {"in", "linear", "out"} == set(left_in(tmp_path))


def test_the_digest_of_a_folder_is_that_of_dvc(folder: Path, table: Any, tmp_path: Path) -> None:
    """DVC's own word for the same folder."""
    hashing = pytest.importorskip("dvc_data.hashfile.build", reason="the extra `dvc` is not installed")
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    given = tmp_path / "in"
    given.mkdir()
    for name in ("a", "b"):
        write(table, given / f"{name}.parquet")
    database = HashFileDB(LocalFileSystem(), str(tmp_path / "cache"))
    _, _, built = hashing.build(database, str(given), LocalFileSystem(), "md5")
    scored = score(load(folder), given, tmp_path / "out")
    assert f"md5:{built.hash_info.value}" == scored.input_digest


def test_a_folder_into_one_file(folder: Path, table: Any, tmp_path: Path) -> None:
    """File after file, by path."""
    (tmp_path / "in").mkdir()
    write(table[:4], tmp_path / "in" / "a.csv")
    write(table[4:], tmp_path / "in" / "b.csv")
    score(load(folder), tmp_path / "in", tmp_path / "out.jsonl", keep=("id",))
    assert list(table["id"]) == list(read(tmp_path / "out.jsonl")["id"])


def test_missing_whole_numbers_that_are_kept_stay_whole(table: Any, tmp_path: Path) -> None:
    """A missing id makes no fractions of the others."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"id": [1, None, 2**60 + 1], "a": [1.0, 2.0, 3.0]}), tmp_path / "in.parquet")
    score(model_of(Steps(), a=DataType.double), tmp_path / "in.parquet", tmp_path / "out.csv", keep=("id",))
    assert "id,prediction\n1,1.0\n,2.0\n1152921504606846977,3.0\n" == (tmp_path / "out.csv").read_text()


def test_answers_of_every_shape(table: Any, tmp_path: Path) -> None:
    """Several outputs are several columns; a name that is taken gets a prefix; lists stay lists."""
    import numpy
    import pandas

    given = write(table[:2], tmp_path / "in.jsonl")
    answers: dict[str, tuple[Any, list[str], list[Any]]] = {
        "matrix": (lambda d, _: numpy.array([[1, 2]] * len(d)), ["prediction_0", "prediction_1"], [1, 2]),
        "one column": (lambda d, _: numpy.array([[1]] * len(d)), ["prediction"], [1]),
        "frame": (lambda d, _: pandas.DataFrame({"id": [1] * len(d), "p": 2}), ["prediction_id", "p"], [1, 2]),
        "list": (lambda d, _: ["yes"] * len(d), ["prediction"], ["yes"]),
        "cube": (lambda d, _: numpy.ones((len(d), 1, 2)), ["prediction"], [[[1.0, 1.0]]]),
        "map": (lambda d, _: {"p": [1] * len(d), "q": [2] * len(d)}, ["p", "q"], [1, 2]),
        "nothing known": (lambda d, _: [float("nan"), float("inf")], ["prediction"], [None]),
    }
    for name, (answer, columns, first) in answers.items():
        output = tmp_path / f"{name}.jsonl"
        score(model_of(Steps(answer=answer), a=DataType.double), given, output, keep=("id",))
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        assert ["id", *columns] == list(rows[0]), name
        assert first == [rows[0][column] for column in columns], name
    assert "inf" == rows[1]["prediction"]


def test_types_of_csv(tmp_path: Path) -> None:
    """Each column comes to the model as the signature says it, whatever the chunk holds."""
    seen: list[Any] = []

    def answer(data: Any, _: Any) -> Any:
        seen.append(data)
        return [0] * len(data)

    kinds = {"w": "integer", "f": "float", "t": "boolean", "s": "string", "d": "datetime", "y": "binary"}
    model = model_of(Steps(answer=answer), **{name: DataType[kind] for name, kind in kinds.items()})
    text = "w,f,t,s,d,y\n1,0.1,true,NA,2026-01-31T12:00:00,AAE=\n-2,3,False,,2026-02-01,\n"
    (tmp_path / "in.csv").write_text(text)
    score(model, tmp_path / "in.csv", tmp_path / "out.csv")
    (data,) = seen
    assert ["int32", "float32", "bool"] == [str(data[name].dtype) for name in "wft"]
    assert ["NA", None] == list(data["s"].astype(object))
    assert "2026-01-31 12:00:00" == str(data["d"][0])
    assert [b"\0\1", None] == list(data["y"])


def test_without_a_signature_the_first_chunk_says_what_are_numbers(tmp_path: Path) -> None:
    """What it reads as numbers must be numbers in the others; the id is not for the model."""
    (tmp_path / "in.csv").write_text("id,a,s\nx,1,u\ny,2,3\nz,oops,4\n")
    seen: list[Any] = []

    def answer(data: Any, _: Any) -> Any:
        seen.append(data)
        return data["a"]

    model = model_of(Steps(answer=answer))
    with pytest.raises(DataRefused) as caught:
        score(model, tmp_path / "in.csv", tmp_path / "out.csv", keep=("id",), chunk_rows=2)
    assert f"{tmp_path}/in.csv: in row 3, `a` is 'oops', which is no number" in str(caught.value)
    assert [["a", "s"]] == [list(data.columns) for data in seen]
    assert ["in.csv"] == left_in(tmp_path)


def test_a_chunk_that_fails_leaves_nothing(table: Any, tmp_path: Path) -> None:
    """The message names the rows; there is no output, and no temporary file."""
    given = write(table, tmp_path / "in.parquet")
    for name in ("out.parquet", "out.csv"):
        with pytest.raises(ScoringFailed) as caught:
            score(model_of(Steps(7), a=DataType.double), given, tmp_path / name, chunk_rows=1)
        assert (
            f"{given}, rows 7 to 7: the model failed: RuntimeError: no more of this. Nothing was written. "
            "Narrow it down with smaller chunks: `--chunk-rows 100`"
        ) == str(caught.value)
        assert ["in.parquet"] == left_in(tmp_path)


def test_one_prediction_a_row(table: Any, tmp_path: Path) -> None:
    """A model that gives fewer is not believed."""
    model = model_of(Steps(answer=lambda data, _: [1]), a=DataType.double)
    with pytest.raises(ScoringFailed, match="it gave 1 predictions for 10 rows"):
        score(model, write(table, tmp_path / "in.csv"), tmp_path / "out.csv")
    assert ["in.csv"] == left_in(tmp_path)


BAD: dict[str, tuple[str | bytes, str]] = {
    "empty.csv": ("", "it is no CSV with a line of names"),
    "header.csv": ("a,b\n", "it has no rows"),
    "missing.csv": ("a\n1\n", "the model needs the columns ['b'], which are missing; there are ['a']"),
    "text.csv": ("a,b\n1,2\n3,x4\n", "in row 2, `b` is 'x4', which is no double"),
    "wide.csv": ("a,b\n1,2\n1,2\n3,4,5,6\n", "it is no CSV with a line of names: Expected 2 fields in line 4, saw 4"),
    "latin.csv": (b"a,b\n1,\xff\n", "it is no CSV with a line of names: 'utf-8' codec"),
    "empty.jsonl": ("", "it has no rows"),
    "broken.jsonl": ('{"a": 1, "b": 2}\n{"a": 1,\n', "line 2 is no JSON"),
    "list.jsonl": ("[1, 2]\n", "line 1 is JSON, and no object"),
    "missing.jsonl": ('{"a": 1}\n', "the columns ['b'] are missing"),
    "text.jsonl": ('{"a": 1, "b": 2}\n{"a": 1, "b": "2"}\n', "in row 2, `b` is '2', which is no double"),
    "empty.parquet": ("", "it cannot be read as Parquet"),
    "text.parquet": ("PAR1 no, not at all PAR1", "it cannot be read as Parquet"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(folder: Path, tmp_path: Path, name: str) -> None:
    """Each is refused in words, with what is wrong and where; nothing is written."""
    content, why = BAD[name]
    given = tmp_path / name
    given.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataRefused) as caught:
        score(load(folder), given, tmp_path / "out.csv")
    assert str(given) in str(caught.value)
    assert why in str(caught.value)
    assert sorted([name, "linear"]) == left_in(tmp_path)


def test_truncated_parquet(folder: Path, table: Any, tmp_path: Path) -> None:
    """Cut at its end, or damaged within."""
    given = write(table, tmp_path / "in.parquet")
    whole = given.read_bytes()
    given.write_bytes(whole[:-20])
    with pytest.raises(DataRefused, match="it cannot be read as Parquet"):
        score(load(folder), given, tmp_path / "out.csv")
    given.write_bytes(whole[:4] + b"\xff" * (len(whole) // 3) + whole[4 + len(whole) // 3 :])
    with pytest.raises(DataRefused, match="it cannot be read as Parquet"):
        score(load(folder), given, tmp_path / "out.csv")
    assert ["in.parquet", "linear"] == left_in(tmp_path)


def test_types_of_parquet_are_known_before_anything_is_predicted(table: Any, tmp_path: Path) -> None:
    """A column of text where a number is asked for."""
    predictor = Steps()
    given = write(table.assign(a="1"), tmp_path / "in.parquet")
    with pytest.raises(DataRefused, match=r"the column `a` is .*, which cannot safely be made double"):
        score(model_of(predictor, a=DataType.double), given, tmp_path / "out.csv")
    assert 0 == predictor.calls


def test_columns_that_are_not_used_are_told(folder: Path, table: Any, tmp_path: Path) -> None:
    """And are no error."""
    planned = batch.plan(Job(str(write(table, tmp_path / "in.csv")), str(tmp_path / "out.csv"), keep=("id",)))
    assert ["note"] == batch.check(load(folder), planned)


def test_outputs_in_the_way(folder: Path, table: Any, tmp_path: Path) -> None:
    """What exists is replaced only by force; what is read never; a folder that is not there is not made."""
    given, output = write(table, tmp_path / "in.csv"), tmp_path / "out.csv"
    output.write_text("mine")
    with pytest.raises(OutputRefused) as caught:
        score(load(folder), given, output)
    assert f"Nothing was written to {output}: it exists. Replace it: `--force`" == str(caught.value)
    assert "mine" == output.read_text()
    score(load(folder), given, output, force=True)
    assert output.read_text().startswith("prediction\n")
    (tmp_path / "link.csv").symlink_to(given)
    for same in (given, tmp_path / "link.csv", tmp_path / "." / "in.csv"):
        with pytest.raises(OutputRefused, match="it is what is to be read"):
            score(load(folder), given, same, force=True)
    with pytest.raises(OutputRefused, match="there is no folder"):
        score(load(folder), given, tmp_path / "not" / "out.csv")
    (tmp_path / "data").mkdir()
    write(table, tmp_path / "data" / "in.csv")
    with pytest.raises(OutputRefused, match="lies in the other"):
        score(load(folder), tmp_path / "data", tmp_path / "data" / "out")


def test_a_folder_is_replaced_by_force(folder: Path, table: Any, tmp_path: Path) -> None:
    """All of it: no file of before stays among the new ones."""
    (tmp_path / "in").mkdir()
    write(table, tmp_path / "in" / "a.csv")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.csv").write_text("old")
    score(load(folder), tmp_path / "in", tmp_path / "out", force=True)
    assert ["a.csv"] == left_in(tmp_path / "out")
    assert ["in", "linear", "out"] == left_in(tmp_path)


def test_calls_that_are_unclear(folder: Path, table: Any, tmp_path: Path) -> None:
    """A format that nothing tells, a folder out of a file, Parquet through a pipe, a column that is not there."""
    given = write(table, tmp_path / "in.csv")
    for output in ("out", "out.txt"):
        with pytest.raises(UsageError, match="does not tell its format"):
            score(load(folder), given, tmp_path / output)
    with pytest.raises(UsageError, match="Parquet is not written to a pipe"):
        batch.plan(Job(str(write(table, tmp_path / "in.parquet")), "-"))
    with pytest.raises(UsageError, match="Parquet cannot be read from a pipe"):
        score(load(folder), "-", tmp_path / "out.csv", input_format="parquet")
    with pytest.raises(DataRefused, match="there is no column 'key' to keep"):
        score(load(folder), given, tmp_path / "out.csv", keep=("key",))
    with pytest.raises(DataRefused, match="there is no such file or folder"):
        score(load(folder), tmp_path / "none.csv", tmp_path / "out.csv")


def test_input_that_changes_meanwhile(table: Any, tmp_path: Path) -> None:
    """Its digest would be that of something else, so nothing is kept."""
    given = write(table, tmp_path / "in.csv")

    def answer(data: Any, _: Any) -> Any:
        given.write_text("changed")
        return data["a"]

    with pytest.raises(DataRefused, match="it was changed while it was read"):
        score(model_of(Steps(answer=answer), a=DataType.double), given, tmp_path / "out.csv")
    assert ["in.csv"] == left_in(tmp_path)


def test_params_reach_the_model(table: Any, tmp_path: Path) -> None:
    """Those of the job, checked by the signature."""
    from runstone.flavors.schema import ParamSchema, ParamSpec

    signature = ModelSignature(
        Schema([ColSpec(DataType.double, "a")]), params=ParamSchema([ParamSpec("k", DataType.long, 1)])
    )
    flavors = {"python_function": {"loader_module": "mlflow.sklearn"}}
    model = PyFuncModel(
        MLmodel(flavors=flavors, signature=signature), Steps(answer=lambda data, params: data["a"] * params["k"])
    )
    score(model, write(table, tmp_path / "in.csv"), tmp_path / "out.csv", params={"k": 3})
    assert 27.0 == list(read(tmp_path / "out.csv")["prediction"])[-1]


def test_a_full_disk(folder: Path, table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own limit on the size of a file; what was written goes."""
    import resource
    import signal

    given = write(table, tmp_path / "in.csv")
    model = load(folder)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(DiskFull, match="File too large"):
            score(model, given, tmp_path / "out.csv", keep=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert ["in.csv", "linear"] == left_in(tmp_path)
