"""Packaging a model: to log a forest of scikit-learn, warm, and to load one by its alias in a new process.

What the framework's own import takes is no matter of ours: the processes that load have done it before they begin,
and have collected the garbage of it, which takes 80 ms and would fall to whoever makes the next thousand objects.
"""

import json
from pathlib import Path

from tests.benchmarks.measure import Report, interleave
from tests.benchmarks.registry import Contender
from tests.benchmarks.setting import Setting

OURS, MLFLOW = "runstone", "MLflow"
LOG, LOAD = "log_model", "load_model cold"
_MODEL = """
import sys, warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
x, y = load_diabetes(return_X_y=True, as_frame=True)
forest = RandomForestRegressor(n_estimators=int(sys.argv[1]), random_state=0).fit(x, y)
"""
_TURNS = """
import json
from time import perf_counter
print("ready", flush=True)
for line in sys.stdin:
    _, first, count = map(int, line.split())
    samples = []
    for number in range(first, first + count):
        begun = perf_counter()
        log(number)
        samples.append(perf_counter() - begun)
    print(json.dumps(samples), flush=True)
"""
_OURS = (
    _MODEL
    + """
import runstone as api, runstone.sklearn
from runstone.models import infer_signature
signature = infer_signature(x, forest.predict(x))
run = api.start_run()
def log(number):
    api.sklearn.log_model(forest, name=f"m{number}", signature=signature)
"""
    + _TURNS
    + """
api.end_run()
api.register_model(f"runs:/{run.info.run_id}/m1", "m")
api.Client().set_registered_model_alias("m", "champion", 1)
"""
)
_MLFLOW = (
    _MODEL
    + """
import logging
import mlflow as api, mlflow.sklearn
from mlflow.models import infer_signature
logging.disable()
api.set_tracking_uri("sqlite:///mlflow.db")
signature = infer_signature(x, forest.predict(x))
run = api.start_run()
made = {}
def log(number):
    made[number] = api.sklearn.log_model(
        forest, name=f"m{number}", signature=signature, serialization_format="cloudpickle"
    )
"""
    + _TURNS
    + """
api.end_run()
api.register_model(made[1].model_uri, "m")
api.MlflowClient().set_registered_model_alias("m", "champion", 1)
"""
)
_LOAD = """
import json, sys, warnings
from time import perf_counter
warnings.simplefilter("ignore")
import gc
import pandas, sklearn.ensemble
gc.collect()
if sys.argv[1] == "mlflow":
    import os
    os.environ["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow.db"
begun = perf_counter()
if sys.argv[1] == "mlflow":
    from mlflow import sklearn as flavor
else:
    from runstone import sklearn as flavor
imported = perf_counter()
flavor.load_model("models:/m@champion")
print(json.dumps([imported - begun, perf_counter() - begun]))
"""


def measure(setting: Setting) -> Report:
    """Log in turn with MLflow, in one process each, warm; then load in processes of their own, in turn."""
    trees, rounds = setting.pick(100, 5), setting.pick(7, 1)
    report = Report(f"A forest of {trees} trees grown to the end, 442 rows of ten columns, with a signature")
    programs = {OURS: _OURS}
    if setting.peers:
        programs[MLFLOW] = _MLFLOW
    folders: dict[str, Path] = {OURS: setting.new_repository("package"), MLFLOW: setting.new_folder("package-mlflow")}
    contenders: dict[str, Contender] = {}
    try:
        for who, code in programs.items():
            try:
                contenders[who] = Contender(setting, code, str(trees), cwd=folders[who])
            except RuntimeError as error:
                report.skipped[who] = str(error).splitlines()[-1]
        turns = {who: contender.turns(0, setting.pick(3, 1)) for who, contender in contenders.items()}
        for turn in turns.values():
            turn()  # the first ones import, and are not what a second model costs
        logged = interleave(turns, rounds)
    finally:
        for contender in contenders.values():
            contender.end()
    for who, samples in logged.items():
        report.add(f"{LOG}: {who}", samples, against=f"{LOG}: {OURS}")

    def load(who: str) -> tuple[float, float]:
        imported, whole = json.loads(setting.python(_LOAD, who.lower(), cwd=folders[who]))
        return imported, whole

    for who in contenders:
        load(who)  # so that all byte code is there
    loaded: dict[str, list[tuple[float, float]]] = {who: [] for who in contenders}
    for number in range(rounds):
        for who in contenders if number % 2 == 0 else reversed(contenders):
            loaded[who].append(load(who))
    for who, found in loaded.items():
        report.add(f"{LOAD}: {who}", [whole for _, whole in found], against=f"{LOAD}: {OURS}")
        report.add(f"{LOAD}: {who}, of that imports", [first for first, _ in found], against=f"{LOAD}: {OURS}")
    report.at_most(LOG, report[f"{LOG}: {OURS}"].median * 1e3, 60, "ms")
    report.at_most(f"{LOAD}, beyond importing scikit-learn", report[f"{LOAD}: {OURS}"].median * 1e3, 100, "ms")
    if MLFLOW in contenders:
        ratio = report[f"{LOG}: {MLFLOW}"].median / report[f"{LOG}: {OURS}"].median
        report.at_least(f"{LOG}: MLflow's time over ours", ratio, 30)
    return report
