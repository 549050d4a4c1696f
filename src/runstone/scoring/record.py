"""A job of scoring as a run: which model, what went in, what came out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runstone.records.dataset import Dataset
from runstone.scoring.batch import Job, Scored
from runstone.scoring.source import STREAM
from runstone.serving.resolve import Identity
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace

EXPERIMENT = "predictions"
INPUT, OUTPUT = "predict", "predictions"
"""The roles of the two datasets."""


@dataclass
class Recording:
    """A run under way.

    Attributes:
        run_id: Its id; None where nothing is recorded.
        scored: What came of the job, to be set when it is done.
    """

    run_id: str | None = None
    scored: Scored | None = None


@contextmanager
def recorded(
    workspace: Workspace | None, identity: Identity, job: Job, *, engine: str, experiment: str | None, name: str | None
) -> Iterator[Recording]:
    """Record what is done in the `with` block: FINISHED, or FAILED, or KILLED by Ctrl-C.

    Args:
        workspace: Where; None records nothing.
        identity: The model.
        job: What is scored.
        engine: local or ray.
        experiment: Its name; `predictions` if None.
        name: The run's; made up if None.

    Writes:
        A run with the model in params and tags, both datasets by role, and the number of rows.
    """
    recording = Recording()
    if workspace is None:
        yield recording
        return
    found = ensure_experiment(workspace.repo, experiment or EXPERIMENT)
    tags = {"runstone.kind": "predict", "runstone.model.uri": identity.pinned}
    with start_run(workspace, found, name=name, tags=tags) as run:
        recording.run_id = run.id
        run.log_params(_params(workspace, identity, job, engine))
        begun = time.perf_counter()
        yield recording
        scored = recording.scored
        if scored is None:
            return
        run.log_metrics({"rows": scored.rows, "seconds": time.perf_counter() - begun})
        if scored.input_digest is not None:
            run.log_dataset(_dataset(workspace, job.input, scored.input_digest, INPUT))
        output = _dataset(workspace, job.output, scored.output_digest, OUTPUT)
        run.log_dataset(replace(output, shape=(scored.rows, len(scored.columns))))


def _params(workspace: Workspace, identity: Identity, job: Job, engine: str) -> dict[str, Any]:
    known: dict[str, Any] = {
        "model": identity.model or _shown(workspace, identity.pinned),
        "model_version": identity.version,
        "model_run": identity.run,
        "model_digest": identity.digest,
        "engine": engine,
        "chunk_rows": job.chunk_rows,
        "keep": "all" if job.keep is None else list(job.keep) or None,
    }
    known |= {f"model_params.{key}": value for key, value in job.params.items()}
    return {key: value for key, value in known.items() if value is not None}


def _shown(workspace: Workspace, uri: str) -> str:
    """A folder's path in the repository, or its name: no absolute path enters a record."""
    if uri.startswith(("runs:/", "models:/")):
        return uri
    return _relative(workspace, Path(uri)) or Path(uri).name


def _relative(workspace: Workspace, path: Path) -> str | None:
    top = workspace.repo.work_tree
    if top is None:
        return None
    try:
        return path.resolve().relative_to(top.resolve()).as_posix()
    except ValueError:
        return None


def _dataset(workspace: Workspace, path: str, digest: str, role: str) -> Dataset:
    if path == STREAM:
        return Dataset("stream", digest, role=role)
    return Dataset(Path(path).resolve().name, digest, role=role, path=_relative(workspace, Path(path)))
