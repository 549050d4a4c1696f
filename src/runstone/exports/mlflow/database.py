"""A database of MLflow's: made by the MLflow that is installed, written through its tables, a transaction a run.

So ids and times stay, which MLflow's interface would give anew.
"""

import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runstone.errors import InvalidValue, OutputRefused
from runstone.exports.mlflow.target import DIGEST_TAG, ID_TAG, Lost, OutgoingModel, OutgoingRun

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
        self._artifacts = (artifacts or Path(path or "").parent / "mlartifacts").resolve()
        if path and not path.startswith((":", "file:")):
            _check(Path(path))
        try:
            self._store = SqlAlchemyStore(uri, _uri(self._artifacts))
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

    @property
    def takes_models(self) -> bool:
        """Whether it has a table for them."""
        return hasattr(self._models, "SqlLoggedModel")

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
                artifact_uri=_uri(folder),
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

    def find_model(self, outgoing: OutgoingModel) -> tuple[str, str | None] | None:
        """The id there of a logged model that was exported before, and its digest; None for it if it was not."""
        models, model_id = self._models, outgoing.id_there
        with self._session() as session:
            if session.get(models.SqlLoggedModel, model_id) is None:
                return None
            tag = session.get(models.SqlLoggedModelTag, (model_id, DIGEST_TAG))
            return model_id, None if tag is None else tag.tag_value

    def put_model(self, outgoing: OutgoingModel, experiment_id: str, before: str | None) -> tuple[str, list[Lost]]:
        """Write a logged model, in place of `before`; returns its id there and what was lost."""
        from sqlalchemy import insert

        models, model_id, model = self._models, outgoing.id_there, outgoing.model
        lost: list[Lost] = list(outgoing.place_files(self._model_folder(experiment_id, model_id)))
        own = {"model_id": model_id, "experiment_id": int(experiment_id)}
        params = _texts("param", model.params or {}, models.SqlLoggedModelParam, lost, "param_")
        tags = _texts("tag", outgoing.tags, models.SqlLoggedModelTag, lost, "tag_")
        with self._session() as session:
            if before is not None:
                session.delete(session.get(models.SqlLoggedModel, before))
                session.flush()
            row = models.SqlLoggedModel(
                **own,
                name=model.name,
                artifact_location=self.model_uri(experiment_id, model_id),
                creation_timestamp_ms=model.creation_timestamp,
                last_updated_timestamp_ms=model.last_updated_timestamp,
                status=model.status.to_int(),
                lifecycle_stage="deleted" if outgoing.is_deleted else "active",
                model_type=model.model_type,
                source_run_id=outgoing.source_run_id,
            )
            session.add(row)
            session.flush()
            rows = {
                models.SqlLoggedModelParam: [{**each, **own} for each in params],
                models.SqlLoggedModelTag: [{**each, **own} for each in tags],
                models.SqlLoggedModelMetric: [{**each, **own} for each in _measured(outgoing.points)],
            }
            for table, values in rows.items():
                if values:
                    session.execute(insert(table), values)
        return model_id, lost

    def model_uri(self, experiment_id: str, model_id: str) -> str:
        """Where the files of a logged model are."""
        return _uri(self._model_folder(experiment_id, model_id))

    def set_created(self, name: str, version: int | None, time: int) -> None:
        """Say when a registered model, or a version of it, was made."""
        from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModel
        from sqlalchemy import update

        if version is None:
            change = update(SqlRegisteredModel).where(SqlRegisteredModel.name == name)
        else:
            change = update(SqlModelVersion).where(SqlModelVersion.name == name, SqlModelVersion.version == version)
        with self._session() as session:
            session.execute(change.values(creation_time=time))

    def settle(self) -> None:
        """Delete the experiments that are deleted here; of the runs, which have states of their own, none changes."""
        with self._session() as session:
            for experiment_id in self._deleted:
                session.get(self._models.SqlExperiment, int(experiment_id)).lifecycle_stage = "deleted"

    def close(self) -> None:
        """Let go the connections."""
        self._store.engine.dispose()

    def _model_folder(self, experiment_id: str, model_id: str) -> Path:
        return self._artifacts / experiment_id / "models" / model_id / "artifacts"

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


def _uri(folder: Path) -> str:
    return f"file://{quote(str(folder))}"


def _texts(kind: str, values: Any, table: Any, lost: list[Lost], prefix: str = "") -> Iterator[dict[str, Any]]:
    """Params or tags as rows; what a column is too short for is cut, or left out where it is the key."""
    key_column, value_column = f"{prefix}key", f"{prefix}value"
    longest_key, longest = (getattr(table, column).type.length for column in (key_column, value_column))
    for key, value in values.items():
        if len(key) > longest_key:
            lost.append(Lost(kind, key[:80], f"MLflow's keys have at most {longest_key} characters"))
            continue
        if longest is not None and len(value) > longest:
            lost.append(Lost(kind, key, f"cut to the {longest} characters that MLflow has room for"))
        yield {key_column: key, value_column: value[:longest]}


def _points(outgoing: OutgoingRun) -> Iterator[dict[str, Any]]:
    for point in outgoing.points:
        is_nan = math.isnan(point.value)
        value = 0.0 if is_nan else _finite(point.value)
        yield {"key": point.key, "value": value, "timestamp": point.timestamp, "step": point.step, "is_nan": is_nan}


def _measured(metrics: Iterable[Any]) -> Iterable[dict[str, Any]]:
    """The points that were measured of a logged model as rows; of one key, time, step and run the last."""
    rows = {}
    for point in metrics:
        row = {
            "metric_name": point.key,
            "metric_timestamp_ms": point.timestamp,
            "metric_step": point.step,
            "metric_value": None if math.isnan(point.value) else _finite(point.value),
            "run_id": point.run_id,
            "dataset_name": point.dataset_name,
            "dataset_digest": point.dataset_digest,
        }
        rows[point.key, point.timestamp, point.step, point.run_id] = row
    return rows.values()


def _finite(value: float) -> float:
    return max(-_MAX_FLOAT, min(_MAX_FLOAT, value))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["key"], row["step"], row["timestamp"], row["value"], row["is_nan"]


def _latest(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each metric the point that MLflow shows: the greatest by step, time and value."""
    latest: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["key"] not in latest or _key(row)[1:4] > _key(latest[row["key"]])[1:4]:
            latest[row["key"]] = row
    return latest
