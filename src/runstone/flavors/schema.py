"""The types of a model's inputs, outputs and params, and their JSON as MLmodel files hold it.

The encoding is MLflow's, key order included, so that equal types give equal text on both sides. Nothing
here imports numpy or pandas: a tensor's dtype is kept by name.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, TypeAlias, Union

from runstone.errors import InvalidSignature

MAX_DEPTH = 32
"""Arrays, maps and objects inside one another."""

# A full name. Short codes are refused: some, such as `U999999999`, would have numpy reserve memory by the gigabyte.
_is_dtype_name = re.compile(r"[a-z]{3}[a-z0-9_]{0,30}(?:\[[0-9]{0,4}[a-zA-Z]{1,2}\])?").fullmatch


class DataType(Enum):
    """The type of one value in a column."""

    boolean = "boolean"
    integer = "integer"  # 32 bits, signed
    long = "long"  # 64 bits, signed
    float = "float"  # 32 bits
    double = "double"  # 64 bits
    string = "string"
    binary = "binary"
    datetime = "datetime"

    def __repr__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class AnyType:
    """Anything JSON can say, nothing included; not checked."""

    def __repr__(self) -> str:
        return "any"


@dataclass(frozen=True, slots=True)
class Array:
    """A list of values of one type."""

    dtype: "Type"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", as_type(self.dtype))

    def __repr__(self) -> str:
        return f"array of {self.dtype!r}"


@dataclass(frozen=True, slots=True)
class Map:
    """A map from text to values of one type."""

    value_type: "Type"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value_type", as_type(self.value_type))

    def __repr__(self) -> str:
        return f"map of {self.value_type!r}"


@dataclass(frozen=True, slots=True)
class Property:
    """One named value of an `Object`."""

    name: str
    dtype: "Type"
    required: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", as_type(self.dtype))


@dataclass(frozen=True, slots=True)
class Object:
    """A map whose keys and their types are known; kept sorted by name, so that order means nothing."""

    properties: Sequence[Property]

    def __post_init__(self) -> None:
        names = [p.name for p in self.properties]
        if not names or len(set(names)) != len(names):
            raise InvalidSignature(f"an object needs properties of different names, and has {names}")
        object.__setattr__(self, "properties", tuple(sorted(self.properties, key=lambda p: p.name)))

    def __repr__(self) -> str:
        return "object of " + ", ".join(f"{p.name}: {p.dtype!r}" for p in self.properties)


Type: TypeAlias = Union[DataType, Array, Object, Map, AnyType]  # noqa: UP007  # refers to itself by name


@dataclass(frozen=True, slots=True)
class ColSpec:
    """One column: its type, its name if it has one, and whether it must be there."""

    type: Type
    name: str | None = None
    required: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", as_type(self.type))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor: numpy's name of its dtype, and its shape, in which -1 is any size.

    A dtype of text or bytes has no length: `str`, `bytes`.
    """

    type: str
    shape: tuple[int, ...]
    name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", str(getattr(self.type, "name", self.type)))
        object.__setattr__(self, "shape", tuple(self.shape))
        if not _is_dtype_name(self.type):
            raise InvalidSignature(f"{self.type!r} is no dtype of a tensor, such as float64, str or object")

    @property
    def required(self) -> bool:
        """Always: a tensor cannot be left out."""
        return True


@dataclass(frozen=True, slots=True)
class Schema:
    """What goes in or comes out of a model: columns, or tensors, never both; all named, or none."""

    inputs: Sequence[ColSpec | TensorSpec]

    def __post_init__(self) -> None:
        specs = tuple(self.inputs)
        object.__setattr__(self, "inputs", specs)
        named = [spec.name is not None for spec in specs]
        if not specs:
            raise InvalidSignature("it has no columns and no tensors")
        if len({isinstance(spec, TensorSpec) for spec in specs}) > 1:
            raise InvalidSignature("it mixes columns and tensors")
        if any(named) and not all(named):
            raise InvalidSignature("some of its columns have names and some have none")
        if not any(named) and self.is_tensor_spec() and len(specs) > 1:
            raise InvalidSignature("several tensors need names")
        if not any(named) and not all(spec.required for spec in specs):
            raise InvalidSignature("a column without a name cannot be optional")

    def __len__(self) -> int:
        return len(self.inputs)

    def __iter__(self) -> Iterator[ColSpec | TensorSpec]:
        return iter(self.inputs)

    def is_tensor_spec(self) -> bool:
        """Whether it is made of tensors."""
        return isinstance(self.inputs[0], TensorSpec)

    def has_input_names(self) -> bool:
        """Whether its columns or tensors have names."""
        return self.inputs[0].name is not None

    def input_names(self) -> list[str | int]:
        """The names, or the positions where there are none."""
        return [i if spec.name is None else spec.name for i, spec in enumerate(self.inputs)]

    def input_types(self) -> list[Type | str]:
        """The types in order; of tensors the names of their dtypes."""
        return [spec.type for spec in self.inputs]

    def to_dict(self) -> list[dict[str, Any]]:
        """The schema as JSON holds it."""
        return [_spec_to_dict(spec) for spec in self.inputs]

    def to_json(self) -> str:
        """The schema as the text an MLmodel file holds."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "Schema":
        """The inverse of `to_json`; raises `InvalidSignature`."""
        return cls([_spec_from_dict(item) for item in _read_list(text)])


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """One param of `predict` with its default: a scalar or map (`shape` None), or a list (`shape` (-1,))."""

    name: str
    dtype: Type
    default: Any
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", as_type(self.dtype))
        object.__setattr__(self, "shape", None if self.shape is None else tuple(self.shape))
        if not isinstance(self.dtype, DataType | Object) or self.dtype is DataType.binary:
            raise InvalidSignature(f"the param `{self.name}` cannot be of type {self.dtype!r}")
        if self.shape not in (None, (-1,)) or (self.shape and isinstance(self.dtype, Object)):
            raise InvalidSignature(f"the param `{self.name}` has the shape {self.shape}; a scalar or a list may stand")

    def to_dict(self) -> dict[str, Any]:
        """The param as JSON holds it."""
        default = self.default
        if self.dtype is DataType.datetime and default is not None:
            default = default.isoformat() if self.shape is None else [value.isoformat() for value in default]
        shape = None if self.shape is None else list(self.shape)
        return {"name": self.name, "default": default, "shape": shape} | type_to_dict(self.dtype)

    @classmethod
    def from_dict(cls, item: dict[str, Any]) -> "ParamSpec":
        """The inverse of `to_dict`; MLflow before 2.10 wrote `dtype` for `type`."""
        if not isinstance(item.get("name"), str) or "default" not in item:
            raise InvalidSignature("a param has no name or no default")
        dtype = type_from_dict({**item, "type": item.get("type") or item.get("dtype")})
        shape, default = item.get("shape"), item["default"]
        if shape is not None and shape != [-1]:
            raise InvalidSignature(f"the param `{item['name']}` has the shape {shape!r}")
        if shape is not None and not isinstance(default, list):
            raise InvalidSignature(f"the default of the param `{item['name']}` must be a list")
        if dtype is DataType.datetime and default is not None:
            default = _read_time(default) if shape is None else [_read_time(value) for value in default]
        return cls(item["name"], dtype, default, None if shape is None else (-1,))


@dataclass(frozen=True, slots=True)
class ParamSchema:
    """The params that `predict` takes, each with its default."""

    params: Sequence[ParamSpec]

    def __post_init__(self) -> None:
        names = [param.name for param in self.params]
        if len(set(names)) != len(names):
            raise InvalidSignature(f"two params have one name: {names}")
        object.__setattr__(self, "params", tuple(self.params))

    def __len__(self) -> int:
        return len(self.params)

    def __iter__(self) -> Iterator[ParamSpec]:
        return iter(self.params)

    def to_dict(self) -> list[dict[str, Any]]:
        """The params as JSON holds them."""
        return [param.to_dict() for param in self.params]

    def to_json(self) -> str:
        """The params as the text an MLmodel file holds."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "ParamSchema":
        """The inverse of `to_json`; raises `InvalidSignature`."""
        return cls([ParamSpec.from_dict(item) for item in _read_list(text)])


def as_type(value: object) -> Type:
    """A type, or the `DataType` that the text names; raises `InvalidSignature`."""
    if isinstance(value, DataType | Array | Object | Map | AnyType):
        return value
    if isinstance(value, str) and value in DataType.__members__:
        return DataType[value]
    raise InvalidSignature(
        f"{value!r} is no type; there are {', '.join(DataType.__members__)}, array, object, map, any"
    )


def type_to_dict(dtype: Type) -> dict[str, Any]:
    """A type as JSON holds it: `{"type": "array", "items": {"type": "long"}}`."""
    match dtype:
        case DataType():
            return {"type": dtype.value}
        case Array():
            return {"type": "array", "items": type_to_dict(dtype.dtype)}
        case Map():
            return {"type": "map", "values": type_to_dict(dtype.value_type)}
        case Object():
            properties = {p.name: type_to_dict(p.dtype) | {"required": p.required} for p in dtype.properties}
            return {"type": "object", "properties": properties}
        case AnyType():
            return {"type": "any"}


def type_from_dict(item: Any, *, depth: int = 1) -> Type:
    """The inverse of `type_to_dict`; raises `InvalidSignature`, also for types nested deeper than `MAX_DEPTH`."""
    if not isinstance(item, dict) or "type" not in item:
        raise InvalidSignature("a type is missing")
    if depth > MAX_DEPTH:
        raise InvalidSignature(f"its types are nested more than {MAX_DEPTH} deep")
    match item["type"]:
        case "any":
            return AnyType()
        case "array":
            return Array(type_from_dict(item.get("items"), depth=depth + 1))
        case "map":
            return Map(type_from_dict(item.get("values"), depth=depth + 1))
        case "object":
            properties = item.get("properties")
            if not isinstance(properties, dict):
                raise InvalidSignature("an object has no properties")
            read = {name: type_from_dict(value, depth=depth + 1) for name, value in properties.items()}
            return Object([Property(name, kind, properties[name].get("required", True)) for name, kind in read.items()])
        case other:
            return as_type(other)


def _spec_to_dict(spec: ColSpec | TensorSpec) -> dict[str, Any]:
    name = {} if spec.name is None else {"name": spec.name}
    if isinstance(spec, TensorSpec):
        return name | {"type": "tensor", "tensor-spec": {"dtype": spec.type, "shape": list(spec.shape)}}
    return type_to_dict(spec.type) | name | {"required": spec.required}


def _spec_from_dict(item: dict[str, Any]) -> ColSpec | TensorSpec:
    name: Any = item.get("name")
    if isinstance(name, list):
        name = tuple(name)  # pandas' name of a column under several headings, as JSON has it
    if not all(isinstance(part, str | int | float) for part in (name if isinstance(name, tuple) else [name or ""])):
        raise InvalidSignature(f"{name!r} is no name of a column")
    if item.get("type") != "tensor":
        # `required: null` and no key at all both mean that it must be there.
        return ColSpec(type_from_dict(item), name, item.get("required") is not False)
    tensor = item.get("tensor-spec")
    if not isinstance(tensor, dict) or not isinstance(tensor.get("dtype"), str):
        raise InvalidSignature("a tensor has no dtype")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise InvalidSignature(f"the shape of a tensor must be a list of whole numbers, but is {shape!r}")
    return TensorSpec(tensor["dtype"], tuple(shape), name)


def _read_list(text: object) -> list[dict[str, Any]]:
    try:
        items = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as error:
        raise InvalidSignature(f"it is not JSON: {error}") from None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidSignature("it is not a list of maps")
    return items


def _read_time(value: object) -> date | datetime:
    try:
        text = str(value)
        return datetime.fromisoformat(text) if len(text) > 10 else date.fromisoformat(text)
    except ValueError as error:
        raise InvalidSignature(f"a default must be a time: {error}") from None
