"""The default branch, where the registry's files lie: which one it is, read from it, commit to it.

A commit is made beside the work tree and the branch moved by compare-and-swap; a work tree that has the branch checked
out then gets just these files, so that it stays clean.
"""

import random
import time
from collections.abc import Mapping
from pathlib import Path

from runstone.errors import BranchBehind, GitFailed, LocalEdits, RefMoved, RunstoneError
from runstone.git.objects import FILE, TreeEntry
from runstone.git.process import run_git
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository

_ATTEMPTS = 20


def default_branch(repo: Repository) -> str:
    """The short name of the default branch: `origin/HEAD`, else `init.defaultBranch`, `main` or `master`, else HEAD's.

    Asked at every resolve of an alias, so it reads git's files and starts no process.

    Raises:
        RunstoneError: None of these exists, as in a detached checkout of a repository without them.
    """
    origin, head = _target(repo, "refs/remotes/origin/HEAD"), _target(repo, "HEAD")
    for name in (origin, repo.git_config.get("init.defaultbranch"), "main", "master"):
        if name and (_tip(repo, f"refs/heads/{name}") or _tip(repo, f"refs/remotes/origin/{name}")):
            return name
    if head or origin:  # no commit yet
        return str(head or origin)
    raise RunstoneError(
        "The default branch of this repository is not known: there is no origin/HEAD, no main and no master. "
        "Name it: `git config init.defaultBranch NAME`"
    )


def registry_commit(repo: Repository) -> str | None:
    """The commit that is the registry: of the local and the remote-tracking default branch the one that contains the
    other; where they have diverged, the remote-tracking one under `promotion: review`, else the local one. None before
    the first commit.
    """
    name = default_branch(repo)
    local, remote = _tip(repo, f"refs/heads/{name}"), _tip(repo, f"refs/remotes/origin/{name}")
    if local is None or remote is None or local == remote:
        return local or remote
    if _is_ancestor(repo, local, remote):
        return remote
    if repo.config.promotion == "review" and not _is_ancestor(repo, remote, local):
        return remote
    return local


def read_file(repo: Repository, commit: str, path: str) -> bytes | None:
    """A file of the registry at a commit, or None."""
    entry = repo.objects.entry(repo.objects.commit(commit).tree, path)
    return None if entry is None or entry.is_tree else repo.objects.blob(entry.oid)


def list_folder(repo: Repository, commit: str, path: str) -> Mapping[str, TreeEntry]:
    """The entries of a folder of the registry at a commit; none if there is no such folder."""
    entry = repo.objects.entry(repo.objects.commit(commit).tree, path)
    return repo.objects.tree(entry.oid) if entry is not None and entry.is_tree else {}


def commit_files(repo: Repository, changes: Mapping[str, str | None], message: str) -> str | None:
    """Commit changes of files to the default branch.

    Args:
        repo: The repository.
        changes: Path to content; None removes the file.
        message: The commit's message.

    Returns:
        The commit; None if nothing would change.

    Writes:
        One commit on the default branch, and these files in a work tree that has it checked out.

    Raises:
        LocalEdits: A work tree that has the branch checked out has edits in one of these files.
        BranchBehind: It is checked out and older than its remote.
        RefMoved: Other processes were faster, again and again.
    """
    name = default_branch(repo)
    ref = f"refs/heads/{name}"
    with repo.lock:  # for fairness, and since two processes cannot write one index at once
        for _ in range(_ATTEMPTS):
            tip, base = _tip(repo, ref), registry_commit(repo)
            before = repo.objects.commit(base).tree if base is not None else None
            entries: dict[str, TreeEntry | None] = {
                path: None if text is None else TreeEntry(FILE, repo.objects.write("blob", text.encode()))
                for path, text in changes.items()
            }
            tree = repo.objects.update_tree(before, entries) or repo.objects.write_tree({})
            if tree == before:
                return None
            trees = _work_trees(repo, ref)
            if trees and tip != base:
                raise BranchBehind(name, trees[0])
            for work_tree in trees:
                _refuse_edits(repo, work_tree, before, changes)
            parents = [base] if base is not None else []
            who = repo.identity("author"), repo.identity("committer")
            commit = repo.objects.write_commit(tree, parents, *who, message)
            try:
                repo.refs.update([RefUpdate(ref, commit, tip)])
            except RefMoved as moved:
                failure = moved
                time.sleep(random.uniform(0, 0.05))
                continue
            for work_tree in trees:
                _bring_up_to_date(work_tree, entries)
            return commit
    raise failure


def _tip(repo: Repository, ref: str) -> str | None:
    return repo.refs.read(ref)


def _target(repo: Repository, ref: str) -> str | None:
    """The branch that a symbolic ref points at; None if it is not there, or is none."""
    if repo.git_config.get("extensions.refstorage", "files") == "files":
        try:  # symbolic refs are never packed
            text = ((repo.git_dir if ref == "HEAD" else repo.common_dir) / ref).read_text(errors="surrogateescape")
        except OSError:
            return None
        target = text.removeprefix("ref:").strip() if text.startswith("ref:") else ""
    else:
        target = repo.git("symbolic-ref", "--quiet", ref, allowed=(0, 1, 128))[1].decode().strip()
    return target.removeprefix("refs/heads/").removeprefix("refs/remotes/origin/") or None


def _is_ancestor(repo: Repository, older: str, newer: str) -> bool:
    return repo.git("merge-base", "--is-ancestor", older, newer, allowed=(0, 1))[0] == 0


def _work_trees(repo: Repository, ref: str) -> list[Path]:
    """The work trees that have a branch checked out, also before its first commit."""
    _, out = repo.git("worktree", "list", "--porcelain")
    found, path = [], Path()
    for line in out.decode("utf-8", "surrogateescape").splitlines():
        key, _, value = line.partition(" ")
        if key == "worktree":
            path = Path(value)
            if path == repo.common_dir and repo.git_dir == repo.common_dir and repo.work_tree is not None:
                path = repo.work_tree  # of a submodule git names the git directory
        elif key == "branch" and value == ref and path.is_dir():
            found.append(path)
    return found


def _refuse_edits(repo: Repository, work_tree: Path, tree: str | None, paths: Mapping[str, object]) -> None:
    _, out = run_git(
        ["status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--", *paths], cwd=work_tree
    )
    edited = [line[3:] for line in out.decode("utf-8", "replace").split("\0") if line]
    for path in paths:  # untracked ones, whether ignored or not
        is_known = tree is not None and repo.objects.entry(tree, path) is not None
        if not is_known and path not in edited and (work_tree / path).exists():
            edited.append(path)
    if edited:
        raise LocalEdits(work_tree, edited)


def _bring_up_to_date(work_tree: Path, entries: Mapping[str, TreeEntry | None]) -> None:
    """Put the files of the new commit into the index and the work tree; all else that lies there is left alone."""
    for path, entry in entries.items():
        try:
            if entry is None:
                _git_when_free(work_tree, "update-index", "--force-remove", "--", path)
                (work_tree / path).unlink(missing_ok=True)
            else:
                _git_when_free(work_tree, "update-index", "--add", "--cacheinfo", f"{FILE},{entry.oid},{path}")
                _git_when_free(work_tree, "checkout-index", "--force", "--quiet", "-u", "--", path)
        except (GitFailed, OSError) as error:
            raise RunstoneError(
                f"The commit was made, but `{path}` in {work_tree} could not be brought up to date: {error}. "
                f"Do it there: `git restore --source=HEAD --staged --worktree -- '{path}'`"
            ) from error


def _git_when_free(work_tree: Path, *arguments: str) -> None:
    """Run git; where the user's own git holds the index for a moment, wait for it."""
    for attempt in range(20):
        try:
            run_git(arguments, cwd=work_tree)
            return
        except GitFailed as error:
            if "index.lock" not in error.stderr or attempt == 19:
                raise
            time.sleep(0.1)
