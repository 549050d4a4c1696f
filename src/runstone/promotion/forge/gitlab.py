"""GitLab, its own and on other hosts, through python-gitlab.

GitLab says who has approved, but not what: the commit is that which was the head when the approval was given.
"""

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from runstone.errors import ForgeFailed, MissingLibrary
from runstone.promotion.forge.asking import Failure, need, object_id, real_mail, time_ms
from runstone.promotion.forge.base import Change, StateFilter, Thread, make_note, pick_merged
from runstone.promotion.forge.drafts import DraftsByTitle
from runstone.promotion.forge.gitlab_answers import read_comment, read_request, username
from runstone.promotion.forge.protocol import ForgeKind, Request, RequestInfo
from runstone.promotion.forge.url import quote_part
from runstone.records.approval import Approval, ApprovalNote

if TYPE_CHECKING:
    from gitlab import Gitlab
    from gitlab.v4.objects import Project, ProjectMergeRequest

_APPROVED = "approved this merge request"


class GitLab(DraftsByTitle):
    """A project on GitLab."""

    kind: ClassVar[ForgeKind] = "gitlab"
    _sign = "!"
    _pages = "/-"
    _requests = "merge_requests"
    _nameless = ()  # a token that may write belongs to an account
    _draft = "Draft:"

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
            "title": self._mark_draft(request.title, request.draft),
            "description": request.body,
        }
        if request.labels:
            document["labels"] = ",".join(request.labels)
        source = self._project
        if owner:  # a request is made in the fork, and names where it leads
            source = self._client.projects.get(f"{owner}/{self.place.path.rpartition('/')[2]}", lazy=True)
            document["target_project_id"] = self._asker.ask(what, lambda: self._details["id"])
        made = self._asker.ask(what, lambda: source.mergerequests.create(document), again=False)
        return self._invite(self._info(made.attributes), request.reviewers)

    def _change(self, number: int, change: Change, what: str) -> RequestInfo:
        changes = {
            "description": change.body,
            "target_branch": change.base,
            "add_labels": ",".join(change.labels) or None,
            "title": self._new_title(number, change),
        }
        changes = {key: value for key, value in changes.items() if value is not None}
        if changes:
            self._asker.ask(what, lambda: self._project.mergerequests.update(number, changes))
        return self._invite(self.get_request(number), change.reviewers)

    def _invite(self, info: RequestInfo, reviewers: tuple[str, ...]) -> RequestInfo:
        """Ask people to review, besides those who are asked already."""
        if not reviewers:
            return info
        troubles: list[str] = []
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
        return replace(self.get_request(info.number), troubles=tuple(troubles))

    def _close(self, number: int, what: str) -> None:
        self._asker.ask(what, lambda: self._project.mergerequests.update(number, {"state_event": "close"}))

    def _merge(self, number: int, head: str, title: str, message: str, what: str) -> None:
        """In the way that the project is set to merge."""
        document: dict[str, Any] = {"sha": head, "squash": False}
        text = "\n\n".join(filter(None, (title, message)))
        if text:
            document["merge_commit_message"] = text
        path = f"/projects/{quote_part(self.place.path)}/merge_requests/{number}/merge"
        self._asker.ask(what, lambda: self._client.http_put(path, post_data=document), again=False)

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

    def _read_approvals(self, number: int, what: str) -> ApprovalNote:
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
                who, at = username(note.get("author")), time_ms(note.get("created_at"))
                said[who] = max(said.get(who, 0), at or 0)
        merged_ms = time_ms(document.get("merged_at"))
        approvals = []
        for each in need(state.get("approved_by") or [], list, "list of approvals"):
            who = username(need(each, dict, "approval").get("user"))
            at = time_ms(each.get("approved_at")) or said.get(who)
            if not who or (merged_ms is not None and at is not None and at > merged_ms):
                continue
            before = [head for moment, head in heads if at is not None and moment <= at]
            if not before and len(heads) > 1:
                continue  # nobody can tell what was approved
            commit = before[-1] if before else heads[0][1] if heads else None
            approvals.append(Approval(who, self._mail(each["user"]), at, object_id(commit)))
        merger = username(document.get("merge_user") or document.get("merged_by"))
        return make_note(info, approvals, author_mail=self._mail(document.get("author")), merged_by=merger)

    def _mail(self, user: Any) -> str | None:
        """The address that somebody shows on their page."""
        if not isinstance(user, dict) or not isinstance(user.get("id"), int):
            return None
        found = self._asker.look("tell who an account is", lambda: self._client.users.get(user["id"]))
        return None if found is None else real_mail(found.attributes.get("public_email"))

    def _thread(self, number: int, what: str) -> Thread:
        merge_request, page = self._merge_request(number, what), self.request_url(number)
        found = self._asker.ask(what, lambda: merge_request.notes.list(get_all=True, per_page=100, sort="asc"))
        return Thread(
            [read_comment(each.attributes, page) for each in found],
            edit=lambda note, text: merge_request.notes.update(note, {"body": text}),
            add=lambda text: f"{page}#note_{merge_request.notes.create({'body': text}).attributes.get('id')}",
        )

    def new_request_url(self, base: str, head: str) -> str:
        """The page on which a person opens a merge request; of a fork, the fork's."""
        owner, branch = self._split_head(head)
        page = f"{self.place.server}/{owner}/{self.place.path.rpartition('/')[2]}" if owner else self.url
        source = f"merge_request%5Bsource_branch%5D={quote_part(branch)}"
        return f"{page}/-/merge_requests/new?{source}&merge_request%5Btarget_branch%5D={quote_part(base)}"

    # --- the library

    @cached_property
    def _client(self) -> "Gitlab":
        try:
            import gitlab
        except ImportError as error:
            raise MissingLibrary("python-gitlab", "ask GitLab", "'runstone[gitlab]'") from error
        from runstone.promotion.forge.gitlab_session import settings

        return gitlab.Gitlab(self.place.server, **settings(self.place, self.patience))

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

    def _account(self) -> str:
        return username(self._client.http_get("/user"))

    @cached_property
    def _forks(self) -> dict[int, str]:
        return {}

    def _merge_request(self, number: int, what: str) -> "ProjectMergeRequest":
        return self._asker.ask(what, lambda: self._project.mergerequests.get(number))

    def _info(self, document: dict[str, Any]) -> RequestInfo:
        """What a document says; of a request from a fork, with its owner."""
        return self._asker.ask("show a request", lambda: read_request(document, self._owner(document)))

    def _owner(self, document: dict[str, Any]) -> str:
        """The owner of the fork that a request comes from; empty where it comes from the project itself."""
        source = document.get("source_project_id")
        if source == document.get("target_project_id"):
            return ""
        if not isinstance(source, int):
            return "?"  # the fork is gone
        if source not in self._forks:
            found = self._asker.look("name a fork", lambda: self._client.projects.get(source).attributes) or {}
            self._forks[source] = str(found.get("path_with_namespace", "?/")).rpartition("/")[
                0
            ]  # `?`: we may not see it
        return self._forks[source]

    def _explain(self, error: Exception) -> Failure | None:
        from runstone.promotion.forge import gitlab_session

        return gitlab_session.explain(error, self.patience)
