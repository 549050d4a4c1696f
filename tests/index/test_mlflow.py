"""MLflow's own reading of filters beside ours: what it can read finds the same runs in the same order."""

import math
from typing import Any

import pytest

from runstone.records.dataset import Dataset
from runstone.records.run import Run, Source
from tests.index.rows import ids_by_sql, once, tables_of

RECORDED = (
    Run(
        id="aa",
        name="Brave Otter",
        experiment="One",
        experiment_id="1",
        status="FINISHED",
        user="kim",
        started=3000,
        ended=4000,
        source=Source(commit="c1"),
        params={"lr": "0.1", "opt": "adam", "my param": "x"},
        metrics={"mse": once(0.5), "a.b": once(1.0), "val/loss": once(2.0)},
        tags={"team": "Growth", "a.b": "1"},
        datasets=(Dataset("diabetes", "1", role="train"),),
    ),
    Run(
        id="bb",
        name="calm-fox",
        experiment="One",
        experiment_id="1",
        status="FAILED",
        user="lee",
        started=2000,
        ended=2500,
        params={"lr": "0.01", "opt": "sgd"},
        metrics={"mse": once(math.nan), "a.b": once(math.inf)},
        tags={"team": "growth"},
        datasets=(Dataset("wine", "2", role="test"),),
    ),
    Run(
        id="cc",
        name="fox",
        experiment="One",
        experiment_id="1",
        status="RUNNING",
        user="lee",
        started=2000,
        parent="aa",
        metrics={"mse": once(-1.0)},
    ),
)


@pytest.fixture(scope="module")
def mlflow_runs() -> list[Any]:
    """The same runs as MLflow's values, with the tags MLflow would have set."""
    from mlflow import entities

    found = []
    for run in RECORDED:
        tags = {"mlflow.runName": run.name, "mlflow.user": run.user, **run.tags}
        if run.parent:
            tags["mlflow.parentRunId"] = run.parent
        if run.source.commit:
            tags["mlflow.source.git.commit"] = run.source.commit
        info = entities.RunInfo(
            run_id=run.id,
            experiment_id=run.experiment_id,
            user_id=run.user,
            status=run.status,
            start_time=run.started,
            end_time=run.ended,
            lifecycle_stage="active",
            artifact_uri=f"runs:/{run.id}",
            run_name=run.name,
        )
        data = entities.RunData(
            metrics=[entities.Metric(k, m.last, 0, 0) for k, m in run.metrics.items()],
            params=[entities.Param(k, str(v)) for k, v in run.params.items()],
            tags=[entities.RunTag(k, v) for k, v in tags.items()],
        )
        inputs = entities.RunInputs(
            [
                entities.DatasetInput(
                    entities.Dataset(d.name, d.digest, "local", "", None, None),
                    [entities.InputTag("mlflow.data.context", d.role or "")],
                )
                for d in run.datasets
            ]
        )
        found.append(entities.Run(info, data, inputs))
    return found


@pytest.mark.mlflow
@pytest.mark.parametrize(
    "text",
    [
        "",
        "metrics.mse < 0.6",
        "metrics.mse != 0.5",
        "metrics.mse >= -1",
        "metric.`a.b` > 0",
        'metrics."val/loss" = 2',
        "metrics.mse < 1 and params.opt = 'adam'",
        "params.lr = '0.1'",
        'parameters.lr != "0.1"',
        "params.`my param` = 'x'",
        "params.opt LIKE 's%'",
        "params.opt ILIKE 'A__M'",
        "params.opt IS NULL",
        "param.opt is not null",
        "tags.team = 'growth'",
        "tags.team != 'growth'",
        "tags.team LIKE 'G%'",
        "tag.team ILIKE 'G%'",
        "tags.`a.b` = '1'",
        "tags.nobody IS NULL",
        "tags.mlflow.runName = 'fox'",
        "tags.mlflow.user = 'lee'",
        "tags.mlflow.parentRunId = 'aa'",
        "tags.`mlflow.parentRunId` IS NULL",
        "tags.mlflow.source.git.commit = 'c1'",
        "status = 'FINISHED'",
        "attributes.status != 'FINISHED'",
        "attribute.status LIKE 'F%'",
        "run.user_id = 'lee' AND attr.start_time < 2500",
        "start_time >= 2000",
        "end_time < 3000",
        "end_time != 4000",
        "run_name ILIKE '%FOX'",
        "attributes.`run name` = 'fox'",
        "run_id IN ('aa', 'cc')",
        "attributes.run_id NOT IN ('aa', 'cc')",
        "artifact_uri = 'runs:/aa'",
        "dataset.name = 'wine'",
        "datasets.digest LIKE '%1'",
        "dataset.context IN ('train', 'x')",
    ],
)
def test_filters(mlflow_runs: list[Any], text: str) -> None:
    """The runs MLflow finds are the ones we find."""
    from mlflow.utils.search_utils import SearchUtils

    expected = [run.info.run_id for run in SearchUtils.filter(mlflow_runs, text)]
    assert sorted(expected) == sorted(ids_by_sql(tables_of(RECORDED), text))


@pytest.mark.mlflow
@pytest.mark.parametrize(
    "order_by",
    [
        [],
        ["metrics.mse"],
        ["metrics.mse DESC"],
        ["metrics.`a.b` ASC", "start_time DESC"],
        ["params.opt DESC"],
        ["tags.team"],
        ["attributes.start_time ASC"],
        ["end_time DESC"],
        ["run_name"],
        ["attribute.status ASC", "metric.mse desc"],
    ],
)
def test_orders(mlflow_runs: list[Any], order_by: list[str]) -> None:
    """MLflow's order is ours, NaN, missing values and ties included."""
    from mlflow.utils.search_utils import SearchUtils

    expected = [run.info.run_id for run in SearchUtils.sort(mlflow_runs, order_by)]
    assert expected == ids_by_sql(tables_of(RECORDED), order_by=order_by)
