"""Live runs in the index: as their journals tell, until the branch has them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runstone.git.repository import Repository
from runstone.git.runs import journal
from runstone.git.runs.commit import drain
from runstone.git.runs.journal import Writer
from runstone.index import cache
from runstone.index.frame import runs_to_frame
from runstone.index.search import get_run, list_runs, search_runs
from tests.benchmarks import synthetic
from tests.benchmarks.synthetic import FIRST_START, Shape
from tests.support import run_python

HEADER = {
    "role": journal.START,
    "name": "live-one",
    "experiment": "experiment-0",
    "experiment_id": "experiment-0",
    "user": "kim",
    "started": FIRST_START + 10**9,
}


class NoArtifacts:
    """The shelf of runs that log none."""

    def pointer(self, base: bytes | None, artifacts: Sequence[Sequence[Any]]) -> str | None:
        """No pointer."""
        return None

    def remote_config(self) -> str | None:
        """No remote."""
        return None


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    """A repository with two committed runs."""
    path = synthetic.init(tmp_path / "repo")
    synthetic.make_runs(path, 2, shape=Shape(params=1, metrics=1, tags=1))
    opened = Repository.open(path)
    yield opened
    opened.close()
    cache.close_all()


def test_a_live_run_is_found_and_followed(repo: Repository) -> None:
    """What a live run logs is found at the next search; once committed it is found as recorded, once."""
    writer = Writer(repo, "live-run", HEADER)
    assert "RUNNING" == get_run(repo, "live-run").status
    writer.metric("loss", 0.5, None, 0)
    writer.event(journal.PARAMS, {"lr": 0.1})
    (found,) = search_runs(repo, filter_string="metrics.loss = 0.5 AND params.lr = 0.1")
    assert ("live-run", "live-one") == (found.id, found.name)
    writer.metric("loss", 0.25, None, 1)
    assert [("live-run", 0.25, 2)] == list_runs(
        repo, ["run_id", "metrics.loss", "count(metrics.loss)"], filter_string="metrics.loss IS NOT NULL"
    )
    assert 3 == len(runs_to_frame(repo))
    writer.finish(journal.END, {"status": "FINISHED", "ended": FIRST_START + 2 * 10**9})
    assert 3 == len(search_runs(repo))
    assert ["live-run"] == drain(repo, NoArtifacts())
    assert ["FINISHED"] == [run.status for run in search_runs(repo, filter_string="run_id = 'live-run'")]
    assert 3 == len(search_runs(repo))


def test_a_live_run_hides_the_record_it_resumes(repo: Repository) -> None:
    """While a run is resumed its journal is what counts, and its record again if the journal goes."""
    recorded = synthetic.run(0, Shape(params=1, metrics=1, tags=1))
    header = HEADER | {
        "role": journal.RESUME,
        "resumed": FIRST_START + 10**9,
        "folder": synthetic.folder(recorded),
    }
    assert recorded == get_run(repo, recorded.id)
    writer = Writer(repo, recorded.id, header)
    writer.metric("more", 1.0, None, 0)
    (found,) = search_runs(repo, filter_string=f"run_id = '{recorded.id}'")
    assert ("RUNNING", {"metric_0", "more"}) == (found.status, set(found.metrics))
    assert 2 == len(search_runs(repo))
    writer.abandon()
    assert recorded == get_run(repo, recorded.id)


def test_the_run_of_a_killed_process_is_not_running(repo: Repository) -> None:
    """When the process is gone the run is shown as FAILED, although its journal did not change."""
    code = f"""
import os, signal
from runstone.git.repository import Repository
from runstone.git.runs.journal import Writer
from runstone.index.search import get_run
repo = Repository.open({str(repo.work_tree)!r})
Writer(repo, "killed", {HEADER!r})
print(get_run(repo, "killed").status, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert "RUNNING\n" == run_python(code, cwd=Path.cwd(), check=False).stdout
    assert "FAILED" == get_run(repo, "killed").status
    assert ["killed"] == [run.id for run in search_runs(repo, filter_string="status = 'FAILED'")]
