"""Aliases: one small file each on the default branch, moved by one commit, in any kind of repository."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runstone.errors import (
    AliasNotFound,
    BranchBehind,
    InvalidName,
    LocalEdits,
    ModelNotFound,
    RecordInvalid,
    RecordsSkipped,
    ReviewRequired,
    VersionNotFound,
)
from runstone.git.repository import Repository
from runstone.registry.alias import alias_changes, delete_alias, get_version_by_alias, read_aliases, set_alias
from runstone.registry.state import ModelState
from runstone.registry.version import ModelVersion, register_version
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.registry.support import log_model, seal_row
from tests.support import git, make_repository, run_python

FILE = "registry/churn/aliases/champion.yaml"


def status(folder: Path) -> str:
    """What `git status` says, ignored files included."""
    return git("status", "--porcelain", "--ignored", cwd=folder)


def test_an_alias_is_one_commit_of_one_file(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """Set, moved, set again where it is, removed; the work tree is clean each time."""
    set_alias(workspace.repo, "churn", "champion", 1)
    lines = git("show", f"main:{FILE}", cwd=git_repo).splitlines()
    assert ["schema: runstone/alias/v1", "version: 1"] == [line for line in lines if not line.startswith("#")]
    assert [f"A\t{FILE}"] == git("diff-tree", "-r", "--name-status", "HEAD~", "HEAD", cwd=git_repo).splitlines()
    tag = git("rev-parse", "refs/tags/churn@v1", cwd=git_repo)
    trailers = f"Model: churn\nVersion: 1\nTag: {tag}\n{seal_row(git_repo, 'churn@v1')}Alias: champion"
    assert ["Point churn@champion at v1", trailers, ""] == [
        git("log", "-1", "--format=%s", cwd=git_repo),
        git("log", "-1", "--format=%(trailers:only)", cwd=git_repo).strip(),
        status(git_repo),
    ]
    assert ("champion",) == get_version_by_alias(workspace.repo, "churn", "champion").aliases
    tip = git("rev-parse", "HEAD", cwd=git_repo)
    set_alias(workspace.repo, "churn", "champion", 1)
    assert tip == git("rev-parse", "HEAD", cwd=git_repo)
    register_version(workspace, "churn", RunUri("first-run", "model"))
    set_alias(workspace.repo, "churn", "champion", 2)
    set_alias(workspace.repo, "churn", "challenger", 1)
    assert {"champion": 2, "challenger": 1} == read_aliases(workspace.repo, "churn")
    delete_alias(workspace.repo, "churn", "champion")
    assert ({"challenger": 1}, "") == (read_aliases(workspace.repo, "churn"), status(git_repo))
    with pytest.raises(AliasNotFound, match=r"The model 'churn' has no alias 'champion'\. It has challenger"):
        get_version_by_alias(workspace.repo, "churn", "champion")
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)


def test_edits_elsewhere_are_left_as_they_are(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """Staged, unstaged and untracked ones: byte for byte, and still staged, unstaged and untracked."""
    (git_repo / "train.py").write_text("staged\n")
    git("add", "train.py", cwd=git_repo)
    (git_repo / "train.py").write_text("staged\nand unstaged\n")
    (git_repo / "new.py").write_text("untracked\n")
    (git_repo / "added.py").write_text("added\n")
    git("add", "added.py", cwd=git_repo)
    before = status(git_repo), git("diff", cwd=git_repo), git("diff", "--cached", cwd=git_repo)
    set_alias(workspace.repo, "churn", "champion", 1)
    assert before == (status(git_repo), git("diff", cwd=git_repo), git("diff", "--cached", cwd=git_repo))
    assert [FILE] == git("diff-tree", "-r", "--name-only", "--no-commit-id", "HEAD", cwd=git_repo).splitlines()


@pytest.mark.parametrize("edit", ["changed", "staged", "deleted", "untracked", "ignored"])
def test_edits_of_the_file_itself_are_not_overwritten(
    workspace: Workspace, version: ModelVersion, git_repo: Path, edit: str
) -> None:
    """The error names the file, and nothing was committed."""
    file = git_repo / FILE
    if edit in ("untracked", "ignored"):
        file.parent.mkdir(parents=True)
        if edit == "ignored":
            (git_repo / ".git" / "info" / "exclude").write_text("registry/\n")
    else:
        set_alias(workspace.repo, "churn", "champion", 1)
        register_version(workspace, "churn", RunUri("first-run", "model"))
    file.write_text("mine\n")
    if edit == "staged":
        git("add", FILE, cwd=git_repo)
    if edit == "deleted":
        file.unlink()
    tip = git("rev-parse", "HEAD", cwd=git_repo)
    with pytest.raises(LocalEdits) as caught:
        set_alias(workspace.repo, "churn", "champion", 2 if edit not in ("untracked", "ignored") else 1)
    assert (
        f"{git_repo} has local edits in {FILE}, which this commit would change. Commit or stash them, then try again: "
        "`git stash`"
    ) == str(caught.value)
    assert tip == git("rev-parse", "HEAD", cwd=git_repo)


def test_before_the_first_commit(empty_repo: Path) -> None:
    """The alias is the branch's first commit; what was staged stays staged."""
    workspace = Workspace.open(empty_repo)
    (empty_repo / "staged.py").write_text("x\n")
    git("add", "staged.py", cwd=empty_repo)
    register_version(workspace, "churn", log_model(workspace, "first-run"))
    set_alias(workspace.repo, "churn", "champion", 1)
    assert 1 == get_version_by_alias(workspace.repo, "churn", "champion").version
    assert ["A  staged.py", FILE] == [status(empty_repo), git("ls-tree", "-r", "--name-only", "HEAD", cwd=empty_repo)]


def test_in_a_bare_repository(git_repo: Path, tmp_path: Path) -> None:
    """As a server has one."""
    git("clone", "-q", "--bare", git_repo, tmp_path / "bare.git", cwd=tmp_path)
    git("remote", "remove", "origin", cwd=tmp_path / "bare.git")
    workspace = Workspace.open(tmp_path / "bare.git")
    register_version(workspace, "churn", log_model(workspace, "first-run"))
    set_alias(workspace.repo, "churn", "champion", 1)
    assert "version: 1" in git("show", f"main:{FILE}", cwd=tmp_path / "bare.git")


@pytest.mark.parametrize("at", ["main", "linked"])
def test_in_linked_work_trees(
    workspace: Workspace, version: ModelVersion, git_repo: Path, tmp_path: Path, at: str
) -> None:
    """Whichever has the default branch checked out is brought up to date; the other one is not touched."""
    git("worktree", "add", "-q", "-b", "feature", tmp_path / "linked", cwd=git_repo)
    set_alias(Workspace.open(git_repo if at == "main" else tmp_path / "linked").repo, "churn", "champion", 1)
    assert [True, False] == [(git_repo / FILE).is_file(), (tmp_path / "linked" / FILE).exists()]
    assert ["", ""] == [status(git_repo), status(tmp_path / "linked")]


def test_with_a_detached_head_or_another_branch(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """The default branch moves, the checkout does not."""
    git("checkout", "-q", "--detach", cwd=git_repo)
    head = git("rev-parse", "HEAD", cwd=git_repo)
    set_alias(workspace.repo, "churn", "champion", 1)
    git("checkout", "-q", "-b", "feature", cwd=git_repo)
    set_alias(workspace.repo, "churn", "challenger", 1)
    assert [head, "2"] == [
        git("rev-parse", "HEAD", cwd=git_repo),
        git("rev-list", "--count", f"{head}..main", cwd=git_repo),
    ]
    assert (False, "") == ((git_repo / "registry").exists(), status(git_repo))


def test_in_a_submodule(git_repo: Path, tmp_path: Path) -> None:
    """Its git directory lies elsewhere, and it is a repository like any other."""
    outer = make_repository(tmp_path / "outer")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(git_repo), "sub", cwd=outer)
    inner = outer / "sub"
    git("remote", "remove", "origin", cwd=inner)
    workspace = Workspace.open(inner)
    register_version(workspace, "churn", log_model(workspace, "first-run"))
    set_alias(workspace.repo, "churn", "champion", 1)
    assert (True, "") == ((inner / FILE).is_file(), git("status", "--porcelain", cwd=inner))


def test_in_a_clone_the_remotes_state_counts(
    workspace: Workspace, version: ModelVersion, git_repo: Path, tmp_path: Path
) -> None:
    """It reads what the remote has; while its checkout is behind it refuses to hide that; else it commits on top."""
    set_alias(workspace.repo, "churn", "champion", 1)
    clone = tmp_path / "clone"
    git("clone", "-q", git_repo, clone, cwd=tmp_path)
    theirs = Workspace.open(clone)
    assert 1 == get_version_by_alias(theirs.repo, "churn", "champion").version
    register_version(workspace, "churn", RunUri("first-run", "model"))
    set_alias(workspace.repo, "churn", "champion", 2)
    git("fetch", "-q", "--tags", cwd=clone)
    assert 2 == get_version_by_alias(theirs.repo, "churn", "champion").version
    with pytest.raises(BranchBehind) as caught:
        set_alias(theirs.repo, "churn", "challenger", 1)
    assert f"`main` is checked out in {clone} and is behind `origin/main`" in str(caught.value)
    assert str(caught.value).endswith(": `git pull --ff-only origin main`"), "also where no upstream is set"
    git("checkout", "-q", "--detach", cwd=clone)
    set_alias(theirs.repo, "churn", "challenger", 1)
    assert {"champion": 2, "challenger": 1} == read_aliases(theirs.repo, "churn")
    git("merge-base", "--is-ancestor", "origin/main", "main", cwd=clone)


def test_processes_that_set_aliases_at_once_lose_none(
    workspace: Workspace, version: ModelVersion, git_repo: Path
) -> None:
    """Six at once, in one work tree: a commit each, and a clean tree."""
    code = "import sys, runstone; runstone.Client().set_registered_model_alias('churn', sys.argv[1], 1)"
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: run_python(code, f"alias-{n}", cwd=git_repo), range(6)))
    assert {f"alias-{n}": 1 for n in range(6)} == read_aliases(workspace.repo, "churn")
    assert ["7", ""] == [git("rev-list", "--count", "main", cwd=git_repo), status(git_repo)]


def test_what_is_refused(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """Unknown models and versions, words that mean versions, and names that differ by case alone."""
    set_alias(workspace.repo, "churn", "champion", 1)
    for error, name, alias, number in [
        (ModelNotFound, "other", "a", 1),
        (VersionNotFound, "churn", "a", 2),
        (InvalidName, "churn", "latest", 1),
        (InvalidName, "churn", "v1", 1),
        (InvalidName, "churn", "../x", 1),
        (InvalidName, "churn", "Champion", 1),
        (InvalidName, "churn", "ä" * 200, 1),
    ]:
        with pytest.raises(error):
            set_alias(workspace.repo, name, alias, number)
    with pytest.raises(AliasNotFound):
        delete_alias(workspace.repo, "churn", "none")
    assert "2" == git("rev-list", "--count", "main", cwd=git_repo)


def test_under_review_nothing_moves(version: ModelVersion, git_repo: Path) -> None:
    """The call says so instead."""
    (git_repo / "runstone.yaml").write_text("promotion: review\n")
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Review", cwd=git_repo)
    with pytest.raises(ReviewRequired, match=r"churn@champion was not moved: `promotion: review` in runstone\.yaml"):
        set_alias(Repository.open(git_repo), "churn", "champion", 1)


def test_a_broken_file_is_named_and_hides_no_other(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """A hand-edited alias that breaks the schema."""
    set_alias(workspace.repo, "churn", "champion", 1)
    (git_repo / "registry/churn/aliases/broken.yaml").write_text("schema: runstone/alias/v1\nversion: 0\n")
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Break", cwd=git_repo)
    with pytest.warns(RecordsSkipped, match="broken.yaml"):
        assert 1 == get_version_by_alias(workspace.repo, "churn", "champion").version
    with pytest.warns(RecordsSkipped, match="broken.yaml"):
        assert {"champion": 1} == read_aliases(workspace.repo, "churn")
    with pytest.raises(RecordInvalid, match=r"registry/churn/aliases/broken\.yaml` at .*: `version` must be 1 or more"):
        get_version_by_alias(workspace.repo, "churn", "broken")


def test_a_lock_that_the_users_own_git_holds_is_waited_for(
    workspace: Workspace, version: ModelVersion, git_repo: Path
) -> None:
    """An editor's `git status` may hold the index for a moment."""
    lock = git_repo / ".git" / "index.lock"
    lock.touch()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(set_alias, workspace.repo, "churn", "champion", 1)
        time.sleep(0.5)
        lock.unlink()
        waiting.result()
    assert "" == status(git_repo)


def test_a_resolve_starts_no_process(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """With nothing on the PATH: once git's reading process runs, an alias is resolved without any other."""
    set_alias(workspace.repo, "churn", "champion", 1)
    get_version_by_alias(workspace.repo, "churn", "champion")
    path = os.environ.pop("PATH")
    try:
        assert 1 == get_version_by_alias(workspace.repo, "churn", "champion").version
    finally:
        os.environ["PATH"] = path


def test_the_file_to_write_is_a_function_of_the_state() -> None:
    """Made, moved, removed; nothing where it is so already."""
    state = ModelState("churn", aliases={"champion": 3})
    path = "registry/churn/aliases/champion.yaml"
    assert {} == alias_changes("registry", state, "champion", 3)
    assert {} == alias_changes("registry", state, "other", None)
    assert {path: None} == alias_changes("registry", state, "champion", None)
    assert "version: 4" in str(alias_changes("registry", state, "champion", 4)[path])
    with pytest.raises(InvalidName, match="by case alone"):
        alias_changes("registry", state, "Champion", 4)


def test_unknown_keys_are_carried_through_and_what_was_replaced_is_told(
    workspace: Workspace, version: ModelVersion, git_repo: Path
) -> None:
    """A newer Runstone may say more in the file; a broken one can be removed."""
    set_alias(workspace.repo, "churn", "champion", 1)
    file = git_repo / FILE
    file.write_text(f"{file.read_text()}until: 2027\n")
    git("commit", "-q", "-am", "By hand", cwd=git_repo)
    register_version(workspace, "churn", RunUri("first-run", "model"))
    set_alias(workspace.repo, "churn", "champion", 2)
    assert "until: 2027" in file.read_text()
    assert "Replaces: 1" in git("log", "-1", "--format=%(trailers:only)", cwd=git_repo)
    file.write_text("version: [\n")
    git("commit", "-q", "-am", "Break", cwd=git_repo)
    delete_alias(workspace.repo, "churn", "champion")
    assert {} == read_aliases(workspace.repo, "churn")


def test_a_look_up_is_light(version: ModelVersion, workspace: Workspace, git_repo: Path) -> None:
    """A process that resolves an alias imports nothing that takes long: a third of its time would go there."""
    set_alias(workspace.repo, version.name, "champion", 1)
    code = """
import sys, runstone
assert runstone.Client(".").get_model_version_by_alias("churn", "champion").version == 1
slow = "dataclasses inspect hashlib datetime sqlite3 json yaml runstone.index runstone.git.runs runstone.artifacts"
print(sorted(set(slow.split()) & set(sys.modules)))
"""
    assert "[]" == run_python(code, cwd=git_repo).stdout.strip()


def test_a_list_of_versions_needs_no_index(version: ModelVersion, git_repo: Path) -> None:
    """A list of a model's versions, filtered too, reads git alone: to import the index takes longer than the list."""
    code = """
import sys, runstone
found = runstone.Client(".").search_model_versions("name = 'churn'")
print([each.version for each in found], sorted({"sqlite3", "runstone.records.run"} & set(sys.modules)))
"""
    assert f"[{version.version}] []" == run_python(code, cwd=git_repo).stdout.strip()
