"""What a person names (a run, or a version of a model) → the record, and the commit that holds its code.

Records are other people's text: the commit that one names is taken only if it is a full id, is a commit, and is part of
what the branch of runs holds on to.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runstone.errors import CodeMissing, RecordInvalid, RemoteUnreachable, RunIsLive, RunNotFound, UsageError
from runstone.git.repository import Repository
from runstone.git.runs import layout, live
from runstone.git.runs.branch import Draft, read_runs
from runstone.index.search import resolve_run
from runstone.records.run import Run
from runstone.tracking.read import need_recorded
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, RunUri, parse_uri

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A run as one commit holds it.

    Attributes:
        run: The record.
        label: A short name for people and folders: the run's name, or `churn@v4`.
        folder: The run's folder in `tip`.
        files: The files of that folder by name, `run.yaml` included.
        tip: The commit: the branch of runs as it is, or the one that a model version tags.
    """

    run: Run
    label: str
    folder: str
    files: Mapping[str, bytes]
    tip: str


def find_subject(workspace: Workspace, what: str) -> Subject:
    """The run that a text means: by id, the beginning of one, or name; or the run behind a version of a model.

    Args:
        workspace: The repository.
        what: `brave-otter-17`, `0192f3ab`, `runs:/<id>`; `churn@v4`, `churn@champion`, `churn/Production`,
            `models:/churn/4`.

    Raises:
        RunNotFound, RunAmbiguous: No run, or several.
        RunIsLive: It has not ended, so nothing is recorded yet.
        ModelNotFound, VersionNotFound, AliasNotFound, StageNotFound: No such version.
    """
    uri = parse_uri(what) if what.startswith(("runs:/", "models:/")) else None
    if isinstance(uri, ModelUri):
        return _of_version(workspace, uri)
    try:
        return _of_run(workspace, uri.run_id if isinstance(uri, RunUri) else what)
    except RunNotFound:
        version = _as_version(what) if uri is None else None
        if version is None:
            raise
    return _of_version(workspace, version)


def need_code(repo: Repository, subject: Subject, warn: Warn) -> str:
    """The commit that holds a run's code, brought from a remote if it is not here.

    Args:
        repo: The repository.
        subject: The run.
        warn: Told where the code is not quite what ran.

    Raises:
        CodeMissing: It is not known, or neither here nor on a remote.
        RecordInvalid: The record names something else.
    """
    source, run_id = subject.run.source, subject.run.id
    name = source.code
    if name is None:
        raise CodeMissing(
            run_id,
            None,
            "the record names no commit, as when a run is made outside git code or before the first commit",
            f"What it logged can be had: `runstone artifacts get {run_id} . DIR`",
        )
    key = "snapshot" if source.snapshot else "commit"
    where = f"{subject.folder}/{layout.RECORD} at {subject.tip[:7]}"
    if not repo.objects.is_id(name):
        raise RecordInvalid(where, f"`source.{key}` must be a full commit id, but is {name[:80]!r}")
    found = repo.objects.find(name) or _bring(repo, subject, name)
    if found[1] != "commit":
        raise RecordInvalid(where, f"`source.{key}` must be a commit, but {name[:12]} is a {found[1]}")
    if not repo.shallow and repo.git("merge-base", "--is-ancestor", name, subject.tip, allowed=(0, 1))[0]:
        warn(
            f"Commit {name[:12]} is not held by the branch of runs: the record alone says that this code ran. "
            "Look at it before you run it."
        )
    if source.snapshot is None and source.dirty:
        warn(
            f"The work tree had edits when this run began, and they were not kept: this is commit {name[:12]}, "
            "without them. It is NOT exactly what ran."
        )
    return name


def _of_run(workspace: Workspace, text: str) -> Subject:
    try:
        run_id = resolve_run(workspace.repo, text)
    except RunNotFound:  # or its record cannot be read: then that is told
        run_id = need_recorded(workspace, text).run.id
    draft = read_runs(workspace.repo)
    folder = draft.find_run_folder(run_id)
    if folder is None and run_id in live.list_live(workspace.repo):
        raise RunIsLive(run_id, "checked out")
    found = _read(draft, folder) if folder is not None else None
    if found is None:
        raise RunNotFound(run_id)
    return found


def _of_version(workspace: Workspace, uri: ModelUri) -> Subject:
    from runstone.registry.resolve import resolve_version  # here: a run needs nothing of the registry

    version = resolve_version(workspace.repo, uri)
    found = _read(Draft(workspace.repo, version.commit), version.record, f"{version.name}@v{version.version}")
    if found is None:
        raise RunNotFound(version.run_id)
    return found


def _read(draft: Draft, folder: str, label: str | None = None) -> Subject | None:
    recorded, record = draft.run(folder), draft.read(f"{folder}/{layout.RECORD}")
    if recorded is None or record is None or draft.tip is None:
        return None
    files = {**recorded.files, layout.RECORD: record}
    return Subject(recorded.run, label or recorded.run.name, folder, files, draft.tip)


def _as_version(what: str) -> ModelUri | None:
    """`churn@v4`, `churn@champion`, `churn/4` or `churn/Production`; None for what is none of these."""
    name, mark, last = what.rpartition("@")
    if mark and name and last:
        number = re.fullmatch(r"v([1-9][0-9]{0,17})", last)
        return ModelUri(name, version=int(number[1])) if number else ModelUri(name, alias=last)
    name, mark, last = what.rpartition("/")
    if mark and name and last:
        is_number = re.fullmatch(r"[1-9][0-9]{0,17}", last)
        return ModelUri(name, version=int(last)) if is_number else ModelUri(name, word=last)
    return None


def _bring(repo: Repository, subject: Subject, commit: str) -> tuple[str, str, bytes]:
    """Fetch one commit by its id, as where history is cut short."""
    from runstone.git.transport import fetch, find_remote

    run_id, remote, why = subject.run.id, None, "this repository does not have it, and there is no remote to ask"
    try:
        remote = find_remote(repo)
        if remote is not None:
            fetch(repo, remote, [commit], depth=1 if repo.shallow else None)
    except (RemoteUnreachable, UsageError) as error:
        said = error.why.splitlines()[-1].strip() if isinstance(error, RemoteUnreachable) else str(error)
        why = f"this repository does not have it, and the git remote did not give it ({said})"
    found = repo.objects.find(commit)
    if found is None:
        deepen = "--unshallow " if repo.shallow else ""
        branch = repo.config.branch
        step = f"Bring it from a clone that has it: `git fetch {deepen}{remote or 'URL'} {branch}`"
        raise CodeMissing(run_id, commit, why, step)
    return found
