"""Which journal is a copy of one that its writer has open elsewhere, and which only looks so for a moment."""

import os
import shutil
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.git.liveness import Owner, this_process
from runstone.git.repository import Repository
from runstone.git.runs import copies, journal
from runstone.git.runs.journal import Writer
from tests.git.support import STARTED, begin
from tests.support import run_python


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


def is_copy(path: Path, owner: Owner | None = None) -> bool:
    """What is made of a journal of this process, or of another."""
    return copies.is_copy(path, journal.read_header(path) or {}, owner or this_process())


def test_a_copy_and_its_original(git_repo: Path, writer: Writer, copied: Path) -> None:
    """The writer has begun one of them."""
    assert (False, True) == (is_copy(writer.path), is_copy(copied))
    entry = journal.Entry(copied, "one", "x", live=True)
    assert journal.is_abandoned(entry)
    assert journal.end_abandoned(Repository.open(git_repo), entry) is None
    assert [copied.name] == [path.name for path in (copied.parent / copies.FOLDER).iterdir()]


def test_a_journal_that_its_writer_has_closed_is_none(writer: Writer) -> None:
    """It ends at this moment, is killed, or has begun another program: what it logged must not be put aside."""
    os.close(writer._fd)
    assert not is_copy(writer.path)
    moved = writer.path.rename(writer.path.with_name("one~moved.live"))
    assert not is_copy(moved)
    writer._fd = os.open(moved, os.O_WRONLY | os.O_APPEND)
    writer.path = moved
    writer.abandon()


def test_of_others_nothing_is_known(copied: Path) -> None:
    """A process of another machine, one that is gone at this moment, and a journal that does not name its inode."""
    here = this_process()
    assert not is_copy(copied, Owner("elsewhere", here.pid, here.birth, here.boot))
    assert not copies.is_copy(copied, {}, here)
    header = journal.read_header(copied) or {}
    copied.unlink()
    assert not copies.is_copy(copied, header, here)


def test_a_program_that_follows_in_the_same_process_loses_nothing(git_repo: Path) -> None:
    """A script that replaces itself with another program leaves its run open: it is recorded once that has ended."""
    code = (
        "import os, sys, runstone\n"
        "runstone.start_run(run_id='first'); runstone.log_metric('m', 1.0)\n"
        "os.execv(sys.executable, [sys.executable, '-c', "
        "'import runstone; print([run.status for run in runstone.Client().search_runs()])'])"
    )
    assert "['RUNNING']\n" == run_python(code, cwd=git_repo).stdout
    assert ("FAILED", 1) == (lambda run: (run.status, run.metrics["m"].count))(Client(git_repo).get_run("first"))
