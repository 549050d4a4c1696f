"""Gitea and Forgejo, which speak one API.

Of reviews only those count that Gitea calls official: of people who may write to the project, or whom its branch
protection names.
"""

from functools import cached_property, partial
from typing import Any, ClassVar

from runstone.promotion.forge import gitea_api
from runstone.promotion.forge.asking import (
    Failure,
    Unreadable,
    need,
    no_answer,
    object_id,
    real_mail,
    seconds_asked,
    spoken,
    time_ms,
)
from runstone.promotion.forge.base import Change, Comment, StateFilter, Thread, make_note, pick_merged
from runstone.promotion.forge.drafts import DraftsByTitle, drop_draft
from runstone.promotion.forge.protocol import ForgeKind, Request, RequestInfo, RequestState
from runstone.promotion.forge.servers import api_url
from runstone.promotion.forge.url import quote_path
from runstone.records.approval import Approval, ApprovalNote

_LABEL_COLOUR = "#5319e7"


class Gitea(DraftsByTitle):
    """A project on Gitea or Forgejo."""

    kind: ClassVar[ForgeKind] = "gitea"
    _requests = "pulls"
    _draft = "WIP:"

    def get_request(self, number: int) -> RequestInfo:
        """One pull request."""
        return self._info(self._get(f"show request #{number}", f"/pulls/{number}"))

    def find_request(self, head: str) -> RequestInfo | None:
        """The open pull request for a branch; the API knows no filter for that."""
        wanted = self._plain_head(head)
        return next((each for each in self.list_requests() if each.head == wanted), None)

    def list_requests(self, *, state: StateFilter = "open") -> list[RequestInfo]:
        """The pull requests."""
        found = self._all("list the requests", "/pulls", state=state)
        return sorted(map(self._info, found), key=lambda each: -each.number)

    def _create(self, request: Request) -> RequestInfo:
        head = self._plain_head(request.head)
        document = {
            "title": self._mark_draft(request.title, request.draft),
            "body": request.body,
            "head": head,
            "base": request.base,
        }
        made = self._send(f"open a request for {head}", "POST", "/pulls", document, again=False)
        return self._complete(self._info(made), request)

    def _change(self, number: int, change: Change, what: str) -> RequestInfo:
        changes = {"body": change.body, "base": change.base, "title": self._new_title(number, change)}
        changes = {key: value for key, value in changes.items() if value is not None}
        if changes:
            self._send(what, "PATCH", f"/pulls/{number}", changes)
        return self._complete(self.get_request(number), change)

    def _complete(self, info: RequestInfo, asked: Request | Change) -> RequestInfo:
        return self._add(
            info, asked, [], label=partial(self._label, info.number), invite=partial(self._invite, info.number)
        )

    def _label(self, number: int, labels: list[str]) -> None:
        """Labels have numbers here, and one that the project does not have is made first."""
        known = {str(each.get("name")): each.get("id") for each in self._all("list its labels", "/labels")}
        for name in labels:
            if name not in known:
                document = {"name": name, "color": _LABEL_COLOUR}
                known[name] = self._send(f"make the label {name}", "POST", "/labels", document, again=False)["id"]
        ids = {"labels": [known[name] for name in labels]}
        self._send("add labels", "POST", f"/issues/{number}/labels", ids)

    def _invite(self, number: int, name: str) -> None:
        self._send(f"ask {name} to review", "POST", f"/pulls/{number}/requested_reviewers", {"reviewers": [name]})

    def _close(self, number: int, what: str) -> None:
        self._send(what, "PATCH", f"/pulls/{number}", {"state": "closed"})

    def _merge(self, number: int, head: str, title: str, message: str, what: str) -> None:
        texts = {"MergeTitleField": title, "MergeMessageField": message}
        document = {"Do": "merge", "head_commit_id": head, **{key: text for key, text in texts.items() if text}}
        self._send(what, "POST", f"/pulls/{number}/merge", document, again=False)

    def request_of_commit(self, oid: str) -> RequestInfo | None:
        """The merged pull request that became a commit of the default branch."""
        what = f"find the request that became {oid[:7]}"
        path = f"{self._root}/commits/{self._full_id(oid)}/pull"
        found = self._asker.look(what, lambda: need(self._api.get(path), dict, "content"), (404,))
        default = self._default_branch  # raises if it is the project that is not found
        return None if found is None else pick_merged([self._info(found)], oid, default)

    def _read_approvals(self, number: int, what: str) -> ApprovalNote:
        document = self._get(what, f"/pulls/{number}")
        info, merged_ms = self._info(document), time_ms(document.get("merged_at"))
        latest: dict[str, dict[str, Any]] = {}
        for review in self._all(what, f"/pulls/{number}/reviews"):
            who, at = _login(review.get("user")), time_ms(review.get("submitted_at"))
            if not who or review.get("state") not in ("APPROVED", "REQUEST_CHANGES"):
                continue  # a comment takes nothing back
            if merged_ms is None or at is None or at <= merged_ms:
                if who in latest and (time_ms(latest[who].get("submitted_at")) or 0) > (at or 0):
                    continue
                latest[who] = review
        approvals = [
            Approval(
                who, _mail(review.get("user")), time_ms(review.get("submitted_at")), object_id(review.get("commit_id"))
            )
            for who, review in latest.items()
            if review.get("state") == "APPROVED"
            and review.get("official") is True
            and review.get("dismissed") is not True
        ]
        merger = _login(document.get("merged_by"))
        return make_note(info, approvals, author_mail=_mail(document.get("user")), merged_by=merger)

    def _thread(self, number: int, what: str) -> Thread:
        path = f"{self._root}/issues/{number}/comments"

        def add(text: str) -> str:
            made = self._send(what, "POST", f"/issues/{number}/comments", {"body": text}, again=False)
            return str(made.get("html_url") or self.request_url(number))

        return Thread(
            self._asker.ask(what, lambda: list(map(_comment, self._api.pages(path)))),
            edit=lambda comment, text: self._send(what, "PATCH", f"/issues/comments/{comment}", {"body": text}),
            add=add,
        )

    # --- the API

    @cached_property
    def _api(self) -> gitea_api.GiteaApi:
        return gitea_api.GiteaApi(api_url(self.place), self.place.token, self.patience.timeout_s)

    @cached_property
    def _root(self) -> str:
        return f"/repos/{quote_path(self.place.path)}"

    @cached_property
    def _default_branch(self) -> str:
        return str(self._get("name its default branch", "").get("default_branch") or "")

    def _account(self) -> str:
        return _login(self._api.get("/user"))

    def _info(self, document: dict[str, Any]) -> RequestInfo:
        return self._asker.ask("show a request", lambda: _read(document))

    def _get(self, what: str, path: str) -> dict[str, Any]:
        return self._asker.ask(what, lambda: need(self._api.get(self._root + path), dict, "content"))

    def _all(self, what: str, path: str, **query: str) -> list[dict[str, Any]]:
        return self._asker.ask(what, lambda: list(self._api.pages(self._root + path, **query)))

    def _send(self, what: str, verb: str, path: str, document: dict[str, Any], *, again: bool = True) -> dict[str, Any]:
        """Send a document to the project; what came back, empty where that is no map."""
        found = self._asker.ask(what, lambda: self._api.send(verb, self._root + path, document), again=again)
        return found if isinstance(found, dict) else {}

    def _explain(self, error: Exception) -> Failure | None:
        if isinstance(error, gitea_api.Refused):
            wait_s = seconds_asked(error.headers)
            return Failure(error.status, spoken(error.words), wait_s, error.status == 429)
        if isinstance(error, gitea_api.Unreadable | Unreadable):
            return Failure(None, str(error), is_lasting=True)
        if isinstance(error, TimeoutError) or "timed out" in str(error):
            return no_answer(self.patience)
        if isinstance(error, OSError):  # URLError is one
            return Failure(None, str(getattr(error, "reason", error)))
        import http.client

        return Failure(None, "its answer was cut short") if isinstance(error, http.client.HTTPException) else None


def _read(document: dict[str, Any]) -> RequestInfo:
    head, base = _map(document.get("head")), _map(document.get("base"))
    title, is_marked = drop_draft(document.get("title") or "")
    is_merged = document.get("merged") is True
    state: RequestState = "merged" if is_merged else "open" if document.get("state") == "open" else "closed"
    return RequestInfo(
        number=need(document.get("number"), int, "number"),
        url=need(document.get("html_url"), str, "address"),
        title=title,
        body=document.get("body") or "",
        head=_head(head, base),
        head_commit=object_id(head.get("sha")),
        base=need(base.get("ref"), str, "base branch"),
        state=state,
        draft=document.get("draft") is True or is_marked,
        author=_login(document.get("user")),
        merge_commit=object_id(document.get("merge_commit_sha")) if is_merged else None,
        labels=tuple(str(each.get("name")) for each in document.get("labels") or () if isinstance(each, dict)),
        reviewers=tuple(filter(None, map(_login, document.get("requested_reviewers") or ()))),
    )


def _head(head: dict[str, Any], base: dict[str, Any]) -> str:
    """The branch; its label outlives it, where `ref` becomes `refs/pull/5/head`."""
    branch = need(head.get("label") or head.get("ref"), str, "head").rpartition(":")[2]
    if head.get("repo_id") is not None and head.get("repo_id") == base.get("repo_id"):
        return branch
    owner = _login(_map(_map(head.get("repo")).get("owner")))
    return f"{owner or '?'}:{branch}"


def _comment(document: dict[str, Any]) -> Comment:
    number, url = need(document.get("id"), int, "number"), str(document.get("html_url") or "")
    return Comment(number, _login(document.get("user")), document.get("body") or "", url)


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _login(user: Any) -> str:
    name = _map(user).get("login")
    return name if isinstance(name, str) else ""


def _mail(user: Any) -> str | None:
    return real_mail(_map(user).get("email"))
