"""Setting gates aside: the trailer `Bypass: <reason>` of a proposal's commit, by somebody whom the policy lets.

Author and committer of a commit are what whoever made it wrote there, so both must be such people, by the addresses as
they are written: no `.mailmap` makes anybody one. Where the rule asks for signatures, one of theirs must be on it.
"""

import re
from dataclasses import dataclass

from runstone.git.repository import Repository
from runstone.promotion.rules.approvals import is_signed_by, matches
from runstone.records.policy import Rule
from runstone.registry.history.entry import is_forge
from runstone.registry.people import Person

_TRAILER = re.compile(r"^Bypass:[ \t]*(\S.*)$", re.MULTILINE)
_PERSON = re.compile(r"(?P<name>[^<>\n]*?) ?<(?P<mail>[^<>\s]*)>")


@dataclass(frozen=True, slots=True)
class Bypass:
    """A wish to set gates aside.

    Attributes:
        reason: Why.
        author: The mail address of who wrote the commit, in small letters.
        committer: Likewise of who put it there; None where a forge did in its own name.
        is_signed: Whether one of them has put a good signature on it.
    """

    reason: str
    author: str
    committer: str | None = None
    is_signed: bool = False

    def refusal(self, rule: Rule) -> str | None:
        """Why a rule does not let them set its gates aside; None if it does."""
        for who, mail in (("", self.author), (", who made the commit,", self.committer)):
            if mail is not None and not (mail and matches(mail, rule.bypass)):
                name = mail or "Somebody without a mail address"
                return f"{name}{who} asks to set it aside, and the policy does not let them."
        if rule.approvals is not None and rule.approvals.signed and not self.is_signed:
            return f"{self.author} asks to set it aside, and the commit has no good signature of theirs."
        return None


def read_bypass(repo: Repository, base: str | None, head: str) -> Bypass | None:
    """The wish in the head commit; where that is a merge on the base, in the commit that it brings.

    Args:
        repo: The repository.
        base: The commit that it is judged against.
        head: The commit that is judged.
    """
    commit = repo.objects.commit(head)
    if len(commit.parents) == 2 and commit.parents[0] == base:
        commit = repo.objects.commit(commit.parents[1])
    reason = None if find_reason(commit.message) is None else find_reason(_shown(repo, commit.oid))
    if reason is None:
        return None
    author, committer = _person(commit.author), _person(commit.committer)
    people = [person for person in (author, committer) if not is_forge(person)]
    is_signed = any(is_signed_by(repo, commit.oid, person) for person in dict.fromkeys(people) if person.mail)
    return Bypass(reason, author.mail, None if is_forge(committer) else committer.mail, is_signed)


def _shown(repo: Repository, commit: str) -> str:
    """A commit's message as git, and so the history, shows it: an encoding or a NUL may hide what stands in it."""
    options = ["--no-walk", "--format=%B", "--encoding=UTF-8", "--no-show-signature", "--no-notes", "--no-patch"]
    return repo.git("log", *options, commit)[1].decode("utf-8", "replace")


def find_reason(message: str) -> str | None:
    """The reason that a commit's message gives for setting gates aside."""
    found = _TRAILER.search(message.partition("\n")[2])
    return None if found is None else found[1].rstrip()


def _person(written: str) -> Person:
    """Who `Name <mail> seconds +zone` is."""
    found = _PERSON.match(written)
    return Person("", "") if found is None else Person(found["name"], found["mail"])
