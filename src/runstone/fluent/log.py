"""The fluent verbs that add to the active run, which is begun if there is none."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from runstone.errors import InvalidValue
from runstone.fluent.active import client, need_run, target, threads

T = TypeVar("T")


def log_metric(
    key: str,
    value: float,
    step: int | None = None,
    synchronous: bool | None = None,
    timestamp: int | None = None,
    run_id: str | None = None,
) -> None:
    """Append one value to the history of a metric of the active run, which is begun if there is none.

    Args:
        key: Metric name; `/` groups it, as in `val/loss`.
        value: A number; NaN and infinities are kept as such.
        step: Training step, 0 if not given.
        synchronous: For MLflow's signature only: when the call returns, the value survives `kill -9`.
        timestamp: Unix milliseconds; now if not given.
        run_id: Another run than the active one.
    """
    if run_id is not None:
        client().log_metric(run_id, key, value, timestamp, step)
        return
    stack = threads.stack
    run = stack[-1] if stack and stack[-1].is_open else need_run()
    run.log_metric(key, value, step, timestamp)


def log_metrics(
    metrics: Mapping[str, float],
    step: int | None = None,
    synchronous: bool | None = None,
    run_id: str | None = None,
    timestamp: int | None = None,
) -> None:
    """Append one value to each of several metrics: all of them, or none. See `log_metric`."""
    if run_id is None:
        need_run().log_metrics(metrics, step, timestamp)
        return
    with client().handle(run_id) as run:
        run.log_metrics(metrics, step, timestamp)


def log_param(key: str, value: T, synchronous: bool | None = None) -> T:
    """Record one param of the active run and return its value. See `ActiveRun.log_params`."""
    need_run().log_params({key: value})
    return value


def log_params(params: Mapping[str, Any], synchronous: bool | None = None, run_id: str | None = None) -> None:
    """Record params of the active run: all of them, or none. See `ActiveRun.log_params`."""
    if run_id is None:
        need_run().log_params(params)
        return
    with client().handle(run_id) as run:
        run.log_params(params)


def set_tag(key: str, value: Any, synchronous: bool | None = None) -> None:
    """Set one tag of the active run."""
    need_run().set_tags({key: value})


def set_tags(tags: Mapping[str, Any], synchronous: bool | None = None) -> None:
    """Set tags of the active run."""
    need_run().set_tags(tags)


def delete_tag(key: str) -> None:
    """Remove one tag of the active run; raises `InvalidValue` if it has none of this name."""
    at, run_id = target(None)
    at.delete_tag(run_id, key)


def set_note(text: str) -> None:
    """Set the notes of the active run (Markdown)."""
    need_run().set_note(text)


def log_batch(metrics: Sequence[Any] = (), params: Sequence[Any] | Mapping[str, Any] = (), tags: Any = ()) -> None:
    """Log metrics, params and tags of the active run together: all of them, or none. See `Client.log_batch`."""
    at, run_id = target(None)
    at.log_batch(run_id, metrics, params, tags)


def log_input(
    dataset: Any, context: str | None = None, tags: Mapping[str, str] | None = None, *, name: str | None = None
) -> None:
    """Record what the active run reads.

    Args:
        dataset: A DataFrame, an array, a file's path, or a `Dataset` of `runstone.data`.
        context: What it is used for: `train`, `test` …
        tags: Not recorded, so refused.
        name: What people call it.
    """
    from runstone.tracking.dataset import describe

    if tags:
        raise InvalidValue("Tags of a dataset are not recorded. Tag the run: `set_tag`.")
    run = need_run()
    run.log_dataset(describe(run.workspace.repo, dataset, context, name))


def log_artifact(
    local_path: str | os.PathLike[str], artifact_path: str | None = None, run_id: str | None = None
) -> None:
    """Keep a file (or a folder, below its own name) among the artifacts. See `ActiveRun.log_artifact`."""
    at, run_id = target(run_id)
    at.log_artifact(run_id, local_path, artifact_path)


def log_artifacts(
    local_dir: str | os.PathLike[str], artifact_path: str | None = None, run_id: str | None = None
) -> None:
    """Keep what a folder holds among the artifacts. See `ActiveRun.log_artifact`."""
    at, run_id = target(run_id)
    at.log_artifacts(run_id, local_dir, artifact_path)


def log_text(text: str, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a text as an artifact, in UTF-8."""
    at, run_id = target(run_id)
    at.log_text(run_id, text, artifact_file)


def log_dict(dictionary: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a dictionary as YAML or JSON, by the name's ending."""
    at, run_id = target(run_id)
    at.log_dict(run_id, dictionary, artifact_file)


def log_figure(figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None) -> None:
    """Keep a figure of matplotlib or plotly, in the format of the name's ending."""
    at, run_id = target(None)
    at.log_figure(run_id, figure, artifact_file, save_kwargs=save_kwargs)


def log_image(
    image: Any,
    artifact_file: str | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
    synchronous: bool | None = None,
) -> None:
    """Keep an image: PIL, or an array of shape (H, W[, 1|3|4]). See `Client.log_image`."""
    at, run_id = target(None)
    at.log_image(run_id, image, artifact_file, key, step, timestamp)


def log_table(data: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a table as JSON; logged again under one name, its rows are added."""
    at, run_id = target(run_id)
    at.log_table(run_id, data, artifact_file)
