"""Remove deleted runs for good, and the bytes that nobody needs any more. What is planned is told before it is done.

A run's record goes from the tip of the branch `runs`; its history keeps it. Of the cache, which a project shares with
its own DVC, only what runs that are gone have named may go, less all that `needs` finds; of the embedded cache, which
is Runstone's alone, also what nobody names for a day. Killed at any moment, it is safe and may be run again: which runs
are gone is read from the history of the branch, not from memory.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import time

from runstone.artifacts import removal
from runstone.artifacts.cache import Cache
from runstone.artifacts.descriptor import DIR
from runstone.errors import UnseenRefs
from runstone.git import transport
from runstone.git.repository import Repository
from runstone.git.runs import journal, layout
from runstone.git.runs.branch import Draft, update_runs
from runstone.registry.removal.needs import Census, Leaving, Needs, find_needs, named_by, open_listings, take_census
from runstone.registry.removal.removable import Going, Staying, Wanted, choose
from runstone.tracking.workspace import Workspace

Progress = Callable[[int, int], None]

_UNNAMED_S = 24 * 3600
_LIVE_S = 3600


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be removed, and what stays although it is deleted.

    Attributes:
        runs: Their records go from the branch's tip.
        experiments: Deleted experiments that go with all their runs.
        staying: Deleted runs that stay.
        objects: Digest → size: what goes from the cache.
        remote: The name of the DVC remote that objects go from too, or None.
        remote_objects: What goes from it.
        notes: What else is worth knowing.
    """

    runs: tuple[Going, ...] = ()
    experiments: tuple[str, ...] = ()
    staying: tuple[Staying, ...] = ()
    objects: dict[str, int] | None = None
    remote: str | None = None
    remote_objects: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.runs or self.experiments or self.objects or self.remote_objects)

    @property
    def size(self) -> int:
        """The bytes that go from the cache."""
        return sum((self.objects or {}).values())


def plan(workspace: Workspace, wanted: Wanted) -> Plan:
    """What `collect` would remove now. Changes nothing, but that listings may be pulled where a remote is named.

    Raises:
        RunNotFound, RunNotDeleted, RunIsLive: A run that was named is not there, not deleted, or open.
        UnseenRefs: A remote is named, and a git remote has refs that are not here: somebody's runs may need its bytes.
        GitFailed, ObjectMissing: The repository is damaged, so that nobody knows what is needed: `runstone doctor`.
        RemoteNotConfigured, RemoteFailed: The remote cannot be used.
    """
    workspace.recover()
    repo = workspace.repo
    unseen = _refs_of_remotes(repo) if wanted.remote else {}
    census = take_census(repo, unseen)
    chosen = choose(repo, census, wanted)
    notes: tuple[str, ...] = ()
    if chosen.young:
        notes = (f"{_counted(chosen.young, 'deleted run')} not due yet; sooner: `runstone gc --older-than 1d`",)
    found = Plan(chosen.runs, chosen.experiments, chosen.staying, notes=notes)
    return _add_objects(workspace, found, wanted, census)


def collect(workspace: Workspace, planned: Plan, wanted: Wanted, progress: Progress | None = None) -> Plan:
    """Carry out a plan, and return what was removed. What has come to be needed meanwhile stays.

    Writes:
        One commit on the branch `runs` without the records; then removes objects, from the remote first.

    Raises:
        UnseenRefs: As `plan`; the records may be removed already.
        RemoteFailed, DiskFull: Something could not be removed; what was stays removed, and the rest can be tried again.
    """
    repo = workspace.repo
    removed = _remove_records(repo, planned)
    unseen = _refs_of_remotes(repo) if wanted.remote else {}
    fresh = _add_objects(workspace, replace(planned, runs=removed), wanted, take_census(repo, unseen))
    gone: list[str] = []
    if planned.remote is not None:
        remote = workspace.artifacts.need_remote(planned.remote)
        both = set(planned.remote_objects) & set(fresh.remote_objects)
        gone = removal.remove_remote(remote, both, progress)
    objects: dict[str, int] = {}
    chosen = (fresh.objects or {}).keys() & (planned.objects or {}).keys()
    for cache, before in _caches(workspace, wanted, reads=False):
        objects |= removal.remove(cache, _files_first(workspace.artifacts.cache, chosen, cache, before), before)
    return replace(planned, runs=removed, objects=objects, remote_objects=tuple(gone))


# --- which bytes


def _add_objects(workspace: Workspace, found: Plan, wanted: Wanted, census: Census) -> Plan:
    """The plan with the objects that nobody needs once its runs are gone."""
    repo = workspace.repo
    leaving = Leaving(frozenset(run.run_id for run in found.runs), frozenset(found.experiments))
    needs = find_needs(repo, census, leaving)
    gone = [run_id for run_id in census.history.records if run_id not in needs.runs]
    named = named_by(repo, census, gone)
    notes = list(found.notes)
    held = sorted(leaving.runs & needs.runs)
    if held:
        notes.append(
            f"The artifacts of {_counted(len(held), 'run')} stay, as of {held[0]}: another branch has them undeleted. "
            "Share that they are deleted, then run this again: `runstone sync`"
        )
    cache = workspace.artifacts.cache
    candidates = open_listings(named, [cache], strict=True)
    needed = open_listings(needs.digests, [cache], strict=False)
    objects: dict[str, int] = {}
    for each, before in _caches(workspace, wanted, reads=True):
        unnamed = removal.list_objects(each) if each.root == repo.state_dir / "cache" else []
        for digest in {*candidates, *unnamed} - needed:
            status = removal.age_of(each, digest)
            limit = before if digest in candidates else min(before, time() - _UNNAMED_S)
            if status is not None and status[0] < limit:
                objects[digest] = status[1]
    if candidates - needed and not _is_ours(workspace, cache) and not wanted.shared_cache:
        notes.append(
            f"The cache {cache.root} lies outside this repository, and other projects may use it, so nothing is "
            "removed from it. If none does: `runstone gc --shared-cache`"
        )
    planned = replace(found, objects=objects, notes=tuple(notes))
    return _add_remote(workspace, planned, wanted.remote, census, named) if wanted.remote else planned


def _add_remote(workspace: Workspace, planned: Plan, name: str, census: Census, named: set[str]) -> Plan:
    """The plan with what goes from a remote: nothing that any ref names, not even of a deleted run.

    A ref on the git remote never names bytes that are not there, so records go first, and are shared, and then bytes.
    """
    artifacts = workspace.artifacts
    remote = artifacts.need_remote(name)
    needs: Needs = find_needs(workspace.repo, census, Leaving())
    for digests in (named, needs.digests):
        unknown = {digest for digest in digests if digest.endswith(DIR) and not artifacts.cache.has(digest)}
        artifacts.need_remote(name).pull(unknown - remote.missing(unknown), artifacts.cache, expand=False)
    needed = open_listings(needs.digests, [artifacts.cache], strict=False)
    candidates = open_listings(named, [artifacts.cache], strict=True) - needed
    there = candidates - remote.missing(candidates)
    notes = planned.notes
    if planned.runs:
        notes += (
            "Once it is shared that these runs are gone, their bytes go from the remote: `runstone sync`, then "
            f"`runstone gc --remote {remote.name}`",
        )
    return replace(planned, remote=remote.name, remote_objects=tuple(sorted(there)), notes=notes)


def _refs_of_remotes(repo: Repository) -> dict[str, str]:
    """The branches and tags of every git remote, asked now.

    Raises:
        UnseenRefs: One of them leads to what is not here.
        RemoteUnreachable: One cannot be asked.
    """
    if repo.shallow:
        raise UnseenRefs("origin", ["the history before this shallow clone"])
    found: dict[str, str] = {}
    for key in repo.git_config:
        match = re.fullmatch(r"remote\.(.+)\.url", key)
        if match is None:
            continue
        refs = transport.list_remote(repo, match[1], [])
        there = {ref: oid for ref, oid in refs.items() if not ref.endswith("^{}")}
        unseen = [ref for ref, oid in there.items() if repo.objects.resolve(oid) is None]
        if unseen:
            raise UnseenRefs(match[1], unseen)
        found |= {f"{match[1]} {ref}": oid for ref, oid in there.items()}
    return found


def _caches(workspace: Workspace, wanted: Wanted, *, reads: bool) -> list[tuple[Cache, float]]:
    """The caches that objects may go from, each with the time before which they must have been added last.

    To read, the time is this machine's; to remove, that of the disk, for which a file is made.
    """
    repo = workspace.repo
    cache, embedded = workspace.artifacts.cache, Cache(repo.state_dir / "cache")
    found = [cache] if wanted.shared_cache or _is_ours(workspace, cache) else []
    if embedded.root != cache.root and embedded.root.is_dir():
        found.append(embedded)
    live_runs = any(entry.live for entry in journal.list_entries(repo))
    # A run that logs may have added bytes and not yet written the line of its journal that names them.
    margin = _LIVE_S if live_runs else 0
    return [(each, (time() if reads else removal.clock(each)) - margin) for each in found if each.root.is_dir()]


def _is_ours(workspace: Workspace, cache: Cache) -> bool:
    """Whether a cache lies in the repository: in its git directory, or in the `.dvc` of its work tree."""
    repo = workspace.repo
    root = cache.root.resolve()
    homes = [repo.common_dir, *(tree.path for tree in transport.list_worktrees(repo))]
    return any(root.is_relative_to(home.resolve()) for home in homes)


def _files_first(cache: Cache, chosen: Iterable[str], home: Cache, before: float) -> set[str]:
    """What to remove: no listing of which a file stays only because it is young; else nobody would find that file."""
    wanted = set(chosen)
    for digest in [digest for digest in wanted if digest.endswith(DIR)]:
        inside = open_listings([digest], [cache], strict=False) & wanted
        ages = (removal.age_of(home, each) for each in inside)
        if any(status is not None and status[0] >= before for status in ages):
            wanted.discard(digest)
    return wanted


# --- doing it


def _remove_records(repo: Repository, planned: Plan) -> tuple[Going, ...]:
    """Take the records of runs from the tip: of those that are still as they were planned."""
    if not planned.runs and not planned.experiments:
        return ()

    def change(draft: Draft) -> tuple[Going, ...]:
        still = []
        for run in planned.runs:
            entry = draft.find(f"{run.folder}/{layout.RECORD}")
            is_due = run.is_deleted or _is_deleted(draft, run.folder.split("/")[1])
            if entry is not None and entry.oid == run.record and is_due:
                still.append(run)
        folders: dict[str, None] = dict.fromkeys(run.folder for run in still)
        left = {run.folder for run in planned.runs} - folders.keys()
        for experiment_id in planned.experiments:
            place = layout.experiment_folder(experiment_id)
            inside = {f"{place}/{path}" for path in _run_folders(draft, place)}
            if not left and inside <= folders.keys() and _is_deleted(draft, experiment_id):
                folders[place] = None
        if folders:
            whole = [place for place in folders if place.count("/") == 1]
            changes = {place: None for place in folders if not any(place.startswith(f"{top}/") for top in whole)}
            draft.put(changes, _message(still, planned.experiments))
        return tuple(still)

    return update_runs(repo, change)


def _is_deleted(draft: Draft, experiment_id: str) -> bool:
    found = draft.experiment(experiment_id)
    return found is not None and found.lifecycle_stage == "deleted"


def _run_folders(draft: Draft, place: str) -> list[str]:
    found = []
    for day in draft.list(place):
        for xx in draft.list(f"{place}/{day}"):
            found += [f"{day}/{xx}/{run_id}" for run_id in draft.list(f"{place}/{day}/{xx}")]
    return found


def _message(runs: Sequence[Going], experiments: Sequence[str]) -> str:
    lines = [f"Remove {_counted(len(runs), 'deleted run')}", ""]
    lines += [f"Run: {run.run_id}" for run in runs]
    lines += [f"Experiment: {experiment_id}" for experiment_id in experiments]
    return "\n".join(re.sub(r"[\x00-\x1f\x7f]", " ", line) for line in lines)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
