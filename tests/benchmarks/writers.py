"""Many processes that track into one repository at once: nothing is lost, and none waits long."""

from pathlib import Path
from time import perf_counter

from tests.benchmarks.measure import Report, interleave
from tests.benchmarks.setting import Setting
from tests.benchmarks.worker import Worker


def measure(setting: Setting) -> Report:
    """Measure the seconds a run of 16 writers and of one alone, in turn, each time in a new repository."""
    processes, each = 16 if not setting.quick else 4, setting.pick(50, 5)
    report = Report(f"{processes} processes × {each} runs on one repository")
    lost: list[int] = []
    faults: list[str] = []
    waits: list[float] = []

    def write(count: int, runs: int) -> float:
        repository = setting.new_repository()
        taken, ended = _write(setting, repository, count, runs)
        ids = ended.keys()
        waits[:] = ended.values()
        listed = setting.call(["git", "ls-tree", "-r", "--name-only", "runs"], repository).splitlines()
        recorded = {Path(path).parent.name for path in listed if path.endswith("/run.yaml")}
        lost.append(len(ids - recorded))
        faults.extend(setting.call(["git", "fsck", "--strict", "--no-dangling"], repository).splitlines())
        return taken / len(ids)

    alone, together = "one writer, a run", f"{processes} writers, a run"
    contenders = {together: lambda: write(processes, each), alone: lambda: write(1, each * 4)}
    for who, samples in interleave(contenders, setting.pick(3, 1)).items():
        report.add(who, samples)
    crowd, few = 64 if not setting.quick else 8, setting.pick(20, 3)
    write(crowd, few)
    waits.sort()
    report.at_most(f"ending a run, p99 of {crowd} processes × {few}", waits[len(waits) * 99 // 100], 5, "s")
    report.at_most("runs lost", sum(lost), 0)
    report.at_most("complaints of git fsck --strict", len(faults), 0)
    ratio = report[alone].median / report[together].median
    report.at_least(f"throughput of {processes} writers against one", ratio, 1)
    report.notes.append(
        f"{1 / report[together].median:,.0f} runs a second together, {1 / report[alone].median:,.0f} alone"
    )
    return report


def _write(setting: Setting, repository: Path, processes: int, runs: int) -> tuple[float, dict[str, float]]:
    """Let processes track at once, each after a first run of its own.

    Returns:
        Seconds from the first start to the last end; run id → seconds that ending it took.
    """
    workers = [Worker(setting, "runstone", repository) for _ in range(processes)]
    try:
        for worker in workers:
            worker("track", 1)
        begun = perf_counter()
        for worker in workers:
            worker.ask("track_ids", runs)
        ended = {run_id: seconds for worker in workers for run_id, seconds in worker.answer()}
        return perf_counter() - begun, ended
    finally:
        for worker in workers:
            worker.close()
