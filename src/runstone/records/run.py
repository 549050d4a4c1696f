"""Runs: the record of one execution, flat as its YAML is, with MLflow's views of it.

`Run` is what every read returns. `run.info`, `run.data` and `run.inputs` give the shape MLflow users
know, from the same values; params keep their YAML types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runstone.errors import InvalidName, RecordInvalid
from runstone.names import check_run_id
from runstone.records.dataset import Dataset
from runstone.records.document import Document, Reader, format_time, show
from runstone.records.metric import MetricSummary
from runstone.records.model import ModelReference
from runstone.records.upgrade import check_format

SCHEMA = "runstone/run/v1"
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
ParamValue = str | int | float | bool | None | list[Any] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the code of a run came from. What is not known is None.

    Attributes:
        command: The command line, secrets redacted.
        directory: The working directory, relative to the top of the work tree.
        commit: HEAD.
        branch: The branch HEAD was on; None when detached.
        snapshot: A commit that holds the exact tree; HEAD when the tree was clean.
        dirty: Whether the tree differed from HEAD: tracked edits, or files neither tracked nor ignored.
        remote: The URL of the remote, credentials stripped.
        notebook: The notebook that ran, relative to the top of the work tree; as it was on disk it is in the snapshot.
        left_out: What of the work tree the snapshot does not hold, as `{path, reason}`.
        capture: Of a command that `runstone run` recorded, what it was told to read: `{params, metrics, artifacts}`.
    """

    command: tuple[str, ...] = ()
    directory: str | None = None
    commit: str | None = None
    branch: str | None = None
    snapshot: str | None = None
    dirty: bool | None = None
    remote: str | None = None
    notebook: str | None = None
    left_out: tuple[Document, ...] = ()
    capture: Document | None = None
    extra: Document = field(default_factory=dict)

    @property
    def code(self) -> str | None:
        """The commit that holds the code, as the record names it: the snapshot; of a run without one, the commit."""
        return self.snapshot or self.commit

    def to_document(self) -> Document:
        """The source as the record's YAML holds it; what is not known is left out."""
        known = {
            "command": list(self.command) or None,
            "directory": self.directory,
            "commit": self.commit,
            "branch": self.branch,
            "snapshot": self.snapshot,
            "dirty": self.dirty,
            "remote": self.remote,
            "notebook": self.notebook,
            "left_out": list(self.left_out) or None,
            "capture": self.capture,
        }
        return {k: v for k, v in known.items() if v is not None} | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str, prefix: str) -> "Source":
        """Read the source of a run; raises `RecordInvalid` with the key."""
        reader = Reader(document, where, prefix)
        return cls(
            command=reader.take_texts("command"),
            directory=reader.take("directory", str),
            commit=reader.take("commit", str),
            branch=reader.take("branch", str),
            snapshot=reader.take("snapshot", str),
            dirty=reader.take("dirty", bool),
            remote=reader.take("remote", str),
            notebook=reader.take("notebook", str),
            left_out=tuple(_maps(where, f"{prefix}.left_out", reader.take("left_out", list) or [])),
            capture=reader.take("capture", dict),
            extra=reader.extra(),
        )


@dataclass(frozen=True, slots=True)
class Environment:
    """What a run ran on. `requirements` names the file of exact packages beside the record."""

    python: str | None = None
    platform: str | None = None
    requirements: str | None = None
    extra: Document = field(default_factory=dict)

    def to_document(self) -> Document:
        """The environment as the record's YAML holds it."""
        known = {"python": self.python, "platform": self.platform, "requirements": self.requirements}
        return {k: v for k, v in known.items() if v is not None} | self.extra

    @classmethod
    def from_document(cls, document: Any, where: str, prefix: str) -> "Environment":
        """Read the environment of a run; raises `RecordInvalid` with the key."""
        reader = Reader(document, where, prefix)
        return cls(
            python=reader.take("python", str),
            platform=reader.take("platform", str),
            requirements=reader.take("requirements", str),
            extra=reader.extra(),
        )


@dataclass(frozen=True, slots=True)
class RunInfo:
    """MLflow's view of a run's own attributes. Times are Unix milliseconds."""

    run_id: str
    run_name: str
    experiment_id: str
    user_id: str
    status: str
    start_time: int
    end_time: int | None
    lifecycle_stage: str
    artifact_uri: str


@dataclass(frozen=True, slots=True)
class RunData:
    """MLflow's view of what a run logged: params (typed), the last value of each metric, tags."""

    params: Mapping[str, ParamValue]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunInputs:
    """MLflow's view of what a run read."""

    dataset_inputs: tuple[Dataset, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as recorded or as its journal tells so far.

    Attributes:
        id: 32 hex digits, or the user's own key.
        experiment_id: The experiment's folder. From the record's path, not from its text.
        experiment: The experiment's name when the run was recorded.
        started: Unix milliseconds.
        ended: Unix milliseconds; None while it runs.
        parent: The id of the run it is nested in.
        rerun_of: The id of the run that it repeats.
        attempts: The stretches of a resumed run, the last one included, as `{started, ended, status, commit}`.
        lifecycle: `active` or `deleted`.
        deleted: Of a deleted run, when and why.
        conflicts: Values of params that lost: two processes logged one param differently.
        amendments: Corrections made after the run had ended, as `{at, by, reason, keys}`; git has both values.
        extra: Keys of a newer minor version, carried through.
    """

    id: str
    name: str
    experiment: str
    experiment_id: str
    status: str
    user: str
    started: int
    ended: int | None = None
    parent: str | None = None
    rerun_of: str | None = None
    lifecycle: str = "active"
    deleted: Document | None = None
    source: Source = field(default_factory=Source)
    environment: Environment = field(default_factory=Environment)
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    metrics: Mapping[str, MetricSummary] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[Dataset, ...] = ()
    models: tuple[ModelReference, ...] = ()
    attempts: tuple[Document, ...] = ()
    conflicts: tuple[Document, ...] = ()
    amendments: tuple[Document, ...] = ()
    extra: Document = field(default_factory=dict)

    @property
    def info(self) -> RunInfo:
        """MLflow's `run.info`."""
        return RunInfo(
            run_id=self.id,
            run_name=self.name,
            experiment_id=self.experiment_id,
            user_id=self.user,
            status=self.status,
            start_time=self.started,
            end_time=self.ended,
            lifecycle_stage=self.lifecycle,
            artifact_uri=f"runs:/{self.id}",
        )

    @property
    def data(self) -> RunData:
        """MLflow's `run.data`."""
        return RunData(self.params, {k: m.last for k, m in self.metrics.items()}, self.tags)

    @property
    def inputs(self) -> RunInputs:
        """MLflow's `run.inputs`."""
        return RunInputs(self.datasets)

    def to_document(self) -> Document:
        """The run as `run.yaml` holds it: known keys in their order, then the carried ones."""
        document: Document = {
            "schema": SCHEMA,
            "id": self.id,
            "name": self.name,
            "experiment": self.experiment,
            "status": self.status,
            "user": self.user,
            "started": format_time(self.started),
        }
        if self.ended is not None:
            document["ended"] = format_time(self.ended)
        if self.parent is not None:
            document["parent"] = self.parent
        if self.rerun_of is not None:
            document["rerun_of"] = self.rerun_of
        if self.lifecycle != "active":
            document["lifecycle"] = self.lifecycle
        if self.deleted is not None:
            document["deleted"] = self.deleted
        sections: list[tuple[str, Any]] = [
            ("source", self.source.to_document()),
            ("environment", self.environment.to_document()),
            ("params", dict(self.params)),
            ("metrics", {key: summary.to_document() for key, summary in self.metrics.items()}),
            ("tags", dict(self.tags)),
            ("datasets", [dataset.to_document() for dataset in self.datasets]),
            ("models", [model.to_document() for model in self.models]),
            ("attempts", list(self.attempts)),
            ("conflicts", list(self.conflicts)),
            ("amendments", list(self.amendments)),
        ]
        return document | {key: value for key, value in sections if value} | self.extra

    @classmethod
    def from_document(cls, document: Any, experiment_id: str, where: str) -> "Run":
        """Read `run.yaml`.

        Args:
            document: What YAML gave.
            experiment_id: The folder the record lies in.
            where: File and commit, for messages.

        Raises:
            RecordInvalid: A key is missing or of the wrong kind.
            NewerFormat: The record was written by a newer Runstone.
        """
        reader = Reader(document, where)
        check_format(document, "run", where)
        reader.take("schema", str)
        status = reader.need("status", str)
        if status not in STATUSES:
            raise reader.fail("status", f"must be one of {', '.join(STATUSES)}, but is {show(status)}")
        lifecycle = reader.take_choice("lifecycle", ("active", "deleted"))
        started = reader.take_time("started")
        if started is None:
            raise reader.fail("started", "is missing")
        params = reader.take("params", dict) or {}
        metrics = reader.take("metrics", dict) or {}
        _check_keys(where, "params", params)
        _check_keys(where, "metrics", metrics)
        return cls(
            id=_run_id(reader, reader.need("id", str)),
            name=reader.need("name", str),
            experiment=reader.need("experiment", str),
            experiment_id=experiment_id,
            status=status,
            user=reader.take("user", str) or "",
            started=started,
            ended=reader.take_time("ended"),
            parent=reader.take("parent", str),
            rerun_of=reader.take("rerun_of", str),
            lifecycle=lifecycle,
            deleted=reader.take("deleted", dict),
            source=Source.from_document(reader.take("source", dict) or {}, where, "source"),
            environment=Environment.from_document(reader.take("environment", dict) or {}, where, "environment"),
            params=params,
            metrics={k: MetricSummary.from_document(m, where, f"metrics.{k}") for k, m in metrics.items()},
            tags=reader.take_text_map("tags"),
            datasets=tuple(
                Dataset.from_document(d, where, f"datasets[{i}]")
                for i, d in enumerate(reader.take("datasets", list) or [])
            ),
            models=tuple(
                ModelReference.from_document(m, where, f"models[{i}]")
                for i, m in enumerate(reader.take("models", list) or [])
            ),
            attempts=tuple(_maps(where, "attempts", reader.take("attempts", list) or [])),
            conflicts=tuple(_maps(where, "conflicts", reader.take("conflicts", list) or [])),
            amendments=tuple(_maps(where, "amendments", reader.take("amendments", list) or [])),
            extra=reader.extra(),
        )


def _run_id(reader: Reader, run_id: str) -> str:
    try:
        return check_run_id(run_id)
    except InvalidName as error:
        raise reader.fail("id", f"must be a run id, but is {show(run_id)}: {error.why}") from None


def _check_keys(where: str, section: str, values: Mapping[Any, Any]) -> None:
    for key in values:
        if not isinstance(key, str):
            raise RecordInvalid(where, f"`{section}` must have text for keys, but has {key!r}; quote it")


def _maps(where: str, section: str, values: Sequence[Any]) -> list[Document]:
    for i, value in enumerate(values):
        if not isinstance(value, dict):
            raise RecordInvalid(where, f"`{section}[{i}]` must be a map")
    return list(values)
