"""Which records lie on the branch, with notes beside them, and which changed between two states: by tree, not history.

Equal trees are equal ids and are not entered, so that one new run costs a handful of trees whatever was there
before, and a rewritten branch is no special case.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from runstone.errors import ObjectMissing
from runstone.git.objects import TreeEntry
from runstone.git.repository import Repository

ROOT = "experiments"
NOTES = "notes.md"
_DEPTH = 5  # experiments / <experiment> / <day> / <xx> / <run> / run.yaml


@dataclass(frozen=True, slots=True)
class Change:
    """One record: its path, and the blob now there; None if it is gone."""

    path: str
    blob: str | None


def list_records(repo: Repository, commit: str) -> list[Change]:
    """Every record at a commit, by one git process."""
    _, out = repo.git("ls-tree", "-r", "-z", "--full-tree", commit)
    found = []
    for line in out.split(b"\0"):
        if not line.endswith((b"/run.yaml", b"/notes.md", b"/experiment.yaml")) or not line.startswith(b"100"):
            continue
        about, _, raw = line.partition(b"\t")
        path = raw.decode("utf-8", "backslashreplace")
        if is_record(path):
            found.append(Change(path, about.split(b" ")[2].decode()))
    return found


def changed_records(repo: Repository, old: str, new: str) -> list[Change] | None:
    """What differs between two commits; None if the old one is no longer there to compare with."""
    try:
        old_tree = TreeEntry("40000", repo.objects.commit(old).tree)
        return list(_compare(repo, old_tree, TreeEntry("40000", repo.objects.commit(new).tree), "", -1))
    except ObjectMissing:
        return None


def is_record(path: str) -> bool:
    """Whether a path is that of a run's record or notes, or of an experiment's record."""
    parts = path.split("/")
    of_run = len(parts) == _DEPTH + 1 and parts[-1] in ("run.yaml", NOTES)
    return parts[0] == ROOT and (of_run or (len(parts), parts[-1]) == (3, "experiment.yaml"))


def _compare(repo: Repository, old: TreeEntry | None, new: TreeEntry | None, path: str, depth: int) -> Iterator[Change]:
    before = repo.objects.tree(old.oid) if old is not None and old.is_tree else {}
    after = repo.objects.tree(new.oid) if new is not None and new.is_tree else {}
    names = {name for name, _ in before.items() ^ after.items()}
    for name in sorted(names if depth >= 0 else names & {ROOT}):
        was, now = before.get(name), after.get(name)
        below = f"{path}/{name}" if path else name
        if is_record(below):
            blob = now.oid if now is not None and now.mode.startswith("100") else None
            yield Change(below.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), blob)
        elif depth < _DEPTH - 1:
            yield from _compare(repo, was, now, below, depth + 1)
