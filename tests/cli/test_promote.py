"""`runstone promote`, `demote`, `rollback` and `register` as people type them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.support import complete
from tests.promotion.proposing import setup
from tests.promotion.support import make_versions, write
from tests.support import git

Invoke = Callable[..., Result]


@pytest.fixture
def versions(git_repo: Path) -> list[str]:
    """Three versions of `churn`; their runs."""
    return make_versions(git_repo, 3)


def test_promote_at_once(invoke: Invoke, versions: list[str], git_repo: Path) -> None:
    """One line of what was done; the same again is nothing, and no error; by number, alias and `latest`."""
    assert "Promote churn v1 to Production\n" == invoke("promote", "churn", "1", "--stage", "production").stdout
    again = invoke("promote", "churn", "v1", "--stage", "Production")
    assert "churn v1 is in Production already.\n" == again.stdout
    assert "Point churn@champion at v3\n" == invoke("promote", "churn", "latest", "--alias", "champion").stdout
    done = invoke("promote", "churn", "@champion", "-s", "Production", "--archive-existing")
    assert "Promote churn v3 to Production, in place of v1\n" == done.stdout
    assert "" == git("status", "--porcelain", cwd=git_repo)


def test_promote_as_json(invoke: Invoke, versions: list[str], git_repo: Path) -> None:
    """What was done, for programs."""
    done = json.loads(invoke("promote", "churn", "1", "--stage", "Production", "--json").stdout)
    assert ("committed", git("rev-parse", "main", cwd=git_repo), [], None) == (
        done["done"],
        done["commit"],
        done["replaces"],
        done["branch"],
    )
    assert ["registry/churn/stages/Production.yaml"] == done["changes"]
    made = json.loads(invoke("promote", "churn", "2", "--stage", "Staging", "--propose", "--json").stdout)
    assert ("proposed", "promote/churn-v2-staging", True) == (made["done"], made["branch"], made["new"])
    assert "nothing" == json.loads(invoke("promote", "churn", "1", "-s", "Production", "--json").stdout)["done"]


def test_a_proposal_ends_with_the_text_to_send(tmp_path: Path, invoke: Invoke) -> None:
    """Pushed, and git's own request; again, the same one."""
    ann, _, remote = setup(tmp_path)
    made = invoke("promote", "churn", "1", "--stage", "Production", "-m", "Better", repo=ann)
    assert made.stdout.startswith(
        "proposed: Promote churn v1 to Production\npromote/churn-v1-production\n\nThe following"
    )
    assert f"{remote} promote/churn-v1-production" in made.stdout
    assert "runstone proposals show 'promote/churn-v1-production'" in made.stderr
    assert "proposed already: " in invoke("promote", "churn", "1", "--stage", "Production", repo=ann).stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["promote", "churn", "1"], 2, "Say where to: `--stage STAGE` or `--alias ALIAS`"),
        (["promote", "churn", "1", "-s", "Staging", "-a", "x"], 2, "not both"),
        (["promote", "churn", "1", "-a", "x", "--archive-existing"], 2, "--archive-existing goes with --stage"),
        (["promote", "churn", "x", "-s", "Staging"], 2, "'x' is no version: write its number, `@ALIAS` or `latest`."),
        (["promote", "churn", "@x", "-s", "Staging"], 1, "The model 'churn' has no alias 'x'."),
        (["promote", "churn", "9", "-s", "Staging"], 1, "No model version `churn/9`."),
        (["promote", "other", "1", "-s", "Staging"], 1, "The registry has no model 'other'."),
        (["promote", "churn", "1", "-s", "Prod"], 2, "The policy has no stage 'Prod'."),
        (["rollback", "churn", "-s", "Staging"], 1, "Nothing else ever stood in Staging of churn"),
        (["rollback", "churn"], 2, "Say what: `--stage STAGE` or `--alias ALIAS`"),
        (["register", "churn"], 2, "RUN_URI or --run"),
    ],
)
def test_wrong_calls(invoke: Invoke, versions: list[str], words: list[str], code: int, told: str) -> None:
    """2 for a wrong call, 1 for what is not so; what to write instead."""
    assert told in invoke(*words, code=code).stderr


def test_demote_and_rollback(invoke: Invoke, versions: list[str]) -> None:
    """Out of a stage, and back into it who was there before."""
    for version in "12":
        invoke("promote", "churn", version, "--stage", "Production", "--archive-existing")
    back = invoke("rollback", "churn", "--stage", "Production", "--message", "v2 times out")
    assert "Roll churn Production back to v1, in place of v2\n" == back.stdout
    assert "Demote churn v1 from Production\n" == invoke("demote", "churn", "1").stdout
    assert "churn v1 is in no stage already.\n" == invoke("demote", "churn", "1").stdout
    assert "Demote churn v2 from Archived\n" == invoke("demote", "churn", "2", "--stage", "None").stdout


def test_gates_are_judged_first(invoke: Invoke, versions: list[str], git_repo: Path) -> None:
    """The exit code is 1, and the gate is named; 2 where it could not be judged."""
    policy = "schema: runstone/policy/v1\nstages:\n  Staging: {gates: [{metric: {name: auc, at_least: 0.9}}]}\n"
    write(git_repo, {"registry/policy.yaml": policy}, "Gate", {})
    told = invoke("promote", "churn", "1", "--stage", "Staging", code=1).stderr
    assert "Promote churn v1 to Staging: does not pass, so nothing was changed." in told
    assert "auc" in told


def test_register_by_run(invoke: Invoke, versions: list[str]) -> None:
    """The run's only model is meant; `models register` is the same command; with --propose it is a request."""
    run = versions[0]
    assert "models:/other/1\n" == invoke("register", "other", "--run", run, "--tag", "team=growth").stdout
    assert "models:/third/1\n" == invoke("models", "register", "third", f"{run}/model").stdout
    made = invoke("register", "fourth", "--run", run, "--propose")
    name = json.loads(invoke("runs", "show", run, "--json").stdout)["name"]
    assert f"proposed: Register run {run[:12]} of fourth ({name})\nregister/fourth-{run[:12]}\n" == made.stdout
    met = invoke("register", "other", "--run", run, "--propose").stdout
    assert f"`model` of run {run} is other v1 already.\n" == met


def test_completion(invoke: Invoke, versions: list[str], git_repo: Path) -> None:
    """Stages of the policy, and proposals."""
    assert ["Production"] == complete("runstone promote churn 1 --stage P", git_repo)
    invoke("promote", "churn", "1", "--stage", "Production", "--propose")
    assert ["promote/churn-v1-production"] == complete("runstone proposals show p", git_repo)
