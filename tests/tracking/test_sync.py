"""Runs are shared: bytes first, then the branch, then git tags; nothing is lost, doubled or overwritten."""

import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runstone.artifacts.descriptor import Descriptor
from runstone.client import Client
from runstone.errors import (
    ArtifactsNotShared,
    NothingToSyncWith,
    PushRefused,
    RemoteFailed,
    RemoteUnreachable,
    UsageError,
)
from runstone.records.model import ModelReference
from runstone.registry.removal.gc import collect, plan
from runstone.registry.removal.removable import Wanted
from runstone.registry.version import register_version
from runstone.tracking import edit, shared
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.mend import mend
from runstone.tracking.once import Logged, record_run
from runstone.tracking.push import pull_runs, push_runs
from runstone.tracking.run import join_run
from runstone.tracking.setup import begin, set_local_remote
from runstone.tracking.sync import Synced, sync
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.git.support import check_clean
from tests.registry.support import log_model
from tests.sharing import (
    Team,
    number_here,
    record,
    recorded_ids,
    register,
    runs_of,
    subjects,
)
from tests.support import git, run_python


def share(repo: Path, **options: Any) -> Synced:
    """Sync a repository."""
    return sync(Workspace.open(repo), **options)


def ref(repo: Path, name: str) -> str:
    """What a ref of a repository names; empty if there is none."""
    return git("rev-parse", "--verify", "--quiet", name, cwd=repo, check=False)


@pytest.mark.dvc
def test_runs_go_there_with_their_bytes_and_back_without(team: Team) -> None:
    """One clone sends records and bytes, the other gets the records; a second sync moves nothing, on either side."""
    ann, bob = team.folder / "ann", team.clone("bob")
    record(ann, "one", text="1")
    record(ann, "two")
    sent = share(ann)
    assert ("origin", ["one", "two"], 2, 1) == (sent.remote, sent.runs_sent, sent.objects, sent.attempts)
    assert Synced("origin") == share(ann)
    team.check()
    came = share(bob)
    assert (["one", "two"], []) == (came.runs_received, came.runs_sent)
    assert ref(ann, "runs") == ref(bob, "runs") == team.tip()
    assert {"one", "two"} == {run.id for run in Client(bob).search_runs()}
    assert not (bob / ".git" / "runstone" / "cache").exists(), "bytes come when they are used"
    assert "1" == Path(Client(bob).download_artifacts("one", "a.txt")).read_text()
    assert Synced("origin") == share(bob)


def test_two_clones_that_began_alone_are_joined(plain_team: Team) -> None:
    """Each has begun a branch of its own: the later one goes on top of the other, commit by commit, in one line."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    record(ann, "one")
    record(bob, "two")
    record(bob, "three")
    share(ann)
    done = share(bob)
    assert (["three", "two"], ["one"]) == (done.runs_sent, done.runs_received)
    assert ["three", "two"] == share(ann, send=False).runs_received
    assert ["one", "three", "two"] == plain_team.runs() == runs_of(ann) == recorded_ids(ann)
    assert 1 == sum(subject.startswith("Begin") for subject in subjects(plain_team.remote))
    plain_team.check()


def test_pull_brings_and_sends_nothing(plain_team: Team) -> None:
    """What is here stays here, on top of what came; `push` later sends it."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    record(ann, "one")
    share(ann)
    record(bob, "two")
    done = share(bob, send=False)
    assert (["one"], []) == (done.runs_received, done.runs_sent)
    assert (["one"], ["one", "two"]) == (plain_team.runs(), runs_of(bob))
    assert ["two"] == share(bob, receive=False).runs_sent
    plain_team.check()


def test_a_clone_that_has_only_looked_gets_its_branch(plain_team: Team) -> None:
    """Where only `origin/runs` is there, a sync makes the branch, and tells nothing of what was seen already."""
    record(plain_team.folder / "ann", "one")
    share(plain_team.folder / "ann")
    bob = plain_team.clone("bob")
    assert {"one"} == {run.id for run in Client(bob).search_runs()}
    assert Synced("origin") == share(bob)
    assert plain_team.tip() == ref(bob, "refs/heads/runs")


def test_experiments_alone_are_changes(plain_team: Team) -> None:
    """An experiment that was made without a run is sent, and counted as a change."""
    ann = plain_team.folder / "ann"
    Client(ann).create_experiment("churn")
    done = share(ann)
    assert ([], 2) == (done.runs_sent, done.changes_sent)
    assert "experiments/churn/experiment.yaml" in git("ls-tree", "-r", "--name-only", "runs", cwd=plain_team.remote)


# --- edits on both sides


def test_two_clones_edit_one_run(plain_team: Team) -> None:
    """Different tags are joined; of one tag the later sync wins, and what it replaced is told, and kept in a commit."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    record(ann, "one")
    share(ann)
    share(bob)
    for repo, name in ((ann, "ann"), (bob, "bob")):
        Client(repo).set_tag("one", f"by-{name}", "yes")
        Client(repo).set_tag("one", "owner", name)
    share(ann)
    done = share(bob)
    share(ann)
    expected = {"by-ann": "yes", "by-bob": "yes", "owner": "bob"}
    assert expected == Client(ann).get_run("one").tags == Client(bob).get_run("one").tags
    assert ['one: Replaced: tags.owner: "ann" -> "bob"'] == done.notes
    assert 'Replaced: tags.owner: "ann" -> "bob"' in git("log", "--format=%B", "runs", cwd=plain_team.remote)
    plain_team.check()


def test_two_clones_amend_one_metric(plain_team: Team) -> None:
    """The point is corrected, not doubled: the later sync wins, and the summary is of the points that are there."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    one = record_run(Workspace.open(ann), Logged(points=[("acc", 0.4, 1), ("acc", 0.5, 2), ("loss", 1.0, 0)]))
    share(ann)
    share(bob)
    for repo, value in ((ann, 0.7), (bob, 0.8)):
        Client(repo).amend_run(one, reason="Read wrongly", metrics=[("acc", value, 2)])
    Client(bob).amend_run(one, reason="This one too", metrics=[("loss", 0.9, 0)])
    share(ann)
    done = share(bob)
    share(ann)
    assert [f"{one}: Replaced: metrics.acc@2: 0.7 -> 0.8"] == done.notes
    for repo in (ann, bob):
        history = Client(repo).get_metric_history(one, "acc")
        assert [(1, 0.4), (2, 0.8)] == [(point.step, point.value) for point in history]
        run = Client(repo).get_run(one)
        summary = run.metrics["acc"]
        assert (0.8, 2, 0.4, 0.8, 2) == (summary.last, summary.step, summary.min, summary.max, summary.count)
        assert (0.9, 1) == (run.metrics["loss"].last, run.metrics["loss"].count)
        assert 3 == len(run.amendments)
    plain_team.check()


@pytest.mark.parametrize("years", [-1, 1])
def test_a_clock_that_is_a_year_wrong(plain_team: Team, years: int) -> None:
    """Whichever clone's clock is wrong, the one that syncs later wins, and its commits come later in the line."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    record(ann, "one")
    share(ann)
    share(bob)
    Client(ann).set_tag("one", "owner", "ann")
    share(ann)
    code = (
        "import sys, time\nshift = float(sys.argv[1])\nreal, real_ns = time.time, time.time_ns\n"
        "time.time = lambda: real() + shift\ntime.time_ns = lambda: real_ns() + int(shift * 1e9)\n"
        "import runstone\nclient = runstone.Client()\nclient.set_tag('one', 'owner', 'bob')\nclient.sync()\n"
    )
    run_python(code, str(years * 365.25 * 86400), cwd=bob)
    share(ann)
    assert "bob" == Client(ann).get_run("one").tags["owner"]
    dates = git("log", "--first-parent", "--format=%ct", "-2", "runs", cwd=ann).split()
    assert (years > 0) == (int(dates[0]) > int(dates[1])), "the clock was wrong indeed"
    plain_team.check()


# --- model versions


@pytest.mark.dvc
def test_model_versions_follow_their_runs(team: Team) -> None:
    """A tag is sent after the branch and made in the other clone; the model's bytes are there before."""
    ann, bob = team.folder / "ann", team.clone("bob")
    number_here(ann)
    assert "churn@v1" == register(ann, "one")
    assert ["churn@v1"] == share(ann).versions_sent
    team.check()
    assert ["churn@v1"] == share(bob).versions_received
    assert "one" == Client(bob).get_model_version("churn", 1).run_id
    assert Synced("origin") == share(bob) == share(ann)


@pytest.mark.dvc
@pytest.mark.parametrize("how", ["sync", "sync without git", "push"])
def test_a_version_of_a_run_that_went_on_is_whole_for_others(team: Team, how: str) -> None:
    """What the run held when it was registered, before there was a remote, is in no record that came after."""
    ann = team.folder / "ann"
    git("remote", "remove", "origin", cwd=ann)
    workspace = Workspace.open(ann)
    run = shared.begin(workspace, ensure_experiment(workspace.repo, "late"), captured=False)
    with shared.edit(workspace, run.id) as change:
        change.add_artifacts([Descriptor("m/a.txt", 1, workspace.artifacts.cache.add_bytes(b"a"))])
        digest, size = workspace.artifacts.folder_digest([Descriptor("a.txt", 1, hashlib.md5(b"a").hexdigest())])
        change.put_model(ModelReference("m", ("files",), f"md5:{digest}", size))
    shared.checkpoint(workspace, run.id)
    version = register_version(workspace, "early", RunUri(run.id, "m"))
    with shared.edit(workspace, run.id) as change:
        change.add_artifacts([Descriptor("later.txt", 1, workspace.artifacts.cache.add_bytes(b"b"))])
        change.end("FINISHED")
    shared.flush(workspace)
    if how == "push":
        push_runs(workspace, [run.id])
    if how == "sync without git":
        sync(workspace)
    git("remote", "add", "origin", team.remote, cwd=ann)
    if how == "sync":
        share(ann)
    held = git("show", f"early@v1:{version.record}/artifacts.dvc", cwd=ann)
    assert all(team.has(digest) for digest in re.findall(r"[0-9a-f]{32}\.dir", held))


@pytest.mark.dvc
def test_a_version_follows_a_run_that_was_replayed(team: Team) -> None:
    """Its commit is made anew on the remote's tip, so the tag is too, with the same message; it is the run's commit."""
    ann, bob = team.folder / "ann", team.clone("bob")
    record(ann, "first")
    share(ann)
    number_here(bob)
    register(bob, "one")
    old, message = (
        git("for-each-ref", f"--format={f}", "refs/tags", cwd=bob) for f in ("%(*objectname)", "%(contents)")
    )
    assert ["churn@v1"] == share(bob).versions_sent
    new = ref(bob, "churn@v1^{commit}")
    assert old != new
    assert new in git("rev-list", "--first-parent", "runs", cwd=team.remote).split()
    assert message == git("for-each-ref", "--format=%(contents)", "refs/tags", cwd=team.remote)
    assert "Record run" in git("log", "-1", "--format=%s", "churn@v1^{commit}", cwd=team.remote)
    team.check()


@pytest.mark.dvc
def test_a_signed_version_that_is_moved_is_signed_again(team: Team) -> None:
    """Replayed, and renumbered by `doctor --fix`: the tags that the remote gets are signed, as git is set to."""
    ann, bob = team.folder / "ann", team.clone("bob")
    key = team.folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (team.folder / "allowed").write_text(f"bob@example.org {key.with_suffix('.pub').read_text()}")
    for setting, value in {
        "gpg.format": "ssh",
        "user.signingKey": str(key),
        "tag.gpgSign": "true",
        "gpg.ssh.allowedSignersFile": str(team.folder / "allowed"),
    }.items():
        git("config", setting, value, cwd=bob)
    number_here(bob)
    register(bob, "one")
    register(bob, "three", "other")
    register(ann, "two")
    share(ann)
    assert ["churn@v1"] == share(bob).diverged
    list(mend(Workspace.open(bob)))
    assert ["churn@v2"] == share(bob).versions_sent
    for tag in ("other@v1", "churn@v2"):
        assert ref(bob, tag) == ref(team.remote, tag)
        git("verify-tag", tag, cwd=bob)


@pytest.mark.dvc
def test_one_number_given_twice_is_told_and_both_are_kept(team: Team) -> None:
    """Two clones register version 1 offline: the second one keeps its tag, sends its run, and is told."""
    ann, bob = team.folder / "ann", team.clone("bob")
    number_here(ann, bob)
    register(ann, "one")
    register(bob, "two")
    mine = ref(bob, "churn@v1")
    share(ann)
    for _ in range(2):
        assert ["churn@v1"] == share(bob).diverged
    assert mine != ref(bob, "refs/runstone/remote-tags/origin/churn@v1") == ref(ann, "churn@v1")
    assert ["one", "two"] == team.runs()
    git("tag", "-d", "churn@v1", cwd=bob)
    assert ["churn@v1"] == share(bob).versions_received
    register(bob, "three")
    assert ["churn@v2"] == share(bob).versions_sent
    team.check()


@pytest.mark.dvc
def test_tags_that_only_look_like_versions_are_left_alone(team: Team) -> None:
    """A project's own `lib@v2`, annotated or not, is neither sent nor made, on either side."""
    ann, bob = team.folder / "ann", team.clone("bob", "--no-tags")
    git("tag", "lib@v1", cwd=ann)
    git("tag", "-a", "lib@v2", "-m", "Version 2 of the library", cwd=ann)
    git("tag", "-a", "lib@v3", "-m", "Version 3", cwd=ann)
    git("push", "-q", "origin", "lib@v2", cwd=ann)
    record(ann, "one")
    assert [] == share(ann).versions_sent
    assert ["lib@v2"] == team.tags()
    assert [] == share(bob).versions_received
    assert "" == git("tag", "--list", cwd=bob)


@pytest.mark.dvc
def test_a_retirement_is_shared(team: Team) -> None:
    """`churn@v1!` goes and comes as the version does."""
    ann, bob = team.folder / "ann", team.clone("bob")
    number_here(ann)
    register(ann, "one")
    git("tag", "-a", "churn@v1!", "-m", "Retire churn version 1", "churn@v1^{commit}", cwd=ann)
    assert ["churn@v1", "churn@v1!"] == share(ann).versions_sent
    assert ["churn@v1", "churn@v1!"] == share(bob).versions_received


# --- bytes


def test_without_a_dvc_remote_runs_with_files_wait(plain_team: Team) -> None:
    """A ref must not name bytes that nobody can get: the error says how to go on; asked for, the records go alone."""
    ann = plain_team.folder / "ann"
    record(ann, "one", text="1")
    record(ann, "two")
    with pytest.raises(ArtifactsNotShared) as caught:
        share(ann)
    expected = (
        "Run one cannot be shared yet: no DVC remote is configured to hold their bytes. Add one: `runstone init "
        "--remote URL`, or where DVC is set up `dvc remote add --default NAME URL`. What git names would not be there "
        "for the others. Share the records alone all the same: `runstone sync --no-artifacts`"
    )
    assert expected == str(caught.value)
    assert None is plain_team.tip()
    done = share(ann, artifacts=False)
    assert (["one"], ["one", "two"]) == (done.left_out, plain_team.runs())


@pytest.mark.dvc
def test_a_run_whose_bytes_are_lost_is_named(team: Team) -> None:
    """Neither here nor on the DVC remote: nothing is pushed, and the error names the run and the digest."""
    ann = team.folder / "ann"
    record(ann, "one", text="1")
    record(ann, "two", text="2")
    (path,) = (p for p in (ann / ".dvc" / "cache").rglob("*") if p.is_file() and b"2" == p.read_bytes())
    path.unlink()
    with pytest.raises(ArtifactsNotShared, match=r"^Run two cannot be shared yet: The artifact bytes md5:c81e728d"):
        share(ann)
    assert None is team.tip()
    assert ["one", "two"] == share(ann, artifacts=False).runs_sent


@pytest.mark.dvc
def test_a_dvc_remote_that_is_away_keeps_the_branch_here(team: Team) -> None:
    """The bytes come first, so the branch is not pushed; when the remote is back, the next sync does all of it."""
    ann = team.folder / "ann"
    record(ann, "one", text="1")
    team.store.write_text("a file where the folder should be")
    with pytest.raises(RemoteFailed):
        share(ann)
    assert None is team.tip()
    team.store.unlink()
    assert ["one"] == share(ann).runs_sent
    team.check()


@pytest.mark.dvc
def test_a_folder_that_leads_elsewhere_is_not_made(plain_team: Team) -> None:
    """`init --remote ../storage`, and a clone at another depth: it is told where the folder is, and all is in one."""
    ann = plain_team.folder / "ann"
    storage = plain_team.folder / "storage"
    begin(ann, {}, remote=os.path.relpath(storage))
    record(ann, "none")
    share(ann)
    record(ann, "one", text="1")
    assert ["one"] == share(ann).runs_sent  # the first push makes the folder
    assert storage.is_dir()
    (plain_team.folder / "deep" / "er").mkdir(parents=True)
    bob = plain_team.clone("deep/er/bob")
    git("config", "user.email", "bob@example.org", cwd=bob)
    share(bob)
    record(bob, "two", text="2")
    tip = plain_team.tip()
    wrong = plain_team.folder / "deep" / "er" / "storage"
    for verb in (share, lambda repo: push_runs(Workspace.open(repo), ["two"])):
        with pytest.raises(RemoteFailed, match="is meant relative to each clone; tell this one where the folder is"):
            verb(bob)
    assert (tip, False) == (plain_team.tip(), wrong.exists())
    set_local_remote(Workspace.open(bob).repo, str(storage))
    assert ["two"] == share(bob).runs_sent
    share(ann)
    assert 2 == pull_runs(Workspace.open(ann), ["two"]).count
    storage.rename(plain_team.folder / "unmounted")
    record(ann, "three", text="3")
    with pytest.raises(RemoteFailed, match="its folder does not exist"):
        share(ann)
    begin(ann, {}, remote="../other")  # nothing was sent there yet
    assert ["three"] == share(ann).runs_sent


@pytest.mark.dvc
def test_both_sides_added_files_to_one_run(team: Team) -> None:
    """The joined folder's listing is on the DVC remote before the branch names it."""
    ann, bob = team.folder / "ann", team.clone("bob")
    record(ann, "one", text="1")
    share(ann)
    share(bob)
    pull_runs(Workspace.open(bob), ["one"])
    for repo in (ann, bob):
        Client(repo).log_text("one", repo.name, f"{repo.name}.txt")
    share(ann)
    share(bob)
    team.check()
    share(ann)
    assert ["a.txt", "ann.txt", "bob.txt"] == [info.path for info in Client(ann).list_artifacts("one")]


# --- remotes


def test_which_remote(plain_team: Team, tmp_path: Path) -> None:
    """The one named, else the branch's own, else `origin`, else the only one; anything else is refused with a list."""
    ann = plain_team.folder / "ann"
    record(ann, "one")
    git("init", "-q", "--bare", tmp_path / "backup.git", cwd=tmp_path)
    git("remote", "rename", "origin", "hub", cwd=ann)
    assert "hub" == share(ann).remote
    git("remote", "add", "backup", "../backup.git", cwd=ann)
    with pytest.raises(UsageError, match=r"There are: backup, hub\. Choose one"):
        share(ann)
    assert ["one"] == share(ann, remote="backup").runs_sent
    assert ["one"] == runs_of(tmp_path / "backup.git")
    git("config", "branch.runs.remote", "hub", cwd=ann)
    assert Synced("hub") == share(ann)
    for name in ("nowhere", "--upload-pack=touch x", str(tmp_path / "backup.git")):
        with pytest.raises(UsageError, match="There is no git remote"):
            share(ann, remote=name)


def test_with_no_remote_at_all_it_says_what_to_do(git_repo: Path) -> None:
    """Neither git nor DVC: an error."""
    record(git_repo, "one")
    with pytest.raises(NothingToSyncWith):
        share(git_repo)


@pytest.mark.dvc
def test_without_a_git_remote_the_bytes_are_sent(team: Team) -> None:
    """A repository that only has a DVC remote keeps its runs, and their bytes are safe."""
    ann = team.folder / "ann"
    git("remote", "remove", "origin", cwd=ann)
    record(ann, "one", text="1")
    done = share(ann)
    assert (None, 2) == (done.remote, done.objects)
    assert Synced() == share(ann)
    record(ann, "two", text="2")
    assert 2 == share(ann).objects


def test_no_network_and_then_again(plain_team: Team) -> None:
    """A remote that is away loses nothing; when it is back, the next sync catches up."""
    ann = plain_team.folder / "ann"
    record(ann, "one")
    away = plain_team.remote.rename(plain_team.folder / "away.git")
    with pytest.raises(RemoteUnreachable, match=r"does not appear to be a git repository"):
        share(ann)
    record(ann, "two")
    away.rename(plain_team.remote)
    assert ["one", "two"] == share(ann).runs_sent
    plain_team.check()


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_remote_that_refuses(plain_team: Team, hook: str) -> None:
    """The runs stay here, on top of what came; the remote's own words are told, and what to do."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    record(bob, "first")
    share(bob)
    path = plain_team.hook(hook, "echo 'GH006: Protected branch update failed' >&2; exit 1")
    record(ann, "one")
    with pytest.raises(PushRefused) as caught:
        share(ann)
    assert "GH006: Protected branch update failed" in str(caught.value)
    assert "`branch: NAME` in runstone.yaml" in str(caught.value)
    assert (["first"], ["first", "one"]) == (plain_team.runs(), runs_of(ann))
    path.unlink()
    assert ["one"] == share(ann).runs_sent
    plain_team.check()


def test_a_remote_that_cannot_be_written(plain_team: Team) -> None:
    """A repository that is read-only is a refusal in git's words, not a race that is tried for ever."""
    if os.name != "posix" or os.geteuid() == 0:
        git("config", "receive.maxInputSize", "1", cwd=plain_team.remote)  # root may write anywhere
    else:
        for folder in ("objects", "refs/heads"):
            (plain_team.remote / folder).chmod(0o500)
    record(plain_team.folder / "ann", "one")
    with pytest.raises(PushRefused):
        share(plain_team.folder / "ann")


def test_the_users_own_pre_push_hook_is_heard(plain_team: Team) -> None:
    """It may veto, as for any push; its words are told."""
    ann = plain_team.folder / "ann"
    record(ann, "one")
    hook = ann / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'not on a Friday' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PushRefused, match="not on a Friday"):
        share(ann)
    assert None is plain_team.tip()


# --- odd clones


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_shallow_clone_of_ci(plain_team: Team, scheme: str) -> None:
    """A clone of depth 1 records and pushes, also after others have, and never brings the history of the code."""
    ann = plain_team.folder / "ann"
    for number in range(30):
        (ann / "code.py").write_text(f"VALUE = {number}\n" * 50)
        git("add", "code.py", cwd=ann)
        git("commit", "-q", "-m", f"Change {number}", cwd=ann)
        if number in (3, 20):
            record(ann, f"old-{number}")
    git("push", "-q", "origin", "main", cwd=ann)
    share(ann)
    url = f"file://{plain_team.remote}" if not scheme else scheme + str(plain_team.remote)
    ci = plain_team.clone("ci", "--depth", "1", "--single-branch", url=url)
    assert "1" == git("rev-list", "--count", "HEAD", cwd=ci)
    record(ci, "from-ci")
    done = share(ci)
    assert (["from-ci"], ["old-20", "old-3"]) == (done.runs_sent, done.runs_received)
    record(ann, "new")
    share(ann)
    record(ci, "again")
    done = share(ci)
    assert (["again"], ["new"]) == (done.runs_sent, done.runs_received)
    assert ["again", "from-ci", "new", "old-20", "old-3"] == plain_team.runs() == runs_of(ci)
    assert ["again", "from-ci", "new", "old-20", "old-3"] == recorded_ids(plain_team.remote)
    objects = git("cat-file", "--batch-all-objects", "--batch-check", cwd=ci).split("\n")
    commits = [line.split()[0] for line in objects if " commit " in line]
    code = [git("log", "-1", "--format=%s", commit, cwd=ci) for commit in commits]
    assert ["Change 29"] == [subject for subject in code if subject.startswith("Change")]
    assert Synced("origin") == share(ci)
    plain_team.check()
    check_clean(ci)


def test_odd_shapes_of_repositories(plain_team: Team, tmp_path: Path) -> None:
    """A bare repository, a linked work tree and a relative URL sync like any other."""
    ann = plain_team.folder / "ann"
    record(ann, "one")
    git("remote", "set-url", "origin", "../remote.git", cwd=ann)
    git("worktree", "add", "-q", "../linked", cwd=ann)
    assert ["one"] == share(tmp_path / "linked").runs_sent
    git("clone", "-q", "--bare", plain_team.remote, "mirror.git", cwd=tmp_path)
    record(tmp_path / "mirror.git", "two")
    assert ["two"] == share(tmp_path / "mirror.git").runs_sent
    assert ["two"] == share(ann).runs_received
    plain_team.check()


def test_a_repository_of_the_other_hash(tmp_path: Path) -> None:
    """SHA-256 repositories sync too."""
    git("init", "-q", "--bare", "--object-format=sha256", "-b", "main", "remote.git", cwd=tmp_path)
    git("init", "-q", "--object-format=sha256", "-b", "main", "ann", cwd=tmp_path)
    git("remote", "add", "origin", "../remote.git", cwd=tmp_path / "ann")
    record(tmp_path / "ann", "ann")
    share(tmp_path / "ann")
    git("clone", "-q", "remote.git", "bob", cwd=tmp_path)
    record(tmp_path / "ann", "again")
    record(tmp_path / "bob", "bob")
    share(tmp_path / "ann")
    share(tmp_path / "bob")
    assert (["again", "ann", "bob"], 64) == (runs_of(tmp_path / "remote.git"), len(ref(tmp_path / "bob", "runs")))


def test_settings_that_change_what_git_pushes(plain_team: Team) -> None:
    """The user's `push.followTags`, `fetch.prune` and the like, and a strict remote, change nothing of a sync."""
    ann = plain_team.folder / "ann"
    for key, value in {
        "push.followTags": "true",
        "push.default": "nothing",
        "fetch.prune": "true",
        "fetch.pruneTags": "true",
        "push.recurseSubmodules": "check",
        "submodule.recurse": "true",
    }.items():
        git("config", key, value, cwd=ann)
    for key in ("receive.denyDeletes", "receive.denyNonFastForwards", "receive.fsckObjects", "transfer.fsckObjects"):
        git("config", key, "true", cwd=plain_team.remote)
    git("tag", "-a", "release", "-m", "Not for runs", cwd=ann)
    record(ann, "one")
    assert ["one"] == share(ann).runs_sent
    record(plain_team.clone("bob"), "two")
    assert ["two"] == share(plain_team.folder / "bob").runs_sent
    assert ["two"] == share(ann).runs_received
    assert [] == plain_team.tags()
    assert "release" == git("tag", "--list", cwd=ann)
    assert ["main", "runs"] == git("branch", "--format=%(refname:short)", cwd=plain_team.remote).split()


@pytest.mark.parametrize("refspec", ["+refs/*:refs/*", "+refs/heads/runs:refs/heads/runs"])
def test_a_mirror_is_refused(plain_team: Team, refspec: str) -> None:
    """Where git itself would overwrite the branch, as it fetches or after it has pushed, a sync says so."""
    ann = plain_team.folder / "ann"
    record(ann, "one")
    git("config", "--replace-all", "remote.origin.fetch", refspec, cwd=ann)
    with pytest.raises(UsageError, match=r"overwrites `refs/heads/runs` with the remote's"):
        share(ann)
    git("config", "--replace-all", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*", cwd=ann)
    assert ["one"] == share(ann).runs_sent


def test_a_live_run_is_not_disturbed(plain_team: Team) -> None:
    """A run that is open while others come is recorded on top of them when it ends, and goes with the next sync."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    record(ann, "one")
    share(ann)
    client = Client(bob)
    run = client.create_run("0", run_id="open")
    client.log_metric(run.id, "m", 1.0)
    record(bob, "two")
    assert ["two"] == share(bob).runs_sent
    client.log_metric(run.id, "m", 2.0)
    client.set_terminated(run.id)
    assert ["open"] == share(bob).runs_sent
    assert [1.0, 2.0] == [point.value for point in client.get_metric_history("open", "m")]
    assert ["one", "open", "two"] == plain_team.runs() == recorded_ids(plain_team.remote)


def test_a_deleted_run_stays_deleted_everywhere(plain_team: Team) -> None:
    """A tombstone is an event like any other."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    record(ann, "one")
    share(ann)
    share(bob)
    edit.delete_run(Workspace.open(bob), "one", reason="wrong data")
    assert ["one"] == share(bob).runs_sent
    assert ["one"] == share(ann).runs_received
    assert "deleted" == Client(ann).get_run("one").lifecycle


@pytest.mark.dvc
def test_a_deleted_run_whose_bytes_were_cleaned_away(team: Team) -> None:
    """Nobody needs them any more, so its tombstone is sent; one whose bytes are here is sent with them."""
    ann = team.folder / "ann"
    for run_id in ("one", "two"):
        record(ann, run_id, text=run_id)
        edit.delete_run(Workspace.open(ann), run_id, reason="wrong data")
    (path,) = (p for p in (ann / ".dvc" / "cache").rglob("*") if p.is_file() and b"one" == p.read_bytes())
    path.unlink()
    done = share(ann)
    assert (["one", "two"], 2) == (done.runs_sent, done.objects)


@pytest.mark.dvc
def test_a_version_registered_in_a_shallow_clone(team: Team) -> None:
    """Its tag is on the run's own commit, also when others have pushed since and history is cut there."""
    ann = team.folder / "ann"
    record(ann, "first")
    share(ann)
    ci = team.clone("ci", "--depth", "1", url=f"file://{team.remote}")
    number_here(ci)
    log_model(Workspace.open(ci), "from-ci")
    share(ci)
    record(ann, "second")
    share(ann)
    register_version(Workspace.open(ci), "churn", RunUri("from-ci", "model"))
    assert (["churn@v1"], ["second"]) == ((done := share(ci)).versions_sent, done.runs_received)
    assert "Run: from-ci" in git("log", "-1", "--format=%B", "churn@v1^{commit}", cwd=team.remote)
    log_model(Workspace.open(ci), "more-ci")
    register_version(Workspace.open(ci), "churn", RunUri("more-ci", "model"))
    record(ann, "third")
    share(ann)
    assert ["churn@v2"] == share(ci).versions_sent
    assert "Run: more-ci" in git("log", "-1", "--format=%B", "churn@v2^{commit}", cwd=team.remote)
    assert ["churn@v2"] == share(ann).versions_received
    team.check()


def test_progress_is_told(plain_team: Team) -> None:
    """What git counts is handed on: label, done, all."""
    ann = plain_team.folder / "ann"
    for number in range(3):
        record(ann, f"r{number}")
    told: list[tuple[str, int, int]] = []
    share(ann, progress=lambda *step: told.append(step))
    assert "Writing objects" in {label for label, _, _ in told}
    assert all(0 <= done <= total for _, done, total in told)


# --- what others, and other remotes, may do to a remote


@pytest.mark.parametrize("how", ["set back", "begun anew", "gone"])
def test_a_remote_that_has_lost_runs_gets_them_again(plain_team: Team, how: str) -> None:
    """Put in from an old backup, and others have gone on there: what a clone still has is not dropped, but sent."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    record(ann, "one")
    share(ann)
    old = plain_team.tip()
    record(ann, "two")
    share(ann)
    share(bob)
    if how == "set back":
        git("update-ref", "refs/heads/runs", str(old), cwd=plain_team.remote)
    else:
        git("update-ref", "-d", "refs/heads/runs", cwd=plain_team.remote)
    if how != "gone":
        cid = plain_team.clone("cid")
        record(cid, "three")
        share(cid)
    record(bob, "four")
    share(bob)
    share(ann)
    expected = sorted(["one", "two", "four", *(["three"] if how != "gone" else [])])
    assert expected == plain_team.runs() == runs_of(ann) == runs_of(bob) == recorded_ids(ann)
    plain_team.check()


def test_two_remotes_with_lines_of_their_own(plain_team: Team) -> None:
    """A run that only the second remote had arrives on the first, though a later event was there before it."""
    ann, backup = plain_team.folder / "ann", plain_team.folder / "backup.git"
    git("init", "-q", "--bare", backup, cwd=plain_team.folder)
    git("remote", "add", "backup", backup, cwd=ann)
    record(ann, "one")
    share(ann)
    share(ann, remote="backup")
    bob = plain_team.clone("bob", url=str(backup))
    record(bob, "of-bob")
    share(bob)
    record(ann, "two")
    share(ann)
    for name in ("backup", "origin", "backup", "origin"):
        share(ann, remote=name)
        assert ["of-bob", "one", "two"] == runs_of(ann) == recorded_ids(ann)
    assert ["of-bob", "one", "two"] == plain_team.runs() == runs_of(backup)
    assert Synced("origin") == share(ann)
    check_clean(ann)


def push_by_hand(team: Team, changes: dict[str, str]) -> None:
    """Somebody edits files of the run `one` on the branch and pushes; `submodule` stands for a link to another one."""
    eve = team.clone("eve", "-b", "runs")
    folder = next(eve.glob("experiments/*/*/*/one")).relative_to(eve)
    for name, text in changes.items():
        (eve / folder / name).unlink(missing_ok=True)
        if text == "submodule":
            git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},{folder / name}", cwd=eve)
        else:
            (eve / folder / name).write_text(text)
            git("add", "-f", folder / name, cwd=eve)
    git("commit", "-q", "-m", "By hand", cwd=eve)
    git("push", "-q", "origin", "runs", cwd=eve)


_LOST = f"outs:\n- md5: {'1' * 32}.dir\n  size: 1\n  nfiles: 1\n  hash: md5\n  path: artifacts\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"artifacts.dvc": "garbage: ["},
        {"artifacts.dvc": "submodule"},
        {"other": "submodule"},
        {"artifacts.dvc": _LOST},
    ],
    ids=["no pointer", "a submodule", "a submodule beside", "bytes that are nowhere"],
)
def test_what_somebody_else_broke_does_not_bar_a_sync(team: Team, changes: dict[str, str]) -> None:
    """What the remote has is not for this clone to bring: its own change of that run goes, and its other runs go."""
    ann, bob = team.folder / "ann", team.clone("bob")
    record(ann, "one", text="1")
    share(ann)
    share(bob)
    edit.amend_run(Workspace.open(bob), "one", reason="It was so", params={"lr": 0.5})
    record(bob, "two", text="2")
    push_by_hand(team, changes)
    assert ["one", "two"] == share(bob).runs_sent
    assert ["one", "two"] == team.runs()
    assert "lr: 0.5" in git("grep", "lr", "runs", cwd=team.remote)


def test_a_file_added_to_a_run_that_cannot_be_read_any_more(team: Team) -> None:
    """Its folder is sent all the same, before the branch names it."""
    ann, bob = team.folder / "ann", team.clone("bob")
    record(ann, "one", text="1")
    share(ann)
    share(bob)
    Client(bob).log_text("one", "2", "b.txt")
    push_by_hand(team, {"run.yaml": "lifecycle: deleted\nx: ["})
    assert ["one"] == share(bob).runs_sent
    team.check()


@pytest.mark.parametrize("path", ["c.txt", "a.txt"])
def test_a_file_added_where_the_others_are_not(team: Team, path: str) -> None:
    """A clone without the bytes of a run adds a file to it, or replaces one: the folder is whole in every clone."""
    ann, bob = team.folder / "ann", team.clone("bob")
    with Client(ann).create_run("0", run_id="one"):
        for name in ("a.txt", "b.txt"):
            Client(ann).log_text("one", name, name)
    share(ann)
    share(bob)
    Client(bob).log_text("one", "new", path)
    share(bob)
    share(ann)
    expected = {"a.txt": "a.txt", "b.txt": "b.txt"} | {path: "new"}
    folder = Path(Client(ann).download_artifacts("one"))
    assert expected == {found.name: found.read_text() for found in folder.iterdir()}
    pointer = git("grep", "-h", "size", "runs", "--", "*/artifacts.dvc", cwd=team.remote).split()
    assert str(sum(map(len, expected.values()))) == pointer[1]
    team.check()


def test_a_file_added_to_a_run_that_is_deleted_then(team: Team) -> None:
    """That older files of the run are only on the DVC remote does not keep the new one from going there."""
    ann, bob = team.folder / "ann", team.clone("bob")
    record(ann, "one", text="1")
    share(ann)
    share(bob)
    Client(bob).log_text("one", "2", "b.txt")
    edit.delete_run(Workspace.open(bob), "one")
    share(bob)
    team.check()
    share(ann)
    edit.restore_run(Workspace.open(ann), "one")
    folder = Path(Client(ann).download_artifacts("one"))
    assert {"a.txt", "b.txt"} == {found.name for found in folder.iterdir()}


def test_what_is_added_to_a_run_that_others_removed(team: Team) -> None:
    """A process still adds to it: it comes back as the run that it was, with all that was recorded, still deleted."""
    ann, bob = team.folder / "ann", team.clone("bob")
    record(ann, "one", text="1", loss=0.25)
    share(ann)
    share(bob)
    adding = join_run(Workspace.open(bob), "one")
    adding.log_metric("loss", 0.125)
    edit.delete_run(Workspace.open(ann), "one")
    wanted = Wanted(older_than_s=0)
    collect(Workspace.open(ann), plan(Workspace.open(ann), wanted), wanted)
    share(ann)
    share(bob)
    assert [] == runs_of(bob)
    Client(bob).log_text("one", "2", "b.txt")
    adding.end()
    share(bob)
    run = Client(bob).get_run("one")
    assert ("FINISHED", "deleted") == (run.status, run.lifecycle)
    assert [0.25, 0.125] == [point.value for point in Client(bob).get_metric_history("one", "loss")]
    assert ["one"] == team.runs() == recorded_ids(bob)
    team.check()
