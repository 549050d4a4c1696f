"""Which journal is a copy of one that its writer has open elsewhere, and which only looks so for a moment."""

import os
import shutil
from pathlib import Path

import pytest

from runstone.git import copies, journal
from runstone.git.journal import Writer
from runstone.git.liveness import Owner, this_process
from runstone.git.repository import Repository
from tests.git.support import STARTED, begin, finish


@pytest.fixture
def writer(git_repo: Path) -> Writer:
    """A live run of this process, with a point."""
    writer = begin(Repository.open(git_repo), "one")
    writer.metric("loss", 1.0, STARTED, 0)
    return writer


@pytest.fixture
def copied(writer: Writer, tmp_path: Path) -> Path:
    """A copy of its journal."""
    (tmp_path / "journal").mkdir()
    return Path(shutil.copy2(writer.path, tmp_path / "journal"))


def test_a_copy_and_its_original(writer: Writer, copied: Path) -> None:
    """The writer has one of them open."""
    assert (False, True) == tuple(copies.is_copy(path, this_process()) for path in (writer.path, copied))
    entry = journal.Entry(copied, "one", "x", live=True)
    assert journal.is_abandoned(entry)
    assert journal.end_abandoned(entry) is None
    assert [copied.name] == [path.name for path in (copied.parent / copies.FOLDER).iterdir()]


def test_a_journal_that_is_ending_is_none(writer: Writer, copied: Path) -> None:
    """It is closed a moment before it gets its other name: its last line tells."""
    shutil.copy2(finish(writer), copied)
    assert not copies.is_copy(copied, this_process())


def test_a_journal_that_is_beginning_is_none(git_repo: Path, tmp_path: Path) -> None:
    """It has its name a moment before it is opened: it holds nothing yet but who writes it, and is young."""
    begun = begin(Repository.open(git_repo), "two")
    copied = Path(shutil.copy2(begun.path, tmp_path / "two~x.live"))
    assert not copies.is_copy(copied, this_process())
    os.utime(copied, (0, 0))
    assert copies.is_copy(copied, this_process())
    begun.abandon()


def test_of_others_nothing_is_known(copied: Path) -> None:
    """A process of another machine, or one that is gone at this moment."""
    here = this_process()
    assert not copies.is_copy(copied, Owner("elsewhere", here.pid, here.birth, here.boot))
    copied.unlink()
    assert not copies.is_copy(copied, here)
