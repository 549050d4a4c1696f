"""`runstone import mlflow` of a thousand runs, from a database and from a folder; and again, when all is known.

The database has the tables of MLflow 2.17 as far as runs need them, so MLflow itself is not needed. Each import is a
process of its own, into a fresh repository.
"""

import random
import sqlite3
import sys
from pathlib import Path
from time import perf_counter

from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.start import PROGRAM

_METRICS, _STEPS, _PARAMS = 10, 100, 10
_BEGUN = 1_700_000_000_000
_TABLES = """
CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('f5a4f2784254');
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256), artifact_location VARCHAR(256),
    lifecycle_stage VARCHAR(32), creation_time BIGINT, last_update_time BIGINT);
INSERT INTO experiments VALUES (0, 'Default', './mlruns/0', 'active', 1, 1);
CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), source_type VARCHAR(20),
    source_name VARCHAR(500), entry_point_name VARCHAR(50), user_id VARCHAR(256), status VARCHAR(9), start_time BIGINT,
    end_time BIGINT, source_version VARCHAR(50), lifecycle_stage VARCHAR(20), artifact_uri VARCHAR(200),
    experiment_id INTEGER, deleted_time BIGINT);
CREATE TABLE params (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32), PRIMARY KEY (key, run_uuid));
CREATE TABLE tags (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32), PRIMARY KEY (key, run_uuid));
CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32), step BIGINT,
    is_nan BOOLEAN, PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
CREATE INDEX index_params_run_uuid ON params (run_uuid);
CREATE INDEX index_tags_run_uuid ON tags (run_uuid);
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
"""


def measure(setting: Setting) -> Report:
    """Import the same runs from a database and from a folder."""
    count = setting.pick(1000, 20)
    points = count * _METRICS * _STEPS
    report = Report(f"Importing {count:,} runs of MLflow's with {points:,} points and a file each")
    folder = setting.new_folder("mlflow")
    make_database(folder / "mlflow.db", count)
    make_folder(folder / "store", count)
    for what, source in (("database", folder / "mlflow.db"), ("folder", folder / "store")):
        first: list[float] = []
        again: list[float] = []
        for _ in range(setting.pick(3, 1)):
            repository = setting.new_repository("import")
            for samples in (first, again):
                begun = perf_counter()
                setting.call([sys.executable, "-c", PROGRAM, "import", "mlflow", source], repository)
                samples.append(perf_counter() - begun)
            made = setting.call(["git", "rev-list", "--count", "--grep=^Import run", "runs"], repository)
            assert int(made) == count, made
        report.add(f"from a {what}", first, "s")
        report.add(f"from a {what}, all known", again, "s", against=f"from a {what}")
        report.at_most(f"from a {what}", min(first), 20, "s")
    return report


def make_database(path: Path, count: int) -> None:
    """A database of MLflow 2.17."""
    choice = random.Random(0)
    with sqlite3.connect(path) as database:
        database.executescript(_TABLES)
        for number in range(count):
            run_id, begun = f"{choice.getrandbits(128):032x}", _BEGUN + 60_000 * number
            place = f"./mlruns/0/{run_id}/artifacts"
            row = (run_id, f"run-{number}", begun, begun + 50_000, place)
            database.execute(
                "INSERT INTO runs VALUES (?1, ?2, 'LOCAL', 'train.py', '', 'kim', 'FINISHED', ?3, ?4, '', 'active', "
                "?5, 0, NULL)",
                row,
            )
            params = [(f"param_{each}", str(choice.random()), run_id) for each in range(_PARAMS)]
            database.executemany("INSERT INTO params VALUES (?, ?, ?)", params)
            database.execute("INSERT INTO tags VALUES ('mlflow.user', 'kim', ?)", (run_id,))
            points = [
                (f"metric_{each}", choice.random(), begun + 100 * step, run_id, step)
                for each in range(_METRICS)
                for step in range(_STEPS)
            ]
            database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)", points)
            file = path.parent / place / "model.txt"
            file.parent.mkdir(parents=True)
            file.write_text(f"weights {number}\n")


def make_folder(root: Path, count: int) -> None:
    """A folder as MLflow's file store has it, in another place than the database's artifacts."""
    choice = random.Random(1)
    (root / "0").mkdir(parents=True)
    (root / "0" / "meta.yaml").write_text("experiment_id: '0'\nlifecycle_stage: active\nname: Default\n")
    for number in range(count):
        run_id, begun = f"{choice.getrandbits(128):032x}", _BEGUN + 60_000 * number
        run = root / "0" / run_id
        for name in ("metrics", "params", "tags", "artifacts"):
            (run / name).mkdir(parents=True)
        (run / "meta.yaml").write_text(
            f"artifact_uri: {run}/artifacts\nend_time: {begun + 50_000}\nexperiment_id: '0'\nlifecycle_stage: active\n"
            f"run_id: {run_id}\nrun_name: run-{number}\nstart_time: {begun}\nstatus: 3\nuser_id: kim\n"
        )
        for each in range(_PARAMS):
            (run / "params" / f"param_{each}").write_text(str(choice.random()))
        for each in range(_METRICS):
            lines = [f"{begun + 100 * step} {choice.random()} {step}\n" for step in range(_STEPS)]
            (run / "metrics" / f"metric_{each}").write_text("".join(lines))
        (run / "tags" / "mlflow.user").write_text("kim")
        (run / "artifacts" / "model.txt").write_text(f"weights {number}\n")
