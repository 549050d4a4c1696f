"""The branch is squash-merged and deleted, git forgets it; the code of the run is still there, to the byte."""

from pathlib import Path

import pytest

import runstone
from tests.git.support import check_clean
from tests.support import git, make_repository, run_python

TRAIN = """
import runstone, helper
with runstone.start_run(run_name=helper.NAME) as run:
    runstone.log_metric('loss', 0.5)
    print(run.info.run_id)
"""


def start(folder: Path) -> None:
    """A branch with a script, and edits that were never committed: a new module, a secret, a deleted file."""
    git("checkout", "-q", "-b", "feature", cwd=folder)
    (folder / "old.py").write_text("OLD = 1\n")
    (folder / ".gitignore").write_text("__pycache__/\n")
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "Work in progress", cwd=folder)
    (folder / "train.py").write_text(TRAIN)
    git("add", "train.py", cwd=folder)
    (folder / "helper.py").write_text("NAME = 'brave'\n")
    (folder / "old.py").unlink()
    (folder / ".env").write_text("PASSWORD=SECRET-4711\n")


def forget(folder: Path) -> None:
    """All of the branch is merged as one other commit; git forgets whatever no ref leads to."""
    git("add", "-A", "--", ":!.env", cwd=folder)
    git("commit", "-q", "-m", "Done", cwd=folder)
    git("checkout", "-q", "main", cwd=folder)
    (folder / "train.py").write_text("print('all anew')\n")
    git("commit", "-q", "-a", "-m", "Squash the feature, and change it", cwd=folder)
    git("branch", "-q", "-D", "feature", cwd=folder)
    git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all", cwd=folder)
    git("gc", "-q", "--prune=now", cwd=folder)


def check_code(folder: Path, run_id: str) -> None:
    """What the run of that id ran is in a repository."""
    source = runstone.Client(folder).get_run(run_id).source
    commit = git("log", "-1", "--first-parent", "--format=%H", f"--grep=Run: {run_id}", "runs", cwd=folder)
    assert source.snapshot == git("rev-parse", f"{commit}^2", cwd=folder)
    assert source.commit == git("rev-parse", f"{source.snapshot}^", cwd=folder)
    names = git("ls-tree", "-r", "--name-only", str(source.snapshot), cwd=folder).splitlines()
    assert [".gitignore", "helper.py", "train.py"] == names
    assert TRAIN.strip() == git("show", f"{source.snapshot}:train.py", cwd=folder).strip()
    assert ("feature", True, [".env"]) == (source.branch, source.dirty, [one["path"] for one in source.left_out])
    check_clean(folder)


@pytest.mark.parametrize("bare", [False, True], ids=["in place", "in a fresh clone"])
def test_a_run_keeps_the_code_it_ran(bare: bool, git_repo: Path, bare_remote: Path, tmp_path: Path) -> None:
    """Squash merge, deleted branch, expired reflog, pruned objects; here, and from a clone of what was pushed."""
    start(git_repo)
    before = git("status", "--porcelain=v2", "--branch", cwd=git_repo)
    done = run_python(git_repo / "train.py", cwd=git_repo)
    run_id = done.stdout.strip()
    assert "SnapshotIncomplete" in done.stderr
    assert ".env: its name looks like that of a secret" in done.stderr
    assert before == git("status", "--porcelain=v2", "--branch", cwd=git_repo)
    forget(git_repo)
    if bare:
        git("push", "-q", bare_remote, "main", "runs", cwd=git_repo)
        git("clone", "-q", bare_remote.as_uri(), "fresh", cwd=tmp_path)
        git("branch", "-q", "runs", "origin/runs", cwd=tmp_path / "fresh")
    check_code(tmp_path / "fresh" if bare else git_repo, run_id)


def test_runs_of_one_tree_share_their_snapshot_wherever_they_ran(tmp_path: Path) -> None:
    """Two clones, four processes, one state of the code: one commit holds it."""
    folder = make_repository(tmp_path / "repo")
    git("clone", "-q", folder.as_uri(), "clone", cwd=tmp_path)
    snapshots = set()
    for place in (folder, tmp_path / "clone"):
        (place / ".git" / "info" / "exclude").write_text("__pycache__/\n")
        (place / "train.py").write_text(TRAIN)
        (place / "helper.py").write_text("NAME = 'brave'\n")
        for _ in range(2):
            run_id = run_python(place / "train.py", cwd=place).stdout.strip()
            snapshots.add(runstone.Client(place).get_run(run_id).source.snapshot)
        assert "" == git("for-each-ref", "refs/runstone/", cwd=place)
    assert 1 == len(snapshots)
