"""`guard`: what a shared bare repository lets in, through git's own pre-receive hook and real pushes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.errors import InvalidValue
from runstone.git.repository import Repository
from runstone.promotion.proof.guard import Update, parse_updates
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.promotion.faults import FAULTS, Make, propose_fault
from tests.promotion.support import ANN, RAE, make_versions, merge, propose, stage_file, write
from tests.sharing import Team
from tests.support import SOURCE, git

Push = Callable[..., "subprocess.CompletedProcess[str]"]
PRODUCTION = "registry/churn/stages/Production.yaml"


@pytest.fixture
def ann(plain_team: Team) -> Path:
    """A clone of a guarded repository that reviews, with two versions of `churn` shared."""
    repo = plain_team.folder / "ann"
    write(repo, {"runstone.yaml": "promotion: review\n"}, "Review")
    git("push", "-q", "origin", "main", cwd=repo)
    make_versions(repo)
    sync(Workspace.open(repo), artifacts=False)
    plain_team.hook("pre-receive", f"PYTHONPATH='{SOURCE}' exec '{sys.executable}' -m runstone guard")
    return repo


@pytest.fixture
def push(ann: Path) -> Push:
    """Push, and say how it went."""

    def run(*refspecs: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["git", "push", "origin", *refspecs], cwd=ann, capture_output=True, text=True, check=False, timeout=60
        )

    return run


def refs(repo: Path) -> str:
    """All refs of a repository."""
    return git("for-each-ref", cwd=repo)


def test_a_change_that_was_approved_comes_in(ann: Path, push: Push, plain_team: Team) -> None:
    """Merged by somebody else than the author; work on code comes in as before."""
    propose(ann, {PRODUCTION: stage_file(1)}, "Promote churn v1", "promote/1")
    merge(ann, "promote/1")
    write(ann, {"train.py": "print(2)\n"}, "Work")
    assert 0 == push("main", "promote/1").returncode
    assert git("rev-parse", "main", cwd=ann) == git("rev-parse", "main", cwd=plain_team.remote)


def test_a_stage_file_pushed_directly_is_refused(ann: Path, push: Push, plain_team: Team) -> None:
    """With the change, the commit, and what to do."""
    before = refs(plain_team.remote)
    commit = write(ann, {PRODUCTION: stage_file(1)}, "Sneak")
    done = push("main")
    assert 0 != done.returncode
    expected = (
        f"remote: refused refs/heads/main: churn/1 no stage → Production, commit {commit[:7]}: 1 approval is needed "
        "and none counts: it was pushed as it is, and nobody approved it. "
        "Propose it: `runstone promote … --propose`, and have somebody else merge it"
    )
    assert expected in " ".join(line.strip() for line in done.stderr.splitlines())
    assert before == refs(plain_team.remote)


def test_a_self_approved_merge_is_refused(ann: Path, push: Push) -> None:
    """The author merged it."""
    propose(ann, {PRODUCTION: stage_file(1)}, "Promote churn v1", "promote/1")
    merge(ann, "promote/1", ANN)
    assert "Ann approved what is their own" in push("main").stderr


@pytest.mark.parametrize(("make", "what", "why"), [FAULTS[1], FAULTS[3], *FAULTS[8:]])
def test_what_no_approval_makes_right_is_refused(ann: Path, push: Push, make: Make, what: str, why: str) -> None:
    """Although somebody else merged it."""
    propose(ann, {PRODUCTION: stage_file(1)}, "Promote churn v1", "promote/1")
    merge(ann, "promote/1")
    assert 0 == push("main").returncode
    propose_fault(ann, make, "odd")
    commit = git("commit-tree", "-m", "Merge", "odd^{tree}", "-p", "main", "-p", "odd", cwd=ann, env=RAE)
    done = push(f"{commit}:refs/heads/main")
    assert 0 != done.returncode
    said = " ".join(line.removeprefix("remote:").strip() for line in done.stderr.splitlines())
    assert f"refused refs/heads/main: {what}, commit {commit[:7]}: {why}" in said


def test_what_is_wrong_already_hinders_nobody_else(ann: Path, push: Push, plain_team: Team) -> None:
    """A version in two stages, from before there was a guard: other work is taken, and what mends it."""
    both: dict[str, str | None] = {PRODUCTION: stage_file(1), "registry/churn/stages/Staging.yaml": stage_file(1, 2)}
    head = write(ann, both, "Both")
    git("fetch", "-q", str(ann), f"{head}:refs/heads/main", cwd=plain_team.remote)
    write(ann, {"train.py": "print(2)\n", "registry/churn/README.md": "# Churn\n"}, "Work")
    assert 0 == push("main").returncode
    propose(ann, {"registry/churn/stages/Staging.yaml": stage_file(2)}, "Take it out", "demote/1")
    merge(ann, "demote/1")
    assert 0 == push("main").returncode


def test_who_is_who_is_changed_with_approval(ann: Path, push: Push) -> None:
    """As runstone.yaml is: else one could become another by a push, and then approve."""
    write(ann, {".mailmap": "<boss@example.org> <ann@example.org>\n"}, "Add me")
    assert "policy of .mailmap" in push("main").stderr


def test_a_refused_change_hidden_below_others_is_found(ann: Path, push: Push) -> None:
    """Each commit of the push is judged, not only the last."""
    write(ann, {PRODUCTION: stage_file(1)}, "Sneak")
    write(ann, {PRODUCTION: None}, "Cover up")
    assert 2 == push("main").stderr.count("refused refs/heads/main")


def test_a_branch_brought_in_by_the_side_is_refused(ann: Path, push: Push) -> None:
    """Else what was pushed would pass for what it was merged into."""
    git("checkout", "-q", "-b", "side", "HEAD~1", cwd=ann)
    write(ann, {"runstone.yaml": "promotion: direct\n"}, "Look the other way")
    git("merge", "-q", "--no-ff", "-s", "ours", "-m", "Swap", "main", cwd=ann, env=ANN)
    assert "its first parents lead past" in push("side:main").stderr


def test_reviewed_history_cannot_be_taken_back(ann: Path, push: Push) -> None:
    """Neither by force nor by removing the branch."""
    git("checkout", "-q", "-B", "main", "HEAD~1", cwd=ann)
    write(ann, {"train.py": "print(3)\n"}, "Rewrite")
    assert "a push that is no fast-forward would take back" in push("--force", "main").stderr
    git("config", "receive.denyDeleteCurrent", "ignore", cwd=ann.parent / "remote.git")
    assert "a push that is no fast-forward would take back" in push(":main").stderr


@pytest.mark.parametrize("refspec", [":refs/tags/churn@v1", "+refs/tags/churn@v2:refs/tags/churn@v1"])
def test_a_version_tag_is_never_moved_or_deleted(push: Push, plain_team: Team, ann: Path, refspec: str) -> None:
    """By force either."""
    before = refs(plain_team.remote)
    done = push(refspec)
    assert "a version is never" in done.stderr
    assert "`runstone models retire churn 1`" in done.stderr
    assert before == refs(plain_team.remote)


def test_version_tags_come_in_the_order_of_their_numbers(ann: Path, push: Push) -> None:
    """Without a gap, with the runs that they are on, each under its own name."""
    (ann / "runstone.yaml").write_text("promotion: review\nversions: local\n")
    make_versions_more(ann)
    assert "is not on the branch `runs`" in push("refs/tags/churn@v3").stderr
    assert "the next version of churn is 3" in push("runs", "refs/tags/churn@v4").stderr
    assert "it was made as 'churn@v4'" in push("runs", "refs/tags/churn@v4:refs/tags/churn@v3").stderr
    git("tag", "churn@v5", "runs", cwd=ann)
    assert "it must be an annotated tag" in push("runs", "refs/tags/churn@v5").stderr
    assert 0 == push("runs", "refs/tags/churn@v4", "refs/tags/churn@v3").returncode


def make_versions_more(repo: Path) -> None:
    """Versions 3 and 4, allotted here."""
    from runstone.registry.version import register_version
    from tests.registry.support import log_model

    workspace = Workspace(Repository.open(repo))
    for number in (3, 4):
        register_version(workspace, "churn", log_model(workspace, f"churn-run-{number}"))


def test_runs_only_grow(ann: Path, push: Push) -> None:
    """Neither the branch of runs nor the notes lose anything by a push, and nothing is put in front of a run."""
    git("update-ref", "refs/heads/runs", "runs~1", cwd=ann)
    git("branch", "other", "main", cwd=ann)
    assert "it only ever grows" in push("--force", "runs").stderr
    assert "it only ever grows" in push(":runs").stderr
    foxtrot = git("commit-tree", "-m", "Front", "main^{tree}", "-p", "main", "-p", "origin/runs", cwd=ann)
    assert "it only ever grows" in push(f"{foxtrot}:refs/heads/runs").stderr
    assert 0 == push("other").returncode
    assert 0 == push(":other").returncode


def test_notes_of_approvals_are_taken_only_where_that_is_allowed(ann: Path, push: Push, plain_team: Team) -> None:
    """Whoever may push could write one; where they are allowed, they only grow."""
    git("notes", "--ref=runstone", "add", "-m", "x", "main", cwd=ann)
    assert "a note would be anybody's word" in push("refs/notes/runstone").stderr
    plain_team.hook("pre-receive", f"PYTHONPATH='{SOURCE}' exec '{sys.executable}' -m runstone guard --allow-notes")
    assert 0 == push("refs/notes/runstone").returncode
    assert "it only ever grows" in push(":refs/notes/runstone").stderr


@pytest.mark.parametrize("ref", ["refs/replace/{head}", "refs/remotes/origin/main"])
def test_what_stands_in_for_other_objects_and_branches_is_refused(ann: Path, push: Push, ref: str) -> None:
    """A replacement would show an innocent commit where an evil one is."""
    head = git("rev-parse", "HEAD", cwd=ann)
    assert (
        "it would change what the objects or branches here are taken for"
        in push(f"HEAD:{ref.format(head=head)}").stderr
    )


def test_another_branch_does_not_become_the_default_one(ann: Path, push: Push, plain_team: Team) -> None:
    """The default branch of a bare repository is where its HEAD leads, whatever is pushed beside it."""
    git("branch", "-m", "main", "trunk", cwd=plain_team.remote)
    git("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=plain_team.remote)
    assert 0 == push("main").returncode
    write(ann, {PRODUCTION: stage_file(1)}, "Sneak")
    assert "nobody approved it" in push("main:trunk").stderr


def test_a_models_own_policy_guards_its_branch_too(ann: Path, push: Push) -> None:
    """Also where the project does not review and has no policy of its own."""
    policy = "schema: runstone/policy/v1\nstages: {Production: {approvals: {count: 1}}}\n"
    files: dict[str, str | None] = {"runstone.yaml": "promotion: direct\n", "registry/churn/policy.yaml": policy}
    propose(ann, files, "Guard churn", "promote/policy")
    merge(ann, "promote/policy")
    assert 0 == push("main").returncode
    git("checkout", "-q", "-B", "main", "HEAD~1", cwd=ann)
    write(ann, {PRODUCTION: stage_file(1)}, "Rewrite")
    assert "a push that is no fast-forward would take back" in push("--force", "main").stderr


def test_nobody_retires_what_is_in_a_guarded_place(ann: Path, push: Push) -> None:
    """Nor a version that never was, which would use up the numbers."""
    propose(ann, {PRODUCTION: stage_file(1)}, "Promote churn v1", "promote/1")
    merge(ann, "promote/1")
    assert 0 == push("main").returncode
    for name in ("churn@v1!", "churn@v2!", "churn@v999!"):
        git("tag", "-a", "-m", "Bye", name, "main", cwd=ann)
    assert "Propose its demotion first: `runstone demote churn 1`" in push("refs/tags/churn@v1!").stderr
    assert "there is no such version to retire" in push("refs/tags/churn@v999!").stderr
    assert 0 == push("refs/tags/churn@v2!").returncode


def test_a_version_is_what_its_record_says(ann: Path, push: Push) -> None:
    """A tag that claims another model's bytes for an honest run is refused."""
    (ann / "runstone.yaml").write_text("promotion: review\nversions: local\n")
    make_versions_more(ann)
    body = git("cat-file", "tag", "churn@v3", cwd=ann).partition("\n\n")[2]
    digest = next(line for line in body.split("\n") if line.startswith("digest: "))
    forged = body.replace(digest, f"digest: 'md5:{'0' * 32}.dir'")
    git("tag", "-f", "-a", "-m", forged, "churn@v3", "churn@v3^{commit}", cwd=ann)
    done = push("runs", "refs/tags/churn@v3")
    assert "and the record of its commit does not" in done.stderr


def test_a_tag_with_two_objects_is_refused(ann: Path, push: Push) -> None:
    """Readers would not agree on what it is a version of."""
    (ann / "runstone.yaml").write_text("promotion: review\nversions: local\n")
    make_versions_more(ann)
    text = git("cat-file", "tag", "churn@v3", cwd=ann)
    other = git("rev-parse", "main", cwd=ann)
    head, _, body = text.partition("\n\n")
    (ann / "forged").write_text(f"{head}\nobject {other}\n\n{body}\n")
    forged = git("hash-object", "-t", "tag", "-w", "--literally", "forged", cwd=ann)
    git("update-ref", "refs/tags/churn@v3", forged, cwd=ann)
    assert "its head is not that of a tag which git makes" in push("runs", "refs/tags/churn@v3").stderr


def test_a_repository_without_review_takes_what_it_is_given(ann: Path, push: Push, plain_team: Team) -> None:
    """In direct mode, with no policy, stages are pushed as code is."""
    propose(ann, {"runstone.yaml": "promotion: direct\n"}, "Trust each other", "promote/direct")
    merge(ann, "promote/direct")
    assert 0 == push("main").returncode
    write(ann, {PRODUCTION: stage_file(1)}, "Promote")
    assert 0 == push("main").returncode
    git("checkout", "-q", "-B", "main", "HEAD~1", cwd=ann)
    assert 0 == push("--force", "main").returncode


@pytest.mark.parametrize("line", ["", "a b c", "0000 1111 refs/heads/main", f"{'0' * 40} {'1' * 40} --option"])
def test_what_is_no_update_is_refused(git_repo: Path, line: str) -> None:
    """The line is shown."""
    with pytest.raises(InvalidValue, match="as git hands it to a pre-receive hook"):
        parse_updates(Repository.open(git_repo), [line])


def test_updates_are_read_as_git_writes_them(git_repo: Path) -> None:
    """Zeros stand for no object; a name may hold a space's escape but no space."""
    head = git("rev-parse", "HEAD", cwd=git_repo)
    repo = Repository.open(git_repo)
    assert [Update("refs/heads/x", None, head)] == parse_updates(repo, [f"{'0' * 40} {head} refs/heads/x\n"])
