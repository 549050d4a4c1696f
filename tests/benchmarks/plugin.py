"""MLflow on a repository, through the plug-in, beside MLflow on its own SQLite store: the same client and calls."""

from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.team import Team

OURS, MLFLOW = "mlflow on runstone", "mlflow (SQLite)"
WHOLE = "{}: a run of 10 params, 10 metrics and 3 tags, begun and ended"
SINGLY = "{}: such a run, a call a value"
BATCH = "{}: log_batch of 100 metrics, 5 params and 5 tags"
FIND = "{}: search_runs, filter of three, order, 10 runs"
PAGE = "{}: search_runs, filter, order, 1,000 runs"
LEAST = {WHOLE: 3, SINGLY: 3, BATCH: 3, FIND: 1, PAGE: 1}
"""How many times as fast ours has to be."""


def measure(setting: Setting) -> Report:
    """Measure both; that both find the same is a bound, too."""
    stored, size = setting.pick(10_000, 300), setting.pick(1000, 50)
    report = Report(f"MLflow on a repository with {stored:,} runs")
    with Team(setting, report) as team:
        ours = team.add(OURS, "plugin", setting.stored(stored))
        if ours is None:
            report.skipped["all"] = report.skipped.pop(OURS)
            return report
        peer = team.add(MLFLOW, "mlflow")
        if peer is not None:
            peer("fill", stored)
            found = ours("paged", size) == peer("paged", size)
            report.at_least("same answer as MLflow's: runs, in order", int(found), 1)
        rounds = setting.pick(5, 1)
        asked = {
            FIND: ("search", setting.pick(5, 2)),
            PAGE: ("page", setting.pick(3, 2), size),
            BATCH: ("log_batches", setting.pick(20, 3), 100),
            WHOLE: ("track", setting.pick(10, 2)),
            SINGLY: ("track", setting.pick(5, 2), 1, True),
        }
        for label, request in asked.items():
            team.take_turns({OURS: request, MLFLOW: request}, rounds, label=label)
    if peer is not None:
        for label, least in LEAST.items():
            ratio = report[label.format(MLFLOW)].median / report[label.format(OURS)].median
            report.at_least(label.format("MLflow / ours"), ratio, least)
    return report
