"""Rows and columns as JSON holds them, turned straight into what the model predicts with.

The signature is read once. What `flavors.enforce` would refuse is refused, in its words; but JSON knows one kind of
number, so a fraction may become a `float` and a whole number an `integer` where it is one. Text is never a number.
A table of numbers becomes one array laid out as pandas lays out a DataFrame, so that sums come out equal to the bit.
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from runstone.flavors.schema import ColSpec, DataType, Schema
from runstone.serving.problem import bad_data

Table = Mapping[Any, Sequence[Any]]
"""Name (or position) → the values of a column, all of one length."""

_NOTHING = type(None)
# Of each type of fractions, up to where it holds whole numbers exactly; of each of whole numbers, its bits.
_FLOATS = {DataType.float: 2**24, DataType.double: 2**53}
_WHOLE = {DataType.integer: 32, DataType.long: 64}
_NUMBERS = {*_FLOATS, *_WHOLE}


class Columns:
    """The columns of a signature.

    Attributes:
        is_flat: Whether each holds one plain value a row: then nothing is left to check in what `read` returns.
        is_numeric: Whether all of them are numbers.
    """

    def __init__(self, schema: Schema) -> None:
        self._specs = [spec for spec in schema if isinstance(spec, ColSpec)]
        self._is_named = schema.has_input_names()
        self.names = [spec.name for spec in self._specs]
        self.is_flat = all(isinstance(spec.type, DataType) for spec in self._specs)
        self.is_numeric = all(spec.type in _NUMBERS for spec in self._specs if isinstance(spec.type, DataType))
        self.is_numeric &= self.is_flat

    def read(self, table: Table) -> dict[Any, Any]:
        """The signature's columns in its order, each of its type; extra ones are left out.

        Raises:
            Problem: One is missing, or a value is not of its column's type.
        """
        if self._is_named:
            missing = [spec.name for spec in self._specs if spec.required and spec.name not in table]
            if missing:
                raise bad_data(f"the columns {missing} are missing; there are {_some(list(table))}")
            return {spec.name: _column(spec.name, table[spec.name], spec) for spec in self._specs if spec.name in table}
        if len(table) < len(self._specs):
            raise bad_data(f"it has {len(table)} columns, and the model takes {len(self._specs)}")
        return {
            name: _column(name, values, spec) for (name, values), spec in zip(table.items(), self._specs, strict=False)
        }


def as_array(columns: Sequence[Any]) -> Any:
    """Columns of numbers as one array `(rows, columns)`, of the type and the layout that pandas would give them."""
    import numpy

    dtype = columns[0].dtype
    if any(column.dtype != dtype for column in columns):
        dtype = numpy.result_type(*columns)
    array = numpy.empty((len(columns), len(columns[0])), dtype)
    for number, column in enumerate(columns):
        array[number] = column
    return array.T


def as_frame(columns: Mapping[Any, Any]) -> Any:
    """Columns as a DataFrame."""
    import numpy
    import pandas

    values = list(columns.values())
    types = {value.dtype if isinstance(value, numpy.ndarray) else None for value in values}
    if len(types) == 1 and getattr(types.pop(), "kind", "") in ("i", "f"):
        return pandas.DataFrame(as_array(values), columns=list(columns))
    length = len(values[0]) if values else 0
    if not length:  # pandas would make fractions of no values, and a model may ask for a column's text
        columns = {n: v if isinstance(v, numpy.ndarray) else numpy.empty(0, object) for n, v in columns.items()}
    return pandas.DataFrame(dict(columns), index=range(length), columns=list(columns))


def as_numbers(values: Sequence[Any]) -> Any:
    """A column as pandas would make it of JSON's numbers, nothing being NaN; None if there is anything else in it."""
    import numpy

    kinds = set(map(type, values))
    if not kinds <= {float, int, _NOTHING} or kinds <= {_NOTHING}:
        return None
    try:
        return numpy.array(values, "int64" if kinds == {int} else "float64")
    except OverflowError:  # a whole number that neither can hold
        return None


def _some(names: Sequence[Any]) -> str:
    return f"{list(names)}" if len(names) <= 20 else f"{list(names[:20])} and {len(names) - 20} more"


def _column(name: Any, values: Sequence[Any], spec: ColSpec) -> Any:
    """A column of the type that the signature says; nested and free ones are returned as they are."""
    kind = spec.type
    if not isinstance(kind, DataType):
        return list(values)
    kinds = set(map(type, values))
    if kind in _FLOATS:
        return _fractions(name, values, kinds, kind)
    if kind in _WHOLE:
        return _whole(name, values, kinds, kind)
    return _OTHERS[kind](name, values, kinds)


def _refuse(name: Any, values: Sequence[Any], kind: DataType, fit: set[type], hint: str = "") -> NoReturn:
    wrong = next(value for value in values if type(value) not in fit)
    raise bad_data(f"the column `{name}` must be {kind!r}, but holds {repr(wrong)[:80]}{hint}")


def _fractions(name: Any, values: Sequence[Any], kinds: set[type], kind: DataType) -> Any:
    import numpy

    limit = _FLOATS[kind]
    if int in kinds and kinds <= {float, int, _NOTHING}:
        lost = next((value for value in values if type(value) is int and not -limit <= value <= limit), None)
        if lost is not None:
            raise bad_data(f"the column `{name}` is {kind!r}, which cannot hold {str(lost)[:80]} exactly")
    elif not kinds <= {float, _NOTHING}:
        _refuse(name, values, kind, {float, int, _NOTHING})
    array = numpy.array(values, "float64")
    if kind is DataType.double:
        return array
    with numpy.errstate(over="ignore"):
        narrow = array.astype("float32")
    if not numpy.array_equal(numpy.isinf(narrow), numpy.isinf(array)):
        raise bad_data(f"the column `{name}` holds a number that is too large for {kind!r}")
    return narrow


def _whole(name: Any, values: Sequence[Any], kinds: set[type], kind: DataType) -> Any:
    import numpy

    if float in kinds and kinds <= {int, float}:  # to JSON 1.0 is a whole number, too
        values = [int(v) if type(v) is float and v.is_integer() and abs(v) <= 2**53 else v for v in values]
        kinds = set(map(type, values))
    if not kinds <= {int}:
        hint = ""
        if _NOTHING in kinds or any(type(value) is float and math.isnan(value) for value in values):
            hint = (
                "; whole numbers with missing values are fractions to pandas, so infer the signature from data that "
                "has missing values, or declare the column double"
            )
        _refuse(name, values, kind, {int}, hint)
    limit = 2 ** (_WHOLE[kind] - 1)
    if values and not (-limit <= min(values) and max(values) < limit):
        lost = next(value for value in values if not -limit <= value < limit)
        raise bad_data(f"the column `{name}` must be {kind!r}, and {str(lost)[:80]} is too large for it")
    return numpy.array(values, f"int{_WHOLE[kind]}")


def _booleans(name: Any, values: Sequence[Any], kinds: set[type]) -> Any:
    import numpy

    if not kinds <= {bool, _NOTHING}:
        _refuse(name, values, DataType.boolean, {bool, _NOTHING})
    return numpy.array(values, "object" if _NOTHING in kinds else "bool")


def _texts(name: Any, values: Sequence[Any], kinds: set[type]) -> Any:
    if not kinds <= {str, _NOTHING}:
        _refuse(name, values, DataType.string, {str, _NOTHING})
    return list(values)


def _bytes(name: Any, values: Sequence[Any], kinds: set[type]) -> Any:
    if not kinds <= {str, _NOTHING}:
        _refuse(name, values, DataType.binary, {str, _NOTHING})
    try:
        return [None if value is None else base64.b64decode(value) for value in values]
    except (binascii.Error, ValueError):
        raise bad_data(f"the column `{name}` must be binary, as base64, and is not") from None


def _times(name: Any, values: Sequence[Any], kinds: set[type]) -> Any:
    import pandas

    if not kinds <= {str, _NOTHING}:
        _refuse(name, values, DataType.datetime, {str, _NOTHING})
    try:
        times = pandas.to_datetime(list(values), utc=True, format="ISO8601")
        return times.tz_localize(None).astype("datetime64[ns]").to_numpy()
    except (ValueError, OverflowError):
        raise bad_data(f"the column `{name}` must be datetime, as `2026-11-22T06:12:03`, and is not") from None


_OTHERS: dict[DataType, Callable[[Any, Sequence[Any], set[type]], Any]] = {
    DataType.boolean: _booleans,
    DataType.string: _texts,
    DataType.binary: _bytes,
    DataType.datetime: _times,
}
