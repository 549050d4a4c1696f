"""A database, asked in plain SQL and only read: SQLite by the standard library, others through SQLAlchemy."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote

from runstone.errors import MissingLibrary, RunstoneError
from runstone.imports.mlflow.source import without_credentials

_CHUNK = 20_000
_BUSY_S = 30.0
_DRIVERS = {
    "postgresql": ("psycopg2", "psycopg"),
    "postgres": ("psycopg2", "psycopg"),
    "mysql": ("pymysql", "MySQLdb"),
    "mariadb": ("pymysql", "MySQLdb"),
}
"""The libraries that speak to a kind of database, the usual one first; as MLflow's own URIs mostly leave it out."""

_ANSI = {"connect_args": {"init_command": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')"}}
_SNAPSHOT = {"execution_options": {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}}
_READ_ONLY: dict[str, dict[str, Any]] = {
    "postgresql": _SNAPSHOT,
    "postgres": _SNAPSHOT,
    "mysql": _ANSI,
    "mariadb": _ANSI,
}
"""How the engine of a kind of database is made."""

_DIALECTS = {"postgres": "postgresql", "MySQLdb": "mysqldb"}
_NEEDED = {"psycopg2": "psycopg2-binary", "pymysql": "pymysql", "MySQLdb": "mysqlclient", "psycopg": "psycopg[binary]"}


class DatabaseUnusable(RunstoneError):
    """A database that cannot be opened or read."""

    def __init__(self, shown: str, why: str) -> None:
        super().__init__(f"The database {shown} cannot be read: {' '.join(why.split())}")


class Database(Protocol):
    """What rows come from. Names are quoted by double quotes; values are named, as `:run`."""

    shown: str

    @property
    def folder(self) -> Path | None:
        """Where its file is, if it is one."""

    def rows(self, sql: str, **values: Any) -> Iterator[Sequence[Any]]:
        """The rows of a query, some at a time."""

    def columns(self, table: str) -> Sequence[str]:
        """The columns of a table, in lower case; none if there is no such table."""

    def close(self) -> None:
        """Let go of it."""


def open_database(uri: str) -> Database:
    """Open a database by its URI, or by the path of an SQLite file.

    Raises:
        DatabaseUnusable: It cannot be opened.
        MissingLibrary: SQLAlchemy, or a driver, is not installed.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return SqliteDatabase(Path(uri))
    if scheme.partition("+")[0] == "sqlite":
        return SqliteDatabase(Path(unquote(rest.partition("?")[0].removeprefix("/")) or "mlflow.db"))
    return ServerDatabase(uri)


class SqliteDatabase:
    """A file of SQLite, opened so that it cannot be written, and not locked between two queries."""

    def __init__(self, path: Path) -> None:
        self.shown, self.folder = str(path), path.absolute().parent
        if not path.is_file():
            raise DatabaseUnusable(self.shown, "there is no such file. Name it by its path: `sqlite:///mlflow.db`")
        with path.open("rb") as file:
            if file.read(16) != b"SQLite format 3\0":
                raise DatabaseUnusable(self.shown, "it is no file of SQLite")
        self._connection = self._open(path)

    def _open(self, path: Path) -> sqlite3.Connection:
        uri = path.absolute().as_uri()
        beside = [path.with_name(f"{path.name}{end}") for end in ("-wal", "-journal")]
        failure = ""
        is_whole = not any(each.exists() and each.stat().st_size for each in beside)  # or a write was cut short
        for mode in ("mode=ro", "mode=ro&immutable=1"):  # the latter where no lock can be taken, as on a read-only disk
            if "immutable" in mode and not is_whole:
                failure += ". It is being written, or that was cut short: open a copy with MLflow, and import that"
                break
            try:
                connection = sqlite3.connect(f"{uri}?{mode}", uri=True, timeout=_BUSY_S, check_same_thread=False)
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                connection.text_factory = lambda data: data.decode("utf-8", "replace")
                return connection
            except sqlite3.Error as error:
                failure = str(error)
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:  # read past the lock, it would be half written
                    failure += ". A program writes to it: import when that has ended, or from a copy"
                    break
        raise DatabaseUnusable(self.shown, failure)

    def rows(self, sql: str, **values: Any) -> Iterator[Sequence[Any]]:
        """See `Database`."""
        try:
            cursor = self._connection.execute(sql, values)
            while found := cursor.fetchmany(_CHUNK):
                yield from found
        except sqlite3.Error as error:
            raise DatabaseUnusable(self.shown, str(error)) from error

    def columns(self, table: str) -> Sequence[str]:
        """See `Database`."""
        return [row[1].lower() for row in self.rows(f'PRAGMA table_info("{table}")')]

    def close(self) -> None:
        """See `Database`."""
        self._connection.close()


class ServerDatabase:
    """A database on a server, read in one transaction that cannot write."""

    folder = None

    def __init__(self, uri: str) -> None:
        scheme, _, rest = uri.partition("://")
        self.shown = without_credentials(uri)
        self._secrets: set[str] = set()
        try:
            import sqlalchemy
        except ImportError as error:
            raise MissingLibrary("sqlalchemy", f"read {self.shown}", "'runstone[mlflow]'") from error
        self._sql: Any = sqlalchemy
        kind = scheme.partition("+")[0]
        try:
            url = sqlalchemy.make_url(f"{_dialect(scheme)}://{rest}")
            self._secrets = {text for each in (url.password, url.query.get("password")) if (text := str(each or ""))}
            self._secrets |= {quote(secret, safe="") for secret in self._secrets}
            engine = sqlalchemy.create_engine(url, **_READ_ONLY.get(kind, {}))
            self._connection: Any = engine.connect()
            if kind in ("mysql", "mariadb"):
                self._connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
                self._connection.rollback()  # it counts from the next transaction on
        except ModuleNotFoundError as error:
            library = str(error.name)
            raise MissingLibrary(library, f"read {self.shown}", _NEEDED.get(library, library)) from error
        except (sqlalchemy.exc.SQLAlchemyError, ValueError, TypeError) as error:
            raise DatabaseUnusable(self.shown, self._told(error)) from error
        self._engine = engine

    def rows(self, sql: str, **values: Any) -> Iterator[Sequence[Any]]:
        """See `Database`."""
        try:
            result = self._connection.execution_options(stream_results=True).execute(self._sql.text(sql), values)
            while found := result.fetchmany(_CHUNK):
                yield from found
        except self._sql.exc.SQLAlchemyError as error:
            raise DatabaseUnusable(self.shown, self._told(error)) from error

    def columns(self, table: str) -> Sequence[str]:
        """See `Database`."""
        inspector = self._sql.inspect(self._connection)
        try:
            return [str(column["name"]).lower() for column in inspector.get_columns(table)]
        except self._sql.exc.NoSuchTableError:
            return []
        except self._sql.exc.SQLAlchemyError as error:
            raise DatabaseUnusable(self.shown, self._told(error)) from error

    def _told(self, error: Exception) -> str:
        text = str(getattr(error, "orig", None) or error).split("\n(Background", maxsplit=1)[0]
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def close(self) -> None:
        """See `Database`."""
        with suppress(self._sql.exc.SQLAlchemyError):
            self._connection.close()
        self._engine.dispose()


def _dialect(scheme: str) -> str:
    """What SQLAlchemy calls a database and the library that speaks to it."""
    from importlib.util import find_spec

    libraries = _DRIVERS.get(scheme)
    if libraries is None:
        return scheme
    chosen = next((each for each in libraries if find_spec(each) is not None), libraries[0])
    return f"{_DIALECTS.get(scheme, scheme)}+{_DIALECTS.get(chosen, chosen)}"
