"""Power loss: what had been promised is put back from the log of objects.

A machine cannot be unplugged here, so each test makes what power loss leaves: torn files, a ref that went back, and
logs of another boot.
"""

import subprocess
from pathlib import Path

import pytest

from runstone.git import kept
from runstone.git.objectlog import list_logs, read_log
from runstone.git.repository import Repository
from runstone.git.runs import journal
from runstone.git.runs.branch import update_runs
from runstone.git.runs.commit import drain, recover
from tests.git.support import (
    SHELF,
    begin,
    check_clean,
    finish,
    journals,
    leave_another_boot,
    log_moves,
    record,
    recorded,
    values,
)
from tests.support import SOURCE, git, run_python

REF = Path("refs/heads/runs")


def recover_elsewhere(path: Path) -> str:
    """What the first command after the machine came back does, in a process of its own."""
    code = (
        "import sys; from runstone.git.repository import Repository\n"
        "from runstone.git.runs.commit import drain, recover\n"
        "from tests.git.support import SHELF; print(sorted(recover(Repository.open(sys.argv[1]), SHELF)))"
    )
    return run_python(code, str(path), cwd=SOURCE.parent).stdout.strip()


def tear(path: Path, content: bytes) -> None:
    """Make a file what power loss may make of it."""
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"\0" * 100], ids=["empty", "zeros"])
def test_torn_objects_are_put_back(git_repo: Path, content: bytes) -> None:
    """Every object of the last runs torn: afterwards the branch is exactly what it was."""
    repo = Repository.open(git_repo)
    for number in range(3):
        record(repo, f"r{number}", float(number))
    tip = git("rev-parse", "runs", cwd=git_repo)
    for path in leave_another_boot(repo):
        logged = read_log(path)
        assert logged is not None
        for oid in logged.objects:
            tear(repo.objects.path(oid), content)
    assert "[]" == recover_elsewhere(git_repo)
    check_clean(git_repo)
    assert tip == git("rev-parse", "runs", cwd=git_repo)
    assert [[0.0], [1.0], [2.0]] == [values(recorded(Repository.open(git_repo), f"r{n}")) for n in range(3)]
    assert [] == list_logs(repo.object_log.folder)


@pytest.mark.parametrize("content", [b"", b"\0" * 41, b"abc"], ids=["empty", "zeros", "cut"])
def test_torn_ref_is_put_back(git_repo: Path, content: bytes) -> None:
    """A ref file that was torn leads to the newest commit again."""
    repo = Repository.open(git_repo)
    record(repo, "r1")
    record(repo, "r2")
    tip = git("rev-parse", "runs", cwd=git_repo)
    leave_another_boot(repo)
    tear(git_repo / ".git" / REF, content)
    recover_elsewhere(git_repo)
    assert tip == git("rev-parse", "runs", cwd=git_repo)
    check_clean(git_repo)


def test_ref_that_went_back_goes_forward(git_repo: Path) -> None:
    """If the move of the ref was lost, it is made again, with the changes in between that have no journal."""
    repo = Repository.open(git_repo)
    record(repo, "r1")
    old = git("rev-parse", "runs", cwd=git_repo)
    update_runs(repo, lambda draft: draft.commit({"experiments/x/experiment.yaml": "x"}, "Create"))
    record(repo, "r2")
    tip = git("rev-parse", "runs", cwd=git_repo)
    leave_another_boot(repo)
    (git_repo / ".git" / REF).write_text(f"{old}\n")
    assert "[]" == recover_elsewhere(git_repo)
    assert tip == git("rev-parse", "runs", cwd=git_repo)


def test_ref_that_is_gone_comes_back(git_repo: Path) -> None:
    """The same where the very first move was lost."""
    repo = Repository.open(git_repo)
    record(repo, "r1")
    tip = git("rev-parse", "runs", cwd=git_repo)
    leave_another_boot(repo)
    (git_repo / ".git" / REF).unlink()
    recover_elsewhere(git_repo)
    assert tip == git("rev-parse", "runs", cwd=git_repo)


@pytest.mark.parametrize("state", [".live", ".ended"])
def test_journal_that_came_back_counts_once(git_repo: Path, state: str) -> None:
    """A removed journal that power loss brought back, without its last lines, is not recorded again."""
    repo = Repository.open(git_repo)
    writer = begin(repo, "r1")
    writer.metric("loss", 1.0, 1, 0)
    text = writer.path.read_bytes()
    finish(writer)
    drain(repo, SHELF)
    leave_another_boot(repo)
    text = text.replace(b'"boot":"', b'"boot":"another-')
    writer.path.with_suffix(state).write_bytes(text)
    assert "[]" == recover_elsewhere(git_repo)
    assert [] == journals(repo)
    assert [1.0] == values(recorded(repo, "r1"))
    assert "FINISHED" == recorded(Repository.open(git_repo), "r1").run.status


def test_branch_that_went_on_is_not_turned_back(git_repo: Path) -> None:
    """If the branch grew another way since, nothing is overwritten: the lost commit is kept and named."""
    repo = Repository.open(git_repo)
    record(repo, "r1")
    old = git("rev-parse", "runs", cwd=git_repo)
    record(repo, "r2", 2.0)
    lost = git("rev-parse", "runs", cwd=git_repo)
    leave_another_boot(repo)
    git("update-ref", "refs/heads/runs", old, cwd=git_repo)
    kept._checked.discard(repo.common_dir)
    tree = git("rev-parse", "runs^{tree}", cwd=git_repo)
    other = git("commit-tree", tree, "-p", old, "-m", "other", cwd=git_repo)
    git("update-ref", "refs/heads/runs", other, cwd=git_repo)
    with pytest.warns(kept.LostCommitWarning, match=f"look at it: `git show {lost}`$"):
        recover(repo, SHELF)
    assert other == git("rev-parse", "runs", cwd=git_repo)
    [aside] = (repo.state_dir / "journal" / "damaged").iterdir()
    assert lost == log_moves(aside)[-1][1]


def test_log_that_was_not_finished_is_removed(git_repo: Path) -> None:
    """A torn log means that the ref had not been moved yet: its run is recorded from the journal."""
    repo = Repository.open(git_repo)
    record(repo, "r1")
    old = git("rev-parse", "runs", cwd=git_repo)
    writer = begin(repo, "r2")
    writer.metric("loss", 2.0, 1, 0)
    ended = finish(writer)
    text = ended.read_bytes()
    drain(repo, SHELF)
    [*_, last] = leave_another_boot(repo)
    last.write_bytes(last.read_bytes()[:-30])
    git("update-ref", "refs/heads/runs", old, cwd=git_repo)
    ended.write_bytes(text)
    assert "['r2']" == recover_elsewhere(git_repo)
    assert [2.0] == values(recorded(Repository.open(git_repo), "r2"))
    check_clean(git_repo)


def test_lock_file_of_an_earlier_boot_is_removed(git_repo: Path) -> None:
    """The lock that git held when the power went bars nobody afterwards; one of this boot is left alone."""
    import os

    repo = Repository.open(git_repo)
    record(repo, "r1")
    leave_another_boot(repo)
    lock = git_repo / ".git" / f"{REF}.lock"
    lock.write_text("")
    os.utime(lock, (1, 1))
    recover_elsewhere(git_repo)
    assert not lock.exists()
    record(repo, "r2")
    leave_another_boot(repo)
    lock.write_text("")
    recover_elsewhere(git_repo)
    assert lock.exists()


def test_every_object_of_a_run_is_in_a_synced_log(git_repo: Path, tmp_path: Path) -> None:
    """Seen by strace: the log is synced before git is told to move the ref, and holds all that the move brings."""
    repo = Repository.open(git_repo)
    record(repo, "r1")
    before = git("rev-parse", "runs", cwd=git_repo)
    sweep = kept.sweep(repo, everything=True)
    assert sweep >= 1
    record(repo, "r2")
    brought = set(git("rev-list", "--objects", "--no-object-names", "runs", f"^{before}", cwd=git_repo).split())
    logged: set[str] = set()
    for path in list_logs(repo.object_log.folder):
        found = read_log(path)
        assert found is not None
        logged |= found.objects.keys()
    assert brought <= logged
    trace = tmp_path / "trace"
    code = "import sys; from runstone.git.repository import Repository; from tests.git.support import record\n"
    code += "record(Repository.open(sys.argv[1]), 'traced')"
    import shutil
    import sys

    if shutil.which("strace") is None:
        pytest.skip("no strace here")
    command = ["strace", "-y", "-e", "trace=fdatasync,write", "-s", "64", "-o", str(trace), sys.executable, "-c", code]
    done = subprocess.run([*command, str(git_repo)], cwd=SOURCE.parent, capture_output=True, check=False)
    if b"ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    lines = trace.read_text().splitlines()
    synced = next(n for n, line in enumerate(lines) if line.startswith("fdatasync") and ".objects>" in line)
    moved = next(n for n, line in enumerate(lines) if "start\\nupdate refs/heads/runs" in line)
    assert synced < moved
    assert 1 == sum(line.startswith("fdatasync") for line in lines)


def test_sweep_removes_what_is_old(git_repo: Path) -> None:
    """Young logs stay; after a minute, or on request, their objects are synced and they go."""
    import os

    repo = Repository.open(git_repo)
    record(repo, "r1")
    assert 1 == len(list_logs(repo.object_log.folder))
    for path in list_logs(repo.object_log.folder):
        os.utime(path, (1, 1))
    kept._last_sweep.clear()
    assert 1 == kept.sweep(repo)
    assert 0 == kept.sweep(repo, everything=True)
    record(repo, "r2")
    assert 1 == kept.sweep(repo, everything=True)


def test_lost_race_leaves_no_false_alarm(git_repo: Path) -> None:
    """The log of a move that was refused says so, so that after power loss nobody looks for its commit."""
    repo, rival = Repository.open(git_repo), Repository.open(git_repo)
    record(repo, "r0")
    writer = begin(repo, "r1")
    writer.event(journal.TAGS, {"t": "v"})
    first: list[int] = []

    def change(draft: object) -> None:
        if not first:
            first.append(1)
            record(rival, "rival")
        draft.commit({"x": "y"}, "Put x")  # type: ignore[attr-defined]  # a Draft

    update_runs(repo, change)
    assert 1 == sum(".unmoved" in path.name for path in list_logs(repo.object_log.folder))
    leave_another_boot(repo)
    assert "[]" == recover_elsewhere(git_repo)
    assert [] == list_logs(repo.object_log.folder)
    assert not (repo.state_dir / "journal" / "damaged").exists()
    writer.abandon()
