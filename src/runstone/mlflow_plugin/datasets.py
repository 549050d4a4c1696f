"""Datasets, and the models a run read: MLflow's inputs of a run ↔ `datasets` and `model_inputs` of its record.

What MLflow says of a dataset beside name, digest and context is kept under `mlflow` in the dataset's own entry, as the
texts that MLflow gave. A file inside the work tree is recorded by its path in it, and is absolute again when read.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Dataset as MlflowDataset
from mlflow.entities import DatasetInput, InputTag, RunInputs
from mlflow.entities.dataset_summary import _DatasetSummary
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from mlflow.utils.validation import _validate_dataset_inputs, _validate_run_id

from runstone.index.contents import list_datasets
from runstone.mlflow_plugin.entities import ours, theirs
from runstone.mlflow_plugin.log import LogStore
from runstone.records.dataset import Dataset
from runstone.records.document import Document

if TYPE_CHECKING:
    from runstone.tracking.workspace import Workspace

MODEL_INPUTS = "model_inputs"
"""The key of a run's record that lists the logged models it read, as `{model}`."""

_EXTRA = "mlflow"
_MAX_SUMMARIES = 1000  # as MLflow's own stores


def inputs_of(document: Document, work_tree: Path | None) -> RunInputs:
    """MLflow's `run.inputs`.

    Args:
        document: The run's record.
        work_tree: The work tree of the repository, which paths of files are relative to.
    """
    datasets = [_dataset_input(item, work_tree) for item in document.get("datasets") or ()]
    found = document.get(MODEL_INPUTS)
    models = [str(each.get("model")) for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    if not models:
        return RunInputs(datasets)
    from mlflow.entities import LoggedModelInput  # since MLflow 3, and only it writes the key

    return RunInputs(datasets, [LoggedModelInput(model_id) for model_id in models])


def dataset_of(given: DatasetInput, workspace: "Workspace") -> Dataset:
    """The record of a dataset that MLflow names as an input; of its source, which is a URL maybe, secrets are cut."""
    told = given.dataset
    tags = {tag.key: tag.value for tag in given.tags}
    source, path = _relative(told.source_type, told.source, workspace.repo.work_tree)
    source = workspace.redactor.text(source, key="source")
    known = {"source_type": told.source_type, "source": source, "schema": told.schema, "profile": told.profile}
    kept: Document = {key: value for key, value in known.items() if value is not None}
    role = tags.pop(MLFLOW_DATASET_CONTEXT, None)
    if tags:
        kept["tags"] = tags
    return Dataset(told.name, told.digest, role=role, path=path, extra={_EXTRA: kept})


class DatasetStore(LogStore):
    """What MLflow asks a tracking store about the inputs of runs."""

    def log_inputs(
        self, run_id: str, datasets: list[DatasetInput] | None = None, models: Sequence[Any] | None = None
    ) -> None:
        """Record datasets, and logged models, that a run read; of two of one name and digest the first counts."""
        _validate_run_id(run_id)
        if datasets is not None:
            if not isinstance(datasets, list):
                raise TypeError(f"Argument 'datasets' should be a list, got '{type(datasets)}'")
            _validate_dataset_inputs(datasets)
        with self._writing(run_id) as change:
            run = change.run
            taken = {(dataset.name, dataset.digest) for dataset in run.datasets}
            for given in datasets or ():
                if (given.dataset.name, given.dataset.digest) not in taken:
                    taken.add((given.dataset.name, given.dataset.digest))
                    change.add_dataset(dataset_of(given, self._workspace))
            if models:
                before = list(run.extra.get(MODEL_INPUTS) or ())
                fresh = [{"model": model_id} for model_id in dict.fromkeys(model.model_id for model in models)]
                change.set_extra(MODEL_INPUTS, [*before, *(each for each in fresh if each not in before)])

    def _search_datasets(self, experiment_ids: list[str]) -> list[_DatasetSummary]:
        found = list_datasets(self._workspace.repo, [ours(each) for each in experiment_ids], _MAX_SUMMARIES)
        return [_DatasetSummary(theirs(experiment_id), *described) for experiment_id, *described in found]


def _dataset_input(document: Document, work_tree: Path | None) -> DatasetInput:
    dataset = Dataset.from_document(document, "run.yaml", "datasets")
    kept = dataset.extra.get(_EXTRA)
    kept = kept if isinstance(kept, dict) else {}
    tags = kept.get("tags")
    shown = dict(tags) if isinstance(tags, dict) else {}
    if dataset.role is not None:
        shown[MLFLOW_DATASET_CONTEXT] = dataset.role
    source_type, source = kept.get("source_type"), kept.get("source")
    if source is None:
        source_type, source = _source_of(dataset)
    entity = MlflowDataset(
        dataset.name,
        dataset.digest,
        str(source_type),
        _absolute(str(source), dataset.path, work_tree),
        kept.get("schema"),
        kept.get("profile"),
    )
    return DatasetInput(entity, [InputTag(str(key), str(value)) for key, value in shown.items()])


def _source_of(dataset: Dataset) -> tuple[str, str]:
    """How MLflow names the source of a dataset that Runstone described."""
    if dataset.path is not None:
        return "local", json.dumps({"uri": dataset.path})
    return "code", json.dumps({"tags": {}})


def _relative(source_type: str, source: str, work_tree: Path | None) -> tuple[str, str | None]:
    """The source without the place of the work tree, and the path in it; as it is where it is no file of it."""
    uri = _uri(source) if source_type == "local" else None
    if uri is None or work_tree is None:
        return source, None
    file = Path(uri.removeprefix("file://"))
    try:
        path = (file.parent.resolve() / file.name).relative_to(work_tree.resolve()).as_posix()
    except (ValueError, OSError):
        return source, None
    return json.dumps(json.loads(source) | {"uri": path}), path


def _absolute(source: str, path: str | None, work_tree: Path | None) -> str:
    if path is None or work_tree is None or _uri(source) != path:
        return source
    return json.dumps(json.loads(source) | {"uri": str(work_tree / path)})


def _uri(source: str) -> str | None:
    try:
        found = json.loads(source)["uri"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None
