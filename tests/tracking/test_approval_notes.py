"""Notes of who approved what reach every clone through a sync, whoever wrote them, and none is ever lost."""

from pathlib import Path
from typing import Any

import pytest

from runstone.git.notes import NOTES_REF, note_path, were_never_fetched
from runstone.git.objects import FILE, TreeEntry
from runstone.tracking.sync import Synced, sync
from runstone.tracking.workspace import Workspace
from tests.git.support import check_clean
from tests.sharing import Team, record
from tests.support import git


def share(path: Path, **options: Any) -> Synced:
    """Sync a clone."""
    return sync(Workspace.open(path), **options)


def note(path: Path, commit: str, text: str) -> None:
    """Write a note as git itself does."""
    git("notes", "--ref", NOTES_REF, "add", "-m", text, commit, cwd=path)


def notes_of(path: Path) -> dict[str, str]:
    """What git itself reads: commit → text."""
    found = {}
    for line in git("notes", "--ref", NOTES_REF, "list", cwd=path, check=False).splitlines():
        blob, commit = line.split()
        found[commit] = git("cat-file", "-p", blob, cwd=path).strip()
    return found


@pytest.fixture
def commits(plain_team: Team) -> list[str]:
    """Three commits of the default branch, which the remote has."""
    ann = plain_team.folder / "ann"
    for number in range(2):
        git("commit", "-q", "--allow-empty", "-m", f"Change {number}", cwd=ann)
    git("push", "-q", "origin", "main", cwd=ann)
    return git("rev-list", "main", cwd=ann).split()


def test_notes_go_and_come(plain_team: Team, commits: list[str]) -> None:
    """Two clones that began alone note different commits: after their syncs both, and the remote, have all of them."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    note(ann, commits[0], "by rae")
    note(bob, commits[1], "by kim")
    note(bob, commits[2], "by lee")
    first, second = share(ann), share(bob)
    third = share(ann)
    assert (1, 0) == (first.approvals_sent, first.approvals_received)
    assert (2, 1) == (second.approvals_sent, second.approvals_received)
    assert (0, 2) == (third.approvals_sent, third.approvals_received)
    wanted = {commits[0]: "by rae", commits[1]: "by kim", commits[2]: "by lee"}
    assert [wanted] * 3 == [notes_of(path) for path in (ann, bob, plain_team.remote)]
    assert [0, 0] == [share(path).approvals_sent + share(path).approvals_received for path in (ann, bob)]
    assert git("rev-parse", NOTES_REF, cwd=ann) == git("rev-parse", NOTES_REF, cwd=plain_team.remote)
    assert [] == third.notes
    check_clean(plain_team.remote)


def test_of_two_notes_on_one_commit_the_first_stays(plain_team: Team, commits: list[str]) -> None:
    """The one that was shared first counts, which is told; the other one can still be read in the history."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    note(ann, commits[0], "by rae")
    note(bob, commits[0], "by mallory")
    other = git("rev-parse", NOTES_REF, cwd=bob)
    share(ann)
    said = share(bob).notes
    assert [f"Of two approval notes on {commits[0][:12]} that of `origin` stays."] == said
    assert [{commits[0]: "by rae"}] * 3 == [notes_of(path) for path in (ann, bob, plain_team.remote)]
    assert other in git("rev-list", NOTES_REF, cwd=plain_team.remote).split()
    assert [] == share(bob).notes


def test_pull_brings_notes_and_sends_none(plain_team: Team, commits: list[str]) -> None:
    """Those that came are joined with those here, which wait for a push."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    note(ann, commits[0], "by rae")
    share(ann)
    note(bob, commits[1], "by kim")
    done = share(bob, send=False)
    assert (0, 1) == (done.approvals_sent, done.approvals_received)
    assert {commits[0], commits[1]} == notes_of(bob).keys()
    assert {commits[0]} == notes_of(plain_team.remote).keys()
    assert 1 == share(bob, receive=False).approvals_sent
    assert {commits[0], commits[1]} == notes_of(plain_team.remote).keys()


def test_two_clones_at_once_lose_no_note(plain_team: Team, commits: list[str]) -> None:
    """Another clone pushes its notes between this one's look and its push: it looks again, and joins again."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    note(ann, commits[0], "by rae")
    note(bob, commits[1], "by kim")
    # The hook of the first push lets the other clone's notes in, as if these had come a moment before.
    marker = plain_team.folder / "once"
    plain_team.hook(
        "pre-receive",
        f"unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES\n"
        f"[ -e '{marker}' ] || {{ touch '{marker}'; "
        f"git fetch -q '{bob}' +{NOTES_REF}:{NOTES_REF} --no-write-fetch-head; }}",
    )
    assert 1 == share(ann).approvals_sent
    assert {commits[0]: "by rae", commits[1]: "by kim"} == notes_of(plain_team.remote) == notes_of(ann)


def test_notes_in_folders_and_flat_ones_are_joined(plain_team: Team, commits: list[str]) -> None:
    """Git keeps few notes side by side, and many in folders; one commit never gets two of them."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    repo = Workspace.open(bob).repo
    blob = TreeEntry(FILE, repo.objects.write("blob", b"in a folder\n"))
    tree = repo.objects.update_tree(None, {note_path(commit): blob for commit in commits[1:]})
    assert tree is not None
    who = repo.identity("author")
    git("update-ref", NOTES_REF, repo.objects.write_commit(tree, [], who, who, "Many"), cwd=bob)
    note(ann, commits[0], "flat")
    note(ann, commits[1], "flat")
    share(bob)
    share(ann)
    share(bob)
    wanted = {commits[0]: "flat", commits[1]: "in a folder", commits[2]: "in a folder"}
    assert [wanted] * 3 == [notes_of(path) for path in (ann, bob, plain_team.remote)]


def test_a_remote_that_takes_no_notes(plain_team: Team, commits: list[str]) -> None:
    """The runs are sent all the same, and the remote's words are told."""
    ann = plain_team.folder / "ann"
    plain_team.hook("update", f'[ "$1" != {NOTES_REF} ] || {{ echo not from you; exit 1; }}')
    record(ann, "one")
    note(ann, commits[0], "by rae")
    done = share(ann)
    assert (["one"], 0) == (done.runs_sent, done.approvals_sent)
    words = f"hook declined\nnot from you\nerror: hook declined to update {NOTES_REF}"
    assert [f"`origin` does not take approval notes from you: {words}"] == done.notes
    assert {} == notes_of(plain_team.remote)


def test_a_shallow_clone_gets_notes_and_adds_one(plain_team: Team, commits: list[str]) -> None:
    """As in CI: only the newest commit of the notes comes, and what is noted there goes on top of it."""
    ann = plain_team.folder / "ann"
    for commit in commits[1:]:
        note(ann, commit, "by rae")
    share(ann)
    ci = plain_team.clone("ci", "--depth=1", url=f"file://{plain_team.remote}")
    assert 2 == share(ci).approvals_received
    note(ci, commits[0], "by kim")
    assert 1 == share(ci).approvals_sent
    note(ann, git("commit-tree", "-m", "x", "main^{tree}", cwd=ann), "by lee")
    share(ann)
    assert 1 == share(ci).approvals_received
    assert notes_of(ann) == notes_of(plain_team.remote) == notes_of(ci)
    assert 4 == len(notes_of(ci))


def test_whether_notes_may_be_missing(plain_team: Team, git_repo: Path) -> None:
    """In a plain clone until its first sync; never where there is no remote."""
    bob = plain_team.clone("bob")
    assert were_never_fetched(Workspace.open(bob).repo)
    record(plain_team.folder / "ann", "one")
    share(plain_team.folder / "ann")
    share(bob, send=False)
    assert not were_never_fetched(Workspace.open(bob).repo)
    assert not were_never_fetched(Workspace.open(git_repo).repo)
