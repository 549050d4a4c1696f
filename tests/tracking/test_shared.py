"""Runs that any process may log to: one journal a run, whole edits, checkpoints, additions that wait."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runstone import Client
from runstone.errors import ParamConflict, RunEnded, RunIsLive, RunNotFound, RunstoneError
from runstone.git.runs import journal, live
from runstone.git.runs import shared as journals
from runstone.records.metric import Metric
from runstone.records.model import ModelReference
from runstone.tracking import shared
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.workspace import Workspace
from tests.support import git, run_python

EMPTY = "md5:d751713988987e9331980363e24189ce.dir"


@pytest.fixture
def workspace(git_repo: Path) -> Workspace:
    """A workspace of a fresh repository."""
    return Workspace.open(git_repo)


def begin(workspace: Workspace, *, owned: bool = False, captured: bool = False, name: str = "one") -> str:
    """A live run."""
    experiment = ensure_experiment(workspace.repo, "trials")
    return shared.begin(workspace, experiment, name=name, captured=captured, owned=owned).id


def log_of(repo: Path) -> list[str]:
    """The subjects of the branch of runs, the newest first, without its beginning."""
    return git("log", "--first-parent", "--format=%s", "runs", cwd=repo).splitlines()[:-1]


def test_a_run_is_logged_to_call_by_call_and_committed_once(workspace: Workspace, git_repo: Path) -> None:
    """Whatever is added shows at once; its end makes one commit of it all."""
    run_id = begin(workspace)
    client = Client(git_repo)
    for step in range(5):
        with shared.edit(workspace, run_id) as run:
            run.add_points([Metric("loss", 1.0 / (step + 1), 1_700_000_000_000 + step, step)])
            run.add_params({"lr": 0.1})
            run.set_tags({"team": "a", "mlflow.runName": "renamed"})
    seen = client.get_run(run_id)
    assert ("RUNNING", 0.2, {"lr": 0.1}, "renamed") == (seen.status, seen.metrics["loss"].last, seen.params, seen.name)
    assert ["Create experiment trials"] == log_of(git_repo)
    with shared.edit(workspace, run_id) as run:
        run.delete_tag("team")
        run.end("FINISHED")
    seen = client.get_run(run_id)
    assert ("FINISHED", 5, {}) == (seen.status, seen.metrics["loss"].count, dict(seen.tags))
    assert ["Record run renamed: FINISHED", "Create experiment trials"] == log_of(git_repo)
    assert [] == journal.list_entries(workspace.repo)


def test_an_edit_that_raises_leaves_nothing(workspace: Workspace, git_repo: Path) -> None:
    """Neither in the journal nor in what is remembered of it."""
    run_id = begin(workspace)

    def write_half() -> None:
        with shared.edit(workspace, run_id) as run:
            run.add_params({"a": 1})
            run.add_points([Metric("loss", 1.0, 1, 0)])
            run.set_tags({"t": "x"})
            raise KeyError("in the middle")

    with pytest.raises(KeyError):
        write_half()
    seen = Client(git_repo).get_run(run_id)
    assert ({}, {}, {}) == (seen.params, seen.metrics, dict(seen.tags))
    with shared.edit(workspace, run_id) as run:
        run.add_params({"a": 2})
    with pytest.raises(ParamConflict), shared.edit(workspace, run_id) as run:
        run.add_params({"a": 3})
    assert {"a": 2} == Client(git_repo).get_run(run_id).params


def test_a_param_of_another_process_is_known(workspace: Workspace, git_repo: Path) -> None:
    """Its second value is refused wherever the first came from."""
    run_id = begin(workspace)
    with shared.edit(workspace, run_id) as run:
        run.add_params({"mine": 1})
    edit_elsewhere(git_repo, run_id, "run.add_params({'theirs': 'x'})")
    with pytest.raises(ParamConflict), shared.edit(workspace, run_id) as run:
        run.add_params({"theirs": "y"})
    with shared.edit(workspace, run_id) as run:
        run.add_params({"theirs": "x"})
    assert {"mine": 1, "theirs": "x"} == Client(git_repo).get_run(run_id).params


def test_a_name_that_another_process_gave_is_known(workspace: Workspace, git_repo: Path) -> None:
    """Of a run that was begun here, without reading it whole."""
    run_id = begin(workspace)
    with shared.edit(workspace, run_id) as run:
        assert ("one", run_id) == (run.begun.name, run.begun.id)
    theirs = "import sys\nfrom runstone.tracking import shared\nfrom runstone.tracking.workspace import Workspace\n"
    theirs += "with shared.edit(Workspace.open(), sys.argv[1]) as run: run.set_tags({'mlflow.runName': 'theirs'})\n"
    run_python(theirs, run_id, cwd=git_repo)
    with shared.edit(workspace, run_id) as run:
        assert "theirs" == run.begun.name


def test_any_process_ends_it(workspace: Workspace, git_repo: Path) -> None:
    """And this one then adds to an ended run."""
    run_id = begin(workspace)
    with shared.edit(workspace, run_id) as run:
        run.add_params({"a": 1})
    edit_elsewhere(git_repo, run_id, "run.end('FAILED')")
    assert "FAILED" == Client(git_repo).get_run(run_id).status
    with shared.edit(workspace, run_id) as run:
        assert run.has_ended
        run.set_tags({"late": "yes"})
        with pytest.raises(RunEnded):
            run.end("FINISHED")
    seen = Client(git_repo).get_run(run_id)
    assert ("FAILED", {"late": "yes"}) == (seen.status, dict(seen.tags))


def test_additions_to_an_ended_run_become_one_commit(workspace: Workspace, git_repo: Path) -> None:
    """They show at once, and are committed together."""
    run_id = begin(workspace)
    with shared.edit(workspace, run_id) as run:
        run.end("FINISHED")
    for n in range(4):
        with shared.edit(workspace, run_id) as run:
            run.set_tags({f"t{n}": "x"})
    assert 4 == len(Client(git_repo).get_run(run_id).tags)
    assert 2 == len(log_of(git_repo))
    shared.flush(workspace)
    assert ["Add to run one: FINISHED", "Record run one: FINISHED"] == log_of(git_repo)[:2]
    assert 4 == len(Client(git_repo).get_run(run_id).tags)


def test_additions_are_committed_when_the_process_ends(workspace: Workspace, git_repo: Path) -> None:
    """Nobody has to call anything."""
    run_id = begin(workspace)
    with shared.edit(workspace, run_id) as run:
        run.end("FINISHED")
    edit_elsewhere(git_repo, run_id, "run.set_tags({'late': 'yes'})")
    assert "Add to run one: FINISHED" == log_of(git_repo)[0]
    assert [] == journal.list_entries(workspace.repo)


def test_an_ended_run_is_taken_up_again(workspace: Workspace, git_repo: Path) -> None:
    """It runs, ends again, and its record tells of both attempts."""
    run_id = begin(workspace)
    with shared.edit(workspace, run_id) as run:
        run.end("FAILED")
    with shared.edit(workspace, run_id) as run:
        run.set_tags({"between": "yes"})
    with shared.edit(workspace, run_id, resume=True) as run:
        run.add_points([Metric("loss", 0.5, 1_700_000_000_000, 0)])
    assert "RUNNING" == Client(git_repo).get_run(run_id).status
    with shared.edit(workspace, run_id) as run:
        run.end("FINISHED")
    seen = Client(git_repo).get_run(run_id)
    assert ("FINISHED", ["FAILED", "FINISHED"]) == (seen.status, [each["status"] for each in seen.attempts])
    assert ({"between": "yes"}, 1) == (dict(seen.tags), seen.metrics["loss"].count)


def test_a_checkpoint_commits_what_there_is_and_the_run_goes_on(workspace: Workspace, git_repo: Path) -> None:
    """Its record says RUNNING, is one attempt in the end, and holds everything once."""
    run_id = begin(workspace)
    with shared.edit(workspace, run_id) as run:
        run.add_points([Metric("loss", 1.0, 1_700_000_000_000, 0)])
        run.put_model(ModelReference("model", ("sklearn",), EMPTY, 0, extra={"logged_model": {"id": "m-1"}}))
    shared.checkpoint(workspace, run_id)
    assert "Record run one: RUNNING" == log_of(git_repo)[0]
    assert "status: RUNNING" in git("grep", "status:", "runs", cwd=git_repo)
    assert "RUNNING" == Client(git_repo).get_run(run_id).status
    with shared.edit(workspace, run_id) as run:
        run.add_points([Metric("loss", 0.5, 1_700_000_000_001, 1)])
        run.end("FINISHED")
    seen = Client(git_repo).get_run(run_id)
    assert ("FINISHED", 2, ()) == (seen.status, seen.metrics["loss"].count, seen.attempts)
    assert {"id": "m-1"} == seen.models[0].extra["logged_model"]
    assert "Add to run one: FINISHED" == log_of(git_repo)[0]


def test_an_idle_run_is_committed_and_stays_running(workspace: Workspace, git_repo: Path) -> None:
    """Once for what it has; after a day without a word it counts as cut short."""
    run_id = begin(workspace)
    assert [] == shared.commit_idle(workspace, 3600)
    set_age(workspace, run_id, 4000)
    assert [run_id] == shared.commit_idle(workspace, 3600)
    assert "Record run one: RUNNING" == log_of(git_repo)[0]
    set_age(workspace, run_id, 4000)
    assert [] == shared.commit_idle(workspace, 3600)
    with shared.edit(workspace, run_id) as run:
        run.add_params({"a": 1})
    set_age(workspace, run_id, 90_000)
    assert "FAILED" == Client(git_repo).get_run(run_id).status
    shared.commit_idle(workspace, 200_000)
    seen = Client(git_repo).get_run(run_id)
    assert ("FAILED", {"a": 1}, "Add to run one: FAILED") == (seen.status, seen.params, log_of(git_repo)[0])


def test_a_killed_owner_s_run_is_recorded_as_failed(workspace: Workspace, git_repo: Path) -> None:
    """With all that was logged, by whomever; and goes on if somebody still writes to it."""
    code = (
        "import os, sys; from runstone.tracking import shared; from runstone.tracking.workspace import Workspace\n"
        "from runstone.tracking.experiment import ensure_experiment\n"
        "from runstone.records.metric import Metric\n"
        "w = Workspace.open('.'); e = ensure_experiment(w.repo, 'trials')\n"
        "r = shared.begin(w, e, name='killed')\n"
        "with shared.edit(w, r.id) as run: run.add_points([Metric('loss', 1.0, 1700000000000, 0)])\n"
        "print(r.id, flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=git_repo, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    assert "RUNNING" == Client(git_repo).get_run(run_id).status
    process.kill()
    process.communicate()
    workspace.recover()
    seen = Client(git_repo).get_run(run_id)
    assert ("FAILED", 1) == (seen.status, seen.metrics["loss"].count)
    with shared.edit(workspace, run_id, resume=True) as run:
        run.end("FINISHED")
    assert "FINISHED" == Client(git_repo).get_run(run_id).status


def test_the_code_of_the_process_is_captured(workspace: Workspace, git_repo: Path) -> None:
    """As for any run of its own: the commit has the snapshot for its second parent."""
    (git_repo / "train.py").write_text("print('changed')\n")
    run_id = begin(workspace, owned=True, captured=True)
    with shared.edit(workspace, run_id) as run:
        run.end("FINISHED")
    seen = Client(git_repo).get_run(run_id)
    assert "print('changed')" == git("show", "runs^2:train.py", cwd=git_repo)
    assert (True, "requirements.txt") == (seen.source.dirty, seen.environment.requirements)


def test_threads_and_processes_lose_nothing(workspace: Workspace, git_repo: Path) -> None:
    """Many write to one run, others end runs of their own meanwhile."""
    run_id = begin(workspace)
    code = (
        "import sys; from runstone.tracking import shared; from runstone.tracking.workspace import Workspace\n"
        "from runstone.records.metric import Metric\n"
        "w = Workspace.open('.')\n"
        "for n in range(60):\n"
        "    with shared.edit(w, sys.argv[1]) as run:\n"
        "        run.add_points([Metric(sys.argv[2], float(n), 1700000000000 + n, n)])\n"
        "        run.add_params({f'{sys.argv[2]}{n}': n})\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, run_id, f"p{n}"], cwd=git_repo) for n in range(3)]

    def write(name: str) -> None:
        for n in range(60):
            with shared.edit(workspace, run_id) as run:
                run.add_points([Metric(name, float(n), 1_700_000_000_000 + n, n)])
            if n % 20 == 0:
                own = begin(workspace, name=f"{name}-{n}")
                with shared.edit(workspace, own) as run:
                    run.end("FINISHED")

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(write, ["t0", "t1", "t2"]))
    assert [0, 0, 0] == [process.wait(60) for process in others]
    with shared.edit(workspace, run_id) as run:
        run.end("FINISHED")
    seen = Client(git_repo).get_run(run_id)
    assert dict.fromkeys(["p0", "p1", "p2", "t0", "t1", "t2"], 60) == {k: m.count for k, m in seen.metrics.items()}
    assert 180 == len(seen.params)
    assert 11 == len(log_of(git_repo))
    git("fsck", "--strict", cwd=git_repo)


def test_ends_and_writes_race(workspace: Workspace, git_repo: Path) -> None:
    """A point that was accepted while another thread ended the run is in the record."""
    for round_ in range(8):
        run_id = begin(workspace, name=f"r{round_}")
        accepted: list[int] = []
        ready = threading.Barrier(2)

        def write(run_id: str = run_id, accepted: list[int] = accepted, ready: threading.Barrier = ready) -> None:
            ready.wait()
            for n in range(40):
                with shared.edit(workspace, run_id) as run:
                    run.add_points([Metric("loss", float(n), 1_700_000_000_000 + n, n)])
                accepted.append(n)

        thread = threading.Thread(target=write)
        thread.start()
        ready.wait()
        with shared.edit(workspace, run_id) as run:
            run.end("FINISHED")
        thread.join()
        shared.flush(workspace)
        seen = Client(git_repo).get_run(run_id)
        assert ("FINISHED", 40, 40) == (seen.status, len(accepted), seen.metrics["loss"].count)


def test_a_run_with_a_journal_of_its_process_is_joined(workspace: Workspace, git_repo: Path) -> None:
    """It can be added to, but is its own process's to end."""
    active = Client(git_repo).create_run(ensure_experiment(workspace.repo, "trials").experiment_id)
    with shared.edit(workspace, active.id) as run:
        run.set_tags({"guest": "yes"})
        with pytest.raises(RunIsLive):
            run.end("FINISHED")
    active.end()
    assert {"guest": "yes"} == dict(Client(git_repo).get_run(active.id).tags)


def test_unknown_and_deleted_runs_are_refused(workspace: Workspace, git_repo: Path) -> None:
    """As everywhere."""
    with pytest.raises(RunNotFound), shared.edit(workspace, "0" * 32):
        pass
    run_id = begin(workspace)
    with shared.edit(workspace, run_id) as run:
        run.end("FINISHED")
    with shared.edit(workspace, run_id) as run:
        run.set_tags({"waits": "yes"})
    Client(git_repo).delete_run(run_id)
    assert {"waits": "yes"} == dict(Client(git_repo).get_run(run_id).tags)
    with pytest.raises(RunstoneError, match="is deleted"), shared.edit(workspace, run_id):
        pass


def test_a_torn_last_line_costs_only_itself(workspace: Workspace, git_repo: Path) -> None:
    """As power loss may leave it: the next line begins on a line of its own."""
    run_id = begin(workspace)
    path = journals.find(workspace.repo, run_id)
    assert path is not None
    with path.open("ab") as file:
        file.write(b"m\t0\t17000")
    with shared.edit(workspace, run_id) as run:
        run.add_points([Metric("loss", 1.0, 1_700_000_000_000, 0)])
    composed = live.compose_live(workspace.repo, run_id)
    assert composed is not None
    assert (0, 1) == (composed.damaged, len(composed.points))


def edit_elsewhere(repo: Path, run_id: str, statement: str) -> None:
    """One edit in a process of its own."""
    run_python(
        "import sys; from runstone.tracking import shared; from runstone.tracking.workspace import Workspace\n"
        f"with shared.edit(Workspace.open('.'), sys.argv[1]) as run: {statement}",
        run_id,
        cwd=repo,
    )


def set_age(workspace: Workspace, run_id: str, seconds: float) -> None:
    """Make the journal of a run look as if it was written to some time ago."""
    path = journals.find(workspace.repo, run_id)
    assert path is not None
    then = time.time() - seconds
    os.utime(path, (then, then))
