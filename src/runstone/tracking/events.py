"""What happened on the branch `runs`: its events, of an experiment, of one run or all, and what each changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from runstone.errors import InvalidName, RunstoneError
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.git.runs.history import Event, FileEdit, experiment_paths, read_events, run_paths
from runstone.records.document import Document

if TYPE_CHECKING:
    from runstone.tracking.compare import Difference


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of one run.

    Attributes:
        event: The commit.
        folder: Where the run lay after it; None if it was removed.
        moved_from: Where it lay before, if that was elsewhere.
        changes: What changed in the record, field by field; None if there was no record before, or one of the two
            cannot be read.
        files: The other files of the run that the event added, removed or changed: name → `A`, `D` or `M`.
    """

    event: Event
    folder: str | None
    moved_from: str | None
    changes: "tuple[Difference, ...] | None"
    files: Mapping[str, str]


def list_events(
    repo: Repository,
    *,
    experiment_id: str | None = None,
    since: int | None = None,
    until: int | None = None,
    limit: int | None = None,
) -> Iterator[Event]:
    """The events of the branch, the newest first.

    Args:
        repo: The repository.
        experiment_id: Only those of this experiment and its runs.
        since: Unix milliseconds: only those that are not older. By each event's own clock, so that one wrong clock
            hides no other event.
        until: Only those that are not newer.
        limit: So many at most.
    """
    paths = () if experiment_id is None else experiment_paths(experiment_id)
    is_timed = since is not None or until is not None
    events = read_events(repo, paths=paths, limit=None if is_timed else limit)
    return islice(_within(events, since, until), limit)


def list_run_events(
    repo: Repository, run_id: str, *, since: int | None = None, until: int | None = None, limit: int | None = None
) -> Iterator[RunEvent]:
    """As `list_events`, of one run, with what each changed; also of one that was removed since."""
    events = read_events(repo, paths=run_paths(run_id), with_files=True)
    return (_run_event(repo, event) for event in islice(_within(events, since, until), limit))


def find_past_runs(repo: Repository, text: str) -> dict[str, str | None]:
    """The runs of all of history whose id begins with a text, or else those that once bore it as their name.

    By what the messages of the events say, so that runs count that were removed since; by the paths of their records
    for a whole id. Id → the newest name that is told of it.
    """
    by_id: dict[str, str | None] = {}
    names: dict[str, str | None] = {}
    named: dict[str, None] = {}
    for event in read_events(repo):
        for run_id in event.run_ids:
            names[run_id] = names.get(run_id) or event.run_name
            if text and run_id.startswith(text):
                by_id[run_id] = None
            if event.run_name == text:
                named[run_id] = None
    if not by_id and not named and is_known(repo, text):
        by_id[text] = None
    if text in by_id:
        return {text: names.get(text)}
    return {run_id: names.get(run_id) for run_id in by_id or named}


def is_known(repo: Repository, run_id: str) -> bool:
    """Whether any event touched the folder of a run of this very id."""
    try:
        paths = run_paths(run_id)
    except InvalidName:
        return False
    return next(read_events(repo, paths=paths, limit=1), None) is not None


def record_changes(before: Document, after: Document) -> "tuple[Difference, ...]":
    """What differs between two records, leaf by leaf: `metrics.loss.last`, `models[0].digest`."""
    from runstone.tracking.compare import compare_maps  # here, since the log of all runs must be quick to begin

    found = compare_maps(dict(_leaves(before, "")), dict(_leaves(after, "")))
    return tuple(each for each in found if each.state != "equal")


def _within(events: Iterator[Event], since: int | None, until: int | None) -> Iterator[Event]:
    for event in events:
        if (since is None or event.time >= since) and (until is None or event.time <= until):
            yield event


def _run_event(repo: Repository, event: Event) -> RunEvent:
    folders: dict[str, str | None] = {"before": None, "after": None}
    before = after = None
    files: dict[str, dict[str, str | None]] = {}
    for edit in event.files:
        folder, _, name = edit.path.rpartition("/")
        _note(files.setdefault(name, {}), edit)
        if name != layout.RECORD:
            continue
        if edit.before is not None:
            before, folders["before"] = edit.before, folder
        if edit.after is not None:
            after, folders["after"] = edit.after, folder
    old, new = folders["before"], folders["after"]
    others = {name: sides for name, sides in files.items() if name != layout.RECORD}
    states = {name: _state(sides) for name, sides in sorted(others.items())}
    return RunEvent(
        event,
        new,
        old if old is not None and new is not None and old != new else None,
        None if before is None or after is None else _changes(repo, before, after),
        {name: state for name, state in states.items() if state is not None},
    )


def _note(sides: dict[str, str | None], edit: FileEdit) -> None:
    """Take up one edit of a file; a run that moved has two of each."""
    sides["before"] = edit.before or sides.get("before")
    sides["after"] = edit.after or sides.get("after")


def _state(sides: Mapping[str, str | None]) -> str | None:
    before, after = sides["before"], sides["after"]
    if before == after:
        return None
    return "A" if before is None else "D" if after is None else "M"


def _changes(repo: Repository, before: str, after: str) -> "tuple[Difference, ...] | None":
    from runstone.records import yaml

    try:
        documents = [yaml.load(repo.objects.blob(oid), oid) for oid in (before, after)]
    except RunstoneError:
        return None
    old, new = documents
    return record_changes(old, new) if isinstance(old, dict) and isinstance(new, dict) else None


def _leaves(value: Any, at: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(each, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for i, each in enumerate(value):
            yield from _leaves(each, f"{at}[{i}]")
    else:
        yield at, value
