"""What the records of runs hold: which have a text in them, and which datasets there are."""

from pathlib import Path

import pytest

from runstone.client import Client
from runstone.index.contents import list_datasets, runs_that_hold
from runstone.records.dataset import Dataset


@pytest.fixture
def client(git_repo: Path) -> Client:
    """A repository with two experiments, of three runs one live."""
    client = Client(git_repo)
    for experiment, name, datasets in (
        ("a", "first", [Dataset("x", "1", role="train"), Dataset("x", "1", role="test")]),
        ("b", "second", [Dataset("x", "1", role="train"), Dataset("y", "2")]),
    ):
        with client.create_run(client.create_experiment(experiment), run_name=name) as run:
            for dataset in datasets:
                run.log_dataset(dataset)
            run.set_tags({"said": f'{name} "in quotes"'})
    live = client.create_run("b", run_name="live")
    live.log_dataset(Dataset("x", "1", role="train"))
    return client


def test_runs_are_found_by_a_text_in_their_record(client: Client) -> None:
    """As JSON writes it, in some experiments or in all, deleted runs too, the oldest first."""
    repo = client.workspace.repo
    (first,) = runs_that_hold(repo, '"first')
    assert "first" == first.document["name"]
    client.delete_run(first.run_id)
    assert ["first", "second"] == [run.document["name"] for run in runs_that_hold(repo, '\\"in quotes\\"')]
    assert ["second"] == [
        run.document["name"] for run in runs_that_hold(repo, "in quotes", [first.experiment_id + "x", "b"])
    ]
    assert ["live"] == [run.document["name"] for run in runs_that_hold(repo, '"name":"live"')]
    assert [] == runs_that_hold(repo, "nowhere") == runs_that_hold(repo, "first", [])


def test_datasets_are_listed_once(client: Client) -> None:
    """Each name, digest and role of an experiment, of live runs too; no more than are asked for."""
    repo = client.workspace.repo
    found = [("a", "x", "1", "test"), ("a", "x", "1", "train"), ("b", "x", "1", "train"), ("b", "y", "2", None)]
    assert found == sorted(list_datasets(repo, ["a", "b"], 10), key=lambda row: (*row[:3], row[3] or ""))
    assert found[:2] == list_datasets(repo, ["a"], 10)
    assert 1 == len(list_datasets(repo, ["a", "b"], 1))
