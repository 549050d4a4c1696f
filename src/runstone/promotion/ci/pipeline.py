"""`ci register --run` and `--best`: make a version straight from a pipeline of what it has just logged."""

from runstone.errors import NotAModel, RunstoneError, UsageError
from runstone.git.stream import Progress
from runstone.index.experiments import find_experiment
from runstone.index.fields import key_field
from runstone.index.search import search_runs
from runstone.promotion.ci.registering import Outcome, allocate, first_name, make_body
from runstone.promotion.ci.upstream import Upstream
from runstone.records.policy import Direction
from runstone.registry.keys import find_key
from runstone.registry.state import read_policy
from runstone.registry.version import run_commit
from runstone.tracking.read import need_recorded
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace

_PAGE = 100


def share(workspace: Workspace, *, remote: str | None = None, progress: Progress | None = None) -> Upstream:
    """Share what this clone has logged, and bring what others have: a version is made of a run that all can get.

    Returns:
        The remote as it is then.

    Writes:
        As `tracking.sync.sync`, but for others' git tags of versions.

    Raises:
        As `tracking.sync.sync`.
    """
    upstream = Upstream(workspace.repo, remote, progress)
    if upstream.remote is not None:
        sync(workspace, remote=upstream.remote, receive=False, progress=progress)
        upstream.look()
    return upstream


def register_run(workspace: Workspace, upstream: Upstream, run_id: str, model: str, path: str | None = None) -> Outcome:
    """Make the next version of a model of what a run logged, unless one of that run and path is there.

    Args:
        workspace: The repository.
        upstream: What `share` gave.
        run_id: The run.
        model: The model's name; it exists from its first version on.
        path: The model folder among the run's artifacts; may be None where the run logged one model.

    Writes:
        An annotated git tag, on the remote by compare-and-swap and then here.

    Raises:
        RunNotFound: There is no such run.
        NotAModel: It logged no such model, or several and none was chosen.
        ArtifactMissing: The bytes are nowhere.
        PushRefused, RemoteBusy: The remote does not take the tag.
    """
    key = find_key(workspace.repo, model, _commit(upstream))
    first = first_name(key, model)[0]
    recorded = need_recorded(workspace, run_id)
    known = recorded.run.models
    chosen = [each for each in known if path in (None, each.path)]
    if len(chosen) > 1:
        raise UsageError(f"Run {run_id} logged several models. Choose one: `--path {chosen[0].path}`")
    if not chosen:
        raise NotAModel(f"runs:/{run_id}/{path or ''}", [each.path for each in known])
    body = make_body(workspace, first, recorded, chosen[0])
    commit = run_commit(workspace.repo, recorded.folder)
    if upstream.remote is not None and commit not in upstream.bring_runs({commit}):
        raise RunstoneError(f"Run {run_id} is not on `{upstream.remote}` yet. Share it: `runstone sync`")
    number, is_new = allocate(upstream, key, body, commit)
    return Outcome(model, body.run, body.path, "made" if is_new else "present", number)


def best_run(
    workspace: Workspace,
    upstream: Upstream,
    metric: str,
    model: str,
    *,
    direction: Direction | None = None,
    experiment: str | None = None,
    filter_string: str = "",
    path: str | None = None,
) -> str:
    """The finished run with the best last value of a metric, of those that logged a model.

    Args:
        workspace: The repository.
        upstream: Its remote; its policy may say which direction is better.
        metric: The metric's name.
        model: The model whose version it is to be.
        direction: Whether higher or lower is better; what the policy says if None.
        experiment: Only runs of this one, by name or id.
        filter_string: Only runs that meet it.
        path: The model folder that it must have logged.

    Raises:
        UsageError: Neither the caller nor the policy says which direction is better.
        RunstoneError: There is no such run.
        FilterInvalid, ExperimentNotFound: As a search.
    """
    repo = workspace.repo
    commit = _commit(upstream)
    direction = direction or read_policy(repo, commit, find_key(repo, model, commit)).metrics.get(metric)
    if direction is None:
        raise UsageError(
            f"Is a higher or a lower {metric} better? Say it: `--direction higher`, or for all in "
            f"registry/policy.yaml: `metrics: {{{metric}: higher}}`"
        )
    ids = None if experiment is None else [find_experiment(repo, experiment).experiment_id]
    field = key_field("metric", metric)
    own = f"status = 'FINISHED' AND {field} IS NOT NULL"
    condition = f"{own} AND ({filter_string})" if filter_string.strip() else own
    order, token = [f"{field} {'DESC' if direction == 'higher' else 'ASC'}"], None
    while True:
        page = search_runs(repo, ids, condition, max_results=_PAGE, order_by=order, page_token=token)
        for run in page:
            summary = run.metrics.get(metric)
            is_number = summary is not None and summary.last == summary.last
            if is_number and any(path in (None, each.path) for each in run.models):
                return run.id
        token = page.token
        if token is None:
            break
    what = "a model" if path is None else f"a model `{path}`"
    step = f"See: `runstone runs list -c +metrics.{metric}`"
    raise RunstoneError(f"No finished run that is meant has the metric {metric} and logged {what}. {step}")


def _commit(upstream: Upstream) -> str | None:
    """The commit that is the registry on the remote; None before the first."""
    return upstream.merged_commit(None) if upstream.tip is not None else None
