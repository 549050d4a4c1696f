"""Filters and orders as values: read from text and checked.

`evaluate.py` gives them their meaning over rows in Python, and `sql.py` over the tables; a property test holds the two
to one meaning:

- A comparison with what is missing is false, whatever the operator; only IS NULL is true. NOT is plain negation, so
  `NOT tags.a = 'x'` takes in what has no tag `a`, and `tags.a != 'x'` does not, as in MLflow.
- A metric that is NaN is there: `= nan` finds it, `!= 0.5` is true of it, `<` and BETWEEN are false.
- A param is compared as text with text, as MLflow would have stored it (`str(value)`); as a number with a number,
  when it is one or reads as one. `params.flag = true` means the text `True`.
- A condition on `dataset.` is true if any one dataset of the run meets it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runstone.errors import FilterInvalid
from runstone.index import grammar
from runstone.index.fields import Field, Vocabulary
from runstone.index.grammar import ComparisonSyntax, FieldSyntax, JoinSyntax, Syntax, ValueSyntax

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field operator values`: operator one of = < <= > >= IN BETWEEN LIKE ILIKE NULL, perhaps negated."""

    field: Field
    operator: str
    negated: bool
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class And:
    """True if all terms are."""

    terms: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """True if any term is."""

    terms: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """True if the term is not."""

    term: "Filter"


Filter = Comparison | And | Or | Not


@dataclass(frozen=True, slots=True)
class Order:
    """One key of `order_by`. NaN comes after the numbers and what is missing last, in both directions."""

    field: Field
    is_descending: bool


def parse_filter(text: str | None, vocabulary: Vocabulary) -> Filter | None:
    """Read a filter; None for none or a blank one.

    Fields are `params.x`, `metrics.x` (the last value; `min(metrics.x)`, and max, count, step), `tags.x`,
    `dataset.name`, `dataset.digest`, `dataset.context`, and attributes, bare or as `attributes.x`. A name with spaces
    or other signs goes in double quotes or backticks, text in single or double ones; a quote within is doubled.
    Compared by =, !=, <, <=, >, >=, IN (…), BETWEEN … AND …, LIKE (`%` any text, `_` any character), ILIKE (in any case
    of letters), IS NULL, these with NOT, too; joined by AND, OR, NOT and parentheses. Times are Unix milliseconds or
    text, as '2026-11-22' or '2026-11-22T06:12:03Z'; `nan`, `inf`, `true` and `false` stand without quotes.

    Args:
        text: The filter.
        vocabulary: What it may speak of.

    Raises:
        FilterInvalid: It breaks the grammar, names what is not there, or compares what cannot be compared.

    Source: MLflow's documentation, "Search runs"; the module docstring of `grammar` for what is added.
    """
    if text is None or not text.strip():
        return None
    return _resolve(grammar.parse_filter(text), text, vocabulary)


def parse_order_by(order_by: Sequence[str] | str | None, vocabulary: Vocabulary) -> tuple[Order, ...]:
    """Read a list of `field`, `field ASC` or `field DESC`; raises `FilterInvalid`."""
    orders = []
    for text in [order_by] if isinstance(order_by, str) else order_by or ():
        syntax, is_descending = grammar.parse_order(text)
        field = _field(syntax, "order_by", text, vocabulary)
        if field.entity == "dataset":
            problem = "a run may have several datasets, so they give no order"
            raise FilterInvalid("order_by", text, field.at, problem, "Order by metrics, params, tags or attributes.")
        orders.append(Order(field, is_descending))
    return tuple(orders)


def parse_column(text: str, vocabulary: Vocabulary) -> Field:
    """Read one field, as a column to show; raises `FilterInvalid`."""
    return _field(grammar.parse_column(text), "column", text, vocabulary)


def list_fields(condition: Filter | None) -> Iterator[Field]:
    """What a filter compares, in its order; what it only asks to be there or not is left out."""
    if isinstance(condition, Comparison):
        if condition.operator != "NULL":
            yield condition.field
    elif isinstance(condition, And | Or):
        for term in condition.terms:
            yield from list_fields(term)
    elif isinstance(condition, Not):
        yield from list_fields(condition.term)


# --- checking


def _resolve(syntax: Syntax, text: str, vocabulary: Vocabulary) -> Filter:
    if isinstance(syntax, JoinSyntax):
        terms = tuple(_resolve(term, text, vocabulary) for term in syntax.terms)
        if syntax.word == "not":
            return Not(terms[0])
        return And(terms) if syntax.word == "and" else Or(terms)
    field = _field(syntax.field, "filter", text, vocabulary)
    _check_operator(field, syntax, text)
    values = tuple(_value(field, syntax.operator, value, text) for value in syntax.values)
    return Comparison(field, syntax.operator, syntax.negated, values)


def _field(syntax: FieldSyntax, kind: str, text: str, vocabulary: Vocabulary) -> Field:
    return vocabulary.field(
        syntax.entity, syntax.key, syntax.part, text=syntax.text, at=syntax.at, kind=kind, whole=text
    )


_OPERATORS = {
    "text": ("=", "IN", "LIKE", "ILIKE", "NULL"),
    "number": ("=", "<", "<=", ">", ">=", "IN", "BETWEEN", "NULL"),
    "time": ("=", "<", "<=", ">", ">=", "IN", "BETWEEN", "NULL"),
    "flag": ("=", "NULL"),
    "param": ("=", "<", "<=", ">", ">=", "IN", "BETWEEN", "LIKE", "ILIKE", "NULL"),
}
_SHOWN = {
    "text": "=, !=, IN, NOT IN, LIKE, ILIKE and IS NULL",
    "number": "=, !=, <, <=, >, >=, IN, BETWEEN and IS NULL",
    "time": "=, !=, <, <=, >, >=, IN, BETWEEN and IS NULL",
    "flag": "=, != and IS NULL",
}
_HOLDS = {"text": "text", "number": "a number", "time": "a time", "flag": "true or false"}


def _check_operator(field: Field, syntax: ComparisonSyntax, text: str) -> None:
    if syntax.operator not in _OPERATORS[field.kind]:
        shown = "<>" if syntax.operator == "=" else syntax.operator
        problem = f"{shown} cannot compare `{field.text}`, which is {_HOLDS[field.kind]}"
        raise FilterInvalid("filter", text, syntax.at, problem, f"It can be compared with {_SHOWN[field.kind]}.")


def _value(field: Field, operator: str, literal: ValueSyntax, text: str) -> Value:
    value = literal.value

    def fail(problem: str, next_step: str) -> FilterInvalid:
        return FilterInvalid("filter", text, literal.at, problem, next_step)

    if operator in ("LIKE", "ILIKE"):
        if not isinstance(value, str):
            raise fail(f"{operator} needs text in quotes", f"Write '%{literal.text}%'.")
        return value
    if isinstance(value, str) and not value.isascii():
        value = value.encode("utf-8", "replace").decode()  # what is no Unicode text cannot be stored either
    if field.kind == "flag":
        if not isinstance(value, bool):
            raise fail(f"`{field.text}` is true or false", "Write true or false, without quotes.")
        return value
    if field.kind == "text":
        if not isinstance(value, str):
            raise fail(f"`{field.text}` is text, and text stands in quotes", f"Write '{literal.text}'.")
        return value
    if field.kind == "time" and isinstance(value, str):
        moment = _time(value)
        if moment is None:
            raise fail(f"{literal.text} is no time", "Write '2026-11-22', '2026-11-22T06:12:03Z' or Unix milliseconds.")
        return moment
    if field.kind == "param":
        is_nan = isinstance(value, float) and math.isnan(value)
        if isinstance(value, bool) or (is_nan and operator in ("=", "IN")):
            value = str(value)  # as the param's own text would be
        if isinstance(value, str) and operator in ("<", "<=", ">", ">=", "BETWEEN"):
            raise fail(f"{operator} compares numbers, and {literal.text} is text", "Write a number without quotes.")
        return value
    if isinstance(value, str | bool):
        raise fail(f"`{field.text}` is {_HOLDS[field.kind]}", "Write a number without quotes.")
    return float(value) if field.entity == "metric" and field.part in ("last", "min", "max") else value


def _time(text: str) -> int | None:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
