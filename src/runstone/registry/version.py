"""Model versions: annotated git tags `<model>@v<N>` on the commit of the run that made them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runstone import names
from runstone.errors import (
    ModelHasNoVersion,
    ModelNotFound,
    NotAModel,
    NotYetRegistered,
    RecordInvalid,
    RunstoneError,
    VersionNotFound,
)
from runstone.git.repository import Repository
from runstone.records.model import VersionBody
from runstone.records.stage import NO_STAGE
from runstone.registry import branch
from runstone.registry.entity import ModelVersion as ModelVersion
from runstone.registry.keys import check_model as check_model
from runstone.registry.keys import check_new_model, find_key, find_name, first_name
from runstone.registry.numbers import TAGS, Numbers, read_all_numbers, read_numbers
from runstone.registry.present import present_state
from runstone.registry.state import ModelState, read_states
from runstone.registry.tag import Retirement, parse_retirement, parse_version

if TYPE_CHECKING:
    from runstone.git.runs.branch import Recorded
    from runstone.records.model import ModelReference
    from runstone.records.run import Run
    from runstone.tracking.workspace import Workspace
    from runstone.uris import RunUri

_KEPT = 20_000
_RECENT = 8
_FEW = 24
"""As many objects are asked for one by one; for more a git process of its own is quicker."""


# --- register


def register_version(
    workspace: "Workspace",
    name: str,
    source: "RunUri",
    *,
    description: str | None = None,
    tags: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """Make a model folder of a run the next version of a registered model.

    Args:
        workspace: The repository.
        name: The model; it exists from its first version on.
        source: The run and the folder among its artifacts; it must hold an `MLmodel` file.
        description: What to say of this version.
        tags: Text to text, kept in the git tag.

    Writes:
        An annotated git tag on the run's commit, signed where git is set to sign tags. Numbers count from the highest
        ever given. With a git remote the run is sent there first, after its bytes; then the tag; and only then is the
        tag made here. Where no DVC remote can take the bytes yet, the tag is made here, and goes with a later sync.

    Raises:
        RunNotFound: There is no such run.
        NotYetRegistered: It has not ended, so there is no commit to tag yet; or none that has the model as it is now.
        RunstoneError: It is deleted.
        NotAModel: The folder is no model, or not there.
        ArtifactMissing: Its bytes are neither in the cache nor on the DVC remote.
        RemoteFailed: They are not in the cache, and the DVC remote cannot be asked.
        InvalidName: The name cannot be used, or differs from another model's by case alone.
        ModelRenamed: A model that has another name now had this one.
        ModelExists: A model that is deleted had this name last, and another one when it was made.
        VersionNotAllotted: The git remote cannot be reached, or does not take the tag. Nothing was changed.
        ArtifactsNotShared, PushRefused, RemoteBusy: The run could not be sent to the remote; see `sync`.
        SigningFailed: git is set to sign tags, and it could not be signed.
    """
    # Here, since whoever only looks a version up, which has to be quick, needs none of it.
    from runstone.registry.allocate import allocate
    from runstone.registry.former_names import refuse_former

    repo, given, name = workspace.repo, name, check_model(name)
    commit = branch.registry_commit(repo)
    key = find_key(repo, name, commit)
    check_new_model(repo, given, key, commit)
    refuse_former(repo, name, key)
    said = said_of(workspace, description, tags)
    recorded, reference = need_model(workspace, source)
    body = VersionBody(
        model=name_in_tags(repo, name, key),
        run=source.run_id,
        record=recorded.folder,
        path=reference.path,
        digest=reference.digest,
        flavors=reference.flavors,
        size=reference.size,
        signature=reference.signature,
        **said,
    )
    number = allocate(workspace, key, body, lambda: run_commit(repo, recorded.folder))
    return version_at(repo, commit, name, key, number)


def need_model(workspace: "Workspace", source: "RunUri") -> "tuple[Recorded, ModelReference]":
    """A run and the model it logged, as they may be registered; raises as `register_version` does.

    Writes:
        Runs of dead processes are recorded first.
    """
    from runstone.git.runs import live
    from runstone.registry.held import need_bytes
    from runstone.tracking.read import find_recorded, need_recorded

    workspace.recover()
    going_on = live.read_live(workspace.repo, source.run_id)
    if going_on is not None:  # it may have been committed as it stood, and the model is what it was then
        committed = find_recorded(workspace, going_on)
        if committed is None or _digest(committed.run, source.path) != _digest(going_on, source.path):
            raise NotYetRegistered(source.run_id)
    recorded = need_recorded(workspace, source.run_id)
    if recorded.run.lifecycle == "deleted":
        raise RunstoneError(f"Run {source.run_id} is deleted. Restore it: `runstone runs restore {source.run_id}`")
    models = recorded.run.models
    reference = next((model for model in models if model.path == source.path), None)
    if reference is None:
        raise NotAModel(str(source), [model.path for model in models])
    need_bytes(workspace, source, recorded, reference)
    return recorded, reference


def _digest(run: "Run", path: str) -> str | None:
    return next((model.digest for model in run.models if model.path == path), None)


def said_of(workspace: "Workspace", description: str | None, tags: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a person said of a version, as it may be recorded."""
    from runstone.tracking.values import check_keys, check_text, tag_value

    redactor = workspace.redactor
    if description is not None:
        description = redactor.text(check_text("description", "description", description), key="description")
    check_keys("tag", tags or ())
    texts = {key: str(redactor.param(key, tag_value(key, value))) for key, value in (tags or {}).items()}
    return {"description": description, "tags": texts}


def name_in_tags(repo: Repository, name: str, key: str) -> str:
    """The name that a model's git tags say: its first one, whatever it is called now."""
    return name if names.encode_component(name) == key else first_name(repo, key)


def run_commit(repo: Repository, folder: str) -> str:
    """The commit on the branch of runs that last changed a run's folder: the one that holds it as it is.

    Raises:
        RunstoneError: None does.
    """
    found = _recent_commit(repo, folder)
    if found is not None:
        return found
    _, out = repo.git("rev-list", "--first-parent", "-1", repo.runs_tip() or "", "--", folder)
    commit = out.decode().strip()
    if not commit:
        raise RunstoneError(f"No commit of `{repo.runs_ref}` holds {folder}. Look for damage: `runstone doctor`")
    return commit


def _recent_commit(repo: Repository, folder: str) -> str | None:
    """As `run_commit`, of what was recorded just now, without a git process; None for anything older."""
    tip = repo.runs_tip()
    if tip is None or repo.shallow:
        return None
    commit = repo.objects.commit(tip)
    here = repo.objects.entry(commit.tree, folder)
    for _ in range(_RECENT if here is not None else 0):
        if not commit.parents:
            return commit.oid
        older = repo.objects.commit(commit.parents[0])
        if repo.objects.entry(older.tree, folder) != here:
            return commit.oid
        commit = older
    return None


# --- read


def get_version(repo: Repository, name: str, version: int, *, include_retired: bool = False) -> ModelVersion:
    """One version.

    Raises:
        ModelNotFound: There is no such model.
        VersionNotFound: It has no such version, or it is retired and `include_retired` is not set.
        RecordInvalid: Its git tag only looks like a version's.
    """
    commit = branch.registry_commit(repo)
    return version_at(repo, commit, name, find_key(repo, name, commit), version, include_retired=include_retired)


def version_at(
    repo: Repository, commit: str | None, name: str, key: str, version: int, *, include_retired: bool = False
) -> ModelVersion:
    """As `get_version`, of a model whose key is known, by the registry's files at a commit; `name` is for messages."""
    tag = f"{key}@v{version}"
    found = repo.objects.find(f"{TAGS}{tag}")
    retired = repo.objects.find(f"{TAGS}{tag}!") if found is not None else None
    if found is None or (retired is not None and not include_retired):
        raise _not_found(repo, name, key, version, is_retired=retired is not None)
    state = present_state(repo, commit, key)
    retirement = None if retired is None else parse_retirement(retired[2] if retired[1] == "tag" else b"")
    return _present(_parse(tag, *found), state, state.stage_of(version), state.aliases_of(version), retirement)


def latest_version(repo: Repository, name: str) -> ModelVersion:
    """The version with the highest number that is not retired; raises `ModelNotFound`."""
    key = find_key(repo, name)
    for number in reversed(read_numbers(repo, key).present):
        if _find(repo, f"{key}@v{number}") is not None:
            return get_version(repo, name, number)
    raise no_version(repo, name, key)


def list_numbers(repo: Repository, name: str) -> list[int]:
    """The numbers of a model's versions that are not retired, ascending."""
    return read_numbers(repo, find_key(repo, name)).present


def list_names(repo: Repository) -> list[str]:
    """The models that have a version that is not retired, by name."""
    commit = branch.registry_commit(repo)
    found = []
    for key, numbers in read_all_numbers(repo).items():
        versions = (_find(repo, f"{key}@v{number}") for number in numbers.present)
        if any(each is not None for each in versions):
            found.append(find_name(repo, key, commit))
    return sorted(found)


def list_versions(repo: Repository, name: str | None = None, *, include_retired: bool = False) -> list[ModelVersion]:
    """The versions of one model or of all, by model, the newest number first.

    Git tags that only look like versions are left out. The registry's files are read once for all.

    Args:
        repo: The repository.
        name: A model; all if None.
        include_retired: Whether those that are retired are listed, too.
    """
    commit = branch.registry_commit(repo)
    if name is None:
        numbers, states = read_all_numbers(repo), read_states(repo, commit)
    else:
        key = find_key(repo, name, commit)
        numbers, states = {key: read_numbers(repo, key)}, {key: present_state(repo, commit, key)}
    found = [
        version
        for key, each in numbers.items()
        for version in _list_model(repo, states.get(key) or ModelState(key), each, include_retired=include_retired)
    ]
    return found if name is not None else sorted(found, key=lambda version: (version.name, -version.version))


def _list_model(
    repo: Repository, state: ModelState, numbers: Numbers, *, include_retired: bool
) -> Iterator[ModelVersion]:
    wanted = sorted(numbers.versions, reverse=True) if include_retired else numbers.present[::-1]
    retired = [number for number in wanted if number in numbers.retired]
    oids = [*(numbers.versions[number] for number in wanted), *(numbers.retired[number] for number in retired)]
    data = _read_tags(repo, oids)
    stages = {number: stage for stage, held in state.stages.items() for number in held}
    aliases: dict[int, list[str]] = {}
    for alias, number in sorted(state.aliases.items()):
        aliases.setdefault(number, []).append(alias)
    for number in wanted:
        try:
            version = _parse(f"{state.key}@v{number}", *data[numbers.versions[number]])
        except RecordInvalid:
            continue  # it only looks like a version
        end = numbers.retired.get(number)
        retirement = None if end is None else parse_retirement(data[end][2])
        yield _present(version, state, stages.get(number, NO_STAGE), tuple(aliases.get(number, ())), retirement)


def _read_tags(repo: Repository, oids: Sequence[str]) -> dict[str, tuple[str, str, bytes]]:
    """What refs name: id → as `Objects.find`; what is no tag is of no further use, and told as a blob."""
    if len(oids) <= _FEW:
        return {oid: repo.objects.read(oid) for oid in oids}
    return {
        oid: (oid, "tag" if data.startswith(b"object ") else "blob", data) for oid, data in repo.objects.read_many(oids)
    }


_parsed: dict[tuple[str, str], ModelVersion] = {}


def _parse(tag: str, oid: str, kind: str, data: bytes) -> ModelVersion:
    """A version by what its git tag says; kept, as an object never changes."""
    found = _parsed.get((tag, oid))
    if found is not None:
        return found
    tagged, body = parse_version(tag, kind, data)
    if len(_parsed) >= _KEPT:
        _parsed.clear()
    key, _, number = tag.rpartition("@v")
    found = _parsed[tag, oid] = ModelVersion(
        name=body.model,
        version=int(number),
        run_id=body.run,
        source=f"runs:/{body.run}/{body.path}",
        path=body.path,
        record=body.record,
        commit=tagged.commit,
        digest=body.digest,
        flavors=body.flavors,
        size=body.size,
        signature=body.signature,
        description=body.description,
        creation_timestamp=_imported_time(body) or tagged.timestamp,
        user_id=tagged.user_id,
        tags=body.tags,
        key=key,
        copied_from=body.copied_from,
    )
    return found


def _imported_time(body: VersionBody) -> int | None:
    """When a version was made that was imported: there, and not here."""
    imported = body.extra.get("imported")
    if not isinstance(imported, dict) or not isinstance(imported.get("created"), str):
        return None
    from runstone.records.document import parse_time

    try:
        return parse_time(imported["created"])
    except ValueError:
        return None


def _present(
    version: ModelVersion, state: ModelState, stage: str, aliases: tuple[str, ...], retired: Retirement | None
) -> ModelVersion:
    """A version with what the default branch says of it."""
    notes = state.notes.get(version.version)
    return version.replace(
        name=state.file.name or version.name,
        description=version.description if notes is None else notes.description,
        tags=dict(version.tags if notes is None else notes.tags),  # a map of the caller's own
        current_stage=stage,
        aliases=aliases,
        retired=retired,
    )


def _find(repo: Repository, tag: str) -> ModelVersion | None:
    """A version by its git tag; None if there is no such tag, or it only looks like one."""
    found = repo.objects.find(f"{TAGS}{tag}")
    try:
        return None if found is None else _parse(tag, *found)
    except RecordInvalid:
        return None


def _not_found(repo: Repository, name: str, key: str, version: int, *, is_retired: bool) -> RunstoneError:
    numbers = read_numbers(repo, key).present
    if numbers or is_retired:
        return VersionNotFound(name, version, numbers, is_retired=is_retired)
    return no_version(repo, name, key)


def no_version(repo: Repository, name: str, key: str) -> ModelNotFound:
    """The error for a model that has no version; it may not be there at all."""
    if present_state(repo, branch.registry_commit(repo), key).has_file:
        return ModelHasNoVersion(name)
    return ModelNotFound(name, list_names(repo))
