"""`runstone ci check`: its forms, its exit codes."""

import json
from pathlib import Path

import pytest

from tests.cli.support import run_cli
from tests.promotion.support import make_versions, propose, stage_file, write

BRANCH = "promote/churn-v2-production"
PATH = "registry/churn/stages/Production.yaml"
MISSING = (
    "there is no version 9 of 'churn', which has versions 1 to 2. Name one that exists: `runstone models show churn`"
)
POLICY = """\
schema: runstone/policy/v1
stages:
  Staging: {}
  Production:
    gates:
    - tags: [legal]
    approvals: {count: 1}
"""


@pytest.fixture
def repo(git_repo: Path) -> Path:
    """Two versions of `churn`; a branch puts the second into Production, another one a ninth."""
    make_versions(git_repo)
    write(git_repo, {"registry/churn/stages/Staging.yaml": stage_file(2)}, "Begin the registry")
    promote: dict[str, str | None] = {PATH: stage_file(2), "registry/churn/stages/Staging.yaml": None}
    propose(git_repo, promote, "Promote churn v2", BRANCH)
    propose(git_repo, {PATH: stage_file(9)}, "Promote churn v9", "wrong")
    return git_repo


def test_a_proposal_that_may_be_merged(repo: Path) -> None:
    """Exit code 0, and what it changes."""
    done = run_cli("ci", "check", "--head", BRANCH, cwd=repo)
    assert (0, "") == (done.returncode, done.stderr)
    assert "churn v2: Staging → Production\n1 file checked: nothing wrong; pass\n" == done.stdout


def test_a_proposal_that_may_not(repo: Path) -> None:
    """Exit code 1; file, line and what to do, each on a line that editors take."""
    done = run_cli("ci", "check", "--head", "wrong", cwd=repo)
    assert 1 == done.returncode
    assert f"{PATH}:3: error: {MISSING}" == done.stdout.splitlines()[0]
    assert "2 files checked: 1 error; fail" == done.stdout.splitlines()[-1]


def test_what_cannot_be_decided(repo: Path) -> None:
    """Exit code 2: a base that is nowhere, approvals that nobody can be asked for."""
    done = run_cli("ci", "check", "--base", "nope", cwd=repo)
    assert 2 == done.returncode
    assert "There is no commit 'nope' here. Name a branch or a commit: `git branch --all`" in done.stderr
    write(repo, {"registry/policy.yaml": POLICY}, "A policy")
    variables = {"JENKINS_URL": "x", "CHANGE_TARGET": "gone"}
    done = run_cli("ci", "check", cwd=repo, env=variables)
    assert 2 == done.returncode
    assert "The branch `gone`, into which this is to be merged, is neither here nor on the remote." in done.stderr
    done = run_cli("ci", "check", "--head", BRANCH, "--no-gates", "--approvals", cwd=repo)
    assert 2 == done.returncode
    assert "needs approvals, and whether it has them cannot be told. The git remote is on no forge" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("checked: 1 undecided; cannot decide")


def test_gates_and_approvals_are_shown(repo: Path) -> None:
    """Gate by gate; approvals are told, and lack of them is no failure here."""
    write(repo, {"registry/policy.yaml": POLICY}, "A policy")
    done = run_cli("ci", "check", "--head", BRANCH, cwd=repo)
    assert 1 == done.returncode
    first, *rest = done.stdout.splitlines()
    assert first.startswith(f"{PATH}:3: error: tags legal: churn v2 lacks `legal`.")
    assert rest[0] == "churn v2: Staging → Production"
    assert rest[1].startswith("  fail     tags legal: churn v2 lacks")
    assert ["  needs    1 approval", "2 files checked: 1 error; fail"] == rest[2:]
    assert 0 == run_cli("ci", "check", "--head", BRANCH, "--no-gates", cwd=repo).returncode


def test_json_for_programs(repo: Path) -> None:
    """The result, the findings, the changes with their gates."""
    done = run_cli("ci", "check", "--head", "wrong", "--json", cwd=repo)
    found = json.loads(done.stdout)
    assert (1, "fail") == (done.returncode, found["result"])
    finding = {"level": "error", "path": PATH, "line": 3, "kind": "version-missing", "message": MISSING}
    assert [finding] == found["findings"]
    assert ["churn v9: None → Production"] == [each["change"] for each in found["changes"]]
    done = run_cli("ci", "check", "--json", "--format", "text", cwd=repo)
    assert 2 == done.returncode
    assert "--json and --format text cannot be used together." in done.stderr


@pytest.mark.parametrize("ci", ["variable", "option"])
def test_annotations_for_github(repo: Path, tmp_path: Path, ci: str) -> None:
    """In GitHub Actions by itself; the job's page gets the report."""
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    variables = {"GITHUB_ACTIONS": "true"} if ci == "variable" else {}
    options = [] if ci == "variable" else ["--format", "github"]
    done = run_cli(
        "ci", "check", "--base", "main", "--head", "wrong", *options, cwd=repo,
        env={"GITHUB_STEP_SUMMARY": str(summary), **variables},
    )  # fmt: skip
    assert 1 == done.returncode
    properties = f"file={PATH},line=3,title=runstone version-missing"
    assert f"::error {properties}::{MISSING}" == done.stdout.splitlines()[0]
    assert summary.read_text().startswith("before\n<!-- runstone report -->\n### What this changes")


def test_a_code_quality_report_for_gitlab(repo: Path, tmp_path: Path) -> None:
    """In a file; people still read what is wrong in the job's log."""
    report = tmp_path / "gl-code-quality-report.json"
    done = run_cli("ci", "check", "--head", "wrong", "--format", "gitlab", "-o", str(report), cwd=repo)
    assert 1 == done.returncode
    assert f"{PATH}:3: error: {MISSING}" in done.stdout
    (entry,) = json.loads(report.read_text())
    assert ({"path": PATH, "lines": {"begin": 3}}, "major") == (entry["location"], entry["severity"])
    run_cli("ci", "check", "--head", BRANCH, "--format", "gitlab", "-o", str(report), cwd=repo)
    assert [] == json.loads(report.read_text())


def test_hostile_names_are_shown_as_what_they_are(repo: Path) -> None:
    """A file's name cannot colour the screen, begin a line, or give GitHub a command."""
    propose(repo, {"registry/%3A%3Aerror%3A%3Ax/stages/Production.yaml": stage_file(1)}, "Hostile", "hostile-stage")
    done = run_cli("ci", "check", "--base", "main", "--head", "hostile-stage", "--format", "github", cwd=repo)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("::error file=registry/%253A%253A")]
    assert [":\u200b:error::x v1: None → Production", "2 files checked: 1 error; fail"] == [lines[0], lines[-1]]
    write(repo, {"registry/churn/aliases/a\n::warning::\x1b[31m.yaml": "x"}, "Hostile")
    done = run_cli("ci", "check", cwd=repo)
    assert done.stdout.startswith(r"registry/churn/aliases/a\n::warning::\x1b[31m.yaml:1: error: ")
    done = run_cli("ci", "check", "--format", "github", cwd=repo)
    assert ["::error"] == [line.split(" ")[0] for line in done.stdout.splitlines() if line.startswith("::")]
