"""What changed in the registry between two commits: typed facts, one for each, computed from the files alone.

Whoever judges, tells or proves a change reads it here: checks of proposals, reports, events, history, verification.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from runstone.git.objects import TreeEntry
from runstone.git.repository import Repository
from runstone.records.model_file import ModelFile
from runstone.records.registration import Registration
from runstone.records.version_notes import VersionNotes
from runstone.registry.layout import Place
from runstone.registry.state import ModelState, read_model_state


@dataclass(frozen=True, slots=True)
class StageChange:
    """A version went from one stage to another; `None` is no stage."""

    key: str
    model: str
    version: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class AliasChange:
    """An alias was made (`before` is None), moved, or removed (`after` is None)."""

    key: str
    model: str
    alias: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class ModelChange:
    """A model's own file came, changed, or went (`after` is None)."""

    key: str
    model: str
    before: ModelFile | None
    after: ModelFile | None


@dataclass(frozen=True, slots=True)
class NotesChange:
    """What is said of a version came, changed, or went."""

    key: str
    model: str
    version: int
    before: VersionNotes | None
    after: VersionNotes | None


@dataclass(frozen=True, slots=True)
class RegistrationChange:
    """A request to register a run's model came, changed, or went."""

    key: str
    model: str
    run: str
    before: Registration | None
    after: Registration | None


@dataclass(frozen=True, slots=True)
class CardChange:
    """A model card came, changed, or went: the blobs."""

    key: str
    model: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A policy came, changed, or went: the blobs. `key` and `model` are empty for that of all models."""

    key: str
    model: str
    before: str | None
    after: str | None


Change = StageChange | AliasChange | ModelChange | NotesChange | RegistrationChange | CardChange | PolicyChange


def read_changes(repo: Repository, old: str | None, new: str | None) -> tuple[Change, ...]:
    """What changed from one commit to another, by model.

    Args:
        repo: The repository.
        old: A full commit id; None for an empty registry.
        new: Likewise.

    Warns:
        RecordsSkipped: A file breaks its schema, and counts as absent.
    """
    before, after = _folders(repo, old), _folders(repo, new)
    found: list[Change] = []
    policy = _compare_blobs(before.get("policy.yaml"), after.get("policy.yaml"))
    if policy is not None:
        found.append(PolicyChange("", "", *policy))
    for key in sorted(before.keys() | after.keys()):
        a, b = before.get(key), after.get(key)
        if a == b or not any(entry is not None and entry.is_tree for entry in (a, b)):
            continue
        was, now = read_model_state(repo, old, key), read_model_state(repo, new, key)
        found += _compare(was, now)
        path = Place("policy", key).path(repo.config.registry)
        own = _compare_blobs(_entry(repo, old, path), _entry(repo, new, path))
        if own is not None:
            found.append(PolicyChange(key, now.name, *own))
    return tuple(found)


def _compare(a: ModelState, b: ModelState) -> list[Change]:
    key, name = b.key, b.name
    found: list[Change] = []
    if (a.file, a.has_file) != (b.file, b.has_file):
        found.append(ModelChange(key, name, a.file if a.has_file else None, b.file if b.has_file else None))
    found += [
        RegistrationChange(key, name, run, a.registrations.get(run), b.registrations.get(run))
        for run in _differing(a.registrations, b.registrations)
    ]
    versions = {version for state in (a, b) for numbers in state.stages.values() for version in numbers}
    for version in sorted(versions):
        was, now = a.stage_of(version), b.stage_of(version)
        if was != now:
            found.append(StageChange(key, name, version, was, now))
    found += [
        AliasChange(key, name, alias, a.aliases.get(alias), b.aliases.get(alias))
        for alias in _differing(a.aliases, b.aliases)
    ]
    for version in sorted(a.notes.keys() | b.notes.keys()):
        before, after = a.notes.get(version), b.notes.get(version)
        if before != after:
            found.append(NotesChange(key, name, version, before, after))
    if a.card != b.card:
        found.append(CardChange(key, name, a.card, b.card))
    return found


def _differing(a: Mapping[str, object], b: Mapping[str, object]) -> list[str]:
    return sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))


def _compare_blobs(a: TreeEntry | None, b: TreeEntry | None) -> tuple[str | None, str | None] | None:
    found = tuple(entry.oid if entry is not None and entry.is_file else None for entry in (a, b))
    return None if found[0] == found[1] else (found[0], found[1])


def _folders(repo: Repository, commit: str | None) -> Mapping[str, TreeEntry]:
    entry = _entry(repo, commit, repo.config.registry)
    return repo.objects.tree(entry.oid) if entry is not None and entry.is_tree else {}


def _entry(repo: Repository, commit: str | None, path: str) -> TreeEntry | None:
    return None if commit is None else repo.objects.entry(repo.objects.commit(commit).tree, path)
