"""Requests for review: opened on a forge with the report, merged and closed there; the text where there is no forge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import ProposalRefused
from runstone.git.repository import Repository
from runstone.promotion.proposals.close import close
from runstone.promotion.proposals.merge import merge_proposal
from runstone.promotion.proposals.propose import Options, Outcome
from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli
from tests.promotion.forge.github_server import GitHubServer
from tests.promotion.forge.server import Answer, Asked, Change
from tests.promotion.proposing import kill_at, setup
from tests.support import git

BRANCH = "promote/churn-v1-production"


class GitHub(GitHubServer):
    """The double, on top of a real bare repository: what is merged there is merged in git."""

    def __init__(self, remote: Path) -> None:
        super().__init__()
        self.remote = remote
        self.branches[self.project][BRANCH] = "0" * 40

    def _merge(self, asked: Asked, change: Change, account: str) -> Answer:
        words = ["-m", asked.body["commit_title"], "-m", asked.body["commit_message"]]
        parents = ["-p", "main", "-p", BRANCH]
        mail = self.people[account]
        who = {"GIT_AUTHOR_NAME": account, "GIT_AUTHOR_EMAIL": mail, "GIT_COMMITTER_NAME": "GitHub",
               "GIT_COMMITTER_EMAIL": "noreply@github.com"}  # fmt: skip
        oid = git("commit-tree", f"{BRANCH}^{{tree}}", *parents, *words, cwd=self.remote, env=who)
        git("update-ref", "refs/heads/main", oid, cwd=self.remote)
        self.merge(change.number, account, oid)
        return Answer(200, {"sha": oid, "merged": True, "message": "Pull Request successfully merged"})


@pytest.fixture
def people(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Ann, Rae, and what they share."""
    return setup(tmp_path)


@pytest.fixture
def forge(people: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """A GitHub that their remote is on; git itself goes to the bare repository."""
    ann, rae, remote = people
    with GitHub(remote) as server:
        for repo in (ann, rae):
            git("remote", "set-url", "origin", f"{server.url}/{server.project}.git", cwd=repo)
            git("config", f"url.{remote}.insteadOf", f"{server.url}/{server.project}.git", cwd=repo)
        monkeypatch.setenv("GITHUB_SERVER_URL", server.url)
        monkeypatch.setenv("GH_TOKEN", "s3cret-token")
        assert isinstance(server, GitHub)
        yield server


def promote(repo: Path, **options: object) -> Outcome:
    """Propose version 1 for Production."""
    given = Options(**options)  # type: ignore[arg-type]  # by name, as each test needs it
    return Client(repo).promote("churn", 1, "Production", message="Better than none", options=given)


def test_the_request_is_opened_once(people: tuple[Path, Path, Path], forge: GitHub) -> None:
    """With the reason, the report, a label and a reviewer; again it is the same one."""
    ann, rae, _ = people
    first = promote(ann, labels=("model",), reviewers=("ada",))
    (change,) = forge.changes
    assert f"{forge.url}/team/churn/pull/1" == first.asked.url
    assert ("Promote churn v1 to Production", BRANCH, "main", False) == (
        change.title,
        change.branch,
        change.base,
        change.draft,
    )
    assert change.body.startswith("Better than none\n\n")
    assert "Production" in change.body.partition("\n\n")[2]
    assert (["model"], ["ada"]) == (change.labels, change.reviewers)
    assert first.asked.url == promote(rae).asked.url
    assert 1 == len(forge.changes)


@pytest.mark.parametrize("ref", ["refs/remotes/origin/promote/", "refs/heads/promote/"])
def test_one_that_was_killed_before_it_asked_asks_when_it_is_called_again(
    people: tuple[Path, Path, Path], forge: GitHub, ref: str
) -> None:
    """The branch is on the remote, and nobody knows; the same command opens the request for it, and it alone."""
    ann, _, remote = people
    kill_at(ann, "committed", ref)
    command = ["promote", "churn", "1", "--stage", "Production"]
    assert -9 == run_cli(*command, cwd=ann).returncode
    (ann / ".git" / "hooks" / "reference-transaction").unlink()
    head = git("rev-parse", BRANCH, cwd=remote)
    assert [] == forge.changes
    done = run_cli(*command, cwd=ann)
    assert (0, "proposed already: Promote churn v1 to Production") == (done.returncode, done.stdout.splitlines()[0])
    assert [f"{forge.url}/team/churn/pull/1"] == done.stdout.splitlines()[1:]
    assert (1, head) == (len(forge.changes), git("rev-parse", BRANCH, cwd=remote))
    assert head == git("rev-parse", BRANCH, cwd=ann)


def test_a_draft(people: tuple[Path, Path, Path], forge: GitHub) -> None:
    """As the option says."""
    promote(people[0], draft=True)
    assert forge.changes[0].draft


def test_a_forge_that_fails_leaves_the_proposal(people: tuple[Path, Path, Path], forge: GitHub) -> None:
    """It is a branch first; what went wrong is said, with the text to send, and the same call asks again."""
    ann, _, remote = people
    forge.fail(422, {"message": "No"}, verb="POST", path="/pulls")
    outcome = promote(ann)
    assert outcome.commit == git("rev-parse", BRANCH, cwd=remote)
    assert None is outcome.asked.url
    assert "GitHub" in outcome.asked.troubles[0]
    assert BRANCH in outcome.asked.text
    assert None is not promote(ann).asked.url


def test_without_a_token_a_person_opens_it(
    people: tuple[Path, Path, Path], forge: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page for it is named; the forge was not asked."""
    monkeypatch.delenv("GH_TOKEN")
    asked = promote(people[0]).asked
    assert asked.new_url is not None
    assert asked.new_url.startswith(f"{forge.url}/team/churn/compare/main...")
    assert [] == forge.asked


def test_the_forge_merges(people: tuple[Path, Path, Path], forge: GitHub) -> None:
    """With the reviewer's name in the commit; the clone goes along, and the branch is gone."""
    ann, rae, remote = people
    forge.push(BRANCH, promote(ann).commit or "")
    done = merge_proposal(Workspace.open(rae), "churn")
    assert "kim" == forge.changes[0].merged_by
    assert done.commit == git("rev-parse", "main", cwd=remote) == git("rev-parse", "main", cwd=rae)
    assert "Approved-by: Rae <rae@example.org>" in git("log", "-1", "--format=%B", "main", cwd=remote)
    assert "" == git("status", "--porcelain", cwd=rae)
    assert "" == git("branch", "--list", "promote/*", cwd=remote)


def test_approvals_on_the_forge_count(people: tuple[Path, Path, Path], forge: GitHub) -> None:
    """Nobody may merge what is their own, but for one whom others have told yes there."""
    ann, _, _ = people
    head = promote(ann).commit or ""
    forge.push(BRANCH, head)
    with pytest.raises(ProposalRefused, match="approved what is their own"):
        merge_proposal(Workspace.open(ann), "churn")
    forge.review(1, "ada", "APPROVED", "2026-11-22T10:00:00Z", head)
    assert merge_proposal(Workspace.open(ann), "churn").is_new


def test_to_close_is_to_close_the_request(people: tuple[Path, Path, Path], forge: GitHub) -> None:
    """And the branch goes."""
    ann, _, remote = people
    promote(ann)
    assert [] == close(Repository.open(ann), "churn")[1]
    assert "closed" == forge.changes[0].state
    assert "" == git("branch", "--list", "promote/*", cwd=remote)
