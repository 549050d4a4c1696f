"""Input examples: data that `predict` takes, kept with the model as JSON, in the shapes MLflow gives them."""

import base64
import json
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors.infer import is_array, is_missing, is_sparse
from runstone.flavors.mlmodel import MLmodel
from runstone.flavors.schema import TensorSpec
from runstone.flavors.trust import Trust

FILE = "input_example.json"
SERVING_FILE = "serving_input_example.json"

MAX_SIZE = 64 * 1024 * 1024
"""Bytes an example may have when it is read."""


def split_params(example: Any) -> tuple[Any, dict[str, Any] | None]:
    """An example as the caller gives it → its data and its params, if it is such a pair."""
    if isinstance(example, tuple) and len(example) == 2 and isinstance(example[1], dict):
        return example
    return example, None


def write_example(folder: Path, example: Any) -> dict[str, Any]:
    """Write an example, once as itself and once as a request to a scoring server.

    Returns:
        What the MLmodel file says of it.

    Writes:
        `input_example.json` and `serving_input_example.json` in the folder.

    Raises:
        UsageError: The example is none of the kinds a model can be given.
    """
    data, params = split_params(example)
    info, plain, serving = _encode(data)
    info = {"artifact_path": FILE, "serving_input_path": SERVING_FILE} | info
    if params is not None:
        info["params"] = "true"
        plain = {"inputs": plain, "params": _plain(params)}
        serving["params"] = _plain(params)
    (folder / FILE).write_text(json.dumps(plain), encoding="utf-8")
    (folder / SERVING_FILE).write_text(json.dumps(serving, indent=2), encoding="utf-8")
    return info


def read_example(folder: Path, model: MLmodel, *, trust: Trust) -> Any:
    """The data of a model's input example, as it was given; None if it has none.

    Raises:
        InvalidModelFolder: The example cannot be read.
    """
    info = model.saved_input_example_info
    if info is None:
        return None
    text = trust.read(folder, info.get("artifact_path"), limit=MAX_SIZE)
    try:
        plain = json.loads(text)
        return _decode(plain["inputs"] if info.get("params") else plain, info.get("type"), model)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidModelFolder(folder, f"its input example cannot be read: {error}") from None


def _encode(data: Any) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """What to say of an example, the example, and the request."""
    import sys

    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        columns = [data.iloc[:, i].tolist() for i in range(data.shape[1])]
        rows = {"data": [_plain(list(row)) for row in zip(*columns, strict=True)]}
        is_named = list(data.columns) != list(range(data.shape[1]))
        plain = {"columns": _plain(data.columns.tolist())} | rows if is_named else rows
        orient = "split" if is_named else "values"
        return {"type": "dataframe", "pandas_orient": orient}, plain, {"dataframe_split": plain}
    if is_sparse(data):
        kind = "sparse_matrix_csc" if data.format == "csc" else "sparse_matrix_csr"
        parts = {"data": data.data, "indices": data.indices, "indptr": data.indptr, "shape": list(data.shape)}
        return {"type": kind}, _plain(parts), {"inputs": _plain(data.toarray())}
    plain = _plain(data)
    is_arrays = isinstance(data, dict) and bool(data) and all(is_array(value) for value in data.values())
    kind = "ndarray" if is_array(data) or is_arrays else "json_object"
    return {"type": kind}, plain, {"inputs": plain}


def _plain(value: Any) -> Any:
    """A value as JSON can say it: nothing for NaN, text for times, base64 for bytes."""
    if is_missing(value):
        return None
    if isinstance(value, str | int | float):
        return value.item() if hasattr(value, "item") else value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return base64.encodebytes(value).decode("ascii")
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if (is_array(value) and value.dtype.kind == "M") or type(value).__name__ == "datetime64":
        return value.astype(str).tolist()
    if is_array(value):
        return _plain(value.tolist())
    if hasattr(value, "item"):  # a number of numpy's
        return _plain(value.item())
    raise UsageError(
        f"An input example cannot hold a {type(value).__name__}. Give a pandas DataFrame, a numpy array, a map of "
        "arrays, a CSR or CSC matrix, or plain lists, maps and scalars; with params, a pair of data and params."
    )


def _decode(plain: Any, kind: Any, model: MLmodel) -> Any:
    if kind == "dataframe":
        import pandas

        return pandas.DataFrame(plain["data"], columns=plain.get("columns"))
    if kind == "ndarray":
        import numpy

        schema = model.get_input_schema()
        specs = [spec for spec in schema or () if isinstance(spec, TensorSpec)]
        dtypes: Mapping[Any, str] = {spec.name: spec.type for spec in specs}
        if isinstance(plain, dict):
            return {name: numpy.array(value, dtype=dtypes.get(name)) for name, value in plain.items()}
        return numpy.array(plain, dtype=dtypes.get(None))
    if kind in ("sparse_matrix_csr", "sparse_matrix_csc"):
        from scipy import sparse

        build = sparse.csr_matrix if kind == "sparse_matrix_csr" else sparse.csc_matrix
        return build((plain["data"], plain["indices"], plain["indptr"]), shape=plain["shape"])
    if kind == "json_object":
        return plain
    raise ValueError(f"its type {kind!r} is not known")
