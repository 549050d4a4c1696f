"""Runs are shared with plain git: a fresh clone sees them, adds to them, and two lines of runs are joined."""

from pathlib import Path

import runstone
from tests.support import git


def record(repo: Path, key: str) -> None:
    """Record one run with an id of its own."""
    client = runstone.Client(repo)
    run = client.create_run("0", run_id=key)
    client.log_metric(run.id, "m", 1.0)
    client.set_terminated(run.id)


def seen(repo: Path) -> set[str]:
    """The ids that a search finds."""
    return {run.id for run in runstone.Client(repo).search_runs()}


def clone(origin: Path, to: Path) -> Path:
    """A clone with an identity."""
    git("clone", "-q", str(origin), str(to), cwd=origin.parent)
    git("config", "user.name", "Kim", cwd=to)
    git("config", "user.email", "kim@example.org", cwd=to)
    return to


def test_share_runs_with_plain_git(git_repo: Path, tmp_path: Path) -> None:
    """A clone starts from origin's runs; after two people recorded at once, the README's merge keeps all of them."""
    origin = tmp_path / "origin.git"
    git("init", "-q", "--bare", "-b", "main", str(origin), cwd=tmp_path)
    git("remote", "add", "origin", str(origin), cwd=git_repo)
    record(git_repo, "first")
    git("push", "-q", "origin", "main", "runs", cwd=git_repo)

    other = clone(origin, tmp_path / "other")
    assert {"first"} == seen(other)
    assert "" == git("branch", "--list", "runs", cwd=other)
    record(other, "second")
    assert {"first", "second"} == seen(other)
    git("push", "-q", "origin", "runs", cwd=other)  # fast-forward: the clone's line grew from origin's

    record(git_repo, "third")
    git("fetch", "-q", "origin", cwd=git_repo)
    git("worktree", "add", "-q", "../joined", "runs", cwd=git_repo)
    git("merge", "-q", "origin/runs", "-m", "Join", cwd=tmp_path / "joined")
    git("push", "-q", "origin", "runs", cwd=git_repo)
    git("worktree", "remove", "../joined", cwd=git_repo)
    assert {"first", "second", "third"} == seen(git_repo)
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)
