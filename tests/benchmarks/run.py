"""A whole run — 10 params, 10 metrics, 3 tags — from its start until it is committed and synced, warm."""

from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.team import Team

STORED = 10_000
OURS = "runstone"
FULL = "runstone, {:,} stored runs"
MLFLOW = "mlflow (SQLite)"
SACRED = "sacred (FileStorageObserver)"
TRACKIO = "trackio (offline)"
SINGLY = "{}, 23 single calls"


def measure(setting: Setting) -> Report:
    """Measure ours in an empty and in a full repository, beside MLflow, Sacred and Trackio.

    Ours and MLflow's are measured twice: with `log_params`, `log_metrics` and `set_tags`, and, as most scripts are
    written, with a call for each value. Sacred and Trackio have one way. None of the peers but SQLite syncs.
    """
    report = Report("A run with 10 params, 10 metrics, 3 tags: start to committed and synced")
    stored = setting.pick(STORED, 1000)
    full = FULL.format(stored)
    with Team(setting, report) as team:
        team.add(OURS, "runstone", setting.new_repository())
        at_full = team.add(full, "runstone", setting.stored(stored))
        team.add(MLFLOW, "mlflow")
        team.add(SACRED, "sacred")
        team.add(TRACKIO, "trackio")
        assert at_full is not None
        at_full("use", "experiment-0")  # where the stored runs are: the fullest trees
        for who, worker in team.workers.items():
            worker("track", 3 if who == MLFLOW else setting.pick(20, 5))
        rounds, many, few = setting.pick(10, 2), setting.pick(20, 5), setting.pick(4, 2)
        counts = {OURS: many, full: many, MLFLOW: few, SACRED: many, TRACKIO: many}
        team.take_turns({who: ("track", count) for who, count in counts.items()}, rounds)
        singly = {OURS: ("track", many, 1, True), MLFLOW: ("track", few, 1, True)}
        team.take_turns(singly, setting.pick(5, 1), label=SINGLY)
    ours = report[OURS].median
    report.at_most("median", ours * 1e3, 8, "ms")
    for peer in (SACRED, TRACKIO):
        if peer in report:
            report.at_least(f"times {peer}", report[peer].median / ours, 1)
    if MLFLOW in report:
        singly_ratio = report[SINGLY.format(MLFLOW)].median / report[SINGLY.format(OURS)].median
        report.at_least(f"times {SINGLY.format(MLFLOW)}", singly_ratio, 15)
        report.notes.append(f"With three calls for the 23 values: {report[MLFLOW].median / ours:.3g} times MLflow.")
    ratio = report[full].median / ours
    report.at_most(f"{stored:,} stored runs against none", ratio, 1.2)
    report.at_least(f"{stored:,} stored runs against none", ratio, 0.8)
    return report
