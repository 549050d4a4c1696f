"""Model versions: annotated git tags `<model>@v<N>` on the commit of the run that made them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runstone import names
from runstone.errors import (
    InvalidName,
    ModelNotFound,
    NotAModel,
    NotYetRegistered,
    RecordInvalid,
    RefMoved,
    RunstoneError,
    VersionNotFound,
)
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.runs import live
from runstone.git.runs.branch import read_runs
from runstone.records import yaml
from runstone.records.document import Document
from runstone.records.model import ModelReference, VersionBody
from runstone.registry.held import need_bytes
from runstone.tracking.read import need_recorded
from runstone.tracking.values import check_text
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri

if TYPE_CHECKING:
    from runstone.index.paging import PagedList

_TAGS = "refs/tags/"
_ATTEMPTS = 100
_MAX_RESULTS = 200_000
_STEP = "If it is no model version, give it another name: `git tag NEW OLD && git tag -d OLD`"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model.

    Attributes:
        name: The model.
        version: 1, 2, 3 …
        run_id: The run that made it.
        source: `runs:/<run id>/<path>`.
        path: The model folder among the run's artifacts.
        record: The run's folder in `commit`.
        commit: The commit that the git tag points at.
        digest: `md5:<hex>.dir` of the model folder.
        flavors: What can load it.
        size: Bytes.
        signature: The types of its inputs and outputs, if known.
        description: What its author said of it.
        aliases: The aliases that point at it.
        creation_timestamp: Unix milliseconds.
        user_id: Who made the git tag.
        current_stage: `None`: stages are moved by reviewed files, which this version of Runstone does not read yet.
        status: `READY`: a version exists only once it is whole.
    """

    name: str
    version: int
    run_id: str
    source: str
    path: str
    record: str
    commit: str
    digest: str
    flavors: tuple[str, ...] = ()
    size: int = 0
    signature: Document | None = None
    description: str | None = None
    aliases: tuple[str, ...] = ()
    creation_timestamp: int | None = None
    user_id: str | None = None
    current_stage: str = "None"
    status: str = "READY"
    tags: dict[str, str] = field(default_factory=dict)


def register_version(
    workspace: Workspace, name: str, source: RunUri, *, description: str | None = None
) -> ModelVersion:
    """Make a model folder of a run the next version of a registered model.

    Args:
        workspace: The repository.
        name: The model; it exists from its first version on.
        source: The run and the folder among its artifacts; it must hold an `MLmodel` file.
        description: What to say of this version.

    Writes:
        An annotated git tag on the run's commit. Numbers count from the highest ever given.

    Raises:
        RunNotFound: There is no such run.
        NotYetRegistered: It has not ended, so there is no commit to tag yet.
        RunstoneError: It is deleted.
        NotAModel: The folder is no model, or not there.
        ArtifactMissing: Its bytes are neither in the cache nor on the DVC remote.
        RemoteFailed: They are not in the cache, and the DVC remote cannot be asked.
        InvalidName: The name cannot be used, or differs from another model's by case alone.
    """
    name = check_model(name)
    if description is not None:
        description = workspace.redactor.text(check_text("description", "description", description), key="description")
    repo = workspace.repo
    workspace.recover()
    if source.run_id in live.list_live(repo):
        raise NotYetRegistered(source.run_id)
    recorded = need_recorded(workspace, source.run_id)
    if recorded.run.lifecycle == "deleted":
        raise RunstoneError(f"Run {source.run_id} is deleted. Restore it: `runstone runs restore {source.run_id}`")
    reference = _reference(recorded.run.models, source)
    need_bytes(workspace, source, recorded, reference)
    commit = run_commit(repo, recorded.folder)
    body = VersionBody(
        model=name,
        run=source.run_id,
        record=recorded.folder,
        path=reference.path,
        digest=reference.digest,
        flavors=reference.flavors,
        size=reference.size,
        signature=reference.signature,
        description=description,
    )
    for _ in range(_ATTEMPTS):
        _refuse_other_case(repo, name)
        number = max((version for version, _ in _numbers(repo, name)), default=0) + 1
        tag = names.format_version_tag(name, number)
        message = f"{name} version {number}\n\n{yaml.dump(body.to_document())}"
        oid = repo.objects.write_tag(commit, tag, repo.identity("committer"), message)
        try:
            repo.refs.update([RefUpdate(_TAGS + tag, oid, None)])
        except RefMoved:
            continue  # another process took this number
        return get_version(repo, name, number)
    raise RefMoved(_TAGS + tag, None)


def check_model(name: str) -> str:
    """Return the name of a model in Unicode normal form C, or raise `InvalidName`."""
    return names.check_name("model", name)


def get_version(repo: Repository, name: str, version: int) -> ModelVersion:
    """One version; raises `ModelNotFound`, `VersionNotFound`, and `RecordInvalid` for a git tag that is none."""
    from runstone.registry.alias import read_aliases

    tag = names.format_version_tag(check_model(name), version)
    found = repo.objects.find(_TAGS + tag)
    if found is None:
        raise _not_found(repo, name, version)
    aliases = tuple(alias for alias, target in read_aliases(repo, name).items() if target == version)
    return replace(_parse(tag, found), aliases=aliases)


def latest_version(repo: Repository, name: str) -> ModelVersion:
    """The version with the highest number that is not retired; raises `ModelNotFound`."""
    for number in reversed(list_numbers(repo, name)):
        if _find(repo, names.format_version_tag(name, number)) is not None:
            return get_version(repo, name, number)
    raise ModelNotFound(name, list_names(repo))


def list_numbers(repo: Repository, name: str) -> list[int]:
    """The numbers of a model's versions that are not retired, ascending."""
    numbers = _numbers(repo, name)
    retired = {version for version, is_retired in numbers if is_retired}
    return sorted({version for version, _ in numbers} - retired)


def list_names(repo: Repository) -> list[str]:
    """The models that have a version, by name."""
    found: dict[str, str] = {}
    for ref in repo.refs.list(_TAGS):
        tag = ref.removeprefix(_TAGS)
        parsed = names.parse_version_tag(tag)
        if parsed is not None and not parsed[2] and parsed[0] not in found:
            version = _find(repo, tag)
            if version is not None:
                found[parsed[0]] = version.name
    return sorted(found.values())


def list_versions(repo: Repository, name: str | None = None) -> list[ModelVersion]:
    """All versions that are not retired, of one model or of all; the newest number first.

    Git tags that only look like versions are left out.
    """
    from runstone.registry.alias import read_aliases

    versions = []
    for model in [name] if name is not None else list_names(repo):
        by_version: dict[int, list[str]] = {}
        for alias, target in read_aliases(repo, model).items():
            by_version.setdefault(target, []).append(alias)
        for number in reversed(list_numbers(repo, model)):
            version = _find(repo, names.format_version_tag(model, number))
            if version is not None:
                versions.append(replace(version, aliases=tuple(by_version.get(number, ()))))
    return versions


def search_versions(
    repo: Repository,
    filter_string: str | None = None,
    max_results: int = 10_000,
    order_by: Sequence[str] | None = None,
    page_token: str | None = None,
) -> "PagedList[ModelVersion]":
    """Versions of all models that meet a filter, one page of them; raises `FilterInvalid`."""
    from runstone.index.fields import MODEL_VERSIONS
    from runstone.index.search import search_rows

    return search_rows(
        list_versions(repo),
        lambda v: {
            "attributes": {
                "name": v.name,
                "version": v.version,
                "run_id": v.run_id,
                "source_path": v.source,
                "description": v.description,
                "alias": v.aliases,
                "stage": v.current_stage,
                "user_id": v.user_id,
                "creation_timestamp": v.creation_timestamp,
                "last_updated_timestamp": v.creation_timestamp,
            },
            "tags": v.tags,
        },
        MODEL_VERSIONS,
        filter_string=filter_string,
        order_by=order_by,
        default_order=("creation_timestamp DESC", "name", "version DESC"),
        max_results=max_results,
        limit=_MAX_RESULTS,
        page_token=page_token,
    )


def run_commit(repo: Repository, folder: str) -> str:
    """The commit on the branch of runs that last changed a run's folder: the one that holds it as it is.

    Raises:
        RunstoneError: None does.
    """
    tip = read_runs(repo).base or ""
    _, out = repo.git("rev-list", "--first-parent", "-1", tip, "--", folder)
    commit = out.decode().strip()
    if not commit:
        raise RunstoneError(f"No commit of `{repo.runs_ref}` holds {folder}. Look for damage: `runstone doctor`")
    return commit


def _reference(models: Sequence[ModelReference], source: RunUri) -> ModelReference:
    found = next((model for model in models if model.path == source.path), None)
    if found is None:
        raise NotAModel(str(source), [model.path for model in models])
    return found


def _numbers(repo: Repository, name: str) -> list[tuple[int, bool]]:
    encoded = names.encode_component(check_model(name))
    parsed = (names.parse_version_tag(ref.removeprefix(_TAGS)) for ref in repo.refs.list(f"{_TAGS}{encoded}@v*"))
    return [(version, retired) for model, version, retired in filter(None, parsed) if model == encoded]


def _refuse_other_case(repo: Repository, name: str) -> None:
    """On many disks tags that differ by case alone are one file, so a clone there would lose one of the models."""
    encoded = names.encode_component(name)
    for ref in repo.refs.list(_TAGS):
        parsed = names.parse_version_tag(ref.removeprefix(_TAGS))
        if parsed is not None and parsed[0] != encoded and parsed[0].lower() == encoded.lower():
            other = names.decode_component(parsed[0])
            raise InvalidName("model", name, f"it differs from the model {other!r} by case alone")


def _not_found(repo: Repository, name: str, version: int) -> RunstoneError:
    numbers = list_numbers(repo, name)
    return VersionNotFound(name, version, numbers) if numbers else ModelNotFound(name, list_names(repo))


def _find(repo: Repository, tag: str) -> ModelVersion | None:
    """A version by its git tag; None if there is no such tag, or it only looks like one."""
    found = repo.objects.find(_TAGS + tag)
    try:
        return None if found is None else _parse(tag, found)
    except RecordInvalid:
        return None


def _parse(tag: str, found: tuple[str, str, bytes]) -> ModelVersion:
    """A version out of the object that its git tag names; its aliases stand elsewhere."""
    _, kind, data = found
    where = f"{_TAGS}{tag}"
    if kind != "tag":
        raise RecordInvalid(
            where, "it must be an annotated tag that Runstone wrote, but is a plain one", next_step=_STEP
        )
    head, _, message = data.decode("utf-8", "replace").partition("\n\n")
    fields = {key: value for key, _, value in (line.partition(" ") for line in head.split("\n"))}
    body = VersionBody.from_document(yaml.load(_unsigned(message.partition("\n\n")[2]), where), where)
    tagger = fields.get("tagger", "")
    seconds = tagger.rsplit(" ", 2)[-2:-1]
    parsed = names.parse_version_tag(tag)
    assert parsed is not None
    if names.encode_component(check_model(body.model)) != parsed[0]:
        raise RecordInvalid(where, f"its body is about another model, {body.model!r}", next_step=_STEP)
    return ModelVersion(
        name=body.model,
        version=parsed[1],
        run_id=body.run,
        source=f"runs:/{body.run}/{body.path}",
        path=body.path,
        record=body.record,
        commit=fields["object"],
        digest=body.digest,
        flavors=body.flavors,
        size=body.size,
        signature=body.signature,
        description=body.description,
        creation_timestamp=int(seconds[0]) * 1000 if seconds and seconds[0].isdigit() else None,
        user_id=tagger.partition(" <")[0] or None,
    )


def _unsigned(text: str) -> str:
    """The body without the signature that `git tag -s` puts after it."""
    return text.partition("\n-----BEGIN ")[0] + "\n"
