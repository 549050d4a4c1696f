"""The Open Inference Protocol, version 2: tensors by name in, tensors by name out.

Each column of a signature is one tensor of shape `[rows]` or `[rows, 1]`; a model of tensors takes them as they are.

Source: kserve/open-inference-protocol, "specification/protocol/inference_rest.md".
"""

from typing import Any

from runstone._version import __version__
from runstone.flavors.schema import ColSpec, DataType, Schema, TensorSpec
from runstone.serving import json_text
from runstone.serving.problem import bad_request
from runstone.serving.resolve import Identity
from runstone.serving.scoring import Scorer
from runstone.serving.tensors import tensor

_DTYPES = {
    "BOOL": "bool",
    **{f"UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BYTES": "object",
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()} | {"str": "BYTES", "bytes": "BYTES"}
_COLUMNS = {
    DataType.boolean: "BOOL",
    DataType.integer: "INT32",
    DataType.long: "INT64",
    DataType.float: "FP32",
    DataType.double: "FP64",
}
DATATYPES = tuple(_DTYPES)


def server_metadata() -> dict[str, Any]:
    """The answer to `GET /v2`."""
    return {"name": "runstone", "version": __version__, "extensions": []}


def model_metadata(scorer: Scorer) -> dict[str, Any]:
    """The answer to `GET /v2/models/{name}`."""
    metadata, identity = scorer.loaded.metadata, scorer.loaded.identity
    flavors = [name for name in metadata.flavors if name != "python_function"]
    return {
        "name": identity.name,
        "versions": [version_of(identity)],
        "platform": f"runstone_{flavors[0] if flavors else 'python_function'}",
        "inputs": describe(metadata.get_input_schema(), "input"),
        "outputs": describe(metadata.get_output_schema(), "output"),
    }


def describe(schema: Schema | None, unnamed: str) -> list[dict[str, Any]]:
    """The tensors of a schema, as metadata has them; without a schema one of any shape."""
    if schema is None:
        return [{"name": f"{unnamed}-0", "datatype": "FP64", "shape": [-1, -1]}]
    return [_describe(spec, f"{unnamed}-{number}") for number, spec in enumerate(schema)]


def version_of(identity: Identity) -> str:
    """The version in URLs and answers: the registered one, else the digest."""
    return str(identity.version) if identity.version is not None else str(identity.digest or "1")


def infer(scorer: Scorer, body: bytes) -> dict[str, Any]:
    """Predict for a request; raises `Problem`, and whatever the model raises."""
    document = json_text.read(body)
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list) or not document["inputs"]:
        raise bad_request("The body must be a JSON object with the list `inputs`, one object for each tensor.")
    parameters = document.get("parameters")
    if not isinstance(parameters, dict | None) or not isinstance(document.get("id"), str | None):
        raise bad_request("`parameters` must be an object, and `id` text.")
    arrays: dict[str, Any] = {}
    for item in document["inputs"]:
        name, array = _read(item)
        if name in arrays:
            raise bad_request(f"There are several inputs `{name[:80]}`.")
        arrays[name] = array
    outputs = _write(scorer, scorer.predict(_data(scorer, arrays), parameters))
    wanted = document.get("outputs")
    if wanted is not None:
        outputs = _chosen(outputs, wanted)
    identity = scorer.loaded.identity
    answer = {"model_name": identity.name, "model_version": version_of(identity), "outputs": outputs}
    return answer | ({"id": document["id"]} if document.get("id") is not None else {})


def _describe(spec: ColSpec | TensorSpec, unnamed: str) -> dict[str, Any]:
    name = unnamed if spec.name is None else str(spec.name)
    if isinstance(spec, TensorSpec):
        return {"name": name, "datatype": _NAMES.get(spec.type, "BYTES"), "shape": list(spec.shape)}
    datatype = _COLUMNS.get(spec.type, "BYTES") if isinstance(spec.type, DataType) else "BYTES"
    return {"name": name, "datatype": datatype, "shape": [-1]}


def _read(item: Any) -> tuple[str, Any]:
    """The name of a tensor and its array, of the shape it says."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise bad_request("Each of `inputs` must be an object with `name`, `shape`, `datatype` and `data`.")
    name, shape, datatype = item["name"], item.get("shape"), item.get("datatype")
    shown = name[:80]
    if not isinstance(datatype, str) or datatype not in _DTYPES:
        raise bad_request(f"The `datatype` of `{shown}` must be one of {', '.join(_DTYPES)}.")
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 2**31 for size in shape) or not shape:
        raise bad_request(f"The `shape` of `{shown}` must be a list of whole numbers.")
    if len(shape) > 32 or not isinstance(item.get("data"), list):
        raise bad_request(f"The `data` of `{shown}` must be a list, and its shape of 32 numbers at most.")
    array = tensor(item["data"], _DTYPES[datatype], f"`{shown}`")
    size = 1
    for length in shape:
        size *= length
    if array.size != size:
        raise bad_request(f"`{shown}` has the shape {shape}, and {array.size} values.")
    return name, array.reshape(shape)


def _data(scorer: Scorer, arrays: dict[str, Any]) -> Any:
    """Tensors as the model takes them."""
    if scorer.columns is not None:
        if len(arrays) == 1 and not any(name in arrays for name in scorer.columns.names):
            (array,) = arrays.values()
            if array.ndim == 2 and array.shape[1] == len(scorer.columns.names):  # all columns as one
                names = scorer.columns.names
                return scorer.from_table({n if n is not None else i: array[:, i].tolist() for i, n in enumerate(names)})
        columns = {name: array.ravel() for name, array in arrays.items() if array.ndim == 1 or array.shape[1:] == (1,)}
        wrong = [name for name in arrays if name not in columns and name in scorer.columns.names]
        if wrong:
            raise bad_request(f"The inputs {wrong} must have the shape [rows] or [rows, 1].")
        if len({len(column) for column in columns.values()}) > 1:
            raise bad_request("All inputs must have as many rows.")
        return scorer.from_table({name: column.tolist() for name, column in columns.items()})
    if scorer.schema is not None and scorer.schema.has_input_names():
        return scorer.from_tensors(arrays)
    if len(arrays) > 1 and scorer.schema is None:
        if any(array.ndim > 1 and array.shape[1:] != (1,) for array in arrays.values()):
            return scorer.from_tensors(arrays)
        if len({len(array) for array in arrays.values()}) > 1:
            raise bad_request("All inputs must have as many rows.")
        return scorer.from_table({name: array.ravel().tolist() for name, array in arrays.items()})
    if len(arrays) > 1:
        raise bad_request(f"The model takes one tensor, and these are {len(arrays)}.")
    (array,) = arrays.values()
    return scorer.enforced(array)


def _write(scorer: Scorer, predictions: Any) -> list[dict[str, Any]]:
    """Predictions as tensors: one for each column or key, and one for an array."""
    if hasattr(predictions, "to_dict") and hasattr(predictions, "iloc"):
        frame = predictions.to_frame() if predictions.ndim == 1 else predictions
        return [_output(str(name), frame[name].to_numpy()) for name in frame.columns]
    if isinstance(predictions, dict):
        return [_output(str(name), values) for name, values in predictions.items()]
    if hasattr(predictions, "toarray"):
        predictions = predictions.toarray()
    schema = scorer.loaded.metadata.get_output_schema()
    known = describe(schema, "output")[0]["name"] if schema is not None and len(schema) == 1 else "output-0"
    return [_output(str(known), predictions)]


def _output(name: str, values: Any) -> dict[str, Any]:
    import numpy

    array = numpy.asarray(values)
    if array.ndim == 0:
        array = array.reshape(1)
    datatype = _NAMES.get(str(array.dtype), "BYTES")
    flat = array.ravel()
    data = flat.tolist() if datatype != "BYTES" else [_text(value) for value in flat.tolist()]
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": data}


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else json_text.write(value).decode()


def _chosen(outputs: list[dict[str, Any]], wanted: Any) -> list[dict[str, Any]]:
    names = (
        [item.get("name") if isinstance(item, dict) else None for item in wanted] if isinstance(wanted, list) else []
    )
    by_name = {output["name"]: output for output in outputs}
    if not isinstance(wanted, list) or not all(isinstance(name, str) and name in by_name for name in names):
        raise bad_request(f"`outputs` must be a list of objects with `name`, of {list(by_name)}.")
    return [by_name[name] for name in names if isinstance(name, str)] or outputs
