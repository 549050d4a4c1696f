"""Searches: runs and experiments by filter and order, page by page, and one of them by id, prefix or name."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runstone.errors import RunAmbiguous, RunNotFound, UsageError
from runstone.git.repository import Repository
from runstone.index import sql
from runstone.index.cache import open_index
from runstone.index.fields import RUNS, Field
from runstone.index.filter import Filter, Order, parse_column, parse_filter, parse_order_by
from runstone.index.paging import PagedList as PagedList
from runstone.index.paging import check_max_results, page, parse_page_token
from runstone.index.prefix import shortest_prefixes
from runstone.records.document import format_time
from runstone.records.run import Run

MAX_RESULTS = 50_000
"""Runs in one page at most; MLflow's own limit."""

_VIEWS = {"ACTIVE_ONLY": 1, "DELETED_ONLY": 2, "ALL": 3}
_DELETED_EXPERIMENT = "r.experiment_id IN (SELECT id FROM experiment WHERE lifecycle = 'deleted')"
_VIEW_CONDITIONS = {
    1: f"r.lifecycle = 'active' AND NOT {_DELETED_EXPERIMENT}",
    2: f"(r.lifecycle = 'deleted' OR {_DELETED_EXPERIMENT})",
    3: "1",
}


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs, in which order: a search, read and checked but not yet run.

    Attributes:
        text: From `FROM` to `ORDER BY`, with the run table as r; `%s` stands for further joins.
        values: What is bound to it.
    """

    before: str
    after: str
    values_before: list[Any]
    values_after: list[Any]

    def select(self, columns: str, joins: sql.Sql | None = None) -> tuple[str, list[Any]]:
        """The statement for some columns, with the joins these need."""
        extra = joins or sql.Sql("")
        text = f"SELECT {columns} {self.before}{extra.text} {self.after}"
        return text, [*self.values_before, *extra.values, *self.values_after]


def search_runs(
    repo: Repository,
    experiment_ids: Sequence[str] | str | None = None,
    filter_string: str | None = "",
    run_view_type: str | int = "ACTIVE_ONLY",
    max_results: int = 1000,
    order_by: Sequence[str] | str | None = None,
    page_token: str | None = None,
) -> PagedList[Run]:
    """Runs that meet a filter, in an order, one page of them.

    Args:
        repo: The repository.
        experiment_ids: Only runs of these experiments; None for all.
        filter_string: As `metrics.mse < 0.5 AND params.lr = 0.01`; see `filter.parse_filter`.
        run_view_type: `ACTIVE_ONLY`, `DELETED_ONLY` or `ALL` (or MLflow's 1, 2, 3). The runs of a deleted experiment
            count as deleted.
        max_results: Runs in the page, 1 to 50,000.
        order_by: As `["metrics.mse DESC", "params.lr"]`; NaN, then missing, last in both directions. Ties, and no order
            at all, fall to the newest start, then to the id.
        page_token: `token` of the page before.

    Returns:
        The runs, live ones as their journals tell so far; `.token` leads to the next page.

    Raises:
        FilterInvalid: The filter or an order cannot be understood.
        InvalidPageToken: No search gave the token out.

    Source: MLflow's documentation, "Search runs".
    """
    offset = parse_page_token(page_token)
    check_max_results(max_results, MAX_RESULTS)
    plan = plan_runs(experiment_ids, filter_string, run_view_type, order_by)

    def work(connection: sqlite3.Connection) -> list[Run]:
        text, values = plan(connection).select("r.run")
        numbers = connection.execute(f"{text} LIMIT ? OFFSET ?", [*values, max_results + 1, offset]).fetchall()
        if len(numbers) > 500:
            rows = connection.execute(f"{_LOAD} WHERE run IN ({', '.join(str(n) for (n,) in numbers)})").fetchall()
            found = {row[0]: row for row in rows}
            return [_run(found[number]) for (number,) in numbers]
        return [_run(connection.execute(f"{_LOAD} WHERE run = ?", one).fetchone()) for one in numbers]

    return page(open_index(repo).read(repo, work), max_results, offset)


def list_runs(
    repo: Repository,
    columns: Sequence[str],
    *,
    experiment_ids: Sequence[str] | str | None = None,
    filter_string: str | None = "",
    run_view_type: str | int = "ACTIVE_ONLY",
    max_results: int | None = None,
    order_by: Sequence[str] | str | None = None,
) -> list[tuple[Any, ...]]:
    """As `search_runs`, but only some columns, and without building runs: for tables.

    Args:
        repo: The repository.
        columns: Fields as in a filter: `run_id`, `metrics.mse`, `min(metrics.mse)`, `params."my lr"`.
        experiment_ids: As in `search_runs`, and so are the rest.
        filter_string: Which runs.
        run_view_type: Deleted ones, too?
        max_results: Rows at most; None for all.
        order_by: In which order.

    Returns:
        A tuple a run: times as Unix milliseconds, params as text, what is missing as None.
    """
    fields = [parse_column(column, RUNS) for column in columns]
    plan = plan_runs(experiment_ids, filter_string, run_view_type, order_by)

    def work(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
        joins, chosen = sql.columns(fields, key_numbers(connection))
        text, values = plan(connection).select(chosen, joins)
        limit = -1 if max_results is None else max_results
        return connection.execute(f"{text} LIMIT ?", [*values, limit]).fetchall()

    rows = open_index(repo).read(repo, work)
    odd = [at for at, field in enumerate(fields) if field.kind == "flag" or field.entity == "metric"]
    return [tuple(_shown(v, f) for v, f in zip(row, fields, strict=True)) for row in rows] if odd else rows


def get_run(repo: Repository, run_id: str) -> Run:
    """The run of an id, whatever its lifecycle; raises `RunNotFound`."""
    row = open_index(repo).read(
        repo,
        lambda c: c.execute(f"{_LOAD} WHERE run IN (SELECT run FROM run WHERE id = ? AND shown)", (run_id,)).fetchone(),
    )
    if row is None:
        raise RunNotFound(run_id)
    return _run(row)


def resolve_run(repo: Repository, prefix_or_name: str) -> str:
    """The id of the one run that has this id, begins with it, or bears this name.

    Of several that bear the name, those that repeat another of them are left out: `rerun` keeps the name.

    Raises:
        RunNotFound: There is none.
        RunAmbiguous: There are several, and the error lists them.
    """
    text = prefix_or_name

    def work(connection: sqlite3.Connection) -> list[tuple[str, str, int, str]]:
        chosen = "SELECT id, name, started, status FROM run WHERE shown AND"
        last = "ORDER BY lifecycle, started DESC, id"
        conditions: list[tuple[str, tuple[str, ...]]] = [("id = ?", (text,)), ("name = ?", (text,))]
        if text:
            conditions.insert(1, ("id >= ? AND id < ?", (text, text + "\U0010ffff")))
        for condition, values in conditions:
            found = connection.execute(f"{chosen} {condition} {last}", values).fetchall()
            if len(found) > 1 and condition == "name = ?":
                return _without_reruns(connection, found)
            if found:
                return found
        return []

    found = open_index(repo).read(repo, work)
    if not found:
        raise RunNotFound(text)
    if len(found) > 1:
        short = shortest_prefixes(repo, [row[0] for row in found])
        listed = [f"{short[id_]}  {name}  started {format_time(at)}  {status}" for id_, name, at, status in found]
        raise RunAmbiguous(text, listed, is_name=all(row[1] == text for row in found))
    return found[0][0]


def _without_reruns(
    connection: sqlite3.Connection, found: list[tuple[str, str, int, str]]
) -> list[tuple[str, str, int, str]]:
    """The runs that repeat none of the others, not even through runs of other names; all where a circle is claimed."""
    ids = {row[0] for row in found}

    def repeats(run_id: str) -> bool:
        seen = {run_id}
        while True:
            row = connection.execute("SELECT rerun_of FROM run WHERE shown AND id = ?", (run_id,)).fetchone()
            if row is None or row[0] is None or row[0] in seen:
                return False
            run_id = row[0]
            if run_id in ids:
                return True
            seen.add(run_id)

    return [row for row in found if not repeats(row[0])] or found


# --- what the searches share


def plan_runs(
    experiment_ids: Sequence[str] | str | None,
    filter_string: str | None,
    run_view_type: str | int,
    order_by: Sequence[str] | str | None,
) -> Callable[[sqlite3.Connection], RunQuery]:
    """Read and check a search of runs; the query itself is made with the index at hand."""
    return plan_parsed(experiment_ids, parse_filter(filter_string, RUNS), run_view_type, parse_order_by(order_by, RUNS))


def plan_parsed(
    experiment_ids: Sequence[str] | str | None,
    condition: Filter | None,
    run_view_type: str | int,
    orders: Sequence[Order],
) -> Callable[[sqlite3.Connection], RunQuery]:
    """As `plan_runs`, of a filter and orders that are read already."""
    view = _VIEW_CONDITIONS[view_number(run_view_type)]
    chosen = [experiment_ids] if isinstance(experiment_ids, str) else experiment_ids

    def plan(connection: sqlite3.Connection) -> RunQuery:
        key_number = key_numbers(connection)
        where = sql.Sql(f"WHERE r.shown AND {view}")
        if chosen is not None:
            where.text += f" AND r.experiment_id IN ({', '.join('?' * len(chosen))})"
            where.values += chosen
        if condition is not None:
            compiled = sql.condition(condition, key_number)
            where.text += f" AND {compiled.text}"
            where.values += compiled.values
        joins, order = sql.order(orders, key_number)
        return RunQuery(f"FROM run r{joins.text}", f"{where.text} ORDER BY {order}", [*joins.values], [*where.values])

    return plan


def key_numbers(connection: sqlite3.Connection) -> sql.KeyNumber:
    """The numbers under which params, metrics and tags are filed."""

    def number(entity: str, name: str) -> int | None:
        row = connection.execute("SELECT number FROM key WHERE entity = ? AND name = ?", (entity, name)).fetchone()
        return None if row is None else row[0]

    return number


def view_number(view: str | int) -> int:
    """MLflow's number of a view type given by name or number; raises `UsageError`."""
    number = _VIEWS.get(view.upper(), 0) if isinstance(view, str) else int(view)
    if number not in _VIEW_CONDITIONS:
        raise UsageError(f"The view type must be ACTIVE_ONLY, DELETED_ONLY or ALL (1, 2 or 3), but is {view!r}.")
    return number


_LOAD = "SELECT run, experiment_id, path, json FROM run JOIN document USING (run)"


def _run(row: tuple[int, str, str, str]) -> Run:
    _, experiment_id, path, text = row
    return Run.from_document(json.loads(text), experiment_id, path)


def _shown(value: Any, field: Field) -> Any:
    if value is None:
        return None
    if field.kind == "flag":
        return bool(value)
    return float(value) if value == "nan" else value
