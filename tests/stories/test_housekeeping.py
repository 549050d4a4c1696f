"""A project is kept in order from the command line: runs corrected, moved, deleted, removed; no other is lost."""

import json
from pathlib import Path

import pytest

from runstone.tracking.once import Logged, record_run
from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli, run_on_terminal
from tests.git.support import check_clean
from tests.support import git


@pytest.fixture
def runs(git_repo: Path, tmp_path: Path) -> list[str]:
    """Three runs of `churn` with an artifact each."""
    workspace = Workspace.open(git_repo)
    ids = []
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.txt").write_text(name)
        logged = Logged(params={"lr": 0.1}, points=[("auc", 0.5, 0)], artifacts=[(tmp_path / f"{name}.txt", "")])
        ids.append(record_run(workspace, logged, experiment="churn", name=name))
    return ids


def test_from_a_wrong_value_to_an_empty_bin(runs: list[str], git_repo: Path, tmp_path: Path) -> None:
    """Amend one, move one, delete one and remove it; the others can still be read and their files fetched."""
    done = run_cli(
        "runs",
        "amend",
        "one",
        "--reason",
        "wrong split",
        "-m",
        "auc=0.7",
        "-p",
        "lr=0.01",
        "-t",
        "team=core",
        cwd=git_repo,
    )
    assert (0, ["params.lr: 0.1 → 0.01", 'tags.team: (none) → "core"', "metrics.auc: 0.5 → 0.7"]) == (
        done.returncode,
        done.stdout.splitlines(),
    )
    shown = json.loads(run_cli("runs", "show", "one", "--json", cwd=git_repo).stdout)
    assert ("wrong split", 0.01) == (shown["amendments"][0]["reason"], shown["params"]["lr"])
    assert "Reason: wrong split" in git("log", "-1", "--format=%B", "runs", cwd=git_repo)

    done = run_cli("runs", "mv", "one", "two", "Other trees", cwd=git_repo)
    assert (0, [f"moved {run_id}" for run_id in runs[:2]]) == (done.returncode, done.stdout.splitlines())
    assert "Made the experiment Other trees." in done.stderr
    rows = json.loads(run_cli("runs", "list", "-e", "Other trees", "--json", cwd=git_repo).stdout)
    assert {"one", "two"} == {row["name"] for row in rows}

    assert 0 == run_cli("runs", "rm", "two", "--reason", "a mistake", cwd=git_repo).returncode
    done = run_cli("gc", cwd=git_repo)
    assert (2, True) == (done.returncode, "There is nobody here to ask" in done.stderr)
    done = run_cli("gc", "--dry-run", cwd=git_repo)
    assert "nothing to remove" in done.stdout
    assert "1 deleted run not due yet" in done.stderr
    done = run_cli("gc", "--dry-run", "--older-than", "0s", "--json", cwd=git_repo)
    planned = json.loads(done.stdout)
    assert (True, [runs[1]], 2) == (planned["dry_run"], planned["runs"], len(planned["objects"]))
    tip = git("rev-parse", "runs", cwd=git_repo)

    code, screen = run_on_terminal("gc", "--older-than", "0s", cwd=git_repo, answer="n\n")
    assert (1, tip) == (code, git("rev-parse", "runs", cwd=git_repo))
    assert "to be removed: 1 run, 2 objects (" in screen
    assert "Remove them? [y/N]:" in screen
    assert "Nothing was removed." in screen
    code, screen = run_on_terminal("gc", "--older-than", "0s", cwd=git_repo, answer="y\n")
    assert (0, True) == (code, "removed 1 run, 2 objects (" in screen)

    done = run_cli("runs", "list", "--all", "--json", cwd=git_repo)
    assert {"one", "three"} == {row["name"] for row in json.loads(done.stdout)}
    for name in ("one", "three"):
        out = tmp_path / "out"
        assert 0 == run_cli("artifacts", "get", name, f"{name}.txt", str(out), cwd=git_repo).returncode
        assert name == (out / f"{name}.txt").read_text()
    done = run_cli("doctor", "--all", cwd=git_repo)
    assert 0 == done.returncode, done.stdout
    done = run_cli("validate", "--runs", cwd=git_repo)
    assert 0 == done.returncode, done.stdout
    check_clean(git_repo)


def test_wrong_calls_say_what_to_do(runs: list[str], git_repo: Path) -> None:
    """Each with its exit code: 1 an error, 2 a wrong call."""
    for code, words, told in [
        (2, ["runs", "amend", "one", "-p", "lr=1"], "Missing option '--reason'"),
        (2, ["runs", "amend", "one", "--reason", "x"], "Nothing was named that is to change"),
        (2, ["runs", "amend", "one", "--reason", "x", "-m", "auc=low"], "must be KEY=NUMBER"),
        (1, ["runs", "amend", "nobody", "--reason", "x", "-p", "a=1"], "No run 'nobody'"),
        (1, ["runs", "amend", "one", "--reason", "x", "--delete-param", "b"], "has no param 'b'"),
        (2, ["gc", "--dry-run", "--older-than", "soon"], "'soon' is no age such as 30d"),
        (2, ["gc", "--dry-run", "--run", "one"], "is not deleted, so it is not removed"),
        (2, ["gc", "--dry-run", "--remote", "storage"], "There is no DVC remote `storage`"),
        (1, ["gc", "--dry-run", "-e", "nothing"], "No experiment 'nothing'"),
    ]:
        done = run_cli(*words, cwd=git_repo)
        assert (code, True) == (done.returncode, told in done.stderr), (words, done.stdout, done.stderr)


def test_a_deleted_experiment_cannot_be_moved_to(runs: list[str], git_repo: Path) -> None:
    """By its name or its id; it must be restored first."""
    assert 0 == run_cli("experiments", "create", "old", cwd=git_repo).returncode
    assert 0 == run_cli("experiments", "rm", "old", cwd=git_repo).returncode
    done = run_cli("runs", "mv", "one", "old", cwd=git_repo)
    assert (1, True) == (done.returncode, "The experiment 'old' is deleted. Restore it" in done.stderr)
