"""git's own housekeeping, begun by itself, and beside runs that are being recorded."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.git import maintenance
from runstone.git.repository import Repository
from tests.git.support import check_clean, record
from tests.support import git, run_python

RECORDS = """
import sys, time
from runstone.git.repository import Repository
from tests.git.support import record
repo = Repository.open(sys.argv[1])
for number in range(int(sys.argv[2])):
    record(repo, f"{sys.argv[3]}-{number}", number)
"""


@pytest.fixture
def repo(git_repo: Path) -> Repository:
    """A repository that this process has not looked at yet."""
    maintenance._looked.clear()
    return Repository.open(git_repo)


def fill(repo: Repository, count: int) -> None:
    """Write real loose blobs until so many lie in the folder that is looked at."""
    folder = repo.common_dir / "objects" / "17"
    number = 0
    while not folder.is_dir() or len(list(folder.iterdir())) < count:
        repo.objects.write("blob", b"%d" % number)
        number += 1


def wait_for(is_so: Callable[[], bool], timeout_s: float = 30) -> None:
    """Return when it is so; fails if that takes too long."""
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.02)


def packs(repo: Repository) -> list[Path]:
    """The packs of a repository."""
    return list((repo.common_dir / "objects" / "pack").glob("*.pack"))


def test_few_objects_begin_nothing(repo: Repository) -> None:
    """After a run there is no stamp and no process."""
    record(repo, "one")
    assert (False, []) == ((repo.state_dir / maintenance.STAMP).exists(), packs(repo))


def test_many_objects_are_packed_after_a_run(repo: Repository) -> None:
    """Recording one run more begins git's housekeeping, which packs what refs lead to; not again within the hour."""
    git("config", "gc.auto", "200", cwd=repo.common_dir)
    fill(repo, 3)
    record(repo, "one")
    wait_for(lambda: packs(repo) != [])
    assert [0] == [process.wait() for process in maintenance._begun]
    fill(repo, 3)
    maintenance._looked.clear()
    assert not maintenance.begin_if_due(repo)
    os.utime(repo.state_dir / maintenance.STAMP, (0, 0))
    maintenance._looked.clear()
    assert maintenance.begin_if_due(repo)
    for process in maintenance._begun:
        process.wait()
    check_clean(repo.common_dir)


@pytest.mark.parametrize("setting", [("gc.auto", "0"), ("maintenance.auto", "false")])
def test_git_can_be_told_not_to(repo: Repository, setting: tuple[str, str]) -> None:
    """By git's own settings; without them the same repository is due."""
    record(repo, "one")
    maintenance._looked.clear()
    git("config", "gc.auto", "200", cwd=repo.common_dir)
    fill(repo, 3)
    git("config", *setting, cwd=repo.common_dir)
    assert not maintenance.begin_if_due(Repository.open(repo.work_tree))
    git("config", "gc.auto", "200", cwd=repo.common_dir)
    git("config", "maintenance.auto", "true", cwd=repo.common_dir)
    maintenance._looked.clear()
    assert maintenance.begin_if_due(Repository.open(repo.work_tree))
    maintenance._begun[-1].wait()


def test_not_in_the_quarantine_of_a_hook(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a push has brought is not in the repository yet, and a hook must not repack there."""
    record(repo, "one")
    maintenance._looked.clear()
    git("config", "gc.auto", "200", cwd=repo.common_dir)
    repo = Repository.open(repo.work_tree)
    fill(repo, 3)
    monkeypatch.setenv("GIT_QUARANTINE_PATH", str(repo.common_dir / "objects" / "incoming"))
    assert not maintenance.begin_if_due(repo)
    monkeypatch.delenv("GIT_QUARANTINE_PATH")
    maintenance._looked.clear()
    assert maintenance.begin_if_due(repo)
    maintenance._begun[-1].wait()


def test_a_look_every_ten_seconds(repo: Repository) -> None:
    """A process that records many runs looks once; what became due meanwhile waits for the next look."""
    record(repo, "one")
    maintenance._looked.clear()
    git("config", "gc.auto", "200", cwd=repo.common_dir)
    repo = Repository.open(repo.work_tree)
    assert not maintenance.begin_if_due(repo)
    fill(repo, 3)
    assert not maintenance.begin_if_due(repo)
    maintenance._looked.clear()
    assert maintenance.begin_if_due(repo)
    maintenance._begun[-1].wait()


def test_garbage_collection_beside_runs_loses_nothing(repo: Repository, tmp_path: Path) -> None:
    """Two processes record runs while `git gc` packs and prunes again and again: all are there, and fsck is content."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RECORDS, str(repo.work_tree), "100", name], cwd=Path(__file__).parents[2]
        )
        for name in ("left", "right")
    ]
    rounds = 0
    while any(process.poll() is None for process in processes):
        git("gc", "--quiet", cwd=repo.common_dir, check=False)
        rounds += 1
    assert [0, 0] == [process.returncode for process in processes]
    assert rounds > 1
    tree = git("ls-tree", "-r", "--name-only", "runs", cwd=repo.common_dir)
    expected = {f"{name}-{number}" for name in ("left", "right") for number in range(100)}
    assert expected == {path.split("/")[4] for path in tree.split("\n") if path.endswith("/run.yaml")}
    check_clean(repo.common_dir)
    assert (
        "200"
        == run_python(
            "import sys; from runstone.client import Client; print(len(Client(sys.argv[1]).search_runs()))",
            str(repo.work_tree),
            cwd=tmp_path,
        ).stdout.strip()
    )
