"""Filters, orders and columns over runs as SQL. Every value is bound, none is spliced into the text.

Params, metrics and tags lie in tables of their own whose row number is `key << 32 | run` (see `tables`): the rows
of one key stand together in order of run, so that a condition reads one stretch of one table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from runstone.index.fields import Field
from runstone.index.filter import And, Comparison, Filter, Not, Or, Order, Value
from runstone.index.tables import RUN_BITS, RUN_MASK

KeyNumber = Callable[[str, str], int | None]
"""The number of a key: entity (`param`, `metric`, `tag`) and name → number; None if no run has it."""

# The expression of each attribute, and whether it may be missing.
_ATTRIBUTES = {
    "run_id": ("r.id", False),
    "run_name": ("r.name", False),
    "status": ("r.status", False),
    "user_id": ("r.user", False),
    "start_time": ("r.started", False),
    "end_time": ("r.ended", True),
    "duration": ("(max(0, r.ended - r.started) / 1000.0)", True),
    "artifact_uri": ("'runs:/' || r.id", False),
    "experiment_id": ("r.experiment_id", False),
    "experiment_name": ("r.experiment_name", False),
    "lifecycle_stage": ("r.lifecycle", False),
    "parent": ("r.parent", True),
    "rerun_of": ("r.rerun_of", True),
    "commit": ("r.git_commit", True),
    "branch": ("r.branch", True),
    "snapshot": ("r.snapshot", True),
    "dirty": ("r.dirty", True),
    "command": ("r.command", True),
}


@dataclass(slots=True)
class Sql:
    """A piece of SQL and the values bound to it, in order."""

    text: str
    values: list[Value] = field(default_factory=list)


def condition(filter_: Filter, key_number: KeyNumber) -> Sql:
    """The condition on table `run` (called r) that a filter means: always 0 or 1, never NULL."""
    if isinstance(filter_, Not):
        inner = condition(filter_.term, key_number)
        return Sql(f"NOT ({inner.text})", inner.values)
    if isinstance(filter_, And | Or):
        word = " AND " if isinstance(filter_, And) else " OR "
        return _balanced([condition(term, key_number) for term in filter_.terms], word)
    if filter_.field.entity == "attribute":
        return _attribute(filter_)
    if filter_.field.entity == "dataset":
        return _dataset(filter_)
    number = key_number(filter_.field.entity, filter_.field.key)
    is_null = filter_.operator == "NULL" and not filter_.negated
    if number is None:
        return Sql("1" if is_null else "0")
    low = number << RUN_BITS
    test = Sql("1") if filter_.operator == "NULL" else _test(filter_)
    rows = f"SELECT at & {RUN_MASK} FROM {filter_.field.entity} WHERE at BETWEEN ? AND ? AND {test.text}"
    return Sql(f"r.run {'NOT ' if is_null else ''}IN ({rows})", [low, low | RUN_MASK, *test.values])


def order(orders: Sequence[Order], key_number: KeyNumber) -> tuple[Sql, str]:
    """The joins and the ORDER BY list of some orders; ties fall to the newest start, then to the id."""
    joins = Sql("")
    terms: list[str] = []
    for number, one in enumerate(orders):
        direction = "DESC" if one.is_descending else "ASC"
        where, expression = _reach(one.field, f"o{number}", key_number)
        joins.text += where.text
        joins.values += where.values
        if one.field.entity == "metric":
            terms += [f"o{number}.at IS NULL", f"{expression} IS NULL"]
        elif one.field.kind == "param":
            terms += [f"o{number}.at IS NULL", f"o{number}.num IS NULL", f"o{number}.num {direction}"]
        elif one.field.entity != "attribute" or _expression(one.field)[1]:
            terms.append(f"{expression} IS NULL")
        terms.append(f"{expression} {direction}")
    return joins, ", ".join([*terms, "r.started DESC", "r.id"])


def columns(fields: Sequence[Field], key_number: KeyNumber) -> tuple[Sql, str]:
    """The joins and the SELECT list of some fields; a dataset's names are joined with commas."""
    joins = Sql("")
    chosen: list[str] = []
    for number, one in enumerate(fields):
        if one.entity == "dataset":
            chosen.append(f"(SELECT group_concat({one.key}, ', ') FROM dataset d WHERE d.run = r.run)")
            continue
        where, expression = _reach(one, f"c{number}", key_number)
        joins.text += where.text
        joins.values += where.values
        if one.entity == "metric":  # NaN lies in the table as NULL
            expression = f"IIF(c{number}.at IS NULL, NULL, COALESCE({expression}, 'nan'))"
        chosen.append(expression)
    return joins, ", ".join(chosen)


def _reach(one: Field, alias: str, key_number: KeyNumber) -> tuple[Sql, str]:
    """The join that leads from a run to the value of a field, and the expression of the value."""
    if one.entity == "attribute":
        return Sql(""), _expression(one)[0]
    number = key_number(one.entity, one.key)
    value = one.part if one.entity == "metric" else "text"
    # With no such key, no row: -1 is the number of none.
    low: list[Value] = [-1 if number is None else number << RUN_BITS]
    at = "? + r.run" if number is not None else "?"
    return Sql(f" LEFT JOIN {one.entity} {alias} ON {alias}.at = {at}", low), f"{alias}.{value}"


def _expression(attribute: Field) -> tuple[str, bool]:
    """The SQL of an attribute, and whether it may be missing."""
    return _ATTRIBUTES[attribute.key] if attribute.expression is None else (attribute.expression, True)


def _attribute(comparison: Comparison) -> Sql:
    expression, may_miss = _expression(comparison.field)
    if comparison.operator == "NULL":
        return Sql(f"{expression} IS {'NOT ' if comparison.negated else ''}NULL")
    test = _compare(comparison, expression)
    if comparison.negated:
        present = f"{expression} IS NOT NULL AND " if may_miss else ""
        return Sql(f"({present}({test.text}) IS NOT TRUE)", test.values)
    return Sql(f"(({test.text}) IS TRUE)" if may_miss else f"({test.text})", test.values)


def _dataset(comparison: Comparison) -> Sql:
    column = comparison.field.key
    if comparison.operator == "NULL":
        word = "" if comparison.negated else "NOT "
        return Sql(f"r.run {word}IN (SELECT run FROM dataset WHERE {column} IS NOT NULL)")
    test = _compare(comparison, column)
    word = " IS NOT TRUE" if comparison.negated else ""
    rows = f"SELECT run FROM dataset WHERE {column} IS NOT NULL AND ({test.text}){word}"
    return Sql(f"r.run IN ({rows})", test.values)


def _test(comparison: Comparison) -> Sql:
    """The condition on one row of `param`, `metric` or `tag`."""
    entity, operator = comparison.field.entity, comparison.operator
    if entity == "param" and operator not in ("LIKE", "ILIKE"):
        texts: list[Value] = [value for value in comparison.values if isinstance(value, str)]
        numbers: list[Value] = [value for value in comparison.values if not isinstance(value, str)]
        field_ = comparison.field
        parts = [
            _compare(Comparison(field_, operator, False, tuple(values)), column)
            for column, values in (("text", texts), ("num", numbers))
            if values
        ]
        test = Sql(" OR ".join(part.text for part in parts), [value for part in parts for value in part.values])
    else:
        test = _compare(comparison, comparison.field.part if entity == "metric" else "text")
    return Sql(f"({test.text}) IS {'NOT ' if comparison.negated else ''}TRUE", test.values)


def _compare(comparison: Comparison, expression: str) -> Sql:
    """The comparison itself, its negation left aside; NULL in, NULL or 0 out (but `= nan` finds a metric's NULL)."""
    operator, values = comparison.operator, list(comparison.values)
    if operator in ("LIKE", "ILIKE"):
        return Sql(f"matches(?, {int(operator == 'ILIKE')}, {expression})", values)
    if operator == "BETWEEN":
        return Sql(f"{expression} BETWEEN ? AND ?", values)
    if operator in ("=", "IN"):
        real = [value for value in values if value == value]
        marks = ", ".join("?" * len(real))
        text = f"{expression} = ?" if len(real) == 1 else f"{expression} IN ({marks})"
        if not real:
            text = "0"
        if len(real) < len(values) and comparison.field.entity == "metric":
            text = f"{expression} IS NULL OR {text}"
        return Sql(text, real)
    return Sql(f"{expression} {operator} ?", values)


def _balanced(terms: list[Sql], word: str) -> Sql:
    """Terms joined as a balanced tree: SQLite refuses expressions 1,000 deep, and a chain is as deep as it is long."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    left, right = _balanced(terms[:middle], word), _balanced(terms[middle:], word)
    return Sql(f"({left.text}{word}{right.text})", left.values + right.values)
