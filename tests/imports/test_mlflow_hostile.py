"""Stores of MLflow's that are damaged, or made to do harm: the rest of them comes, and what does not is told."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import RunstoneError
from runstone.imports.incoming import Unavailable
from runstone.imports.intake import Intake
from runstone.imports.mlflow.carry import Carrier
from runstone.imports.mlflow.open import open_source
from runstone.imports.mlflow.source import without_credentials
from runstone.imports.mlflow.sql import DatabaseUnusable
from runstone.imports.report import Report
from runstone.tracking.workspace import Workspace
from tests.cli.support import COMMAND, environment
from tests.imports import mlflow_stores as stores
from tests.imports.mlflow_stores import FIRST, SECOND, STARTED

_META = f"start_time: {STARTED}\nend_time: {STARTED + 5}\nstatus: 3\nrun_name: brave\nuser_id: kim\n"


def bring(workspace: Workspace, uri: str, *, roots: tuple[str, ...] = ()) -> Report:
    """Import a store; the report."""
    source = open_source(uri, roots=roots)
    try:
        with Intake(workspace, source=source.shown) as intake:
            Carrier(source, source, intake).carry()
    finally:
        source.close()
    return intake.report


def lost(report: Report) -> list[str]:
    """What is missing, each with the reason."""
    return [f"{each.kind} {each.what}: {each.why}" for each in report.not_carried if each.is_loss]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of MLflow's with two runs: `FIRST`, which the tests spoil, and `SECOND`."""
    root = tmp_path / "mlruns"
    for run_id in (FIRST, SECOND):
        run = root / "1" / run_id
        for name in ("metrics", "params", "artifacts"):
            (run / name).mkdir(parents=True)
        (run / "meta.yaml").write_text(_META)
        (run / "metrics" / "loss").write_text(f"{STARTED} 0.5 0\n{STARTED + 1} 0.25 1\n")
        (run / "params" / "lr").write_text("0.1")
        (run / "artifacts" / "a.txt").write_text("hello")
    (root / "1" / "meta.yaml").write_text("name: churn\ncreation_time: 5\nlifecycle_stage: active\n")
    return root


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_pipe, _endless, _folder, lambda path: path.write_bytes(b"\xff\0: [")])
@pytest.mark.parametrize("whose", ["run", "experiment"])
def test_a_record_that_cannot_be_read_is_told(
    workspace: Workspace, folder: Path, spoil: Callable[[Path], None], whose: str
) -> None:
    """A broken `meta.yaml`, a pipe, an endless file or a folder in its place costs what it describes, and no more."""
    other = folder / "2"
    shutil.copytree(folder / "1" / SECOND, other / ("e" * 32))
    (other / "meta.yaml").write_text("name: other\n")
    spoil(folder / "1" / "meta.yaml" if whose == "experiment" else folder / "1" / FIRST / "meta.yaml")
    report = bring(workspace, str(folder))
    assert ({"new": 1} if whose == "experiment" else {"new": 2}) == report.carried["runs"]
    assert 1 == len(lost(report))
    start = "run 1: " if whose == "experiment" else f"run 1/{FIRST}: "
    assert lost(report)[0].startswith(start)
    assert (whose == "experiment") == lost(report)[0].endswith("Not here with it: 2 runs")


def test_values_of_another_kind_stop_nothing(workspace: Workspace, folder: Path) -> None:
    """A status that is a map, and times that are none or of no possible year, leave the run."""
    (folder / "1" / FIRST / "meta.yaml").write_text("status: {a: 1}\nstart_time: 9999999999999999999\nend_time: x\n")
    report = bring(workspace, str(folder))
    assert {"new": 2} == report.carried["runs"]
    run = Client(workspace.repo.work_tree).get_run(FIRST)
    assert ("FAILED", 5, None) == (run.status, run.started, run.ended)
    assert [f"run 1/{FIRST}/meta.yaml"] == [each.partition(": ")[0] for each in lost(report)]


@pytest.mark.parametrize("name", ["params", "artifacts", "."])
def test_links_out_of_the_store_are_not_followed(workspace: Workspace, folder: Path, tmp_path: Path, name: str) -> None:
    """What a link names may be anything of this machine; `--artifact-root` says that it may be read."""
    place = folder / "1" / FIRST / name
    outside = tmp_path / "elsewhere" / FIRST
    outside.parent.mkdir()
    shutil.move(place.resolve(), outside)
    place.resolve().parent.joinpath(place.name or FIRST).symlink_to(outside)
    report = bring(workspace, str(folder))
    assert 1 == len(lost(report))
    assert f"`--artifact-root {outside.parent}`" in lost(report)[0]
    again = bring(workspace, str(folder), roots=(str(outside.parent),))
    assert [] == lost(again)
    run = Client(workspace.repo.work_tree).get_run(FIRST)
    assert {"lr": 0.1} == dict(run.params)
    assert ["a.txt"] == [each.path for each in Client(workspace.repo.work_tree).list_artifacts(FIRST)]


def test_lines_that_are_no_points_are_counted(workspace: Workspace, folder: Path) -> None:
    """Torn lines, words, and a file of zeros that is larger than memory should hold, are told; the points come."""
    metrics = folder / "1" / FIRST / "metrics"
    (metrics / "loss").write_text(f"{STARTED} 0.5 0\nwords\n{STARTED} nan 1\n{STARTED} x 2\n")
    with (metrics / "zeros").open("wb") as file:
        file.truncate(1 << 24)
    report = bring(workspace, str(folder))
    assert 2 == Client(workspace.repo.work_tree).get_run(FIRST).metrics["loss"].count
    assert [
        f"run 1/{FIRST}/metrics/loss: 2 of its lines are torn, or no numbers; the others were carried",
        f"run 1/{FIRST}/metrics/zeros: 4096 of its lines are torn, or no numbers; the others were carried",
    ] == lost(report)


def test_what_may_not_be_read_is_told(workspace: Workspace, folder: Path) -> None:
    """A folder or a file that the user has no right to costs what is in it, and no more."""
    run = folder / "1" / FIRST
    other = folder / "2"
    shutil.copytree(folder / "1" / SECOND, other / ("e" * 32))
    (other / "meta.yaml").write_text("name: other\n")
    closed = [run / "metrics" / "loss", run / "params", run / "artifacts" / "a.txt", other / ("e" * 32)]
    for path in closed:
        path.chmod(0)
    command = [*COMMAND, "import", "mlflow", str(folder), "--json"]
    if os.access(closed[0], os.R_OK):  # root needs nobody's leave, unless it does without that
        if shutil.which("setpriv") is None:
            pytest.skip("this user may read everything, and there is no `setpriv`")
        dropped = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", *command]
    try:
        done = subprocess.run(
            command, cwd=workspace.repo.work_tree, env=environment(), capture_output=True, text=True, check=False
        )
    finally:
        for path in closed:
            path.chmod(0o700)
    assert 1 == done.returncode, done.stderr
    said = json.loads(done.stdout)
    assert 2 == said["carried"]["runs"]["new"]
    assert [
        f"1/{FIRST}/metrics/loss: it cannot be read: Permission denied",
        f"1/{FIRST}/params: it cannot be read: Permission denied",
        f"2/{'e' * 32}: it cannot be read: Permission denied",
        f"run {FIRST}: a.txt: Permission denied",
    ] == sorted(f"{each['what']}: {each['why']}" for each in said["not_carried"])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with two runs and a version."""
    pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
    path = tmp_path / "store" / "mlflow.db"
    path.parent.mkdir()
    stores.old_database(path, "728d730b5ebd")
    return path


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("runs", "start_time", "soon"),
        ("runs", "end_time", 10**18),
        ("runs", "user_id", b"\xff"),
        ("experiments", "creation_time", "never"),
        ("metrics", "value", "much"),
        ("metrics", "step", b"\xff"),
        ("model_versions", "creation_time", "soon"),
        ("registered_models", "creation_time", b"\xff"),
    ],
)
def test_a_database_with_values_of_another_kind(
    workspace: Workspace, database: Path, table: str, column: str, value: object
) -> None:
    """SQLite takes any value in any column: one that is not of its kind is left out and told, and the runs come."""
    with sqlite3.connect(database) as connection:
        if column not in [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]:
            connection.execute(f'ALTER TABLE "{table}" ADD COLUMN "{column}"')  # as later versions of MLflow have it
        connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = 1', [value])
    report = bring(workspace, str(database))
    assert {"new": 2} == report.carried["runs"]
    assert {"new": 1} == report.carried["model versions"]
    assert (1 if column != "user_id" else 0) == len(lost(report))  # bytes are read as text


def test_a_database_that_is_being_written_is_not_read_past_its_lock(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while a program holds it, nor when one was killed in the middle: half of a change is no run."""
    monkeypatch.setattr("runstone.imports.mlflow.sql._BUSY_S", 0.1)
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("PRAGMA cache_size = 1")  # so that changes reach the file before they are committed
    writer.execute("BEGIN EXCLUSIVE")
    for number in range(200):
        writer.execute("INSERT INTO tags VALUES (?, ?, ?)", [f"k{number}", "x" * 4000, FIRST])
    copy = tmp_path / "killed" / "mlflow.db"
    copy.parent.mkdir()
    for end in ("", "-journal"):
        shutil.copy(f"{database}{end}", f"{copy}{end}")
    with pytest.raises(DatabaseUnusable, match="A program writes to it"):
        open_source(str(database))
    writer.execute("ROLLBACK")
    writer.close()
    with pytest.raises(DatabaseUnusable, match="that was cut short"):
        open_source(str(copy))


@pytest.mark.parametrize(
    "uri", ["http://[", "file://[", "/a\0b", "http://169.254.169.254/latest", "file:///etc", "runs:/x"]
)
def test_hostile_places_of_artifacts(
    workspace: Workspace, database: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a store says that its files are, nothing is read, and nobody is asked with the user's token."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mine")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE runs SET artifact_uri = ?", [uri])
        connection.execute("UPDATE model_versions SET source = ?, run_id = ''", [uri])
    report = bring(workspace, str(database))
    assert 2 == sum(each.kind == "artifact" and "all files" in each.what for each in report.not_carried)
    assert any("version 7" in each for each in lost(report))
    if uri.startswith("http://1"):
        assert all("asked only if you name it" in each.why for each in report.not_carried if each.kind == "artifact")
        source = open_source(str(database), roots=("http://127.0.0.1:1/a",))
        with pytest.raises(Unavailable, match="cannot be read"):  # it was asked
            list(source.place_files("http://127.0.0.1:1/a", lambda *_: None))
        source.close()


def test_the_stage_and_alias_of_a_number_that_is_another_version_here(workspace: Workspace, database: Path) -> None:
    """They are told, and not given to the version that has the number here."""
    bring(workspace, str(database))
    other = database.parent / "other" / "mlflow.db"
    other.parent.mkdir()
    stores.old_database(other, "3500859a5d39")
    with sqlite3.connect(other) as connection:
        connection.execute("UPDATE runs SET run_uuid = 'f' || substr(run_uuid, 2)")
        connection.execute("UPDATE model_versions SET current_stage = 'Production'")
        connection.execute("UPDATE model_versions SET source = 'runs:/f' || substr(run_id, 2) || '/model'")
        connection.execute("INSERT INTO registered_model_aliases (name, alias, version) VALUES ('Churn', 'best', 7)")
        connection.execute("UPDATE experiments SET artifact_location = '/other'")
    shutil.move(other.parent / "mlruns" / "0" / FIRST, other.parent / "mlruns" / "0" / f"f{FIRST[1:]}")
    with sqlite3.connect(other) as connection:
        connection.execute("UPDATE runs SET artifact_uri = './mlruns/0/' || run_uuid || '/artifacts'")
    found = lost(bring(workspace, str(other)))
    assert ["alias Churn@best", "model version Churn version 7"] == sorted(each.partition(":")[0] for each in found)
    version = Client(workspace.repo.work_tree).get_model_version("Churn", 7)
    assert ("Staging", ()) == (version.current_stage, version.aliases)


def test_models_that_differ_by_case_alone(workspace: Workspace, database: Path) -> None:
    """One of them has the name here; how many versions of the other one are lost is told."""
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO registered_models (name, creation_time) VALUES ('churn', 5)")
        for version in (1, 2):
            connection.execute(
                "INSERT INTO model_versions (name, version, creation_time, current_stage, source, run_id) "
                "VALUES ('churn', ?, 5, 'None', 's3://b', '')",
                [version],
            )
    found = lost(bring(workspace, str(database)))
    assert 1 == len(found)
    assert "by case alone" in found[0]
    assert found[0].endswith("Not here with it: 2 versions")


def test_aliases_that_differ_by_case_alone(workspace: Workspace, tmp_path: Path) -> None:
    """One of them comes, with the stages and the other aliases; those that do not are told."""
    pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
    path = tmp_path / "mlflow.db"
    stores.old_database(path, "3500859a5d39")
    with sqlite3.connect(path) as connection:
        for alias in ("best", "Best", "next"):
            connection.execute(
                "INSERT INTO registered_model_aliases (name, alias, version) VALUES ('Churn', ?, 7)", [alias]
            )
    found = lost(bring(workspace, str(path)))
    assert 1 == len(found)
    assert "by case alone" in found[0]
    version = Client(workspace.repo.work_tree).get_model_version("Churn", 7)
    assert ("Staging", 2) == (version.current_stage, len(version.aliases))


@pytest.mark.parametrize("password", ["se/cret", "se?cret", "se#cret", "se[cret", "se:cret@x"])
def test_a_password_is_in_no_message(password: str) -> None:
    """Neither a database that does not answer nor one whose URI is none shows it, whatever characters are in it."""
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    for kind, port in (("postgresql", "1"), ("postgresql", "x"), ("mysql", "1"), ("https", "x")):
        uri = f"{kind}://kim:{password}@127.0.0.1:{port}/mlflow?password=other"
        with pytest.raises(RunstoneError) as raised:
            open_source(uri)
        assert "cret" not in str(raised.value)
        assert "other" not in str(raised.value)
    assert "postgresql://127.0.0.1/mlflow" == without_credentials(f"postgresql://kim:{password}@127.0.0.1/mlflow?a=b")
