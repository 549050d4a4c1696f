"""The fluent verbs that find runs and read what they hold, and that delete one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from runstone import uris
from runstone.errors import InvalidValue, UsageError
from runstone.fluent.active import client, experiment_id_in_use, need_run
from runstone.records.run import Run

if TYPE_CHECKING:
    import pandas as pd


def get_run(run_id: str) -> Run:
    """A run; see `Client.get_run`."""
    return client().get_run(run_id)


def get_parent_run(run_id: str) -> Run | None:
    """The run a run is nested in; see `Client.get_parent_run`."""
    return client().get_parent_run(run_id)


def delete_run(run_id: str) -> None:
    """Mark a run deleted; see `Client.delete_run`."""
    client().delete_run(run_id)


@overload
def search_runs(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str = ...,
    run_view_type: str | int = ...,
    max_results: int = ...,
    order_by: Sequence[str] | None = ...,
    output_format: Literal["pandas"] = ...,
    search_all_experiments: bool = ...,
    experiment_names: Sequence[str] | None = ...,
) -> "pd.DataFrame": ...


@overload
def search_runs(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str = ...,
    run_view_type: str | int = ...,
    max_results: int = ...,
    order_by: Sequence[str] | None = ...,
    *,
    output_format: Literal["list"],
    search_all_experiments: bool = ...,
    experiment_names: Sequence[str] | None = ...,
) -> list[Run]: ...


def search_runs(
    experiment_ids: Sequence[str] | None = None,
    filter_string: str = "",
    run_view_type: str | int = 1,
    max_results: int = 100_000,
    order_by: Sequence[str] | None = None,
    output_format: str = "pandas",
    search_all_experiments: bool = False,
    experiment_names: Sequence[str] | None = None,
) -> "pd.DataFrame | list[Run]":
    """Runs that meet a filter, as a DataFrame with MLflow's column names, or as a list.

    Args:
        experiment_ids: Only runs of these; or
        filter_string: As `metrics.mse < 0.5`; see `Client.search_runs`.
        run_view_type: `ViewType`.
        max_results: Runs at most.
        order_by: As `["metrics.mse ASC"]`.
        output_format: `pandas` or `list`.
        search_all_experiments: Of every experiment, not only the one in use.
        experiment_names: Only runs of the experiments with these names; an unknown name gives no run.

    Raises:
        FilterInvalid: The filter or the order cannot be understood.
    """
    if experiment_ids and experiment_names:
        raise UsageError("Name the experiments: either `experiment_ids` or `experiment_names`.")
    if output_format not in ("pandas", "list"):
        raise InvalidValue(f"`output_format` must be pandas or list, but is {output_format!r}.")
    at = client()
    ids: list[str] | None = list(experiment_ids) if experiment_ids else None
    if experiment_names:
        found = [at.get_experiment_by_name(name) for name in experiment_names]
        ids = [experiment.experiment_id for experiment in found if experiment is not None]
    elif ids is None and not search_all_experiments:
        ids = [experiment_id_in_use(at.workspace)]
    if output_format == "pandas":
        return at.search_runs_frame(ids, filter_string, run_view_type, max_results, order_by)
    result: list[Run] = []
    token: str | None = None
    while len(result) < max_results:
        wanted = min(max_results - len(result), 50_000)
        page = at.search_runs(ids, filter_string, run_view_type, wanted, order_by, token)
        result += page
        token = page.token
        if token is None:
            break
    return result


def get_metric_history(run_id: str, key: str) -> list[Any]:
    """All values of a metric; see `Client.get_metric_history`."""
    return list(client().get_metric_history(run_id, key))


def get_artifact_uri(artifact_path: str | None = None) -> str:
    """The URI of the active run's artifacts, or of one of them: `runs:/<run id>/<path>`."""
    run = need_run()
    return str(uris.RunUri(run.id, uris.check_relative("runs:/", artifact_path or "")))
