"""One face for every model: what `predict` lets through, converts and refuses; and whom the table knows."""

import datetime as dt
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LinearRegression

from runstone.errors import InputMismatch, UnknownFlavor
from runstone.flavors import flavor_names, get_flavor, get_flavor_by_loader, pyfunc
from runstone.flavors.enforce import enforce_input, enforce_params
from runstone.flavors.schema import Schema
from runstone.flavors.signature import infer_signature
from tests.flavors.support import ALLOWED


def columns(*specs: tuple[str, str] | tuple[str, str, bool]) -> Schema:
    """A schema of columns, from (name, type[, required])."""
    items = [{"name": name, "type": kind, "required": rest[0] if rest else True} for name, kind, *rest in specs]
    return Schema.from_json(str(items).replace("'", '"').replace("True", "true").replace("False", "false"))


def tensor(dtype: str, *shape: int, name: str | None = None) -> dict[str, Any]:
    """A tensor as JSON holds it."""
    spec: dict[str, Any] = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}
    return spec | ({"name": name} if name else {})


def schema(*specs: dict[str, Any]) -> Schema:
    """A schema of specifications as JSON holds them."""
    import json

    return Schema.from_json(json.dumps(specs))


# --- the loaded model


def test_predict_takes_what_fits_and_names_what_is_missing(folder: Path, frame: pd.DataFrame) -> None:
    """Order does not matter, extra columns are left out, a missing column is an error that names it."""
    model = pyfunc.load(folder, trust=ALLOWED)
    assert [1.0, 2.0, 3.0] == pytest.approx(list(model.predict(frame[["b", "a"]].assign(more="x"))))
    assert [1.0] == pytest.approx(list(model.predict({"a": 1.0, "b": 1})))
    assert [1.0, 2.0] == pytest.approx(list(model.predict([{"a": 1.0, "b": 1}, {"a": 2, "b": 0}])))
    with pytest.raises(InputMismatch) as error:
        model.predict(frame.rename(columns={"a": "A"}))
    assert (
        "The data does not fit the model's signature: the columns ['a'] are missing; there are ['A', 'b']. "
        "See it: `model.metadata.signature`"
    ) == str(error.value)


def test_a_loaded_model_tells_what_it_is(folder: Path, model: LinearRegression, frame: pd.DataFrame) -> None:
    """Metadata, example, library, and the model as scikit-learn knows it."""
    loaded = pyfunc.load(folder, trust=ALLOWED)
    signature = loaded.metadata.signature
    assert signature is not None
    assert (signature.inputs, signature.outputs, None) == (
        loaded.metadata.get_input_schema(),
        loaded.metadata.get_output_schema(),
        loaded.metadata.get_params_schema(),
    )
    assert "mlflow.sklearn" == loaded.loader_module
    assert "<PyFuncModel mlflow.sklearn>" == repr(loaded)
    assert model.coef_.tolist() == loaded.unwrap_python_model().coef_.tolist()
    assert loaded.get_raw_model() is loaded.unwrap_python_model()
    pd.testing.assert_frame_equal(frame, loaded.input_example)


def test_an_example_that_cannot_be_read_does_not_stop_the_model(folder: Path, frame: pd.DataFrame) -> None:
    """The model predicts without its example, and a warning says what is wrong with that."""
    (folder / "input_example.json").write_text("{")
    with pytest.warns(UserWarning, match="its input example cannot be read"):
        loaded = pyfunc.load(folder, trust=ALLOWED)
    assert loaded.input_example is None
    assert 3 == len(loaded.predict(frame))


def test_a_loader_that_is_not_in_the_table_is_not_imported(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module named by the folder is looked up, never imported, even with pickles allowed."""
    (tmp_path / "evil_loader.py").write_text("raise SystemExit('imported')\n")
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(text.replace("loader_module: mlflow.sklearn", "loader_module: evil_loader"))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UnknownFlavor) as error:
        pyfunc.load(folder, trust=ALLOWED)
    assert (
        f"No flavor `evil_loader` is known to this Runstone, which knows: {', '.join(flavor_names())}. "
        "A newer one may: `pip install --upgrade runstone`"
    ) == str(error.value)


@pytest.mark.parametrize("name", flavor_names())
def test_every_flavor_in_the_table_satisfies_the_protocol(name: str) -> None:
    """Each module has the names that `protocol.Flavor` asks for, and MLflow's name for it leads to it."""
    module = get_flavor(name)
    assert name == module.name
    assert all(callable(getattr(module, verb)) for verb in ("version", "save", "load", "load_pyfunc"))
    if name != "files":  # which do not predict
        loader = {"python_function": "mlflow.pyfunc.model"}.get(name, f"mlflow.{name}")
        assert module is get_flavor_by_loader(loader)


def test_a_flavor_that_is_not_in_the_table() -> None:
    """An unknown name is an error and not an import."""
    with pytest.raises(UnknownFlavor):
        get_flavor("os")


# --- columns

FITTING = {
    "int32 to long": ("long", np.array([1], "int32"), "int64"),
    "uint8 to long": ("long", np.array([1], "uint8"), "int64"),
    "float32 to double": ("double", np.array([0.5], "float32"), "float64"),
    "exact whole numbers to double": ("double", [2**53, -(2**53)], "float64"),
    "exact whole numbers to float": ("float", [2**24], "float32"),
    "whole numbers with gaps to double": ("double", pd.array([1, None], "Int64"), "float64"),
    "times of any precision": ("datetime", pd.to_datetime(["2024-01-01"]).as_unit("s"), "datetime64[ns]"),
    "dates": ("datetime", [dt.date(2024, 1, 1)], "datetime64[ns]"),
    "objects that are numbers": ("long", np.array([1, 2], dtype=object), "int64"),
    "truth with gaps": ("boolean", np.array([True, None], dtype=object), "object"),
    "categories": ("string", pd.Categorical(["x"]), "category"),
    "anything": ("any", np.array([1], "int8"), "int8"),
}


@pytest.mark.parametrize("what", FITTING)
def test_a_column_is_widened_where_nothing_is_lost(what: str) -> None:
    """Each safe conversion, and the dtype that the model sees."""
    kind, values, dtype = FITTING[what]
    given = pd.DataFrame({"a": values})
    found = enforce_input(given, columns(("a", kind)))
    assert dtype == str(found["a"].dtype)
    if dtype not in ("datetime64[ns]", "object", "category"):
        np.testing.assert_array_equal(given["a"].astype("float64"), found["a"].to_numpy())


MISFITS = {
    "fractions to whole numbers": ("long", [0.5], "the column `a` is float64, which cannot safely be made long"),
    "gaps in whole numbers": (
        "long",
        [1.0, None],
        "the column `a` is float64, which cannot safely be made long; whole numbers with missing values are fractions "
        "to pandas, so infer the signature from data that has missing values, or declare the column double",
    ),
    "long to integer": ("integer", [1], "the column `a` is int64, which cannot safely be made integer"),
    "double to float": ("float", [0.5], "the column `a` is float64, which cannot safely be made float"),
    "inexact to double": ("double", [2**53 + 1], "the column `a` is int64, which cannot safely be made double"),
    "inexact to float": ("float", [2**24 + 1], "the column `a` is int64, which cannot safely be made float"),
    "uint64 to long": ("long", np.ones(1, "uint64"), "the column `a` is uint64, which cannot safely be made long"),
    "text to a number": ("double", ["1"], "the column `a` is str, which cannot safely be made double"),
    "a number to text": ("string", [1], "the column `a` is int64, which cannot safely be made string"),
    "truth to a number": ("long", [True], "the column `a` is bool, which cannot safely be made long"),
    "times of a zone": (
        "datetime",
        pd.to_datetime(["2024-01-01"]).tz_localize("UTC"),
        "the column `a` is datetime64[us, UTC], which cannot safely be made datetime",
    ),
}


@pytest.mark.parametrize("what", MISFITS)
def test_a_column_that_would_lose_is_refused(what: str) -> None:
    """Each unsafe conversion, and the words for it."""
    kind, values, why = MISFITS[what]
    given = pd.DataFrame({"a": values})
    with pytest.raises(InputMismatch) as error:
        enforce_input(given, columns(("a", kind)))
    assert why.replace("[us,", f"[{getattr(given['a'].dtype, 'unit', 'us')},").replace(
        "is str,", f"is {given['a'].dtype},"
    ) == (error.value.why)


def test_optional_columns_may_be_missing_and_names_keep_their_order() -> None:
    """The model sees the signature's columns in the signature's order, less the optional ones that are not there."""
    wanted = columns(("z", "long"), ("o", "long", False), ("a", "long"))
    assert ["z", "a"] == list(enforce_input(pd.DataFrame({"a": [1], "z": [2]}), wanted).columns)


def test_columns_without_names_are_counted() -> None:
    """Positions count where the signature has no names."""
    wanted = schema({"type": "long"}, {"type": "double"})
    assert [[1.0, 0.5]] == enforce_input([[1, 0.5, "more"]], wanted).to_numpy().tolist()
    with pytest.raises(InputMismatch) as error:
        enforce_input(np.array([[1]]), wanted)
    assert "it has 1 columns, and the model takes 2" == error.value.why


def test_nested_columns_are_checked_value_by_value() -> None:
    """Lists, maps and objects in a column: wrong types, missing and unknown keys are errors that name the column."""
    kind = {"type": "object", "properties": {"k": {"type": "long"}, "o": {"type": "string", "required": False}}}
    wanted = schema({"type": "array", "items": kind, "name": "a", "required": True})
    good = [{"k": 1}, {"k": 2, "o": None}]
    assert good == enforce_input(pd.DataFrame({"a": [good]}), wanted)["a"][0]
    for bad, why in (
        ([{"o": "x"}], "in the column `a`, the keys ['k'] are missing and [] are unknown"),
        ([{"k": 1, "z": 2}], "in the column `a`, the keys [] are missing and ['z'] are unknown"),
        ([{"k": 0.5}], "in the column `a`, 0.5 is not long"),
        (7, "in the column `a`, 7 is not array of object of k: long, o: string"),
    ):
        with pytest.raises(InputMismatch) as error:
            enforce_input(pd.DataFrame({"a": [bad]}), wanted)
        assert why == error.value.why


@pytest.mark.parametrize("data", [None, sparse.csr_matrix(np.eye(2))], ids=["nothing", "sparse"])
def test_what_is_no_table_is_refused(data: Any) -> None:
    """A model that takes columns is given a table or what can be made one."""
    with pytest.raises(InputMismatch, match="the model takes columns, and this is"):
        enforce_input(data, columns(("a", "long")))


# --- tensors


def test_a_tensor_must_have_dtype_and_shape() -> None:
    """-1 is any size; every other size and the dtype must be as the signature says."""
    wanted = schema(tensor("float64", -1, 2))
    good = np.zeros((5, 2))
    assert enforce_input(good, wanted) is good
    assert (3, 2) == enforce_input(pd.DataFrame(np.zeros((3, 2))), wanted).shape
    for bad, why in (
        (np.zeros((5, 3)), "the array must have the shape (-1, 2), but has (5, 3)"),
        (np.zeros(2), "the array must have the shape (-1, 2), but has (2,)"),
        (np.zeros((5, 2), "float32"), "the array must be float64, but is float32"),
        ([[0.0, 0.0]], "the array must be a numpy array, but is a list"),
    ):
        with pytest.raises(InputMismatch) as error:
            enforce_input(bad, wanted)
        assert why == error.value.why


def test_text_tensors_hold_text_and_no_gaps() -> None:
    """A missing value would become the text `nan` or `None`, and a time some text: both are refused."""
    wanted = schema(tensor("str", -1))
    assert ["x", "yz"] == enforce_input(pd.DataFrame({"a": ["x", "yz"]}), wanted).tolist()
    for bad in (["x", None], [None, "x"], [dt.date(2024, 1, 1)]):
        with pytest.raises(InputMismatch, match="the array must be str, and "):
            enforce_input(pd.DataFrame({"a": bad}), wanted)


def test_named_tensors_come_as_a_map_or_as_columns() -> None:
    """One array a name; from a table, one list or array a row."""
    wanted = schema(tensor("float64", -1, 2, name="x"), tensor("int64", -1, name="n"))
    found = enforce_input(pd.DataFrame({"n": [1, 2], "x": [[1.0, 2.0], [3.0, 4.0]]}), wanted)
    assert {"x": (2, 2), "n": (2,)} == {name: array.shape for name, array in found.items()}
    with pytest.raises(InputMismatch) as error:
        enforce_input({"x": np.zeros((1, 2))}, wanted)
    assert "the tensors ['n'] are missing; there are ['x']" == error.value.why
    with pytest.raises(InputMismatch) as error:
        enforce_input(pd.DataFrame({"n": pd.to_datetime(["2024-01-01"]), "x": [[1.0, 2.0]]}), wanted)
    assert error.value.why.startswith("the tensor `n` must be int64, and this is a column of datetime64[")


# --- params


def test_params_have_defaults_types_and_names() -> None:
    """What is not given has its default; what is unknown is ignored with a warning; what is wrong is refused."""
    wanted = infer_signature(params={"top": 5, "rate": 0.5, "stop": ["a"], "day": dt.date(2024, 1, 1)}).params
    given = {"rate": 1, "stop": ["b", "c"], "day": "2024-02-03"}
    assert {"top": 5, "rate": 1.0, "stop": ["b", "c"], "day": dt.date(2024, 2, 3)} == enforce_params(given, wanted)
    for bad, why in (
        ({"top": 0.5}, "the param `top` must be of type long, but is 0.5"),
        ({"stop": "a"}, "the param `stop` must be a list of string, but is 'a'"),
        ({"day": "tomorrow"}, "Invalid isoformat string: 'tomorrow'"),
    ):
        with pytest.raises(InputMismatch) as error:
            enforce_params(bad, wanted)
        assert why == error.value.why
    with pytest.warns(UserWarning, match=r"The params \['x'\] are ignored: the model's signature has no params\."):
        assert {} == enforce_params({"x": 1}, None)


# --- beside MLflow

SCHEMAS = [
    schema({"type": kind, "name": "a", "required": True})
    for kind in ("boolean", "integer", "long", "string", "binary", "datetime")
]
SCHEMAS += [schema(tensor("float64", -1, 2)), schema(tensor("int64", -1))]
SCHEMAS += [
    schema(tensor("float64", -1, 2, name="a")),
    schema({"type": "long"}),
    columns(("a", "long"), ("b", "double")),
]
INPUTS: list[Any] = [pd.DataFrame({"a": v}) for v in ([1, 2], [1.5], ["x"], [True], [b"x"], [None, "x"], [np.nan, 1.0])]
INPUTS += [pd.DataFrame({"a": np.ones(1, t)}) for t in ("int8", "int32", "uint8", "uint32", "uint64", "float32")]
INPUTS += [pd.DataFrame({"a": pd.to_datetime(["2024-01-01"])}), pd.DataFrame({"a": [dt.date(2024, 1, 1)]})]
INPUTS += [pd.DataFrame({"b": [1.0], "a": [1], "more": [3]}), pd.DataFrame([[1.0, 2.0]]), pd.Series([1], name="a")]
INPUTS += [np.zeros((1, 2)), np.array([1, 2]), np.array(["a"]), np.zeros((2, 2, 2)), np.zeros((1, 2), "float32")]
INPUTS += [{"a": np.zeros((1, 2))}, {"a": 1}, {"a": [1], "b": [2.0]}, {"a": "x"}, {"a": ["x"]}, [1, 2], ["x"], 3, "x"]
INPUTS += [[{"a": 1, "b": 2.0}], True, None, sparse.csr_matrix(np.eye(2))]


def normal(data: Any) -> Any:
    """Data in a form that `==` compares, dtypes included."""
    if isinstance(data, pd.DataFrame):
        return [(name, str(data[name].dtype), list(map(str, data[name]))) for name in data]
    if isinstance(data, dict):
        return {name: normal(value) for name, value in data.items()}
    return (str(data.dtype), data.shape, str(data)) if hasattr(data, "dtype") else data


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wanted", SCHEMAS, ids=lambda wanted: wanted.to_json())
def test_mlflow_lets_the_same_data_through(wanted: Schema) -> None:
    """Schema by data: both refuse, or both hand the model the same."""
    from mlflow.models.utils import _enforce_schema as enforce_theirs
    from mlflow.types.schema import Schema as TheirSchema

    def outcome(enforce: Any, schema: Any, data: Any, refusal: type[Exception]) -> Any:
        try:
            return normal(enforce(data, schema))
        except refusal:
            return "refused"

    their_schema = TheirSchema.from_json(wanted.to_json())
    theirs = [outcome(enforce_theirs, their_schema, data, Exception) for data in INPUTS]  # numpy's and pandas' too
    assert theirs == [outcome(enforce_input, wanted, data, InputMismatch) for data in INPUTS]


def test_a_model_without_a_signature_takes_what_it_is_given(tmp_path: Path, model: LinearRegression) -> None:
    """Nothing is converted and nothing is said where there is no signature."""
    from runstone.flavors import sklearn as flavor

    flavor.save(model, tmp_path / "m")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = pyfunc.load(tmp_path / "m", trust=ALLOWED)
    assert 1 == len(loaded.predict(pd.DataFrame({"a": [1], "b": ["2"]})))
