"""Clones that share runs through one bare repository: nothing to do, and all of them pushing at once."""

import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from tests.benchmarks.measure import Report, interleave
from tests.benchmarks.setting import Setting

_OURS = """
import sys
import runstone
client = runstone.Client()
print("ready", flush=True)
sys.stdin.readline()
attempts = 0
for number in range(int(sys.argv[2])):
    run = client.create_run("0", run_id=f"{sys.argv[1]}-{number}")
    client.log_metric(run.id, "loss", 1.0)
    client.set_terminated(run.id)
    attempts += client.sync().attempts
print(attempts, flush=True)
"""
_PLAIN = """
import random, subprocess, sys, time
from pathlib import Path
def git(*words):
    return subprocess.run(["git", *words], capture_output=True).returncode
print("ready", flush=True)
sys.stdin.readline()
attempts = 0
for number in range(int(sys.argv[2])):
    name = f"{sys.argv[1]}-{number}"
    Path(name).write_text("loss: 1.0\\n")
    git("add", name)
    git("commit", "--quiet", "-m", name)
    attempts += 1
    while git("push", "--quiet", "origin", "HEAD:runs"):
        time.sleep(random.uniform(0, 0.2))
        git("pull", "--quiet", "--rebase", "origin", "runs")
        attempts += 1
print(attempts, flush=True)
"""


def measure(setting: Setting) -> Report:
    """Measure the seconds a run of 8 clones that sync after each run, beside `git pull --rebase` and `git push`."""
    clones, each = 8 if not setting.quick else 3, setting.pick(20, 3)
    report = Report(f"{clones} clones × {each} runs through one bare repository, a sync each")
    idle = _idle(setting)
    faults: list[str] = []
    attempts: list[int] = []

    def ours() -> float:
        places, remote = _clones(setting, clones)
        seconds, tried = _all_at_once(setting, _OURS, places, each)
        attempts.append(tried)
        faults.extend(_check(setting, places, remote, clones * each))
        return seconds / (clones * each)

    def plain() -> float:
        places, _ = _clones(setting, clones)
        for place in places:
            setting.call(["git", "switch", "--quiet", "--create", "runs", "origin/runs"], place)
        return _all_at_once(setting, _PLAIN, places, each)[0] / (clones * each)

    contenders = {"runstone, a run": ours} | ({"git pull --rebase, a commit": plain} if setting.peers else {})
    for who, samples in interleave(contenders, setting.pick(3, 1)).items():
        report.add(who, samples)
    report.add("sync with nothing to do, CPU", idle, against="sync with nothing to do, CPU")
    report.at_most("sync with nothing to do, CPU, least", min(idle) * 1000, 300, "ms")
    report.at_least("runs a second", 1 / report["runstone, a run"].median, 2)
    report.at_most("runs lost, doubled or out of line, or complaints of git fsck --strict", len(faults), 0)
    report.notes += faults[:5]
    report.notes.append(f"{sum(attempts) / len(attempts) / (clones * each):.2f} pushes a run until one was taken")
    return report


def _clones(setting: Setting, count: int) -> tuple[list[Path], Path]:
    """Clones of one bare repository whose branch of runs has been begun; each with an identity."""
    first = setting.new_repository("first")
    remote = setting.new_folder("remote") / "remote.git"
    setting.call(["git", "clone", "--quiet", "--bare", first, remote], first)
    setting.call(["git", "remote", "add", "origin", remote], first)
    setting.call([sys.executable, "-m", "runstone", "log", "-m", "loss=1"], first)
    setting.call([sys.executable, "-m", "runstone", "sync"], first)
    places = []
    for number in range(count):
        place = setting.new_folder("clone") / "repository"
        setting.call(["git", "clone", "--quiet", remote, place], first)
        setting.call(["git", "config", "user.name", f"Person {number}"], place)
        setting.call(["git", "config", "user.email", "person@example.org"], place)
        places.append(place)
    return places, remote


def _all_at_once(setting: Setting, code: str, places: list[Path], each: int) -> tuple[float, int]:
    """Let a process in each clone do its work, all at one time.

    Returns:
        Seconds from the first start to the last end; how many pushes were tried.
    """
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"c{number}", str(each)],
            cwd=place,
            env=setting.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, place in enumerate(places)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        begun = perf_counter()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        said = [worker.communicate()[0] for worker in workers]
        return perf_counter() - begun, sum(map(int, said))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _check(setting: Setting, places: list[Path], remote: Path, count: int) -> list[str]:
    """What is wrong after a last pull: each clone must have each run once, in one line, and git must find no fault."""
    faults = []
    for place in [*places, remote]:
        if place != remote:
            setting.call([sys.executable, "-m", "runstone", "pull"], place)
        listed = setting.call(["git", "ls-tree", "-r", "--name-only", "runs"], place).split()
        runs = {path for path in listed if path.endswith("/run.yaml")}
        line = setting.call(["git", "log", "--first-parent", "--format=%s", "runs"], place).splitlines()
        recorded = sum(subject.startswith("Record run ") for subject in line)
        if (len(runs), recorded) != (count + 1, count + 1):
            faults.append(f"{place}: {len(runs)} runs in {recorded} commits, and not {count + 1}")
        faults += setting.call(["git", "fsck", "--strict", "--no-dangling", "--no-progress"], place).splitlines()
    return faults


def _idle(setting: Setting) -> list[float]:
    """The CPU seconds of whole processes, git's included, that sync where nothing is to be done."""
    (place,), _ = _clones(setting, 1)
    store = setting.new_folder("store")
    setting.call([sys.executable, "-m", "runstone", "init", "--remote", str(store)], place)
    (place / "a.txt").write_text("a")
    code = "import runstone\nwith runstone.start_run(): runstone.log_artifact('a.txt')"
    setting.python(code, cwd=place)
    command = [sys.executable, "-m", "runstone", "sync"]
    setting.call(command, place)
    samples = []
    for _ in range(setting.pick(11, 3)):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        setting.call(command, place)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        samples.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return samples
