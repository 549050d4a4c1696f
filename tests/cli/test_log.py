"""`runstone log`: whole runs from a shell, and additions to them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from runstone.client import Client
from tests.cli.support import run_cli
from tests.support import git, run_python

Invoke = Callable[..., Result]


def test_a_whole_run_in_one_commit(git_repo: Path) -> None:
    """Only the id is printed, so that `id=$(runstone log …)` works; everything is in one commit of the branch."""
    (git_repo / "model.bin").write_bytes(b"weights")
    done = run_cli(
        *("log", "-e", "churn", "--name", "first", "-p", "lr=0.1", "-p", "layers=3", "-p", "kind=forest"),
        *("-p", "bias=true", "-m", "acc=0.9@1", "-m", "acc=0.95@2", "-t", "team=growth"),
        *("--artifact", "model.bin:out/deep", "--note", "-"),
        cwd=git_repo,
        input="From *stdin*\n",
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert re.fullmatch(r"[0-9a-f]{32}\n", done.stdout)
    client = Client(git_repo)
    run = client.get_run(done.stdout.strip())
    assert ("first", "churn", "FINISHED") == (run.name, run.experiment, run.status)
    assert {"lr": 0.1, "layers": 3, "kind": "forest", "bias": True} == run.params
    assert (0.95, 2, 2) == (run.metrics["acc"].last, run.metrics["acc"].step, run.metrics["acc"].count)
    assert {"team": "growth"} == run.tags
    assert ["out/deep/model.bin"] == [entry.path for entry in client.list_artifacts(run.id, "out/deep")]
    assert "From *stdin*\n" == client.get_note(run.id)
    assert "runstone" in " ".join(run.source.command)
    assert git("rev-parse", "HEAD", cwd=git_repo) == run.source.commit


def test_adding_to_a_run(invoke: Invoke, git_repo: Path) -> None:
    """--run adds points, params and tags; its status stays unless another is given."""
    run_id = invoke("log", "-m", "loss=0.9@1", "--status", "failed").stdout.strip()
    assert f"{run_id}\n" == invoke("log", "--run", run_id[:-1], "-m", "loss=0.5@2", "-p", "lr=1").stdout
    run = Client(git_repo).get_run(run_id)
    assert ("FAILED", 2, 0.5) == (run.status, run.metrics["loss"].count, run.metrics["loss"].last)
    invoke("log", "--run", run_id, "--status", "FINISHED")
    assert "FINISHED" == Client(git_repo).get_run(run_id).status
    result = invoke("log", "--run", run_id, "-p", "lr=2", "-m", "loss=0@3", code=2)
    assert f"error: The param 'lr' of run {run_id} is 1 and cannot become 2. " in result.stderr
    assert 2 == Client(git_repo).get_run(run_id).metrics["loss"].count


def test_adding_to_a_run_that_is_open(git_repo: Path) -> None:
    """A shell step joins the run of the script that started it, through RUNSTONE_RUN_ID."""
    code = """
import os, runstone, subprocess, sys
with runstone.start_run() as run:
    env = {**os.environ, "RUNSTONE_RUN_ID": run.info.run_id}
    subprocess.run([sys.executable, "-m", "runstone", "log", "-m", "size=3"], env=env, check=True)
    closing = [sys.executable, "-m", "runstone", "log", "--status", "FAILED"]
    print(subprocess.run(closing, env=env, stderr=subprocess.PIPE, text=True).stderr)
"""
    out = run_python(code, cwd=git_repo).stdout.splitlines()
    run = Client(git_repo).get_run(out[0])
    assert (3.0, "FINISHED") == (run.metrics["size"].last, run.status)
    assert f"error: Run {run.id} cannot be given a status: a process still logs to it." in out[1]


def test_what_is_refused_records_no_run(invoke: Invoke, git_repo: Path) -> None:
    """A missing file, a wrong number and a bad key end with 2, and leave nothing behind."""
    result = invoke("log", "--artifact", "nowhere.txt", code=2)
    assert "error: There is no file or folder 'nowhere.txt'.\n" in result.stderr
    assert "error: 'acc=high' must be KEY=NUMBER" in invoke("log", "-m", "acc=high", code=2).stderr
    assert 2 == invoke("log", "-p", f"{'k' * 600}=1", code=2).exit_code
    assert [] == json.loads(invoke("runs", "list", "--all", "--json").stdout)
    assert [] == list((git_repo / ".git" / "runstone" / "journal").glob("*.live"))


def test_names_are_for_new_runs(invoke: Invoke) -> None:
    """--name with --run would be passed over, so it is refused."""
    run_id = invoke("log").stdout.strip()
    result = invoke("log", "--run", run_id, "--name", "x", code=2)
    assert "error: --name and --parent are for a new run, not with --run.\n" in result.stderr


def test_a_nested_run(invoke: Invoke, git_repo: Path) -> None:
    """--parent takes what every RUN takes."""
    parent = invoke("log", "--name", "outer").stdout.strip()
    child = invoke("log", "--parent", "outer").stdout.strip()
    assert parent == Client(git_repo).get_run(child).parent


def test_a_folder_keeps_its_name(invoke: Invoke, tmp_path: Path) -> None:
    """As with `client.log_artifact`."""
    folder = tmp_path / "plots"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    run_id = invoke("log", "--artifact", str(folder), "--artifact", f"{folder}:deep").stdout.strip()
    paths = [entry["path"] for entry in json.loads(invoke("artifacts", "list", run_id, "--json").stdout)]
    assert ["deep/plots/a.txt", "plots/a.txt"] == paths


def test_a_file_whose_own_name_holds_a_colon(invoke: Invoke, tmp_path: Path) -> None:
    """It is found as it stands, not parted at the colon."""
    (tmp_path / "odd:name").write_text("b")
    run_id = invoke("log", "--artifact", str(tmp_path / "odd:name")).stdout.strip()
    assert "odd:name" == json.loads(invoke("artifacts", "list", run_id, "--json").stdout)[0]["path"]


def test_json(invoke: Invoke, git_repo: Path) -> None:
    """What was done, as an object with the id; one that was added to says so."""
    made = json.loads(invoke("log", "-e", "churn", "--name", "first", "--json").stdout)
    known = {"run_name": "first", "experiment": "churn", "status": "FINISHED"}
    run_id = Client(git_repo).search_runs()[0].info.run_id
    assert {"run_id": run_id, "done": "recorded", **known} == made
    assert {"run_id": run_id, "done": "added to", **known} == json.loads(
        invoke("log", "--run", "first", "-m", "auc=0.5", "--json").stdout
    )
