"""What an export needs of a store of MLflow's, and how one is found by its URI."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from runstone.errors import InvalidValue, MissingLibrary
from runstone.records.metric import Metric

DIGEST_TAG = "runstone.exported"
"""Names what was exported of a run, so that a second export knows whether it has changed."""

ID_TAG = "runstone.run_id"
"""Keeps the id of a run that has another one there."""

_FILE_STORE = "MLFLOW_ALLOW_FILE_STORE"
_match_id = re.compile(r"[0-9a-f]{32}").fullmatch
_match_url = re.compile(r"https?://", re.IGNORECASE).match
_match_database = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?://", re.IGNORECASE).match


class Lost(NamedTuple):
    """Something of a run that the store there did not get: what kind of thing, which, and why."""

    kind: str
    what: str
    why: str


class OutgoingRun(NamedTuple):
    """One run on its way.

    Attributes:
        run: MLflow's entity of it.
        points: All points of its metrics.
        digest: Changes whenever anything of it does.
        place_artifacts: Copies its artifacts into a folder; tells which are not to be had.
    """

    run: Any
    points: Sequence[Metric]
    digest: str
    place_artifacts: Callable[[Path], Sequence[Lost]]

    @property
    def id_there(self) -> str:
        """Its id in a store that keeps ids: its own, if it is one that MLflow could have given."""
        run_id: str = self.run.info.run_id
        return run_id if _match_id(run_id) else md5(run_id.encode(), usedforsecurity=False).hexdigest()

    @property
    def tags(self) -> dict[str, str]:
        """Its tags there."""
        tags: dict[str, str] = dict(self.run.data.tags)
        return tags | {DIGEST_TAG: self.digest, ID_TAG: self.run.info.run_id}


class Target(Protocol):
    """A store to export to."""

    @property
    def uri(self) -> str:
        """As MLflow's clients are given it."""

    def experiment(self, experiment: Any) -> tuple[str, bool]:
        """The id there of an experiment of this name, and whether it had to be made."""

    def find(self, outgoing: OutgoingRun) -> tuple[str, str | None] | None:
        """The id there of a run that was exported before, and its digest; None for the digest if it was not."""

    def put(self, outgoing: OutgoingRun, experiment_id: str, before: str | None) -> tuple[str, list[Lost]]:
        """Write a run, in place of `before`; returns its id there and what was lost."""

    def settle(self) -> None:
        """Do what has to wait until all runs are there."""

    def close(self) -> None:
        """Let go what is open."""


@contextmanager
def opened(uri: str, artifacts: Path | None = None) -> Iterator[Target]:
    """The store that a URI names.

    Args:
        uri: A folder, or a database's or a server's URI.
        artifacts: Where artifacts go that a database's runs name; beside a SQLite file if not given.

    Raises:
        MissingLibrary: MLflow is not installed.
        InvalidValue: It is no such URI.
        OutputRefused: It cannot be written.
    """
    try:
        import mlflow.store.tracking  # noqa: F401  # whether it is there
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        raise MissingLibrary("mlflow", "write what MLflow reads", "'runstone[mlflow]'") from error
    target: Target
    if _match_url(uri):
        from runstone.exports.mlflow.server import Server

        target = Server(uri)
    elif _match_database(uri):
        from runstone.exports.mlflow.database import Database

        target = Database(uri, artifacts)
    elif re.match(r"\w{2,}:(?!/?$)", uri) and not uri.startswith("file:"):
        raise InvalidValue(
            f"{uri!r} is no place to export to. Name a folder, `sqlite:///mlflow.db`, another database, or a server's "
            "`https://…`"
        )
    else:
        from runstone.exports.mlflow.folder import Folder

        target = Folder(Path(uri.removeprefix("file://").removeprefix("file:")).absolute())
    # Newer ones open no folder without the first, and look for logged models where the second says, or in a database
    # that they make in the current folder.
    with _environment({_FILE_STORE: "true", "MLFLOW_TRACKING_URI": target.uri}):
        try:
            yield target
        finally:
            target.close()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for MLflow, and put them back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
