"""What Gitea and Forgejo alone do."""

import pytest

from runstone.promotion.forge import Request
from tests.promotion.forge.conftest import BRANCH, HEAD, Double, Make
from tests.promotion.forge.gitea_server import GiteaServer


@pytest.fixture
def double(make: Make) -> Double:
    """Gitea."""
    return make("gitea")


@pytest.fixture
def server(double: Double) -> GiteaServer:
    """Its server."""
    assert isinstance(double.server, GiteaServer)
    return double.server


def test_only_official_reviews_that_stand_count(double: Double, server: GiteaServer) -> None:
    """Not a stranger's, not one that was dismissed, and of each person the latest; comments take nothing back."""
    double.propose()
    server.writers |= {"cy"}
    server.review(1, "eve", "APPROVED", "2026-11-22T11:00:00Z")
    server.review(1, "ada", "APPROVED", "2026-11-22T11:00:00Z")
    server.review(1, "ada", "COMMENT", "2026-11-22T11:01:00Z")
    server.review(1, "bo", "APPROVED", "2026-11-22T11:00:00Z")
    server.review(1, "bo", "REQUEST_CHANGES", "2026-11-22T11:01:00Z")
    server.review(1, "cy", "APPROVED", "2026-11-22T11:00:00Z", dismissed=True)
    note = double.forge().approvals(1)
    assert note is not None
    assert [("ada", HEAD)] == [(each.by, each.commit) for each in note.approvals]


def test_the_token_of_a_job_finds_its_own_comment(double: Double, server: GiteaServer) -> None:
    """It may not ask who it is, and writes as `gitea-actions`."""
    server.tokens["s3cret-token"] = "gitea-actions"
    server.is_installation = True
    double.propose()
    server.comment(1, "eve", "<!-- m --> all is well")
    first = double.forge().comment(1, "one", "<!-- m -->")
    assert first == double.forge().comment(1, "two", "<!-- m -->")
    assert ["<!-- m --> all is well", "<!-- m -->\ntwo"] == [each["body"] for each in server.change(1).comments]


def test_a_label_that_cannot_be_made_does_not_undo_the_request(double: Double, server: GiteaServer) -> None:
    """The request is open, and its troubles say why."""
    server.push(BRANCH, HEAD)
    server.fail(403, {"message": "no right to make labels"}, verb="POST", path="/labels")
    made = double.forge().open_request(Request("T", "", BRANCH, "main", labels=("model", "new")))
    assert 1 == made.number
    assert ("Gitea did not add the labels model, new: no right to make labels",) == made.troubles


def test_a_redirect_on_the_same_host_is_followed(double: Double, server: GiteaServer) -> None:
    """A project that was renamed answers with its new address, and the token goes along."""
    double.propose()
    server.is_private = True
    there = f"{server.url}/api/v1/repos/team/churn/pulls/1"
    server.fail(301, b"", headers={"Location": there})
    assert 1 == double.forge().get_request(1).number
    assert "token s3cret-token" == server.asked[-1].headers["authorization"]
