"""The description of a server in OpenAPI 3.1, with the schema and the example of the very model that it serves."""

from typing import Any

from runstone._version import __version__
from runstone.flavors.schema import (
    AnyType,
    Array,
    ColSpec,
    DataType,
    Map,
    Object,
    ParamSchema,
    Schema,
    TensorSpec,
    Type,
)
from runstone.serving import inference_v2
from runstone.serving.scoring import Scorer

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"

_SCALARS: dict[DataType, dict[str, Any]] = {
    DataType.boolean: {"type": "boolean"},
    DataType.integer: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    DataType.long: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    DataType.float: {"type": ["number", "null"], "format": "float"},
    DataType.double: {"type": ["number", "null"], "format": "double"},
    DataType.string: {"type": ["string", "null"]},
    DataType.binary: {"type": ["string", "null"], "contentEncoding": "base64"},
    DataType.datetime: {"type": ["string", "null"], "format": "date-time"},
}
_EXAMPLES: dict[DataType, Any] = {
    DataType.boolean: True,
    DataType.integer: 1,
    DataType.long: 1,
    DataType.float: 0.5,
    DataType.double: 0.5,
    DataType.string: "text",
    DataType.binary: "dGV4dA==",
    DataType.datetime: "2026-11-22T06:12:03",
}


def describe_server(scorer: Scorer) -> dict[str, Any]:
    """The whole document."""
    identity = scorer.loaded.identity
    name = identity.name
    title = f"{name} {identity.version}" if identity.version is not None else name
    v2 = f"/v2/models/{name}"
    versioned = f"{v2}/versions/{inference_v2.version_of(identity)}"
    paths: dict[str, Any] = {
        "/ping": {"get": _get("Whether the model can predict", {}, failing=True)},
        "/health": {"get": _get("Whether the model can predict", {}, failing=True)},
        "/version": {"get": _get("Which model this is, exactly", {"type": "object"})},
        "/metrics": {"get": _get("Numbers for Prometheus", {"type": "string"}, kind="text/plain")},
        "/invocations": {"post": _invocations(scorer)},
        "/v2": {"get": _get("The server", {"type": "object"})},
        "/v2/health/live": {"get": _get("Whether the server runs", {"type": "object"}, failing=True)},
        "/v2/health/ready": {"get": _get("Whether it takes requests", {"type": "object"}, failing=True)},
    }
    for base in (v2, versioned):
        paths[base] = {"get": _get("The model's inputs and outputs", {"type": "object"})}
        paths[f"{base}/ready"] = {"get": _get("Whether the model can predict", {"type": "object"}, failing=True)}
        paths[f"{base}/infer"] = {"post": _infer(scorer)}
    told = {key: value for key, value in identity.to_document().items() if value is not None}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": str(identity.version or "1"),
            "description": "Served by Runstone " + __version__ + ". " + "; ".join(f"{k}: {v}" for k, v in told.items()),
        },
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR, "InferenceError": _INFERENCE_ERROR}},
    }


def example_request(scorer: Scorer) -> dict[str, Any]:
    """A request to `/invocations`: the one that was saved with the model, else one made up from its signature."""
    if isinstance(scorer.loaded.example, dict) and scorer.loaded.example:
        return scorer.loaded.example
    schema = scorer.schema
    if schema is None:
        return {"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0]]}}
    if schema.is_tensor_spec():
        made = {spec.name: _tensor_example(spec) for spec in schema if isinstance(spec, TensorSpec)}
        return {"inputs": made if schema.has_input_names() else made[None]}
    values = [_example(spec.type) for spec in schema if isinstance(spec, ColSpec)]
    names = {"columns": [spec.name for spec in schema]} if schema.has_input_names() else {}
    return {"dataframe_split": names | {"data": [values]}}


_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error_code", "message"],
}
_INFERENCE_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {**_ERROR["properties"], "error": {"type": "string"}},
    "required": ["error_code", "message", "error"],
}
_FAULTS = {
    400: "The body or its data are not what the model takes",
    408: "The body did not come in time",
    413: "The body is too large",
    415: "The content type is none of those that are read",
    500: "The model failed",
    503: "Too many requests wait, or the server stops",
    504: "The model did not answer in time",
}


def _faults(*codes: int, schema: str = "Error") -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {str(code): {"description": _FAULTS[code], "content": content} for code in codes}


def _get(summary: str, schema: dict[str, Any], *, kind: str = JSON, failing: bool = False) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": summary}
    if schema:
        answer["content"] = {kind: {"schema": schema}}
    return {"summary": summary, "responses": {"200": answer} | (_faults(503) if failing else {})}


def _invocations(scorer: Scorer) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": _request(scorer), "example": example_request(scorer)}}
    if scorer.schema is None or not scorer.schema.is_tensor_spec():
        content[CSV] = {"schema": {"type": "string"}}
        content[PARQUET] = {"schema": {"type": "string", "format": "binary"}}
    answer = {"type": "object", "properties": {"predictions": {}}, "required": ["predictions"]}
    return {
        "summary": "Predict, by MLflow's scoring protocol",
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "One prediction for each row", "content": {JSON: {"schema": answer}}}}
        | _faults(400, 408, 413, 415, 500, 503, 504),
    }


def _request(scorer: Scorer) -> dict[str, Any]:
    """The four ways to write the data of a request, each with the model's own columns or tensors."""
    schema = scorer.schema
    shapes: dict[str, Any] = {}
    if schema is None or not schema.is_tensor_spec():
        specs = [spec for spec in schema or () if isinstance(spec, ColSpec)]
        record = _record(specs, named=schema is None or schema.has_input_names())
        shapes["dataframe_split"] = _split(specs)
        shapes["dataframe_records"] = {"type": "array", "items": record, "minItems": 1}
    shapes["inputs"] = {} if schema is None else _inputs(schema)
    shapes["instances"] = {"type": "array"}
    params = _params(scorer.loaded.metadata.get_params_schema())
    return {
        "anyOf": [
            {"type": "object", "properties": {key: shape} | params, "required": [key], "title": key}
            for key, shape in shapes.items()
        ]
    }


def _split(specs: list[ColSpec]) -> dict[str, Any]:
    names = [spec.name for spec in specs if spec.name is not None]
    cells = {"type": "array", "prefixItems": [_type(spec.type) for spec in specs], "minItems": len(specs)}
    columns: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
    if names:
        columns = {"enum": [names]}
        cells |= {"items": False}
    return {
        "type": "object",
        "properties": {
            "columns": columns,
            "data": {"type": "array", "minItems": 1, "items": cells if specs else {"type": "array"}},
            "index": {"type": "array"},
        },
        "required": ["columns", "data"] if names else ["data"],
        "additionalProperties": False,
    }


def _record(specs: list[ColSpec], *, named: bool) -> dict[str, Any]:
    if not named or not specs:
        return {"type": "object"}
    return {
        "type": "object",
        "properties": {str(spec.name): _type(spec.type) for spec in specs},
        "required": [str(spec.name) for spec in specs if spec.required],
    }


def _inputs(schema: Schema) -> dict[str, Any]:
    if not schema.has_input_names():
        return {"type": "array"} if len(schema) > 1 or schema.is_tensor_spec() else {}
    if schema.is_tensor_spec():
        properties: dict[str, Any] = {str(spec.name): {"type": "array"} for spec in schema}
    else:
        types = {str(spec.name): _type(spec.type) for spec in schema if isinstance(spec, ColSpec)}
        properties = {name: {"anyOf": [{"type": "array", "items": kind}, kind]} for name, kind in types.items()}
    required = [str(spec.name) for spec in schema if spec.required]
    return {"type": ["object", "array"], "properties": properties, "required": required}


def _params(schema: ParamSchema | None) -> dict[str, Any]:
    if schema is None:
        return {"params": {"type": ["object", "null"]}}
    properties = {}
    for spec in schema:
        kind = _type(spec.dtype)
        properties[spec.name] = {"type": "array", "items": kind} if spec.shape else kind
    return {"params": {"type": ["object", "null"], "properties": properties}}


def _type(kind: Type) -> dict[str, Any]:
    match kind:
        case DataType():
            return dict(_SCALARS[kind])
        case Array():
            return {"type": "array", "items": _type(kind.dtype)}
        case Map():
            return {"type": "object", "additionalProperties": _type(kind.value_type)}
        case Object():
            required = [p.name for p in kind.properties if p.required]
            properties = {p.name: _type(p.dtype) for p in kind.properties}
            return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        case AnyType():
            return {}


def _example(kind: Type) -> Any:
    match kind:
        case DataType():
            return _EXAMPLES[kind]
        case Array():
            return [_example(kind.dtype)]
        case Map():
            return {"key": _example(kind.value_type)}
        case Object():
            return {p.name: _example(p.dtype) for p in kind.properties}
        case AnyType():
            return None


def _tensor_example(spec: TensorSpec) -> Any:
    value: Any = True if spec.type == "bool" else "text" if spec.type in ("str", "bytes", "object") else 0
    value = 0.5 if spec.type.startswith("float") else value
    for size in reversed(spec.shape):
        value = [value] * (min(size, 1000) if size > 0 else 1)
    return value


def _infer(scorer: Scorer) -> dict[str, Any]:
    datatypes = {"enum": list(inference_v2.DATATYPES)}
    one = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            "datatype": datatypes,
            "data": {"type": "array"},
            "parameters": {"type": "object"},
        },
        "required": ["name", "shape", "datatype", "data"],
    }
    body = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": one, "minItems": 1},
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
            "parameters": {"type": "object"},
        },
        "required": ["inputs"],
    }
    answer = {"type": "object", "required": ["model_name", "outputs"]}
    summary = "Predict, by the Open Inference Protocol"
    inputs = inference_v2.describe(scorer.loaded.metadata.get_input_schema(), "input")
    return {
        "summary": summary,
        "description": "The model's inputs: " + ", ".join(f"{i['name']} {i['datatype']}" for i in inputs),
        "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
        "responses": {"200": {"description": "Tensors by name", "content": {JSON: {"schema": answer}}}}
        | _faults(400, 408, 413, 415, 500, 503, 504, schema="InferenceError"),
    }
