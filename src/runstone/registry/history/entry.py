"""One commit of the registry's history: what it changed, who proposed it, who put it there, who said yes.

Who merged and whose word counts is decided here alone, for those who tell history and those who prove it.
"""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from runstone.records.approval import ApprovalNote
from runstone.registry.changes import Change
from runstone.registry.history.reviews import Review
from runstone.registry.people import Person

How = Literal["merge", "trailer", "note", "review"]

_TRAILER = re.compile(r"^([A-Z][A-Za-z-]*): (.*)$", re.MULTILINE)
_ALL_TRAILERS = re.compile(r"(?:[A-Za-z][A-Za-z-]*: [^\n]*(?:\n|$))*")
_REQUESTS = (
    re.compile(r"^See merge request (\S+![0-9]+)$", re.MULTILINE),
    re.compile(r"\AMerge pull request (#[0-9]+) "),
    re.compile(r"\A[^\n]*\((#[0-9]+)\)(?: from [^\n]*)?$", re.MULTILINE),
    re.compile(r"\AMerge proposal (\S+)$", re.MULTILINE),
    re.compile(r"\AMerge (?:remote-tracking )?branch '([^'\n]+)'"),
)
# Under such an address a forge itself commits what a person merges with a button. The hidden addresses of people there
# (`12+kim@users.noreply.github.com`) are people's.
_FORGES = re.compile(r"noreply@[a-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Approver:
    """Somebody who said yes to a change.

    Attributes:
        person: Who.
        how: `merge`: they merged what somebody else proposed; `review`: they said so by a git note of their own before;
            `note`: the forge told CI; `trailer`: whoever merged it says so, which makes nobody an approver.
        account: The account on the forge, where a note tells it.
        said: Of a review, the commit of notes.
        signed: Whether the commit that says so is known to have a good signature of this person.
    """

    person: Person
    how: How
    account: str = ""
    said: str = ""
    signed: bool = False


@dataclass(frozen=True)
class Entry:
    """One commit of the line that changed the registry.

    Attributes:
        commit: Its id.
        parent: The commit of the line before it; None for the first.
        is_merge: Whether it has further parents.
        time: When it came onto the line, by the clock of who put it there; Unix milliseconds.
        committer: Who put it there.
        author: Who wrote it; of a merge, who made the merge.
        proposers: Who wrote what it brought: of a merge the authors of the commits that came with it.
        makers: Everybody who had a hand in that: those and who committed it, who opened the request, and who made a
            merge that holds more than its parents. No approval of theirs counts but where the policy says so.
        message: Its subject and body.
        messages: Those of the commits that came with a merge, the newest first.
        note: What a forge knew of the request, as CI kept it.
        noted: Who approved by that note.
        trailed: Whom the trailers of its own message name as approvers.
        reviews: What reviewers said of what it merged before it was merged.
        reviewed: Who they are.
        tree: Its tree.
        others: Its further parents: the heads that it merged.
        changes: The facts that it changed.
        beside: The files changed that state no fact, of those that were asked for; with them, what is no plain file.
        added: The files of the registry that were not there before, as far as they state facts.
        is_cut: Whether a shallow history ends here, so that its changes are all that came before, too.
    """

    commit: str
    parent: str | None
    is_merge: bool
    time: int
    committer: Person
    author: Person
    proposers: tuple[Person, ...]
    message: str
    makers: tuple[Person, ...] = ()
    messages: tuple[str, ...] = ()
    note: ApprovalNote | None = None
    noted: tuple[Person, ...] = ()
    trailed: tuple[Person, ...] = ()
    reviews: tuple[Review, ...] = ()
    reviewed: tuple[Person, ...] = ()
    tree: str = ""
    others: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    beside: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    is_cut: bool = False

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]

    @cached_property
    def trailers(self) -> dict[str, str]:
        """`Proposal`, `Model`, `Run`, `Bypass` … as its message has them first, else those of what it merged."""
        found: dict[str, str] = {}
        for text in (self.message, *self.messages):
            for key, value in _TRAILER.findall(text.partition("\n\n")[2]):
                found.setdefault(key, value)
        return found

    @property
    def bypass(self) -> str | None:
        """Why gates were set aside, where they were."""
        return self.trailers.get("Bypass")

    @property
    def why(self) -> str | None:
        """What its proposer said of it, on one line: what stands between subject and trailers."""
        for text in self.messages if self.is_merge else (self.message,):
            *above, last = text.partition("\n")[2].strip().split("\n\n")
            said = above if _ALL_TRAILERS.fullmatch(last) else [*above, last]
            if "".join(said).strip():
                return " ".join(" ".join(said).split())
        return None

    @property
    def request(self) -> str | None:
        """The request or proposal that it came by: its address, its number, or its branch; None if by none."""
        if self.note is not None:
            return self.note.request
        found = (pattern.search(self.message) for pattern in _REQUESTS)
        return next((match[1] for match in found if match is not None), None)

    @cached_property
    def landed_by(self) -> Person | None:
        """Who put it on the line: the committer; where that is a forge, the author of the merge, who pressed the
        button. Who did so is not known of what a forge squashed.
        """
        account = self.note.merged_by if self.note is not None and self.is_merge else None
        if not is_forge(self.committer):
            found = self.committer
        elif self.is_merge and not is_forge(self.author):
            found = self.author
        else:
            return Person(account, "", login=account) if account else None
        return replace(found, login=account) if account else found

    @property
    def merger(self) -> Person | str | None:
        """Who merged it: a person, an account of the forge, or None where nobody else is known to have done it."""
        if is_forge(self.committer) and self.note is not None and self.note.merged_by:
            return self.note.merged_by
        return self.landed_by if self.is_merge or self.landed_by not in self.proposers else None

    @cached_property
    def is_own(self) -> bool:
        """Whether who put it on the line had a hand in what it brought."""
        merger = self.landed_by
        return merger is not None and any(merger.keys & maker.keys for maker in self.makers)

    @cached_property
    def doubt(self) -> str | None:
        """Why nobody can tell whether who merged it is somebody else than who proposed it; None if that is clear."""
        merger = self.landed_by
        if merger is None or not self.is_merge:
            return None
        if merger.is_nobody:
            return "who merged it is not known: git knew no name and mail there"
        if any(maker.is_nobody for maker in self.makers):
            return "who proposed it is not known: git knew no name and mail there"
        if not self.is_own and any(is_unclear(merger, maker) for maker in self.makers):
            return f"whether {merger.name} merged their own work cannot be told from an address that a forge hides"
        return None

    @property
    def is_vouched(self) -> bool:
        """Whether it is a merge by somebody who had no hand in what it brought, so that it is a yes."""
        return self.is_merge and self.landed_by is not None and not self.is_own and self.doubt is None

    @cached_property
    def voices(self) -> tuple[Approver, ...]:
        """Every yes that somebody is said to have given: one person may have said it in several ways.

        The trailers are the word of who wrote the merge: nobody vouches for themselves by naming others, and into what
        a forge writes goes the text of who opened the request. They are kept to tell why they do not count.
        """
        noted = zip(self.noted, () if self.note is None else self.note.approvals, strict=True)
        found = [Approver(person, "note", approval.by) for person, approval in noted]
        reviews = zip(self.reviewed, self.reviews, strict=True)
        found += [Approver(person, "review", said=review.commit) for person, review in reviews if not person.is_nobody]
        if self.is_vouched and self.landed_by is not None:
            if not is_forge(self.committer):
                found += [Approver(person, "trailer") for person in self.trailed if not person.is_nobody]
            found.append(Approver(self.landed_by, "merge", self.landed_by.login))
        return tuple(found)

    @property
    def approvers(self) -> tuple[Approver, ...]:
        """Who said yes, as far as git knows, each once; not whether that was enough: see `runstone verify`.

        Whom a trailer alone names is not among them: that is the word of who merged it.
        """
        distinct: dict[Person, Approver] = {}
        for each in self.voices:
            if each.how != "trailer":
                distinct.setdefault(each.person, each)
        return tuple(distinct.values())


def is_forge(person: Person) -> bool:
    """Whether the address is a forge's own, which says nothing of who did it."""
    return _FORGES.fullmatch(person.written) is not None


def is_unclear(one: Person, other: Person) -> bool:
    """Whether two may be one person for all that is known: of one an address, of the other an account alone."""
    return _is_account_alone(one) != _is_account_alone(other) and not (
        (one.has_mail and one.has_account) or (other.has_mail and other.has_account)
    )


def _is_account_alone(person: Person) -> bool:
    return person.has_account and not person.has_mail
