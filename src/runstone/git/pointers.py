"""Which DVC pointers a repository holds: at the tips of its refs, in its work trees, and at every commit of its past.

Whoever wants to remove bytes asks here what still names them. What cannot be read is an error, never an empty answer.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from tempfile import TemporaryFile

from runstone.errors import GitFailed, RefBroken
from runstone.git.broken import broken_refs
from runstone.git.objects import TreeEntry
from runstone.git.process import clean_environment, run_git
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.git.transport import list_worktrees

_find_digests = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])(?:\.dir)?").findall
_match_own = re.compile(rb"experiments/[^/]+/[^/]+/[^/]+/([^/]+)/(run\.yaml|artifacts\.dvc)").fullmatch
_PATTERNS = ("*.dvc", "*dvc.lock", "*Dvcfile")


@dataclass(frozen=True, slots=True)
class History:
    """The pointers of every commit, as ids of blobs.

    Attributes:
        code: Files of the user's own DVC.
        records: Run id → its `run.yaml` and `artifacts.dvc`, as they ever were, each as name and blob.
    """

    code: set[str] = field(default_factory=set)
    records: dict[str, set[tuple[str, str]]] = field(default_factory=dict)


def digests_in(data: bytes) -> set[str]:
    """Everything in a text that can be the digest of an object of the cache; rather too much than too little."""
    return {found.decode() for found in _find_digests(data)}


def tips(repo: Repository) -> dict[str, str]:
    """Full name → commit of every ref; `HEAD` of each work tree, and what is stashed, under names of their own.

    Raises:
        RefBroken: A ref is broken, so that nobody knows what it needed.
    """
    for path in broken_refs(repo):
        raise RefBroken(f"refs/{path.as_posix().rpartition('/refs/')[2]}", "holds no object's id")
    _, out = repo.git("for-each-ref", "--format=%(refname) %(objectname)")
    found = {}
    for line in out.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        name, _, oid = line.rpartition(" ")
        commit = repo.objects.resolve(oid)
        if commit is not None:
            found[name] = commit
        elif repo.objects.find(oid) is None:
            raise RefBroken(name, f"names {oid}, which is missing")
    for number, tree in enumerate(list_worktrees(repo)):
        if tree.commit is not None:
            found[f"HEAD {number}"] = tree.commit
    if "refs/stash" in found:
        _, out = repo.git("rev-list", "--walk-reflogs", "--parents", "refs/stash")
        for number, oid in enumerate(sorted(set(out.decode().split()))):
            found[f"stash {number}"] = oid
    return found


def read_history(repo: Repository, commits: Iterable[str]) -> History:
    """The pointers of all commits that these lead back to.

    Each commit is compared with its first parent, so that what was there at any time is seen when it came; the second
    parents, by which runs hold on to their code, are commits like any other.

    Raises:
        GitFailed: Part of the history is not here, and that is not because the repository is shallow.
    """
    history = History()
    settings = ["-c", "log.showRoot=true", "-c", "log.showSignature=false", "-c", "core.quotePath=false"]
    options = ["--format=", "--raw", "-z", "--diff-merges=first-parent", "--no-renames", "--no-abbrev", "--no-relative"]
    command = [f"--git-dir={repo.git_dir}", *settings, "log", *options, "--stdin"]
    with TemporaryFile() as errors, TemporaryFile() as wanted:
        wanted.write("".join(f"{oid}\n" for oid in sorted(set(commits))).encode())
        wanted.seek(0)
        process = subprocess.Popen(
            ["git", *command],
            cwd=repo.git_dir,
            env=clean_environment(),
            stdin=wanted,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        with process.stdout as out:
            about = b""
            for item in _items(iter(lambda: out.read(1 << 16), b"")):
                if item.startswith(b":"):
                    about = item
                elif about:
                    _note(history, about, item)
                    about = b""
        if process.wait():
            errors.seek(0)
            raise GitFailed(command, process.returncode, errors.read().decode(errors="replace"))
    return history


def run_folders(repo: Repository, trees: Iterable[str]) -> Iterator[tuple[str, Mapping[str, TreeEntry]]]:
    """The folders of runs below trees, each tree entered once: its path, and what it holds.

    Args:
        repo: The repository.
        trees: Ids of the folder `experiments` at some commits.
    """
    wanted = sorted(set(trees))
    if not wanted:
        return
    options = ["--objects", "--no-walk=unsorted", "--filter=object:type=tree", "--stdin"]
    _, out = repo.git("rev-list", *options, input="".join(f"{oid}\n" for oid in wanted).encode())
    rows = (line.partition(b" ") for line in out.split(b"\n") if line)
    paths = {oid.decode(): path.decode("utf-8", "surrogateescape") for oid, _, path in rows}
    for oid, data in repo.objects.read_many(paths):
        if layout.RECORD.encode() in data or layout.ARTIFACTS.encode() in data:
            yield paths[oid], repo.objects.tree(oid)


def work_tree_pointers(repo: Repository) -> Iterator[bytes]:
    """The content of every DVC file of every work tree: as it lies on the disk, and as it is staged."""
    for tree in list_worktrees(repo):
        if tree.is_gone or (tree.path == repo.common_dir and repo.work_tree is None):
            continue  # nothing is checked out there
        _, out = run_git(["ls-files", "-z", "--stage", "--", *_PATTERNS], cwd=tree.path)
        staged = {line.split(b" ")[1].decode() for line in out.split(b"\0") if line}
        yield from (data for _, data in repo.objects.read_many(sorted(staged)))
        _, out = run_git(["ls-files", "-z", "--cached", "--others", "--", *_PATTERNS], cwd=tree.path)
        for raw in {name for name in out.split(b"\0") if name}:
            path = tree.path / raw.decode("utf-8", "surrogateescape")
            if path.is_file():
                yield path.read_bytes()


def is_dvc_file(path: bytes) -> bool:
    """Whether a path is that of a file in which DVC keeps digests."""
    name = path.rpartition(b"/")[2]
    return name.endswith((b".dvc", b"dvc.lock")) or name == b"Dvcfile"


def _note(history: History, about: bytes, path: bytes) -> None:
    own = _match_own(path)
    if own is None and not is_dvc_file(path):
        return
    fields = about[1:].decode().split(" ")
    for mode, oid in zip(fields[:2], fields[2:4], strict=True):
        if mode.startswith("100"):  # no link, and no submodule
            if own is not None:
                run_id, name = (part.decode("utf-8", "surrogateescape") for part in own.groups())
                history.records.setdefault(run_id, set()).add((name, oid))
            else:
                history.code.add(oid)


def _items(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\0")
        yield from whole
    if rest:
        yield rest
