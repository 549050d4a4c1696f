"""What is healed after a command was killed: what that command left, and nothing that somebody did since."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runstone.git.carried import Healed, heal
from runstone.git.liveness import this_process
from runstone.git.repository import Repository
from runstone.registry.branch import commit_files
from tests.registry.test_branch import FILE, kill_a_commit, status
from tests.support import git

NEW = "registry/new/model.yaml"


@pytest.fixture
def moved(git_repo: Path) -> Path:
    """Killed once the branch had moved: all is done, but for the note, which is there still."""
    commit_files(Repository.open(git_repo), {FILE: "1\n"}, "Begin")
    kill_a_commit(git_repo, "once the branch has moved")
    assert "" == status(git_repo)
    return git_repo


def notes(repo: Path, folder: str = "carrying") -> list[Path]:
    """The notes that are there."""
    return sorted((repo / ".git" / "runstone" / folder).glob("*"))


def test_a_deletion_that_was_staged_since_stays(moved: Path) -> None:
    """Although the index is as before the killed command then."""
    git("rm", "-q", NEW, cwd=moved)
    with pytest.warns(Healed, match=rf"changed {NEW} in .* somebody has edited that since: it is left as it is"):
        heal(Repository.open(moved))
    assert (f"D  {NEW}", []) == (status(moved), notes(moved))


@pytest.mark.parametrize("edit", ["empty", "gone", "as before"])
def test_an_edit_since_stays(moved: Path, edit: str) -> None:
    """A file that was emptied, removed, or brought back to what it was before."""
    file = moved / FILE
    if edit == "gone":
        file.unlink()
    else:
        file.write_text("" if edit == "empty" else "1\n")
    was = status(moved)
    with pytest.warns(Healed, match=rf"changed {FILE} in .* it is left as it is"):
        heal(Repository.open(moved))
    assert was == status(moved) != ""


def test_what_was_cut_off_as_it_was_written_is_left_once_the_index_was_written_by_somebody(git_repo: Path) -> None:
    """Whether a missing file is the killed command's doing cannot be told any more."""
    commit_files(Repository.open(git_repo), {FILE: "1\n"}, "Begin")
    kill_a_commit(git_repo, "as the files are written")
    (git_repo / ".git" / "index.lock").unlink()
    (git_repo / FILE).unlink(missing_ok=True)
    (git_repo / "train.py").write_text("mine\n")
    git("add", "train.py", cwd=git_repo)
    with pytest.warns(Healed, match=rf"changed {FILE}.* it is left as it is"):
        heal(Repository.open(git_repo))
    assert not (git_repo / FILE).exists()


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [("[" * 200_000, True), ("[]", True), ("5", True), ('{"paths": 5}', True), ("", False)],
)
def test_a_note_that_cannot_be_read_is_put_aside(
    git_repo: Path, text: str, is_kept: bool, recwarn: pytest.WarningsRecorder
) -> None:
    """With a warning, but for one that was cut short before its first letter; a fresh one may be in writing."""
    folder = git_repo / ".git" / "runstone" / "carrying"
    folder.mkdir(parents=True)
    note = folder / "9-9.json"
    note.write_text(text)
    heal(Repository.open(git_repo))
    assert ([note], []) == (notes(git_repo), [str(each.message) for each in recwarn])
    os.utime(note, (1, 1))
    heal(Repository.open(git_repo))
    assert ([], is_kept) == (notes(git_repo), [text] == [n.read_text() for n in notes(git_repo, "carrying-unread")])
    assert [is_kept] == ["cannot be read" in str(recwarn[0].message) if recwarn.list else False]


def test_a_note_names_trees_alone(git_repo: Path) -> None:
    """What is written in a note is no option of git's."""
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    owner = {**this_process().to_document(), "pid": dead.pid, "birth": "1"}
    tree, out = git("rev-parse", "HEAD^{tree}", cwd=git_repo), git_repo / "made"
    document = {**owner, "ref": "refs/heads/main", "old": f"--output={out}", "new": tree, "paths": [str(git_repo)]}
    folder = git_repo / ".git" / "runstone" / "carrying"
    folder.mkdir(parents=True)
    (folder / "9-9.json").write_text(json.dumps(document))
    os.utime(folder / "9-9.json", (1, 1))
    with pytest.warns(Healed, match="cannot be read"):
        heal(Repository.open(git_repo))
    assert not out.exists()
