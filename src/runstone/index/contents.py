"""What the records of runs hold, asked of all of them at once: which have some text in them, and which datasets."""

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from runstone.git.repository import Repository
from runstone.index.cache import open_index
from runstone.records.document import Document


class Held(NamedTuple):
    """A run that holds something, as its record is written."""

    run_id: str
    experiment_id: str
    document: Document


_LOAD = "SELECT id, experiment_id, json FROM run JOIN document USING (run)"


def runs_that_hold(repo: Repository, text: str, experiment_ids: Sequence[str] | None = None) -> list[Held]:
    """Runs, deleted ones too, whose record holds a text as compact JSON writes it; oldest first.

    No table leads to it: every record is looked through, 10,000 of them in some 20 ms.
    """

    def work(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
        where, values = "shown AND instr(json, ?)", [text, *(experiment_ids or ())]
        if experiment_ids is not None:
            where += f" AND experiment_id IN ({', '.join('?' * len(experiment_ids))})"
        return connection.execute(f"{_LOAD} WHERE {where} ORDER BY started, id", values).fetchall()

    rows = open_index(repo).read(repo, work)
    return [Held(run_id, experiment_id, json.loads(text)) for run_id, experiment_id, text in rows]


def list_datasets(
    repo: Repository, experiment_ids: Sequence[str], max_results: int
) -> list[tuple[str, str, str, str | None]]:
    """Experiment, name, digest and role of the datasets that the runs of some experiments read, each once."""

    def work(connection: sqlite3.Connection) -> list[tuple[str, str, str, str | None]]:
        return connection.execute(
            "SELECT DISTINCT experiment_id, d.name, digest, context FROM dataset d JOIN run USING (run) "
            f"WHERE shown AND experiment_id IN ({', '.join('?' * len(experiment_ids))}) ORDER BY 1, 2, 3, 4 LIMIT ?",
            [*experiment_ids, max_results],
        ).fetchall()

    return open_index(repo).read(repo, work)
