"""The branch is built by commits on top, and the ref moves once."""

import random
import time
from pathlib import Path

import pytest

from runstone.errors import ObjectMissing, RefBlocked
from runstone.git.repository import Repository
from runstone.git.runs.branch import Draft, read_runs, update_runs
from tests.git.support import begin, check_clean, record
from tests.support import git


def put(path: str, text: str, *, repo: Repository) -> None:
    """Commit one file onto the branch."""
    update_runs(repo, lambda draft: draft.commit({path: text}, f"Put {path}"))


def test_change_is_made_anew_when_the_ref_moved(git_repo: Path) -> None:
    """A change that loses the race is built again upon the winner's commit; both are there."""
    repo, rival = Repository.open(git_repo), Repository.open(git_repo)
    put("zero", "0", repo=repo)
    bases = []

    def change(draft: Draft) -> None:
        bases.append(draft.base)
        if len(bases) < 4:
            put(f"rival-{len(bases)}", "x", repo=rival)
        draft.commit({"mine": "m"}, "Mine")

    update_runs(repo, change)
    assert 4 == len(set(bases))
    names = set(read_runs(repo).list("") or read_runs(repo).repo.objects.tree(repo.objects.commit("runs").tree))
    assert {"zero", "rival-1", "rival-2", "rival-3", "mine"} <= names
    assert "6" == git("rev-list", "--count", "--first-parent", "runs", cwd=git_repo)
    check_clean(git_repo)


def test_no_change_no_commit(git_repo: Path) -> None:
    """The same content again makes no commit."""
    repo = Repository.open(git_repo)
    put("a", "1", repo=repo)
    tip = git("rev-parse", "runs", cwd=git_repo)
    put("a", "1", repo=repo)
    assert tip == git("rev-parse", "runs", cwd=git_repo)


def test_seeded_random_is_left_alone(git_repo: Path) -> None:
    """Writing uses nothing up of the generator that a script has seeded."""
    random.seed(7)
    expected = random.Random(7).random()
    repo, rival = Repository.open(git_repo), Repository.open(git_repo)
    seen: list[int] = []

    def change(draft: Draft) -> None:
        seen.append(1)
        if len(seen) == 1:
            put("rival", "x", repo=rival)
        draft.commit({"mine": "m"}, "Mine")

    update_runs(repo, change)
    assert 2 == len(seen)
    assert expected == random.random()


def test_tip_that_is_missing_is_told(git_repo: Path) -> None:
    """A branch that leads to a commit that is not there is not begun anew, and is told at once."""
    repo = Repository.open(git_repo)
    (git_repo / ".git" / "refs" / "heads" / "runs").write_text("1" * 40 + "\n")
    begun = time.monotonic()
    with pytest.raises(ObjectMissing, match=f"^The object {'1' * 40}, to which `refs/heads/runs` leads, is missing"):
        put("a", "1", repo=repo)
    assert time.monotonic() - begun < 3


def test_stale_lock_is_told(git_repo: Path) -> None:
    """A lock file that a killed git left is named, with what to do, and not taken over while its owner may live."""
    repo = Repository.open(git_repo)
    put("a", "1", repo=repo)
    lock = git_repo / ".git" / "refs" / "heads" / "runs.lock"
    lock.write_text("")
    import os

    os.utime(lock, (time.time() - 100, time.time() - 100))
    with pytest.raises(RefBlocked, match=rf"{lock} bars it since 1\d\d s, .* If no git runs here: `rm '{lock}'`$"):
        put("b", "1", repo=repo)
    lock.unlink()
    put("b", "1", repo=repo)


def test_find_run_folder_by_any_id(git_repo: Path) -> None:
    """A run is found by an id that tells its day, by one that tells another day, and by a user's own key."""
    repo = Repository.open(git_repo)
    for run_id in ("019b76da90007000800000000000abcd", "0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b", "own-key"):
        folder = record(repo, run_id).folder
        assert folder == read_runs(repo).find_run_folder(run_id)
    assert read_runs(repo).find_run_folder("ffffffffffff7000800000000000abcd") is None


def test_code_is_the_second_parent_once(git_repo: Path) -> None:
    """The commit of the code is the second parent; a record that names another revision makes none."""
    repo = Repository.open(git_repo)
    from runstone.git.runs import journal
    from runstone.git.runs.commit import drain
    from tests.git.support import SHELF, finish

    head = git("rev-parse", "HEAD", cwd=git_repo)
    for run_id, commit, parents in (("with-code", head, 2), ("no-such", "1" * 40, 1), ("no-id", "HEAD", 1)):
        writer = begin(repo, run_id)
        writer.event(journal.SOURCE, {"commit": commit, "snapshot": commit})
        finish(writer)
        drain(repo, SHELF)
        assert parents == len(git("show", "-s", "--format=%P", "runs", cwd=git_repo).split())
    check_clean(git_repo)
