"""From example data to a schema, by the rules MLflow documents, so that both say the same of the same data.

numpy, pandas and scipy are asked only if the data can be theirs, that is, if they are loaded already.
"""

import math
import sys
import warnings
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

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
    Type,
)


def infer_or_any(data: Any, what: str) -> Schema:
    """The schema of `data`; one column of type `any`, and a warning, when it cannot be told."""
    found = _infer_or_why(data)
    if isinstance(found, Schema):
        return found
    warnings.warn(
        f"The type of the model's {what} could not be told, so its signature says `any`, "
        f"which is not checked when the model predicts: {found}.",
        stacklevel=3,
    )
    return Schema([ColSpec(AnyType())])


def infer_or_none(data: Any, what: str) -> Schema | None:
    """The schema of `data`; None, and a warning, where it would say `any`, which MLflow before 2.19 cannot load."""
    found = _infer_or_why(data)
    if isinstance(found, Schema) and not any(_says_any(spec.type) for spec in found if isinstance(spec, ColSpec)):
        return found
    why = "a part of it has no type" if isinstance(found, Schema) else found
    warnings.warn(
        f"The type of the model's {what} could not be told from the input example, so its signature does not speak "
        f"of it, and it is not checked when the model predicts: {why}. "
        f"To have it say `any`, which MLflow reads since 2.19, give `signature=infer_signature(...)`.",
        stacklevel=6,
    )
    return None


def _infer_or_why(data: Any) -> Schema | str:
    """The schema of `data`, or why it cannot be told."""
    try:
        return infer_schema(data)
    except Exception as error:  # odd data make libraries raise odd errors, and the model is worth saving anyway
        return getattr(error, "why", str(error))


def _says_any(kind: Type) -> bool:
    match kind:
        case Array():
            return _says_any(kind.dtype)
        case Map():
            return _says_any(kind.value_type)
        case Object():
            return any(_says_any(part.dtype) for part in kind.properties)
    return isinstance(kind, AnyType)


def infer_schema(data: Any) -> Schema:
    """The schema of example data; raises `InvalidSignature` if it has none."""
    if _is(data, "pandas", "DataFrame"):
        return Schema([_series_spec(data[column], column) for column in data.columns])
    if _is(data, "pandas", "Series"):
        return Schema([_series_spec(data, data.name)])
    if is_array(data) or is_sparse(data):
        return Schema([_tensor_spec(data)])
    if isinstance(data, dict):
        if all(is_array(value) for value in data.values()):
            return Schema([_tensor_spec(value, name) for name, value in data.items()])
        if not all(isinstance(name, str) for name in data):
            raise InvalidSignature("the keys of the map are not all text")
        return Schema([ColSpec(_known(value), name, not _has_missing(value)) for name, value in data.items()])
    if isinstance(data, list):
        if not data:
            return Schema([ColSpec(DataType.string)])  # as every MLflow has it, older ones included
        if all(isinstance(row, dict) for row in data):
            return Schema(_row_specs(data))
        return Schema([ColSpec(_known_items(data))])
    return Schema([ColSpec(_known(data))])


def infer_params(params: dict[str, Any]) -> ParamSchema:
    """The schema of params and their defaults; raises `InvalidSignature` naming the param that has none."""
    return ParamSchema([_param_spec(str(name), value) for name, value in params.items()])


def fit_param(spec: ParamSpec, value: Any) -> Any:
    """`value` as plain Python of the param's type; raises `InvalidSignature` if it cannot be that safely."""
    if spec.shape is None:
        return value if isinstance(spec.dtype, Object) else _fit_scalar(spec, value)
    if not isinstance(value, list | tuple) and not (is_array(value) and value.ndim == 1):
        raise InvalidSignature(f"the param `{spec.name}` must be a list of {spec.dtype!r}, but is {value!r}")
    return [_fit_scalar(spec, item) for item in value]


def is_array(data: Any) -> bool:
    """Whether it is a numpy array."""
    return _is(data, "numpy", "ndarray")


def is_sparse(data: Any) -> bool:
    """Whether it is a scipy matrix in CSR or CSC form."""
    return any(_is(data, "scipy.sparse", kind) for kind in ("csr_matrix", "csc_matrix", "csr_array", "csc_array"))


def is_missing(value: Any) -> bool:
    """Whether it is None, NaN, or one of pandas' words for these."""
    if isinstance(value, float):
        return math.isnan(value)
    pandas = sys.modules.get("pandas")
    return value is None or (pandas is not None and (value is pandas.NA or value is pandas.NaT))


def _is(data: Any, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(data, kind)


def _has_missing(value: Any) -> bool:
    return any(map(is_missing, value)) if isinstance(value, list) else is_missing(value)


# --- columns


def _series_spec(series: Any, name: Any) -> ColSpec:
    if not _is(series, "pandas", "Series"):
        raise InvalidSignature(f"there are several columns `{name}`")
    return ColSpec(_series_type(series), name, not any(map(is_missing, series)))


def _series_type(series: Any) -> Type:
    if series.dtype.kind == "O":
        series = series.infer_objects()
    if series.dtype.kind != "O":
        return _dtype_type(series.dtype)
    try:
        return _known_items(series.to_list())
    except InvalidSignature:
        from pandas.api.types import is_string_dtype

        if is_string_dtype(series):  # an empty column of text, or text beside other things
            return DataType.string
        raise


def _row_specs(rows: list[dict[Any, Any]]) -> list[ColSpec]:
    columns: dict[Any, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return [
        ColSpec(_known_items(values), name, all(row.get(name) is not None for row in rows))
        for name, values in columns.items()
    ]


def _known(value: Any) -> Type:
    found = infer_type(value)
    if found is None:
        raise InvalidSignature("an empty array has no type")
    return found


def _known_items(values: list[Any]) -> Type:
    found = _known(values)
    if not isinstance(found, Array):
        raise InvalidSignature("an empty column has no type")
    return found.dtype


# --- values


def infer_type(value: Any) -> Type | None:
    """The type of one value; None if only an array without items could tell it."""
    if is_missing(value) or (isinstance(value, list | dict) and not value):
        return AnyType()
    if isinstance(value, dict):
        types = {name: _known(item) for name, item in value.items()}
        if not all(isinstance(name, str) for name in types):
            raise InvalidSignature("the keys of a map are not all text")
        return Object([Property(name, kind, kind != AnyType()) for name, kind in types.items()])
    if isinstance(value, list) or is_array(value):
        return _array_type(value)
    kinds = scalar_types(value)
    if not kinds:
        raise InvalidSignature(f"a value of type {type(value).__name__} has no place in a signature")
    return kinds[0]


def _array_type(items: Iterable[Any]) -> Array | None:
    merged: Type | None = None
    for item in items:
        found = infer_type(item)
        if found is not None:
            merged = found if merged is None else _merge(merged, found)
    return None if merged is None else Array(merged)


def _merge(one: Type, other: Type) -> Type:
    """The type that values of both types have."""
    if one == AnyType() and other != AnyType():
        one, other = other, one
    match one, other:
        case Object(), AnyType():
            return Object([Property(p.name, p.dtype, required=False) for p in one.properties])
        case _, AnyType():
            return one
        case Array(), Array():
            return Array(_merge(one.dtype, other.dtype))
        case Object(), Object():
            left, right = ({p.name: p for p in side.properties} for side in (one, other))
            return Object([_merge_property(left.get(name), right.get(name)) for name in left | right])
    if one != other:
        raise InvalidSignature(f"a list holds values of different types, {one!r} and {other!r}")
    return one


def _merge_property(one: Property | None, other: Property | None) -> Property:
    if one is None or other is None:
        alone = one or other
        assert alone is not None  # the name came from one of the two
        return Property(alone.name, alone.dtype, required=False)
    return Property(one.name, _merge(one.dtype, other.dtype), one.required and other.required)


_PLAIN: dict[type, tuple[DataType, ...]] = {
    bool: (DataType.boolean,),
    int: (DataType.long, DataType.integer),
    float: (DataType.double, DataType.float),
    str: (DataType.string,),
    bytes: (DataType.binary,),
    bytearray: (DataType.binary,),
    date: (DataType.datetime,),
    datetime: (DataType.datetime,),
}
_NUMPY: dict[str, tuple[DataType, ...]] = {
    "bool": (DataType.boolean,),
    "int64": (DataType.long,),
    "int32": (DataType.integer,),
    "float64": (DataType.double,),
    "float32": (DataType.float,),
    "str": (DataType.string,),
    "bytes": (DataType.binary,),
    "datetime64": (DataType.datetime,),
}


def scalar_types(value: Any) -> tuple[DataType, ...]:
    """The types a scalar can be of without conversion, the usual one first; () for what has none."""
    if type(value) in _PLAIN:
        return _PLAIN[type(value)]
    if _is(value, "numpy", "generic"):
        return _NUMPY.get(type(value).__name__.rstrip("_"), ())
    return ()


# --- tensors


def _tensor_spec(data: Any, name: Any = None) -> TensorSpec:
    if not data.shape:
        raise InvalidSignature("an array without dimensions is no tensor")
    return TensorSpec(dtype_name(data.dtype), (-1, *data.shape[1:]), name)


def dtype_name(dtype: Any) -> str:
    """The name numpy has for a dtype, without the length of text and bytes."""
    return {"U": "str", "S": "bytes"}.get(dtype.kind) or str(dtype.name)


def _dtype_type(dtype: Any) -> DataType:
    """The column type that holds all values of a numpy or pandas dtype."""
    match dtype.kind, getattr(dtype, "itemsize", 0):
        case "b", _:
            return DataType.boolean
        case ("i", 1 | 2 | 4) | ("u", 1 | 2):
            return DataType.integer
        case ("i", 8) | ("u", 4):
            return DataType.long
        case "f", 2 | 4:
            return DataType.float
        case "f", 8:
            return DataType.double
        case "U", _:
            return DataType.string
        case "S", _:
            return DataType.binary
        case "M", _:
            return DataType.datetime
    raise InvalidSignature(f"a column of dtype {dtype} has no place in a signature")


# --- params


def _param_spec(name: str, value: Any) -> ParamSpec:
    if isinstance(value, dict):
        spec = ParamSpec(name, _known(value), value)
    elif isinstance(value, list) or is_array(value):
        spec = ParamSpec(name, _list_type(name, value), value, (-1,))
    else:
        spec = ParamSpec(name, _number_type(name, [value]), value)
    return ParamSpec(name, spec.dtype, fit_param(spec, value), spec.shape)


def _list_type(name: str, values: Any) -> DataType:
    if any(isinstance(value, list | dict) or is_array(value) for value in values):
        raise InvalidSignature(f"the param `{name}` must be a scalar, a map or a flat list")
    return _number_type(name, list(values))


def _number_type(name: str, values: list[Any]) -> DataType:
    """The type numpy would give an array of these: whole numbers beside fractions are fractions."""
    import numpy

    if all(DataType.datetime in scalar_types(value) for value in values):
        return DataType.datetime
    if any(value is None for value in values):
        raise InvalidSignature(f"the param `{name}` has no value that would tell its type")
    try:
        return _dtype_type(numpy.array(values).dtype)
    except InvalidSignature as error:
        raise InvalidSignature(f"the param `{name}`: {error.why}") from None


WIDER = {
    DataType.long: {DataType.integer},
    DataType.float: {DataType.integer, DataType.long},
    DataType.double: {DataType.integer, DataType.long, DataType.float},
}
"""For each type those that it can hold without loss worth a refusal."""


def _fit_scalar(spec: ParamSpec, value: Any) -> Any:
    kind = spec.dtype
    if value is None:
        return None
    if kind is DataType.datetime and isinstance(value, str):
        value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
    kinds = set(scalar_types(value))
    if kind not in kinds and not (isinstance(kind, DataType) and kinds & WIDER.get(kind, set())):
        raise InvalidSignature(f"the param `{spec.name}` must be of type {kind!r}, but is {value!r}")
    plain = value.item() if hasattr(value, "item") else value
    return float(plain) if kind in (DataType.float, DataType.double) else plain
