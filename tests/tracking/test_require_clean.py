"""`require_clean`: a run whose code is no commit is refused before anything is written."""

from pathlib import Path

import pytest

import runstone
from runstone.errors import UsageError, WorkTreeDirty
from runstone.git.repository import Repository
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import resume_run, start_run
from runstone.tracking.workspace import Workspace
from tests.support import git


def state(folder: Path) -> list[str]:
    """All files of a folder."""
    return sorted(str(path) for path in folder.rglob("*") if "lock" not in path.name)


def test_a_dirty_tree_is_refused_and_nothing_is_written(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the files and what to do; no journal is there, and the thread has no active run."""
    monkeypatch.chdir(git_repo)
    (git_repo / "train.py").write_text("edited\n")
    (git_repo / "new\n.py").touch()
    before = state(git_repo)
    with pytest.raises(WorkTreeDirty) as refused:
        runstone.start_run(require_clean=True)
    assert (
        "The work tree differs from HEAD, and `require_clean` refuses such a run. Nothing was recorded.\n"
        "  new?.py\n"
        "  train.py\n"
        "Commit the code: `git add -A && git commit`; or allow runs of edited code: `require_clean: false` in "
        "runstone.yaml, RUNSTONE_REQUIRE_CLEAN=0"
    ) == str(refused.value)
    assert ("new\n.py", "train.py") == refused.value.paths
    assert before == state(git_repo)
    assert runstone.active_run() is None


def test_many_files_are_counted() -> None:
    """A message names ten."""
    assert "\n  f09\n  and 5 more\n" in str(WorkTreeDirty("1" * 40, [f"f{number:02}" for number in range(15)]))


def test_a_clean_tree_is_recorded_as_it_was_checked(git_repo: Path) -> None:
    """What is edited after the check is not in the record, and git is not asked again."""
    workspace = Workspace(Repository.open(git_repo))
    experiment = ensure_experiment(workspace.repo, "Default")
    head = git("rev-parse", "HEAD", cwd=git_repo)
    with start_run(workspace, experiment, require_clean=True) as run:
        (git_repo / "train.py").write_text("edited\n")
    source = run.snapshot().source
    assert (head, head, "main", False) == (source.commit, source.snapshot, source.branch, source.dirty)


@pytest.mark.parametrize(
    ("argument", "variable", "setting", "refused"),
    [
        (None, None, None, False),
        (None, None, "true", True),
        (None, "1", None, True),
        (None, "0", "true", False),
        (False, "1", "true", False),
        (True, "0", "false", True),
        (None, "", "true", True),
        (None, "TRUE", None, True),
    ],
)
def test_who_decides(
    argument: bool | None,
    variable: str | None,
    setting: str | None,
    refused: bool,
    git_repo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The argument, else the variable, else runstone.yaml, else no."""
    if setting is not None:
        (git_repo / "runstone.yaml").write_text(f"require_clean: {setting}\n")
    if variable is not None:
        monkeypatch.setenv("RUNSTONE_REQUIRE_CLEAN", variable)
    (git_repo / "train.py").write_text("edited\n")
    workspace = Workspace(Repository.open(git_repo))
    experiment = ensure_experiment(workspace.repo, "Default")
    try:
        start_run(workspace, experiment, require_clean=argument).abandon()
        outcome = False
    except WorkTreeDirty:
        outcome = True
    assert refused == outcome


def test_a_variable_that_says_neither(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error does not pass for no."""
    monkeypatch.setenv("RUNSTONE_REQUIRE_CLEAN", "ture")
    workspace = Workspace(Repository.open(git_repo))
    with pytest.raises(UsageError, match="RUNSTONE_REQUIRE_CLEAN must be 1 or 0, but is 'ture'"):
        start_run(workspace, ensure_experiment(workspace.repo, "Default"))


def test_code_that_is_no_commit_is_refused(empty_repo: Path, bare_remote: Path) -> None:
    """Before the first commit, and in a bare repository, there is no commit that could hold the code."""
    for folder in (empty_repo, bare_remote):
        workspace = Workspace(Repository.open(folder))
        with pytest.raises(WorkTreeDirty, match="There is no commit that holds the code"):
            start_run(workspace, ensure_experiment(workspace.repo, "Default"), require_clean=True)
        assert [] == list((workspace.repo.state_dir / "journal").glob("*.live"))


def test_taking_a_run_up_again_is_refused_too(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its second attempt would be of edited code; the run stays as it was."""
    monkeypatch.chdir(git_repo)
    with runstone.start_run(run_id="mine"):
        pass
    (git_repo / "train.py").write_text("edited\n")
    with pytest.raises(WorkTreeDirty):
        runstone.start_run(run_id="mine", require_clean=True)
    with pytest.raises(WorkTreeDirty):
        resume_run(Workspace.open(git_repo), "mine", require_clean=True)
    assert "FINISHED" == runstone.get_run("mine").status
    with runstone.start_run(run_id="mine"):
        pass
    assert 2 == len(runstone.get_run("mine").attempts)


def test_edits_that_git_was_told_to_overlook_count(git_repo: Path) -> None:
    """`assume-unchanged` hides edits from `git status`, not from what is executed."""
    git("update-index", "--assume-unchanged", "train.py", cwd=git_repo)
    (git_repo / "train.py").write_text("edited\n")
    workspace = Workspace.open(git_repo)
    with pytest.raises(WorkTreeDirty) as refused:
        start_run(workspace, ensure_experiment(workspace.repo, "Default"), require_clean=True)
    assert ("train.py",) == refused.value.paths
