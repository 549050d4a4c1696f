"""What happened to runs, and what each event changed in their records."""

from pathlib import Path
from typing import Any

import pytest

from runstone.client import Client
from runstone.tracking.compare import Difference
from runstone.tracking.events import list_events, list_run_events, record_changes
from tests.support import git


def make_run(client: Client, name: str, experiment: str = "0") -> str:
    """Record a run with one param and one metric."""
    run_id = client.create_run(experiment, run_name=name).info.run_id
    client.log_param(run_id, "lr", 0.1)
    client.log_metric(run_id, "loss", 0.5)
    client.set_terminated(run_id)
    return run_id


@pytest.fixture
def client(git_repo: Path) -> Client:
    """A client of a fresh repository."""
    return Client(git_repo)


def test_what_happened_to_one_run(client: Client) -> None:
    """Recorded, added to, deleted and restored: each with the fields it changed and the files it touched."""
    other = make_run(client, "fox")
    run_id = make_run(client, "owl")
    with client.handle(run_id):
        client.set_tag(run_id, "team", "x")
        client.log_metric(run_id, "loss", 0.25, step=1)
    client.delete_run(run_id, reason="wrong data")
    client.restore_run(run_id)
    found = list(list_run_events(client.workspace.repo, run_id))
    assert ["restored", "deleted", "added to", "recorded"] == [each.event.kind for each in found]
    restored, deleted, added, recorded = found
    assert deleted.changes is not None
    assert [("deleted.reason", "added", "wrong data"), ("lifecycle", "added", "deleted")] == [
        (each.key, each.state, each.b) for each in deleted.changes if each.key != "deleted.at"
    ]
    assert restored.changes is not None
    assert {"removed"} == {each.state for each in restored.changes}
    changed = {each.key: (each.state, each.a, each.b) for each in added.changes or ()}
    assert ("added", None, "x") == changed["tags.team"]
    assert ("changed", 0.5, 0.25) == changed["metrics.loss.last"]
    assert {"metrics.tsv": "M"} == added.files
    assert None is recorded.changes
    assert {"metrics.tsv": "A", "requirements.txt": "A"} == recorded.files
    assert 1 == len(list(list_run_events(client.workspace.repo, other)))


def test_a_run_that_moved_is_followed(client: Client, git_repo: Path) -> None:
    """Its folder may change: the events of all places are told, and the move as one."""
    run_id = make_run(client, "owl")
    repo = client.workspace.repo
    (first,) = list_run_events(repo, run_id)
    assert first.folder is not None
    index = {"GIT_INDEX_FILE": str(git_repo / "scratch-index")}
    git("read-tree", "runs", cwd=git_repo, env=index)
    target = first.folder.replace("experiments/default-808d", "experiments/other")
    for line in git("ls-tree", "-r", "runs", first.folder, cwd=git_repo).splitlines():
        path = line.partition("\t")[2]
        moved = path.replace(first.folder, target)
        cache = f"100644,{line.split()[2]},{moved}"
        git("update-index", "--add", "--cacheinfo", cache, cwd=git_repo, env=index)
        git("update-index", "--force-remove", path, cwd=git_repo, env=index)
    tree = git("write-tree", cwd=git_repo, env=index)
    made = git("commit-tree", "-p", "runs", "-m", f"Move run owl\n\nRun: {run_id}", tree, cwd=git_repo)
    git("update-ref", "refs/heads/runs", made, cwd=git_repo)
    move, recorded = list_run_events(repo, run_id)
    assert ("moved", target, first.folder, (), {}) == (
        move.event.kind,
        move.folder,
        move.moved_from,
        move.changes,
        move.files,
    )
    assert first == recorded


def test_only_one_experiment(client: Client) -> None:
    """Its own making, and what happened to its runs."""
    churn = client.create_experiment("churn")
    make_run(client, "owl", churn)
    make_run(client, "fox")
    events = list(list_events(client.workspace.repo, experiment_id=churn))
    assert ["owl", "churn"] == [each.title for each in events]


def test_times_are_each_event_s_own(client: Client, git_repo: Path) -> None:
    """One wrong clock hides no other event; bounds are inclusive."""
    make_run(client, "owl")
    made = git(
        "commit-tree",
        "-p",
        "runs",
        "-m",
        "Old",
        "runs^{tree}",
        cwd=git_repo,
        env={"GIT_AUTHOR_DATE": "@1000000000 +0000"},
    )
    git("update-ref", "refs/heads/runs", made, cwd=git_repo)
    repo = client.workspace.repo
    everything = list(list_events(repo))
    late = 1_000_000_000_001
    assert everything[1:] == list(list_events(repo, since=late))
    assert everything[:1] == list(list_events(repo, until=1_000_000_000_000))
    assert everything[1:2] == list(list_events(repo, since=late, limit=1))
    assert [] == list(list_events(repo, since=1_000_000_000_001, until=1_000_000_000_002))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [Difference("a.b", "changed", 1, 2)]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [Difference("a", "changed", [1, 2], [1, 3])]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}, {"b": 2}]}, [Difference("a[1].b", "added", None, 2)]),
        ({"a": {}}, {"a": {"b": 1}}, [Difference("a", "removed", {}, None), Difference("a.b", "added", None, 1)]),
        ({"a": 1}, {"a": 1}, []),
    ],
)
def test_records_leaf_by_leaf(before: Any, after: Any, expected: list[Difference]) -> None:
    """Maps and lists of maps are gone through; other lists are values."""
    assert expected == list(record_changes(before, after))


def test_a_record_that_cannot_be_read_hides_only_its_changes(client: Client, git_repo: Path) -> None:
    """The event is told all the same."""
    run_id = make_run(client, "owl")
    repo = client.workspace.repo
    (first,) = list_run_events(repo, run_id)
    (git_repo / "bad").write_text("id: [\n")
    blob = git("hash-object", "-w", "bad", cwd=git_repo)
    index = {"GIT_INDEX_FILE": str(git_repo / "scratch-index")}
    git("read-tree", "runs", cwd=git_repo, env=index)
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},{first.folder}/run.yaml", cwd=git_repo, env=index)
    tree = git("write-tree", cwd=git_repo, env=index)
    git(
        "update-ref",
        "refs/heads/runs",
        git("commit-tree", "-p", "runs", "-m", "Break", tree, cwd=git_repo),
        cwd=git_repo,
    )
    broken, recorded = list_run_events(repo, run_id)
    assert (None, first.folder) == (broken.changes, broken.folder)
    assert first == recorded
