"""What is said beside errors and empty lists: the name that was meant, and how to bring what is not here."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli
from tests.support import git

Invoke = Callable[..., Result]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("runs", "search", "metrics.los < 5"), "no run has metrics.los; did you mean metrics.loss?\n"),
        (("runs", "list", "-s", "metrics.LOSS"), "no run has metrics.LOSS; did you mean metrics.loss?\n"),
        (
            ("runs", "list", "-f", "params.dpth = 3 OR tags.teem = 'a'"),
            "no run has tags.teem; did you mean tags.team?\n",
        ),
        (("runs", "list", "-c", "name,params.depht"), "no run has params.depht; did you mean params.depth?\n"),
        (("runs", "list", "-f", "metrics.zzzzz > 1"), "no run has metrics.zzzzz\n"),
        (("runs", "list", "-e", "Default", "-f", "metrics.loss > 1"), "no run has metrics.loss\n"),
    ],
)
def test_a_key_that_no_run_has(three_runs: list[str], invoke: Invoke, arguments: tuple[str, ...], said: str) -> None:
    """In a filter, an order or a column: it is said, with what looks like it among what those runs have."""
    assert said in invoke(*arguments).stderr


@pytest.mark.parametrize("text", ["metrics.loss < 5", "tags.reviewed IS NULL", "NOT params.depth = 3", "status = 'X'"])
def test_keys_that_are_there_are_not_told_of(three_runs: list[str], invoke: Invoke, text: str) -> None:
    """Nor what is only asked to be missing, nor anything where there are no runs."""
    assert "no run has" not in invoke("runs", "search", text).stderr
    assert "no run has" not in invoke("runs", "list", "-s", "name", "-f", text, "--json").stderr


def test_without_runs_no_key_is_missed(git_repo: Path, invoke: Invoke) -> None:
    """An empty list says why it is empty, and no more."""
    assert "There are no such runs.\n" == invoke("runs", "search", "metrics.loss < 5").stderr


def test_a_bare_metric(three_runs: list[str], invoke: Invoke) -> None:
    """A name that is a metric is suggested as one, and not an attribute that looks like it."""
    error = invoke("runs", "search", "loss < 5", code=2).stderr
    assert error.endswith("runs have no attribute `loss`.\n  loss < 5\n  ^\nDid you mean metrics.loss?\n")
    assert "Did you mean status or " in invoke("runs", "search", "statu = 'x'", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("runs", "list", "-e", "chrun"), "churn"),
        (("experiments", "show", "Chur"), "churn"),
        (("runs", "show", "calm-fox"), "calm-fox-2"),
        (("checkout", "clam-fox-2"), "calm-fox-2"),
        (("diff", "calm-fox-2", "odd-newt"), "odd-newt-3"),
    ],
)
def test_a_name_that_nobody_bears(three_runs: list[str], invoke: Invoke, arguments: tuple[str, ...], name: str) -> None:
    """The error tells which it may have been."""
    assert invoke(*arguments, code=1).stderr.endswith(f"\nDid you mean {name}?\n")
    assert "Did you mean" not in invoke("runs", "show", "zzzzzzzz", code=1).stderr


def test_a_name_where_an_id_is_needed(three_runs: list[str], invoke: Invoke) -> None:
    """A name is not suggested in place of itself: it says how to get the id."""
    error = invoke("serve", "runs:/odd-newt-3/model", code=1).stderr
    assert error.endswith("\nThat is a run's name, and here its id is needed: `runstone runs show odd-newt-3`\n")


def test_a_choice_that_is_missing(invoke: Invoke) -> None:
    """What there is to choose from stands in the line."""
    error = invoke("evaluate", "models:/churn/1", "--data", "x.csv", "--targets", "y", code=2).stderr
    assert error.endswith("error: Missing option '--model-type'. Choose from: classifier, regressor\n")


def test_a_clone_without_the_branch(three_runs: list[str], git_repo: Path, tmp_path: Path) -> None:
    """Made with one branch only: it says how to bring the other, and that does."""
    git("clone", "-q", "--depth", "1", "--single-branch", f"file://{git_repo}", "one", cwd=tmp_path)
    absent = "This clone does not have the branch runs. Bring it: `runstone pull`\n"
    for words in (("runs", "list"), ("runs", "search", "metrics.loss < 1"), ("runs", "log")):
        assert absent == run_cli(*words, cwd=tmp_path / "one").stderr
    for line in ("runs show calm-fox-2", "checkout calm-fox-2", "runs list -e churn"):
        done = run_cli(*line.split(), cwd=tmp_path / "one")
        assert (1, True) == (done.returncode, done.stderr.endswith(f"\n{absent}"))
    run_cli("pull", cwd=tmp_path / "one")
    assert "calm-fox-2" in run_cli("runs", "list", cwd=tmp_path / "one").stdout


@pytest.mark.parametrize(
    "line", ["runs list", "runs search status='x'", "runs show x", "runs log", "experiments list", "diff a b", "plot x"]
)
def test_to_read_where_nothing_is_writes_nothing(git_repo: Path, line: str) -> None:
    """No lock, no index, not even a folder."""
    run_cli(*line.split(), cwd=git_repo)
    assert not (git_repo / ".git" / "runstone").exists()


def test_a_run_made_in_this_process_is_seen_after_an_empty_read(workspace: Workspace) -> None:
    """The index that was in memory, since there was nothing, gives way to the one on disk."""
    from runstone.index.search import list_runs
    from runstone.tracking.once import Logged, record_run

    assert [] == list_runs(workspace.repo, ["run_id"])
    run_id = record_run(workspace, Logged())
    assert [(run_id,)] == list_runs(workspace.repo, ["run_id"])
