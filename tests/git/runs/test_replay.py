"""Unpushed events go on the remote's tip: each once, on one line, and nothing that two sides changed is lost.

Two clones are two lines of commits in one repository here, where nothing depends on the transport.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstone.artifacts.descriptor import Descriptor
from runstone.artifacts.pointer import parse_pointer
from runstone.artifacts.store import ArtifactStore
from runstone.errors import ArtifactMissing, RefMoved
from runstone.git import kept
from runstone.git.objectlog import list_logs
from runstone.git.objects import FILE, TreeEntry
from runstone.git.repository import Repository
from runstone.git.runs import journal, layout
from runstone.git.runs.branch import Draft, update_runs
from runstone.git.runs.commit import drain
from runstone.git.runs.merge import show
from runstone.git.runs.replay import Replayed, changed_runs, move_runs, replay, unpushed
from runstone.records import yaml
from runstone.records.metric import Metric, format_metrics
from tests.git.support import SHELF, STARTED, begin, check_clean, finish, leave_another_boot, record, recorded, values
from tests.support import SOURCE, git, make_repository, run_python

Change = dict[str, str | bytes | None]
KIM = "Kim Example <kim@example.org> 1700000000 +0100"


class NoFolders:
    """The shelf of runs that keep no artifacts: none are joined."""

    def merge_folders(self, base: bytes | None, ours: bytes | None, theirs: bytes | None) -> str | None:
        """There is nothing to join."""
        raise AssertionError("no artifacts here")


def folder(run_id: str, experiment: str = "default") -> str:
    """Where a run of these tests lies."""
    return layout.run_folder(experiment, STARTED, run_id)


def run_text(run_id: str, **fields: Any) -> str:
    """A run's record."""
    document = {
        "schema": "runstone/run/v1",
        "id": run_id,
        "name": run_id,
        "experiment": "Default",
        "status": "FINISHED",
        "user": "kim",
        "started": "2026-01-01T00:00:00.000Z",
    }
    return yaml.dump(document | fields)


def put_run(run_id: str, **fields: Any) -> Change:
    """The change that records a run, or gives its record these fields."""
    return {f"{folder(run_id)}/run.yaml": run_text(run_id, **fields)}


def line(repo: Repository, base: str | None, *changes: Change, message: str = "Edit") -> str:
    """Commits on top of a base, one a change; no ref is moved."""
    draft = Draft(repo, base)
    for number, change in enumerate(changes):
        assert draft.commit(change, f"{message} {number}\n\nRun: x") is not None
    assert draft.tip is not None
    return draft.tip


def joined(repo: Repository, local: str, remote: str, synced: str | None = None) -> Replayed:
    """The replay of a local tip on a remote one; repeating it, from either side, makes nothing new."""
    done = replay(repo, local, remote, synced=synced, shelf=NoFolders())
    assert Replayed(done.tip) == replay(repo, done.tip, remote, synced=synced, shelf=NoFolders())
    assert done.tip == replay(repo, local, done.tip, synced=synced, shelf=NoFolders()).tip
    parents = git("rev-list", "--first-parent", done.tip, cwd=repo.git_dir).split()
    assert remote in parents
    return done


def read(repo: Repository, tip: str, path: str) -> Any:
    """A record at a tip, as a document."""
    text = Draft(repo, tip).read(path)
    return None if text is None else yaml.load(text, path)


def message(repo: Repository, commit: str) -> str:
    """A commit's message."""
    return repo.objects.commit(commit).message


@pytest.fixture
def repo(git_repo: Path) -> Repository:
    """A repository to put lines of commits into."""
    return Repository.open(git_repo)


@pytest.fixture
def start(repo: Repository) -> str:
    """A branch with one run and one experiment."""
    experiment = "schema: runstone/experiment/v1\nname: Default\n"
    return line(repo, None, put_run("r1", tags={"a": "0"}) | {"experiments/default/experiment.yaml": experiment})


def test_every_event_arrives_once_and_keeps_what_it_is(repo: Repository, start: str, git_repo: Path) -> None:
    """New commits on the remote's tip: same second parent, author, date and message, in order, on one line."""
    head = git("rev-parse", "HEAD", cwd=git_repo)
    draft = Draft(repo, start)
    for number in range(3):
        blob = TreeEntry(FILE, repo.objects.write("blob", run_text(f"mine-{number}").encode()))
        text = f"Record run {number}\n\nRun: mine-{number}"
        draft.put({f"{folder(f'mine-{number}')}/run.yaml": blob}, text, parents=[head], author=KIM)
    local = draft.tip
    assert local is not None
    remote = line(repo, start, *(put_run(f"theirs-{number}") for number in range(4)))
    done = joined(repo, local, remote)
    log = git("log", "--first-parent", "--format=%H %P|%an <%ae> %ad|%s", "--date=raw", done.tip, cwd=git_repo)
    rows = log.splitlines()[:3]
    olds = git("rev-list", "--first-parent", "-3", local, cwd=git_repo).split()
    assert [f"{KIM}|Record run {n}" for n in (2, 1, 0)] == [row.partition("|")[2] for row in rows]
    assert [head] * 3 == [row.partition("|")[0].split()[2] for row in rows]
    assert [done.rewritten[old] for old in olds] == [row.split()[0] for row in rows]
    assert remote == rows[2].split()[1]
    assert f"Record run 2\n\nRun: mine-2\nEvent: {olds[0]}\n" == message(repo, done.tip)
    names = git("ls-tree", "-r", "--name-only", done.tip, "experiments", cwd=git_repo)
    assert 8 == names.count("run.yaml")
    assert () == done.merged
    assert unpushed(repo, local, remote, None) == olds[::-1]
    assert {folder(f"mine-{n}") for n in range(3)} == changed_runs(repo, olds[::-1])
    git("update-ref", "refs/heads/runs", done.tip, cwd=git_repo)
    check_clean(git_repo)


def test_nothing_is_rewritten_where_one_side_is_ahead(repo: Repository, start: str) -> None:
    """If the remote is behind, the local tip stays; if it is ahead, it is taken; without one, all is unpushed."""
    ahead = line(repo, start, put_run("r2"), put_run("r3"))
    assert Replayed(ahead) == replay(repo, ahead, start, synced=None, shelf=NoFolders())
    assert Replayed(ahead) == replay(repo, start, ahead, synced=start, shelf=NoFolders())
    assert Replayed(start) == replay(repo, start, start, synced=None, shelf=NoFolders())
    assert [] == unpushed(repo, start, ahead, None)
    assert 2 == len(unpushed(repo, ahead, start, None))
    assert 4 == len(unpushed(repo, ahead, None, None))  # and the beginning, and the first run
    assert 1 == len(unpushed(repo, ahead, None, repo.objects.commit(ahead).parents[0]))
    assert set() == changed_runs(repo, [])


def test_one_record_edited_on_both_sides(repo: Repository, start: str, git_repo: Path) -> None:
    """Fields are joined; of one field the replayed value stays, and the other is in the message."""
    local = line(repo, start, put_run("r1", tags={"a": "sales", "b": "1"}))
    remote = line(repo, start, put_run("r1", tags={"a": "growth", "c": "2"}, params={"p": 1}))
    done = joined(repo, local, remote)
    found = read(repo, done.tip, f"{folder('r1')}/run.yaml")
    assert ({"a": "sales", "b": "1", "c": "2"}, {"p": 1}) == (found["tags"], found["params"])
    assert [("r1", "tags.a", '"sales"', '"growth"')] == [(n.record, n.key, n.kept, n.other) for n in done.merged]
    expected = f'Edit 0\n\nRun: x\nReplaced: tags.a: "growth" -> "sales"\nEvent: {local}\n'
    assert expected == message(repo, done.tip)
    check_clean(git_repo)


def test_equal_edits_are_one(repo: Repository, start: str) -> None:
    """An event that the remote has an equal of changes nothing, and is dropped."""
    local, remote = (line(repo, start, put_run("r1", tags={"a": "1"}), message=who) for who in ("Ours", "Theirs"))
    done = joined(repo, local, remote)
    assert Replayed(remote, {local: remote}) == done


def test_an_event_that_was_pushed_before_the_cut_is_not_doubled(repo: Repository, start: str) -> None:
    """The remote took it and others went on; this clone never heard: it is known by its first commit."""
    metrics = [Metric("loss", float(n), STARTED, n) for n in range(3)]
    path = f"{folder('r1')}/metrics.tsv"
    local = line(repo, start, {path: format_metrics(metrics[:1])}, put_run("r1", tags={"a": "mine"}))
    first = joined(repo, local, line(repo, start, {path: format_metrics(metrics[1:2])}))
    later = line(repo, first.tip, {path: format_metrics(metrics)}, put_run("r1", tags={"a": "theirs"}))
    done = joined(repo, local, later)
    assert (later, first.rewritten) == (done.tip, done.rewritten)
    again = line(repo, local, put_run("r2"))
    assert 2 == len(git("rev-list", f"{first.tip}..{later}", cwd=repo.git_dir).split())
    third = replay(repo, again, later, synced=None, shelf=NoFolders())
    assert later == repo.objects.commit(third.tip).parents[0]


def test_metrics_of_both_sides_are_added_up(repo: Repository, start: str, git_repo: Path) -> None:
    """Points of both are there, and the summary is made of all of them."""
    path = f"{folder('r1')}/metrics.tsv"

    def log(*logged: float) -> Change:
        points = [Metric("loss", value, STARTED, n) for n, value in enumerate(logged)]
        summary = {"last": logged[-1], "step": len(logged) - 1, "min": min(logged), "max": max(logged)}
        return {path: format_metrics(points)} | put_run("r1", metrics={"loss": summary | {"count": len(logged)}})

    base = line(repo, start, log(5.0))
    done = joined(repo, line(repo, base, log(5.0, 1.0)), line(repo, base, log(5.0, 9.0)))
    text = Draft(repo, done.tip).read(path)
    assert text is not None
    assert ["5.0", "9.0", "1.0"] == [row.split("\t")[3] for row in text.decode().split("\n")[2:-1]]
    summary = read(repo, done.tip, f"{folder('r1')}/run.yaml")["metrics"]["loss"]
    assert {"last": 1.0, "step": 1, "min": 1.0, "max": 9.0, "count": 3, "latest": 9.0} == summary
    assert () == done.merged
    check_clean(git_repo)


def test_an_experiment_made_by_two_clones_is_one(repo: Repository, start: str) -> None:
    """Same path; the earlier one in the line tells when it was made."""
    path = "experiments/new/experiment.yaml"
    text = "schema: runstone/experiment/v1\nname: New\ncreated: '2026-01-0{}T00:00:00.000Z'\n"
    local = line(repo, start, {path: text.format(1) + "description: d\n"})
    done = joined(repo, local, line(repo, start, {path: text.format(2)}))
    found = read(repo, done.tip, path)
    assert ("d", "2026-01-02T00:00:00.000Z") == (found["description"], found["created"])


def test_notes_are_taken_as_a_whole(repo: Repository, start: str) -> None:
    """The later text stays; the message names the blob of the other, which the history holds."""
    path = f"{folder('r1')}/notes.md"
    done = joined(repo, line(repo, start, {path: "mine"}), line(repo, start, {path: "theirs"}))
    assert b"mine" == Draft(repo, done.tip).read(path)
    found = re.search(r'Replaced: notes.md: "blob ([0-9a-f]+)"', message(repo, done.tip))
    assert found is not None
    assert b"theirs" == repo.objects.blob(found[1])


def test_other_files_are_never_joined(repo: Repository, start: str) -> None:
    """The remote's text stays; ours is in the message of a commit made for that alone; an untouched file follows."""
    local = line(repo, start, {".dvc/config": "[core]\n remote = a\n"}, {"README.md": "new"})
    done = joined(repo, local, line(repo, start, {".dvc/config": "[core]\n remote = b\n"}))
    draft = Draft(repo, done.tip)
    assert (b"[core]\n remote = b\n", b"new") == (draft.read(".dvc/config"), draft.read("README.md"))
    told = message(repo, repo.objects.commit(done.tip).parents[0])
    assert r'Replaced: ".dvc/config": "[core]\n remote = a\n" -> "[core]\n remote = b\n"' in told


def move(run_id: str, target: str, **fields: Any) -> Change:
    """The change that moves a run to another experiment."""
    gone: Change = {f"{folder(run_id)}/run.yaml": None}
    return gone | {f"{folder(run_id, target)}/run.yaml": run_text(run_id, experiment=target, **fields)}


def test_an_edit_follows_a_run_that_was_moved(repo: Repository, start: str) -> None:
    """Whichever side moved it, it is in one place, with the edit; moved by both, the later place stays."""
    edited, moved = (
        line(repo, start, put_run("r1", tags={"a": "1"})),
        line(repo, start, move("r1", "b", tags={"a": "0"})),
    )
    for local, remote in ((edited, moved), (moved, edited)):
        done = joined(repo, local, remote)
        assert Draft(repo, done.tip).read(f"{folder('r1')}/run.yaml") is None
        found = read(repo, done.tip, f"{folder('r1', 'b')}/run.yaml")
        assert ("b", {"a": "1"}, ()) == (found["experiment"], found["tags"], done.merged)
    elsewhere = line(repo, start, move("r1", "c", tags={"a": "0"}))
    done = joined(repo, moved, elsewhere)
    assert ["experiments/b/2026-01-01/r1/r1/run.yaml"] == re.findall(
        r"\S+run\.yaml", git("ls-tree", "-r", "--name-only", done.tip, cwd=repo.git_dir)
    )
    assert {"experiment", "folder"} == {found.key for found in done.merged}


def test_removed_here_and_edited_there(repo: Repository, start: str) -> None:
    """The edit wins, whichever side it is on; a removal that nobody opposes is made."""
    notes = f"{folder('r1')}/notes.md"
    base = line(repo, start, {notes: "old"}, put_run("r2"))
    removed = line(repo, base, {notes: None, f"{folder('r2')}/run.yaml": None})
    edited = line(repo, base, {notes: "new"}, put_run("r2", tags={"x": "y"}))
    for local, remote in ((removed, edited), (edited, removed)):
        draft = Draft(repo, joined(repo, local, remote).tip)
        assert b"new" == draft.read(notes)
        assert draft.read(f"{folder('r2')}/run.yaml") is not None
    done = joined(repo, removed, line(repo, base, put_run("r3")))
    assert {"r1", "r3"} == {
        path[-11:-9]
        for path in git("ls-tree", "-r", "--name-only", done.tip, cwd=repo.git_dir).split()
        if path.endswith("run.yaml")
    }
    assert {} == Draft(repo, done.tip).list(folder("r2"))


def test_one_key_given_to_two_runs(repo: Repository, start: str) -> None:
    """Ours goes on under another id, with its child and its later edits; theirs is untouched; and it is repeatable."""
    child = put_run("kid-1", parent="exp-1")
    local = line(repo, start, child, put_run("exp-1", user="me"), put_run("exp-1", user="me", tags={"t": "late"}))
    remote = line(repo, start, put_run("exp-1", user="you", params={"p": 1}))
    done = joined(repo, local, remote)
    assert run_text("exp-1", user="you", params={"p": 1}).encode() == Draft(repo, done.tip).read(
        f"{folder('exp-1')}/run.yaml"
    )
    parent = read(repo, done.tip, f"{folder('kid-1')}/run.yaml")["parent"]
    assert re.fullmatch(r"exp-1-[0-9a-f]{4}", parent)
    found = read(repo, done.tip, f"{folder(parent)}/run.yaml")
    assert (parent, "me", {"t": "late"}) == (found["id"], found["user"], found["tags"])
    assert f'Replaced: id: "exp-1" -> "{parent}"' in message(repo, repo.objects.commit(done.tip).parents[0])
    assert done.rewritten == replay(repo, local, remote, synced=None, shelf=NoFolders()).rewritten


@pytest.mark.parametrize("broken", [b"\xff\x00", b"a: [", b"schema: runstone/run/v7\n", b"[]\n", b"id: &x 1\ny: *x\n"])
def test_a_record_that_cannot_be_read_does_not_block(repo: Repository, start: str, broken: bytes) -> None:
    """Ours is taken as a whole, and the message names the blob of theirs. So for metrics and experiments."""
    paths = [f"{folder('r1')}/run.yaml", f"{folder('r1')}/metrics.tsv", "experiments/default/experiment.yaml"]
    points = format_metrics([Metric("loss", 1.0, 1, 1)])
    mine = put_run("r1", tags={"a": "1"}) | {paths[1]: points}
    mine[paths[2]] = "schema: runstone/experiment/v1\nname: Default\ndescription: d\n"
    done = joined(repo, line(repo, start, mine), line(repo, start, dict.fromkeys(paths, broken)))
    assert [mine[path].encode() for path in paths] == [Draft(repo, done.tip).read(path) for path in paths]  # type: ignore[union-attr]  # texts
    assert 3 == message(repo, done.tip).count("Replaced: ")


@pytest.mark.parametrize("mode", ["120000", "40000", "160000", "100755"])
@pytest.mark.parametrize(
    "where", ["experiments", "experiments/default", "run", "run/run.yaml", "run/notes.md", "README.md"]
)
def test_odd_trees_do_not_block(repo: Repository, start: str, mode: str, where: str) -> None:
    """The remote has a link, a folder or a submodule where a file belongs, or a file where a folder does."""
    path = where.replace("run", folder("r1"), 1) if where.startswith("run") else where
    objects = repo.objects
    blob = objects.write("blob", b"odd")
    oid = objects.write_tree({"odd": TreeEntry(FILE, blob)}) if mode == "40000" else start if mode == "160000" else blob
    draft = Draft(repo, start)
    assert draft.put({path: TreeEntry(mode, oid)}, "Odd") is not None
    assert draft.tip is not None
    mine = put_run("r1", tags={"a": "1"}) | {f"{folder('r1')}/notes.md": "n", "README.md": "r"}
    done = joined(repo, line(repo, start, mine, put_run("r2")), draft.tip)
    assert read(repo, done.tip, f"{folder('r2')}/run.yaml")["id"] == "r2"
    assert {"a": "1"} == read(repo, done.tip, f"{folder('r1')}/run.yaml")["tags"]


def test_many_notes_are_cut(repo: Repository, start: str) -> None:
    """A commit's message stays readable: what it leaves out is in the commits before, and it says so."""
    local, remote = (line(repo, start, put_run("r1", tags={f"t{n}": who for n in range(600)})) for who in ("a", "b"))
    lines = message(repo, joined(repo, local, remote).tip).splitlines()
    assert 501 == sum(line.startswith("Replaced: ") for line in lines)
    assert "Replaced: 100 more; the commits before this one have them" in lines


def test_no_common_history(repo: Repository, start: str) -> None:
    """Two clones that each began the branch: one beginning is left, and the runs of both."""
    draft = Draft(repo, None)
    draft.commit(put_run("other"), "Record other")
    assert draft.tip is not None
    done = joined(repo, start, draft.tip)
    log = git("log", "--format=%s", "--first-parent", done.tip, cwd=repo.git_dir).splitlines()
    assert ["Edit 0", "Record other", "Begin the runs of this repository"] == log
    assert 2 == git("ls-tree", "-r", "--name-only", done.tip, cwd=repo.git_dir).count("run.yaml")


@pytest.mark.parametrize("years", [-1, 1])
def test_clocks_do_not_decide(repo: Repository, start: str, git_repo: Path, years: int) -> None:
    """Whether the other clone's clock is a year slow or fast: the same events are unpushed, and the same values win."""
    seconds = int(time.time()) + years * 366 * 86400
    wrong = {f"GIT_{who}_DATE": f"{seconds} +0000" for who in ("AUTHOR", "COMMITTER")}
    theirs = start
    for number in range(12):  # more than git's own walk is patient for
        made = line(repo, theirs, put_run("r1", tags={"a": f"theirs-{number}"}))
        tree = repo.objects.commit(made).tree
        theirs = git("commit-tree", tree, "-p", theirs, "-m", "x", cwd=git_repo, env=wrong)
    local = line(repo, start, put_run("r1", tags={"a": "mine"}))
    assert [local] == unpushed(repo, local, theirs, None)
    done = joined(repo, local, theirs)
    assert {"a": "mine"} == read(repo, done.tip, f"{folder('r1')}/run.yaml")["tags"]
    assert unpushed(repo, line(repo, theirs, put_run("r9")), theirs, None) != []
    assert [] == unpushed(repo, repo.objects.commit(theirs).parents[0], theirs, None)


def test_sha256(tmp_path: Path) -> None:
    """A repository whose objects are named by SHA-256."""
    git("init", "-q", "--object-format=sha256", tmp_path / "r", cwd=tmp_path)
    repo = Repository.open(tmp_path / "r")
    base = line(repo, None, put_run("r1"))
    remote = line(repo, base, put_run("r1", tags={"b": "2"}))
    local = line(repo, base, put_run("r1", tags={"a": "1"}), put_run("r1", tags={"a": "3"}))
    done = joined(repo, local, remote)
    assert {"a": "3", "b": "2"} == read(repo, done.tip, f"{folder('r1')}/run.yaml")["tags"]
    assert done.tip == joined(repo, local, done.tip).tip
    git("update-ref", "refs/heads/runs", done.tip, cwd=tmp_path / "r")
    check_clean(tmp_path / "r")


def test_shallow_clone(git_repo: Path, tmp_path: Path) -> None:
    """Of depth 1, the remote gone on and fetched with depth 1: what was synced is not replayed, the rest is."""
    origin = Repository.open(git_repo)
    base = line(origin, None, put_run("r1", tags={"a": "0"}), put_run("r1", tags={"a": "1"}))
    git("update-ref", "refs/heads/runs", base, cwd=git_repo)
    git("clone", "-q", "--depth", "1", "-b", "runs", f"file://{git_repo}", tmp_path / "clone", cwd=tmp_path)
    clone = Repository.open(tmp_path / "clone")
    assert [] == unpushed(clone, base, None, None)
    pushed = line(clone, base, put_run("r1", tags={"a": "pushed"}))
    git("push", "-q", "origin", f"{pushed}:runs", cwd=tmp_path / "clone")
    local = line(clone, pushed, put_run("mine"))
    later = line(origin, pushed, put_run("r1", tags={"a": "2"}), put_run("r1", tags={"a": "3"}))
    git("update-ref", "refs/heads/runs", later, cwd=git_repo)
    git("fetch", "-q", "--depth", "1", "origin", "runs", cwd=tmp_path / "clone")
    clone = Repository.open(tmp_path / "clone")
    assert [local] == unpushed(clone, local, later, pushed)
    assert [pushed, local] == unpushed(clone, local, later, None)
    done = joined(clone, local, later, pushed)
    assert {"a": "3"} == read(clone, done.tip, f"{folder('r1')}/run.yaml")["tags"]
    assert {local: done.tip} == done.rewritten
    git("push", "-q", "origin", f"{done.tip}:runs", cwd=tmp_path / "clone")
    check_clean(git_repo)


def test_artifacts_of_both_sides_are_one_folder(repo: Repository, start: str, tmp_path: Path) -> None:
    """Path by path; a listing that is not here is named; files whose bytes are elsewhere are counted all the same."""
    store = ArtifactStore(repo)
    path = f"{folder('r1')}/artifacts.dvc"

    def pointer(base: str | None, **files: str) -> str:
        found = [[name, len(text), store.cache.add_bytes(text.encode())] for name, text in files.items()]
        text = store.pointer(base.encode() if base else None, found)
        assert text is not None
        return text

    first = pointer(None, both="old", stays="s")
    base = line(repo, start, {path: first})
    theirs = pointer(first, both="theirs!", there="12345")
    local, remote = line(repo, base, {path: pointer(first, both="mine", here="1")}), line(repo, base, {path: theirs})
    store.cache.path(store.cache.add_bytes(b"12345")).unlink()
    listing = store.cache.path(parse_pointer(theirs, "x").digest)
    hidden = listing.rename(tmp_path / "hidden")
    with pytest.raises(ArtifactMissing) as raised:
        replay(repo, local, remote, synced=None, shelf=store)
    assert parse_pointer(theirs, "x").digest == raised.value.digest
    hidden.rename(listing)
    done = replay(repo, local, remote, synced=None, shelf=store)
    text = Draft(repo, done.tip).read(path)
    assert text is not None
    found = parse_pointer(text, "x")
    assert (4, 4 + 1 + 5 + 1) == (found.nfiles, found.size)
    entries = {entry.path: entry for entry in store.cache.read_dir(found.digest)}
    assert {"both", "stays", "there", "here"} == entries.keys()
    assert b"mine" == store.cache.read_bytes(entries["both"].md5)
    assert "Replaced: artifacts.dvc" in message(repo, done.tip)
    gone = store.pointer(None, [["stays", 1, entries["stays"].md5]])
    assert gone is not None
    merged = store.merge_folders(first.encode(), gone.encode(), first.encode())
    assert gone == merged
    assert isinstance(entries["both"], Descriptor)


fields = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3).map(str), max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mine=st.lists(fields, min_size=1, max_size=4), other=st.lists(fields, min_size=1, max_size=4))
def test_no_edit_is_lost(repo: Repository, start: str, mine: list[Any], other: list[Any]) -> None:
    """However two sides edit one run: each value is in a record of the line, or in the message of a commit."""

    def edits(base: str, states: list[Any], side: str) -> tuple[str, set[tuple[str, str]]]:
        draft, seen, before = Draft(repo, base), set(), {"a": "0"}
        for state in states:
            draft.commit(put_run("r1", tags=state), f"Edit {side}")  # else equal edits of one second are one commit
            seen |= state.items() - before.items()
            before = state
        assert draft.tip is not None
        return draft.tip, seen

    (local, ours), (remote, theirs) = edits(start, mine, "here"), edits(start, other, "there")
    done = joined(repo, local, remote)
    found: set[tuple[str, str]] = set()
    told = ""
    for commit in git("rev-list", "--first-parent", done.tip, f"^{start}", cwd=repo.git_dir).split():
        found |= read(repo, commit, f"{folder('r1')}/run.yaml").get("tags", {}).items()
        told += message(repo, commit)
    assert all(pair in found or f"tags.{pair[0]}: {show(pair[1])} ->" in told for pair in ours | theirs)
    if local != start and done.tip != remote:
        last = read(repo, done.tip, f"{folder('r1')}/run.yaml").get("tags", {})
        changed = {key for key in "abc" if mine[-1].get(key) != {"a": "0"}.get(key)}
        assert all(last.get(key) == mine[-1].get(key) for key in changed)


# --- the ref


def diverge(repo: Repository) -> tuple[str, str, Callable[[str | None], Replayed]]:
    """Two recorded runs of which the remote has only the first, and went on: local tip, remote tip, and the replay."""
    record(repo, "r1", 1.0)
    base = git("rev-parse", "runs", cwd=repo.git_dir)
    remote = line(repo, base, put_run("theirs"))
    record(repo, "r2", 2.0)

    def build(local: str | None) -> Replayed:
        assert local is not None
        return replay(repo, local, remote, synced=None, shelf=NoFolders())

    return git("rev-parse", "runs", cwd=repo.git_dir), remote, build


def recover_elsewhere(path: Path) -> str:
    """What the first command after the machine came back does, in a process of its own; it must not warn."""
    code = (
        "import sys, warnings; warnings.simplefilter('error')\n"
        "from runstone.git.repository import Repository; from runstone.git.runs.commit import recover\n"
        "from tests.git.support import SHELF; print(sorted(recover(Repository.open(sys.argv[1]), SHELF)))"
    )
    return run_python(code, str(path), cwd=SOURCE.parent).stdout.strip()


def check_runs(path: Path) -> None:
    """Both runs are recorded once, and the repository is clean."""
    repo = Repository.open(path)
    assert ([1.0], [2.0]) == (values(recorded(repo, "r1")), values(recorded(repo, "r2")))
    check_clean(path)


def test_the_branch_is_moved(repo: Repository, git_repo: Path) -> None:
    """What waits is recorded first and replayed too; a second time nothing happens."""
    _, remote, build = diverge(repo)
    writer = begin(repo, "r3")
    writer.metric("loss", 3.0, STARTED, 0)
    finish(writer)
    done = move_runs(repo, build, shelf=SHELF)
    assert done.tip == git("rev-parse", "runs", cwd=git_repo)
    assert 2 == len(done.rewritten)
    assert [3.0] == values(recorded(repo, "r3"))
    assert Replayed(done.tip) == move_runs(repo, build, shelf=SHELF)
    check_runs(git_repo)
    record(repo, "r4", 4.0)
    assert remote in git("rev-list", "--first-parent", "runs", cwd=git_repo).split()


def test_a_branch_that_is_not_there_is_made(repo: Repository, git_repo: Path) -> None:
    """A fresh clone takes what the remote has."""
    tip = line(repo, None, put_run("theirs"))
    move_runs(repo, lambda local: Replayed(tip) if local is None else Replayed(local), shelf=SHELF)
    assert tip == git("rev-parse", "runs", cwd=git_repo)


def test_a_faster_process_is_waited_for(repo: Repository, git_repo: Path) -> None:
    """A run recorded while the replay was made is replayed by the next attempt; without attempts left it is told."""
    _, _, build = diverge(repo)
    rival = Repository.open(git_repo)
    calls = []

    def slowly(local: str | None) -> Replayed:
        calls.append(local)
        done = build(local)
        if len(calls) < 3:
            update_runs(rival, lambda draft: draft.commit(put_run(f"rival-{len(calls)}"), "Rival"))
        return done

    done = move_runs(repo, slowly, shelf=SHELF)
    assert (3, 3) == (len(set(calls)), len(done.rewritten))
    names = git("ls-tree", "-r", "--name-only", "runs", cwd=git_repo)
    assert all(f"/{name}/run.yaml" in names for name in ("r1", "r2", "theirs", "rival-1", "rival-2"))
    check_runs(git_repo)


def test_a_lost_race_leaves_the_branch_alone(repo: Repository, git_repo: Path) -> None:
    """Where no attempt is left it is told, and the branch is what the faster process made it."""
    _, _, build = diverge(repo)
    rival = Repository.open(git_repo)

    def slowly(local: str | None) -> Replayed:
        done = build(local)
        update_runs(rival, lambda draft: draft.commit(put_run("rival"), "Rival"))
        return done

    with pytest.raises(RefMoved):
        move_runs(repo, slowly, shelf=SHELF, attempts=1)
    assert "Rival" == git("show", "-s", "--format=%s", "runs", cwd=git_repo)
    leave_another_boot(repo)
    assert "[]" == recover_elsewhere(git_repo)
    assert "Rival" == git("show", "-s", "--format=%s", "runs", cwd=git_repo)
    check_runs(git_repo)


def test_a_journal_that_was_recorded_is_not_recorded_again(repo: Repository, git_repo: Path) -> None:
    """Its process died between the move of the ref and the removal; then the commit it names was rewritten."""
    record(repo, "r1", 1.0)
    base = git("rev-parse", "runs", cwd=git_repo)
    remote = line(repo, base, put_run("theirs"))
    writer = begin(repo, "r2")
    writer.metric("loss", 2.0, STARTED, 0)
    ended = finish(writer)
    text = ended.read_bytes()
    drain(repo, SHELF)
    tip = git("rev-parse", "runs", cwd=git_repo)
    put_back: list[int] = []

    def build(local: str | None) -> Replayed:
        if not put_back:  # after what waits was recorded: as if its process had not come to remove it yet
            put_back.append(ended.write_bytes(text))
            journal.append_line(ended, journal.COMMITTED, {"commit": tip})
        assert local is not None
        return replay(repo, local, remote, synced=None, shelf=NoFolders())

    done = move_runs(repo, build, shelf=SHELF)
    assert ended.exists()
    drain(repo, SHELF)
    assert done.tip == git("rev-parse", "runs", cwd=git_repo)
    assert not ended.exists()
    check_runs(git_repo)


def test_writers_and_rewrites_at_once_without_a_lock(repo: Repository, git_repo: Path, tmp_path: Path) -> None:
    """Each process with a lock of its own, which is none: every run is recorded once, on one line."""
    remote = line(repo, None, put_run("begun"))
    git("update-ref", "refs/heads/runs", remote, cwd=git_repo)
    code = (
        "import sys; from runstone.git.repository import Repository; from tests.git.support import record\n"
        "repo = Repository.open(sys.argv[1])\n"
        "for n in range(8): record(repo, f'{sys.argv[2]}-{n}', float(n))"
    )
    writers = []
    for name in ("w0", "w1", "w2"):
        cache = {"RUNSTONE_CACHE_DIR": str(tmp_path / name), "PYTHONPATH": f"{SOURCE}{os.pathsep}{SOURCE.parent}"}
        command = [sys.executable, "-c", code, str(git_repo), name]
        writers.append(subprocess.Popen(command, cwd=SOURCE.parent, env=os.environ | cache))

    def build(local: str | None) -> Replayed:
        assert local is not None
        return replay(repo, local, remote, synced=None, shelf=NoFolders())

    moves = rounds = 0
    while any(writer.poll() is None for writer in writers):
        rounds += 1
        remote = line(repo, remote, put_run(f"theirs-{rounds}"))  # it goes on, and what is local is never pushed
        moves += len(move_runs(repo, build, shelf=SHELF).rewritten) > 0
    assert [0, 0, 0] == [writer.wait() for writer in writers]
    drain(repo, SHELF)
    assert moves > 0
    subjects = git("log", "--first-parent", "--format=%s", "runs", cwd=git_repo).splitlines()
    assert sorted(f"Record run w{w}-{n}: FINISHED" for w in range(3) for n in range(8)) == sorted(
        subject for subject in subjects if subject.startswith("Record")
    )
    for name in ("w0", "w1", "w2"):
        assert [[float(n)] for n in range(8)] == [values(recorded(repo, f"{name}-{n}")) for n in range(8)]
    check_clean(git_repo)


STATES: dict[str, Callable[[Path, str, str], object]] = {
    "all": lambda ref, old, new: None,
    "ref as it was": lambda ref, old, new: ref.write_text(f"{old}\n"),
    "ref torn": lambda ref, old, new: ref.write_bytes(b"\0" * 41),
    "ref empty": lambda ref, old, new: ref.write_bytes(b""),
    "ref gone": lambda ref, old, new: ref.unlink(),
}


@pytest.mark.parametrize("goes_on", [False, True], ids=["last", "goes-on"])
@pytest.mark.parametrize("state", STATES)
def test_power_loss_after_a_rewrite(repo: Repository, git_repo: Path, state: str, goes_on: bool) -> None:
    """Whatever became of the ref and of all objects: the branch is the rewritten one, and what was put on it."""
    old, _, build = diverge(repo)
    move_runs(repo, build, shelf=SHELF)
    if goes_on:
        record(repo, "r3", 3.0)
    tip = git("rev-parse", "runs", cwd=git_repo)
    objects = {oid for path in list_logs(repo.object_log.folder) for oid in _objects(path)}
    leave_another_boot(repo)
    for oid in objects:
        repo.objects.path(oid).chmod(0o644)
        repo.objects.path(oid).write_bytes(b"")
    STATES[state](git_repo / ".git/refs/heads/runs", old, tip)
    assert "[]" == recover_elsewhere(git_repo)
    assert tip == git("rev-parse", "runs", cwd=git_repo)
    assert [] == list_logs(repo.object_log.folder)
    check_runs(git_repo)


def _objects(path: Path) -> set[str]:
    from runstone.git.objectlog import read_log

    logged = read_log(path)
    assert logged is not None
    return set(logged.objects)


def test_power_loss_before_the_move(repo: Repository, git_repo: Path) -> None:
    """The old logs are marked, the new one is torn or not there: the branch stays as it was, whole."""
    old, _, build = diverge(repo)
    done = build(old)
    kept.supersede(repo, done.rewritten.keys())
    assert [True] == [".unmoved" in path.name for path in list_logs(repo.object_log.folder) if old in _objects(path)]
    *_, last = leave_another_boot(repo)
    last.with_name(last.name.replace("~0", "~9")).write_bytes(b'{"moves": [["refs/heads/r')
    assert "[]" == recover_elsewhere(git_repo)
    assert old == git("rev-parse", "runs", cwd=git_repo)
    check_runs(git_repo)


def test_a_move_under_way_keeps_its_log(repo: Repository, git_repo: Path) -> None:
    """Only logs of what is replaced are marked: another process may be about to move the branch on."""
    old, _, build = diverge(repo)
    update_runs(repo, lambda draft: draft.commit(put_run("rival"), "Rival"))
    tip = git("rev-parse", "runs", cwd=git_repo)
    kept.supersede(repo, build(old).rewritten.keys())
    leave_another_boot(repo)
    (git_repo / ".git/refs/heads/runs").write_text(f"{old}\n")
    assert "[]" == recover_elsewhere(git_repo)
    assert tip == git("rev-parse", "runs", cwd=git_repo)


def test_many_events(tmp_path: Path) -> None:
    """200 events on a tip with 300 runs: all arrive; the time is printed."""
    repo = Repository.open(make_repository(tmp_path / "r"))
    base = line(repo, None, put_run("r1"))
    local = line(repo, base, *(put_run(f"mine-{n}") for n in range(200)))
    remote = line(repo, base, *(put_run(f"theirs-{n}") for n in range(300)))
    began, spent = time.perf_counter(), time.process_time()
    done = replay(repo, local, remote, synced=None, shelf=NoFolders())
    print(f"200 events: {time.perf_counter() - began:.2f} s, {time.process_time() - spent:.2f} s CPU")
    assert 200 == len(set(done.rewritten.values()))
    assert 501 == git("ls-tree", "-r", "--name-only", done.tip, cwd=tmp_path / "r").count("run.yaml")
