"""The intake of every import: each run once, grown ones updated, clashes kept, nothing lost by a kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runstone.client import Client
from runstone.git.runs.branch import read_runs
from runstone.imports.incoming import NO_DIGEST, IncomingFile, IncomingRun, Unavailable, local_files
from runstone.imports.intake import Intake
from runstone.imports.report import Report
from runstone.records.metric import Metric
from runstone.records.model import ModelReference
from runstone.records.run import Run, Source
from runstone.tracking.workspace import Workspace
from tests.cli.support import environment
from tests.support import git

ID = "0123456789abcdef0123456789abcdef"
STARTED = 1_700_000_000_000


def bring(
    workspace: Workspace,
    *,
    run_id: str = ID,
    experiment: str = "churn",
    origin: str = "elsewhere",
    points: Iterable[Metric] = (),
    artifacts: Iterable[IncomingFile] = (),
    notes: str | None = None,
    requirements: str | None = None,
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> tuple[str, str, Report]:
    """Take one run in; what became of it, its id, and the report."""
    with Intake(workspace, **(options or {})) as intake:
        found = intake.experiment(experiment, origin=origin)
        run = Run(
            **{
                "id": run_id,
                "name": "calm-fox-1",
                "experiment": found.name,
                "experiment_id": found.experiment_id,
                "status": "FINISHED",
                "user": "kim",
                "started": STARTED,
                "ended": STARTED + 1000,
                **fields,
            }
        )
        change, made = intake.run(
            IncomingRun(
                run=run, origin=origin, points=points, artifacts=artifacts, notes=notes, requirements=requirements
            )
        )
    return change, made, intake.report


def commits(workspace: Workspace) -> int:
    """How many events the branch has."""
    return int(git("rev-list", "--count", "--first-parent", "runs", cwd=workspace.repo.common_dir))


def test_a_run_comes_whole(workspace: Workspace, tmp_path: Path) -> None:
    """Id, times, params, points, tags, notes, packages and files are those of the source; its commit is a parent."""
    head = git("rev-parse", "HEAD", cwd=workspace.repo.work_tree or tmp_path)
    (tmp_path / "files" / "plots").mkdir(parents=True)
    (tmp_path / "files" / "plots" / "roc.txt").write_text("curve\n")
    points = [Metric("loss", 0.5, 10, 0), Metric("loss", 0.25, 20, 1), Metric("loss", float("nan"), 30, 2)]
    change, run_id, report = bring(
        workspace,
        params={"lr": 0.1, "depth": 3},
        tags={"team": "growth"},
        points=points,
        artifacts=local_files(tmp_path / "files", report_nothing),
        notes="# It works\n",
        requirements="numpy==2.0.0\n",
        source=Source(commit=head, branch="main"),
    )
    assert ("new", ID, True) == (change, run_id, report.is_whole)
    client = Client(workspace.repo.work_tree)
    run = client.get_run(ID)
    assert ({"lr": 0.1, "depth": 3}, {"team": "growth"}) == (run.params, run.tags)
    assert (STARTED, STARTED + 1000, "kim", "FINISHED") == (run.started, run.ended, run.user, run.status)
    assert [0.5, 0.25] == [point.value for point in client.get_metric_history(ID, "loss")][:2]
    assert 3 == run.metrics["loss"].count
    assert ["plots/roc.txt"] == [
        entry.path for entry in workspace.artifacts.listing(text_of(workspace, "artifacts.dvc"), "")
    ]
    assert "# It works\n" == text_of(workspace, "notes.md")
    assert "numpy==2.0.0\n" == text_of(workspace, "requirements.txt")
    assert head == git("rev-parse", "runs^2", cwd=workspace.repo.common_dir)
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=workspace.repo.common_dir)


def report_nothing(what: str, why: str) -> None:
    """What cannot be carried is an error in these tests."""
    raise AssertionError(f"{what}: {why}")


def text_of(workspace: Workspace, name: str, run_id: str = ID) -> str:
    """A file of a run's folder."""
    draft = read_runs(workspace.repo)
    folder = draft.find_run_folder(run_id)
    assert folder is not None
    return (draft.read(f"{folder}/{name}") or b"").decode()


def test_the_same_again_writes_nothing(workspace: Workspace) -> None:
    """A second import of what did not change makes no commit, also where the run was tagged here meanwhile."""
    bring(workspace, params={"a": 1}, points=[Metric("m", 1.0, 1, 1)])
    before = commits(workspace)
    assert "same" == bring(workspace, params={"a": 1}, points=[Metric("m", 1.0, 1, 1)])[0]
    assert before == commits(workspace)
    Client(workspace.repo.work_tree).set_tag(ID, "mine", "yes")
    after = commits(workspace)
    assert "same" == bring(workspace, params={"a": 1}, points=[Metric("m", 1.0, 1, 1)])[0]
    assert after == commits(workspace)


def test_a_run_that_has_grown_is_updated(workspace: Workspace) -> None:
    """One more event holds what came; what was said of the run here stays."""
    bring(workspace, status="RUNNING", ended=None, points=[Metric("m", 1.0, 1, 1)], tags={"a": "1"})
    Client(workspace.repo.work_tree).set_tag(ID, "mine", "yes")
    before = commits(workspace)
    points = [Metric("m", 1.0, 1, 1), Metric("m", 0.5, 2, 2)]
    change, run_id, _ = bring(workspace, points=points, tags={"a": "2"})
    run = Client(workspace.repo.work_tree).get_run(ID)
    assert ("updated", ID, before + 1) == (change, run_id, commits(workspace))
    assert ("FINISHED", 0.5, {"a": "2", "mine": "yes"}) == (run.status, run.metrics["m"].last, dict(run.tags))


def test_a_store_that_was_moved_is_known_again(workspace: Workspace) -> None:
    """A run of another origin that has all the recorded one has, and more, is the same run."""
    bring(workspace, origin="here", points=[Metric("m", 1.0, 1, 1)], params={"a": 1})
    points = [Metric("m", 1.0, 1, 1), Metric("m", 0.5, 2, 2)]
    assert ("updated", ID) == bring(workspace, origin="there", points=points, params={"a": 1})[:2]


def test_ids_that_clash_are_both_kept(workspace: Workspace) -> None:
    """Another run of one id gets a number behind it, and has the same id when it is brought again."""
    bring(workspace, origin="one", params={"a": 1})
    change, run_id, report = bring(workspace, origin="two", params={"a": 2})
    assert ("clash", f"{ID}-2", {ID: f"{ID}-2"}) == (change, run_id, report.clashes)
    assert ("same", f"{ID}-2") == bring(workspace, origin="two", params={"a": 2})[:2]
    assert ("same", ID) == bring(workspace, origin="one", params={"a": 1})[:2]
    client = Client(workspace.repo.work_tree)
    assert ({"a": 1}, {"a": 2}) == (client.get_run(ID).params, client.get_run(f"{ID}-2").params)


def test_a_run_that_was_made_here_is_never_changed(workspace: Workspace) -> None:
    """An import whose run has the id of one that was recorded here keeps both."""
    client = Client(workspace.repo.work_tree)
    made = client.create_run("0", run_name="mine")
    client.set_terminated(made.id)
    before = client.get_run(made.id).to_document()
    assert ("clash", f"{made.id}-2") == bring(workspace, run_id=made.id)[:2]
    assert before == client.get_run(made.id).to_document()


def test_two_runs_of_one_id_in_one_source_are_both_kept(workspace: Workspace) -> None:
    """As in a folder that somebody copied: each keeps its id, however often they are brought."""
    for expected in (["new", "clash"], ["same", "same"]):
        with Intake(workspace) as intake:
            found = intake.experiment("e")
            run = Run(ID, "n", found.name, found.experiment_id, "FINISHED", "kim", STARTED)
            both = [run, replace(run, params={"a": 2})]
            made = [intake.run(IncomingRun(run=each, origin="o")) for each in both]
        assert expected == [each.change for each in made]
        assert [ID, f"{ID}-2"] == [each.run_id for each in made]


def test_what_cannot_be_recorded_is_told(workspace: Workspace, tmp_path: Path) -> None:
    """A key, a path, a file that is not there: each is named with its reason, and the rest comes."""
    (tmp_path / "good.txt").write_text("good\n")

    def lost(target: Path) -> None:
        raise Unavailable("the server has lost it")

    files = [
        IncomingFile("good.txt", tmp_path / "good.txt"),
        IncomingFile("gone.txt", tmp_path / "gone.txt"),
        IncomingFile("../../evil", tmp_path / "good.txt"),
        IncomingFile("lost.txt", lost, 5),
    ]
    _, _, report = bring(workspace, params={"/bad": 1, "good": 1}, artifacts=files, points=[Metric("a\tb", 1.0, 1, 1)])
    missing = [(each.kind, each.what, each.why) for each in report.not_carried]
    assert [
        ("metric", f"run {ID}: a\tb", "it holds a control character"),
        ("param", f"run {ID}: /bad", "it would be a path such as `../x` or `/x`"),
        ("artifact", f"run {ID}: ../../evil", "it leaves the folder of artifacts"),
        ("artifact", f"run {ID}: lost.txt", "the server has lost it"),
        ("artifact", f"run {ID}: gone.txt", "No such file or directory"),
    ] == missing
    assert not report.is_whole
    assert {"good": 1} == Client(workspace.repo.work_tree).get_run(ID).params
    assert not (tmp_path / "evil").exists()


def test_a_secret_is_not_brought(workspace: Workspace) -> None:
    """It is redacted as everywhere, and said; that is no loss."""
    _, _, report = bring(workspace, params={"api_key": "s3cr3t-value-of-mine"})
    assert ["[redacted]"] == list(Client(workspace.repo.work_tree).get_run(ID).params.values())
    assert [("param", False)] == [(each.kind, each.is_loss) for each in report.not_carried]


def test_links_out_of_the_folder_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    """A link in somebody's folder of artifacts brings nothing from outside it."""
    (tmp_path / "files").mkdir()
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "files" / "a").symlink_to(tmp_path / "secret")
    (tmp_path / "files" / "b.txt").write_text("b\n")
    refused: list[str] = []
    found = local_files(tmp_path / "files", lambda what, why: refused.append(what))
    assert (["b.txt"], ["a"]) == ([each.path for each in found], refused)
    assert [] == local_files(tmp_path / "nowhere", report_nothing)


def test_models_are_described(workspace: Workspace, tmp_path: Path) -> None:
    """A folder with an MLmodel is a model of the run, and one that is named without one is one too, without flavors."""
    (tmp_path / "m" / "model").mkdir(parents=True)
    (tmp_path / "m" / "plain").mkdir()
    (tmp_path / "m" / "model" / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: x\n")
    (tmp_path / "m" / "plain" / "w.bin").write_text("w")
    bring(
        workspace,
        artifacts=local_files(tmp_path / "m", report_nothing),
        models=(ModelReference("plain", (), NO_DIGEST, 0),),
    )
    models = Client(workspace.repo.work_tree).get_run(ID).models
    assert [("model", ("python_function",)), ("plain", ())] == [(each.path, each.flavors) for each in models]
    assert all(each.digest.startswith("md5:") for each in models)


def test_files_that_are_here_are_not_fetched_again(workspace: Workspace) -> None:
    """One of the same path and size comes from the cache; without artifacts, those that are here stay."""
    fetched: list[str] = []

    def fetch(target: Path) -> None:
        fetched.append(target.name)
        target.write_text("hello")

    files = [IncomingFile("a.txt", fetch, 5)]
    assert "new" == bring(workspace, artifacts=files)[0]
    assert "same" == bring(workspace, artifacts=files)[0]
    assert "updated" == bring(workspace, artifacts=files, params={"a": 1})[0]
    assert 1 == len(fetched)
    assert "same" == bring(workspace, artifacts=files, params={"a": 1}, options={"with_artifacts": False})[0]
    assert "a.txt" == workspace.artifacts.listing(text_of(workspace, "artifacts.dvc"), "")[0].path


def test_a_dry_run_writes_nothing(workspace: Workspace) -> None:
    """Neither an experiment nor a run nor a file."""
    _, _, report = bring(workspace, options={"dry_run": True})
    assert {"experiments": {"new": 1}, "runs": {"new": 1}} == report.carried
    assert None is workspace.repo.runs_tip()


def test_a_parent_follows_its_clash(workspace: Workspace) -> None:
    """A child of a run that got another id here names that one."""
    bring(workspace, origin="one", params={"a": 1})
    with Intake(workspace) as intake:
        found = intake.experiment("churn")
        parent = Run(ID, "p", found.name, found.experiment_id, "FINISHED", "kim", STARTED)
        intake.run(IncomingRun(run=parent, origin="two"))
        intake.run(IncomingRun(run=replace(parent, id="child1", parent=ID), origin="two"))
    assert f"{ID}-2" == Client(workspace.repo.work_tree).get_run("child1").parent


def test_an_experiment_that_is_here_is_joined(workspace: Workspace) -> None:
    """Its own tags stay, and those that it has not come."""
    client = Client(workspace.repo.work_tree)
    made = client.create_experiment("churn", tags={"a": "mine"})
    with Intake(workspace) as intake:
        found = intake.experiment("churn", {"a": "theirs", "b": "theirs"}, "What it is about", STARTED)
    joined = client.get_experiment(made)
    assert (made, {"a": "mine", "b": "theirs"}) == (found.experiment_id, dict(joined.tags))
    assert "What it is about" == joined.description


_MANY = """
import sys, time
from pathlib import Path
from runstone.imports import intake as module
from runstone.imports.incoming import IncomingFile, IncomingRun
from runstone.imports.intake import Intake
from runstone.records.metric import Metric
from runstone.records.run import Run
from runstone.tracking.workspace import Workspace
module._BATCH = 5
with Intake(Workspace.open(sys.argv[1])) as intake:
    found = intake.experiment("churn")
    for number in range(60):
        run = Run(f"{number:032x}", "n", found.name, found.experiment_id, "FINISHED", "kim", 1700000000000 + number)
        files = [IncomingFile("a.txt", lambda target: target.write_text(str(number)))]
        points = [Metric("m", float(step), 1, step) for step in range(200)]
        intake.run(IncomingRun(run=run, origin="o", points=points, artifacts=files))
        print(number, flush=True)
"""


@pytest.mark.parametrize(("number", "how"), [(7, signal.SIGKILL), (33, signal.SIGKILL), (23, signal.SIGINT)])
def test_an_import_that_is_cut_short_goes_on(git_repo: Path, tmp_path: Path, number: int, how: signal.Signals) -> None:
    """Killed anywhere and called again, it gives what it would have given; Ctrl-C loses nothing that had come."""
    with subprocess.Popen(
        [sys.executable, "-c", _MANY, str(git_repo)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == number:
                os.kill(process.pid, how)
                break
    if how == signal.SIGINT:
        told = git("rev-list", "--count", "runs", cwd=git_repo)
        assert number < int(told)
    done = subprocess.run(
        [sys.executable, "-c", _MANY, str(git_repo)], env=environment(), capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    whole = tmp_path / "whole"
    git("init", "-q", "-b", "main", whole, cwd=tmp_path)
    subprocess.run([sys.executable, "-c", _MANY, str(whole)], env=environment(), capture_output=True, check=True)
    trees = [git("rev-parse", "runs:experiments", cwd=repo) for repo in (git_repo, whole)]
    assert trees[1] == trees[0]
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)
    assert "60" == git("rev-list", "--count", "--grep=^Import run", "runs", cwd=git_repo)
