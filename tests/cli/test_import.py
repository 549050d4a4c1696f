"""`runstone import mlflow` as people call it: what it prints, what it exits with, and what it does not write."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.support import run_cli, run_on_terminal, start_cli
from tests.imports import mlflow_stores as stores
from tests.imports.mlflow_stores import FIRST
from tests.support import git

Invoke = Callable[..., Result]


@pytest.fixture
def mlruns(tmp_path: Path) -> Path:
    """A folder of MLflow 1.0 with one run and one model version."""
    stores.old_folder(tmp_path / "mlruns")
    return tmp_path / "mlruns"


def test_a_folder_is_brought(invoke: Invoke, mlruns: Path, git_repo: Path) -> None:
    """A table of what came; the commands of the other nouns show it; again it is here already."""
    shown = invoke("import", "mlflow", str(mlruns)).stdout
    rows = {line.split("  ")[0]: line.split()[-4:] for line in shown.splitlines()[1:]}
    assert {
        "experiments": ["2", "0", "0", "0"],
        "runs": ["1", "0", "0", "0"],
        "registered models": ["1", "0", "0", "0"],
        "model versions": ["1", "0", "0", "0"],
        "stages": ["1", "0", "0", "0"],
    } == rows
    assert "brave" in invoke("runs", "list").stdout
    assert "Staging=2" in invoke("models", "list").stdout
    again = json.loads(invoke("import", "mlflow", str(mlruns), "--json").stdout)
    assert {"new": 0, "updated": 0, "same": 1, "clash": 0} == again["carried"]["runs"]
    assert (True, [], {}) == (again["complete"], again["not_carried"], again["clashes"])
    assert "" == git("status", "--porcelain", cwd=git_repo)


def test_what_is_missing_ends_with_1(invoke: Invoke, mlruns: Path) -> None:
    """Each file that is missing is listed with its place, and a script sees it by the exit code."""
    shutil.rmtree(mlruns / "0" / FIRST / "artifacts")
    shown = invoke("import", "mlflow", str(mlruns), code=1).stdout
    place = f"/somewhere/else/mlruns/0/{FIRST}/artifacts/model"
    assert f"  model version  Churn version 2: its files are missing: {place}" in shown
    assert "Missing (" in shown


def test_a_dry_run_writes_nothing(invoke: Invoke, mlruns: Path, git_repo: Path) -> None:
    """It tells what would come."""
    before = git("for-each-ref", cwd=git_repo)
    shown = invoke("import", "mlflow", str(mlruns), "--dry-run").stdout
    assert shown.startswith("Nothing was written. This would be brought:\n")
    assert before == git("for-each-ref", cwd=git_repo)
    assert not (git_repo / ".git" / "runstone" / "cache").exists()


def test_without_artifacts(invoke: Invoke, mlruns: Path) -> None:
    """Runs come without files, and versions, which are files, do not; a later import brings both."""
    shown = json.loads(invoke("import", "mlflow", str(mlruns), "--no-artifacts", "--json").stdout)
    assert [("model version", False)] == [(each["kind"], each["is_loss"]) for each in shown["not_carried"]]
    later = json.loads(invoke("import", "mlflow", str(mlruns), "--json").stdout)
    assert (1, 1) == (later["carried"]["runs"]["updated"], later["carried"]["model versions"]["new"])


def test_one_experiment(invoke: Invoke, mlruns: Path) -> None:
    """Only what was named; a wrong name is a wrong call."""
    shown = json.loads(invoke("import", "mlflow", str(mlruns), "-e", "gone", "--json").stdout)
    assert ["experiments"] == list(shown["carried"])
    result = invoke("import", "mlflow", str(mlruns), "-e", "none", code=2)
    assert f"error: {mlruns} has no experiment 'none'. It has: 'Default', 'gone'.\n" == result.stderr


def test_the_registry_may_be_elsewhere(invoke: Invoke, mlruns: Path, tmp_path: Path) -> None:
    """Runs of one folder, models of another."""
    shutil.copytree(mlruns, tmp_path / "registry" / "mlruns")
    shutil.rmtree(mlruns / "models")
    invoke("import", "mlflow", str(mlruns), "--registry-uri", str(tmp_path / "registry" / "mlruns"))
    assert "Staging=2" in invoke("models", "list").stdout


def test_two_at_once(mlruns: Path, git_repo: Path) -> None:
    """Two imports of one store at a time make each run and each version once."""
    both = [start_cli("import", "mlflow", str(mlruns), cwd=git_repo) for _ in range(2)]
    told = [process.communicate(timeout=120) for process in both]
    assert [0, 0] == [process.returncode for process in both], told
    assert "1" == git("rev-list", "--count", "--grep=^Import run", "runs", cwd=git_repo)
    assert "Churn@v2" == git("tag", "--list", cwd=git_repo)
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)


def test_what_is_no_store(invoke: Invoke, tmp_path: Path) -> None:
    """Said in one sentence, and nothing is made."""
    result = invoke("import", "mlflow", str(tmp_path / "none"), code=2)
    step = "Name the folder or the database in which MLflow keeps its runs."
    assert f"error: There is no {tmp_path / 'none'}. {step}\n" == result.stderr


def test_outside_a_repository(mlruns: Path, tmp_path: Path) -> None:
    """It says so, and exits with 1."""
    done = run_cli("import", "mlflow", str(mlruns), cwd=tmp_path)
    assert 1 == done.returncode
    assert "repository" in done.stderr


def test_a_bar_on_a_terminal(mlruns: Path, git_repo: Path) -> None:
    """Long work shows how far it is."""
    code, shown = run_on_terminal("import", "mlflow", str(mlruns), cwd=git_repo)
    assert 0 == code
    assert "Importing" in shown
    assert "100%" in shown
