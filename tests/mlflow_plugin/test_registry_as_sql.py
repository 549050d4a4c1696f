"""The registry store against MLflow's own SQL store: the same calls, results and codes; and where they differ."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag, RegisteredModel, RegisteredModelTag
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from runstone import Client
from runstone.mlflow_plugin.compat import has_logged_models
from runstone.mlflow_plugin.registry import RegistryStore
from tests.support import make_repository

pytestmark = pytest.mark.mlflow

Call = Callable[[Any, str], Any]

LONG = "x" * 251


def tag(key: Any, value: Any) -> ModelVersionTag:
    """A tag; both kinds that MLflow has look the same."""
    return ModelVersionTag(key, value)


def latest(store: Any, stages: list[str] | None) -> list[ModelVersion]:
    """The latest versions; in which order, the SQL store does not say."""
    return sorted(store.get_latest_versions("churn", stages), key=lambda each: int(each.version))


def entity_of(found: Any, *, aliases: bool = True) -> Any:
    """What is compared of a result: all but times, who did it, and where the files lie."""
    match found:
        case ModelVersion():
            shown = {
                "name": found.name,
                "version": int(found.version),
                "stage": found.current_stage,
                "description": found.description or None,
                "tags": found._tags,
                "run_id": found.run_id,
                "status": found.status,
                "run_link": found.run_link or None,
            }
            return shown | ({"aliases": sorted(found.aliases)} if aliases else {})
        case RegisteredModel():
            return {
                "name": found.name,
                "description": found.description or None,
                "tags": found._tags,
                "aliases": found.aliases,
                "latest": sorted((each.current_stage, int(each.version)) for each in found.latest_versions),
            }
        case list():
            token = getattr(found, "token", None)
            return [entity_of(each, aliases=False) for each in found], token
        case _:
            return found


def outcome(store: Any, call: Call, run_id: str) -> Any:
    """What a call gives, or the code of its error."""
    try:
        return entity_of(call(store, run_id))
    except MlflowException as error:
        return error.error_code


SCRIPT: list[tuple[str, Call]] = [
    # --- registered models
    ("a model", lambda s, r: s.create_registered_model("churn", [RegisteredModelTag("team", "a")], "Who leaves")),
    ("a model twice", lambda s, r: s.create_registered_model("churn")),
    ("another one", lambda s, r: s.create_registered_model("fraud")),
    ("with spaces", lambda s, r: s.create_registered_model("fraud of cards", [RegisteredModelTag("team", "b")])),
    ("two tags of one key", lambda s, r: s.create_registered_model("zoo", [tag("a", "1"), tag("a", "2")])),
    ("a name of nothing", lambda s, r: s.create_registered_model("")),
    ("no name", lambda s, r: s.create_registered_model(None)),
    ("a long key", lambda s, r: s.create_registered_model("k", [RegisteredModelTag(LONG, "1")])),
    ("a long value", lambda s, r: s.create_registered_model("k", [RegisteredModelTag("a", "x" * 100_001)])),
    ("a key with a bad letter", lambda s, r: s.create_registered_model("k", [RegisteredModelTag("a\nb", "1")])),
    ("a key that climbs", lambda s, r: s.create_registered_model("k", [RegisteredModelTag("../a", "1")])),
    ("so it was not made", lambda s, r: s.get_registered_model("k")),
    ("get", lambda s, r: s.get_registered_model("churn")),
    ("get what is not there", lambda s, r: s.get_registered_model("nope")),
    ("describe", lambda s, r: s.update_registered_model("churn", "Leavers")),
    ("describe nothing", lambda s, r: s.update_registered_model("churn", None)),
    ("describe what is not there", lambda s, r: s.update_registered_model("nope", "x")),
    ("tag", lambda s, r: s.set_registered_model_tag("churn", RegisteredModelTag("level", "high"))),
    ("tag again", lambda s, r: s.set_registered_model_tag("churn", RegisteredModelTag("level", "low"))),
    ("tag what is not there", lambda s, r: s.set_registered_model_tag("nope", RegisteredModelTag("a", "b"))),
    ("tag without a key", lambda s, r: s.set_registered_model_tag("churn", RegisteredModelTag(None, "b"))),
    ("untag", lambda s, r: s.delete_registered_model_tag("churn", "team")),
    ("untag what it has not", lambda s, r: s.delete_registered_model_tag("churn", "team")),
    ("untag what is not there", lambda s, r: s.delete_registered_model_tag("nope", "team")),
    ("tags now", lambda s, r: s.get_registered_model("churn")),
    ("latest of none", lambda s, r: s.get_latest_versions("churn")),
    ("alias latest of none", lambda s, r: s.get_model_version_by_alias("churn", "champion")),
    # --- versions
    ("a version", lambda s, r: s.create_model_version("churn", f"runs:/{r}/model", r, description="First")),
    (
        "with tags",
        lambda s, r: s.create_model_version("churn", f"runs:/{r}/model", r, [tag("a", "1"), tag("b", "")], "http://x"),
    ),
    ("a third", lambda s, r: s.create_model_version("churn", f"runs:/{r}/model", r)),
    ("of another model", lambda s, r: s.create_model_version("fraud", f"runs:/{r}/model", r, [tag("a", "2")])),
    ("of no model", lambda s, r: s.create_model_version("nope", f"runs:/{r}/model", r)),
    ("a bad tag", lambda s, r: s.create_model_version("churn", f"runs:/{r}/model", r, [tag("a", None)])),
    ("a copy", lambda s, r: s.create_model_version("zoo", "models:/churn/2", r, [tag("c", "3")], None, "Copied")),
    ("a copy of a copy", lambda s, r: s.create_model_version("zoo", "models:/zoo/1", r)),
    ("get version", lambda s, r: s.get_model_version("churn", 2)),
    ("get version by text", lambda s, r: s.get_model_version("churn", "2")),
    ("get version 9", lambda s, r: s.get_model_version("churn", 9)),
    ("get version 0", lambda s, r: s.get_model_version("churn", 0)),
    ("get version -1", lambda s, r: s.get_model_version("churn", -1)),
    ("get version x", lambda s, r: s.get_model_version("churn", "x")),
    ("get version 1.5", lambda s, r: s.get_model_version("churn", "1.5")),
    ("get version of no model", lambda s, r: s.get_model_version("nope", 1)),
    ("where nothing is", lambda s, r: s.get_model_version_download_uri("churn", 9)),
    ("describe version", lambda s, r: s.update_model_version("churn", 1, "The first")),
    ("describe version: nothing", lambda s, r: s.update_model_version("churn", 1, None)),
    ("describe version 9", lambda s, r: s.update_model_version("churn", 9, "x")),
    ("tag version", lambda s, r: s.set_model_version_tag("churn", 1, tag("a", "1"))),
    ("tag version by text", lambda s, r: s.set_model_version_tag("churn", "1", tag("ü ä", "ö"))),
    ("tag version with nothing", lambda s, r: s.set_model_version_tag("churn", 1, tag("a", None))),
    ("tag version without a key", lambda s, r: s.set_model_version_tag("churn", 1, tag(None, "x"))),
    ("tag version 9", lambda s, r: s.set_model_version_tag("churn", 9, tag("a", "1"))),
    ("tag version x", lambda s, r: s.set_model_version_tag("churn", "x", tag("a", "1"))),
    ("a long value of a version", lambda s, r: s.set_model_version_tag("churn", 1, tag("a", "x" * 100_001))),
    ("a prompt too long", lambda s, r: s.set_model_version_tag("churn", 1, tag("mlflow.prompt.text", "x" * 100_001))),
    ("untag version", lambda s, r: s.delete_model_version_tag("churn", 2, "b")),
    ("untag version of what it has not", lambda s, r: s.delete_model_version_tag("churn", 2, "b")),
    ("untag version 9", lambda s, r: s.delete_model_version_tag("churn", 9, "b")),
    ("version now", lambda s, r: s.get_model_version("churn", 1)),
    ("version 2 now", lambda s, r: s.get_model_version("churn", 2)),
    # --- aliases
    ("alias", lambda s, r: s.set_registered_model_alias("churn", "champion", 1)),
    ("alias again", lambda s, r: s.set_registered_model_alias("churn", "champion", 1)),
    ("alias moves", lambda s, r: s.set_registered_model_alias("churn", "champion", "2")),
    ("a second alias", lambda s, r: s.set_registered_model_alias("churn", "challenger_2", 2)),
    ("alias to 9", lambda s, r: s.set_registered_model_alias("churn", "champion", 9)),
    ("alias of no model", lambda s, r: s.set_registered_model_alias("nope", "champion", 1)),
    ("alias latest", lambda s, r: s.set_registered_model_alias("churn", "Latest", 1)),
    ("alias v1", lambda s, r: s.set_registered_model_alias("churn", "V1", 1)),
    ("alias with a dot", lambda s, r: s.set_registered_model_alias("churn", "a.b", 1)),
    ("alias of nothing", lambda s, r: s.set_registered_model_alias("churn", "", 1)),
    ("a long alias", lambda s, r: s.set_registered_model_alias("churn", "x" * 256, 1)),
    ("by alias", lambda s, r: s.get_model_version_by_alias("churn", "champion")),
    ("by no alias", lambda s, r: s.get_model_version_by_alias("churn", "nobody")),
    ("by alias of no model", lambda s, r: s.get_model_version_by_alias("nope", "champion")),
    ("by alias of a bad name", lambda s, r: s.get_model_version_by_alias("churn", "a b")),
    ("by alias latest", lambda s, r: s.get_model_version_by_alias("churn", "latest")),
    ("model with aliases", lambda s, r: s.get_registered_model("churn")),
    ("drop alias", lambda s, r: s.delete_registered_model_alias("churn", "challenger_2")),
    ("drop alias again", lambda s, r: s.delete_registered_model_alias("churn", "challenger_2")),
    ("drop alias of no model", lambda s, r: s.delete_registered_model_alias("nope", "challenger_2")),
    # --- stages
    ("to staging", lambda s, r: s.transition_model_version_stage("churn", 1, "staging", False)),
    ("to production", lambda s, r: s.transition_model_version_stage("churn", "1", "Production", False)),
    ("again", lambda s, r: s.transition_model_version_stage("churn", 1, "Production", False)),
    ("a second", lambda s, r: s.transition_model_version_stage("churn", 2, "PRODUCTION", False)),
    ("in place of those", lambda s, r: s.transition_model_version_stage("churn", 3, "Production", True)),
    ("version 1 is archived", lambda s, r: s.get_model_version("churn", 1)),
    ("archive", lambda s, r: s.transition_model_version_stage("churn", 1, "Archived", False)),
    ("archiving with archive", lambda s, r: s.transition_model_version_stage("churn", 1, "Archived", True)),
    ("archiving with none", lambda s, r: s.transition_model_version_stage("churn", 1, "None", True)),
    ("no such stage", lambda s, r: s.transition_model_version_stage("churn", 1, "Nowhere", False)),
    ("no such stage to archive", lambda s, r: s.transition_model_version_stage("churn", 1, "Nowhere", True)),
    ("stage of 9", lambda s, r: s.transition_model_version_stage("churn", 9, "Staging", False)),
    ("stage of no model", lambda s, r: s.transition_model_version_stage("nope", 1, "Staging", False)),
    ("to none", lambda s, r: s.transition_model_version_stage("churn", 2, "none", False)),
    ("latest of each", lambda s, r: latest(s, None)),
    ("latest of some", lambda s, r: latest(s, ["production", "Staging"])),
    ("latest of none of them", lambda s, r: latest(s, [])),
    ("latest of no stage", lambda s, r: s.get_latest_versions("churn", ["Nowhere"])),
    ("latest of no model", lambda s, r: s.get_latest_versions("nope")),
    # --- search
    ("all models", lambda s, r: s.search_registered_models()),
    ("by name", lambda s, r: s.search_registered_models("name = 'churn'")),
    ("by other names", lambda s, r: s.search_registered_models("name != 'churn'")),
    ("like", lambda s, r: s.search_registered_models("name LIKE 'fraud%'")),
    ("like, in any case", lambda s, r: s.search_registered_models("name ILIKE 'FRAUD%'")),
    ("by tag", lambda s, r: s.search_registered_models("tags.level = 'low'")),
    ("by tag, not", lambda s, r: s.search_registered_models("tags.level != 'low'")),
    ("by two tags", lambda s, r: s.search_registered_models("tags.level = 'low' AND tag.a = '2'")),
    ("by tag and name", lambda s, r: s.search_registered_models("tags.a LIKE '%' AND name ILIKE 'Z%'")),
    ("by nothing known", lambda s, r: s.search_registered_models("description = 'x'")),
    ("by a number", lambda s, r: s.search_registered_models("name = 4")),
    ("by more", lambda s, r: s.search_registered_models("name > 'a'")),
    ("by tag in", lambda s, r: s.search_registered_models("tags.a IN ('1')")),
    ("by or", lambda s, r: s.search_registered_models("name = 'a' OR name = 'b'")),
    ("by rubbish", lambda s, r: s.search_registered_models("wobble")),
    ("backwards", lambda s, r: s.search_registered_models(order_by=["name DESC"])),
    ("by no order", lambda s, r: s.search_registered_models(order_by=["wobble"])),
    ("by one order twice", lambda s, r: s.search_registered_models(order_by=["name", "name DESC"])),
    ("a page", lambda s, r: s.search_registered_models(max_results=2)),
    ("the next", lambda s, r: s.search_registered_models(None, 2, None, s.search_registered_models(None, 2).token)),
    ("a full page", lambda s, r: s.search_registered_models(max_results=4)),
    ("a bad token", lambda s, r: s.search_registered_models(page_token="nonsense")),
    ("too many", lambda s, r: s.search_registered_models(max_results=1001)),
    ("all versions", lambda s, r: s.search_model_versions(order_by=["name", "version_number"])),
    ("versions of one", lambda s, r: s.search_model_versions("name = 'churn'", order_by=["version_number ASC"])),
    ("newest first", lambda s, r: s.search_model_versions("name='zoo'", order_by=["name ASC"])),
    ("versions of none", lambda s, r: s.search_model_versions("name = 'nope'")),
    ("versions like", lambda s, r: s.search_model_versions("name LIKE '%ud'")),
    (
        "versions by number",
        lambda s, r: s.search_model_versions("version_number >= 2 AND name = 'churn'", 10, ["name"]),
    ),
    ("versions by text number", lambda s, r: s.search_model_versions("version_number = 'x'")),
    ("versions by run", lambda s, r: s.search_model_versions(f"run_id = '{r}' AND name = 'fraud'")),
    ("versions by runs", lambda s, r: s.search_model_versions(f"run_id IN ('{r}', 'f') AND name='zoo'", 9, ["name"])),
    ("versions by no run", lambda s, r: s.search_model_versions("run_id = 'ffff'")),
    ("versions by tag", lambda s, r: s.search_model_versions("tags.a = '1'", order_by=["name", "version_number"])),
    ("versions by tag, not", lambda s, r: s.search_model_versions("tag.a != '1'", order_by=["name"])),
    ("versions by stage", lambda s, r: s.search_model_versions("stage = 'Production'")),
    ("versions by rubbish", lambda s, r: s.search_model_versions("name = 'a' 'b'")),
    ("versions by no order", lambda s, r: s.search_model_versions(order_by=["run_id"])),
    ("versions by one order twice", lambda s, r: s.search_model_versions(order_by=["name", "name"])),
    ("a page of versions", lambda s, r: s.search_model_versions(max_results=3, order_by=["name"])),
    ("no page of versions", lambda s, r: s.search_model_versions(max_results=0)),
    ("a page of text", lambda s, r: s.search_model_versions(max_results="3")),
    ("too many versions", lambda s, r: s.search_model_versions(max_results=200_001)),
    # --- names and ends
    ("rename", lambda s, r: s.rename_registered_model("churn", "leavers")),
    ("the old name", lambda s, r: s.get_registered_model("churn")),
    ("the new name", lambda s, r: s.get_registered_model("leavers")),
    ("a version by it", lambda s, r: s.get_model_version("leavers", 3)),
    ("its aliases", lambda s, r: s.get_model_version_by_alias("leavers", "champion")),
    ("rename to what is there", lambda s, r: s.rename_registered_model("leavers", "fraud")),
    ("rename to itself", lambda s, r: s.rename_registered_model("leavers", "leavers")),
    ("rename to nothing", lambda s, r: s.rename_registered_model("leavers", "")),
    ("rename what is not there", lambda s, r: s.rename_registered_model("nope", "nopes")),
    ("a further version", lambda s, r: s.create_model_version("leavers", f"runs:/{r}/model", r)),
    ("delete a version", lambda s, r: s.delete_model_version("leavers", 2)),
    ("delete it again", lambda s, r: s.delete_model_version("leavers", "2")),
    ("delete version x", lambda s, r: s.delete_model_version("leavers", "x")),
    ("it is gone", lambda s, r: s.get_model_version("leavers", 2)),
    ("its alias is", lambda s, r: s.get_registered_model("leavers")),
    ("delete the last", lambda s, r: s.delete_model_version("leavers", 4)),
    ("its number stays given", lambda s, r: s.create_model_version("leavers", f"runs:/{r}/model", r)),
    ("delete one in a stage", lambda s, r: s.delete_model_version("leavers", 3)),
    ("what is left", lambda s, r: s.search_model_versions("name = 'leavers'", order_by=["version_number"])),
    ("delete a model", lambda s, r: s.delete_registered_model("leavers")),
    ("delete it twice", lambda s, r: s.delete_registered_model("leavers")),
    ("no model", lambda s, r: s.get_registered_model("leavers")),
    ("no versions", lambda s, r: s.search_model_versions("name = 'leavers'")),
    ("copies stay", lambda s, r: s.get_model_version("zoo", 1)),
    ("models at the end", lambda s, r: s.search_registered_models()),
]

SINCE_MLFLOW_3 = {"by alias of no model", "versions by text number"}
"""Codes that the SQL store gave otherwise before; here they are always those of now."""

MADE = "made"
"""Stands for a result; what it is says the other test."""

DIFFERENCES: list[tuple[str, Call, Any, Any]] = [
    # why, the call, what the SQL store gives, what ours gives
    (
        "a source that is not there",
        lambda s, r: s.create_model_version("plain", f"runs:/{r}/nothing", r),
        MADE,
        "INVALID_PARAMETER_VALUE",
    ),
    (
        "all artifacts of a run are no model",
        lambda s, r: s.create_model_version("plain", f"runs:/{r}", r),
        MADE,
        "INVALID_PARAMETER_VALUE",
    ),
    (
        "a run that is not there",
        lambda s, r: s.create_model_version("plain", "runs:/0123456789abcdef0123456789abcdef/model"),
        MADE,
        "INVALID_PARAMETER_VALUE",
    ),
    (
        "a source that is told to be of another run",
        lambda s, r: s.create_model_version("plain", f"runs:/{r}/model", "0123456789abcdef0123456789abcdef"),
        MADE,
        "INVALID_PARAMETER_VALUE",
    ),
    (
        "a path where nothing is",
        lambda s, r: s.create_model_version("plain", "/nowhere/model", r),
        MADE,
        "INVALID_PARAMETER_VALUE",
    ),
    ("a source of nothing", lambda s, r: s.create_model_version("plain", "", r), MADE, "INVALID_PARAMETER_VALUE"),
    (
        "a copy of what is not there says so",
        lambda s, r: s.create_model_version("plain", "models:/plain/99", r),
        "INTERNAL_ERROR",
        "RESOURCE_DOES_NOT_EXIST",
    ),
    (
        "names that differ by case alone",
        lambda s, r: s.create_registered_model("PLAIN"),
        MADE,
        "INVALID_PARAMETER_VALUE",
    ),
    (
        "aliases that differ by case alone",
        lambda s, r: (
            s.set_registered_model_alias("plain", "best", 1) or s.set_registered_model_alias("plain", "BEST", 1)
        ),
        None,
        "INVALID_PARAMETER_VALUE",
    ),
    (
        "an alias that could be a version",
        lambda s, r: s.set_registered_model_alias("plain", "12", 1),
        None,
        "INVALID_PARAMETER_VALUE",
    ),
    (
        "an alias that could be an option",
        lambda s, r: s.set_registered_model_alias("plain", "-b", 1),
        None,
        "INVALID_PARAMETER_VALUE",
    ),
    (
        "a former name stays that of who had it",
        lambda s, r: s.rename_registered_model("former", "present") and s.create_registered_model("former"),
        MADE,
        "RESOURCE_ALREADY_EXISTS",
    ),
]


@pytest.fixture(scope="module")
def sql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlAlchemyStore]:
    """MLflow's SQL store; on a fresh database."""
    store = SqlAlchemyStore(f"sqlite:///{tmp_path_factory.mktemp('sql')}/mlflow.db")
    yield store
    store._dispose_engine()


@pytest.fixture
def ours(tmp_path: Path) -> tuple[RegistryStore, str]:
    """Our store, and a run with a model."""
    repo = make_repository(tmp_path / "repo")
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: nowhere\n")
    client = Client(repo)
    with warnings.catch_warnings(action="ignore"):
        run_id = client.create_run(client.create_experiment("plain")).info.run_id
    client.log_artifacts(run_id, model, "model")
    client.set_terminated(run_id)
    return RegistryStore(f"runstone:{repo}"), run_id


def test_every_call_gives_what_the_sql_store_gives(sql: SqlAlchemyStore, ours: tuple[RegistryStore, str]) -> None:
    """One table of calls, made on both stores in turn: each result, and the code of each error, is the same."""
    store, run_id = ours

    differing = []
    for what, call in SCRIPT:
        expected, got = outcome(sql, call, run_id), outcome(store, call, run_id)
        if expected != got and (what not in SINCE_MLFLOW_3 or has_logged_models()):
            differing.append((what, expected, got))

    assert [] == differing


def test_where_it_differs_from_the_sql_store(sql: SqlAlchemyStore, ours: tuple[RegistryStore, str]) -> None:
    """A version is a git tag on real bytes, and names are paths on any disk: what that refuses, all of it."""
    store, run_id = ours
    for each in (sql, store):
        for name in ("plain", "former"):
            each.create_registered_model(name)
        each.create_model_version("plain", f"runs:/{run_id}/model", run_id)

    differing = []
    for what, call, _, _ in DIFFERENCES:
        theirs, mine = outcome(sql, call, run_id), outcome(store, call, run_id)
        differing.append((what, MADE if isinstance(theirs, dict) else theirs, mine))

    assert [(what, theirs, mine) for what, _, theirs, mine in DIFFERENCES] == differing


def test_a_deleted_models_numbers_do_not_return(sql: SqlAlchemyStore, ours: tuple[RegistryStore, str]) -> None:
    """The SQL store begins at 1 again under the name of a deleted model; here a number means one version for ever."""
    store, run_id = ours
    numbers = []
    for each in (sql, store):
        each.create_registered_model("again")
        each.create_model_version("again", f"runs:/{run_id}/model", run_id)
        each.delete_registered_model("again")
        each.create_registered_model("again")
        numbers.append(each.create_model_version("again", f"runs:/{run_id}/model", run_id).version)

    assert [1, 2] == numbers
