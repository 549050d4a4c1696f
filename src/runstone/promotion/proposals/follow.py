"""Bring a branch here forward to a commit that contains it, together with the work trees that have it checked out."""

from runstone.git import carried, checkouts
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository


def fast_forward(repo: Repository, ref: str, new: str) -> bool:
    """Move a branch forward.

    Args:
        repo: The repository.
        ref: Its full name; it must be there.
        new: A full commit id.

    Returns:
        Whether it is there now; False where it has commits of its own, and stays.

    Writes:
        The branch, by compare-and-swap; the index and the files of work trees that have it checked out.

    Raises:
        LocalEdits: One of them has edits in a file that changes.
        IndexBusy: git works on its index, or a merge is not finished there.
        RefMoved: Another process moved the branch.
    """
    carried.heal(repo)
    old = repo.refs.read(ref)
    if old == new:
        return True
    if old is None or repo.git("merge-base", "--is-ancestor", old, new, allowed=(0, 1, 128))[0]:
        return False
    trees = checkouts.checkouts(repo, ref)
    before, after = repo.objects.commit(old).tree, repo.objects.commit(new).tree
    _, out = repo.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after)
    paths = [path for path in out.decode("utf-8", "surrogateescape").split("\0") if path]

    carried.move_branch(repo, RefUpdate(ref, new, old), trees, before, after, paths)
    return True
