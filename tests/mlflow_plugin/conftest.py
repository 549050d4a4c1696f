"""Fixtures for the plug-in: a repository as MLflow's store. Without MLflow as a whole these tests are left out."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runstone.git.repository import Repository
from runstone.tracking.workspace import Workspace
from tests.support import make_repository

if TYPE_CHECKING:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from runstone.mlflow_plugin.tracking import TrackingStore
    from tests.mlflow_plugin.both import Both

# MLflow's skinny form has neither a server nor SQLAlchemy.
HAS_MLFLOW = find_spec("mlflow") is not None and find_spec("sqlalchemy") is not None
collect_ignore_glob = [] if HAS_MLFLOW else ["test_*.py"]

needs_mlflow = pytest.mark.skipif(not HAS_MLFLOW, reason="MLflow is not installed as a whole")
"""For tests elsewhere: those of this folder are not even collected without MLflow."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow makes `mlflow.db` in the current folder where nothing else is named; not in the project's."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a fresh repository."""
    return make_repository(tmp_path / "repo")


@pytest.fixture
def repo(folder: Path) -> Repository:
    """A fresh repository."""
    return Workspace.open(folder).repo


@pytest.fixture
def store(folder: Path) -> "TrackingStore":
    """MLflow's tracking store on a fresh repository."""
    from runstone.mlflow_plugin.tracking import TrackingStore

    return TrackingStore(f"runstone:{folder}")


@pytest.fixture(scope="session")
def sql_store(tmp_path_factory: pytest.TempPathFactory) -> "SqlAlchemyStore":
    """MLflow's own store on SQLite; its tables take a second to make, so all tests share it."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("sql")
    return SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"))


@pytest.fixture
def both(sql_store: "SqlAlchemyStore", store: "TrackingStore", monkeypatch: pytest.MonkeyPatch) -> "Both":
    """MLflow's SQL store and ours, as MLflow's server has them: no run captures the code of the tests."""
    from tests.mlflow_plugin.both import Both, Side

    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", "")
    return Both(Side(sql_store), Side(store))


@pytest.fixture(scope="module")
def module_both(sql_store: "SqlAlchemyStore", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Both]":
    """As `both`, shared by the tests of a module that only read."""
    from runstone.mlflow_plugin.tracking import TrackingStore
    from tests.mlflow_plugin.both import Both, Side

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", "")
        folder = make_repository(tmp_path_factory.mktemp("module") / "repo")
        yield Both(Side(sql_store), Side(TrackingStore(f"runstone:{folder}")))
