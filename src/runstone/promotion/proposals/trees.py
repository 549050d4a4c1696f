"""Three trees into one, path by path, with no work tree and no index: how a proposal is merged.

Of a file that both sides changed nothing is guessed: one file is one fact, so that is a real race and a conflict.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runstone.git.objects import DIRECTORY, Objects, TreeEntry

_Sides = tuple[TreeEntry | None, TreeEntry | None, TreeEntry | None]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path that both sides changed, each in its own way; None where a side has nothing there."""

    path: str
    base: TreeEntry | None
    ours: TreeEntry | None
    theirs: TreeEntry | None


def compare_trees(
    objects: Objects, base: str | None, ours: str, theirs: str, paths: Iterable[str] = ("",)
) -> tuple[dict[str, TreeEntry | None], list[Conflict]]:
    """What to change in `ours` to have the changes from `base` to `theirs`, too. Nothing is written.

    Args:
        objects: Where the trees are.
        base: The tree that both come from; None for an empty one.
        ours: The tree to add to.
        theirs: The tree with the changes.
        paths: Only these files and folders; all if none are named.

    Returns:
        Path → entry, a whole folder where `ours` has none; None removes. And the conflicts, by path.
    """
    changes: dict[str, TreeEntry | None] = {}
    conflicts: list[Conflict] = []
    for path in paths:
        sides = (_entry(objects, base, path), _entry(objects, ours, path), _entry(objects, theirs, path))
        _compare(objects, path, sides, changes, conflicts)
    return changes, conflicts


def _entry(objects: Objects, tree: str | None, path: str) -> TreeEntry | None:
    if tree is None or not path:
        return None if tree is None else TreeEntry(DIRECTORY, tree)
    return objects.entry(tree, path)


def _compare(
    objects: Objects,
    path: str,
    sides: _Sides,
    changes: dict[str, TreeEntry | None],
    conflicts: list[Conflict],
) -> None:
    base, ours, theirs = sides
    if theirs in (base, ours):
        return
    if ours == base and path:
        changes[path] = theirs
        return
    if not all(side is None or side.is_tree for side in sides):
        conflicts.append(Conflict(path, base, ours, theirs))
        return
    inner: list[Mapping[str, TreeEntry]] = [{} if side is None else objects.tree(side.oid) for side in sides]
    for name in sorted({name for entries in inner for name in entries}):
        below = f"{path}/{name}" if path else name
        a, b, c = (entries.get(name) for entries in inner)
        _compare(objects, below, (a, b, c), changes, conflicts)
