"""MLflow's scoring protocol: the body of a request → what the model predicts → the body of the answer.

Where the signature says what each column is, no DataFrame is inferred and nothing is checked twice: the values go
straight to the types they must have. Results equal those of `PyFuncModel.predict`; what would lose a value is refused.

Source: MLflow's documentation, "Deploy MLflow Model as a Local Inference Server: Inference Server Specification".
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import Any

from runstone.errors import InputMismatch
from runstone.flavors.enforce import enforce_input, enforce_params
from runstone.flavors.schema import DataType, TensorSpec
from runstone.serving import json_text
from runstone.serving.columns import Columns, Table, as_array, as_frame, as_numbers
from runstone.serving.direct import known_names, takes_arrays
from runstone.serving.problem import Problem, bad_data, bad_request
from runstone.serving.resolve import Loaded
from runstone.serving.tables import read_records, read_split
from runstone.serving.tensors import free_array, tensor

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_UNWRAPPED = ("messages", "prompt", "input")
"""Keys of the bodies that language models take: then the whole object is the data, and the answer is not wrapped."""

_ONE_OF = f"The body must be a JSON object with exactly one of the keys {', '.join(FORMATS)}"
_NAMES = "X does not have valid feature names"


class Scorer:
    """One model, and all that its signature says of requests, worked out once."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self._predictor = loaded.predictor
        self.schema = loaded.metadata.get_input_schema()
        self._params = loaded.metadata.get_params_schema()
        is_columns = self.schema is not None and not self.schema.is_tensor_spec()
        self.columns = Columns(self.schema) if is_columns and self.schema is not None else None
        # A model whose signature was taken from the hints of its code holds data against those itself.
        self._checks_itself = loaded.metadata.extra.get("is_signature_from_type_hint") is True
        self._takes_arrays = takes_arrays(loaded.predictor)
        self._known = known_names(loaded.predictor) if self._takes_arrays else None
        # With a signature of other columns than it was fitted with, the estimator itself shall say so.
        if self.columns is not None and self._known not in (None, self.columns.names):
            self._takes_arrays = False
        if self._takes_arrays:
            warnings.filterwarnings("ignore", message=_NAMES, category=UserWarning)

    # --- bodies

    def score_json(self, body: bytes) -> Any:
        """Predict for a body of JSON; raises `Problem`, and whatever the model raises."""
        document = json_text.read(body)
        if not isinstance(document, dict):
            raise bad_request(f"{_ONE_OF}, but is {_kind(document)}.")
        if any(key in document for key in _UNWRAPPED):
            return Unwrapped(self._score_unwrapped(document))
        given = [key for key in FORMATS if key in document]
        if len(given) != 1:
            raise bad_request(f"{_ONE_OF}, but has {_some(list(document))}.")
        params = document.get("params")
        if params is not None and not isinstance(params, dict):
            raise bad_request(f"`params` must be an object, but is {_kind(params)}.")
        if self._checks_itself:
            if given != ["inputs"]:
                raise bad_request("This model takes its data as it is, under the key `inputs`.")
            return self.predict(document["inputs"], params)
        return self.predict(self._read(given[0], document[given[0]]), params)

    def _score_unwrapped(self, document: dict[str, Any]) -> Any:
        """Predict for an object whose keys are the data, but for those that name a param."""
        names = {spec.name for spec in self._params or ()}
        data = {key: value for key, value in document.items() if key not in names}
        params = {key: value for key, value in document.items() if key in names}
        is_raw = self.schema is None or self._checks_itself
        return self.predict(data if is_raw else self._from_columns(data), params)

    def score_csv(self, body: bytes) -> Any:
        """Predict for a body of CSV with a line of names; raises `Problem`, and whatever the model raises."""
        import pandas

        types = {
            DataType.string: "str",
            DataType.binary: "str",
            DataType.datetime: "str",
            DataType.float: "float32",
            DataType.double: "float64",
            DataType.integer: "int32",
        }
        specs = [] if self.columns is None else [spec for spec in self.schema or () if spec.name is not None]
        dtypes = {spec.name: types[spec.type] for spec in specs if spec.type in types}
        try:
            frame = pandas.read_csv(BytesIO(body), dtype=dtypes, encoding="utf-8")
            for spec in specs:
                if spec.type is DataType.datetime and spec.name in frame:
                    frame[spec.name] = pandas.to_datetime(frame[spec.name], format="ISO8601")
        except Exception as error:  # pandas has many ways to say so
            raise bad_request(f"The body must be CSV as `DataFrame.to_csv(index=False)` writes it: {error}.") from None
        return self.predict(self.enforced(frame), None)

    def score_parquet(self, body: bytes) -> Any:
        """Predict for a body of Parquet; raises `Problem`, and whatever the model raises."""
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            message = "This server reads no Parquet: pyarrow is not installed there. Send JSON or CSV."
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message) from None
        try:
            frame = parquet.read_table(BytesIO(body)).to_pandas()
        except (pyarrow.ArrowException, ValueError, OSError, KeyError) as error:
            first = str(error).partition("\n")[0]
            raise bad_request(f"The body must be Parquet as `DataFrame.to_parquet` writes it: {first}.") from None
        return self.predict(self.enforced(frame), None)

    # --- data

    def predict(self, data: Any, params: Mapping[str, Any] | None) -> Any:
        """What the model answers to data that fit; raises `Problem` for params that do not, and what it raises."""
        checked: dict[str, Any] = {}
        if self._params is not None:
            # Unknown ones are passed over here: a warning for each would be kept by Python, one for each new name.
            known = {spec.name for spec in self._params}
            try:
                checked = enforce_params({k: v for k, v in (params or {}).items() if k in known}, self._params)
            except InputMismatch as error:
                raise bad_data(error.why) from None
        return self._predictor.predict(data, checked)

    def from_table(self, table: Table) -> Any:
        """A table as the model takes it; raises `Problem`."""
        if self.columns is not None:
            columns = self.columns.read(table)
            if not self.columns.is_flat:
                return self.enforced(as_frame(columns))
            if self._takes_arrays and self.columns.is_numeric:
                return as_array(list(columns.values()))
            return as_frame(columns)
        if self.schema is not None:
            return self._tensors_from(table)
        if self._takes_arrays and table and (self._known is None or list(table) == self._known):
            numbers = [as_numbers(values) for values in table.values()]
            if all(values is not None for values in numbers):
                return as_array(numbers)
        return as_frame({name: list(values) for name, values in table.items()})

    def from_tensors(self, data: Mapping[str, Any]) -> Any:
        """Arrays by name as the model takes them; raises `Problem`."""
        return self.enforced(dict(data)) if self.schema is not None else dict(data)

    def _read(self, key: str, data: Any) -> Any:
        if key == "dataframe_split":
            return self.from_table(read_split(data))
        if key == "dataframe_records":
            return self.from_table(read_records(data, key))
        if isinstance(data, list) and data and isinstance(data[0], dict):
            if key == "inputs" and self.schema is None:
                return data
            table = read_records(data, key)
            if self.columns is not None:
                return self.from_table(table)
            return self._tensors({name: list(values) for name, values in table.items()})
        if isinstance(data, dict):
            return self._from_columns(data)
        return self._from_values(data)

    def _from_columns(self, data: Mapping[str, Any]) -> Any:
        if self.columns is None:
            return self._tensors(data)
        if all(not isinstance(value, list) for value in data.values()) or not self.columns.is_flat:
            return self.from_table({name: [value] for name, value in data.items()})  # one row
        kept = {name: value for name, value in data.items() if name in self.columns.names}
        if any(not isinstance(value, list) for value in kept.values()) or len(set(map(len, kept.values()))) > 1:
            raise bad_request("Each column of `inputs` must be a list, and all of one length.")
        return self.from_table(kept)

    def _from_values(self, data: Any) -> Any:
        """A list of rows or of values, or one value."""
        if self.schema is None:
            return free_array(data)
        if self.columns is None:
            if self.schema.has_input_names():
                if len(self.schema) > 1:
                    raise bad_data(f"the tensors {self.schema.input_names()} need names: give them as an object")
                return self._tensors({str(self.schema.input_names()[0]): data})
            return self.enforced(tensor(data, str(self.schema.inputs[0].type), "the array"))
        rows = data if isinstance(data, list) else [data]
        if len(self.schema) == 1 and (self.schema.has_input_names() or not self.columns.is_flat):
            name = self.columns.names[0]
            return self.from_table({0 if name is None else name: rows})
        if self.schema.has_input_names():
            raise bad_data(f"the columns {_some(self.columns.names)} need names: give rows as objects")
        return self.from_table(read_split({"data": rows}))

    def _tensors(self, data: Mapping[str, Any]) -> Any:
        if self.schema is None:
            return {name: free_array(value) for name, value in data.items()}
        types = {spec.name: spec.type for spec in self.schema if isinstance(spec, TensorSpec)}
        if None in types:
            raise bad_data("it takes one array, and this is an object")
        return self.enforced(
            {n: tensor(v, types[n], f"the tensor `{n}`") for n, v in data.items() if n in types},
        )

    def _tensors_from(self, table: Table) -> Any:
        """A table for a model of tensors: a column each, or all columns together as the one that it takes."""
        assert self.schema is not None  # the caller has looked
        if self.schema.has_input_names():
            return self._tensors({str(name): list(values) for name, values in table.items()})
        dtype = str(self.schema.inputs[0].type)
        if len(table) == 1:
            (values,) = table.values()
            if len(getattr(self.schema.inputs[0], "shape", ())) == 1:
                return self.enforced(tensor(list(values), dtype, "the array"))
            nested = bool(values) and isinstance(values[0], list)
            return self.enforced(tensor([v if nested else [v] for v in values], dtype, "the array"))
        rows = [list(row) for row in zip(*table.values(), strict=True)]
        return self.enforced(tensor(rows, dtype, "the array"))

    def enforced(self, data: Any) -> Any:
        """Data held against the signature, as `PyFuncModel.predict` does; raises `Problem`."""
        if self.schema is None or self._checks_itself:
            return data
        try:
            return enforce_input(data, self.schema)
        except InputMismatch as error:
            raise bad_data(error.why) from None


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """Predictions that are the whole answer."""

    predictions: Any


def to_answer(predictions: Any) -> bytes:
    """The body of the answer: `{"predictions": …}`; raises `TypeError` for what JSON cannot say."""
    if isinstance(predictions, Unwrapped):
        return json_text.write(to_plain(predictions.predictions))
    return b'{"predictions":' + json_text.write(to_plain(predictions)) + b"}"


def to_plain(predictions: Any) -> Any:
    """Predictions in the shapes that MLflow gives them: arrays as nested lists, tables as one object a row."""
    if hasattr(predictions, "to_dict") and hasattr(predictions, "iloc"):
        frame = predictions.to_frame() if predictions.ndim == 1 else predictions
        return frame.to_dict(orient="records")
    if hasattr(predictions, "toarray"):  # a sparse matrix
        return predictions.toarray().tolist()
    return predictions.tolist() if hasattr(predictions, "tolist") else predictions


def blame(error: Exception, scorer: Scorer) -> Problem | None:
    """The client's fault, if the model's error means that; None where the model itself is at fault.

    A ValueError says that a value is not acceptable, NaN mostly; without a signature nothing was checked before, so
    any error may come from the data, and counts as MLflow counts it.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValueError) or (scorer.schema is None and not isinstance(error, MemoryError)):
        first = str(error).strip().partition("\n")[0][:300]
        return bad_request(f"The model does not take this input: {first or type(error).__name__}")
    return None


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )


def _some(names: list[Any]) -> str:
    shown = ", ".join(str(name)[:80] for name in names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown or "none"
