"""A database of MLflow's: made by the MLflow that is installed, written through its tables, a transaction a run.

So ids and times stay, which MLflow's interface would give anew.
"""

import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runstone.errors import InvalidValue, OutputRefused
from runstone.exports.mlflow.target import DIGEST_TAG, ID_TAG, Lost, OutgoingRun

_MAX_FLOAT = 1.7976931348623157e308
_ROWS = 5000


class Database:
    """A database by its SQLAlchemy URI."""

    def __init__(self, uri: str, artifacts: Path | None) -> None:
        """Open one, made if it is empty.

        Args:
            uri: As `sqlite:///mlflow.db`.
            artifacts: Where artifacts go; beside a SQLite file if not given.

        Raises:
            InvalidValue: Nobody said where artifacts go.
            OutputRefused: It cannot be opened, or is of another MLflow's schema.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.store.tracking.dbmodels import models
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
        from sqlalchemy.exc import SQLAlchemyError

        path = uri.partition("://")[2].removeprefix("/").partition("?")[0] if uri.startswith("sqlite") else None
        if artifacts is None and not path:
            raise InvalidValue("Say where artifacts go that the database names: `--artifacts DIR`")
        self._artifacts = (artifacts or Path(path or "").parent / "mlartifacts").absolute()
        if path and not path.startswith((":", "file:")):
            _check(Path(path))
        try:
            self._store = SqlAlchemyStore(uri, f"file://{quote(str(self._artifacts))}")
        except (MlflowException, SQLAlchemyError) as error:
            why = str(error).splitlines()[0]
            raise OutputRefused(
                Path(path or "the database"), why, "Name another place, or `mlflow db upgrade`."
            ) from error
        self._uri = uri
        self._models = models
        self._deleted: list[str] = []
        self._experiments = {e.name: e for e in _all_experiments(self._store)}

    @property
    def uri(self) -> str:
        """As MLflow's clients are given it."""
        return self._uri

    def experiment(self, experiment: Any) -> tuple[str, bool]:
        """The id there of an experiment of this name, and whether it had to be made."""
        from mlflow.entities import ExperimentTag

        found = self._experiments.get(experiment.name)
        is_new = found is None
        if found is None:
            made = self._store.create_experiment(experiment.name)
            with self._session() as session:
                row = session.get(self._models.SqlExperiment, int(made))
                row.creation_time, row.last_update_time = experiment.creation_time, experiment.last_update_time
            found = self._experiments[experiment.name] = self._store.get_experiment(made)
            if experiment.lifecycle_stage == "deleted":
                self._deleted.append(str(made))
        if found.lifecycle_stage == "active":
            for key, value in experiment.tags.items():
                if found.tags.get(key) != value:
                    self._store.set_experiment_tag(found.experiment_id, ExperimentTag(key, value))
        return str(found.experiment_id), is_new

    def find(self, outgoing: OutgoingRun) -> tuple[str, str | None] | None:
        """The id there of a run that was exported before, and its digest; None for the digest if it was not."""
        models, run_id = self._models, outgoing.id_there
        with self._session() as session:
            if session.get(models.SqlRun, run_id) is None:
                return None
            tag = session.get(models.SqlTag, (DIGEST_TAG, run_id))
            if tag is not None:
                return run_id, tag.value
            return run_id, None if session.get(models.SqlTag, (ID_TAG, run_id)) is None else ""

    def put(self, outgoing: OutgoingRun, experiment_id: str, before: str | None) -> tuple[str, list[Lost]]:
        """Write a run, in place of `before`; returns its id there and what was lost."""
        from sqlalchemy import delete, insert

        models, run_id, info = self._models, outgoing.id_there, outgoing.run.info
        folder = self._artifacts / experiment_id / run_id / "artifacts"
        lost: list[Lost] = list(outgoing.place_artifacts(folder))
        tags = outgoing.tags
        digest = tags.pop(DIGEST_TAG)
        of_run = (models.SqlLatestMetric, models.SqlMetric, models.SqlParam, models.SqlTag)
        with self._session() as session:
            if before is not None:
                for model in of_run:
                    session.execute(delete(model).where(model.run_uuid == before))
                session.execute(delete(models.SqlInput).where(models.SqlInput.destination_id == before))
                session.execute(delete(models.SqlRun).where(models.SqlRun.run_uuid == before))
            run = models.SqlRun(
                run_uuid=run_id,
                name=info.run_name,
                experiment_id=int(experiment_id),
                user_id=info.user_id,
                status=info.status,
                start_time=info.start_time,
                end_time=info.end_time,
                deleted_time=info.end_time if info.lifecycle_stage == "deleted" else None,
                lifecycle_stage=info.lifecycle_stage,
                artifact_uri=f"file://{quote(str(folder))}",
                source_type="LOCAL",
                source_name="",
                entry_point_name="",
                source_version="",
            )
            session.add(run)
            session.flush()
            rows = {
                models.SqlParam: list(_texts("param", outgoing.run.data.params, models.SqlParam, lost)),
                models.SqlTag: list(_texts("tag", tags, models.SqlTag, lost)),
                models.SqlMetric: list({_key(row): row for row in _points(outgoing)}.values()),
            }
            rows[models.SqlLatestMetric] = list(_latest(rows[models.SqlMetric]).values())
            for model, values in rows.items():
                for at in range(0, len(values), _ROWS):
                    batch = [{**row, "run_uuid": run_id} for row in values[at : at + _ROWS]]
                    session.execute(insert(model), batch)
        lost += self._log_inputs(outgoing, run_id)
        with self._session() as session:  # last: so a run that was cut short is written anew
            session.add(models.SqlTag(key=DIGEST_TAG, value=digest, run_uuid=run_id))
        return run_id, lost

    def settle(self) -> None:
        """Delete the experiments that are deleted here; of the runs, which have states of their own, none changes."""
        with self._session() as session:
            for experiment_id in self._deleted:
                session.get(self._models.SqlExperiment, int(experiment_id)).lifecycle_stage = "deleted"

    def close(self) -> None:
        """Let go the connections."""
        self._store.engine.dispose()

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """A transaction of its own; MLflow's sessions may be for reading only."""
        from sqlalchemy.orm import Session

        with Session(self._store.engine) as session, session.begin():
            yield session

    def _log_inputs(self, outgoing: OutgoingRun, run_id: str) -> list[Lost]:
        inputs = outgoing.run.inputs
        if inputs is None or not inputs.dataset_inputs:
            return []
        if outgoing.run.info.lifecycle_stage != "active":
            return [Lost("datasets", str(len(inputs.dataset_inputs)), "MLflow takes none for a deleted run")]
        self._store.log_inputs(run_id, inputs.dataset_inputs)
        return []


def _check(path: Path) -> None:
    """Whether a SQLite file can be opened: MLflow would try again for minutes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sqlite3.connect(path).close()
    except (OSError, sqlite3.Error) as error:
        raise OutputRefused(path, getattr(error, "strerror", None) or str(error), "Name another place.") from error


def _all_experiments(store: Any) -> Iterator[Any]:
    from mlflow.entities import ViewType

    token = None
    while True:
        page = store.search_experiments(ViewType.ALL, 1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _texts(kind: str, values: Any, model: Any, lost: list[Lost]) -> Iterator[dict[str, Any]]:
    """Params or tags as rows; what a column is too short for is cut, or left out where it is the key."""
    longest_key, longest = model.key.type.length, model.value.type.length
    for key, value in values.items():
        if len(key) > longest_key:
            lost.append(Lost(kind, key[:80], f"MLflow's keys have at most {longest_key} characters"))
            continue
        if len(value) > longest:
            lost.append(Lost(kind, key, f"cut to the {longest} characters that MLflow has room for"))
        yield {"key": key, "value": value[:longest]}


def _points(outgoing: OutgoingRun) -> Iterator[dict[str, Any]]:
    for point in outgoing.points:
        is_nan = math.isnan(point.value)
        value = 0.0 if is_nan else max(-_MAX_FLOAT, min(_MAX_FLOAT, point.value))
        yield {"key": point.key, "value": value, "timestamp": point.timestamp, "step": point.step, "is_nan": is_nan}


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["key"], row["step"], row["timestamp"], row["value"], row["is_nan"]


def _latest(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each metric the point that MLflow shows: the greatest by step, time and value."""
    latest: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["key"] not in latest or _key(row)[1:4] > _key(latest[row["key"]])[1:4]:
            latest[row["key"]] = row
    return latest
