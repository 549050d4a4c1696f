"""The code of runs: what was executed, committed or not, and what differs between two."""

from dataclasses import replace
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import GitFailed
from runstone.git.code.patch import FileChange
from runstone.index.search import get_run
from runstone.records.run import Source
from runstone.tracking.code import CodeComparison, compare_code, fetch_command, find_code, has_commit
from tests.support import git, make_repository


def record(repo: Path, name: str = "run") -> str:
    """Record a run; returns its id."""
    client = Client(repo)
    run_id = client.create_run("0", run_name=name).info.run_id
    client.set_terminated(run_id)
    return run_id


def compare(repo: Path, a: str, b: str, *paths: str) -> CodeComparison:
    """Compare the code of two runs, by id."""
    workspace = Client(repo).workspace
    return compare_code(workspace.repo, get_run(workspace.repo, a), get_run(workspace.repo, b), paths=paths)


def test_edits_that_were_never_committed_are_compared(git_repo: Path) -> None:
    """The snapshots hold tracked edits and new files; the commit of both is one."""
    a = record(git_repo)
    (git_repo / "train.py").write_text("print('trained well')\n")
    (git_repo / "new.py").write_text("1\n2\n")
    b = record(git_repo)
    found = compare(git_repo, a, b)
    assert (
        FileChange("new.py", "added", None, 2, 0, "000000", "100644"),
        FileChange("train.py", "changed", None, 1, 1, "100644", "100644"),
    ) == found.files
    assert (False, 3, 1, (), ()) == (found.is_same, found.insertions, found.deletions, found.missing, found.unkept)
    assert git("rev-parse", "HEAD", cwd=git_repo) == found.a
    assert found.a != found.b
    assert (True, False) == (compare(git_repo, a, b, "other").is_same, compare(git_repo, a, b, "new.py").is_same)


def test_one_tree_is_the_same_code_whatever_the_commit(git_repo: Path) -> None:
    """Commits that change nothing are no change of the code."""
    a = record(git_repo)
    git("commit", "-q", "--allow-empty", "-m", "Nothing", cwd=git_repo)
    found = compare(git_repo, a, record(git_repo))
    assert (True, ()) == (found.is_same, found.files)
    assert found.a != found.b


def test_code_that_is_not_here(git_repo: Path, tmp_path: Path) -> None:
    """A depth-1 clone of the runs lacks the code: which commits, and the command that brings them."""
    a = record(git_repo)
    (git_repo / "train.py").write_text("other\n")
    b = record(git_repo)
    here = compare(git_repo, a, b)
    git("clone", "-q", "--depth", "1", "-b", "runs", f"file://{git_repo}", "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    found = compare(clone, a, b)
    assert (here.a, here.b, (here.a, here.b), None, None) == (
        found.a,
        found.b,
        found.missing,
        found.files,
        found.is_same,
    )
    git(*fetch_command(Client(clone).workspace.repo).split()[1:], "-q", cwd=clone)
    assert here == compare(clone, a, b)
    assert "git fetch --all" == fetch_command(Client(git_repo).workspace.repo)


def test_a_tree_that_was_lost(git_repo: Path) -> None:
    """The commit is here and its tree is not: the code counts as missing, and the rest can be compared."""
    a = record(git_repo)
    (git_repo / "train.py").write_text("other\n")
    b = record(git_repo)
    here = compare(git_repo, a, b)
    tree = git("rev-parse", f"{here.b}^{{tree}}", cwd=git_repo)
    (git_repo / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    found = compare(git_repo, a, b)
    assert ((here.a, here.b), None) == (found.missing, found.files)


@pytest.mark.parametrize("named", ["HEAD", "main", "--output=evil", "", "0" * 40, "deadbeef", "\x1b[2J"])
def test_what_a_record_names_is_not_taken_for_a_revision(git_repo: Path, named: str) -> None:
    """Only a whole id of a commit that is here is used; anything else is missing, as written."""
    repo = Client(git_repo).workspace.repo
    run = get_run(repo, record(git_repo))
    hostile = replace(run, source=Source(commit=run.source.commit, snapshot=named or None, dirty=False))
    found = compare_code(repo, run, hostile)
    assert ((named,), None) == (found.missing, found.files) if named else found.is_same
    assert not (git_repo / "evil").exists()
    assert not has_commit(repo, named)


def test_a_tree_or_a_blob_is_no_code(git_repo: Path) -> None:
    """The id of another object is as good as none."""
    repo = Client(git_repo).workspace.repo
    assert [True, False, False] == [
        has_commit(repo, git("rev-parse", each, cwd=git_repo)) for each in ("HEAD", "HEAD^{tree}", "HEAD:train.py")
    ]


def test_a_record_without_commit_has_the_second_parent_of_its_event(git_repo: Path) -> None:
    """Where the record names no commit, the branch still holds on to one."""
    repo = Client(git_repo).workspace.repo
    run = get_run(repo, record(git_repo))
    assert git("rev-parse", "HEAD", cwd=git_repo) == find_code(repo, replace(run, source=Source()))


def test_edits_that_no_commit_holds_are_told(git_repo: Path) -> None:
    """A record of a dirty tree without a snapshot, as older ones are, is compared by its commit, and that is said."""
    repo = Client(git_repo).workspace.repo
    run = get_run(repo, record(git_repo))
    dirty = replace(run, source=replace(run.source, snapshot=None, dirty=True))
    assert ((run.id,), True) == ((found := compare_code(repo, run, dirty)).unkept, found.is_same)


def test_before_the_first_commit(tmp_path: Path) -> None:
    """Without any code there is nothing to compare."""
    repo = make_repository(tmp_path / "empty", commit=False)
    found = compare(repo, record(repo), record(repo))
    assert (None, None, None, ()) == (found.a, found.b, found.is_same, found.missing)


def test_a_pathspec_that_git_refuses(git_repo: Path) -> None:
    """It is an error, not the same code."""
    a = record(git_repo)
    (git_repo / "train.py").write_text("other\n")
    with pytest.raises(GitFailed):
        compare(git_repo, a, record(git_repo), ":(nonsense)x")
