"""`verify` judges each commit where and by what the registry was then, and not by whatever line a push made of it."""

from pathlib import Path

import pytest

from runstone.git.process import run_git
from runstone.promotion.proof.verify import Verified, verify
from runstone.promotion.rules.judgement import judge
from runstone.records import yaml
from runstone.records.approval import Approval, ApprovalNote
from runstone.tracking.workspace import Workspace
from tests.promotion.proposing import clone, setup
from tests.promotion.support import ANN, RAE, make_versions, merge, person, propose, stage_file, write
from tests.support import git

MAL = person("Mal")
PRODUCTION = "registry/churn/stages/Production.yaml"
POLICY = "schema: runstone/policy/v1\nstages: {Staging: {}, Production: {approvals: {count: 1}}}\n"
REVIEW: dict[str, str | None] = {"runstone.yaml": "promotion: review\n", "registry/policy.yaml": POLICY}


@pytest.fixture
def reviewed(git_repo: Path) -> Path:
    """A project that reviews, with two versions of `churn`, version 1 in Production by an approved merge."""
    write(git_repo, REVIEW, "Review")
    make_versions(git_repo)
    propose(git_repo, {PRODUCTION: stage_file(1)}, "Promote churn v1 to Production", "promote/1")
    merge(git_repo, "promote/1")
    return git_repo


def look(repo: Path, *, artifacts: bool = False) -> Verified:
    """What `verify` finds."""
    return verify(Workspace.open(repo), artifacts=artifacts)


def named(repo: Path) -> set[tuple[str, str]]:
    """What is broken for certain, and where."""
    return {(each.what, each.where) for each in look(repo).breaks if each.is_certain}


def move(repo: Path, folder: str = "ml", more: str = "") -> str:
    """Move the registry on the branch that is checked out, as Ann."""
    git("mv", "registry", folder, cwd=repo)
    return write(repo, {"runstone.yaml": f"promotion: review\nregistry: {folder}\n{more}"}, "Move", ANN)


def join(repo: Path, tree: str, *parents: str) -> str:
    """A merge by Mal with this tree, as the tip of `main`."""
    options = [word for parent in parents for word in ("-p", parent)]
    made = git("commit-tree", "-m", "Merge", *options, tree, cwd=repo, env=MAL)
    git("update-ref", "refs/heads/main", made, cwd=repo)
    git("reset", "-q", "--hard", cwd=repo)
    return made


def test_a_registry_that_was_moved_is_judged_where_it_was(reviewed: Path) -> None:
    """A push past review from before the move is named still; the move itself, which was merged, changes nothing."""
    sneaked = write(reviewed, {PRODUCTION: stage_file(2)}, "Sneak", MAL)
    git("checkout", "-q", "-b", "move", cwd=reviewed)
    move(reviewed)
    git("checkout", "-q", "main", cwd=reviewed)
    merge(reviewed, "move")
    propose(reviewed, {"ml/churn/stages/Production.yaml": stage_file(1)}, "Back", "back")
    merge(reviewed, "back")
    where = f"commit {sneaked[:7]}"
    assert {("churn/1 Production → no stage", where), ("churn/2 no stage → Production", where)} == named(reviewed)
    assert 6 == look(reviewed).changes


def test_a_move_of_the_registry_that_nobody_approved_is_named(reviewed: Path) -> None:
    """With what changed on the way."""
    git("mv", "registry", "ml", cwd=reviewed)
    files: dict[str, str | None] = {
        "runstone.yaml": "promotion: review\nregistry: ml\n",
        "ml/churn/stages/Production.yaml": stage_file(2),
    }
    where = f"commit {write(reviewed, files, 'Move', MAL)[:7]}"
    expected = ["churn/1 Production → no stage", "churn/2 no stage → Production", "policy of runstone.yaml"]
    assert {(what, where) for what in expected} == named(reviewed)


def test_what_lay_in_the_new_folder_before_is_named(reviewed: Path) -> None:
    """Who approves a move of one line sees nothing of it."""
    planted: dict[str, str | None] = {
        "ml/churn/stages/Production.yaml": stage_file(2),
        "ml/policy.yaml": POLICY,
    }
    write(reviewed, planted, "Add files", MAL)
    propose(reviewed, {"runstone.yaml": "promotion: review\nregistry: ml\n"}, "Move", "move")
    where = f"commit {merge(reviewed, 'move')[:7]}"
    assert {("churn/1 Production → no stage", where), ("churn/2 no stage → Production", where)} == named(reviewed)
    assert all("`ml` had this before the registry was moved there" in each.why for each in look(reviewed).breaks)


def test_a_root_of_its_own_in_front_of_the_branch_is_named(reviewed: Path) -> None:
    """What it says is judged by the branch that it was put before."""
    main = git("rev-parse", "main", cwd=reviewed)
    write(reviewed, {PRODUCTION: stage_file(2)}, "Work", MAL)
    root = git("commit-tree", "-m", "Begin", "HEAD^{tree}", cwd=reviewed, env=MAL)
    where = f"commit {join(reviewed, f'{root}^{{tree}}', root, main)[:7]}"
    assert {("churn/1 Production → no stage", where), ("churn/2 no stage → Production", where)} == named(reviewed)
    assert "with which it has no commit in common" in look(reviewed).breaks[0].why


@pytest.mark.parametrize("copies", [True, False])
def test_a_line_from_before_the_rules_is_named(reviewed: Path, copies: bool) -> None:
    """Whether its own commits have the rules of the branch already, or the merge brings them."""
    main, early = git("rev-parse", "main", cwd=reviewed), git("rev-list", "--max-parents=0", "main", cwd=reviewed)
    write(reviewed, {PRODUCTION: stage_file(2)}, "Work", MAL)
    tree = git("rev-parse", "HEAD^{tree}", cwd=reviewed)
    git("checkout", "-q", "--detach", early, cwd=reviewed)
    own: dict[str, str | None] = {PRODUCTION: stage_file(2), **(REVIEW if copies else {})}
    foot = write(reviewed, own, "Work", MAL)
    git("checkout", "-q", "main", cwd=reviewed)
    where = f"commit {join(reviewed, tree, foot, main)[:7]}"
    assert {("churn/1 Production → no stage", where), ("churn/2 no stage → Production", where)} <= named(reviewed)


def test_a_merge_that_drops_what_the_branch_decided_is_named(reviewed: Path) -> None:
    """Its line left the branch before that, and kept what was."""
    before = git("rev-parse", "main", cwd=reviewed)
    propose(reviewed, {PRODUCTION: stage_file(2)}, "Promote churn v2 to Production", "promote/2")
    main = merge(reviewed, "promote/2")
    foot = git("commit-tree", "-m", "Work", "-p", before, f"{before}^{{tree}}", cwd=reviewed, env=MAL)
    where = f"commit {join(reviewed, f'{before}^{{tree}}', foot, main)[:7]}"
    assert {("churn/1 no stage → Production", where), ("churn/2 Production → no stage", where)} == named(reviewed)


def test_nobody_can_tell_which_of_two_lines_was_the_branch(git_repo: Path) -> None:
    """Where the rules were copied onto a line from before them, and nothing was merged under them yet."""
    early = git("rev-parse", "main", cwd=git_repo)
    main = write(git_repo, {**REVIEW, PRODUCTION: stage_file(1)}, "Review")
    write(git_repo, {PRODUCTION: stage_file(2)}, "Work", MAL)
    tree = git("rev-parse", "HEAD^{tree}", cwd=git_repo)
    foot = git("commit-tree", "-m", "Begin", "-p", early, tree, cwd=git_repo, env=MAL)
    made = join(git_repo, tree, foot, main)
    found = look(git_repo).breaks
    assert [False, False] == [each.is_certain for each in found]
    assert found[1].why.endswith(f"Which of the two was the branch? `git log --graph {made[:10]}`")


def test_a_proposal_that_took_in_the_branch_is_an_ordinary_one(reviewed: Path) -> None:
    """As is one that fell behind, one with a stricter policy meanwhile, and one that another was built on."""
    propose(reviewed, {"registry/churn/stages/Staging.yaml": stage_file(2)}, "Stage", "one")
    stricter = POLICY.replace("count: 1", "count: 2")
    propose(reviewed, {"registry/policy.yaml": stricter}, "Policy", "policy")
    git("checkout", "-q", "-b", "two", "one", cwd=reviewed)
    write(reviewed, {"registry/churn/aliases/x.yaml": "schema: runstone/alias/v1\nversion: 1\n"}, "Point", ANN)
    git("checkout", "-q", "main", cwd=reviewed)
    propose(reviewed, {PRODUCTION: None}, "Demote", "demote")
    merge(reviewed, "demote")
    git("checkout", "-q", "one", cwd=reviewed)
    git("merge", "-q", "--no-ff", "-m", "Update", "main", cwd=reviewed, env=ANN)
    git("checkout", "-q", "main", cwd=reviewed)
    for branch in ("one", "policy", "two"):
        merge(reviewed, branch)
    found = look(reviewed)
    assert ((), 5) == (found.breaks, found.changes)


def test_what_comes_by_merges_that_cross_is_told_once(reviewed: Path) -> None:
    """The branch took in a part of the proposal, and the proposal the branch from before that."""
    propose(reviewed, {"train.py": "print(1)\n"}, "Work", "side")
    propose(reviewed, {"registry/churn/stages/Staging.yaml": stage_file(2)}, "Stage", "stage")
    merge(reviewed, "stage")
    crossing = git("rev-parse", "main", cwd=reviewed)
    merge(reviewed, "side")
    git("checkout", "-q", "side", cwd=reviewed)
    git("merge", "-q", "--no-ff", "-m", "Update", crossing, cwd=reviewed, env=ANN)
    write(reviewed, {PRODUCTION: None}, "Demote", ANN)
    git("checkout", "-q", "main", cwd=reviewed)
    assert 2 == len(git("merge-base", "--all", "main", "side", cwd=reviewed).split())
    made = merge(reviewed, "side")
    assert ((), 3) == (look(reviewed).breaks, look(reviewed).changes)
    git("reset", "-q", "--hard", f"{made}^", cwd=reviewed)
    own = merge(reviewed, "side", ANN)
    assert {("churn/1 Production → no stage", f"commit {own[:7]}")} == named(reviewed)


def note(repo: Path, commit: str) -> None:
    """Keep with a commit what a forge knew: Ann proposed it, Rae approved."""
    approvals = (Approval("rae", "rae@example.org"),)
    text = yaml.dump(ApprovalNote("https://forge/x/1", "ann", approvals=approvals).to_document())
    git("notes", "--ref", "runstone", "add", "-m", text, commit, cwd=repo, env=RAE)


def test_how_many_changes_rest_on_notes_alone_is_told(reviewed: Path) -> None:
    """A squashed proposal's approval is in its note; that of a merge is in the merge, whatever is noted."""
    note(reviewed, "main")
    assert 0 == look(reviewed).noted
    note(reviewed, write(reviewed, {PRODUCTION: stage_file(2)}, "Promote churn v2 to Production"))
    found = look(reviewed)
    assert ((), 3, 2) == (found.breaks, found.changes, found.noted)


def test_without_the_notes_nobody_can_tell_what_is_missing(tmp_path: Path) -> None:
    """Until they were asked for: a clone leaves them behind."""
    ann, _, remote = setup(tmp_path)
    write(ann, {PRODUCTION: stage_file(1)}, "Promote churn v1 to Production")
    git("push", "-q", "origin", "main", cwd=ann)
    eve = clone(remote, "eve")
    (found,) = look(eve).breaks
    assert (False, True) == (found.is_certain, found.why.endswith("so nobody can tell yet: `runstone pull`"))
    note(ann, "HEAD~1")
    git("push", "-q", "origin", "refs/notes/runstone", cwd=ann)
    git("fetch", "-q", "origin", "refs/notes/runstone:refs/notes/runstone", cwd=eve)
    (found,) = look(eve).breaks
    assert (True, "nobody approved it") == (found.is_certain, found.why[-18:])


@pytest.mark.parametrize(
    ("options", "tags", "step"),
    [
        (["--single-branch"], False, "`runstone pull`"),
        (["--single-branch"], True, "`runstone pull`"),
        (["--depth=1", "--no-tags"], False, "`git fetch --unshallow --tags`"),
    ],
)
def test_without_the_runs_nobody_can_tell_where_a_version_is_from(
    tmp_path: Path, options: list[str], tags: bool, step: str
) -> None:
    """It says what to fetch, and calls nothing broken of what was never fetched."""
    ann, _, remote = setup(tmp_path)
    propose(ann, {PRODUCTION: stage_file(1)}, "Promote", "promote/1")
    merge(ann, "promote/1")
    git("push", "-q", "origin", "main", cwd=ann)
    eve = tmp_path / "eve"
    git("clone", "-q", *options, f"file://{remote}", eve, cwd=tmp_path)
    if tags:
        git("fetch", "-q", "origin", "refs/tags/*:refs/tags/*", cwd=eve)
    found = [each for each in look(eve, artifacts=True).breaks if each.what == "churn/1"]
    assert (False, True) == (found[0].is_certain, found[0].why.endswith(f"Bring it: {step}"))


def test_a_version_whose_run_is_not_here_cannot_be_judged(tmp_path: Path) -> None:
    """Its git tag may claim anything of the run, so no gate has to ask for it."""
    ann, _, remote = setup(tmp_path)
    base = git("rev-parse", "main", cwd=ann)
    head = propose(ann, {PRODUCTION: stage_file(1)}, "Promote", "promote/1")
    git("push", "-q", "origin", "promote/1", cwd=ann)
    assert "pass" == judge(Workspace.open(ann), base, head).result
    eve = tmp_path / "eve"
    git("init", "-q", "-b", "main", eve, cwd=tmp_path)
    git("fetch", "-q", "--depth=2", f"file://{remote}", "promote/1", cwd=eve)
    tag = run_git(["cat-file", "tag", "refs/tags/churn@v1"], cwd=ann)[1]
    _, oid = run_git(["hash-object", "-t", "tag", "-w", "--stdin", "--literally"], cwd=eve, input=tag)
    (eve / ".git" / "refs" / "tags" / "churn@v1").write_bytes(oid)
    judgement = judge(Workspace.open(eve), base, head)
    (verdict,) = next(each.verdicts for each in judgement.judged if each.verdicts)
    assert ("unknown", "record", "unknown") == (judgement.result, verdict.gate, verdict.result)
    assert verdict.message.endswith("is not here. Bring it: `git fetch --unshallow --tags`")
