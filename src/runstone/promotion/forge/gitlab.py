"""GitLab, its own and on other hosts, through python-gitlab.

GitLab says who has approved, but not what: the commit is that which was the head when the approval was given.
"""

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
from runstone.promotion.forge.base import ForgeBase, StateFilter, drop_draft, pick_comment, pick_merged, with_marker
from runstone.promotion.forge.protocol import ForgeKind, Request, RequestInfo, RequestState
from runstone.promotion.forge.url import quote_part, quote_path
from runstone.records.approval import Approval, ApprovalNote

if TYPE_CHECKING:
    from gitlab import Gitlab
    from gitlab.v4.objects import Project, ProjectMergeRequest

    from runstone.promotion.forge.gitlab_session import Refused

_APPROVED = "approved this merge request"


class GitLab(ForgeBase):
    """A project on GitLab."""

    kind: ClassVar[ForgeKind] = "gitlab"

    def get_request(self, number: int) -> RequestInfo:
        """One merge request."""
        return self._info(self._merge_request(number, f"show request !{number}").attributes)

    def find_request(self, head: str) -> RequestInfo | None:
        """The open merge request for a branch."""
        _, branch = self._split_head(head)
        wanted = self._plain_head(head)
        found = self._list(f"find the request for {branch}", state="opened", source_branch=branch)
        return next((each for each in found if each.head == wanted), None)

    def list_requests(self, *, state: StateFilter = "open") -> list[RequestInfo]:
        """The merge requests."""
        return self._list("list the requests", state="opened" if state == "open" else "all")

    def _list(self, what: str, **filters: Any) -> list[RequestInfo]:
        found = self._asker.ask(
            what,
            lambda: list(
                self._project.mergerequests.list(
                    iterator=True, order_by="created_at", sort="desc", per_page=100, **filters
                )
            ),
        )
        return [self._info(each.attributes) for each in found]

    def _create(self, request: Request) -> RequestInfo:
        owner, branch = self._split_head(request.head)
        what = f"open a request for {branch}"
        document: dict[str, Any] = {
            "source_branch": branch,
            "target_branch": request.base,
            "title": _mark_draft(request.title, request.draft),
            "description": request.body,
        }
        if request.labels:
            document["labels"] = ",".join(request.labels)
        source = self._project
        if owner:  # a request is made in the fork, and names where it leads
            source = self._client.projects.get(f"{owner}/{self.place.path.rpartition('/')[2]}", lazy=True)
            document["target_project_id"] = self._asker.ask(what, lambda: self._details["id"])
        made = self._asker.ask(what, lambda: source.mergerequests.create(document), again=False)
        troubles: list[str] = []
        info = self._info(made.attributes)
        if request.reviewers:
            info = self._invite(info, request.reviewers, troubles)
        return replace(info, troubles=tuple(troubles))

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
        """Change what is named of a merge request."""
        what = f"change request !{number}"
        self.place.need_token(what)
        changes: dict[str, Any] = {"description": body, "target_branch": base, "add_labels": ",".join(labels) or None}
        if title is not None or draft is not None:
            old = self.get_request(number)
            changes["title"] = _mark_draft(old.title if title is None else title, old.draft if draft is None else draft)
        changes = {key: value for key, value in changes.items() if value is not None}
        if changes:
            self._asker.ask(what, lambda: self._project.mergerequests.update(number, changes))
        troubles: list[str] = []
        info = self.get_request(number)
        if reviewers:
            info = self._invite(info, reviewers, troubles)
        return replace(info, troubles=tuple(troubles))

    def _invite(self, info: RequestInfo, reviewers: tuple[str, ...], troubles: list[str]) -> RequestInfo:
        """Ask people to review, besides those who are asked already."""
        ids: dict[str, int] = {}
        for name in dict.fromkeys((*info.reviewers, *(each.removeprefix("@") for each in reviewers))):
            search = partial(self._client.users.list, username=name, get_all=True)
            found = self._asker.attempt(f"find the account {name}", search, troubles)
            if found:
                ids[name] = found[0].attributes["id"]
            elif found is not None:
                troubles.append(f"{self.name} did not ask {name} to review: there is no such account")
        if ids.keys() - set(info.reviewers):
            names = ", ".join(ids.keys() - set(info.reviewers))
            change = {"reviewer_ids": list(ids.values())}
            self._asker.attempt(
                f"ask {names} to review", lambda: self._project.mergerequests.update(info.number, change), troubles
            )
        return self.get_request(info.number)

    def close_request(self, number: int) -> RequestInfo:
        """Close a merge request without merging it."""
        what = f"close request !{number}"
        self.place.need_token(what)
        self._asker.ask(what, lambda: self._project.mergerequests.update(number, {"state_event": "close"}))
        return self.get_request(number)

    def merge_request(self, number: int, *, head: str, title: str = "", message: str = "") -> RequestInfo:
        """Merge a merge request, in the way that the project is set to merge."""
        what = f"merge request !{number}"
        self.place.need_token(what)
        document: dict[str, Any] = {"sha": self._full_id(head), "squash": False}
        text = "\n\n".join(filter(None, (title, message)))
        if text:
            document["merge_commit_message"] = text
        path = f"/projects/{quote_part(self.place.path)}/merge_requests/{number}/merge"
        self._asker.ask(what, lambda: self._client.http_put(path, post_data=document), again=False)
        return self.get_request(number)

    def request_of_commit(self, oid: str) -> RequestInfo | None:
        """The merged merge request that brought a commit to the default branch."""
        what = f"find the request that became {oid[:7]}"
        commit = self._project.commits.get(self._full_id(oid), lazy=True)
        try:
            found = self._asker.ask(what, lambda: list(commit.merge_requests(get_all=True)))
        except ForgeFailed as error:
            if error.status == 404 and "commit" in error.words.lower():
                return None
            raise
        if not found:
            return None
        return pick_merged([self._info(need(each, dict, "request")) for each in found], oid, self._default_branch)

    def _read_approvals(self, number: int) -> ApprovalNote:
        what = f"tell who approved request !{number}"
        merge_request = self._merge_request(number, what)
        document = merge_request.attributes
        info = self._info(document)
        state = self._asker.ask(what, lambda: merge_request.approvals.get()).attributes
        notes = self._asker.ask(what, lambda: merge_request.notes.list(get_all=True, per_page=100))
        versions = self._asker.ask(what, lambda: merge_request.diffs.list(get_all=True, per_page=100))
        heads = sorted(
            (time_ms(each.attributes.get("created_at")) or 0, each.attributes.get("head_commit_sha"))
            for each in versions
        )
        said: dict[str, int] = {}
        for note in (each.attributes for each in notes):
            if note.get("system") is True and note.get("body") == _APPROVED:
                who, at = _username(note.get("author")), time_ms(note.get("created_at"))
                said[who] = max(said.get(who, 0), at or 0)
        merged_ms = time_ms(document.get("merged_at"))
        approvals = []
        for each in need(state.get("approved_by") or [], list, "list of approvals"):
            who = _username(need(each, dict, "approval").get("user"))
            at = time_ms(each.get("approved_at")) or said.get(who)
            if not who or (merged_ms is not None and at is not None and at > merged_ms):
                continue
            before = [head for moment, head in heads if at is not None and moment <= at]
            if not before and len(heads) > 1:
                continue  # nobody can tell what was approved
            commit = before[-1] if before else heads[0][1] if heads else None
            approvals.append(Approval(who, self._mail(each["user"]), at, object_id(commit)))
        merger = document.get("merge_user") or document.get("merged_by")
        return ApprovalNote(
            request=info.url,
            author=info.author or "ghost",
            author_mail=self._mail(document.get("author")),
            merged_by=(_username(merger) or None) if info.state == "merged" else None,
            head=info.head_commit,
            approvals=tuple(approvals),
        )

    def _mail(self, user: Any) -> str | None:
        """The address that somebody shows on their page."""
        if not isinstance(user, dict) or not isinstance(user.get("id"), int):
            return None
        try:
            found = self._asker.ask("tell who an account is", lambda: self._client.users.get(user["id"]))
        except ForgeFailed as error:
            if error.status in (401, 403, 404):
                return None
            raise
        return real_mail(found.attributes.get("public_email"))

    def comment(self, number: int, body: str, marker: str) -> str:
        """Write a comment, or update the one of our own that holds the marker."""
        text, what = with_marker(body, marker), f"comment on request !{number}"
        self.place.need_token(what)
        merge_request = self._merge_request(number, what)
        found = self._asker.ask(what, lambda: merge_request.notes.list(get_all=True, per_page=100, sort="asc"))
        notes = [each.attributes for each in found]
        page = self.request_url(number)
        own = ((each["id"], _username(each.get("author")), each.get("body") or "", "") for each in notes)
        old = pick_comment(own, marker, self._me)
        if old is not None:
            self._asker.ask(what, lambda: merge_request.notes.update(old[0], {"body": text}))
            return f"{page}#note_{old[0]}"
        made = self._asker.ask(what, lambda: merge_request.notes.create({"body": text}), again=False)
        return f"{page}#note_{made.attributes.get('id')}"

    # --- addresses

    def compare_url(self, base: str, head: str) -> str:
        """The page with the differences."""
        return f"{self.url}/-/compare/{quote_path(base)}...{quote_path(head)}"

    def new_request_url(self, base: str, head: str) -> str:
        """The page on which a person opens a merge request; of a fork, the fork's."""
        owner, branch = self._split_head(head)
        page = f"{self.place.server}/{owner}/{self.place.path.rpartition('/')[2]}" if owner else self.url
        source = f"merge_request%5Bsource_branch%5D={quote_part(branch)}"
        return f"{page}/-/merge_requests/new?{source}&merge_request%5Btarget_branch%5D={quote_part(base)}"

    def commit_url(self, oid: str) -> str:
        """The page of a commit."""
        return f"{self.url}/-/commit/{quote_part(oid)}"

    def request_url(self, number: int) -> str:
        """The page of a merge request."""
        return f"{self.url}/-/merge_requests/{number}"

    # --- the library

    @cached_property
    def _client(self) -> "Gitlab":
        try:
            import gitlab
        except ImportError as error:
            raise MissingLibrary("python-gitlab", "ask GitLab", "'runstone[gitlab]'") from error
        from runstone.promotion.forge.gitlab_session import OneHost

        is_job = self.place.variable == "CI_JOB_TOKEN"
        return gitlab.Gitlab(
            self.place.server,
            private_token=None if is_job else self.place.token,
            job_token=self.place.token if is_job else None,
            timeout=self.patience.timeout_s,
            user_agent="runstone",
            keep_base_url=True,
            session=OneHost(self.place.server),
        )

    @cached_property
    def _project(self) -> "Project":
        return self._client.projects.get(self.place.path, lazy=True)  # asks nothing

    @cached_property
    def _details(self) -> dict[str, Any]:
        """The project as GitLab has it; ask for it within a question."""
        return self._client.projects.get(self.place.path).attributes

    @property
    def _default_branch(self) -> str:
        found = self._asker.ask("name its default branch", lambda: self._details)
        return str(found.get("default_branch") or "")

    @cached_property
    def _me(self) -> str:
        found = self._asker.ask("tell whose token it is", lambda: self._client.http_get("/user"))
        return _username(found)

    @cached_property
    def _forks(self) -> dict[int, str]:
        return {}

    def _merge_request(self, number: int, what: str) -> "ProjectMergeRequest":
        return self._asker.ask(what, lambda: self._project.mergerequests.get(number))

    def _info(self, document: dict[str, Any]) -> RequestInfo:
        """What a document says; of a request from a fork, with its owner."""
        return self._asker.ask("show a request", lambda: _read(document, self._owner(document)))

    def _owner(self, document: dict[str, Any]) -> str:
        """The owner of the fork that a request comes from; empty where it comes from the project itself."""
        source = document.get("source_project_id")
        if source == document.get("target_project_id"):
            return ""
        if not isinstance(source, int):
            return "?"  # the fork is gone
        if source not in self._forks:
            try:
                path = self._asker.ask("name a fork", lambda: self._client.projects.get(source)).attributes
                self._forks[source] = str(path.get("path_with_namespace", "?/")).rpartition("/")[0]
            except ForgeFailed as error:
                if error.status not in (401, 403, 404):
                    raise
                self._forks[source] = "?"  # one that we may not see
        return self._forks[source]

    def _explain(self, error: Exception) -> Failure | None:
        import gitlab
        import requests

        from runstone.promotion.forge.gitlab_session import Refused, Strayed

        if isinstance(error, Unreadable | Strayed):
            return Failure(None, str(error), is_lasting=True)
        if isinstance(error, Refused):
            return _refused(error)
        if isinstance(error, gitlab.GitlabError) and error.response_code is not None:
            return Failure(error.response_code, spoken(error.error_message))
        if isinstance(error, requests.Timeout):
            return Failure(None, f"no answer in {self.patience.timeout_s:g} s")
        if isinstance(error, requests.JSONDecodeError | gitlab.GitlabParsingError):
            return Failure(None, "its answer cannot be read", is_lasting=True)
        if isinstance(error, requests.RequestException):
            return Failure(None, str(error))
        if isinstance(error, gitlab.GitlabError) or raised_in(error, "gitlab", "json"):
            return Failure(None, str(error) or "its answer cannot be read", is_lasting=True)
        return None


def _refused(error: "Refused") -> Failure:
    return Failure(error.status, spoken(error.words), seconds_asked(error.headers), error.status == 429)


def _read(document: dict[str, Any], owner: str) -> RequestInfo:
    title, is_marked = drop_draft(document.get("title") or "")
    branch = need(document.get("source_branch"), str, "source branch")
    head = object_id(document.get("sha"))
    states: dict[str, RequestState] = {"opened": "open", "locked": "open", "merged": "merged"}
    state = states.get(str(document.get("state")), "closed")
    became = [object_id(document.get(key)) for key in ("merge_commit_sha", "squash_commit_sha")]
    return RequestInfo(
        number=need(document.get("iid"), int, "number"),
        url=need(document.get("web_url"), str, "address"),
        title=title,
        body=document.get("description") or "",
        head=f"{owner}:{branch}" if owner else branch,
        head_commit=head,
        base=need(document.get("target_branch"), str, "target branch"),
        state=state,
        draft=document.get("draft") is True or is_marked,
        author=_username(document.get("author")),
        merge_commit=next((oid for oid in became if oid), head) if state == "merged" else None,
        labels=tuple(str(label) for label in document.get("labels") or ()),
        reviewers=tuple(filter(None, map(_username, document.get("reviewers") or ()))),
    )


def _username(user: Any) -> str:
    name = user.get("username") if isinstance(user, dict) else None
    return name if isinstance(name, str) else ""


def _mark_draft(title: str, draft: bool) -> str:
    """GitLab knows a draft by its title."""
    plain, _ = drop_draft(title)
    return f"Draft: {plain}" if draft else plain
