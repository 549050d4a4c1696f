"""Going back: a version that held a stage before may have it again, whatever lets others enter."""

import json
from pathlib import Path
from typing import Any

import pytest

from runstone.client import Client
from runstone.errors import AliasNotFound, ModelEmpty
from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli
from tests.promotion.policy_support import policy, register
from tests.promotion.support import make_versions, propose, stage_file, write
from tests.support import git

STAGES = "registry/churn/stages"
BRANCH = "rollback/churn-production"


def strict(*gates: dict[str, Any]) -> str:
    """A policy that lets versions enter Production from Staging alone, past gates."""
    production = {"from": ["Staging"], "holders": 1, "previous": "Archived", "gates": list(gates)}
    return policy({"stages": {"Staging": {}, "Production": production, "Archived": {}}, "metrics": {"auc": "higher"}})


def gate(at_least: float) -> list[dict[str, Any]]:
    """No worse than the holder, and a threshold."""
    return [{"no_worse": {"metric": "auc"}}, {"metric": {"name": "auc", "at_least": at_least}}]


@pytest.fixture
def churn(git_repo: Path) -> Path:
    """Two versions that were in Production one after the other, the second better, and a third that never was."""
    workspace = Workspace.open(git_repo)
    for number, auc in enumerate((0.9, 0.95, 0.9), 1):
        register(workspace, f"run-{number}", metrics={"auc": auc})
    files = {"runstone.yaml": "promotion: review\n", "registry/policy.yaml": strict(*gate(0.85))}
    write(git_repo, {**files, f"{STAGES}/Production.yaml": stage_file(1)}, "Promote churn v1 to Production")
    moved = {f"{STAGES}/Production.yaml": stage_file(2), f"{STAGES}/Archived.yaml": stage_file(1)}
    write(git_repo, {**moved}, "Promote churn v2 to Production")
    return git_repo


def test_a_rollback_passes_what_lets_others_enter(churn: Path) -> None:
    """Neither `from` nor `no_worse` stand in its way, nobody sets a gate aside, and the gate says why it passes."""
    done = run_cli("rollback", "churn", "--stage", "Production", cwd=churn)
    assert 0 == done.returncode, done.stderr
    checked = run_cli("ci", "check", "--head", BRANCH, "--json", cwd=churn)
    assert 0 == checked.returncode, checked.stdout + checked.stderr
    verdicts = [v for change in json.loads(checked.stdout)["changes"] for v in change["gates"]]
    assert [("no_worse", "pass"), ("metric", "pass")] == [(v["gate"], v["result"]) for v in verdicts]
    why = "churn v1 held Production before; going back is not measured against what it replaces."
    assert why == verdicts[0]["message"]


def test_what_a_version_itself_has_to_be_still_counts(churn: Path) -> None:
    """A threshold that was raised since holds for whoever comes back, too."""
    write(churn, {"registry/policy.yaml": strict(*gate(0.93))}, "Ask for more")
    run_cli("rollback", "churn", "--stage", "Production", cwd=churn)
    checked = run_cli("ci", "check", "--head", BRANCH, cwd=churn)
    assert 1 == checked.returncode
    assert "`auc` of churn v1 is 0.9, below 0.93." in checked.stdout
    assert "pass     no_worse auc: churn v1 held Production before" in checked.stdout


def test_a_trailer_makes_nobody_a_former_holder(churn: Path) -> None:
    """What exempts is the history of the base: not the proposal's word, and not what it commits beneath it."""
    message = "Roll churn Production back to v3\n\nProposal: rollback\nModel: churn\nVersion: 3\nStage: Production\n"
    archived = {f"{STAGES}/Archived.yaml": stage_file(1, 2)}
    propose(churn, {f"{STAGES}/Production.yaml": stage_file(3), **archived}, message, BRANCH)
    git("checkout", "-q", BRANCH, cwd=churn)
    write(churn, {f"{STAGES}/Production.yaml": None}, "Take it out")
    write(churn, {f"{STAGES}/Production.yaml": stage_file(3)}, message)
    git("checkout", "-q", "main", cwd=churn)
    checked = run_cli("ci", "check", "--head", BRANCH, cwd=churn)
    assert 1 == checked.returncode
    assert "churn v3 comes from no stage, and the policy lets a version enter Production from Staging only." in (
        checked.stdout
    )
    assert "no_worse auc: `auc` is 0.9" in checked.stdout
    refused = run_cli("rollback", "churn", "--stage", "Production", "--to", "3", cwd=churn)
    assert 1 == refused.returncode
    assert (
        "error: churn v3 is in no stage, and the policy lets a version enter Production from Staging only. First: "
        "`runstone promote 'churn' 3 --stage Staging`\n"
    ) == refused.stderr


def test_a_shallow_job_brings_the_past_that_tells(churn: Path, tmp_path: Path) -> None:
    """CI checks out one commit; who held the stage is asked of the remote then."""
    run_cli("rollback", "churn", "--stage", "Production", cwd=churn)
    job = tmp_path / "job"
    git("clone", "-q", "--depth", "1", "--no-single-branch", f"file://{churn}", job, cwd=tmp_path)
    checked = run_cli("ci", "check", "--base", "main", "--head", f"origin/{BRANCH}", cwd=job)
    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_an_alias_that_never_was_is_not_known(git_repo: Path) -> None:
    """Rather than that nothing else stood there."""
    make_versions(git_repo, 1)
    with pytest.raises(AliasNotFound):
        Client(git_repo).rollback("churn", alias="nope")


def test_a_model_without_versions_says_so(git_repo: Path) -> None:
    """It is known, so that it is not called missing."""
    Client(git_repo).create_registered_model("empty")
    with pytest.raises(ModelEmpty, match="empty has no version yet"):
        Client(git_repo).promote("empty", 1, "Production")
