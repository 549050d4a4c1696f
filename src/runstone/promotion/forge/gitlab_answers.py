"""What GitLab's answers say, as our values."""

from typing import Any

from runstone.promotion.forge.asking import need, object_id
from runstone.promotion.forge.base import Comment
from runstone.promotion.forge.drafts import drop_draft
from runstone.promotion.forge.protocol import RequestInfo, RequestState


def read_request(document: dict[str, Any], owner: str) -> RequestInfo:
    """A merge request; `owner` is that of the fork it comes from, empty where it comes from the project itself."""
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
        author=username(document.get("author")),
        merge_commit=next((oid for oid in became if oid), head) if state == "merged" else None,
        labels=tuple(str(label) for label in document.get("labels") or ()),
        reviewers=tuple(filter(None, map(username, document.get("reviewers") or ()))),
    )


def username(user: Any) -> str:
    """What an account is called; empty where there is none."""
    name = user.get("username") if isinstance(user, dict) else None
    return name if isinstance(name, str) else ""


def read_comment(note: dict[str, Any], page: str) -> Comment:
    """A note on a merge request, which has its address on the request's page."""
    return Comment(note["id"], username(note.get("author")), note.get("body") or "", f"{page}#note_{note['id']}")
