"""Where records lie on the branch `runs`: record ⇄ path. See schemas/README.md, "The branch"."""

import re
from dataclasses import dataclass

from runstone.errors import InvalidValue
from runstone.records.document import format_time

RECORD = "run.yaml"
METRICS = "metrics.tsv"
ARTIFACTS = "artifacts.dvc"
REQUIREMENTS = "requirements.txt"
NOTES = "notes.md"
EXPERIMENTS = "experiments"


@dataclass(frozen=True, slots=True)
class RunPath:
    """The parts of a run's folder."""

    experiment_id: str
    day: str
    run_id: str

    def __str__(self) -> str:
        return f"{EXPERIMENTS}/{self.experiment_id}/{self.day}/{self.run_id[-2:]}/{self.run_id}"


def run_folder(experiment_id: str, started_ms: int, run_id: str) -> str:
    """The folder of a run: experiment, the UTC day it started, the last two characters of its id, its id."""
    return str(RunPath(experiment_id, format_time(started_ms)[:10], run_id))


def parse_run_folder(folder: str) -> RunPath | None:
    """The inverse of `run_folder`; None for any other path."""
    parts = folder.split("/")
    if len(parts) != 5 or parts[0] != EXPERIMENTS or parts[3] != parts[4][-2:]:
        return None
    return RunPath(parts[1], parts[2], parts[4])


def day_of(run_id: str) -> str | None:
    """The UTC day a run id was made, which is nearly always the day it started; None for a user's own key."""
    if re.fullmatch(r"[0-9a-f]{12}7[0-9a-f]{19}", run_id) is None:
        return None
    try:
        return format_time(int(run_id[:12], 16))[:10]
    except InvalidValue:  # a key of 32 hex digits that is no time
        return None


def experiment_folder(experiment_id: str) -> str:
    """The folder of an experiment."""
    return f"{EXPERIMENTS}/{experiment_id}"


def experiment_file(experiment_id: str) -> str:
    """The record of an experiment."""
    return f"{EXPERIMENTS}/{experiment_id}/experiment.yaml"
