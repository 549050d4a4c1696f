"""The checkouts that were made: each is a linked work tree with a mark in git's own folder for it.

The mark lies in `<git dir>/worktrees/<id>/`, where no commit can put one: so a tree from elsewhere cannot pass for a
checkout of ours, and the mark goes when git forgets the work tree.
"""

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runstone.errors import CheckoutInUse, CheckoutNotFound, GitFailed, RunstoneError, WorkTreeRefused
from runstone.git.process import run_git
from runstone.git.repository import Repository
from runstone.git.transport import remove_worktree
from runstone.tracking.workspace import Workspace

MARK = "runstone.json"


@dataclass(frozen=True, slots=True)
class LinkedCheckout:
    """A checkout that was made.

    Attributes:
        path: Its top.
        run_id: The run.
        name: The run's name, or the model version that was asked for.
        snapshot: The commit it was made of.
        branch: The branch made there; None if HEAD was detached.
        folder: The folder in it that holds what is not code: `.runstone`.
        inputs: The DVC-tracked files and folders placed in it.
        made: Unix milliseconds.
        is_gone: Whether its folder is no longer there.
    """

    path: Path
    run_id: str
    name: str
    snapshot: str
    branch: str | None
    folder: str
    inputs: tuple[str, ...]
    made: int
    is_gone: bool = False


def write_mark(checkout: LinkedCheckout) -> None:
    """Mark a linked work tree as a checkout, or renew its mark.

    Writes:
        `runstone.json` in git's folder for that work tree.
    """
    document = {
        "run": checkout.run_id,
        "name": checkout.name,
        "snapshot": checkout.snapshot,
        "branch": checkout.branch,
        "folder": checkout.folder,
        "inputs": list(checkout.inputs),
        "made": checkout.made,
    }
    mark = git_folder(checkout.path) / MARK
    temporary = mark.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    temporary.replace(mark)


def git_folder(work_tree: Path) -> Path:
    """Git's own folder for a linked work tree, as the file `.git` at its top says."""
    text = (work_tree / ".git").read_text("utf-8", "surrogateescape")
    return work_tree / text.removeprefix("gitdir:").strip()


def list_checkouts(workspace: Workspace) -> list[LinkedCheckout]:
    """The checkouts of this repository, the newest first; also those whose folder somebody removed.

    In a copy of a repository, those of the original are none: they lead to it.
    """
    found = []
    for mark in (workspace.repo.common_dir / "worktrees").glob(f"*/{MARK}"):
        try:
            at = (mark.parent / "gitdir").read_text("utf-8", "surrogateescape").strip()
            document = json.loads(mark.read_text("utf-8"))
            top = Path(os.path.normpath(mark.parent / at)).parent
            is_gone = not (top / ".git").is_file()
            if not is_gone and _is_anothers(top, mark.parent):
                continue
            found.append(
                LinkedCheckout(
                    top,
                    str(document["run"]),
                    str(document["name"]),
                    str(document["snapshot"]),
                    document["branch"],
                    str(document["folder"]),
                    tuple(map(str, document["inputs"])),
                    int(document["made"]),
                    is_gone,
                )
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half written, or by a later Runstone: `git worktree list` still shows it
    return sorted(found, key=lambda each: (-each.made, str(each.path)))


def remove_checkout(
    workspace: Workspace, which: str | os.PathLike[str] | None = None, *, force: bool = False
) -> list[Path]:
    """Remove checkouts: their folders, and git's record of them. Branches and commits on branches stay.

    Args:
        workspace: The repository.
        which: A checkout's folder; or a run (id, beginning of one, name) or model version, for all checkouts of it;
            all checkouts if None.
        force: Also with edits, files that git neither knows nor ignores, and commits on no branch.

    Returns:
        The folders that are gone.

    Raises:
        CheckoutNotFound: No checkout is meant.
        CheckoutInUse: Some hold work that is nowhere else, and were kept; the others are removed.
        WorkTreeRefused: git refuses.
    """
    chosen = _chosen(list_checkouts(workspace), which)
    repo = Repository.open(workspace.repo.common_dir)  # not a work tree that is about to go
    for each in chosen:
        if not each.is_gone:
            _reconnect(repo, each.path)
    work = {} if force else {each.path: _work(each) for each in chosen if not each.is_gone}
    gone = [each.path for each in chosen if not work.get(each.path)]
    for path in gone:
        remove_worktree(repo, path, force=True)
    kept = {path: found for path, found in work.items() if found}
    if kept:
        raise CheckoutInUse(kept, {path: _branch(path) for path in kept}, gone)
    return gone


def _branch(path: Path) -> str | None:
    """The branch that is checked out there now; None if HEAD is detached."""
    _, out = run_git(["symbolic-ref", "--quiet", "--short", "HEAD"], cwd=path, allowed=(0, 1))
    return out.decode("utf-8", "replace").strip() or None


def _is_anothers(top: Path, own: Path) -> bool:
    """Whether a work tree leads to a git folder that is there, and is not ours."""
    leads_to = git_folder(top)
    return leads_to.exists() and not leads_to.samefile(own)


def _reconnect(repo: Repository, path: Path) -> None:
    """After a repository was moved, its work trees lead to where it was; as `git worktree repair`, but for one."""
    if git_folder(path).exists():
        return
    for at in (repo.common_dir / "worktrees").glob("*/gitdir"):
        if Path(at.read_text("utf-8", "surrogateescape").strip()) == path / ".git":
            (path / ".git").write_text(f"gitdir: {at.parent}\n", "utf-8", "surrogateescape")


def _chosen(made: list[LinkedCheckout], which: str | os.PathLike[str] | None) -> list[LinkedCheckout]:
    if which is None:
        return made
    text = os.fspath(which)
    place = Path(text).absolute()
    same = [each for each in made if each.path in (place, place.resolve()) or each.path.resolve() == place.resolve()]
    if not same and not isinstance(which, os.PathLike):
        same = [each for each in made if text in (each.run_id, each.name)]
        if not same and re.fullmatch(r"[a-z0-9._-]{4,}", text):
            same = [each for each in made if each.run_id.startswith(text)]
    if not same:
        raise CheckoutNotFound(text)
    return same


def _work(checkout: LinkedCheckout) -> list[str]:
    """What a checkout holds that is nowhere else, as a sentence names it."""
    try:
        _, out = run_git(
            ["status", "--porcelain", "-z", "--untracked-files=all", "--no-renames"],
            cwd=checkout.path,
        )
        # The snapshot may be on no ref in a clone with a short history, and is not the user's own in any case.
        known = [f"^{checkout.snapshot}", "--not", "--branches", "--tags", "--remotes"]
        _, commits = run_git(["rev-list", "--max-count=10", "HEAD", *known], cwd=checkout.path)
    except GitFailed as failure:
        raise RunstoneError(
            f"{checkout.path} could not be examined: {failure}. Remove it all the same: "
            f"`runstone checkout --clean --force '{checkout.path}'`"
        ) from failure
    files = [line[3:] for line in out.decode("utf-8", "replace").split("\0") if line]
    own = [path for path in files if not any(path == each or path.startswith(f"{each}/") for each in checkout.inputs)]
    is_locked = (git_folder(checkout.path) / "locked").exists()
    return (
        [f"`{path}`" for path in own]
        + [f"commit {commit[:12]}, which is on no branch" for commit in commits.decode().split()]
        + (["a lock (`git worktree lock`)"] if is_locked else [])
    )


def forget_gone(workspace: Workspace, path: Path) -> None:
    """Let git forget a checkout whose folder somebody removed by hand, since another is to be made there."""
    for each in list_checkouts(workspace):
        if each.is_gone and each.path == path:
            with suppress(OSError):
                path.rmdir()  # it may be back, empty
            remove_worktree(workspace.repo, path, force=True)


def undo(repo: Repository, path: Path, *, was_there: bool) -> None:
    """Take back a work tree that was made, whole or half; `was_there`: its folder was there, and empty."""
    with suppress(WorkTreeRefused):
        remove_worktree(repo, path, force=True)
    with suppress(OSError, ValueError):  # git had not come to record it; what is not git's work is not touched
        if git_folder(path).resolve().is_relative_to((repo.common_dir / "worktrees").resolve()):
            import shutil

            shutil.rmtree(path)
    with suppress(OSError):
        if was_there:
            path.mkdir()
        else:
            path.rmdir()
