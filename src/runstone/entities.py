"""Values that calls take and give, under the names MLflow users know."""

from dataclasses import dataclass
from typing import Any

from runstone.artifacts.store import FileInfo as FileInfo
from runstone.records.dataset import Dataset as Dataset
from runstone.records.experiment import Experiment as Experiment
from runstone.records.metric import Metric as Metric
from runstone.records.run import Run as Run
from runstone.records.run import RunData as RunData
from runstone.records.run import RunInfo as RunInfo
from runstone.records.run import RunInputs as RunInputs
from runstone.registry.entity import ModelVersion as ModelVersion
from runstone.registry.model import RegisteredModel as RegisteredModel


@dataclass(frozen=True, slots=True)
class Param:
    """One param, as `log_batch` takes it."""

    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class RunTag:
    """One tag, as `log_batch` takes it."""

    key: str
    value: str


class ViewType:
    """Which lifecycle a search looks at."""

    ACTIVE_ONLY = 1
    DELETED_ONLY = 2
    ALL = 3


class RunStatus:
    """The states of a run."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"
