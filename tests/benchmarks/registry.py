"""The registry: to register and stage versions, beside GTO and MLflow; to resolve one, and to list many."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.measure import Report, interleave
from tests.benchmarks.setting import Setting
from tests.benchmarks.start import BARE, PROGRAM, cpu_seconds

OURS, GTO, MLFLOW = "runstone", "GTO's API", "MLflow on SQLite"
COLD, WARM = "resolve by alias, a process of its own", "resolve by alias, again"
LISTED, LISTED_CLI = "list {:,} of {:,}, first time in a process", "runstone models versions ({:,} of {:,})"

_TURNS = """
import json, sys
from time import perf_counter
def take_turns(*works):
    print("ready", flush=True)
    for line in sys.stdin:
        which, first, count = map(int, line.split())
        samples = []
        for number in range(first, first + count):
            begun = perf_counter()
            works[which](number)
            samples.append(perf_counter() - begun)
        print(json.dumps(samples), flush=True)
"""
_OURS = (
    _TURNS
    + """
import runstone
from runstone.registry.stage import set_stage
client = runstone.Client(".")
repo, source = client.workspace.repo, sys.argv[1]
take_turns(
    lambda number: client.create_model_version("m", source),
    lambda number: set_stage(repo, "m", number, "Production"),
)
"""
)
_GTO = (
    _TURNS
    + """
import subprocess
from gto import api
commits = subprocess.run(["git", "rev-list", "HEAD"], capture_output=True, text=True, check=True).stdout.split()
sys.stdout, answers = sys.stderr, sys.stdout  # it prints what it does
def say(text, flush): answers.write(f"{text}\\n"), answers.flush()
print = say
take_turns(
    lambda number: api.register(".", "m", commits[number - 1], version=f"v0.0.{number}"),
    lambda number: api.assign(".", "m", "production", version=f"v0.0.{number}"),
)
"""
)
_MLFLOW = (
    _TURNS
    + """
import logging, pathlib, warnings
warnings.simplefilter("ignore")
logging.disable()
from mlflow import MlflowClient
uri = f"sqlite:///{pathlib.Path('mlflow.db').absolute()}"
client = MlflowClient(tracking_uri=uri, registry_uri=uri)
client.create_registered_model("m")
take_turns(
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
    """All registrations first, then all assignments, as the registry of a project grows; the contenders in turn."""
    count, turn = setting.pick(100, 4), setting.pick(10, 2)
    begin: dict[str, Callable[[Setting, int], Contender]] = {OURS: _ours}
    if setting.peers:
        begin |= {GTO: _gto, MLFLOW: _mlflow}
    contenders: dict[str, Contender] = {}
    try:
        for who, work in begin.items():
            try:
                contenders[who] = work(setting, count)
            except RuntimeError as error:
                report.skipped[who] = str(error).splitlines()[-1]
        for number, what in enumerate(("register", "stage")):
            turns = {who: contender.turns(number, turn) for who, contender in contenders.items()}
            found = interleave(turns, count // turn)
            for who, samples in found.items():
                report.add(f"{what}: {who}", samples, against=f"{what}: {OURS}")
            ours = report[f"{what}: {OURS}"]
            report.at_most(f"{what}, each of {count}", ours.median * 1e3, (6, 10)[number], "ms")
            if GTO in found:
                ratio = report[f"{what}: {GTO}"].median / ours.median
                report.at_least(f"{what}: GTO's time over ours", ratio, 50)
    finally:
        for contender in contenders.values():
            contender.end()


class Contender:
    """A process that has its turns, while the others wait: what else happens on the machine falls on all alike."""

    def __init__(self, setting: Setting, code: str, *arguments: str, cwd: Path) -> None:
        self._errors = cwd.with_name(f"{cwd.name}.errors")
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                cwd=cwd,
                env=setting.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._answer()  # it has imported what it needs

    def turns(self, work: int, count: int) -> Callable[[], list[float]]:
        """What takes the next turn of one work, so many times in a row, and tells how long each took."""
        numbers = itertools.count(1, count)

        def turn() -> list[float]:
            assert self._process.stdin is not None
            self._process.stdin.write(f"{work} {next(numbers)} {count}\n")
            self._process.stdin.flush()
            samples: list[float] = json.loads(self._answer())
            return samples

        return turn

    def end(self) -> None:
        """End it."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise RuntimeError(self._errors.read_text()[-4000:] or "It ended without a word.")
        return line


def _ours(setting: Setting, count: int) -> Contender:
    del count
    repository = setting.new_repository("registry")
    return Contender(setting, _OURS, _log_model(setting, repository), cwd=repository)


def _gto(setting: Setting, count: int) -> Contender:
    repository = setting.new_repository("gto")
    for number in range(count):
        setting.call(["git", "commit", "--quiet", "--allow-empty", "--message", f"Commit {number}"], repository)
    return Contender(setting, _GTO, cwd=repository)


def _mlflow(setting: Setting, count: int) -> Contender:
    del count
    return Contender(setting, _MLFLOW, cwd=setting.new_folder("mlflow-registry"))


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

    report.add(BARE, cpu("pass"))
    cold = report.add(COLD, cpu(_COLD), against=BARE)
    read = [_read_once(setting, repository, listed) for _ in range(setting.pick(7, 2))]
    warm = report.add(WARM, [sample for _, samples in read for sample in samples], against=BARE)
    many = report.add(LISTED.format(listed, total), [first for first, _ in read], against=BARE)
    report.add(LISTED_CLI.format(listed, total), cpu(PROGRAM, "models", "versions", "m"), against=BARE)
    report.at_most(COLD, cold.median * 1e3, 60, "ms")
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
