"""What waits on a network or a checkout: fetch, push, ask a remote for its refs, add and remove work trees.

All of it is the `git` program itself: so credentials, proxies, ssh and protocols are what the user has set up.
GitPython was tried and left out: it cannot read the refs of a SHA-256 repository, hands a hook's GIT_INDEX_FILE on to
git, and its import alone costs half of what a sync with nothing to do may.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runstone.errors import DiskFull, GitFailed, RemoteUnreachable, UsageError, WorkTreeRefused
from runstone.git.process import run_git
from runstone.git.repository import Repository
from runstone.git.stream import Progress, Streamed, hide_credentials, stream_git

PushState = Literal["sent", "same", "lost", "refused"]
"""`lost`: the ref is elsewhere than the push took for granted, or another push held it: look again, try again."""


_RACES = re.compile(
    r"fetch first|non-fast-forward|stale info|cannot lock ref|failed to update ref|incorrect old value|already exists|"
    r"failed to lock|unable to resolve reference"
)
_REFUSAL = (
    r"denied|(?<!' )not allowed|not permitted|forbidden|\b403\b|read-only|insufficient permission|not have permission"
)
_FULL = re.compile(r"^(?!remote: ).*(No space left on device|File too large|quota exceeded|died of signal 25)")
_NOISE = re.compile(r"(error: failed to push some refs|hint:|To |Everything up-to-date|Done$)")


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one ref of a push.

    Attributes:
        state: See `PushState`.
        reason: The remote's own words where it was not taken.
    """

    state: PushState
    reason: str = ""


def find_remote(repo: Repository, name: str | None = None) -> str | None:
    """The git remote that runs are shared through: the one named, else the branch's, `origin`, or the only one.

    Returns:
        Its name; None if the repository has no remote and none was named.

    Raises:
        UsageError: There is none of this name, or there are several and none of them is `origin`.
    """
    _, out = repo.git(
        "config", "-z", "--get-regexp", r"^(remote\..*\.(url|pushurl)|branch\..*\.remote)$", allowed=(0, 1)
    )
    pairs = [item.partition("\n") for item in out.decode("utf-8", "surrogateescape").split("\0") if item]
    known = sorted({key[7:].rpartition(".")[0] for key, _, _ in pairs if key.startswith("remote.")})
    have = f" There are: {', '.join(known)}." if known else " Add one: `git remote add origin URL`"
    if name is not None:
        if name not in known:
            raise UsageError(f"There is no git remote {name[:80]!r}.{have}")
        return _checked(name)
    upstream = next((value for key, _, value in pairs if key == f"branch.{repo.config.branch}.remote"), None)
    for likely in (upstream, "origin"):
        if likely in known:
            return _checked(likely)
    if len(known) > 1:
        raise UsageError(f"None of several git remotes is `origin`.{have} Choose one: `--remote NAME`")
    return _checked(known[0]) if known else None


def check_refspecs(repo: Repository, remote: str, ref: str) -> None:
    """See that git does not move a local ref by itself when it fetches from a remote, or has pushed there.

    Raises:
        UsageError: It would, as in a clone that is a mirror: what is only here would be lost.
    """
    _, out = repo.git("config", "-z", "--get-all", f"remote.{_checked(remote)}.fetch", allowed=(0, 1))
    for refspec in out.decode("utf-8", "surrogateescape").split("\0"):
        head, star, tail = refspec.partition(":")[2].partition("*")
        if ref == head or (star and ref.startswith(head) and ref.endswith(tail)):
            step = f"`git config --replace-all remote.{remote}.fetch '+refs/heads/*:refs/remotes/{remote}/*'`"
            raise UsageError(
                f"`remote.{remote}.fetch` is `{refspec}`, so git overwrites `{ref}` with the remote's, and runs that "
                f"are only here would be lost. Give it a place of its own: {step}"
            )


def list_remote(repo: Repository, remote: str, patterns: Sequence[str]) -> dict[str, str]:
    """The refs of a remote that match: full name → object; `<name>^{}` → what an annotated tag leads to.

    Where only branches and tags are asked for, a remote need not list the others, such as those of pull requests.

    Args:
        repo: The repository.
        remote: A remote's name.
        patterns: Full names; `*` stands for anything.

    Raises:
        RemoteUnreachable: It cannot be asked.
    """
    usual = all(pattern.startswith(("refs/heads/", "refs/tags/")) for pattern in patterns)
    kinds = ["--heads", "--tags"] if usual else []
    done = stream_git(repo, ["ls-remote", *kinds, "--", _checked(remote), *patterns])
    if done.code:
        raise _unreachable(repo, remote, done)
    rows = (line.partition("\t") for line in done.out.split("\n") if "\t" in line)
    return {name: oid for oid, _, name in rows}


def fetch(
    repo: Repository,
    remote: str,
    refspecs: Iterable[str],
    *,
    depth: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Bring objects from a remote, and refs as the refspecs say. Tags do not follow, and nothing is pruned.

    Args:
        repo: The repository.
        remote: A remote's name.
        refspecs: As git's, full names: `+refs/heads/runs:refs/remotes/origin/runs`; or a full object id alone.
        depth: How many commits of history to bring.
        progress: Told of git's steps.

    Writes:
        Objects, and the refs on the right of the refspecs.

    Raises:
        RemoteUnreachable: It cannot be reached, does not have one of them, or the connection broke.
        DiskFull: There is no room here.
    """
    options = ["--no-tags", "--no-prune", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules"]
    options += ["--refmap="]  # else git also updates what `remote.<name>.fetch` names
    options += [f"--depth={depth}"] if depth else []
    options += ["--progress"] if progress is not None else ["--quiet"]
    wanted = "".join(f"{refspec}\n" for refspec in refspecs).encode("utf-8", "surrogateescape")
    done = stream_git(repo, ["fetch", *options, "--stdin", "--", _checked(remote)], input=wanted, progress=progress)
    if done.code:
        full = [line for line in done.err.splitlines() if _FULL.search(line)]
        if full:
            raise DiskFull(repo.git_dir, full[0].removeprefix("fatal: ").removeprefix("error: "))
        raise _unreachable(repo, remote, done)


def push(
    repo: Repository,
    remote: str,
    refs: Mapping[str, str | None],
    *,
    leases: Mapping[str, str | None] | None = None,
    progress: Progress | None = None,
) -> dict[str, Pushed]:
    """Put refs of a remote where they shall be, each by itself and never by force: a push is a compare-and-swap.

    Args:
        repo: The repository.
        remote: A remote's name.
        refs: Full name on the remote → object id; None removes it.
        leases: Full name on the remote → where it was seen, None where it was not there: such a ref may also move
            backwards, only if it still is there. Others move forward alone.
        progress: Told of git's steps.

    Returns:
        What became of each.

    Raises:
        RemoteUnreachable: It cannot be reached, or the connection broke; what became of the refs is not known then.
    """
    options = ["--porcelain", "--no-follow-tags", "--recurse-submodules=no"]
    options += ["--progress"] if progress is not None else ["--no-progress"]
    seen = {ref: "" if oid is None else _full_id(repo, oid) for ref, oid in (leases or {}).items()}
    options += [f"--force-with-lease={ref}:{oid}" for ref, oid in seen.items()]
    refspecs = [f"{'' if oid is None else _full_id(repo, oid)}:{ref}" for ref, oid in refs.items()]
    done = stream_git(repo, ["push", *options, "--", _checked(remote), *refspecs], progress=progress)
    results = _parse_push(done)
    if results.keys() >= refs.keys():
        return results
    if re.search(_REFUSAL, done.err, re.IGNORECASE) or _is_vetoed(done):
        return {ref: Pushed("refused", _words(done.err)) for ref in refs}
    raise _unreachable(repo, remote, done)


@dataclass(frozen=True, slots=True)
class WorkTree:
    """One work tree of a repository, as git lists it.

    Attributes:
        path: Its top.
        commit: What is checked out there; None in a bare repository's own entry and before the first commit.
        branch: The full name of the branch; None where HEAD is detached.
        is_gone: Whether its folder is no longer there, so that git may forget it.
    """

    path: Path
    commit: str | None
    branch: str | None
    is_gone: bool


def add_worktree(repo: Repository, path: Path, commit: str, branch: str | None = None) -> None:
    """Check a commit out in a linked work tree of its own.

    Args:
        repo: The repository.
        path: The folder; it must not exist, or be empty.
        commit: A full object id.
        branch: A new branch to make there; HEAD is detached if None.

    Writes:
        The folder, git's own record of it below `worktrees/`, and the branch.

    Raises:
        UsageError: `commit` is no full object id, or git allows no branch of that name.
        WorkTreeRefused: git refuses: the folder or the branch exists, the commit is not there, no room.
    """
    _full_id(repo, commit)
    if branch is not None and run_git(["check-ref-format", "--branch", branch], cwd=repo.git_dir, allowed=(0, 128))[0]:
        raise UsageError(f"git allows no branch of the name {branch[:80]!r}.")
    kind = ["-b", branch] if branch is not None else ["--detach"]
    path = path.absolute()
    _worktree(repo, path, "add", *kind, "--", str(path), commit)


def remove_worktree(repo: Repository, path: Path, force: bool = False) -> None:
    """Remove a linked work tree, its folder and git's record of it. Commits and branches made there stay.

    Args:
        repo: The repository.
        path: The top of the work tree.
        force: Also with edits and files that git does not track, and when it is locked.

    Raises:
        WorkTreeRefused: It is no linked work tree of this repository, or holds edits and `force` is not set.
    """
    path = path.absolute()
    _worktree(repo, path, "remove", *(["--force", "--force"] if force else []), "--", str(path))


def list_worktrees(repo: Repository) -> list[WorkTree]:
    """All work trees of the repository, the main one (or the bare repository) first."""
    _, out = run_git([f"--git-dir={repo.git_dir}", "worktree", "list", "--porcelain"], cwd=repo.git_dir)
    found = []
    for block in out.decode("utf-8", "surrogateescape").split("\n\n"):
        facts = {key: value for key, _, value in (line.partition(" ") for line in block.split("\n"))}
        if "worktree" not in facts:
            continue
        path = Path(facts["worktree"])
        commit = facts.get("HEAD", "")
        is_gone = "prunable" in facts or not path.exists()
        found.append(WorkTree(path, commit if commit.strip("0") else None, facts.get("branch"), is_gone))
    return found


def _worktree(repo: Repository, path: Path, verb: str, *arguments: str) -> None:
    try:
        # Not `repo.git`, which names the work tree that is to be left alone.
        # And in full, whatever is left out of the user's own work tree.
        options = ["-c", "core.sparseCheckout=false", f"--git-dir={repo.git_dir}"]
        run_git([*options, "worktree", verb, *arguments], cwd=repo.git_dir)
    except GitFailed as failure:
        lines = [line for line in failure.stderr.splitlines() if not line.startswith("Preparing worktree")]
        why = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]  # names the file
        raise WorkTreeRefused(path, verb, [*why, *lines[-1:], f"git ended with {failure.code}"][0]) from failure


def _parse_push(done: Streamed) -> dict[str, Pushed]:
    """The lines `<flag> TAB <from>:<to> TAB <summary> (<reason>)` of `git push --porcelain`."""
    found = {}
    for line in done.out.split("\n"):
        flag, tab, rest = line.partition("\t")
        names, _, summary = rest.partition("\t")
        if not tab or len(flag) != 1:
            continue
        if flag != "!":
            state: PushState = "same" if flag == "=" else "sent"
            found[names.partition(":")[2]] = Pushed(state)
        elif not summary.startswith("[remote failure]"):  # the connection broke before it said what became of it
            said = [line for line in done.err.splitlines() if line.startswith("remote: ")]
            reason = summary.removeprefix("[rejected] ").removeprefix("[remote rejected] ").strip("()")
            words = "\n".join([reason, *(line.removeprefix("remote: ") for line in said)])
            found[names.partition(":")[2]] = Pushed("lost" if _RACES.search(summary) else "refused", words)
    return found


def _is_vetoed(done: Streamed) -> bool:
    """Whether this repository's own pre-push hook ended the push: then git says nothing else about it."""
    said = [line for line in done.err.splitlines() if line.startswith(("fatal:", "error:", "ssh:"))]
    return bool(said) and all(line.startswith("error: failed to push some refs") for line in said)


def _words(text: str) -> str:
    """What git or the remote said, without the lines that say nothing."""
    lines = [line.removeprefix("remote: ") for line in text.splitlines() if not _NOISE.match(line)]
    return "\n".join(line for line in lines if line.strip()) or "it gave no reason"


def _unreachable(repo: Repository, remote: str, done: Streamed) -> RemoteUnreachable:
    words = _words(done.err) if done.err else f"git ended with {done.code} without a word"
    return RemoteUnreachable(remote, remote_url(repo, remote), words)


def remote_url(repo: Repository, remote: str, *, push: bool = False) -> str:
    """Where a remote is, without credentials."""
    code, out = repo.git(
        "remote", "get-url", *(["--push"] if push else []), "--", _checked(remote), allowed=(0, 2, 128)
    )
    return hide_credentials(out.decode("utf-8", "replace").rstrip("\n")) if code == 0 else "no URL"


def _checked(remote: str) -> str:
    """A remote's name that git cannot take for an option; git itself refuses transports such as `ext::`."""
    if not remote or remote.startswith("-") or not remote.isprintable():
        raise UsageError(f"{remote[:80]!r} cannot be the name of a git remote.")
    return remote


def _full_id(repo: Repository, oid: str) -> str:
    if not repo.objects.is_id(oid):
        raise UsageError(f"A full object id is needed here, and not {oid[:80]!r}.")
    return oid
