"""A repository is a folder: copied, moved, packed, or on a disk that cannot be written, it opens and reads."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstone.git.runs import copies
from tests.cli.support import run_cli
from tests.git.support import check_clean
from tests.support import SOURCE, git, run_python

MAKE = """
from pathlib import Path
import runstone
Path("a.txt").write_text("alpha")
for name, auc in (("one", 0.5), ("two", 0.75)):
    with runstone.start_run(run_name=name):
        runstone.log_param("lr", 0.1)
        runstone.log_metric("auc", auc)
        runstone.log_artifact("a.txt")
"""

LIVE = """
import sys, runstone
with runstone.start_run(run_name="live") as run:
    runstone.log_metric("loss", 1.0, step=0)
    print(run.info.run_id, flush=True)
    sys.stdin.readline()
    runstone.log_metric("loss", 0.5, step=1)
"""


@pytest.fixture
def filled(git_repo: Path) -> Path:
    """A repository with two runs, recorded and indexed by processes that have ended."""
    run_python(MAKE, cwd=git_repo)
    assert 0 == run_cli("runs", "list", cwd=git_repo).returncode
    return git_repo


@pytest.fixture
def live(filled: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process in `filled` that has begun a run, logged a point and waits for a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE],
        cwd=filled,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def run_id_of(process: "subprocess.Popen[str]") -> str:
    """The id that it printed."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: "subprocess.Popen[str]") -> None:
    """Let it log its last point and end."""
    process.communicate("\n", timeout=60)
    assert 0 == process.returncode


def listed(repo: Path) -> dict[str, tuple[str, float | None]]:
    """Name → status and last value of auc of every run, as a process of its own lists them."""
    done = run_cli("runs", "list", "--json", cwd=repo)
    assert (0, "") == (done.returncode, done.stderr)
    rows = json.loads(done.stdout)
    return {row["name"]: (row["status"], row.get("metrics", {}).get("auc", {}).get("last")) for row in rows}


def check_works(repo: Path) -> None:
    """Reading, getting and recording work there, and nothing is wrong with it."""
    assert {"one": ("FINISHED", 0.5), "two": ("FINISHED", 0.75)} == listed(repo)
    out = repo.parent / f"out of {repo.name}"
    assert 0 == run_cli("artifacts", "get", "one", ".", str(out), cwd=repo).returncode
    assert "alpha" == (out / "a.txt").read_text()
    done = run_cli("log", "--experiment", "new", "-m", "auc=1", "--name", "three", cwd=repo)
    assert 0 == done.returncode, done.stderr
    assert ("FINISHED", 1.0) == listed(repo)["three"]
    done = run_cli("doctor", "--all", cwd=repo)
    assert 0 == done.returncode, done.stdout
    check_clean(repo)


def test_a_copied_folder(filled: Path, tmp_path: Path) -> None:
    """It works, and what is recorded there is not in the original."""
    shutil.copytree(filled, tmp_path / "a copy", symlinks=True)
    check_works(tmp_path / "a copy")
    assert {"one", "two"} == listed(filled).keys()


def test_a_moved_folder(filled: Path, tmp_path: Path) -> None:
    """To a place with an odd name."""
    (tmp_path / "elsewhere ü").mkdir()
    filled.rename(tmp_path / "elsewhere ü" / "it's here")
    check_works(tmp_path / "elsewhere ü" / "it's here")


def test_a_folder_packed_and_unpacked(filled: Path, tmp_path: Path) -> None:
    """As tar and as zip; the original is gone, as on another machine."""
    with tarfile.open(tmp_path / "repo.tar.gz", "w:gz") as tar:
        tar.add(filled, "from tar")
    shutil.make_archive(str(tmp_path / "repo"), "zip", filled)
    shutil.rmtree(filled)
    with tarfile.open(tmp_path / "repo.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    shutil.unpack_archive(tmp_path / "repo.zip", tmp_path / "from zip")
    check_works(tmp_path / "from tar")
    check_works(tmp_path / "from zip")


def test_a_run_that_logs_while_its_folder_is_copied(
    live: "subprocess.Popen[str]", filled: Path, tmp_path: Path
) -> None:
    """It is recorded once, where its process is; the copy neither shows it as open nor makes a second run of it."""
    run_id = run_id_of(live)
    copy = tmp_path / "copy"
    shutil.copytree(filled, copy, symlinks=True)
    assert {"one", "two"} == listed(copy).keys()
    assert {"one", "two", "live"} == listed(filled).keys()
    assert "RUNNING" == listed(filled)["live"][0]
    done = run_cli("doctor", cwd=copy)
    assert "1 journal of runs that are recorded where this folder was copied from" in done.stdout
    finish(live)
    assert ("FINISHED", {"one", "two"}) == (listed(filled)["live"][0], set(listed(copy)))
    metrics = run_cli("runs", "metrics", run_id, "loss", "--csv", cwd=filled).stdout.split("\n")
    assert ["0", "1"] == [line.split(",")[1] for line in metrics[1:] if line]
    git("fetch", "-q", filled, "runs:refs/remotes/original/runs", cwd=copy)
    assert "live" in git("log", "--first-parent", "--format=%s", "refs/remotes/original/runs", cwd=copy)


def test_a_copied_run_whose_original_is_lost(live: "subprocess.Popen[str]", filled: Path, tmp_path: Path) -> None:
    """What doctor says brings it back; an archive that is opened after the process died does so by itself."""
    run_id_of(live)
    copy, late = tmp_path / "copy", tmp_path / "late"
    shutil.copytree(filled, copy, symlinks=True)
    shutil.copytree(filled, late, symlinks=True)
    assert {"one", "two"} == listed(copy).keys()
    live.kill()
    live.wait()
    shutil.rmtree(filled)
    aside = copy / ".git" / "runstone" / "journal" / copies.FOLDER
    for path in aside.iterdir():
        path.rename(aside.parent / path.name)
    for repo in (copy, late):
        assert ("FAILED", {"one", "two", "live"}) == (listed(repo)["live"][0], set(listed(repo)))
        done = run_cli("runs", "metrics", "live", "--csv", cwd=repo)
        assert 2 == len(done.stdout.strip().split("\n"))


def test_a_folder_moved_under_a_live_run(live: "subprocess.Popen[str]", filled: Path, tmp_path: Path) -> None:
    """Its process cannot find the folder any more, and says so; all that it logged is recorded where it is now."""
    run_id = run_id_of(live)
    filled.rename(tmp_path / "moved")
    live.communicate("\n", timeout=60)
    found = listed(tmp_path / "moved")
    assert {"one", "two", "live"} == found.keys()
    done = run_cli("runs", "metrics", run_id, "loss", "--csv", cwd=tmp_path / "moved")
    assert 3 == len(done.stdout.strip().split("\n"))
    check_clean(tmp_path / "moved")


# --- a disk that cannot be written


@pytest.fixture
def read_only(filled: Path, tmp_path: Path, isolated_home: Path) -> Iterator[Path]:
    """`filled`, and the home folder, on mounts that cannot be written; no index was ever made there."""
    for path in (filled / ".git" / "runstone").glob("index.sqlite*"):
        path.unlink()
    (filled / ".git" / "runstone" / "commit.lock").unlink(missing_ok=True)
    target = tmp_path / "read-only"
    target.mkdir()
    mounted: list[Path] = []
    try:
        for source, place in ((filled, target), (isolated_home, isolated_home)):
            for options in (["--bind", str(source)], ["-o", "remount,ro,bind"]):
                if shutil.which("mount") is None or os.geteuid() != 0:
                    pytest.skip("only root can mount a disk so that it cannot be written")
                done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"this machine mounts nothing: {done.stderr.strip()}")
                if options[0] == "--bind":
                    mounted.append(place)
        yield target
    finally:
        for place in mounted:
            subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_cannot_be_written_can_be_read(read_only: Path, tmp_path: Path) -> None:
    """By fresh processes, with no index and no home folder to keep one: list, show, search, diff, get, doctor."""
    with pytest.raises(OSError, match="Read-only"):
        (read_only / "x").touch()
    before = sorted(path for path in read_only.rglob("*"))
    assert {"one": ("FINISHED", 0.5), "two": ("FINISHED", 0.75)} == listed(read_only)
    shown = run_cli("runs", "show", "one", cwd=read_only)
    assert (0, True) == (shown.returncode, "a.txt" in shown.stdout)
    found = run_cli("runs", "search", "metrics.auc > 0.6", "--json", cwd=read_only)
    assert ["two"] == [row["name"] for row in json.loads(found.stdout)]
    assert 0 == run_cli("diff", "one", "two", cwd=read_only).returncode
    assert 0 == run_cli("artifacts", "get", "two", "a.txt", str(tmp_path / "out"), cwd=read_only).returncode
    assert "alpha" == (tmp_path / "out" / "a.txt").read_text()
    done = run_cli("doctor", cwd=read_only)
    assert 0 == done.returncode, done.stdout
    assert "warn  index: no file can be kept" in done.stdout
    assert 0 == run_cli("gc", "--dry-run", cwd=read_only).returncode
    assert 0 == run_cli("models", "list", cwd=read_only).returncode
    assert before == sorted(path for path in read_only.rglob("*"))


def test_writing_to_a_disk_that_cannot_be_written_says_so(read_only: Path) -> None:
    """What cannot be done is an error with a next step, and no traceback."""
    for command in ("log -m auc=1", "runs rm one", "runs amend one --reason x -p lr=1"):
        done = run_cli(*command.split(), cwd=read_only)
        assert 1 == done.returncode, (command, done.stdout)
        assert done.stderr.startswith("error: "), done.stderr
        assert "Traceback" not in done.stderr
        assert "cannot be written" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_another_owner_gets_the_advice_of_git(filled: Path) -> None:
    """The sentence is its own, with the command that trusts the folder."""
    for path in (filled, filled / ".git"):
        os.chown(path, 65534, 65534)
    done = run_cli("runs", "list", cwd=filled)
    assert 1 == done.returncode
    assert f"git config --global --add safe.directory {filled}" in done.stderr
    git("config", "--global", "--add", "safe.directory", str(filled), cwd=filled)
    assert {"one", "two"} == listed(filled).keys()
