"""`runstone doctor`: real damage, found, told and, where possible, mended."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from tests.benchmarks.synthetic import commit_files
from tests.cli.support import run_cli
from tests.support import git, run_python

Invoke = Callable[..., Result]


def examine(repo: Path, *options: str, code: int = 0) -> dict[str, tuple[str, str, str]]:
    """State, detail and advice of each check, by a process of its own."""
    done = run_cli("doctor", *options, "--json", cwd=repo)
    assert code == done.returncode, done.stdout + done.stderr
    return {one["check"]: (one["state"], one["detail"], one["advice"]) for one in json.loads(done.stdout)}


def states(found: dict[str, tuple[str, str, str]]) -> dict[str, str]:
    """The checks that are not ok."""
    return {name: state for name, (state, _, _) in found.items() if state != "ok"}


def test_a_healthy_repository(three_runs: list[str], git_repo: Path) -> None:
    """Only the missing remote is worth a word; the text names each check with its state."""
    assert {"dvc": "warn"} == states(examine(git_repo))
    done = run_cli("doctor", cwd=git_repo)
    assert "ok    runs branch: refs/heads/runs is at " in done.stdout
    assert (
        "warn  dvc: no remote, so artifacts stay on this machine\n      Add one: `runstone init --remote" in done.stdout
    )


def test_before_anything_is_tracked(empty_repo: Path) -> None:
    """No commit, no branch, no identity problem that would be a failure."""
    assert {"dvc": "warn"} == states(examine(empty_repo))


def test_an_unknown_identity_and_a_shallow_clone(three_runs: list[str], git_repo: Path, tmp_path: Path) -> None:
    """Both work, and both are worth a word."""
    git("commit", "-q", "--allow-empty", "-m", "Second", cwd=git_repo)
    git("clone", "-q", "--depth", "1", f"file://{git_repo}", tmp_path / "clone", cwd=tmp_path)
    found = examine(tmp_path / "clone")
    assert {"repository": "warn", "identity": "warn", "dvc": "warn"} == states(found)
    assert "The code of older runs is not here: `git fetch --unshallow`" == found["repository"][2]


def test_a_broken_ref_is_set_back(three_runs: list[str], git_repo: Path) -> None:
    """A power cut left the branch's file empty: the reflog knows its last commit."""
    tip = git("rev-parse", "runs", cwd=git_repo)
    (git_repo / ".git" / "refs" / "heads" / "runs").write_text("")
    found = examine(git_repo, code=1)
    assert ("fail", "Mend it: `runstone doctor --fix`") == (found["runs branch"][0], found["runs branch"][2])
    assert "ok" == examine(git_repo, "--fix")["runs branch"][0]
    assert tip == git("rev-parse", "runs", cwd=git_repo)


def test_empty_objects_and_stale_locks_are_removed(three_runs: list[str], git_repo: Path) -> None:
    """An empty object that nothing needs, and a lock an hour old, go with --fix; a young lock stays."""
    empty = git_repo / ".git" / "objects" / "ab" / ("c" * 38)
    empty.parent.mkdir(exist_ok=True)
    empty.touch()
    old, young = git_repo / ".git" / "refs" / "heads" / "old.lock", git_repo / ".git" / "young.lock"
    old.touch()
    os.utime(old, (0, 0))
    young.touch()
    found = examine(git_repo, code=1)
    assert {"objects": "fail", "locks": "fail", "dvc": "warn"} == states(found)
    assert str(old) in found["locks"][1]
    assert {"dvc": "warn"} == states(examine(git_repo, "--fix"))
    assert (False, False, True) == (empty.exists(), old.exists(), young.exists())


def test_what_a_killed_writer_left_is_no_damage(three_runs: list[str], git_repo: Path) -> None:
    """A temporary file beside the objects, empty or half written, is git's to clean up."""
    (git_repo / ".git" / "objects" / "ab").mkdir(exist_ok=True)
    (git_repo / ".git" / "objects" / "ab" / "tmp_obj_0123456789ab").touch()
    assert {"dvc": "warn"} == states(examine(git_repo))


def test_a_branch_that_is_checked_out(three_runs: list[str], git_repo: Path, tmp_path: Path) -> None:
    """Recording moves the branch under that work tree, so that is worth a word; the advice ends it."""
    git("worktree", "add", "-q", tmp_path / "a look", "runs", cwd=git_repo)
    found = examine(git_repo)
    assert {"runs branch": "warn", "dvc": "warn"} == states(found)
    assert (
        "warn",
        f"refs/heads/runs is checked out in {tmp_path}/a look, where each run recorded since looks deleted",
        f"Let go of it: `git -C '{tmp_path}/a look' checkout --detach`",
    ) == found["runs branch"]
    git("-C", tmp_path / "a look", "checkout", "-q", "--detach", cwd=tmp_path)
    assert {"dvc": "warn"} == states(examine(git_repo))


def test_a_missing_object_of_the_branch(three_runs: list[str], git_repo: Path) -> None:
    """A record's blob is gone: that is found, and where to get it from is said."""
    path = git("ls-tree", "-r", "--name-only", "runs", cwd=git_repo).split("run.yaml")[0].split()[-1] + "run.yaml"
    oid = git("rev-parse", f"runs:{path}", cwd=git_repo)
    (git_repo / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    found = examine(git_repo, code=1)
    assert ("fail", f"1 object missing or damaged, as {oid}") == found["objects"][:2]
    assert "Get them from a clone or a remote: `git fetch --refetch origin runs`" == found["objects"][2]


def test_runs_that_wait_are_told_and_recorded(git_repo: Path) -> None:
    """Doctor itself changes nothing; --fix records the run of a dead process."""
    code = "import os, runstone; r = runstone.start_run(); print(r.info.run_id, flush=True); os._exit(9)"
    run_id = run_python(code, cwd=git_repo, check=False).stdout.strip()
    before = git("rev-parse", "--verify", "-q", "runs", cwd=git_repo, check=False)
    found = examine(git_repo)
    assert ("warn", f"1 ended run not recorded yet, as {run_id}", "Record them: `runstone recover`") == found[
        "journals"
    ]
    assert before == git("rev-parse", "--verify", "-q", "runs", cwd=git_repo, check=False)
    assert "ok" == examine(git_repo, "--fix")["journals"][0]


def test_damaged_journals_are_named(three_runs: list[str], git_repo: Path) -> None:
    """What could not be read whole was set aside, and stays until somebody looked at it."""
    folder = git_repo / ".git" / "runstone" / "journal" / "damaged"
    folder.mkdir(parents=True)
    (folder / "x~1.ended").write_text("?")
    found = examine(git_repo)["journals"]
    assert ("warn", "1 journal damaged, as x~1.ended") == found[:2]


def test_broken_records(three_runs: list[str], git_repo: Path) -> None:
    """A record that searches leave out is a failure, with its sentence."""
    commit_files(git_repo, {f"experiments/churn/2026-01-01/aa/{'0' * 30}aa/run.yaml": "status: [\n"})
    found = examine(git_repo, code=1)["records"]
    assert "fail" == found[0]
    assert found[1].startswith("1 record left out of searches, since unreadable. The first: `experiments/churn/")


def test_missing_artifacts(invoke: Invoke, three_runs: list[str], git_repo: Path, tmp_path: Path) -> None:
    """Gone from the cache: a failure without a remote that has them, and fine with one that does."""
    invoke("init", "--remote", str(tmp_path / "remote"))
    cache = git_repo / ".git" / "runstone" / "cache"
    kept = tmp_path / "kept"
    shutil.copytree(cache, kept)
    shutil.rmtree(cache)
    found = examine(git_repo, code=1)["artifacts"]
    assert ("fail", f"1 object missing in the cache and on the remote, as of run {three_runs[0]}") == found[:2]
    shutil.copytree(kept, cache)
    invoke("artifacts", "push", "--all")
    shutil.rmtree(cache)
    assert ("ok", "1 object of the newest 20 runs only on the remote", "") == examine(git_repo)["artifacts"]


def test_a_damaged_index_mends_itself(three_runs: list[str], git_repo: Path) -> None:
    """A file that is no database is made anew by the first look at it."""
    (git_repo / ".git" / "runstone" / "index.sqlite").write_bytes(b"no database at all" * 100)
    assert {"dvc": "warn"} == states(examine(git_repo))


def test_a_broken_runstone_yaml(three_runs: list[str], git_repo: Path) -> None:
    """The checks that need it tell what is wrong with it; the others still run."""
    (git_repo / "runstone.yaml").write_text("push: sometimes\n")
    found = examine(git_repo, code=1)
    assert ("ok", "fail") == (found["git"][0], found["settings"][0])
    assert "`push` must be one of manual, auto" in found["settings"][1]


def test_a_broken_file_of_the_registry(git_repo: Path) -> None:
    """A stage that every command leaves out, and a policy that judges nothing: a failure, with its sentence."""
    registry = git_repo / "registry"
    (registry / "churn" / "stages").mkdir(parents=True)
    (registry / "churn" / "stages" / "Production.yaml").write_text("schema: runstone/stage/v1\nversions: [x]\n")
    (registry / "policy.yaml").write_text("schema: runstone/policy/v1\nstages: 3\n")
    git("add", "registry", cwd=git_repo)
    git("commit", "-q", "-m", "Break it", cwd=git_repo)
    state, detail, advice = examine(git_repo, code=1)["registry"]
    assert ("fail", "See them all: `runstone validate`") == (state, advice)
    assert detail.startswith("2 files that are left out, since unreadable. The first: `registry/churn/stages/Prod")


def test_a_clone_that_has_gone_its_own_way(git_repo: Path, tmp_path: Path) -> None:
    """Which of two default branches is the registry is told, and that a plain clone has no notes of approvals."""
    (git_repo / "registry").mkdir()
    (git_repo / "registry" / "policy.yaml").write_text("schema: runstone/policy/v1\n")
    git("add", "registry", cwd=git_repo)
    git("commit", "-q", "-m", "Have a registry", cwd=git_repo)
    git("clone", "-q", git_repo, tmp_path / "clone", cwd=tmp_path)
    for path in (git_repo, tmp_path / "clone"):
        git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "--allow-empty", "-m", f"{path}", cwd=path)
    git("fetch", "-q", cwd=tmp_path / "clone")
    found = examine(tmp_path / "clone")
    detail = "main and origin/main have 1 and 1 commits of their own, and the registry is main"
    assert ("warn", detail, "Join them: `git pull --rebase origin main`") == found["default branch"]
    assert "warn" == found["approvals"][0]
    assert found["approvals"][2].endswith("`runstone pull`")
    (tmp_path / "clone" / "runstone.yaml").write_text("schema: runstone/config/v1\npromotion: review\n")
    assert examine(tmp_path / "clone")["default branch"][1].endswith("the registry is origin/main")
