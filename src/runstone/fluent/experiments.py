"""The fluent verbs that are about experiments."""

from collections.abc import Mapping, Sequence
from typing import Any

from runstone.fluent.active import client, experiment_in_use, open_workspace
from runstone.records.experiment import Experiment
from runstone.tracking import experiment as experiments


def create_experiment(name: str, artifact_location: str | None = None, tags: Mapping[str, Any] | None = None) -> str:
    """Make an experiment and return its id; see `Client.create_experiment`."""
    return client().create_experiment(name, artifact_location, tags)


def get_experiment(experiment_id: str) -> Experiment:
    """An experiment by id; see `Client.get_experiment`."""
    return client().get_experiment(experiment_id)


def get_experiment_by_name(name: str) -> Experiment | None:
    """An experiment by name, or None; see `Client.get_experiment_by_name`."""
    return client().get_experiment_by_name(name)


def search_experiments(
    view_type: str | int = 1,
    max_results: int | None = None,
    filter_string: str | None = None,
    order_by: Sequence[str] | None = None,
) -> list[Experiment]:
    """Experiments that meet a filter; see `Client.search_experiments`."""
    return list(client().search_experiments(view_type, max_results or 50_000, filter_string, order_by))


def delete_experiment(experiment_id: str) -> None:
    """Mark an experiment deleted; see `Client.delete_experiment`."""
    client().delete_experiment(experiment_id)


def set_experiment_tag(key: str, value: Any) -> None:
    """Set a tag of the experiment in use."""
    set_experiment_tags({key: value})


def set_experiment_tags(tags: Mapping[str, Any]) -> None:
    """Set tags of the experiment in use."""
    workspace = open_workspace()
    experiments.set_experiment_tags(workspace.repo, experiment_in_use(workspace).experiment_id, tags)
