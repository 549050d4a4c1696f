"""The author's branch is squash-merged and deleted, and the repository collected: years later, a colleague in a fresh
clone checks the run out, byte for byte, and runs it again.
"""

import json
import subprocess
from pathlib import Path

from tests.cli.support import run_cli
from tests.projects.support import contents
from tests.support import git, run_python

SCRIPT = """
import sys
from pathlib import Path
import runstone
with runstone.start_run(run_name="the-one"):
    runstone.log_param("factor", int(sys.argv[1]))
    runstone.log_metric("result", int(Path("data.txt").read_text()) * int(sys.argv[1]))
    runstone.log_artifact("data.txt")
"""


def test_a_run_outlives_its_branch(git_repo: Path, bare_remote: Path, tmp_path: Path) -> None:
    """Squash-merge, deleted branch, `git gc --prune=now` on both sides: the checkout is what was in the work tree."""
    git("remote", "add", "origin", bare_remote, cwd=git_repo)
    git("push", "-q", "origin", "main", cwd=git_repo)
    git("switch", "-q", "-c", "feature", cwd=git_repo)
    (git_repo / "work").mkdir()
    (git_repo / "work" / "train.py").write_text(SCRIPT)
    (git_repo / "work" / "data.txt").write_text("21")
    (git_repo / "work" / "tool.sh").write_text("#!/bin/sh\n")
    (git_repo / "work" / "tool.sh").chmod(0o755)
    (git_repo / "latest").symlink_to("work/data.txt")
    (git_repo / "bytes ü.bin").write_bytes(b"\r\n\0\xff" * 999)
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Feature", cwd=git_repo)
    then = contents(git_repo)
    run_python(git_repo / "work" / "train.py", "2", cwd=git_repo / "work")
    run_commit = git("rev-parse", "feature", cwd=git_repo)

    (git_repo / "work" / "data.txt").write_text("22")
    git("commit", "-q", "-am", "Other data", cwd=git_repo)
    git("switch", "-q", "main", cwd=git_repo)
    git("merge", "-q", "--squash", "feature", cwd=git_repo)
    git("commit", "-q", "-m", "Feature, squashed", cwd=git_repo)
    git("branch", "-q", "-D", "feature", cwd=git_repo)
    git("push", "-q", "origin", "main", "runs", cwd=git_repo)
    for repo in (git_repo, bare_remote):
        git("reflog", "expire", "--expire=now", "--all", cwd=repo)
        git("gc", "-q", "--prune=now", cwd=repo)

    clone = tmp_path / "elsewhere" / "clone"
    git("clone", "-q", bare_remote, clone, cwd=tmp_path)
    assert "" == git("branch", "-a", "--list", "*feature*", cwd=clone)
    done = run_cli("checkout", "the-one", "--no-artifacts", "--json", cwd=clone)
    assert (0, "") == (done.returncode, done.stderr)
    made = json.loads(done.stdout)

    place = Path(made["path"])
    assert clone.with_name("clone@the-one") == place
    assert run_commit == made["snapshot"]
    assert then == contents(place)
    assert "" == git("status", "--porcelain", cwd=place)
    assert (["train.py", "2"], "work") == (made["command"][-2:], made["directory"])
    run_python(place / "work" / "train.py", *made["command"][-1:], cwd=place / "work")
    listed = json.loads(run_cli("runs", "list", "--json", cwd=clone).stdout)
    assert 2 == len(listed)
    assert 0 == run_cli("checkout", "--clean", "--force", cwd=clone).returncode
    assert [clone] == [path for path in clone.parent.iterdir() if path.name.startswith("clone")]


def test_the_edits_of_a_run_are_there_too(git_repo: Path, bare_remote: Path, tmp_path: Path) -> None:
    """Edited, staged, deleted, renamed and new files, modes and links, never committed: from a fresh clone, exactly."""
    (git_repo / "data.txt").write_text("21")
    (git_repo / "gone.txt").write_text("gone")
    (git_repo / "plain.sh").write_text("#!/bin/sh\n")
    (git_repo / ".gitignore").write_text("ignored/\n")
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Code", cwd=git_repo)
    (git_repo / "train.py").write_text(SCRIPT)
    (git_repo / "staged ü.txt").write_text("staged")
    git("add", "staged ü.txt", cwd=git_repo)
    (git_repo / "gone.txt").unlink()
    (git_repo / "plain.sh").chmod(0o755)
    (git_repo / "new").mkdir()
    (git_repo / "new" / "link").symlink_to("../data.txt")
    (git_repo / "new" / "bytes").write_bytes(b"\r\n\0\xff")
    then = contents(git_repo)
    run_python(git_repo / "train.py", "2", cwd=git_repo)
    git("add", "-A", cwd=git_repo)
    git("reset", "-q", "--hard", cwd=git_repo)
    git("push", "-q", bare_remote, "main", "runs", cwd=git_repo)
    git("clone", "-q", bare_remote, tmp_path / "clone", cwd=tmp_path)
    done = run_cli("checkout", "the-one", "-q", "--no-artifacts", cwd=tmp_path / "clone")
    assert (0, "") == (done.returncode, done.stderr)
    assert then == contents(Path(done.stdout.strip()))


def test_what_the_artifacts_need_is_said(git_repo: Path, bare_remote: Path, tmp_path: Path) -> None:
    """In a clone that has no DVC remote the artifacts cannot be had: the error gives the line that goes on without."""
    (git_repo / "data.txt").write_text("21")
    (git_repo / "train.py").write_text(SCRIPT)
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Code", cwd=git_repo)
    run_python(git_repo / "train.py", "2", cwd=git_repo)
    git("push", "-q", bare_remote, "main", "runs", cwd=git_repo)
    git("clone", "-q", bare_remote, tmp_path / "clone", cwd=tmp_path)
    failed = run_cli("checkout", "the-one", cwd=tmp_path / "clone")
    assert 1 == failed.returncode
    assert not (tmp_path / "clone@the-one").exists()
    line = failed.stderr.rpartition("without them: `")[2].partition("`")[0]
    assert "runstone checkout the-one --no-artifacts" == line
    assert 0 == run_cli(*line.split()[1:], cwd=tmp_path / "clone").returncode
    assert (tmp_path / "clone@the-one" / ".runstone" / "run.yaml").exists()


def test_a_shell_goes_there_at_once(git_repo: Path, tmp_path: Path) -> None:
    """`cd "$(runstone checkout RUN --quiet)"` leads into the checkout."""
    (git_repo / "data.txt").write_text("21")
    run_python(SCRIPT, "2", cwd=git_repo)
    done = run_cli("checkout", "the-one", "-q", cwd=git_repo)
    shell = subprocess.run(["sh", "-c", 'cd "$1" && pwd', "sh", done.stdout.strip()], capture_output=True, text=True)
    assert f"{git_repo}@the-one\n" == shell.stdout
