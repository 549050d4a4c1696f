"""What the forges share: all that a call does besides what the API of one forge wants told in its own way.

A forge's own module only translates: it owes the abstract methods below.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import ClassVar, Literal

from runstone.errors import ForgeFailed, UsageError
from runstone.git.objects import is_object_id
from runstone.promotion.forge.asking import Asker, Failure
from runstone.promotion.forge.pages import ProjectPages
from runstone.promotion.forge.protocol import ForgeKind, Patience, Request, RequestInfo
from runstone.promotion.forge.servers import Place
from runstone.records.approval import Approval, ApprovalNote

# Accounts under which CI jobs write: their tokens may not ask who they are.
_JOBS = ("gitea-actions", "forgejo-actions")
_SURE = (400, 401, 403, 404, 429)

StateFilter = Literal["open", "all"]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be another of a request; None and nothing leave what is there."""

    title: str | None = None
    body: str | None = None
    base: str | None = None
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    draft: bool | None = None


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody said of a request."""

    id: int
    author: str
    body: str
    url: str


@dataclass(frozen=True, slots=True)
class Thread:
    """The comments of a request.

    Attributes:
        comments: Those that are there.
        edit: Gives the comment with an id another text.
        add: Adds a comment and returns its address.
    """

    comments: Iterable[Comment]
    edit: Callable[[int, str], object]
    add: Callable[[str], str]


class ForgeBase(ProjectPages, ABC):
    """One project on one forge; see `Forge` for what each call does."""

    kind: ClassVar[ForgeKind]
    _sign: ClassVar[str] = "#"
    """What people write before the number of a request."""
    _nameless: ClassVar[tuple[int, ...]] = (403, 404)
    """The statuses with which the forge will not say whose token it is: that of a CI job, or one that may not ask."""

    def __init__(self, place: Place, patience: Patience) -> None:
        super().__init__(place)
        self.patience = patience
        self._asker = Asker(place, patience, self._explain)

    @property
    def can_write(self) -> bool:
        """Whether there is a token that may write."""
        return self.place.can_write

    # --- requests

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
        change = Change(title, body, base, labels, reviewers, draft)
        return self._change(number, change, self._writing("change", number))

    def close_request(self, number: int) -> RequestInfo:
        """Close a request without merging it."""
        self._close(number, self._writing("close", number))
        return self.get_request(number)

    def merge_request(self, number: int, *, head: str, title: str = "", message: str = "") -> RequestInfo:
        """Merge a request; with a merge commit, unless the project is set to merge in another way."""
        what = self._writing("merge", number)
        self._merge(number, self._full_id(head), title, message, what)
        return self.get_request(number)

    def approvals(self, which: int | str) -> ApprovalNote | None:
        """Who approved a request; see `Forge.approvals`."""
        if not isinstance(which, int):
            found = self.request_of_commit(which)
            if found is None:
                return None
            which = found.number
        return self._read_approvals(which, f"tell who approved request {self._sign}{which}")

    def comment(self, number: int, body: str, marker: str) -> str:
        """Write a comment, or update the one of our own that holds the marker."""
        text = body if marker in body else f"{marker}\n{body}"
        what = self._writing("comment on", number)
        thread, me = self._thread(number, what), self._me
        for old in thread.comments:
            # One that somebody else wrote is never taken: they could change it afterwards.
            is_own = old.author == me if me is not None else old.author in _JOBS or old.author.endswith("[bot]")
            if is_own and marker in old.body:
                self._asker.ask(what, partial(thread.edit, old.id, text))
                return old.url
        return self._asker.ask(what, lambda: thread.add(text), again=False)

    # --- what each forge does in its own way

    @abstractmethod
    def get_request(self, number: int) -> RequestInfo:
        """One request."""

    @abstractmethod
    def find_request(self, head: str) -> RequestInfo | None:
        """The open request for a branch."""

    @abstractmethod
    def request_of_commit(self, oid: str) -> RequestInfo | None:
        """The merged request that brought a commit to the default branch."""

    @abstractmethod
    def _create(self, request: Request) -> RequestInfo:
        """Open a request though there may be one."""

    @abstractmethod
    def _change(self, number: int, change: Change, what: str) -> RequestInfo:
        """Change a request."""

    @abstractmethod
    def _close(self, number: int, what: str) -> None:
        """Close a request."""

    @abstractmethod
    def _merge(self, number: int, head: str, title: str, message: str, what: str) -> None:
        """Merge a request whose branch is at `head`; the texts may be empty."""

    @abstractmethod
    def _read_approvals(self, number: int, what: str) -> ApprovalNote:
        """Who approved a request."""

    @abstractmethod
    def _thread(self, number: int, what: str) -> Thread:
        """The comments of a request."""

    @abstractmethod
    def _account(self) -> str:
        """The token's own account, asked of the client library."""

    @abstractmethod
    def _explain(self, error: Exception) -> Failure | None:
        """What an exception of the client library means."""

    # --- for the forges

    @cached_property
    def _me(self) -> str | None:
        """The token's own account; None where the forge does not say it: then it is taken for that of a CI job."""
        return self._asker.look("tell whose token it is", self._account, self._nameless)

    def _writing(self, verb: str, number: int) -> str:
        """What is asked, in words; refused without a token that may write."""
        what = f"{verb} request {self._sign}{number}"
        self.place.need_token(what)
        return what

    def _add(
        self,
        info: RequestInfo,
        asked: Request | Change,
        troubles: list[str],
        *,
        label: Callable[[list[str]], object],
        invite: Callable[[str], object],
    ) -> RequestInfo:
        """Add the labels and reviewers that are not there yet; what cannot be added does not undo the request."""
        new = [name for name in dict.fromkeys(asked.labels) if name not in info.labels]
        if new:
            self._asker.attempt(f"add the labels {', '.join(new)}", lambda: label(new), troubles)
        for name in dict.fromkeys(each.removeprefix("@") for each in asked.reviewers):  # one by one, not all or none
            if name not in info.reviewers and name != info.author:
                self._asker.attempt(f"ask {name} to review", partial(invite, name), troubles)
        if new or asked.reviewers:
            info = self.get_request(info.number)
        return replace(info, troubles=tuple(troubles))

    def _full_id(self, oid: str) -> str:
        if not is_object_id(oid):
            raise UsageError(f"A full object id is needed here, and not {oid[:80]!r}.")
        return oid


def make_note(
    info: RequestInfo, approvals: Iterable[Approval], *, author_mail: str | None, merged_by: str | None
) -> ApprovalNote:
    """What is kept of a request's approvals; the author of a request whose account is gone is GitHub's `ghost`."""
    return ApprovalNote(
        request=info.url,
        author=info.author or "ghost",
        author_mail=author_mail,
        merged_by=(merged_by or None) if info.state == "merged" else None,
        head=info.head_commit,
        approvals=tuple(approvals),
    )


def pick_merged(found: Iterable[RequestInfo], oid: str, default: str) -> RequestInfo | None:
    """Of the requests that hold a commit, the merged one that brought it to the default branch.

    That which became this very commit; else, as of the commits of a rebase, the oldest.
    """
    merged = [each for each in found if each.state == "merged" and each.base == default]
    exact = [each for each in merged if each.merge_commit == oid]
    return min(exact or merged, key=lambda each: each.number, default=None)
