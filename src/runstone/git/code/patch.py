"""What differs between the trees of two commits: file by file, and as a patch that `git apply` takes.

The patch does not depend on the user's settings, which could run programs that a tree's attributes name: no external
diff, no text conversion, git's own prefixes and colours of nobody.
"""

from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runstone.git.pieces import git_pieces, split_pieces
from runstone.git.repository import Repository

Change = Literal["added", "removed", "changed", "renamed"]
_CHANGES: dict[str, Change] = {"A": "added", "D": "removed", "R": "renamed"}
_FIXED = (
    "-r", "-M", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative", "--ignore-submodules=none",
    "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip
SUBMODULE = "160000"
EMPTY_TREES = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""git knows these without having them."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that differs.

    Attributes:
        path: Where it is in the second tree; of a removed one, where it was.
        change: How.
        old_path: Of a renamed one, where it was.
        insertions: Lines that only the second has; None of a binary file.
        deletions: Lines that only the first has; None of a binary file.
        old_mode: git's mode in the first tree; `000000` for none. `160000` is a submodule.
        new_mode: git's mode in the second.
    """

    path: str
    change: Change
    old_path: str | None
    insertions: int | None
    deletions: int | None
    old_mode: str
    new_mode: str


def compare_trees(
    repo: Repository, a: str, b: str, *, paths: Sequence[str] = (), cwd: Path | None = None
) -> tuple[FileChange, ...]:
    """The files that differ, in the order of their paths.

    Args:
        repo: The repository.
        a: The id of a commit.
        b: The id of another.
        paths: git's pathspecs: only these.
        cwd: What they are relative to; the top of the tree if None.

    Raises:
        GitFailed: An object is missing, or a pathspec cannot be understood.
    """
    arguments = ["diff-tree", *_FIXED, "-z", "--raw", "--numstat", a, b, "--", *paths]
    tokens = split_pieces(git_pieces(repo, arguments, cwd=cwd), b"\0")
    heads: dict[str, tuple[Change, str | None, str, str]] = {}
    found = []
    for token in tokens:
        text = _text(token)
        if text.startswith(":"):
            old_mode, new_mode, _, _, status = text[1:].split(" ")
            path = _text(next(tokens))
            old_path = None
            if status[0] in "RC":
                old_path, path = path, _text(next(tokens))
            heads[path] = (_CHANGES.get(status[0], "changed"), old_path, old_mode, new_mode)
        else:
            insertions, deletions, path = text.split("\t", 2)
            if not path:  # of a rename both paths follow
                next(tokens)
                path = _text(next(tokens))
            change, old_path, old_mode, new_mode = heads[path]
            found.append(FileChange(path, change, old_path, _count(insertions), _count(deletions), old_mode, new_mode))
    return tuple(found)


def stream_patch(
    repo: Repository, a: str, b: str, *, paths: Sequence[str] = (), cwd: Path | None = None, binary: bool = False
) -> Generator[bytes, None, None]:
    """The patch that leads from one tree to the other, in pieces.

    Args:
        repo: The repository.
        a: The id of a commit.
        b: The id of another.
        paths: git's pathspecs: only these.
        cwd: What they are relative to; the top of the tree if None.
        binary: Whether to hold what binary files are; else only that they differ, and `git apply` refuses them.

    Raises:
        GitFailed: An object is missing, or a pathspec cannot be understood.
    """
    shown = ["--patch", "--unified=3", *(["--binary", "--full-index"] if binary else [])]
    # Both are heeded by plumbing, too: an empty line of context without its space, and escapes of names.
    settings = ["-c", "diff.suppressBlankEmpty=false", "-c", "core.quotePath=true"]
    return git_pieces(repo, [*settings, "diff-tree", *_FIXED, *shown, a, b, "--", *paths], cwd=cwd)


def has_files(repo: Repository, commit: str, *, paths: Sequence[str], cwd: Path | None = None) -> bool:
    """Whether a commit has any file that git's pathspecs match.

    Raises:
        GitFailed: An object is missing, or a pathspec cannot be understood.
    """
    nothing = EMPTY_TREES[repo.object_format]
    arguments = ["diff-tree", "-r", "--name-only", "--no-renames", "-z", nothing, commit, "--", *paths]
    with closing(git_pieces(repo, arguments, cwd=cwd)) as pieces, suppress(StopIteration):
        return bool(next(pieces))
    return False


def _text(token: bytes) -> str:
    return token.decode("utf-8", "replace")


def _count(text: str) -> int | None:
    return None if text == "-" else int(text)
