"""Tables of a database of MLflow's, whichever of them, and of their columns, its version has."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from runstone.imports.incoming import Refusal
from runstone.imports.mlflow.source import time_of
from runstone.imports.mlflow.sql import Database

Row = Mapping[str, Any]


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


_TIMES = (
    "creation_time start_time end_time deleted_time creation_timestamp_ms last_updated_timestamp_ms metric_timestamp_ms"
)
_KINDS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_TIMES.split(), time_of),
    **dict.fromkeys(("version", "step", "metric_step"), int),
    "metric_value": float,
}
"""What the values of a column are; of any other they are texts, or numbers as they come."""


class Tables:
    """The tables of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Sequence[str]] = {}
        self._damaged: Counter[str] = Counter()

    def damage(self, table: str, column: str) -> None:
        """Count a value that is not of its column's kind: SQLite takes any, and a damaged file has any."""
        self._damaged[f"{table}.{column}"] += 1

    def tell(self, refuse: Refusal) -> None:
        """Tell of such values, each column once."""
        damaged, self._damaged = self._damaged, Counter()
        for column, number in damaged.items():
            refuse(column, f"{number} of its values are not of its kind, and were left out")

    def columns(self, table: str) -> Sequence[str]:
        """The columns that this version of a table has; none if there is no such table."""
        if table not in self._known:
            self._known[table] = self._database.columns(table)
        return self._known[table]

    def select(
        self, table: str, columns: str, *, where: str = "", values: Mapping[str, Any] | None = None, order: str = ""
    ) -> Iterator[Row]:
        """The rows of a table as maps; a column that this version of it lacks is None, and a table has no rows."""
        known, wanted = self.columns(table), columns.split()
        if not known:
            return
        shown = ", ".join(f'"{name}"' if name in known else "NULL" for name in wanted)
        sql = f'SELECT {shown} FROM "{table}"'
        if where:
            sql += f" WHERE {where}"
        if order:
            sql += " ORDER BY " + ", ".join(f'"{name}"' for name in order.split(", "))
        for row in self._database.rows(sql, **(values or {})):
            yield {name: self._value(table, name, value) for name, value in zip(wanted, row, strict=True)}

    def _value(self, table: str, column: str, value: Any) -> Any:
        if value is None or not (column in _KINDS or isinstance(value, bytes)):
            return value
        try:
            found = _KINDS.get(column, _text)(value)
        except (TypeError, ValueError, OverflowError):
            found = None
        if found is None:
            self.damage(table, column)
        return found

    def texts(
        self, table: str, owner: str, ids: Sequence[str] | None = None, *, key: str = "key", value: str = "value"
    ) -> dict[Any, dict[str, str]]:
        """Keys and values by whom they belong to."""
        found: dict[Any, dict[str, str]] = defaultdict(dict)
        names, values = ("", {}) if ids is None else marks(ids)
        where = "" if ids is None else f'"{owner}" IN ({names})'
        for row in self.select(table, f"{owner} {key} {value}", where=where, values=values, order=key):
            found[row[owner]][row[key]] = "" if row[value] is None else str(row[value])
        return found


def marks(ids: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What stands in `IN (…)`, and the values of it."""
    values = {f"v{number}": each for number, each in enumerate(ids)}
    return ", ".join(f":{name}" for name in values) or "NULL", values
