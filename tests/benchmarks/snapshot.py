"""What the code snapshot costs among many files, beside git's own commands for the same; and what `start_run` takes."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from runstone.git.code.snapshot import take_snapshot
from runstone.git.process import run_git
from runstone.git.repository import Repository
from tests.benchmarks.measure import Report, interleave, timed
from tests.benchmarks.setting import Setting

CLEAN = "snapshot, clean"
DIRTY = "snapshot, 10 files edited, 10 new"
AGAIN = "the same once more"
STATUS = "git status, clean"
ADD = "index copied, git add -A, git write-tree"
STASH = "index copied, git stash create (no new files)"
START = "start_run, dirty"

_CALL = "import sys, json; from tests.benchmarks import snapshot; print(json.dumps(snapshot.{}(*sys.argv[1:])))"


def measure(setting: Setting) -> Report:
    """Measure in processes of their own, which see nothing of the user's settings."""
    count = setting.pick(5000, 300)
    report = Report(f"Code snapshot of {count:,} files")
    clean, dirty = make_tree(setting, count), make_tree(setting, count)
    rounds = str(setting.pick(15, 2))
    peers = "peers" if setting.peers else ""
    found = setting.python(_CALL.format("contend"), clean, dirty, rounds, peers, cwd=clean)
    for who, samples in json.loads(found).items():
        report.add(who, samples)
    report.add(START, json.loads(setting.python(_CALL.format("start_runs"), rounds, cwd=dirty)))
    report.at_most("snapshot of a clean tree", report[CLEAN].median * 1e3, 100, "ms")
    report.at_most("snapshot of a dirty tree", report[DIRTY].median * 1e3, 200, "ms")
    report.at_most("start_run", report[START].median * 1e3, 5, "ms")
    return report


def make_tree(setting: Setting, count: int) -> Path:
    """A repository with this many committed files, fifty to a folder."""
    path = setting.new_repository("code")
    for number in range(count - 5):
        file = path / f"package_{number // 50}" / f"module_{number}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"VALUE = {number}\n" * 40)
    setting.call(["git", "add", "."], path)
    setting.call(["git", "commit", "--quiet", "--message", "More"], path)
    return path


def edit(folder: Path, content: int) -> None:
    """Change ten files and make ten, each content another one than the last."""
    for number in range(10):
        (folder / f"package_{number // 5}" / f"module_{number}.py").write_text(f"EDITED = {content}\n" * 40)
        (folder / f"new_{number}.py").write_text(f"NEW = {content, number}\n" * 40)


def contend(clean: str, dirty: str, rounds: str, peers: str) -> dict[str, list[float]]:
    """The seconds that each contender takes; every dirty one finds another content, so that there is work to do."""
    contents = itertools.count()
    untouched, edited = Repository.open(clean), Repository.open(dirty)

    def ours(repo: Repository) -> float:
        return timed(lambda: take_snapshot(repo, repo.config.snapshot))

    def ours_edited() -> float:
        edit(Path(dirty), next(contents))
        return ours(edited)

    def peer(*commands: list[str]) -> Callable[[], float]:
        index, copy = Path(dirty, ".git", "index"), Path(dirty, ".git", "index-of-peer")

        def work() -> None:
            shutil.copy2(index, copy)
            for command in commands:
                run_git(command, cwd=Path(dirty), env={"GIT_INDEX_FILE": str(copy)})

        def once() -> float:
            edit(Path(dirty), next(contents))
            return timed(work)

        return once

    contenders: dict[str, Callable[[], float]] = {
        CLEAN: lambda: ours(untouched),
        DIRTY: ours_edited,
        AGAIN: lambda: ours(edited),
    }
    if peers:
        question = ["--no-optional-locks", "status", "--porcelain=v2", "--untracked-files=all"]
        contenders[STATUS] = lambda: timed(lambda: run_git(question, cwd=Path(clean)))
        contenders[ADD] = peer(["add", "-A"], ["write-tree"])
        contenders[STASH] = peer(["stash", "create"])
    interleave(contenders, 1)
    return interleave(contenders, int(rounds))


def start_runs(rounds: str) -> list[float]:
    """The seconds that `start_run` takes, of runs that are ended each before the next begins."""
    import runstone

    samples = []
    for _ in range(int(rounds) + 1):
        begun = perf_counter()
        runstone.start_run()
        samples.append(perf_counter() - begun)
        runstone.end_run()
    return samples[1:]
