"""The journal keeps what was accepted, and nothing of what was refused."""

import os
from pathlib import Path

import pytest

from runstone.errors import RunEnded
from runstone.git.repository import Repository
from runstone.git.runs import journal
from runstone.git.runs.commit import JournalDamagedWarning, drain, recover
from tests.git.support import SHELF, begin, check_clean, finish, journals, recorded, values
from tests.support import run_python


def test_what_is_written_is_read(git_repo: Path) -> None:
    """Points and events come back as they were, odd numbers and keys included."""
    writer = begin(Repository.open(git_repo), "r1")
    points = [("val/loss é", float("inf"), 5, -3), ("a b", 1e-300, -1, 10**18), ("a", -0.0, 0, 0)]
    writer.metrics(points)
    writer.events([(journal.PARAMS, {"k": [1, None, "\n\t\u2028"]}), (journal.TAGS, {"t": "v"})])
    found = journal.read(writer.path)
    assert points == found.points
    assert ["h", "p", "t"] == [event.kind for event in found.events]
    assert {"k": [1, None, "\n\t\u2028"]} == found.events[1].value
    assert 0 == found.damaged
    writer.abandon()


def test_torn_last_line_is_dropped(git_repo: Path) -> None:
    """Half a line, as `kill -9` may leave, is no damage; and it is not glued to what recovery writes."""
    repo = Repository.open(git_repo)
    run_python(
        "import os, sys; from runstone.git.repository import Repository; from tests.git.support import begin\n"
        "w = begin(Repository.open(sys.argv[1]), 'torn'); w.metric('loss', 1.5, 7, 0); w.metric('loss', 2.5, 8, 1)\n"
        "os.write(w._fd, b'm\\t2\\t1767225600000\\t3.5\\tlo'); os._exit(1)",
        str(git_repo),
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert ["torn"] == recover(repo, SHELF)
    run = recorded(repo, "torn")
    assert [1.5, 2.5] == values(run)
    assert "FAILED" == run.run.status
    assert [] == journals(repo)


@pytest.mark.parametrize(
    "line",
    [
        b"m\t1\tnot a time\t0.5\tloss\n",
        b"p\t1767225600000000000\t{broken\n",
        b'p\t1767225600000000000\t["no map"]\n',
        b"\xff\xfe\x00\n",
        b"\n",
    ],
)
def test_damaged_line_in_the_middle(git_repo: Path, line: bytes) -> None:
    """A line that cannot be read costs that line: a warning, the rest is recorded, the file is set aside."""
    repo = Repository.open(git_repo)
    writer = begin(repo, "hurt")
    writer.metric("loss", 1.0, 1, 0)
    os.write(writer._fd, line)
    writer.metric("loss", 2.0, 2, 1)
    ended = finish(writer)
    aside = repo.state_dir / "journal" / "damaged"
    with pytest.warns(JournalDamagedWarning) as warned:
        drain(repo, SHELF)
    assert [
        f"1 lines of the journal of run hurt could not be read. The rest is recorded; the file is kept in {aside}."
    ] == [str(one.message) for one in warned]
    assert [1.0, 2.0] == values(recorded(repo, "hurt"))
    assert [ended.name] == [path.name for path in aside.iterdir()]
    assert [] == drain(repo, SHELF)
    check_clean(git_repo)


def test_damaged_header_keeps_nobody_out(git_repo: Path) -> None:
    """A journal that does not say what run it is is set aside with a warning; the run beside it is recorded."""
    repo = Repository.open(git_repo)
    lost = finish(begin(repo, "lost"))
    lost.write_bytes(b"h\t1\tgarbage\n" + lost.read_bytes().partition(b"\n")[2])
    finish(begin(repo, "found"))
    with pytest.warns(
        JournalDamagedWarning, match="Run lost could not be recorded: .* Its journal is kept in .*damaged"
    ):
        assert ["found"] == drain(repo, SHELF)
    assert [lost.name] == [path.name for path in (repo.state_dir / "journal" / "damaged").iterdir()]


def test_ended_writer_refuses(git_repo: Path) -> None:
    """After its end a journal takes nothing, and says so."""
    writer = begin(Repository.open(git_repo), "over")
    finish(writer)
    for call in (lambda: writer.metric("a", 1.0, None, 0), lambda: writer.event("t", {}), lambda: finish(writer)):
        with pytest.raises(RunEnded):
            call()


def test_order_survives_a_clock_set_back(git_repo: Path) -> None:
    """The times that order the lines of one writer only grow."""
    writer = begin(Repository.open(git_repo), "clock")
    writer._now += 10**18  # the clock said so before somebody set it back by 31 years
    before = writer._now
    writer.event(journal.TAGS, {"t": "first"})
    writer.event(journal.TAGS, {"t": "second"})
    times = [event.time_ns for event in journal.read(writer.path).events]
    assert times[0] < before < times[1] < times[2]
    assert ["first", "second"] == [value["t"] for value in journal.lines(journal.TAGS, [journal.read(writer.path)])]
    writer.abandon()


FULL_DISK = """
import resource, sys
from runstone.errors import DiskFull
from runstone.git.repository import Repository
from tests.git.support import begin, finish
repo = Repository.open(sys.argv[1])
writer = begin(repo, "full")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
accepted = refused = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (writer.path.stat().st_size + 1000, hard))
for n in range(100):
    try:
        writer.metrics([("loss", float(n), n, n), ("acc", float(n), n, n)])
        accepted += 2
    except DiskFull as error:
        refused += 1
assert writer.path.read_bytes().endswith(b"\\n"), "a torn line is left"
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
writer.metric("loss", 1000.0, 1000, 1000)
print(accepted, refused, len(writer.path.read_bytes().split(b"\\n")))
finish(writer)
"""


def test_full_disk_leaves_nothing_torn(git_repo: Path) -> None:
    """A batch that does not fit is refused whole; when there is room again, logging goes on."""
    done = run_python(FULL_DISK, str(git_repo), cwd=Path(__file__).parents[3])
    accepted, refused, lines = map(int, done.stdout.split())
    assert accepted > 0
    assert refused > 0
    assert accepted + 1 + 1 + 1 == lines  # the header, the last point, and what follows the last line end
    repo = Repository.open(git_repo)
    drain(repo, SHELF)
    assert accepted + 1 == len(values(recorded(repo, "full")))
    check_clean(git_repo)


def test_no_room_for_a_new_journal(git_repo: Path) -> None:
    """A run that cannot even begin leaves no file behind."""
    done = run_python(
        "import resource, sys; from runstone.errors import DiskFull; from runstone.git.repository import Repository\n"
        "from tests.git.support import begin, journals\n"
        "repo = Repository.open(sys.argv[1]); repo.writable_state('journal')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, -1))\n"
        "try: begin(repo, 'none')\n"
        "except DiskFull as error: print(type(error).__name__, list((repo.state_dir / 'journal').iterdir()))",
        str(git_repo),
        cwd=Path(__file__).parents[3],
    )
    assert "DiskFull []\n" == done.stdout


def test_forked_children_join(git_repo: Path) -> None:
    """Children forked in the middle log into files of their own; all that they and the parent said is one run."""
    run_python(
        """
import os, sys
from runstone.git.repository import Repository
from runstone.git.runs.commit import drain
from tests.git.support import SHELF, begin, finish
repo = Repository.open(sys.argv[1])
writer = begin(repo, "forked")
writer.metric("loss", 0.0, 0, 0)
children = []
for n in range(1, 5):
    pid = os.fork()
    if pid == 0:
        writer.metric("loss", float(n), n, n)
        if n % 2:
            finish(writer)
        os._exit(0)      # the others die without a word
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
writer.metric("loss", 9.0, 9, 9)
finish(writer)
assert ["forked"] == drain(repo, SHELF)
""",
        str(git_repo),
        cwd=Path(__file__).parents[3],
    )
    repo = Repository.open(git_repo)
    run = recorded(repo, "forked")
    assert [0.0, 1.0, 2.0, 3.0, 4.0, 9.0] == values(run)
    assert "FINISHED" == run.run.status
    assert [] == journals(repo)
    check_clean(git_repo)


def test_live_journal_of_another_machine_is_left(git_repo: Path) -> None:
    """Of a writer on another machine nothing can be known: only `--force` ends its run."""
    repo = Repository.open(git_repo)
    writer = begin(repo, "far")
    line, _, rest = writer.path.read_bytes().partition(b"\n")
    writer.path.write_bytes(line.replace(b'"host":"', b'"host":"far-') + b"\n" + rest)
    assert [] == recover(repo, SHELF)
    assert ["far"] == recover(repo, SHELF, force=["far"])
    assert "FAILED" == recorded(repo, "far").run.status
    with pytest.raises(RunEnded):
        finish(writer)


def test_empty_live_journal_waits_for_its_time(git_repo: Path) -> None:
    """No writer leaves a journal without a header, so one without is left alone for a minute, and then cleared away."""
    repo = Repository.open(git_repo)
    path = repo.writable_state("journal") / "ghost~1-00000000.live"
    path.write_bytes(b"")
    assert [] == recover(repo, SHELF)
    assert path.exists()
    os.utime(path, (1, 1))
    assert [] == recover(repo, SHELF)
    assert [] == journals(repo)


def test_torn_end_is_cut_off_when_the_file_is_taken(git_repo: Path) -> None:
    """Lines that are appended to a dead writer's journal stand by themselves, and its age is kept."""
    repo = Repository.open(git_repo)
    writer = begin(repo, "dead")
    writer.metric("loss", 1.0, 1, 0)
    os.write(writer._fd, b"m\t1\t2\t2.0\tlo")
    os.utime(writer.path, (1000, 1000))
    [entry] = journal.list_entries(repo)
    ended = journal.end_abandoned(repo, entry)
    assert ended is not None
    journal.append_line(ended, journal.COMMITTED, {"commit": "1" * 40})
    content = journal.read_ended(ended)
    assert (1, 0) == (len(content.points), content.damaged)
    assert [journal.HEADER, journal.COMMITTED, journal.END] == [event.kind for event in content.events]
    assert {"status": "FAILED", "ended": 1_000_000} == content.events[-1].value
    os.close(writer._fd)
    writer._fd = -1


def test_file_that_never_got_its_name_is_cleared_away(git_repo: Path) -> None:
    """A writer killed before its file bore its name leaves one that is no run; recovery removes it when it is old."""
    repo = Repository.open(git_repo)
    young, old = (repo.writable_state("journal") / f"r{n}~1-0000000{n}.new" for n in (1, 2))
    for path in (young, old):
        path.write_bytes(b"")
    os.utime(old, (1, 1))
    finish(begin(repo, "other"))
    recover(repo, SHELF)
    assert (True, False) == (young.exists(), old.exists())


def test_two_recoverers_take_one_each(git_repo: Path) -> None:
    """The dead writer's file goes to the first; the second finds it taken, and nothing is cut off."""
    repo = Repository.open(git_repo)
    writer = begin(repo, "dead")
    writer.metric("loss", 1.0, 1, 0)
    [entry] = journal.list_entries(repo)
    ended = journal.end_abandoned(repo, entry)
    assert ended is not None
    journal.append_line(ended, journal.COMMITTED, {"commit": "1" * 40})
    size = ended.stat().st_size
    assert journal.end_abandoned(repo, entry) is None
    assert size == ended.stat().st_size
    os.close(writer._fd)
    writer._fd = -1
