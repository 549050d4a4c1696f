"""`runstone ci check` of a proposal on a large registry, the whole process: nothing is kept between two checks."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.records.model import VersionBody
from runstone.records.model_file import ModelFile
from runstone.records.stage import Stage
from runstone.records.version_notes import VersionNotes
from tests.benchmarks import synthetic
from tests.benchmarks.measure import Report, timed
from tests.benchmarks.setting import Setting
from tests.benchmarks.start import PROGRAM

OURS = "runstone ci check"
FILES = "the files alone (--no-gates)"
_RUNS = 200
_SHAPE = synthetic.Shape(models=1)
_POLICY = """\
schema: runstone/policy/v1
stages:
  Staging: {}
  Production:
    from: [Staging]
    holders: 1
    previous: Archived
    gates:
    - metric: {name: metric_1, at_least: -1}
    - no_worse: {metric: metric_2, by: 1000, direction: higher}
    - signature: true
    - card: [Use]
  Archived: {}
metrics: {metric_1: higher, metric_2: higher}
"""


def measure(setting: Setting) -> Report:
    """Measure the check of a proposal that promotes one version, with gates and without."""
    models, versions = setting.pick(200, 10), setting.pick(25, 5)
    report = Report(f"Check a proposal: {models:,} models, {models * versions:,} versions")
    repository = make_registry(setting.new_repository(), models, versions)
    check: list[str | Path] = [sys.executable, "-c", PROGRAM, "ci", "check", "--base", "main", "--head", "proposal"]

    def run(*options: str) -> float:
        return timed(lambda: setting.call([*check, *options], repository))

    for who, options in ((OURS, ()), (FILES, ("--no-gates",))):
        run(*options)  # once unseen: byte code, a warm disk
        report.add(who, [run(*options) for _ in range(setting.pick(7, 1))], "s")
    report.at_most(f"{OURS} of {models * versions:,} versions", report[OURS].median, 2, "s")
    return report


def make_registry(path: Path, models: int, versions: int) -> Path:
    """Versions of runs, and a registry of them: for each model its file, a card, two stages, an alias, and notes on
    every second version. The branch `proposal` promotes a version of the first model.
    """
    synthetic.make_runs(path, _RUNS, shape=_SHAPE)
    tip = subprocess.run(["git", "rev-parse", "runs"], cwd=path, check=True, capture_output=True, text=True).stdout
    _fast_import(path, _tags(tip.strip(), models, versions))
    files: dict[str, str | bytes | None] = {"registry/policy.yaml": _POLICY}
    for number in range(models):
        files |= _files(number, versions)
    synthetic.commit_files(path, files, ref="refs/heads/main")
    subprocess.run(["git", "branch", "proposal", "main"], cwd=path, check=True)
    folder = "registry/model-000/stages"
    moved: dict[str, str | bytes | None] = {
        f"{folder}/Production.yaml": _text(Stage.of([versions])),
        f"{folder}/Staging.yaml": None,
        f"{folder}/Archived.yaml": _text(Stage.of([versions - 1])),
    }
    synthetic.commit_files(path, moved, ref="refs/heads/proposal")
    subprocess.run(["git", "gc", "--quiet"], cwd=path, check=True)  # as a clone comes: packed
    return path


def _files(number: int, versions: int) -> dict[str, str | bytes | None]:
    folder = f"registry/model-{number:03}"
    return {
        f"{folder}/model.yaml": _text(ModelFile(description=f"Model {number}", tags={"team": "growth"})),
        f"{folder}/README.md": "# Model\n\n## Use\n\nFor this and that.\n",
        f"{folder}/stages/Production.yaml": _text(Stage.of([versions - 1])),
        f"{folder}/stages/Staging.yaml": _text(Stage.of([versions])),
        f"{folder}/aliases/champion.yaml": _text(Alias(versions - 1)),
        **{f"{folder}/versions/{n}.yaml": _text(VersionNotes(f"Number {n}")) for n in range(1, versions + 1, 2)},
    }


def _tags(commit: str, models: int, versions: int) -> Iterator[bytes]:
    for number in range(models):
        for version in range(1, versions + 1):
            run = synthetic.run((number + version) % _RUNS, _SHAPE)
            logged = run.models[0]
            name = f"model-{number:03}"
            body = VersionBody(
                name,
                run.id,
                synthetic.folder(run),
                logged.path,
                logged.digest,
                logged.flavors,
                logged.size,
                logged.signature,
            )
            message = f"{name} version {version}\n\n{yaml.dump(body.to_document())}".encode()
            tagger = "synthetic <synthetic@example.org> 1767225600 +0000"
            yield (
                f"tag {name}@v{version}\nfrom {commit}\ntagger {tagger}\ndata {len(message)}\n".encode()
                + message
                + b"\n"
            )


def _text(record: Stage | Alias | ModelFile | VersionNotes) -> str:
    return yaml.dump(record.to_document())


def _fast_import(path: Path, commands: Iterator[bytes]) -> None:
    subprocess.run(["git", "fast-import", "--quiet"], cwd=path, check=True, input=b"".join(commands))
