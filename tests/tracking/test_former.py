"""What a remote once had and has no longer is told by whoever saw it, and proved by `verify`."""

from pathlib import Path

import pytest

from runstone.promotion.proof.verify import verify
from runstone.registry.alias import set_alias
from runstone.registry.version import register_version
from runstone.tracking.doctor import examine
from runstone.tracking.mend import mend
from runstone.tracking.sync import Synced, sync
from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli
from tests.registry.support import log_model
from tests.sharing import Team, make_team, number_here
from tests.support import git

MAIN = "refs/runstone/former/origin/heads/main"
TAG = "refs/runstone/former/origin/tags/churn@v1"


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Ann has shared two versions, and promoted the first one on `main`; Bob has all of it."""
    team = make_team(tmp_path, artifacts=False)
    ann = team.folder / "ann"
    number_here(ann)
    workspace = Workspace.open(ann)
    for run in ("one", "two"):
        register_version(workspace, "churn", log_model(workspace, run, text=run))
    share(ann)
    set_alias(workspace.repo, "churn", "champion", 1)
    git("push", "-q", "origin", "main", cwd=ann)
    share(team.clone("bob"))
    return team


def share(repo: Path, *, send: bool = True) -> Synced:
    """Sync the records, their bytes left out."""
    return sync(Workspace.open(repo), artifacts=False, send=send)


def breaks(repo: Path) -> list[tuple[str, str, bool]]:
    """What does not hold, what is recorded of versions aside."""
    found = verify(Workspace.open(repo), artifacts=False).breaks
    return [(each.what, each.where, each.is_certain) for each in found]


def forge(repo: Path) -> None:
    """Have `churn@v1` on the remote be what version 2 is."""
    body = git("cat-file", "tag", "churn@v2", cwd=repo).partition("\n\n")[2]
    git("tag", "-f", "-a", "-m", body, "churn@v1", "churn@v2^{commit}", cwd=repo)
    git("push", "-q", "--force", "origin", "refs/tags/churn@v1", cwd=repo)


@pytest.mark.filterwarnings("ignore::runstone.registry.branch.BranchesDiffer")
@pytest.mark.parametrize("diverged", [False, True])
@pytest.mark.parametrize("fetched", [False, True])
def test_a_branch_that_was_set_back(team: Team, diverged: bool, fetched: bool) -> None:
    """Told at each sync and broken for certain, whatever git has fetched since, until the branch is put back."""
    ann, bob = team.folder / "ann", team.folder / "bob"
    was = git("rev-parse", "main", cwd=bob)
    git("reset", "-q", "--hard", "HEAD~1", cwd=ann)
    if diverged:
        git("commit", "-q", "--allow-empty", "-m", "Other", cwd=ann)
    git("push", "-q", "--force", "origin", "main", cwd=ann)
    now = git("rev-parse", "main", cwd=ann)
    for _ in range(2):
        (told,) = share(bob, send=False).lost
        if fetched:
            git("fetch", "-q", cwd=bob)
    assert told == (
        f"`origin` had the branch `main` at {was[:10]}, and has {now[:10]} now, which does not hold it: it was set "
        f"back. See what it lost: `git log {now[:10]}..{was[:10]}`, and put it back: `git push --force origin "
        f"{was[:10]}:refs/heads/main`. If that was right: `git update-ref -d {MAIN}`"
    )
    assert [("registry", "branch main", True)] == breaks(bob)
    git("push", "-q", "--force", "origin", f"{was[:10]}:refs/heads/main", cwd=bob)
    assert [] == share(bob, send=False).lost
    assert [] == breaks(bob)


def test_a_branch_that_goes_on_is_nothing_to_tell(team: Team) -> None:
    """Nor is one that git has fetched meanwhile; and what is known to be right is let go of."""
    ann, bob = team.folder / "ann", team.folder / "bob"
    for number in range(3):
        git("commit", "-q", "--allow-empty", "-m", f"Work {number}", cwd=ann)
        git("push", "-q", "origin", "main", cwd=ann)
        if number == 1:
            git("pull", "-q", "--ff-only", cwd=bob)
        assert [] == share(bob).lost
    git("push", "-q", "--force", "origin", "main~1:main", cwd=ann)
    assert 1 == len(share(bob).lost)
    git("update-ref", "-d", MAIN, cwd=bob)
    git("fetch", "-q", cwd=bob)
    assert [] == share(bob).lost
    assert [] == breaks(bob)


def test_a_version_that_was_deleted_there(team: Team) -> None:
    """Told as it is pulled, and broken; a sync that sends puts it back, and all holds again."""
    ann, bob = team.folder / "ann", team.folder / "bob"
    was = git("rev-parse", "refs/tags/churn@v1", cwd=bob)
    git("push", "-q", "--delete", "origin", "refs/tags/churn@v1", cwd=ann)
    (told,) = share(bob, send=False).lost
    assert told == (
        f"`origin` had the tag `churn@v1` (a model version) at {was[:10]}, and has none now: it was deleted there. Put "
        f"it back: `git push origin {was[:10]}:refs/tags/churn@v1`. If that was right: `git update-ref -d {TAG}`"
    )
    assert [("churn/1", "git tag churn@v1", True)] == breaks(bob)
    found = next(each for each in examine(Workspace.open(bob)) if each.name == "version tags")
    assert ("warn", True) == (found.state, "it was deleted there" in found.detail)
    shown = run_cli("pull", cwd=bob)
    assert (0, f"warning: {told}\n") == (shown.returncode, shown.stderr)
    done = share(bob)
    assert (1, ["churn@v1"]) == (len(done.lost), done.versions_sent)
    assert [] == share(bob).lost
    assert [] == breaks(bob)


@pytest.mark.parametrize("promoted", [True, False])
def test_a_version_that_was_moved_there_keeps_its_number_here(team: Team, promoted: bool) -> None:
    """Under another number stages and aliases would mean the other one; as commits or the remote named it."""
    ann, bob = team.folder / "ann", team.folder / "bob"
    was = git("rev-parse", "refs/tags/churn@v1", cwd=bob)
    forge(ann)
    done = share(bob)
    shown = run_cli("pull", cwd=bob)
    assert (1, True) == (
        shown.returncode,
        "The one here is the one that was promoted, or that `origin` had" in shown.stderr,
    )
    assert "doctor --fix" not in shown.stderr
    if promoted:
        git("update-ref", "-d", TAG, cwd=bob)
    else:
        git("update-ref", "refs/heads/main", git("rev-parse", "main~1", cwd=bob), cwd=bob)
        git("update-ref", "-d", "refs/remotes/origin/main", cwd=bob)
    assert (["churn@v1"], ["churn@v1"]) == (done.diverged, done.moved)
    advice = next(each.advice for each in examine(Workspace.open(bob)) if each.name == "version tags")
    assert "`git push --force origin refs/tags/churn@v1`" in advice
    assert "doctor --fix" not in advice
    assert any(
        line.startswith("churn@v1 keeps its number, though origin has another: ") for line in mend(Workspace.open(bob))
    )
    assert was == git("rev-parse", "refs/tags/churn@v1", cwd=bob)
    git("push", "-q", "--force", "origin", "refs/tags/churn@v1", cwd=bob)
    assert ([], []) == (share(bob).diverged, [each for each in breaks(bob) if each[1].startswith("git tag")])
