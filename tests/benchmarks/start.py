"""What it costs to start: `import runstone`, `runstone --help`, `runstone runs list`; processor time, by `wait4`."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.measure import Report, interleave
from tests.benchmarks.setting import Setting

HEAVY = ("pandas", "dvc", "git", "jsonschema", "numpy", "sklearn")
PROGRAM = "import sys; from runstone.cli import main; sys.exit(main())"
"""What the console script does."""

BARE = "bare Python"
IMPORT = "import runstone"
HELP = "runstone --help"
LIST = "runstone runs list ({:,} runs)"


def measure(setting: Setting) -> Report:
    """Measure fresh processes in turn, each once unseen before, so that all byte code is there."""
    report = Report("Starting: processor time of a fresh process")
    stored = setting.pick(10_000, 1000)
    repository = setting.stored(stored)
    listing = LIST.format(stored)
    commands: dict[str, Sequence[str]] = {
        IMPORT: ("-c", "import runstone"),
        BARE: ("-c", "pass"),
        HELP: ("-c", PROGRAM, "--help"),
        listing: ("-c", PROGRAM, "runs", "list"),
    }
    peers: dict[str, Sequence[str]] = {}
    if setting.peers:
        peers["import sacred"] = ("-W", "ignore", "-c", "import sacred")
        peers["import trackio"] = ("-c", "import trackio")
    if setting.peers and not setting.quick:
        peers["import mlflow"] = ("-c", "import mlflow")
        peers["mlflow --help"] = ("-c", "import sys; from mlflow.cli import cli; sys.argv[1:] = ['--help']; cli()")
    for who, command in [*commands.items(), *peers.items()]:
        try:
            setting.call([sys.executable, *command], repository)
        except RuntimeError as error:
            report.skipped[who] = str(error).splitlines()[-1]

    def contend(table: dict[str, Sequence[str]], rounds: int) -> None:
        contenders = {who: _starter(setting, c, repository) for who, c in table.items() if who not in report.skipped}
        for who, samples in interleave(contenders, rounds).items():
            report.add(who, samples)

    contend(commands, setting.pick(15, 3))
    contend(peers, setting.pick(3, 1))
    bare = report[BARE]
    report.at_most("import runstone, above bare Python", (report[IMPORT].median - bare.median) * 1e3, 80, "ms")
    for who, limit in ((HELP, 100), (listing, 130)):
        if who in report:
            report.at_most(who, report[who].median * 1e3, limit, "ms")
    code = f"import sys, runstone; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    imported = setting.python(code, cwd=repository).split()
    report.at_most(f"heavy modules imported {imported or ''}".strip(), len(imported), 0)
    return report


def cpu_seconds(command: Sequence[str], cwd: Path, environment: dict[str, str]) -> float:
    """The processor time of a process and of all it waited for; raises if it fails."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def _starter(setting: Setting, command: Sequence[str], cwd: Path) -> Callable[[], float]:
    return lambda: cpu_seconds([sys.executable, *command], cwd, setting.environment())
