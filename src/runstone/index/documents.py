"""Records out of the index as they are written, with no `Run` built: for those who make something else of them."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from runstone.errors import RunNotFound
from runstone.git.repository import Repository
from runstone.index.cache import open_index
from runstone.index.filter import Filter, Order
from runstone.index.search import plan_parsed
from runstone.records.document import Document


class RunRow(NamedTuple):
    """What the index holds of one run.

    Attributes:
        run_id: The run.
        experiment_id: The experiment it lies in.
        started: Unix milliseconds.
        ended: Unix milliseconds; None while it runs.
        is_active: Whether neither the run nor its experiment is deleted.
        document: The record.
        note: The beginning of its notes, if it has any.
    """

    run_id: str
    experiment_id: str
    started: int
    ended: int | None
    is_active: bool
    document: Document
    note: str | None = None


_SELECT = (
    "SELECT r.run, r.id, r.experiment_id, r.started, r.ended, r.lifecycle = 'active' AND NOT EXISTS "
    "(SELECT 1 FROM experiment e WHERE e.id = r.experiment_id AND e.lifecycle = 'deleted'), json, n.text "
    "FROM run r JOIN document USING (run) LEFT JOIN note n ON n.path = r.path"
)


def search_rows(
    repo: Repository,
    experiment_ids: Sequence[str] | None,
    condition: Filter | None,
    run_view_type: str | int,
    orders: Sequence[Order],
    *,
    limit: int | None,
    offset: int = 0,
) -> list[RunRow]:
    """Runs that meet a filter, in an order; ties fall to the newest start, then to the id.

    Args:
        repo: The repository.
        experiment_ids: Only runs of these experiments; None for all.
        condition: The filter, as a value.
        run_view_type: As in `search.search_runs`.
        orders: The order, as values.
        limit: Runs at most; None for all.
        offset: Runs to leave out at the beginning.
    """
    plan = plan_parsed(experiment_ids, condition, run_view_type, orders)

    def work(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
        text, values = plan(connection).select("r.run")
        rows = connection.execute(f"{text} LIMIT ? OFFSET ?", [*values, -1 if limit is None else limit, offset])
        numbers = [number for (number,) in rows]
        # Each number is SQLite's own, so it may stand in the text: there may be more of them than can be bound.
        listed = ", ".join(map(str, numbers))
        found = {row[0]: row for row in connection.execute(f"{_SELECT} WHERE r.run IN ({listed})")}
        return [found[number] for number in numbers]

    return [_row(row) for row in open_index(repo).read(repo, work)]


def get_row(repo: Repository, run_id: str) -> RunRow:
    """The run of an id, whatever its lifecycle; raises `RunNotFound`."""
    row = open_index(repo).read(
        repo, lambda c: c.execute(f"{_SELECT} WHERE r.id = ? AND r.shown", (run_id,)).fetchone()
    )
    if row is None:
        raise RunNotFound(run_id)
    return _row(row)


def _row(row: tuple[Any, ...]) -> RunRow:
    _, run_id, experiment_id, started, ended, is_active, text, note = row
    return RunRow(run_id, experiment_id, started, ended, bool(is_active), json.loads(text), note)
