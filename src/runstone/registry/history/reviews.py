"""What reviewers said yes to before it was merged: lines of git notes on the commits of proposals.

Who may push notes can write any name into one. So a line counts only where the commit that added it is by whom it
names.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from runstone.git.notes import NOTES_REF, list_notes, read_lines
from runstone.git.repository import Repository
from runstone.registry.people import Person, parse_person

_WORD = "Approved-by: "
_FORMAT = "%x01%H%x00%an%x00%ae%x00%ce"
_HEADER = re.compile(rb"\x01([0-9a-f]{40,64})\Z")


@dataclass(frozen=True, slots=True)
class Review:
    """One reviewer's yes.

    Attributes:
        person: Who; the address as it is written, not after a `.mailmap`.
        commit: The commit of notes that added it, which is theirs.
    """

    person: Person
    commit: str


def format_line(who: str) -> str:
    """The line of a note by which somebody, `Name <mail>`, approves."""
    return _WORD + who


def read_reviews(repo: Repository, commits: Iterable[str], tip: str | None = None) -> dict[str, tuple[Review, ...]]:
    """Who approved these commits of proposals; those that nobody did are left out.

    One git process, and none where there is no such note.

    Args:
        repo: The repository.
        commits: Full ids.
        tip: The commit of notes to read; `refs/notes/runstone` if None.
    """
    tip = tip or repo.refs.read(NOTES_REF)
    if tip is None:
        return {}
    notes = list_notes(repo, tip)
    told = {c: lines for c in set(commits) if c in notes and (lines := read_lines(repo, notes[c].oid)) is not None}
    if not told:
        return {}
    added = _added(repo, tip)
    found: dict[str, tuple[Review, ...]] = {}
    for commit, lines in told.items():
        own = [
            Review(parse_person(line.removeprefix(_WORD)), added[commit, line])
            for line in lines
            if (commit, line) in added
        ]
        if own:
            found[commit] = tuple(own)
    return found


def find_foreign(repo: Repository, old: str | None, new: str) -> str | None:
    """The id of a commit whose note a push changes otherwise than by its reviewers' own words; None if there is none.

    Args:
        repo: The repository.
        old: The commit of notes that is there; None without one.
        new: What it would become.
    """
    before, after = list_notes(repo, old), list_notes(repo, new)
    changed = [noted for noted in before.keys() | after.keys() if before.get(noted) != after.get(noted)]
    added = _added(repo, new) if changed else {}
    for noted in sorted(changed):
        lines = read_lines(repo, after[noted].oid) if noted in after else None
        kept = read_lines(repo, before[noted].oid) if noted in before else ()
        if lines is None or kept is None or not set(kept) <= set(lines):
            return noted
        if any((noted, line) not in added for line in set(lines) - set(kept)):
            return noted
    return None


def _added(repo: Repository, tip: str) -> dict[tuple[str, str], str]:
    """What is noted, and a line of the note → the commit of whom the line names that added it, the first one."""
    options = ["--reverse", "--no-merges", f"--format={_FORMAT}", "--raw", "--no-abbrev", "--no-renames", "-z"]
    options += ["--no-ext-diff", "--no-notes", "--no-show-signature", "--no-color", "--encoding=UTF-8"]
    _, out = repo.git("-c", "log.showRoot=true", "log", "-r", *options, "--end-of-options", tip)
    found: dict[tuple[str, str], str] = {}
    tokens = iter(out.split(b"\0"))
    commit, mails = "", {""}
    for token in tokens:
        header = _HEADER.search(token)
        if header is not None:
            commit = header[1].decode()
            next(tokens)  # the name, which anybody may choose
            mails = {next(tokens).decode("utf-8", "replace").strip().lower() for _ in range(2)}
        elif token.lstrip(b"\n").startswith(b":"):
            _, mode, before, after, _ = token.lstrip(b"\n").decode().lstrip(":").split(" ")
            noted = next(tokens).decode("utf-8", "replace").replace("/", "")
            if not mode.startswith("100") or not repo.objects.is_id(noted):
                continue
            for line in set(_lines(repo, after)) - set(_lines(repo, before)):
                if mails == {parse_person(line.removeprefix(_WORD)).mail}:
                    found.setdefault((noted, line), commit)
    return found


def _lines(repo: Repository, oid: str) -> tuple[str, ...]:
    return () if not oid.strip("0") else read_lines(repo, oid) or ()
