"""Setting gates aside: the trailer `Bypass: <reason>` of a proposal's commit, by somebody whom the policy lets."""

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass

from runstone.git.process import run_git
from runstone.git.repository import Repository

_TRAILER = re.compile(r"^Bypass:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_PERSON = re.compile(r"(?P<name>[^<>\n]*?) ?<(?P<mail>[^<>\s]*)>")


@dataclass(frozen=True, slots=True)
class Bypass:
    """A wish to set gates aside.

    Attributes:
        reason: Why.
        author: The mail address of who wrote the commit, in small letters, after the `.mailmap` of the base.
    """

    reason: str
    author: str

    def is_allowed(self, patterns: Iterable[str]) -> bool:
        """Whether a rule's `bypass` lets this person."""
        return bool(self.author) and any(fnmatch.fnmatchcase(self.author, pattern.lower()) for pattern in patterns)


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
    reason = find_reason(commit.message)
    return None if reason is None else Bypass(reason, _mail(repo, base, commit.author))


def find_reason(message: str) -> str | None:
    """The reason that a commit's message gives for setting gates aside."""
    found = _TRAILER.search(message.partition("\n")[2])
    return None if found is None else found[1]


def _mail(repo: Repository, base: str | None, author: str) -> str:
    """The mail address in `Name <mail> seconds +zone`.

    The `.mailmap` of the work tree may be the proposal's own, which could make anybody of its author.
    """
    found = _PERSON.match(author)
    if found is None:
        return ""
    options = [f"--git-dir={repo.git_dir}", f"--work-tree={repo.git_dir}"]  # where no `.mailmap` lies
    options += ["-c", f"mailmap.blob={base}:.mailmap" if base else "mailmap.blob="]
    _, out = run_git(
        [*options, "check-mailmap", "--stdin"], cwd=repo.git_dir, input=f"{found[0]}\n".encode("utf-8", "replace")
    )
    mapped = _PERSON.match(out.decode("utf-8", "replace"))
    return (mapped or found)["mail"].lower()
