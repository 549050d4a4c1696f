"""Whole runs where things go wrong: odd repositories, kills, full disks, many processes. Nothing is lost.

Source: the list "Bad input and faults" of the reports these tests answer to.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.errors import ParamConflict
from runstone.git.repository import Repository
from runstone.git.runs.branch import read_runs
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.read import need_recorded
from runstone.tracking.run import join_run, resume_run, start_run
from runstone.tracking.workspace import Workspace
from tests.git.support import FULL, check_clean, journals, public_repository, values
from tests.support import SOURCE, git, make_repository, run_python

START = """
import os, sys
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import join_run, resume_run, start_run
from runstone.tracking.workspace import Workspace
workspace = Workspace.open(sys.argv[1])
"""


def fingerprint(path: Path) -> dict[str, str]:
    """All files of a repository that are the user's: work tree, index, HEAD, configuration, branches but `runs`."""
    inside = ("runstone/", "objects/", "logs/", "refs/heads/runs")
    found = {}
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path).as_posix()
        if file.is_file() and not relative.removeprefix(".git/").startswith(inside):
            found[relative] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def log_whole_run(path: Path) -> str:
    """Track one run of everything a run may hold, and return its id."""
    workspace = Workspace.open(path)
    with start_run(workspace, ensure_experiment(workspace.repo, "Odd Places"), tags={"k": "v"}) as run:
        run.log_params({"lr": 0.1, "deep": {"a": [1, None]}})
        for step in range(3):
            run.log_metric("loss", 1.0 / (step + 1), step)
        run.log_bytes(b"content", "folder/file.txt")
        run.set_note("a note")
    return run.id


def plain(tmp: Path) -> Path:
    """An ordinary repository."""
    return make_repository(tmp / "plain")


def dirty(tmp: Path) -> Path:
    """A repository with a staged file, an edited one, and one that git does not know."""
    path = make_repository(tmp / "dirty")
    (path / "staged").write_text("1")
    git("add", "staged", cwd=path)
    (path / "train.py").write_text("edited")
    (path / "unknown").write_text("2")
    return path


def sha256(tmp: Path) -> Path:
    """A repository whose objects are named by SHA-256."""
    path = tmp / "sha256"
    git("init", "-q", "-b", "main", "--object-format=sha256", path, cwd=tmp)
    git("-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "x", cwd=path)
    return path


def bare(tmp: Path) -> Path:
    """A bare repository."""
    git("clone", "-q", "--bare", make_repository(tmp / "origin"), tmp / "bare.git", cwd=tmp)
    return tmp / "bare.git"


def linked(tmp: Path) -> Path:
    """A linked work tree."""
    git("worktree", "add", "-q", tmp / "linked", cwd=make_repository(tmp / "origin"))
    return tmp / "linked"


def submodule(tmp: Path) -> Path:
    """A submodule."""
    outer = make_repository(tmp / "outer")
    inner = make_repository(tmp / "inner")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner, "sub", cwd=outer)
    return outer / "sub"


def no_commit(tmp: Path) -> Path:
    """A repository without any commit."""
    return make_repository(tmp / "empty", commit=False)


def detached(tmp: Path) -> Path:
    """A detached HEAD."""
    path = make_repository(tmp / "detached")
    git("checkout", "-q", "--detach", cwd=path)
    return path


def shallow(tmp: Path) -> Path:
    """A clone of depth 1."""
    origin = make_repository(tmp / "origin")
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=origin)
    git("clone", "-q", "--depth", "1", f"file://{origin}", tmp / "shallow", cwd=tmp)
    return tmp / "shallow"


def nameless(tmp: Path) -> Path:
    """No user.name anywhere."""
    path = make_repository(tmp / "nameless")
    git("config", "--remove-section", "user", cwd=path)
    return path


def signing(tmp: Path) -> Path:
    """`commit.gpgsign` without a key, and line ends that are converted."""
    path = make_repository(tmp / "signing")
    git("config", "commit.gpgsign", "true", cwd=path)
    git("config", "core.autocrlf", "true", cwd=path)
    return path


def symlinked(tmp: Path) -> Path:
    """A path that leads over a symbolic link."""
    (tmp / "link").symlink_to(make_repository(tmp / "real"), target_is_directory=True)
    return tmp / "link"


def runs_checked_out_elsewhere(tmp: Path) -> Path:
    """A repository with packed refs and a commit-graph, garbage collected."""
    path = make_repository(tmp / "packed")
    git("gc", "--quiet", cwd=path)
    return path


SHAPES = [plain, dirty, sha256, bare, linked, submodule, no_commit, detached, shallow, nameless, signing, symlinked]
SHAPES.append(runs_checked_out_elsewhere)


@pytest.mark.parametrize("shape", SHAPES)
def test_odd_repository(tmp_path: Path, shape: Callable[[Path], Path]) -> None:
    """In every shape of repository a run is recorded whole, and nothing of the user's changes by one byte."""
    path = shape(tmp_path)
    before = fingerprint(path)
    status = git("status", "--porcelain", cwd=path) if shape is not bare else ""
    run_id = log_whole_run(path)
    workspace = Workspace.open(path)
    run = need_recorded(workspace, run_id)
    assert "FINISHED" == run.run.status
    assert {"lr": 0.1, "deep": {"a": [1, None]}} == run.run.params
    assert [1.0, 0.5, 1.0 / 3] == values(run)
    assert {"metrics.tsv", "notes.md", "artifacts.dvc", "requirements.txt"} == set(run.files)
    assert before == fingerprint(path)
    if shape is not bare:
        assert status == git("status", "--porcelain", cwd=path)
        code, _ = workspace.repo.git("rev-parse", "-q", "--verify", "HEAD", allowed=(0, 1))
        assert (None if code else git("rev-parse", "HEAD", cwd=path)) == run.run.source.commit
    workspace.repo.close()
    check_clean(path)


def test_git_dir_in_the_environment(tmp_path: Path) -> None:
    """A training started from a hook of another repository tracks to its own."""
    path, other = make_repository(tmp_path / "mine"), make_repository(tmp_path / "other")
    before = fingerprint(other)
    env = {"GIT_DIR": f"{other}/.git", "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": f"{other}/.git/index"}
    code = START + "start_run(workspace, ensure_experiment(workspace.repo, 'Default'), run_id='r1').end()"
    run_python(code, ".", cwd=path, env=env)
    assert git("rev-parse", "HEAD", cwd=path) == need_recorded(Workspace.open(path), "r1").run.source.commit
    assert before == fingerprint(other)
    assert "" == git("branch", "--list", "runs", cwd=other)


LOGGER = (
    START
    + """

run = start_run(workspace, ensure_experiment(workspace.repo, "Default"), run_id=sys.argv[2])
out = sys.stdout.fileno()
os.write(out, b"begun\\n")
n = 0
while True:
    if n % 50 == 49:
        run.log_params({f"p{n}": n})
        os.write(out, b"p %d\\n" % n)
    else:
        run.log_metric("loss", float(n), n)
        os.write(out, b"m %d\\n" % n)
    n += 1
"""
)


def test_kill_at_a_random_moment(git_repo: Path) -> None:
    """Whatever a process had been told is logged when it was killed is recorded; 100 times in the long form."""
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    workspace = Workspace.open(git_repo)
    expected: dict[str, list[str]] = {}
    for number in range(100 if FULL else 15):
        run_id = f"killed-{number}"
        command = [sys.executable, "-c", LOGGER, str(git_repo), run_id]
        env = {**os.environ, "PYTHONPATH": str(SOURCE)}
        with subprocess.Popen(command, cwd=git_repo, stdout=subprocess.PIPE, env=env) as process:
            assert process.stdout is not None
            assert b"begun\n" == process.stdout.readline()
            time.sleep(dice.uniform(0, 0.05))
            process.kill()
            told = process.stdout.read()
        expected[run_id] = told[: told.rfind(b"\n") + 1].decode().split("\n")[:-1]
        if number % 5 == 4:
            workspace.recover()
    workspace.recover()
    for run_id, lines in expected.items():
        run = need_recorded(workspace, run_id)
        points = values(run) if "metrics.tsv" in run.files else []
        logged = {f"m {int(value)}" for value in points} | {f"p {value}" for value in run.run.params.values()}
        assert set(lines) <= logged, f"seed {seed}"
        assert len(logged) <= len(lines) + 1, f"seed {seed}: more than was logged"
        assert len(points) == len(set(points)), f"seed {seed}: a point was counted twice"
        assert "FAILED" == run.run.status
    assert [] == journals(workspace.repo)
    check_clean(git_repo)


def test_kill_while_runs_are_recorded(git_repo: Path) -> None:
    """Processes that do nothing but begin and end runs, killed at random: each run they saw end is there, once."""
    code = (
        START
        + """
experiment = ensure_experiment(workspace.repo, "Default")
for n in range(1000):
    run = start_run(workspace, experiment, run_id=f"{sys.argv[2]}-{n}")
    run.log_metric("loss", float(n), n)
    run.end()
    os.write(1, b"%d\\n" % n)
"""
    )
    dice = random.Random(3)
    workspace = Workspace.open(git_repo)
    ended = []
    for number in range(60 if FULL else 8):
        command = [sys.executable, "-c", code, str(git_repo), f"w{number}"]
        env = {**os.environ, "PYTHONPATH": str(SOURCE)}
        with subprocess.Popen(command, cwd=git_repo, stdout=subprocess.PIPE, env=env) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(dice.uniform(0, 0.04))
            process.kill()
            told = first + process.stdout.read()
        ended += [f"w{number}-{line}" for line in told[: told.rfind(b"\n") + 1].decode().split()]
    workspace.recover()
    for run_id in ended:
        run = need_recorded(workspace, run_id)
        assert ("FINISHED", 1) == (run.run.status, run.run.metrics["loss"].count)
    ids = git("log", "--first-parent", "--format=%(trailers:key=Run,valueonly)", "runs", cwd=git_repo).split()
    assert len(ids) == len(set(ids)), "a run was recorded twice"
    assert [] == journals(workspace.repo)
    check_clean(git_repo)


def test_many_processes_lose_nothing(git_repo: Path) -> None:
    """16 processes with a few runs each on one repository: every run and point is there, on one line of commits."""
    code = (
        START
        + """
experiment = ensure_experiment(workspace.repo, "Default")
for n in range(int(sys.argv[3])):
    with start_run(workspace, experiment, run_id=f"{sys.argv[2]}-{n}") as run:
        run.log_params({"n": n})
        run.log_metrics({"a": n, "b": -n})
"""
    )
    runs = 50 if FULL else 4
    failures: list[str] = []

    def work(name: str) -> None:
        done = run_python(code, str(git_repo), name, str(runs), cwd=git_repo, check=False)
        if done.returncode:
            failures.append(done.stderr)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == failures
    workspace = Workspace.open(git_repo)
    for number in range(16):
        for n in range(runs):
            run = need_recorded(workspace, f"w{number}-{n}").run
            assert ("FINISHED", {"n": n}, float(n)) == (run.status, run.params, run.metrics["a"].last)
    ids = git("log", "--first-parent", "--format=%(trailers:key=Run,valueonly)", "runs", cwd=git_repo).split()
    assert 16 * runs == len(ids) == len(set(ids))
    assert [] == journals(workspace.repo)
    check_clean(git_repo)


def test_processes_of_one_run(git_repo: Path) -> None:
    """Six processes log to one run at once, one is killed: all that was said is in its one record."""
    workspace = Workspace.open(git_repo)
    run = start_run(workspace, ensure_experiment(workspace.repo, "Default"))
    run.log_params({"shared": 1})
    code = (
        START
        + """
run = join_run(workspace, sys.argv[2])
for n in range(200):
    run.log_metric("loss", float(n), n)
run.log_params({"of-" + sys.argv[3]: True})
if sys.argv[3] == "5":
    os.kill(os.getpid(), 9)
run.end()
"""
    )
    threads = [
        threading.Thread(
            target=run_python, args=(code, str(git_repo), run.id, str(n)), kwargs={"cwd": git_repo, "check": False}
        )
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.end()
    found = need_recorded(workspace, run.id).run
    assert 6 * 200 == found.metrics["loss"].count
    assert {"shared": 1, **{f"of-{n}": True for n in range(6)}} == found.params
    assert ("FINISHED", []) == (found.status, journals(workspace.repo))
    check_clean(git_repo)


def test_resume_and_late_joiner(git_repo: Path) -> None:
    """A run that is taken up again twice, and added to after its end, holds each point once and all its attempts."""
    workspace = Workspace.open(git_repo)
    run = start_run(workspace, ensure_experiment(workspace.repo, "Default"))
    run.log_metric("loss", 1.0, 0)
    run.end("FAILED")
    again = resume_run(workspace, run.id)
    again.log_metric("loss", 2.0, 1)
    again.log_params({"lr": 1})
    with pytest.raises(ParamConflict):
        again.log_params({"lr": 2})
    again.end()
    late = join_run(workspace, run.id)
    late.log_metric("loss", 3.0, 2)
    late.end()
    found = need_recorded(workspace, run.id)
    assert [1.0, 2.0, 3.0] == values(found)
    assert ["FAILED", "FINISHED"] == [attempt["status"] for attempt in found.run.attempts]
    assert ("FINISHED", 3.0, {"lr": 1}) == (found.run.status, found.run.metrics["loss"].last, found.run.params)
    check_clean(git_repo)


def test_full_disk_at_the_end_of_a_run(git_repo: Path) -> None:
    """No room when the run ends: it says so, the journal stays, and `recover` records the run as it ended."""
    code = (
        START
        + """
import random, resource
from runstone.errors import DiskFull
run = start_run(workspace, ensure_experiment(workspace.repo, "Default"), run_id="r1")
for n in range(3000):
    run.log_metric("loss", random.random(), n)
run._capture.wait()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (run._writer.path.stat().st_size + 200, hard))


try:
    run.log_params({"long": "x" * 1000})
except DiskFull as error:
    print(error)
run.log_metric("loss", 0.5, 3000)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
run.end()
"""
    )
    done = run_python(code, str(git_repo), cwd=git_repo)
    assert "Nothing of this call was recorded, and what was recorded before is safe." in done.stdout
    run = need_recorded(Workspace.open(git_repo), "r1")
    assert (3001, {}) == (len(values(run)), run.run.params)
    check_clean(git_repo)


def test_interrupt_while_a_run_ends(git_repo: Path) -> None:
    """Ctrl-C at every moment of an end: after `recover` the run is there once, and the repository is sound."""
    code = (
        START
        + """
import faulthandler, signal
faulthandler.dump_traceback_later(30, exit=True)  # a hang then says where
signal.signal(signal.SIGALRM, signal.default_int_handler)
experiment = ensure_experiment(workspace.repo, "Default")
cut = 0
for n in range(60):
    run = start_run(workspace, experiment, run_id=f"r{n:02}")
    run.log_metric("loss", float(n), n)
    run._capture.wait()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.00005 + n * 0.0001)
        run.end()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        cut += 1
print(cut)
"""
    )
    done = run_python(code, str(git_repo), cwd=git_repo)
    assert int(done.stdout) >= 10
    workspace = Workspace.open(git_repo)
    workspace.recover()
    for n in range(60):
        run = need_recorded(workspace, f"r{n:02}")
        assert [float(n)] == values(run)
    assert [] == journals(workspace.repo)
    assert not (git_repo / ".git" / "refs" / "heads" / "runs.lock").exists()
    check_clean(git_repo)


def test_fork_in_the_middle_of_everything(git_repo: Path) -> None:
    """Children forked by one thread while others log and end runs neither hang nor spoil anything."""
    code = (
        START
        + """
import threading
experiment = ensure_experiment(workspace.repo, "Default")
stop = threading.Event()
def work(name):
    n = 0
    while not stop.is_set():
        run = start_run(workspace, experiment, run_id=f"{name}-{n}")
        run.log_metric("loss", 1.0)
        run.end()
        n += 1
threads = [threading.Thread(target=work, args=(f"t{k}",)) for k in range(3)]
warm = start_run(workspace, experiment)   # a module being imported by another thread stays locked in a forked child
warm.end()
for thread in threads: thread.start()
codes = []
for k in range(12):
    pid = os.fork()
    if pid == 0:
        run = start_run(workspace, experiment, run_id=f"child-{k}")
        run.log_metric("loss", 1.0)
        run.end()
        os._exit(0)
    codes.append(os.waitpid(pid, 0)[1])
stop.set()
for thread in threads: thread.join()
print(codes)
"""
    )
    done = run_python(code, str(git_repo), cwd=git_repo, timeout_s=60)
    assert f"{[0] * 12}\n" == done.stdout
    workspace = Workspace.open(git_repo)
    workspace.recover()
    for k in range(12):
        assert "FINISHED" == need_recorded(workspace, f"child-{k}").run.status
    check_clean(git_repo)


def test_no_permission_is_asked_of_signals(git_repo: Path) -> None:
    """SIGTERM in the middle of logging ends the run as KILLED, with all it had logged."""
    code = START + (
        "import time; run = start_run(workspace, ensure_experiment(workspace.repo, 'Default'), run_id='r1')\n"
        "run.log_metric('loss', 1.0); print('on', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(git_repo)]
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(command, cwd=git_repo, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert b"on\n" == process.stdout.readline()
        process.send_signal(signal.SIGTERM)
    run = need_recorded(Workspace.open(git_repo), "r1").run
    assert ("KILLED", 1.0) == (run.status, run.metrics["loss"].last)


def test_public_repository_of_the_helpers() -> None:
    """The repository that other users can reach is a sound one, so that the tests upon it mean something."""
    with public_repository() as path:
        assert read_runs(Repository.open(path)).tip is None
        check_clean(path)
