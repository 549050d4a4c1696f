"""Open proposals as they are listed and found: here, on the remote, in forks; how they stand to the default branch."""

from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import BranchRefused, ProposalAmbiguous, ProposalNotFound, RunstoneError
from runstone.git.repository import Repository
from runstone.promotion.proposals.close import close
from runstone.promotion.proposals.listing import find_proposal, list_proposals
from runstone.promotion.proposals.look import look
from runstone.promotion.proposals.merge import merge_proposal
from runstone.promotion.proposals.propose import Options
from runstone.promotion.proposals.refresh import refresh
from runstone.tracking.workspace import Workspace
from tests.promotion.proposing import clone, promote, setup
from tests.promotion.support import make_versions, stage_file, write
from tests.support import git


def states(repo: Path, *, ask: bool = True, merged: bool = False) -> dict[str, str]:
    """Name → state of the proposals."""
    opened = Repository.open(repo)
    return {each.name: each.state for each in list_proposals(opened, look(opened, ask=ask), merged=merged)}


def test_those_of_the_remote_are_found(tmp_path: Path) -> None:
    """Also in a clone that has just been made, and offline those that were seen; never what is merged."""
    ann, rae, _ = setup(tmp_path)
    promote(ann, 1, stage="Production")
    promote(ann, 2, alias="champion")
    expected = {"promote/churn-v1-production": "open", "promote/churn-v2-champion": "open"}
    assert {} == states(rae, ask=False)
    assert expected == states(rae)
    assert expected == states(rae, ask=False)
    merge_proposal(Workspace.open(rae), "champion")
    assert {"promote/churn-v1-production": "stale"} == states(ann)


def test_how_one_stands_to_the_default_branch(git_repo: Path) -> None:
    """Open; stale once other files of the model have changed; in conflict once the same one has; merged."""
    make_versions(git_repo, 3)
    branch, staging = "promote/churn-v1-production", "registry/churn/stages/Staging.yaml"
    promote(git_repo, 1, stage="Production", propose=True)
    write(git_repo, {"other.txt": "text\n"}, "Other", {})
    assert {branch: "open"} == states(git_repo)
    write(git_repo, {staging: stage_file(2)}, "Staging", {})
    assert {branch: "stale"} == states(git_repo)
    write(git_repo, {"registry/churn/stages/Production.yaml": stage_file(3)}, "Production", {})
    assert {branch: "conflicts"} == states(git_repo)
    write(git_repo, {"registry/churn/stages/Production.yaml": stage_file(1)}, "The same by hand", {})
    assert ({}, {branch: "merged"}) == (states(git_repo), states(git_repo, merged=True))


def test_of_one_here_and_one_on_the_remote_the_newer_counts(tmp_path: Path) -> None:
    """One entry for a branch; after somebody else has made it anew, theirs."""
    ann, rae, remote = setup(tmp_path)
    promote(ann, 1, stage="Production")
    git("fetch", "-q", cwd=rae)
    git("checkout", "-q", "--detach", "origin/promote/churn-v1-production", cwd=rae)
    env = {"GIT_COMMITTER_DATE": "2099-01-01T00:00:00Z"}
    git("commit", "-q", "--amend", "--no-edit", cwd=rae, env=env)
    git("push", "-q", "--force", "origin", "HEAD:promote/churn-v1-production", cwd=rae)
    repo = Repository.open(ann)
    (found,) = list_proposals(repo, look(repo))
    assert git("rev-parse", "promote/churn-v1-production", cwd=remote) == found.commit
    assert ("origin", False) == (found.remote, found.is_local)


def test_a_proposal_has_a_short_name(git_repo: Path) -> None:
    """The model's name, or any part that only one has; several are named, and so is what there is."""
    make_versions(git_repo, 2)
    client = Client(git_repo)
    first = promote(git_repo, 1, stage="Production", propose=True).plan.branch
    repo = Repository.open(git_repo)
    view = look(repo)
    for name in ("churn", "PRODUCTION", "v1", first):
        assert first == find_proposal(repo, view, name).branch
    client.promote("churn", 2, "Staging", options=Options(propose=True))
    with pytest.raises(ProposalAmbiguous, match="'churn' means several"):
        find_proposal(repo, view, "churn")
    with pytest.raises(ProposalNotFound) as caught:
        find_proposal(repo, view, "other")
    assert (
        "No open proposal is called 'other'. There are promote/churn-v1-production, promote/churn-v2-staging. "
        "List them: `runstone proposals list`"
    ) == str(caught.value).replace("promote/churn-v2-staging, promote/churn-v1-production",
                                   "promote/churn-v1-production, promote/churn-v2-staging")  # fmt: skip


def test_forks_have_proposals_of_their_own(tmp_path: Path) -> None:
    """Named after their remote where they are something else; what the shared remote has, too, is listed once."""
    ann, rae, remote = setup(tmp_path)
    fork = tmp_path / "fork.git"
    git("clone", "-q", "--bare", remote, fork, cwd=tmp_path)
    promote(clone(fork, "kim"), 1, stage="Production")
    git("remote", "add", "kims", fork, cwd=rae)
    git("fetch", "-q", "kims", cwd=rae)
    assert {"kims/promote/churn-v1-production": "open"} == states(rae)
    git("push", "-q", remote, "refs/remotes/kims/promote/*:refs/heads/promote/*", cwd=rae)
    assert {"promote/churn-v1-production": "open"} == states(rae)
    assert {"promote/churn-v1-production": "open"} == states(ann)


def test_to_close_one_is_to_remove_its_branch(tmp_path: Path) -> None:
    """Here and on the remote; elsewhere it is gone with the next look."""
    ann, rae, remote = setup(tmp_path)
    promote(ann, 1, stage="Production")
    assert 1 == len(states(rae))
    proposal, left = close(Repository.open(ann), "churn")
    assert ("promote/churn-v1-production", []) == (proposal.branch, left)
    assert ("", "") == tuple(git("branch", "--list", "promote/*", cwd=repo) for repo in (ann, remote))
    assert {} == states(rae)


def test_one_that_the_remote_keeps_is_not_closed(tmp_path: Path) -> None:
    """Then it can still be merged, so that it stays here, too."""
    ann, rae, remote = setup(tmp_path)
    promote(ann, 1, stage="Production")
    git("config", "receive.denyDeletes", "true", cwd=remote)
    with pytest.raises(BranchRefused) as caught:
        close(Repository.open(ann), "churn")
    first, *_, last = str(caught.value).splitlines()
    assert "The git remote `origin` refused to remove `promote/churn-v1-production`, so it stays there:" == first
    assert (
        "Ask whoever runs the remote to remove it, or for the right to remove branches. Then: "
        "`runstone proposals close 'promote/churn-v1-production'`"
    ) == last
    assert "promote/churn-v1-production" == git("branch", "--list", "--format=%(refname:short)", "promote/*", cwd=ann)
    assert {"promote/churn-v1-production": "open"} == states(rae)


def test_one_that_somebody_else_made_anew_and_merged(tmp_path: Path) -> None:
    """What is left of it here is no open proposal; who merges it again, or asks for it, is told so."""
    ann, rae, remote = setup(tmp_path)
    promote(ann, 1, stage="Production")
    git("fetch", "-q", cwd=rae)
    write(rae, {"registry/churn/stages/Production.yaml": stage_file(2)}, "By hand", {})
    git("push", "-q", "origin", "main", cwd=rae)
    refresh(Workspace.open(rae), "churn")
    merge_proposal(Workspace.open(clone(remote, "cy")), "churn")
    assert ({}, {"promote/churn-v1-production": "merged"}) == (states(ann), states(ann, merged=True))
    dee = Workspace.open(clone(remote, "dee"))
    for name in ("promote/churn-v1-production", "churn"):
        done = merge_proposal(dee, name)
        assert ("promote/churn-v1-production", False, ()) == (done.proposal.branch, done.is_new, done.remarks)
    with pytest.raises(ProposalNotFound):
        merge_proposal(dee, "other")
    with pytest.raises(RunstoneError, match="has promote/churn-v1-production already: it was merged in "):
        close(dee.repo, "promote/churn-v1-production")


def test_branches_that_only_look_like_proposals(git_repo: Path) -> None:
    """A person's own branch is listed as what it is; nothing in its name or message reaches git as an option."""
    git("branch", "promote/--help", cwd=git_repo)
    git("checkout", "-q", "-b", "promote/mine", cwd=git_repo)
    write(git_repo, {"a.txt": "a\n"}, "Mine\n\nProposal: --all\nModel: $(reboot)\x1b[31m", {})
    git("checkout", "-q", "main", cwd=git_repo)
    assert {"promote/mine": "open"} == states(git_repo)
