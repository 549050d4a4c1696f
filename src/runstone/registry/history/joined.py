"""Whether a merge only joined what its parents had: else whoever made it added something of their own, as an author.

Asked of what guards and of what is guarded alone: facts of the registry, `runstone.yaml` and `.mailmap`.
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from runstone.git.objects import DIRECTORY, TreeEntry
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.registry.layout import parse_path
from runstone.registry.people import MAILMAP

_DEEPEST = 3
_HEADER = re.compile(rb"[0-9a-f]{40,64} [0-9a-f]{40,64}\n")

Sides = tuple[TreeEntry | None, TreeEntry | None, TreeEntry | None, TreeEntry | None]
"""What a path is: where both sides come from, on either side, and in the merge."""


def guarded_paths(repo: Repository) -> tuple[str, ...]:
    """The files and the folder that say what is so and who may change it."""
    return (repo.config.registry, CONFIG_FILE, MAILMAP)


def is_joined(repo: Repository, tree: str, parents: tuple[str, ...], fork: str | None = None) -> bool:
    """Whether a merge's tree is what its two parents make by themselves; of more parents, it is the first one's.

    Args:
        repo: The repository.
        tree: The merge's.
        parents: Its parents.
        fork: Where the two parted, if that is known to be one commit; else git is asked, and where there are several
            such commits, the merge must be right by each.
    """
    if len(parents) != 2:
        wanted = repo.objects.commit(parents[0]).tree
        return all(_entry(repo, wanted, path) == _entry(repo, tree, path) for path in guarded_paths(repo))
    bases: list[str | None] = [fork]
    if fork is None:
        code, out = repo.git("merge-base", "--all", "--end-of-options", *parents, allowed=(0, 1))
        bases = [None] if code else [*out.decode().split()]
    ours, theirs = (repo.objects.commit(parent).tree for parent in parents)
    for base in bases:
        before = None if base is None else repo.objects.commit(base).tree
        if before == ours and theirs == tree:
            continue
        for path in guarded_paths(repo):
            a, b, c, d = (None if each is None else _entry(repo, each, path) for each in (before, ours, theirs, tree))
            if not _is_joined(repo, path, (a, b, c, d)):
                return False
    return True


def find_plain(repo: Repository, merges: Mapping[str, tuple[str, str, str, str]]) -> set[str]:
    """The merges that change in their first parent just what their second one changed since both parted.

    One git process for all of them; the others are asked one by one, by `is_joined`.

    Args:
        repo: The repository.
        merges: Commit → the trees where both parted, of the first and the second parent, and its own.
    """
    lines = "".join(f"{base} {theirs}\n{ours} {tree}\n" for base, ours, theirs, tree in merges.values())
    if not lines:
        return set()
    options = ["--literal-pathspecs", "diff-tree", "--stdin", "-r", "--raw", "--no-abbrev", "--no-renames", "-z"]
    _, out = repo.git(*options, "--", *guarded_paths(repo), input=lines.encode())
    found: list[list[bytes]] = []
    for token in out.split(b"\0"):
        while _HEADER.match(token):  # of the next pair, before its first difference
            found.append([])
            token = token.partition(b"\n")[2]
        if token:
            found[-1].append(token)
    pairs = zip(found[::2], found[1::2], strict=True)
    return {commit for commit, (theirs, own) in zip(merges, pairs, strict=True) if theirs == own}


def _entry(repo: Repository, tree: str, path: str) -> TreeEntry | None:
    return repo.objects.entry(tree, path)


def _is_joined(repo: Repository, path: str, sides: Sides) -> bool:
    base, ours, theirs, result = sides
    is_plain = theirs in (base, ours) or ours == base
    if is_plain and result == (ours if theirs in (base, ours) else theirs):
        return True
    registry = repo.config.registry
    if any(side is not None and side.is_tree for side in sides):
        if any(side is not None and not side.is_tree for side in sides):
            return False  # a file in a folder's place
        if path.count("/") - registry.count("/") > _DEEPEST:
            return True  # no fact lies deeper
        inner = [_tree(repo, side) for side in sides]
        names = {name for entries in inner for name in entries}
        found = ((f"{path}/{name}", [entries.get(name) for entries in inner]) for name in sorted(names))
        return all(_is_joined(repo, below, (a, b, c, d)) for below, (a, b, c, d) in found)
    place = parse_path(registry, path)
    if path not in (CONFIG_FILE, MAILMAP) and (place is None or place.kind == "card"):
        return True
    return not is_plain and _is_merge_of_texts(repo, sides)


def _tree(repo: Repository, entry: TreeEntry | None) -> Mapping[str, TreeEntry]:
    return {} if entry is None or entry.mode != DIRECTORY else repo.objects.tree(entry.oid)


def _is_merge_of_texts(repo: Repository, sides: Sides) -> bool:
    """Whether git by itself joins two texts so, line by line."""
    base, ours, theirs, result = sides
    if base is None or ours is None or theirs is None or result is None:
        return False
    if not all(side.is_file for side in (base, ours, theirs, result)):
        return False
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("ours", "base", "theirs")]
        for file, side in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(repo.objects.blob(side.oid))
        code, out = repo.git("merge-file", "-p", "-q", *map(str, files), allowed=tuple(range(256)))
    return code == 0 and out == repo.objects.blob(result.oid)
