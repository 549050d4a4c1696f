"""What GitLab alone does."""

import pytest

from runstone.promotion.forge import Request
from tests.promotion.forge.conftest import BRANCH, HEAD, Double, Make
from tests.promotion.forge.gitlab_server import GitLabServer
from tests.support import git


@pytest.fixture
def double(make: Make) -> Double:
    """GitLab."""
    return make("gitlab")


@pytest.fixture
def server(double: Double) -> GitLabServer:
    """Its server."""
    assert isinstance(double.server, GitLabServer)
    return double.server


@pytest.mark.parametrize("tells", [True, False])
def test_what_was_approved_is_what_was_the_head_then(double: Double, server: GitLabServer, tells: bool) -> None:
    """From the versions of the request, and the time that GitLab tells or its own note of the approval."""
    server.tells_when_approved = tells
    double.propose()
    server.approve(1, "ada", "2026-11-22T10:30:00.000Z")
    server.push(BRANCH, "b" * 40)  # at 11
    server.approve(1, "bo", "2026-11-22T11:30:00.000Z")
    note = double.forge().approvals(1)
    assert note is not None
    assert [("ada", HEAD), ("bo", "b" * 40)] == [(each.by, each.commit) for each in note.approvals]
    assert "b" * 40 == note.head


def test_an_approval_of_nobody_knows_what_does_not_count(double: Double, server: GitLabServer) -> None:
    """No time is told anywhere: with one version it is that, with several it could be any."""
    server.tells_when_approved = False
    double.propose()
    server.approve(1, "ada", "2026-11-22T10:30:00.000Z")
    server.change(1).comments.clear()
    forge = double.forge()
    note = forge.approvals(1)
    assert note is not None
    assert [HEAD] == [each.commit for each in note.approvals]
    server.push(BRANCH, "b" * 40)
    note = forge.approvals(1)
    assert note is not None
    assert () == note.approvals


def test_an_approval_that_was_taken_back(double: Double, server: GitLabServer) -> None:
    """GitLab's list holds who approves now; its notes alone approve nothing, nor does what a person writes."""
    double.propose()
    server.approve(1, "ada", "2026-11-22T10:30:00.000Z")
    server.unapprove(1, "ada")
    server.comment(1, "eve", "approved this merge request")
    note = double.forge().approvals(1)
    assert note is not None
    assert () == note.approvals


def test_a_project_in_sub_groups(double: Double, server: GitLabServer) -> None:
    """Its whole path is one part of the address, quoted."""
    server.project = "org/ml/churn"
    server.branches[server.project] = {BRANCH: HEAD}
    git("remote", "set-url", "origin", f"{server.url}/org/ml/churn.git", cwd=double.repo.work_tree)  # type: ignore[arg-type]  # it has one
    made = double.forge().open_request(Request("T", "", BRANCH, "main"))
    assert (1, f"{server.url}/org/ml/churn/-/merge_requests/1") == (made.number, made.url)
    assert "/api/v4/projects/org%2Fml%2Fchurn/merge_requests" in [call.path for call in server.asked]


def test_a_fast_forward_is_the_head_itself(double: Double, server: GitLabServer) -> None:
    """With no merge commit, the commit that a request became is what was its head."""
    server.merges_by = "ff"
    double.propose()
    double.forge().merge_request(1, head=HEAD)
    found = double.forge().request_of_commit(HEAD)
    assert found is not None
    assert ("merged", HEAD) == (found.state, found.merge_commit)


def test_the_token_is_sent_as_gitlab_wants_it(
    double: Double, server: GitLabServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A personal token and a job's have headers of their own."""
    double.propose()
    assert {"s3cret-token"} == {call.headers.get("private-token") for call in server.asked}
    monkeypatch.delenv("GITLAB_TOKEN")
    monkeypatch.setenv("CI_SERVER_URL", server.url)
    monkeypatch.setenv("CI_JOB_TOKEN", "job-token")
    double.forge().get_request(1)
    assert (None, "job-token") == tuple(server.asked[-1].headers.get(name) for name in ("private-token", "job-token"))
