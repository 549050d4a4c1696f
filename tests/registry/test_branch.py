"""Which branch is the registry's, and which of its commits."""

from pathlib import Path

import pytest

from runstone.errors import RunstoneError
from runstone.git.repository import Repository
from runstone.registry.branch import default_branch, registry_commit
from tests.support import git, make_repository


def commit(folder: Path, message: str) -> str:
    """An empty commit on what is checked out."""
    git("-c", "user.name=k", "-c", "user.email=k@k", "commit", "-q", "--allow-empty", "-m", message, cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


def test_the_remotes_head_decides_first(git_repo: Path, tmp_path: Path) -> None:
    """In a clone, whatever is checked out; a remote head that leads nowhere is passed over."""
    git("branch", "-m", "trunk", cwd=git_repo)
    git("clone", "-q", git_repo, tmp_path / "clone", cwd=tmp_path)
    git("checkout", "-q", "-b", "main", cwd=tmp_path / "clone")
    assert "trunk" == default_branch(Repository.open(tmp_path / "clone"))
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone", cwd=tmp_path / "clone")
    assert "main" == default_branch(Repository.open(tmp_path / "clone"))


def test_then_the_configured_one_then_main_then_master_then_the_one_checked_out(git_repo: Path) -> None:
    """Each only if there is such a branch."""
    git("branch", "-m", "odd", cwd=git_repo)
    assert "odd" == default_branch(Repository.open(git_repo))
    for name in ("master", "main", "trunk"):
        git("branch", name, cwd=git_repo)
        if name == "trunk":
            git("config", "init.defaultBranch", "trunk", cwd=git_repo)
        assert name == default_branch(Repository.open(git_repo))


def test_before_the_first_commit_it_is_the_one_to_be(tmp_path: Path) -> None:
    """HEAD names it; the registry is empty."""
    git("init", "-q", "-b", "later", tmp_path / "new", cwd=tmp_path)
    repo = Repository.open(tmp_path / "new")
    assert ("later", None) == (default_branch(repo), registry_commit(repo))


def test_where_none_is_known_it_says_how_to_name_one(git_repo: Path) -> None:
    """A detached checkout of a repository without the usual names."""
    git("checkout", "-q", "--detach", cwd=git_repo)
    git("branch", "-m", "main", "odd", cwd=git_repo)
    with pytest.raises(RunstoneError, match=r"Name it: `git config init\.defaultBranch NAME`"):
        default_branch(Repository.open(git_repo))


def test_of_local_and_remote_the_newer_one_counts(tmp_path: Path) -> None:
    """The one that contains the other; diverged, the local one, or under review the remote one."""
    upstream = make_repository(tmp_path / "upstream")
    clone = tmp_path / "clone"
    git("clone", "-q", upstream, clone, cwd=tmp_path)
    theirs = commit(upstream, "theirs")
    git("fetch", "-q", cwd=clone)
    assert theirs == registry_commit(Repository.open(clone))
    git("merge", "-q", "--ff-only", "origin/main", cwd=clone)
    ahead = commit(clone, "ours")
    assert ahead == registry_commit(Repository.open(clone))
    theirs = commit(upstream, "theirs again")
    git("fetch", "-q", cwd=clone)
    assert ahead == registry_commit(Repository.open(clone))
    (clone / "runstone.yaml").write_text("promotion: review\n")
    assert theirs == registry_commit(Repository.open(clone))
    git("reset", "-q", "--hard", "origin/main", cwd=clone)
    ahead = commit(clone, "ours on top")
    (clone / "runstone.yaml").write_text("promotion: review\n")
    assert ahead == registry_commit(Repository.open(clone))
