"""Scoring Parquet in batch: `runstone predict` beside the loop that one would write by hand, on the same chunks.

By hand: pyarrow's batches as DataFrames, `predict` of the estimator, pyarrow's writer; no signature, no digests, no
run, no temporary name. Both are processes of their own, taken in turn; the largest resident size is the system's count.
"""

import os
import sys
from pathlib import Path
from time import perf_counter

from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.start import PROGRAM

OURS, HAND = "runstone predict", "by hand"
_MAKE = """
import sys
import numpy, pyarrow
from pathlib import Path
from pyarrow import parquet
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from runstone.flavors import sklearn as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.models import infer_signature
folder, rows = Path(sys.argv[1]), int(sys.argv[2])
x, y = load_diabetes(return_X_y=True, as_frame=True)
forest = RandomForestRegressor(n_estimators=10, max_depth=6, random_state=0)
for name, model in (("forest", forest), ("linear", LinearRegression())):
    model.fit(x, y)
    options = SaveOptions(signature=infer_signature(x, model.predict(x)))
    flavor.save(model, folder / name, options, serialization_format="cloudpickle")
random = numpy.random.default_rng(0)
writer = None
for start in range(0, rows, 500_000):
    count = min(500_000, rows - start)
    columns = {"id": numpy.arange(start, start + count)}
    columns |= {name: random.normal(0, 0.05, count) for name in x.columns}
    table = pyarrow.table(columns)
    writer = writer or parquet.ParquetWriter(folder / "data.parquet", table.schema)
    writer.write_table(table)
writer.close()
"""
_HAND = """
import sys
import cloudpickle, pyarrow
from pyarrow import parquet
with open(sys.argv[1] + "/model.pkl", "rb") as file:
    model = cloudpickle.load(file)
names = list(model.feature_names_in_)
writer = None
with parquet.ParquetFile(sys.argv[2]) as source:
    for batch in source.iter_batches(batch_size=65536, columns=["id", *names]):
        predicted = model.predict(batch.select(names).to_pandas())
        table = pyarrow.table({"id": batch.column("id"), "prediction": predicted})
        writer = writer or parquet.ParquetWriter(sys.argv[3], table.schema)
        writer.write_table(table)
writer.close()
"""


def measure(setting: Setting) -> Report:
    """Score the same rows by two models, in turn by us and by hand."""
    rows = setting.pick(5_000_000, 200_000)
    report = Report(f"Scoring {rows:,} rows of Parquet, ten columns and an id, in chunks of 65,536")
    repository = setting.new_repository("predict")
    folder = setting.new_folder("predict-data")
    setting.python(_MAKE, folder, str(rows), cwd=folder)
    for kind in ("forest", "linear"):
        seconds: dict[str, list[float]] = {OURS: [], HAND: []}
        memory: dict[str, list[float]] = {OURS: [], HAND: []}
        for number in range(setting.pick(3, 1)):
            for who in (OURS, HAND) if number % 2 == 0 else (HAND, OURS):
                output = folder / "out.parquet"
                output.unlink(missing_ok=True)
                command = _command(who, folder / kind, folder / "data.parquet", output)
                begun = perf_counter()
                memory[who].append(_run(setting, command, repository))
                seconds[who].append(perf_counter() - begun)
        for who in (OURS, HAND):
            report.add(f"{kind}, {who}", seconds[who], "s", against=f"{kind}, {HAND}")
            report.add(f"{kind}, {who}: resident", memory[who], "B", against=f"{kind}, {HAND}: resident")
        report.at_most(f"{kind}: resident", max(memory[OURS]), 600e6, "B")
        speed = min(seconds[HAND]) / min(seconds[OURS])
        report.at_least(f"{kind}: speed, of that by hand", speed, 0.8)
    return report


def _command(who: str, model: Path, data: Path, output: Path) -> list[str]:
    if who == HAND:
        return [sys.executable, "-c", _HAND, str(model), str(data), str(output)]
    return [
        sys.executable,
        "-c",
        PROGRAM,
        "predict",
        str(model),
        "-i",
        str(data),
        "-o",
        str(output),
        "--id",
        "id",
        "--allow-pickle",
    ]


def _run(setting: Setting, command: list[str], cwd: Path) -> float:
    """Run a command; the most bytes that it held at once."""
    pid = os.posix_spawn("/usr/bin/env", ["env", "-C", str(cwd), *command], setting.environment())
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{command[:4]} ended with {os.waitstatus_to_exitcode(status)}")
    return float(usage.ru_maxrss * 1024)
