"""Proposals opened: one commit on a branch, pushed; the same again; in the way of others; offline; in odd clones."""

import json
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import (
    BranchRefused,
    BranchTaken,
    GatesNotPassed,
    NoFormerHolder,
    RemoteUnreachable,
    ReviewRequired,
)
from runstone.git.repository import Repository
from runstone.promotion.proposals.look import NotAsked
from runstone.promotion.proposals.merge import merge_proposal
from runstone.promotion.proposals.proposal import parse_trailers, read_wish
from runstone.promotion.proposals.propose import Options
from runstone.tracking.workspace import Workspace
from tests.cli.support import start_cli
from tests.promotion.proposing import hook, name, promote, reviewed, setup
from tests.promotion.support import make_versions, stage_file, write
from tests.registry.support import seal_row
from tests.support import git

BRANCH = "promote/churn-v1-production"


def test_one_commit_from_the_up_to_date_branch(tmp_path: Path) -> None:
    """On what the remote has, though the clone is behind and elsewhere, with edits; nothing of that is touched."""
    ann, rae, remote = setup(tmp_path)
    write(rae, {"later.txt": "later\n"}, "Later", {})
    git("push", "-q", cwd=rae)
    git("checkout", "-q", "-b", "work", cwd=ann)
    (ann / "train.py").write_text("edited\n")
    (ann / "new.txt").write_text("new\n")
    git("add", "new.txt", cwd=ann)
    before = git("status", "--porcelain", "--branch", cwd=ann), (ann / ".git/index").read_bytes()
    outcome = promote(ann, 1, stage="Production", propose=True)
    assert before == (git("status", "--porcelain", "--branch", cwd=ann), (ann / ".git/index").read_bytes())
    head = git("rev-parse", BRANCH, cwd=remote)
    assert (head, True, True, "origin") == (outcome.commit, outcome.is_proposal, outcome.is_new, outcome.remote)
    assert git("rev-parse", "main", cwd=remote) == git("rev-parse", f"{BRANCH}^", cwd=remote)
    tag = git("rev-parse", "refs/tags/churn@v1", cwd=remote)
    trailers = f"Proposal: promote\nModel: churn\nVersion: 1\nTag: {tag}\n{seal_row(ann, 'churn@v1')}Stage: Production"
    assert f"Promote churn v1 to Production\n\n{trailers}" == git("log", "-1", "--format=%B", head, cwd=remote).strip()
    assert "registry/churn/stages/Production.yaml" == git("diff", "--name-only", f"{BRANCH}^", BRANCH, cwd=remote)
    assert "Promote churn v1 to Production" in outcome.asked.text
    assert BRANCH in outcome.asked.text


def test_the_same_again_is_the_same_proposal(tmp_path: Path) -> None:
    """By the same person, and by another one in another clone."""
    ann, rae, _ = setup(tmp_path)
    first = promote(ann, 1, stage="Production")
    again, other = promote(ann, 1, stage="Production"), promote(rae, 1, stage="Production")
    assert [first.commit] * 2 == [again.commit, other.commit]
    assert (False, False) == (again.is_new, other.is_new)


def test_it_is_made_anew_where_the_branch_has_moved_beneath_it(tmp_path: Path) -> None:
    """The stage has another holder by now: the same branch, a new commit, what it displaces named."""
    policy = "schema: runstone/policy/v1\nstages:\n  Production: {holders: 1}\n"
    ann, rae, remote = setup(tmp_path, {"registry/policy.yaml": policy})
    first = promote(ann, 1, stage="Production")
    promote(ann, 2, stage="Production")
    merge_proposal(Workspace.open(rae), "churn-v2")
    second = promote(ann, 1, stage="Production")
    assert (True, first.plan.branch, (2,)) == (second.is_new, second.plan.branch, second.plan.displaced)
    assert first.commit != second.commit == git("rev-parse", BRANCH, cwd=remote)
    assert git("rev-parse", "main", cwd=remote) == git("rev-parse", f"{BRANCH}^", cwd=remote)


def test_a_merged_branch_that_was_left_is_used_again(tmp_path: Path) -> None:
    """Its changes are on the default branch, so nothing of it is lost."""
    ann, rae, remote = setup(tmp_path)
    head = promote(ann, 1, stage="Production").commit or ""
    merge_proposal(Workspace.open(rae), "churn")
    git("push", "-q", "origin", f"{head}:refs/heads/{BRANCH}", cwd=ann)
    Client(ann).demote("churn", 1)
    merge_proposal(Workspace.open(rae), "demote/churn-v1-production")
    again = promote(ann, 1, stage="Production")
    assert again.is_new
    assert head != again.commit == git("rev-parse", BRANCH, cwd=remote)


@pytest.mark.parametrize(
    "message", ["By hand", "By hand\n\nProposal: demote\nModel: churn\nVersion: 1\nStage: Production"]
)
def test_a_branch_that_holds_something_else_is_left_alone(tmp_path: Path, message: str) -> None:
    """A branch of that name that somebody made by hand, or for another wish."""
    ann, rae, remote = setup(tmp_path)
    git("checkout", "-q", "-b", BRANCH, cwd=rae)
    head = write(rae, {"registry/churn/stages/Production.yaml": stage_file(2)}, message, {})
    git("push", "-q", "origin", BRANCH, cwd=rae)
    with pytest.raises(BranchTaken, match="something else"):
        promote(ann, 1, stage="Production")
    assert head == git("rev-parse", BRANCH, cwd=remote)
    assert "" == git("branch", "--list", "promote/*", cwd=ann)


def test_a_remote_that_refuses_leaves_nothing_here(tmp_path: Path) -> None:
    """No branch here that claims to be a proposal."""
    ann, _, remote = setup(tmp_path)
    hook(remote, "update", 'echo "no such branches" >&2; exit 1')
    with pytest.raises(BranchRefused, match="no such branches"):
        promote(ann, 1, stage="Production")
    assert "" == git("branch", "--list", "promote/*", cwd=ann)


def test_offline(tmp_path: Path) -> None:
    """It fails and says so; with `push=False` it is made on what was seen last, and pushed later by the same call."""
    ann, _, remote = setup(tmp_path)
    remote.rename(tmp_path / "away.git")
    with pytest.raises(RemoteUnreachable):
        promote(ann, 1, stage="Production")
    with pytest.warns(NotAsked, match="`origin` could not be asked"):
        here = promote(ann, 1, stage="Production", push=False)
    assert (True, None) == (here.is_new, here.remote)
    assert here.commit == git("rev-parse", BRANCH, cwd=ann)
    (tmp_path / "away.git").rename(remote)
    there = promote(ann, 1, stage="Production")
    assert (here.commit, False, "origin") == (there.commit, there.is_new, there.remote)
    assert here.commit == git("rev-parse", BRANCH, cwd=remote)


def test_a_clone_of_depth_1(tmp_path: Path) -> None:
    """Propose and merge in one; what stood there before lies behind the cut, and the error says how to get it."""
    ann, rae, remote = setup(tmp_path)
    for version in (1, 2):
        promote(ann, version, stage="Production")
        merge_proposal(Workspace.open(rae), f"churn-v{version}")
    git("clone", "-q", "--depth=1", f"file://{remote}", "kim", cwd=tmp_path)
    shallow = tmp_path / "kim"
    name(shallow, "Kim")
    with pytest.raises(NoFormerHolder, match=r"`git fetch --unshallow`"):
        Client(shallow).rollback("churn", "Production")
    assert promote(shallow, 1, stage="Staging").is_new
    promote(ann, 2, stage="Staging")
    assert "registry/churn/stages/Production.yaml\nregistry/churn/stages/Staging.yaml" == git(
        "diff", "--name-only", "main", "promote/churn-v1-staging", cwd=remote
    )
    assert merge_proposal(Workspace.open(shallow), "promote/churn-v2-staging").is_new
    assert "" == git("status", "--porcelain", cwd=shallow)
    assert "true" == git("rev-parse", "--is-shallow-repository", cwd=shallow)


@pytest.mark.parametrize("model", ["Churn Model", "a/b", "Größe 模型", "x..y", "CON"])
def test_model_names_of_every_kind(git_repo: Path, model: str) -> None:
    """Capitals, spaces, slashes, Unicode, what a disk reserves: proposed, found by name, merged."""
    make_versions(git_repo, 1, model)
    client = Client(git_repo)
    outcome = client.promote(model, 1, "Staging", options=Options(propose=True))
    assert outcome.plan.branch in git("branch", "--format=%(refname:short)", cwd=git_repo).split("\n")
    assert merge_proposal(client.workspace, model).is_new
    assert "Staging" == client.get_model_version(model, 1).current_stage
    assert "" == git("status", "--porcelain", cwd=git_repo)


def test_review_mode_never_claims_what_is_not_so(tmp_path: Path) -> None:
    """MLflow's verbs open the proposal and raise, naming it; called again they name the same; nothing has moved."""
    ann, _, remote = setup(tmp_path)
    client = Client(ann)
    branches = []
    for _ in range(2):
        with pytest.raises(ReviewRequired) as caught:
            client.set_registered_model_alias("churn", "champion", 2)
        branches.append(caught.value.proposal)
        with pytest.raises(ReviewRequired) as caught:
            client.transition_model_version_stage("churn", 1, "staging")
        branches.append(caught.value.proposal)
    assert ["promote/churn-v2-champion", "promote/churn-v1-staging"] * 2 == branches
    assert "`promote/churn-v1-staging`" in str(caught.value)
    listed = git("branch", "--list", "promote/*", "--format=%(refname:short)", cwd=remote)
    assert "promote/churn-v1-staging\npromote/churn-v2-champion" == listed
    assert {} == client.get_registered_model("churn").aliases


def test_direct_mode_acts(git_repo: Path) -> None:
    """A commit each on `main`; MLflow's verbs return what they return there."""
    make_versions(git_repo, 2)
    client = Client(git_repo)
    assert "Production" == client.transition_model_version_stage("churn", 1, "production").current_stage
    moved = client.transition_model_version_stage("churn", 2, "Production", archive_existing_versions=True)
    assert ("Production", "Archived") == (moved.current_stage, client.get_model_version("churn", 1).current_stage)
    assert "None" == client.transition_model_version_stage("churn", 2, "None").current_stage
    client.set_registered_model_alias("churn", "champion", "2")
    client.delete_registered_model_alias("churn", "champion")
    assert [
        "Remove churn@champion",
        "Point churn@champion at v2",
        "Demote churn v2 from Production",
        "Promote churn v2 to Production",
        "Promote churn v1 to Production",
        "Begin",
    ] == git("log", "--format=%s", "main", cwd=git_repo).split("\n")
    assert "" == git("status", "--porcelain", cwd=git_repo)


def test_direct_mode_is_judged_first(git_repo: Path) -> None:
    """A gate that fails keeps it out, unless somebody sets it aside whom the policy lets; approvals mean a proposal."""
    policy = (
        "schema: runstone/policy/v1\nstages:\n"
        "  Staging: {gates: [{metric: {name: auc, at_least: 0.9}}], bypass: [kim@example.org]}\n"
        "  Production: {approvals: {count: 1}}\n"
    )
    reviewed(git_repo, {"registry/policy.yaml": policy}, review=False)
    client = Client(git_repo)
    before = git("rev-parse", "main", cwd=git_repo)
    with pytest.raises(GatesNotPassed) as caught:
        client.promote("churn", 1, "Staging")
    assert "auc" in str(caught.value)
    assert before == git("rev-parse", "main", cwd=git_repo)
    done = client.promote("churn", 1, "Staging", bypass="The metric\nis broken")
    assert not done.is_proposal
    assert "Bypass: The metric is broken" in git("log", "-1", "--format=%B", "main", cwd=git_repo)
    assert client.promote("churn", 2, "Production").is_proposal


def test_rollback_goes_back_and_forth(git_repo: Path) -> None:
    """To who was there before the present one came; a second one undoes the first; `to` names another."""
    make_versions(git_repo, 3)
    client = Client(git_repo)
    with pytest.raises(NoFormerHolder):
        client.rollback("churn", "Production")
    for version in (1, 2, 3):
        client.promote("churn", version, "Production", archive_existing=True)
    client.rollback("churn", "production")
    assert ["Archived", "Production", "Archived"] == [
        client.get_model_version("churn", v).current_stage for v in (1, 2, 3)
    ]
    client.rollback("churn", "Production")
    assert "Production" == client.get_model_version("churn", 3).current_stage
    client.rollback("churn", "Production", to="v1")
    assert "Production" == client.get_model_version("churn", 1).current_stage
    for version in (1, 2):
        client.promote("churn", version, alias="champion")
    client.rollback("churn", alias="champion")
    assert {"champion": 1} == client.get_registered_model("churn").aliases


def test_a_request_to_register(git_repo: Path) -> None:
    """A file that says what CI shall make a version of; a run that is a version already needs none."""
    runs = make_versions(git_repo, 1)
    client = Client(git_repo)
    made = client.propose_registration("other", f"runs:/{runs[0]}/model", description="The other", tags={"a": "b"})
    assert (f"register/other-{runs[0][:12]}", f"Register run {runs[0][:12]} of other") == (
        made.plan.branch,
        made.plan.subject,
    )
    text = git("show", f"{made.plan.branch}:registry/other/registrations/{runs[0]}.yaml", cwd=git_repo)
    assert "description: The other" in text
    assert git("rev-list", "-1", "churn@v1", cwd=git_repo) in text
    again = client.propose_registration("other", f"runs:/{runs[0]}/model", description="The other", tags={"a": "b"})
    assert (made.commit, False) == (again.commit, again.is_new)
    present = client.propose_registration("churn", f"runs:/{runs[0]}/model")
    assert f"`model` of run {runs[0]} is churn v1 already." == present.plan.nothing


def test_trailers_say_what_is_wished(git_repo: Path) -> None:
    """The commit's message, read back, is the wish: so that it can be planned anew."""
    make_versions(git_repo, 2)
    client = Client(git_repo)
    client.promote("churn", 1, "Production")
    repo = Repository.open(git_repo)
    for outcome in (
        client.promote("churn", 2, "Production", archive_existing=True, message="Better.\n\nMuch: so", bypass="Due",
                       options=Options(propose=True)),
        client.demote("churn", 1, to="Staging", options=Options(propose=True)),
        client.promote("churn", 2, alias="Champion", options=Options(propose=True)),
    ):  # fmt: skip
        assert outcome.commit is not None
        assert outcome.plan.wish == read_wish(repo, repo.objects.commit(outcome.commit), outcome.plan.branch)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("S", {}),
        ("S\n\nModel: a\nVersion: 1\nVersion: 2", {"model": ("a",), "version": ("1", "2")}),
        ("S\n\nModel: a\n\nNothing of the kind", {}),
        ("S\n\nModel: a\nand so on", {}),
        ("S\n\nWhy: not\n\nModel: a: b", {"model": ("a: b",)}),
    ],
)
def test_trailers_are_the_last_paragraph(message: str, expected: dict[str, tuple[str, ...]]) -> None:
    """And only if it is made of nothing else."""
    assert expected == parse_trailers(message)


def test_many_propose_the_same_at_once(tmp_path: Path) -> None:
    """Four processes in two clones: one proposal, and everybody is told of it."""
    ann, rae, remote = setup(tmp_path)
    words = ("promote", "churn", "1", "--stage", "Production", "--json")
    running = [start_cli(*words, cwd=repo) for repo in (ann, rae, ann, rae)]
    answers = [process.communicate(timeout=60) for process in running]
    assert [0] * 4 == [process.returncode for process in running], answers
    head = git("rev-parse", BRANCH, cwd=remote)
    assert {head} == {json.loads(out)["commit"] for out, _ in answers}
    assert [head] * 2 == [git("rev-parse", BRANCH, cwd=repo) for repo in (ann, rae)]


def test_a_version_that_is_here_alone_is_shared_first(tmp_path: Path) -> None:
    """Nobody could look at a proposal to use it; what is not here and only there is brought."""
    store = f"[core]\n    remote = store\n['remote \"store\"']\n    url = {tmp_path / 'store'}\n"
    ann, rae, remote = setup(tmp_path, {".dvc/config": store})
    git("push", "-q", "origin", ":refs/tags/churn@v1", cwd=ann)
    git("tag", "-d", "churn@v1", cwd=rae)
    git("tag", "-d", "churn@v2", cwd=rae)
    promote(ann, 1, stage="Production")
    assert "churn@v1\nchurn@v2" == git("tag", "--list", cwd=remote)
    assert promote(rae, 2, stage="Staging").is_new
    assert "churn@v1\nchurn@v2" == git("tag", "--list", cwd=rae)
