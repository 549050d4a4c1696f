"""Who took part in a change of the registry: people by mail address, and what a forge told CI, kept as git notes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.notes import NOTES_REF as NOTES_REF
from runstone.git.notes import list_notes
from runstone.git.process import run_git
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.approval import ApprovalNote

_PERSON = re.compile(r"(?P<name>[^<>\n\0]*?)\s*<(?P<mail>[^<>\s\0]*)>")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody; two are the same whose mail addresses are, however large or small their letters.

    Attributes:
        name: For display.
        mail: After `.mailmap`, in small letters; empty where only an account of a forge is known, which is the name.
    """

    name: str = field(compare=False)
    mail: str
    account: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "mail", self.mail.strip().lower())
        object.__setattr__(self, "account", "" if self.mail else self.name)

    def __str__(self) -> str:
        return f"{self.name} <{self.mail}>" if self.mail else self.name


def parse_person(text: str) -> Person:
    """`Name <mail>` → the person; any other text is a name, or an address by itself."""
    match = _PERSON.fullmatch(text.strip())
    if match is not None:
        return Person(match["name"], match["mail"])
    word = text.strip()
    return Person("", word) if re.fullmatch(r"[^\s<>@]+@[^\s<>@]+", word) else Person(word, "")


def git_beside(repo: Repository, commit: str, arguments: Sequence[str], *, input: bytes | None = None) -> bytes:
    """Run git away from the work tree, so that it heeds the `.mailmap` of a commit, and no other.

    That of the work tree may be a proposal's, which is checked out to be looked at.

    Args:
        repo: The repository.
        commit: A full id.
        arguments: The command line after `git`; its paths are those of trees.
        input: What git reads.
    """
    options = [f"--git-dir={repo.git_dir}", "-c", f"mailmap.blob={commit}:.mailmap"]
    return run_git([*options, *arguments], cwd=repo.git_dir, input=input)[1]


def read_people(repo: Repository, texts: Iterable[str], commit: str | None) -> dict[str, Person]:
    """The people that texts such as `Name <mail>` name, after the `.mailmap` of a commit, if one is given."""
    found = {text: parse_person(text) for text in texts}
    plain = [person for person in found.values() if person.mail]
    if not plain or commit is None:
        return found
    lines = "".join(f"{person.name} <{person.mail}>\n" for person in plain).encode("utf-8", "surrogateescape")
    out = git_beside(repo, commit, ["check-mailmap", "--stdin"], input=lines)
    answers = out.decode("utf-8", "replace").split("\n")
    mapped = {person: parse_person(answer) for person, answer in zip(plain, answers[:-1], strict=True)}
    return {text: mapped.get(person, person) for text, person in found.items()}


def read_notes(repo: Repository, commits: Iterable[str]) -> dict[str, ApprovalNote]:
    """What CI kept of the requests that became these commits; a note that is none of ours is passed over."""
    tip = repo.refs.read(NOTES_REF)
    if tip is None:
        return {}
    wanted = set(commits)
    blobs = {commit: entry.oid for commit, entry in list_notes(repo, tip).items() if commit in wanted}
    texts = dict(repo.objects.read_many(set(blobs.values())))
    read = ((commit, _parse_note(texts[oid], commit)) for commit, oid in blobs.items())
    return {commit: note for commit, note in read if note is not None}


def read_note(repo: Repository, commit: str) -> ApprovalNote | None:
    """As `read_notes`, of one commit, without a look at the others."""
    tip = repo.refs.read(NOTES_REF)
    tree, rest = (None if tip is None else repo.objects.commit(tip).tree), commit
    while tree is not None:
        entries = repo.objects.tree(tree)
        entry, folder = entries.get(rest), entries.get(rest[:2])
        if entry is not None and entry.is_file:
            return _parse_note(repo.objects.blob(entry.oid), commit)
        tree, rest = (folder.oid if folder is not None and folder.is_tree else None), rest[2:]
    return None


def _parse_note(data: bytes, commit: str) -> ApprovalNote | None:
    where = f"{NOTES_REF} of {commit}"
    try:
        return ApprovalNote.from_document(yaml.load(data, where), where)
    except (RecordInvalid, NewerFormat):
        return None  # people may keep notes of their own there
