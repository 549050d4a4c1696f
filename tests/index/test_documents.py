"""Records as the index holds them: a page of them, one, and the notes beside them."""

from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import RunNotFound
from runstone.git.repository import Repository
from runstone.index import documents, tables
from runstone.index.cache import rebuild
from runstone.index.fields import Field
from runstone.index.filter import Comparison, Order

NOTE = Field("attribute", "note", "text", expression="(SELECT text FROM note WHERE path = r.path)")
PARAM_TEXT = Field("param", "n", "text")
LATEST = Field("metric", "m", "number", "latest")


@pytest.fixture
def client(git_repo: Path) -> Client:
    """A client of a repository with two runs that have ended, and one that is live."""
    client = Client(git_repo)
    experiment_id = client.create_experiment("exp")
    for number in (9, 10, 100):
        run_id = f"run-{number}"
        client.create_run(experiment_id, start_time=number, run_id=run_id)
        client.log_param(run_id, "n", number)
        client.log_metric(run_id, "m", 5.0, timestamp=7, step=0)
        client.log_metric(run_id, "m", number / 10, timestamp=7, step=0)
        if number != 10:
            client.set_note(run_id, f"Note of {number}.")
        if number != 100:
            client.set_terminated(run_id)
    return client


def ids(repo: Repository, condition: Comparison | None = None, *orders: Order) -> list[str]:
    """The ids of what a search finds."""
    found = documents.search_rows(repo, None, condition, "ACTIVE_ONLY", orders, limit=None)
    return [row.run_id for row in found]


def test_rows_hold_the_record_and_the_notes(client: Client, git_repo: Path) -> None:
    """Of runs that ended and of live ones; one without notes has none."""
    repo = Repository.open(git_repo)
    rows = {row.run_id: row for row in documents.search_rows(repo, ["exp"], None, 1, (), limit=10)}
    assert ["run-100", "run-10", "run-9"] == list(rows)
    assert ["Note of 100.", None, "Note of 9."] == [row.note for row in rows.values()]
    assert (9, True) == (rows["run-9"].started, rows["run-9"].is_active)
    assert (None, "RUNNING") == (rows["run-100"].ended, rows["run-100"].document["status"])
    assert rows["run-9"] == documents.get_row(repo, "run-9")
    with pytest.raises(RunNotFound):
        documents.get_row(repo, "run-1")


def test_notes_are_kept_up_with(client: Client, git_repo: Path) -> None:
    """What is written anew is found, after the run was ended and after the index was made anew; a long one is cut."""
    repo = Repository.open(git_repo)
    assert ["run-100", "run-9"] == ids(repo, Comparison(NOTE, "LIKE", False, ("Note%",)))
    client.set_note("run-9", "Other.")
    client.set_note("run-100", "x" * 9000)
    for _ in range(2):
        assert "Other." == documents.get_row(repo, "run-9").note
        assert tables.MAX_NOTE == len(documents.get_row(repo, "run-100").note or "")
        client.set_terminated("run-100")
        rebuild(repo)
    assert ["run-10"] == ids(repo, Comparison(NOTE, "NULL", False, ()))


def test_a_param_may_be_sorted_as_text(client: Client, git_repo: Path) -> None:
    """As MLflow sorts it, and not as the number that it is."""
    repo = Repository.open(git_repo)
    assert ["run-10", "run-100", "run-9"] == ids(repo, None, Order(PARAM_TEXT, False))
    assert ["run-9", "run-10", "run-100"] == ids(repo, None, Order(Field("param", "n", "param"), False))


def test_the_latest_value_is_not_always_the_last_written(client: Client, git_repo: Path) -> None:
    """Of one step and time the greatest is MLflow's latest; the last written is still the last."""
    repo = Repository.open(git_repo)
    assert ["run-100", "run-10", "run-9"] == ids(repo, Comparison(LATEST, ">=", False, (5.0,)))
    assert ["run-100"] == ids(repo, Comparison(Field("metric", "m", "number", "last"), ">=", False, (5.0,)))
    assert "run-100" == ids(repo, None, Order(LATEST, True))[0]
