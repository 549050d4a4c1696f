"""Processes are killed, disks fill up, many write at once: what a call accepted is recorded, once, and git is sound.

All through the fluent API and the command line, as users meet it; `tests/git/test_faults.py` does the like below them.
"""

import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runstone.client import Client
from tests.cli.support import run_cli
from tests.support import SOURCE, git, make_repository, run_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and mounts of POSIX")

FULL = bool(os.environ.get("RUNSTONE_TEST_FULL"))
"""Whether the slow tests run at full length."""

ENV = {"PYTHONPATH": str(SOURCE)}


def start(code: str, *arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    """Start code in a process of its own; what it says is read from its standard output."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, **ENV},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check_sound(path: Path) -> None:
    """Neither git nor doctor nor the schemas find a fault, no journal is left, and the work tree is clean."""
    assert "" == git("fsck", "--strict", "--no-dangling", "--no-progress", cwd=path)
    assert "" == git("status", "--porcelain", cwd=path)
    findings: list[dict[str, Any]] = json.loads(run_cli("doctor", "--json", cwd=path).stdout)
    assert [] == [found for found in findings if found["state"] == "fail"]
    (journals,) = (found for found in findings if found["check"] == "journals")
    assert "no run is open" == journals["detail"]
    done = run_cli("validate", "--runs", cwd=path)
    assert 0 == done.returncode, done.stdout


# --- kill -9

VICTIM = """
import os, sys, runstone

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

name, number = sys.argv[1], 0
say("up")
while True:
    outer, inner = f"{name}-{number}", f"{name}-{number}-in"
    runstone.start_run(run_id=outer, tags={"begun": "yes"})
    say("begun", outer)
    for step in range(4):
        runstone.log_metric("loss", float(step), step=step); say("metric", outer, step)
        runstone.log_param(f"p{step}", step); say("param", outer, step)
    runstone.log_metrics({"a": 1.0, "b": 2.0}); say("both", outer)
    runstone.log_text(f"{outer} text", "out/file.txt"); say("file", outer)
    runstone.start_run(run_id=inner, nested=True); say("begun", inner)
    runstone.set_tag("t", inner); say("tag", inner)
    runstone.end_run(); say("ended", inner)
    runstone.end_run(); say("ended", outer)
    number += 1
"""


def check_told(client: Client, told: list[list[str]]) -> None:
    """Each thing that a process said it had done is in the record; a run it had ended is FINISHED, another FAILED."""
    ended = {run_id for verb, run_id, *_ in told if verb == "ended"}
    for verb, run_id, *rest in told:
        run = client.get_run(run_id)
        # One may have been killed after the end had been recorded, and before it could say so.
        assert run.status in (("FINISHED",) if run_id in ended else ("FAILED", "FINISHED"))
        if verb == "begun" and not run_id.endswith("-in"):
            assert {"begun": "yes"} == run.tags
        elif verb == "metric":
            points = [point.value for point in client.get_metric_history(run_id, "loss")]
            assert float(rest[0]) in points
            assert list(map(float, range(len(points)))) == points, "in order, and none twice"
        elif verb == "param":
            assert int(rest[0]) == run.params[f"p{rest[0]}"]
        elif verb == "both":
            assert (1.0, 2.0) == (run.metrics["a"].last, run.metrics["b"].last)
        elif verb == "file":
            text = Path(client.download_artifacts(run_id, "out/file.txt")).read_text()
            assert f"{run_id} text" == text
        elif verb == "tag":
            assert {"t": run_id} == run.tags


def test_kill_9_at_a_random_moment(git_repo: Path) -> None:
    """Two processes at a time do all that one can do and are killed; 100 times in the long form."""
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    told: list[list[str]] = []
    for number in range((100 if FULL else 16) // 2):
        victims = [start(VICTIM, f"k{number}{letter}", cwd=git_repo) for letter in "ab"]
        for victim in victims:
            with victim:
                assert victim.stdout is not None
                assert victim.stderr is not None
                said = "".join(victim.stdout.readline() for _ in range(dice.randrange(1, 60)))
                time.sleep(dice.uniform(0, 0.02))
                victim.kill()
                said += victim.stdout.read()
                assert "" == victim.stderr.read(), f"seed {seed}"
            assert said.startswith("up\n")
            told += [line.split() for line in said[3 : said.rfind("\n") + 1].splitlines()]
    client = Client(git_repo)
    recorded = client.search_runs(max_results=10_000)
    told_ids = {line[1] for line in told}
    assert told_ids <= {run.id for run in recorded}, f"seed {seed}"
    assert not [run.id for run in recorded if run.status == "RUNNING"], f"seed {seed}"
    ids = git("log", "--first-parent", "--format=%(trailers:key=Run,valueonly)", "runs", cwd=git_repo).split()
    assert sorted(run.id for run in recorded) == sorted(ids), f"seed {seed}: each run is one commit"
    check_told(client, told)
    assert 20 < len(told), f"seed {seed}: too little was logged to mean anything"
    client.workspace.repo.close()
    check_sound(git_repo)


# --- many processes

WORKER = """
import sys, runstone
name, runs = sys.argv[1], int(sys.argv[2])
runstone.set_experiment("crowd")
for number in range(runs):
    with runstone.start_run(run_id=f"{name}-{number}"):
        runstone.log_param("number", number)
        for step in range(3):
            runstone.log_metric("loss", number + step / 4, step=step)
        runstone.set_tag("worker", name)
        runstone.log_text(f"same in all {number}", "out.txt")
"""


def test_sixteen_processes_on_one_repository(git_repo: Path) -> None:
    """16 processes, each with 50 runs in the long form: every run and point is there, each run one commit."""
    runs = 50 if FULL else 5
    workers = [start(WORKER, f"w{number:02}", str(runs), cwd=git_repo) for number in range(16)]
    assert [(0, "")] * 16 == [(worker.returncode, said[1]) for worker in workers for said in [worker.communicate()]]
    client = Client(git_repo)
    found = {run.id: run for run in client.search_runs(max_results=10_000)}
    assert {f"w{number:02}-{n}" for number in range(16) for n in range(runs)} == found.keys()
    for run_id, run in found.items():
        worker, _, n = run_id.partition("-")
        summary = run.metrics["loss"]
        assert ("crowd", "FINISHED", {"number": int(n)}, {"worker": worker}, int(n) + 0.5, 3) == (
            run.experiment,
            run.status,
            run.params,
            run.tags,
            summary.last,
            summary.count,
        )
    ids = git("log", "--first-parent", "--format=%(trailers:key=Run,valueonly)", "runs", cwd=git_repo).split()
    assert sorted(found) == sorted(ids)
    out = client.download_artifacts("w15-4", "out.txt")
    assert "same in all 4" == Path(out).read_text()
    client.workspace.repo.close()
    check_sound(git_repo)


PARENT = """
import os, subprocess, sys, runstone
CHILD = '''
import sys, runstone
with runstone.start_run():
    for step in range(100):
        runstone.log_metric("loss", float(step), step=step)
    runstone.log_param("child-" + sys.argv[1], True)
    runstone.log_text(sys.argv[1], sys.argv[1] + ".txt")
'''
with runstone.start_run(run_id="shared") as run:
    env = {**os.environ, "RUNSTONE_RUN_ID": run.info.run_id}
    children = [subprocess.Popen([sys.executable, "-c", CHILD, str(n)], env=env, cwd=sys.argv[1]) for n in range(4)]
    for step in range(100):
        runstone.log_metric("loss", float(step), step=step)
    runstone.log_param("parent", True)
    print([child.wait() for child in children])
"""


def test_processes_of_one_run_in_two_work_trees(git_repo: Path, tmp_path: Path) -> None:
    """A run's children join it by RUNSTONE_RUN_ID, from a linked work tree; one record holds what all logged."""
    git("worktree", "add", "-q", tmp_path / "linked", cwd=git_repo)
    assert "[0, 0, 0, 0]\n" == run_python(PARENT, str(tmp_path / "linked"), cwd=git_repo).stdout
    client = Client(git_repo)
    (run,) = client.search_runs()
    assert ("shared", "FINISHED", 500) == (run.id, run.status, run.metrics["loss"].count)
    assert {"parent": True} | {f"child-{n}": True for n in range(4)} == run.params
    assert [f"{n}.txt" for n in range(4)] == [file.path for file in client.list_artifacts("shared")]
    client.workspace.repo.close()
    check_sound(git_repo)


# --- disks


def mount(*arguments: str | Path) -> None:
    """Mount something; skips the test where that is not permitted."""
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not permitted: {done.stderr.strip()}")


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """A file system of its own at a path, of 3 MB."""
    path.mkdir()
    mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", path)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[str]:
    """Make what lies at a path read-only, and return how the system says so. Root could write all but a mount."""
    if os.geteuid() == 0:
        mount("--bind", path, path)
        try:
            mount("-o", "remount,bind,ro", path)
            yield "Read-only file system"
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
    else:
        folders = [path, *(found for found in path.rglob("*") if found.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        try:
            yield "Permission denied"
        finally:
            for folder in folders:
                folder.chmod(0o755)


FILLING = """
import resource, sys, runstone
from runstone.errors import DiskFull

def attempt(call):
    try:
        call()
    except DiskFull as error:
        print("full", error, flush=True)

runstone.start_run(run_id="full")
runstone.log_param("lr", 0.1)
runstone.log_text("kept", "kept.txt")
if sys.argv[1] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
attempt(lambda: runstone.log_text("x" * 4_000_000, "big.txt"))
logged = 0
def log():
    global logged
    while True:
        runstone.log_metric("loss", float(logged), step=logged)
        logged += 1
attempt(log)
print("logged", logged, flush=True)
attempt(lambda: runstone.log_param("long", "x" * 10_000))
attempt(runstone.end_run)
"""


@pytest.mark.parametrize("how", ["disk", "limit"])
def test_no_room(tmp_path: Path, how: str) -> None:
    """A disk, or a limit for files, fills up under a run: each call says so, and what was logged before is kept."""
    with contextlib.ExitStack() as stack:
        disk, ballast = tmp_path / "disk", tmp_path / "disk" / "ballast"
        if how == "disk":
            stack.enter_context(small_disk(disk))
        else:
            disk.mkdir()
        path = make_repository(disk / "repo")
        run_python("import runstone\nwith runstone.start_run(run_id='before'): pass", cwd=path)
        if how == "disk":
            free = os.statvfs(disk)
            ballast.write_bytes(b"\0" * (free.f_bavail * free.f_frsize - 200_000))

        done = run_python(FILLING, how, cwd=path, check=False)
        lines = done.stdout.splitlines()
        said = [line for line in lines if line.startswith("full ")]
        told = (
            r"\S+ could not be written: (No space left on device|File too large|the disk took only part of it)\. "
            r"Nothing of this call was recorded, and what was recorded before is safe\. Make room, then call again; "
            r"a run that had ended is committed by `runstone recover`\."
        )
        assert [] == [line for line in said if not re.fullmatch(f"full {told}", line)], done.stderr
        assert 4 == len(said), done.stdout
        logged = next(int(line.split()[1]) for line in lines if line.startswith("logged "))
        assert 1000 < logged

        shown = run_cli("runs", "show", "before", "--json", cwd=path)  # reading works, full as the disk is
        assert (0, "FINISHED") == (shown.returncode, json.loads(shown.stdout)["status"])
        if how == "disk":
            warning = f"warning: Runs that were cut short could not be recorded: {told}\n"
            assert re.fullmatch(warning, shown.stderr), shown.stderr

        ballast.unlink(missing_ok=True)
        assert 0 == run_cli("recover", cwd=path).returncode
        client = Client(path)
        run = client.get_run("full")
        assert ("FAILED", {"lr": 0.1}, logged) == (run.status, run.params, run.metrics["loss"].count)
        points = [point.value for point in client.get_metric_history("full", "loss")]
        assert list(map(float, range(logged))) == points
        assert ["kept.txt"] == [file.path for file in client.list_artifacts("full")]
        assert "kept" == Path(client.download_artifacts("full", "kept.txt")).read_text()
        client.workspace.repo.close()
        check_sound(path)


READ_ONLY = """
import runstone
from runstone.errors import RunstoneError
for call in (runstone.start_run, lambda: runstone.log_metric("m", 1), lambda: runstone.set_experiment("new")):
    try:
        call()
    except RunstoneError as error:
        print(type(error).__name__, error)
print([run.id for run in runstone.search_runs(output_format="list")], runstone.active_run())
"""


def test_a_read_only_checkout(git_repo: Path, tmp_path: Path) -> None:
    """Where nothing can be written all that reads works, with an index elsewhere; what writes says what to do."""
    run_python(
        "import runstone\nwith runstone.start_run(run_id='kept'):\n"
        "    runstone.log_metric('loss', 0.5)\n    runstone.log_text('text', 'a.txt')",
        cwd=git_repo,
    )
    with read_only(git_repo) as why:
        check_reading(git_repo, why, tmp_path / "out")
    run_python("import runstone\nwith runstone.start_run(run_id='later'): pass", cwd=git_repo)
    assert {"kept", "later"} == {run.id for run in Client(git_repo).search_runs()}
    check_sound(git_repo)


def check_reading(path: Path, why: str, out: Path) -> None:
    """Every command that reads does, and those that write end with one plain sentence."""
    refused = (
        f"{path}/.git cannot be written ({why}), so nothing new can be tracked in it; reading works. "
        "Track in a clone: `git clone URL`, or name another repository: `--repo DIR`, RUNSTONE_REPO."
    )
    said = run_python(READ_ONLY, cwd=path)
    assert [f"ReadOnlyRepository {refused}"] * 3 + ["['kept'] None"] == said.stdout.splitlines()
    done = run_cli("log", "-p", "a=1", cwd=path)
    assert (1, "", f"error: {refused}\n") == (done.returncode, done.stdout, done.stderr)
    for command in (
        ["runs", "list", "--json"],
        ["runs", "search", "metrics.loss < 1", "--json"],
        ["runs", "show", "kept", "--json"],
        ["artifacts", "list", "kept", "--json"],
        ["validate", "--runs"],
        ["artifacts", "get", "kept", "a.txt", str(out)],
        ["recover"],
    ):
        done = run_cli(*command, cwd=path)
        assert (0, "") == (done.returncode, done.stderr), command
        assert "kept" in done.stdout or command[0] in ("validate", "artifacts", "recover")
    assert "text" == (out / "a.txt").read_text()
