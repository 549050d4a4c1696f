"""Approval notes: the git notes in which CI keeps who approved what. Where they are, and how two lines become one.

Notes are only ever added. So two lines of them are joined path by path, as notes on different commits never meet; of
two notes on one commit that stays which was shared first, and the other one can be read in the history.
"""

from collections.abc import Mapping

from runstone.git.objects import TreeEntry
from runstone.git.repository import Repository

NOTES_REF = "refs/notes/runstone"


def seen_ref(remote: str) -> str:
    """Where the notes of a remote are kept as they were seen last."""
    return f"refs/runstone/notes/{remote}"


def list_notes(repo: Repository, commit: str | None) -> dict[str, TreeEntry]:
    """The notes of a commit of notes: id of what each is on → its blob.

    git spreads them over folders of two digits once they are many, and reads them wherever they lie.
    """
    if commit is None:
        return {}
    found = {}
    pending = list(repo.objects.tree(repo.objects.commit(commit).tree).items())
    while pending:
        name, entry = pending.pop()
        if entry.is_tree and len(name) < len(repo.objects.zero):
            pending += [(name + inner, each) for inner, each in repo.objects.tree(entry.oid).items()]
        elif entry.is_file and repo.objects.is_id(name):
            found[name] = entry
    return found


def note_path(noted: str) -> str:
    """Where the note on an object is put."""
    return f"{noted[:2]}/{noted[2:]}"


def join_notes(repo: Repository, ours: str | None, theirs: str | None) -> tuple[str | None, list[str]]:
    """One commit of notes that holds those of two, and grows out of `theirs`.

    Args:
        repo: The repository.
        ours: The notes here; None if there are none.
        theirs: Those that are shared.

    Returns:
        The commit, which may be one of the two; and the ids of what has another note here, where theirs counts.

    Writes:
        Objects.
    """
    if ours is None or theirs is None or ours == theirs:
        return theirs or ours, []
    if _holds(repo, theirs, ours):
        return theirs, []
    if _holds(repo, ours, theirs):
        return ours, []
    there, here = list_notes(repo, theirs), list_notes(repo, ours)
    differing = sorted(noted for noted in here.keys() & there.keys() if here[noted].oid != there[noted].oid)
    added: Mapping[str, TreeEntry] = {note_path(noted): here[noted] for noted in here.keys() - there.keys()}
    if not added and not differing:
        return theirs, []  # all of it is there, though by other commits, or by ones that a shallow clone has not
    tree = repo.objects.update_tree(repo.objects.commit(theirs).tree, added)
    assert tree is not None
    who = repo.identity("author"), repo.identity("committer")
    return repo.objects.write_commit(tree, [theirs, ours], *who, "Join the notes of two clones"), differing


def were_never_fetched(repo: Repository) -> bool:
    """Whether there may be approval notes that are not here: a plain `git clone` leaves notes behind, unlike a sync."""
    if not any(key.startswith("remote.") and key.endswith(".url") for key in repo.git_config):
        return False
    known = ("refs/runstone/notes/", "refs/runstone/synced/")
    return repo.refs.read(NOTES_REF) is None and not any(map(repo.refs.list, known))


def _holds(repo: Repository, commit: str, other: str) -> bool:
    return repo.git("merge-base", "--is-ancestor", other, commit, allowed=(0, 1))[0] == 0
