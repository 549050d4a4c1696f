"""What the registry would be if a proposal were merged now: what is judged, so that nothing which its target got
meanwhile counts as the proposal's.

Facts are files, so a file is the unit: changed on one side it is taken from there; on both, differently, it conflicts.
"""

from dataclasses import dataclass

from runstone.git.objects import TreeEntry
from runstone.git.repository import CONFIG_FILE, Repository

_NOBODY = "Runstone <runstone@localhost> 0 +0000"


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of a merge of the registry's files.

    Attributes:
        commit: A commit with these files; the head itself where its target got nothing meanwhile.
        conflicts: The files that both sides changed, differently; they are as the proposal has them.
    """

    commit: str
    conflicts: tuple[str, ...] = ()


def merge_registry(repo: Repository, base: str | None, head: str, fork: str | None) -> Merged:
    """Merge the registry's files of a proposal into its target.

    Args:
        repo: The repository.
        base: The tip of the target; None before its first commit.
        head: The proposal.
        fork: Where the two parted; None if they have nothing in common.

    Writes:
        Where the target is ahead: one commit that no ref names.
    """
    if base is None or fork == base:
        return Merged(head)
    if fork == head:
        return Merged(base)  # there is nothing in it that the target has not
    ours, theirs, before = (_files(repo, commit) for commit in (base, head, fork))
    changes: dict[str, TreeEntry | None] = {}
    conflicts = []
    for path in sorted(ours.keys() | theirs.keys() | before.keys()):
        old, mine, its = before.get(path), ours.get(path), theirs.get(path)
        if its in (mine, old):
            continue
        changes[path] = its
        if mine != old:
            conflicts.append(path)
    tree = repo.objects.update_tree(repo.objects.commit(base).tree, changes) or repo.objects.write_tree({})
    message = "Merge a proposal, to judge it"
    return Merged(repo.objects.write_commit(tree, [base, head], _NOBODY, _NOBODY, message), tuple(conflicts))


def _files(repo: Repository, commit: str | None) -> dict[str, TreeEntry]:
    """Path → entry of every file of the registry, and of `runstone.yaml`."""
    if commit is None:
        return {}
    _, out = repo.git("ls-tree", "-r", "-z", "--full-tree", commit, "--", CONFIG_FILE, f"{repo.config.registry}/")
    rows = (line.partition(b"\t") for line in out.split(b"\0") if line)
    entries = ((raw.decode("utf-8", "surrogateescape"), about.decode().split()) for about, _, raw in rows)
    return {path: TreeEntry(mode, oid) for path, (mode, _, oid) in entries}
