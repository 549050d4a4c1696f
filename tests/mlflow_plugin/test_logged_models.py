"""MLflow 3's logged models: the same calls on MLflow's SQL store and on a git repository, and what Runstone sees."""

import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.entities import Metric, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from runstone.client import Client
from runstone.flavors.mlmodel import MLmodel, write
from runstone.mlflow_plugin import compat
from runstone.records import model_metric, yaml
from runstone.tracking import shared
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from runstone.mlflow_plugin.tracking import TrackingStore

if not compat.has_logged_models():
    pytest.skip("this MLflow has no logged models", allow_module_level=True)

from mlflow.entities import (
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

pytestmark = pytest.mark.mlflow

READY = LoggedModelStatus.READY


@pytest.fixture
def theirs(tmp_path: Path) -> SqlAlchemyStore:
    """MLflow's own store, on SQLite."""
    return SqlAlchemyStore(f"sqlite:///{tmp_path / 'mlflow.db'}", (tmp_path / "artifacts").as_uri())


@pytest.fixture
def stores(theirs: SqlAlchemyStore, store: "TrackingStore") -> list[Any]:
    """MLflow's store and ours."""
    return [theirs, store]


def begin(store: Any, experiment_id: str = "0") -> str:
    """Begin a run and return its id."""
    run_id: str = store.create_run(experiment_id, "kim", int(time.time() * 1000), [], "a run").info.run_id
    return run_id


def finish(store: Any, run_id: str) -> None:
    """End a run."""
    store.update_run_info(run_id, RunStatus.FINISHED, int(time.time() * 1000), None)


def code_of(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The code of the error that a call raises."""
    with pytest.raises(MlflowException) as refused:
        call(*arguments, **options)
    code: str = refused.value.error_code
    return code


def seen(model: Any, names: dict[str, str] | None = None) -> dict[str, Any]:
    """A model without what differs from store to store by its nature: ids and times; ids of runs by their names."""
    names = names or {}
    metrics = model.metrics or []
    return {
        "name": model.name,
        "experiment": model.experiment_id,
        "type": model.model_type,
        "status": model.status,
        "message": model.status_message,
        "tags": model.tags,
        "params": model.params,
        "run": names.get(model.source_run_id, model.source_run_id),
        "is_changed": model.last_updated_timestamp > model.creation_timestamp,
        "metrics": sorted(
            (m.key, m.value, m.timestamp, m.step, m.dataset_name, m.dataset_digest, names.get(m.run_id))
            for m in metrics
        ),
    }


def test_life_of_a_model_is_that_of_mlflows_store(stores: list[Any]) -> None:
    """Created, tagged, given params, finalized, deleted: each answer, and each error's code, is MLflow's own."""
    answers = []
    for store in stores:
        run_id = begin(store)
        names = {run_id: "run"}
        tags = [LoggedModelTag("a", "1"), LoggedModelTag("b", "2")]
        params = [LoggedModelParameter("depth", "3"), LoggedModelParameter("none", "None")]
        model = store.create_logged_model("0", "forest", run_id, tags, params, "agent")
        model_id = model.model_id
        found: list[Any] = [seen(model, names), seen(store.get_logged_model(model_id), names)]
        store.set_logged_model_tags(model_id, [LoggedModelTag("b", "two"), LoggedModelTag("b", "3")])
        store.delete_logged_model_tag(model_id, "a")
        store.log_logged_model_params(model_id, [LoggedModelParameter("more", "x")])
        found.append(seen(store.get_logged_model(model_id), names))
        time.sleep(0.002)  # so that the times of creation and change differ
        found.append(seen(store.finalize_logged_model(model_id, READY), names))
        found.append(code_of(store.delete_logged_model_tag, model_id, "a"))
        store.delete_logged_model(model_id)
        found.append(code_of(store.get_logged_model, model_id))
        found.append(seen(store.get_logged_model(model_id, allow_deleted=True), names))
        store.delete_logged_model(model_id)
        found.append(seen(store.finalize_logged_model(model_id, LoggedModelStatus.FAILED), names))
        assert [model_id] == store._get_deleted_logged_models()
        assert [] == store._get_deleted_logged_models(older_than=60_000)
        get_artifact_repository(model.artifact_location).delete_artifacts()  # as `mlflow gc` does
        store._hard_delete_logged_model(model_id)
        found.append(code_of(store.get_logged_model, model_id, allow_deleted=True))
        assert [] == store._get_deleted_logged_models()
        answers.append(found)
    assert answers[0] == answers[1]


def test_bad_calls_are_refused_as_by_mlflows_store(stores: list[Any]) -> None:
    """A model that is not there, names that cannot be, experiments that are gone: each has MLflow's code."""
    codes = []
    for store in stores:
        gone = store.create_experiment("gone")
        store.delete_experiment(gone)
        model_id = "m-" + "0" * 32
        some = [LoggedModelTag("a", "1")]
        calls: list[tuple[str, list[Any], dict[str, Any]]] = [
            ("get_logged_model", [model_id], {}),
            ("get_logged_model", ["m-../../etc-1"], {}),
            ("get_logged_model", ['"x"'], {}),
            ("finalize_logged_model", [model_id, READY], {}),
            ("delete_logged_model", [model_id], {}),
            ("_hard_delete_logged_model", [model_id], {}),
            ("set_logged_model_tags", [model_id, some], {}),
            ("delete_logged_model_tag", [model_id, "a"], {}),
            ("log_logged_model_params", [model_id, [LoggedModelParameter("a", "1")]], {}),
            *(("create_logged_model", ["0", name], {}) for name in ("", "a/b", "a:b", "a.b", "a%b", "'")),
            ("create_logged_model", [gone, "a"], {}),
            ("create_logged_model", ["12345", "a"], {}),
            ("log_outputs", ["0" * 32, [LoggedModelOutput(model_id, 0)]], {}),
            ("search_logged_models", [["0"], "metrics.a LIKE 'x'"], {}),
            ("search_logged_models", [["0"], "nothing"], {}),
            ("search_logged_models", [["0"], "other.a = 'x'"], {}),
            ("search_logged_models", [["0"]], {"datasets": [{"dataset_digest": "x"}]}),
            ("search_logged_models", [["0"]], {"order_by": [{"field_name": "params.a"}]}),
            ("search_logged_models", [["0"]], {"order_by": [{"field_name": "nothing"}]}),
            ("search_logged_models", [["0"]], {"page_token": "e30="}),
        ]
        codes.append([(name, code_of(getattr(store, name), *given, **options)) for name, given, options in calls])
    assert codes[0] == codes[1]


FILTERS = [
    None,
    "name = 'tree'",
    "name != 'tree'",
    "name LIKE 'f%'",
    "name ILIKE 'F%'",
    "name IN ('tree', 'other')",
    "name NOT IN ('tree', 'other')",
    "model_type = 'agent'",
    "creation_time > 0",
    "creation_timestamp < 5",
    "last_updated_timestamp >= 1 AND tags.team = 'red'",
    "tags.team != 'red'",
    "tags.`team` LIKE 'bl%'",
    "params.depth = '3'",
    "params.depth ILIKE '%'",
    "metrics.acc > 0.5",
    "metrics.acc <= 0.5",
    "metrics.acc = 0.25",
    "metrics.acc != 0.25 AND metrics.loss < 1",
    "metrics.none > 0",
]
DATASETS: list[list[dict[str, str]] | None] = [
    None,
    [{"dataset_name": "train"}],
    [{"dataset_name": "train", "dataset_digest": "d2"}],
    [{"dataset_name": "test"}, {"dataset_name": "train", "dataset_digest": "d1"}],
]
ORDERS: list[list[dict[str, Any]] | None] = [
    None,
    [{"field_name": "name"}],
    [{"field_name": "name", "ascending": False}, {"field_name": "creation_time"}],
    [{"field_name": "model_type"}],
    [{"field_name": "metrics.acc"}],
    [{"field_name": "metrics.acc", "ascending": False}],
    [{"field_name": "metrics.acc", "dataset_name": "train", "dataset_digest": "d1"}],
    [{"field_name": "creation_timestamp"}],
]


def fill(store: Any) -> dict[str, str]:
    """Five models with metrics of three runs; returns their names by id."""
    runs = [begin(store) for _ in range(3)]
    named: dict[str, str] = {}
    for number, (name, kind, team) in enumerate(
        [
            ("forest", "agent", "red"),
            ("tree", None, "blue"),
            ("Forest2", "agent", None),
            ("other", None, "red"),
            ("x", "y", ""),
        ]
    ):
        tags = [LoggedModelTag("team", team)] if team is not None else []
        params = [LoggedModelParameter("depth", str(number))]
        source = runs[number % 2] if number < 4 else None
        model = store.create_logged_model("0", name, source, tags, params, kind)
        named[model.model_id] = name
        time.sleep(0.002)  # so that no two are of one time
        for step, dataset in product(range(2), [None, ("train", f"d{number % 2 + 1}"), ("test", "d3")]):
            if number == 3 or (number == 2 and dataset is not None):
                continue
            told = {"dataset_name": dataset[0], "dataset_digest": dataset[1]} if dataset else {}
            at = 10 * step + ["train", "test", None].index(dataset[0] if dataset else None)
            value = [0.25, 0.75, 0.5][number % 3] + step * 0.125
            point = Metric("acc", value, at, step, model_id=model.model_id, run_id=runs[0], **told)
            store.log_batch(runs[0], [point], [], [])
        store.log_batch(runs[2], [Metric("loss", number / 2, 1, 0, model_id=model.model_id)], [], [])
    for model_id, name in named.items():
        if name == "x":
            store.finalize_logged_model(model_id, READY)
    return named


def test_searches_find_what_mlflows_store_finds(stores: list[Any]) -> None:
    """Every filter, set of datasets and order finds the same models in the same order, with the same metrics."""
    found = []
    for store in stores:
        named = fill(store)
        answers: dict[str, Any] = {}
        for condition, datasets, order in [
            *product(FILTERS, DATASETS, ORDERS[:1]),
            *product(FILTERS[:1], DATASETS[:1], ORDERS),
        ]:
            page = store.search_logged_models(["0"], condition, datasets, order_by=order)
            answers[f"{condition} on {datasets} by {order}"] = [named[model.model_id] for model in page]
        answers["metrics"] = {
            model.name: sorted((m.key, m.value, m.timestamp, m.step, m.dataset_name) for m in model.metrics)
            for model in store.search_logged_models(["0"], "metrics.loss >= 0")
        }
        answers["elsewhere"] = list(store.search_logged_models([store.create_experiment("empty")]))
        found.append(answers)
    assert 5 == len(found[0]["None on None by None"]), "the data should be found at all"
    assert found[0] == found[1]


def test_pages_are_those_of_mlflows_store(stores: list[Any]) -> None:
    """Page by page, all models come once, and a token is refused where the search is another one."""
    found = []
    for store in stores:
        named = fill(store)
        token, pages = None, []
        while True:
            page = store.search_logged_models(["0"], max_results=2, order_by=[{"field_name": "name"}], page_token=token)
            pages.append([named[model.model_id] for model in page])
            if page.token is None:
                break
            token = page.token
        pages.append([code_of(store.search_logged_models, ["0"], page_token=token)])
        found.append(pages)
    assert [2, 2, 1] == [len(page) for page in found[0][:3]]
    assert found[0] == found[1]


def test_inputs_and_outputs_of_runs_are_shown_as_by_mlflows_store(stores: list[Any]) -> None:
    """`run.inputs.model_inputs` and `run.outputs` hold the models that were logged, of `get_run` and `search_runs`."""
    found = []
    for store in stores:
        run_id = begin(store)
        first, second = (store.create_logged_model("0", name, run_id).model_id for name in ("a", "b"))
        store.log_outputs(run_id, [LoggedModelOutput(first, 0)])
        store.log_outputs(run_id, [LoggedModelOutput(second, 5)])
        store.log_inputs(run_id, models=[LoggedModelInput(first)])
        store.log_inputs(run_id, models=[LoggedModelInput(second)])
        names = {first: "a", second: "b"}
        run, listed = store.get_run(run_id), store._search_runs(["0"], "", 1, 10, [], None)[0][0]
        outputs = [sorted((names[m.model_id], m.step) for m in each.outputs.model_outputs) for each in (run, listed)]
        found.append((*outputs, sorted(names[each.model_id] for each in run.inputs.model_inputs)))
    expected = [("a", 0), ("b", 5)]
    assert (expected, expected, ["a", "b"]) == found[0]
    assert found[0] == found[1]


def test_metrics_of_a_model_are_points_of_the_run_too(store: "TrackingStore", folder: Path) -> None:
    """What is measured of a model is in the history of the run that measured it, and survives its commit."""
    maker, judge = begin(store), begin(store)
    model_id = store.create_logged_model("0", "m", maker).model_id
    points = [
        Metric("acc", 0.5, 7, 1, model_id=model_id, dataset_name="train", dataset_digest="d1"),
        Metric("acc", 0.5, 7, 1, model_id=model_id, dataset_name="train", dataset_digest="d1"),
        Metric("acc", float("nan"), 8, 2, model_id=model_id),
    ]
    store.log_batch(judge, points, [], [])
    store.log_metric(judge, Metric("acc", float("inf"), 9, 3, model_id=model_id))
    store.log_batch(judge, points[:1], [], [])  # as MLflow does to say afterwards which model a point is of
    for run_id in (judge, maker):
        finish(store, run_id)
    shared.flush(Workspace.open(folder))
    found = store.get_logged_model(model_id).metrics
    assert [(judge, 0.5, "d1"), (judge, 1.7976931348623157e308, None)] == [
        (m.run_id, m.value, m.dataset_digest) for m in found if m.value == m.value
    ]
    assert (
        [1, 2, 3]
        == [metric.step for metric in found]
        == [m.step for m in Client(folder).get_metric_history(judge, "acc")]
    )
    record = Client(folder).get_run(judge)
    (first, second) = record.extra[model_metric.KEY]
    assert {"model": model_id, "metric": "acc", "dataset": "train", "digest": "d1", "points": "1 7 0.5"} == first
    assert "2 8 nan\n3 9 inf" == second["points"]


def test_metric_of_a_model_that_is_not_there_is_refused(store: "TrackingStore") -> None:
    """Nothing of the batch is logged then."""
    run_id = begin(store)
    with pytest.raises(MlflowException) as refused:
        store.log_batch(run_id, [Metric("acc", 0.5, 7, 1, model_id="m-none")], [], [RunTag("a", "b")])
    assert "RESOURCE_DOES_NOT_EXIST" == refused.value.error_code
    assert ({}, False) == (store.get_run(run_id).data.metrics, "a" in store.get_run(run_id).data.tags)


def log_files(folder: Path, location: str, tmp_path: Path) -> None:
    """Upload a small model folder."""
    (tmp_path / "model").mkdir(exist_ok=True)
    write(tmp_path / "model", MLmodel({"sklearn": {}, "python_function": {}}))
    (tmp_path / "model" / "model.pkl").write_bytes(b"weights")
    get_artifact_repository(location).log_artifacts(str(tmp_path / "model"))


def test_finalized_model_is_a_model_of_its_run(store: "TrackingStore", folder: Path, tmp_path: Path) -> None:
    """Its files lie among the run's artifacts, and its record has digest, size and flavors, as of any model."""
    run_id = begin(store)
    model = store.create_logged_model("0", "forest", run_id)
    assert [] == get_artifact_repository(model.artifact_location).list_artifacts()
    log_files(folder, model.artifact_location, tmp_path)
    (before,) = Client(folder).get_run(run_id).models
    assert ((), 0) == (before.flavors, before.size)
    store.finalize_logged_model(model.model_id, READY)
    finish(store, run_id)
    (found,) = Client(folder).get_run(run_id).models
    size = sum(path.stat().st_size for path in (tmp_path / "model").iterdir())
    assert ("forest", ("sklearn", "python_function"), size) == (found.path, found.flavors, found.size)
    own = Client(folder)
    with own.create_run(store.get_experiment("0").experiment_id) as run:
        reference = run.log_model(tmp_path / "model", "forest", found.flavors, None)
    assert reference.digest == found.digest
    version = own.create_model_version("churn", f"runs:/{run_id}/forest")
    assert (1, found.digest) == (version.version, version.digest)
    listed = get_artifact_repository(model.artifact_location).list_artifacts()
    assert ["MLmodel", "model.pkl"] == [info.path for info in listed]


def test_two_models_of_one_name_lie_apart(store: "TrackingStore", folder: Path, tmp_path: Path) -> None:
    """The second one gets a folder of its own, keeps its name for MLflow, and has an id that tells the run."""
    run_id = begin(store)
    models = [store.create_logged_model("0", "forest", run_id) for _ in range(2)]
    log_files(folder, models[1].artifact_location, tmp_path)
    for model in models:
        store.finalize_logged_model(model.model_id, READY)
    assert [f"m-{run_id}-1", f"m-{run_id}-2"] == [model.model_id for model in models]
    assert ["forest", "forest"] == [model.name for model in models]
    found = Client(folder).get_run(run_id).models
    assert [("forest", 0), ("forest-2", found[1].size)] == [(each.path, each.size) for each in found]
    assert found[1].size > 0


@pytest.mark.parametrize("name", ["con\\fig", " a b ", "ä" * 300, "-x", "\n"])
def test_any_name_that_mlflow_takes_finds_a_folder(
    name: str, store: "TrackingStore", folder: Path, tmp_path: Path
) -> None:
    """A name that no file system holds is kept as a name, and the files lie elsewhere."""
    model = store.create_logged_model("0", name, begin(store))
    log_files(folder, model.artifact_location, tmp_path)
    assert name == store.finalize_logged_model(model.model_id, READY).name
    assert 2 == len(get_artifact_repository(model.artifact_location).list_artifacts())


def test_model_of_no_run_gets_one_that_is_not_shown(store: "TrackingStore", folder: Path, tmp_path: Path) -> None:
    """The run is committed when the model is finalized, is seen by Runstone, and hidden by MLflow's search of runs."""
    missing = "0123456789abcdef0123456789abcdef"
    for source in (None, missing):
        model = store.create_logged_model("0", "alone", source)
        log_files(folder, model.artifact_location, tmp_path)
        found = store.finalize_logged_model(model.model_id, READY)
        assert source == found.source_run_id
        (run,) = (run for run in Client(folder).search_runs() if model.model_id.startswith(f"m-{run.id}-"))
        assert ("FINISHED", "alone") == (run.status, run.models[0].path)
    assert [] == list(store._search_runs(["0"], "", 3, 10, [], None)[0])
    assert 2 == len(store.search_logged_models(["0"]))


def test_models_of_ended_runs_can_be_changed(store: "TrackingStore", folder: Path) -> None:
    """A tag that is set after the run has ended is there at once, and committed a moment later."""
    run_id = begin(store)
    model_id = store.create_logged_model("0", "m", run_id).model_id
    finish(store, run_id)
    store.set_logged_model_tags(model_id, [LoggedModelTag("late", "yes")])
    assert {"late": "yes"} == store.get_logged_model(model_id).tags
    shared.flush(Workspace.open(folder))
    assert {"late": "yes"} == store.get_logged_model(model_id).tags


def test_record_holds_no_place_and_no_secret(store: "TrackingStore", folder: Path, tmp_path: Path) -> None:
    """A path into the work tree is kept as one relative to it, a password is cut, and no URI of artifacts is kept."""
    run_id = begin(store)
    tags = [LoggedModelTag("mlflow.source.name", str(folder / "train.py")), LoggedModelTag("db_password", "hunter22")]
    model = store.create_logged_model("0", "m", run_id, tags)
    log_files(folder, model.artifact_location, tmp_path)
    store.finalize_logged_model(model.model_id, READY)
    document = Client(folder).get_run(run_id).to_document()
    document.pop("source", None)
    text = yaml.dump(document)
    assert "mlflow.source.name: train.py" in text
    assert "hunter22" not in text
    assert str(folder) not in text
    assert "runstone:" not in text


def test_imported_id_is_found(store: "TrackingStore", folder: Path) -> None:
    """A model with an id of MLflow's own making, which does not tell the run, is found all the same."""
    run_id = begin(store)
    ours = store.create_logged_model("0", "m", run_id).model_id
    with shared.edit(Workspace.open(folder), run_id) as change:
        (reference,) = change.models.values()
        renamed = {**reference.extra["logged_model"], "id": "m-3c6dfac5ac7a4f2e8ba6a7e2a2a34b1c"}
        change.put_model(reference._replace(extra={"logged_model": renamed}))
    assert "m" == store.get_logged_model("m-3c6dfac5ac7a4f2e8ba6a7e2a2a34b1c").name
    finish(store, run_id)
    assert "m" == store.get_logged_model("m-3c6dfac5ac7a4f2e8ba6a7e2a2a34b1c").name
    assert "RESOURCE_DOES_NOT_EXIST" == code_of(store.get_logged_model, ours)


@pytest.mark.parametrize(
    "logged_model",
    ["text", {}, {"id": 1}, {"id": "m-1", "status": "ODD"}, {"id": "m-1", "tags": [1]}, {"id": "m-1", "created": "?"}],
)
def test_badly_described_model_hides_no_other(logged_model: Any, store: "TrackingStore", folder: Path) -> None:
    """What another pushed may hold anything: that model is not found, the others are, and the run is shown."""
    run_id = begin(store)
    good = store.create_logged_model("0", "good", run_id).model_id
    with shared.edit(Workspace.open(folder), run_id) as change:
        (reference,) = change.models.values()
        change.put_model(reference._replace(path="bad", extra={"logged_model": logged_model}))
        change.set_extra("model_outputs", ["text", {"step": "x"}])
        change.set_extra("model_inputs", {"a": 1})
    finish(store, run_id)
    assert [good] == [model.model_id for model in store.search_logged_models(["0"])]
    assert good != store.create_logged_model("0", "next", run_id).model_id
    assert [] == store.get_run(run_id).inputs.model_inputs
    log_files(folder, f"runstone:{folder}/@/0/{run_id}/artifacts/bad", folder.parent)
