"""What the registry would be if a proposal were merged now: what is judged, so that nothing which its target got
meanwhile counts as the proposal's.

Facts are files, so a file is the unit: changed on one side it is taken from there; on both, differently, it conflicts.
"""

from dataclasses import dataclass

from runstone.errors import CannotDecide, NewerFormat, RecordInvalid
from runstone.git.objects import TreeEntry
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.promotion.proposals.trees import compare_trees
from runstone.promotion.rules.settings import read_config

BESIDE = (".mailmap", ".dvc/config", ".dvc/config.local")
"""What is no fact, and yet decides how facts are judged."""

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
        Where the target is ahead: one commit that no ref names; with several merge bases, what git makes of them.

    Raises:
        CannotDecide: They have several merge bases, and this git cannot merge without a work tree.
    """
    if base is None or fork == base:
        return Merged(head)
    if fork == head:
        return Merged(base)  # there is nothing in it that the target has not
    paths = tuple(dict.fromkeys((CONFIG_FILE, *_registries(repo, base, head), *BESIDE)))
    bases = repo.git("merge-base", "--all", "--end-of-options", base, head, allowed=(0, 1))[1].split()
    before, ours, theirs = (None if each is None else repo.objects.commit(each).tree for each in (fork, base, head))
    assert ours is not None
    assert theirs is not None
    if len(bases) > 1:  # neither of them alone tells what merging would change
        merged, conflicting = _real_merge(repo, base, head)
        changes = {path: repo.objects.entry(merged, path) for path in paths}
        told = [path for path in conflicting if any(path == each or path.startswith(f"{each}/") for each in paths)]
        own: dict[str, TreeEntry | None] = {path: repo.objects.entry(theirs, path) for path in told}
    else:
        changes, conflicts = compare_trees(repo.objects, before, ours, theirs, paths)
        own = {conflict.path: conflict.theirs for conflict in conflicts}
        told = list(own)
    ours = repo.objects.update_tree(ours, changes) or repo.objects.write_tree({})
    tree = repo.objects.update_tree(ours, own) or repo.objects.write_tree({})
    message = "Merge a proposal, to judge it"
    commit = repo.objects.write_commit(tree, [base, head], _NOBODY, _NOBODY, message)
    return Merged(commit, tuple(told))


def _registries(repo: Repository, base: str, head: str) -> list[str]:
    """The folder of the registry, as both sides call it; one that cannot be read calls it nothing."""
    found = [repo.config.registry]
    for commit in (base, head):
        try:
            found.append(read_config(repo, commit).registry)
        except (RecordInvalid, NewerFormat):
            continue
    folders = list(dict.fromkeys(found))
    return [each for each in folders if not any(each.startswith(f"{other}/") for other in folders)]


def _real_merge(repo: Repository, base: str, head: str) -> tuple[str, list[str]]:
    """What git makes of two commits that have more than one merge base: a tree, and the files that conflict."""
    command = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", base, head)
    code, out = repo.git(*command, allowed=(0, 1, 128, 129))
    tree, *paths = out.decode("utf-8", "surrogateescape").rstrip("\0").split("\0")
    if code > 1 or not repo.objects.is_id(tree):
        raise CannotDecide(
            f"{head[:7]} and {base[:7]} have several merge bases, and merging them without a work tree takes git 2.38 "
            f"or newer. Make the proposal anew from its target, or rebase it: `git rebase {base}`"
        )
    return tree, paths
