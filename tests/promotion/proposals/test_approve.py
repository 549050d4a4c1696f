"""Approvals by people's own notes: two reviewers without a forge, what counts, and what nobody can write for others."""

import sys
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import NotApproved, ProposalRefused, UsageError
from runstone.git.repository import Repository
from runstone.promotion.proof.verify import verify
from runstone.promotion.proposals.approve import approve_proposal
from runstone.promotion.proposals.listing import find_proposal
from runstone.promotion.proposals.look import look
from runstone.promotion.proposals.merge import merge_proposal
from runstone.promotion.proposals.refresh import refresh
from runstone.promotion.proposals.request import report_of
from runstone.promotion.rules.approvals import collect, lacking
from runstone.records.policy import Approvals
from runstone.tracking.workspace import Workspace
from tests.promotion.proposing import clone, hook, promote, setup
from tests.support import SOURCE, git

BRANCH = "promote/churn-v1-production"
TWO = "schema: runstone/policy/v1\nstages:\n  Staging: {}\n  Production: {approvals: {count: 2}}\n"
NOTES = "refs/notes/runstone"


@pytest.fixture
def team(tmp_path: Path) -> tuple[Path, Path, Path, Path]:
    """Ann, who has proposed; Rae and Bob, who review; and the bare repository. Production needs two approvals."""
    ann, rae, remote = setup(tmp_path, {"registry/policy.yaml": TWO})
    promote(ann, 1, stage="Production")
    return ann, rae, clone(remote, "bob"), remote


def test_two_reviewers_without_a_forge(team: tuple[Path, Path, Path, Path], tmp_path: Path) -> None:
    """One approves, the other merges, and that holds for whoever verifies it; before, the remedy is named."""
    _ann, rae, bob, remote = team
    with pytest.raises(ProposalRefused) as refused:
        merge_proposal(Workspace.open(rae), BRANCH)
    assert (
        f"`{BRANCH}` may not be merged:\n"
        "  2 approvals are needed and 1 counts: nobody else approved it\n"
        f"  Whoever else approves it says so: `runstone proposals approve {BRANCH!r}`\n"
        f"See the whole report: `runstone proposals show {BRANCH!r}`"
    ) == str(refused.value)
    done = Client(bob).approve_proposal(BRANCH, message="Looked at it")
    assert (True, ("2 approvals are needed and 1 counts: nobody else approved it",)) == (done.is_new, done.lacking)
    assert not Client(bob).approve_proposal("churn").is_new
    said = git("notes", "--ref=runstone", "show", done.proposal.commit, cwd=remote)
    assert "Approved-by: Bob <bob@example.org>" == said
    view = look(Repository.open(rae))
    proposal = find_proposal(Repository.open(rae), view, BRANCH)
    assert "Needs 2 approvals; the author's own does not count. So far `1 of 2 approvals: Bob`." in report_of(
        Workspace.open(rae), view, proposal.commit, proposal.base
    )
    merged = merge_proposal(Workspace.open(rae), BRANCH)
    other = clone(remote, "eve")
    git("fetch", "-q", "origin", f"{NOTES}:{NOTES}", cwd=other)
    found = verify(Workspace.open(other), artifacts=False)
    assert ([], 0) == ([str(each) for each in found.breaks if "Production" in each.what], found.noted)
    evidence = collect(Repository.open(other), merged.commit)
    heard = sorted((each.person.name, each.how) for each in evidence.approvers if each.how != "trailer")
    assert [("Bob", "review"), ("Rae", "merge")] == heard


def test_two_reviews_at_once_both_stay(team: tuple[Path, Path, Path, Path]) -> None:
    """The lines of both are in the joined note, each still by whom it names; then the author may merge."""
    ann, rae, bob, remote = team
    approve_proposal(Workspace.open(rae), BRANCH)
    git("update-ref", "-d", NOTES, cwd=remote)  # as if Bob had looked just before
    approve_proposal(Workspace.open(bob), BRANCH)
    Client(rae).sync()
    Client(ann).sync()
    merged = merge_proposal(Workspace.open(ann), BRANCH)
    assert [] == lacking(Approvals(count=2), collect(Repository.open(ann), merged.commit))


def test_what_is_made_anew_needs_new_approvals(team: tuple[Path, Path, Path, Path]) -> None:
    """The note is on the commit that was looked at."""
    ann, rae, bob, _ = team
    approve_proposal(Workspace.open(bob), BRANCH)
    git("switch", "-q", BRANCH, cwd=ann)
    git("commit", "-q", "--amend", "-m", "Another\n\nProposal: promote", cwd=ann)
    git("push", "-q", "--force", "origin", BRANCH, cwd=ann)
    with pytest.raises(ProposalRefused, match="2 approvals are needed and 1 counts"):
        merge_proposal(Workspace.open(rae), BRANCH)


def test_nobody_approves_for_another(team: tuple[Path, Path, Path, Path]) -> None:
    """Neither what is their own, nor by a line that names somebody else, nor without a name."""
    ann, rae, bob, _ = team
    with pytest.raises(ProposalRefused, match="may not be approved:\n  Ann made it, and nobody approves"):
        approve_proposal(Workspace.open(ann), BRANCH)
    look(Repository.open(rae))
    line = "Approved-by: Bob <bob@example.org>"
    git("notes", "--ref=runstone", "add", "-m", line, f"origin/{BRANCH}", cwd=rae)
    with pytest.raises(ProposalRefused, match="2 approvals are needed and 1 counts: nobody else approved it"):
        merge_proposal(Workspace.open(rae), BRANCH)
    git("config", "--unset", "user.email", cwd=bob)
    git("config", "--unset", "user.name", cwd=bob)
    with pytest.raises(ProposalRefused, match="would be nobody's approval"):
        approve_proposal(Workspace.open(bob), BRANCH)


def test_a_signature_is_asked_of_the_note(tmp_path: Path) -> None:
    """Where the policy wants signed approvals, an unsigned note does not count."""
    signed = "schema: runstone/policy/v1\nstages:\n  Production: {approvals: {count: 1, signed: true}}\n"
    ann, rae, _ = setup(tmp_path, {"registry/policy.yaml": signed})
    promote(ann, 1, stage="Production")
    done = approve_proposal(Workspace.open(rae), BRANCH)
    assert ("1 approval is needed and none counts: the approval of Rae has no good signature",) == done.lacking


def test_the_guard_takes_what_reviewers_say_themselves(team: tuple[Path, Path, Path, Path]) -> None:
    """And nothing else; with it the merge of the second reviewer gets in."""
    _ann, rae, bob, remote = team
    hook(remote, "pre-receive", f"PYTHONPATH='{SOURCE}' exec '{sys.executable}' -m runstone guard")
    look(Repository.open(rae))
    git("notes", "--ref=runstone", "add", "-m", "Approved-by: Bob <bob@example.org>", f"origin/{BRANCH}", cwd=rae)
    with pytest.raises(NotApproved, match="a note would be anybody's word, but for what reviewers add themselves"):
        approve_proposal(Workspace.open(rae), BRANCH)
    git("update-ref", "-d", NOTES, cwd=rae)
    approve_proposal(Workspace.open(bob), BRANCH)
    merge_proposal(Workspace.open(rae), BRANCH)
    assert git("rev-parse", "main", cwd=remote) == git("rev-parse", "main", cwd=rae)


def test_a_policy_is_proposed_from_the_work_tree(team: tuple[Path, Path, Path, Path]) -> None:
    """Listed, made anew and merged as any proposal, by the rules that hold until then."""
    ann, rae, bob, _remote = team
    (ann / "registry/policy.yaml").write_text(TWO.replace("count: 2", "count: 1"))
    outcome = Client(ann).propose_files(ann / "registry/policy.yaml", message="One is enough")
    branch = outcome.plan.branch
    assert branch.startswith("edit/rules-")
    assert "" == git("diff", "--stat", "main", "origin/main", cwd=ann)
    git("commit", "-q", "--allow-empty", "-m", "Work", cwd=bob)
    git("push", "-q", "origin", "main", cwd=bob)
    assert outcome.commit == refresh(Workspace.open(ann), branch).commit
    with pytest.raises(ProposalRefused, match="2 approvals are needed and 1 counts"):
        merge_proposal(Workspace.open(rae), branch)
    approve_proposal(Workspace.open(bob), branch)
    merge_proposal(Workspace.open(rae), branch)
    assert "count: 1" in (rae / "registry/policy.yaml").read_text()


def test_only_what_belongs_to_the_registry_is_proposed(team: tuple[Path, Path, Path, Path]) -> None:
    """Code goes the way of code."""
    ann, *_ = team
    (ann / "train.py").write_text("print()\n")
    with pytest.raises(UsageError, match=r"'train\.py' is no file of the registry, nor runstone\.yaml or \.mailmap"):
        Client(ann).propose_files(ann / "train.py")


def test_any_edit_can_be_proposed(team: tuple[Path, Path, Path, Path]) -> None:
    """Where nobody may push the branch: nothing is committed here, and a second call finds the same proposal."""
    ann, rae, _bob, remote = team
    before = git("rev-parse", "main", cwd=ann)
    client = Client(ann)
    made = client.propose_edit(lambda: client.update_registered_model("churn", "Who leaves"))
    again = client.propose_edit(lambda: client.update_registered_model("churn", "Who leaves"))
    assert (True, False, made.commit) == (made.is_new, again.is_new, again.commit)
    assert before == git("rev-parse", "main", cwd=ann)
    merge_proposal(Workspace.open(rae), made.plan.branch)
    assert "Who leaves" == Client(rae).get_registered_model("churn").description
    assert "Proposal: edit\nModel: churn" in git("log", "-1", "--format=%B", "main^2", cwd=remote)


def test_the_proposal_of_another_is_not_replaced(team: tuple[Path, Path, Path, Path]) -> None:
    """Who wishes the same otherwise is told whose it is; who wishes just the same finds it."""
    _ann, rae, _bob, remote = team
    before = git("rev-parse", BRANCH, cwd=remote)
    with pytest.raises(Exception, match=r"is the proposal of Ann <ann@example\.org>, who wishes it otherwise"):
        Client(rae).promote("churn", 1, "Production", bypass="In a hurry")
    assert not promote(rae, 1, stage="Production").is_new
    assert before == git("rev-parse", BRANCH, cwd=remote)
