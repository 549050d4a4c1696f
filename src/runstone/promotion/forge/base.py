"""What the three forges share: who they are, opening a request only once, and approvals by commit."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar, Literal

from runstone.errors import ForgeFailed, UsageError
from runstone.git.objects import is_object_id
from runstone.promotion.forge.asking import Asker, Failure
from runstone.promotion.forge.protocol import ForgeKind, Patience, Request, RequestInfo
from runstone.promotion.forge.servers import Place
from runstone.records.approval import ApprovalNote

# Accounts under which CI jobs write: their tokens may not ask who they are.
_JOBS = ("gitea-actions", "forgejo-actions")
_SURE = (400, 401, 403, 404, 429)


class ForgeBase(ABC):
    """One project on one forge; see `Forge` for what each call does."""

    kind: ClassVar[ForgeKind]

    def __init__(self, place: Place, patience: Patience) -> None:
        self.place, self.patience = place, patience
        self._asker = Asker(place, patience, self._explain)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def name(self) -> str:
        """As people call it."""
        return self.place.name

    @property
    def url(self) -> str:
        """The project's page."""
        return self.place.url

    @property
    def can_write(self) -> bool:
        """Whether there is a token that may write."""
        return self.place.can_write

    def open_request(self, request: Request) -> RequestInfo:
        """Ask for review; where an open request for this head is there, update that in place."""
        self.place.need_token("open a request for review")
        found = self.find_request(request.head)
        if found is None:
            try:
                return replace(self._create(request), is_new=True)
            except ForgeFailed as error:
                # Somebody may have been faster; or it was made, and the answer got lost on its way.
                found = None if error.status in _SURE else self.find_request(request.head)
                if found is None:
                    raise
        return self.update_request(
            found.number,
            title=request.title,
            body=request.body,
            base=request.base if request.base != found.base else None,
            labels=request.labels,
            reviewers=request.reviewers,
            draft=True if request.draft and not found.draft else None,
        )

    def approvals(self, which: int | str) -> ApprovalNote | None:
        """Who approved a request; see `Forge.approvals`."""
        if isinstance(which, int):
            return self._read_approvals(which)
        found = self.request_of_commit(which)
        return None if found is None else self._read_approvals(found.number)

    @abstractmethod
    def find_request(self, head: str) -> RequestInfo | None:
        """The open request for a branch."""

    @abstractmethod
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
        """Change what is named of a request, and leave the rest."""

    @abstractmethod
    def request_of_commit(self, oid: str) -> RequestInfo | None:
        """The merged request that brought a commit to the default branch."""

    @abstractmethod
    def _create(self, request: Request) -> RequestInfo:
        """Open a request though there may be one."""

    @abstractmethod
    def _read_approvals(self, number: int) -> ApprovalNote:
        """Who approved a request."""

    @abstractmethod
    def _explain(self, error: Exception) -> Failure | None:
        """What an exception of the client library means."""

    # --- for the forges

    def _full_id(self, oid: str) -> str:
        if not is_object_id(oid):
            raise UsageError(f"A full object id is needed here, and not {oid[:80]!r}.")
        return oid

    def _split_head(self, head: str) -> tuple[str, str]:
        """`owner:branch` → owner and branch; the project's own owner is left out."""
        owner, colon, branch = head.rpartition(":")
        return ("", branch) if not colon or owner == self.place.path.rpartition("/")[0] else (owner, branch)

    def _plain_head(self, head: str) -> str:
        """The head as `RequestInfo` has it: the owner only of a fork."""
        owner, branch = self._split_head(head)
        return f"{owner}:{branch}" if owner else branch


def pick_merged(found: Iterable[RequestInfo], oid: str, default: str) -> RequestInfo | None:
    """Of the requests that hold a commit, the merged one that brought it to the default branch.

    That which became this very commit; else, as of the commits of a rebase, the oldest.
    """
    merged = [each for each in found if each.state == "merged" and each.base == default]
    exact = [each for each in merged if each.merge_commit == oid]
    return min(exact or merged, key=lambda each: each.number, default=None)


def pick_comment(comments: Iterable[tuple[int, str, str, str]], marker: str, me: str | None) -> tuple[int, str] | None:
    """Of comments (id, author, body, address) the first of our own that holds a marker: its id and address.

    Where the token may not tell who it is, it is that of a CI job. One that somebody else wrote is never taken: they
    could change it afterwards.
    """
    for number, author, body, url in comments:
        is_ours = author == me if me is not None else author in _JOBS or author.endswith("[bot]")
        if marker in body and is_ours:
            return number, url
    return None


def with_marker(body: str, marker: str) -> str:
    """A comment's text, with the marker that it is found by."""
    return body if marker in body else f"{marker}\n{body}"


def drop_draft(title: str) -> tuple[str, bool]:
    """A title without the words by which GitLab and Gitea know a draft, and whether it had any."""
    match = _DRAFT.match(title)
    return (title[match.end() :], True) if match else (title, False)


_DRAFT = re.compile(r"(?:\s*(?:\[draft\]|\(draft\)|draft:|\[wip\]|wip:)\s*)+", re.IGNORECASE)

StateFilter = Literal["open", "all"]
