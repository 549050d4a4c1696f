import shutil
from pathlib import Path

import pytest

from runstone.errors import CheckoutInUse, CheckoutNotFound
from runstone.projects.checkout import checkout
from runstone.projects.linked import list_checkouts, remove_checkout
from runstone.tracking.workspace import Workspace
from tests.projects.support import record
from tests.support import git


def test_checkouts_are_listed_and_other_work_trees_are_not(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """The newest first, with run and branch; from a linked work tree the same."""
    first, second = record(workspace, "one"), record(workspace, "two")
    git("worktree", "add", "-q", tmp_path / "mine", cwd=project)
    one = checkout(workspace, "one")
    checkout(workspace, "two", tmp_path / "two", branch="again")
    found = list_checkouts(workspace)
    assert [("two", second, "again", tmp_path / "two"), ("one", first, None, one.path)] == [
        (each.name, each.run_id, each.branch, each.path) for each in found
    ]
    assert found == list_checkouts(Workspace.open(one.path))
    assert [False, False] == [each.is_gone for each in found]


def test_a_tree_cannot_pass_for_a_checkout(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """A mark that lies in a tree, not in git's own folder, makes no checkout of a work tree of the user's."""
    (project / "runstone.json").write_text("{}")
    (project / ".runstone").mkdir()
    (project / ".runstone" / "runstone.json").write_text("{}")
    git("add", "-Af", cwd=project)
    git("commit", "-q", "-m", "Trap", cwd=project)
    git("worktree", "add", "-q", tmp_path / "mine", cwd=project)
    assert [] == list_checkouts(workspace)
    with pytest.raises(CheckoutNotFound):
        remove_checkout(workspace, tmp_path / "mine")


@pytest.mark.parametrize("how", ["path", "text", "run", "prefix", "name", "all"])
def test_a_checkout_is_removed_by_folder_run_or_name(
    workspace: Workspace, project: Path, tmp_path: Path, how: str
) -> None:
    """The folder and git's record of it are gone; the branch made there stays, and so do other work trees."""
    run_id = record(workspace)
    git("worktree", "add", "-q", tmp_path / "mine", cwd=project)
    made = checkout(workspace, "past", branch="again")
    which: dict[str, str | Path | None] = {
        "path": made.path,
        "text": str(made.path),
        "run": run_id,
        "prefix": run_id[:10],
        "name": "past",
        "all": None,
    }
    assert [made.path] == remove_checkout(workspace, which[how])
    assert not made.path.exists()
    assert [] == list_checkouts(workspace)
    assert ["mine"] == [path.name for path in (project / ".git" / "worktrees").iterdir()]
    assert made.snapshot == git("rev-parse", "again", cwd=project)


def test_a_checkout_can_be_removed_from_inside(workspace: Workspace) -> None:
    """The repository may be opened in the very work tree that goes."""
    record(workspace)
    made = checkout(workspace, "past")
    assert [made.path] == remove_checkout(Workspace.open(made.path), made.path)
    assert not made.path.exists()


def test_work_of_the_users_own_is_not_removed(workspace: Workspace, project: Path) -> None:
    """Edits, files that git does not know, and commits on no branch are named; --force removes them all the same."""
    record(workspace)
    made = checkout(workspace, "past")
    (made.path / "train.py").write_text("edited")
    (made.path / "notes.txt").write_text("mine")
    with pytest.raises(CheckoutInUse, match=r"nowhere else: `train\.py`, `notes\.txt`\. Commit it to a branch"):
        remove_checkout(workspace)
    git("add", "-A", cwd=made.path)
    git("commit", "-q", "-m", "Mine", cwd=made.path)
    commit = git("rev-parse", "HEAD", cwd=made.path)
    with pytest.raises(CheckoutInUse, match=f"commit {commit[:12]}, which is on no branch"):
        remove_checkout(workspace)
    git("branch", "kept", commit, cwd=project)
    git("worktree", "lock", made.path, cwd=project)
    with pytest.raises(CheckoutInUse, match="a lock"):
        remove_checkout(workspace)
    assert "mine" == (made.path / "notes.txt").read_text()
    assert [made.path] == remove_checkout(workspace, force=True)
    assert "mine" == git("show", "kept:notes.txt", cwd=project)


def test_checkouts_in_use_are_kept_and_the_others_removed(workspace: Workspace, tmp_path: Path) -> None:
    """Each that is kept is named with what it holds; for one on a branch the advice is no new branch."""
    record(workspace)
    first, second = (checkout(workspace, "past", tmp_path / name).path for name in ("one", "two"))
    third = checkout(workspace, "past", tmp_path / "three", branch="work").path
    for kept in (first, third):
        (kept / "mine").write_text("mine")
    with pytest.raises(CheckoutInUse) as caught:
        remove_checkout(workspace)
    assert ((second,), False) == (caught.value.removed, second.exists())
    assert {first: ("`mine`",), third: ("`mine`",)} == caught.value.work
    lines = {line.split(" ")[0]: line for line in str(caught.value).splitlines()}
    assert "`mine`. Commit it to a branch (`git switch -c NAME`), or remove it" in lines[str(first)]
    assert "`mine`. Commit it to work, its branch, or remove it" in lines[str(third)]
    assert {first, third} == {each.path for each in list_checkouts(workspace)}


def test_a_checkout_whose_folder_is_gone_is_forgotten(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """It is listed as gone; removing it removes git's record of it, and of no other work tree that is away."""
    import shutil

    record(workspace)
    made = checkout(workspace, "past")
    git("worktree", "add", "-q", tmp_path / "away", cwd=project)
    shutil.rmtree(tmp_path / "away")
    shutil.rmtree(made.path)
    assert [True] == [each.is_gone for each in list_checkouts(workspace)]
    assert [made.path] == remove_checkout(workspace)
    assert ["away"] == [path.name for path in (project / ".git" / "worktrees").iterdir()]


def test_what_is_no_checkout_is_not_found(workspace: Workspace, tmp_path: Path) -> None:
    """An unknown run, or a folder of something else, is an error that says how to list them."""
    record(workspace)
    for which in ("past", tmp_path, "a", ""):
        with pytest.raises(CheckoutNotFound, match="`runstone checkout --list`"):
            remove_checkout(workspace, which)


def test_checkouts_of_a_repository_that_was_moved_or_copied(
    workspace: Workspace, project: Path, tmp_path: Path
) -> None:
    """A copy leaves those of the original alone; where the repository was moved they are found and removed."""
    run_id = record(workspace)
    made = checkout(workspace, "past").path
    shutil.copytree(project, tmp_path / "copy", symlinks=True)
    copy = Workspace.open(tmp_path / "copy")
    assert ([], []) == (list_checkouts(copy), remove_checkout(copy, force=True))
    assert "" == git("status", "--porcelain", cwd=made)
    project.rename(tmp_path / "moved")
    moved = Workspace.open(tmp_path / "moved")
    assert [made] == [each.path for each in list_checkouts(moved)]
    (made / "mine.txt").write_text("x")
    with pytest.raises(CheckoutInUse):
        remove_checkout(moved, run_id)
    (made / "mine.txt").unlink()
    assert ([made], False) == (remove_checkout(moved, run_id), made.exists())
