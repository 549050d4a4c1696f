"""What filters and orders mean, asked of the Python evaluation and of SQL at once."""

import math
import time

import pytest

from runstone.index.evaluate import predicate, sort_rows
from runstone.index.fields import MODEL_VERSIONS, RUNS
from runstone.index.filter import parse_filter, parse_order_by
from runstone.index.values import param_number, param_text, pattern
from runstone.records.dataset import Dataset
from runstone.records.metric import MetricSummary
from runstone.records.run import Run, Source
from tests.index.rows import describe, ids_by_sql, once, tables_of

RUN_A = Run(
    id="aa",
    name="Brave Otter",
    experiment="One",
    experiment_id="one",
    status="FINISHED",
    user="kim",
    started=1_767_225_600_000,
    ended=1_767_225_660_000,
    source=Source(command=("python", "train.py", "a b"), commit="c1", branch="main", dirty=False),
    params={"lr": 0.1, "depth": 3, "opt": "adam", "flag": True, "text": "0.10", "none": None, "list": [1, "a"]},
    metrics={"mse": once(0.5), "a.b": once(1.0), "acc": MetricSummary(last=0.7, step=9, min=0.1, max=0.9, count=10)},
    tags={"team": "Growth", "größe": "ÄB", "100%": "50%_x"},
    datasets=(Dataset("diabetes", "md5:1", role="train"), Dataset("iris", "md5:2", role="test")),
)
RUN_B = Run(
    id="bb",
    name="calm-fox",
    experiment="Two",
    experiment_id="two",
    status="FAILED",
    user="lee",
    started=1_767_312_000_000,
    parent="aa",
    rerun_of="aa",
    params={"lr": "fast", "depth": 10, "opt": "sgd"},
    metrics={"mse": once(math.nan), "a.b": once(math.inf)},
    tags={"team": "growth"},
    datasets=(Dataset("wine", "md5:3"),),
)
RUN_C = Run(
    id="cc",
    name="fox",
    experiment="Two",
    experiment_id="two",
    status="RUNNING",
    user="lee",
    started=1_767_312_000_000,
    params={"depth": 2**70},
)
RUNS_ABC = (RUN_A, RUN_B, RUN_C)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ("aa bb cc", ""),
        ("aa", "metrics.mse < 1"),
        ("aa", "metrics.mse = 0.5"),
        ("bb", "metrics.mse != 0.5"),  # NaN is another number; what is missing is none
        ("bb", "metrics.mse = nan"),
        ("aa", "metrics.mse != nan"),
        ("aa bb", "metrics.mse IN (0.5, nan)"),
        ("", "metrics.mse NOT IN (0.5, nan)"),
        ("", "metrics.mse < nan"),
        ("bb", "metrics.mse NOT BETWEEN 0 AND 1"),
        ("cc", "metrics.mse IS NULL"),
        ("aa bb", "metrics.mse IS NOT NULL"),
        ("bb", "metrics.a.b = inf"),
        ("aa bb", 'metrics."a.b" > 0'),
        ("aa", "min(metrics.acc) = 0.1 AND max(metrics.acc) = 0.9 AND count(metrics.acc) = 10"),
        ("aa", "step(metrics.acc) >= 9 AND last(metrics.acc) = 0.7"),
        ("aa", "params.lr = 0.1"),
        ("aa", "params.lr = '0.1'"),
        ("", "params.lr = '0.10'"),
        ("bb", "params.lr != 0.1"),
        ("bb", "params.lr != '0.1'"),
        ("aa", "params.lr < 1"),
        ("aa", "params.text = 0.1"),
        ("aa bb", "params.lr IN (0.1, 'fast')"),
        ("aa bb", "params.depth BETWEEN 3 AND 10"),
        ("cc", "params.depth > 1e20"),
        ("cc", "params.depth NOT BETWEEN 3 AND 10"),
        ("aa", "params.flag = true"),
        ("aa", "params.flag = 'True'"),
        ("", "params.flag = 1"),
        ("aa", "params.none = 'None'"),
        ("aa", "params.list LIKE '[1, %'"),
        ("bb cc", "params.flag IS NULL"),
        ("aa", "tags.team = 'Growth'"),
        ("bb", "tags.team != 'Growth'"),
        ("bb cc", "NOT tags.team = 'Growth'"),
        ("aa", "tags.team LIKE 'G%'"),
        ("aa bb", "tags.team ILIKE 'G%H'"),
        ("bb", "tags.team NOT LIKE 'G%'"),
        ("aa", "tags.größe ILIKE 'ä_'"),
        ("aa", "tags.\"100%\" LIKE '50__x'"),
        ("", "tags.nobody = 'x'"),
        ("aa bb cc", "tags.nobody IS NULL"),
        ("aa", "status = 'FINISHED' AND user = 'kim'"),
        ("bb cc", "status IN ('FAILED', 'RUNNING')"),
        ("aa", "status NOT IN ('FAILED', 'RUNNING')"),
        ("bb cc", "start_time >= '2026-01-02'"),
        ("aa", "end_time < 1767225660001"),
        ("bb cc", "end_time IS NULL"),
        ("aa", "end_time != 5"),
        ("aa", "dirty = false"),
        ("", "dirty = true"),
        ("bb cc", "dirty IS NULL"),
        ("bb", "parent = 'aa'"),
        ("bb", "rerun_of = 'aa'"),
        ("aa cc", "rerun_of IS NULL"),
        ("aa", "duration = 60"),
        ("", "duration > 60"),
        ("bb cc", "duration IS NULL"),
        ("aa", "command = 'python train.py ''a b'''"),
        ("aa", "command LIKE '%train.py%'"),
        ("bb", "tags.mlflow.parentRunId = 'aa'"),
        ("aa", "artifact_uri = 'runs:/aa'"),
        ("bb cc", "experiment_name = 'Two' AND experiment_id = 'two'"),
        ("aa", "branch = 'main' OR commit = 'c2'"),
        ("aa", "dataset.name = 'iris'"),
        ("aa bb", "dataset.name != 'iris'"),
        ("aa", "dataset.context IN ('train', 'other')"),
        ("bb cc", "dataset.context IS NULL"),
        ("aa bb", "dataset.digest IS NOT NULL"),
        ("bb", "(metrics.mse = 1 OR tags.team = 'growth') AND NOT status = 'FINISHED'"),
        ("aa cc", "NOT (user = 'lee' AND parent IS NOT NULL)"),
        ("", "tags.team = '''; DROP TABLE run; --'"),
        ("", "run_name = 'half \ud83d'"),
    ],
)
def test_which_runs_a_filter_finds(found: str, text: str) -> None:
    """The rows Python keeps and the rows SQL finds are the expected ones."""
    meets = predicate(parse_filter(text, RUNS))
    assert found == " ".join(run.id for run in RUNS_ABC if meets(describe(run)))
    assert found == " ".join(sorted(ids_by_sql(tables_of(RUNS_ABC), text)))


@pytest.mark.parametrize(
    ("order", "order_by"),
    [
        ("bb cc aa", []),
        ("aa bb cc", ["metrics.mse"]),
        ("aa bb cc", ["metrics.mse DESC"]),
        ("aa bb cc", ["metrics.a.b"]),
        ("bb aa cc", ["metrics.a.b DESC"]),
        ("aa bb cc", ["params.lr"]),
        ("aa bb cc", ["params.lr DESC"]),
        ("aa bb cc", ["params.depth"]),
        ("cc bb aa", ["params.depth DESC"]),
        ("aa bb cc", ["tags.team"]),
        ("bb aa cc", ["tags.team DESC"]),
        ("aa bb cc", ["start_time"]),
        ("cc bb aa", ["experiment_name DESC", "run_name DESC"]),
        ("aa bb cc", ["end_time"]),
        ("cc bb aa", ["user_id DESC", "run_id DESC"]),
        ("bb cc aa", ["metrics.nobody"]),
    ],
)
@pytest.mark.mlflow
def test_orders(order: str, order_by: list[str]) -> None:
    """NaN, then missing, come last in both directions; ties fall to the newest start, then to the id."""
    assert order == " ".join(ids_by_sql(tables_of(RUNS_ABC), order_by=order_by))
    rows = [describe(run) for run in RUNS_ABC]
    orders = parse_order_by([*order_by, "start_time DESC", "run_id"], RUNS)
    assert order == " ".join(row["attributes"]["run_id"] for row in sort_rows(rows, orders))


@pytest.mark.parametrize(
    ("text", "number", "value"),
    [
        ("1", 1, 1),
        ("1e-05", 1e-5, 1e-5),
        ("1e-05", 1e-5, "1e-05"),
        ("-3", -3, "-3"),
        ("+.5", 0.5, "+.5"),
        ("True", None, True),
        ("nan", None, math.nan),
        ("nan", None, "nan"),
        ("inf", math.inf, math.inf),
        ("inf", None, "inf"),
        ("0x10", None, "0x10"),
        ("1_000", None, "1_000"),
        ("", None, ""),
        ("١", None, "١"),
        ("None", None, None),
        ("{'a': 1}", None, {"a": 1}),
        (str(2**70), float(2**70), 2**70),
    ],
)
def test_params_as_text_and_as_numbers(text: str, number: float | None, value: object) -> None:
    """A param's text is Python's, as in MLflow; it is a number if it is one or reads as one."""
    assert (text, number) == (param_text(value), param_number(value))


@pytest.mark.parametrize(
    ("expected", "like", "text"),
    [
        (True, "", ""),
        (False, "", "a"),
        (True, "%", ""),
        (True, "%%", "abc"),
        (True, "a%c", "abbc"),
        (True, "a%b%c", "axbxbxc"),
        (False, "a%b%c", "axcxb"),
        (True, "%ab", "abab"),
        (True, "%a%a", "aa"),
        (False, "%a%a", "a"),
        (False, "a%a", "a"),
        (True, "_", "\n"),
        (True, "%.*", "x.*"),
        (False, "a.c", "abc"),
        (False, "A%", "abc"),
    ],
)
def test_like(expected: bool, like: str, text: str) -> None:
    """`%` stands for any text, `_` for one character, all else for itself."""
    assert expected == bool(pattern(like, False)(text))


def test_no_pattern_takes_for_ever() -> None:
    """A pattern of many `%` over a long text takes no more than a moment: the pieces are not tried in all ways."""
    before = time.process_time()
    assert not pattern("%a" * 50 + "%b", True)("a" * 100_000)
    assert time.process_time() - before < 2


def test_any_value_of_several_counts() -> None:
    """An attribute with several values, as the aliases of a version, meets a condition if one of them does."""
    row = {"attributes": {"alias": ("champion", "best"), "version": 3}, "tags": {}}
    assert predicate(parse_filter("alias = 'best' AND version_number > 2", MODEL_VERSIONS))(row)
    assert predicate(parse_filter("alias IS NULL", MODEL_VERSIONS))({"attributes": {"alias": ()}})
