"""Fixtures of the command line: a runner, and a repository with runs made through the API."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from runstone.cli import main
from runstone.tracking.once import Logged, record_run
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    Invoke = Callable[..., Result]


@pytest.fixture
def invoke(git_repo: Path) -> "Invoke":
    """Run a command line on `git_repo`, or with `repo=` on another; without `code=` it must end with 0."""

    def run(*arguments: str, repo: Path = git_repo, code: int = 0, input: str | None = None) -> Result:
        result = CliRunner().invoke(main, ["--repo", str(repo), *arguments], input=input)
        assert code == result.exit_code, f"{arguments} ended with {result.exit_code}: {result.output}"
        return result

    return run


@pytest.fixture
def three_runs(workspace: Workspace, tmp_path: Path) -> list[str]:
    """Three ended runs, oldest first: two of `churn` with metrics and params, one FAILED of `Default` with nothing."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("alpha\n")
    (tmp_path / "data" / "b.txt").write_text("beta beta\n")
    first = Logged(
        params={"lr": 0.1, "depth": 3, "kind": "forest"},
        points=[("loss", 0.9, 1), ("loss", 0.5, 2), ("auc", 0.7, 1)],
        tags={"team": "growth"},
        artifacts=[(tmp_path / "data", "")],
        note="# First\nIt *worked*.",
    )
    second = Logged(params={"lr": 0.01, "depth": 5}, points=[("loss", 0.25, 1), ("auc", float("nan"), 1)])
    return [
        record_run(workspace, first, experiment="churn", name="brave-otter-1"),
        record_run(workspace, second, experiment="churn", name="calm-fox-2"),
        record_run(workspace, Logged(), name="odd-newt-3", status="FAILED"),
    ]
