"""`runstone export`."""

import csv
import io
import json
from pathlib import Path

from runstone import Client
from tests.cli.support import run_cli


def make_runs(repo: Path) -> None:
    """Two runs."""
    client = Client(repo)
    experiment = client.create_experiment("churn")
    for number in range(2):
        run = client.create_run(experiment, run_name=f"run-{number}")
        client.log_param(run.id, "lr", 0.1)
        client.log_metric(run.id, "loss", 0.5 + number, step=1)
        client.set_terminated(run.id)


def test_csv_goes_to_the_output_or_a_file(git_repo: Path) -> None:
    """The same either way; a filter chooses."""
    make_runs(git_repo)
    done = run_cli("export", "csv", cwd=git_repo)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert (0, ["run-0", "run-1"], ["0.5", "1.5"]) == (
        done.returncode,
        [row["name"] for row in rows],
        [row["metrics.loss"] for row in rows],
    )
    to_file = run_cli("export", "csv", "-o", "runs.csv", cwd=git_repo)
    assert (0, "", "2 rows written to runs.csv\n") == (to_file.returncode, to_file.stdout, to_file.stderr)
    assert done.stdout == (git_repo / "runs.csv").read_text()
    filtered = run_cli("export", "csv", "-f", "metrics.loss > 1", "--history", cwd=git_repo)
    assert [["loss", "1", "1.5"]] == [
        [r["key"], r["step"], r["value"]] for r in csv.DictReader(io.StringIO(filtered.stdout))
    ]


def test_json_is_a_line_a_run(git_repo: Path) -> None:
    """With types."""
    make_runs(git_repo)
    done = run_cli("export", "json", "-e", "churn", cwd=git_repo)
    assert [{"lr": 0.1}, {"lr": 0.1}] == [json.loads(line)["params"] for line in done.stdout.splitlines()]


def test_unknown_experiments_and_filters_are_said(git_repo: Path) -> None:
    """With the exit codes of other commands."""
    make_runs(git_repo)
    unknown = run_cli("export", "json", "-e", "nothing", cwd=git_repo)
    assert (1, "") == (unknown.returncode, unknown.stdout)
    assert "nothing" in unknown.stderr
    wrong = run_cli("export", "csv", "-f", "metrics.loss >", cwd=git_repo)
    assert (2, "") == (wrong.returncode, wrong.stdout)
