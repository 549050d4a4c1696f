"""Data for a prediction, held against the model's signature: reordered, safely widened, or refused.

The rules are MLflow's, with one that is kinder: whole numbers are taken for fractions whenever every value
stays exact, where MLflow takes 64-bit ones only if all are 0 or 1.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from runstone.errors import InputMismatch, InvalidSignature
from runstone.flavors.infer import (
    WIDER,
    dtype_name,
    fit_param,
    is_array,
    is_missing,
    is_sparse,
    scalar_types,
)
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

# Whole numbers up to these are exact in the float type of that many bytes.
_EXACT = {4: 2**24, 8: 2**53}


def enforce_input(data: Any, schema: Schema) -> Any:
    """Data as the model wants it.

    Args:
        data: A pandas DataFrame or Series, a numpy array, a map of arrays or lists, lists, or a scalar.
        schema: The inputs of the model's signature.

    Returns:
        A DataFrame with the signature's columns in its order, extra ones dropped; or the tensor or tensors.

    Raises:
        InputMismatch: A column is missing, a type cannot be converted without loss, or a shape is another.
    """
    if _is_frame(data, "Series"):
        data = data.to_frame()
    if not schema.is_tensor_spec():
        return _enforce_columns(_to_frame(data, schema), schema)
    specs = [spec for spec in schema if isinstance(spec, TensorSpec)]
    if schema.has_input_names():
        return _enforce_named_tensors(data, specs)
    return _enforce_tensor(data, specs[0])


def enforce_params(params: Mapping[str, Any] | None, schema: ParamSchema | None) -> dict[str, Any]:
    """All params of the signature, the given ones checked and the others at their defaults.

    Raises:
        InputMismatch: A value is not of its param's type.
    """
    given = dict(params or {})
    specs = {spec.name: spec for spec in schema or ()}
    unknown = [name for name in given if name not in specs]
    if unknown:
        warnings.warn(
            f"The params {unknown} are ignored: the model's signature has {sorted(specs) or 'no params'}.", stacklevel=3
        )
    try:
        return {name: fit_param(spec, given[name]) if name in given else spec.default for name, spec in specs.items()}
    except InvalidSignature as error:
        raise InputMismatch(error.why) from None
    except ValueError as error:  # a time that cannot be read
        raise InputMismatch(f"{error}") from None


# --- columns


def _is_frame(data: Any, kind: str = "DataFrame") -> bool:
    import sys

    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, getattr(pandas, kind))


def _to_frame(data: Any, schema: Schema) -> Any:
    import pandas

    if _is_frame(data):
        return data
    if data is None or is_sparse(data):
        raise InputMismatch(f"the model takes columns, and this is {'a sparse matrix' if is_sparse(data) else data}")
    if isinstance(data, dict):
        is_nested = any(isinstance(spec.type, Array | Object) for spec in schema)
        if is_nested or all(_is_one_value(value) for value in data.values()):
            return pandas.DataFrame([data])
        data = {name: value.tolist() if is_array(value) and value.ndim > 1 else value for name, value in data.items()}
    elif not isinstance(data, list | tuple) and not is_array(data):
        data = [data]
    try:
        return pandas.DataFrame(data)
    except (ValueError, TypeError) as error:
        raise InputMismatch(f"the model takes columns, and no table can be made of this: {error}") from None


def _is_one_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return is_missing(value) or bool(scalar_types(value))


def _enforce_columns(frame: Any, schema: Schema) -> Any:
    import pandas

    specs = [spec for spec in schema if isinstance(spec, ColSpec)]
    if schema.has_input_names():
        missing = [spec.name for spec in specs if spec.required and spec.name not in frame]
        if missing:
            raise InputMismatch(f"the columns {missing} are missing; there are {_some(list(frame.columns))}")
        found = [(spec.name, spec, frame[spec.name]) for spec in specs if spec.name in frame]
    else:
        if frame.shape[1] < len(specs):
            raise InputMismatch(f"it has {frame.shape[1]} columns, and the model takes {len(specs)}")
        found = [(frame.columns[i], spec, frame.iloc[:, i]) for i, spec in enumerate(specs)]
    for name, _, values in found:
        if values.ndim != 1:
            raise InputMismatch(f"there are several columns `{name}`")
    return pandas.DataFrame({name: _enforce_column(name, values, spec) for name, spec, values in found})


def _some(names: Sequence[Any]) -> str:
    return f"{list(names)}" if len(names) <= 20 else f"{list(names[:20])} and {len(names) - 20} more"


def _enforce_column(name: Any, values: Any, spec: ColSpec) -> Any:
    import pandas

    if isinstance(spec.type, AnyType):
        return values
    if not isinstance(spec.type, DataType):
        items = [_enforce_value(f"the column `{name}`", value, spec.type, spec.required) for value in values]
        return pandas.Series(items, index=values.index, name=values.name, dtype=object)
    try:
        fitting = _convert(values, spec.type)
    except (ValueError, TypeError) as error:  # what pandas says of values that no rule foresees
        raise InputMismatch(f"the column `{name}` cannot be made {spec.type!r}: {error}") from None
    if fitting is None:
        hint = ""
        if values.dtype.kind == "f" and spec.type in (DataType.integer, DataType.long) and values.hasnans:
            hint = (
                "; whole numbers with missing values are fractions to pandas, so infer the signature from data "
                "that has missing values, or declare the column double"
            )
        raise InputMismatch(f"the column `{name}` is {values.dtype}, which cannot safely be made {spec.type!r}{hint}")
    return fitting


_TARGETS = {
    DataType.boolean: "bool",
    DataType.integer: "int32",
    DataType.long: "int64",
    DataType.float: "float32",
    DataType.double: "float64",
    DataType.datetime: "datetime64[ns]",
}


def _convert(values: Any, kind: DataType) -> Any:
    """The column in the type's dtype; None if values could be lost."""
    import numpy

    dtype = values.dtype
    if kind in (DataType.string, DataType.binary):
        # pandas keeps text and bytes in columns of many dtypes; what is in them is the model's to judge.
        return values if dtype.kind == "O" or (kind is DataType.binary and dtype.kind == "S") else None
    if dtype.kind == "O":
        values = values.infer_objects()
        dtype = values.dtype
    target, is_mixed = numpy.dtype(_TARGETS[kind]), dtype == numpy.dtype(object)
    if dtype == target or (kind is DataType.boolean and is_mixed):  # None beside True and False
        return values
    if kind is DataType.datetime:
        if is_mixed or (dtype.kind == "M" and getattr(dtype, "tz", None) is None):
            return values.astype(target)
        return None
    size = getattr(dtype, "itemsize", 0)
    if dtype.kind == target.kind:
        return values.astype(target) if size <= target.itemsize else None
    if dtype.kind == "u" and target.kind == "i":
        return values.astype(target) if size < target.itemsize else None
    if dtype.kind in "iu" and target.kind == "f":
        limit = _EXACT[target.itemsize]
        is_exact = not len(values) or (values.min() >= -limit and values.max() <= limit)
        return values.astype(target) if is_exact else None
    return None


def _enforce_value(where: str, value: Any, kind: Type, required: bool) -> Any:
    """One value of a nested type."""
    if isinstance(kind, AnyType) or (not required and _is_nothing(value)):
        return value
    if isinstance(kind, DataType):
        kinds = set(scalar_types(value))
        if kind in kinds or kinds & WIDER.get(kind, set()):
            return value
    elif isinstance(kind, Array) and (isinstance(value, list) or is_array(value)):
        items = [_enforce_value(where, item, kind.dtype, required) for item in value]
        return items if isinstance(value, list) else value
    elif isinstance(kind, Map) and isinstance(value, dict):
        return {key: _enforce_value(where, item, kind.value_type, required) for key, item in value.items()}
    elif isinstance(kind, Object) and isinstance(value, dict):
        known = {p.name: p for p in kind.properties}
        missing = [p.name for p in kind.properties if p.required and p.name not in value]
        unknown = [key for key in value if key not in known]
        if missing or unknown:
            raise InputMismatch(f"in {where}, the keys {missing} are missing and {unknown} are unknown")
        return {key: _enforce_value(where, item, known[key].dtype, known[key].required) for key, item in value.items()}
    raise InputMismatch(f"in {where}, {value!r} is not {kind!r}")


def _is_nothing(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, list | dict) and not value)


# --- tensors


def _enforce_named_tensors(data: Any, specs: Sequence[TensorSpec]) -> dict[str, Any]:
    if is_array(data) and len(specs) == 1:
        data = {specs[0].name: data}
    if not isinstance(data, dict) and not _is_frame(data):
        raise InputMismatch(f"the model takes a map of arrays, and this is a {type(data).__name__}")
    missing = [spec.name for spec in specs if spec.name not in data]
    if missing:
        raise InputMismatch(f"the tensors {missing} are missing; there are {_some(list(data))}")
    return {
        str(spec.name): _from_column(data[spec.name], spec) if _is_frame(data) else _check(data[spec.name], spec)
        for spec in specs
    }


def _enforce_tensor(data: Any, spec: TensorSpec) -> Any:
    if not _is_frame(data):
        return _check(data, spec)
    if data.shape[1] == 1:
        return _from_column(data.iloc[:, 0], spec)
    return _check(data.to_numpy(), spec)


def _from_column(column: Any, spec: TensorSpec) -> Any:
    """A tensor from a column: of scalars, or of one list or array a row."""
    import numpy

    rows = column.tolist()
    takes_times = spec.type == "object" or spec.type.startswith(("datetime", "timedelta"))
    if rows and not takes_times and not _is_tensor_part(rows[0]):
        raise InputMismatch(f"{_name(spec)} must be {spec.type}, and this is a column of {column.dtype}")
    if spec.type in ("str", "bytes") and any(map(is_missing, rows)):
        raise InputMismatch(f"{_name(spec)} must be {spec.type}, and values are missing, which text cannot say")
    try:
        if rows and is_array(rows[0]):
            array = numpy.stack(rows)  # arrays know their dtype, so it is checked and not converted
        else:
            array = numpy.array(rows if rows and isinstance(rows[0], list) else column, dtype=spec.type)
        if all(size >= 0 for size in spec.shape[1:]):
            array = array.reshape((len(rows), *spec.shape[1:]))
    except (ValueError, TypeError) as error:
        raise InputMismatch(f"{_name(spec)} of shape {spec.shape} cannot be made of this column: {error}") from None
    return _check(array, spec)


def _is_tensor_part(value: Any) -> bool:
    """Whether numpy may make it part of a tensor; of a time it would make a number or text that nobody meant."""
    is_scalar = is_missing(value) or bool(set(scalar_types(value)) - {DataType.datetime})
    return is_scalar or isinstance(value, list) or is_array(value)


def _check(data: Any, spec: TensorSpec) -> Any:
    if not is_array(data) and not is_sparse(data):
        raise InputMismatch(f"{_name(spec)} must be a numpy array, but is a {type(data).__name__}")
    if spec.type == "object" and spec.shape == (-1,):
        return data  # anything, one a row
    is_ragged = data.dtype.kind == "O" and data.ndim == 1 and -1 in spec.shape[1:]
    if is_ragged:
        return data
    fits = len(data.shape) == len(spec.shape) and all(
        want in (-1, have) for want, have in zip(spec.shape, data.shape, strict=True)
    )
    if not fits:
        raise InputMismatch(f"{_name(spec)} must have the shape {spec.shape}, but has {data.shape}")
    found = dtype_name(data.dtype)
    if found != spec.type:
        raise InputMismatch(f"{_name(spec)} must be {spec.type}, but is {found}")
    return data


def _name(spec: TensorSpec) -> str:
    return f"the tensor `{spec.name}`" if spec.name is not None else "the array"
