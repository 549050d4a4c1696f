"""The registry: to register and stage versions, beside GTO and MLflow; to resolve one, and to list many."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting
from tests.benchmarks.start import BARE, PROGRAM, cpu_seconds

OURS, GTO, MLFLOW = "runstone", "GTO's API", "MLflow on SQLite"
COLD, WARM = "resolve by alias, a process of its own", "resolve by alias, again"
LISTED, LISTED_CLI = "list {:,} of {:,}, first time in a process", "runstone models versions ({:,} of {:,})"

_TIMES = """
import json, sys
from time import perf_counter
def times(count, *works):
    found = [[] for _ in works]
    for number in range(1, count + 1):
        for work, samples in zip(works, found):
            begun = perf_counter()
            work(number)
            samples.append(perf_counter() - begun)
    print(json.dumps(found))
count = int(sys.argv[1])
"""
_OURS = (
    _TIMES
    + """
import runstone
from runstone.registry.stage import set_stage
client = runstone.Client(".")
repo, source = client.workspace.repo, sys.argv[2]
times(
    count,
    lambda number: client.create_model_version("m", source),
    lambda number: set_stage(repo, "m", number, "Production"),
)
"""
)
_GTO = (
    _TIMES
    + """
import subprocess
from gto import api
commits = subprocess.run(["git", "rev-list", "HEAD"], capture_output=True, text=True, check=True).stdout.split()
times(
    count,
    lambda number: api.register(".", "m", commits[number - 1], version=f"v0.0.{number}"),
    lambda number: api.assign(".", "m", "production", version=f"v0.0.{number}"),
)
"""
)
_MLFLOW = (
    _TIMES
    + """
import logging, pathlib, warnings
warnings.simplefilter("ignore")
logging.disable()
from mlflow import MlflowClient
uri = f"sqlite:///{pathlib.Path('mlflow.db').absolute()}"
client = MlflowClient(tracking_uri=uri, registry_uri=uri)
client.create_registered_model("m")
times(
    count,
    lambda number: client.create_model_version("m", "runs:/0/model"),
    lambda number: client.transition_model_version_stage("m", str(number), "Production"),
)
"""
)
_READ = """
import json, sys
from time import perf_counter
import runstone
from runstone.registry.version import list_versions
client = runstone.Client(".")
begun = perf_counter()
found = list_versions(client.workspace.repo, "m")
listed = perf_counter() - begun
assert len(found) == int(sys.argv[1]) and found[0].aliases == ("champion",) and found[1].current_stage == "Archived"
warm = []
for _ in range(50):
    begun = perf_counter()
    client.get_model_version_by_alias("m", "champion")
    warm.append(perf_counter() - begun)
print(json.dumps([listed, warm[1:]]))
"""
_COLD = "import runstone; runstone.Client('.').get_model_version_by_alias('m', 'champion')"


def measure(setting: Setting) -> Report:
    """Write with all contenders in one run, then read from a registry of many versions."""
    report = Report("Registry: one registration, one stage assignment, one look-up")
    _write(setting, report)
    _read(setting, report)
    return report


def _write(setting: Setting, report: Report) -> None:
    count = setting.pick(100, 3)
    found = {OURS: _ours(setting, count)}
    peers: dict[str, Callable[[Setting, int], list[list[float]]]] = {GTO: _gto, MLFLOW: _mlflow}
    for who, work in peers.items() if setting.peers else ():
        try:
            found[who] = work(setting, count)
        except RuntimeError as error:
            report.skipped[who] = str(error).splitlines()[-1]
    for number, what in enumerate(("register", "stage")):
        for who, samples in found.items():
            report.add(f"{what}: {who}", samples[number], against=f"{what}: {OURS}")
        ours = report[f"{what}: {OURS}"]
        report.at_most(f"{what}, each of {count}", ours.median * 1e3, (6, 10)[number], "ms")
        if GTO in found:
            ratio = report[f"{what}: {GTO}"].median / ours.median
            report.at_least(f"{what}: GTO's time over ours", ratio, 50)


def _ours(setting: Setting, count: int) -> list[list[float]]:
    repository = setting.new_repository("registry")
    return _samples(setting.python(_OURS, str(count), _log_model(setting, repository), cwd=repository))


def _gto(setting: Setting, count: int) -> list[list[float]]:
    repository = setting.new_repository("gto")
    for number in range(count):
        setting.call(["git", "commit", "--quiet", "--allow-empty", "--message", f"Commit {number}"], repository)
    return _samples(setting.python(_GTO, str(count), cwd=repository))


def _mlflow(setting: Setting, count: int) -> list[list[float]]:
    return _samples(setting.python(_MLFLOW, str(count), cwd=setting.new_folder("mlflow-registry")))


def _samples(printed: str) -> list[list[float]]:
    found: list[list[float]] = json.loads(printed.splitlines()[-1])
    return found


def _log_model(setting: Setting, repository: Path) -> str:
    """A run with a model; its URI."""
    folder = setting.new_folder("model")
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "model.pkl").write_bytes(bytes(1000))
    code = """
import pathlib, sys, runstone
client = runstone.Client(".")
run = client.create_run("0", run_id="the-run")
with client.handle(run.id) as active:
    active.log_model(pathlib.Path(sys.argv[1]), "model", ["sklearn"], {"inputs": "[]"})
client.set_terminated(run.id)
"""
    setting.python(code, folder, cwd=repository)
    return "runs:/the-run/model"


def _read(setting: Setting, report: Report) -> None:
    listed, total = setting.pick(1000, 50), setting.pick(10_000, 200)
    repository = make_registry(setting, listed, total)
    environment = setting.environment()

    def cpu(*arguments: str) -> list[float]:
        command = [sys.executable, "-c", *arguments]
        cpu_seconds(command, repository, environment)  # so that all byte code is there
        return [cpu_seconds(command, repository, environment) for _ in range(setting.pick(15, 2))]

    bare = report.add(BARE, cpu("pass"))
    cold = report.add(COLD, cpu(_COLD), against=BARE)
    read = [_read_once(setting, repository, listed) for _ in range(setting.pick(7, 2))]
    warm = report.add(WARM, [sample for _, samples in read for sample in samples], against=BARE)
    many = report.add(LISTED.format(listed, total), [first for first, _ in read], against=BARE)
    report.add(LISTED_CLI.format(listed, total), cpu(PROGRAM, "models", "versions", "m"), against=BARE)
    report.at_most(f"{COLD}, above bare Python", (cold.median - bare.median) * 1e3, 60, "ms")
    report.at_most(WARM, warm.median * 1e3, 3, "ms")
    report.at_most(many.who, many.median * 1e3, 150, "ms")


def _read_once(setting: Setting, repository: Path, listed: int) -> tuple[float, list[float]]:
    first, warm = json.loads(setting.python(_READ, str(listed), cwd=repository))
    return first, warm


def make_registry(setting: Setting, listed: int, total: int) -> Path:
    """A repository whose model `m` has `listed` versions, with stages and aliases, among `total` version tags."""
    repository = setting.new_repository("many-versions")
    setting.call(["git", "config", "gc.auto", "0"], repository)  # it is packed once, at the end
    source = _log_model(setting, repository)
    setting.python(f"import runstone; runstone.Client('.').create_model_version('m', {source!r})", cwd=repository)
    first = setting.call(["git", "cat-file", "tag", "m@v1"], repository)
    setting.python(
        """
import subprocess, sys
from runstone.git.repository import Repository
first, listed, total = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
objects, lines = Repository.open(".").objects, []
for n in range(1, total):
    model, version = ("m", n + 1) if n < listed else (f"other{n % 190}", n // 190 + 1)
    text = first.replace("tag m@v1\\n", f"tag {model}@v{version}\\n").replace("model: m\\n", f"model: {model}\\n")
    lines.append(f"create refs/tags/{model}@v{version} {objects.write('tag', text.encode())}\\n")
subprocess.run(["git", "update-ref", "--stdin"], input="".join(lines).encode(), check=True)
""",
        first,
        str(listed),
        str(total),
        cwd=repository,
    )
    folder = repository / "registry" / "m"
    for name, text in (
        ("aliases/champion", f"schema: runstone/alias/v1\nversion: {listed}\n"),
        ("stages/Production", f"schema: runstone/stage/v1\nversions: [{listed}]\n"),
        ("stages/Archived", f"schema: runstone/stage/v1\nversions: {list(range(1, listed))}\n"),
    ):
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    setting.call(["git", "add", "registry"], repository)
    setting.call(["git", "commit", "--quiet", "--message", "Stages and aliases"], repository)
    setting.call(["git", "gc", "--quiet"], repository)
    return repository
