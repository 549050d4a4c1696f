"""What Runstone asks of a forge: one Protocol, and plain values that know nothing of any client library.

A proposal is a branch first: all that is said here is on top of it, and a forge that is away loses nothing. Texts that
a forge hands back (titles, accounts, branches) are other people's: escape them where they are shown, and give none to
git unchecked.
"""

import time
from dataclasses import dataclass
from typing import Literal, Protocol

from runstone.records.approval import ApprovalNote

ForgeKind = Literal["github", "gitlab", "gitea"]
RequestState = Literal["open", "closed", "merged"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a forge is waited for.

    Attributes:
        timeout_s: For one answer.
        attempts: How often at most the same is asked.
        pause_s: The pause before the second attempt; each further one is twice as long.
        most_s: The longest pause, also where the forge names one: who asks for more is not asked again.
    """

    timeout_s: float = 20.0
    attempts: int = 4
    pause_s: float = 0.5
    most_s: float = 30.0

    def sleep(self, attempt: int, asked_s: float | None) -> bool:
        """Pause after an attempt, counted from 1, for as long as the forge asks; False if that would be too long."""
        pause = self.pause_s * 2 ** (attempt - 1) if asked_s is None else asked_s
        if attempt >= self.attempts or pause > self.most_s:
            return False
        time.sleep(max(pause, 0.0))
        return True


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be asked for: a pull request, which GitLab calls a merge request.

    Attributes:
        title: One line.
        body: Markdown.
        head: The branch with the proposal; `owner:branch` where it is in a fork.
        base: The branch that it is for.
        labels: Added to those that the request has; made where the forge does not know them.
        reviewers: Accounts; `org/team` for a team on GitHub.
        draft: Not to be merged yet. A draft is never made ready by opening it again.
    """

    title: str
    body: str
    head: str
    base: str
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    draft: bool = False


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request as the forge has it.

    Attributes:
        number: Its number in the project, as people write it: `#12` or `!12`.
        url: Its page.
        title: Without the word that marks a draft.
        body: Markdown.
        head: The branch with the proposal; `owner:branch` where it is in a fork.
        head_commit: That branch's tip; of a merged request, what was merged.
        base: The branch that it is for.
        state: Open, closed, or merged.
        draft: Whether it is not to be merged yet.
        author: The account that opened it.
        merge_commit: The commit that it became, once it is merged and where the forge tells it.
        labels: Their names.
        reviewers: Accounts that were asked to look.
        is_new: Whether `open_request` has just made it.
        troubles: What the forge would not do besides (a label, a reviewer), one sentence each.
    """

    number: int
    url: str
    title: str
    body: str
    head: str
    head_commit: str | None
    base: str
    state: RequestState
    draft: bool = False
    author: str = ""
    merge_commit: str | None = None
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    is_new: bool = False
    troubles: tuple[str, ...] = ()


class Forge(Protocol):
    """One project on one forge.

    Each call that asks the forge may raise `ForgeFailed` (it said no, or nothing), `ForgeTokenMissing` (it needs a
    token and there is none) and `MissingLibrary`. None of them writes to git's refs or the work tree here.
    """

    @property
    def kind(self) -> ForgeKind:
        """Which of the three it is."""

    @property
    def name(self) -> str:
        """As people call it: `GitHub`."""

    @property
    def url(self) -> str:
        """The project's page."""

    @property
    def can_write(self) -> bool:
        """Whether there is a token that may write; else only the addresses work, and reading where all may read."""

    def open_request(self, request: Request) -> RequestInfo:
        """Ask for review; where an open request for this head is there, update that in place.

        Writes:
            The request, its labels and reviewers, on the forge.
        """

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
        """Change what is named of a request, and leave the rest. Labels and reviewers are added, none is removed."""

    def get_request(self, number: int) -> RequestInfo:
        """One request."""

    def find_request(self, head: str) -> RequestInfo | None:
        """The open request for a branch (`owner:branch` in a fork); the newest where there are several."""

    def list_requests(self, *, state: Literal["open", "all"] = "open") -> list[RequestInfo]:
        """The requests, the newest first."""

    def close_request(self, number: int) -> RequestInfo:
        """Close a request without merging it. Its branch stays."""

    def merge_request(self, number: int, *, head: str, title: str = "", message: str = "") -> RequestInfo:
        """Merge a request with a merge commit.

        Args:
            number: Which.
            head: The commit that was looked at: the forge refuses if the branch is elsewhere by now.
            title: The subject of the merge commit; the forge's own if empty.
            message: Its body.
        """

    def approvals(self, which: int | str) -> ApprovalNote | None:
        """Who approved a request: of each person the latest word counts, and only of those who may write there.

        An approval that was dismissed or taken back, and one followed by a request for changes, does not count. A mail
        address stands there where the forge tells a real one.

        Args:
            which: A request's number, or the full id of a commit of the default branch.

        Returns:
            None if the commit came by no request.
        """

    def request_of_commit(self, oid: str) -> RequestInfo | None:
        """The merged request that brought a commit to the forge's default branch; None if none did.

        Args:
            oid: A full object id.
        """

    def comment(self, number: int, body: str, marker: str) -> str:
        """Write a comment, or update in place the one of our own that holds the marker.

        Args:
            number: The request.
            body: Markdown; the marker is put before it where it does not hold it.
            marker: Such as `<!-- runstone report -->`. Comments of other accounts that hold it are left alone.

        Returns:
            The comment's address.
        """

    def compare_url(self, base: str, head: str) -> str:
        """The page with the differences between two branches, tags or commits. Asks nobody."""

    def new_request_url(self, base: str, head: str) -> str:
        """The page on which a person opens a request for a branch. Asks nobody."""

    def commit_url(self, oid: str) -> str:
        """The page of a commit. Asks nobody."""

    def request_url(self, number: int) -> str:
        """The page of a request. Asks nobody."""
