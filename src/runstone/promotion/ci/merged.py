"""What the registry would be if a proposal were merged now: what is judged, so that nothing which its target got
meanwhile counts as the proposal's.

Facts are files, so a file is the unit: changed on one side it is taken from there; on both, differently, it conflicts.
"""

from dataclasses import dataclass

from runstone.git.repository import CONFIG_FILE, Repository
from runstone.promotion.proposals.trees import compare_trees

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
    before, ours, theirs = (None if each is None else repo.objects.commit(each).tree for each in (fork, base, head))
    assert ours is not None
    assert theirs is not None
    paths = (CONFIG_FILE, repo.config.registry)
    changes, conflicts = compare_trees(repo.objects, before, ours, theirs, paths)
    changes |= {conflict.path: conflict.theirs for conflict in conflicts}
    tree = repo.objects.update_tree(ours, changes) or repo.objects.write_tree({})
    message = "Merge a proposal, to judge it"
    commit = repo.objects.write_commit(tree, [base, head], _NOBODY, _NOBODY, message)
    return Merged(commit, tuple(conflict.path for conflict in conflicts))
