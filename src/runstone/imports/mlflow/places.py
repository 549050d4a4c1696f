"""Where the files of a model version lie: in which run, and where among its artifacts; told from what MLflow says."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

from runstone.artifacts.descriptor import check_artifact_path
from runstone.errors import InvalidName
from runstone.imports.mlflow.source import DELETED_VERSION, SourceModel, SourceRegistered, SourceVersion

_match_run = re.compile(r"runs:/+([^/]+)/(.+)").fullmatch
_match_stored = re.compile(r".*/([^/]+)/artifacts/(.+)").fullmatch
_match_logged = re.compile(r".*/models/(m-[^/]+)/artifacts(?:/(.+))?|models:/+(m-[^/]+)(?:/(.+))?").fullmatch
_match_version = re.compile(r"models:/+([^/]+)/([1-9][0-9]{0,17})").fullmatch
_MOST_COPIES = 20


class Place(NamedTuple):
    """A run, by its id at the source, and a folder among its artifacts."""

    run_id: str
    path: str


@dataclass(slots=True)
class Places:
    """What is known of it so far."""

    _logged: dict[str, Place] = field(default_factory=dict)
    _runs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _registered: dict[str, SourceRegistered] = field(default_factory=dict)

    def learn(self, registered: Iterable[SourceRegistered], models: Iterable[SourceModel]) -> None:
        """See which folders of which runs are registered, before the runs are read."""
        self._registered = {each.name: each for each in registered}
        known = {each.id for each in models}
        for model in self._registered.values():
            for version in model.versions:
                if version.stage != DELETED_VERSION and logged_id(version) not in known:
                    place = self._in_run(version)
                    if place is not None:
                        self._runs[place.run_id].add(place.path)

    def registered_in(self, run_id: str) -> list[str]:
        """The folders of a run that are versions of models."""
        return sorted(self._runs.get(run_id, ()))

    def put(self, model_id: str, place: Place) -> None:
        """Remember where a logged model has been put."""
        self._logged[model_id] = place

    def find(self, version: SourceVersion, depth: int = 0) -> Place | None:
        """Where a version's files are; None if in no run."""
        model_id = logged_id(version)
        if model_id in self._logged:
            return self._logged[str(model_id)]
        copied = _match_version(version.source)
        if copied is not None and depth < _MOST_COPIES:
            other = self._registered.get(unquote(copied[1]))
            for each in other.versions if other is not None else ():
                if each.number == int(copied[2]):
                    return self.find(each, depth + 1)
        return self._in_run(version)

    def _in_run(self, version: SourceVersion) -> Place | None:
        for uri in filter(None, (version.source, version.location)):
            bare = unquote(uri.partition("?")[0].partition("#")[0]).rstrip("/")
            match = _match_run(bare) or (None if _match_logged(bare) else _match_stored(bare))
            if match is None:
                continue
            try:
                return Place(match[1], check_artifact_path(match[2]))
            except InvalidName:
                continue
        return None


def logged_id(version: SourceVersion) -> str | None:
    """The logged model that a version was made from; None if from none."""
    if version.model_id is not None:
        return version.model_id
    for uri in filter(None, (version.source, version.location)):
        match = _match_logged(uri)
        if match is not None:
            return match[1] or match[3]
    return None
