"""MLflow's SQL store: the tables of its databases from 1.0 on, of which older ones lack some, and some columns."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from runstone.imports.incoming import IncomingFile, Refusal
from runstone.imports.mlflow.artifacts import Artifacts, local_folders
from runstone.imports.mlflow.files import MODEL_STATUSES
from runstone.imports.mlflow.revisions import KNOWN, UnknownRevision
from runstone.imports.mlflow.source import (
    SourceDataset,
    SourceExperiment,
    SourceModel,
    SourceRegistered,
    SourceRun,
    SourceVersion,
    origin_of,
)
from runstone.imports.mlflow.sql import Database
from runstone.imports.mlflow.tables import Row, Tables, marks
from runstone.records.metric import Metric
from runstone.records.model_metric import ModelPoint

_BATCH = 200
_MOST_POINTS = 500_000
"""Runs, and points, that are read at once."""

_LEFT_OUT = {
    "traces": "trace_info",
    "assessments": "assessments",
    "webhooks": "webhooks",
    "scorers": "scorers",
    "evaluation datasets": "evaluation_datasets",
    "issues": "issues",
    "label schemas": "label_schemas",
    "review queues": "review_queues",
    "gateway endpoints": "endpoints",
    "secrets": "secrets",
    "MCP servers": "mcp_servers",
    "guardrails": "guardrails",
}


class DatabaseSource:
    """A database.

    Args:
        database: The database, opened.
        roots: Places that artifacts may be in; see `Artifacts`.

    Raises:
        UnknownRevision: Its schema is none that is known.
    """

    def __init__(self, database: Database, *, roots: Sequence[str] = ()) -> None:
        self._database, self._tables = database, Tables(database)
        self.shown = database.shown
        found = [row["version_num"] for row in self._tables.select("alembic_version", "version_num")]
        if not found or any(revision not in KNOWN for revision in found):
            raise UnknownRevision(self.shown, str(found[0]) if found else None)
        folders = local_folders(roots)
        proxied = list(roots)
        if database.folder is not None:
            folders.append(database.folder)
            proxied += [str(database.folder / name) for name in ("mlartifacts", "mlruns")]
        self._artifacts = Artifacts(folders, database.folder, proxied)

    @cached_property
    def origin(self) -> str:
        """See `Source`."""
        return origin_of(self._experiments)

    # --- tracking

    def experiments(self) -> Sequence[SourceExperiment]:
        """See `Source`."""
        return self._experiments

    @cached_property
    def _experiments(self) -> list[SourceExperiment]:
        columns = "experiment_id name artifact_location lifecycle_stage creation_time workspace"
        tags = self._tables.texts("experiment_tags", "experiment_id")
        return [
            SourceExperiment(
                id=str(row["experiment_id"]),
                name=_in_workspace(row),
                tags=tags.get(row["experiment_id"], {}),
                created=row["creation_time"],
                is_deleted=row["lifecycle_stage"] == "deleted",
                location=str(row["artifact_location"] or ""),
            )
            for row in self._tables.select("experiments", columns, order="experiment_id")
        ]

    def count_runs(self, experiments: Sequence[SourceExperiment]) -> int:
        """See `Source`."""
        wanted = {each.id for each in experiments}
        sql = 'SELECT experiment_id, count(*) FROM "runs" GROUP BY experiment_id'
        return sum(number for experiment_id, number in self._database.rows(sql) if str(experiment_id) in wanted)

    def runs(self, experiments: Sequence[SourceExperiment], refuse: Refusal) -> Iterable[SourceRun]:
        """See `Source`."""
        wanted = {each.id: each for each in experiments}
        columns = (
            "run_uuid experiment_id name user_id status start_time end_time lifecycle_stage deleted_time artifact_uri "
            "source_name source_version entry_point_name"
        )
        found = list(self._tables.select("runs", columns, order="start_time, run_uuid"))
        nameless = sum(1 for row in found if not row["run_uuid"])
        if nameless:
            refuse("without an id", f"there are {nameless} of them")
        chosen = [row for row in found if row["run_uuid"] and str(row["experiment_id"]) in wanted]
        datasets = {row["dataset_uuid"]: row for row in self._tables.select("datasets", _DATASET)}
        for rows in self._batches(chosen):
            ids = [row["run_uuid"] for row in rows]
            params, tags = self._tables.texts("params", "run_uuid", ids), self._tables.texts("tags", "run_uuid", ids)
            points, links = self._points(ids), self._links(ids)
            for row in rows:
                run_id = row["run_uuid"]
                experiment = wanted[str(row["experiment_id"])]
                own = links.get(run_id, ())
                yield SourceRun(
                    id=run_id,
                    experiment_id=experiment.id,
                    name=row["name"] or None,
                    user=row["user_id"] or None,
                    status=row["status"] or "FINISHED",
                    started=row["start_time"],
                    ended=row["end_time"],
                    is_deleted=row["lifecycle_stage"] == "deleted" or experiment.is_deleted,
                    deleted=row["deleted_time"],
                    artifact_uri=row["artifact_uri"] or "",
                    params=params.get(run_id, {}),
                    tags=_old_tags(row) | tags.get(run_id, {}),
                    points=points.pop(run_id, ()),
                    datasets=[
                        _dataset(datasets[link["source_id"]], link["tags"])
                        for link in own
                        if link["source_type"] == "DATASET" and link["source_id"] in datasets
                    ],
                    model_inputs=[link["destination_id"] for link in own if link["destination_type"] == "MODEL_INPUT"],
                    outputs=[
                        (link["destination_id"], link["step"] or 0)
                        for link in own
                        if link["destination_type"] == "MODEL_OUTPUT"
                    ],
                )
        self._tables.tell(refuse)

    def _batches(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Rows of runs, as many at a time as their points leave room for."""
        sql = 'SELECT "run_uuid", count(*) FROM "metrics" GROUP BY "run_uuid"'
        counts = {str(run_id): int(number) for run_id, number in self._database.rows(sql)}
        batch: list[Row] = []
        points = 0
        for row in rows:
            points += counts.get(row["run_uuid"], 0)
            if batch and (len(batch) >= _BATCH or points > _MOST_POINTS):
                yield batch
                batch, points = [], counts.get(row["run_uuid"], 0)
            batch.append(row)
        if batch:
            yield batch

    def _points(self, ids: Sequence[str]) -> dict[str, list[Metric]]:
        known = self._tables.columns("metrics")
        step = '"step"' if "step" in known else "0"
        nan = '"is_nan"' if "is_nan" in known else "0"
        names, values = marks(ids)
        sql = (
            f'SELECT "run_uuid", "key", "value", "timestamp", {step}, {nan} FROM "metrics" '
            f'WHERE "run_uuid" IN ({names}) ORDER BY "run_uuid", "key", "timestamp", {step}, "value"'
        )
        found: dict[str, list[Metric]] = {}
        for run_id, key, value, timestamp, at, is_nan in self._database.rows(sql, **values):
            points = found.get(run_id)
            if points is None:
                points = found[run_id] = []
            try:
                number = float("nan") if is_nan or value is None else float(value)
                points.append(Metric(key, number, int(timestamp or 0), int(at or 0)))
            except (TypeError, ValueError, OverflowError):
                self._tables.damage("metrics", key)
        return found

    def _links(self, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """What `inputs` says of runs: datasets and models that they read, models that they made."""
        columns = "input_uuid source_type source_id destination_type destination_id step"
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        by_input: dict[str, dict[str, Any]] = {}
        names, values = marks(ids)
        where = f'"source_id" IN ({names}) OR "destination_id" IN ({names})'
        for row in self._tables.select("inputs", columns, where=where, values=values, order="input_uuid"):
            link = {**row, "tags": {}}
            by_input[row["input_uuid"]] = link
            found[row["source_id"] if str(row["source_type"]).startswith("RUN") else row["destination_id"]].append(link)
        names, values = marks(list(by_input))
        for row in self._tables.select(
            "input_tags", "input_uuid name value", where=f'"input_uuid" IN ({names})', values=values
        ):
            by_input[row["input_uuid"]]["tags"][row["name"]] = row["value"]
        return found

    # --- logged models

    def models(self, experiments: Sequence[SourceExperiment], refuse: Refusal) -> Iterable[SourceModel]:
        """See `Source`."""
        wanted = {each.id: each for each in experiments}
        columns = (
            "model_id experiment_id name artifact_location creation_timestamp_ms last_updated_timestamp_ms status "
            "lifecycle_stage model_type source_run_id"
        )
        tags = self._tables.texts("logged_model_tags", "model_id", key="tag_key", value="tag_value")
        params = self._tables.texts("logged_model_params", "model_id", key="param_key", value="param_value")
        points: dict[str, list[tuple[str | None, ModelPoint]]] = defaultdict(list)
        for row in self._tables.select("logged_model_metrics", _MODEL_METRIC, order="metric_name, metric_timestamp_ms"):
            value = float("nan") if row["metric_value"] is None else row["metric_value"]
            at, step = row["metric_timestamp_ms"] or 0, row["metric_step"] or 0
            measured = row["dataset_name"] or None, row["dataset_digest"] or None
            point = ModelPoint(row["model_id"], row["metric_name"], step, at, value, *measured)
            points[row["model_id"]].append((row["run_id"], point))
        for row in self._tables.select("logged_models", columns, order="creation_timestamp_ms, model_id"):
            experiment = wanted.get(str(row["experiment_id"]))
            if experiment is None or row["model_id"] is None:
                continue
            yield SourceModel(
                id=row["model_id"],
                experiment_id=experiment.id,
                name=row["name"] or "model",
                artifact_uri=row["artifact_location"] or "",
                created=row["creation_timestamp_ms"] or 0,
                updated=row["last_updated_timestamp_ms"] or 0,
                status=MODEL_STATUSES.get(row["status"], str(row["status"])),
                type=row["model_type"] or None,
                run_id=row["source_run_id"] or None,
                is_deleted=row["lifecycle_stage"] == "deleted" or experiment.is_deleted,
                tags=tags.get(row["model_id"], {}),
                params=params.get(row["model_id"], {}),
                points=points.get(row["model_id"], ()),
            )
        self._tables.tell(refuse)

    # --- the registry

    def registered(self, refuse: Refusal) -> Sequence[SourceRegistered]:
        """See `Source`."""
        tags = self._in_registry("registered_model_tags", "key value")
        aliases = self._in_registry("registered_model_aliases", "alias version")
        version_tags = self._in_registry("model_version_tags", "version key value")
        versions: dict[tuple[str, str], list[SourceVersion]] = defaultdict(list)
        for row in self._tables.select("model_versions", _VERSION, order="name, version"):
            if row["version"] is None:
                continue
            place = (_workspace(row), row["name"])
            source = row["source"] or ""
            versions[place].append(
                SourceVersion(
                    number=row["version"],
                    created=row["creation_time"],
                    user=row["user_id"] or None,
                    description=row["description"] or None,
                    stage=row["current_stage"] or "None",
                    source=source,
                    location=row["storage_location"] or None,
                    run_id=row["run_id"] or None,
                    run_link=row["run_link"] or None,
                    model_id=source.removeprefix("models:/") if source.startswith("models:/m-") else None,
                    tags={
                        each["key"]: each["value"] or ""
                        for each in version_tags.get(place, ())
                        if each["version"] == row["version"]
                    },
                )
            )
        found = []
        for row in self._tables.select("registered_models", "name creation_time description workspace", order="name"):
            place = (_workspace(row), row["name"])
            found.append(
                SourceRegistered(
                    name=_in_workspace(row),
                    description=row["description"] or None,
                    created=row["creation_time"],
                    tags={each["key"]: each["value"] or "" for each in tags.get(place, ())},
                    aliases={each["alias"]: each["version"] for each in aliases.get(place, ()) if each["version"]},
                    versions=versions.get(place, ()),
                )
            )
        self._tables.tell(refuse)
        return found

    def _in_registry(self, table: str, columns: str) -> dict[tuple[str, str], list[Row]]:
        found: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self._tables.select(table, f"name workspace {columns}"):
            found[_workspace(row), row["name"]].append(row)
        return found

    # --- files

    def run_files(self, run: SourceRun, refuse: Refusal) -> Iterable[IncomingFile]:
        """See `Source`."""
        return self._artifacts.files(run.artifact_uri, refuse)

    def model_files(self, model: SourceModel, refuse: Refusal) -> Iterable[IncomingFile]:
        """See `Source`."""
        return self._artifacts.files(model.artifact_uri, refuse)

    def place_files(self, uri: str, refuse: Refusal) -> Iterable[IncomingFile]:
        """See `Source`."""
        return self._artifacts.files(uri, refuse)

    def left_out(self) -> Iterable[tuple[str, int]]:
        """See `Source`."""
        for kind, table in _LEFT_OUT.items():
            if self._tables.columns(table):
                yield kind, next(iter(self._database.rows(f'SELECT count(*) FROM "{table}"')))[0]

    def close(self) -> None:
        """See `Source`."""
        self._database.close()


_DATASET = "dataset_uuid name digest dataset_source_type dataset_source dataset_schema dataset_profile"
_MODEL_METRIC = "model_id metric_name metric_timestamp_ms metric_step metric_value run_id dataset_name dataset_digest"
_VERSION = (
    "name version creation_time description user_id current_stage source run_id run_link storage_location workspace"
)


def _dataset(row: Row, tags: Mapping[str, str]) -> SourceDataset:
    return SourceDataset(
        name=row["name"],
        digest=row["digest"],
        source_type=row["dataset_source_type"],
        source=row["dataset_source"],
        schema=row["dataset_schema"],
        profile=row["dataset_profile"],
        tags=dict(tags),
    )


def _workspace(row: Row) -> str:
    return row["workspace"] or "default"


def _in_workspace(row: Row) -> str:
    """A name; of another workspace than the default one with that before it, as names are unique in one only."""
    workspace = _workspace(row)
    return str(row["name"]) if workspace == "default" else f"{workspace}/{row['name']}"


def _old_tags(row: Row) -> dict[str, str]:
    """What MLflow before 1.0 kept in columns, as the tags of today."""
    found = {
        "mlflow.source.name": row["source_name"],
        "mlflow.source.git.commit": row["source_version"],
        "mlflow.project.entryPoint": row["entry_point_name"],
    }
    return {key: str(value) for key, value in found.items() if value}
