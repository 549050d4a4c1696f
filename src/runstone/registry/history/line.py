"""The history of the registry: each commit of the default branch's first-parent line that changed a fact of it.

A change becomes so when it comes onto that line, whoever wrote it and when; so the line is the log, and what a merge
brought is told of the merge. Order is that of the line, never of clocks. All of it is a pure function of git: commits,
trailers, and the notes in which CI kept what a forge knew.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from runstone.errors import RunstoneError
from runstone.git.repository import Repository
from runstone.records.approval import ApprovalNote
from runstone.records.document import parse_seconds
from runstone.registry.branch import registry_commit
from runstone.registry.changes import Change, FileEdit, by_model, compare_files, files_beside
from runstone.registry.history.brought import Brought, Written, find_plain_merges, read_brought, read_commits
from runstone.registry.history.entry import Entry, is_forge
from runstone.registry.history.facts import Facts
from runstone.registry.history.joined import is_joined
from runstone.registry.history.reviews import read_reviews
from runstone.registry.layout import Place, covered_path, parse_path
from runstone.registry.people import (
    MAILMAP,
    Person,
    find_mailmap,
    map_people,
    parse_person,
    read_note,
    read_notes,
    with_opener,
)

_FORMAT = "%H%x00%P%x00%ct%x00%cn%x00%ce%x00%T%x00%an%x00%ae%x00%B%x00"
_FIELDS = 9
_APPROVED = re.compile(r"^(?:Approved|Reviewed)-by:[ \t]*(\S.*)", re.IGNORECASE)
_TRAILER = re.compile(r"[A-Za-z0-9-]+[ \t]*:|[ \t]+\S")


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
    repo: Repository,
    *,
    tip: str | None = None,
    since: str | None = None,
    key: str | None = None,
    beside: Sequence[str] = (),
) -> History:
    """The commits that changed the registry, the oldest first.

    A handful of git processes, however many commits there are.

    Args:
        repo: The repository.
        tip: The commit to read from, a full id; that of the registry if None.
        since: A commit of the same line, a full id: only what came after it.
        key: Only what is about one model, and the policy of all.
        beside: Files whose commits are told, too, although they state no fact of the registry; with any, also those
            that put something else where a file or a folder of it would be. Each is at the top.

    Warns:
        RecordsSkipped: A file broke its schema somewhere in history, and counts as absent there.
    """
    tip = tip or registry_commit(repo)
    if tip is None:
        return History(None)
    registry = repo.config.registry
    paths = [registry] if key is None else [f"{registry}/{key}", Place("policy").path(registry)]
    found = list(_read_line(repo, tip, since, [*paths, *beside], beside))[::-1]
    cuts = _cuts(repo)
    facts = Facts(repo)
    edits = [edit for _, its in found for edit in its if edit.place.kind not in ("card", "policy")]
    facts.load(oid for edit in edits for oid in (edit.before, edit.after) if oid is not None)
    entries = [replace(entry, is_cut=entry.commit in cuts) for entry in _fold(repo, facts, since, found)]
    return History(tip, tuple(_with_people(repo, tip, entries)), is_line_cut(repo, tip))


def read_entry(repo: Repository, commit: str) -> Entry:
    """One commit of the line, whatever it changed: who proposed it, who approved; not its changes.

    Args:
        repo: The repository.
        commit: A full id.
    """
    options = ["-z", "--no-walk", f"--format={_FORMAT}", "--encoding=UTF-8", "--no-show-signature", "--no-color"]
    _, out = repo.git("log", *options, "--no-notes", "--no-patch", commit)
    (entry,) = _with_people(repo, commit, [_parse_entry(out.split(b"\0")[:_FIELDS])])
    return entry


def is_line_cut(repo: Repository, tip: str) -> bool:
    """Whether this clone is shallow in such a way that the first parents of a commit end before their time."""
    cuts = _cuts(repo)
    if not cuts:
        return False
    _, out = repo.git("rev-list", "--first-parent", "--max-parents=0", tip)
    return not cuts.isdisjoint(out.decode().split())


def _read_line(
    repo: Repository, tip: str, since: str | None, paths: Iterable[str], beside: Sequence[str]
) -> Iterator[tuple[Entry, list[FileEdit]]]:
    """The commits of the line that touched the paths, the newest first, with the files that they changed there."""
    options = ["-z", "--first-parent", f"--format={_FORMAT}", "--encoding=UTF-8", "--no-show-signature", "--no-color"]
    options += ["--diff-merges=first-parent", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-notes"]
    arguments = ["--literal-pathspecs", "-c", "log.showRoot=true", "log", *options, tip]
    arguments += [*([] if since is None else [f"^{since}"]), "--", *paths]
    tokens = iter(repo.git(*arguments)[1].split(b"\0"))
    token = next(tokens, b"")
    while token:
        entry = _parse_entry([token, *(next(tokens) for _ in range(_FIELDS - 1))])
        next(tokens, None)  # what -z ends a commit with
        edits = []
        token = next(tokens, b"")
        while token.startswith((b"\n:", b":")):
            old_mode, new_mode, before, after, _ = token.decode().lstrip("\n:").split(" ")
            path = next(tokens).decode("utf-8", "surrogateescape")
            place = parse_path(repo.config.registry, path)
            if beside and (path.partition("/")[0] in beside or _is_odd(repo.config.registry, path, new_mode)):
                entry = replace(entry, beside=(*entry.beside, path))
            if place is not None:
                edits.append(FileEdit(place, _blob(old_mode, before), _blob(new_mode, after)))
                if not old_mode.strip("0"):
                    entry = replace(entry, added=(*entry.added, path))
            token = next(tokens, b"")
        yield entry, edits


def _parse_entry(raw: list[bytes]) -> Entry:
    commit, parents, seconds, c_name, c_mail, tree, a_name, a_mail, message = (
        field.decode("utf-8", "replace") for field in raw
    )
    first, *others = [*parents.split(), ""]
    author = Person(a_name, a_mail)
    return Entry(
        commit=commit,
        parent=first or None,
        is_merge=len(others) > 1,
        time=parse_seconds(seconds),
        committer=Person(c_name, c_mail),
        author=author,
        proposers=(author,),
        message=message.rstrip("\n"),
        tree=tree,
        others=tuple(others[:-1]),
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
        if changes or entry.beside:
            yield replace(entry, changes=tuple(changes))


def _with_people(repo: Repository, tip: str, entries: list[Entry]) -> Iterator[Entry]:
    """The entries with who had a hand in them, and who approved, as trailers and notes tell.

    Whose address is whose says the `.mailmap` of the commit before, so that no change of it speaks for itself.
    """
    brought = read_brought(repo, tip, entries)
    written = read_commits(repo, sorted({commit for each in brought.values() for commit in each.commits}))
    if len(entries) == 1:  # without a look at all the others
        one = read_note(repo, entries[0].commit)
        notes = {} if one is None else {entries[0].commit: one}
    else:
        notes = read_notes(repo, [entry.commit for entry in entries])
    plain = find_plain_merges(repo, entries, brought, written)
    reviews = read_reviews(repo, [entry.others[0] for entry in entries if len(entry.others) == 1])
    if reviews:
        entries = [replace(e, reviews=reviews.get(e.others[0], ()) if len(e.others) == 1 else ()) for e in entries]
    told = [
        _add_people(repo, e, brought.get(e.commit), written, notes.get(e.commit), e.commit in plain) for e in entries
    ]
    groups: dict[str | None, list[Entry]] = {}
    for entry, mailmap in zip(told, _mailmaps(repo, tip, entries), strict=True):
        groups.setdefault(mailmap, []).append(entry)
    mapped: dict[str, Entry] = {}
    for mailmap, group in groups.items():
        named = {(p.name, p.mail): p for entry in group for p in _people_of(entry)}
        known = map_people(repo, named.values(), mailmap)
        mapped |= {entry.commit: _map(entry, known) for entry in group}
    return (mapped[entry.commit] for entry in entries)


def _add_people(
    repo: Repository,
    entry: Entry,
    brought: Brought | None,
    written: dict[str, Written],
    note: ApprovalNote | None,
    is_plain: bool,
) -> Entry:
    commits = [written[commit] for commit in brought.commits if commit in written] if brought is not None else []
    proposers = [each.author for each in commits if not each.is_merge]
    makers = [person for each in commits if not each.is_merge for person in (each.author, each.committer)]
    for each in commits:
        if each.is_merge and not _is_joined(repo, each.tree, each.parents):
            makers += [each.author, each.committer]
    parents = (entry.parent or "", *entry.others)
    if not is_plain and not (
        entry.is_merge and _is_joined(repo, entry.tree, parents, brought.fork if brought else None)
    ):
        makers += [entry.author, entry.committer]
    noted = [Person(a.by, a.mail or "") for a in note.approvals] if note is not None else []
    return replace(
        entry,
        proposers=tuple(dict.fromkeys(proposers)) or entry.proposers,
        makers=tuple(person for person in makers if not is_forge(person)),
        messages=tuple(each.message for each in commits),
        note=note,
        noted=tuple(noted),
        trailed=tuple(parse_person(text) for text in _approved(entry.message)),
    )


def _is_joined(repo: Repository, tree: str, parents: tuple[str, ...], fork: str | None = None) -> bool:
    try:
        return is_joined(repo, tree, parents, fork)
    except RunstoneError:
        if repo.shallow:
            return False  # nobody can tell here
        raise


def _people_of(entry: Entry) -> Iterator[Person]:
    yield from (entry.committer, entry.author, *entry.proposers, *entry.makers, *entry.noted, *entry.trailed)
    yield from (review.person for review in entry.reviews)


def _map(entry: Entry, known: Mapping[tuple[str, str], Person]) -> Entry:
    def find(people: Iterable[Person]) -> tuple[Person, ...]:
        return tuple(known[person.name, person.mail] for person in people)

    note = entry.note
    logins = () if note is None else (approval.by for approval in note.approvals)
    makers = list({(each.mail, each.written): each for each in find(entry.makers)}.values())
    return replace(
        entry,
        committer=known[entry.committer.name, entry.committer.mail],
        author=known[entry.author.name, entry.author.mail],
        proposers=tuple(dict.fromkeys(find(entry.proposers))),
        makers=tuple(makers) if note is None else with_opener(makers, note),
        noted=tuple(replace(p, login=login) for p, login in zip(find(entry.noted), logins, strict=True)),
        trailed=tuple(dict.fromkeys(person for person in find(entry.trailed) if person.mail)),
        reviewed=find(review.person for review in entry.reviews),
    )


def read_makers(repo: Repository, base: str, head: str) -> tuple[Person, ...]:
    """Everybody who had a hand in the commits that a request which is still open brings."""
    _, out = repo.git("rev-list", "--end-of-options", head, f"^{base}")
    written = read_commits(repo, out.decode().split()).values()
    people = [person for each in written if not each.is_merge for person in (each.author, each.committer)]
    for each in written:
        if each.is_merge and not _is_joined(repo, each.tree, each.parents):
            people += [each.author, each.committer]
    mapped = map_people(repo, [person for person in people if not is_forge(person)], find_mailmap(repo, base))
    return tuple({(each.mail, each.written): each for each in mapped.values()}.values())


def _mailmaps(repo: Repository, tip: str, entries: list[Entry]) -> list[str | None]:
    """The `.mailmap` of each entry's parent; each is looked up only where the file is not the same all along."""
    if not entries:
        return []
    options = ["--literal-pathspecs", "log", "--first-parent", "--diff-merges=first-parent", "--max-count=1"]
    since = [f"^{entries[0].parent}"] if entries[0].parent is not None else []
    _, out = repo.git(*options, "--format=%H", "--no-patch", tip, *since, "--", MAILMAP)
    if not out.strip():
        return [find_mailmap(repo, entries[0].parent)] * len(entries)
    cuts = _cuts(repo)
    return [None if entry.commit in cuts else find_mailmap(repo, entry.parent) for entry in entries]


def _approved(message: str) -> list[str]:
    """Whom the trailers name: those of the last paragraph below the subject, if it holds nothing else."""
    *above, last = re.split(r"\n[ \t\r]*\n", message.strip())
    lines = last.split("\n")
    if not above or _TRAILER.match(lines[0]) is None or not all(map(_TRAILER.match, lines)):
        return []
    return [match[1].rstrip() for match in map(_APPROVED.match, lines) if match is not None]


def _cuts(repo: Repository) -> set[str]:
    """The commits at which a shallow history ends."""
    try:
        return set((repo.common_dir / "shallow").read_text().split()) if repo.shallow else set()
    except FileNotFoundError:
        return set()  # it was completed meanwhile


def _blob(mode: str, oid: str) -> str | None:
    return oid if mode.startswith("100") else None


def _is_odd(registry: str, path: str, mode: str) -> bool:
    """Whether there is something else now than a file where a fact would be, or a folder where the registry is."""
    if not mode.strip("0"):
        return False
    return not mode.startswith("100") or path == registry or covered_path(registry, path) is not None
