"""Filters and orders over rows in Python: for sets so small that no table holds them, and to check `sql.py` against."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from runstone.index.fields import Field
from runstone.index.filter import And, Comparison, Filter, Not, Or, Order
from runstone.index.values import param_number, param_text, pattern

Row = Mapping[str, Any]
"""One thing to filter: `attributes`, `params`, `metrics` and `tags` as maps, `datasets` as a list of maps.

An attribute may be a tuple: a condition on it is true if any of its values meets it.
"""


def predicate(condition: Filter | None) -> Callable[[Row], bool]:
    """What tells whether a row meets a filter; with no filter every row does."""
    if condition is None:
        return lambda row: True
    if isinstance(condition, Not):
        inner = predicate(condition.term)
        return lambda row: not inner(row)
    if isinstance(condition, And):
        terms = [predicate(term) for term in condition.terms]
        return lambda row: all(term(row) for term in terms)
    if isinstance(condition, Or):
        terms = [predicate(term) for term in condition.terms]
        return lambda row: any(term(row) for term in terms)
    field, negated = condition.field, condition.negated
    if condition.operator == "NULL":
        return lambda row: (not _values(row, field)) != negated
    holds = _test(condition)
    return lambda row: any(holds(value) != negated for value in _values(row, field))


def sort_rows(rows: Iterable[Row], orders: Sequence[Order]) -> list[Row]:
    """Rows in the order asked for; where that says nothing, as they came."""
    ordered = list(rows)
    for order in reversed(orders):  # sorting is stable: the first key is sorted by last
        ranks: dict[int, list[tuple[Any, Row]]] = {}
        for row in ordered:
            rank, value = _sort_key(row, order.field)
            ranks.setdefault(rank, []).append((value, row))
        for members in ranks.values():
            members.sort(key=itemgetter(0), reverse=order.is_descending)
        ordered = [row for rank in sorted(ranks) for _, row in ranks[rank]]
    return ordered


def _sort_key(row: Row, field: Field) -> tuple[int, Any]:
    """Rank (what is missing comes last, NaN and texts among numbers before it), and the value within the rank."""
    values = _values(row, field)
    if not values:
        return 3, 0
    value = min(values)
    if field.kind == "param":
        number = param_number(value)
        return (0, (number, param_text(value))) if number is not None else (1, (0, param_text(value)))
    return (2, 0) if value != value else (0, value)


def _values(row: Row, field: Field) -> tuple[Any, ...]:
    """What a row has for a field: nothing, one value, or several."""
    if field.entity == "dataset":
        found = (dataset.get(field.key) for dataset in row.get("datasets", ()))
        return tuple(value for value in found if value is not None)
    section: Mapping[str, Any] = row.get(f"{field.entity}s", {})
    if field.key not in section:
        return ()
    value = section[field.key]
    if field.entity == "metric":
        return (getattr(value, field.part),)
    if field.entity == "param":
        return (value,)
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _test(comparison: Comparison) -> Callable[[Any], bool]:
    """What tells whether one value that is there meets a comparison, its negation left aside."""
    if comparison.field.kind == "param":
        return _test_param(comparison)
    operator, values = comparison.operator, comparison.values
    if operator in ("LIKE", "ILIKE"):
        matches = pattern(str(values[0]), operator == "ILIKE")
        return lambda value: matches(value) is not None
    first: Any = values[0]
    tests: dict[str, Callable[[Any], bool]] = {
        "=": lambda value: _equal(value, first),
        "<": lambda value: bool(value < first),
        "<=": lambda value: bool(value <= first),
        ">": lambda value: bool(value > first),
        ">=": lambda value: bool(value >= first),
        "IN": lambda value: any(_equal(value, one) for one in values),
        "BETWEEN": lambda value: bool(first <= value <= values[1]),
    }
    return tests[operator]


def _test_param(comparison: Comparison) -> Callable[[Any], bool]:
    operator, values = comparison.operator, comparison.values
    if operator in ("LIKE", "ILIKE"):
        matches = pattern(str(values[0]), operator == "ILIKE")
        return lambda value: matches(param_text(value)) is not None
    if operator in ("=", "IN"):
        texts = {value for value in values if isinstance(value, str)}
        numbers = {value for value in values if not isinstance(value, str)}
        return lambda value: param_text(value) in texts or param_number(value) in numbers
    holds = _test(Comparison(_NUMBER_FIELD, operator, False, values))
    return lambda value: (number := param_number(value)) is not None and holds(number)


_NUMBER_FIELD = Field("attribute", "", "number", "last", "", 0)


def _equal(value: Any, other: Any) -> bool:
    return bool(value == other) or (value != value and other != other)
