"""`log_metric`: the full fluent call, in an active run, kill-safe when it returns."""

from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.team import Team
from tests.benchmarks.worker import Worker

OURS = "runstone.log_metric"
MLFLOW = "mlflow.log_metric (SQLite)"


def measure(setting: Setting) -> Report:
    """Measure ours beside MLflow, Sacred (into memory), Trackio (into a queue) and a bare `os.write` of a line."""
    report = Report("log_metric: one call, of a run that is open")
    rounds = setting.pick(10, 2)
    with Team(setting, report) as team:
        team.add(OURS, "runstone", setting.new_repository())
        team.add(MLFLOW, "mlflow")
        team.add("sacred log_scalar (memory)", "sacred")
        team.add("trackio.log (queue)", "trackio")
        team.add("os.write of a line", "write")
        for worker in team.workers.values():
            worker("log", 3, 1)
        requests = {
            OURS: ("log", setting.pick(100, 20), 100),
            MLFLOW: ("log", setting.pick(30, 5), 1),
            "sacred log_scalar (memory)": ("log", setting.pick(50, 10), 100),
            "trackio.log (queue)": ("log", setting.pick(50, 10), 10),
            "os.write of a line": ("log", setting.pick(100, 20), 100),
        }
        team.take_turns(requests, rounds, unit="us")
    ours = report[OURS]
    report.notes.append("A sample is the mean of a block: 100 calls; MLflow 1, Trackio 10.")
    report.at_most("log_metric", ours.median * 1e6, 5, "us")
    if MLFLOW in report:
        report.at_least("times MLflow's SQLite store", report[MLFLOW].median / ours.median, 1000)
    calls = setting.pick(20_000, 500)
    report.at_least(f"kept of {calls:,} calls after kill -9", kept_after_kill(setting, calls), calls)
    return report


def kept_after_kill(setting: Setting, calls: int) -> int:
    """How many values of a killed run are in its history."""
    repository = setting.new_repository()
    worker = Worker(setting, "runstone", repository)
    worker.ask("log_and_die", calls)
    worker.process.wait()
    worker.close()
    code = "import runstone\nprint(len(runstone.Client().get_metric_history('killed', 'loss')))"
    return int(setting.python(code, cwd=repository))
