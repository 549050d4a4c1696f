"""Which deleted runs can be removed for good: those that are due, and that no version, run or request leads to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from time import time

from runstone.errors import (
    InvalidName,
    InvalidValue,
    NewerFormat,
    RecordInvalid,
    RunIsLive,
    RunNotDeleted,
    RunNotFound,
    RunstoneError,
)
from runstone.git.repository import Repository
from runstone.git.runs import layout, live
from runstone.git.runs.branch import Draft, Recorded, read_runs
from runstone.records.document import parse_time
from runstone.records.experiment import Experiment
from runstone.registry.branch import registry_commit
from runstone.registry.removal.needs import Census

OLDER_THAN_S = 30 * 24 * 3600
"""A run that was deleted less long ago stays, unless it is named."""

_OPEN = "a process still logs to it"


@dataclass(frozen=True, slots=True)
class Going:
    """A run to be removed.

    Attributes:
        run_id: The run.
        name: What people call it.
        folder: Where it lies on the branch.
        record: The blob of its record when this was planned.
        is_deleted: Whether it is deleted itself, not only its experiment.
    """

    run_id: str
    name: str
    folder: str
    record: str
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class Staying:
    """A deleted run that is not removed, and why."""

    run_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to remove.

    Attributes:
        run_ids: Only these runs, however long ago they were deleted; all if empty.
        experiment: Only runs of this experiment; if it is deleted itself, it goes with all its runs.
        older_than_s: Only runs deleted so long ago; None for 30 days, or any time where runs or a deleted experiment
            are named.
        remote: A DVC remote to remove objects from too.
        shared_cache: Also from a cache that lies outside the repository, where other projects may have bytes too.
    """

    run_ids: Sequence[str] = ()
    experiment: Experiment | None = None
    older_than_s: float | None = None
    remote: str | None = None
    shared_cache: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """What to remove, and what stays.

    Attributes:
        runs: The runs to remove.
        experiments: Deleted experiments that go with all their runs.
        staying: Deleted runs that something else needs.
        young: How many deleted runs are not due yet.
    """

    runs: tuple[Going, ...]
    experiments: tuple[str, ...]
    staying: tuple[Staying, ...]
    young: int


def choose(repo: Repository, census: Census, wanted: Wanted) -> Chosen:
    """The deleted runs that are due and that nothing else needs.

    Raises:
        RunNotFound, RunNotDeleted, RunIsLive: A run that was named is not there, not deleted, or open.
    """
    draft = read_runs(repo)
    experiments: tuple[str, ...] = ()
    if wanted.experiment is not None and wanted.experiment.lifecycle_stage == "deleted":
        experiments = (wanted.experiment.experiment_id,)
    found: dict[str, Recorded] = {}
    for folder in _folders(draft, wanted):
        try:
            recorded = draft.run(folder)
        except (RecordInvalid, NewerFormat, InvalidName, InvalidValue):
            if wanted.run_ids:
                raise
            continue  # of what cannot be read nothing is removed, and it does not bar the rest
        if recorded is not None:
            found[recorded.run.id] = recorded
    chosen: dict[str, Recorded] = {}
    for run_id, recorded in found.items():
        if run_id in wanted.run_ids and recorded.run.lifecycle != "deleted" and not experiments:
            raise RunNotDeleted(run_id)
        if _is_due(recorded, wanted, bool(experiments)):
            chosen[run_id] = recorded
    due = sum(recorded.run.lifecycle == "deleted" for recorded in chosen.values())
    staying = _hold_back(repo, draft, census, chosen)
    for hold in staying:
        del chosen[hold.run_id]
    if any(hold.run_id in wanted.run_ids and hold.why == _OPEN for hold in staying):
        raise RunIsLive(next(hold.run_id for hold in staying if hold.why == _OPEN), "removed")
    kept_in = {found[hold.run_id].run.experiment_id for hold in staying}
    runs = []
    for run_id, recorded in chosen.items():
        entry = draft.find(f"{recorded.folder}/{layout.RECORD}")
        assert entry is not None
        is_deleted = recorded.run.lifecycle == "deleted"
        runs.append(Going(run_id, recorded.run.name, recorded.folder, entry.oid, is_deleted))
    whole = tuple(each for each in experiments if each not in kept_in)
    deleted = sum(recorded.run.lifecycle == "deleted" for recorded in found.values())
    return Chosen(tuple(runs), whole, tuple(staying), deleted - due)


def _folders(draft: Draft, wanted: Wanted) -> list[str]:
    """The folders to look at: of the runs that are named, of a deleted experiment, or all that say they are deleted."""
    if wanted.run_ids:
        folders = []
        for run_id in wanted.run_ids:
            folder = draft.find_run_folder(run_id)
            if folder is None:
                raise RunNotFound(run_id)
            folders.append(folder)
        return folders
    if draft.base is None:
        return []
    under = layout.EXPERIMENTS
    pattern = "^lifecycle:"
    if wanted.experiment is not None:
        under = layout.experiment_folder(wanted.experiment.experiment_id)
        pattern = "^" if wanted.experiment.lifecycle_stage == "deleted" else pattern
    options = ["grep", "-z", "-l", "-E", "-e", pattern, draft.base, "--", f":(literal){under}"]
    _, out = draft.repo.git(*options, allowed=(0, 1))
    paths = (raw.decode("utf-8", "surrogateescape").partition(":")[2] for raw in out.split(b"\0") if raw)
    return [path.rpartition("/")[0] for path in paths if path.endswith(f"/{layout.RECORD}")]


def _is_due(recorded: Recorded, wanted: Wanted, whole_experiment: bool) -> bool:
    run = recorded.run
    if run.lifecycle != "deleted":
        return whole_experiment
    age = wanted.older_than_s
    if age is None:
        if wanted.run_ids or whole_experiment:
            return True
        age = OLDER_THAN_S
    try:
        deleted = parse_time(str((run.deleted or {}).get("at")))
    except ValueError:
        return False  # nobody knows when
    return deleted / 1000 <= time() - age


def _hold_back(repo: Repository, draft: Draft, census: Census, chosen: dict[str, Recorded]) -> list[Staying]:
    """Those of the chosen runs that something else needs, and what that is."""
    if not chosen:
        return []
    why: dict[str, str] = {}
    for pin in census.versions:
        why.setdefault(pin.run_id, f"registered as {pin.label}")
    why |= {run_id: f"asked to be registered as {model}" for run_id, model in _requests(repo)}
    why |= dict.fromkeys(live.list_live(repo), _OPEN)
    links = _links(repo, draft, census)
    staying = {run_id: reason for run_id, reason in why.items() if run_id in chosen}
    while True:
        found = {
            named: f"{kind} {run_id}"
            for run_id, kind, named in links
            if named in chosen and named not in staying and (run_id not in chosen or run_id in staying)
        }
        if not found:
            return [Staying(run_id, reason) for run_id, reason in staying.items()]
        staying |= found


def _links(repo: Repository, draft: Draft, census: Census) -> list[tuple[str, str, str]]:
    """`(run, what the other one is to it, the other one)` of all runs that name another, here and on remotes."""
    branch = repo.config.branch
    ours = {oid for ref, oid in census.tips.items() if re.fullmatch(rf"refs/remotes/[^/]+/{re.escape(branch)}", ref)}
    links = []
    for tip in sorted(ours | {draft.base or ""} - {""}):
        pattern = r"^[\"']?(parent|rerun_of)[\"']?[ ]*:"
        options = ["grep", "-z", "-E", "-e", pattern, tip, "--", f":(literal){layout.EXPERIMENTS}"]
        _, out = repo.git(*options, allowed=(0, 1))
        for path, line in re.findall(rb"([^\0\n]*)\0([^\n]*)", out):
            folder, _, name = path.decode("utf-8", "surrogateescape").partition(":")[2].rpartition("/")
            if name == layout.RECORD:
                key, _, value = line.decode("utf-8", "replace").partition(":")
                kind = "the parent of" if "parent" in key else "repeated by"
                links.append((folder.rpartition("/")[2], kind, value.strip().strip("\"'")))
    return links


def _requests(repo: Repository) -> list[tuple[str, str]]:
    """`(run, model)` of the reviewed requests to register a run's model that lie on the default branch."""
    try:
        commit = registry_commit(repo)
    except RunstoneError:
        return []  # it has no default branch
    if commit is None:
        return []
    _, out = repo.git("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", f"{repo.config.registry}/")
    paths = (raw.decode("utf-8", "surrogateescape").split("/") for raw in out.split(b"\0") if raw)
    requests = (parts for parts in paths if len(parts) > 3 and parts[-2] == "registrations")
    return [(parts[-1].removesuffix(".yaml"), parts[-3]) for parts in requests]
