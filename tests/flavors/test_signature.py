"""Signatures: the same text as MLflow for the same data, and text and value are each other's inverse."""

import datetime as dt
import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from runstone.errors import InvalidSignature
from runstone.flavors.schema import (
    AnyType,
    Array,
    ColSpec,
    DataType,
    Map,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
    TensorSpec,
)
from runstone.flavors.signature import ModelSignature, infer_signature

DATA: dict[str, Any] = {
    "long double string boolean": pd.DataFrame({"a": [1, 2], "b": [1.0, 2.0], "c": ["x", "y"], "d": [True, False]}),
    "narrow numbers": pd.DataFrame({t: np.ones(1, t) for t in ("int8", "int16", "int32", "float16", "float32")}),
    "unsigned numbers": pd.DataFrame({t: np.ones(1, t) for t in ("uint8", "uint16", "uint32")}),
    "unsigned 64": pd.DataFrame({"a": np.ones(1, "uint64")}),
    "complex": pd.DataFrame({"a": [1j]}),
    "binary and missing": pd.DataFrame({"a": [b"x", b"y"], "b": [None, "x"], "c": [np.nan, 1.0], "d": [None, None]}),
    "times": pd.DataFrame({"a": pd.to_datetime(["2024-01-01"]), "b": pd.Series([pd.NaT]), "c": [dt.date(2024, 1, 1)]}),
    "times of a zone": pd.DataFrame({"a": pd.to_datetime(["2024-01-01"]).tz_localize("UTC")}),
    "categories": pd.DataFrame({"a": pd.Categorical(["x", "y"]), "b": pd.Categorical([1, 2])}),
    "nullable dtypes": pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean")}),
    "text dtypes": pd.DataFrame({"a": pd.Series(["x", None], dtype="string"), "b": pd.Series(["x"] * 2, dtype=object)}),
    "lists and maps": pd.DataFrame({"a": [[1, 2], [3]], "b": [["x"], []], "c": [{"k": 1}, {"k": 2, "z": "s"}]}),
    "lists of maps": pd.DataFrame({"a": [[{"q": 1.5}], [{"r": None}]]}),
    "arrays in a column": pd.DataFrame({"a": [np.array([1.0, 2.0]), None]}),
    "empty arrays in a column": pd.DataFrame({"a": [np.array([]), np.array([])]}),
    "mixed list": pd.DataFrame({"a": [[1, "x"], [3]]}),
    "mixed column": pd.DataFrame({"a": [1, "x"]}),
    "empty columns": pd.DataFrame({"a": pd.Series([], dtype=object), "b": pd.Series([], dtype=float)}),
    "empty text": pd.DataFrame({"a": pd.Series([], dtype=str)}),
    "nothing": pd.DataFrame(),
    "numbered columns": pd.DataFrame([[1, 2.0], [3, 4.0]]),
    "one name twice": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "series": pd.Series([1, 2], name="s"),
    "nameless series": pd.Series([1.0, 2.0]),
    "nameless series with gaps": pd.Series([1.0, np.nan]),
    "array": np.array([[1.0, 2.0]]),
    "array of int32": np.array([1, 2], dtype="int32"),
    "array of text": np.array(["a", "bcd"]),
    "array of bytes": np.array([b"a"]),
    "array of objects": np.array([None, 1], dtype=object),
    "array of times": np.array(["2024-01-01"], dtype="datetime64[D]"),
    "images": np.zeros((2, 3, 4), dtype="uint8"),
    "no rows": np.zeros((0, 3)),
    "number as array": np.array(3.0),
    "map of arrays": {"x": np.zeros((2, 2)), "y": np.array(["a"])},
    "map": {"a": 1, "b": "x", "c": None, "d": [1, 2], "e": [], "f": {"g": [1.5]}},
    "map of both": {"a": np.array([1]), "b": 2},
    "empty map": {},
    "map of numbers": {1: 2},
    "empty list": [],
    "list of numbers": [1, 2],
    "list with gaps": [1.5, None],
    "list of nothing": [None],
    "lists": [[1, 2], [], [3]],
    "records": [{"a": 1}, {"a": 2, "b": "x"}, {"a": None}],
    "records in records": [{"a": [{"b": 1}, {"c": 2}]}, {"a": []}],
    "records of nothing": [{"a": {"b": None}}, {"a": {"b": {"c": 1}}}],
    "empty record": [{}],
    "mixed": [1, "a"],
    "numpy scalars": [np.float32(1)],
    "text": "text",
    "number": 3,
    "numpy number": np.int64(3),
    "time": dt.datetime(2024, 1, 1),
    "csr": sparse.csr_matrix(np.eye(3)),
    "csc": sparse.csc_matrix(np.eye(3, dtype="float32")),
    "tuple": (1, 2),
}

PARAMS: dict[str, Any] = {
    "whole": 1,
    "fraction": 1.5,
    "text": "x",
    "truth": True,
    "nothing": None,
    "list": [1, 2],
    "widened list": [1, 2.5],
    "empty list": [],
    "mixed list": [1, "x"],
    "nested list": [[1]],
    "map": {"b": 1},
    "date": dt.date(2024, 1, 1),
    "time": dt.datetime(2024, 1, 1, 2),
    "dates": [dt.date(2024, 1, 1)],
    "int32": np.int32(1),
    "int16": np.int16(1),
    "array": np.array([1, 2]),
    "bytes": b"x",
    "tuple": (1, 2),
}


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", DATA)
def test_the_same_data_give_the_text_that_mlflow_writes(what: str) -> None:
    """Inputs and outputs of each common kind are inferred as MLflow infers them, to the byte."""
    from mlflow.models import infer_signature as infer_theirs

    theirs = infer_theirs(DATA[what], DATA[what]).to_dict()
    assert theirs == infer_signature(DATA[what], DATA[what]).to_dict()


@pytest.mark.mlflow
@pytest.mark.parametrize("what", PARAMS)
def test_the_same_params_give_the_text_that_mlflow_writes(what: str) -> None:
    """Params are inferred as MLflow infers them, and what it refuses is refused."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import infer_signature as infer_theirs

    try:
        theirs = infer_theirs(params={"p": PARAMS[what]}).to_dict()
    except MlflowException:
        with pytest.raises(InvalidSignature):
            infer_signature(params={"p": PARAMS[what]})
    else:
        assert theirs == infer_signature(params={"p": PARAMS[what]}).to_dict()


def test_data_without_a_type_are_any_and_said_so() -> None:
    """What cannot be told is `any`, with a warning that names the side and the reason."""
    expected = (
        "The type of the model's output could not be told, so its signature says `any`, which is not checked when "
        "the model predicts: a list holds values of different types, long and string."
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        signature = infer_signature([1], [1, "a"])
    assert [expected] == [str(warning.message) for warning in caught]
    assert Schema([ColSpec(AnyType())]) == signature.outputs


names = st.text(min_size=1, max_size=8)
types = st.recursive(
    st.sampled_from(DataType) | st.just(AnyType()),
    lambda inner: st.one_of(
        inner.map(Array),
        inner.map(Map),
        st.dictionaries(names, st.tuples(inner, st.booleans()), min_size=1, max_size=3).map(
            lambda items: Object([Property(name, kind, required) for name, (kind, required) in items.items()])
        ),
    ),
    max_leaves=6,
)
columns = st.lists(
    st.tuples(names, types, st.booleans()), min_size=1, max_size=4, unique_by=lambda column: column[0]
).map(lambda items: Schema([ColSpec(kind, name, required) for name, kind, required in items]))
tensors = st.builds(
    lambda dtype, shape: Schema([TensorSpec(dtype, tuple(shape))]),
    st.sampled_from(["float64", "int8", "str", "bytes", "object", "bool", "datetime64[ns]"]),
    st.lists(st.integers(-1, 9), min_size=1, max_size=4),
)
finite = st.floats(allow_nan=False, allow_infinity=False)
params = st.one_of(
    st.tuples(st.just(DataType.long), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(DataType.double), finite),
    st.tuples(st.just(DataType.string), st.text(max_size=5)),
    st.tuples(st.just(DataType.datetime), st.dates() | st.datetimes()),
).map(lambda item: ParamSchema([ParamSpec("p", *item), ParamSpec("list", item[0], [item[1]], (-1,))]))


@given(st.builds(ModelSignature, columns | tensors, st.none() | columns | tensors, st.none() | params))
@settings(max_examples=60, deadline=None)
def test_a_signature_reads_back_as_it_was_written(signature: ModelSignature) -> None:
    """Text and value are each other's inverse, for every type, nested ones and params included."""
    text = signature.to_dict()
    assert signature == ModelSignature.from_dict(text)
    assert text == ModelSignature.from_dict(text).to_dict()


@pytest.mark.mlflow
@given(st.builds(ModelSignature, columns | tensors, st.none() | columns | tensors, st.none() | params))
@settings(max_examples=60, deadline=None)
def test_mlflow_reads_every_signature_and_writes_it_alike(signature: ModelSignature) -> None:
    """MLflow reads our text, and what it writes of it is the same text."""
    from mlflow.models import ModelSignature as Theirs

    assert signature.to_dict() == Theirs.from_dict(signature.to_dict()).to_dict()


BAD = {
    "no JSON": ("[", "it is not JSON: Expecting value: line 1 column 2 (char 1)"),
    "no list": ("{}", "it is not a list of maps"),
    "empty": ("[]", "it has no columns and no tensors"),
    "no type": ('[{"name": "a"}]', "a type is missing"),
    "unknown type": (
        '[{"type": "quaternion"}]',
        "'quaternion' is no type; there are boolean, integer, long, float, double, string, binary, datetime, array, "
        "object, map, any",
    ),
    "names for some": (
        '[{"type": "long", "name": "a"}, {"type": "long"}]',
        "some of its columns have names and some have none",
    ),
    "two kinds": (
        '[{"type": "long"}, {"type": "tensor", "tensor-spec": {"dtype": "int8", "shape": [-1]}}]',
        "it mixes columns and tensors",
    ),
    "a map for a name": ('[{"type": "long", "name": {"a": 1}}]', "{'a': 1} is no name of a column"),
    "optional without name": ('[{"type": "long", "required": false}]', "a column without a name cannot be optional"),
    "shape of text": (
        '[{"type": "tensor", "tensor-spec": {"dtype": "int8", "shape": ["x"]}}]',
        "the shape of a tensor must be a list of whole numbers, but is ['x']",
    ),
    "dtype that reserves memory": (
        '[{"type": "tensor", "tensor-spec": {"dtype": "U999999999", "shape": [-1]}}]',
        "'U999999999' is no dtype of a tensor, such as float64, str or object",
    ),
    "nested without end": ('[{"type": "array", "items": ' * 200000, "it is not JSON: "),
}


@pytest.mark.parametrize("what", BAD)
def test_text_that_is_no_schema_is_refused(what: str) -> None:
    """Each way a schema can be wrong has its own words."""
    text, why = BAD[what]
    with pytest.raises(InvalidSignature) as error:
        Schema.from_json(text)
    assert error.value.why.startswith(why)
    assert str(error.value).startswith("The model signature cannot be used: ")


@pytest.mark.parametrize("levels", [33, 600])
def test_types_nested_too_deep_are_refused(levels: int) -> None:
    """Types nested deeper than anybody needs are refused before they exhaust the stack; 32 levels are read."""
    schemas = ['{"type": "long"}']
    for _ in range(levels):
        schemas.append(f'{{"type": "array", "items": {schemas[-1]}}}')
    assert 1 == len(Schema.from_json(f"[{schemas[31]}]"))
    with pytest.raises(InvalidSignature) as error:
        Schema.from_json(f"[{schemas[levels]}]")
    assert "its types are nested more than 32 deep" == error.value.why


def test_objects_do_not_depend_on_the_order_of_their_keys() -> None:
    """Properties are sorted, so that equal objects give equal text."""
    one = Object([Property("b", DataType.long), Property("a", DataType.string)])
    other = Object([Property("a", DataType.string), Property("b", DataType.long)])
    assert one == other


def test_types_can_be_given_by_name() -> None:
    """`ColSpec("double", "a")` is what MLflow users write."""
    assert [{"type": "double", "name": "a", "required": True}] == json.loads(Schema([ColSpec("double", "a")]).to_json())  # type: ignore[arg-type]  # text is taken too
