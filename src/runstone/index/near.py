"""What a name that nobody bears may have been meant to be: the names that look like it, among those there are."""

import sqlite3
from collections.abc import Iterable, Sequence

from runstone.git.repository import Repository
from runstone.index.cache import open_index
from runstone.index.fields import Entity, Field, key_field
from runstone.index.tables import RUN_BITS, RUN_MASK

_LOOKED_AT = 1000
"""Names at most that one is compared with: to compare one takes some 20 µs."""

_NEAR = 3
_KEYED: tuple[Entity, ...] = ("metric", "param", "tag")


def near_runs(repo: Repository, text: str) -> list[str]:
    """Names of runs that look like a text, of the newest runs."""
    query = "SELECT name FROM run WHERE shown GROUP BY name ORDER BY max(started) DESC LIMIT ?"
    return _near(text, _column(repo, query, (_LOOKED_AT,)))


def near_experiments(repo: Repository, text: str) -> list[str]:
    """Names of experiments that look like a text."""
    query = "SELECT name FROM experiment UNION SELECT experiment_name FROM run WHERE shown LIMIT ?"
    return _near(text, _column(repo, query, (_LOOKED_AT,)))


def list_keys(repo: Repository, entity: Entity) -> list[str]:
    """The names of the metrics, params or tags that runs have or had, the newest first."""
    return _column(repo, "SELECT name FROM key WHERE entity = ? ORDER BY number DESC LIMIT ?", (entity, _LOOKED_AT))


def fields_of(repo: Repository, key: str) -> list[str]:
    """The fields of that very key, as `metrics.rmse`: of a metric, a param, a tag that some run has."""
    return open_index(repo).read(
        repo, lambda c: [key_field(entity, key) for entity in _KEYED if _is_used(c, entity, key, None)]
    )


def unknown_fields(
    repo: Repository, fields: Iterable[Field], experiment_ids: Sequence[str] | None = None
) -> list[tuple[str, list[str]]]:
    """The metrics, params and tags that no run has, each with those that look like it; nothing where there is no run.

    Args:
        repo: The repository.
        fields: What a search speaks of.
        experiment_ids: Only runs of these experiments; None for all.
    """

    def work(connection: sqlite3.Connection) -> list[tuple[str, list[str]]]:
        found: dict[str, list[str]] = {}
        where, values = _within(experiment_ids)
        if connection.execute(f"SELECT 1 FROM run r WHERE r.shown{where} LIMIT 1", values).fetchone() is None:
            return []
        for field in fields:
            if field.entity not in _KEYED or _is_used(connection, field.entity, field.key, experiment_ids):
                continue
            query = "SELECT name FROM key WHERE entity = ? ORDER BY number DESC LIMIT ?"
            names = [row[0] for row in connection.execute(query, (field.entity, _LOOKED_AT))]
            near = [n for n in _near(field.key, names) if _is_used(connection, field.entity, n, experiment_ids)]
            found[key_field(field.entity, field.key)] = [key_field(field.entity, name) for name in near]
        return list(found.items())

    return open_index(repo).read(repo, work)


def _is_used(connection: sqlite3.Connection, entity: Entity, key: str, experiment_ids: Sequence[str] | None) -> bool:
    row = connection.execute("SELECT number FROM key WHERE entity = ? AND name = ?", (entity, key)).fetchone()
    if row is None:
        return False
    low = row[0] << RUN_BITS
    text = f"SELECT 1 FROM {entity} v JOIN run r ON r.run = v.at & {RUN_MASK} WHERE v.at BETWEEN ? AND ? AND r.shown"
    where, values = _within(experiment_ids)
    return connection.execute(f"{text}{where} LIMIT 1", [low, low | RUN_MASK, *values]).fetchone() is not None


def _within(experiment_ids: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    if experiment_ids is None:
        return "", ()
    return f" AND r.experiment_id IN ({', '.join('?' * len(experiment_ids))})", experiment_ids


def _column(repo: Repository, query: str, values: tuple[str | int, ...]) -> list[str]:
    return open_index(repo).read(repo, lambda c: [row[0] for row in c.execute(query, values)])


def _near(text: str, names: Sequence[str]) -> list[str]:
    """Case does not count; a name is given as it is."""
    from difflib import get_close_matches  # here: a search that finds all its names needs none

    by_lower: dict[str, str] = {}
    for name in names:
        by_lower.setdefault(name.lower(), name)
    return [by_lower[each] for each in get_close_matches(text.lower()[:200], by_lower, n=_NEAR, cutoff=0.7)]
