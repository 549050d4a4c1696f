"""`Carrier` on the stores of MLflow: a folder, a database, a server; what was there is here, however it is reached."""

import hashlib
import os
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runstone.client import Client
from runstone.errors import InvalidValue
from runstone.imports.intake import Intake
from runstone.imports.mlflow.carry import Carrier
from runstone.imports.mlflow.files import NotAFileStore
from runstone.imports.mlflow.open import open_source
from runstone.imports.mlflow.revisions import KNOWN, UnknownRevision
from runstone.imports.mlflow.sql import DatabaseUnusable
from runstone.imports.report import Report
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.imports import mlflow_stores as stores
from tests.imports.mlflow_stores import FIRST, SECOND, STARTED
from tests.sharing import Team
from tests.support import free_port, git, make_repository


def bring(workspace: Workspace, uri: str, *, roots: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> Report:
    """Import a store; the report."""
    source = open_source(uri, roots=roots)
    try:
        with Intake(workspace, source=source.shown) as intake:
            Carrier(source, source, intake, names).carry()
    finally:
        source.close()
    return intake.report


class Made:
    """A store that MLflow has filled."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri, self.folder = uri, folder
        self.ids = stores.fill(uri, folder)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A database of the newest schema."""
    pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
    folder = tmp_path_factory.mktemp("full")
    return Made(f"sqlite:///{folder}/mlflow.db", folder)


@pytest.fixture(scope="module")
def full_folder(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A folder of the newest layout."""
    pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
    folder = tmp_path_factory.mktemp("folder")
    return Made(f"file://{folder}/mlruns", folder)


def check_full(workspace: Workspace, made: Made, report: Report) -> None:
    """All that `fill` has put there is here."""
    client, ids = Client(workspace.repo.work_tree), made.ids
    assert [] == [each for each in report.not_carried if each.is_loss]
    churn = client.get_experiment_by_name("churn")
    assert churn is not None
    assert ("About churn", {"team": "growth"}, "active") == (churn.description, dict(churn.tags), churn.lifecycle_stage)
    old = client.get_experiment_by_name("old")
    assert old is not None
    assert "deleted" == old.lifecycle_stage
    first = client.get_run(ids["first"])
    assert ("kim", "") == (first.user, client.get_run(ids["child"]).user)
    assert {"lr": 0.1, "depth": 3, "flag": True, "zip": "007", "kind": "forest"} == dict(first.params)
    assert ("first", STARTED, STARTED + 60000, "FINISHED") == (first.name, first.started, first.ended, first.status)
    assert "y" == first.tags["x"]
    history = client.get_metric_history(ids["first"], "loss")
    assert [(1 / (n + 1), STARTED + n, n) for n in range(5)] == [(p.value, p.timestamp, p.step) for p in history]
    assert 1 == first.metrics["val/auc"].count
    dataset = first.datasets[0]
    assert ("tab", "2981c147", "training") == (dataset.name, dataset.digest, dataset.role)
    assert '{"uri": "s3://b/tab.csv"}' == dataset.extra["mlflow"]["source"]
    paths = [each.path for each in client.list_artifacts(ids["first"])]
    assert {"model", "notes"} <= set(paths)
    child = client.get_run(ids["child"])
    assert (ids["first"], "FAILED") == (child.parent, child.status)
    assert "deleted" == client.get_run(ids["deleted"]).lifecycle
    assert "RUNNING" == client.get_run(ids["running"]).status
    check_registry(workspace, made)
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=workspace.repo.common_dir)


def runs_of(made: Made) -> int:
    """How many runs its import makes: six, and one for a logged model that no run made, since MLflow 3."""
    return 7 if "lone" in made.ids else 6


def check_registry(workspace: Workspace, made: Made) -> None:
    """Models and versions have their numbers, words, stages and aliases, and no number is ever given again."""
    client, ids = Client(workspace.repo.work_tree), made.ids
    model = client.get_registered_model("Churn")
    assert ("Predicts churn", {"owner": "kim"}, {"champion": 3}) == (model.description, model.tags, model.aliases)
    one, three = client.get_model_version("Churn", 1), client.get_model_version("Churn", 3)
    assert (ids["first"], "model", "Production", "The first", {"ok": "yes"}) == (
        one.run_id,
        one.path,
        one.current_stage,
        one.description,
        one.tags,
    )
    assert (ids["second"], "None", ("python_function",)) == (three.run_id, three.current_stage, three.flavors)
    assert [1, 3] == sorted(each.version for each in client.search_model_versions("name = 'Churn'"))
    if "logged" in ids:
        version = client.get_model_version("Forest", 1)
        assert (ids["first"], "forest", ids["logged"]) == (version.run_id, version.path, version.tags["mlflow.modelId"])
        logged = next(each for each in client.get_run(ids["first"]).models if each.path == "forest")
        told = logged.extra["logged_model"]
        assert (ids["logged"], "READY", "tree", {"t": "1"}, {"p": "2"}) == tuple(
            told[key] for key in ("id", "status", "type", "tags", "params")
        )
        lone = client.get_run(ids["lone"].removeprefix("m-"))
        assert ("true", ids["lone"]) == (
            lone.tags["runstone.loggedModelRun"],
            lone.models[0].extra["logged_model"]["id"],
        )


def test_a_database_comes_whole(workspace: Workspace, full: Made) -> None:
    """All of it; and again it is known, and nothing is written. The database is as it was, byte for byte."""
    path = Path(full.uri.removeprefix("sqlite:///"))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    report = bring(workspace, full.uri)
    check_full(workspace, full, report)
    assert ["2 runs have not ended at the source. When that is so, import again."] == report.notes
    refs = git("for-each-ref", cwd=workspace.repo.common_dir)
    again = bring(workspace, full.uri)
    assert refs == git("for-each-ref", cwd=workspace.repo.common_dir)
    assert {"same"} == {change for counts in again.carried.values() for change, number in counts.items() if number}
    assert before == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [] == sorted(each.name for each in path.parent.glob("mlflow.db-*"))


def test_the_next_version_follows_the_deleted_one(workspace: Workspace, full: Made) -> None:
    """Version 4 was deleted in MLflow: the next one here is 5."""
    bring(workspace, full.uri)
    client = Client(workspace.repo.work_tree)
    assert 5 == client.create_model_version("Churn", f"runs:/{full.ids['first']}/model").version


def test_a_folder_comes_whole(workspace: Workspace, full_folder: Made) -> None:
    """As a database does; again it is known."""
    check_full(workspace, full_folder, bring(workspace, full_folder.uri))
    refs = git("for-each-ref", cwd=workspace.repo.common_dir)
    bring(workspace, str(full_folder.folder / "mlruns"))
    assert refs == git("for-each-ref", cwd=workspace.repo.common_dir)


def test_a_folder_that_was_moved_is_the_same(workspace: Workspace, full_folder: Made, tmp_path: Path) -> None:
    """Its records name the old place; files and runs are found all the same, and known."""
    bring(workspace, full_folder.uri)
    shutil.copytree(full_folder.folder / "mlruns", tmp_path / "moved")
    refs = git("for-each-ref", cwd=workspace.repo.common_dir)
    bring(workspace, str(tmp_path / "moved"))
    assert refs == git("for-each-ref", cwd=workspace.repo.common_dir)


@pytest.mark.mlflow
def test_a_server_tells_the_same(workspace: Workspace, full: Made, tmp_path: Path) -> None:
    """Over REST all that it tells comes, files too; what came from its database is known again."""
    with stores.server(full.uri, full.folder) as address:
        check_full(workspace, full, bring(workspace, address))
        other = Workspace.open(make_repository(tmp_path / "other"))
        bring(other, full.uri)
        report = bring(other, address)
    assert {"same": runs_of(full)} == report.carried["runs"]


@pytest.mark.parametrize("revision", ["451aebb31d03", "df50e92ffc5e", "bd07f7e963c5", "7f2a7d5fae7d", "f5a4f2784254"])
def test_old_databases(workspace: Workspace, tmp_path: Path, revision: str) -> None:
    """What MLflow 1.0, 1.3, 1.29, 2.4 and 2.17 have left is read as it is, and stays at its revision."""
    pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
    path = tmp_path / "store" / "mlflow.db"
    path.parent.mkdir()
    stores.old_database(path, revision)
    before = path.read_bytes()
    report = bring(workspace, str(path))
    run = Client(workspace.repo.work_tree).get_run(FIRST)
    assert ("brave", {"lr": 0.1}, 3, 2.0) == (run.name, dict(run.params), run.metrics["m"].count, run.metrics["m"].last)
    assert ("c" * 40, "kim") == (run.source.commit, run.user)
    assert "deleted" == Client(workspace.repo.work_tree).get_run(SECOND).lifecycle
    assert [] == [each for each in report.not_carried if each.is_loss]
    assert before == path.read_bytes()
    if "registered models" in report.carried:
        version = Client(workspace.repo.work_tree).get_model_version("Churn", 7)
        assert (FIRST, "Staging") == (version.run_id, version.current_stage)


def test_a_folder_of_mlflow_1(workspace: Workspace, tmp_path: Path) -> None:
    """Records without names and times, metrics without steps, a folder that was moved, a registered model."""
    stores.old_folder(tmp_path / "mlruns")
    report = bring(workspace, str(tmp_path / "mlruns"))
    client = Client(workspace.repo.work_tree)
    run = client.get_run(FIRST)
    assert ("brave", 3, 2, "c" * 40) == (
        run.name,
        run.metrics["loss"].count,
        run.metrics["val/auc"].count,
        run.source.commit,
    )
    assert "train.py" == run.tags["mlflow.source.name"]
    assert (FIRST, "Staging") == tuple(
        getattr(client.get_model_version("Churn", 2), key) for key in ("run_id", "current_stage")
    )
    assert [] == [each for each in report.not_carried if each.is_loss]


def test_versions_without_a_run(workspace: Workspace, tmp_path: Path) -> None:
    """A version from a folder of no run, a copy of another, and a prompt: each is a version of its number here."""
    root = tmp_path / "mlruns"
    stores.old_folder(root)
    (root / "loose").mkdir()
    (root / "loose" / "MLmodel").write_text(stores.MLMODEL)
    for number, source in ((5, f"file://{root}/loose"), (6, "models:/Churn/2")):
        version = root / "models" / "Churn" / f"version-{number}"
        version.mkdir()
        (version / "meta.yaml").write_text(f"name: Churn\nversion: {number}\nsource: {source}\ncurrent_stage: None\n")
    prompt = root / "models" / "greeting"
    (prompt / "version-1" / "tags").mkdir(parents=True)
    (prompt / "tags").mkdir()
    (prompt / "meta.yaml").write_text("name: greeting\n")
    (prompt / "tags" / "mlflow.prompt.is_prompt").write_text("true")
    (prompt / "version-1" / "meta.yaml").write_text("name: greeting\nversion: 1\nsource: dummy\n")
    (prompt / "version-1" / "tags" / "mlflow.prompt.text").write_text("Hello {{name}}")
    report = bring(workspace, str(root))
    assert [] == report.not_carried
    client = Client(workspace.repo.work_tree)
    two, five, six = (client.get_model_version("Churn", number) for number in (2, 5, 6))
    assert (FIRST, two.digest, "model") == (six.run_id, six.digest, six.path)
    assert (two.digest, "version Churn") == (five.digest, client.get_run(five.run_id).tags["runstone.loggedModelRun"])
    made = client.get_model_version("greeting", 1)
    assert ("prompt", "Hello {{name}}") == (made.path, made.tags["mlflow.prompt.text"])
    refs = git("for-each-ref", cwd=workspace.repo.common_dir)
    bring(workspace, str(root))
    assert refs == git("for-each-ref", cwd=workspace.repo.common_dir)


def test_a_repository_without_a_commit(empty_repo: Path, tmp_path: Path) -> None:
    """The first commit of the default branch is that of the registry."""
    stores.old_folder(tmp_path / "mlruns")
    report = bring(Workspace.open(empty_repo), str(tmp_path / "mlruns"))
    assert [] == report.not_carried
    assert "Staging" == Client(empty_repo).get_model_version("Churn", 2).current_stage


def test_a_bare_repository(bare_remote: Path, tmp_path: Path) -> None:
    """As any other."""
    git("config", "user.name", "Kim", cwd=bare_remote)
    git("config", "user.email", "kim@example.org", cwd=bare_remote)
    stores.old_folder(tmp_path / "mlruns")
    assert [] == bring(Workspace.open(bare_remote), str(tmp_path / "mlruns")).not_carried
    assert "Staging" == Client(bare_remote).get_model_version("Churn", 2).current_stage


def test_missing_files_are_listed(workspace: Workspace, tmp_path: Path) -> None:
    """A registered version whose files are gone is no version here, and is named with its place; the run comes."""
    stores.old_folder(tmp_path / "mlruns")
    shutil.rmtree(tmp_path / "mlruns" / "0" / FIRST / "artifacts")
    report = bring(workspace, str(tmp_path / "mlruns"))
    missing = [(each.kind, each.what, each.why) for each in report.not_carried if each.is_loss]
    place = f"/somewhere/else/mlruns/0/{FIRST}/artifacts"
    assert ("model version", "Churn version 2", f"its files are missing: {place}/model") in missing
    assert FIRST == Client(workspace.repo.work_tree).get_run(FIRST).id
    assert not report.is_whole


def test_a_store_from_others_reads_no_other_folder(workspace: Workspace, tmp_path: Path) -> None:
    """A record that names a folder outside the store brings nothing from there, unless the user names that folder."""
    stores.old_folder(tmp_path / "store" / "mlruns")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key.txt").write_text("secret\n")
    run = tmp_path / "store" / "mlruns" / "0" / FIRST
    shutil.rmtree(run / "artifacts")
    meta = (run / "meta.yaml").read_text()
    (run / "meta.yaml").write_text(meta.replace(f"/somewhere/else/mlruns/0/{FIRST}/artifacts", f"{tmp_path}/private"))
    report = bring(workspace, str(tmp_path / "store" / "mlruns"))
    found = [each.why for each in report.not_carried if each.kind == "artifact"]
    step = f"If you trust the store: `--artifact-root {tmp_path}`"
    assert [f"{tmp_path}/private is outside the store's folder. {step}"] == found
    assert [] == Client(workspace.repo.work_tree).list_artifacts(FIRST)
    bring(workspace, str(tmp_path / "store" / "mlruns"), roots=(str(tmp_path),))
    assert ["key.txt"] == [each.path for each in Client(workspace.repo.work_tree).list_artifacts(FIRST)]


def test_two_stores_that_share_an_id(workspace: Workspace, tmp_path: Path) -> None:
    """A copy of a folder in which a param is another: both runs are kept, and the model version names its own."""
    stores.old_folder(tmp_path / "a" / "mlruns")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "mlruns" / "0" / FIRST / "params" / "lr").write_text("0.2")
    bring(workspace, str(tmp_path / "a" / "mlruns"))
    report = bring(workspace, str(tmp_path / "b" / "mlruns"))
    client = Client(workspace.repo.work_tree)
    assert {FIRST: f"{FIRST}-2"} == report.clashes
    assert (0.1, 0.2) == (client.get_run(FIRST).params["lr"], client.get_run(f"{FIRST}-2").params["lr"])
    step = f"runstone register 'runs:/{FIRST}-2/model' 'Churn'"
    assert [f"version 2 here is another one. Register it as the next: `{step}`"] == [
        each.why for each in report.not_carried if each.kind == "model version"
    ]


def test_one_experiment_alone(workspace: Workspace, full: Made) -> None:
    """Only its runs come, and no models; a name that is not there is refused with those that are."""
    report = bring(workspace, full.uri, names=("churn",))
    assert {"new": 1} == report.carried["experiments"]
    assert [("registry", False)] == [(each.kind, each.is_loss) for each in report.not_carried]
    with pytest.raises(InvalidValue, match=r"has no experiment 'none'\. It has: 'Default', 'churn', 'old'\."):
        bring(workspace, full.uri, names=("none",))


def test_what_moved_here_is_left(workspace: Workspace, full: Made) -> None:
    """An alias that was moved here since stays where it is, and the report says so."""
    bring(workspace, full.uri)
    client = Client(workspace.repo.work_tree)
    client.set_registered_model_alias("Churn", "champion", 1)
    report = bring(workspace, full.uri)
    assert {"champion": 1} == client.get_registered_model("Churn").aliases
    step = "`runstone promote 'Churn' 3 --alias 'champion'`"
    assert [("Churn@champion", f"it points at version 3 there, and at 1 here: {step}")] == [
        (each.what, each.why) for each in report.not_carried if each.kind == "alias"
    ]


def test_under_review_nothing_is_promoted(git_repo: Path, full: Made) -> None:
    """Where promotions are reviewed an import sets no stage and no alias, and names the commands that propose them."""
    (git_repo / "runstone.yaml").write_text("schema: runstone/config/v1\npromotion: review\n")
    git("add", "runstone.yaml", cwd=git_repo)
    git("commit", "-qm", "Review", cwd=git_repo)
    workspace = Workspace.open(git_repo)
    report = bring(workspace, full.uri)
    assert {"alias", "stage"} == {each.kind for each in report.not_carried if each.is_loss}
    assert {} == Client(git_repo).get_registered_model("Churn").aliases


@pytest.mark.mlflow
def test_mlflow_is_told_the_same(workspace: Workspace, full: Made) -> None:
    """MLflow's own client, asked through the plug-in, gets what it gets from the store that was imported."""
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    bring(workspace, full.uri)
    ours = f"runstone:{workspace.repo.work_tree}"
    theirs, here = MlflowClient(full.uri, full.uri), MlflowClient(ours, ours)
    for experiment in theirs.search_experiments(view_type=ViewType.ALL):
        found = here.get_experiment_by_name(experiment.name)
        assert (experiment.tags, experiment.lifecycle_stage, experiment.creation_time) == (
            found.tags,
            found.lifecycle_stage,
            found.creation_time,
        )
        for run in theirs.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL):
            assert told(theirs, run.info.run_id) == told(here, run.info.run_id)
    if "logged" in full.ids:
        before, after = (client.get_logged_model(full.ids["logged"]) for client in (theirs, here))
        for key in ("name", "status", "tags", "params", "source_run_id", "model_type", "creation_timestamp"):
            assert getattr(before, key) == getattr(after, key)


def told(client: Any, run_id: str) -> list[Any]:
    """What MLflow's client says of a run, as values that compare; NaN as text."""
    run = client.get_run(run_id)
    info = [getattr(run.info, key) for key in ("run_name", "status", "start_time", "end_time", "lifecycle_stage")]
    histories = [
        (point.key, str(point.value), point.timestamp, point.step)
        for key in sorted(run.data.metrics)
        for point in client.get_metric_history(run_id, key)
    ]
    latest = {key: str(value) for key, value in run.data.metrics.items()}
    inputs = [(dict(each.dataset), [*map(dict, each.tags)]) for each in run.inputs.dataset_inputs]
    outputs = getattr(run, "outputs", None)
    made = [each.model_id for each in outputs.model_outputs] if outputs is not None else []
    tags = {key: value for key, value in run.data.tags.items() if key != "mlflow.user"}  # shown of the field, too
    return [info, run.data.params, tags, latest, histories, inputs, made]


def test_versions_are_shared(team: Team, full: Made) -> None:
    """With a git remote it gives the numbers: the others have runs, bytes and versions when the import is done.

    A clone that imports the same afterwards, and one that had others' version of a number, change nothing there.
    """
    first = Workspace.open(team.clone("ada"))
    check_full(first, full, bring(first, full.uri))
    team.check()
    assert {"Churn@v1", "Churn@v3", "Churn@v4!", "Forest@v1"} == set(team.tags())
    second = Workspace.open(team.clone("bob"))
    sync(second)
    report = bring(second, full.uri)
    assert {"same": runs_of(full)} == report.carried["runs"]
    assert {"same": 3} == report.carried["model versions"]
    assert {"Churn@v1", "Churn@v3", "Churn@v4!", "Forest@v1"} == set(team.tags())
    team.check()


def test_two_clones_import_at_their_own_pace(team: Team, full: Made) -> None:
    """Who imports before seeing what the other has imported adds no second run and no second version."""
    first, second = Workspace.open(team.clone("ada")), Workspace.open(team.clone("bob"))
    bring(first, full.uri)
    bring(second, full.uri)
    sync(first)
    sync(second)
    assert runs_of(full) == len(team.runs())
    assert {"Churn@v1", "Churn@v3", "Churn@v4!", "Forest@v1"} == set(team.tags())
    team.check()
    assert first.repo.objects.commit("runs").tree == second.repo.objects.commit("runs").tree


# --- what is no store


def test_an_unknown_schema_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """A database of a revision that is not known, or of none, is named, and not touched."""
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
    before = path.read_bytes()
    with pytest.raises(UnknownRevision) as caught:
        bring(workspace, f"sqlite:///{path}")
    assert (
        f"The database {path} cannot be read: its schema has the revision 'ffffffffffff', and those of MLflow 1.0 to "
        "3.17 are known. Nothing was read or changed. Update Runstone; or import from a server that runs on it: "
        "`runstone import mlflow http://HOST:5000`"
    ) == str(caught.value)
    assert before == path.read_bytes()
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE alembic_version")
    with pytest.raises(UnknownRevision, match="it has no `alembic_version`, so it is none of MLflow's, or older than"):
        bring(workspace, str(path))


def test_every_revision_of_the_mlflow_here_is_known() -> None:
    """A newer MLflow with a further one is found out by this test, before its users are."""
    pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
    import mlflow.store.db_migrations as migrations
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert set() == {each.revision for each in scripts.walk_revisions()} - KNOWN


def test_what_is_no_store(workspace: Workspace, tmp_path: Path) -> None:
    """An empty folder, a file that is no database, a name that is nothing, a scheme that is none of MLflow's."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.db").write_text("no database\n")
    with pytest.raises(NotAFileStore, match="empty is no folder of MLflow's: no experiment"):
        open_source(str(tmp_path / "empty"))
    with pytest.raises(DatabaseUnusable, match="it is no file of SQLite"):
        open_source(str(tmp_path / "text.db"))
    with pytest.raises(InvalidValue, match=r"There is no .*nothing\. Name the folder or the database"):
        open_source(str(tmp_path / "nothing"))
    with pytest.raises(InvalidValue) as caught:
        open_source("ftp://kim:secret@host/mlruns")
    assert "secret" not in str(caught.value)
    assert 0 == commits(workspace)


def commits(workspace: Workspace) -> int:
    """How many commits the branch `runs` has."""
    return 0 if workspace.repo.runs_tip() is None else 1


def test_hostile_yaml_and_links(workspace: Workspace, tmp_path: Path) -> None:
    """A run whose record is a bomb is told and left out, links bring nothing, and the other runs come."""
    stores.old_folder(tmp_path / "mlruns")
    bad = tmp_path / "mlruns" / "0" / SECOND
    bad.mkdir()
    (bad / "meta.yaml").write_text("a: &a [x]\nb: &b [*a, *a]\nstart_time: 5\n")
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "mlruns" / "0" / FIRST / "params" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "mlruns" / "0" / FIRST / "artifacts" / "link").symlink_to(tmp_path / "secret")
    report = bring(workspace, str(tmp_path / "mlruns"))
    assert ["artifact", "run"] == sorted({each.kind for each in report.not_carried})
    run = Client(workspace.repo.work_tree).get_run(FIRST)
    assert {"lr": 0.1} == dict(run.params)
    assert ["model"] == [each.path for each in Client(workspace.repo.work_tree).list_artifacts(FIRST)]


# --- a database on a server


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """PostgreSQL, as a user that may run it; the URI of an empty database."""
    if shutil.which("pg_ctl") is None or shutil.which("initdb") is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg2")
    folder = Path("/tmp") / f"runstone-pg-{os.getpid()}"  # sockets need short paths
    folder.mkdir()
    user = ["su", "postgres", "-s", "/bin/sh", "-c"] if os.geteuid() == 0 else ["sh", "-c"]
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    port = free_port()
    run = f"-o '-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off'"
    try:
        subprocess.run([*user, f"initdb -D {folder}/data -A trust -U kim"], check=True, capture_output=True)
        subprocess.run([*user, f"pg_ctl -w -D {folder}/data -l {folder}/log {run} start"], check=True, timeout=60)
        yield f"postgresql+psycopg2://kim:pass@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*user, f"pg_ctl -m immediate -D {folder}/data stop"], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MariaDB, as a user that may run it; the URI of an empty database."""
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        pytest.skip("MariaDB is not installed")
    pytest.importorskip("pymysql")
    folder = Path("/tmp") / f"runstone-my-{os.getpid()}"  # sockets need short paths
    folder.mkdir()
    owner = ["--user=mysql"] if os.geteuid() == 0 else []
    if os.geteuid() == 0:
        shutil.chown(folder, "mysql")
    port = free_port()
    users = ("kim@'127.0.0.1'", "kim@localhost")
    lines = ["CREATE DATABASE mlflow;", *(f"CREATE USER {user} IDENTIFIED BY 'pass';" for user in users)]
    lines += [f"GRANT ALL ON mlflow.* TO {user};" for user in users]  # a statement a line
    (folder / "init.sql").write_text("".join(f"{line}\n" for line in lines))
    data = f"--datadir={folder}/data"
    subprocess.run(["mariadb-install-db", "--no-defaults", *owner, data], check=True, capture_output=True)
    places = [f"--socket={folder}/socket", f"--port={port}", f"--pid-file={folder}/pid", f"--log-error={folder}/log"]
    process = subprocess.Popen(
        [
            "mariadbd",
            "--no-defaults",
            *owner,
            data,
            *places,
            "--bind-address=127.0.0.1",
            f"--init-file={folder}/init.sql",
        ]
    )
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"mysql+pymysql://kim:pass@127.0.0.1:{port}/mlflow"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.mlflow
def test_a_database_of_mysql(workspace: Workspace, mysql: str, tmp_path: Path) -> None:
    """MariaDB: all of it comes, and is known again."""
    pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
    made = Made(mysql, tmp_path)
    check_full(workspace, made, bring(workspace, mysql, roots=(str(tmp_path),)))
    assert {"same": runs_of(made)} == bring(workspace, mysql, roots=(str(tmp_path),)).carried["runs"]
    with pytest.raises(DatabaseUnusable) as caught:
        bring(workspace, mysql.replace("kim:pass", "kim:wrong1"))
    assert "Access denied" in str(caught.value)
    assert "wrong1" not in str(caught.value)


@pytest.mark.mlflow
def test_a_database_on_a_server(workspace: Workspace, postgres: str, tmp_path: Path) -> None:
    """PostgreSQL: all of it comes, its password is told nowhere, and a wrong address is said."""
    pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
    made = Made(postgres, tmp_path)
    report = bring(workspace, postgres, roots=(str(tmp_path),))
    check_full(workspace, made, report)
    assert "pass" not in report.source
    with pytest.raises(DatabaseUnusable) as caught:
        bring(workspace, postgres.replace("/postgres", "/nothing"))
    assert 'database "nothing" does not exist' in str(caught.value)
    assert "pass" not in str(caught.value)
