"""What all three forges do alike, through the client libraries, over HTTP."""

import pytest

from runstone.errors import ForgeFailed, ForgeTokenMissing
from runstone.promotion.forge import Patience, Request
from runstone.records.approval import Approval, ApprovalNote
from tests.promotion.forge.conftest import BRANCH, HEAD, HURRY, Double
from tests.promotion.forge.gitea_server import GiteaServer
from tests.promotion.forge.server import Answer, Fault

REQUEST = Request("Promote churn v4", "| a | b |\n", BRANCH, "main", labels=("model", "v4"), reviewers=("ada",))
MARKER = "<!-- runstone report -->"


def test_a_request_is_opened_with_all_that_belongs_to_it(double: Double) -> None:
    """Title, text, branches, labels that are made if need be, reviewers; and it is found again as it was opened."""
    double.server.push(BRANCH, HEAD)
    forge = double.forge()
    made = forge.open_request(REQUEST)
    assert ("Promote churn v4", "| a | b |\n", BRANCH, "main") == (made.title, made.body, made.head, made.base)
    assert (1, "open", False, True, ()) == (made.number, made.state, made.draft, made.is_new, made.troubles)
    assert ("kim", HEAD, None) == (made.author, made.head_commit, made.merge_commit)
    assert {"model", "v4"} == set(made.labels)
    assert ("ada",) == made.reviewers
    assert made.url == forge.request_url(1)
    found = forge.find_request(BRANCH)
    assert found is not None
    assert (made.number, made.title, made.labels) == (found.number, found.title, found.labels)
    assert None is forge.find_request("promote/other")


def test_a_second_request_for_a_branch_is_the_first_one_updated(double: Double) -> None:
    """Its text is replaced in place; labels and reviewers that a person added stay."""
    double.server.push(BRANCH, HEAD)
    double.forge().open_request(REQUEST)
    double.server.change(1).labels.append("model")
    double.server.change(1).reviewers.append("bo")
    again = double.forge().open_request(Request("New title", "New text", BRANCH, "main", reviewers=("ada",)))
    assert (1, "New title", "New text", False) == (again.number, again.title, again.body, again.is_new)
    assert {"ada", "bo"} == set(again.reviewers)
    assert 1 == len(double.server.changes)


def test_a_request_that_somebody_else_opens_meanwhile_is_updated(double: Double) -> None:
    """The forge says that there is one already, as when two work at once, or an answer got lost: it is found then."""
    double.propose(title="Theirs")
    empty: list[object] = []
    listing = "/merge_requests" if double.kind == "gitlab" else "/pulls"
    double.server.faults.append(Fault(Answer(200, empty), verb="GET", path=listing))  # not there yet when we look
    found = double.forge().open_request(Request("Ours", "", BRANCH, "main"))
    assert (1, "Ours", False) == (found.number, found.title, found.is_new)
    assert 2 == len([call for call in double.server.calls("POST", listing) if call.path.endswith(listing)])


def test_a_draft_is_opened_kept_and_made_ready(double: Double) -> None:
    """Opening it again does not make it ready; asking for that does; and the title never shows the forge's own word."""
    double.server.push(BRANCH, HEAD)
    forge = double.forge()
    assert forge.open_request(Request("Title", "", BRANCH, "main", draft=True)).draft
    again = forge.open_request(Request("Other", "", BRANCH, "main"))
    assert ("Other", True) == (again.title, again.draft)
    ready = forge.update_request(1, draft=False)
    assert ("Other", False, ()) == (ready.title, ready.draft, ready.troubles)
    assert (True, True) == (forge.update_request(1, draft=True).draft, double.server.change(1).draft)


def test_a_request_from_a_fork(double: Double) -> None:
    """Its head is `owner:branch`, and a branch of the same name in the project is another."""
    double.server.push(BRANCH, HEAD)
    double.server.push(BRANCH, "b" * 40, "bo/churn")
    forge = double.forge()
    own, foreign = forge.open_request(REQUEST), forge.open_request(Request("Fork", "", f"bo:{BRANCH}", "main"))
    assert (BRANCH, f"bo:{BRANCH}") == (own.head, foreign.head)
    assert "b" * 40 == foreign.head_commit
    assert (1, 2) == (own.number, foreign.number)
    heads = [forge.find_request(head) for head in (BRANCH, f"team:{BRANCH}", f"bo:{BRANCH}")]
    assert [1, 1, 2] == [found.number if found else None for found in heads]
    del double.server.branches["bo/churn"]  # the fork is removed, the request stays
    assert forge.get_request(2).head.endswith(f":{BRANCH}")


def test_all_pages_of_a_list_are_read(double: Double) -> None:
    """A list longer than a page comes whole, the newest first."""
    double.server.page_size = 2
    for i in range(5):
        double.propose(f"promote/m-v{i}-s", f"{i + 1:040x}")
    assert [5, 4, 3, 2, 1] == [each.number for each in double.forge().list_requests()]


def test_closing_leaves_it_in_the_list_of_all(double: Double) -> None:
    """A closed request is no longer found for its branch, and a new one can be opened."""
    double.propose()
    forge = double.forge()
    assert "closed" == forge.close_request(1).state
    assert None is forge.find_request(BRANCH)
    assert ([], [1]) == (forge.list_requests(), [each.number for each in forge.list_requests(state="all")])
    assert 2 == double.propose()


def test_merging_takes_only_what_was_looked_at(double: Double) -> None:
    """A head that moved meanwhile is refused in the forge's words; the right one becomes a merge commit."""
    double.propose()
    forge = double.forge()
    with pytest.raises(ForgeFailed) as caught:
        forge.merge_request(1, head="b" * 40)
    assert 409 == caught.value.status
    merged = forge.merge_request(1, head=HEAD, title="Merge proposal", message="Approved-by: A <a@x.org>")
    assert ("merged", "c" * 40, HEAD) == (merged.state, merged.merge_commit, merged.head_commit)
    assert ("Merge proposal", "Approved-by: A <a@x.org>") == double.server.merge_texts


def test_approvals_tell_who_when_and_of_what(double: Double) -> None:
    """The note of a merged request: author, merger, head, and each approval with its commit, and mail where shown."""
    double.propose()
    double.approve(1, "ada")
    double.approve(1, "bo", "2026-11-22T11:30:00Z")
    double.server.merge(1, "ada", "c" * 40)
    forge = double.forge()
    ten = 1795345200000
    expected = ApprovalNote(
        request=forge.request_url(1),
        author="kim",
        author_mail="kim@example.org",
        merged_by="ada",
        head=HEAD,
        approvals=(
            Approval("ada", "ada@example.org", ten, HEAD),
            Approval("bo", None, ten + 1_800_000, HEAD),
        ),
    )
    assert expected == forge.approvals(1)
    assert expected == forge.approvals("c" * 40)


def test_an_approval_after_the_merge_does_not_count(double: Double) -> None:
    """What was not approved when it was merged is not approved by a later word."""
    double.propose()
    double.server.merge(1, "kim", "c" * 40)
    double.approve(1, "ada", "2026-11-22T13:00:00Z")
    note = double.forge().approvals(1)
    assert note is not None
    assert () == note.approvals


def test_a_commit_that_came_by_no_request(double: Double) -> None:
    """A commit pushed to the branch, one the forge does not have, and one merged elsewhere: there is no request."""
    double.server.push("main", "e" * 40)
    forge = double.forge()
    assert (None, None) == (forge.request_of_commit("e" * 40), forge.approvals("f" * 40))
    double.propose()
    double.server.change(1).base = "staging"
    double.server.merge(1, "ada", "d" * 40)
    assert None is forge.request_of_commit("d" * 40)


def test_a_comment_is_updated_in_place(double: Double) -> None:
    """One comment of ours holds the marker, however often it is written and whatever others write."""
    double.propose()
    server = double.server
    server.comment(1, "eve", f"{MARKER}\nAll is well")
    for i in range(3):
        server.comment(1, "ada", f"talk {i}")
    server.page_size = 2
    first = double.forge().comment(1, "Report 1", MARKER)
    second = double.forge().comment(1, f"Report 2\n{MARKER}", MARKER)
    assert first == second
    assert first.startswith(double.forge().request_url(1))
    texts = [comment["body"] for comment in server.change(1).comments]
    assert [f"{MARKER}\nAll is well", "talk 0", "talk 1", "talk 2", f"Report 2\n{MARKER}"] == texts


def test_without_a_token_only_addresses_work(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forge is found, knows its pages and reads what all may read; writing names the variable."""
    double.propose()
    for name in ("GITHUB_TOKEN", "GITLAB_TOKEN", "GITEA_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    forge = double.forge()
    assert not forge.can_write
    assert 1 == forge.get_request(1).number
    assert forge.compare_url("main", "x").startswith(f"{double.server.url}/team/churn/")
    for call in (
        lambda: forge.open_request(REQUEST),
        lambda: forge.update_request(1, title="x"),
        lambda: forge.close_request(1),
        lambda: forge.merge_request(1, head=HEAD),
        lambda: forge.comment(1, "x", MARKER),
    ):
        asked = len(double.server.asked)
        with pytest.raises(ForgeTokenMissing) as caught:
            call()
        assert asked == len(double.server.asked)
        assert f"{double.kind.upper()}_TOKEN" in str(caught.value)


def test_a_wrong_token_is_named_by_its_variable_and_never_shown(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401: the message says which variable holds it, and not what it holds, even where the forge repeats it."""
    variable = f"{double.kind.upper()}_TOKEN"
    monkeypatch.setenv(variable, "wr0ng-t0ken")
    forge = double.forge()
    with pytest.raises(ForgeFailed) as caught:
        forge.open_request(REQUEST)
    assert 401 == caught.value.status
    assert str(caught.value).endswith(f"The token in `{variable}` is not valid, or has expired: make another.")
    double.server.fail(403, {"message": "no right for wr0ng-t0ken"})
    with pytest.raises(ForgeFailed) as caught:
        forge.get_request(1)
    assert "no right for …" == caught.value.words
    assert "wr0ng-t0ken" not in f"{caught.value} {forge!r} {vars(forge)['place']!r}"


@pytest.mark.parametrize("status", [429, 503])
def test_a_forge_that_is_asked_too_often_is_asked_again_when_it_says(double: Double, status: int) -> None:
    """Retry-After is heeded, also for what must not be done twice: nothing was done."""
    double.server.push(BRANCH, HEAD)
    double.server.fail(status, {"message": "slow down"}, verb="POST", headers={"Retry-After": "0"}, times=2)
    assert 1 == double.forge().open_request(Request("T", "", BRANCH, "main")).number
    assert 1 == len(double.server.changes)


def test_a_forge_that_asks_for_an_hour_is_not_waited_for(double: Double) -> None:
    """The message says when to try again."""
    double.server.fail(429, {"message": "Rate limit"}, headers={"Retry-After": "3600"}, times=9)
    with pytest.raises(ForgeFailed) as caught:
        double.forge().get_request(1)
    assert 429 == caught.value.status
    assert str(caught.value).endswith("It has been asked too often. Try again in 60 min.")
    assert 1 == len(double.server.asked)


def test_trouble_that_passes_is_not_seen_and_one_that_lasts_is_told(double: Double) -> None:
    """5xx: reading is tried again, so often; then the error says what was asked, and what was said."""
    double.propose()
    double.server.fail(502, b"<html><h1>Bad Gateway</h1></html>", times=2)
    assert 1 == double.forge().get_request(1).number
    double.server.fail(502, b"<html><h1>Bad Gateway</h1></html>", times=9)
    before = len(double.server.asked)
    with pytest.raises(ForgeFailed) as caught:
        double.forge().get_request(1)
    assert HURRY.attempts == len(double.server.asked) - before
    sign = "!" if double.kind == "gitlab" else "#"
    name = {"github": "GitHub", "gitlab": "GitLab", "gitea": "Gitea"}[double.kind]
    assert (
        f"{name} ({double.server.url}/team/churn) was asked to show request {sign}1 and answered 502:\n"
        f"  Bad Gateway\nNothing in git is lost. See that {double.server.url} can be reached, and try again."
    ) == str(caught.value)


def test_what_may_have_been_done_is_not_done_again(double: Double) -> None:
    """A 500 to the opening of a request: it is looked for, and not opened a second time."""
    double.server.push(BRANCH, HEAD)
    double.server.fail(500, {"message": "oops"}, verb="POST")
    with pytest.raises(ForgeFailed):
        double.forge().open_request(Request("T", "", BRANCH, "main"))
    assert 1 == len(double.server.calls("POST"))


def test_a_forge_that_does_not_answer(double: Double) -> None:
    """Slow, and gone: told within the time that was allowed."""
    double.server.faults.append(Fault(None, times=2, delay_s=1.3))
    with pytest.raises(ForgeFailed) as caught:
        double.forge(Patience(timeout_s=1, attempts=1)).get_request(1)
    assert (None, "no answer in 1 s") == (caught.value.status, caught.value.words)
    double.server.__exit__()
    with pytest.raises(ForgeFailed) as caught:
        double.forge(Patience(timeout_s=1, attempts=1)).get_request(1)
    assert None is caught.value.status
    assert "refused" in caught.value.words


@pytest.mark.parametrize("text", [b"{ not json", b"<html>a page</html>", b"[]", b'"text"', b'{"number": "x"}', b"null"])
def test_garbage_is_no_bug_of_ours(double: Double, text: bytes) -> None:
    """Answers that are not what the API promises end in one kind of error, at once."""
    double.server.fail(200, text, times=9)
    with pytest.raises(ForgeFailed) as caught:
        double.forge().get_request(1)
    assert None is caught.value.status
    if text not in (b"[]", b"null"):  # which tell a search that there is nothing
        with pytest.raises(ForgeFailed) as caught:
            double.forge().find_request("x")
        assert None is caught.value.status


def test_the_token_goes_to_no_other_host(double: Double) -> None:
    """A redirect to another server is not followed there with the token."""
    with GiteaServer() as other:
        for status in (301, 302, 307):
            double.server.fail(status, b"", headers={"Location": f"{other.url}/api/steal"}, times=1)
            with pytest.raises(ForgeFailed):
                double.forge().get_request(1)
        assert [] == other.asked


def test_what_does_not_exist(double: Double) -> None:
    """404 tells where to look, since a forge does not say whether it is missing or hidden."""
    with pytest.raises(ForgeFailed) as caught:
        double.forge().get_request(99)
    assert 404 == caught.value.status
    variable = f"{double.kind.upper()}_TOKEN"
    end = f"Either there is no such thing, or the token in `{variable}` may not see it. Look: {double.server.url}"
    assert f"{end}/team/churn" in str(caught.value)


def test_a_reviewer_that_is_none_does_not_undo_the_request(double: Double) -> None:
    """The request is open all the same, and its troubles say who was not asked."""
    double.server.push(BRANCH, HEAD)
    made = double.forge().open_request(Request("T", "", BRANCH, "main", reviewers=("nobody", "ada")))
    assert (1, ("ada",), 1) == (made.number, made.reviewers, len(made.troubles))
    assert "nobody" in made.troubles[0]
