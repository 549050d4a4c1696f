"""The tables of the index, and the rows that one record becomes.

Params, metrics and tags are one row each, numbered `key << 32 | run`. That clusters a key's rows in order of run
with SQLite's cheapest kind of table; a composite primary key took twice the room and time, and a column for each
key would end at SQLite's 2,000 columns.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from operator import itemgetter
from shlex import join
from typing import Any

from runstone.index.values import param_number, param_text
from runstone.records.experiment import Experiment
from runstone.records.run import Run

VERSION = 3
"""Of the tables. An index with another one is made anew."""

MAX_NOTE = 8000
"""Characters of a run's notes that the index holds: as many as a tag of MLflow's."""

APPLICATION = 0x52554E53
"""`RUNS`, written into the file so that it is known for an index of ours."""

RUN_BITS = 32
RUN_MASK = (1 << RUN_BITS) - 1

_DDL = """
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE key (number INTEGER PRIMARY KEY, entity TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (entity, name));
CREATE TABLE run (
  run INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, live INTEGER NOT NULL, shown INTEGER NOT NULL,
  id TEXT NOT NULL, name TEXT NOT NULL, experiment_id TEXT NOT NULL, experiment_name TEXT NOT NULL,
  status TEXT NOT NULL, user TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER, lifecycle TEXT NOT NULL,
  parent TEXT, git_commit TEXT, branch TEXT, snapshot TEXT, dirty INTEGER, rerun_of TEXT, command TEXT
);
CREATE INDEX run_by_id ON run (id);
CREATE INDEX run_by_start ON run (started DESC, id);
CREATE TABLE document (run INTEGER PRIMARY KEY, json TEXT NOT NULL);
CREATE TABLE param (at INTEGER PRIMARY KEY, text TEXT NOT NULL, num);
CREATE TABLE metric (
  at INTEGER PRIMARY KEY, last REAL, step INTEGER NOT NULL, min REAL, max REAL, count INTEGER NOT NULL,
  latest REAL
);
CREATE TABLE tag (at INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE dataset (run INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, context TEXT);
CREATE INDEX dataset_by_run ON dataset (run);
CREATE TABLE note (path TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE experiment (id TEXT PRIMARY KEY, name TEXT NOT NULL, lifecycle TEXT NOT NULL, json TEXT NOT NULL);
CREATE TABLE broken (path TEXT PRIMARY KEY, problem TEXT NOT NULL);
CREATE TABLE live (id TEXT PRIMARY KEY, token TEXT NOT NULL);
"""
_CONTENT = "state key run document param metric tag dataset note experiment broken live".split()
_COLUMNS = {"run": 20, "document": 2, "param": 3, "metric": 7, "tag": 2, "dataset": 4}
_ROWS_AT_ONCE = 20_000


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database, within the transaction that is open."""
    for statement in _DDL.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether the database holds these very tables."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return (application, version) == (APPLICATION, VERSION)


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the database holds nothing at all."""
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def read_state(connection: sqlite3.Connection, name: str) -> str | None:
    """One word the index keeps of itself."""
    row = connection.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


class Writer:
    """Puts records into the tables, many rows at a time; call `finish` at the end."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self._count = 0
        self._keys: dict[tuple[str, str], int] = {
            (entity, name): number
            for number, entity, name in connection.execute("SELECT number, entity, name FROM key")
        }
        (last,) = connection.execute("SELECT max(run) FROM run").fetchone()
        self._next_run = (last or 0) + 1
        self._experiments: dict[str, str] = dict(connection.execute("SELECT id, name FROM experiment").fetchall())
        self._changed_experiments: set[str] = set()
        self._changed_ids: set[str] = set()

    def clear(self) -> None:
        """Remove everything."""
        for table in _CONTENT:
            self._connection.execute(f"DELETE FROM {table}")
        self._keys, self._next_run, self._experiments = {}, 1, {}

    def clear_committed(self) -> None:
        """Remove all but the live runs."""
        for (path,) in self._connection.execute("SELECT path FROM run WHERE NOT live").fetchall():
            self.remove_run(path)
        for experiment_id in list(self._experiments):
            self.remove_experiment(experiment_id)
        for table in ("broken", "note"):
            self._connection.execute(f"DELETE FROM {table} WHERE path NOT LIKE 'live/%'")

    def set_state(self, name: str, value: str | None) -> None:
        """Keep one word of the index itself."""
        self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def put_experiment(self, experiment: Experiment) -> None:
        """Add an experiment, or replace it."""
        document = json.dumps(experiment.to_document(), separators=(",", ":"))
        name = _text(experiment.name)
        self._connection.execute(
            "INSERT OR REPLACE INTO experiment VALUES (?, ?, ?, ?)",
            (experiment.experiment_id, name, experiment.lifecycle_stage, document),
        )
        self._experiments[experiment.experiment_id] = name
        self._changed_experiments.add(experiment.experiment_id)

    def remove_experiment(self, experiment_id: str) -> None:
        """Remove an experiment; its runs stay."""
        self._connection.execute("DELETE FROM experiment WHERE id = ?", (experiment_id,))
        self._experiments.pop(experiment_id, None)
        self._changed_experiments.add(experiment_id)

    def add_run(self, run: Run, path: str, *, live: bool = False) -> None:
        """Add a run that has no rows yet under this path."""
        number, source = self._next_run, run.source
        # All that may fail comes before the first row is kept: a record is in the index whole or not at all.
        rows: dict[str, list[tuple[Any, ...]]] = {
            "run": [
                (
                    number,
                    path,
                    live,
                    True,
                    run.id,
                    _text(run.name),
                    run.experiment_id,
                    self._experiments.get(run.experiment_id) or _text(run.experiment),
                    run.status,
                    _text(run.user),
                    run.started,
                    run.ended,
                    run.lifecycle,
                    _text_or_none(run.parent),
                    _text_or_none(source.commit),
                    _text_or_none(source.branch),
                    _text_or_none(source.snapshot),
                    source.dirty,
                    _text_or_none(run.rerun_of),
                    _text(join(source.command)) if source.command else None,
                )
            ],
            "document": [(number, json.dumps(run.to_document(), separators=(",", ":")))],
            "param": [
                (self._at("param", key, number), _text(param_text(value)), param_number(value))
                for key, value in run.params.items()
            ],
            "metric": [
                (
                    *(self._at("metric", key, number), m.last, _whole(m.step), m.min, m.max, _whole(m.count)),
                    m.last if m.latest is None else m.latest,
                )
                for key, m in run.metrics.items()
            ],
            "tag": [(self._at("tag", key, number), _text(text)) for key, text in run.tags.items()],
            "dataset": [(number, _text(d.name), _text(d.digest), _text_or_none(d.role)) for d in run.datasets],
        }
        for table, made in rows.items():
            self._rows[table] += made
        self._next_run += 1
        self._changed_ids.add(run.id)
        self._count += len(run.params) + len(run.metrics) + len(run.tags) + 2
        if self._count > _ROWS_AT_ONCE:
            self._flush()

    def remove_run(self, path: str) -> None:
        """Remove the run at a path, if there is one."""
        self._flush()
        execute = self._connection.execute
        found = execute("SELECT run, id, json FROM run JOIN document USING (run) WHERE path = ?", (path,)).fetchone()
        if found is None:
            return
        number, run_id, text = found
        self._changed_ids.add(run_id)
        document = json.loads(text)
        for entity in ("param", "metric", "tag"):
            keys = document.get(f"{entity}s") or ()
            rows = [(self._at(entity, key, number),) for key in keys]
            self._connection.executemany(f"DELETE FROM {entity} WHERE at = ?", rows)
        for table in ("dataset", "document", "run"):
            execute(f"DELETE FROM {table} WHERE run = ?", (number,))

    def put_note(self, path: str, text: str) -> None:
        """Keep the notes of the run at a path, as far as they can be searched."""
        self._connection.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (path, _text(text[:MAX_NOTE])))

    def remove_note(self, path: str) -> None:
        """Remove the notes of the run at a path, if there are any."""
        self._connection.execute("DELETE FROM note WHERE path = ?", (path,))

    def put_broken(self, path: str, problem: str) -> None:
        """Note a record that cannot be read."""
        self._connection.execute("INSERT OR REPLACE INTO broken VALUES (?, ?)", (path, _text(problem)))

    def remove_broken(self, path: str) -> None:
        """Forget what was noted of a record."""
        self._connection.execute("DELETE FROM broken WHERE path = ?", (path,))

    def finish(self) -> None:
        """Write what waits, and what follows: the names of experiments, and which of two runs of one id is shown."""
        self._flush()
        self._connection.executemany(
            "UPDATE run SET experiment_name = COALESCE((SELECT name FROM experiment e WHERE e.id = experiment_id), "
            "(SELECT json_extract(json, '$.experiment') FROM document d WHERE d.run = run.run)) "
            "WHERE experiment_id = ?",
            ((one,) for one in sorted(self._changed_experiments)),
        )
        # A live journal before the record it resumes; of two folders (two clones, two days) always the same one.
        self._connection.executemany(
            "UPDATE run SET shown = (run = (SELECT o.run FROM run o WHERE o.id = run.id "
            "ORDER BY o.live DESC, o.path DESC LIMIT 1)) WHERE id = ?",
            ((one,) for one in self._twice(self._changed_ids)),
        )

    def _twice(self, ids: set[str]) -> Iterable[str]:
        if len(ids) < 100:
            return sorted(ids)
        rows = self._connection.execute("SELECT id FROM run GROUP BY id HAVING count(*) > 1 OR min(shown) = 0")
        return [row[0] for row in rows.fetchall()]

    def _at(self, entity: str, key: str, run: int) -> int:
        name = _text(key)
        number = self._keys.get((entity, name))
        if number is None:
            number = len(self._keys) + 1
            self._keys[entity, name] = number
            self._connection.execute("INSERT INTO key VALUES (?, ?, ?)", (number, entity, name))
        return number << RUN_BITS | run

    def _flush(self) -> None:
        for table, rows in self._rows.items():
            marks = ", ".join("?" * _COLUMNS[table])
            if len(rows) > 1:
                rows.sort(key=itemgetter(0))  # ascending row numbers are appended, not searched for
            self._connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)
        self._rows.clear()
        self._count = 0


def _text(text: str) -> str:
    """Text that SQLite can hold: half a surrogate pair, which no Unicode text has, becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _text_or_none(text: str | None) -> str | None:
    return None if text is None else _text(text)


def _whole(number: int) -> int:
    return max(-(1 << 63), min((1 << 63) - 1, number))
