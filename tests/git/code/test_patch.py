"""What differs between two trees, and the patch between them."""

import os
import subprocess
from pathlib import Path

import pytest

from runstone.errors import GitFailed
from runstone.git.code.patch import SUBMODULE, FileChange, compare_trees, stream_patch
from runstone.git.repository import Repository
from tests.support import git


def commit_all(path: Path, subject: str) -> str:
    """Commit all that is in the work tree."""
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", subject, cwd=path)
    return git("rev-parse", "HEAD", cwd=path)


@pytest.fixture
def two(git_repo: Path) -> tuple[str, str]:
    """Two commits between which much happened."""
    (git_repo / "moved.py").write_text("".join(f"line {i}\n" for i in range(40)))
    (git_repo / "gone.txt").write_text("a\nb\n")
    (git_repo / "data.bin").write_bytes(b"\0\1\2")
    (git_repo / "latin").write_bytes(b"caf\xe9\n")
    first = commit_all(git_repo, "First")
    (git_repo / "moved.py").rename(git_repo / "new name.py")
    (git_repo / "gone.txt").unlink()
    (git_repo / "data.bin").write_bytes(b"\0\1\2\3")
    (git_repo / "train.py").write_text("print('trained')\nprint('again')\n")
    (git_repo / "train.py").chmod(0o755)
    (git_repo / "é\nn.py").write_text("x\n")
    (git_repo / "latin").write_bytes(b"caf\xe9 \xff\n")
    return first, commit_all(git_repo, "Second")


def test_every_kind_of_change(git_repo: Path, two: tuple[str, str]) -> None:
    """Added, removed, changed, renamed; binary files without counts; modes as git's."""
    found = compare_trees(Repository.open(git_repo), *two)
    assert {
        FileChange("data.bin", "changed", None, None, None, "100644", "100644"),
        FileChange("gone.txt", "removed", None, 0, 2, "100644", "000000"),
        FileChange("latin", "changed", None, 1, 1, "100644", "100644"),
        FileChange("new name.py", "renamed", "moved.py", 0, 0, "100644", "100644"),
        FileChange("train.py", "changed", None, 1, 0, "100644", "100755"),
        FileChange("é\nn.py", "added", None, 1, 0, "000000", "100644"),
    } == set(found)


def test_one_tree_and_itself(git_repo: Path, two: tuple[str, str]) -> None:
    """Commits of one tree differ in nothing."""
    git("commit", "-q", "--allow-empty", "-m", "Empty", cwd=git_repo)
    repo, head = Repository.open(git_repo), git("rev-parse", "HEAD", cwd=git_repo)
    assert ((), b"") == (compare_trees(repo, two[1], head), b"".join(stream_patch(repo, two[1], head)))


def test_paths_restrict_and_are_relative_to_a_folder(git_repo: Path) -> None:
    """As in git: from the folder where one stands, or from the top."""
    (git_repo / "src").mkdir()
    (git_repo / "src" / "a.py").write_text("1\n")
    first = git("rev-parse", "HEAD", cwd=git_repo)
    (git_repo / "train.py").write_text("other\n")
    second = commit_all(git_repo, "More")
    repo = Repository.open(git_repo)
    assert ["src/a.py", "train.py"] == [each.path for each in compare_trees(repo, first, second)]
    assert ["src/a.py"] == [each.path for each in compare_trees(repo, first, second, paths=["src"])]
    assert ["src/a.py"] == [
        each.path for each in compare_trees(repo, first, second, paths=["a.py"], cwd=git_repo / "src")
    ]
    assert () == compare_trees(repo, first, second, paths=["src"], cwd=git_repo / "src")
    with pytest.raises(GitFailed, match="outside repository"):
        compare_trees(repo, first, second, paths=["../.."])


def test_a_patch_is_git_s_own_and_can_be_applied(git_repo: Path, two: tuple[str, str], tmp_path: Path) -> None:
    """With the binary files in it the patch leads exactly from the one tree to the other."""
    patch = b"".join(stream_patch(Repository.open(git_repo), *two, binary=True))
    git("clone", "-q", str(git_repo), "clone", cwd=tmp_path)
    git("checkout", "-q", two[0], cwd=tmp_path / "clone")
    subprocess.run(["git", "apply", "--index"], cwd=tmp_path / "clone", input=patch, check=True)
    assert git("rev-parse", f"{two[1]}^{{tree}}", cwd=git_repo) == git("write-tree", cwd=tmp_path / "clone")
    assert b"Binary files a/data.bin and b/data.bin differ" in b"".join(stream_patch(Repository.open(git_repo), *two))


def test_no_program_of_the_user_is_run_and_no_setting_of_theirs_counts(
    git_repo: Path, two: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree's attributes name drivers of the user's configuration: none is run, and the patch stays byte for byte."""
    (git_repo / ".gitattributes").write_text("*.py diff=evil\n*.txt diff=evil\n")
    repo = Repository.open(git_repo)
    before = b"".join(stream_patch(repo, *two)), compare_trees(repo, *two)
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch '{tmp_path}/sprung'\n")
    trap.chmod(0o755)
    settings = {
        "diff.evil.textconv": str(trap),
        "diff.evil.command": str(trap),
        "diff.external": str(trap),
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.context": "9",
        "diff.renames": "false",
        "diff.suppressBlankEmpty": "true",
        "diff.submodule": "log",
        "diff.algorithm": "patience",
        "core.quotePath": "false",
        "core.pager": str(trap),
        "color.ui": "always",
        "color.diff": "always",
    }
    for key, value in settings.items():
        git("config", key, value, cwd=git_repo)
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(trap))
    monkeypatch.setenv("GIT_DIFF_OPTS", "--unified=0")
    repo = Repository.open(git_repo)
    assert before == (b"".join(stream_patch(repo, *two)), compare_trees(repo, *two))
    assert not (tmp_path / "sprung").exists()
    assert git("diff", *two, cwd=git_repo, check=False) is not None
    assert (tmp_path / "sprung").exists(), "git itself would have run it"


def test_a_submodule_is_the_commit_it_is_at(git_repo: Path) -> None:
    """One line for each side, without its content, which may not be here."""
    ids = ["1" * 40, "2" * 40]
    commits = []
    for oid in ids:
        git("update-index", "--add", "--cacheinfo", f"{SUBMODULE},{oid},lib", cwd=git_repo)
        git("commit", "-q", "-m", "Pin", cwd=git_repo)
        commits.append(git("rev-parse", "HEAD", cwd=git_repo))
    repo = Repository.open(git_repo)
    patch = b"".join(stream_patch(repo, *commits)).decode()
    assert f"-Subproject commit {ids[0]}\n+Subproject commit {ids[1]}\n" in patch
    assert (FileChange("lib", "changed", None, 1, 1, SUBMODULE, SUBMODULE),) == compare_trees(repo, *commits)


def test_a_bare_repository(git_repo: Path, two: tuple[str, str], tmp_path: Path) -> None:
    """Without a work tree the answer is the same."""
    git("clone", "-q", "--bare", str(git_repo), "bare.git", cwd=tmp_path)
    bare = Repository.open(tmp_path / "bare.git")
    assert compare_trees(Repository.open(git_repo), *two) == compare_trees(bare, *two)


def test_an_object_that_is_missing_is_git_s_error(git_repo: Path, two: tuple[str, str]) -> None:
    """A tree that was lost is told, not taken for an empty one."""
    tree = git("rev-parse", f"{two[1]}^{{tree}}", cwd=git_repo)
    os.unlink(git_repo / ".git" / "objects" / tree[:2] / tree[2:])  # noqa: PTH108  # git's files are read-only
    with pytest.raises(GitFailed):
        compare_trees(Repository.open(git_repo), *two)
