"""Examine a repository: each check says how things are, and what to do where they are not well.

Nothing is changed here; `tracking.mend` repairs what can be repaired without asking.
"""

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Literal

from runstone.artifacts.pointer import parse_pointer
from runstone.errors import GitFailed, RemoteNotConfigured, RunstoneError
from runstone.git.process import run_git
from runstone.git.repository import Repository
from runstone.git.runs import copies, journal, layout
from runstone.git.runs.branch import Draft
from runstone.tracking import ailments, autosync, former
from runstone.tracking.workspace import Workspace

State = Literal["ok", "warn", "fail"]

LEAST_GIT = (2, 34)
STALE_S = 3600
"""A lock file older than this belongs to no git that is still at work."""

_RECENT = 20
_HISTORY = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was looked at.
        state: `ok`, `warn` (works, but look at it), or `fail` (something is lost or will not work).
        detail: What was found.
        advice: What to do; empty where all is well.
    """

    name: str
    state: State
    detail: str
    advice: str = ""


def examine(workspace: Workspace, *, all_artifacts: bool = False) -> Iterator[Finding]:
    """All checks, one after the other; one that cannot be carried out is itself a finding.

    Args:
        workspace: The repository.
        all_artifacts: Look for the artifacts of every run, not of the newest alone.
    """
    for name, check in _CHECKS.items():
        try:
            found = _artifacts(workspace, None) if check is _artifacts and all_artifacts else check(workspace)
        except (RunstoneError, OSError, sqlite3.Error) as error:
            found = Finding(name, "fail", str(error), "")
        yield found


def empty_objects(repo: Repository) -> list[Path]:
    """Loose objects without content: git neither reads them nor writes them anew while they are there.

    The `tmp_obj_…` of a writer that was killed is no object; `git gc` removes it.
    """
    objects = repo.common_dir / "objects"
    folders = (each for each in objects.iterdir() if re.fullmatch(r"[0-9a-f]{2}", each.name))
    loose = (path for folder in folders for path in folder.iterdir() if re.fullmatch(r"[0-9a-f]{38,62}", path.name))
    return [path for path in loose if path.stat().st_size == 0]


def stale_locks(repo: Repository) -> list[Path]:
    """Lock files that a git which died has left beside refs and in the git directory."""
    found = [*repo.common_dir.glob("*.lock"), *repo.git_dir.glob("*.lock"), *(repo.common_dir / "refs").rglob("*.lock")]
    limit = time.time() - STALE_S
    return sorted({path for path in found if path.stat().st_mtime < limit})


def _git(workspace: Workspace) -> Finding:
    _, out = run_git(["--version"], cwd=workspace.repo.git_dir)
    text = out.decode(errors="replace").strip()
    match = re.search(r"(\d+)\.(\d+)", text)
    if match is None or (int(match[1]), int(match[2])) < LEAST_GIT:
        return Finding("git", "fail", text, "Install git 2.34 or newer.")
    return Finding("git", "ok", text)


def _shape(workspace: Workspace) -> Finding:
    repo = workspace.repo
    parts = [f"{repo.work_tree or repo.git_dir}"]
    parts += ["bare"] if repo.work_tree is None else []
    parts += ["a linked work tree"] if repo.git_dir != repo.common_dir else []
    parts += [repo.object_format] if repo.object_format != "sha1" else []
    if repo.shallow:
        detail = ", ".join([*parts, "shallow"])
        return Finding("repository", "warn", detail, "The code of older runs is not here: `git fetch --unshallow`")
    return Finding("repository", "ok", ", ".join(parts))


def _settings(workspace: Workspace) -> Finding:
    config = workspace.repo.config
    detail = f"branch {config.branch}, push {config.push}, promotion {config.promotion}"
    return Finding("settings", "ok", detail)


def _identity(workspace: Workspace) -> Finding:
    who = workspace.repo.identity("committer").rpartition(" ")[0].rpartition(" ")[0]
    if "runstone@localhost" in who:
        step = "Say who you are: `git config user.name NAME && git config user.email MAIL`"
        return Finding("identity", "warn", f"git knows no name, so {who} commits", step)
    return Finding("identity", "ok", who)


def _branch(workspace: Workspace) -> Finding:
    repo = workspace.repo
    broken = repo.common_dir / repo.runs_ref
    if broken in ailments.broken_refs(repo):
        return Finding("runs branch", "fail", f"{broken} holds no commit's id", "Mend it: `runstone doctor --fix`")
    tip = repo.refs.read(repo.runs_ref)
    if tip is None:
        code, out = repo.git("for-each-ref", "--format=%(objectname)", repo.runs_ref, allowed=(0, 128))
        if code == 0 and not out.strip():
            return Finding("runs branch", "ok", f"{repo.runs_ref} is not begun yet")
        step = f"Get it from a clone or a remote: `git fetch origin {repo.config.branch}`"
        return Finding("runs branch", "fail", f"{repo.runs_ref} names {out.decode().strip()}, which is missing", step)
    _, out = repo.git("for-each-ref", "--format=%(worktreepath)", repo.runs_ref)
    place = out.decode(errors="replace").strip()
    if place:
        detail = f"{repo.runs_ref} is checked out in {place}, where each run recorded since looks deleted"
        return Finding("runs branch", "warn", detail, f"Let go of it: `git -C {quote(place)} checkout --detach`")
    return Finding("runs branch", "ok", f"{repo.runs_ref} is at {tip[:12]}")


def _refs(workspace: Workspace) -> Finding:
    """Refs that git cannot read, or that lead nowhere: each makes `git gc`, and often `git fetch`, fail."""
    repo = workspace.repo
    broken = [path for path in ailments.broken_refs(repo) if path != repo.common_dir / repo.runs_ref]
    if broken:
        detail = f"{_counted(len(broken), 'file')} below refs/ with no object's id, as {broken[0]}"
        return Finding("refs", "fail", detail, "Mend it: `runstone doctor --fix`")
    dangling = {ref: oid for ref, oid in ailments.dangling_refs(repo).items() if ref != repo.runs_ref}
    if dangling:
        ref, oid = next(iter(dangling.items()))
        detail = f"{_counted(len(dangling), 'ref')} to what is missing, as {ref} to {oid}"
        step = "Mend what can be: `runstone doctor --fix`; else get it from a clone: `git fetch --refetch origin`"
        return Finding("refs", "fail", detail, step)
    snapshots = ailments.abandoned_snapshots(repo)
    if snapshots:
        detail = f"{_counted(len(snapshots), 'snapshot')} held that no live run needs"
        return Finding("refs", "warn", detail, "Let go of them: `runstone doctor --fix`")
    return Finding("refs", "ok", "each leads to what it names")


def _shared(workspace: Workspace) -> Finding:
    """The branch of runs, beside what the remotes were last seen to have of it."""
    repo = workspace.repo
    own = repo.refs.read(repo.runs_ref)
    found = []
    for ref, theirs in repo.refs.list("refs/remotes/").items():
        remote, _, branch = ref.removeprefix("refs/remotes/").partition("/")
        if own is None or branch != repo.config.branch or repo.objects.resolve(theirs) is None:
            continue
        ahead, behind = ailments.ahead_behind(repo, own, theirs)
        if ahead and behind:
            detail = f"{_counted(ahead, 'event')} here and {behind} on {remote} that the other has not"
            return Finding("sharing", "warn", detail, "Join them; nothing is lost: `runstone sync`")
        if ahead or behind:
            found.append(f"{ahead or behind} {'not sent to' if ahead else 'not taken from'} {remote} yet")
    last = autosync.state(workspace)
    if last.failure is not None:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(last.failed_at))
        step = f"Try it again: `runstone sync`; all it said is in {autosync.log_file(repo)}"
        return Finding("sharing", "warn", f"the last sync in the background failed at {when}: {last.failure}", step)
    return Finding("sharing", "ok", ", ".join(found) or "nothing waits to be sent, as far as is known here")


def _tags(workspace: Workspace) -> Finding:
    """Tags of model versions: the same here as on the remotes, and on commits of the branch of runs."""
    repo = workspace.repo
    diverged = ailments.diverged_tags(repo)
    if diverged:
        one = diverged[0]
        detail = f"{_counted(len(diverged), 'version')} not the same here as on {one.remote}, as {one.tag}"
        held = next((each for each in diverged if ailments.is_held(repo, each)), None)
        step = "Keep both, those here under new numbers: `runstone doctor --fix`"
        if held is not None:
            step = f"{held.tag}: {ailments.advise_held(held)}"
        return Finding("version tags", "fail", detail, step)
    gone = former.list_former(repo)
    if gone:
        others = f", and {len(gone) - 1} more" if len(gone) > 1 else ""
        deed, _, step = str(gone[0]).partition(". ")
        return Finding("version tags", "warn", f"{deed}{others}", step)
    lost = ailments.unreachable_versions(repo)
    if lost:
        detail = f"{_counted(len(lost), 'version')} on a commit that the branch of runs does not lead to, as {lost[0]}"
        step = "Get the runs that they are of: `runstone sync`. The tags hold on to their commits meanwhile."
        return Finding("version tags", "warn", detail, step)
    detail = "each is on a commit of the branch of runs"
    tip = repo.runs_tip()
    if tip is not None and ailments.is_cut(repo, [tip]):
        detail = "the same as on the remotes; this clone is shallow, so older runs than it has were not looked for"
    return Finding("version tags", "ok", detail)


def _worktrees(workspace: Workspace) -> Finding:
    lost = ailments.lost_worktrees(workspace.repo)
    if not lost:
        return Finding("work trees", "ok", "all are where git expects them")
    one = lost[0]
    if one.owner is not None:
        step = "Forget it here; there, nothing changes: `runstone doctor --fix`"
        if not one.is_safe:
            step = f"No branch leads to what is checked out there. Keep it: `git branch NAME {one.commit}`, then --fix"
        detail = f"{one.path} is one of {one.owner}, of which this repository is a copy"
        return Finding("work trees", "warn", detail, step)
    what = "is gone" if one.is_gone else "was moved, or the repository was"
    step = "Mend it: `runstone doctor --fix`"
    if one.is_gone and not one.is_safe:
        step = f"No branch leads to what was checked out there. Keep it: `git branch NAME {one.commit}`, then --fix"
    return Finding("work trees", "warn", f"{one.path} {what}", step)


def _objects(workspace: Workspace) -> Finding:
    """The commits of the branch's recent history, and every tree and file of its tip."""
    repo = workspace.repo
    empty = empty_objects(repo)
    if empty:
        step = "Remove them, so that they can be written anew: `runstone doctor --fix`"
        return Finding(
            "objects", "fail", f"{_counted(len(empty), 'object')} without content, the first is {empty[0]}", step
        )
    tip = repo.refs.read(repo.runs_ref)
    if tip is None:
        return Finding("objects", "ok", "there are none to look at")
    advice = f"Get them from a clone or a remote: `git fetch --refetch origin {repo.config.branch}`"
    try:
        repo.git("rev-list", "--first-parent", f"-{_HISTORY}", tip)
        _, out = repo.git("ls-tree", "-r", "-t", "-z", "--full-tree", tip)
    except GitFailed as failure:
        return Finding("objects", "fail", failure.stderr.splitlines()[0] if failure.stderr else str(failure), advice)
    # The commit that a stray submodule is at lies in another repository.
    lines = [line for line in out.split(b"\0") if line and not line.startswith(b"160000 ")]
    oids = sorted({line.split(b" ")[2][: len(tip)] for line in lines})
    _, answers = repo.git("cat-file", "--batch-check", input=b"\n".join(oids) + b"\n")
    missing = [line.split()[0].decode() for line in answers.splitlines() if line.endswith(b" missing")]
    if missing:
        return Finding(
            "objects", "fail", f"{_counted(len(missing), 'object')} missing or damaged, as {missing[0]}", advice
        )
    return Finding("objects", "ok", f"{_counted(len(oids), 'object')} of the branch are there")


def _locks(workspace: Workspace) -> Finding:
    stale = stale_locks(workspace.repo)
    if not stale:
        return Finding("locks", "ok", "none is left behind")
    step = "If no git is at work here, remove them: `runstone doctor --fix`"
    return Finding("locks", "fail", f"left behind: {', '.join(map(str, stale[:5]))}", step)


def _journals(workspace: Workspace) -> Finding:
    """Runs that wait to be recorded, and journals that could not be read whole."""
    repo = workspace.repo
    folder = repo.state_dir / "journal" / "damaged"
    damaged = sorted(folder.iterdir()) if folder.is_dir() else []
    if damaged:
        step = f"What could be read is recorded. Look at the files, then remove them: {folder}"
        detail = f"{_counted(len(damaged), 'journal')} damaged, as {damaged[0].name}"
        return Finding("journals", "warn", detail, step)
    copied = sorted((repo.state_dir / "journal" / copies.FOLDER).glob("*"))
    if copied:
        detail = f"{_counted(len(copied), 'journal')} of runs that are recorded where this folder was copied from"
        step = f"Remove them; or, if that is lost: `mv {quote(str(copied[0]))} {quote(str(copied[0].parent.parent))}`"
        return Finding("journals", "warn", detail, f"{step}, then `runstone recover`")
    entries = journal.list_entries(repo)
    waiting = sorted({entry.run_id for entry in entries if not entry.live or journal.is_abandoned(entry)})
    if waiting:
        step = "Record them: `runstone recover`"
        return Finding(
            "journals", "warn", f"{_counted(len(waiting), 'ended run')} not recorded yet, as {waiting[0]}", step
        )
    live = len({entry.run_id for entry in entries})
    return Finding("journals", "ok", f"{_counted(live, 'run')} open" if live else "no run is open")


def _records(workspace: Workspace) -> Finding:
    from runstone.index.cache import broken

    found = broken(workspace.repo)
    if found:
        detail = f"{_counted(len(found), 'record')} left out of searches, since unreadable. The first: {found[0][1]}"
        return Finding("records", "fail", detail, "See them all: `runstone validate --runs`")
    return Finding("records", "ok", "every record can be read")


def _index(workspace: Workspace) -> Finding:
    from runstone.index.cache import open_index

    index = open_index(workspace.repo)
    answer = index.read(workspace.repo, lambda c: c.execute("PRAGMA quick_check(1)").fetchone()[0])
    if answer != "ok":
        return Finding("index", "fail", f"the file is damaged: {answer}", "Make it anew: `runstone index rebuild`")
    if index.is_in_memory:
        step = "Give it a folder on a local disk: RUNSTONE_CACHE_DIR"
        return Finding("index", "warn", "no file can be kept, so each command reads every record", step)
    return Finding("index", "ok", f"{workspace.repo.cache_dir}")


def _dvc(workspace: Workspace) -> Finding:
    if find_spec("dvc") is None:
        return Finding(
            "dvc", "warn", "not installed, so artifacts stay here", "Install it: `pip install 'runstone[dvc]'`"
        )
    remote = None
    try:
        remote = workspace.artifacts.remote()
    except RemoteNotConfigured as error:
        return Finding("dvc", "warn", str(error), "")
    if remote is None:
        step = "Add one: `runstone init --remote URL`, or with DVC set up: `dvc remote add --default NAME URL`"
        return Finding("dvc", "warn", "no remote, so artifacts stay on this machine", step)
    return Finding("dvc", "ok", f"remote {remote.name} at {remote.url}")


def _artifacts(workspace: Workspace, newest: int | None = _RECENT) -> Finding:
    """The bytes of the newest runs, or of all: in the cache, or else on the remote."""
    whose = "all runs" if newest is None else f"the newest {newest} runs"
    absent = _absent(workspace, newest)
    if not absent:
        return Finding("artifacts", "ok", f"those of {whose} are in the cache")
    remote = workspace.artifacts.remote() if find_spec("dvc") is not None else None
    lost = absent if remote is None else remote.missing(absent)
    if lost:
        where = "the cache, and there is no remote" if remote is None else "the cache and on the remote"
        runs = sorted({absent[digest] for digest in lost})
        step = "Push them from where they were logged: `runstone artifacts push --all`"
        return Finding(
            "artifacts", "fail", f"{_counted(len(lost), 'object')} missing in {where}, as of run {runs[0]}", step
        )
    return Finding("artifacts", "ok", f"{_counted(len(absent), 'object')} of {whose} only on the remote")


def _absent(workspace: Workspace, newest: int | None) -> dict[str, str]:
    """Digests of the newest runs, or of all, that the cache lacks, each with a run that has it."""
    from runstone.index.search import search_runs

    draft = Draft(workspace.repo, workspace.repo.refs.read(workspace.repo.runs_ref))
    cache = workspace.artifacts.cache
    absent: dict[str, str] = {}
    token: str | None = None
    while True:
        page = search_runs(workspace.repo, max_results=newest or 1000, page_token=token)
        for run in page:
            where = f"{layout.run_folder(run.experiment_id, run.started, run.id)}/{layout.ARTIFACTS}"
            text = draft.read(where)
            if text is None:
                continue
            digest = parse_pointer(text, where).digest
            if not cache.has(digest):
                absent[digest] = run.id
                continue
            absent.update({entry.md5: run.id for entry in cache.read_dir(digest) if not cache.has(entry.md5)})
        token = page.token
        if newest is not None or token is None:
            return absent


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_CHECKS: dict[str, Callable[[Workspace], Finding]] = {
    "git": _git,
    "repository": _shape,
    "settings": _settings,
    "identity": _identity,
    "runs branch": _branch,
    "refs": _refs,
    "sharing": _shared,
    "version tags": _tags,
    "work trees": _worktrees,
    "objects": _objects,
    "locks": _locks,
    "journals": _journals,
    "records": _records,
    "index": _index,
    "dvc": _dvc,
    "artifacts": _artifacts,
}
