"""The shortest beginning of a run's id that means this run alone: what a person has to write."""

import sqlite3
from collections.abc import Iterable
from itertools import takewhile

from runstone.git.repository import Repository
from runstone.index.cache import open_index

LEAST = 8


def shortest_prefixes(repo: Repository, run_ids: Iterable[str]) -> dict[str, str]:
    """Each id with its shortest unambiguous beginning, of eight characters or more.

    A neighbour in the order of ids shares the longest beginning, so two look-ups an id suffice.
    """

    def work(connection: sqlite3.Connection) -> dict[str, str]:
        found = {}
        for run_id in run_ids:
            before = "SELECT max(id) FROM run WHERE shown AND id < ?"
            after = "SELECT min(id) FROM run WHERE shown AND id > ?"
            near = [connection.execute(query, (run_id,)).fetchone()[0] for query in (before, after)]
            shared = max((_shared(run_id, other) for other in near if other is not None), default=0)
            found[run_id] = run_id[: max(LEAST, shared + 1)]
        return found

    return open_index(repo).read(repo, work)


def _shared(one: str, other: str) -> int:
    """How many characters two ids begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
