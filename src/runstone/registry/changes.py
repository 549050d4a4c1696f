"""What changed in the registry between two commits: typed facts, one for each, computed from the files alone.

Whoever judges, tells or proves a change reads it here: checks of proposals, reports, events, history, verification.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from runstone.git.objects import TreeEntry
from runstone.git.repository import Repository
from runstone.names import decode_component, encode_component
from runstone.records.model_file import ModelFile
from runstone.records.registration import Registration
from runstone.records.stage import NO_STAGE
from runstone.records.version_notes import VersionNotes
from runstone.registry.history.facts import Facts
from runstone.registry.layout import Place, parse_path
from runstone.registry.state import ModelState


@dataclass(frozen=True, slots=True)
class StageChange:
    """A version went from one stage to another; the text `None` is no stage."""

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

    @property
    def renamed(self) -> tuple[str, str] | None:
        """The former name and the new one, where it got another one; also by the first file of a model that had none.

        A file that goes leaves nothing to be called. Of a name too long for a path the key holds a part alone, so one
        that belongs to the key is what the model was called all along.
        """
        if self.after is None:
            return None
        first = decode_component(self.key)
        was, now = (self.before.name if self.before is not None else None), self.after.name
        own = {None, first, now if now is not None and encode_component(now) == self.key else None}
        if was == now or {was, now} <= own:
            return None
        return was or first, now or first


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


_DEEPEST = 3

Change = StageChange | AliasChange | ModelChange | NotesChange | RegistrationChange | CardChange | PolicyChange


@dataclass(frozen=True, slots=True)
class FileEdit:
    """A fact's file came, changed, or went: the blobs before and after."""

    place: Place
    before: str | None
    after: str | None


def read_changes(
    repo: Repository, old: str | None, new: str | None, *, was: Repository | None = None
) -> tuple[Change, ...]:
    """What changed from one commit to another, by model.

    Only what differs is read, so that its cost is that of the change, however large the registry.

    Args:
        repo: The repository.
        old: A full commit id; None for an empty registry.
        new: Likewise.
        was: The repository by the settings of the old commit, where those put the registry elsewhere.

    Warns:
        RecordsSkipped: A file breaks its schema, and counts as absent.
    """
    facts = Facts(repo)
    found: list[Change] = []
    for key, edits in by_model(_edits(repo, old, new, was or repo)):
        stages = any(edit.place.kind == "stage" for edit in edits)
        before, after = (files_beside(r, c, key, stages=stages) for r, c in ((was or repo, old), (repo, new)))
        before |= {edit.place: edit.before for edit in edits if edit.before is not None}
        after |= {edit.place: edit.after for edit in edits if edit.after is not None}
        found += compare_files(facts, key, (before, old or ""), (after, new or ""))
    return tuple(found)


def by_model(edits: Iterable[FileEdit]) -> list[tuple[str, list[FileEdit]]]:
    """Edits by the model that they are about, in the order of the keys; the policy of all models comes first."""
    found: dict[str, list[FileEdit]] = {}
    for edit in edits:
        found.setdefault(edit.place.key, []).append(edit)
    return sorted(found.items())


def compare_files(
    facts: Facts, key: str, old: tuple[Mapping[Place, str], str], new: tuple[Mapping[Place, str], str]
) -> list[Change]:
    """What changed between some files of one model.

    Args:
        facts: Reads them.
        key: The model; empty for what holds for all.
        old: Place → blob, and the commit of that: the files in question, and, beside them, the model's own file and,
            where a stage is among them, all its stages.
        new: Likewise.
    """
    (before, old_commit), (after, new_commit) = old, new
    found: list[Change] = []
    name = ""
    if key:
        a, b = facts.state(key, before, old_commit), facts.state(key, after, new_commit)
        name = a.name if a.has_file and not b.has_file else b.name  # of a model that went, its last one
        found = _compare(a, b, name)
    policy = Place("policy", key)
    if before.get(policy) != after.get(policy):
        found.append(PolicyChange(key, name, before.get(policy), after.get(policy)))
    return found


def _compare(a: ModelState, b: ModelState, name: str) -> list[Change]:
    key = b.key
    found: list[Change] = []
    if (a.file, a.has_file) != (b.file, b.has_file):
        found.append(ModelChange(key, name, a.file if a.has_file else None, b.file if b.has_file else None))
    found += [
        RegistrationChange(key, name, run, a.registrations.get(run), b.registrations.get(run))
        for run in _differing(a.registrations, b.registrations)
    ]
    was, now = _stages(a), _stages(b)
    for version in sorted(was.keys() | now.keys()):
        stood, stands = was.get(version, set()), now.get(version, set())
        left, entered = sorted(stood - stands), sorted(stands - stood)
        pairs = zip_longest(left, entered, fillvalue=NO_STAGE)
        found += [StageChange(key, name, version, before, after) for before, after in pairs]
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


def _stages(state: ModelState) -> dict[int, set[str]]:
    """Version → its stages: one, but for files that somebody wrote by hand, and each of those is a fact."""
    found: dict[int, set[str]] = {}
    for stage, versions in state.stages.items():
        for version in versions:
            found.setdefault(version, set()).add(stage)
    return found


def _differing(a: Mapping[str, object], b: Mapping[str, object]) -> list[str]:
    return sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))


def files_beside(repo: Repository, commit: str | None, key: str, *, stages: bool = True) -> dict[Place, str]:
    """The files that changes of others are understood by: the model's own, and its stages where one was edited."""
    found: dict[Place, str] = {}
    registry = repo.config.registry
    if not key:
        return found
    place = Place("model", key)
    entry = _entry(repo, commit, place.path(registry))
    if entry is not None and entry.is_file:
        found[place] = entry.oid
    if stages:
        folder = f"{registry}/{key}/stages"
        edits = _walk(repo, registry, folder, None, _entry(repo, commit, folder))
        found.update((edit.place, edit.after) for edit in edits if edit.after is not None)
    return found


def _edits(repo: Repository, old: str | None, new: str | None, was: Repository) -> Iterator[FileEdit]:
    registry = repo.config.registry
    return _walk(repo, registry, registry, _entry(repo, old, was.config.registry), _entry(repo, new, registry))


def _walk(repo: Repository, registry: str, path: str, a: TreeEntry | None, b: TreeEntry | None) -> Iterator[FileEdit]:
    """The files below a path that differ and state a fact."""
    if a == b:
        return
    before, after = (entry.oid if entry is not None and entry.is_file else None for entry in (a, b))
    if before != after:
        place = parse_path(registry, path)
        if place is not None:
            yield FileEdit(place, before, after)
    if path.count("/") - registry.count("/") == _DEEPEST:
        return  # no fact lies deeper, however deep a folder somebody made
    trees = [repo.objects.tree(entry.oid) if entry is not None and entry.is_tree else {} for entry in (a, b)]
    for name in sorted(trees[0].keys() | trees[1].keys()):
        yield from _walk(repo, registry, f"{path}/{name}", trees[0].get(name), trees[1].get(name))


def _entry(repo: Repository, commit: str | None, path: str) -> TreeEntry | None:
    return None if commit is None else repo.objects.entry(repo.objects.commit(commit).tree, path)
