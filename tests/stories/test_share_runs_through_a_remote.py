"""A team shares runs through any git remote, with no server: by three commands, by one call, or by themselves."""

from pathlib import Path

import pytest

import runstone
from tests.cli.support import run_cli
from tests.sharing import make_team, recorded_ids, runs_of
from tests.support import git, run_python

TRAIN = """
import sys, runstone
runstone.set_experiment("churn")
with runstone.start_run(run_id=sys.argv[1]):
    runstone.log_param("lr", float(sys.argv[2]))
    runstone.log_metric("auc", 1 - float(sys.argv[2]))
    runstone.log_text(f"report of {sys.argv[1]}", "report.txt")
"""


@pytest.mark.dvc
def test_two_people_and_a_ci_job(tmp_path: Path) -> None:
    """Ann and Bob train at the same time without a network; a CI job with a shallow clone does too; then all sync."""
    team = make_team(tmp_path)
    ann, bob = tmp_path / "ann", team.clone("bob")
    ci = team.clone("ci", "--depth", "1", url=f"file://{team.remote}")
    for repo, lr in ((ann, "0.1"), (bob, "0.2"), (ci, "0.3")):
        run_python(TRAIN, f"run-{repo.name}", lr, cwd=repo)
        run_python(TRAIN, f"more-{repo.name}", lr, cwd=repo)
    for repo in (ann, bob, ci):
        done = run_cli("sync", cwd=repo)
        assert (0, True) == (done.returncode, done.stdout.startswith("synced with origin: 2 runs sent (")), done.stderr
    everyone = sorted(f"{kind}-{who}" for kind in ("run", "more") for who in ("ann", "bob", "ci"))
    for repo in (ann, bob):
        assert "received" in run_cli("pull", cwd=repo).stdout
        assert everyone == runs_of(repo)
        assert "in sync with origin\n" == run_cli("sync", cwd=repo).stdout
    team.check()
    assert everyone == recorded_ids(team.remote)

    # Ann looks at the best run, which is hers, and reads Bob's report, which is brought now.
    best = runstone.Client(ann).search_runs(["churn"], order_by=["metrics.auc DESC"])
    assert ["ann", "ann", "bob"] == [run.id.partition("-")[2] for run in best[:3]]
    report = run_cli("artifacts", "get", "run-bob", "report.txt", str(tmp_path / "out"), cwd=ann)
    assert "report of run-bob" == Path(report.stdout.strip()).read_text()

    # A newcomer's plain clone has everything, and plain git shows it.
    eve = team.clone("eve")
    assert 6 == len(runstone.Client(eve).search_runs(["churn"]))
    assert "auc" in git("grep", "auc:", "origin/runs", "--", "*run.yaml", cwd=eve)


@pytest.mark.dvc
def test_the_same_by_one_call(tmp_path: Path) -> None:
    """`Client.sync` says what it moved; `send=False` brings only."""
    team = make_team(tmp_path)
    ann, bob = tmp_path / "ann", team.clone("bob")
    for repo in (ann, bob):
        run_python(TRAIN, f"run-{repo.name}", "0.1", cwd=repo)
    sent = runstone.Client(ann).sync()
    assert (["run-ann"], 2) == (sent.runs_sent, sent.objects)
    came = runstone.Client(bob).sync(send=False)
    assert (["run-ann"], []) == (came.runs_received, came.runs_sent)
    assert ["run-bob"] == runstone.Client(bob).sync(remote="origin").runs_sent
    assert ["run-bob"] == runstone.Client(ann).sync().runs_received
    team.check()
