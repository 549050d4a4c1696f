"""The history of the registry: each commit of the default branch's first-parent line that changed a fact of it.

A change becomes so when it comes onto that line, whoever wrote it and when; so the line is the log, and what a merge
brought is told of the merge. Order is that of the line, never of clocks. All of it is a pure function of git: commits,
trailers, and the notes in which CI kept what a forge knew.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from runstone.git.repository import Repository
from runstone.registry.branch import registry_commit
from runstone.registry.changes import Change, FileEdit, by_model, compare_files, files_beside
from runstone.registry.history.entry import Entry
from runstone.registry.history.facts import Facts
from runstone.registry.layout import Place, parse_path
from runstone.registry.people import Person, git_beside, read_note, read_notes, read_people

_FORMAT = "%H%x00%P%x00%ct%x00%cN%x00%cE%x00%at%x00%aN%x00%aE%x00%B%x00"
_FIELDS = 9
_APPROVED = re.compile(r"^(?:Approved|Reviewed)-by:[ \t]*(.+?)[ \t]*$", re.IGNORECASE | re.MULTILINE)


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
        beside: Files whose commits are told, too, although they state no fact of the registry.

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
    out = git_beside(repo, commit, ["log", *options, "--no-notes", "--no-patch", commit])
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
    tokens = iter(git_beside(repo, tip, arguments).split(b"\0"))
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
            if path in beside:
                entry = replace(entry, beside=(*entry.beside, path))
            elif place is not None:
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
        if changes or entry.beside:
            yield replace(entry, changes=tuple(changes))


def _with_people(repo: Repository, tip: str, entries: list[Entry]) -> Iterator[Entry]:
    """The entries with who proposed them, and who approved, as trailers and notes tell."""
    brought = _brought(repo, tip, entries)
    wanted = sorted({commit for commits in brought.values() for commit in commits})
    written = _read_commits(repo, tip, wanted)
    if len(entries) == 1:  # without a look at all the others
        one = read_note(repo, entries[0].commit)
        notes = {} if one is None else {entries[0].commit: one}
    else:
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
    return _APPROVED.findall(message.partition("\n\n")[2])


def _cuts(repo: Repository) -> set[str]:
    """The commits at which a shallow history ends."""
    try:
        return set((repo.common_dir / "shallow").read_text().split()) if repo.shallow else set()
    except FileNotFoundError:
        return set()  # it was completed meanwhile


def _blob(mode: str, oid: str) -> str | None:
    return oid if mode.startswith("100") else None
