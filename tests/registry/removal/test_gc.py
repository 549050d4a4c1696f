"""Removing deleted runs for good: what goes, what stays because something needs it, and that it can be cut short."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runstone.artifacts.cache import Cache
from runstone.client import Client
from runstone.errors import RecordInvalid, RefBroken, RunIsLive, RunNotDeleted, RunNotFound, UnseenRefs
from runstone.git.objects import FILE, TreeEntry
from runstone.git.runs.branch import read_runs, update_runs
from runstone.registry.removal.gc import Plan, collect, plan
from runstone.registry.removal.removable import Wanted
from runstone.registry.resolve import resolve
from runstone.registry.version import ModelVersion, register_version
from runstone.tracking import edit
from runstone.tracking import experiment as experiments
from runstone.tracking.once import Logged, record_run
from runstone.tracking.push import push_runs
from runstone.tracking.read import read_artifacts
from runstone.tracking.run import start_run
from runstone.tracking.setup import begin
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.git.support import check_clean
from tests.registry.support import log_model
from tests.support import git, run_python, watched_git

DAYS_AGO = 40


def record(workspace: Workspace, tmp_path: Path, text: str, **about: str) -> str:
    """A run with one artifact of this text, and one that all such runs share."""
    folder = tmp_path / f"of {text}"
    folder.mkdir(exist_ok=True)
    (folder / "own.txt").write_text(text)
    (folder / "shared.txt").write_text("shared by all")
    return record_run(workspace, Logged(params={"text": text}, artifacts=[(folder, "")]), **about)


def collected(workspace: Workspace, wanted: Wanted | None = None) -> Plan:
    """Plan and carry out at once."""
    wanted = wanted or Wanted(older_than_s=0)
    return collect(workspace, plan(workspace, wanted), wanted)


def bytes_of(workspace: Workspace, run_id: str) -> list[bytes]:
    """All artifacts of a run, verified."""
    return [workspace.artifacts.cache.read_bytes(entry.md5) for entry in read_artifacts(workspace, run_id)]


def cached(workspace: Workspace) -> set[str]:
    """The digests in the cache."""
    root = workspace.artifacts.cache.root / "files" / "md5"
    return {path.parent.name + path.name for path in root.glob("??/*")}


def age(workspace: Workspace) -> None:
    """Make every object of the cache look two days old."""
    for path in (workspace.artifacts.cache.root / "files" / "md5").glob("??/*"):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 2 * 86400))


def test_a_deleted_run_and_its_own_bytes_go(workspace: Workspace, tmp_path: Path) -> None:
    """Its record leaves the tip in one commit, history keeps it; what another run shares with it stays."""
    kept, gone = record(workspace, tmp_path, "kept"), record(workspace, tmp_path, "gone")
    folder = read_runs(workspace.repo).find_run_folder(gone)
    before = cached(workspace)
    edit.delete_run(workspace, gone, "wrong data")
    tip = git("rev-parse", "runs", cwd=workspace.repo.common_dir)
    planned = plan(workspace, Wanted(older_than_s=0))
    assert (tip, before) == (git("rev-parse", "runs", cwd=workspace.repo.common_dir), cached(workspace))
    done = collect(workspace, planned, Wanted(older_than_s=0))
    assert ([gone], planned.objects) == ([run.run_id for run in done.runs], done.objects)
    assert before - set(planned.objects or {}) == cached(workspace)
    assert 2 == len(planned.objects or {})  # the listing, and the file of its own
    assert [b"kept", b"shared by all"] == bytes_of(workspace, kept)
    with pytest.raises(RunNotFound):
        Client.of(workspace).get_run(gone)
    message = git("log", "-1", "--format=%B%P", "runs", cwd=workspace.repo.common_dir)
    assert f"Remove 1 deleted run\n\nRun: {gone}\n{tip}" == message
    assert "wrong data" in git("show", f"runs~1:{folder}/run.yaml", cwd=workspace.repo.common_dir)
    assert plan(workspace, Wanted(older_than_s=0)).is_empty
    check_clean(workspace.repo.common_dir)


def test_only_what_was_deleted_long_ago_goes(workspace: Workspace, tmp_path: Path) -> None:
    """After 30 days, or as asked; a run that is named goes at once."""
    run_id = record(workspace, tmp_path, "one")
    edit.delete_run(workspace, run_id)
    young = plan(workspace, Wanted())
    assert ((), ("1 deleted run not due yet; sooner: `runstone gc --older-than 1d`",)) == (young.runs, young.notes)
    assert () == plan(workspace, Wanted((run_id,), older_than_s=3600)).runs
    assert [run_id] == [run.run_id for run in plan(workspace, Wanted((run_id,))).runs]
    edit.restore_run(workspace, run_id)
    edit._edit(
        workspace,
        run_id,
        lambda run: replace(run, lifecycle="deleted", deleted={"at": "2026-01-01T00:00:00.000Z"}),
        "changed",
        "Delete",
    )
    assert [run_id] == [run.run_id for run in plan(workspace, Wanted()).runs]


def test_what_is_not_deleted_or_not_there_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """By its class; nothing changes."""
    run_id = record(workspace, tmp_path, "one")
    with pytest.raises(RunNotDeleted, match=f"Run {run_id} is not deleted"):
        plan(workspace, Wanted((run_id,)))
    with pytest.raises(RunNotFound):
        plan(workspace, Wanted(("unknown",)))
    edit.delete_run(workspace, run_id)
    joined = Client.of(workspace)
    with joined.handle(run_id) as active:
        active.log_metric("late", 1)
        with pytest.raises(RunIsLive):
            plan(workspace, Wanted((run_id,)))


def test_a_registered_version_keeps_its_run_and_its_bytes(
    workspace: Workspace, version: ModelVersion, tmp_path: Path
) -> None:
    """Also a retired one; and after the record was removed by other means, the version's bytes stay."""
    edit.delete_run(workspace, version.run_id)
    before = cached(workspace)
    held = plan(workspace, Wanted(older_than_s=0))
    assert ((), [(version.run_id, "registered as churn@v1")]) == (
        held.runs,
        [(each.run_id, each.why) for each in held.staying],
    )
    repo = workspace.repo
    tag = git("rev-parse", "churn@v1^{}", cwd=repo.common_dir)
    git("tag", "-a", "-m", "Retired", "churn@v1!", tag, cwd=repo.common_dir)
    assert () == collected(workspace).runs
    folder = read_runs(repo).find_run_folder(version.run_id)
    tree = git("rev-parse", "runs^{tree}", cwd=repo.common_dir)
    index = {"GIT_INDEX_FILE": str(tmp_path / "index")}
    git("read-tree", tree, cwd=repo.common_dir, env=index)
    git("rm", "-r", "-q", "--cached", str(folder), cwd=repo.work_tree or repo.common_dir, env=index)
    made = git(
        "commit-tree",
        "-p",
        "runs",
        "-m",
        "Take it away",
        git("write-tree", cwd=repo.common_dir, env=index),
        cwd=repo.common_dir,
    )
    git("update-ref", "refs/heads/runs", made, cwd=repo.common_dir)
    age(workspace)
    collected(workspace)
    assert before == cached(workspace)


def test_parents_and_repeated_runs_stay_with_what_names_them(workspace: Workspace, tmp_path: Path) -> None:
    """The parent of a run that stays stays; with the child both go."""
    parent = record(workspace, tmp_path, "parent")
    child = record(workspace, tmp_path, "child", parent=parent)
    edit.delete_run(workspace, parent)
    held = plan(workspace, Wanted(older_than_s=0))
    assert [(parent, f"the parent of {child}")] == [(each.run_id, each.why) for each in held.staying]
    edit.delete_run(workspace, child)
    assert {parent, child} == {run.run_id for run in collected(workspace).runs}


def test_a_deleted_experiment_goes_with_all_its_runs(workspace: Workspace, tmp_path: Path) -> None:
    """If it is named, and still deleted when it is done."""
    inside, other = record(workspace, tmp_path, "inside", experiment="old"), record(workspace, tmp_path, "other")
    experiments.delete_experiment(workspace.repo, "old")
    assert plan(workspace, Wanted(older_than_s=0)).is_empty
    wanted = Wanted(experiment=experiments.get_experiment(workspace.repo, "old"))
    planned = plan(workspace, wanted)
    experiments.restore_experiment(workspace.repo, "old")
    assert () == collect(workspace, planned, wanted).runs
    assert [b"inside", b"shared by all"] == bytes_of(workspace, inside)
    experiments.delete_experiment(workspace.repo, "old")
    done = collected(workspace, wanted)
    assert ([inside], ("old",)) == ([run.run_id for run in done.runs], done.experiments)
    assert ["default-808d"] == list(read_runs(workspace.repo).list("experiments"))
    assert [b"other", b"shared by all"] == bytes_of(workspace, other)


def test_a_run_restored_in_the_meantime_stays(workspace: Workspace, tmp_path: Path) -> None:
    """Between the plan and its execution."""
    run_id = record(workspace, tmp_path, "one")
    edit.delete_run(workspace, run_id)
    planned = plan(workspace, Wanted(older_than_s=0))
    edit.restore_run(workspace, run_id)
    done = collect(workspace, planned, Wanted(older_than_s=0))
    assert ((), {}) == (done.runs, done.objects)
    assert [b"one", b"shared by all"] == bytes_of(workspace, run_id)


def test_what_a_live_run_has_logged_stays(workspace: Workspace, tmp_path: Path) -> None:
    """The same bytes as a deleted run's, found in the cache and so not written again, named by a journal alone."""
    gone = record(workspace, tmp_path, "one")
    edit.delete_run(workspace, gone)
    live = start_run(workspace, experiments.ensure_experiment(workspace.repo, "trees"))
    live.log_artifact(tmp_path / "of one")
    age(workspace)
    assert [gone] == [run.run_id for run in collected(workspace).runs]
    live.end()
    assert [b"one", b"shared by all"] == bytes_of(workspace, live.id)


def test_what_is_added_again_between_plan_and_removal_stays(workspace: Workspace, tmp_path: Path) -> None:
    """A run begins after the plan, and logs bytes that the plan removes."""
    gone = record(workspace, tmp_path, "one")
    edit.delete_run(workspace, gone)
    planned = plan(workspace, Wanted(older_than_s=0))
    again = record(workspace, tmp_path, "one")
    assert 3 == len(planned.objects or {})
    collect(workspace, planned, Wanted(older_than_s=0))
    assert [b"one", b"shared by all"] == bytes_of(workspace, again)


def test_the_embedded_cache_loses_what_nobody_names_for_a_day(workspace: Workspace, tmp_path: Path) -> None:
    """As a killed process leaves it; what is young stays, and so does what a run has."""
    run_id = record(workspace, tmp_path, "one")
    orphan = workspace.artifacts.cache.add_bytes(b"nobody's")
    assert plan(workspace, Wanted()).is_empty
    age(workspace)
    assert {orphan: 8} == collected(workspace).objects
    assert [b"one", b"shared by all"] == bytes_of(workspace, run_id)


def dvc(*arguments: str, cwd: Path) -> None:
    """The real `dvc`, with its own memory of the cache wiped."""
    shutil.rmtree(cwd / ".dvc" / "tmp", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.fixture
def own_dvc(git_repo: Path) -> Workspace:
    """A repository with a DVC of its own, made as `dvc init` makes it."""
    (git_repo / ".dvc").mkdir()
    (git_repo / ".dvc" / "config").write_text("")
    (git_repo / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    git("add", ".dvc", cwd=git_repo)
    git("commit", "-q", "-m", "Set up DVC", cwd=git_repo)
    return Workspace.open(git_repo)


def pointer(repo: Path, cache: Cache, name: str, data: bytes) -> None:
    """A file that DVC tracks, and its bytes in the cache."""
    digest = cache.add_bytes(data)
    (repo / name).write_text(f"outs:\n- md5: {digest}\n  size: {len(data)}\n  hash: md5\n  path: {name[:-4]}\n")


def test_nothing_that_is_not_ours_leaves_a_cache_of_dvc(own_dvc: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """Not what nobody names; not what a DVC file of another branch, of the past, of a stash, of a tag, of the index, of
    this or of a linked work tree names, though a deleted run has the same bytes. What only the run had goes.
    """
    cache = own_dvc.artifacts.cache
    texts = ["branch", "past", "stash", "tag", "index", "here", "linked", "only"]
    (tmp_path / "all").mkdir()
    for text in texts:
        (tmp_path / "all" / text).write_text(f"bytes of {text}")
    gone = record_run(own_dvc, Logged(artifacts=[(tmp_path / "all", "")]))
    orphan = cache.add_bytes(b"somebody's")

    def commit(name: str, text: str) -> None:
        pointer(git_repo, cache, name, f"bytes of {text}".encode())
        git("add", name, cwd=git_repo)
        git("commit", "-q", "-m", text, cwd=git_repo)

    commit("past.dvc", "past")
    git("rm", "-q", "past.dvc", cwd=git_repo)
    git("commit", "-q", "-m", "Drop it", cwd=git_repo)
    git("checkout", "-q", "-b", "other", cwd=git_repo)
    commit("branch.dvc", "branch")
    git("checkout", "-q", "--detach", "main", cwd=git_repo)
    commit("tag.dvc", "tag")
    git("tag", "keep", cwd=git_repo)
    git("checkout", "-q", "main", cwd=git_repo)
    pointer(git_repo, cache, "stash.dvc", b"bytes of stash")
    git("add", "stash.dvc", cwd=git_repo)
    git("stash", "-q", cwd=git_repo)
    (git_repo / "train.py").write_text("print('later')\n")
    git("stash", "-q", cwd=git_repo)  # the first one is only in the reflog of the stash now
    pointer(git_repo, cache, "index.dvc", b"bytes of index")
    git("add", "index.dvc", cwd=git_repo)
    (git_repo / "index.dvc").unlink()
    pointer(git_repo, cache, "here.dvc", b"bytes of here")
    git("worktree", "add", "-q", "--detach", tmp_path / "linked", cwd=git_repo)
    pointer(tmp_path / "linked", cache, "linked.dvc", b"bytes of linked")
    age(own_dvc)
    edit.delete_run(own_dvc, gone)
    before = cached(own_dvc)
    done = collected(own_dvc)
    left = {data for digest in cached(own_dvc) - {orphan} for data in [cache.read_bytes(digest).decode()]}
    assert {f"bytes of {text}" for text in texts if text != "only"} == left
    assert ({gone}, True) == ({run.run_id for run in done.runs}, orphan in cached(own_dvc))
    assert 2 == len(before - cached(own_dvc))  # the listing, and what only the run had


def test_plain_dvc_gets_what_stays(own_dvc: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """After a collection real DVC checks out its own file and a run's folder from the cache."""
    kept, gone = record(own_dvc, tmp_path, "kept"), record(own_dvc, tmp_path, "gone")
    pointer(git_repo, own_dvc.artifacts.cache, "data.txt.dvc", b"gone")
    edit.delete_run(own_dvc, gone)
    collected(own_dvc)
    folder = str(read_runs(own_dvc.repo).find_run_folder(kept))
    (git_repo / "artifacts.dvc").write_text(git("show", f"runs:{folder}/artifacts.dvc", cwd=git_repo) + "\n")
    dvc("checkout", cwd=git_repo)
    assert ("gone", "kept") == (
        (git_repo / "data.txt").read_text(),
        (git_repo / "artifacts/of kept/own.txt").read_text(),
    )


def test_a_cache_outside_the_repository_is_left_alone(git_repo: Path, tmp_path: Path) -> None:
    """Other projects may use it; unless it is said that none does."""
    (git_repo / ".dvc").mkdir()
    (git_repo / ".dvc" / "config").write_text(f"[cache]\n    dir = {tmp_path / 'big disk'}\n")
    workspace = Workspace.open(git_repo)
    gone = record(workspace, tmp_path, "gone")
    edit.delete_run(workspace, gone)
    planned = plan(workspace, Wanted(older_than_s=0))
    assert ({}, 1, True) == (planned.objects, len(planned.runs), "--shared-cache" in planned.notes[0])
    collect(workspace, planned, Wanted(older_than_s=0))
    assert 3 == len(cached(workspace))
    assert 3 == len(collected(workspace, Wanted(shared_cache=True)).objects or {})


def test_a_removal_that_was_cut_short_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    """The records are gone and the bytes are not: the next collection knows them from the history of the branch."""
    gone = record(workspace, tmp_path, "gone")
    edit.delete_run(workspace, gone)
    wanted = Wanted(older_than_s=0)
    collect(workspace, replace(plan(workspace, wanted), objects={}), wanted)  # as if killed after the ref had moved
    assert 3 == len(cached(workspace))
    listing = next(digest for digest in cached(workspace) if digest.endswith(".dir"))
    first = min(cached(workspace) - {listing})
    (workspace.artifacts.cache.path(first)).unlink()  # and this one had gone already
    assert 2 == len(collected(workspace).objects or {})
    assert set() == cached(workspace)


KILLED = """
import os, sys, threading
from runstone.registry.removal.gc import collect, plan
from runstone.registry.removal.removable import Wanted
from runstone.tracking.workspace import Workspace
workspace = Workspace.open(sys.argv[1])
wanted = Wanted(older_than_s=0)
planned = plan(workspace, wanted)
threading.Timer(float(sys.argv[2]), lambda: os._exit(9)).start()
collect(workspace, planned, wanted)
"""


@pytest.mark.parametrize("delay", ["0.01", "0.04", "0.08"])
def test_killed_at_any_moment(workspace: Workspace, tmp_path: Path, delay: str) -> None:
    """A real process ended without warning: the runs that stay have all their bytes, and the next one completes."""
    kept = [record(workspace, tmp_path, f"kept {number}") for number in range(3)]
    gone = [record(workspace, tmp_path, f"gone {number}") for number in range(10)]
    for run_id in gone:
        edit.delete_run(workspace, run_id)
    run_python(KILLED, str(workspace.repo.work_tree), delay, cwd=tmp_path, check=False)
    collected(workspace)
    assert set(kept) == {run.id for run in Client.of(workspace).search_runs(run_view_type=3)}
    for number, run_id in enumerate(kept):
        assert [f"kept {number}".encode(), b"shared by all"] == bytes_of(workspace, run_id)
    assert 3 + 3 + 1 == len(cached(workspace))
    check_clean(workspace.repo.common_dir)


# --- remotes


@pytest.fixture
def shared(workspace: Workspace, git_repo: Path, bare_remote: Path, tmp_path: Path) -> Workspace:
    """A repository with a git remote that has its main branch, and a DVC remote in a folder."""
    git("remote", "add", "origin", bare_remote, cwd=git_repo)
    begin(git_repo, {}, str(tmp_path / "storage"))
    git("push", "-q", "origin", "main", cwd=git_repo)
    return workspace


def stored(tmp_path: Path) -> set[str]:
    """The digests on the DVC remote."""
    return {path.parent.name + path.name for path in (tmp_path / "storage" / "files" / "md5").glob("??/*")}


def remote_name(workspace: Workspace) -> str:
    """The name of the only DVC remote."""
    return workspace.artifacts.need_remote().name


def test_the_remote_loses_bytes_once_everybody_knows(shared: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """Not while the git remote still names them; then exactly those that no run needs; and again is nothing.

    That a model was registered since, on a commit that still has the run, keeps that model alone.
    """
    kept, gone = record(shared, tmp_path, "kept"), record(shared, tmp_path, "gone")
    model = log_model(shared, "model-run")
    register_version(shared, "churn", model)
    before = stored(tmp_path)
    edit.delete_run(shared, gone)
    wanted = Wanted(older_than_s=0, remote=remote_name(shared))
    done = collected(shared, wanted)
    assert (1, (), before) == (len(done.runs), done.remote_objects, stored(tmp_path))
    sync(shared)
    done = collected(shared, wanted)
    assert 2 == len(done.remote_objects)
    assert before - set(done.remote_objects) == stored(tmp_path)
    assert plan(shared, wanted).is_empty
    for path in (shared.artifacts.cache.root / "files" / "md5").glob("??/*"):
        path.unlink()
    assert [b"kept", b"shared by all"] == [shared.artifacts.read(entry) for entry in read_artifacts(shared, kept)]
    assert 2 == len(resolve(shared, "models:/churn/1").entries)


def test_the_remote_is_left_alone_while_there_is_something_unseen(
    shared: Workspace, git_repo: Path, bare_remote: Path, tmp_path: Path
) -> None:
    """A colleague has pushed runs that are not here: they may need the same bytes."""
    gone = record(shared, tmp_path, "gone")
    push_runs(shared, [gone])
    git("push", "-q", "origin", "runs", cwd=git_repo)
    git("clone", "-q", bare_remote, tmp_path / "colleague", cwd=tmp_path)
    colleague = Workspace.open(tmp_path / "colleague")
    theirs = record(colleague, tmp_path, "gone")
    git("push", "-q", "origin", "runs", cwd=tmp_path / "colleague")
    edit.delete_run(shared, gone)
    wanted = Wanted((gone,), remote=remote_name(shared))
    with pytest.raises(UnseenRefs, match="has refs/heads/runs, which this repository has not seen"):
        plan(shared, wanted)
    before = stored(tmp_path)
    git("fetch", "-q", "origin", cwd=git_repo)
    assert () == collected(shared, wanted).remote_objects
    assert before == stored(tmp_path)
    assert [b"gone", b"shared by all"] == [colleague.artifacts.read(each) for each in read_artifacts(colleague, theirs)]


def test_what_another_branch_still_has_stays(workspace: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """The remote-tracking branch has the run undeleted: that it is deleted has not been shared yet."""
    run_id = record(workspace, tmp_path, "one")
    git("update-ref", "refs/remotes/origin/runs", "runs", cwd=git_repo)
    edit.delete_run(workspace, run_id)
    planned = plan(workspace, Wanted(older_than_s=0))
    assert ({}, 1) == (planned.objects, len(planned.runs))
    assert planned.notes[0].startswith(f"The artifacts of 1 run stay, as of {run_id}: another branch has them")
    git("update-ref", "refs/remotes/origin/runs", "runs", cwd=git_repo)
    assert 3 == len(collected(workspace).objects or {})


def test_a_broken_ref_stops_everything(workspace: Workspace, git_repo: Path, tmp_path: Path) -> None:
    """Nobody knows what it needed, so nothing goes."""
    gone = record(workspace, tmp_path, "gone")
    edit.delete_run(workspace, gone)
    (git_repo / ".git" / "refs" / "heads" / "data").write_text("")
    with pytest.raises(RefBroken, match="`refs/heads/data` holds no object's id"):
        plan(workspace, Wanted(older_than_s=0))


def test_many_versions_cost_few_processes(workspace: Workspace, model: RunUri, tmp_path: Path) -> None:
    """Sixty commits and thirty tags on them are read by a few processes, not by some for each."""
    for _ in range(30):
        register_version(workspace, "churn", RunUri(model.run_id, model.path))
        record_run(workspace, Logged())
    with watched_git(tmp_path / "trace") as commands:
        assert plan(workspace, Wanted(older_than_s=0)).is_empty
    assert 15 > len(commands), commands


def test_a_record_that_somebody_broke_does_not_bar_the_rest(git_repo: Path, tmp_path: Path) -> None:
    """One that is a submodule, one that says it is deleted but cannot be read: what is deleted is removed all the same.

    Of what cannot be read nothing is removed.
    """
    workspace = Workspace.open(git_repo)
    gone = record(workspace, tmp_path, "gone")
    edit.delete_run(workspace, gone)
    objects, folder = workspace.repo.objects, "experiments/default/2026-01-01"
    bad = TreeEntry(FILE, objects.write("blob", b"lifecycle: deleted\nx: ["))
    update_runs(
        workspace.repo,
        lambda draft: draft.put(
            {f"{folder}/aa/bad-aa/run.yaml": bad, f"{folder}/bb/bad-bb/run.yaml": TreeEntry("160000", "1" * 40)},
            "Break",
        ),
    )
    assert [gone] == [run.run_id for run in collected(workspace).runs]
    with pytest.raises(RecordInvalid):
        plan(workspace, Wanted(run_ids=["bad-aa"]))
