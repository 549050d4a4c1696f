"""Ended journals become commits: all that wait, one commit a run, one move of the ref (group commit).

The journal is the write-ahead log. What is made of it is synced, all of a group with one sync, before the ref moves
(see `objectlog`); then the journal is removed. A line in the journal names the commit before the ref moves: so nothing
counts twice if the process dies in between, or another commits the same journal on a disk that cannot lock.
"""

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from runstone.errors import (
    ArtifactMissing,
    DiskFull,
    GitFailed,
    ObjectMissing,
    ReadOnlyRepository,
    RunNotRecorded,
    RunstoneError,
)
from runstone.git import kept, maintenance
from runstone.git.code import hold
from runstone.git.objects import is_object_id
from runstone.git.repository import Repository
from runstone.git.runs import journal, layout
from runstone.git.runs.branch import DVC_CONFIG, Draft, Recorded, update_runs
from runstone.git.runs.compose import Composed, compose
from runstone.git.runs.journal import Entry, Journal
from runstone.git.runs.live import find_base, is_recorded
from runstone.records import yaml
from runstone.records.document import format_time
from runstone.records.experiment import Experiment
from runstone.records.metric import format_metrics


class JournalDamagedWarning(UserWarning):
    """Some lines of a journal could not be read; the rest was recorded, and the file is kept."""


class RunWaitsWarning(UserWarning):
    """A run that has ended could not be recorded yet; its journal stays, and is tried again."""


class ArtifactShelf(Protocol):
    """What the commit needs of the layer above: to make one folder of the artifacts of a run."""

    def pointer(self, base: bytes | None, artifacts: Sequence[Sequence[Any]]) -> str | None:
        """The text of `artifacts.dvc` for what was there and what came; None when there is nothing."""

    def remote_config(self) -> str | None:
        """The DVC configuration that a clone of the branch needs; None when there is no remote."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One journal that is ready to be committed, and its size when it was read."""

    entry: Entry
    content: Journal
    size: int

    @property
    def name(self) -> str:
        return self.entry.path.stem


@dataclass(frozen=True, slots=True)
class _Group:
    """The journals of one run that are ready to be committed, in order of their start."""

    run_id: str
    parts: list[_Part]

    @property
    def journals(self) -> list[Journal]:
        return [part.content for part in self.parts]


def drain(repo: Repository, shelf: ArtifactShelf, *, own: str | None = None) -> list[str]:
    """Commit every run that has ended; returns their ids.

    Args:
        repo: The repository.
        shelf: The artifacts.
        own: The run that the caller has ended: that it could not be recorded is an error; of others, a warning.

    Writes:
        Objects, one commit a run on the branch `runs`, and the ref by compare-and-swap. The journals are removed.

    Raises:
        RefBlocked: git refuses to write the ref. The journals stay, and the next call tries again.
        DiskFull: There is no room; the same holds.
        RunNotRecorded: The run `own` could not be; its journal waits or is set aside, as the message says.
    """
    kept.check(repo)
    try:
        with repo.lock:
            done = _drain(repo, shelf, own)
    finally:
        repo.lock.settle()
    kept.sweep(repo)
    maintenance.begin_if_due(repo)
    return done


def _drain(repo: Repository, shelf: ArtifactShelf, own: str | None = None) -> list[str]:
    groups = _ready(repo, journal.list_entries(repo))
    return _commit(repo, shelf, groups, own) if groups else []


def recover(repo: Repository, shelf: ArtifactShelf, *, force: Iterable[str] = ()) -> list[str]:
    """Record the runs of dead processes as FAILED, with all they had logged; returns the ids of all runs committed.

    Args:
        repo: The repository.
        shelf: The artifacts.
        force: Runs to end although their process may live (on another machine).

    Writes:
        As `drain`.
    """
    forced = set(force)
    if not journal.list_entries(repo) and not kept.needs_check(repo):
        return []
    kept.check(repo)
    try:
        with repo.lock:
            done = _recover(repo, shelf, forced)
    finally:
        repo.lock.settle()
    kept.sweep(repo)
    return done


def _recover(repo: Repository, shelf: ArtifactShelf, forced: set[str]) -> list[str]:
    died = False
    for entry in journal.list_entries(repo):
        if entry.live and (entry.run_id in forced or journal.is_abandoned(entry)):
            journal.end_abandoned(repo, entry, force=entry.run_id in forced)
            died = True
    journal.remove_unborn(repo)
    done = _drain(repo, shelf)
    if died:
        with suppress(RunstoneError, OSError):  # refs too many harm nobody; the next recovery tries again
            hold.sweep(repo)
    return done


def _ready(repo: Repository, entries: list[Entry]) -> list[_Group]:
    """The runs that have ended: their first (or resuming) writer has, or they were recorded before."""
    by_run: dict[str, list[Entry]] = {}
    for entry in entries:
        by_run.setdefault(entry.run_id, []).append(entry)
    groups = []
    for run_id, found in by_run.items():
        ended = [entry for entry in found if not entry.live]
        if not ended:
            continue
        is_open = False
        for entry in found:
            if not entry.live:
                continue
            # A forked or joined process that died without a word: what it logged belongs to this commit.
            path = journal.end_abandoned(repo, entry) if journal.is_abandoned(entry) else None
            if path is not None:
                ended.append(replace(entry, path=path, live=False))
            else:
                is_open = is_open or (journal.read_header(entry.path) or {}).get("role") in journal.OWNERS
        if is_open and not any(
            (journal.read_header(entry.path) or {}).get("role") in journal.OWNERS for entry in ended
        ):
            continue  # the process that began the run still logs: its end commits these too
        parts = [part for part in map(_read_part, ended) if part is not None]
        if parts:
            parts.sort(key=lambda part: part.content.events[0].time_ns if part.content.events else 0)
            groups.append(_Group(run_id, parts))
    return groups


def _is_owners(entry: Entry) -> bool:
    return (journal.read_header(entry.path) or {}).get("role") in journal.OWNERS


def _read_part(entry: Entry) -> _Part | None:
    """A journal that waits; None if it is gone, or another user's who shares the repository but not this file."""
    if not os.access(entry.path, os.W_OK):
        return None
    try:
        content = journal.read_ended(entry.path)
    except FileNotFoundError:
        return None  # another process committed it
    if not content.points and not content.events and not content.damaged:
        entry.path.unlink(missing_ok=True)  # of a first line that power loss tore, nothing can be made
        return None
    return _Part(entry, content, content.size)


def _commit(repo: Repository, shelf: ArtifactShelf, groups: list[_Group], own: str | None) -> list[str]:
    done: list[_Group] = []
    recorded: list[_Part] = []
    failures: list[tuple[_Group, Exception]] = []
    snapshots: set[str] = set()

    def change(draft: Draft) -> None:
        for outcome in (done, recorded, failures, snapshots):
            outcome.clear()
        for group in groups:
            # After the tip was read: whoever moved the ref to it had named its commit in the journal before.
            waiting = [part for part in group.parts if not _is_part_recorded(draft, part)]
            recorded.extend(part for part in group.parts if part not in waiting)
            if not waiting:
                continue
            group = replace(group, parts=waiting)
            before = draft.tip
            try:
                snapshot = _commit_run(draft, shelf, group)
            except (DiskFull, ReadOnlyRepository, GitFailed, ObjectMissing):
                raise  # the repository's trouble, not this journal's: it stays, and is tried again
            except (RunstoneError, ValueError, TypeError, KeyError, AttributeError) as error:
                # One damaged journal must not keep the others from being recorded.
                failures.append((group, error))
                continue
            done.append(group)
            if snapshot is not None:
                snapshots.add(snapshot)
            for part in group.parts:
                draft.journals.append(part.name)
                if draft.tip != before:
                    # Gone: another process has just recorded it, so the ref has moved and this draft will be refused.
                    with suppress(FileNotFoundError):
                        journal.append_line(part.entry.path, journal.COMMITTED, {"commit": draft.tip})

    update_runs(repo, change)
    for part in recorded:
        part.entry.path.unlink(missing_ok=True)
    for group in done:
        damaged = any(part.content.damaged for part in group.parts)
        for part in group.parts:
            if damaged:
                kept.set_aside(repo, part.entry.path)
            else:
                part.entry.path.unlink(missing_ok=True)
    hold.release(repo, snapshots)
    _tell(repo, done, failures, own)
    return [group.run_id for group in done]


def _is_part_recorded(draft: Draft, part: _Part) -> bool:
    try:
        if part.entry.path.stat().st_size == part.size and not _names_commit(part.content):
            return False
        return is_recorded(draft, journal.read(part.entry.path))
    except FileNotFoundError:
        return True  # removed once it was


def _names_commit(content: Journal) -> bool:
    return any(event.kind == journal.COMMITTED for event in content.events)


def _tell(
    repo: Repository, done: Sequence[_Group], failures: Sequence[tuple[_Group, Exception]], own: str | None
) -> None:
    """Warn of what could not be read; journals of which nothing could be made are set aside, or wait."""
    raised: RunNotRecorded | None = None
    category: type[UserWarning]
    aside = repo.state_dir / "journal" / "damaged"
    messages: list[tuple[str, type[UserWarning]]] = []
    for group in done:
        damaged = sum(part.content.damaged for part in group.parts)
        if damaged:
            text = f"{damaged} lines of the journal of run {group.run_id} could not be read. The rest is recorded; "
            messages.append((f"{text}the file is kept in {aside}.", JournalDamagedWarning))
    for group, error in failures:
        if isinstance(error, RunstoneError) and not isinstance(error, _JournalUnusable):
            text = f"Run {group.run_id} could not be recorded yet: {error} Its journal stays; try again: "
            text, category = f"{text}`runstone recover`", RunWaitsWarning
        else:
            for part in group.parts:
                kept.set_aside(repo, part.entry.path)
            text = f"Run {group.run_id} could not be recorded: {error} Its journal is kept in {aside}."
            category = JournalDamagedWarning
        if group.run_id == own:
            raised = RunNotRecorded(own, text)
            raised.__cause__ = error
        else:
            messages.append((text, category))
    for text, category in messages:
        warnings.warn(text, category, stacklevel=5)
    if raised is not None:
        raise raised


class _JournalUnusable(RunstoneError):
    """A journal of which no record can be made."""


def _commit_run(draft: Draft, shelf: ArtifactShelf, group: _Group) -> str | None:
    """Put the commit of a run on the draft; returns its code snapshot, unless that is HEAD as it was."""
    base = find_base(draft, group.run_id, group.journals)
    try:
        composed = compose(group.run_id, base, group.journals)
    except RunstoneError as error:
        raise _JournalUnusable(str(error)) from error
    run = composed.run
    if run.status == "RUNNING" and not any(journal.is_checkpoint(content) for content in group.journals):
        run = replace(run, status="FAILED", ended=run.ended or run.started)
        composed = replace(composed, run=run)
    files = _files(draft, composed, base, shelf)
    changes: dict[str, str | bytes | None] = {f"{composed.folder}/{name}": text for name, text in files.items()}
    experiment_file = layout.experiment_file(run.experiment_id)
    if draft.find(experiment_file) is None:
        made = Experiment(run.experiment_id, run.experiment, creation_time=run.started)
        changes[experiment_file] = yaml.dump(made.to_document())
    if draft.tip is None:
        config = shelf.remote_config()
        if config:
            changes[DVC_CONFIG] = config
    code = _code(draft, composed)
    draft.commit(changes, _message(composed, base), second_parent=code)
    return code if code != run.source.commit else None


def _files(draft: Draft, composed: Composed, base: Recorded | None, shelf: ArtifactShelf) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    is_removed = base is not None and draft.find(base.folder) is None
    if base is not None and is_removed:
        files.update(base.files)
    run = composed.run
    if composed.requirements is not None:
        files[layout.REQUIREMENTS] = composed.requirements
        run = replace(run, environment=replace(run.environment, requirements=layout.REQUIREMENTS))
    if composed.points:
        files[layout.METRICS] = format_metrics(composed.points)
    if composed.notes is not None:
        files[layout.NOTES] = composed.notes
    if composed.artifacts:
        try:
            pointer = shelf.pointer(base.files.get(layout.ARTIFACTS) if base else None, composed.artifacts)
        except ArtifactMissing:
            if not is_removed:
                raise
            pointer = shelf.pointer(None, composed.artifacts)  # what it had kept was removed with it
        if pointer is not None:
            files[layout.ARTIFACTS] = pointer
    files[layout.RECORD] = yaml.dump(run.to_document())
    return files


def _code(draft: Draft, composed: Composed) -> str | None:
    """The commit that holds the code, else HEAD as it was; None if this repository has neither."""
    for commit in (composed.run.source.snapshot, composed.run.source.commit):
        # A record is text: it could name any revision.
        if commit is not None and is_object_id(commit):
            found = draft.repo.objects.resolve(commit)
            if found is not None:
                return found
    return None


def _message(composed: Composed, base: Recorded | None) -> str:
    run = composed.run
    verb = "Record" if base is None else "Add to"
    lines = [f"{verb} run {run.name}: {run.status}", "", f"Run: {run.id}", f"Experiment: {run.experiment}"]
    if run.ended is not None:
        lines.append(f"Ended: {format_time(run.ended)}")
    return "\n".join(re.sub(r"[\x00-\x1f\x7f]", " ", line) for line in lines)
