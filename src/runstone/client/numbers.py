"""The number of a version as callers write it: MLflow's users have it as text as often as as a number."""

from operator import index

from runstone.errors import InvalidValue
from runstone.names import parse_version_number


def version_number(version: object) -> int:
    """`4` or `"4"` → 4; raises `InvalidValue` for what is no number of a version."""
    number: int | None = None
    if isinstance(version, str):
        number = 0 if version == "0" else parse_version_number(version)
    elif not isinstance(version, bool | float) and hasattr(version, "__index__"):
        number = index(version)  # also one of NumPy's
    if number is None:
        raise InvalidValue(f"A version is named by its number, as 3 or '3', but this one by {version!r}.")
    return number
