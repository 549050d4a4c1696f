"""A cluster kills the training at its time limit; the next job takes the run up where it was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import runstone
from tests.support import SOURCE, git, run_python

TRAIN = """
import sys, time, runstone
with runstone.start_run(run_id='nightly-7') as run:
    runstone.log_param('lr', 0.1)
    begin = len(runstone.get_metric_history(run.info.run_id, 'loss'))
    for step in range(begin, 10):
        runstone.log_metric('loss', 1 / (step + 1), step=step)
        runstone.log_text(f'state after {step}', 'checkpoint.txt')
        if step == int(sys.argv[1]):
            print('waiting', flush=True)
            time.sleep(60)
"""


def test_resume_a_run_that_was_cut_short(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First SIGTERM, then a power button, then it finishes: one run, three attempts, every step once."""
    for step, number in ((3, signal.SIGTERM), (6, signal.SIGKILL)):
        job = subprocess.Popen(
            [sys.executable, "-c", TRAIN, str(step)],
            cwd=git_repo,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=subprocess.PIPE,
            text=True,
        )
        with job:
            assert job.stdout is not None
            assert "waiting\n" == job.stdout.readline()
            job.send_signal(number)
        assert -number == job.returncode
    run_python(TRAIN, "-1", cwd=git_repo)

    monkeypatch.chdir(git_repo)
    run = runstone.get_run("nightly-7")
    assert ["KILLED", "FAILED", "FINISHED"] == [attempt["status"] for attempt in run.attempts]
    assert ("FINISHED", {"lr": 0.1}, 0.1) == (run.status, run.params, run.metrics["loss"].last)
    assert list(range(10)) == [point.step for point in runstone.get_metric_history("nightly-7", "loss")]
    checkpoint = runstone.Client().download_artifacts("nightly-7", "checkpoint.txt")
    assert "state after 9" == Path(checkpoint).read_text()
    assert 3 == len(
        git("log", "--first-parent", "--format=%s", "--grep=Run: nightly-7", "runs", cwd=git_repo).splitlines()
    )
