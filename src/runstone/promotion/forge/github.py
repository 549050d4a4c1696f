"""GitHub, its own and on other hosts, through PyGithub.

Of reviews only those count that come from people who may write to the project: on a public one anybody may say yes.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from runstone.errors import ForgeFailed
from runstone.promotion.forge.asking import (
    Failure,
    Unreadable,
    need,
    object_id,
    real_mail,
    time_ms,
)
from runstone.promotion.forge.base import Change, Comment, ForgeBase, StateFilter, Thread, make_note, pick_merged
from runstone.promotion.forge.protocol import ForgeKind, Request, RequestInfo, RequestState
from runstone.records.approval import Approval, ApprovalNote

if TYPE_CHECKING:
    from github import Github
    from github.PullRequest import PullRequest
    from github.PullRequestReview import PullRequestReview
    from github.Repository import Repository as Project

_WRITERS = ("admin", "maintain", "write")
_MEMBERS = ("OWNER", "MEMBER", "COLLABORATOR")


class GitHub(ForgeBase):
    """A project on GitHub."""

    kind: ClassVar[ForgeKind] = "github"
    _requests = "pull"

    def get_request(self, number: int) -> RequestInfo:
        """One pull request."""
        what = f"show request #{number}"
        pull = self._pull(number, what)
        return self._asker.ask(what, lambda: _info(pull))

    def find_request(self, head: str) -> RequestInfo | None:
        """The open pull request for a branch."""
        owner, branch = self._split_head(head)
        full = f"{owner or self.place.path.partition('/')[0]}:{branch}"
        found = self._list(f"find the request for {branch}", "open", head=full)
        wanted = self._plain_head(head)  # GitHub gives them all where it does not understand the head
        return next((each for each in found if each.head == wanted), None)

    def list_requests(self, *, state: StateFilter = "open") -> list[RequestInfo]:
        """The pull requests."""
        return self._list("list the requests", state)

    def _list(self, what: str, state: StateFilter, **filters: str) -> list[RequestInfo]:
        get = self._project.get_pulls
        return self._asker.ask(what, lambda: [_info(pull) for pull in get(state, "created", "desc", **filters)])

    def _create(self, request: Request) -> RequestInfo:
        troubles: list[str] = []
        head = self._plain_head(request.head)

        def create(draft: bool) -> "PullRequest":
            return self._asker.ask(
                f"open a request for {head}",
                lambda: self._project.create_pull(
                    request.base, head, title=request.title, body=request.body, draft=draft
                ),
                again=False,
            )

        try:
            pull = create(request.draft)
        except ForgeFailed as error:
            if not request.draft or "draft" not in error.words.lower():
                raise
            troubles.append("GitHub has no drafts in this project: the request is open for review")
            pull = create(draft=False)
        return self._complete(pull, request, troubles)

    def _change(self, number: int, change: Change, what: str) -> RequestInfo:
        given = {"title": change.title, "body": change.body, "base": change.base}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        pull = self._pull(number, what)
        if changes:
            self._asker.ask(what, lambda: pull.edit(**changes))
        troubles: list[str] = []
        if change.draft is not None and change.draft != pull.draft:
            turn = pull.convert_to_draft if change.draft else pull.mark_ready_for_review
            self._asker.attempt("make it a draft" if change.draft else "mark it as ready", turn, troubles)
            pull = self._pull(number, what)
        return self._complete(pull, change, troubles)

    def _complete(self, pull: "PullRequest", asked: Request | Change, troubles: list[str]) -> RequestInfo:
        def invite(name: str) -> None:
            people, teams = ([], [name.rpartition("/")[2]]) if "/" in name else ([name], [])
            pull.create_review_request(people, teams)

        info = self._asker.ask("show the request", lambda: _info(pull))
        return self._add(info, asked, troubles, label=lambda names: pull.add_to_labels(*names), invite=invite)

    def _close(self, number: int, what: str) -> None:
        pull = self._pull(number, what)
        self._asker.ask(what, lambda: pull.edit(state="closed"))

    def _merge(self, number: int, head: str, title: str, message: str, what: str) -> None:
        given = {"commit_title": title, "commit_message": message}
        texts: dict[str, Any] = {key: text for key, text in given.items() if text}
        pull = self._pull(number, what)
        self._asker.ask(what, lambda: pull.merge(merge_method="merge", sha=head, **texts), again=False)

    def request_of_commit(self, oid: str) -> RequestInfo | None:
        """The merged pull request that brought a commit to the default branch."""
        project, oid = self._project, self._full_id(oid)
        what = f"find the request that became {oid[:7]}"
        # 422: it has no such commit
        found = self._asker.look(what, lambda: [_info(pull) for pull in project.get_commit(oid).get_pulls()], (422,))
        if not found:
            return None
        default = self._asker.ask("name its default branch", lambda: project.default_branch)
        return pick_merged(found, oid, default)

    def _read_approvals(self, number: int, what: str) -> ApprovalNote:
        pull = self._pull(number, what)
        reviews = self._asker.ask(what, lambda: list(pull.get_reviews()))
        merged_ms = time_ms(pull.merged_at)
        latest: dict[str, PullRequestReview] = {}
        for review in reviews:  # the oldest first
            if review.user is None or review.state not in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
                continue  # a comment takes nothing back
            at = time_ms(review.submitted_at)
            if merged_ms is None or at is None or at <= merged_ms:
                latest[review.user.login] = review
        approvals = [
            Approval(login, self._mail(login), time_ms(review.submitted_at), object_id(review.commit_id))
            for login, review in latest.items()
            if review.state == "APPROVED" and self._may_write(login, review)
        ]
        info = self._asker.ask(what, lambda: _info(pull))
        merger = None if pull.merged_by is None else pull.merged_by.login
        return make_note(info, approvals, author_mail=self._mail(info.author), merged_by=merger)

    def _may_write(self, login: str, review: "PullRequestReview") -> bool:
        """Whether somebody may write to the project; where the token may not ask, whether they belong to it."""
        try:
            role = self._asker.ask(
                f"tell what {login} may do", lambda: self._project.get_collaborator_permission(login)
            )
        except ForgeFailed as error:
            if error.status != 403:
                if error.status == 404:
                    return False
                raise
            return review.raw_data.get("author_association") in _MEMBERS
        return role in _WRITERS

    def _mail(self, login: str) -> str | None:
        """The address that somebody shows on their page."""
        if not login or login.endswith("[bot]"):
            return None
        return real_mail(self._asker.look(f"tell who {login} is", lambda: self._client.get_user(login).email))

    def _thread(self, number: int, what: str) -> Thread:
        pull = self._pull(number, what)
        found = self._asker.ask(
            what,
            lambda: [
                Comment(c.id, c.user.login if c.user else "", c.body or "", c.html_url)
                for c in pull.get_issue_comments()
            ],
        )
        return Thread(
            found,
            edit=lambda comment, text: pull.get_issue_comment(comment).edit(text),
            add=lambda text: pull.create_issue_comment(text).html_url,
        )

    def new_request_url(self, base: str, head: str) -> str:
        """The page on which a person opens a pull request, with its form open."""
        return f"{super().new_request_url(base, head)}?expand=1"

    # --- the library

    @cached_property
    def _client(self) -> "Github":
        from runstone.promotion.forge.github_client import connect

        return connect(self.place, self.patience)

    @cached_property
    def _project(self) -> "Project":
        return self._client.get_repo(self.place.path)

    def _pull(self, number: int, what: str) -> "PullRequest":
        return self._asker.ask(what, lambda: self._project.get_pull(number).complete())

    def _account(self) -> str:
        return need(self._client.get_user().login, str, "login")

    def _explain(self, error: Exception) -> Failure | None:
        from runstone.promotion.forge import github_client

        return github_client.explain(error, self.patience)


def _info(pull: "PullRequest") -> RequestInfo:
    number = need(pull.number, int, "number")
    if pull.base is None or pull.head is None:
        raise Unreadable("its answer has no branches")
    here = pull.base.repo.full_name if pull.base.repo is not None else ""
    is_own = pull.head.repo is not None and pull.head.repo.full_name == here
    is_merged = pull.merged_at is not None
    state: RequestState = "merged" if is_merged else "open" if pull.state == "open" else "closed"
    return RequestInfo(
        number=number,
        url=need(pull.html_url, str, "address"),
        title=pull.title or "",
        body=pull.body or "",
        head=pull.head.ref if is_own else (pull.head.label or pull.head.ref),
        head_commit=object_id(pull.head.sha),
        base=need(pull.base.ref, str, "base branch"),
        state=state,
        draft=bool(pull.draft),
        author=pull.user.login if pull.user is not None else "",
        merge_commit=object_id(pull.merge_commit_sha) if is_merged else None,
        labels=tuple(label.name for label in pull.labels or ()),
        reviewers=tuple(user.login for user in pull.requested_reviewers or ()),
    )
