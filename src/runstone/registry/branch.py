"""The default branch, where the registry's files lie: which one it is, read from it, commit to it.

A commit is made beside the work tree and the branch moved by compare-and-swap; a work tree that has the branch checked
out gets just these files, so that it stays clean.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from runstone.errors import BranchBehind, BranchDiverged, IndexBusy, ObjectMissing, RefMoved, RunstoneError
from runstone.git.objects import FILE, TreeEntry
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository

if TYPE_CHECKING:
    from runstone.git.checkouts import Checkout

Changes = Mapping[str, str | None]
"""Path → the content of the file; None for a file to be removed."""

_diverted: ContextVar[bool] = ContextVar("diverted", default=False)

_ATTEMPTS = 20
_KEPT = 1000
_ancestry: WeakKeyDictionary[Repository, dict[tuple[str, str], bool]] = WeakKeyDictionary()

_told: WeakSet[Repository] = WeakSet()


class Diverted(Exception):
    """What was to be committed, where that is to be proposed instead: see `divert`."""

    def __init__(
        self,
        changes: "Changes | Callable[[str | None], Changes]",
        message: "str | Callable[[str | None], str]",
    ) -> None:
        self.changes, self.message = changes, message
        super().__init__("to be proposed")


class BranchesDiffer(UserWarning):
    """The default branch here and the remote's have diverged, so what is read may not be what others read."""


def default_branch(repo: Repository) -> str:
    """The short name of the default branch: `origin/HEAD`, else `init.defaultBranch`, `main` or `master`, else HEAD's.

    Of a bare repository it is HEAD's, as for everybody who clones it: a push cannot make another branch count.
    Asked at every resolve of an alias, so it reads git's files and starts no process.

    Raises:
        RunstoneError: None of these exists, as in a detached checkout of a repository without them.
    """
    return _find(repo)[0]


def _find(repo: Repository) -> tuple[str, str | None, str | None]:
    """The default branch, and where it is here and on the remote."""
    theirs = f"refs/remotes/{_remote(repo)}"
    origin, head = _target(repo, f"{theirs}/HEAD", f"{theirs}/"), _target(repo, "HEAD")
    usual = (origin, repo.git_config.get("init.defaultbranch"), "main", "master")
    for name in (head, *usual) if repo.work_tree is None else usual:
        if name:
            local, remote = _tip(repo, f"refs/heads/{name}"), _tip(repo, f"{theirs}/{name}")
            if local or remote:
                return name, local, remote
    if head or origin:  # no commit yet
        return str(head or origin), None, None
    raise RunstoneError(
        "The default branch of this repository is not known: there is no origin/HEAD, no main and no master. "
        "Name it: `git config init.defaultBranch NAME`"
    )


def _remote(repo: Repository) -> str:
    """The remote that the project shares, as `transport.find_remote` chooses it, told without a process of its own."""
    config = repo.git_config
    keys = (key.removeprefix("remote.").rpartition(".") for key in config if key.startswith("remote."))
    known = {name for name, _, setting in keys if setting in ("url", "pushurl")}
    upstream = config.get(f"branch.{repo.config.branch}.remote")
    if upstream in known or "origin" in known or len(known) != 1:
        return upstream if upstream in known else "origin"
    return known.pop()


def registry_commit(repo: Repository) -> str | None:
    """The commit that is the registry: of the local and the remote-tracking default branch the one that contains the
    other; where they have diverged, the remote-tracking one under `promotion: review`, else the local one. None before
    the first commit.
    """
    return _look(repo)[2]


def _look(repo: Repository) -> tuple[str, str | None, str | None]:
    """The default branch, where it is here, and the registry's commit."""
    name, local, remote = _find(repo)
    if local is None or remote is None or local == remote:
        return name, local, local or remote
    for older, newer in ((remote, local), (local, remote)):  # in process first: mostly one is a little ahead
        if _is_near(repo, older, newer):
            return name, local, newer
    for older, newer in ((remote, local), (local, remote)):
        if _is_ancestor(repo, older, newer):
            return name, local, newer
    is_reviewed = repo.config.promotion == "review"
    if repo not in _told:
        _told.add(repo)
        there = f"{_remote(repo)}/{name}"
        counts = there if is_reviewed else f"the {name} that is here"
        text = f"`{name}` and `{there}` each have commits of their own, so {counts} counts. Join the two: `git pull`"
        warnings.warn(text, BranchesDiffer, stacklevel=3)
    return name, local, remote if is_reviewed else local


def read_file(repo: Repository, commit: str, path: str) -> bytes | None:
    """A file of the registry at a commit, or None."""
    entry = repo.objects.entry(repo.objects.commit(commit).tree, path)
    return None if entry is None or entry.is_tree else repo.objects.blob(entry.oid)


def list_folder(repo: Repository, commit: str, path: str) -> Mapping[str, TreeEntry]:
    """The entries of a folder of the registry at a commit; none if there is no such folder."""
    entry = repo.objects.entry(repo.objects.commit(commit).tree, path)
    return repo.objects.tree(entry.oid) if entry is not None and entry.is_tree else {}


def make_commit(
    repo: Repository, base: str | None, changes: Changes, message: str, parents: Sequence[str] | None = None
) -> str | None:
    """Write a commit of changes to the files of another one, by the user who is at work; signed where git signs.

    Args:
        repo: The repository.
        base: The commit to begin from; None for an empty tree.
        changes: Path to content; None removes the file.
        message: The commit's message.
        parents: Its parents, of a merge for one; the base if not named.

    Returns:
        The commit; None if nothing would change and no parents are named.

    Writes:
        The commit and what it holds; no ref.

    Raises:
        SigningFailed: git is set to sign commits, and it could not be signed.
    """
    from runstone.git import signing

    before = repo.objects.commit(base).tree if base is not None else None
    tree = _write_tree(repo, before, changes)
    if parents is None:
        if tree == before:
            return None
        parents = [base] if base is not None else []
    return signing.write_commit(repo, tree, parents, message)


def draft_commit(repo: Repository, base: str, changes: Changes) -> str:
    """A commit of changes that is nobody's and that no ref names, to see what they come to."""
    who = "Runstone <runstone@localhost> 0 +0000"
    tree = _write_tree(repo, repo.objects.commit(base).tree, changes)
    return repo.objects.write_commit(tree, [base], who, who, "A draft")


def commit_files(
    repo: Repository,
    changes: Changes | Callable[[str | None], Changes],
    message: str | Callable[[str | None], str],
) -> str | None:
    """Commit changes of files to the default branch.

    Args:
        repo: The repository.
        changes: Path to content; None removes the file. Or what computes this from the commit that is the registry:
            it is asked again whenever another process was faster, so that no change is made of a state that is gone.
        message: The commit's message, or what computes it likewise, after the changes.

    Returns:
        The commit; None if nothing would change.

    Writes:
        One commit on the default branch, signed where git signs, and these files in work trees that have it checked
        out.

    Raises:
        LocalEdits: A work tree that has the branch checked out has edits in one of these files.
        IndexBusy: git works on its index, or on a rebase of the branch, or a merge is not finished.
        BranchBehind: It is checked out and older than its remote.
        BranchDiverged: It and its remote each have commits of their own, and the remote's count.
        SigningFailed: git is set to sign commits, and it could not be signed.
        RefMoved: Other processes were faster, again and again.
        Diverted: Within `divert`, whatever else is so.
    """
    from random import SystemRandom

    if _diverted.get():
        raise Diverted(changes, message)

    # Here: to look a version up, which has to be quick, takes none of it.
    from runstone.git import carried, checkouts, signing

    carried.heal(repo)
    with repo.lock:  # for fairness, and since two processes cannot write one index at once
        for _ in range(_ATTEMPTS):
            name, tip, base = _look(repo)
            ref = f"refs/heads/{name}"
            wanted = changes(base) if callable(changes) else changes
            before = repo.objects.commit(base).tree if base is not None else None
            tree = _write_tree(repo, before, wanted)
            if tree == before:
                return None
            trees = checkouts.checkouts(repo, ref)
            _refuse_if_behind(repo, name, tip, base, trees)
            parents = [base] if base is not None else []
            text = message(base) if callable(message) else message
            commit = signing.write_commit(repo, tree, parents, text)
            old = before or repo.objects.write_tree({})
            differing = [path for path in wanted if repo.objects.entry(old, path) != repo.objects.entry(tree, path)]
            try:
                carried.move_branch(repo, RefUpdate(ref, commit, tip), trees, old, tree, differing)
                return commit
            except RefMoved as moved:
                failure = moved
                time.sleep(SystemRandom().uniform(0, 0.05))
    raise failure


@contextmanager
def divert() -> Iterator[None]:
    """Have `commit_files` raise `Diverted` in place of committing, so that any edit can be proposed as it stands."""
    token = _diverted.set(True)
    try:
        yield
    finally:
        _diverted.reset(token)


def _write_tree(repo: Repository, before: str | None, changes: Changes) -> str:
    entries: dict[str, TreeEntry | None] = {
        path: None if text is None else TreeEntry(FILE, repo.objects.write("blob", text.encode()))
        for path, text in changes.items()
    }
    return repo.objects.update_tree(before, entries) or repo.objects.write_tree({})


def _refuse_if_behind(
    repo: Repository, name: str, tip: str | None, base: str | None, trees: "Sequence[Checkout]"
) -> None:
    from runstone.git import checkouts

    if trees and tip != base:
        raise BranchBehind(name, trees[0].path)
    if tip is not None and base is not None and not _is_ancestor(repo, tip, base):
        raise BranchDiverged(name)
    if not trees and checkouts.rebasing(repo, f"refs/heads/{name}"):
        why = (
            f"a rebase of `{name}` is under way. Finish it (`git rebase --continue`), or leave it: `git rebase --abort`"
        )
        raise IndexBusy(repo.work_tree or repo.git_dir, why)


def _tip(repo: Repository, ref: str) -> str | None:
    return repo.refs.read(ref)


def _target(repo: Repository, ref: str, theirs: str = "refs/heads/") -> str | None:
    """The branch that a symbolic ref points at; None if it is not there, or is none."""
    if repo.git_config.get("extensions.refstorage", "files") == "files":
        try:  # symbolic refs are never packed
            text = ((repo.git_dir if ref == "HEAD" else repo.common_dir) / ref).read_text(errors="surrogateescape")
        except OSError:
            return None
        target = text.removeprefix("ref:").strip() if text.startswith("ref:") else ""
    else:
        target = repo.git("symbolic-ref", "--quiet", ref, allowed=(0, 1, 128))[1].decode().strip()
    return target.removeprefix("refs/heads/").removeprefix(theirs) or None


def _is_ancestor(repo: Repository, older: str, newer: str) -> bool:
    """Whether one commit contains another; kept, since it is asked at every read where a clone is ahead."""
    if older == newer or _is_near(repo, older, newer):
        return True
    known = _ancestry.setdefault(repo, {})
    if (older, newer) not in known:
        known[older, newer] = repo.git("merge-base", "--is-ancestor", older, newer, allowed=(0, 1))[0] == 0
    return known[older, newer]


def _is_near(repo: Repository, older: str, newer: str) -> bool:
    """Whether a commit contains another, as far as its next few first parents and what is kept tell."""
    known = _ancestry.setdefault(repo, {})
    if len(known) > _KEPT:
        known.clear()
    at, answer = newer, known.get((older, newer))
    for _ in range(16):
        if answer is not None:
            break
        try:
            parents = repo.objects.commit(at).parents
        except ObjectMissing:
            return False  # where a shallow clone ends
        if older in parents or any(known.get((older, parent)) for parent in parents):
            answer = known[older, newer] = True
        if not parents:
            return False
        at = parents[0]
    return bool(answer)
