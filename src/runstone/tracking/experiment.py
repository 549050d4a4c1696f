"""Experiments: make, find, rename, tag, delete and restore them. Each change is one commit on the branch `runs`."""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import time

from runstone import names
from runstone.errors import ExperimentExists, ExperimentNotFound, RunstoneError
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.git.runs.branch import Draft, read_runs, update_runs
from runstone.records import yaml
from runstone.records.experiment import Experiment
from runstone.tracking.values import check_keys, tag_value
from runstone.tracking.workspace import redactor_of

NOTE_TAG = "mlflow.note.content"
DEFAULT = "Default"
DEFAULT_ID = "0"
"""MLflow's id of the experiment `Default`; accepted wherever an experiment's id is."""
"""The experiment of runs that name none."""


def create_experiment(repo: Repository, name: str, tags: Mapping[str, object] | None = None) -> Experiment:
    """Make an experiment.

    Args:
        repo: The repository.
        name: Any text of 1 to 500 characters.
        tags: Text to text; `mlflow.note.content` is its description.

    Writes:
        `experiments/<id>/experiment.yaml`, one commit on the branch `runs`.

    Raises:
        ExperimentExists: One has this name, perhaps a deleted one.
        InvalidName: The name cannot be used.
    """
    name = names.check_name("experiment", name)
    checked = _check_tags(repo, tags)
    description = checked.pop(NOTE_TAG, None)

    def change(draft: Draft) -> Experiment:
        taken = find_by_name(draft, name)
        if taken is not None:
            raise ExperimentExists(name, deleted=taken.lifecycle_stage == "deleted")
        now = int(time() * 1000)
        made = Experiment(free_id(draft, name), name, creation_time=now, tags=checked, description=description)
        _put(draft, made, f"Create experiment {name}")
        return made

    return update_runs(repo, change)


def ensure_experiment(repo: Repository, name: str) -> Experiment:
    """The experiment of a name, made if there is none.

    Raises:
        RunstoneError: It was deleted; restore it, or take another name.
    """
    found = find_by_name(read_runs(repo), names.check_name("experiment", name))
    if found is None:
        try:
            return create_experiment(repo, name)
        except ExperimentExists:  # another process was faster
            found = find_by_name(read_runs(repo), name)
    if found is None or found.lifecycle_stage == "deleted":
        raise RunstoneError(
            f"The experiment {name!r} is deleted. Restore it: `runstone experiments restore '{name}'`, "
            "or use another name."
        )
    return found


def get_experiment(repo: Repository, experiment_id: str) -> Experiment:
    """An experiment by id, deleted ones too; raises `ExperimentNotFound`."""
    found = read_runs(repo).experiment(str(experiment_id)) if _is_component(experiment_id) else None
    if found is None:
        raise ExperimentNotFound(str(experiment_id))
    return found


def get_experiment_by_name(repo: Repository, name: str) -> Experiment | None:
    """An experiment by its present name, deleted ones too; None if there is none."""
    return find_by_name(read_runs(repo), unicodedata.normalize("NFC", name))


def rename_experiment(repo: Repository, experiment_id: str, new_name: str) -> None:
    """Give an experiment another name; its id, and so its folder, stays.

    Raises:
        ExperimentExists: Another has this name.
        ExperimentNotFound: None has this id.
        RunstoneError: It is deleted.
    """
    new_name = names.check_name("experiment", new_name)

    def change(draft: Draft) -> None:
        experiment = _need(draft, experiment_id)
        if experiment.lifecycle_stage == "deleted":
            raise RunstoneError(f"The experiment {experiment.name!r} is deleted, so it cannot be renamed. Restore it.")
        taken = find_by_name(draft, new_name)
        if taken is not None and taken.experiment_id != experiment.experiment_id:
            raise ExperimentExists(new_name, deleted=taken.lifecycle_stage == "deleted")
        _put(draft, replace(experiment, name=new_name), f"Rename experiment {experiment.name} to {new_name}")

    update_runs(repo, change)


def delete_experiment(repo: Repository, experiment_id: str) -> None:
    """Mark an experiment deleted: searches leave it and its runs out until it is restored.

    Raises:
        ExperimentNotFound: None has this id.
    """
    _edit(repo, experiment_id, lambda e: replace(e, lifecycle_stage="deleted"), "Delete experiment")


def restore_experiment(repo: Repository, experiment_id: str) -> None:
    """Undo `delete_experiment`. Raises `ExperimentNotFound`."""
    _edit(repo, experiment_id, lambda e: replace(e, lifecycle_stage="active"), "Restore experiment")


def set_experiment_tags(repo: Repository, experiment_id: str, tags: Mapping[str, object]) -> None:
    """Set tags of an experiment. `mlflow.note.content` is its description. Raises `ExperimentNotFound`."""
    checked = _check_tags(repo, tags)

    def change(experiment: Experiment) -> Experiment:
        merged = dict(experiment.tags) | checked
        description = merged.pop(NOTE_TAG, experiment.description)
        return replace(experiment, tags=merged, description=description)

    _edit(repo, experiment_id, change, "Tag experiment")


def delete_experiment_tag(repo: Repository, experiment_id: str, key: str) -> None:
    """Remove one tag of an experiment. Raises `ExperimentNotFound`."""
    _edit(
        repo,
        experiment_id,
        lambda e: replace(e, tags={k: v for k, v in e.tags.items() if k != key}),
        "Untag experiment",
    )


def find_by_name(draft: Draft, name: str) -> Experiment | None:
    """The experiment of a name at one commit. The folder that the name makes is looked at first, then all."""
    likely = draft.experiment(names.experiment_id(name))
    if likely is not None and likely.name == name:
        return likely
    for experiment_id, entry in draft.list(layout.EXPERIMENTS).items():
        if entry.is_tree:
            experiment = draft.experiment(experiment_id)
            if experiment is not None and experiment.name == name:
                return experiment
    return None


def free_id(draft: Draft, name: str) -> str:
    """The id of a new experiment: what its name makes, or with a number where a renamed one holds that already."""
    first = names.experiment_id(name)
    experiment_id, number = first, 2
    while draft.find(layout.experiment_file(experiment_id)) is not None:
        experiment_id, number = f"{first}-{number}", number + 1
    return experiment_id


def _need(draft: Draft, experiment_id: str) -> Experiment:
    found = draft.experiment(experiment_id) if _is_component(experiment_id) else None
    if found is None:
        raise ExperimentNotFound(experiment_id)
    return found


def _is_component(text: object) -> bool:
    return isinstance(text, str) and bool(text) and "/" not in text and text not in (".", "..")


def _edit(repo: Repository, experiment_id: str, edit: Callable[[Experiment], Experiment], verb: str) -> None:
    def change(draft: Draft) -> None:
        experiment = _need(draft, experiment_id)
        _put(draft, edit(experiment), f"{verb} {experiment.name}")

    update_runs(repo, change)


def _put(draft: Draft, experiment: Experiment, message: str) -> None:
    draft.commit({layout.experiment_file(experiment.experiment_id): yaml.dump(experiment.to_document())}, message)


def _check_tags(repo: Repository, tags: Mapping[str, object] | None) -> dict[str, str]:
    check_keys("tag", tags or {})
    redactor = redactor_of(repo)
    return {key: str(redactor.param(key, tag_value(key, value))) for key, value in (tags or {}).items()}
