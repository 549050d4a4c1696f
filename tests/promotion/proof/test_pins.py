"""What a commit says of a git tag: believed where it was approved or nothing is guarded; else told, and no break."""

import sys
from pathlib import Path

import pytest

from runstone.promotion.proof.verify import Verified, verify
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli
from tests.promotion.support import ANN, make_versions, merge, propose, stage_file, write
from tests.sharing import Team
from tests.support import SOURCE, git

POLICY = "schema: runstone/policy/v1\nstages: {Archived: {}, Production: {approvals: {count: 1}}}\n"
ARCHIVED, PRODUCTION = (f"registry/churn/stages/{stage}.yaml" for stage in ("Archived", "Production"))


def pinned(tag: str, version: int = 2) -> str:
    """A message that says what the git tag of a version is."""
    return f"Move churn v{version}\n\nModel: churn\nVersion: {version}\nTag: {tag}"


def look(repo: Path) -> Verified:
    """What `verify` finds."""
    return verify(Workspace.open(repo), artifacts=False)


@pytest.fixture
def ann(plain_team: Team) -> Path:
    """A project in which Production is guarded, with two versions, shared."""
    repo = plain_team.folder / "ann"
    write(repo, {"registry/policy.yaml": POLICY}, "Guard")
    git("push", "-q", "origin", "main", cwd=repo)
    make_versions(repo)
    sync(Workspace.open(repo), artifacts=False)
    return repo


def test_what_nobody_had_to_approve_breaks_no_version(ann: Path) -> None:
    """Whatever a free commit says of a tag, it is told of that commit, now and after honest ones."""
    commit = write(ann, {ARCHIVED: stage_file(2)}, pinned(f"{7:040d}"))
    now = git("rev-parse", "refs/tags/churn@v2", cwd=ann)
    propose(ann, {PRODUCTION: stage_file(1)}, "Promote", "promote")
    merge(ann, "promote")
    found = look(ann)
    assert () == found.breaks
    why = f"it says that the git tag churn@v2 is 0000000, and it is {now[:7]}"
    assert [("churn/2", f"commit {commit[:7]}", why)] == [(each.what, each.where, each.why) for each in found.doubts]
    done = run_cli("verify", "--no-artifacts", cwd=ann)
    assert (0, f"note    commit {commit[:7]} of churn/2: {why}; nobody approved that") == (
        done.returncode,
        done.stdout.splitlines()[0],
    )


def test_a_moved_tag_that_an_approved_commit_named_is_a_break(ann: Path) -> None:
    """Also where a free commit named the same one before."""
    was = git("rev-parse", "refs/tags/churn@v2", cwd=ann)
    write(ann, {ARCHIVED: stage_file(2)}, pinned(was))
    propose(ann, {PRODUCTION: stage_file(2), ARCHIVED: None}, pinned(was), "promote")
    commit = merge(ann, "promote")
    git("tag", "-f", "-a", "-m", "Another", "churn@v2", "churn@v2^{commit}", cwd=ann)
    why = f"it was {was[:7]} when commit {commit[:7]} moved the version"
    assert [("churn/2", why)] == [
        (each.what, each.why.partition(", and")[0]) for each in look(ann).breaks if "moved the version" in each.why
    ]


def test_an_unapproved_move_of_what_is_guarded_is_not_believed(ann: Path) -> None:
    """It is the break itself; what it says of a tag is told beside it."""
    write(ann, {PRODUCTION: stage_file(1)}, pinned(f"{7:040d}", 1))
    found = look(ann)
    assert ["churn/1 no stage → Production"] == [each.what for each in found.breaks]
    assert ["churn/1"] == [each.what for each in found.doubts]


def test_the_guard_refuses_what_is_not_so(ann: Path, plain_team: Team) -> None:
    """And takes the same commit with the tag as it is."""
    plain_team.hook("pre-receive", f"PYTHONPATH='{SOURCE}' exec '{sys.executable}' -m runstone guard")
    write(ann, {ARCHIVED: stage_file(2)}, pinned(f"{7:040d}"))
    with pytest.raises(AssertionError, match="it says that the git tag churn@v2 is 0000000"):
        git("push", "origin", "main", cwd=ann)
    now = git("rev-parse", "refs/tags/churn@v2", cwd=ann)
    git("commit", "-q", "--amend", "-m", pinned(now), cwd=ann, env=ANN)
    git("push", "-q", "origin", "main", cwd=ann)
    assert git("rev-parse", "main", cwd=ann) == git("rev-parse", "main", cwd=plain_team.remote)
