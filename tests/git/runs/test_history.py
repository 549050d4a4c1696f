"""The events of the branch `runs`, as git tells them, and in which order the runs came."""

from contextlib import closing
from pathlib import Path

import pytest

from runstone.errors import GitFailed, InvalidName
from runstone.git.pieces import git_pieces, split_pieces
from runstone.git.repository import Repository
from runstone.git.runs.history import Event, experiment_paths, is_cut, read_events, read_recordings, run_paths
from tests.git.support import record, recorded
from tests.support import git


@pytest.fixture
def repo(git_repo: Path) -> Repository:
    """A repository with three recorded runs."""
    repo = Repository.open(git_repo)
    for run_id in ("first", "second", "third"):
        record(repo, run_id)
    return repo


def event(message: str) -> Event:
    """An event of this message."""
    return Event("c" * 40, None, None, 0, "Kim", message)


def commit_on_runs(path: Path, message: str, *, author: str = "Eve") -> None:
    """Put a commit with the same tree on the line, as anybody may push one."""
    head = git("commit-tree", "-p", "runs", "-m", message, "runs^{tree}", cwd=path, env={"GIT_AUTHOR_NAME": author})
    git("update-ref", "refs/heads/runs", head, cwd=path)


def test_one_event_a_commit_of_the_first_parents(repo: Repository, git_repo: Path) -> None:
    """The newest first; each with its previous one, its code and who did it; not the commits of the code."""
    events = list(read_events(repo))
    expected = git("log", "--first-parent", "--format=%H", "runs", cwd=git_repo).split()
    assert expected == [each.commit for each in events]
    assert [*expected[1:], None] == [each.previous for each in events]
    assert ("third", "third", "recorded", "FINISHED") == (
        events[0].run_id,
        events[0].run_name,
        events[0].kind,
        events[0].status,
    )
    assert ("begun", "", None, None) == (events[-1].kind, events[-1].title, events[-1].run_id, events[-1].code)
    assert {"Kim Example"} == {each.author for each in events}
    assert [int(git("log", "-1", "--format=%at", "runs", cwd=git_repo)) * 1000] == [events[0].time]


def test_the_newest_few_and_the_oldest_first(repo: Repository) -> None:
    """A limit counts from the newest, whichever comes first."""
    names = ["third", "second", "first"]
    assert names[:2] == [each.run_name for each in read_events(repo, limit=2)]
    assert names[1::-1] == [each.run_name for each in read_events(repo, limit=2, oldest_first=True)]


def test_what_an_event_touched(repo: Repository) -> None:
    """With files, each is named with its blobs; those outside the paths are not."""
    (only,) = read_events(repo, paths=run_paths("second"), with_files=True)
    assert "second" == only.run_name
    assert [("A", "metrics.tsv"), ("A", "run.yaml")] == [(f.status, f.path.rpartition("/")[2]) for f in only.files]
    assert {None} == {each.before for each in only.files}
    assert b"id: second" in repo.objects.blob(only.files[1].after or "")


def test_paths_hold_no_pattern_of_a_hostile_name(repo: Repository) -> None:
    """An id is refused if it is none, and an experiment's id is taken literally."""
    with pytest.raises(InvalidName):
        run_paths("*")
    assert [] == list(read_events(repo, paths=experiment_paths("*")))
    assert 3 == len(list(read_events(repo, paths=experiment_paths("default"))))


@pytest.mark.parametrize(
    ("subject", "kind", "title", "status"),
    [
        ("Record run owl: FINISHED", "recorded", "owl", "FINISHED"),
        ("Record run a: b: c: FAILED", "recorded", "a: b: c", "FAILED"),
        ("Add to run owl: KILLED", "added to", "owl", "KILLED"),
        ("Delete run owl", "deleted", "owl", None),
        ("Set status FAILED of run owl: x", "status set", "owl: x", "FAILED"),
        ("Amend run owl", "amended", "owl", None),
        ("Move run owl", "moved", "owl", None),
        ("Remove 2 deleted runs", "removed", "2 deleted runs", None),
        ("Rename experiment a to b", "experiment renamed", "a to b", None),
        ("Anything else: DONE", None, "Anything else: DONE", None),
        ("", None, "", None),
    ],
)
def test_what_a_subject_says(subject: str, kind: str | None, title: str, status: str | None) -> None:
    """The kinds of events by the words their messages begin with."""
    found = event(subject)
    assert (kind, title, status) == (found.kind, found.title, found.status)


def test_trailers_are_taken_as_text() -> None:
    """What the body names is for display: a run that cannot be one is none, and the subject is not a trailer."""
    body = "Run: ../../x\nExperiment: a: b\nReason: why\nReplaced: tags.a: 1 -> 2\nReplaced: tags.b: 3 -> 4"
    found = event(f"Run: no\n\n{body}")
    assert (None, "a: b", "why") == (found.run_id, found.trailers["Experiment"], found.trailers["Reason"])
    assert ("tags.a: 1 -> 2", "tags.b: 3 -> 4") == found.replaced


def test_several_runs_are_named_by_a_removal_only() -> None:
    """Of another event the first counts: a param called `Run` that was amended is told in a line like that."""
    body = "Run: a1\nRun: b2\nRun: C"
    assert ("a1", "b2") == event(f"Remove 2 deleted runs\n\n{body}").run_ids
    assert (("a1",), "a1") == ((found := event(f"Amend run owl\n\n{body}")).run_ids, found.run_id)
    assert None is event(f"Remove 2 deleted runs\n\n{body}").run_id


def test_a_hostile_commit_does_not_break_the_stream(repo: Repository, git_repo: Path) -> None:
    """A message that looks like git's own output stays one message, and its neighbours stay whole."""
    evil = ":100644 100644 aaaa bbbb M\n:000000 1\n\x01\x1b[2J\n\nRun: third\n" + "x" * 100_000
    commit_on_runs(git_repo, evil, author="Eve :100644")
    assert [None, "third", "second", "first", None] == [each.run_name for each in read_events(repo)]
    assert [evil.rstrip("\n")] == [each.message for each in read_events(repo, limit=1)]
    events = read_events(repo, paths=experiment_paths("default"), with_files=True)
    assert [("third", 2), ("second", 2), ("first", 3)] == [(each.run_name, len(each.files)) for each in events]


def test_a_user_s_settings_of_git_log_change_nothing(repo: Repository, isolated_home: Path) -> None:
    """Signatures, decorations, renames, another encoding of output: none reaches what is read."""
    before = list(read_events(repo, with_files=True))
    with (isolated_home / ".gitconfig").open("a") as config:
        config.write(
            "[log]\n\tshowSignature = true\n\tshowRoot = false\n\tdecorate = full\n\tdate = relative\n"
            "[i18n]\n\tlogOutputEncoding = UTF-16\n[color]\n\tui = always\n"
            "[diff]\n\trenames = copies\n\tnoprefix = true\n"
        )
    assert before == list(read_events(repo, with_files=True))


def test_runs_in_the_order_of_the_line(repo: Repository, git_repo: Path) -> None:
    """The first event that has a run counts, not the ids and not the clocks."""
    assert ["first", "second", "third"] == list(read_recordings(repo))
    late = {"GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z"}
    blob = git("rev-parse", f"runs:{recorded(repo, 'third').folder}/run.yaml", cwd=git_repo)
    index = {"GIT_INDEX_FILE": str(git_repo / "scratch-index")}
    git("read-tree", "runs", cwd=git_repo, env=index)
    for run_id, experiment in (("a-zero", "default"), ("first", "other")):
        path = f"experiments/{experiment}/2026-01-01/{run_id[-2:]}/{run_id}/run.yaml"
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", cwd=git_repo, env=index)
    tree = git("write-tree", cwd=git_repo, env=index)
    made = git("commit-tree", "-p", "runs", "-m", "x", tree, cwd=git_repo, env=late)
    git("update-ref", "refs/heads/runs", made, cwd=git_repo)
    assert ["first", "second", "third", "a-zero"] == list(read_recordings(repo))


def test_a_shallow_clone_says_where_it_is_cut(repo: Repository, git_repo: Path, tmp_path: Path) -> None:
    """The last event is the cut; with all of history there is none."""
    assert [False] * 4 == [is_cut(repo, each) for each in read_events(repo)]
    git("clone", "-q", "--bare", "--depth", "2", "-b", "runs", f"file://{git_repo}", "cut.git", cwd=tmp_path)
    cut = Repository.open(tmp_path / "cut.git")
    assert [False, True] == [is_cut(cut, each) for each in read_events(cut)]
    assert ["first", "second", "third"] == list(read_recordings(cut))


def test_no_runs_yet(git_repo: Path) -> None:
    """Without the branch nothing has happened."""
    assert ([], {}) == (list(read_events(Repository.open(git_repo))), read_recordings(Repository.open(git_repo)))


def test_a_reader_that_stops_ends_git(repo: Repository) -> None:
    """Whoever has seen enough closes the stream; git is waited for, and that it could not write on is no error."""
    git_never_ends = ["log", "--all", "-p", "--full-diff", "--format=%B%n" + "%B" * 5000]
    with closing(git_pieces(repo, git_never_ends)) as pieces:
        assert next(pieces)


def test_git_s_refusal_is_told_whole(repo: Repository) -> None:
    """An exit code that is no success raises, after what was printed before it, with git's own words."""
    with pytest.raises(GitFailed, match=r"unknown revision") as failed:
        list(git_pieces(repo, ["log", "nothing-here"]))
    assert 128 == failed.value.code


def test_pieces_are_cut_at_the_separator_wherever_they_end() -> None:
    """A token may stand in several pieces; what is unfinished at the end counts unless it is empty."""
    assert [b"ab", b"", b"cd"] == list(split_pieces(iter([b"a", b"b\0", b"\0cd"]), b"\0"))
    assert [b"ab"] == list(split_pieces(iter([b"ab\0"]), b"\0"))
