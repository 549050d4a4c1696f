"""`runstone bisect-metric`: the run, and the code, with which a metric went bad."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from runstone.client import Client
from tests.cli.support import run_cli
from tests.support import git

Invoke = Callable[..., Result]


def record(repo: Path, name: str, rmse: float, *, experiment: str = "churn", **params: Any) -> str:
    """Record a run with a metric and params."""
    client = Client(repo)
    found = client.get_experiment_by_name(experiment)
    experiment_id = client.create_experiment(experiment) if found is None else found.experiment_id
    run_id = client.create_run(experiment_id, run_name=name).info.run_id
    client.log_batch(run_id, params=params)
    client.log_metric(run_id, "rmse", rmse)
    client.set_terminated(run_id)
    return run_id


@pytest.fixture
def runs(git_repo: Path) -> list[str]:
    """Three good runs and two bad ones, with two commits of the code between the last good and the first bad."""
    ids = [
        record(git_repo, "a", 50.0, lr=0.1),
        record(git_repo, "b", 51.0, lr=0.1),
        record(git_repo, "c", 49.0, lr=0.2),
    ]
    for number in (1, 2):
        (git_repo / "train.py").write_text(f"print({number})\n")
        git("commit", "-q", "-a", "-m", f"Change {number}", cwd=git_repo)
    return [*ids, record(git_repo, "d", 70.5, lr=0.3), record(git_repo, "e", 71.0, lr=0.3)]


def test_the_whole_answer(git_repo: Path, runs: list[str], invoke: Invoke) -> None:
    """The two runs, what differs between them, the code, and how to look further."""
    good, bad = (git("rev-parse", each, cwd=git_repo) for each in ("HEAD~2", "HEAD"))
    middle = git("rev-parse", "HEAD~1", cwd=git_repo)
    events = git("log", "--first-parent", "--grep=^Record", "--reverse", "--format=%H", "runs", cwd=git_repo).split()
    expected = f"""\
rmse above 60
last good  c  {runs[2]}  49  (recorded by {events[2][:12]})
first bad  d  {runs[3]}  70.5  (recorded by {events[3][:12]})
2 runs in a row are bad, so is the newest; 2 bad of 5

Params
~ lr  0.2  0.3

Commits
  2 commits: git log --oneline {good[:12]}..{bad[:12]}
+ {bad[:12]} Change 2
+ {middle[:12]} Change 1

Code
  train.py | 2 +-
  1 file changed, 1 insertion(+), 1 deletion(-)

Look further
  runstone diff {runs[2]} {runs[3]} --code
  git bisect start {bad} {good}
"""
    assert expected == invoke("bisect-metric", "rmse", "--above", "60").stdout


def test_what_it_tells_can_be_pasted(git_repo: Path, runs: list[str], invoke: Invoke) -> None:
    """The command lines of the answer are command lines."""
    commands = json.loads(invoke("bisect-metric", "rmse", "--above", "60", "--json").stdout)["commands"]
    assert "diff --git a/train.py b/train.py" in run_cli(*commands[0].split()[1:], cwd=git_repo).stdout
    git(*commands[1].split()[1:], cwd=git_repo)
    assert git("rev-parse", "main~1", cwd=git_repo) == git("rev-parse", "HEAD", cwd=git_repo)


@pytest.mark.parametrize("condition", ["rmse > 60", "metrics.rmse > 60", "max(metrics.rmse) > 60 OR params.lr > 1"])
def test_conditions(runs: list[str], invoke: Invoke, condition: str) -> None:
    """Of a metric by its name, or of the language of filters."""
    out = invoke("bisect-metric", condition).stdout
    assert [runs[2], runs[3]] == re.findall(r"^(?:last good|first bad)  \w  ([0-9a-f]{32})", out, re.MULTILINE)


def test_json(runs: list[str], invoke: Invoke) -> None:
    """The same for a program; the differences as of `runstone diff --json`."""
    found = json.loads(invoke("bisect-metric", "metrics.rmse > 60", "--json").stdout)
    differences, commands = found.pop("differences"), found.pop("commands")
    good, bad = found.pop("good"), found.pop("bad")
    assert {
        "condition": "metrics.rmse > 60",
        "fields": ["metrics.rmse"],
        "found": True,
        "stretch": 2,
        "recovered": None,
        "runs": 5,
        "bad_runs": 2,
        "unmeasured": 0,
        "cut": False,
    } == found
    assert ((runs[2], "c", [49.0]), (runs[3], "d", [70.5])) == tuple(
        (each["run_id"], each["run_name"], each["values"]) for each in (good, bad)
    )
    assert [{"key": "lr", "state": "changed", "a": 0.2, "b": 0.3}] == differences["params"]
    assert ["train.py"] == [each["path"] for each in differences["code"]["files"]]
    assert 2 == len(commands)


def test_good_again_and_the_first_time(git_repo: Path, runs: list[str], invoke: Invoke) -> None:
    """What happened last is told, or what happened first; nothing that differs is said, too."""
    record(git_repo, "f", 50.0, lr=0.3)
    record(git_repo, "g", 90.0, lr=0.3)
    newest = invoke("bisect-metric", "rmse > 60").stdout
    assert "\nlast good  f  " in newest
    assert "\n1 run in a row is bad, so is the newest; 3 bad of 7\n" in newest
    assert "git bisect" not in newest
    assert (
        "\nCode\n  same code\n\nNothing that was recorded differs: the same code, params, data and packages.\n"
        in newest
    )
    first = invoke("bisect-metric", "rmse > 60", "--first").stdout
    assert "\nfirst bad  d  " in first
    assert "\ngood again f  " in first
    assert "\n2 runs in a row are bad, then it was good again; 3 bad of 7\n" in first


def test_only_some_runs(git_repo: Path, runs: list[str], invoke: Invoke) -> None:
    """Of an experiment, and by filters."""
    record(git_repo, "x", 80.0, experiment="other")
    record(git_repo, "y", 10.0, experiment="other")
    assert "first bad  d" in invoke("bisect-metric", "rmse > 60", "-e", "churn").stdout
    assert "first bad  e" in invoke("bisect-metric", "rmse > 60", "-e", "churn", "-f", "run_name != 'd'").stdout
    assert "good since: 1 of 2." in invoke("bisect-metric", "rmse > 60", "-e", "other", code=1).stdout


def test_runs_of_several_experiments_are_not_compared(git_repo: Path, runs: list[str], invoke: Invoke) -> None:
    """Without -e it is asked of which, not found between two that have nothing to do with each other."""
    record(git_repo, "x", 999.0, experiment="un related")
    message = invoke("bisect-metric", "rmse", "--above", "100", code=2).stderr
    assert "error: Runs of 2 experiments have metrics.rmse: churn, un related. Say of which: `-e churn`\n" == message
    assert "first bad  d" in invoke("bisect-metric", "rmse > 60", "-e", "churn").stdout
    assert "first bad  d" in invoke("bisect-metric", "rmse > 60", "-f", "experiment = 'churn'").stdout
    for number in range(5):
        record(git_repo, "y", 1.0, experiment=f"z{number}")
    message = invoke("bisect-metric", "rmse > 100", code=2).stderr
    assert "Runs of 7 experiments have metrics.rmse: churn, un related, z0, z1, z2 and 2 more. Say" in message


def test_reruns_count_only_if_asked_for(git_repo: Path, runs: list[str], invoke: Invoke) -> None:
    """What an old run gives when it is run again tells nothing of the code since."""
    again = ("log", "-e", "churn", "--name", "again", "-m", "rmse=50")
    assert 0 == run_cli(*again, cwd=git_repo, env={"RUNSTONE_RERUN_OF": runs[0]}).returncode
    assert "so is the newest; 2 bad of 5" in invoke("bisect-metric", "rmse > 60").stdout
    assert "\ngood again again  " in invoke("bisect-metric", "rmse > 60", "--reruns").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rmse > 600",), "rmse > 600: never crossed, all 5 runs are good.\n"),
        (("rmse > 1",), "rmse > 1: never crossed, all 5 runs are bad.\n"),
        (("rmse > 60", "-f", "run_name = 'd'"), "rmse > 60: never crossed, the only run is bad.\n"),
        (
            ("rmse", "--below", "60", "-f", "run_name IN ('c', 'd')"),
            "rmse below 60: never crossed, bad from the first run on and good since: 1 of 2.\n",
        ),
        (("metrics.mae > 1",), "metrics.mae > 1: no run has metrics.mae.\n"),
    ],
)
def test_it_never_crossed(runs: list[str], invoke: Invoke, arguments: tuple[str, ...], said: str) -> None:
    """Exit code 1, with why."""
    assert said == invoke("bisect-metric", *arguments, code=1).stdout
    assert not json.loads(invoke("bisect-metric", *arguments, "--json", code=1).stdout)["found"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rmse",), "Say what is bad: --above X or --below X, or a condition: 'rmse > X'."),
        (("rmse > ",), "The filter cannot be read"),
        (("metrics.rmse > 'x'",), "The filter cannot be read"),
        (("rmse", "--above", "x"), "'x' is not a valid float"),
        ((), "Missing argument 'METRIC|CONDITION'"),
    ],
)
def test_wrong_calls(runs: list[str], invoke: Invoke, arguments: tuple[str, ...], message: str) -> None:
    """Exit code 2."""
    assert message in invoke("bisect-metric", *arguments, code=2).stderr


def test_where_the_code_is_not_here(git_repo: Path, runs: list[str], tmp_path: Path) -> None:
    """A depth-1 clone has the records: the runs are found, and how to get the code and the order is said."""
    git("clone", "-q", "--depth", "1", "-b", "runs", f"file://{git_repo}", "cut", cwd=tmp_path)
    done = run_cli("bisect-metric", "rmse > 60", cwd=tmp_path / "cut")
    assert 0 == done.returncode
    assert "first bad  d  " in done.stdout
    assert "\nCode\n  not in this repository: " in done.stdout
    assert (
        "History is cut: of the runs before, the order is that of their ids. All: `git fetch --unshallow`"
        in done.stderr
    )
