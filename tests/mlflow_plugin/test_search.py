"""Searches through the plug-in find what MLflow's SQL store finds, in its order, or are refused with its codes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException

from runstone.mlflow_plugin import compat
from runstone.mlflow_plugin.registry import RegistryStore
from tests.mlflow_plugin.both import Both, search

pytestmark = pytest.mark.mlflow

NAN, INF = float("nan"), float("inf")
IS_NEW = compat.has_logged_models()
# name: metrics, params, tags, dataset (name, digest, context), status and end
RUNS: dict[str, tuple[dict[str, float], dict[str, str], dict[str, str], tuple[str, str, str] | None, int | None]] = {
    "Alpha": ({"loss": 0.5, "acc": 1.0}, {"lr": "0.1", "n": "10"}, {"team": "Red"}, ("iris", "d1", "train"), 50),
    "beta": ({"loss": NAN}, {"lr": "0.10", "n": "9"}, {"team": "red"}, ("iris", "d2", "test"), 40),
    "gamma_1": ({"loss": 0.25}, {"lr": "1e-05", "n": "100"}, {"team": "blue"}, None, None),
    "delta%x": ({"loss": INF}, {"n": "ten", "odd": "it's"}, {}, ("wine", "d1", "train"), 60),
    "eps": ({}, {"lr": "None", "n": "-1", "flag": "True"}, {"mlflow.note.content": "A fine run"}, None, 70),
    "zeta": ({"loss": -INF, "acc": 0.0, "val/loss x": 2.0}, {"flag": "False"}, {"team": "", "a b": "c"}, None, 30),
    "eta": ({"loss": 0.5, "acc": NAN}, {"lr": "0.1"}, {"mlflow.parentRunId": "abc", "team": "Rot"}, None, None),
    "theta": ({"loss": 0.5}, {"n": "10"}, {"team": "RED"}, ("Iris", "d3", "train"), 55),
}
FILTERS = [
    "",
    "metrics.loss = 0.5",
    "metrics.loss != 0.25",
    "metrics.loss < 0.5",
    "metrics.loss <= 0.5",
    "metric.loss > 0.1 AND metrics.acc >= 0",
    "metrics.loss > 1e300",
    "metrics.loss < -1",
    "metrics.none = 1",
    "metrics.none != 1",
    'metrics."val/loss x" > 1',
    "metrics.`val/loss x` > 1",
    "params.lr = '0.1'",
    "params.lr = '0.10'",
    "params.lr = '1e-05'",
    "params.lr = 'None'",
    "params.lr != '0.1'",
    "params.n = '10'",
    "param.n = '010'",
    "parameters.n LIKE '1%'",
    "params.n LIKE '%1'",
    "params.n ILIKE 'TEN'",
    "params.n LIKE 'TEN'",
    "params.n LIKE '1_'",
    "params.flag = 'True'",
    "params.flag = 'true'",
    "params.flag ILIKE 'true'",
    "params.none != 'x'",
    'params.odd = "it\'s"',
    "tags.team = 'red'",
    "tags.team != 'red'",
    "tags.team ILIKE 'red'",
    "tags.team LIKE 'R%'",
    "tags.team = ''",
    "tags.`a b` = 'c'",
    "tags.none != 'x'",
    "tags.team = 'red' AND params.n = '9' AND metrics.loss != 3",
    "tags.mlflow.runName = 'beta'",
    "tags.`mlflow.runName` LIKE '%a'",
    "tags.mlflow.parentRunId = 'abc'",
    "tags.mlflow.parentRunId != 'abc'",
    "tags.`mlflow.note.content` LIKE '%fine%'",
    "attributes.run_name = 'Alpha'",
    "run_name LIKE '%ta'",
    "run_name ILIKE 'alpha'",
    "run_name LIKE 'gamma_1'",
    "run_name LIKE 'delta%'",
    "`run name` = 'beta'",
    "run_name IN ('Alpha', 'beta')",
    "status = 'FINISHED'",
    "attribute.status != 'FINISHED'",
    "attr.status ILIKE 'running'",
    "user_id = 'kim'",
    "run.user_id LIKE 'K%'",
    "start_time > 3",
    "start_time = 3",
    "created <= 3",
    "end_time < 55",
    "end_time != 50",
    "end_time >= 50.5",
    "dataset.name = 'iris'",
    "dataset.name != 'iris'",
    "dataset.name ILIKE 'iris'",
    "dataset.name IN ('wine', 'Iris')",
    "dataset.name NOT IN ('wine', 'Iris')",
    "dataset.digest = 'd1'",
    "dataset.context = 'train'",
    "datasets.context LIKE 't%' AND dataset.name = 'iris'",
    "params.lr IS NULL",
    "params.lr IS NOT NULL",
    "tags.team IS NULL",
    "tags.team is not null AND metrics.loss = 0.5",
    "tags.none IS NULL",
    "tags.mlflow.parentRunId IS NULL",
    "tags.mlflow.parentRunId IS NOT NULL",
]
BAD_FILTERS = [
    "metrics.loss = 'x'",
    "metrics.loss LIKE 'x'",
    "metrics.loss IN (1, 2)",
    "metrics.loss IS NULL",
    "params.n > '1'",
    "params.n > 1",
    "params.n = 10",
    "params.n IN ('1', '2')",
    "tags.team = red",
    "tags.team < 'a'",
    "attributes.nothing = 'x'",
    "nothing.x = 'x'",
    "status > 'a'",
    "status IN ('FINISHED')",
    "start_time = 'x'",
    "start_time LIKE '1'",
    "end_time IS NULL",
    "dataset.nothing = 'x'",
    "dataset.name > 'a'",
    "metrics.loss = 1 OR metrics.loss = 2",
    "NOT metrics.loss = 1",
    "(metrics.loss = 1)",
    "metrics.loss = 1; metrics.loss = 2",
    "metrics.loss",
    "= 1",
    "metrics.loss = ",
    "lifecycle_stage = 'active'",
    "experiment_id = '1'",
    "duration > 1",
    "'loss' = 1",
    "run_id IN ()",
    "run_id IN ('a', 5)",
    "metrics.loss = nan",
]
ORDERS = [
    ["metrics.loss"],
    ["metrics.loss DESC"],
    ["metrics.acc ASC", "metrics.loss DESC"],
    ["params.n"],
    ["params.n DESC"],
    ["params.lr desc", "params.n"],
    ["tags.team"],
    ["tags.team DESC"],
    ["tags.`mlflow.runName`"],
    ["start_time"],
    ["attributes.start_time DESC"],
    ["created ASC"],
    ["end_time"],
    ["end_time DESC"],
    ["run_name"],
    ["status", "run_name DESC"],
    ["metrics.none", "params.none DESC", "tags.none"],
    ["user_id", "metrics.`val/loss x`"],
]
BAD_ORDERS = [
    ["nothing"],
    ["metrics.loss SIDEWAYS"],
    ["dataset.name"],
    ["metrics.loss", "metrics.loss DESC"],
    ["start_time", "created"],
    ["nothing.x"],
    ["lifecycle_stage"],
    [""],
]


@pytest.fixture(scope="module")
def filled(module_both: Both) -> Both:
    """Both stores with the same runs."""
    both = module_both
    both.experiment("exp")
    for number, (name, (metrics, params, tags, dataset, end)) in enumerate(RUNS.items()):
        both.run(name, "exp", start=1 + number // 2)
        points = [Metric(key, value, 7, 0) for key, value in metrics.items()]
        given = [Param(key, value) for key, value in params.items()]
        texts = [RunTag(key, value) for key, value in tags.items()]
        for side in both.sides:
            run_id = side.ids[name]
            side.store.log_batch(run_id, points, given, texts)
            if dataset is not None:
                title, digest, context = dataset
                entity = Dataset(title, digest, "code", "{}")
                side.store.log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", context)])])
            if end is not None:
                side.store.update_run_info(run_id, RunStatus.FINISHED, end, None)
    return both


@pytest.mark.parametrize("filter_", FILTERS)
def test_a_filter_finds_what_mlflows_store_finds(filter_: str, filled: Both) -> None:
    """Each kind of filter, on values that differ by case, that are NaN, infinite or not there."""
    if not IS_NEW and ("metrics.loss" in filter_ or "metrics.acc" in filter_):
        pytest.skip("MLflow 2.17 compares a metric that is NaN as if it were 0")
    filled.do(search("exp", filter_, ["run_name"]))


@pytest.mark.parametrize("filter_", BAD_FILTERS)
def test_a_bad_filter_is_refused_with_mlflows_code(filter_: str, filled: Both) -> None:
    """What MLflow's language cannot say is refused, though Runstone's own can say some of it."""
    (found,) = filled.do(search("exp", filter_))
    assert isinstance(found, str)


@pytest.mark.parametrize("order", ORDERS, ids=map(str, ORDERS))
def test_an_order_is_mlflows(order: list[str], filled: Both) -> None:
    """NaN and then what is missing come last; params and tags are sorted as text; the rest by name."""
    # Equal ones fall to the newest start and the id, and ids are made up differently by the two stores.
    filled.do(search("exp", "", order if "run_name" in " ".join(order) else [*order, "run_name"]))


def test_without_an_order_the_newest_start_comes_first_then_the_id(filled: Both) -> None:
    """As in MLflow's SQL store; the ids of equal starts differ between the two."""
    for side in filled.sides:
        runs, _ = side.store._search_runs([side.ids["exp"]], "", ViewType.ACTIVE_ONLY, 100, [], None)
        keys = [(-run.info.start_time, run.info.run_id) for run in runs]
        assert [-4, -4, -3, -3, -2, -2, -1, -1] == [start for start, _ in keys]
        assert sorted(keys) == keys


@pytest.mark.parametrize("order", BAD_ORDERS, ids=map(str, BAD_ORDERS))
def test_a_bad_order_is_refused_with_mlflows_code(order: list[str], filled: Both) -> None:
    """What cannot be sorted by, and what is named twice."""
    (found,) = filled.do(search("exp", "", order))
    assert isinstance(found, str)


def test_pages_lead_through_all(filled: Both) -> None:
    """Page by page all runs are found once, and the tokens are MLflow's own."""
    for size in (1, 3, 4, 8, 100) if IS_NEW else (3, 100):  # MLflow 2 gives a token after a last page that is full
        token, names = None, []
        while True:
            ((found, token),) = filled.do(search("exp", "", ["run_name"], max_results=size, page_token=token))
            names += found
            if not token:
                break
        assert sorted(RUNS) == names


@pytest.mark.parametrize(
    "options", [{"max_results": n} for n in (0, -1, 50_001)] + [{"page_token": token} for token in ("x", "e30=")]
)
def test_odd_pages_are_refused(options: dict[str, Any], filled: Both) -> None:
    """Sizes that are none, or beyond MLflow's limit, and tokens that no search gave."""
    (found,) = filled.do(search("exp", "", **options))
    assert "INVALID_PARAMETER_VALUE" == found


# Base64 of `[]`, of `null`, of an offset of -5 and of one that SQLite has no number for; and what is no Base64.
FORGED = ["W10=", "bnVsbA==", "eyJvZmZzZXQiOiAtNX0=", "eyJvZmZzZXQiOiAxZTMwfQ==", "é", "a"]
FORGED += ["eyJvZmZzZXQiOiAxMDAwMDAwMDAwMDAwMDAwMDAwMDAwMH0="]


@pytest.mark.parametrize("token", FORGED)
def test_a_token_that_nobody_gave_is_refused(token: str, filled: Both, folder: Path) -> None:
    """Also one that MLflow's own reader of tokens breaks down on, by every search that has pages."""
    store, registry = filled.ours.store, RegistryStore(f"runstone:{folder}")
    run_id = filled.ours.ids["Alpha"]
    calls: list[Callable[[], Any]] = [
        lambda: store._search_runs(["0"], "", ViewType.ACTIVE_ONLY, 5, [], token),
        lambda: store.search_experiments(page_token=token),
        lambda: store.get_metric_history(run_id, "loss", 5, token),
        lambda: registry.search_registered_models(page_token=token),
        lambda: registry.search_model_versions(page_token=token),
    ]
    if IS_NEW:
        calls.append(lambda: store.search_logged_models(["0"], page_token=token))
    codes = []
    for call in calls:
        with pytest.raises(MlflowException) as refused:
            call()
        codes.append(refused.value.error_code)
    assert ["INVALID_PARAMETER_VALUE"] * len(calls) == codes


def test_a_number_may_be_larger_than_those_of_sqlite(filled: Both) -> None:
    """MLflow's SQL store breaks down on it; here it is compared as any other."""
    side, huge = filled.ours, "9" * 30
    assert [] == side.call(search("exp", f"start_time > {huge}"))[0]
    assert sorted(RUNS) == sorted(side.call(search("exp", f"start_time < {huge}"))[0])
    assert sorted(RUNS) == sorted(side.call(search("exp", f"start_time > -{huge}"))[0])


def test_a_page_may_hold_all(filled: Both) -> None:
    """No size is no limit, and the largest one is MLflow's."""
    sizes = (None, 50_000) if IS_NEW else (50_000,)
    filled.do(*(search("exp", "", ["run_name"], max_results=size) for size in sizes))


def test_deleted_runs_are_found_when_asked_for(filled: Both) -> None:
    """The three views, before and after one run is deleted and restored."""
    views = (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL)
    for side in filled.sides:
        side.store.delete_run(side.ids["beta"])
    try:
        found = filled.do(*(search("exp", "", ["run_name"], run_view_type=view) for view in views))
    finally:
        for side in filled.sides:
            side.store.restore_run(side.ids["beta"])
    assert [7, 1, 8] == [len(names) for names, _ in found]
    assert [8] == [len(names) for names, _ in filled.do(search("exp", "", ["run_name"]))]


def test_runs_are_found_by_their_ids(filled: Both) -> None:
    """`run_id` may be one of a list; the artifact URI is a text like any other."""
    for side in filled.sides:
        ids = [side.ids[name] for name in ("Alpha", "beta")]
        listed = ", ".join(f"'{id_}'" for id_ in ids)
        uri = side.store.get_run(ids[0]).info.artifact_uri
        head, tail = uri[:-40], uri[-40:]
        asked = {
            f"run_id = '{ids[0]}'": ["Alpha"],
            f"run_id != '{ids[0]}' AND run_id IN ({listed})": ["beta"],
            f"run_id NOT IN ({listed}) AND run_name LIKE '%ta'": ["eta", "theta", "zeta"],
            f"artifact_uri = '{uri}'": ["Alpha"],
            f"artifact_uri LIKE '{head}%' AND artifact_uri LIKE '%{tail}'": ["Alpha"],
            f"artifact_uri != '{uri}' AND run_id IN ({listed})": ["beta"],
        }
        for filter_, expected in asked.items():
            found, _ = search("exp", filter_, ["run_name"])(side.store, side.ids)
            assert expected == found, filter_


def test_no_experiment_no_run(filled: Both) -> None:
    """Without experiments nothing is found, and in one that is not there neither."""
    for side in filled.sides:
        nothing: tuple[list[object], None] = ([], None)
        assert nothing == tuple(side.store._search_runs([], "", ViewType.ALL, 10, [], None))
        assert nothing == tuple(side.store._search_runs(["99999"], "", ViewType.ALL, 10, [], None))


def test_the_fields_of_a_record_are_found_by_mlflows_tags(filled: Both) -> None:
    """What Runstone itself recorded is found and left out by the names MLflow has for it; a tag that is set wins."""
    store, ids = filled.ours.store, filled.ours.ids
    store.set_tag(ids["theta"], RunTag("mlflow.user", "lee"))
    try:
        for filter_, expected in {
            "tags.mlflow.user = 'lee'": ["theta"],
            "tags.mlflow.user = 'kim' AND tags.team ILIKE 'red'": ["Alpha", "beta"],
            "tags.mlflow.user != 'kim'": ["theta"],
            "tags.mlflow.source.git.commit LIKE '%'": [],
        }.items():
            assert expected == search("exp", filter_, ["run_name"])(store, ids)[0], filter_
    finally:
        store.delete_tag(ids["theta"], "mlflow.user")


def test_values_come_back_as_mlflow_gives_them(filled: Both) -> None:
    """What is infinite is the greatest float, as in MLflow's SQL store; NaN stays NaN."""
    experiment_ids = [filled.ours.ids["exp"]]
    found, _ = filled.ours.store._search_runs(experiment_ids, "metrics.loss != 0.5", 1, 10, ["run_name"], None)
    values = {run.info.run_name: run.data.metrics["loss"] for run in found}
    assert [1.7976931348623157e308, -1.7976931348623157e308] == [values["delta%x"], values["zeta"]]
    assert math.isnan(values["beta"])
