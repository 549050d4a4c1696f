"""Serving one model: ours, `mlflow models serve`, and bare uvicorn with the same estimator, asked in turn.

The load comes from `wrk`, which is in Debian; a client in Python would be the bottleneck. Bare uvicorn is what one
would write by hand: JSON by the standard library, an array, `predict` in the event loop, and no log.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.start import PROGRAM
from tests.support import free_port

OURS, BARE, MLFLOW = "runstone serve", "bare uvicorn", "mlflow models serve"
_SAVE = """
import sys
from pathlib import Path
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from runstone.flavors import sklearn as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.models import infer_signature
x, y = load_diabetes(return_X_y=True, as_frame=True)
model = LinearRegression().fit(x, y)
for name, signature in (("signed", infer_signature(x, model.predict(x))), ("plain", False)):
    options = SaveOptions(signature=signature)
    flavor.save(model, Path(sys.argv[1]) / name, options, serialization_format="cloudpickle")
rows = x.to_numpy().tolist()
import json
for name, count in (("one", 1), ("thousand", 1000)):
    table = {"columns": list(x.columns), "data": [rows[i % len(rows)] for i in range(count)]}
    Path(sys.argv[1], name + ".json").write_text(json.dumps({"dataframe_split": table}))
"""
_BARE = """
import json, sys, warnings
import numpy, uvicorn, cloudpickle
warnings.filterwarnings("ignore")
with open(sys.argv[1], "rb") as file:
    model = cloudpickle.load(file)
async def app(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    answer = b""
    if scope["path"] != "/ping":
        data = numpy.asarray(json.loads(body)["dataframe_split"]["data"])
        answer = json.dumps({"predictions": model.predict(data).tolist()}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="error", lifespan="off")
"""
_MLFLOW = "import sys; from mlflow.cli import cli; sys.exit(cli())"
_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = io.open("{file}", "rb"):read("*all")
"""


class Load(NamedTuple):
    """What one round of requests came to: requests a second, and two latencies in seconds."""

    rate: float
    p50: float
    p99: float
    faults: int


def measure(setting: Setting) -> Report:
    """Start each server in turn, several times, and ask it one row and a thousand."""
    report = Report("Serving a linear model of ten columns, one worker")
    if shutil.which("wrk") is None:
        report.skipped["all"] = "`wrk` is not installed: `apt-get install wrk`"
        return report
    folder = setting.new_folder("serve")
    setting.python(_SAVE, folder, cwd=folder)
    for name in ("one", "thousand"):
        (folder / f"{name}.lua").write_text(_LUA.format(file=folder / f"{name}.json"))
    whos = [OURS, BARE]
    if setting.peers:
        whos.append(MLFLOW)
    for kind in ("signed", "plain"):
        _measure_kind(setting, report, folder, kind, [who for who in whos if (kind, who) != ("signed", BARE)])
    _bind(report, setting)
    return report


def _measure_kind(setting: Setting, report: Report, folder: Path, kind: str, whos: Sequence[str]) -> None:
    works = {"one row, 4 connections": ("one", 4), "one row, 32 connections": ("one", 32)}
    works["a thousand rows"] = ("thousand", 4)
    starts: dict[str, list[float]] = {who: [] for who in whos}
    memory: dict[str, list[float]] = {who: [] for who in whos}
    loads: dict[tuple[str, str], list[Load]] = {}
    for number in range(setting.pick(4, 1)):
        for who in whos if number % 2 == 0 else reversed(whos):
            with _server(setting, who, folder / kind) as (port, seconds, pid):
                if number or setting.quick:  # the first start compiles byte code
                    starts[who].append(seconds)
                for what, (body, connections) in works.items():
                    if not setting.quick:
                        _ask(folder / f"{body}.lua", port, connections, 1)
                    loads.setdefault((who, what), []).append(
                        _ask(folder / f"{body}.lua", port, connections, setting.pick(4, 1))
                    )
                memory[who].append(_resident(pid))
    if kind == "signed":
        for who in whos:
            report.add(f"{who}: to the first 200", starts[who], "s")
            report.add(f"{who}: resident", memory[who], "B")
    else:
        report.add(f"{BARE}: to the first 200", starts[BARE], "s")
        report.add(f"{BARE}: resident", memory[BARE], "B")
    for (who, what), found in loads.items():
        words = f"{who}: {what}, {kind}"
        report.add(f"{words}, each", [1 / load.rate for load in found], "us")
        report.add(f"{words}, p50", [load.p50 for load in found])
        report.add(f"{words}, p99", [load.p99 for load in found])
        rates = ", ".join(f"{load.rate:,.0f}" for load in found)
        report.notes.append(f"{words}: {rates} requests/s")
        report.at_most(f"{words}: answers that are no 200, or none", sum(load.faults for load in found), 0)


def _bind(report: Report, setting: Setting) -> None:
    """What was promised."""

    def rate(who: str, what: str, kind: str) -> float:
        return 1 / report[f"{who}: {what}, {kind}, each"].median

    one = ("one row, 4 connections", "one row, 32 connections")
    for what in one:
        ratio = rate(OURS, what, "plain") / rate(BARE, what, "plain")
        report.at_least(f"{what}, of bare uvicorn's requests/s", ratio, 0.7)
    many = "a thousand rows"
    report.at_least(f"{many}, of bare uvicorn's requests/s", rate(OURS, many, "plain") / rate(BARE, many, "plain"), 0.8)
    report.at_most(f"{OURS}: to the first 200", report[f"{OURS}: to the first 200"].median, 2.2, "s")
    if not setting.peers or MLFLOW in report.skipped:
        return
    for what in one:
        for kind, times in (("plain", 5), ("signed", 6)):
            ratio = rate(OURS, what, kind) / rate(MLFLOW, what, kind)
            report.at_least(f"{what}, {kind}, of MLflow's requests/s", ratio, times)
            p99 = report[f"{OURS}: {what}, {kind}, p99"].median / report[f"{MLFLOW}: {what}, {kind}, p99"].median
            report.at_most(f"{what}, {kind}, p99 of MLflow's", p99, 1)
    report.at_least(f"{many}, of MLflow's requests/s", rate(OURS, many, "plain") / rate(MLFLOW, many, "plain"), 2.5)
    start = report[f"{MLFLOW}: to the first 200"].median / report[f"{OURS}: to the first 200"].median
    report.at_least("MLflow's time to the first 200, of ours", start, 2.5)
    ratio = report[f"{OURS}: resident"].median / report[f"{MLFLOW}: resident"].median
    report.at_most("resident memory, of MLflow's", ratio, 0.5)


@contextmanager
def _server(setting: Setting, who: str, folder: Path) -> Iterator[tuple[int, float, int]]:
    """A server: its port, the seconds to its first 200, and the process that began it."""
    port = free_port()
    commands: dict[str, list[str | Path]] = {
        OURS: ["-c", PROGRAM, "serve", folder, "--allow-pickle", "--port", str(port)],
        BARE: ["-c", _BARE, folder / "model.pkl", str(port)],
        MLFLOW: ["-c", _MLFLOW, "models", "serve", "-m", folder, "-p", str(port), "--env-manager", "local"],
    }
    log = setting.folder / "serve.log"
    begun = perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *map(str, commands[who])],
            cwd=setting.folder,
            env=setting.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        while not _is_well(port):
            if process.poll() is not None or perf_counter() - begun > 120:
                raise RuntimeError(f"{who} did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.01)
        yield port, perf_counter() - begun, process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_well(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _ask(script: Path, port: int, connections: int, seconds: int) -> Load:
    """Let `wrk` ask for a while."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/invocations"],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    said = done.stdout
    found = {name: re.search(rf"{name}%\s+([0-9.]+)(us|ms|s)", said) for name in ("50", "99")}
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
    times = {name: float(m[1]) * units[m[2]] for name, m in found.items() if m is not None}
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    line = re.search(r"Socket errors: (.*)", said)
    errors = map(int, re.findall(r"\d+", line[1] if line else ""))
    assert rate is not None, said
    return Load(float(rate[1]), times["50"], times["99"], sum(errors) + int(wrong[1] if wrong else 0))


def _resident(pid: int) -> float:
    """Bytes of memory of a process and all below it."""
    children = [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]
    own = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return (int(own[1]) * 1024 if own else 0) + sum(map(_resident, children))
