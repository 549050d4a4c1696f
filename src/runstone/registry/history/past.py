"""The registry as it was: at a commit of the default branch, or at an instant."""

from collections.abc import Iterable
from dataclasses import dataclass

from runstone import names
from runstone.errors import HistoryCut, ModelNotFound
from runstone.git.repository import Repository
from runstone.records.document import format_time, parse_seconds
from runstone.registry.branch import registry_commit
from runstone.registry.history.line import is_line_cut
from runstone.registry.history.tags import VersionTag, read_version_tags
from runstone.registry.keys import find_key, find_name
from runstone.registry.model import list_model_names
from runstone.registry.state import ModelState, read_model_state, read_states


@dataclass(frozen=True, slots=True)
class PastModel:
    """One model as it was.

    Attributes:
        state: What its files said.
        name: Its name then.
        versions: The versions that there were and that were not retired, ascending.
        retired: The numbers of those that were.
    """

    state: ModelState
    name: str
    versions: tuple[VersionTag, ...]
    retired: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """The registry as it was.

    Attributes:
        time: The instant, Unix milliseconds.
        commit: The commit of the default branch that said so; None before the first.
        models: By key.
    """

    time: int
    commit: str | None
    models: tuple[PastModel, ...]


def read_past(repo: Repository, time_ms: int) -> Past:
    """The registry as of an instant: the last commit of the default branch's line, and the version tags, made by then.

    Clocks decide here, since nothing else can: those of who put commits onto the line, and of who made the tags.

    Raises:
        HistoryCut: This clone is shallow, and does not go back so far.

    Warns:
        RecordsSkipped: A file breaks its schema; the others are read.
    """
    commit = line_commit(repo, time_ms)
    if commit is None and (tip := registry_commit(repo)) is not None and is_line_cut(repo, tip):
        raise HistoryCut(format_time(time_ms))
    return _read(repo, commit, time_ms)


def line_commit(repo: Repository, time_ms: int) -> str | None:
    """The last commit that came onto the default branch's line by an instant; None if none is known."""
    tip = registry_commit(repo)
    if tip is None:
        return None
    _, out = repo.git("rev-list", "--first-parent", "-1", f"--min-age={max(0, time_ms // 1000)}", tip)
    return out.decode().strip() or None


def read_past_commit(repo: Repository, commit: str) -> Past:
    """The registry as of a commit: its files, the version tags made by then, and those that its files name.

    Args:
        repo: The repository.
        commit: A full id.

    Warns:
        RecordsSkipped: A file breaks its schema; the others are read.
    """
    seconds = repo.objects.commit(commit).committer.rsplit(" ", 2)[-2:-1]
    return _read(repo, commit, parse_seconds(seconds[0]) + 999 if seconds else 0)


def read_present(repo: Repository, name: str) -> PastModel:
    """One model as it is: all its version tags that are here count, whatever their clocks say.

    Raises:
        ModelNotFound: There is no such model; or, as `ModelRenamed`, it has another name now.

    Warns:
        RecordsSkipped: A file breaks its schema; the others are read.
    """
    key, commit = find_key(repo, name), registry_commit(repo)
    state, tags = read_model_state(repo, commit, key), read_version_tags(repo, key, commit=commit)
    if not tags and state == ModelState(key):
        raise ModelNotFound(name, list_model_names(repo))
    return _model(find_name(repo, key), state, tags)


def find_model(past: Past, name: str) -> PastModel:
    """The model of a name then, else the one whose folder has it; raises `ModelNotFound`."""
    for of in (lambda model: model.name, lambda model: names.decode_component(model.state.key)):
        found = next((model for model in past.models if of(model) == name), None)
        if found is not None:
            return found
    raise ModelNotFound(name, sorted(model.name for model in past.models))


def _read(repo: Repository, commit: str | None, time_ms: int) -> Past:
    states = read_states(repo, commit)
    by_key: dict[str, list[VersionTag]] = {}
    for tag in read_version_tags(repo, commit=commit):
        state = states.get(tag.key)
        is_named = state is not None and not tag.is_retirement and tag.version in _named(state)
        if tag.time <= time_ms or is_named:
            by_key.setdefault(tag.key, []).append(tag)
    models = []
    for key in sorted(states.keys() | by_key.keys()):
        tags, state = by_key.get(key, []), states.get(key) or ModelState(key)
        body = next((tag.body for tag in tags if tag.body is not None), None)
        name = state.file.name or (body.model if body is not None else names.decode_component(key))
        models.append(_model(name, state, tags))
    return Past(time_ms, commit, tuple(models))


def _model(name: str, state: ModelState, tags: Iterable[VersionTag]) -> PastModel:
    made = list(tags)
    retired = {tag.version for tag in made if tag.is_retirement}
    versions = tuple(tag for tag in made if tag.version not in retired)
    return PastModel(state, name, versions, tuple(sorted(retired)))


def _named(state: ModelState) -> set[int]:
    held: Iterable[tuple[int, ...]] = state.stages.values()
    return {version for versions in held for version in versions} | {*state.aliases.values(), *state.notes}
