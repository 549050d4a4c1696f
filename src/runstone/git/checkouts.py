"""Work trees that have a branch checked out: which they are, and how they go along when the branch moves.

The work tree goes first and the branch follows, as in `git merge`: git's own two-tree merge refuses where it would lose
an edit, and whoever is killed between the two leaves the change staged, never its reverse; see `carried`.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runstone.errors import CheckoutFailed, GitFailed, IndexBusy, LocalEdits
from runstone.git import leftover
from runstone.git.process import run_git
from runstone.git.repository import Repository

_PATIENCE_S = 3.0
_REFUSALS = ("not uptodate", "would be overwritten", "would be removed", "would lose", "Would lose")
"""How git says that it would lose an edit; whatever else it says is a failure of its own."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A work tree.

    Attributes:
        path: Its top.
        git_dir: Its own git directory, where its index lies.
    """

    path: Path
    git_dir: Path

    def __str__(self) -> str:
        return str(self.path)

    def git(self, *arguments: str, input: bytes | None = None) -> bytes:
        """Run git there, also where nothing in the work tree leads to the git directory."""
        options = [f"--git-dir={self.git_dir}", f"--work-tree={self.path}"]
        return run_git([*options, *arguments], cwd=self.path, input=input)[1]


def checkouts(repo: Repository, ref: str) -> list[Checkout]:
    """The work trees that have a branch checked out, also before its first commit.

    Read from git's files, since this is asked at every commit; where these do not tell, git is asked.
    """
    config = repo.git_config
    if config.get("extensions.refstorage", "files") != "files" or _is_true(config.get("extensions.worktreeconfig")):
        return _ask(repo, ref)
    head = repo.common_dir / "HEAD"
    if head.is_symlink():
        return _ask(repo, ref)
    found: list[Checkout] = []
    if _names(head, ref):
        if repo.git_dir == repo.common_dir:
            main = repo.work_tree
        elif "core.worktree" in config:
            return _ask(repo, ref)
        else:
            main = None if _is_true(config.get("core.bare")) else repo.common_dir.parent
        if main is not None and main.is_dir():
            found.append(Checkout(main, repo.common_dir))
    with suppress(OSError):
        for linked in sorted((repo.common_dir / "worktrees").iterdir()):
            if _names(linked / "HEAD", ref):
                named = (linked / "gitdir").read_text("utf-8", "surrogateescape").rstrip("\n")
                path = Path(os.path.abspath(linked / named)).parent  # noqa: PTH100  # relative since git 2.48, if set so
                if path.is_dir():
                    found.append(Checkout(path, linked))
    return found


def rebasing(repo: Repository, ref: str) -> bool:
    """Whether a rebase of a branch is under way in a work tree: at its end git moves the branch from where it began."""
    folders = [repo.common_dir]
    with suppress(OSError):
        folders += (repo.common_dir / "worktrees").iterdir()
    for folder in folders:
        for state in ("rebase-merge", "rebase-apply"):
            with suppress(OSError):
                if (folder / state / "head-name").read_text("utf-8", "surrogateescape").strip() == ref:
                    return True
    return False


def carry_along(
    work_trees: Sequence[Checkout], old: str, new: str, paths: Sequence[str], is_new: Callable[[str], bool]
) -> None:
    """Bring the index and the files of work trees from one tree to another, all of them or none.

    Args:
        work_trees: The work trees.
        old: The tree that they have checked out.
        new: The tree to come.
        paths: The paths by which they differ.
        is_new: Whether a path is not in the old tree.

    Writes:
        These paths in the index and the work tree; every other edit, staged or not, stays as it is.

    Raises:
        LocalEdits: One has edits in one of the paths, or a file of nobody's in its place.
        IndexBusy: git works on its index, or a merge is not finished there.
        CheckoutFailed: git could not write the files, as on a full disk; what it wrote is taken back.
    """
    done: list[Checkout] = []
    try:
        for work_tree in work_trees:
            _refuse_losses(work_tree, paths, is_new)
            _merge(work_tree, old, new, paths)
            done.append(work_tree)
    except BaseException:
        put_back(done, old, new, paths)
        raise


def put_back(work_trees: Iterable[Checkout], old: str, new: str, paths: Sequence[str]) -> None:
    """Undo `carry_along`, where the branch did not move after all; what was edited meanwhile stays."""
    for work_tree in work_trees:
        with suppress(LocalEdits, IndexBusy, CheckoutFailed):
            _merge(work_tree, new, old, paths)


def _merge(work_tree: Checkout, old: str, new: str, paths: Sequence[str]) -> None:
    command = ["read-tree", "-m", "-u", old, new]
    before = {path for path in paths if os.path.lexists(work_tree.path / path)}
    until = time.monotonic() + _PATIENCE_S
    is_refreshed = False
    while True:
        try:
            work_tree.git(*command)
            return
        except GitFailed as failure:
            text = failure.stderr
        if "index.lock" in text:
            lock = work_tree.git_dir / "index.lock"
            leftover.clear_locks([lock], patience_s=max(0.0, until - time.monotonic()))
            if lock.exists():
                why = f"`{lock}` is there. Finish what git does there; if nothing does, remove it: `rm '{lock}'`"
                raise IndexBusy(work_tree.path, why)
            continue
        if "resolve your current index" in text:
            raise IndexBusy(
                work_tree.path, "a merge is not finished there. Finish it, or leave it: `git merge --abort`"
            )
        if not any(words in text for words in _REFUSALS):
            _undo(work_tree, before, paths)
            raise CheckoutFailed(work_tree.path, text)
        if is_refreshed:
            raise LocalEdits(work_tree.path, _edited(work_tree, paths) or list(paths))
        # A file that was only touched, or copied with the repository, counts as edited until git has looked at it.
        with suppress(GitFailed):
            work_tree.git("update-index", "-q", "--refresh")
        is_refreshed = True


def _undo(work_tree: Checkout, before: Set[str], paths: Iterable[str]) -> None:
    """Take back what git wrote before it failed, as on a full disk: its index is as it was, and all was clean."""
    for path in paths:
        if path not in before:
            with suppress(OSError):
                (work_tree.path / path).unlink()
    if before:
        with suppress(GitFailed):
            work_tree.git("checkout-index", "--force", "--quiet", "--", *sorted(before))


def _refuse_losses(work_tree: Checkout, paths: Iterable[str], is_new: Callable[[str], bool]) -> None:
    """What `read-tree` lets pass: it overwrites an ignored file, and brings back one that was deleted."""
    new = [path for path in paths if is_new(path) and _in_the_way(work_tree.path, path)]
    gone = [path for path in paths if not is_new(path) and not os.path.lexists(work_tree.path / path)]
    if not new and not gone:
        return
    out = work_tree.git("--literal-pathspecs", "ls-files", "-v", "-z", "--", *new, *gone)
    rows = [row.partition(" ") for row in out.decode("utf-8", "surrogateescape").split("\0") if row]
    marks = {path: mark for mark, _, path in rows}
    lost = [path for path in new if path not in marks]
    lost += [path for path in gone if marks.get(path, "S").upper() != "S"]  # S: left out by a sparse checkout
    if lost:
        raise LocalEdits(work_tree.path, lost)


def _in_the_way(work_tree: Path, path: str) -> bool:
    if os.path.lexists(work_tree / path):
        return True
    folder = (work_tree / path).parent
    while folder != work_tree and not os.path.lexists(folder):
        folder = folder.parent
    return folder.is_symlink() or not folder.is_dir()


def _edited(work_tree: Checkout, paths: Sequence[str]) -> list[str]:
    command = ["--literal-pathspecs", "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"]
    out = work_tree.git(*command, "--", *paths)
    return [line[3:] for line in out.decode("utf-8", "replace").split("\0") if line]


def _names(head: Path, ref: str) -> bool:
    try:
        return head.read_text("utf-8", "surrogateescape").strip() == f"ref: {ref}"
    except OSError:
        return False


def _is_true(value: str | None) -> bool:
    return value is not None and value.lower() in ("true", "yes", "on", "1", "")


def _ask(repo: Repository, ref: str) -> list[Checkout]:
    _, out = repo.git("worktree", "list", "--porcelain")
    found, path = [], Path()
    for line in out.decode("utf-8", "surrogateescape").splitlines():
        key, _, value = line.partition(" ")
        if key == "worktree":
            path = Path(value)
            if path == repo.common_dir and repo.git_dir == repo.common_dir and repo.work_tree is not None:
                path = repo.work_tree  # of a submodule git names the git directory
        elif key == "branch" and value == ref and path.is_dir():
            found.append(Checkout(path, _git_dir(repo, path)))
    return found


def _git_dir(repo: Repository, work_tree: Path) -> Path:
    if work_tree == repo.work_tree:
        return repo.git_dir
    _, out = run_git(["rev-parse", "--absolute-git-dir"], cwd=work_tree)
    return Path(out.decode("utf-8", "surrogateescape").rstrip("\n"))
