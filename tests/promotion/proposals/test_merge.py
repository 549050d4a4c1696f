"""Trees joined by path; merges of proposals, with a bare remote and a reviewer of another name."""

from pathlib import Path

import pytest

from runstone.errors import BranchRefused, LocalEdits, ProposalConflict, ProposalRefused
from runstone.git.objects import FILE, Objects, TreeEntry
from runstone.git.repository import Repository
from runstone.promotion.proposals.merge import merge_proposal
from runstone.promotion.proposals.trees import compare_trees
from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli, start_cli
from tests.promotion.proposing import clone, hook, kill_at, promote, reviewed, setup
from tests.promotion.support import stage_file, write
from tests.support import git


def tree(objects: Objects, **files: str) -> str:
    """A tree of files; `__` in a name is a folder."""
    entries: dict[str, TreeEntry | None] = {
        path.replace("__", "/"): TreeEntry(FILE, objects.write("blob", text.encode())) for path, text in files.items()
    }
    return objects.update_tree(None, entries) or objects.write_tree({})


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected", "conflicts"),
    [
        ({"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "2"}, []),
        ({"a": "1"}, {"a": "2"}, {"a": "1"}, {"a": "2"}, []),
        ({"a": "1"}, {"a": "2"}, {"a": "2"}, {"a": "2"}, []),
        ({"a": "1", "d__b": "1"}, {"a": "2", "d__b": "1"}, {"a": "1"}, {"a": "2"}, []),
        ({}, {"d__a": "1"}, {"d__b": "2"}, {"d__a": "1", "d__b": "2"}, []),
        ({}, {"a": "1"}, {"d__e__b": "2"}, {"a": "1", "d__e__b": "2"}, []),
        ({"a": "1"}, {"a": "2"}, {"a": "3"}, {"a": "2"}, ["a"]),
        ({"a": "1"}, {"b": "1"}, {"a": "3"}, {"b": "1"}, ["a"]),
        ({"d__a": "1", "d__b": "1"}, {"d__b": "2"}, {"d__a": "2", "d__b": "1"}, {"d__b": "2"}, ["d/a"]),
        ({}, {"a": "1"}, {"a__b": "2"}, {"a": "1"}, ["a"]),
    ],
)
def test_trees_are_joined_by_path(
    git_repo: Path,
    base: dict[str, str],
    ours: dict[str, str],
    theirs: dict[str, str],
    expected: dict[str, str],
    conflicts: list[str],
) -> None:
    """A change of one side is taken; of a path that both changed differently nothing is guessed."""
    objects = Repository.open(git_repo).objects
    sides = [tree(objects, **files) for files in (base, ours, theirs)]
    changes, found = compare_trees(objects, sides[0], sides[1], sides[2])
    assert conflicts == [conflict.path for conflict in found]
    assert tree(objects, **expected) == (objects.update_tree(sides[1], changes) or objects.write_tree({}))


def test_an_approved_merge_lands_on_the_remote_and_here(tmp_path: Path) -> None:
    """A merge commit with the reviewer's name; the branch is gone; the work tree that has `main` is clean."""
    ann, rae, remote = setup(tmp_path)
    promote(ann, 1, stage="Production")
    done = merge_proposal(Workspace.open(rae), "churn")
    head = git("rev-parse", "main", cwd=remote)
    assert (head, True, "origin/main") == (done.commit, done.is_new, done.target)
    assert "" == git("branch", "--list", "promote/*", cwd=remote)
    message = git("log", "-1", "--format=%B", head, cwd=rae).strip()
    assert (
        "Merge proposal promote/churn-v1-production\n\nIt says: Promote churn v1 to Production\n\n"
        "Approved-by: Rae <rae@example.org>"
    ) == message
    assert head == git("rev-parse", "main", cwd=rae)
    assert "" == git("status", "--porcelain", cwd=rae)
    assert (rae / "registry/churn/stages/Production.yaml").exists()
    parents = git("log", "-1", "--format=%P", head, cwd=rae).split()
    assert ["Share", "Promote churn v1 to Production"] == [
        git("log", "-1", "--format=%s", parent, cwd=rae) for parent in parents
    ]


def test_nobody_approves_what_is_their_own(tmp_path: Path) -> None:
    """Under review the author's merge is refused, and nothing moves."""
    ann, _, remote = setup(tmp_path)
    before = git("rev-parse", "main", cwd=remote)
    promote(ann, 1, stage="Production")
    with pytest.raises(ProposalRefused, match="Ann approved what is their own"):
        merge_proposal(Workspace.open(ann), "churn")
    assert before == git("rev-parse", "main", cwd=remote)


def test_a_policy_may_let_authors_merge(tmp_path: Path) -> None:
    """`by_author` in the rule of the stage, at the base."""
    policy = "schema: runstone/policy/v1\nstages:\n  Production: {approvals: {count: 1, by_author: true}}\n"
    ann, _, _remote = setup(tmp_path, {"registry/policy.yaml": policy})
    promote(ann, 1, stage="Production")
    assert merge_proposal(Workspace.open(ann), "churn").is_new


def test_a_failing_gate_keeps_it_out(tmp_path: Path) -> None:
    """The gate is named; the policy is that of the base, whatever the proposal does to it."""
    policy = "schema: runstone/policy/v1\nstages:\n  Production:\n    gates: [{metric: {name: auc, at_least: 0.9}}]\n"
    ann, rae, _remote = setup(tmp_path, {"registry/policy.yaml": policy})
    branch = promote(ann, 1, stage="Production").plan.branch
    git("checkout", "-q", branch, cwd=ann)
    write(ann, {"registry/policy.yaml": None}, "No gates")
    git("push", "-q", "origin", branch, cwd=ann)
    with pytest.raises(ProposalRefused, match="auc"):
        merge_proposal(Workspace.open(rae), "churn")


def test_a_conflict_names_the_file_and_both_values(tmp_path: Path) -> None:
    """Two put a version into one stage, of which the first is merged."""
    ann, rae, _remote = setup(tmp_path)
    promote(ann, 1, stage="Production")
    promote(ann, 2, stage="Production")
    merge_proposal(Workspace.open(rae), "churn-v1")
    with pytest.raises(ProposalConflict) as caught:
        merge_proposal(Workspace.open(rae), "churn-v2")
    assert (
        "`promote/churn-v2-production` conflicts with what `origin/main` holds now, so it was not merged:\n"
        "  registry/churn/stages/Production.yaml: origin/main has v1, the proposal v2\n"
        "Make it anew on the present `origin/main`: `runstone proposals refresh 'promote/churn-v2-production'`"
    ) == str(caught.value)


def test_a_version_that_would_be_in_two_stages_is_refused(tmp_path: Path) -> None:
    """Other files, so no conflict; but what would come of it is judged."""
    ann, rae, _remote = setup(tmp_path)
    promote(ann, 1, stage="Production")
    promote(ann, 1, stage="Staging")
    merge_proposal(Workspace.open(rae), "churn-v1-production")
    with pytest.raises(ProposalRefused, match="in 2 stages at once"):
        merge_proposal(Workspace.open(rae), "churn-v1-staging")


def test_edits_here_do_not_stop_a_merge_there(tmp_path: Path) -> None:
    """The remote has it; the work tree with an edit of the same file stays, and it is said."""
    ann, rae, remote = setup(tmp_path, {"registry/churn/stages/Staging.yaml": stage_file(2)})
    git("pull", "-q", cwd=rae)
    promote(ann, 1, stage="Staging")
    (rae / "registry/churn/stages/Staging.yaml").write_text("edited\n")
    (rae / "notes.txt").write_text("mine\n")
    done = merge_proposal(Workspace.open(rae), "churn")
    assert done.commit == git("rev-parse", "main", cwd=remote)
    assert 1 == len(done.remarks)
    assert "registry/churn/stages/Staging.yaml" in done.remarks[0]
    assert "edited\n" == (rae / "registry/churn/stages/Staging.yaml").read_text()
    assert "mine\n" == (rae / "notes.txt").read_text()


def test_without_a_remote_edits_stop_it(git_repo: Path) -> None:
    """`main` here is all there is, so it moves together with its work tree or not at all."""
    reviewed(git_repo, {"registry/churn/stages/Staging.yaml": stage_file(2)}, versions=2, review=False)
    promote(git_repo, 1, stage="Staging", propose=True)
    before = git("rev-parse", "main", cwd=git_repo)
    (git_repo / "registry/churn/stages/Staging.yaml").write_text("edited\n")
    with pytest.raises(LocalEdits):
        merge_proposal(Workspace.open(git_repo), "churn")
    assert before == git("rev-parse", "main", cwd=git_repo)
    git("checkout", "-q", "--", ".", cwd=git_repo)
    assert merge_proposal(Workspace.open(git_repo), "churn").is_new
    assert "" == git("status", "--porcelain", cwd=git_repo)


def test_a_remote_that_protects_its_branch(tmp_path: Path) -> None:
    """Its words are told, and nothing moved here."""
    ann, rae, remote = setup(tmp_path)
    promote(ann, 1, stage="Staging")
    hook(remote, "update", 'case "$1" in refs/heads/main) echo "main is protected" >&2; exit 1;; esac')
    before = git("rev-parse", "main", cwd=rae)
    with pytest.raises(BranchRefused, match="main is protected"):
        merge_proposal(Workspace.open(rae), "churn")
    assert before == git("rev-parse", "main", cwd=rae)


def test_a_proposal_from_a_fork(tmp_path: Path) -> None:
    """Its branch lives in another remote, which the reviewer has fetched; it is named after that remote."""
    _ann, rae, remote = setup(tmp_path)
    fork = tmp_path / "fork.git"
    git("clone", "-q", "--bare", remote, fork, cwd=tmp_path)
    kim = clone(fork, "kim")
    promote(kim, 1, stage="Staging")
    git("remote", "add", "kims", fork, cwd=rae)
    git("fetch", "-q", "kims", cwd=rae)
    done = merge_proposal(Workspace.open(rae), "churn")
    assert "kims/promote/churn-v1-staging" == done.proposal.name
    assert "Promote churn v1 to Staging" in git("log", "main", "--format=%s", cwd=remote)
    assert "promote/churn-v1-staging" in git("branch", "--list", "promote/*", cwd=fork)
    assert not merge_proposal(Workspace.open(rae), "kims/promote/churn-v1-staging").is_new


@pytest.mark.parametrize(
    ("state", "ref"),
    [
        ("committed", "refs/remotes/origin/main"),  # pushed, and no more
        ("prepared", "refs/heads/main"),  # the work tree has it, the branch here has not
        ("committed", "refs/heads/main"),
        ("committed", "0* refs/remotes/origin/promote/"),  # its branch is gone there
    ],
)
def test_one_that_was_killed_is_finished_by_the_same_command(tmp_path: Path, state: str, ref: str) -> None:
    """Once the remote has the merge it is no error to ask again: what is left here is done, and that is said."""
    ann, rae, remote = setup(tmp_path)
    promote(ann, 1, stage="Production")
    kill_at(rae, state, ref)
    assert -9 == run_cli("proposals", "merge", "churn", cwd=rae).returncode
    (rae / ".git" / "hooks" / "reference-transaction").unlink()
    done = run_cli("proposals", "merge", "churn", cwd=rae)
    said = "origin/main has promote/churn-v1-production already: it was merged before\n"
    assert (0, said) == (done.returncode, done.stdout), done.stderr
    assert git("rev-parse", "main", cwd=remote) == git("rev-parse", "main", cwd=rae)
    assert ("", "") == (git("status", "--porcelain", cwd=rae), git("branch", "--list", "promote/*", cwd=remote))
    assert "1" == git("rev-list", "--count", "--merges", "main", cwd=remote)


def test_two_reviewers_at_once(tmp_path: Path) -> None:
    """Both merges land, one on top of the other; nobody has to try again."""
    ann, rae, remote = setup(tmp_path)
    kim = clone(remote, "kim")
    promote(ann, 1, stage="Production")
    promote(ann, 2, stage="Staging")
    running = [start_cli("proposals", "merge", name, cwd=repo) for name, repo in (("v1", rae), ("v2", kim))]
    answers = [process.communicate(timeout=60) for process in running]
    assert [0, 0] == [process.returncode for process in running], answers
    files = git("ls-tree", "-r", "--name-only", "main", "registry", cwd=remote).split()
    assert ["registry/churn/stages/Production.yaml", "registry/churn/stages/Staging.yaml"] == files
    assert "2" == git("rev-list", "--count", "--first-parent", "--merges", "main", cwd=remote)
