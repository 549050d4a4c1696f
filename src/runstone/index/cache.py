"""The index file: opened, kept equal to the branch and the live journals, and thrown away whenever in doubt.

It is keyed by the commit it mirrors, so it cannot go stale unseen: every read first asks git for the tip. A file that
is corrupt, of another version or of another repository is made anew; where none can be kept (a read-only
disk, one that cannot lock, a full one) the index lives in memory for as long as the process does.
"""

import atexit
import os
import sqlite3
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from runstone.errors import RecordsSkipped, UsageError
from runstone.git.repository import Repository
from runstone.index import mirror, tables
from runstone.index.mirror import Progress
from runstone.index.values import pattern

T = TypeVar("T")

FILE = "index.sqlite"
_BUSY_S = 120
_KEPT_OPEN = 8
_UNUSABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


class Index:
    """The index of one repository's runs, as one process sees it. Safe to use from several threads.

    Get one with `open_index`; all access goes through `read`.
    """

    def __init__(self, path: Path | None, *, is_needed: bool = True) -> None:
        self._path = path
        self._is_needed = is_needed
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._lock = threading.RLock()
        self._warned = 0

    @property
    def is_in_memory(self) -> bool:
        """Whether a file was needed, and none could be used."""
        return self._path is None and self._is_needed

    def read(self, repo: Repository, work: Callable[[sqlite3.Connection], T]) -> T:
        """Bring the index up to date, then run `work` on one consistent state of it.

        Writes:
            `index.sqlite` in the repository's cache directory, when something changed.
        """
        return self._use(repo, lambda c: self._refresh(c, repo), work)

    def rebuild(self, repo: Repository, progress: Progress | None = None) -> int:
        """Throw everything away and read every record anew.

        Returns:
            How many runs the index holds.

        Writes:
            As `read`.
        """

        def count(connection: sqlite3.Connection) -> int:
            return int(connection.execute("SELECT count(*) FROM run WHERE shown").fetchone()[0])

        return self._use(repo, lambda c: self._update(c, repo, progress, anew=True), count)

    def close(self) -> None:
        """Close the file; the next `read` opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _use(
        self, repo: Repository, prepare: Callable[[sqlite3.Connection], None], work: Callable[[sqlite3.Connection], T]
    ) -> T:
        with self._lock:
            for attempt in range(3):  # with the file as it is, with a new one, in memory
                try:
                    connection = self._open()
                    prepare(connection)
                    connection.execute("BEGIN")
                    try:
                        return work(connection)
                    finally:
                        connection.execute("COMMIT")
                except sqlite3.DatabaseError as error:
                    if attempt == 2 or isinstance(error, sqlite3.ProgrammingError):
                        raise
                    self._give_up(error, for_good=attempt == 1)
        raise AssertionError("unreachable")

    def _give_up(self, error: sqlite3.DatabaseError, *, for_good: bool) -> None:
        """Do without the file: for good if it cannot be used, else only to begin a new one."""
        with suppress(sqlite3.Error):
            self.close()
        self._connection = None
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if self._path is None or for_good or code in _UNUSABLE:
            self._path = None
            return
        try:
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        except OSError:
            self._path = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._identity != self._seen():
            self.close()
        if self._connection is None:
            self._connection = self._connect()
            self._identity = self._seen()
        return self._connection

    def _seen(self) -> tuple[int, int] | None:
        """Which file lies at the path now: another one if somebody deleted ours."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)
        return found.st_dev, found.st_ino

    def _connect(self) -> sqlite3.Connection:
        if self._path is not None:
            with suppress(OSError):  # SQLite says the same in a moment
                self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path or ":memory:", timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.create_function("matches", 3, matches, deterministic=True)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA journal_size_limit = 1048576")
            connection.execute("PRAGMA cache_size = -65536")
            if not tables.is_ours(connection):
                connection.execute("BEGIN IMMEDIATE")
                if tables.is_empty(connection):
                    tables.create(connection)
                is_ours = tables.is_ours(connection)
                connection.execute("COMMIT")
                if not is_ours:
                    raise sqlite3.DatabaseError("an index of another version")
        except BaseException:
            connection.close()
            raise
        return connection

    # --- keeping it equal to git

    def _refresh(self, connection: sqlite3.Connection, repo: Repository) -> None:
        if not mirror.is_fresh(connection, repo):
            self._update(connection, repo, None, anew=False)
        self._warn(connection)

    def _update(
        self, connection: sqlite3.Connection, repo: Repository, progress: Progress | None, *, anew: bool
    ) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            mirror.update(connection, repo, progress, anew=anew)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _warn(self, connection: sqlite3.Connection) -> None:
        """Say once for each state of things that records are left out."""
        rows = connection.execute("SELECT path, problem FROM broken ORDER BY path").fetchall()
        if rows and hash(tuple(rows)) != self._warned:
            count = "1 record is" if len(rows) == 1 else f"{len(rows)} records are"
            first = "It is" if len(rows) == 1 else "The first"
            message = f"{count} left out of searches. See them all: `runstone doctor`. {first}: {rows[0][1]}"
            warnings.warn(message, RecordsSkipped, stacklevel=7)
        self._warned = hash(tuple(rows)) if rows else 0


_OPEN: OrderedDict[tuple[str, str], Index] = OrderedDict()
_OPEN_LOCK = threading.Lock()
_INHERITED: list[OrderedDict[tuple[str, str], Index]] = []


def open_index(repo: Repository) -> Index:
    """The index of a repository, shared by all of this process that use it.

    Of one without runs it is in memory: to read where there is nothing writes nothing.
    """
    path: Path | None = None
    is_needed = repo.state_dir.exists() or repo.runs_tip() is not None
    try:
        if is_needed:
            path = repo.cache_dir / FILE
    except (OSError, UsageError):  # the latter where neither the repository nor the home folder can be written
        pass
    key = (str(path or repo.common_dir), repo.runs_ref if is_needed else "")
    with _OPEN_LOCK:
        index = _OPEN.get(key)
        if index is None:
            index = _OPEN[key] = Index(path, is_needed=is_needed)
            if len(_OPEN) > _KEPT_OPEN:
                _OPEN.popitem(last=False)[1].close()
        _OPEN.move_to_end(key)
        return index


def rebuild(repo: Repository, progress: Progress | None = None) -> int:
    """Make the index anew and return how many runs it holds; see `Index.rebuild`."""
    return open_index(repo).rebuild(repo, progress)


def broken(repo: Repository) -> list[tuple[str, str]]:
    """The records that cannot be read, as path on the branch and what is wrong with each."""
    return open_index(repo).read(repo, lambda c: c.execute("SELECT path, problem FROM broken ORDER BY path").fetchall())


def _after_fork() -> None:
    """Leave the parent's connections alone: SQLite allows no connection to be used, or closed, across a fork."""
    global _OPEN, _OPEN_LOCK
    _INHERITED.append(_OPEN)
    _OPEN, _OPEN_LOCK = OrderedDict(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def close_all() -> None:
    """Close every index of this process."""
    with _OPEN_LOCK:
        while _OPEN:
            _OPEN.popitem()[1].close()


def matches(like: str, ignores_case: int, text: object) -> bool | None:
    """LIKE and ILIKE as an SQL function: SQLite's own ignores the case of ASCII letters, and only of these."""
    return None if text is None else pattern(like, bool(ignores_case))(str(text)) is not None
