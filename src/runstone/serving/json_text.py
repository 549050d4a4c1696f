"""JSON as requests and answers hold it: read and written by orjson, and by the standard library what that refuses.

Answers are always valid JSON: a NaN or an infinity is `null`, where MLflow writes a word that JSON does not have.
"""

import base64
import json
import math
from datetime import date, time
from typing import Any

import orjson

from runstone.serving.problem import bad_request

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def read(body: bytes) -> Any:
    """The value of a body; NaN, Infinity and whole numbers of any size are taken, as Python's own clients write them.

    Raises:
        Problem: It is not JSON, not UTF-8, or nested too deep.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body)
    except RecursionError:
        raise bad_request("The body is nested too deep.") from None
    except UnicodeDecodeError:
        raise bad_request("The body must be JSON in UTF-8.") from None
    except ValueError as error:
        raise bad_request(f"The body must be JSON: {error}.") from None


def write(value: Any) -> bytes:
    """A value as JSON; raises `TypeError` for what has no form in it."""
    try:
        return orjson.dumps(value, _plain, _OPTIONS)
    except TypeError:  # a whole number of more than 64 bits, a lone surrogate; or it is truly none of JSON's
        return json.dumps(_finite(value), default=_plain, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    """What JSON has no word for, as MLflow writes it."""
    if hasattr(value, "tolist"):  # arrays and numbers of numpy's
        return value.tolist()
    if isinstance(value, bytes | bytearray):
        return base64.encodebytes(value).decode("ascii")
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, date | time):  # a `datetime` and a Timestamp are dates
        return value.isoformat()
    kind: Any
    for kind in (str, int, float, dict, list, tuple):  # of a class of the model's own
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, str | int | None):
        return value
    return _finite(_plain(value))
