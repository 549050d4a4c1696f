"""The facts that the registry's files state: each file read by what its place says it is, each blob once.

Whoever looks at many commits looks at few blobs: a commit changes one or two.
"""

import warnings
from collections.abc import Iterable, Mapping

from runstone.errors import NewerFormat, RecordInvalid, RecordsSkipped
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.records.model_file import ModelFile
from runstone.records.registration import Registration
from runstone.records.stage import Stage
from runstone.records.version_notes import VersionNotes
from runstone.registry.layout import Kind, Place
from runstone.registry.state import ModelState

Fact = Stage | Alias | VersionNotes | Registration | ModelFile | str
"""What one file says; of a model card and of a policy the blob alone."""


class Facts:
    """The facts of one repository, by blob."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._data: dict[str, bytes] = {}
        self._known: dict[tuple[Kind, str], Fact | None] = {}

    def load(self, oids: Iterable[str]) -> None:
        """Read many blobs at once, through one git process; those that are not loaded are read when asked for."""
        self._data.update(self._repo.objects.read_many({oid for oid in oids if oid not in self._data}))

    def read(self, place: Place, oid: str, commit: str) -> Fact | None:
        """What a blob says at a place; None if it breaks its schema, which counts as no file.

        Warns:
            RecordsSkipped: It does, as found first at `commit`.
        """
        if place.kind in ("card", "policy"):
            return oid
        known = place.kind, oid
        if known not in self._known:
            where = f"{place.path(self._repo.config.registry)} at {commit[:7]}"
            try:
                data = self._data.pop(oid, None)
                self._known[known] = _parse(place, self._repo.objects.blob(oid) if data is None else data, where)
            except (RecordInvalid, NewerFormat) as error:
                warnings.warn(str(error), RecordsSkipped, stacklevel=2)
                self._known[known] = None
        return self._known[known]

    def state(self, key: str, files: Mapping[Place, str], commit: str) -> ModelState:
        """What some files of one model say together.

        Args:
            key: The model.
            files: Place → blob.
            commit: Where they were found, for warnings.
        """
        stages: dict[str, tuple[int, ...]] = {}
        aliases: dict[str, int] = {}
        notes: dict[int, VersionNotes] = {}
        registrations: dict[str, Registration] = {}
        file, has_file, card = ModelFile(), False, None
        for place, oid in sorted(files.items(), key=lambda item: f"{item[0].name}.yaml"):  # as git orders them
            match self.read(place, oid, commit):
                case Stage(versions):
                    stages[place.name] = versions
                case Alias(version):
                    aliases[place.name] = version
                case VersionNotes() as said:
                    notes[int(place.name)] = said
                case Registration() as request:
                    registrations[place.name] = request
                case ModelFile() as found:
                    file, has_file = found, True
                case str(blob) if place.kind == "card":
                    card = blob
        return ModelState(key, file, has_file, stages, aliases, notes, registrations, card)


def _parse(place: Place, data: bytes, where: str) -> Fact:
    document = yaml.load(data, where)
    match place.kind:
        case "stage":
            return Stage.from_document(document, where)
        case "alias":
            return Alias.from_document(document, where)
        case "notes":
            return VersionNotes.from_document(document, where)
        case "registration":
            return Registration.from_document(document, where)
        case _:
            return ModelFile.from_document(document, where)
