"""The history of the registry: each commit of the default branch's first-parent line that changed a fact of it.

A change becomes so when it comes onto that line, whoever wrote it and when; so the line is the log, and what a merge
brought is told of the merge. Order is that of the line, never of clocks. All of it is a pure function of git: commits,
trailers, and the notes in which CI kept what a forge knew.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from runstone.git.repository import Repository
from runstone.records.approval import ApprovalNote
from runstone.registry.branch import registry_commit
from runstone.registry.changes import Change, FileEdit, by_model, compare_files, files_beside
from runstone.registry.history.facts import Facts
from runstone.registry.layout import Place, parse_path
from runstone.registry.people import Person, git_beside, read_notes, read_people

_FORMAT = "%H%x00%P%x00%ct%x00%cN%x00%cE%x00%at%x00%aN%x00%aE%x00%B%x00"
_FIELDS = 9
_TRAILER = re.compile(r"^([A-Z][A-Za-z-]*): (.*)$", re.MULTILINE)
_APPROVED = ("Approved-by", "Reviewed-by")
_REQUESTS = (
    re.compile(r"^See merge request (\S+![0-9]+)$", re.MULTILINE),
    re.compile(r"\AMerge pull request (#[0-9]+) "),
    re.compile(r"\A[^\n]*\((#[0-9]+)\)(?: from [^\n]*)?$", re.MULTILINE),
    re.compile(r"\AMerge proposal (\S+)$", re.MULTILINE),
    re.compile(r"\AMerge (?:remote-tracking )?branch '([^'\n]+)'"),
)
_FORGES = re.compile(r"noreply@[a-z0-9.-]+")  # the hidden addresses of people have more before the @


@dataclass(frozen=True, slots=True)
class Approver:
    """Somebody who said yes to a change.

    Attributes:
        person: Who.
        how: `merge`: they merged what somebody else proposed; `trailer`: the commit says so; `note`: the forge told CI.
    """

    person: Person
    how: str


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
        message: Its subject and body.
        messages: Those of the commits that came with a merge, the newest first.
        note: What a forge knew of the request, as CI kept it.
        noted: Who approved by that note.
        trailed: Who approved by the trailers of its own message.
        changes: The facts that it changed.
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
    messages: tuple[str, ...] = ()
    note: ApprovalNote | None = None
    noted: tuple[Person, ...] = ()
    trailed: tuple[Person, ...] = ()
    changes: tuple[Change, ...] = ()
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
    def request(self) -> str | None:
        """The request or proposal that it came by: its address, its number, or its branch; None if by none."""
        if self.note is not None:
            return self.note.request
        found = (pattern.search(self.message) for pattern in _REQUESTS)
        return next((match[1] for match in found if match is not None), None)

    @property
    def merger(self) -> Person | str | None:
        """Who merged it: a person, an account of the forge, or None where nobody else is known to have done it."""
        if not _is_forge(self.committer):
            return self.committer if self.is_merge or self.committer not in self.proposers else None
        if self.note is not None and self.note.merged_by:
            return self.note.merged_by
        return self.author if self.is_merge else None  # a forge writes who pressed the button as the author

    @property
    def approvers(self) -> tuple[Approver, ...]:
        """Who said yes, as far as git knows, each once; not whether that was enough: see `runstone verify`."""
        found = [Approver(person, "note") for person in self.noted]
        if isinstance(self.merger, Person) and self.merger not in self.proposers:  # else it is the author's own word
            found += [Approver(person, "trailer") for person in self.trailed]
            if self.is_merge:
                found.append(Approver(self.merger, "merge"))
        distinct: dict[Person, Approver] = {}
        for each in found:
            distinct.setdefault(each.person, each)
        return tuple(distinct.values())


@dataclass(frozen=True, slots=True)
class History:
    """The history of the registry.

    Attributes:
        tip: The commit that it was read from; None before the first.
        entries: The oldest first.
        is_cut: Whether this clone is shallow, so that what was before the first commit of the line is not known.
    """

    tip: str | None
    entries: tuple[Entry, ...] = ()
    is_cut: bool = False


def read_history(
    repo: Repository, *, tip: str | None = None, since: str | None = None, key: str | None = None
) -> History:
    """The commits that changed the registry, the oldest first.

    A handful of git processes, however many commits there are.

    Args:
        repo: The repository.
        tip: The commit to read from, a full id; that of the registry if None.
        since: A commit of the same line, a full id: only what came after it.
        key: Only what is about one model, and the policy of all.

    Warns:
        RecordsSkipped: A file broke its schema somewhere in history, and counts as absent there.
    """
    tip = tip or registry_commit(repo)
    if tip is None:
        return History(None)
    registry = repo.config.registry
    paths = [registry] if key is None else [f"{registry}/{key}", Place("policy").path(registry)]
    found = list(_read_line(repo, tip, since, paths))[::-1]
    cuts = _cuts(repo)
    facts = Facts(repo)
    edits = [edit for _, its in found for edit in its if edit.place.kind not in ("card", "policy")]
    facts.load(oid for edit in edits for oid in (edit.before, edit.after) if oid is not None)
    entries = [replace(entry, is_cut=entry.commit in cuts) for entry in _fold(repo, facts, since, found)]
    return History(tip, tuple(_with_people(repo, tip, entries)), is_line_cut(repo, tip))


def is_line_cut(repo: Repository, tip: str) -> bool:
    """Whether this clone is shallow in such a way that the first parents of a commit end before their time."""
    cuts = _cuts(repo)
    if not cuts:
        return False
    _, out = repo.git("rev-list", "--first-parent", "--max-parents=0", tip)
    return not cuts.isdisjoint(out.decode().split())


def _read_line(
    repo: Repository, tip: str, since: str | None, paths: Iterable[str]
) -> Iterator[tuple[Entry, list[FileEdit]]]:
    """The commits of the line that touched the paths, the newest first, with the files that they changed there."""
    options = ["-z", "--first-parent", f"--format={_FORMAT}", "--encoding=UTF-8", "--no-show-signature", "--no-color"]
    options += ["--diff-merges=first-parent", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-notes"]
    arguments = ["--literal-pathspecs", "-c", "log.showRoot=true", "log", *options, tip]
    arguments += [*([] if since is None else [f"^{since}"]), "--", *paths]
    tokens = iter(git_beside(repo, tip, arguments).split(b"\0"))
    token = next(tokens, b"")
    while token:
        entry = _parse_entry([token, *(next(tokens) for _ in range(_FIELDS - 1))])
        next(tokens, None)  # what -z ends a commit with
        edits = []
        token = next(tokens, b"")
        while token.startswith((b"\n:", b":")):
            old_mode, new_mode, before, after, _ = token.decode().lstrip("\n:").split(" ")
            place = parse_path(repo.config.registry, next(tokens).decode("utf-8", "surrogateescape"))
            if place is not None:
                edits.append(FileEdit(place, _blob(old_mode, before), _blob(new_mode, after)))
            token = next(tokens, b"")
        yield entry, edits


def _parse_entry(raw: list[bytes]) -> Entry:
    commit, parents, seconds, c_name, c_mail, _, a_name, a_mail, message = (f.decode("utf-8", "replace") for f in raw)
    first, *others = [*parents.split(), ""]
    author = Person(a_name, a_mail)
    return Entry(
        commit=commit,
        parent=first or None,
        is_merge=len(others) > 1,
        time=1000 * int(seconds) if seconds.isdigit() else 0,
        committer=Person(c_name, c_mail),
        author=author,
        proposers=(author,),
        message=message.rstrip("\n"),
    )


def _fold(
    repo: Repository, facts: Facts, since: str | None, found: Iterable[tuple[Entry, list[FileEdit]]]
) -> Iterator[Entry]:
    """The entries with the facts that each changed; those that changed none are left out."""
    beside: dict[str, dict[Place, str]] = {}
    for entry, edits in found:
        changes: list[Change] = []
        for key, own in by_model(edits):
            if key not in beside:
                beside[key] = files_beside(repo, since, key)
            known = beside[key]
            before = known | {e.place: e.before for e in own if e.before}
            for edit in own:
                if edit.place.kind in ("model", "stage"):
                    known.pop(edit.place, None)
                    if edit.after:
                        known[edit.place] = edit.after
            after = known | {e.place: e.after for e in own if e.after}
            changes += compare_files(facts, key, (before, entry.parent or ""), (after, entry.commit))
        if changes:
            yield replace(entry, changes=tuple(changes))


def _with_people(repo: Repository, tip: str, entries: list[Entry]) -> Iterator[Entry]:
    """The entries with who proposed them, and who approved, as trailers and notes tell."""
    brought = _brought(repo, tip, entries)
    wanted = sorted({commit for commits in brought.values() for commit in commits})
    written = _read_commits(repo, tip, wanted)
    notes = read_notes(repo, [entry.commit for entry in entries])
    named = {text for entry in entries for text in _approved(entry.message)}
    named |= {f"{a.by} <{a.mail or ''}>" for note in notes.values() for a in note.approvals}
    people = read_people(repo, named, tip)
    for entry in entries:
        commits = [written[commit] for commit in brought.get(entry.commit, ()) if commit in written]
        authors = [person for person, _, is_merge in commits if not is_merge]
        note = notes.get(entry.commit)
        yield replace(
            entry,
            proposers=tuple(dict.fromkeys(authors)) or entry.proposers,
            messages=tuple(message for _, message, _ in commits),
            note=note,
            noted=tuple(people[f"{a.by} <{a.mail or ''}>"] for a in note.approvals) if note is not None else (),
            trailed=tuple(dict.fromkeys(people[text] for text in _approved(entry.message))),
        )


def _brought(repo: Repository, tip: str, entries: list[Entry]) -> dict[str, list[str]]:
    """Merge → the commits that came onto the line with it, the newest first.

    Which came earlier by another merge is known only if all of the line is walked from where the registry's first
    merge stands, whatever its other merges are about.
    """
    merges = [entry for entry in entries if entry.is_merge]
    if not merges:
        return {}
    arguments = ["rev-list", "--topo-order", "--parents", tip]
    if merges[0].parent is not None:
        arguments.append(f"^{merges[0].parent}")
    parents: dict[str, list[str]] = {}
    for line in repo.git(*arguments)[1].decode().splitlines():
        commit, *its = line.split(" ")
        parents[commit] = its
    line_: list[str] = []
    at: str | None = tip
    while at is not None and at in parents:
        line_.append(at)
        at = next(iter(parents[at]), None)
    wanted = {entry.commit for entry in merges}
    order = {commit: number for number, commit in enumerate(parents)}
    seen = set(line_)
    found: dict[str, list[str]] = {}
    for commit in reversed(line_):
        new, pending = [], parents[commit][1:]
        while pending:
            other = pending.pop()
            if other in parents and other not in seen:
                seen.add(other)
                new.append(other)
                pending += parents[other]
        if commit in wanted:
            found[commit] = sorted(new, key=order.__getitem__)
    return found


def _read_commits(repo: Repository, tip: str, commits: list[str]) -> dict[str, tuple[Person, str, bool]]:
    """Commit → its author, its message, and whether it is a merge."""
    if not commits:
        return {}
    options = ["-z", "--no-walk=unsorted", "--format=%H%x00%P%x00%aN%x00%aE%x00%B%x00", "--encoding=UTF-8"]
    options += ["--no-show-signature", "--no-notes", "--no-color", "--stdin"]
    out = git_beside(repo, tip, ["log", *options], input="".join(f"{commit}\n" for commit in commits).encode())
    fields = out.decode("utf-8", "replace").split("\0")
    found = {}
    for at in range(0, len(fields) - 5, 6):
        commit, parents, name, mail, message = fields[at : at + 5]
        found[commit] = Person(name, mail), message.rstrip("\n"), " " in parents
    return found


def _approved(message: str) -> list[str]:
    return [value.strip() for key, value in _TRAILER.findall(message.partition("\n\n")[2]) if key in _APPROVED]


def _is_forge(person: Person) -> bool:
    """Whether the address is a forge's own, which says nothing of who did it."""
    return _FORGES.fullmatch(person.mail) is not None


def _cuts(repo: Repository) -> set[str]:
    """The commits at which a shallow history ends."""
    try:
        return set((repo.common_dir / "shallow").read_text().split()) if repo.shallow else set()
    except FileNotFoundError:
        return set()  # it was completed meanwhile


def _blob(mode: str, oid: str) -> str | None:
    return oid if mode.startswith("100") else None
