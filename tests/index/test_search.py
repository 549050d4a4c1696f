"""Searches over real repositories: filters, orders, pages, views; one run by id, prefix or name; experiments."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runstone.errors import (
    ExperimentNotFound,
    FilterInvalid,
    InvalidPageToken,
    RunAmbiguous,
    RunNotFound,
    UsageError,
)
from runstone.git.repository import Repository
from runstone.index.experiments import find_experiment, list_experiments, search_experiments
from runstone.index.paging import PagedList
from runstone.index.search import get_run, list_runs, resolve_run, search_runs
from runstone.records.experiment import Experiment
from runstone.records.metric import MetricSummary
from runstone.records.run import Run
from tests.benchmarks import synthetic
from tests.benchmarks.synthetic import FIRST_START, Shape
from tests.index.rows import once

SHAPE = Shape(params=3, metrics=2, tags=1, experiments=2)


def small(number: int, **changes: Any) -> Run:
    """A run whose every value is told by its number."""
    values: dict[str, Any] = {
        "params": {"n": number, "kind": "even" if number % 2 == 0 else "odd"},
        "metrics": {"score": MetricSummary(number / 10, 5, 0.0, 1.0, 6)},
        "tags": {"team": "growth"},
    }
    return replace(synthetic.run(number, SHAPE), **(values | changes))


ALL = [small(number) for number in range(6)]
DELETED = replace(small(6), lifecycle="deleted")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A repository with six runs in two experiments, and a deleted one."""
    path = synthetic.init(tmp_path / "repo")
    files: dict[str, str | bytes | None] = {}
    for run in [*ALL, DELETED]:
        files.update(synthetic.run_files(run))
    for number in range(2):
        files.update(synthetic.experiment_files(synthetic.experiment(number)))
    synthetic.commit_files(path, files)
    return path


def put_experiment(path: Path, experiment: Experiment) -> None:
    """Commit an experiment's record."""
    synthetic.commit_files(path, dict(synthetic.experiment_files(experiment)))


def numbers(found: list[Run]) -> list[Any]:
    """The numbers of runs."""
    return [run.params["n"] for run in found]


def test_a_search_returns_runs_whole(repo: Repository) -> None:
    """What is found is the record itself, newest first."""
    assert ALL[::-1] == search_runs(repo)


def test_nothing_tracked_yet(tmp_path: Path) -> None:
    """A repository without runs has none, and no experiments."""
    repo = Repository.open(synthetic.init(tmp_path / "new"))
    assert ([], [], []) == (search_runs(repo), search_experiments(repo), list_runs(repo, ["run_id"]))
    repo.close()


@pytest.mark.mlflow
def test_filter_order_and_limit(repo: Repository) -> None:
    """The three together, as the reference workload uses them."""
    found = search_runs(
        repo,
        filter_string="params.kind = 'even' and metrics.score < 0.5",
        order_by=["metrics.score DESC"],
        max_results=2,
    )
    assert ([4, 2], True) == (numbers(found), found.token is not None)


@pytest.mark.mlflow
def test_experiments_are_chosen_by_id(repo: Repository) -> None:
    """None is all, an empty list is none; one id may stand without a list."""
    assert [4, 2, 0] == numbers(search_runs(repo, ["experiment-0"]))
    assert [5, 3, 1] == numbers(search_runs(repo, "experiment-1"))
    assert [] == search_runs(repo, [])
    assert [] == search_runs(repo, ["nobody"])
    assert 6 == len(search_runs(repo, ["experiment-0", "experiment-1"]))


@pytest.mark.mlflow
def test_pages(repo: Repository) -> None:
    """The token of a page leads to the next one, in MLflow's form; the last page has none."""
    first = search_runs(repo, max_results=4)
    assert isinstance(first, PagedList)
    assert {"offset": 4} == json.loads(base64.b64decode(first.token or ""))
    second = search_runs(repo, max_results=4, page_token=first.token)
    assert ([5, 4, 3, 2], [1, 0], None) == (numbers(first), numbers(second), second.token)
    assert search_runs(repo, max_results=6).token is None


@pytest.mark.parametrize("token", ["nonsense", "bm9uc2Vuc2U=", "eyJvZmZzZXQiOiAtMX0=", "eyJvZmZzZXQiOiAiMSJ9", "W10="])
def test_a_wrong_token(repo: Repository, token: str) -> None:
    """A token that no search gave out is refused with what to do."""
    with pytest.raises(InvalidPageToken) as caught:
        search_runs(repo, page_token=token)
    assert (
        f"The page token {token!r} cannot be read. Pass the `token` of the page before, unchanged, "
        "or none to begin at the first page."
    ) == str(caught.value)


@pytest.mark.parametrize("max_results", [0, -1, 50_001, True, "7"])
def test_a_wrong_size_of_page(repo: Repository, max_results: Any) -> None:
    """A page has 1 to 50,000 runs."""
    with pytest.raises(UsageError) as caught:
        search_runs(repo, max_results=max_results)
    assert (
        f"max_results must be a whole number from 1 to 50000, but is {max_results!r}. "
        "Read more page by page: pass the `token` of one page as `page_token` of the next."
    ) == str(caught.value)


@pytest.mark.mlflow
def test_deleted_runs_are_shown_when_asked_for(repo: Repository) -> None:
    """The view says which, by MLflow's names or numbers."""
    assert [6] == numbers(search_runs(repo, run_view_type="DELETED_ONLY"))
    assert [6] == numbers(search_runs(repo, run_view_type=2))
    assert 7 == len(search_runs(repo, run_view_type="all"))
    assert 6 == len(search_runs(repo, run_view_type=1))
    assert [6] == numbers(search_runs(repo, filter_string="lifecycle_stage = 'deleted'", run_view_type=3))
    with pytest.raises(UsageError) as caught:
        search_runs(repo, run_view_type="SOME")
    assert "The view type must be ACTIVE_ONLY, DELETED_ONLY or ALL (1, 2 or 3), but is 'SOME'." == str(caught.value)


@pytest.mark.mlflow
def test_the_runs_of_a_deleted_experiment_count_as_deleted(path: Path, repo: Repository) -> None:
    """They come back with their experiment, and their records never change."""
    put_experiment(path, replace(synthetic.experiment(1), lifecycle_stage="deleted"))
    assert [4, 2, 0] == numbers(search_runs(repo))
    assert [6, 5, 3, 1] == numbers(search_runs(repo, run_view_type="DELETED_ONLY"))
    assert "active" == get_run(repo, ALL[1].id).lifecycle
    put_experiment(path, synthetic.experiment(1))
    assert 6 == len(search_runs(repo))


def test_an_experiment_is_filtered_by_its_present_name(path: Path, repo: Repository) -> None:
    """After a rename the new name finds the runs, and the old one none."""
    assert [5, 3, 1] == numbers(search_runs(repo, filter_string="experiment_name = 'experiment-1'"))
    put_experiment(path, replace(synthetic.experiment(1), name="Churn"))
    assert [5, 3, 1] == numbers(search_runs(repo, filter_string="experiment = 'Churn'"))
    assert [] == search_runs(repo, filter_string="experiment_name = 'experiment-1'")
    synthetic.commit_files(path, {"experiments/experiment-1/experiment.yaml": None})
    assert [5, 3, 1] == numbers(search_runs(repo, filter_string="experiment_name = 'experiment-1'"))


def test_a_bad_filter_is_refused(repo: Repository) -> None:
    """The error of the filter comes through, before anything is read."""
    with pytest.raises(FilterInvalid):
        search_runs(repo, filter_string="metrics.score << 1")
    with pytest.raises(FilterInvalid):
        search_runs(repo, order_by=["score"])


def test_many_terms(repo: Repository) -> None:
    """A filter of more than a thousand terms is no deeper than SQLite allows."""
    text = " OR ".join(f"params.n = {number}" for number in range(3, 1500))
    assert [5, 4, 3] == numbers(search_runs(repo, filter_string=text))
    ids = ", ".join(f"'{run.id}'" for run in ALL[:2])
    rest = ", ".join(f"'{number}'" for number in range(2000))
    assert [1, 0] == numbers(search_runs(repo, filter_string=f"run_id IN ({ids}, {rest})"))


def test_columns_without_runs(path: Path, repo: Repository) -> None:
    """`list_runs` gives fields of any kind: what is missing is None, NaN is NaN, params are text."""
    odd = small(7, metrics={"score": once(float("nan"))}, params={"n": 7}, ended=None)
    synthetic.commit_files(path, dict(synthetic.run_files(odd)))
    columns = [
        "run_id",
        "name",
        "start_time",
        "ended",
        "dirty",
        "metrics.score",
        "count(metrics.score)",
        "params.n",
        'params."kind"',
        "tags.team",
        "tags.mlflow.user",
        "dataset.name",
        "metrics.nobody",
    ]
    rows = list_runs(repo, columns, filter_string="params.n >= 5", max_results=2)
    start = FIRST_START + 7 * synthetic.BETWEEN_RUNS
    assert (odd.id, "brave-otter-7", start, None, False) == rows[0][:5]
    assert str(float("nan")) == str(rows[0][5])
    assert (1, "7", None, "growth", "lee", "diabetes", None) == rows[0][6:]
    assert (0.5, 6, "5", "odd", "growth", "sam", "diabetes", None) == rows[1][5:]


def test_get_run(repo: Repository) -> None:
    """A run by its id, a deleted one too; the error says what to do."""
    assert ALL[3] == get_run(repo, ALL[3].id)
    assert DELETED == get_run(repo, DELETED.id)
    with pytest.raises(RunNotFound) as caught:
        get_run(repo, "nobody")
    assert (
        "No run 'nobody' in this repository. List them: `runstone runs list`; bring those of others: `runstone pull`"
    ) == str(caught.value)


def test_resolve_run(path: Path, repo: Repository) -> None:
    """An id, a prefix that only one id has, or a name; several are listed."""
    twins = [replace(small(number), id=f"fff{number}", name="twin") for number in (8, 9)]
    for twin in twins:
        synthetic.commit_files(path, dict(synthetic.run_files(twin)))
    run = ALL[3]
    assert run.id == resolve_run(repo, run.id)
    assert run.id == resolve_run(repo, run.id[:20])
    assert run.id == resolve_run(repo, "brave-otter-3")
    assert "fff8" == resolve_run(repo, "fff8")
    for text, step in (("fff", "Write more of the id"), ("twin", "Name one by its id")):
        with pytest.raises(RunAmbiguous) as caught:
            resolve_run(repo, text)
        assert (
            f"{text!r} means 2 runs. {step}:\n"
            "  fff9  twin  started 2026-01-01T00:07:03.000Z  FAILED\n"
            "  fff8  twin  started 2026-01-01T00:06:16.000Z  FINISHED"
        ) == str(caught.value)
    for text in ("", "otter", "%"):
        with pytest.raises(RunNotFound):
            resolve_run(repo, text)


def test_a_name_means_the_run_and_not_its_reruns(path: Path, repo: Repository) -> None:
    """`rerun` keeps the name: what repeats another candidate, if only through runs of other names, is left out."""
    original = replace(small(8), id="aaa1", name="twin")
    between = replace(small(9), id="aaa2", name="other", rerun_of="aaa1")
    last = replace(small(10), id="aaa3", name="twin", rerun_of="aaa2")
    for run in (original, between, last):
        synthetic.commit_files(path, dict(synthetic.run_files(run)))
    assert "aaa1" == resolve_run(repo, "twin")
    synthetic.commit_files(path, dict(synthetic.run_files(replace(small(11), id="aaa4", name="twin", rerun_of="gone"))))
    with pytest.raises(RunAmbiguous) as caught:
        resolve_run(repo, "twin")
    assert ["aaa4", "aaa1"] == [listed.split()[0] for listed in caught.value.candidates]


def test_reruns_in_a_circle_are_all_candidates(path: Path, repo: Repository) -> None:
    """Records come from others: two that claim to repeat each other end no search, and neither is hidden."""
    for number, other in ((1, 2), (2, 1)):
        run = replace(small(7 + number), id=f"aaa{number}", name="twin", rerun_of=f"aaa{other}")
        synthetic.commit_files(path, dict(synthetic.run_files(run)))
    with pytest.raises(RunAmbiguous) as caught:
        resolve_run(repo, "twin")
    assert 2 == len(caught.value.candidates)


@pytest.mark.mlflow
def test_search_experiments(path: Path, repo: Repository) -> None:
    """Filter, order, view and pages; without an order the one that ran last comes first."""
    churn = Experiment("churn", "Churn", FIRST_START + 5, "Who leaves?", {"team": "growth"})
    gone = Experiment("gone", "gone", FIRST_START + 6, lifecycle_stage="deleted")
    put_experiment(path, churn)
    put_experiment(path, gone)
    names = ["experiment-0", "experiment-1", "Churn"]
    assert names == [one.name for one in search_experiments(repo)]
    assert [churn] == search_experiments(repo, filter_string="tags.team = 'growth' AND name ILIKE 'churn'")
    assert [churn] == search_experiments(repo, filter_string=f"creation_time > {FIRST_START}")
    assert [churn] == search_experiments(repo, filter_string="last_update_time < '2026-01-01T00:00:01Z'")
    assert [gone] == search_experiments(repo, view_type="DELETED_ONLY")
    assert ["Churn", "experiment-0", "experiment-1", "gone"] == [
        one.name for one in search_experiments(repo, view_type=3, order_by=["name ASC"])
    ]
    page = search_experiments(repo, max_results=2)
    assert ["Churn"] == [one.name for one in search_experiments(repo, page_token=page.token)]
    assert ["churn", "experiment-0", "experiment-1", "gone"] == [one.experiment_id for one in list_experiments(repo)]


def test_find_experiment(path: Path, repo: Repository) -> None:
    """By id, else by name; the active one of two with one name; one that only its runs tell of, too."""
    put_experiment(path, Experiment("a", "Same", lifecycle_stage="deleted"))
    put_experiment(path, Experiment("b", "Same"))
    synthetic.commit_files(path, dict(synthetic.run_files(small(20, experiment_id="bare", experiment="Bare"))))
    assert synthetic.experiment(0) == find_experiment(repo, "experiment-0")
    assert "b" == find_experiment(repo, "Same").experiment_id
    assert "a" == find_experiment(repo, "a").experiment_id
    assert Experiment("bare", "Bare") == find_experiment(repo, "Bare")
    with pytest.raises(ExperimentNotFound) as caught:
        find_experiment(repo, "nobody")
    assert (
        "No experiment 'nobody' in this repository. List them: `runstone experiments list`; "
        "make it: `runstone experiments create NAME`"
    ) == str(caught.value)
