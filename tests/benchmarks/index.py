"""The index: made from nothing, and brought up to date after one new run."""

from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.team import Team


def measure(setting: Setting) -> Report:
    """Measure in a repository of 10,000 runs; no peer has such a thing."""
    stored = setting.pick(10_000, 1000)
    report = Report(f"The index of {stored:,} runs")
    with Team(setting, report) as team:
        worker = team.add("runstone", "runstone", setting.stored(stored))
        assert worker is not None
        team.take_turns({"runstone": ("rebuild", 1)}, setting.pick(5, 2), unit="s", label="index from nothing")
        worker("refresh", 2)
        rounds = setting.pick(10, 2)
        team.take_turns({"runstone": ("refresh", 4)}, rounds, label="after one new run")
        indexed = worker("indexed")
    report.at_most("index from nothing", report["index from nothing"].median, 4, "s")
    report.at_most("after one new run", report["after one new run"].median * 1e3, 20, "ms")
    report.at_least("runs in the index", indexed, stored + 2 + 4 * rounds)
    return report
