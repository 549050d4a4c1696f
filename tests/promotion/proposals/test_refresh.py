"""Proposals made anew: the same wish on the present default branch."""

from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import NotProposed, ProposalConflict, ProposalUnclear, VersionRetired
from runstone.promotion.proposals.look import NotAsked
from runstone.promotion.proposals.merge import merge_proposal
from runstone.promotion.proposals.propose import Options
from runstone.promotion.proposals.refresh import refresh
from runstone.registry.retire import retire_version
from runstone.tracking.workspace import Workspace
from tests.promotion.proposing import promote, setup
from tests.promotion.support import make_versions, stage_file, write
from tests.registry.support import log_model
from tests.sharing import make_team
from tests.support import git


def test_it_mends_a_conflict(tmp_path: Path) -> None:
    """Two propose for one stage; after the first merge the second is made anew, and displaces the first."""
    policy = "schema: runstone/policy/v1\nstages:\n  Production: {holders: 1, previous: Archived}\n  Archived: {}\n"
    ann, rae, remote = setup(tmp_path, {"registry/policy.yaml": policy})
    promote(ann, 1, stage="Production")
    Client(ann).promote("churn", 2, "Production", message="Better on all segments")
    merge_proposal(Workspace.open(rae), "churn-v1")
    with pytest.raises(ProposalConflict):
        merge_proposal(Workspace.open(rae), "churn-v2")
    outcome = refresh(Workspace.open(ann), "churn-v2")
    assert (True, (1,)) == (outcome.is_new, outcome.plan.displaced)
    message = git("log", "-1", "--format=%B", "promote/churn-v2-production", cwd=remote)
    assert "\n\nBetter on all segments\n\n" in message
    assert "Replaces: 1" in message
    merge_proposal(Workspace.open(rae), "churn-v2")
    client = Client(rae)
    assert ["Archived", "Production"] == [client.get_model_version("churn", v).current_stage for v in (1, 2)]


def test_one_that_is_up_to_date_stays(tmp_path: Path) -> None:
    """No new commit; the same answer."""
    ann, _, _ = setup(tmp_path)
    first = promote(ann, 1, stage="Production")
    again = refresh(Workspace.open(ann), "churn")
    assert (first.commit, False) == (again.commit, again.is_new)


def test_nothing_may_be_left_of_it(git_repo: Path) -> None:
    """What it wished has come about otherwise."""
    make_versions(git_repo, 2)
    promote(git_repo, 1, stage="Production", propose=True)
    write(git_repo, {"registry/churn/stages/Production.yaml": stage_file(1, 2)}, "By hand", {})
    assert "churn v1 is in Production already." == refresh(Workspace.open(git_repo), "churn").plan.nothing


def test_what_it_wished_may_no_longer_be(git_repo: Path) -> None:
    """Its version was retired meanwhile."""
    make_versions(git_repo, 2)
    promote(git_repo, 1, stage="Production", propose=True)
    retire_version(Workspace.open(git_repo), "churn", 1)
    with pytest.raises(VersionRetired):
        refresh(Workspace.open(git_repo), "churn")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("Mine", "no trailer `Proposal:`"),
        ("Mine\n\nProposal: promote", "do not say what it proposes"),
        ("Mine\n\nProposal: promote\nModel: churn\nVersion: 01\nStage: Production", "do not say what it proposes"),
        ("Mine\n\nProposal: register\nModel: churn\nRun: ../x", "no request for the run '../x'"),
    ],
)
def test_a_commit_that_does_not_say_what_it_wishes(git_repo: Path, message: str, why: str) -> None:
    """It is named, and left as it is."""
    git("checkout", "-q", "-b", "promote/mine", cwd=git_repo)
    head = write(git_repo, {"registry/churn/stages/Production.yaml": stage_file(1)}, message, {})
    git("checkout", "-q", "main", cwd=git_repo)
    with pytest.raises(ProposalUnclear, match=why):
        refresh(Workspace.open(git_repo), "mine")
    assert head == git("rev-parse", "promote/mine", cwd=git_repo)


def test_all_kinds_are_made_anew(git_repo: Path) -> None:
    """Demotions, rollbacks, aliases that go, requests to register: each from its trailers."""
    runs = make_versions(git_repo, 3)
    client = Client(git_repo)
    options = Options(propose=True)
    for version in (1, 2):
        client.promote("churn", version, "Production", archive_existing=True)
    client.promote("churn", 1, alias="champion")
    made = [
        client.demote("churn", 2, to="Staging", options=options),
        client.rollback("churn", "Production", options=options),
        client.rollback("churn", alias="champion", to=2, options=options),
        client.propose_registration("other", f"runs:/{runs[0]}/model", options=options),
    ]
    client.promote("churn", 3, "Staging")
    for outcome in made:
        git("branch", "-f", "kept", outcome.plan.branch, cwd=git_repo)
        again = refresh(client.workspace, outcome.plan.branch)
        assert outcome.plan.subject == again.plan.subject
        assert outcome.plan.wish == again.plan.wish


def test_a_registration_made_offline_takes_its_run_along(tmp_path: Path) -> None:
    """Once the remote can be reached: else whoever reviews it could not even look."""
    team = make_team(tmp_path)
    ann = tmp_path / "ann"
    uri = str(log_model(Workspace.open(ann), "0192f3ab5c6d", text="x"))
    git("remote", "set-url", "origin", str(tmp_path / "away"), cwd=ann)
    with pytest.raises(NotProposed, match="keep the proposal here meanwhile: `--no-push`"):
        Client(ann).propose_registration("churn", uri)
    with pytest.warns(NotAsked):
        kept = Client(ann).propose_registration("churn", uri, options=Options(push=False))
    git("remote", "set-url", "origin", str(team.remote), cwd=ann)
    sent = refresh(Workspace.open(ann), kept.plan.branch)
    assert (True, "origin", ["0192f3ab5c6d"]) == (sent.is_sent, sent.remote, team.runs())
    assert not refresh(Workspace.open(ann), kept.plan.branch).is_sent
