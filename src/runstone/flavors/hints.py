"""Type hints of `predict` as a signature, and data held against them, by the rules that MLflow documents.

Only lists have meaning, as the rows of a request: `list[str]`, `list[dict[str, float]]`, `list[list[int]]`. Any other
hint is Python's own business and says nothing here. Classes of pydantic are left to MLflow's own models.
"""

import base64
import inspect
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

from runstone.errors import InputMismatch
from runstone.flavors.infer import is_array, is_missing
from runstone.flavors.schema import AnyType, Array, ColSpec, DataType, Map, Schema, Type

_TYPES: dict[Any, DataType] = {
    int: DataType.long,
    str: DataType.string,
    bool: DataType.boolean,
    float: DataType.double,
    bytes: DataType.binary,
    datetime: DataType.datetime,
}


@dataclass(frozen=True, slots=True)
class Hints:
    """What a `predict` is annotated with; None where it is not. The names are MLflow's."""

    input: Any = None
    output: Any = None


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether a `predict` wants the context before the data, whatever it calls it."""
    names = [name for name in inspect.signature(function).parameters if name not in ("self", "params")]
    return "context" in names or len(names) == 2


def takes_params(function: Callable[..., Any]) -> bool:
    """Whether a `predict` wants params."""
    return "params" in inspect.signature(function).parameters


def read_hints(function: Callable[..., Any]) -> Hints:
    """The hints of a `predict`; none if they cannot be understood."""
    try:
        hints = get_type_hints(function)
        names = [name for name in inspect.signature(function).parameters if name != "self"]
        return Hints(hints.get(names[1 if takes_context(function) else 0]), hints.get("return"))
    except (TypeError, NameError, AttributeError, IndexError, ValueError):
        return Hints()


def input_schema(hint: Any) -> Schema | None:
    """The schema that a hint of the data stands for; None if it says nothing."""
    kind = _type(hint) if get_origin(hint) is list else None
    return Schema([ColSpec(kind.dtype)]) if isinstance(kind, Array) else None


def output_schema(hint: Any) -> Schema | None:
    """The schema that a hint of the answer stands for; a list is a list of rows. None if it says nothing.

    MLflow writes `any` then, which MLflow before 2.19 cannot read.
    """
    kind = _type(hint)
    if kind is None or kind == AnyType():
        return None
    return Schema([ColSpec(kind.dtype if isinstance(kind, Array) else kind)])


def fit(data: Any, hint: Any) -> Any:
    """Data as the hint has it: a table becomes a list of its rows, and every value is of its type.

    Raises:
        InputMismatch: A value is of another type.
    """
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        is_maps = get_origin(get_args(hint)[0]) is dict and list(data.columns) != [0]
        data = _plain(data.to_dict(orient="records") if is_maps else data.iloc[:, 0].tolist())
    return _fit(data, hint, "the data")


def _type(hint: Any) -> Type | None:
    """The type a hint stands for; None if it has none."""
    if hint is Any:
        return AnyType()
    if isinstance(hint, type) and hint in _TYPES:
        return _TYPES[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list and len(arguments) == 1:
        item = _type(arguments[0])
        return None if item is None or _is_optional(arguments[0]) else Array(item)
    if origin is dict and len(arguments) == 2 and arguments[0] is str:
        value = _type(arguments[1])
        return None if value is None else Map(value)
    if origin in (Union, types.UnionType):
        known = [argument for argument in arguments if argument is not type(None)]
        return _type(known[0]) if len(known) == 1 else AnyType()
    return None


def _is_optional(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)


def _fit(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        known = [argument for argument in arguments if argument is not type(None)]
        return value if value is None or len(known) > 1 else _fit(value, known[0], where)
    if origin is list and isinstance(value, list):
        return [_fit(item, arguments[0], f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _fit(item, arguments[1], f"{where}[{key!r}]") for key, item in value.items()}
    if hint is Any or (origin is None and isinstance(value, hint)):
        return value
    if hint is float and type(value) is int:
        return float(value)
    if isinstance(value, str) and hint in (bytes, datetime):  # as JSON holds them
        try:
            return datetime.fromisoformat(value) if hint is datetime else base64.b64decode(value)
        except ValueError:
            pass
    name = hint.__name__ if isinstance(hint, type) and origin is None else str(hint)
    raise InputMismatch(f"`predict` takes {name}, and {where} is {_short(value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return f"the {type(value).__name__} {text if len(text) <= 60 else f'{text[:57]}…'}"


def _plain(value: Any) -> Any:
    """Lists for arrays and None for gaps, which a table cannot hold otherwise."""
    if is_array(value):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if is_missing(value) else value
