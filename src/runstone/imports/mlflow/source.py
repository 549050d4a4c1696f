"""What an import asks of a store of MLflow's, and the values it answers with, in MLflow's own words."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from runstone.imports.foreign import is_time
from runstone.imports.incoming import IncomingFile, Refusal
from runstone.records.metric import Metric
from runstone.records.model_metric import ModelPoint

DELETED_VERSION = "Deleted_Internal"
"""The stage by which MLflow marks a version that was deleted: its number is never given again."""

NO_PLACE = "Runstone has no place for these"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceExperiment:
    """An experiment. Times, here as below, are Unix milliseconds."""

    id: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    created: int | None = None
    is_deleted: bool = False
    location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDataset:
    """A dataset that a run read; `tags` are those of the input."""

    name: str
    digest: str
    source_type: str | None = None
    source: str | None = None
    schema: str | None = None
    profile: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRun:
    """A run.

    Attributes:
        experiment_id: The id of its experiment there.
        artifact_uri: Where its files are.
        outputs: The logged models that it made, with the step.
        points: Of its metrics, read late; by key, and in the order of time.
    """

    id: str
    experiment_id: str
    name: str | None = None
    user: str | None = None
    status: str = "FINISHED"
    started: int | None = None
    ended: int | None = None
    is_deleted: bool = False
    deleted: int | None = None
    artifact_uri: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    points: Iterable[Metric] = ()
    datasets: Sequence[SourceDataset] = ()
    model_inputs: Sequence[str] = ()
    outputs: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceModel:
    """A logged model of MLflow 3. `points` are those measured of it, each with the run that measured it, if one did."""

    id: str
    experiment_id: str
    name: str
    artifact_uri: str = ""
    created: int = 0
    updated: int = 0
    status: str = "READY"
    type: str | None = None
    run_id: str | None = None
    is_deleted: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    points: Sequence[tuple[str | None, ModelPoint]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceVersion:
    """A version of a registered model.

    Attributes:
        source: Where it was made from, as it was said.
        location: Where its files are, where MLflow 3 has found that out.
        model_id: The logged model it was made from.
    """

    number: int
    created: int | None = None
    user: str | None = None
    description: str | None = None
    stage: str = "None"
    source: str = ""
    location: str | None = None
    run_id: str | None = None
    run_link: str | None = None
    model_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRegistered:
    """A registered model, its versions by number."""

    name: str
    description: str | None = None
    created: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    versions: Sequence[SourceVersion] = ()


class Source(Protocol):
    """A store of MLflow's.

    Attributes:
        shown: What to call it, without credentials.
        origin: What tells it from others, in a few characters, wherever it is reached from.
    """

    shown: str

    @property
    def origin(self) -> str:
        """See above."""

    def experiments(self) -> Sequence[SourceExperiment]:
        """All experiments, deleted ones too."""

    def count_runs(self, experiments: Sequence[SourceExperiment]) -> int:
        """How many runs they have, deleted ones too."""

    def runs(self, experiments: Sequence[SourceExperiment], refuse: Refusal) -> Iterable[SourceRun]:
        """Their runs, in the order that they began; `refuse` is told of those that cannot be read."""

    def models(self, experiments: Sequence[SourceExperiment], refuse: Refusal) -> Iterable[SourceModel]:
        """Their logged models, deleted ones too."""

    def registered(self, refuse: Refusal) -> Sequence[SourceRegistered]:
        """The registered models."""

    def run_files(self, run: SourceRun, refuse: Refusal) -> Iterable[IncomingFile]:
        """The files of a run; `refuse` is told of those that cannot be listed."""

    def model_files(self, model: SourceModel, refuse: Refusal) -> Iterable[IncomingFile]:
        """The files of a logged model."""

    def place_files(self, uri: str, refuse: Refusal) -> Iterable[IncomingFile]:
        """The files below a place that a version names."""

    def left_out(self) -> Iterable[tuple[str, int]]:
        """What it has that is not read, by kind, and how much of it."""

    def close(self) -> None:
        """Let go of it."""


def without_credentials(uri: str) -> str:
    """A URI to be shown. A password may hold `/`, `?` and `#`, so that what is before the last `@` is none's host."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}://{re.split('[?#]', rest.rpartition('@')[2])[0]}" if separator else uri


def time_of(value: Any) -> int | None:
    """Unix milliseconds, which JSON of 64 bits has as text; None for what is no time, or of no possible year."""
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if is_time(found) else None


def origin_of(experiments: Sequence[SourceExperiment]) -> str:
    """What tells a store from others: the place and time of its first experiment, which stay where it is moved."""
    first = min(experiments, key=lambda each: (each.id != "0", each.created or 0, each.id), default=None)
    told = "" if first is None else f"{first.id} {first.location} {first.created}"
    return f"mlflow-{hashlib.sha256(told.encode('utf-8', 'replace')).hexdigest()[:12]}"
