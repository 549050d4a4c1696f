"""Who took part in a change of the registry: people by mail address, and what a forge told CI, kept as git notes."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.notes import NOTES_REF as NOTES_REF
from runstone.git.notes import list_notes
from runstone.git.process import run_git
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.approval import ApprovalNote

MAILMAP = ".mailmap"
NOBODY = "runstone@localhost"
"""The address of commits that were made where git knows no name and mail: that of nobody in particular."""

_PERSON = re.compile(r"(?P<name>[^<>\n\0]*)<(?P<mail>[^<>\s\0]*)>")
# Under such an address a forge hides a person's own one: `12+kim@users.noreply.github.com`.
_HIDDEN = re.compile(r"(?:[0-9]+[+-])?([^@]+)@users\.noreply\.[a-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody; two are equal whose mail addresses are, however large or small their letters.

    Attributes:
        name: For display.
        mail: After `.mailmap`, in small letters; empty where only an account of a forge is known, which is the name.
        written: The address as the commit has it, before `.mailmap`.
        login: Their account on the forge, where a note tells it.
    """

    name: str = field(compare=False)
    mail: str
    written: str = field(default="", compare=False)
    login: str = field(default="", compare=False)
    account: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "mail", self.mail.strip().lower())
        object.__setattr__(self, "written", self.written.strip().lower() or self.mail)
        object.__setattr__(self, "account", "" if self.mail else self.name)

    def __str__(self) -> str:
        return f"{self.name} <{self.mail}>" if self.mail else self.name

    @property
    def is_nobody(self) -> bool:
        """Whether nothing tells who it is."""
        return NOBODY in (self.mail, self.written) or not self.keys

    @property
    def keys(self) -> frozenset[str]:
        """What tells who it is: addresses, and accounts as `@kim`. Who share one are one person."""
        mails = {self.mail, self.written} - {""}
        hidden = {found for mail in mails for found in _logins(mail)}
        accounts = {f"@{account.lower()}" for account in (self.login, self.account) if account}
        return frozenset(mails | accounts | hidden)

    @property
    def has_mail(self) -> bool:
        """Whether an address of theirs is known that no forge made up for them."""
        return any(mail and not _HIDDEN.fullmatch(mail) for mail in (self.mail, self.written))

    @property
    def has_account(self) -> bool:
        """Whether an account of theirs is known."""
        return any(key.startswith("@") for key in self.keys)


def _logins(mail: str) -> Iterator[str]:
    """The account behind a hidden address; both that it may be where one begins with digits."""
    found = _HIDDEN.fullmatch(mail)
    if found is not None:
        yield f"@{found[1]}"
        yield f"@{mail.partition('@')[0].partition('+')[2] or mail.partition('@')[0]}"


def parse_person(text: str) -> Person:
    """`Name <mail>` → the person; any other text is a name, or an address by itself."""
    match = _PERSON.fullmatch(text.strip())
    if match is not None:
        return Person(match["name"].rstrip(), match["mail"])
    word = text.strip()
    return Person("", word) if re.fullmatch(r"[^\s<>@]+@[^\s<>@]+", word) else Person(word, "")


def read_people(repo: Repository, texts: Iterable[str], commit: str | None) -> dict[str, Person]:
    """The people that texts such as `Name <mail>` name, after the `.mailmap` of a commit, if one is given."""
    found = {text: parse_person(text) for text in texts}
    if commit is None:
        return found
    mailmap = find_mailmap(repo, commit)
    mapped = map_people(repo, found.values(), mailmap)
    return {text: mapped[person.name, person.mail] for text, person in found.items()}


def find_mailmap(repo: Repository, commit: str | None) -> str | None:
    """The blob of a commit's `.mailmap`; None if it has none."""
    if commit is None:
        return None
    entry = repo.objects.entry(repo.objects.commit(commit).tree, MAILMAP)
    return entry.oid if entry is not None and entry.is_file else None


def map_people(repo: Repository, people: Iterable[Person], mailmap: str | None) -> dict[tuple[str, str], Person]:
    """Name and address as they are written → the person after a `.mailmap`; no other is heeded, not the work tree's.

    Args:
        repo: The repository.
        people: Whom commits and texts name.
        mailmap: The blob; None for none.
    """
    found = {(person.name, person.mail): person for person in people}
    plain = [key for key in found if found[key].mail]
    if mailmap is None or not plain:
        return found
    lines = "".join(f"{name} <{mail}>\n" for name, mail in plain).encode("utf-8", "surrogateescape")
    # Away from the work tree, whose own may be a proposal's that is checked out to be looked at.
    options = [f"--git-dir={repo.git_dir}", "-c", f"mailmap.blob={mailmap}", "-c", "mailmap.file="]
    _, out = run_git([*options, "check-mailmap", "--stdin"], cwd=repo.git_dir, input=lines)
    for key, answer in zip(plain, out.decode("utf-8", "replace").split("\n")[:-1], strict=True):
        mapped = parse_person(answer)
        if mapped.mail:
            found[key] = replace(mapped, written=key[1])
    return found


def with_opener(makers: Sequence[Person], note: ApprovalNote) -> tuple[Person, ...]:
    """Who made a change, and who opened the request: whoever git names, if that is one person, by what a note tells.

    Where git knew no name and mail, the forge did.
    """
    known = [person for person in makers if not person.is_nobody]
    opener = Person(note.author, note.author_mail or "", login=note.author)
    is_one = len({person.mail for person in known}) == 1
    if is_one and not any(person.has_account for person in known):
        known = [replace(person, login=note.author) for person in known]
    is_known = not opener.mail and any(opener.keys <= person.keys for person in known)
    return tuple(known) if is_known else (*known, opener)


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
