"""Story: Ann asks for a version of what her run logged, Rae merges, and a CI job makes it: once, whatever happens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import COMMAND, environment, run_cli
from tests.promotion.merged import ci_checkout, log_and_share, push_file
from tests.promotion.support import RAE
from tests.sharing import Team
from tests.support import git

pytestmark = pytest.mark.ci


def run(*arguments: str, cwd: Path) -> str:
    """Run a command that must end well; what it printed."""
    done = run_cli(*arguments, cwd=cwd)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def propose(team: Team, run_id: str) -> str:
    """Ann logs a run, and asks for a version of its model; the branch of the request."""
    log_and_share(team, run_id)
    ann = team.folder / "ann"
    run("register", "churn", "--run", run_id, "--propose", cwd=ann)
    (branch,) = [name for name in git("branch", "--format=%(refname:short)", cwd=team.remote).split() if run_id in name]
    return branch


def merge(team: Team, branch: str) -> None:
    """Rae fetches a request, reads it, merges it with plain git, and pushes."""
    rae = team.folder / "rae"
    if not rae.exists():
        team.clone("rae")
    git("pull", "-q", "--ff-only", "origin", "main", cwd=rae)
    git("fetch", "-q", "origin", branch, cwd=rae)
    git("merge", "-q", "--no-ff", "-m", f"Merge proposal {branch}", "FETCH_HEAD", cwd=rae, env=RAE)
    git("push", "-q", "origin", "main", cwd=rae)


def test_ci_registers_on_merge(team: Team) -> None:
    """Nothing before the merge; after it one version, that everybody can load; and none when the job runs again."""
    branch = propose(team, "run-1")
    assert "" == run("ci", "register", cwd=ci_checkout(team, "too-early"))
    assert [] == team.tags()
    merge(team, branch)
    assert "models:/churn/1\n" == run("ci", "register", cwd=ci_checkout(team))
    assert "" == run("ci", "register", cwd=team.folder / "ci")
    assert "" == run("ci", "register", cwd=ci_checkout(team, "again"))
    assert ["churn@v1"] == team.tags()
    merge(team, propose(team, "run-2"))
    assert "models:/churn/2\n" == run("ci", "register", cwd=ci_checkout(team, "later"))
    reader = team.clone("reader")
    run("pull", cwd=reader)
    run("models", "get", "churn/2", "out", cwd=reader)
    assert "run-2" == (reader / "out" / "sub" / "weights.bin").read_text()
    team.check()


def test_two_jobs_at_once_give_one_version(team: Team) -> None:
    """As when a job is started again by hand while it still runs: they end well, and one has made the version."""
    merge(team, propose(team, "run-1"))
    jobs = [
        subprocess.Popen(
            [*COMMAND, "ci", "register", "--json"],
            cwd=ci_checkout(team, f"ci-{number}"),
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    printed = [json.loads(job.communicate(timeout=60)[0]) for job in jobs]
    assert [0, 0, 0] == [job.returncode for job in jobs]
    assert ["present", "present", "registered"] == sorted(version["done"] for p in printed for version in p["versions"])
    assert {"models:/churn/1"} == {version["uri"] for each in printed for version in each["versions"]}
    assert ["churn@v1"] == team.tags()


def test_a_run_that_only_a_fork_has_is_refused(team: Team) -> None:
    """Mallory's run is on no branch of the project; though a forge would hand its commit out by id, it is not taken."""
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=team.remote)
    log_and_share(team, "run-1")
    mallory = team.clone("mallory")
    fork = team.folder / "fork.git"
    git("clone", "-q", "--bare", team.remote, fork, cwd=team.folder)
    git("remote", "set-url", "origin", fork, cwd=mallory)
    log_and_share(Team(team.folder, fork, team.store), "run-9", clone="mallory")
    run("register", "churn", "--run", "run-9", "--propose", cwd=mallory)
    (branch,) = [name for name in git("branch", "--format=%(refname:short)", cwd=fork).split() if "run-9" in name]
    git("push", "-q", team.remote, f"{branch}:refs/heads/{branch}", "runs:refs/pull/1/head", cwd=fork)
    merge(team, branch)  # Rae did not look
    done = run_cli("ci", "register", cwd=ci_checkout(team))
    assert (1, "") == (done.returncode, done.stdout)
    assert "is not on the branch `runs` of `origin`" in done.stderr
    assert [] == team.tags()


def test_behind_the_guard_of_a_bare_repository(
    team: Team, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with the pre-receive hook takes what was reviewed, and the job's tag, and no tag of anything else."""
    programs = tmp_path_factory.mktemp("bin")
    (programs / "runstone").write_text(f'#!/bin/sh\nexec {sys.executable} -m runstone "$@"\n')
    (programs / "runstone").chmod(0o755)
    push_file(team, "runstone.yaml", "promotion: review\n")
    run("--repo", str(team.remote), "init", "--guard", cwd=team.folder)
    for name, value in environment({"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}).items():
        monkeypatch.setenv(name, value)
    merge(team, propose(team, "run-1"))
    assert "models:/churn/1\n" == run("ci", "register", cwd=ci_checkout(team))
    ann = team.folder / "ann"
    git("tag", "-a", "-m", "churn version 2", "churn@v2", "main", cwd=ann)
    pushed = subprocess.run(["git", "push", "origin", "churn@v2"], cwd=ann, capture_output=True, text=True, check=False)
    assert 1 == pushed.returncode
    assert "refused refs/tags/churn@v2: " in pushed.stderr
    assert ["churn@v1"] == team.tags()
