"""Ended journals become commits: all of them, each once."""

import threading
import warnings
from pathlib import Path

import pytest

from runstone.errors import RunNotRecorded
from runstone.git.repository import Repository
from runstone.git.runs import journal
from runstone.git.runs.commit import RunWaitsWarning, drain, recover
from tests.git.support import SHELF, begin, check_clean, finish, journals, record, recorded, values
from tests.support import SOURCE, git, run_python


def test_group_is_one_move_of_the_ref(git_repo: Path) -> None:
    """Runs that wait together become one commit each, and the ref moves once."""
    repo = Repository.open(git_repo)
    record(repo, "r0")
    for number in range(1, 6):
        finish(begin(repo, f"r{number}"))
    before = len(git("reflog", "show", "--format=%h", "runs", cwd=git_repo).split())
    assert {f"r{n}" for n in range(1, 6)} == set(drain(repo, SHELF))
    assert before + 1 == len(git("reflog", "show", "--format=%h", "runs", cwd=git_repo).split())
    assert "7" == git("rev-list", "--count", "--first-parent", "runs", cwd=git_repo)
    assert [] == journals(repo)
    check_clean(git_repo)


def test_late_joiner_adds_to_the_record(git_repo: Path) -> None:
    """What a joined process says after the run has ended is added; status and end stay."""
    repo = Repository.open(git_repo)
    owner, joiner = begin(repo, "r1"), begin(repo, "r1", journal.JOIN)
    owner.metric("loss", 1.0, 1, 0)
    joiner.metric("loss", 2.0, 2, 1)
    finish(owner, "KILLED")
    assert ["r1"] == drain(repo, SHELF)
    joiner.metric("loss", 3.0, 3, 2)
    finish(joiner)
    assert ["r1"] == drain(repo, SHELF)
    run = recorded(repo, "r1")
    assert [1.0, 2.0, 3.0] == values(run)
    assert ("KILLED", 3.0) == (run.run.status, run.run.metrics["loss"].last)
    check_clean(git_repo)


def test_early_leaver_waits_for_the_run(git_repo: Path) -> None:
    """What a joined process said before it left is committed with the run, not before."""
    repo = Repository.open(git_repo)
    owner, joiner = begin(repo, "r1"), begin(repo, "r1", journal.JOIN)
    joiner.metric("loss", 2.0, 2, 1)
    finish(joiner)
    assert [] == drain(repo, SHELF)
    owner.metric("loss", 1.0, 1, 0)
    finish(owner)
    assert ["r1"] == drain(repo, SHELF)
    assert [1.0, 2.0] == values(recorded(repo, "r1"))
    assert "1" == git("rev-list", "--count", "--first-parent", "runs", "--", "experiments/*/run.yaml", cwd=git_repo)


def test_resumed_run_has_attempts(git_repo: Path) -> None:
    """Each stretch of a run that was taken up again stands in its attempts, and points are not doubled."""
    repo = Repository.open(git_repo)
    first = record(repo, "r1", 1.0)
    for number in (2, 3):
        writer = begin(repo, "r1", journal.RESUME, folder=first.folder, resumed=1_767_225_600_000 + number * 10_000)
        writer.metric("loss", float(number), number, number)
        finish(writer, "FAILED" if number == 2 else "FINISHED")
        drain(repo, SHELF)
    run = recorded(repo, "r1")
    assert [1.0, 2.0, 3.0] == values(run)
    assert ["FINISHED", "FAILED", "FINISHED"] == [attempt["status"] for attempt in run.run.attempts]
    assert "2026-01-01T00:00:20.000Z" == run.run.attempts[1]["started"]
    assert 1_767_225_600_000 == run.run.started
    check_clean(git_repo)


def test_conflicting_params_keep_both(git_repo: Path) -> None:
    """Of one param that two writers log differently the first stays, and the other value is kept in the record."""
    repo = Repository.open(git_repo)
    owner, joiner = begin(repo, "r1"), begin(repo, "r1", journal.JOIN)
    owner.event(journal.PARAMS, {"lr": 0.1, "same": True})
    joiner.event(journal.PARAMS, {"lr": 0.2, "same": True, "one": 1})
    finish(joiner)
    finish(owner)
    drain(repo, SHELF)
    run = recorded(repo, "r1").run
    assert {"lr": 0.1, "same": True, "one": 1} == run.params
    assert ({"param": "lr", "value": 0.2},) == run.conflicts


def test_crash_after_the_move_counts_nothing_twice(git_repo: Path) -> None:
    """Killed by a hook the moment the ref has moved: the next drain finds the run recorded, and adds nothing."""
    repo = Repository.open(git_repo)
    record(repo, "before")
    hook = git_repo / ".git" / "hooks" / "reference-transaction"
    hook.write_text('#!/bin/sh\n[ "$1" = committed ] && kill -9 $VICTIM\nexit 0\n')
    hook.chmod(0o755)
    killed = run_python(
        "import os, sys; from runstone.git.repository import Repository; from tests.git.support import *\n"
        "from runstone.git.runs import journal; os.environ['VICTIM'] = str(os.getpid())\n"
        "repo = Repository.open(sys.argv[1]); w = begin(repo, 'r1'); w.metric('loss', 1.0, 1, 0)\n"
        "j = begin(repo, 'r1', journal.JOIN); j.metric('loss', 2.0, 2, 1); finish(j); finish(w); drain(repo, SHELF)\n"
        "print('survived')",
        str(git_repo),
        cwd=SOURCE.parent,
        check=False,
    )
    hook.unlink()
    assert (-9, "") == (killed.returncode, killed.stdout)
    assert [".ended", ".ended"] == journals(repo)
    tip = git("rev-parse", "runs", cwd=git_repo)
    assert [] == recover(repo, SHELF)
    assert tip == git("rev-parse", "runs", cwd=git_repo)
    assert [1.0, 2.0] == values(recorded(repo, "r1"))
    assert [] == journals(repo)
    check_clean(git_repo)


def test_crash_before_the_move_loses_nothing(git_repo: Path) -> None:
    """Killed by a hook just before the ref moves: the next drain records the run, once."""
    repo = Repository.open(git_repo)
    record(repo, "before")
    hook = git_repo / ".git" / "hooks" / "reference-transaction"
    hook.write_text('#!/bin/sh\n[ "$1" = prepared ] && kill -9 $VICTIM && exit 1\nexit 0\n')
    hook.chmod(0o755)
    killed = run_python(
        "import os, sys; from runstone.git.repository import Repository; from tests.git.support import *\n"
        "os.environ['VICTIM'] = str(os.getpid())\n"
        "repo = Repository.open(sys.argv[1]); record(repo, 'r1', 4.0); print('survived')",
        str(git_repo),
        cwd=SOURCE.parent,
        check=False,
    )
    hook.unlink()
    assert (-9, "") == (killed.returncode, killed.stdout)
    assert [".ended"] == journals(repo)
    assert ["r1"] == recover(repo, SHELF)
    assert [4.0] == values(recorded(repo, "r1"))
    assert "FINISHED" == recorded(repo, "r1").run.status
    check_clean(git_repo)


def test_drains_without_a_lock_record_each_run_once(
    git_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where locking does nothing (here: each has a lock of its own), the ref's compare-and-swap still keeps count."""
    repos = []
    for number in range(4):
        monkeypatch.setenv("RUNSTONE_CACHE_DIR", str(tmp_path / f"cache-{number}"))
        repo = Repository.open(git_repo)
        assert str(number) == str(repo.cache_dir.parent)[-1]
        repos.append(repo)
    failures: list[BaseException] = []

    def work(repo: Repository, name: str) -> None:
        try:
            for number in range(12):
                writer = begin(repo, f"{name}-{number}")
                writer.metric("loss", 1.0, 1, 0)
                finish(writer)
                drain(repo, SHELF)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(repo, f"w{n}")) for n, repo in enumerate(repos)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drain(repos[0], SHELF)
    assert [] == failures
    for name in range(4):
        for number in range(12):
            assert [1.0] == values(recorded(repos[0], f"w{name}-{number}"))
    ids = git("log", "--first-parent", "--format=%(trailers:key=Run,valueonly)", "runs", cwd=git_repo).split()
    assert 48 == len(ids) == len(set(ids))
    check_clean(git_repo)


def test_record_that_breaks_its_schema_is_waited_for(git_repo: Path) -> None:
    """A resumed run whose record somebody broke by hand waits until the record is mended.

    Others are warned; who ended that run gets an error: its `end` must not seem to have recorded it.
    """
    repo = Repository.open(git_repo)
    first = record(repo, "r1", 1.0)
    good = git("rev-parse", "runs", cwd=git_repo)
    from runstone.git.runs.branch import update_runs

    update_runs(repo, lambda draft: draft.commit({f"{first.folder}/run.yaml": "schema: runstone/run/v1\n"}, "Break"))
    writer = begin(repo, "r1", journal.RESUME, folder=first.folder, resumed=1_767_225_700_000)
    writer.metric("loss", 2.0, 2, 1)
    finish(writer)
    finish(begin(repo, "other"))
    with pytest.warns(RunWaitsWarning, match="^Run r1 could not be recorded yet: .*`runstone recover`$"):
        assert ["other"] == drain(repo, SHELF)
    with pytest.raises(RunNotRecorded, match=r"^Run r1 could not be recorded yet: .*`runstone recover`$"):
        drain(repo, SHELF, own="r1")
    assert [".ended"] == journals(repo)
    text = git("show", f"{good}:{first.folder}/run.yaml", cwd=git_repo) + "\n"
    update_runs(repo, lambda draft: draft.commit({f"{first.folder}/run.yaml": text}, "Mend"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ["r1"] == drain(repo, SHELF)
    assert [1.0, 2.0] == values(recorded(repo, "r1"))


def test_branch_deleted_by_the_user(git_repo: Path) -> None:
    """After `git branch -D runs` and a gc the same process begins the branch again, whole."""
    repo = Repository.open(git_repo)
    record(repo, "r1")
    git("branch", "-q", "-D", "runs", cwd=git_repo)
    git("reflog", "expire", "--expire=now", "--all", cwd=git_repo)
    git("gc", "--quiet", "--prune=now", cwd=git_repo)
    record(repo, "r2")
    check_clean(git_repo)


def test_full_disk_at_the_commit(git_repo: Path) -> None:
    """No room for the objects: the error says so, the journal stays, and `recover` records the run as it ended."""
    done = run_python(
        "import resource, sys; from runstone.errors import DiskFull; from runstone.git.repository import Repository\n"
        "from tests.git.support import *\n"
        "repo = Repository.open(sys.argv[1]); record(repo, 'before'); w = begin(repo, 'r1')\n"
        "import random\n"
        "w.metrics([('loss', random.random(), n, n) for n in range(2000)])\n"
        "finish(w); resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, -1))\n"
        "try: drain(repo, SHELF)\n"
        "except DiskFull as error: print('told', journals(repo))",
        str(git_repo),
        cwd=SOURCE.parent,
    )
    assert "told ['.ended']\n" == done.stdout
    check_clean(git_repo)
    repo = Repository.open(git_repo)
    assert ["r1"] == recover(repo, SHELF)
    assert 2000 == len(values(recorded(repo, "r1")))
    assert "FINISHED" == recorded(repo, "r1").run.status
    assert [] == [path.name for path in (git_repo / ".git" / "objects").rglob("tmp_obj_*")]
    check_clean(git_repo)


def test_odd_names_do_not_break_the_commit(git_repo: Path) -> None:
    """A NUL or a line feed in a name, as only a damaged journal has it, makes no commit that fsck refuses."""
    repo = Repository.open(git_repo)
    finish(begin(repo, "r1", name="a\0b\nRun: forged"))
    drain(repo, SHELF)
    assert "r1" == git("log", "-1", "--format=%(trailers:key=Run,valueonly)", "runs", cwd=git_repo).strip()
    check_clean(git_repo)
