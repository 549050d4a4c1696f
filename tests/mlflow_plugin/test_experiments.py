"""Experiments through the plug-in: every call gives what MLflow's SQL store gives, results and error codes alike."""

from collections.abc import Iterator
from typing import Any

import pytest
from mlflow.entities import ExperimentTag, ViewType
from mlflow.exceptions import MlflowException

from runstone.client import Client
from runstone.git.repository import Repository
from runstone.mlflow_plugin import compat
from runstone.mlflow_plugin.tracking import TrackingStore
from tests.mlflow_plugin.both import Both, Call
from tests.support import git

pytestmark = pytest.mark.mlflow


def create(name: Any, tags: dict[str, str] | None = None, **options: Any) -> Call:
    """Make an experiment; the test then knows it by `id of NAME`."""

    def call(store: Any, ids: dict[str, str]) -> str:
        made = store.create_experiment(name, tags=[ExperimentTag(*pair) for pair in (tags or {}).items()], **options)
        ids[f"id of {name}"] = made
        return str(made)

    return call


def find(text: str = "", order: list[str] | None = None, view: int = ViewType.ALL, **options: Any) -> Call:
    """A search for experiments whose names begin as those of these tests do."""
    shown = f"name LIKE 'b1 %'{' AND ' if text else ''}{text}"
    page = {"max_results": 100, **options}
    return lambda s, i: s.search_experiments(view, filter_string=shown, order_by=order, **page)


def on(verb: str, *arguments: Any, of: str = "b1 a") -> Call:
    """A verb on one experiment."""
    return lambda s, i: getattr(s, verb)(i[f"id of {of}"], *arguments)


def named(name: str) -> Call:
    """Look an experiment up by its name."""
    return lambda s, i: s.get_experiment_by_name(name)


TAG = ExperimentTag("t", "u")
IS_NEW = compat.has_logged_models()
"""Whether the SQL store refuses, and can do, all that the newest one does."""


def untag(key: str) -> list[Call]:
    """Remove a tag, if MLflow's store can."""
    return [on("delete_experiment_tag", key)] if IS_NEW else []


CALLS: dict[str, list[Call]] = {
    "made and found": [create("b1 a", {"k": "v"}), on("get_experiment"), named("b1 a"), named("b1 nobody")],
    "made twice": [create("b1 a"), create("b1 a")],
    "bad names": [create(""), create(None), create(5), create("b1" + "x" * 499)],
    "the longest name": [create("b1 " + "x" * 497)],
    "odd names": [create("b1 ../a"), create("b1 Ä ö/ü: 'x'"), create("b1 A.b"), create("b1 a.B"), find(order=["name"])],
    "Default is taken": [
        create("Default"),
        lambda s, i: s.get_experiment("0").name,
        lambda s, i: s.get_experiment(None).name,
    ],
    "no such experiment": [
        lambda s, i: s.get_experiment("987654"),
        lambda s, i: s.delete_experiment("987654"),
        lambda s, i: s.restore_experiment("987654"),
        lambda s, i: s.rename_experiment("987654", "b1 x"),
        lambda s, i: s.set_experiment_tag("987654", TAG),
        *([lambda s, i: s.delete_experiment_tag("987654", "t")] if IS_NEW else []),
        lambda s, i: s.create_run("987654", "kim", 1, [], None),
        lambda s, i: s._hard_delete_experiment("987654"),
    ],
    "deleted and restored": [
        create("b1 a"),
        on("restore_experiment"),
        on("delete_experiment"),
        on("delete_experiment"),
        on("get_experiment"),
        named("b1 a"),
        create("b1 a"),
        *(on(*each) for each in (("rename_experiment", "b1 x"), ("set_experiment_tag", TAG))),
        *untag("t"),
        on("create_run", "kim", 1, [], None),
        *(find(view=view) for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL)),
        on("restore_experiment"),
        on("restore_experiment"),
        on("get_experiment"),
    ],
    "renamed": [
        create("b1 a"),
        on("rename_experiment", "b1 new"),
        on("get_experiment"),
        named("b1 a"),
        named("b1 new"),
        create("b1 a"),
        *(on("rename_experiment", name) for name in ("", "x" * 501) if IS_NEW),
    ],
    "tagged": [
        create("b1 a", {"k": "v"}),
        on("set_experiment_tag", TAG),
        on("set_experiment_tag", ExperimentTag("t", "w")),
        on("get_experiment"),
        *untag("t"),
        *untag("t"),
        on("set_experiment_tag", ExperimentTag("mlflow.note.content", "Hi")),
        on("get_experiment"),
        *untag("mlflow.note.content"),
        *untag("mlflow.note.content"),
        on("get_experiment"),
    ],
    "tags at their limits": [
        create("b1 a"),
        *(on("set_experiment_tag", ExperimentTag("k" * n, "v")) for n in (250, 251)),
        *(on("set_experiment_tag", ExperimentTag("k", "v" * n)) for n in (5000, 20000, 20001)),
        *(on("set_experiment_tag", ExperimentTag(key, "v")) for key in ("../a", "", None, "a b", "a;b")),
        *([create("b1 b", {"../k": "v"})] if IS_NEW else []),
    ],
}
FILTERS = [
    "",
    "name = 'b1 a'",
    "name != 'b1 a'",
    "name LIKE '%B'",
    "name ILIKE '%B'",
    "attribute.name = 'b1 c'",
    "tags.team = 'red'",
    "tags.team != 'red'",
    "tag.team LIKE 'R%'",
    "tags.team ILIKE 'R%' AND name = 'b1 B'",
    "tags.`a b` = 'c'",
    "tags.none = 'x'",
    "creation_time > 0",
    "creation_time < 5",
    "last_update_time >= 5 AND name LIKE '%a'",
    "tags.team IS NULL",
    "tags.team IS NOT NULL",
]
BAD_FILTERS = [
    "name > 'a'",
    "name IN ('a')",
    "name = 5",
    "creation_time = 'x'",
    *(["creation_time > 1.5"] if IS_NEW else []),
    "creation_time LIKE '1'",
    "tags.team > 'a'",
    "tags.team IN ('a')",
    "params.x = 'y'",
    "nothing = 'x'",
    "name = 'a' OR name = 'b'",
    "name",
    "lifecycle_stage = 'active'",
    "name IS NULL",
]


@pytest.fixture
def own(both: Both) -> Iterator[Both]:
    """Both stores; what a test makes in MLflow's is renamed out of the way at its end."""
    yield both
    store = both.theirs.store
    for experiment in store.search_experiments(ViewType.ALL):
        if experiment.experiment_id != "0":
            if experiment.lifecycle_stage == "active":
                store.delete_experiment(experiment.experiment_id)
            store._hard_delete_experiment(experiment.experiment_id)


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
def test_calls_give_what_mlflows_store_gives(calls: list[Call], own: Both) -> None:
    """Call by call the result, or the code of the error, is the same; what an id is called is not."""
    own.do(*calls)


def fill(both: Both) -> None:
    """Make a few experiments in both."""
    texts = {"b1 a": {"team": "red"}, "b1 B": {"team": "Red", "a b": "c"}, "b1 c": {}}
    both.do(*(create(name, tags) for name, tags in texts.items()))


def test_searches_find_what_mlflows_store_finds(own: Both) -> None:
    """Filters of every kind, orders and pages."""
    fill(own)
    own.do(*(find(text, ["name"]) for text in FILTERS))
    orders = [["name DESC"], ["attribute.name ASC"], ["creation_time", "name"], ["last_update_time DESC", "name desc"]]
    found = own.do(*(find("", order) for order in orders))
    assert ["b1 c", "b1 a", "b1 B"] == [name for _, name, *_ in found[0][0]]


def test_bad_searches_are_refused_with_mlflows_codes(own: Both) -> None:
    """Filters, orders, sizes and tokens that MLflow refuses."""
    fill(own)
    found = own.do(*(find(text) for text in BAD_FILTERS))
    found += own.do(*(find("", [order]) for order in ("nothing", "tags.team", "name SIDEWAYS")))
    found += own.do(*(find(max_results=size) for size in (0, -1, None, 50_001)), find(page_token="x"))
    assert all(isinstance(each, str) for each in found)


def test_pages_lead_through_all(own: Both) -> None:
    """Each page but the last has a token."""
    fill(own)
    for side in own.sides:
        names, token = [], None
        while True:
            page = find("", ["name"], max_results=2, page_token=token)(side.store, side.ids)
            names.append([experiment.name for experiment in page])
            token = page.token
            if not token:
                break
        assert [["b1 B", "b1 a"], ["b1 c"]] == names


def test_default_is_there_before_anything_is_written(store: TrackingStore, repo: Repository) -> None:
    """Experiment 0 is found by id, by name and by search, and looking at it writes nothing; the first run makes it."""
    assert ["0"] == [experiment.experiment_id for experiment in store.search_experiments()]
    named = store.get_experiment_by_name("Default")
    assert named is not None
    assert ("Default", "0") == (store.get_experiment("0").name, named.experiment_id)
    assert repo.runs_tip() is None
    run = store.create_run("0", "kim", 1, [], None)
    assert "0" == run.info.experiment_id
    assert ["0"] == [experiment.experiment_id for experiment in store.search_experiments()]
    assert Client(repo.work_tree).get_experiment_by_name("Default") is not None
    store.update_run_info(run.info.run_id, 3, 2, None)


def test_default_can_be_changed_before_it_is_used(store: TrackingStore) -> None:
    """To tag, rename or delete it makes its record."""
    store.set_experiment_tag("0", ExperimentTag("k", "v"))
    store.rename_experiment("0", "main")
    found = store.get_experiment("0")
    assert ("0", "main", {"k": "v"}) == (found.experiment_id, found.name, found.tags)
    assert store.get_experiment_by_name("Default") is None
    store.delete_experiment("0")
    assert "deleted" == store.get_experiment("0").lifecycle_stage


def test_a_name_that_is_taken_is_refused_when_renaming(store: TrackingStore) -> None:
    """With the code that a second experiment of the name gets; MLflow's SQL store says only that the request is bad."""
    first, _ = store.create_experiment("a"), store.create_experiment("b")
    for name in ("b", "Default"):
        with pytest.raises(MlflowException) as raised:
            store.rename_experiment(first, name)
        assert "RESOURCE_ALREADY_EXISTS" == raised.value.error_code


def test_an_artifact_location_of_its_own_is_not_used(store: TrackingStore, caplog: pytest.LogCaptureFixture) -> None:
    """All bytes of a repository lie in its DVC cache, which is said; an empty location, as of REST, is none."""
    assert "a" == store.create_experiment("a", artifact_location="")
    assert "" == caplog.text
    with caplog.at_level("WARNING"):
        assert "b" == store.create_experiment("b", artifact_location="s3://bucket/b")
    assert "s3://bucket/b of the experiment 'b' is not used" in caplog.text
    assert store.get_experiment("b").artifact_location.startswith("runstone:")


def test_a_run_that_was_deleted_by_itself_stays_so(store: TrackingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restoring an experiment brings back what its deletion took; MLflow's SQL store brings back all its runs."""
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", "")
    experiment_id = store.create_experiment("a")
    kept, gone = (store.create_run(experiment_id, "kim", 1, [], name).info.run_id for name in ("kept", "gone"))
    for run_id in (kept, gone):
        store.update_run_info(run_id, 3, 2, None)
    store.delete_run(gone)
    store.delete_experiment(experiment_id)
    assert ["deleted", "deleted"] == [store.get_run(run_id).info.lifecycle_stage for run_id in (kept, gone)]
    store.restore_experiment(experiment_id)
    assert ["active", "deleted"] == [store.get_run(run_id).info.lifecycle_stage for run_id in (kept, gone)]


def test_an_experiment_is_removed_for_good_with_its_runs(
    store: TrackingStore, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `mlflow gc` does it: gone from the tip of the branch, and still there in its history."""
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", "")
    experiment_id = store.create_experiment("a")
    run_id = store.create_run(experiment_id, "kim", 1, [], "r").info.run_id
    store.update_run_info(run_id, 3, 2, None)
    with pytest.raises(MlflowException):
        store._hard_delete_experiment(experiment_id)
    store.delete_experiment(experiment_id)
    assert [run_id] == store._get_deleted_runs()
    store._hard_delete_run(run_id)
    store._hard_delete_experiment(experiment_id)
    assert ["0"] == [experiment.experiment_id for experiment in store.search_experiments(ViewType.ALL)]
    assert [] == store._get_deleted_runs()
    assert repo.work_tree is not None
    assert f"/{run_id}/run.yaml" in git("log", "--name-only", "--format=", "runs", cwd=repo.work_tree)
