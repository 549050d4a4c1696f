"""Registered models: what all versions of a model share. One exists when it has a version or a `model.yaml`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from runstone.errors import ModelNotFound, UnknownStage
from runstone.git.repository import Repository
from runstone.records.document import parse_seconds
from runstone.records.stage import NO_STAGE
from runstone.registry import branch, present
from runstone.registry.keys import find_key as find_key
from runstone.registry.keys import find_name as find_name
from runstone.registry.keys import is_key
from runstone.registry.state import ModelState, read_policy, read_states
from runstone.registry.version import ModelVersion, list_versions

if TYPE_CHECKING:
    from runstone.index.paging import PagedList

_MAX_RESULTS = 1000
_FEW = 300
_changed: WeakKeyDictionary[Repository, tuple[str, dict[str, int]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One registered model.

    Attributes:
        name: Its present name.
        aliases: Alias to version.
        latest_versions: Of each stage, and of the versions in none, the one with the highest number; the newest first.
        creation_timestamp: When it was made, or its oldest present version; Unix milliseconds.
        last_updated_timestamp: When a version of it was made or its files changed last.
        description: What it is for.
        tags: Text to text.
        owners: Who answers for it.
        key: Its folder, and what its git tags begin with.
    """

    name: str
    aliases: dict[str, int]
    latest_versions: tuple[ModelVersion, ...]
    creation_timestamp: int | None
    last_updated_timestamp: int | None
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    owners: tuple[str, ...] = ()
    key: str = ""

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Names and values, so that `dict(…)` gives them, as of MLflow's entities."""
        return ((each.name, getattr(self, each.name)) for each in fields(self))


def get_model(repo: Repository, name: str) -> RegisteredModel:
    """A registered model; raises `ModelNotFound`.

    Warns:
        RecordsSkipped: A file of it breaks its schema; the others are read.
    """
    commit = branch.registry_commit(repo)
    key = find_key(repo, name, commit)
    state = present.present_state(repo, commit, key)
    versions = list_versions(repo, name)
    if not versions and not state.has_file:
        raise ModelNotFound(name, list_model_names(repo))
    changed = _last_changes(repo, commit, [key])
    return _describe(state, versions, changed.get(key))


def list_models(repo: Repository) -> list[RegisteredModel]:
    """All registered models, by name.

    Warns:
        RecordsSkipped: A file breaks its schema; the others are read.
    """
    found = _gather(repo)
    with_files = [state.key for state, _ in found if not is_empty(state)]
    changed = _last_changes(repo, branch.registry_commit(repo), with_files)
    models = [_describe(state, versions, changed.get(state.key)) for state, versions in found]
    return sorted(models, key=lambda model: model.name)


def list_model_names(repo: Repository) -> list[str]:
    """The names of all registered models, sorted."""
    return sorted(_name(state, versions) for state, versions in _gather(repo))


def latest_versions(repo: Repository, name: str, stages: Iterable[str] | None = None) -> list[ModelVersion]:
    """The version with the highest number in each stage, or in each of those named; `None` is no stage.

    Args:
        repo: The repository.
        name: The model.
        stages: Stages, written large or small; all if None or empty.

    Raises:
        ModelNotFound: There is no such model.
        UnknownStage: The policy has no stage of such a name, and no version is in one.

    Source: MLflow's documentation, `get_latest_versions`.
    """
    model = get_model(repo, name)
    wanted = {stage.lower(): stage for stage in stages or ()}
    found = [each for each in model.latest_versions if not wanted or each.current_stage.lower() in wanted]
    empty = wanted.keys() - {each.current_stage.lower() for each in found} - {NO_STAGE.lower()}
    if empty:
        policy = read_policy(repo, branch.registry_commit(repo), model.key)
        for stage in sorted(wanted[each] for each in empty):
            if policy.find_stage(stage) is None:
                raise UnknownStage(stage, list(policy.stages))
    return found


def search_models(
    repo: Repository,
    filter_string: str | None = None,
    max_results: int = 100,
    order_by: Sequence[str] | None = None,
    page_token: str | None = None,
) -> "PagedList[RegisteredModel]":
    """Registered models that meet a filter, one page of them; raises `FilterInvalid`."""
    from runstone.index.fields import REGISTERED_MODELS
    from runstone.index.rows import search_rows

    return search_rows(
        list_models(repo),
        lambda m: {
            "attributes": {
                "name": m.name,
                "description": m.description,
                "alias": tuple(m.aliases),
                "creation_timestamp": m.creation_timestamp,
                "last_updated_timestamp": m.last_updated_timestamp,
            },
            "tags": m.tags,
        },
        REGISTERED_MODELS,
        filter_string=filter_string,
        order_by=order_by,
        default_order=("name",),
        max_results=max_results,
        limit=_MAX_RESULTS,
        page_token=page_token,
    )


def is_empty(state: ModelState) -> bool:
    """Whether a model has no file at all."""
    return state == ModelState(state.key)


def _gather(repo: Repository) -> list[tuple[ModelState, Sequence[ModelVersion]]]:
    states = {key: state for key, state in read_states(repo, branch.registry_commit(repo)).items() if is_key(key)}
    versions: dict[str, list[ModelVersion]] = {}
    for version in list_versions(repo):
        versions.setdefault(version.key, []).append(version)
    keys = versions.keys() | {key for key, state in states.items() if state.has_file}
    return [(states.get(key) or ModelState(key), versions.get(key, ())) for key in sorted(keys)]


def _name(state: ModelState, versions: Sequence[ModelVersion]) -> str:
    """The present name; what a cut key does not tell, the versions do."""
    return versions[0].name if state.file.name is None and versions else state.name


def _describe(state: ModelState, versions: Sequence[ModelVersion], changed: int | None) -> RegisteredModel:
    newest = sorted(versions, key=lambda version: -version.version)
    of_stage: dict[str, ModelVersion] = {}
    for version in newest:
        of_stage.setdefault(version.current_stage, version)
    made = [version.creation_timestamp for version in newest if version.creation_timestamp is not None]
    created = [time for time in (*made, state.file.created) if time is not None]
    updated = [time for time in (*made, state.file.created, changed) if time is not None]
    return RegisteredModel(
        name=_name(state, versions),
        aliases=dict(state.aliases),
        latest_versions=tuple(of_stage.values()),
        creation_timestamp=min(created, default=None),
        last_updated_timestamp=max(updated, default=None),
        description=state.file.description,
        tags=dict(state.file.tags),
        owners=state.file.owners,
        key=state.key,
    )


def _last_changes(repo: Repository, commit: str | None, keys: Iterable[str]) -> Mapping[str, int]:
    """When files of models changed last, Unix milliseconds; kept until the registry's folder changes."""
    folder = None
    if commit is not None:
        folder = repo.objects.entry(repo.objects.commit(commit).tree, repo.config.registry)
    if commit is None or folder is None:
        return {}
    known = _changed.get(repo)
    if known is None or known[0] != folder.oid:
        known = _changed[repo] = folder.oid, {}
    missing = {key for key in keys if key not in known[1]}
    if len(missing) == 1:
        known[1].update(_walk(repo, commit, *missing, "-1"))
    elif missing:
        found = _walk(repo, commit, "", f"-{_FEW}")
        known[1].update(found if missing <= found.keys() else _walk(repo, commit, ""))
    return known[1]


def _walk(repo: Repository, commit: str, key: str, *options: str) -> dict[str, int]:
    """Key → when its files changed last, along the first parents; of one model, or with an empty key of all."""
    folder = f"{repo.config.registry}/{key}".rstrip("/")
    command = ["--literal-pathspecs", "log", "--format=%x00%ct", "--name-only", "-z", "--no-renames"]
    _, out = repo.git(*command, "--first-parent", "-m", *options, commit, "--", folder)
    found: dict[str, int] = {}
    time = 0
    for token in out.decode("utf-8", "surrogateescape").split("\0"):
        path = token.strip("\n")
        if path.isdigit():
            time = parse_seconds(path)
        elif path:
            found.setdefault(path.removeprefix(f"{repo.config.registry}/").partition("/")[0], time)
    return found
