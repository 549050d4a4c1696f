"""What the tests of imports share: `runstone import`, with its report as JSON, and a look at what a repository has."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from runstone.cli import main
from runstone.client import Client
from runstone.records.run import Run
from runstone.tracking.workspace import Workspace
from tests.support import git


def bring(repo: Path, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """Run `runstone import … --json` on a repository; the report."""
    done = CliRunner().invoke(main, ["--repo", str(repo), "import", *map(str, arguments), "--json"])
    assert code == done.exit_code, done.output
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def refused(repo: Path, *arguments: str | Path) -> str:
    """Run an import that must fail as a whole; what it says."""
    done = CliRunner().invoke(main, ["--repo", str(repo), "import", *map(str, arguments)])
    assert 1 == done.exit_code, done.output
    return done.output


def changes(report: dict[str, Any], kind: str = "runs") -> dict[str, int]:
    """What was done to things of a kind, zeros left out."""
    return {change: count for change, count in report["carried"].get(kind, {}).items() if count}


def missing(report: dict[str, Any], kind: str | None = None) -> dict[str, str]:
    """What was not carried, of one kind or of all: what → why."""
    return {each["what"]: each["why"] for each in report["not_carried"] if kind in (None, each["kind"])}


def runs_of(repo: Path) -> dict[str, Run]:
    """The runs of a repository, by name."""
    return {run.name: run for run in Client(repo).search_runs()}


def history(repo: Path, run: Run, key: str) -> list[tuple[int, float]]:
    """The points of a metric: step and value."""
    return [(point.step, point.value) for point in Client(repo).get_metric_history(run.id, key)]


def files_of(repo: Path, run: Run) -> dict[str, bytes]:
    """The artifacts of a run, with their bytes."""
    from runstone.tracking.read import recorded_artifacts

    workspace = Workspace.open(repo)
    return {entry.path: workspace.artifacts.read(entry) for entry in recorded_artifacts(workspace, run)}


def commits(repo: Path) -> int:
    """How many events the branch of runs has."""
    return int(git("rev-list", "--first-parent", "--count", "runs", cwd=repo))
