"""What merges of the line brought: which commits came with each, who made those, and whether the merge only joined
what was there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runstone.git.repository import Repository
from runstone.registry.history.entry import Entry
from runstone.registry.history.joined import find_plain
from runstone.registry.people import Person


@dataclass(frozen=True, slots=True)
class Brought:
    """The commits that came onto the line with a merge, and the one where they parted from it if that is plain."""

    commits: list[str]
    fork: str | None


def read_brought(repo: Repository, tip: str, entries: list[Entry]) -> dict[str, Brought]:
    """Merge → the commits that came onto the line with it, the newest first.

    Which came earlier by another merge is known only if all of the line is walked from where the registry's first
    merge stands, whatever its other merges are about.
    """
    merges = [entry for entry in entries if entry.is_merge]
    if not merges:
        return {}
    arguments = ["rev-list", "--topo-order", "--parents", tip]
    if merges[0].parent is not None:
        arguments.append(f"^{merges[0].parent}")
    parents: dict[str, list[str]] = {}
    for line in repo.git(*arguments)[1].decode().splitlines():
        commit, *its = line.split(" ")
        parents[commit] = its
    line_: list[str] = []
    at: str | None = tip
    while at is not None and at in parents:
        line_.append(at)
        at = next(iter(parents[at]), None)
    wanted = {entry.commit for entry in merges}
    order = {commit: number for number, commit in enumerate(parents)}
    seen = set(line_)
    found: dict[str, Brought] = {}
    for commit in reversed(line_):
        new, pending = [], parents[commit][1:]
        while pending:
            other = pending.pop()
            if other in parents and other not in seen:
                seen.add(other)
                new.append(other)
                pending += parents[other]
        if commit in wanted:
            new.sort(key=order.__getitem__)
            # Of a plain chain of commits, what its first one is on is an ancestor of the line, and the only such one.
            first = parents[new[-1]] if new else parents[commit][1:]
            is_chain = len(parents[commit]) == 2 and all(len(parents[each]) == 1 for each in new)
            found[commit] = Brought(new, first[0] if is_chain else None)
    return found


@dataclass(frozen=True, slots=True)
class Written:
    """A commit that a merge brought."""

    commit: str
    parents: tuple[str, ...]
    tree: str
    author: Person
    committer: Person
    message: str

    @property
    def is_merge(self) -> bool:
        """Whether it has several parents."""
        return len(self.parents) > 1


def read_commits(repo: Repository, commits: list[str]) -> dict[str, Written]:
    """Commits by their ids, with one git process."""
    if not commits:
        return {}
    options = ["-z", "--no-walk=unsorted", "--format=%H%x00%P%x00%T%x00%an%x00%ae%x00%cn%x00%ce%x00%B%x00"]
    options += ["--encoding=UTF-8", "--no-show-signature", "--no-notes", "--no-color", "--stdin"]
    _, out = repo.git("log", *options, input="".join(f"{commit}\n" for commit in commits).encode())
    fields = out.decode("utf-8", "replace").split("\0")
    found = {}
    for at in range(0, len(fields) - 8, 9):
        commit, parents, tree, a_name, a_mail, c_name, c_mail, message = fields[at : at + 8]
        people = Person(a_name, a_mail), Person(c_name, c_mail)
        found[commit] = Written(commit, tuple(parents.split()), tree, *people, message.rstrip("\n"))
    return found


def find_plain_merges(
    repo: Repository, entries: Iterable[Entry], brought: Mapping[str, Brought], written: Mapping[str, Written]
) -> set[str]:
    """The merges that plainly join their parents: most need no look at all, and the most of the others one of git's."""
    trees = {entry.commit: entry.tree for entry in entries} | {oid: each.tree for oid, each in written.items()}
    found: set[str] = set()
    asked: dict[str, tuple[str, str, str, str]] = {}
    for entry in entries:
        fork = brought[entry.commit].fork if entry.commit in brought else None
        if fork is None or len(entry.others) != 1:
            continue
        theirs = trees.get(entry.others[0])
        if fork == entry.parent and theirs == entry.tree:
            found.add(entry.commit)
            continue
        base, ours = trees.get(fork), trees.get(entry.parent or "")
        if base is not None and ours is not None and theirs is not None:
            asked[entry.commit] = (base, ours, theirs, entry.tree)
    return found | find_plain(repo, asked)
