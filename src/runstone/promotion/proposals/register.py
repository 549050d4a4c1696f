"""Propose that what a run logged becomes the next version: a request in a file, which CI meets once it is merged."""

from collections.abc import Mapping
from dataclasses import replace

from runstone.errors import NotAModel, NotProposed, NotYetRegistered, RemoteUnreachable, RunstoneError
from runstone.git import transport
from runstone.git.repository import Repository
from runstone.git.runs import live
from runstone.promotion.proposals.ground import Ground
from runstone.promotion.proposals.plan import Plan, Wish
from runstone.promotion.proposals.propose import Options, Outcome, propose
from runstone.promotion.rules.versions import find_version
from runstone.records.registration import Registration
from runstone.registry.former_names import refuse_former
from runstone.registry.held import need_bytes
from runstone.registry.keys import check_new_model
from runstone.registry.model import find_key
from runstone.registry.version import run_commit
from runstone.tracking.read import need_recorded
from runstone.tracking.sync import sync
from runstone.tracking.values import check_text
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri


def propose_registration(
    workspace: Workspace,
    name: str,
    source: RunUri,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    why: str | None = None,
    options: Options | None = None,
) -> Outcome:
    """Open the proposal to register a run's model; where it is to be pushed, the run is shared first.

    Args:
        workspace: The repository.
        name: The model; it need not exist yet.
        source: The run and the model's folder among its artifacts.
        description: What to say of the version.
        tags: Its tags.
        why: What to say of the proposal.
        options: How; see `propose`.

    Writes:
        What `sync` and `propose` write.

    Raises:
        RunNotFound, NotYetRegistered, NotAModel, ArtifactMissing: There is nothing to register, or not all of it.
        ArtifactsNotShared, RemoteUnreachable …: The run cannot be shared; as `sync`.
        As `propose`.
    """
    options, repo = options or Options(), workspace.repo
    if description is not None:
        description = workspace.redactor.text(check_text("description", "description", description), key="description")
    workspace.recover()
    if source.run_id in live.list_live(repo):
        raise NotYetRegistered(source.run_id)
    recorded = need_recorded(workspace, source.run_id)
    if recorded.run.lifecycle == "deleted":
        raise RunstoneError(f"Run {source.run_id} is deleted. Restore it: `runstone runs restore {source.run_id}`")
    models = recorded.run.models
    reference = next((model for model in models if model.path == source.path), None)
    if reference is None:
        raise NotAModel(str(source), [model.path for model in models])
    need_bytes(workspace, source, recorded, reference)
    if options.push and transport.find_remote(repo, options.remote) is not None:
        try:
            sync(workspace, remote=options.remote, progress=options.progress)  # may move the run to another commit
        except RemoteUnreachable as error:
            raise NotProposed(error.remote, error.url, error.why) from error
    request = Registration(
        run=source.run_id,
        path=reference.path,
        record=recorded.folder,
        commit=run_commit(repo, recorded.folder),
        digest=reference.digest,
        description=description,
        tags=dict(tags or {}),
    )

    def wish(ground: Ground) -> Wish:
        check_new_model(repo, name, ground.state.key, ground.commit)
        refuse_former(repo, ground.model, ground.state.key)
        made = Wish("register", ground.state.key, ground.model, registration=request, why=why)
        version = _find_registered(repo, ground, request.run, request.path)
        if version is not None:
            raise _Registered(replace(made, versions=(version,)))
        return made

    try:
        return propose(workspace, find_key(repo, name), wish, options)
    except _Registered as error:
        made = error.wish
        nothing = f"`{request.path}` of run {request.run} is {made.model} v{made.versions[0]} already."
        return Outcome(Plan(made, "", "", nothing=nothing))


class _Registered(Exception):
    """The run's model is a version already."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        super().__init__()


def _find_registered(repo: Repository, ground: Ground, run: str, path: str) -> int | None:
    """The version that a run's model already is; None if it is none."""
    for number in sorted(ground.numbers.versions, reverse=True):
        found = find_version(repo, ground.state.key, number)
        if found is not None and (found.body.run, found.body.path) == (run, path):
            return number
    return None
