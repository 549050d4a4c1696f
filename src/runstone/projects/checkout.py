"""Check a run out exactly: its code as a linked work tree, and beside it its record, artifacts, inputs, environment.

All of it, or nothing: what fails or is interrupted half-way is removed again; but where only the packages of the
environment cannot be had any more, what was checked out stays. The user's work tree, index and branches
are not touched. Artifacts and inputs are copied out of the cache, never linked to it, whatever DVC's `cache.type` says:
an edit here must not reach the cache. (Where the file system can share blocks, such a copy costs no room.)
"""

import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from runstone.artifacts.descriptor import Descriptor
from runstone.errors import (
    ArtifactMissing,
    CheckoutIncomplete,
    CheckoutRefused,
    EnvironmentNotBuilt,
    InvalidValue,
    MissingLibrary,
    RemoteFailed,
    RemoteNotConfigured,
    RunstoneError,
    WorkTreeRefused,
)
from runstone.git.process import run_git
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.git.transport import add_worktree
from runstone.projects.linked import LinkedCheckout as LinkedCheckout
from runstone.projects.linked import forget_gone, git_folder, undo, write_mark
from runstone.projects.linked import list_checkouts as list_checkouts
from runstone.projects.linked import remove_checkout as remove_checkout
from runstone.projects.subject import Subject, find_subject, need_code
from runstone.records.run import Run
from runstone.tracking.workspace import Workspace

FOLDER = ".runstone"
"""Where in a checkout lies what is not code."""

_TEXTS = (layout.RECORD, layout.METRICS, layout.NOTES, layout.REQUIREMENTS)
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_DATA = ("inputs", "all", "none", "likely")
_UNHAD = (ArtifactMissing, RemoteNotConfigured, RemoteFailed, MissingLibrary)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Checkout:
    """What was checked out.

    Attributes:
        run: The record.
        name: The run's name, or the model version that was asked for, as `churn@v4`.
        path: The top of the work tree.
        snapshot: The commit it holds.
        branch: The branch made there; None where HEAD is detached.
        folder: The folder in `path` with the record, the artifacts and, if asked for, the environment.
        python: The environment's Python; None if none was built.
        command: The command of the run; empty if it is not known.
        directory: Where it ran, relative to `path`; always inside it.
        artifacts: How many artifacts were placed; None if they were left out.
        inputs: The DVC-tracked files and folders placed.
        left_out: Of the run's work tree, what its snapshot does not hold: path → reason.
        warnings: Where this is not quite what ran, and what could not be placed.
    """

    run: Run
    name: str
    path: Path
    snapshot: str
    branch: str | None
    folder: Path
    python: Path | None
    command: tuple[str, ...]
    directory: str
    artifacts: int | None
    inputs: tuple[str, ...]
    left_out: Mapping[str, str]
    warnings: tuple[str, ...]


def checkout(
    workspace: Workspace,
    what: str,
    target: Path | None = None,
    *,
    branch: str | None = None,
    artifacts: bool = True,
    data: str = "inputs",
    environment: bool = False,
    submodules: bool = False,
    progress: Progress | None = None,
) -> Checkout:
    """Check a run out in a linked work tree of its own.

    Args:
        workspace: The repository.
        what: A run or a model version; see `subject.find_subject`.
        target: The folder; it must not exist, or be empty. Beside the repository, as `churn@brave-otter-17`, if None.
        branch: A new branch to make there; HEAD is detached if None.
        artifacts: Whether to place the run's artifacts in `.runstone/artifacts`.
        data: Which DVC-tracked files to place: `inputs` of the record, `all` of the tree, or `none`; `likely` are those
            of the record, and if it names none, all that can be had.
        environment: Whether to build `.runstone/venv` as the run's environment; that runs code of its packages.
        submodules: Whether to check submodules out, fetching them.
        progress: Told of each object that is pulled from the DVC remote.

    Writes:
        The folder; git's record of the work tree, with our mark; the branch. Pulled bytes stay in the cache.

    Raises:
        RunNotFound, RunAmbiguous, RunIsLive, ModelNotFound, VersionNotFound, AliasNotFound, StageNotFound: `what` names
            no run that is recorded.
        CodeMissing: Its commit is not known, or cannot be had.
        CheckoutRefused: The folder is not empty, or the branch exists.
        CheckoutIncomplete: Artifacts or inputs cannot be had.
        EnvironmentNotBuilt: All is there but the environment; the error says why.
    """
    if data not in _DATA:
        raise InvalidValue(f"`data` must be one of {', '.join(_DATA)}, but is {data!r}.")
    repo, warnings = workspace.repo, list[str]()
    failure: RunstoneError | None = None
    python = None
    subject = find_subject(workspace, what)
    commit = need_code(repo, subject, warnings.append)
    path = (target or default_folder(repo, subject.label)).resolve()  # as git records it
    _refuse_taken(workspace, path, branch, subject.label)
    with _all_or_nothing(repo, path, branch, commit):
        with ThreadPoolExecutor(1) as git:  # what is not in the cache comes from its remote meanwhile
            adding = git.submit(_add, repo, path, commit, branch, warnings)
            entries = _bring_artifacts(workspace, subject, progress) if artifacts else []
            adding.result()
        folder = path / _free_name(repo, commit)
        made = LinkedCheckout(
            path, subject.run.id, subject.label, commit, branch, folder.name, (), int(time.time() * 1000)
        )
        write_mark(made)
        _write_texts(folder, subject)
        workspace.artifacts.fetch(entries, folder / "artifacts")
        inputs = _place_inputs(workspace, subject, commit, path, folder, data, warnings, progress)
        write_mark(replace(made, inputs=inputs))
        _tell_filters(repo, path, commit, warnings)
        _update_submodules(repo, path, commit, submodules, warnings)
        if environment:
            try:
                python = _build(repo, subject, path, folder, warnings)
            except RunstoneError as error:
                failure = error
    if failure is not None:
        raise EnvironmentNotBuilt(path, failure) from failure
    source = subject.run.source
    return Checkout(
        run=subject.run,
        name=subject.label,
        path=path,
        snapshot=commit,
        branch=branch,
        folder=folder,
        python=python,
        command=source.command,
        directory=_directory(path, source.directory, warnings),
        artifacts=len(entries) if artifacts else None,
        inputs=inputs,
        left_out={str(each.get("path", "?")): str(each.get("reason", "")) for each in source.left_out},
        warnings=tuple(dict.fromkeys(warnings)),
    )


def default_folder(repo: Repository, label: str) -> Path:
    """Beside the repository's main work tree (or the bare repository): `<repository>@<run>`, in safe characters."""
    top = repo.work_tree or repo.common_dir
    if repo.git_dir != repo.common_dir:  # a linked work tree: the main one is meant
        own = repo.git_config.get("core.worktree")
        bare = repo.common_dir
        top = (bare / own).resolve() if own else bare.parent if bare.name == ".git" else bare
    name = top.name.removesuffix(".git").lstrip(".") or top.parent.name
    return top.parent / f"{name}@{_safe(label)}"


def _safe(label: str) -> str:
    """A text as a part of a folder's name on every system."""
    text = re.sub(r"[^\w.@+-]+", "-", unicodedata.normalize("NFC", label)).strip("-.")[:80].rstrip("-.")
    return f"run-{text}" if not text or _RESERVED.fullmatch(text) else text


def _refuse_taken(workspace: Workspace, path: Path, branch: str | None, label: str) -> None:
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        step = f"Name another folder: `runstone checkout {quote(label)} DIR`"
        if any(each.path == path for each in list_checkouts(workspace)):
            step += f"; or remove that checkout: `runstone checkout --clean {quote(str(path))}`"
        raise CheckoutRefused(str(path), "it exists and is not empty" if path.is_dir() else "it is no folder", step)
    if branch is not None and workspace.repo.refs.read(f"refs/heads/{branch}") is not None:
        step = "Name another one, or leave `--branch` out"
        raise CheckoutRefused(str(path), f"the branch `{branch}` exists already", step)
    forget_gone(workspace, path)


@contextmanager
def _all_or_nothing(repo: Repository, path: Path, branch: str | None, commit: str) -> Iterator[None]:
    """Take back all that was made, if what is done in the `with` block fails or is interrupted."""
    was_there = path.is_dir()
    above = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    except BaseException:
        undo(repo, path, was_there=was_there)
        for folder in above:
            with suppress(OSError):
                folder.rmdir()
        ref = f"refs/heads/{branch}"
        if branch is not None and repo.refs.read(ref) == commit:
            repo.refs.update([RefUpdate(ref, None, commit)])
        raise


def _add(repo: Repository, path: Path, commit: str, branch: str | None, warnings: list[str]) -> None:
    """Add the work tree. A post-checkout hook that fails is no reason to be without it, as git itself sees it."""
    try:
        add_worktree(repo, path, commit, branch)
    except WorkTreeRefused as error:
        if not (path / ".git").is_file() or (git_folder(path) / "locked").exists():  # locked: git was not done
            raise
        warnings.append(f"A post-checkout hook of this repository failed: {error.why}")
    if (git_folder(path) / "config.worktree").is_file():  # git hands on that it is sparse, and a run is its whole tree
        # Not by `git sparse-checkout disable`: that writes to the configuration that all work trees share.
        run_git(["config", "--worktree", "core.sparseCheckout", "false"], cwd=path)


def _free_name(repo: Repository, commit: str) -> str:
    """`.runstone`, unless the tree itself has that name, however it is written."""
    taken = {name.lower() for name in repo.objects.tree(repo.objects.commit(commit).tree)}
    number, name = 1, FOLDER
    while name in taken:
        number += 1
        name = f"{FOLDER}-{number}"
    return name


def _write_texts(folder: Path, subject: Subject) -> None:
    folder.mkdir()
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    for name in _TEXTS:
        if name in subject.files:
            (folder / name).write_bytes(subject.files[name])


def _bring_artifacts(workspace: Workspace, subject: Subject, progress: Progress | None) -> list[Descriptor]:
    """What the run kept, all of it in the cache."""
    text = subject.files.get(layout.ARTIFACTS)
    if text is None:
        return []
    store = workspace.artifacts
    with _explained("its artifacts", f"runstone checkout {quote(subject.label)} --no-artifacts"):
        entries = store.listing(text, f"{subject.folder}/{layout.ARTIFACTS}")
        missing = list(dict.fromkeys(entry.md5 for entry in entries if not store.cache.has(entry.md5)))
        if missing:
            store.pull(missing, progress=progress)
    return entries


def _place_inputs(
    workspace: Workspace,
    subject: Subject,
    commit: str,
    path: Path,
    folder: Path,
    data: str,
    warnings: list[str],
    progress: Progress | None,
) -> tuple[str, ...]:
    datasets = subject.run.datasets
    is_named = any(dataset.dvc for dataset in datasets)
    every = data == "all" or (data == "likely" and not is_named)
    if data == "none" or not (is_named or _has_pointers(path)):
        return ()
    from runstone.projects.inputs import Inputs, find_here, place

    found = Inputs(workspace.repo, commit, warnings.append).chosen(datasets, every)
    ours = [each for each in found if each.path.split("/")[0].lower() == folder.name]
    warnings += [f"`{each.path}` was not placed: it would lie among Runstone's own files." for each in ours]
    wanted = [each for each in found if each not in ours]
    placed: list[str] = []
    try:
        with _explained("its DVC-tracked inputs", f"runstone checkout {quote(subject.label)} --data none"):
            placed = place(workspace.artifacts, wanted, path, warnings.append, progress, reserved=folder)
    except CheckoutIncomplete as error:
        if data != "likely" or is_named:
            raise
        here = find_here(workspace.artifacts, wanted)
        placed = place(workspace.artifacts, here, path, warnings.append, progress, reserved=folder)
        lost = _paths_were(len(wanted) - len(here))
        warnings.append(f"{lost} not placed; the run recorded no such inputs, so it may not need them. {error.why}")
    if not (is_named or every):
        left = len(Inputs(workspace.repo, commit, lambda _: None).chosen((), True))
        warnings.append(
            f"{_paths_were(left)} not placed, since the run recorded no such inputs. To place all: `--data all`"
        )
    return tuple(placed)


def _has_pointers(path: Path) -> bool:
    """Whether DVC tracks something in a checkout; asked of git, since a walk of the files takes longer."""
    _, out = run_git(["ls-files", "-z", "--", ":(glob)**/*.dvc", ":(glob)**/dvc.lock"], cwd=path)
    return bool(out)


def _paths_were(number: int) -> str:
    return "1 DVC-tracked path was" if number == 1 else f"{number} DVC-tracked paths were"


@contextmanager
def _explained(what: str, without: str) -> Iterator[None]:
    try:
        yield
    except _UNHAD as error:
        why = f"{str(error).rstrip('.')}."  # it may end with a command
        raise CheckoutIncomplete(what, why, f"Or check it out without them: `{without}`") from error


def _tell_filters(repo: Repository, path: Path, commit: str, warnings: list[str]) -> None:
    """Without the program of a filter, as Git LFS, its files are what git stores, and git says nothing of it."""
    entry = repo.objects.entry(repo.objects.commit(commit).tree, ".gitattributes")
    if entry is None or not entry.mode.startswith("100"):
        return
    text = repo.objects.blob(entry.oid).decode("utf-8", "replace")
    for name in sorted(set(re.findall(r"^[^#\s].*?\sfilter=(\S+)", text, re.MULTILINE))):
        if not any(f"filter.{name}.{key}" in repo.git_config for key in ("smudge", "process")):
            warnings.append(
                f"The filter `{name[:80]}` of .gitattributes is not set up here, so its files are as git stores them, "
                f"not as they were. Set it up, then: `git -C {quote(str(path))} checkout HEAD -- .`"
            )


def _update_submodules(repo: Repository, path: Path, commit: str, wanted: bool, warnings: list[str]) -> None:
    if ".gitmodules" not in repo.objects.tree(repo.objects.commit(commit).tree):
        return
    if not wanted:
        warnings.append(
            f"The tree has submodules, which are empty: check them out with `--submodules`, or later: "
            f"`git -C '{path}' submodule update --init --recursive`"
        )
        return
    run_git(["submodule", "update", "--init", "--recursive"], cwd=path)


def _build(repo: Repository, subject: Subject, path: Path, folder: Path, warnings: list[str]) -> Path:
    from runstone.projects.environment import build_environment

    if layout.REQUIREMENTS not in subject.files:
        warnings.append("The run did not record its packages, so the environment has none.")
    logs = repo.writable_state("logs")  # not in the checkout, which goes if this fails
    return build_environment(
        folder / "venv",
        subject.files.get(layout.REQUIREMENTS, b"").decode("utf-8", "replace"),
        subject.run.environment.python,
        project=path,
        log=logs / f"environment-{subject.run.id}.log",
        warn=warnings.append,
    )


def _directory(path: Path, recorded: str | None, warnings: list[str]) -> str:
    """Where to run the command: the recorded folder if the tree has it, inside the checkout in any case."""
    if recorded in (None, "", "."):
        return "."
    assert recorded is not None
    if not _is_folder_in(path, recorded):
        warnings.append(f"The run was in the folder {recorded[:120]!r}, which this checkout does not have.")
        return "."
    return recorded


def _is_folder_in(path: Path, recorded: str) -> bool:
    place = path / recorded
    try:
        is_odd = re.search(r"[\\\0]", recorded) is not None
        return not is_odd and place.is_dir() and place.resolve().is_relative_to(path.resolve())
    except (OSError, RuntimeError):  # too long for a name, or links in a circle
        return False
