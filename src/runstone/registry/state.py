"""The state of the registry: what its files say at one commit of the default branch. The versions are git tags.

A pure function of the commit, so that the registry of any day is read as today's is.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from runstone import names
from runstone.errors import NewerFormat, RecordInvalid, RecordsSkipped
from runstone.git.objects import TreeEntry
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.records.model_file import ModelFile
from runstone.records.stage import NO_STAGE, Stage
from runstone.registry.layout import Place, parse_path

if TYPE_CHECKING:
    from runstone.records.config import Config
    from runstone.records.policy import Policy
    from runstone.records.registration import Registration
    from runstone.records.version_notes import VersionNotes

_FOLDERS = 2
"""`<model>/stages`: what somebody has pushed below that is not read, however deep it goes."""


class ModelState(NamedTuple):
    """What the files of one model say.

    Attributes:
        key: The model's folder.
        file: `model.yaml`; an empty one where there is none.
        has_file: Whether there is one.
        stages: Stage → its versions, ascending.
        aliases: Alias → version.
        notes: Version → what was said of it later.
        registrations: Run → the request to register its model.
        card: The blob of the model card, if there is one.
    """

    key: str
    file: ModelFile = ModelFile()
    has_file: bool = False
    stages: Mapping[str, tuple[int, ...]] = {}
    aliases: Mapping[str, int] = {}
    notes: Mapping[int, "VersionNotes"] = {}
    registrations: Mapping[str, "Registration"] = {}
    card: str | None = None

    @property
    def name(self) -> str:
        """The model's present name."""
        return self.file.name or names.decode_component(self.key)

    def stage_of(self, version: int) -> str:
        """The stage that a version is in; `None` if in no stage."""
        return next((stage for stage, versions in self.stages.items() if version in versions), NO_STAGE)

    def aliases_of(self, version: int) -> tuple[str, ...]:
        """The aliases that point at a version, sorted."""
        return tuple(sorted(alias for alias, target in self.aliases.items() if target == version))


def read_model_state(repo: Repository, commit: str | None, key: str) -> ModelState:
    """What the files of one model say at a commit; an empty state if it has none.

    Warns:
        RecordsSkipped: A file breaks its schema; the others are read.
    """
    if commit is None:
        return ModelState(key)
    return _read(repo, commit, key, _files(repo, commit, f"{repo.config.registry}/{key}"))


def read_states(repo: Repository, commit: str | None) -> dict[str, ModelState]:
    """The states of all models that have files at a commit, by key, sorted.

    Warns:
        RecordsSkipped: A file breaks its schema; the others are read.
    """
    if commit is None:
        return {}
    by_key: dict[str, dict[str, str]] = {}
    registry = repo.config.registry
    for path, oid in _files(repo, commit, registry).items():
        place = parse_path(registry, path)
        if place is not None and place.key:
            by_key.setdefault(place.key, {})[path] = oid
    contents = dict(repo.objects.read_many({oid for files in by_key.values() for oid in files.values()}))
    return {key: _read(repo, commit, key, by_key[key], contents) for key in sorted(by_key)}


def read_policy(repo: Repository, commit: str | None, key: str | None = None) -> "Policy":
    """The policy at a commit: the project's, with a model's own rules over it if a key is given.

    Raises:
        RecordInvalid, NewerFormat: A policy cannot be read: then nothing can be judged by it.
    """
    from runstone.records.policy import Policy, check_graph  # here: to look a version up takes no policy

    base, own, has_stages = Policy(), None, False
    if commit is None:
        return base
    registry = repo.config.registry
    document = _document(repo, commit, Place("policy").path(registry))
    if document is not None:
        base = Policy.from_document(document[0], document[1])
    document = _document(repo, commit, Place("policy", key).path(registry)) if key else None
    if document is None:
        return base
    own = Policy.from_document(document[0], document[1], own=True)
    has_stages = document[0].get("stages") is not None
    merged = base.overridden_by(own, stages=has_stages)
    check_graph(merged, document[1])
    return merged


def read_config(repo: Repository, commit: str | None) -> "Config":
    """The settings in `runstone.yaml` at a commit; the default ones before the first.

    Raises:
        RecordInvalid, NewerFormat: The file cannot be read.
    """
    from runstone.records.config import Config

    found = None if commit is None else _document(repo, commit, CONFIG_FILE)
    return Config() if found is None else Config.from_document(*found)


def reviews(repo: Repository, commit: str | None) -> bool:
    """Whether `promotion: review` holds: here, or at a commit of the default branch, where others may have set it."""
    return repo.config.promotion == "review" or read_config(repo, commit).promotion == "review"


def with_unknown(repo: Repository, commit: str | None, changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """Changes of stages and aliases, with the keys that the files hold and this version does not know.

    Args:
        repo: The repository.
        commit: What the changes are made of; None before the first commit.
        changes: Path → text; None for a file to be removed.
    """
    found = dict(changes)
    for path, text in changes.items():
        place = parse_path(repo.config.registry, path)
        if commit is None or text is None or place is None or place.kind not in ("stage", "alias"):
            continue
        kind = Stage if place.kind == "stage" else Alias
        try:
            old = _document(repo, commit, path)
            extra = kind.from_document(*old).extra if old is not None else {}
        except (RecordInvalid, NewerFormat) as error:
            warnings.warn(f"{error} It is written anew.", RecordsSkipped, stacklevel=2)
            continue
        if extra:
            found[path] = yaml.dump(yaml.load(text, path) | extra)
    return found


def _document(repo: Repository, commit: str, path: str) -> tuple[Any, str] | None:
    entry = repo.objects.entry(repo.objects.commit(commit).tree, path)
    if entry is None or not entry.is_file:
        return None
    where = f"{path} at {commit[:7]}"
    return yaml.load(repo.objects.blob(entry.oid), where), where


def _files(repo: Repository, commit: str, folder: str) -> dict[str, str]:
    """Path → blob of the files below a folder of the registry, as deep as it has any."""
    found: dict[str, str] = {}
    entry = repo.objects.entry(repo.objects.commit(commit).tree, folder)
    deepest = repo.config.registry.count("/") + _FOLDERS

    def walk(path: str, entries: Iterable[tuple[str, TreeEntry]]) -> None:
        for name, inner in entries:
            if inner.is_tree and path.count("/") < deepest:
                walk(f"{path}/{name}", repo.objects.tree(inner.oid).items())
            elif inner.is_file:
                found[f"{path}/{name}"] = inner.oid

    if entry is not None and entry.is_tree:
        walk(folder, repo.objects.tree(entry.oid).items())
    return found


def _read(
    repo: Repository, commit: str, key: str, files: Mapping[str, str], contents: Mapping[str, bytes] | None = None
) -> ModelState:
    stages: dict[str, tuple[int, ...]] = {}
    aliases: dict[str, int] = {}
    notes: dict[int, VersionNotes] = {}
    registrations: dict[str, Registration] = {}
    file, has_file, card = ModelFile(), False, None
    for path, oid in files.items():
        place = parse_path(repo.config.registry, path)
        if place is None or place.kind == "policy":
            continue
        if place.kind == "card":
            card = oid
            continue
        where = f"{path} at {commit[:7]}"
        try:
            document = yaml.load(contents[oid] if contents is not None else repo.objects.blob(oid), where)
            match place.kind:
                case "stage":
                    stages[place.name] = Stage.from_document(document, where).versions
                case "alias":
                    aliases[place.name] = Alias.from_document(document, where).version
                case "notes":
                    from runstone.records import version_notes  # here, as below: few models have any

                    notes[int(place.name)] = version_notes.VersionNotes.from_document(document, where)
                case "registration":
                    from runstone.records import registration

                    registrations[place.name] = registration.Registration.from_document(document, where)
                case _:
                    file, has_file = ModelFile.from_document(document, where), True
        except (RecordInvalid, NewerFormat) as error:
            warnings.warn(str(error), RecordsSkipped, stacklevel=3)
    # By name: git has them by the names of their files, where `a-b.yaml` stands before `a.yaml`.
    stages, aliases = dict(sorted(stages.items())), dict(sorted(aliases.items()))
    return ModelState(key, file, has_file, stages, aliases, notes, registrations, card)
