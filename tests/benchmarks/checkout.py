"""`runstone checkout`: a run's code, record and artifacts as a folder, beside `git worktree add` of the same commit."""

import sys
from pathlib import Path

from tests.benchmarks.measure import Report, interleave, timed
from tests.benchmarks.setting import Setting, random_file, remove
from tests.benchmarks.start import PROGRAM

GIT = "git worktree add"
OURS = "runstone checkout"
ARTIFACTS = 20

_RUN = """
import sys, runstone
with runstone.start_run(run_name="past"):
    runstone.log_params({"lr": 0.1, "depth": 3})
    for step in range(100):
        runstone.log_metric("loss", 1 / (step + 1), step)
    runstone.log_artifacts(sys.argv[1])
"""


def measure(setting: Setting) -> Report:
    """Measure the whole command, the start of Python included, and git's own, in turn; artifacts are in the cache."""
    files = setting.pick(5000, 200)
    report = Report(f"Check a run out: a tree of {files:,} files, {ARTIFACTS} artifacts of 100 KB")
    repository = setting.new_repository()
    for number in range(files):
        folder = repository / f"package_{number % 50:02}"
        folder.mkdir(exist_ok=True)
        (folder / f"module_{number:04}.py").write_text(f"VALUE = {number}\n" * 100)
    setting.call(["git", "add", "."], repository)
    setting.call(["git", "commit", "--quiet", "--message", "Many files"], repository)
    setting.call(["git", "gc", "--quiet"], repository)
    artifacts = setting.new_folder("artifacts")
    for number in range(ARTIFACTS):
        random_file(artifacts / f"artifact_{number:02}.bin", 100_000, number)
    setting.python(_RUN, artifacts, cwd=repository)
    target = repository.with_name("checked-out")
    ours: list[str | Path] = [sys.executable, "-c", PROGRAM, "checkout", "past", target, "--quiet"]
    theirs: list[str | Path] = ["git", "worktree", "add", "--detach", target, "HEAD"]

    def git() -> float:
        return _turn(setting, repository, target, theirs)

    def runstone() -> float:
        return _turn(setting, repository, target, ours)

    turns = {GIT: git, OURS: runstone}
    for turn in turns.values():
        turn()  # each once unseen: byte code, the index of runs, a warm disk
    samples = interleave(turns, setting.pick(15, 2))
    for who in (GIT, OURS):
        report.add(who, samples[who])
    report.at_most(f"{OURS} / {GIT}", report[OURS].median / report[GIT].median, 2)
    return report


def _turn(setting: Setting, repository: Path, target: Path, command: list[str | Path]) -> float:
    """How long one checkout takes; it is removed again."""
    took = timed(lambda: setting.call(command, repository))
    remove(target)
    setting.call(["git", "worktree", "prune"], repository)
    return took
