"""What a run takes on the disk once git has packed it, beside MLflow's SQLite file with the same values."""

from pathlib import Path

from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.team import Team

STEPS = 10


def measure(setting: Setting) -> Report:
    """Track runs, pack, and divide what the repository grew by; likewise the growth of MLflow's file."""
    report = Report(f"Bytes a run: 10 params, 10 metrics × {STEPS} steps of random floats")
    runs = setting.pick(500, 30)
    repository = setting.new_repository()
    with Team(setting, report) as team:
        ours = team.add("runstone, packed", "runstone", repository)
        assert ours is not None
        ours("track", 1, STEPS)
        before = _packed(setting, repository)
        ours("track", runs, STEPS)
        loose = _bytes(repository / ".git" / "objects") - before
        size = _packed(setting, repository) - before
        report.add("runstone, packed", [size / runs], "B")
        report.add("runstone, before git gc", [loose / runs], "B")
        folder = setting.new_folder("mlflow")
        peer = team.add("mlflow (SQLite)", "mlflow", folder)
        if peer is not None:
            count = setting.pick(60, 5)
            peer("track", 1, STEPS)
            before = _bytes(folder)
            peer("track", count, STEPS)
            report.add("mlflow (SQLite)", [(_bytes(folder) - before) / count], "B")
    report.at_most("bytes a run, packed", report["runstone, packed"].median, 3500, "B")
    return report


def _packed(setting: Setting, repository: Path) -> int:
    setting.call(["git", "gc", "--quiet", "--prune=now"], repository)
    return _bytes(repository / ".git" / "objects")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
