"""What a killed command left in work trees: the branch had not moved, and its files were there already, or in part.

Before work trees are touched a note says what is to come, and it goes once the branch has moved or all is back. A note
whose process is dead is met by the next command: index and files are brought to where the branch is. Only what that
command itself has left is touched: what it wrote, and, as long as nobody has changed the index since, what it had begun
to write. All else is somebody's edit, and is named.
"""

import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from shlex import quote

from runstone.errors import DiskFull, GitFailed, RefMoved, RunstoneError
from runstone.git import leftover
from runstone.git.checkouts import Checkout, carry_along, checkouts, put_back
from runstone.git.liveness import Owner, is_alive, this_process
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository

_FOLDER = "carrying"
_ASIDE = "carrying-unread"
_BRANCHES = "refs/heads/"
_PATIENCE_S = 3.0
_FRESH_S = 60.0
_SUBMODULE = "160000"
_EMPTY = ""
"""What stands for a file that was made and not yet written."""
State = tuple[str, str] | None
"""Mode and blob of a path; None where there is nothing."""


class Healed(UserWarning):
    """A command was killed while it changed files of a work tree; they are as the branch says again, but for edits."""


@dataclass(frozen=True, slots=True)
class _Note:
    ref: str
    old: str
    new: str
    paths: tuple[Path, ...]
    indexes: tuple[object, ...] = ()


def move_branch(
    repo: Repository, move: RefUpdate, work_trees: Sequence[Checkout], old: str, new: str, paths: Sequence[str]
) -> None:
    """Move a branch, and with it the work trees that have it checked out.

    Args:
        repo: The repository.
        move: The branch's move.
        work_trees: The work trees.
        old: The tree that they have checked out.
        new: The tree to come.
        paths: The paths by which the two differ.

    Writes:
        The branch, by compare-and-swap; these paths in the index and the files of the work trees.

    Raises:
        LocalEdits, IndexBusy, CheckoutFailed: See `checkouts.carry_along`; nothing has moved then.
        RefMoved, RefBlocked …: The branch cannot be moved; the work trees are as they were.
    """
    if not work_trees:
        repo.refs.update([move])
        return

    def is_new(path: str) -> bool:
        return repo.objects.entry(old, path) is None

    with _noted(repo, move.ref, old, new, work_trees):
        carry_along(work_trees, old, new, paths, is_new)
        try:
            repo.refs.update([move])
        except BaseException as error:
            # Whoever moved the branch meanwhile may have committed what was staged for a moment.
            back = old
            tip = repo.refs.read(move.ref) if isinstance(error, RefMoved) else None
            if tip is not None:
                there = repo.objects.commit(tip).tree
                kept = {path: repo.objects.entry(there, path) for path in paths}
                back = repo.objects.update_tree(new, kept) or repo.objects.write_tree({})
            put_back(work_trees, back, new, paths)
            raise


@contextmanager
def _noted(repo: Repository, ref: str, old: str, new: str, work_trees: Sequence[Checkout]) -> Iterator[None]:
    """Keep a note as long as the block lasts, however it ends but by a kill."""
    file = repo.writable_state(_FOLDER) / f"{os.getpid()}-{time.time_ns()}.json"
    document = {
        **this_process().to_document(),
        "ref": ref,
        "old": old,
        "new": new,
        "paths": [str(each.path) for each in work_trees],
        "indexes": [_look_of_index(each) for each in work_trees],
    }
    try:
        try:
            with file.open("w", encoding="utf-8") as stream:
                repo.share(stream.fileno())
                stream.write(json.dumps(document))
        except OSError as error:
            raise DiskFull(file, str(error.strerror)) from error
        yield
    finally:
        file.unlink(missing_ok=True)


def heal(repo: Repository) -> None:
    """Finish or undo what killed commands left in work trees; where nothing is left, this is one look at a folder.

    Writes:
        The files that such a command was about to change, in index and work tree: as their branch has them.

    Warns:
        Healed: Something was brought back, or finished.
    """
    folder = repo.state_dir / _FOLDER
    try:
        files = [Path(entry.path) for entry in os.scandir(folder)]
    except OSError:
        return
    for file in sorted(files):
        with suppress(OSError, GitFailed, RunstoneError):  # what cannot be healed now is for a later command
            _heal(repo, file)


def _heal(repo: Repository, file: Path) -> None:
    note = _read(repo, file)
    if note is None:
        return
    with repo.lock:
        if not file.exists():
            return
        lock = repo.common_dir / f"{note.ref}.lock"
        leftover.clear_locks([lock], patience_s=_PATIENCE_S)
        if lock.exists():
            return  # the branch may move yet
        tip = repo.refs.read(note.ref)
        tree = note.old if tip is None else repo.objects.commit(tip).tree
        there = {each.path.resolve(): each for each in checkouts(repo, note.ref)}
        found = [
            (there[path.resolve()], look)
            for path, look in zip_longest(note.paths, note.indexes[: len(note.paths)])
            if path.resolve() in there
        ]
        if all(_settle(repo, work_tree, note, tree, look) for work_tree, look in found):
            file.unlink(missing_ok=True)


def _look_of_index(work_tree: Checkout) -> list[int] | None:
    """By what an index is known that nobody has written since: git puts a new file in its place each time."""
    try:
        about = (work_tree.git_dir / "index").stat()
    except OSError:
        return None
    return [about.st_ino, about.st_size, about.st_mtime_ns]


def _read(repo: Repository, file: Path) -> _Note | None:
    """The note, if whoever wrote it is dead; one that cannot be read is put aside."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        owner = Owner.from_document(document)
        ref, old, new = (str(document[key]) for key in ("ref", "old", "new"))
        paths = tuple(Path(path) for path in document["paths"])
        note = _Note(ref, old, new, paths, tuple(document.get("indexes", ())))
        if not (ref.startswith(_BRANCHES) and repo.objects.is_id(old) and repo.objects.is_id(new)):
            raise ValueError(ref)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        if time.time() - file.stat().st_mtime > _FRESH_S:  # else it may be one that is being written
            _put_aside(repo, file)
        return None
    return None if owner is None or is_alive(owner) else note


def _put_aside(repo: Repository, file: Path) -> None:
    if file.stat().st_size == 0:  # cut short as it was written: nothing had begun
        file.unlink(missing_ok=True)
        return
    aside = repo.writable_state(_ASIDE) / file.name
    file.replace(aside)
    told = f"A note of a command that was killed cannot be read, so nothing was healed by it: it is in `{aside}` now."
    warnings.warn(f"{told} See whether files are as they should be: `git status`", Healed, stacklevel=5)


def _settle(repo: Repository, work_tree: Checkout, note: _Note, tree: str, look: object) -> bool:
    """Bring the paths that were to change to what a tree says; whether that could be done.

    Args:
        repo: The repository.
        work_tree: A work tree.
        note: What was to change.
        tree: The branch's tree.
        look: How the index looked before the command, see `_look_of_index`.
    """
    lock = work_tree.git_dir / "index.lock"
    leftover.clear_locks([lock], patience_s=_PATIENCE_S)
    if lock.exists():
        return False
    is_as_before = look is not None and look == _look_of_index(work_tree)
    _, out = repo.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", note.old, note.new)
    paths = [path for path in out.decode("utf-8", "surrogateescape").split("\0") if path]
    index, left_out = _index(work_tree, paths)
    files = _files(work_tree, [path for path in paths if path not in left_out])
    staged: list[tuple[str, State]] = []
    written: list[tuple[str, State]] = []
    edited: list[str] = []
    for path in paths:
        known = [_entry(repo, each, path) for each in (tree, note.old, note.new)]
        wanted, was, begun = known
        if path not in index or not (index[path] in (wanted, begun) or (is_as_before and index[path] == was)):
            edited.append(path)  # somebody has staged something else, or a conflict
            continue
        if index[path] != wanted:
            staged.append((path, wanted))
        is_module = any(state is not None and state[0] == _SUBMODULE for state in known)
        if path in left_out or is_module or files[path] == _blob(wanted):
            continue
        # git writes its index once all files are written: one that is missing or cut short then is so by an edit.
        if files[path] in {_blob(begun), *((None, _EMPTY, _blob(was)) if is_as_before else ())}:
            written.append((path, wanted))
        else:
            edited.append(path)
    _stage(repo, work_tree, staged, left_out)
    _write(work_tree, written)
    if staged or written:
        with suppress(GitFailed):
            work_tree.git("update-index", "-q", "--refresh")
        shown = ", ".join(sorted({path for path, _ in [*staged, *written]})[:3])
        name = note.ref.removeprefix("refs/heads/")
        told = f"A command was killed while it changed {shown} in {work_tree}: it is as `{name}` says again."
        warnings.warn(told, Healed, stacklevel=5)
    if edited:
        shown, step = ", ".join(edited[:3]), f"`git -C {quote(str(work_tree))} status`"
        told = f"A command was killed while it changed {shown} in {work_tree}, and somebody has edited that since"
        warnings.warn(f"{told}: it is left as it is. See it: {step}", Healed, stacklevel=5)
    return True


def _blob(state: State) -> str | None:
    return None if state is None else state[1]


def _entry(repo: Repository, tree: str, path: str) -> State:
    entry = repo.objects.entry(tree, path)
    return None if entry is None or entry.is_tree else (entry.mode, entry.oid)


def _index(work_tree: Checkout, paths: Sequence[str]) -> tuple[dict[str, State], set[str]]:
    """What the index has at paths, those in conflict left out; and which a sparse checkout leaves out."""
    found: dict[str, State] = dict.fromkeys(paths)
    left_out: set[str] = set()
    out = work_tree.git("--literal-pathspecs", "ls-files", "-t", "-s", "-z", "--", *paths)
    for row in out.decode("utf-8", "surrogateescape").split("\0"):
        about, _, path = row.partition("\t")
        if path not in found:
            continue
        mark, mode, oid, stage = about.split(" ")
        found[path] = mode, oid
        if stage != "0":
            del found[path]
        if mark == "S":
            left_out.add(path)
    return found, left_out


def _files(work_tree: Checkout, paths: Sequence[str]) -> dict[str, str | None]:
    """What the files hold, as the blobs that git would make of them; None for nothing there."""
    found: dict[str, str | None] = dict.fromkeys(paths)
    plain: list[str] = []
    for path in paths:
        file = work_tree.path / path
        with suppress(OSError):
            if file.is_symlink():
                target = os.fsencode(os.readlink(file))  # noqa: PTH115  # as it is written, not as a Path tidies it
                found[path] = work_tree.git("hash-object", "--stdin", input=target).decode().strip()
            elif not file.is_file() or "\n" in path:
                found[path] = "another thing" if file.exists() else None
            elif file.stat().st_size == 0:
                found[path] = _EMPTY
            else:
                plain.append(path)
    if plain:
        out = work_tree.git("hash-object", "--stdin-paths", input=_encode("\n", plain))
        found.update(zip(plain, out.decode().split(), strict=True))
    return found


def _stage(repo: Repository, work_tree: Checkout, states: Sequence[tuple[str, State]], left_out: set[str]) -> None:
    if not states:
        return
    gone = ("0", repo.objects.zero)
    rows = [f"{' '.join(state or gone)} 0\t{path}" for path, state in states]
    work_tree.git("update-index", "-z", "--index-info", input=_encode("\0", rows))
    again = [path for path, state in states if path in left_out and state is not None]
    if again:
        work_tree.git("update-index", "--skip-worktree", "-z", "--stdin", input=_encode("\0", again))


def _write(work_tree: Checkout, states: Sequence[tuple[str, State]]) -> None:
    for path, state in states:
        file = work_tree.path / path
        if state is None:
            with suppress(OSError):
                file.unlink()
                for folder in file.relative_to(work_tree.path).parents[:-1]:
                    (work_tree.path / folder).rmdir()  # until one is not empty
    wanted = [path for path, state in states if state is not None]
    if wanted:
        work_tree.git("checkout-index", "-f", "-u", "-z", "--stdin", input=_encode("\0", wanted))


def _encode(end: str, texts: Sequence[str]) -> bytes:
    return "".join(f"{text}{end}" for text in texts).encode("utf-8", "surrogateescape")
