"""The events that the remote does not have yet, made anew on its tip: so the branch stays one line, a commit an event.

Trees are joined in process, without a work tree or index. What only one side changed is taken as it is; a record that
both changed is joined by `merge`; a run that one side moved is followed to its new folder. Each new commit names the
first one of its event (`Event: <id>`): so an event arrives once, even if a push was cut off after the remote had it.
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import SystemRandom

from runstone.errors import RefMoved
from runstone.git import kept
from runstone.git.files import sync_file
from runstone.git.objects import Commit, TreeEntry
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.runs import journal, layout
from runstone.git.runs.branch import Draft
from runstone.git.runs.commit import ArtifactShelf, drain
from runstone.git.runs.events import Event, Fork, RunChange, find_fork, origin, read_event, without_origin
from runstone.git.runs.events import changed_runs as changed_runs
from runstone.git.runs.events import unpushed as unpushed
from runstone.git.runs.join import UNREADABLE, Entries, Joiner
from runstone.git.runs.join import MergeShelf as MergeShelf
from runstone.git.runs.merge import MergeNote, note
from runstone.records import yaml

_ATTEMPTS = 50
_MAX_NOTES = 500
_MAX_FILE = 16_384
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the local branch.

    Attributes:
        tip: What the branch should become.
        rewritten: Each local commit that was replaced → the commit that holds its event now. Git tags must follow.
        merged: What was replaced where both sides had changed one thing; the commits' messages say it too.
    """

    tip: str
    rewritten: Mapping[str, str] = field(default_factory=dict)
    merged: tuple[MergeNote, ...] = ()


def replay(repo: Repository, local: str, remote: str, *, synced: str | None, shelf: MergeShelf) -> Replayed:
    """Put the local events that the remote does not have on the remote's tip.

    An event that changes nothing there is dropped, and so is one that is there already.

    Args:
        repo: The repository.
        local: The local tip of the branch.
        remote: The remote's tip; its commit and tree must be here.
        synced: The last commit that is known to be on the remote; see `unpushed`.
        shelf: Joins folders of artifacts.

    Writes:
        Objects only, not synced yet; moves no ref.

    Raises:
        ArtifactMissing: Both sides changed the artifacts of one run, and a listing is not in the cache: pull the
            error's `digest`, and call again.
        ObjectMissing: A commit or tree is not here.
        DiskFull: There is no room.
    """
    fork = find_fork(repo, local, remote, synced)
    if fork.meeting == remote:
        return Replayed(local)
    if not fork.ours:
        return Replayed(remote)
    return _Replay(repo, remote, shelf).all(fork)


def move_runs(
    repo: Repository, build: Callable[[str | None], Replayed], *, shelf: ArtifactShelf, attempts: int = _ATTEMPTS
) -> Replayed:
    """Move the branch `runs` to what `build` makes of its present tip; the one way to rewrite that branch.

    What has ended is committed first. Journals that were committed but are still there are told the new commit, so that
    they are not recorded once more.

    Args:
        repo: The repository.
        build: Given the local tip (None: there is no branch), what it should become, as `replay` gives it. Called again
            each time another process was faster.
        shelf: The artifacts, for runs that wait.
        attempts: How often to try.

    Writes:
        As `drain`; objects and their log, synced; the ref `runs` by compare-and-swap.

    Raises:
        RefMoved: Other processes were faster each time.
        RefBlocked: git refuses to write the ref.
        DiskFull: There is no room.
        Exception: Whatever `build` raises; the ref is where it was.
    """
    for attempt in range(attempts):
        drain(repo, shelf)
        try:
            with repo.lock:
                return _move(repo, build)
        except RefMoved:
            if attempt == attempts - 1:
                raise
        finally:
            repo.lock.settle()
        time.sleep(_random.uniform(0, min(0.001 * 2**attempt, 0.25)))
    raise AssertionError("unreachable")


def _move(repo: Repository, build: Callable[[str | None], Replayed]) -> Replayed:
    local = repo.refs.read(repo.runs_ref)
    replayed = build(local)
    if replayed.tip == local:
        return replayed
    if replayed.rewritten:
        _tell_journals(repo, replayed.rewritten)
        kept.supersede(repo, replayed.rewritten.keys())
    repo.refs.update([RefUpdate(repo.runs_ref, replayed.tip, local)])
    return replayed


def _tell_journals(repo: Repository, rewritten: Mapping[str, str]) -> None:
    """A journal names its commit from before the branch moved there until it is removed, which may be later.

    After the tip was read: so whoever put a commit below it had written that line.
    """
    for entry in journal.list_entries(repo):
        with suppress(FileNotFoundError, PermissionError):  # it is removed now, or another user's
            named = [e.value.get("commit") for e in journal.read(entry.path).events if e.kind == journal.COMMITTED]
            new = [rewritten[commit] for commit in named if commit in rewritten]
            for commit in new:
                journal.append_line(entry.path, journal.COMMITTED, {"commit": commit})
            if new:
                sync_file(entry.path)


class _Replay:
    """One replay: the draft on the remote's tip, and what is known by now."""

    def __init__(self, repo: Repository, remote: str, shelf: MergeShelf) -> None:
        self._repo = repo
        self._joiner = Joiner(repo, shelf)
        self._draft = Draft(repo, remote)
        self._renames: dict[str, str] = {}
        self._notes: list[MergeNote] = []
        self._changes: dict[str, TreeEntry | None] = {}
        self._lost = False

    def all(self, fork: Fork) -> Replayed:
        """Replay every event of a fork."""
        rewritten = _arrived(fork)
        merged: list[MergeNote] = []
        events = [read_event(self._repo, commit) for commit in fork.ours if commit.oid not in rewritten]
        for event in events:
            self._find_renames(event)
        for event in events:
            rewritten[event.commit.oid] = self._one(event)
            merged += self._notes
        assert self._draft.tip is not None
        return Replayed(self._draft.tip, rewritten, tuple(merged))

    def _one(self, event: Event) -> str:
        self._changes, self._notes, self._lost = {}, [], False
        for path, (old, new) in event.files.items():
            self._file(path, old, new)
        for run in event.runs:
            self._run(event, run)
        commit = event.commit
        made = self._draft.put(
            self._changes,
            _message(commit, self._notes, self._renames),
            parents=commit.parents[1:],
            author=commit.author,
            # What is told there would be nowhere else. But of how a branch was begun there is nothing to tell.
            keep_empty=self._lost and bool(commit.parents),
        )
        assert self._draft.tip is not None
        return made or self._draft.tip

    # --- runs

    def _run(self, event: Event, change: RunChange) -> None:
        base = self._adapt(self._folder(event.tree_before, change.before))
        ours = self._adapt(self._folder(event.commit.tree, change.after))
        run_id = self._renames.get(change.run_id, change.run_id)
        before, after = (self._place(folder, run_id) for folder in (change.before, change.after))
        there = self._locate(run_id, before, after)
        theirs = self._draft.list(there) if there is not None else None
        if run_id != change.run_id and base is None:
            self._notes.append(note(run_id, ("id",), run_id, change.run_id))
        if ours is None:
            if there is not None and theirs == base:
                self._changes[there] = None
            elif theirs is not None:
                self._notes.append(MergeNote(run_id, "run", "edited", "removed"))
            return
        assert after is not None
        target = after
        if theirs is None:
            files = ours
            if base is not None:
                self._notes.append(MergeNote(run_id, "run", "edited", "removed"))
        else:
            files = self._joiner.run(run_id, base or {}, ours, theirs, self._notes)
            if there is not None and before in (None, after):
                target = there
            elif there not in (before, after):
                self._notes.append(note(run_id, ("folder",), after, there))
        self._replace(there, theirs or {}, target, files)

    def _replace(self, there: str | None, theirs: Entries, target: str, files: Entries) -> None:
        if there is not None and there != target:
            self._changes[there] = None
            theirs = {}
        for name in dict.fromkeys([*theirs, *files]):
            if theirs.get(name) != files.get(name):
                self._changes[f"{target}/{name}"] = files.get(name)

    # --- where runs lie

    def _folder(self, tree: str | None, path: str | None) -> Entries | None:
        entry = self._repo.objects.entry(tree, path) if tree is not None and path is not None else None
        return self._repo.objects.tree(entry.oid) if entry is not None and entry.is_tree else None

    def _locate(self, run_id: str, before: str | None, after: str | None) -> str | None:
        """Where the draft has a run: there, in another experiment's folder, or, of a user's own key, anywhere."""
        for folder in (before, after):
            if folder is not None and self._draft.list(folder):
                return folder
        if before is not None:
            place = layout.parse_run_folder(before)
            for experiment_id in self._draft.list(layout.EXPERIMENTS) if place is not None else ():
                folder = str(layout.RunPath(experiment_id, place.day if place else "", run_id))
                if self._draft.list(folder):
                    return folder
        elif layout.day_of(run_id) is None:
            return self._draft.find_run_folder(run_id)
        return None

    def _find_renames(self, event: Event) -> None:
        """A key that two clones gave to different runs: ours gets another one, by what its record says."""
        for change in event.runs:
            if change.before is not None or change.after is None or change.run_id in self._renames:
                continue
            there = self._locate(change.run_id, None, change.after)
            ours = self._folder(event.commit.tree, change.after) or {}
            if there is None or layout.RECORD not in ours:
                continue
            record = self._repo.objects.blob(ours[layout.RECORD].oid)
            if not _is_one_run(record, self._draft.read(f"{there}/{layout.RECORD}")):
                self._renames[change.run_id] = self._new_id(change.run_id, record)

    def _new_id(self, run_id: str, record: bytes) -> str:
        digest = hashlib.sha256(record).hexdigest()
        for length in (4, 8, 16, 32):
            found = f"{run_id[:60]}-{digest[:length]}"
            folder = self._draft.find_run_folder(found)
            if folder is None or _is_one_run(record, self._draft.read(f"{folder}/{layout.RECORD}")):
                break
        return found

    def _place(self, folder: str | None, run_id: str) -> str | None:
        place = layout.parse_run_folder(folder) if folder is not None else None
        return folder if place is None else str(layout.RunPath(place.experiment_id, place.day, run_id))

    def _adapt(self, files: Entries | None) -> Entries | None:
        """The files of a run as they are after runs of ours got another id: that of its own, and those it names."""
        if not self._renames or files is None or layout.RECORD not in files:
            return files
        with suppress(*UNREADABLE):
            document = yaml.load(self._repo.objects.blob(files[layout.RECORD].oid), "run")
            for key in ("id", "parent", "rerun_of"):
                if document.get(key) in self._renames:
                    document[key] = self._renames[document[key]]
            return {**files, layout.RECORD: self._joiner.write(yaml.dump(document))}
        return files

    # --- other files

    def _file(self, path: str, old: TreeEntry | None, new: TreeEntry | None) -> None:
        theirs = self._draft.find(path)
        if theirs == new:
            return
        experiment_id = _experiment_of(path)
        if theirs == old:
            self._changes[path] = new
        elif new is None or theirs is None:
            self._notes.append(MergeNote(experiment_id, path, "edited", "removed"))
            if new is not None:
                self._changes[path] = new
        elif experiment_id:
            self._changes[path] = self._joiner.experiment(experiment_id, path, (old, new, theirs), self._notes)
        else:
            self._lost = True
            values = [self._joiner.text(e) for e in (theirs, new)]
            self._notes.append(note("", (path,), *values, limit=_MAX_FILE))


def _arrived(fork: Fork) -> dict[str, str]:
    """The events of ours that the remote has already → its commit.

    Where an event of ours stands on its first commit, all before it were replayed with it, or changed nothing then. A
    commit that was replayed itself, as on the line of a second remote, may stand on events that this remote never saw.
    """
    there = {origin(commit): commit for commit in fork.theirs}
    arrived: dict[str, str] = {}
    before: str | None = None
    for commit in reversed(fork.ours):
        other = there.get(origin(commit))
        found = other.oid if other is not None and other.author == commit.author else None
        if found is not None and origin(commit) == commit.oid:
            before = found
        found = found or before
        if found is not None:
            arrived[commit.oid] = found
    return arrived


def _is_one_run(ours: bytes, theirs: bytes | None) -> bool:
    """Whether two records of one id are of one run: begun by one person at one time."""
    if theirs is None or ours == theirs:
        return ours == theirs
    try:
        mine, other = (yaml.load(text, "run") for text in (ours, theirs))
        return bool((mine["started"], mine.get("user")) == (other["started"], other.get("user")))
    except UNREADABLE:
        return False


def _message(commit: Commit, notes: list[MergeNote], renames: Mapping[str, str]) -> str:
    """The event's own message, what was merged, and its first commit."""
    message = without_origin(commit.message)
    for old, new in renames.items():
        message = re.sub(rf"(?m)^Run: {re.escape(old)}$", f"Run: {new}", message)
    told = set(message.split("\n"))
    lines = [line for line in dict.fromkeys(map(str, notes)) if line not in told]
    if len(lines) > _MAX_NOTES:
        lines[_MAX_NOTES:] = [f"Replaced: {len(lines) - _MAX_NOTES} more; the commits before this one have them"]
    lines.append(f"Event: {origin(commit)}")
    is_block = "\n\n" in message and re.fullmatch(r"[A-Z][A-Za-z-]*: .*", message.rsplit("\n", 1)[-1])
    return message + ("\n" if is_block else "\n\n") + "\n".join(lines)


def _experiment_of(path: str) -> str:
    """The experiment whose record a path is; empty if it is none's."""
    head, _, rest = path.partition("/")
    name, _, file = rest.partition("/")
    return name if (head, file) == (layout.EXPERIMENTS, "experiment.yaml") else ""
