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

MODEL_ID_TAG = "runstone.model_id"
"""Keeps the id of a logged model that has another one there."""

_LONGEST_MODEL_ID = 36
_FILE_STORE = "MLFLOW_ALLOW_FILE_STORE"
_URI = "MLFLOW_TRACKING_URI"
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
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


class OutgoingModel(NamedTuple):
    """One of MLflow 3's logged models on its way.

    Attributes:
        model: MLflow's entity of it.
        source_run_id: The run there that made it, if one did.
        points: What was measured of it, by runs as they are named there.
        is_deleted: Whether it is deleted here.
        digest: Changes whenever anything of it does.
        place_files: Copies its files into a folder; tells which are not to be had.
    """

    model: Any
    source_run_id: str | None
    points: Sequence[Any]
    is_deleted: bool
    digest: str
    place_files: Callable[[Path], Sequence[Lost]]

    @property
    def id_there(self) -> str:
        """Its id in a store that keeps ids: its own, if MLflow has room for it."""
        model_id: str = self.model.model_id
        is_short = len(model_id) <= _LONGEST_MODEL_ID
        return model_id if is_short else f"m-{md5(model_id.encode(), usedforsecurity=False).hexdigest()}"

    @property
    def tags(self) -> dict[str, str]:
        """Its tags there."""
        tags: dict[str, str] = dict(self.model.tags or {})
        return tags | {DIGEST_TAG: self.digest, MODEL_ID_TAG: self.model.model_id}


class Target(Protocol):
    """A store to export to."""

    @property
    def uri(self) -> str:
        """As MLflow's clients are given it."""

    @property
    def takes_models(self) -> bool:
        """Whether it has a place for logged models, as MLflow has from 3 on."""

    def experiment(self, experiment: Any) -> tuple[str, bool]:
        """The id there of an experiment of this name, and whether it had to be made."""

    def find(self, outgoing: OutgoingRun) -> tuple[str, str | None] | None:
        """The id there of a run that was exported before, and its digest; None for the digest if it was not."""

    def put(self, outgoing: OutgoingRun, experiment_id: str, before: str | None) -> tuple[str, list[Lost]]:
        """Write a run, in place of `before`; returns its id there and what was lost."""

    def find_model(self, outgoing: OutgoingModel) -> tuple[str, str | None] | None:
        """The id there of a logged model that was exported before, and its digest; None for it if it was not."""

    def put_model(self, outgoing: OutgoingModel, experiment_id: str, before: str | None) -> tuple[str, list[Lost]]:
        """Write a logged model, in place of `before`; returns its id there and what was lost."""

    def model_uri(self, experiment_id: str, model_id: str) -> str:
        """Where the files of a logged model are; both ids are those there."""

    def set_created(self, name: str, version: int | None, time: int) -> None:
        """Say when a registered model, or a version of it, was made, where the store lets this be said."""

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

        with _environment({_RETRIES: "0"}):  # whether one answers is seen at once
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

        target = Folder(Path(uri.removeprefix("file://").removeprefix("file:")).resolve())
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    # Newer ones open no folder without the variable. For logged models they look in the store that is set in this
    # process, else in the one that is in the environment, else in a database that they make in the current folder.
    with _environment({_FILE_STORE: "true", _URI: target.uri}), _use_tracking_uri(target.uri):
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
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
