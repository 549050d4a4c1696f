"""The events of the branch `runs`: which of them two of its tips do not share, and what each of them changed.

The first-parent line is walked in process, both ends in turn until they meet: git's own walk trusts the dates of
commits where clocks are wrong, and a meeting near the tips, which is the rule, costs less than a git process.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from runstone.git.objects import Commit, TreeEntry, parse_commit
from runstone.git.repository import Repository
from runstone.git.runs import layout

_ORIGIN = re.compile(r"^Event: ([0-9a-f]{40}|[0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fork:
    """Two tips of the branch, and what each has for itself.

    Attributes:
        meeting: The newest commit on both first-parent lines; None if there is none, or none that is here.
        ours: Commits that only the local tip has; of a shallow history those that were not on the remote. Oldest first.
        theirs: Commits that only the remote tip has; oldest first.
    """

    meeting: str | None
    ours: list[Commit]
    theirs: list[Commit]


@dataclass(slots=True)
class RunChange:
    """Where a run lay before an event, and where after it; None if it did not exist."""

    run_id: str
    before: str | None = None
    after: str | None = None


@dataclass(slots=True)
class Event:
    """What one commit changed.

    Attributes:
        commit: The commit.
        tree_before: The tree of its first parent; None for the first commit of a branch.
        runs: The runs whose folder it changed, or moved.
        files: Path → the entry before and after, of all other files.
    """

    commit: Commit
    tree_before: str | None
    runs: list[RunChange] = field(default_factory=list)
    files: dict[str, tuple[TreeEntry | None, TreeEntry | None]] = field(default_factory=dict)


def find_fork(repo: Repository, local: str, remote: str | None, synced: str | None) -> Fork:
    """Walk two tips back until they meet; `synced` is a commit that is known to have been on the remote.

    It counts only where the remote's line cannot be walked, as in a shallow repository: a remote that was set back, put
    in from a backup or begun anew has lost what it once had, and what is still here is sent to it again.
    """
    ours, theirs = _Line(repo, local), _Line(repo, remote)
    meeting = None
    while meeting is None and (ours.next is not None or theirs.next is not None):
        for line, other in ((ours, theirs), (theirs, ours)):
            oid = line.step()
            if oid is not None and oid in other.found:
                meeting = oid
                break
    synced = synced if repo.shallow or remote is None else None
    events = ours.until(meeting, synced)
    if events and events[-1].parents and repo.objects.find(events[-1].parents[0]) is None:
        events.pop()  # the end of a shallow history: it was fetched, and what it changed cannot be seen
    return Fork(meeting, events[::-1], theirs.until(meeting, synced)[::-1])


class _Line:
    """A first-parent line, as far as it has been walked."""

    def __init__(self, repo: Repository, tip: str | None) -> None:
        self._repo = repo
        self.next = tip
        self.found: dict[str, Commit] = {}

    def step(self) -> str | None:
        """Go one commit back; None at the end, and where a shallow history is cut."""
        oid = self.next
        if oid is None:
            return None
        found = self._repo.objects.find(oid)
        if found is None or found[1] != "commit":
            self.next = None
            return None
        commit = parse_commit(oid, found[2])
        self.found[oid] = commit
        self.next = commit.parents[0] if commit.parents else None
        return oid

    def until(self, *ends: str | None) -> list[Commit]:
        """The commits above the first of `ends`, newest first."""
        above = []
        for oid, commit in self.found.items():
            if oid in ends:
                break
            above.append(commit)
        return above


def origin(commit: Commit) -> str:
    """What names an event, however often it was replayed: the id of its first commit."""
    found = _ORIGIN.findall(commit.message)
    return found[-1] if found else commit.oid


def without_origin(message: str) -> str:
    """A message without the line that names its event's first commit, and without line feeds at its end."""
    return _ORIGIN.sub("", message).rstrip()


def read_event(repo: Repository, commit: Commit) -> Event:
    """What a commit changed against its first parent. Equal trees are not entered."""
    before = repo.objects.commit(commit.parents[0]).tree if commit.parents else None
    event = Event(commit, before)
    runs: dict[str, RunChange] = {}
    for path, old, new in _changes(repo, before, commit.tree, ""):
        place = layout.parse_run_folder(path)
        entry = old or new
        if place is None or entry is None or not entry.is_tree:
            event.files[path] = (old, new)
            continue
        change = runs.get(place.run_id)
        if change is None or (old and change.before) or (new and change.after):
            change = RunChange(place.run_id)
            runs[place.run_id if place.run_id not in runs else path] = change
        change.before = path if old is not None else change.before
        change.after = path if new is not None else change.after
    event.runs = list(runs.values())
    return event


def _changes(
    repo: Repository, old: str | None, new: str | None, prefix: str
) -> Iterator[tuple[str, TreeEntry | None, TreeEntry | None]]:
    """The run folders, and the files outside them, in which two trees differ."""
    before = repo.objects.tree(old) if old is not None else {}
    after = repo.objects.tree(new) if new is not None else {}
    if old == new:
        return
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        path = f"{prefix}{name}"
        was_tree = was if was is not None and was.is_tree else None
        now_tree = now if now is not None and now.is_tree else None
        if was is not was_tree or now is not now_tree:
            yield path, None if was is was_tree else was, None if now is now_tree else now
        if was_tree is None and now_tree is None:
            continue
        if layout.parse_run_folder(path) is not None:
            yield path, was_tree, now_tree
        else:
            yield from _changes(
                repo, was_tree.oid if was_tree else None, now_tree.oid if now_tree else None, f"{path}/"
            )


def unpushed(repo: Repository, local: str, remote: str | None, synced: str | None) -> list[str]:
    """The events of the local branch that the remote does not have yet.

    Args:
        repo: The repository.
        local: The local tip.
        remote: The remote's tip, fetched; None if it is not known.
        synced: The last commit that is known to have been on the remote. In a shallow repository, where the remote's
            line is cut, nothing else tells what is there; where that line is whole it is not looked at.

    Returns:
        Commits, oldest first.
    """
    return [commit.oid for commit in find_fork(repo, local, remote, synced).ours]


def changed_runs(repo: Repository, commits: Sequence[str]) -> set[str]:
    """The folders of the runs that some commits changed, as they lie in the last of them; those that are gone not."""
    if not commits:
        return set()
    tree = repo.objects.commit(commits[-1]).tree
    changed = (run for oid in commits for run in read_event(repo, repo.objects.commit(oid)).runs)
    folders = {folder for run in changed for folder in (run.before, run.after) if folder is not None}
    return {folder for folder in folders if repo.objects.entry(tree, f"{folder}/{layout.RECORD}") is not None}
