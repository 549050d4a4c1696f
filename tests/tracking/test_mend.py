"""Repositories that are really broken, what `doctor` finds in them, and that `mend` loses nothing."""

import shutil
from pathlib import Path

import pytest

from runstone.errors import RunstoneError
from runstone.git.code import hold
from runstone.registry.version import get_version, list_versions, register_version
from runstone.tracking import ailments, autosync
from runstone.tracking.doctor import Finding, examine
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.mend import mend
from runstone.tracking.once import Logged, record_run
from runstone.tracking.run import start_run
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.cli.support import run_cli
from tests.git.support import check_clean
from tests.registry.support import log_model
from tests.support import git, run_python


@pytest.fixture
def workspace(git_repo: Path) -> Workspace:
    """A repository with two runs."""
    workspace = Workspace.open(git_repo)
    for number in range(2):
        record_run(workspace, Logged(params={"n": number}))
    return workspace


def found(workspace: Workspace, name: str) -> Finding:
    """What one check finds."""
    return next(each for each in examine(Workspace(workspace.repo)) if each.name == name)


def mended(workspace: Workspace) -> list[str]:
    """What `mend` did, less what it always does."""
    return [line for line in mend(workspace) if not line.startswith("made the index anew")]


@pytest.mark.parametrize("content", [b"", b"\0" * 41, b"no commit at all\n"])
def test_a_broken_branch_is_set_back_by_its_reflog(workspace: Workspace, git_repo: Path, content: bytes) -> None:
    """`git gc` of the whole repository fails because of it; then it works, and the branch is where it was."""
    git("checkout", "-q", "-b", "topic", cwd=git_repo)
    git("commit", "-q", "--allow-empty", "-m", "Work", cwd=git_repo)
    tip = git("rev-parse", "topic", cwd=git_repo)
    git("checkout", "-q", "main", cwd=git_repo)
    (git_repo / ".git" / "refs" / "heads" / "topic").write_bytes(content)
    before = found(workspace, "refs")
    assert ("fail", "Mend it: `runstone doctor --fix`") == (before.state, before.advice)
    assert before.detail.endswith("/refs/heads/topic")
    assert [f"set refs/heads/topic back to {tip[:12]}"] == mended(workspace)
    assert ("ok", tip) == (found(workspace, "refs").state, git("rev-parse", "topic", cwd=git_repo))
    git("gc", "-q", cwd=git_repo)
    check_clean(git_repo)


def test_a_broken_ref_of_which_nothing_is_known_is_put_aside(workspace: Workspace, git_repo: Path) -> None:
    """Its file is kept for people to look at, and git works again."""
    path = git_repo / ".git" / "refs" / "notes" / "deep" / "x"
    path.parent.mkdir(parents=True)
    path.write_text("garbage\n")
    assert "fail" == found(workspace, "refs").state
    lines = mended(workspace)
    assert 1 == len(lines)
    assert lines[0].startswith("no commit of refs/notes/deep/x is known here: its file is put aside, ")
    aside = list((git_repo / ".git" / "runstone" / "broken-refs").iterdir())
    assert ["garbage\n"] == [each.read_text() for each in aside]
    assert "ok" == found(workspace, "refs").state
    git("gc", "-q", cwd=git_repo)


def test_a_packed_value_and_a_copy_of_the_remote_serve_too(workspace: Workspace, git_repo: Path) -> None:
    """Without a reflog: what `git pack-refs` kept, or what the remote had."""
    git("branch", "packed", cwd=git_repo)
    git("pack-refs", "--all", cwd=git_repo)
    shutil.rmtree(git_repo / ".git" / "logs")
    tip = git("rev-parse", "main", cwd=git_repo)
    git("update-ref", "refs/remotes/origin/copied", tip, cwd=git_repo)
    for name in ("packed", "copied"):
        (git_repo / ".git" / "refs" / "heads" / name).write_text("")
    assert {f"set refs/heads/{name} back to {tip[:12]}" for name in ("packed", "copied")} == set(mended(workspace))
    assert [tip, tip] == [git("rev-parse", name, cwd=git_repo) for name in ("refs/heads/packed", "refs/heads/copied")]


def test_refs_to_what_is_missing(workspace: Workspace, git_repo: Path) -> None:
    """A remote-tracking one goes, as a fetch brings it again; a branch goes back by its reflog; else it is told."""
    lost = "1" * 40
    tip = git("rev-parse", "main", cwd=git_repo)
    for ref in ("refs/remotes/origin/topic", "refs/heads/topic", "refs/heads/alone"):
        path = git_repo / ".git" / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{lost}\n")
    log = git_repo / ".git" / "logs" / "refs" / "heads" / "topic"
    log.write_text(f"{'0' * 40} {tip} Kim <kim@example.org> 0 +0000\tbranch\n")
    assert ("fail", True) == (found(workspace, "refs").state, lost in found(workspace, "refs").detail)
    assert {
        "dropped refs/remotes/origin/topic, which a fetch brings again",
        f"set refs/heads/topic back to {tip[:12]}",
    } == set(mended(workspace))
    assert ["refs/heads/alone"] == list(ailments.dangling_refs(workspace.repo))
    assert "as refs/heads/alone to" in found(workspace, "refs").detail


def test_snapshots_that_no_live_run_needs_are_let_go(workspace: Workspace, git_repo: Path) -> None:
    """One that the branch of runs leads to; not one of a run that is open."""
    (git_repo / "train.py").write_text("print('edited')\n")
    live = start_run(workspace, ensure_experiment(workspace.repo, "trees"))
    assert live._capture is not None
    live._capture.wait()
    assert "ok" == found(workspace, "refs").state
    hold.hold(workspace.repo, git("rev-parse", "main", cwd=git_repo))
    assert "1 snapshot held that no live run needs" == found(workspace, "refs").detail
    assert ["let go of 1 snapshots that no live run needs"] == mended(workspace)
    assert "ok" == found(workspace, "refs").state
    held = set(workspace.repo.refs.list(hold.PREFIX))
    live.end()
    assert (1, set()) == (len(held), set(workspace.repo.refs.list(hold.PREFIX)))


def test_a_version_that_a_remote_has_otherwise_gets_a_new_number(
    workspace: Workspace, git_repo: Path, tmp_path: Path
) -> None:
    """Two clones registered `churn` v1 offline: both versions are kept whole, and the remote's keeps its number."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    runs = []
    for number in range(2):
        with start_run(workspace, ensure_experiment(workspace.repo, "trees"), name=f"run {number}") as run:
            run.log_model(tmp_path / "model", "model", ["sklearn"], None)
        runs.append(run.id)
    register_version(workspace, "churn", RunUri(runs[0], "model"))
    git("update-ref", "refs/runstone/remote-tags/origin/churn@v1", "refs/tags/churn@v1", cwd=git_repo)
    git("update-ref", "-d", "refs/tags/churn@v1", cwd=git_repo)
    register_version(workspace, "churn", RunUri(runs[1], "model"), description="Ours")
    before = found(workspace, "version tags")
    assert ("fail", "1 version not the same here as on origin, as churn@v1") == (before.state, before.detail)
    assert [
        "churn@v1 was another version here than on origin: origin's is churn@v1, the one here churn@v2 now"
    ] == mended(workspace)
    versions = {version.version: version for version in list_versions(workspace.repo, "churn")}
    assert {1: runs[0], 2: runs[1]} == {number: version.run_id for number, version in versions.items()}
    assert "Ours" == get_version(workspace.repo, "churn", 2).description
    assert "churn version 2" == git("tag", "-l", "--format=%(subject)", "churn@v2", cwd=git_repo)
    assert "ok" == found(workspace, "version tags").state
    check_clean(git_repo)


def test_a_version_whose_run_is_not_on_the_branch(workspace: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """The branch was set back behind it: the tag holds on to the commit, and what to do is said."""
    tip = git("rev-parse", "runs", cwd=git_repo)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    with start_run(workspace, ensure_experiment(workspace.repo, "trees")) as run:
        run.log_model(tmp_path / "model", "model", ["sklearn"], None)
    register_version(workspace, "churn", RunUri(run.id, "model"))
    assert "ok" == found(workspace, "version tags").state
    git("update-ref", "refs/heads/runs", tip, cwd=git_repo)
    told = found(workspace, "version tags")
    assert ("warn", "1 version on a commit that the branch of runs does not lead to, as churn@v1") == (
        told.state,
        told.detail,
    )


def test_versions_in_a_shallow_clone(workspace: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """What lies before the cut is no warning; a version beside a branch that is here whole still is one."""
    register_version(workspace, "churn", log_model(workspace, "early"))
    record_run(workspace, Logged(params={"n": 3}))
    git("init", "-q", "--bare", tmp_path / "remote.git", cwd=tmp_path)
    git("remote", "add", "origin", tmp_path / "remote.git", cwd=git_repo)
    git("commit", "-q", "--allow-empty", "-m", "Second", cwd=git_repo)
    git("push", "-q", "origin", "main", "runs", "churn@v1", cwd=git_repo)
    url = f"file://{tmp_path}/remote.git"
    git("clone", "-q", "--depth", "1", "-b", "main", url, tmp_path / "ci", cwd=tmp_path)
    clone = Workspace.open(tmp_path / "ci")
    sync(clone, send=False)
    assert (True, ["churn@v1"]) == (clone.repo.shallow, [f"{v.name}@v{v.version}" for v in list_versions(clone.repo)])
    told = found(clone, "version tags")
    assert ("ok", True) == (told.state, told.detail.endswith("so older runs than it has were not looked for"))
    git("fetch", "-q", "--unshallow", "origin", "runs", cwd=tmp_path / "ci")
    assert "each is on a commit of the branch of runs" == found(clone, "version tags").detail


def test_a_branch_that_has_diverged_is_told(workspace: Workspace, git_repo: Path) -> None:
    """And one that is only ahead, or behind, is counted."""
    base, tip = git("rev-parse", "runs~1", cwd=git_repo), git("rev-parse", "runs", cwd=git_repo)
    git("update-ref", "refs/remotes/origin/runs", base, cwd=git_repo)
    assert ("ok", "1 not sent to origin yet") == (found(workspace, "sharing").state, found(workspace, "sharing").detail)
    other = git("commit-tree", "-p", base, "-m", "Theirs", f"{base}^{{tree}}", cwd=git_repo)
    git("update-ref", "refs/remotes/origin/runs", other, cwd=git_repo)
    told = found(workspace, "sharing")
    assert ("warn", "1 event here and 1 on origin that the other has not") == (told.state, told.detail)
    assert "Join them; nothing is lost: `runstone sync`" == told.advice
    git("update-ref", "refs/remotes/origin/runs", tip, cwd=git_repo)
    assert "ok" == found(workspace, "sharing").state


def test_a_sync_that_failed_in_the_background_is_told(workspace: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """The remote is gone; once it is there again and a sync went through, all is well."""
    git("init", "-q", "--bare", tmp_path / "remote.git", cwd=tmp_path)
    git("remote", "add", "origin", tmp_path / "remote.git", cwd=git_repo)
    (tmp_path / "remote.git").rename(tmp_path / "away.git")
    (workspace.repo.writable_state("sync") / "wanted").touch()
    with pytest.raises(RunstoneError):
        autosync.work(workspace)
    told = found(workspace, "sharing")
    log = autosync.log_file(workspace.repo)
    assert ("warn", f"Try it again: `runstone sync`; all it said is in {log}") == (told.state, told.advice)
    assert told.detail.startswith("the last sync in the background failed at ")
    shown = run_cli("doctor", cwd=git_repo).stdout
    assert "\\n" not in shown
    assert f"could not be used:\n        fatal: '{tmp_path}/remote.git' does not appear" in shown
    (tmp_path / "away.git").rename(tmp_path / "remote.git")
    sync(workspace)
    assert "ok" == found(workspace, "sharing").state


def test_a_work_tree_that_is_gone_is_forgotten(workspace: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """Unless nothing else leads to what was checked out there: then that is told, and kept."""
    git("worktree", "add", "-q", "-b", "look", tmp_path / "look", cwd=git_repo)
    git("worktree", "add", "-q", "--detach", tmp_path / "alone", cwd=git_repo)
    git("commit", "-q", "--allow-empty", "-m", "Only here", cwd=tmp_path / "alone")
    commit = git("rev-parse", "HEAD", cwd=tmp_path / "alone")
    shutil.rmtree(tmp_path / "look")
    shutil.rmtree(tmp_path / "alone")
    assert "warn" == found(workspace, "work trees").state
    assert [f"forgot the work tree {tmp_path}/look, which is gone"] == mended(workspace)
    told = found(workspace, "work trees")
    assert (
        f"No branch leads to what was checked out there. Keep it: `git branch NAME {commit}`, then --fix" == told.advice
    )
    git("branch", "kept", commit, cwd=git_repo)
    assert [f"forgot the work tree {tmp_path}/alone, which is gone"] == mended(workspace)
    assert ("ok", commit) == (found(workspace, "work trees").state, git("rev-parse", "kept", cwd=git_repo))


def test_a_work_tree_that_was_moved_is_found_again(workspace: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """By a look from inside it; its edits stay."""
    git("worktree", "add", "-q", "-b", "look", tmp_path / "look", cwd=git_repo)
    (tmp_path / "look" / "train.py").write_text("print('edited')\n")
    (tmp_path / "look").rename(tmp_path / "moved")
    there = Workspace.open(tmp_path / "moved")
    assert f"{tmp_path}/moved was moved, or the repository was" == found(there, "work trees").detail
    assert [f"found the work tree {tmp_path}/moved again"] == mended(there)
    assert ("ok", "ok") == (found(there, "work trees").state, found(workspace, "work trees").state)
    assert " M train.py" == git("status", "--porcelain", cwd=tmp_path / "moved")
    assert str(tmp_path / "moved") in git("worktree", "list", cwd=git_repo)


def test_a_repository_that_was_moved_finds_its_work_trees(workspace: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """From inside the work tree nothing works, and the error names the step; --fix in the repository mends it."""
    git("worktree", "add", "-q", "-b", "look", tmp_path / "look", cwd=git_repo)
    git_repo.rename(tmp_path / "elsewhere")
    code = "import runstone.client as c; c.Client('.')"
    error = run_python(code, cwd=tmp_path / "look", check=False).stderr.strip().split("\n")[-1]
    assert error.endswith(
        f"{tmp_path}/look is a linked work tree of a repository that is no longer at {git_repo}/.git. "
        f"If that was moved, tell it where this is: `git -C WHERE_IT_IS_NOW worktree repair {tmp_path}/look`"
    )
    moved = Workspace.open(tmp_path / "elsewhere")
    assert "warn" == found(moved, "work trees").state
    assert [f"found the work tree {tmp_path}/look again"] == mended(moved)
    run_python(code, cwd=tmp_path / "look")
    assert "ok" == found(moved, "work trees").state


def test_a_copy_leaves_the_work_trees_of_the_original_alone(
    workspace: Workspace, git_repo: Path, tmp_path: Path
) -> None:
    """They lead to the original, which knows them: the copy forgets those of which it loses no commit."""
    git("worktree", "add", "-q", "-b", "look", tmp_path / "look", cwd=git_repo)
    git("worktree", "add", "-q", "--detach", tmp_path / "alone", cwd=git_repo)
    git("commit", "-q", "--allow-empty", "-m", "Only here", cwd=tmp_path / "alone")
    commit = git("rev-parse", "HEAD", cwd=tmp_path / "alone")
    shutil.copytree(git_repo, tmp_path / "copy", symlinks=True)
    copy = Workspace.open(tmp_path / "copy")
    before = {name: (tmp_path / name / ".git").read_text() for name in ("look", "alone")}
    told = found(copy, "work trees")
    assert "warn" == told.state
    assert told.detail.endswith(f" is one of {git_repo}/.git, of which this repository is a copy")
    assert [f"forgot the work tree {tmp_path}/look, which is one of {git_repo}/.git"] == mended(copy)
    told = found(copy, "work trees")
    assert (
        f"No branch leads to what is checked out there. Keep it: `git branch NAME {commit}`, then --fix" == told.advice
    )
    assert [] == mended(copy)
    git("branch", "kept", commit, cwd=tmp_path / "copy")
    assert [f"forgot the work tree {tmp_path}/alone, which is one of {git_repo}/.git"] == mended(copy)
    assert "ok" == found(copy, "work trees").state
    assert before == {name: (tmp_path / name / ".git").read_text() for name in before}
    assert "ok" == found(workspace, "work trees").state
    assert "" == git("status", "--porcelain", cwd=tmp_path / "look")
    check_clean(tmp_path / "copy")


def test_all_artifacts_are_looked_for_if_asked(workspace: Workspace, tmp_path: Path) -> None:
    """Those of a run that twenty newer ones hide."""
    (tmp_path / "a.txt").write_text("alpha")
    run_id = record_run(workspace, Logged(artifacts=[(tmp_path / "a.txt", "")]), name="old")
    for number in range(20):
        record_run(workspace, Logged(params={"n": number}))
    shutil.rmtree(workspace.artifacts.cache.root)
    fresh = Workspace(workspace.repo)
    few, all_ = (
        next(each for each in examine(fresh, all_artifacts=whole) if each.name == "artifacts")
        for whole in (False, True)
    )
    assert ("ok", "fail") == (few.state, all_.state)
    assert all_.detail.endswith(f"as of run {run_id}")


def test_mending_a_healthy_repository_changes_nothing(workspace: Workspace, git_repo: Path) -> None:
    """No ref moves, and nothing is told but that the index is new."""
    refs = git("for-each-ref", cwd=git_repo)
    assert ["made the index anew, of 2 runs"] == list(mend(workspace))
    assert refs == git("for-each-ref", cwd=git_repo)
