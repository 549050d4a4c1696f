"""Models renamed and deleted: at once where nobody has to say yes to it, else by a proposal that somebody merges."""

import io
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import BranchTaken, ModelExists, ModelNotFound, ProposalConflict, ReviewRequired
from runstone.git.repository import Repository
from runstone.promotion.ci.check import check
from runstone.promotion.ci.context import Context
from runstone.promotion.proof.guard import judge_push, parse_updates
from runstone.promotion.proof.verify import verify
from runstone.promotion.proposals.close import close
from runstone.promotion.proposals.listing import list_proposals
from runstone.promotion.proposals.look import look
from runstone.promotion.proposals.merge import merge_proposal
from runstone.promotion.proposals.models import delete_model, rename_model
from runstone.promotion.proposals.propose import Options
from runstone.promotion.proposals.refresh import refresh
from runstone.registry.model import list_model_names
from runstone.tracking.workspace import Workspace
from tests.promotion.proposing import promote, reviewed, setup
from tests.promotion.support import alias_file, make_versions, stage_file, write
from tests.support import git

FILES = {"registry/churn/stages/Production.yaml": stage_file(2), "registry/churn/aliases/champion.yaml": alias_file(2)}
MODEL = "schema: runstone/registered-model/v1\nname: leavers\n"
STRICT = {"registry/policy.yaml": "schema: runstone/policy/v1\nstages: {Production: {approvals: {count: 1}}}\n"}


def proved(repo: Path, remote: Path, before: str) -> tuple[object, ...]:
    """What `verify` and `guard` have against what has come onto the default branch: nothing, if it was approved."""
    workspace = Workspace(Repository.open(repo))
    line = f"{before} {git('rev-parse', 'main', cwd=remote)} refs/heads/main\n"
    shared = Repository.open(remote)
    return (*verify(workspace, artifacts=False).breaks, *judge_push(shared, parse_updates(shared, io.StringIO(line))))


def test_a_reviewed_rename(tmp_path: Path) -> None:
    """A proposal that names both; listed, checked, made anew, merged by somebody else, and proved."""
    ann, rae, remote = setup(tmp_path, FILES)
    before = git("rev-parse", "main", cwd=remote)
    with pytest.raises(ReviewRequired) as caught:
        Client(ann).rename_registered_model("churn", "Attrition (EU)")
    branch = caught.value.proposal or ""
    assert "rename/churn-attrition%20(eu)" == branch
    assert str(caught.value).startswith("churn was not renamed: `promotion: review` in runstone.yaml says ")
    assert f"`runstone proposals merge '{branch}'`" in str(caught.value)
    assert (before, "") == (git("rev-parse", "main", cwd=ann), git("status", "--porcelain", cwd=ann))
    message = "Rename churn to Attrition (EU)\n\nProposal: rename\nModel: Attrition (EU)\nFormer-name: churn"
    assert message == git("log", "-1", "--format=%B", branch, cwd=remote).strip()
    found = list_proposals(Repository.open(rae), look(Repository.open(rae)))
    assert [(branch, "open")] == [(each.branch, each.state) for each in found]
    again = rename_model(Workspace.open(ann), "churn", "Attrition (EU)")
    assert (True, False) == (again.is_proposal, again.is_new)
    Client(rae).update_registered_model("churn", "Who leaves")
    git("push", "-q", "origin", "main", cwd=rae)
    with pytest.raises(ProposalConflict, match=r"registry/churn/model\.yaml"):
        merge_proposal(Workspace.open(rae), "churn")
    assert refresh(Workspace.open(ann), "churn").is_new
    base, head = (git("rev-parse", name, cwd=ann) for name in ("origin/main", branch))
    judged = check(Workspace.open(ann), Context(base, head, base))
    assert ("pass", []) == (judged.result, list(judged.findings))
    merge_proposal(Workspace.open(rae), "churn")
    assert "Who leaves" == Client(rae).get_registered_model("Attrition (EU)").description
    assert 2 == Client(rae).get_model_version_by_alias("Attrition (EU)", "champion").version
    assert () == proved(rae, remote, before)


def test_a_reviewed_deletion(tmp_path: Path) -> None:
    """The proposal removes every file; merged, the same call retires the versions, and the last name stays taken."""
    ann, rae, remote = setup(tmp_path, {**FILES, "registry/churn/model.yaml": MODEL})
    before = git("rev-parse", "main", cwd=remote)
    with pytest.raises(ReviewRequired, match=r"leavers was not deleted: .* It is proposed: `remove/churn`"):
        Client(ann).delete_registered_model("leavers")
    assert "churn@v1\nchurn@v2" == git("tag", cwd=remote)
    done = merge_proposal(Workspace.open(rae), "remove/churn")
    assert ("The versions of churn are still there. Retire them: `runstone models delete 'churn'`",) == done.remarks
    assert "" == git("ls-tree", "-r", "--name-only", "main", "registry", cwd=remote)
    assert () == proved(rae, remote, before)
    with pytest.raises(ModelExists, match="versions of a deleted model were given under this name"):
        Client(rae).create_registered_model("leavers")
    Client(rae).delete_registered_model("churn")
    assert [] == list_model_names(Workspace.open(rae).repo)
    assert ["churn@v1", "churn@v1!", "churn@v2", "churn@v2!"] == git("tag", cwd=remote).split()
    with pytest.raises(ModelNotFound):
        Client(rae).delete_registered_model("churn")


def test_without_review_it_is_one_commit(git_repo: Path) -> None:
    """As ever; and with `propose` it is a proposal all the same."""
    reviewed(git_repo, review=False)
    assert "leavers" == Client(git_repo).rename_registered_model("churn", "leavers").name
    said = git("log", "-1", "--format=%B", cwd=git_repo)
    assert "Rename churn to leavers\n\nModel: leavers\nFormer-name: churn\n" == said
    outcome = delete_model(Workspace.open(git_repo), "leavers", options=Options(propose=True))
    assert (True, "remove/churn") == (outcome.is_proposal, outcome.plan.branch)
    assert [] == close(Repository.open(git_repo), "remove/churn")[1]
    Client(git_repo).delete_registered_model("leavers")
    assert "Delete the model leavers\n\nModel: leavers\n" == git("log", "-1", "--format=%B", cwd=git_repo)
    assert ["churn@v1", "churn@v1!", "churn@v2", "churn@v2!"] == git("tag", cwd=git_repo).split()


def test_what_a_policy_guards_is_proposed_in_direct_mode_too(git_repo: Path) -> None:
    """A name leads to all that is in the stages of a model; a description leads nowhere."""
    reviewed(git_repo, STRICT | FILES, review=False)
    client = Client(git_repo)
    told = r"^churn was not renamed: registry/policy\.yaml says that such changes are reviewed\. .*rename/churn-leavers"
    with pytest.raises(ReviewRequired, match=told):
        client.rename_registered_model("churn", "leavers")
    with pytest.raises(ReviewRequired, match="remove/churn"):
        client.delete_registered_model("churn")
    assert "Who leaves" == client.update_registered_model("churn", "Who leaves").description
    make_versions(git_repo, 1, "other")
    client.delete_registered_model("other")  # it has no file
    assert ["churn"] == list_model_names(Workspace.open(git_repo).repo)


def test_names_that_are_taken_are_refused_before_anything_is_proposed(tmp_path: Path) -> None:
    """By another model; and a branch that proposes something else is not overwritten."""
    ann, _, remote = setup(tmp_path)
    make_versions(ann, 1, "other")
    with pytest.raises(ModelExists):
        rename_model(Workspace.open(ann), "churn", "other")
    git("push", "-q", "origin", "main:refs/heads/rename/churn-leavers", cwd=ann)
    git("checkout", "-q", "-b", "rename/churn-leavers", cwd=ann)
    write(ann, {"train.py": "mine\n"}, "Mine", {})
    git("push", "-q", "origin", "rename/churn-leavers", cwd=ann)
    git("checkout", "-q", "main", cwd=ann)
    with pytest.raises(BranchTaken):
        rename_model(Workspace.open(ann), "churn", "leavers")
    assert "Mine" == git("log", "-1", "--format=%s", "rename/churn-leavers", cwd=remote)


def test_a_rename_beside_a_promotion(tmp_path: Path) -> None:
    """Other files, so both are merged, in any order."""
    ann, rae, remote = setup(tmp_path)
    before = git("rev-parse", "main", cwd=remote)
    promote(ann, 1, stage="Production")
    rename_model(Workspace.open(ann), "churn", "leavers")
    merge_proposal(Workspace.open(rae), "rename/")
    merge_proposal(Workspace.open(rae), "promote/")
    assert 1 == Client(rae).get_latest_versions("leavers", ["Production"])[0].version
    assert () == proved(rae, remote, before)
