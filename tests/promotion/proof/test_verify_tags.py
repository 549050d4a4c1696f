"""`verify` and git tags of versions: a sync may make one anew for the same record, and nobody else may."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.promotion.proof.provenance import Break
from runstone.promotion.proof.verify import verify
from runstone.registry.alias import set_alias
from runstone.registry.version import register_version
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.registry.support import log_model
from tests.sharing import Team, make_team, record
from tests.support import git


def look(repo: Path, *, artifacts: bool = True) -> tuple[Break, ...]:
    """What does not hold."""
    return verify(Workspace.open(repo), artifacts=artifacts).breaks


def share(repo: Path) -> None:
    """Sync the records, their bytes left out."""
    sync(Workspace.open(repo), artifacts=False)


def name_no_seal(repo: Path) -> None:
    """Have the last commit name the tag alone, as those made before there was a seal."""
    message = git("log", "-1", "--format=%B", cwd=repo)
    git("commit", "-q", "--amend", "-m", re.sub(r"Seal: .*\n", "", message), cwd=repo)


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Bob has registered two versions offline, and one is the champion; the remote has a run of Ann's since."""
    team = make_team(tmp_path, artifacts=False)
    bob = team.clone("bob")
    (bob / "runstone.yaml").write_text("versions: local\n")
    git("add", "runstone.yaml", cwd=bob)
    git("commit", "-q", "-m", "Number here", cwd=bob)
    workspace = Workspace.open(bob)
    for run in ("one", "two"):
        register_version(workspace, "churn", log_model(workspace, run, text=run))
    set_alias(workspace.repo, "churn", "champion", 1)
    record(team.folder / "ann", "theirs")
    share(team.folder / "ann")
    return team


@pytest.mark.parametrize("sealed", [True, False])
def test_a_tag_that_a_sync_made_anew_is_the_same_version(team: Team, sealed: bool) -> None:
    """The run goes on top of what the remote has, so its commit is another one; also where the commit that moved the
    version names no seal, as long as the tag that it names is here.
    """
    bob = team.folder / "bob"
    if not sealed:
        name_no_seal(bob)
    was = git("rev-parse", "refs/tags/churn@v1", cwd=bob)
    assert () == look(bob)
    share(bob)
    assert was != git("rev-parse", "refs/tags/churn@v1", cwd=bob)
    assert () == look(bob)
    git("push", "-q", "origin", "main", cwd=bob)
    named = [each.what for each in look(team.clone("eve"), artifacts=False)]
    assert ([] if sealed else ["churn/1"]) == named


def other_run(repo: Path) -> None:
    """The body and the commit of another version."""
    body = git("cat-file", "tag", "churn@v2", cwd=repo).partition("\n\n")[2]
    git("tag", "-f", "-a", "-m", body, "churn@v1", "churn@v2^{commit}", cwd=repo)


def other_digest(repo: Path) -> None:
    """The same run, with the digest of another model."""
    body = git("cat-file", "tag", "churn@v1", cwd=repo).partition("\n\n")[2]
    body = re.sub(r"md5:[0-9a-f]{32}", f"md5:{'0' * 32}", body)
    git("tag", "-f", "-a", "-m", body, "churn@v1", "churn@v1^{commit}", cwd=repo)


def other_record(repo: Path) -> None:
    """The same run and words, on a commit where the record says something else."""
    tag = git("cat-file", "tag", "churn@v1", cwd=repo)
    folder = re.search("record: (.*)", tag)
    assert folder is not None
    git("worktree", "add", "-q", "--detach", repo.parent / "tree", "churn@v1", cwd=repo)
    tree = repo.parent / "tree"
    path = tree / folder[1] / "run.yaml"
    path.write_text(path.read_text() + "# better\n")
    git("commit", "-q", "-a", "-m", "Edit", cwd=tree)
    head = git("rev-parse", "HEAD", cwd=tree)
    text = tag.replace(tag.split("\n")[0], f"object {head}")
    (repo / ".git" / "tag").write_text(text + "\n")
    oid = git("hash-object", "-w", "-t", "tag", repo / ".git" / "tag", cwd=repo)
    git("update-ref", "refs/tags/churn@v1", oid, cwd=repo)


@pytest.mark.parametrize("forge", [other_run, other_digest, other_record])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_tag_that_somebody_made_anew_is_named(team: Team, forge: Callable[[Path], None], sealed: bool) -> None:
    """Whatever of it is another thing, and whether or not a sync has made it anew before."""
    bob = team.folder / "bob"
    if not sealed:
        name_no_seal(bob)
    was = git("rev-parse", "refs/tags/churn@v1", cwd=bob)
    share(bob)
    forge(bob)
    first = look(bob, artifacts=False)[0]
    assert ("churn/1", "git tag churn@v1", True) == (first.what, first.where, first.is_certain)
    assert first.why.startswith(f"it was {was[:7]} when commit ")
