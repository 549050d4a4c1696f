"""`search_runs`: with filter, order and limit, and all runs as a DataFrame; the same asked of MLflow."""

from tests.benchmarks.contenders import FILTER, LIMIT, ORDER
from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.team import Team

OURS = "runstone"
MLFLOW = "mlflow (SQLite)"
FIND = "{}: filter, order, limit"
FRAME = "{}: all as a DataFrame"


def measure(setting: Setting) -> Report:
    """Measure both over 10,000 equal runs, and check that both give the same answer."""
    stored = setting.pick(10_000, 500)
    report = Report(f"search_runs over {stored:,} runs")
    with Team(setting, report) as team:
        ours = team.add(OURS, "runstone", setting.stored(stored))
        assert ours is not None
        peer = team.add(MLFLOW, "mlflow")
        if peer is not None:
            peer("fill", stored)
        found, shape = ours("found"), ours("shape")
        if peer is not None:
            report.at_least("same answer as MLflow's: runs, in order", int(found == peer("found")), 1)
            report.at_least("same table as MLflow's: rows and columns", int(shape == peer("shape")), 1)
        finds = {OURS: ("search", setting.pick(20, 5)), MLFLOW: ("search", 2)}
        team.take_turns(finds, setting.pick(5, 1), label=FIND)
        frames = {OURS: ("frame", setting.pick(3, 2)), MLFLOW: ("frame", 1)}
        team.take_turns(frames, setting.pick(3, 1), label=FRAME)
    for label, limit in ((FIND, 15), (FRAME, 250)):
        median = report[label.format(OURS)].median
        report.at_most(label.format(OURS), median * 1e3, limit, "ms")
        if peer is not None:
            report.notes.append(f"{label.format('MLflow / ours')}: {report[label.format(MLFLOW)].median / median:,.0f}")
    report.notes.append(f"{FILTER}; {', '.join(ORDER)}; {len(found)} of at most {LIMIT}; table of {shape}")
    return report
