"""Datasets that MLflow names as inputs: the same calls on MLflow's SQL store and on a git repository."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from runstone.client import Client
from runstone.records.dataset import Dataset as Record
from runstone.records.schema import validate

if TYPE_CHECKING:
    from runstone.mlflow_plugin.tracking import TrackingStore

pytestmark = pytest.mark.mlflow

CONTEXT = "mlflow.data.context"


@pytest.fixture
def stores(tmp_path: Path, store: "TrackingStore") -> list[Any]:
    """MLflow's own store, on SQLite, and ours."""
    return [SqlAlchemyStore(f"sqlite:///{tmp_path / 'mlflow.db'}", (tmp_path / "artifacts").as_uri()), store]


def begin(store: Any, experiment_id: str = "0") -> str:
    """Begin a run and return its id."""
    run_id: str = store.create_run(experiment_id, "kim", int(time.time() * 1000), [], "a run").info.run_id
    return run_id


def given(name: str, digest: str, context: str | None = None, **told: Any) -> DatasetInput:
    """An input as MLflow's client makes it."""
    tags = [InputTag(CONTEXT, context)] if context else []
    tags += [InputTag(key, value) for key, value in told.pop("tags", {}).items()]
    known = {"source_type": "http", "source": '{"url": "https://example.org/x.csv"}', "schema": None, "profile": None}
    return DatasetInput(Dataset(name, digest, **{**known, **told}), tags)


def seen(run: Any) -> list[Any]:
    """The inputs of a run as plain values, sorted."""
    return sorted(
        ([dict(each.dataset), sorted((tag.key, tag.value) for tag in each.tags)] for each in run.inputs.dataset_inputs),
        key=str,
    )


INPUTS = [
    given("train", "a1b2c3d4", "training", schema='{"mlflow_colspec": []}', profile='{"num_rows": 3}'),
    given("test", "e5f6", "eval", tags={"mine": "yes", "mlflow.data.other": "x"}),
    given("bare", "0"),
    given("odd", "ü 1", source_type="code", source="no JSON"),
]


def test_inputs_are_shown_as_by_mlflows_store(stores: list[Any]) -> None:
    """All that MLflow says of a dataset comes back, of a live run and of an ended one, and from a search."""
    found = []
    for store in stores:
        run_id = begin(store)
        store.log_inputs(run_id, INPUTS[:2])
        store.log_inputs(run_id, INPUTS[2:])
        shown = [seen(store.get_run(run_id))]
        store.update_run_info(run_id, RunStatus.FINISHED, int(time.time() * 1000), None)
        shown += [seen(store.get_run(run_id)), seen(store._search_runs(["0"], "", 1, 10, [], None)[0][0])]
        found.append(shown)
    assert 4 == len(found[0][0])
    assert found[0] == found[1]


def test_dataset_of_one_name_and_digest_counts_once(stores: list[Any]) -> None:
    """Of two in one call, and of two calls, the first one stays, with its tags; another digest is another dataset."""
    found = []
    for store in stores:
        run_id = begin(store)
        store.log_inputs(run_id, [given("a", "1", "training"), given("a", "1", "eval"), given("a", "2", "eval")])
        store.log_inputs(run_id, [given("a", "1", "other"), given("b", "1")])
        found.append(seen(store.get_run(run_id)))
    assert 3 == len(found[0])
    assert found[0] == found[1]


def test_bad_inputs_are_refused_as_by_mlflows_store(stores: list[Any]) -> None:
    """What cannot be a dataset, and a run that is missing or deleted, has MLflow's code; then nothing is logged."""
    codes = []
    for store in stores:
        run_id, gone = begin(store), begin(store)
        store.delete_run(gone)
        calls: list[tuple[str, list[Any]]] = [
            (run_id, [DatasetInput(None, [])]),
            (run_id, [INPUTS[0], given("a", "x" * 37)]),
            (run_id, [given("a" * 501, "x")]),
            (run_id, [given("a", "x", source="s" * 70_000)]),
            (run_id, [given("a", "x", tags={"k" * 256: "v"})]),
            (run_id, [given("a", "x", source=None)]),
            ("0" * 32, [given("a", "x")]),
            ("../x", [given("a", "x")]),
            (gone, [given("a", "x")]),
        ]
        for name, datasets in calls:
            with pytest.raises(MlflowException) as refused:
                store.log_inputs(name, datasets)
            codes.append(refused.value.error_code)
        with pytest.raises(TypeError, match="should be a list"):
            store.log_inputs(run_id, tuple(INPUTS))
        codes.append(seen(store.get_run(run_id)))
    assert [] == codes[-1]
    assert codes[: len(codes) // 2] == codes[len(codes) // 2 :]


def test_datasets_of_experiments_are_found(stores: list[Any]) -> None:
    """Each name, digest and context of an experiment comes once, of the experiments that are named only."""
    found = []
    for store in stores:
        other = store.create_experiment("other")
        for experiment_id, inputs in (("0", INPUTS[:2]), ("0", INPUTS[1:]), (other, [given("its own", "1")])):
            store.log_inputs(begin(store, experiment_id), inputs)
        names = {"0": "default", other: "other"}
        for asked in (["0"], [other], ["0", other], []):
            summaries = store._search_datasets(asked)
            found.append(sorted((names[s.experiment_id], s.name, s.digest, str(s.context)) for s in summaries))
    assert [4, 1, 5, 0] == [len(each) for each in found[:4]]
    assert found[:4] == found[4:]


def test_runs_are_found_by_their_datasets(stores: list[Any]) -> None:
    """A filter by name, digest and context of a dataset finds what MLflow's store finds."""
    found = []
    for store in stores:
        first, second = begin(store), begin(store)
        store.log_inputs(first, INPUTS[:1])
        store.log_inputs(second, INPUTS[1:])
        names = {first: "first", second: "second"}
        for condition in (
            "datasets.name = 'train'",
            "datasets.digest = 'e5f6'",
            "dataset.context = 'eval'",
            "dataset.name LIKE 't%'",
            "dataset.context = 'training' AND dataset.name = 'test'",
        ):
            runs, _ = store._search_runs(["0"], condition, 1, 10, [], None)
            found.append((condition, sorted(names[run.info.run_id] for run in runs)))
    assert ["first"] == found[0][1]
    assert found[:5] == found[5:]


def test_file_of_the_work_tree_is_recorded_by_its_path_in_it(store: "TrackingStore", folder: Path) -> None:
    """The record tells no absolute path; MLflow reads the path of this clone."""
    (folder / "data").mkdir()
    source = {"uri": str(folder / "data" / "a.csv")}
    run_id = begin(store)
    store.log_inputs(run_id, [given("a", "1", "training", source_type="local", source=json.dumps(source))])
    (record,) = Client(folder).get_run(run_id).datasets
    assert Record("a", "1", role="training", path="data/a.csv", extra=record.extra) == record
    assert {"mlflow": {"source_type": "local", "source": '{"uri": "data/a.csv"}'}} == record.extra
    (shown,) = store.get_run(run_id).inputs.dataset_inputs
    assert source == json.loads(shown.dataset.source)
    validate(record.to_document(), "dataset", "a dataset")


def test_password_in_a_source_is_not_recorded(store: "TrackingStore", folder: Path) -> None:
    """The password of a URL is cut before it reaches git."""
    run_id = begin(store)
    store.log_inputs(run_id, [given("a", "1", source='{"url": "https://kim:hunter22secret@example.org/a.csv"}')])
    assert "hunter22secret" not in str(Client(folder).get_run(run_id).to_document())


def test_dataset_that_runstone_described_is_an_input_to_mlflow(store: "TrackingStore", folder: Path) -> None:
    """Its name, digest and role are there; a file's path is its source, and data in memory has none."""
    client = Client(folder)
    with client.create_run("0") as run:
        run.log_dataset(Record("a", "md5:8a9d9c0e7c4f2c3f2b1f6a5d4e3c2b1a", role="train", path="a.csv"))
        run.log_dataset(Record("b", "md5:0a9d9c0e7c4f2c3f2b1f6a5d4e3c2b1a"))
    first, second = store.get_run(run.id).inputs.dataset_inputs
    assert ("a", "md5:8a9d9c0e7c4f2c3f2b1f6a5d4e3c2b1a", "local") == (
        first.dataset.name,
        first.dataset.digest,
        first.dataset.source_type,
    )
    assert {"uri": str(folder / "a.csv")} == json.loads(first.dataset.source)
    assert [(CONTEXT, "train")] == [(tag.key, tag.value) for tag in first.tags]
    assert ("code", []) == (second.dataset.source_type, second.tags)
