"""Columns of text and of JSON → the types that a signature says, each value that does not fit named by its row.

Without a signature, what all values of the first chunk can be read as is what those of the others must be read as.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from runstone.flavors.schema import DataType, Schema

_MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A")
_NUMBERS = {
    DataType.integer: "int32",
    DataType.long: "int64",
    DataType.float: "float32",
    DataType.double: "float64",
}


class BadCell(Exception):
    """One value that cannot be read; `row` counts from 0 in its chunk."""

    def __init__(self, row: int, column: str, value: object, kind: str) -> None:
        self.row, self.column, self.value, self.kind = row, column, value, kind
        super().__init__(f"`{column}` is {_short(value)}, which is no {kind}")


class Typing:
    """What each column is read as; learned from the first chunk where no signature says it."""

    def __init__(self, schema: Schema | None) -> None:
        self.types: dict[str, DataType] = {}
        for spec in schema or ():
            if spec.name is not None and isinstance(spec.type, DataType):
                self.types[spec.name] = spec.type
        self._learns = schema is None or not schema.has_input_names()
        self._plain: set[str] | None = None

    def read_text(self, frame: Any) -> Any:
        """A frame of texts with typed columns in their place; raises `BadCell`."""
        if self._learns and self._plain is None:
            self._plain = {name for name in frame.columns if _find_bad(frame[name], _numbers(frame[name])) is None}
        typed = {}
        for name in frame.columns:
            kind = self.types.get(name)
            if kind is None and self._plain is not None and name in self._plain:
                kind = DataType.double
                typed[name] = self._number(name, frame[name], None)
            elif kind in _NUMBERS:
                typed[name] = self._number(name, frame[name], kind)
            elif kind is not None:
                typed[name] = _TEXT_READERS[kind](name, frame[name])
            else:
                typed[name] = _texts(name, frame[name])
        return _frame(typed, frame)

    def read_json(self, frame: Any) -> Any:
        """As `read_text`, of values as JSON holds them."""
        typed = {}
        for name in frame.columns:
            kind, values = self.types.get(name), frame[name]
            if kind in _NUMBERS:
                typed[name] = self._json_number(name, values, kind)
            elif kind is DataType.datetime:
                typed[name] = _times(name, values)
            elif kind is DataType.binary:
                typed[name] = _bytes(name, values)
            else:
                typed[name] = values
        return _frame(typed, frame)

    def _number(self, name: str, texts: Any, kind: DataType | None) -> Any:
        numbers = _numbers(texts)
        bad = _find_bad(texts, numbers)
        if bad is not None:
            raise BadCell(bad, name, texts.iloc[bad], "number" if kind is None else kind.name)
        return _cast(name, numbers, kind)

    def _json_number(self, name: str, values: Any, kind: DataType) -> Any:
        import pandas

        if values.dtype.kind not in "iuf":
            is_number = values.map(lambda value: isinstance(value, int | float) and not isinstance(value, bool))
            wrong = ~(is_number | values.isna()).to_numpy(dtype=bool)
            if wrong.any():
                row = int(wrong.argmax())
                raise BadCell(row, name, values.iloc[row], kind.name)
            values = pandas.to_numeric(_fitting(name, values, kind))
        return _cast(name, values, kind)


def _fitting(name: str, values: Any, kind: DataType) -> Any:
    """JSON numbers with whole ones that no machine type holds made fractions, where fractions are wanted."""
    is_great = values.map(lambda value: isinstance(value, int) and not -(2**63) <= value < 2**63).to_numpy(dtype=bool)
    for row in is_great.nonzero()[0].tolist():
        try:
            if kind in (DataType.integer, DataType.long):
                raise OverflowError
            values.iloc[row] = float(values.iloc[row])
        except OverflowError:
            raise BadCell(row, name, values.iloc[row], kind.name) from None
    return values


def _numbers(texts: Any) -> Any:
    """The numbers; NaN where there is none."""
    import pandas

    return pandas.to_numeric(texts, errors="coerce")


def _find_bad(texts: Any, numbers: Any) -> int | None:
    """The first row that says something and is no number."""
    missing = numbers.isna().to_numpy()
    if not missing.any():
        return None
    wrong = missing & ~texts.isin(_MISSING).to_numpy() & ~texts.isna().to_numpy()
    return int(wrong.argmax()) if wrong.any() else None


def _cast(name: str, numbers: Any, kind: DataType | None) -> Any:
    """Numbers in the dtype of the type where all of them fit; else as they are, for the signature's rules to judge."""
    import numpy

    if kind is None:
        return numbers
    target = numpy.dtype(_NUMBERS[kind])
    if target == numpy.float64:
        return numbers.astype(target)
    if target.kind == "f":
        with numpy.errstate(over="ignore"):
            cast = numbers.astype(target)
        lost = (numpy.isinf(cast) & ~numpy.isinf(numbers)).to_numpy()
        if lost.any():
            row = int(lost.argmax())
            raise BadCell(row, name, float(numbers.iloc[row]), kind.name)
        return cast
    if numbers.dtype.kind == "f":
        fractions = (numbers.notna() & (numbers % 1 != 0)).to_numpy()
        if fractions.any():
            row = int(fractions.argmax())
            raise BadCell(row, name, float(numbers.iloc[row]), kind.name)
    if len(numbers):
        limits = numpy.iinfo(target)
        # As a fraction the greatest long is 2**63, which is none any more.
        above = numbers >= float(limits.max) + 1 if numbers.dtype.kind == "f" else numbers > limits.max
        outside = ((numbers < limits.min) | above).to_numpy()
        if outside.any():
            row = int(outside.argmax())
            raise BadCell(row, name, int(numbers.iloc[row]), kind.name)
    if numbers.isna().any():
        return numbers
    return numbers.astype(target)


def _texts(name: str, texts: Any) -> Any:
    return texts.astype(object).where(texts != "", None)


def _booleans(name: str, texts: Any) -> Any:
    read = texts.str.lower().map({"true": True, "false": False, "1": True, "0": False})
    missing = texts.isin(_MISSING).to_numpy()
    wrong = read.isna().to_numpy() & ~missing
    if wrong.any():
        row = int(wrong.argmax())
        raise BadCell(row, name, texts.iloc[row], "boolean")
    return read.astype(object).where(~missing, None) if missing.any() else read.astype(bool)


def _times(name: str, texts: Any) -> Any:
    import pandas

    missing = texts.isna().to_numpy() | texts.isin(_MISSING).to_numpy()
    read = pandas.to_datetime(texts.where(~missing), format="ISO8601", errors="coerce")
    wrong = read.isna().to_numpy() & ~missing
    if wrong.any():
        row = int(wrong.argmax())
        raise BadCell(row, name, texts.iloc[row], "time as 2026-01-31T12:00:00")
    return read


def _bytes(name: str, texts: Any) -> Any:
    """Bytes from base64, as MLflow's scoring protocol writes them."""
    import pandas

    found: list[bytes | None] = []
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text:
            found.append(None)
            continue
        try:
            found.append(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            raise BadCell(row, name, text, "base64") from None
    return pandas.Series(found, index=texts.index, dtype=object)


_TEXT_READERS: dict[DataType, Callable[[str, Any], Any]] = {
    DataType.boolean: _booleans,
    DataType.datetime: _times,
    DataType.binary: _bytes,
    DataType.string: _texts,
}


def _frame(typed: dict[str, Any], like: Any) -> Any:
    import pandas

    return pandas.DataFrame(typed, index=like.index, columns=like.columns)


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, int) or value.bit_length() < 1000 else "an integer of many digits"
    return text if len(text) <= 60 else f"{text[:57]}…"
