"""Approval notes: the git notes in which CI keeps who approved what, and reviewers their own yes. Where they are, and
how two lines become one.

Notes are only ever added. So two lines of them are joined path by path, as notes on different commits never meet; of
two notes on one commit that stays which was shared first, and the other one can be read in the history. To the note on
a proposal each reviewer adds a line, so there both sides' lines stay.
"""

import re
from collections.abc import Iterable, Mapping

from runstone.git.objects import FILE, TreeEntry
from runstone.git.repository import Repository

NOTES_REF = "refs/notes/runstone"

_LINE = re.compile(r"Approved-by: [^<>\x00-\x1f\x7f]* <[^<>\s\x00]+>")
_MOST = 100_000  # bytes: what is longer is no list of people


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


def read_lines(repo: Repository, oid: str) -> tuple[str, ...] | None:
    """The lines of a note that reviewers add to, `Approved-by: Name <mail>` each; None of any other note."""
    data = repo.objects.blob(oid)
    lines = data[:_MOST].decode("utf-8", "replace").rstrip("\n").split("\n")
    return tuple(lines) if len(data) < _MOST and all(map(_LINE.fullmatch, lines)) else None


def write_lines(repo: Repository, lines: Iterable[str]) -> TreeEntry:
    """A note of such lines: sorted, so that whoever joins the same ones gets the same note. Writes an object."""
    text = "".join(f"{line}\n" for line in sorted(lines))
    return TreeEntry(FILE, repo.objects.write("blob", text.encode()))


def put_notes(repo: Repository, tip: str | None, notes: Mapping[str, TreeEntry]) -> str:
    """The tree of a commit of notes with some more, by the id of what each is on. Writes objects."""
    tree = None if tip is None else repo.objects.commit(tip).tree
    spread = {noted: _find_path(repo, tree, noted) for noted in notes}
    new = repo.objects.update_tree(tree, {spread[noted]: entry for noted, entry in notes.items()})
    assert new is not None
    return new


def _find_path(repo: Repository, tree: str | None, noted: str) -> str:
    """Where the note on an object is, or is put: git spreads notes otherwise as they become more."""
    if tree is not None:
        for path in (note_path(noted), noted, f"{noted[:2]}/{noted[2:4]}/{noted[4:]}"):
            if repo.objects.entry(tree, path) is not None:
                return path
    return note_path(noted)


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
    added = {noted: here[noted] for noted in here.keys() - there.keys()}
    for noted in differing:
        both = [read_lines(repo, side[noted].oid) for side in (there, here)]
        if both[0] is not None and both[1] is not None:
            added[noted] = write_lines(repo, {*both[0], *both[1]})
    differing = [noted for noted in differing if noted not in added]
    added = {noted: entry for noted, entry in added.items() if there.get(noted) != entry}
    if not added and not differing:
        return theirs, []  # all of it is there, though by other commits, or by ones that a shallow clone has not
    tree = put_notes(repo, theirs, added)
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
