"""Experiments out of the index: by id, by name, by filter. A folder of runs without a readable record is one, too."""

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from runstone.errors import ExperimentNotFound
from runstone.git.repository import Repository
from runstone.index.cache import open_index
from runstone.index.evaluate import Row
from runstone.index.fields import EXPERIMENTS
from runstone.index.paging import PagedList
from runstone.index.rows import search_rows
from runstone.index.search import view_number
from runstone.records.experiment import Experiment

MAX_RESULTS = 50_000
"""Experiments in one page at most; MLflow's own limit."""

_LIFECYCLES = {1: ("active",), 2: ("deleted",), 3: ("active", "deleted")}
_DEFAULT_ORDER = ("last_update_time DESC", "experiment_id")


class ExperimentRow(NamedTuple):
    """An experiment and its times, Unix milliseconds; None where nothing tells.

    Attributes:
        experiment: The experiment.
        created: When it was made; if its record does not say, when its first run began.
        updated: The latest of its creation and of the starts and ends of its runs.
    """

    experiment: Experiment
    created: int | None
    updated: int | None


def search_experiments(
    repo: Repository,
    view_type: str | int = "ACTIVE_ONLY",
    max_results: int = 1000,
    filter_string: str | None = "",
    order_by: Sequence[str] | str | None = None,
    page_token: str | None = None,
) -> PagedList[Experiment]:
    """Experiments that meet a filter, one page of them.

    Args:
        repo: The repository.
        view_type: `ACTIVE_ONLY`, `DELETED_ONLY` or `ALL` (or MLflow's 1, 2, 3).
        max_results: Experiments in the page.
        filter_string: On name, experiment_id, creation_time, last_update_time, description, lifecycle_stage and tags.
        order_by: On the same; newest update first if not said. An experiment's last update is its creation, or the
            latest start or end of a run in it.
        page_token: `token` of the page before.

    Raises:
        FilterInvalid: The filter or an order cannot be understood.
        InvalidPageToken: No search gave the token out.
    """
    lifecycles = _LIFECYCLES[view_number(view_type)]
    found = list_rows(repo)
    updated = {row.experiment.experiment_id: row.updated for row in found}

    def describe(experiment: Experiment) -> Row:
        attributes = {
            "name": experiment.name,
            "experiment_id": experiment.experiment_id,
            "creation_time": experiment.creation_time,
            "last_update_time": updated[experiment.experiment_id],
            "description": experiment.description,
            "lifecycle_stage": experiment.lifecycle_stage,
        }
        return {"attributes": attributes, "tags": experiment.tags}

    return search_rows(
        [row.experiment for row in found if row.experiment.lifecycle_stage in lifecycles],
        describe,
        EXPERIMENTS,
        filter_string=filter_string,
        order_by=order_by,
        default_order=_DEFAULT_ORDER,
        max_results=max_results,
        limit=MAX_RESULTS,
        page_token=page_token,
    )


def list_rows(repo: Repository) -> list[ExperimentRow]:
    """Every experiment with its times, deleted ones too, by id."""
    latest = "max(max(started, COALESCE(ended, started)))"
    query = f"SELECT experiment_id, min(started), {latest} FROM run WHERE shown GROUP BY 1"

    def work(connection: sqlite3.Connection) -> list[ExperimentRow]:
        times = {id_: (first, last) for id_, first, last in connection.execute(query)}
        return [_timed(each, *times.get(each.experiment_id, (None, None))) for each in _read_all(connection)]

    return open_index(repo).read(repo, work)


def _timed(experiment: Experiment, first: int | None, last: int | None) -> ExperimentRow:
    created = experiment.creation_time
    known = [time for time in (created, last) if time is not None]
    return ExperimentRow(experiment, first if created is None else created, max(known, default=None))


def list_experiments(repo: Repository) -> list[Experiment]:
    """Every experiment, deleted ones too, by id."""
    return open_index(repo).read(repo, _read_all)


def find_experiment(repo: Repository, id_or_name: str) -> Experiment:
    """The experiment of an id or else of a name, whatever its lifecycle.

    Of several that bear one name (two clones may have renamed to it), the active one, then the first by id.

    Raises:
        ExperimentNotFound: There is none.
    """

    def work(connection: sqlite3.Connection) -> Experiment | None:
        row = connection.execute(
            "SELECT id, json FROM experiment WHERE id = ?1 OR name = ?1 "
            "ORDER BY id = ?1 DESC, lifecycle = 'active' DESC, id LIMIT 1",
            (id_or_name,),
        ).fetchone()
        if row is not None:
            return Experiment.from_document(json.loads(row[1]), row[0], row[0])
        return next((one for one in _read_all(connection) if id_or_name in (one.experiment_id, one.name)), None)

    found = open_index(repo).read(repo, work)
    if found is None:
        raise ExperimentNotFound(id_or_name)
    return found


def _read_all(connection: sqlite3.Connection) -> list[Experiment]:
    rows = connection.execute("SELECT id, json FROM experiment").fetchall()
    found = {id_: Experiment.from_document(json.loads(text), id_, id_) for id_, text in rows}
    rows = connection.execute("SELECT experiment_id, min(experiment_name) FROM run WHERE shown GROUP BY 1").fetchall()
    for id_, name in rows:
        found.setdefault(id_, Experiment(id_, name))
    return [found[id_] for id_ in sorted(found)]
