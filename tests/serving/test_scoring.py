"""The scoring protocol: the same answers as `PyFuncModel.predict` and as MLflow's own server, and clear refusals."""

import io
import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone import pyfunc
from runstone.flavors.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from runstone.flavors.signature import ModelSignature
from runstone.serving.problem import Problem
from runstone.serving.resolve import Loaded
from runstone.serving.scoring import Scorer, blame, to_answer
from tests.serving.support import load_folder, save


class Echo:
    """A model that answers with what it is given."""

    raw = None

    def predict(self, data: Any, params: Any) -> Any:
        """The data, and the params beside them if there are any."""
        return (data, params) if params else data


def scorer_of(folder: Path, *specs: ColSpec | TensorSpec, params: ParamSchema | None = None) -> Scorer:
    """A scorer that echoes what the model would be given, for a signature."""
    from dataclasses import replace

    signature = ModelSignature(Schema(specs) if specs else None, params=params) if specs or params else None
    loaded = load_folder(folder)
    return Scorer(Loaded(loaded.identity, replace(loaded.metadata, signature=signature), Echo(), None))


def score(scorer: Scorer, document: Any) -> Any:
    """What the model is given, or answers, for a body of JSON."""
    return scorer.score_json(json.dumps(document).encode())


def refusal(scorer: Scorer, body: Any) -> tuple[str, str]:
    """The code and the message that a body gets."""
    with pytest.raises(Problem) as caught:
        scorer.score_json(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert 400 == caught.value.status
    return caught.value.error_code, caught.value.message


# --- the same answers


def bodies(x: pandas.DataFrame) -> dict[str, Any]:
    """One request in each form."""
    split = {"columns": list(x.columns), "data": x.to_numpy().tolist()}
    return {
        "split": {"dataframe_split": split},
        "split with index": {"dataframe_split": {**split, "index": list(range(len(x)))}},
        "records": {"dataframe_records": x.to_dict(orient="records")},
        "inputs by column": {"inputs": x.to_dict(orient="list")},
        "inputs by row": {"inputs": x.to_dict(orient="records")},
        "instances": {"instances": x.to_dict(orient="records")},
        "other order": {"dataframe_records": x[list(x.columns)[::-1]].to_dict(orient="records")},
        "extra column": {"dataframe_records": x.assign(more="text").to_dict(orient="records")},
    }


@pytest.mark.mlflow
def test_answers_equal_those_of_predict_and_of_mlflow(signed_folder: Path, diabetes: tuple[Any, Any]) -> None:
    """To the bit, in every form of the protocol, for one row and for many."""
    server = pytest.importorskip("mlflow.pyfunc.scoring_server", reason="MLflow is not installed")
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    theirs = mlflow.pyfunc.load_model(str(signed_folder))
    ours = Scorer(load_folder(signed_folder))
    model = pyfunc.load_model(str(signed_folder), allow_pickle=True)
    for rows in (1, 7):
        x = diabetes[1][:rows]
        expected = model.predict(x).tolist()
        for name, body in bodies(x).items():
            data = json.dumps(body)
            answer = json.loads(to_answer(ours.score_json(data.encode())))
            assert {"predictions": expected} == answer, name
            said = server.invocations(data, "application/json", theirs, theirs.metadata.get_input_schema())
            assert json.loads(said.response) == answer, name


@pytest.mark.mlflow
def test_answers_without_a_signature_equal_mlflows(plain_folder: Path, diabetes: tuple[Any, Any]) -> None:
    """Also where the columns are only those that the model was fitted with."""
    server = pytest.importorskip("mlflow.pyfunc.scoring_server", reason="MLflow is not installed")
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    theirs = mlflow.pyfunc.load_model(str(plain_folder))
    ours = Scorer(load_folder(plain_folder))
    x = diabetes[1][:3]
    forms = bodies(x)
    wanted = [forms["split"], forms["records"], {"instances": x.to_numpy().tolist()}, {"inputs": x.to_numpy().tolist()}]
    wanted.append({"dataframe_split": {"data": x.to_numpy().tolist()}})
    for body in wanted:
        said = server.invocations(json.dumps(body), "application/json", theirs, None)
        assert json.loads(said.response) == json.loads(to_answer(score(ours, body)))


def test_bodies_of_language_models(plain_folder: Path) -> None:
    """With `messages`, `prompt` or `input` the whole object is the data, and the answer is not wrapped, as MLflow's."""
    free = {"messages": [{"role": "user", "content": "hi"}], "inputs": [1]}
    assert free == json.loads(to_answer(score(scorer_of(plain_folder), free)))
    params = ParamSchema([ParamSpec("k", DataType.long, 3)])
    signed = scorer_of(plain_folder, ColSpec(DataType.string, "prompt"), ColSpec(DataType.double, "t"), params=params)
    frame, given_ = score(signed, {"prompt": "hi", "t": 1, "k": 9, "more": 0}).predictions
    assert ({"k": 9}, [{"prompt": "hi", "t": 1.0}]) == (given_, frame.to_dict(orient="records"))
    assert "the columns ['t'] are missing" in refusal(signed, {"prompt": "hi"})[1]


def test_one_column_without_a_name(plain_folder: Path) -> None:
    """Is given as values, or as rows of one value, as a matrix of one column is."""
    scorer = scorer_of(plain_folder, ColSpec(DataType.double))
    for rows in ([1.5, 2], [[1.5], [2]]):
        for body in ({"inputs": rows}, {"instances": rows}, {"dataframe_split": {"data": rows}}):
            assert [1.5, 2.0] == score(scorer, body).iloc[:, 0].tolist()
    nested = scorer_of(plain_folder, ColSpec(Array(DataType.double)))
    assert [[1.5, 2.5]] == score(nested, {"inputs": [[1.5, 2.5]]}).iloc[:, 0].tolist()


def test_columns_under_instances(plain_folder: Path) -> None:
    """MLflow takes them there too."""
    scorer = scorer_of(plain_folder, ColSpec(DataType.double, "a"))
    assert [1.5, 2.0] == score(scorer, {"instances": {"a": [1.5, 2]}})["a"].tolist()


def test_no_rows_of_text_are_still_text(plain_folder: Path) -> None:
    """A model that asks for the text of a column gets an answer for a table without rows."""
    body = {"dataframe_split": {"columns": ["a", "b"], "data": []}}
    signed = scorer_of(plain_folder, ColSpec(DataType.string, "a"), ColSpec(DataType.double, "b"))
    for scorer in (signed, scorer_of(plain_folder)):
        frame = score(scorer, body)
        assert [] == frame["a"].str.lower().tolist()
    assert "float64" == score(signed, body)["b"].dtype


def test_csv_and_parquet(signed_folder: Path, diabetes: tuple[Any, Any]) -> None:
    """As pandas writes them."""
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    scorer, x = Scorer(load_folder(signed_folder)), diabetes[1][:5]
    expected = diabetes[0].predict(x).tolist()
    parquet = io.BytesIO()
    x.to_parquet(parquet)
    assert expected == pytest.approx(scorer.score_csv(x.to_csv(index=False).encode()).tolist())
    assert expected == pytest.approx(scorer.score_parquet(parquet.getvalue()).tolist())
    for read, body in ((scorer.score_csv, b'a,b\n"1'), (scorer.score_csv, b""), (scorer.score_parquet, b"PAR1 no")):
        with pytest.raises(Problem) as caught:
            read(body)
        assert 400 == caught.value.status


CELLS = st.one_of(
    st.floats(width=64), st.integers(-(2**70), 2**70), st.booleans(), st.none(), st.text(max_size=3), st.just([1])
)


@settings(max_examples=200)
@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=4))
def test_what_is_taken_is_what_enforce_would_make_of_it(rows: list[list[Any]]) -> None:
    """Whatever stands in the cells: either a 400, or the very DataFrame that `predict` hands to the model."""
    from runstone.flavors.enforce import enforce_input
    from runstone.serving.columns import Columns, as_frame

    schema = Schema([ColSpec(DataType.double, "a"), ColSpec(DataType.long, "b")])
    try:
        table = {name: [row[i] for row in rows] for i, name in enumerate("ab")}
        frame = as_frame(Columns(schema).read(table))
    except Problem:
        return
    given_ = pandas.DataFrame(
        {"a": [math.nan if v is None else v for v in table["a"]], "b": [int(v) for v in table["b"]]}  # 1.0 is 1 to JSON
    )
    assert table["b"] == given_["b"].tolist()
    pandas.testing.assert_frame_equal(enforce_input(given_, schema), frame, check_exact=True)


@pytest.mark.parametrize(
    ("kind", "values", "expected", "dtype"),
    [
        (DataType.double, [1, None, 2.5], [1.0, math.nan, 2.5], "float64"),
        (DataType.double, [None], [math.nan], "float64"),
        (DataType.float, [0.1, 3], [numpy.float32(0.1), 3.0], "float32"),
        (DataType.integer, [1, -(2**31)], [1, -(2**31)], "int32"),
        (DataType.long, [2**62], [2**62], "int64"),
        (DataType.long, [1.0, 2**62 + 1], [1, 2**62 + 1], "int64"),
        (DataType.boolean, [True, False], [True, False], "bool"),
        (DataType.boolean, [True, None], [True, None], "object"),
        (DataType.binary, ["dGV4dA=="], [b"text"], "object"),
        (
            DataType.datetime,
            ["2026-11-22T06:12:03Z", None],
            [pandas.Timestamp("2026-11-22T06:12:03"), pandas.NaT],
            "datetime64[ns]",
        ),
    ],
)
def test_types_of_columns(
    plain_folder: Path, kind: DataType, values: Sequence[Any], expected: Sequence[Any], dtype: str
) -> None:
    """What JSON says becomes the signature's type."""
    scorer = scorer_of(plain_folder, ColSpec(kind, "a"), ColSpec(DataType.string, "t"))
    frame = score(scorer, {"dataframe_split": {"columns": ["t", "a"], "data": [["x", v] for v in values]}})
    assert ["a", "t"] == list(frame.columns)
    pandas.testing.assert_series_equal(pandas.Series(expected, dtype=dtype, name="a"), frame["a"])


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (DataType.double, "1.5", "the column `a` must be double, but holds '1.5'"),
        (DataType.double, True, "the column `a` must be double, but holds True"),
        (DataType.double, [1], "the column `a` must be double, but holds [1]"),
        (DataType.double, 2**53 + 1, "the column `a` is double, which cannot hold 9007199254740993 exactly"),
        (DataType.float, 1e300, "the column `a` holds a number that is too large for float"),
        (DataType.long, 1.5, "the column `a` must be long, but holds 1.5"),
        (DataType.long, 1e300, "the column `a` must be long, but holds 1e+300"),
        (DataType.long, 2**63, "the column `a` must be long, and 9223372036854775808 is too large for it"),
        (DataType.integer, 2**31, "the column `a` must be integer, and 2147483648 is too large for it"),
        (DataType.boolean, 1, "the column `a` must be boolean, but holds 1"),
        (DataType.string, 1, "the column `a` must be string, but holds 1"),
        (DataType.binary, "é", "the column `a` must be binary, as base64, and is not"),
        (DataType.datetime, "soon", "the column `a` must be datetime, as `2026-11-22T06:12:03`, and is not"),
    ],
)
def test_values_of_another_type_are_refused(plain_folder: Path, kind: DataType, value: Any, said: str) -> None:
    """Nothing is cut, rounded to a whole number, or read from text."""
    code, message = refusal(scorer_of(plain_folder, ColSpec(kind, "a")), {"dataframe_records": [{"a": value}]})
    assert "INVALID_PARAMETER_VALUE" == code
    assert f"The data does not fit the model's signature: {said}. See it: `GET /openapi.json`" == message


def test_nothing_in_whole_numbers_is_refused_with_a_hint(plain_folder: Path) -> None:
    """As `predict` says it."""
    _, message = refusal(scorer_of(plain_folder, ColSpec(DataType.long, "a")), {"dataframe_records": [{"a": None}]})
    assert "the column `a` must be long, but holds None; whole numbers with missing values are fractions" in message


def test_missing_and_optional_columns(plain_folder: Path) -> None:
    """A required column must be there, an optional one may be left out, and others are not handed on."""
    scorer = scorer_of(plain_folder, ColSpec(DataType.double, "a"), ColSpec(DataType.double, "b", required=False))
    assert ["a"] == list(score(scorer, {"dataframe_records": [{"a": 1, "z": 2}]}).columns)
    _, message = refusal(scorer, {"dataframe_records": [{"b": 1}]})
    assert "the columns ['a'] are missing; there are ['b']" in message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"\xff",
        b"[]",
        b'"text"',
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"dataframe_split": [], "inputs": []}',
        b'{"dataframe_split": []}',
        b'{"dataframe_split": {"columns": ["a"]}}',
        b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}',
        b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}',
        b'{"dataframe_split": {"columns": ["a"], "data": [[1], 2]}}',
        b'{"dataframe_split": {"columns": "a", "data": [[1]]}}',
        b'{"dataframe_split": {"columns": ["a"], "data": [[1]], "index": [1, 2]}}',
        b'{"dataframe_split": {"columns": ["a"], "data": [[1]], "more": 1}}',
        b'{"dataframe_split": {"columns": [{}], "data": [[1]]}}',
        b'{"dataframe_records": {"a": 1}}',
        b'{"dataframe_records": [1]}',
        b'{"instances": {"a": [1]}}',
        b'{"inputs": {"a": [1], "b": [1, 2]}}',
        b'{"inputs": [[1, 2]]}',
        b'{"inputs": null}',
        b'{"dataframe_records": [{"a": 1, "b": 1}], "params": []}',
    ],
)
def test_malformed_bodies_are_refused(plain_folder: Path, body: bytes) -> None:
    """With a 400 that says what is wrong in a sentence."""
    scorer = scorer_of(plain_folder, ColSpec(DataType.double, "a"), ColSpec(DataType.double, "b"))
    code, message = refusal(scorer, body)
    assert code in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")
    assert 0 < len(message) < 500
    assert "Traceback" not in message


def test_nan_and_no_rows_are_the_models_to_refuse(signed_folder: Path) -> None:
    """Both are a double, and this model takes neither; that is the request's fault, not the server's."""
    scorer = Scorer(load_folder(signed_folder))
    names = scorer.columns.names if scorer.columns is not None else []
    for data in ([[math.nan] * 10], []):
        with pytest.raises(ValueError, match=r"NaN|0 sample") as caught:
            score(scorer, {"dataframe_split": {"columns": names, "data": data}})
        problem = blame(caught.value, scorer)
        assert problem is not None
        assert (400, "BAD_REQUEST") == (problem.status, problem.error_code)


def test_tensors(plain_folder: Path) -> None:
    """A signature of arrays gets arrays, of its dtype and shape."""
    one = scorer_of(plain_folder, TensorSpec("float32", (-1, 2)))
    for body in ({"inputs": [[1, 2.5]]}, {"instances": [[1, 2.5]]}, {"dataframe_split": {"data": [[1, 2.5]]}}):
        array = score(one, body)
        assert ("float32", [[1.0, 2.5]]) == (str(array.dtype), array.tolist())
    assert math.inf == score(one, {"inputs": [[math.inf, 1]]})[0][0]
    flat = scorer_of(plain_folder, TensorSpec("str", (-1,)))
    assert ["x", "y"] == score(flat, {"dataframe_split": {"data": [["x"], ["y"]]}}).tolist()
    assert ["x", "y"] == score(flat, {"dataframe_records": [{"q": "x"}, {"q": "y"}]}).tolist()
    named = scorer_of(plain_folder, TensorSpec("int64", (-1,), "i"), TensorSpec("float64", (-1, 2), "f"))
    got = score(named, {"inputs": {"i": [1], "f": [[1, None]]}})
    assert [1] == got["i"].tolist()
    assert math.isnan(got["f"][0][1])
    for wrong in ([[1, 2, 3]], [["1", "2"]], [[1], [1, 2]], [[True, False]], [[1e39, 1]], "x", None, {"a": [1]}):
        refusal(one, {"inputs": wrong})
    refusal(named, {"inputs": {"i": [1.5], "f": [[1, 2]]}})


def test_nested_columns(plain_folder: Path) -> None:
    """Lists in cells are held against the signature too."""
    scorer = scorer_of(plain_folder, ColSpec(Array(DataType.long), "a"))
    assert [[1, 2]] == score(scorer, {"dataframe_records": [{"a": [1, 2]}]})["a"].tolist()
    refusal(scorer, {"dataframe_records": [{"a": [1, "x"]}]})
    refusal(scorer, {"dataframe_records": [{"a": 1}]})


def test_params(plain_folder: Path) -> None:
    """The params of the signature reach the model, the others at their defaults; wrong ones are refused."""
    params = ParamSchema([ParamSpec("k", DataType.long, 3), ParamSpec("t", DataType.double, 0.5)])
    scorer = scorer_of(plain_folder, ColSpec(DataType.double, "a"), params=params)
    _, given_ = score(scorer, {"inputs": {"a": [1]}, "params": {"t": 2}})
    assert {"k": 3, "t": 2.0} == given_
    code, message = refusal(scorer, {"inputs": {"a": [1]}, "params": {"k": "x"}})
    assert "INVALID_PARAMETER_VALUE" == code
    assert "the param `k` must be of type long" in message


def test_params_that_the_signature_does_not_have(plain_folder: Path) -> None:
    """Are passed over without a warning, of which Python would keep one for each new name that a client thinks of."""
    for params in (None, ParamSchema([ParamSpec("k", DataType.long, 3)])):
        scorer = scorer_of(plain_folder, ColSpec(DataType.double, "a"), params=params)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            score(scorer, {"inputs": {"a": [1]}, "params": {"unknown": 1}})


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        (numpy.array([[1, 2]]), [[1, 2]]),
        (numpy.array([1.5, math.nan, math.inf]), [1.5, None, None]),
        (pandas.DataFrame({"a": [1], 0: ["x"]}), [{"a": 1, "0": "x"}]),
        (pandas.Series([1, 2], name="p"), [{"p": 1}, {"p": 2}]),
        (pandas.Series([pandas.Timestamp("2026-11-22")]), [{"0": "2026-11-22T00:00:00"}]),
        ({"a": numpy.array([1]), "b": numpy.float32(0.5)}, {"a": [1], "b": 0.5}),
        ([b"text", 2**70, "\ud800"], ["dGV4dA==\n", 2**70, "\ud800"]),
        ("text", "text"),
        ([None, pandas.NA, True], [None, None, True]),
    ],
)
def test_shapes_of_answers(predictions: Any, expected: Any) -> None:
    """As MLflow writes them, in valid JSON."""
    assert {"predictions": expected} == json.loads(to_answer(predictions))


def test_a_pipeline_with_a_step_of_its_own_gets_a_dataframe(tmp_path: Path) -> None:
    """Only estimators that look at nothing but the values are handed an array."""
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    from runstone.models import infer_signature

    x = pandas.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3.0, 1.0, 0.5]})
    y = [1.0, 2.0, 3.0]
    for name, step in (("own", FunctionTransformer(lambda f: f[["a", "b"]])), ("plain", StandardScaler())):
        model = make_pipeline(step, LinearRegression()).fit(x, y)
        scorer = Scorer(load_folder(save(model, tmp_path / name, infer_signature(x, y))))
        assert (name == "plain") == scorer._takes_arrays
        assert model.predict(x).tolist() == score(scorer, {"dataframe_records": x.to_dict(orient="records")}).tolist()
