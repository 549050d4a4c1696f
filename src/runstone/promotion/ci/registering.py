"""`ci register`: makes versions of what merged requests ask for, or of what a pipeline has just logged.

One request gives one version, however many jobs work at it at once: a job tries for number N only when it has read the
bodies of all versions below N, and none of them is what it is about to make. The push of the tag N is a compare-and-
swap (`registry.allocate.allot`), so of two jobs one gets N, and the other reads N before it tries for N + 1. A job that
is killed leaves a version or none, and the next one goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Literal

from runstone import names
from runstone.errors import (
    InvalidName,
    NewerFormat,
    PushRefused,
    RecordInvalid,
    RegistrationRefused,
    RemoteBusy,
    RemoteUnreachable,
    RunstoneError,
)
from runstone.errors.base import some
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.git.runs.branch import Draft, Recorded
from runstone.promotion.ci.upstream import Tagged, Upstream
from runstone.records import yaml
from runstone.records.model import ModelReference, VersionBody
from runstone.records.model_file import ModelFile
from runstone.records.registration import Registration
from runstone.registry import allocate as numbers
from runstone.registry.branch import list_folder, read_file
from runstone.registry.former_names import refuse_former
from runstone.registry.held import need_bytes
from runstone.registry.layout import Place
from runstone.registry.numbers import parse_numbers
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, RunUri

_WHOLE = 2**31 - 1
"""As a depth: all of a history."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request.

    Attributes:
        model: The model's name.
        run: The run whose model is asked for.
        path: The model folder among its artifacts; empty where the request cannot be read.
        state: `made`, `present` where a version of it was there, or `refused`.
        version: The number, where there is a version.
        file: The file that asks for it, if one does.
        why: Why it was refused.
    """

    model: str
    run: str
    path: str
    state: Literal["made", "present", "refused"]
    version: int | None = None
    file: str | None = None
    why: str = ""

    @property
    def uri(self) -> str | None:
        """`models:/churn/4`; None where there is no version."""
        return None if self.version is None else str(ModelUri(self.model, version=self.version))


@dataclass(frozen=True, slots=True)
class Request:
    """A registration request as the default branch holds it.

    Attributes:
        key: The model's folder.
        first: The name that the folder is made of; the model may have been renamed since.
        model: Its present name.
        file: The file.
        registration: What it says.
    """

    key: str
    first: str
    model: str
    file: str
    registration: Registration

    def outcome(self, state: Literal["made", "present"], version: int) -> Outcome:
        """What became of it."""
        return Outcome(self.model, self.registration.run, self.registration.path, state, version, self.file)

    def refused(self, why: str) -> Outcome:
        """As `outcome`."""
        return Outcome(self.model, self.registration.run, self.registration.path, "refused", file=self.file, why=why)


def register_merged(workspace: Workspace, upstream: Upstream, *, commit: str | None = None) -> list[Outcome]:
    """Make a version of every registration request on the default branch that none meets yet.

    Args:
        workspace: The repository.
        upstream: Its remote.
        commit: Which commit of the default branch counts; the remote's newest if None.

    Returns:
        What became of each request, in the order of their files. A bad one does not stop the others.

    Writes:
        Annotated git tags, on the remote by compare-and-swap and then here; objects and remote-tracking refs that the
        work needs.

    Raises:
        RemoteUnreachable: The remote cannot be asked.
        UsageError: The default branch does not have `commit`.
    """
    outcomes: dict[str, Outcome] = {}
    requests = []
    for read in read_requests(workspace.repo, upstream.merged_commit(commit)):
        if isinstance(read, Outcome):
            outcomes[read.file or ""] = read
        else:
            requests.append(read)
    upstream.bodies(tag for request in requests for tag in _on_commit(upstream, request).values())  # all at once
    pending = []
    for request in requests:
        try:
            met = find_version(upstream, request.key, _on_commit(upstream, request), request.registration)
        except RunstoneError as error:
            outcomes[request.file] = request.refused(str(error))
            continue
        if met is None:
            pending.append(request)
        else:
            outcomes[request.file] = request.outcome("present", met)
    on_line = upstream.bring_runs({request.registration.commit for request in pending}) if pending else set()
    for request in pending:
        try:
            outcomes[request.file] = _register(workspace, upstream, request, on_line)
        except RunstoneError as error:
            outcomes[request.file] = request.refused(str(error))
    return [outcomes[file] for file in sorted(outcomes)]


def read_requests(repo: Repository, commit: str) -> list[Request | Outcome]:
    """The registration requests at a commit, in the order of their files; those that cannot be read are refused."""
    found: list[Request | Outcome] = []
    registry = repo.config.registry
    for key, folder in sorted(list_folder(repo, commit, registry).items()):
        place = f"{registry}/{key}/registrations"
        entries = list_folder(repo, commit, place) if folder.is_tree else {}
        files = [name for name in sorted(entries) if name.endswith(".yaml") and entries[name].is_file]
        if not files:
            continue
        try:
            first, model = first_name(key, _present_name(repo, commit, key))
        except RunstoneError as error:
            found += [Outcome(key, file[:-5], "", "refused", file=f"{place}/{file}", why=str(error)) for file in files]
            continue
        for file in files:
            run = file.removesuffix(".yaml")
            path = Place("registration", key, run).path(registry)
            where = f"{path} at {commit[:7]}"
            try:
                read = Registration.from_document(yaml.load(repo.objects.blob(entries[file].oid), where), where)
                if read.run != run:
                    raise RecordInvalid(where, f"`run` must be the name of the file, but is {read.run!r}")
                found.append(Request(key, first, model, path, read))
            except (RecordInvalid, NewerFormat) as error:
                found.append(Outcome(model, run, "", "refused", file=path, why=str(error)))
    return found


def _present_name(repo: Repository, commit: str, key: str) -> str | None:
    path = Place("model", key).path(repo.config.registry)
    text = read_file(repo, commit, path)
    where = f"{path} at {commit[:7]}"
    return None if text is None else ModelFile.from_document(yaml.load(text, where), where).name


def first_name(key: str, present: str | None) -> tuple[str, str]:
    """The name that a model's folder and tags are made of, and its present one.

    Raises:
        InvalidName: The folder is named as Runstone names none, so that no tag can be made for it.
    """
    decoded = names.decode_component(key)
    for name in (present, decoded):  # of a name too long for a path the key tells a part only
        if name and names.encode_component(names.check_name("model", name)) == key:
            return name, present or name
    raise InvalidName("model", decoded, f"its folder would be {names.encode_component(decoded)}, and not {key}")


def make_body(
    workspace: Workspace,
    model: str,
    recorded: Recorded,
    reference: ModelReference,
    *,
    description: str | None = None,
    tags: dict[str, str] | None = None,
) -> VersionBody:
    """What the tag of a version says of a model that a run logged, once its bytes are known to be there.

    Raises:
        RunstoneError: The run is deleted.
        ArtifactMissing, RemoteFailed: Its bytes are nowhere, or the DVC remote cannot be asked.
    """
    run = recorded.run
    if run.lifecycle == "deleted":
        raise RunstoneError(f"Run {run.id} is deleted. Restore it: `runstone runs restore {run.id}`")
    remote = workspace.artifacts.remote()
    if remote is not None:  # a remote that cannot be asked is no yes here: a version is for good
        remote.need_folder()
        remote.missing([reference.digest.removeprefix("md5:")])
    need_bytes(workspace, RunUri(run.id, reference.path), recorded, reference)
    return VersionBody(
        model=model,
        run=run.id,
        record=recorded.folder,
        path=reference.path,
        digest=reference.digest,
        flavors=reference.flavors,
        size=reference.size,
        signature=reference.signature,
        description=description,
        tags=tags or {},
    )


def allocate(upstream: Upstream, key: str, body: VersionBody, commit: str) -> tuple[int, bool]:
    """Make the next version of a model, unless there is one of the same run and path; why this is sure stands above.

    Returns:
        The number, and whether it was made now.

    Raises:
        InvalidName: The model differs from another by case alone, or would get a name that people cannot tell apart.
        ModelExists: A deleted model gave out versions under the name that it would get.
        PushRefused, RemoteBusy: The remote does not take the tag.
    """
    repo, remote = upstream.repo, upstream.remote
    if not upstream.versions(key):
        _refuse_new(upstream, key, body.model)

    def look() -> Mapping[str, str]:
        upstream.look()
        return upstream.refs

    def find() -> int | None:
        return find_version(upstream, key, upstream.versions(key), body)

    try:
        number, oid = numbers.allot(repo, remote, key, body, commit, upstream.refs, look, unless=find)
    except numbers.NotTaken as error:
        if error.is_refused:
            raise PushRefused(error.remote, f"refs/tags/{key}@v*", error.why) from error
        if isinstance(error.__cause__, RemoteUnreachable):
            raise error.__cause__ from error
        raise RemoteBusy(error.remote, f"{key}@v*", numbers.ATTEMPTS, error.why) from error
    if oid is not None:
        upstream.add_version(key, number, oid)
    return number, oid is not None


def _refuse_new(upstream: Upstream, key: str, name: str) -> None:
    """Refuse what a model that has no version yet must not be called.

    Writes:
        Objects, where a model was deleted: the past tells what it was called.
    """
    names.check_new_model(name)
    repo, known = upstream.repo, parse_numbers(upstream.refs)
    commit = upstream.merged_commit(None) if upstream.tip is not None else None
    folders = {} if commit is None else list_folder(repo, commit, repo.config.registry)
    if any(other != key and (other not in folders or not each.present) for other, each in known.items()):
        upstream.bodies(Tagged(each.retired[max(each.retired)], "") for each in known.values() if each.retired)
        upstream.bring_past(_WHOLE)
        refuse_former(repo, name, key, known=known, commit=commit)


def find_version(
    upstream: Upstream, key: str, tags: Mapping[int, Tagged], wanted: Registration | VersionBody
) -> int | None:
    """The lowest of some versions of a model that is of this run and path; None if none is. Retired ones count.

    Raises:
        RunstoneError: The git tag of one claims the run and the path, and has another digest or record: whoever pushed
            it would have the request met by another model.
    """
    bodies = upstream.bodies(tags.values())
    forged: tuple[int, str] | None = None
    for number in sorted(tags):
        body = bodies.get(tags[number].oid)
        if body is None or not body.model or names.encode_component(body.model) != key:
            continue  # no reader takes it for a version of this model
        if (body.run, body.path) != (wanted.run, wanted.path):
            continue
        why = _contradicts(upstream, tags[number], body, wanted)
        if why is None:
            return number
        if forged is None and f"refs/tags/{key}@v{number}!" not in upstream.refs:
            forged = (number, why)
    if forged is None:
        return None
    number, why = forged
    raise RunstoneError(
        f"The git tag `{key}@v{number}` claims to be `{wanted.path}` of the run {wanted.run}, and is not: {why}. "
        f"See who pushed it, then retire it: `runstone models retire {quote(key)} {number}`"
    )


def _contradicts(upstream: Upstream, tag: Tagged, body: VersionBody, wanted: Registration | VersionBody) -> str | None:
    """How a version is another one than what is wanted of the same run and path; None if it is the same."""
    if body.digest != wanted.digest:
        return f"its digest is {body.digest}, and that model has {wanted.digest}"
    if body.record != wanted.record:
        return f"its record is `{body.record}`, and that of the run `{wanted.record}`"
    if isinstance(wanted, Registration) and tag.commit == wanted.commit:
        return None
    if tag.commit not in upstream.bring_runs({tag.commit}):
        return f"it is on the commit {tag.commit[:12]}, which the branch of runs does not have"
    return None


def _on_commit(upstream: Upstream, request: Request) -> dict[int, Tagged]:
    """The versions on the request's own commit: mostly the one that met it, so that no other is brought to see that."""
    tags = upstream.versions(request.key)
    return {number: tag for number, tag in tags.items() if tag.commit == request.registration.commit}


def _register(workspace: Workspace, upstream: Upstream, request: Request, on_line: set[str]) -> Outcome:
    asked, repo = request.registration, workspace.repo

    def refuse(why: str, step: str = "") -> RegistrationRefused:
        again = f"`runstone register {quote(request.model)} --run {quote(asked.run)} --propose`"
        return RegistrationRefused(request.file, why, step or f"Ask for it anew: {again}")

    if asked.commit not in on_line:
        where = f"the branch `{repo.config.branch}` of `{upstream.remote or 'this repository'}`"
        raise refuse(f"its commit {asked.commit[:12]} is not on {where}", "Share the run: `runstone sync`")
    place = layout.parse_run_folder(asked.record)
    recorded = Draft(repo, asked.commit).run(asked.record)
    if place is None or recorded is None or not place.run_id == recorded.run.id == asked.run:
        raise refuse(f"`{asked.record}` in {asked.commit[:12]} is not the record of this run")
    reference = next((each for each in recorded.run.models if each.path == asked.path), None)
    if reference is None:
        logged = some([each.path for each in recorded.run.models]) or "none"
        raise refuse(f"the run logged no model `{asked.path}`; it logged {logged}")
    if reference.digest != asked.digest:
        raise refuse(f"its digest is {asked.digest}, and the run recorded {reference.digest}")
    present = Draft(repo, upstream.runs).run(asked.record)
    if present is None or present.run.lifecycle == "deleted":
        raise refuse("the run was deleted since", f"Restore it: `runstone runs restore {quote(asked.run)}`")
    body = make_body(
        workspace, request.first, recorded, reference, description=asked.description, tags=dict(asked.tags)
    )
    number, is_new = allocate(upstream, request.key, body, asked.commit)
    return request.outcome("made" if is_new else "present", number)
