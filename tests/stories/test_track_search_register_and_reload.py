"""A data scientist runs a grid search, finds the best model, registers it, and loads it again a day later."""

from pathlib import Path

import mlflow.pyfunc
import pytest
from sklearn.datasets import load_diabetes

import runstone
import runstone.pyfunc
from tests.support import git, run_python

WORKLOAD = Path(__file__).parent / "workload.py"


@pytest.mark.mlflow
def test_track_search_register_and_reload(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script knows nothing of git; afterwards git alone tells the whole story."""
    head = git("rev-parse", "HEAD", cwd=git_repo)
    best, alpha, version, sweep = run_python(WORKLOAD, cwd=git_repo).stdout.split()

    # A day later, in another process: the same runs, the same model.
    monkeypatch.chdir(git_repo)
    frame = runstone.search_runs(experiment_names=["Ridge on diabetes"], order_by=["metrics.mae"])
    assert (5, best, alpha) == (len(frame), frame["run_id"][0], frame["params.alpha"][0])
    children = runstone.search_runs(
        search_all_experiments=True, filter_string=f"tags.mlflow.parentRunId = '{sweep}'", output_format="list"
    )
    assert 4 == len(children)
    assert {head} == {run.source.commit for run in children}
    assert [0.0, 0.5, 1.0] == [point.value for point in runstone.get_metric_history(best, "progress")]
    X = load_diabetes(as_frame=True).data[:3]  # noqa: N806  # as in the library's own examples
    ours = runstone.pyfunc.load_model(f"models:/ridge/{version}").predict(X)
    folder = runstone.Client().download_artifacts(best, "ridge")
    assert ours.tolist() == mlflow.pyfunc.load_model(folder).predict(X).tolist()

    # And with git: the runs by text, the version as a tag, the alias as a reviewable file, the work tree clean.
    assert 5 == len(git("grep", "-l", "status: FINISHED", "runs", cwd=git_repo).splitlines())
    assert "ridge@v1" == git("tag", cwd=git_repo)
    assert "version: 1" in git("show", "main:registry/ridge/aliases/champion.yaml", cwd=git_repo)
    assert ["", ""] == [
        git("status", "--porcelain", cwd=git_repo),
        git("fsck", "--strict", "--no-dangling", cwd=git_repo),
    ]
