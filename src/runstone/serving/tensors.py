"""Nested lists as JSON holds them, turned into arrays of the dtype that a signature or a protocol names."""

from typing import Any

from runstone.serving.problem import Problem, bad_data, bad_request

_FITS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf", "c": "iufc", "U": "U", "S": "U", "O": "biufUO", "M": "U"}
"""Kind of the wanted dtype → the kinds of arrays of JSON values that become it without loss."""


def tensor(values: Any, dtype: str, what: str) -> Any:
    """An array of this dtype.

    Args:
        values: Nested lists of numbers, text, booleans or nothing.
        dtype: numpy's name.
        what: What it is, for the message.

    Raises:
        Problem: The values are of another type, or not as many in each row.
    """
    import numpy

    try:
        wanted = numpy.dtype(dtype)
        if wanted.kind == "O":
            return numpy.array(values, dtype=object)
        found = numpy.array(values)
        if found.dtype.kind == "O" and wanted.kind == "f":  # nothing is NaN; text and ragged rows are refused below
            flat = _flatten(values)
            if all(value is None or type(value) in (int, float) for value in flat):
                return numpy.array(values, wanted)
        if not found.size and found.dtype.kind == "f":
            return found.astype(wanted)
        if found.dtype.kind not in _FITS.get(wanted.kind, ""):
            raise bad_data(f"{what} must be {dtype}, and this is {_words(found)}")
        if wanted.kind in "iu" and found.size:
            limits = numpy.iinfo(wanted)
            if int(found.min()) < limits.min or int(found.max()) > limits.max:
                raise bad_data(f"{what} must be {dtype}, and holds a number that is too large for it")
        with numpy.errstate(over="ignore"):
            array = found.astype(wanted)
        if (
            wanted.kind == "f"
            and found.dtype.kind == "f"
            and not numpy.array_equal(numpy.isinf(array), numpy.isinf(found))
        ):
            raise bad_data(f"{what} must be {dtype}, and holds a number that is too large for it")
        return array
    except Problem:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise bad_data(f"{what} must be {dtype}, and no such array can be made of this") from None


def free_array(values: Any) -> Any:
    """An array of whatever dtype numpy sees in the values; raises `Problem` if rows differ in length."""
    import numpy

    try:
        return numpy.array(values)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise bad_request("No array can be made of these values: rows must be of one length.") from None


def _flatten(values: Any) -> list[Any]:
    flat, pending = [], [values]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        else:
            flat.append(value)
    return flat


def _words(found: Any) -> str:
    kinds = {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "f": "fractions", "U": "text"}
    return kinds.get(found.dtype.kind, "a mixture")
