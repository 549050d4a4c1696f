"""Runs that are not committed yet: as their journals tell at this moment."""

from dataclasses import replace

from runstone.git.kept import is_ancestor
from runstone.git.repository import Repository
from runstone.git.runs import journal, layout
from runstone.git.runs.branch import Draft, Recorded, read_runs
from runstone.git.runs.compose import Composed, compose
from runstone.git.runs.journal import Entry, Journal
from runstone.records.run import Run

Token = tuple[tuple[str, int, int], ...]
"""Changes whenever a journal of the run does: names, sizes and times of change of its files."""


def list_live(repo: Repository) -> dict[str, Token]:
    """The runs that have journals, each with a token that changes when they do. Reads no file."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    for entry in journal.list_entries(repo):
        try:
            status = entry.path.stat()
        except FileNotFoundError:
            continue  # committed at this moment
        found.setdefault(entry.run_id, []).append((entry.path.name, status.st_size, status.st_mtime_ns))
    return {run_id: tuple(files) for run_id, files in found.items()}


def read_live(repo: Repository, run_id: str) -> Run | None:
    """A run with what its journals say so far; None if it has none (any more).

    A run whose process died is shown as FAILED, as recovery will record it.
    """
    composed = compose_live(repo, run_id)
    return None if composed is None else composed.run


def compose_live(repo: Repository, run_id: str) -> Composed | None:
    """As `read_live`, with points, artifacts and notes."""
    entries = [entry for entry in journal.list_entries(repo) if entry.run_id == run_id]
    if not entries:
        return None
    draft = read_runs(repo)  # before the journals: what is committed in between then counts once
    journals = []
    for entry in entries:
        content = _read(entry)
        if content is not None and content.events and not is_recorded(draft, content):
            journals.append(content)
    journals.sort(key=lambda content: content.events[0].time_ns)
    if not journals:
        return None
    base = find_base(draft, run_id, journals)
    if base is None and all(content.header is None for content in journals):
        return None
    composed = compose(run_id, base, journals)
    is_cut_short = not any(map(_is_carried_on, entries)) and not any(map(journal.is_checkpoint, journals))
    if composed.run.status == "RUNNING" and is_cut_short:
        composed = replace(composed, run=replace(composed.run, status="FAILED"))
    return composed


def is_open(repo: Repository, run_id: str) -> bool:
    """Whether the run's own process, or one of many, still logs to it."""
    return any(entry.run_id == run_id and _is_carried_on(entry) for entry in journal.list_entries(repo))


def is_recorded(draft: Draft, content: Journal) -> bool:
    """Whether the branch holds a journal already: its process died between the move of the ref and the removal."""
    commits = {event.value.get("commit") for event in content.events if event.kind == journal.COMMITTED}
    return draft.base is not None and any(is_ancestor(draft.repo, str(commit), draft.base) for commit in commits)


def find_base(draft: Draft, run_id: str, journals: list[Journal]) -> Recorded | None:
    """What the branch holds of a run that its journals may add to."""
    for content in journals:
        header = content.header or {}
        if header.get("folder"):
            found = draft.run(header["folder"])
            if found is not None:
                return found
        if "experiment_id" in header and "started" in header:
            found = draft.run(layout.run_folder(header["experiment_id"], int(header["started"]), run_id))
            if found is not None:
                return found
    if journals and not any((content.header or {}).get("role") == journal.START for content in journals):
        moved = draft.find_run_folder(run_id)  # it was recorded; perhaps it lies in another experiment by now
        return draft.run(moved) if moved is not None else _find_removed(draft, run_id)
    return None


def _find_removed(draft: Draft, run_id: str) -> Recorded | None:
    """A run that was removed for good while something was added to it: as it was last, so that it stays that run."""
    if draft.tip is None:
        return None
    path = f":(glob){layout.EXPERIMENTS}/*/*/{run_id[-2:]}/{run_id}/{layout.RECORD}"
    _, out = draft.repo.git("rev-list", "--first-parent", "--parents", "-1", draft.tip, "--", path)
    parent = out.decode().split()[1:2]
    if not parent or draft.repo.objects.resolve(parent[0]) is None:
        return None
    before = Draft(draft.repo, parent[0])
    folder = before.find_run_folder(run_id)
    return before.run(folder) if folder is not None else None


def _is_carried_on(entry: Entry) -> bool:
    """Whether the run's own process still logs to it; one that only joined may die without ending the run."""
    if not entry.live or journal.is_abandoned(entry):
        return False
    header = journal.read_header(entry.path)
    return header is None or header.get("role") != journal.JOIN


def _read(entry: Entry) -> Journal | None:
    try:
        if entry.live:
            return journal.read(entry.path)
    except FileNotFoundError:
        pass  # it has just ended
    try:
        return journal.read_ended(entry.path.with_suffix(".ended"))
    except FileNotFoundError:
        return None  # and is committed
