"""Read what one run logged: its record, the history of its metrics, its artifacts; of a live run as it stands."""

from collections.abc import Iterable

from runstone import names
from runstone.artifacts.descriptor import Descriptor, with_logged
from runstone.errors import InvalidName, RunNotFound
from runstone.git.runs import layout, live
from runstone.git.runs.branch import Recorded, read_runs
from runstone.records.metric import Metric, parse_metrics
from runstone.records.run import Run
from runstone.tracking.workspace import Workspace


def read_metrics(workspace: Workspace, run_id: str, key: str | None = None) -> list[Metric]:
    """The history of a run's metrics, or of one, in the order written.

    Raises:
        RunNotFound: No run has this id.
    """
    composed = live.compose_live(workspace.repo, run_id)
    points: Iterable[Metric]
    if composed is not None:
        points = composed.points
    else:
        recorded = need_recorded(workspace, run_id)
        data = recorded.files.get(layout.METRICS)  # a run that logged none has no file
        points = () if data is None else parse_metrics(data.decode(), f"{recorded.folder}/{layout.METRICS}")
    return [point for point in points if key is None or point.key == key]


def read_artifacts(workspace: Workspace, run_id: str) -> list[Descriptor]:
    """What a run has kept; of a live run so far. The listing is pulled if only the DVC remote has it.

    Raises:
        RunNotFound: No run has this id.
    """
    composed = live.compose_live(workspace.repo, run_id)
    if composed is None:
        recorded: Recorded | None = need_recorded(workspace, run_id)
    else:
        recorded = find_recorded(workspace, composed.run)
    found = with_logged(_listing(workspace, recorded), composed.artifacts if composed is not None else ())
    return [found[path] for path in sorted(found)]


def read_file(workspace: Workspace, run_id: str, name: str) -> str | None:
    """Another file of a run's folder as text (`notes.md`, `requirements.txt`); None if it has none.

    Raises:
        RunNotFound: No run has this id.
    """
    composed = live.compose_live(workspace.repo, run_id)
    if composed is not None:
        text = {layout.NOTES: composed.notes, layout.REQUIREMENTS: composed.requirements}.get(name)
        if text is not None:
            return text
        recorded = find_recorded(workspace, composed.run)
    else:
        recorded = need_recorded(workspace, run_id)
    data = recorded.files.get(name) if recorded is not None else None
    return None if data is None else data.decode(errors="replace")


def find_recorded(workspace: Workspace, run: Run) -> Recorded | None:
    """What the branch holds of a run, or None."""
    return read_runs(workspace.repo).run(layout.run_folder(run.experiment_id, run.started, run.id))


def need_recorded(workspace: Workspace, run_id: str) -> Recorded:
    """A run as the branch holds it; raises `RunNotFound`."""
    draft = read_runs(workspace.repo)
    try:
        folder = draft.find_run_folder(names.check_run_id(run_id))
    except InvalidName:
        folder = None
    recorded = draft.run(folder) if folder is not None else None
    if recorded is None:
        raise RunNotFound(run_id)
    return recorded


def is_taken(workspace: Workspace, run_id: str) -> bool:
    """Whether a run, live or recorded, has this id."""
    if run_id in live.list_live(workspace.repo):
        return True
    return read_runs(workspace.repo).find_run_folder(run_id) is not None


def recorded_artifacts(workspace: Workspace, run: Run) -> list[Descriptor]:
    """What the branch holds of a run's artifacts."""
    return _listing(workspace, find_recorded(workspace, run))


def _listing(workspace: Workspace, recorded: Recorded | None) -> list[Descriptor]:
    pointer = recorded.files.get(layout.ARTIFACTS) if recorded is not None else None
    if recorded is None or pointer is None:
        return []
    return workspace.artifacts.listing(pointer.decode(), f"{recorded.folder}/{layout.ARTIFACTS}")
