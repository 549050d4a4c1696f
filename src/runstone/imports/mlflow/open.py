"""Which store a URI names, opened: a folder, a file of SQLite, a database on a server, a tracking server."""

from collections.abc import Sequence

from runstone.errors import InvalidValue
from runstone.imports.mlflow.artifacts import local_path
from runstone.imports.mlflow.database import DatabaseSource
from runstone.imports.mlflow.files import FileSource
from runstone.imports.mlflow.source import Source, without_credentials
from runstone.imports.mlflow.sql import open_database

_DATABASES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb", "mssql")


def open_source(uri: str, *, roots: Sequence[str] = ()) -> Source:
    """The store that a URI names.

    Args:
        uri: `mlruns`, `file:///data/mlruns`, `mlflow.db`, `sqlite:///mlflow.db`, `postgresql://…`, `mysql://…`,
            `https://…`.
        roots: Places that its artifacts may be in, besides its own; see `Artifacts`.

    Raises:
        InvalidValue: It names nothing, or nothing that can be read.
        RunstoneError: What is there is no store, or cannot be opened.
    """
    scheme, separator, _ = uri.partition("://")
    scheme = scheme.partition("+")[0].lower() if separator else ""
    if scheme in ("http", "https"):
        from runstone.imports.mlflow.rest import RestSource

        return RestSource(uri)
    if scheme in _DATABASES:
        return DatabaseSource(open_database(uri), roots=roots)
    try:
        path = local_path(uri) if scheme in ("", "file") else None
    except ValueError:
        path = None
    if path is None:
        raise InvalidValue(
            f"{without_credentials(uri)!r} is no store of MLflow's that can be read. Name a folder (`mlruns`), "
            "a database (`sqlite:///mlflow.db`, `postgresql://…`, `mysql://…`) or a server (`https://…`)."
        )
    if path.is_file():
        return DatabaseSource(open_database(str(path)), roots=roots)
    if not path.is_dir():
        raise InvalidValue(f"There is no {path}. Name the folder or the database in which MLflow keeps its runs.")
    return FileSource(path, roots=roots)
