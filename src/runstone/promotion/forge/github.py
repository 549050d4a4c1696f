"""GitHub, its own and on other hosts, through PyGithub.

Of reviews only those count that come from people who may write to the project: on a public one anybody may say yes.
"""

import math
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from runstone.errors import ForgeFailed, MissingLibrary
from runstone.promotion.forge.asking import (
    Failure,
    Unreadable,
    need,
    object_id,
    raised_in,
    real_mail,
    seconds_asked,
    spoken,
    time_ms,
)
from runstone.promotion.forge.base import ForgeBase, StateFilter, pick_comment, pick_merged, with_marker
from runstone.promotion.forge.protocol import ForgeKind, Request, RequestInfo, RequestState
from runstone.promotion.forge.servers import api_url
from runstone.promotion.forge.url import quote_part, quote_path
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

    def get_request(self, number: int) -> RequestInfo:
        """One pull request."""
        what = f"show request #{number}"
        pull = self._pull(number, what)
        return self._asker.ask(what, lambda: _info(pull))

    def find_request(self, head: str) -> RequestInfo | None:
        """The open pull request for a branch."""
        owner, branch = self._split_head(head)
        full = f"{owner or self.place.path.partition('/')[0]}:{branch}"
        found = self._asker.ask(
            f"find the request for {branch}",
            lambda: [_info(pull) for pull in self._project.get_pulls("open", "created", "desc", head=full)],
        )
        wanted = self._plain_head(head)  # GitHub gives them all where it does not understand the head
        return next((each for each in found if each.head == wanted), None)

    def list_requests(self, *, state: StateFilter = "open") -> list[RequestInfo]:
        """The pull requests."""
        return self._asker.ask(
            "list the requests", lambda: [_info(pull) for pull in self._project.get_pulls(state, "created", "desc")]
        )

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
        return self._add(pull, request.labels, request.reviewers, troubles)

    def update_request(
        self,
        number: int,
        *,
        title: str | None = None,
        body: str | None = None,
        base: str | None = None,
        labels: tuple[str, ...] = (),
        reviewers: tuple[str, ...] = (),
        draft: bool | None = None,
    ) -> RequestInfo:
        """Change what is named of a pull request."""
        what = f"change request #{number}"
        self.place.need_token(what)
        given = {"title": title, "body": body, "base": base}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        pull = self._pull(number, what)
        if changes:
            self._asker.ask(what, lambda: pull.edit(**changes))
        troubles: list[str] = []
        if draft is not None and draft != pull.draft:
            turn = pull.convert_to_draft if draft else pull.mark_ready_for_review
            self._asker.attempt("make it a draft" if draft else "mark it as ready", turn, troubles)
            pull = self._pull(number, what)
        return self._add(pull, labels, reviewers, troubles)

    def _add(
        self, pull: "PullRequest", labels: tuple[str, ...], reviewers: tuple[str, ...], troubles: list[str]
    ) -> RequestInfo:
        """Add what is not there yet; what cannot be added does not undo the request."""
        info = self._asker.ask("show the request", lambda: _info(pull))
        new = [label for label in labels if label not in info.labels]
        if new:
            self._asker.attempt(f"add the labels {', '.join(new)}", lambda: pull.add_to_labels(*new), troubles)
        for reviewer in dict.fromkeys(reviewers):  # one by one: GitHub takes all or none
            name = reviewer.removeprefix("@")
            people, teams = ([], [name.rpartition("/")[2]]) if "/" in name else ([name], [])
            if name not in info.reviewers and name != info.author:
                invite = partial(pull.create_review_request, people, teams)
                self._asker.attempt(f"ask {name} to review", invite, troubles)
        if not new and not reviewers:
            return replace(info, troubles=tuple(troubles))
        return replace(self.get_request(info.number), troubles=tuple(troubles))

    def close_request(self, number: int) -> RequestInfo:
        """Close a pull request without merging it."""
        what = f"close request #{number}"
        self.place.need_token(what)
        pull = self._pull(number, what)
        self._asker.ask(what, lambda: pull.edit(state="closed"))
        return self.get_request(number)

    def merge_request(self, number: int, *, head: str, title: str = "", message: str = "") -> RequestInfo:
        """Merge a pull request with a merge commit."""
        what = f"merge request #{number}"
        self.place.need_token(what)
        texts: dict[str, Any] = {
            key: text for key, text in (("commit_title", title), ("commit_message", message)) if text
        }
        sha = self._full_id(head)
        pull = self._pull(number, what)
        self._asker.ask(what, lambda: pull.merge(merge_method="merge", sha=sha, **texts), again=False)
        return self.get_request(number)

    def request_of_commit(self, oid: str) -> RequestInfo | None:
        """The merged pull request that brought a commit to the default branch."""
        project, oid = self._project, self._full_id(oid)
        what = f"find the request that became {oid[:7]}"
        try:
            found = self._asker.ask(what, lambda: [_info(pull) for pull in project.get_commit(oid).get_pulls()])
        except ForgeFailed as error:
            if error.status == 422:  # it has no such commit
                return None
            raise
        default = self._asker.ask("name its default branch", lambda: project.default_branch) if found else ""
        return pick_merged(found, oid, default)

    def _read_approvals(self, number: int) -> ApprovalNote:
        what = f"tell who approved request #{number}"
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
        is_merged = info.state == "merged"
        return ApprovalNote(
            request=info.url,
            author=info.author or "ghost",
            author_mail=self._mail(info.author),
            merged_by=pull.merged_by.login if is_merged and pull.merged_by is not None else None,
            head=info.head_commit,
            approvals=tuple(approvals),
        )

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
        try:
            user = self._asker.ask(f"tell who {login} is", lambda: self._client.get_user(login).email)
        except ForgeFailed as error:
            if error.status in (401, 403, 404):
                return None
            raise
        return real_mail(user)

    def comment(self, number: int, body: str, marker: str) -> str:
        """Write a comment, or update the one of our own that holds the marker."""
        text, what = with_marker(body, marker), f"comment on request #{number}"
        self.place.need_token(what)
        pull = self._pull(number, what)
        comments = self._asker.ask(
            what,
            lambda: [
                (c.id, c.user.login if c.user else "", c.body or "", c.html_url) for c in pull.get_issue_comments()
            ],
        )
        old = pick_comment(comments, marker, self._me)
        if old is not None:
            self._asker.ask(what, lambda: pull.get_issue_comment(old[0]).edit(text))
            return old[1]
        return self._asker.ask(what, lambda: pull.create_issue_comment(text).html_url, again=False)

    # --- addresses

    def compare_url(self, base: str, head: str) -> str:
        """The page with the differences."""
        return f"{self.url}/compare/{quote_path(base)}...{quote_path(head)}"

    def new_request_url(self, base: str, head: str) -> str:
        """The page on which a person opens a pull request."""
        owner, branch = self._split_head(head)
        source = f"{quote_part(owner)}:{quote_path(branch)}" if owner else quote_path(branch)
        return f"{self.url}/compare/{quote_path(base)}...{source}?expand=1"

    def commit_url(self, oid: str) -> str:
        """The page of a commit."""
        return f"{self.url}/commit/{quote_part(oid)}"

    def request_url(self, number: int) -> str:
        """The page of a pull request."""
        return f"{self.url}/pull/{number}"

    # --- the library

    @cached_property
    def _client(self) -> "Github":
        try:
            import github
        except ImportError as error:
            raise MissingLibrary("PyGithub", "ask GitHub", "'runstone[github]'") from error
        return github.Github(
            base_url=api_url(self.place),
            auth=github.Auth.Token(self.place.token) if self.place.token else None,
            timeout=math.ceil(self.patience.timeout_s),
            per_page=100,
            retry=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            user_agent="runstone",
            lazy=True,  # an object asks nothing until something of it is needed
        )

    @cached_property
    def _project(self) -> "Project":
        return self._client.get_repo(self.place.path)

    def _pull(self, number: int, what: str) -> "PullRequest":
        return self._asker.ask(what, lambda: self._project.get_pull(number).complete())

    @cached_property
    def _me(self) -> str | None:
        """The token's own account; None for that of a CI job, which may not ask."""
        try:
            return need(self._asker.ask("tell whose token it is", lambda: self._client.get_user().login), str, "login")
        except ForgeFailed as error:
            if error.status in (403, 404):
                return None
            raise

    def _explain(self, error: Exception) -> Failure | None:
        import github
        import requests

        if isinstance(error, Unreadable | github.IncompletableObject):
            return Failure(None, str(error), is_lasting=True)
        if isinstance(error, github.GithubException):
            wait_s = seconds_asked(error.headers)
            data = error.data if isinstance(error.data, dict) else {}
            words = "\n".join(filter(None, (spoken(data.get("message")), _details(data.get("errors")))))
            is_limit = error.status in (403, 429) and (wait_s is not None or "rate limit" in words.lower())
            return Failure(error.status, words or spoken(data.get("data")), wait_s, is_limit)
        if isinstance(error, requests.Timeout):
            return Failure(None, f"no answer in {self.patience.timeout_s:g} s")
        if isinstance(error, requests.RequestException):
            return Failure(None, str(error))
        if isinstance(error, RuntimeError) and "redirect" in str(error):
            return Failure(None, "it leads to another address, where no token of ours goes", is_lasting=True)
        if raised_in(error, "github", "json"):
            return Failure(None, "its answer cannot be read", is_lasting=True)
        return None


def _details(errors: object) -> str:
    """The single errors of a 422: texts, or maps with a message, or with the field and a code."""
    if not isinstance(errors, list):
        return spoken(errors)
    texts = []
    for each in errors:
        if isinstance(each, dict):
            texts.append(str(each.get("message") or f"{each.get('field', '')}: {each.get('code', '')}"))
        else:
            texts.append(str(each))
    return "\n".join(texts)


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
