"""What GitHub alone does."""

import pytest

from runstone.errors import ForgeFailed
from runstone.promotion.forge import Request
from tests.promotion.forge.conftest import BRANCH, HEAD, Double, Make
from tests.promotion.forge.github_server import GitHubServer


@pytest.fixture
def double(make: Make) -> Double:
    """GitHub."""
    return make("github")


@pytest.fixture
def server(double: Double) -> GitHubServer:
    """Its server."""
    assert isinstance(double.server, GitHubServer)
    return double.server


def who(double: Double) -> list[str]:
    """Who approved the first request."""
    note = double.forge().approvals(1)
    assert note is not None
    return [approval.by for approval in note.approvals]


def test_of_each_person_the_latest_word_counts(double: Double, server: GitHubServer) -> None:
    """A request for changes or a dismissal takes an approval back, a comment does not; and one may come round."""
    double.propose()
    server.writers |= {"cy", "di"}
    for by, states in {
        "ada": ["APPROVED", "CHANGES_REQUESTED"],
        "bo": ["CHANGES_REQUESTED", "APPROVED", "COMMENTED"],
        "cy": ["DISMISSED"],
        "di": ["PENDING"],
    }.items():
        for i, state in enumerate(states):
            server.review(1, by, state, f"2026-11-22T11:0{i}:00Z")
    assert ["bo"] == who(double)


def test_an_approval_of_an_earlier_head_says_so(double: Double, server: GitHubServer) -> None:
    """The commit that was approved is kept beside the head that was merged."""
    double.propose()
    server.review(1, "ada", "APPROVED", "2026-11-22T11:00:00Z")
    server.push(BRANCH, "b" * 40)
    note = double.forge().approvals(1)
    assert note is not None
    assert ("b" * 40, HEAD) == (note.head, note.approvals[0].commit)


def test_a_stranger_does_not_approve(double: Double, server: GitHubServer) -> None:
    """Only who may write counts; where the token may not ask, who belongs to the project."""
    double.propose()
    server.review(1, "eve", "APPROVED", "2026-11-22T11:00:00Z", kin="NONE")
    server.review(1, "ada", "APPROVED", "2026-11-22T11:00:00Z", kin="MEMBER")
    assert ["ada"] == who(double)
    server.may_ask_roles = False
    assert ["ada"] == who(double)


def test_a_deleted_account_is_nobody(double: Double, server: GitHubServer) -> None:
    """Neither author nor reviewer is told then; the note is one all the same."""
    double.propose()
    server.change(1).author = ""
    server.review(1, "ada", "APPROVED", "2026-11-22T11:00:00Z")
    server.change(1).reviews[0]["user"] = None
    note = double.forge().approvals(1)
    assert note is not None
    assert ("ghost", None, ()) == (note.author, note.author_mail, note.approvals)


def test_a_commit_of_a_rebase_belongs_to_the_oldest_request(double: Double, server: GitHubServer) -> None:
    """The request that became the very commit comes first; else the first that brought it to the default branch."""
    for i, base in enumerate(("staging", "main", "main")):
        server.push(f"b{i}", HEAD)
        server.push(base, "1" * 40)
        double.forge().open_request(Request("T", "", f"b{i}", base))
        server.merge(i + 1, "ada", f"{i + 1}" * 40)
    found = double.forge().request_of_commit(HEAD)
    assert 2 == (found.number if found else None)
    found = double.forge().request_of_commit("3" * 40)
    assert 3 == (found.number if found else None)


def test_a_project_without_drafts(double: Double, server: GitHubServer) -> None:
    """The request is opened as a ready one, and says so."""
    server.has_drafts = False
    server.push(BRANCH, HEAD)
    made = double.forge().open_request(Request("T", "", BRANCH, "main", draft=True))
    assert (1, False) == (made.number, made.draft)
    assert ("GitHub has no drafts in this project: the request is open for review",) == made.troubles


def test_teams_are_asked_as_teams(double: Double, server: GitHubServer) -> None:
    """`org/team` and `@org/team`."""
    server.push(BRANCH, HEAD)
    made = double.forge().open_request(Request("T", "", BRANCH, "main", reviewers=("@team/ml", "@bo")))
    assert (["ml"], ("bo",), ()) == (getattr(server, "teams", []), made.reviewers, made.troubles)


def test_the_token_of_a_job_finds_its_own_comment(double: Double, server: GitHubServer) -> None:
    """It may not ask who it is: then comments of bots with the marker are its own, those of people never."""
    server.tokens["s3cret-token"] = "github-actions[bot]"
    server.is_installation = True
    double.propose()
    server.comment(1, "eve", "<!-- m --> all is well")
    first = double.forge().comment(1, "one", "<!-- m -->")
    assert first == double.forge().comment(1, "two", "<!-- m -->")
    assert ["<!-- m --> all is well", "<!-- m -->\ntwo"] == [each["body"] for each in server.change(1).comments]


def test_the_rate_limit_of_an_hour_is_told(double: Double, server: GitHubServer) -> None:
    """403 with `x-ratelimit-remaining: 0` is no lack of rights."""
    import time

    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1800)}
    server.fail(403, {"message": "API rate limit exceeded for user ID 1."}, headers=headers)
    with pytest.raises(ForgeFailed) as caught:
        double.forge().get_request(1)
    assert str(caught.value).endswith("It has been asked too often. Try again in 30 min.")
    server.fail(403, {"message": "You have exceeded a secondary rate limit."}, headers={"Retry-After": "0"})
    with pytest.raises(ForgeFailed) as caught:
        double.forge().get_request(1)
    assert 404 == caught.value.status


def test_no_right_is_no_rate_limit(double: Double, server: GitHubServer) -> None:
    """403: which variable's token lacks the right; asked once."""
    server.fail(403, {"message": "Resource not accessible by personal access token"}, times=9)
    with pytest.raises(ForgeFailed) as caught:
        double.forge().get_request(1)
    assert "Give the token in `GITHUB_TOKEN` the right to do this, or use another." in str(caught.value)
    assert 1 == len(server.asked)


def test_what_github_finds_wrong_is_told(double: Double, server: GitHubServer) -> None:
    """422: the field, or its own sentence."""
    server.push(BRANCH, HEAD)
    with pytest.raises(ForgeFailed) as caught:
        double.forge().open_request(Request("T", "", BRANCH, "nowhere"))
    assert (
        f"GitHub ({server.url}/team/churn) was asked to open a request for {BRANCH} and answered 422:\n"
        f"  Validation Failed\n  base: invalid\nLook: {server.url}/team/churn"
    ) == str(caught.value)


def test_a_project_that_forbids_merge_commits(double: Double, server: GitHubServer) -> None:
    """It is told, and nothing else is tried in its place."""
    server.allows_merge_commits = False
    double.propose()
    with pytest.raises(ForgeFailed) as caught:
        double.forge().merge_request(1, head=HEAD)
    assert (405, "Merge commits are not allowed on this repository.") == (caught.value.status, caught.value.words)
    assert "open" == server.change(1).state
