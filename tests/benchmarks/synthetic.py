"""Makes a git repository with N recorded runs, fast and always the same, for benchmarks and for tests.

One `git fast-import` writes them all in the layout of the branch `runs`; 10,000 runs take some seconds.
From a shell: `python tests/benchmarks/synthetic.py FOLDER 10000`.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runstone.records import yaml
from runstone.records.dataset import Dataset
from runstone.records.document import format_time
from runstone.records.experiment import Experiment
from runstone.records.metric import Metric, format_metrics, summarize
from runstone.records.model import ModelReference
from runstone.records.run import Environment, ParamValue, Run, Source

FIRST_START = 1_767_225_600_000
"""When run 0 started: 2026-01-01T00:00:00Z, in Unix milliseconds; every later run starts 47 s after."""

BETWEEN_RUNS = 47_000
REQUIREMENTS = "numpy==2.0.0\nscikit-learn==1.5.0\n"
_MAIL = "synthetic <synthetic@example.org>"


@dataclass(frozen=True, slots=True)
class Shape:
    """How large each run is."""

    params: int = 10
    metrics: int = 10
    steps: int = 1
    tags: int = 3
    experiments: int = 1
    models: int = 0


def experiment(number: int) -> Experiment:
    """The experiment of a number; its id is its name."""
    return Experiment(experiment_id=f"experiment-{number}", name=f"experiment-{number}", creation_time=FIRST_START)


def points(number: int, shape: Shape) -> list[Metric]:
    """Every logged value of one run: random floats, one in fifty metrics NaN."""
    dice = random.Random(f"metrics of {number}")
    started = FIRST_START + number * BETWEEN_RUNS
    return [
        Metric(
            f"metric_{m}",
            float("nan") if dice.random() < 0.02 else dice.random() * 100,
            started + 1000 * (step + 1),
            step,
        )
        for m in range(shape.metrics)
        for step in range(shape.steps)
    ]


def run(number: int, shape: Shape | None = None) -> Run:
    """The run of a number: the same number and shape, the same run."""
    shape = shape or Shape()
    dice = random.Random(number)
    started = FIRST_START + number * BETWEEN_RUNS
    params: dict[str, ParamValue] = {}
    for p in range(shape.params):
        values: tuple[ParamValue, ...] = (dice.randrange(1000), round(dice.random(), 6), dice.choice("abcdef"))
        params[f"param_{p}"] = values[p % 3]
    owner = experiment(number % shape.experiments)
    commit = f"{dice.getrandbits(160):040x}"
    return Run(
        id=f"{started:012x}7{dice.getrandbits(76):019x}",
        name=f"brave-otter-{number}",
        experiment=owner.name,
        experiment_id=owner.experiment_id,
        status="FAILED" if number % 10 == 9 else "FINISHED",
        user=("kim", "lee", "sam")[number % 3],
        started=started,
        ended=started + 6_000,
        source=Source(
            command=("python", "train.py", "--seed", str(number)),
            directory=".",
            commit=commit,
            branch="main",
            snapshot=commit,
            dirty=False,
            remote="https://example.org/team/churn.git",
        ),
        environment=Environment("3.11.7", "Linux-6.1-x86_64", "requirements.txt"),
        params=params,
        metrics=summarize(points(number, shape)),
        tags={f"tag_{t}": dice.choice(("red", "green", "blue")) for t in range(shape.tags)},
        datasets=(Dataset(name="diabetes", digest=f"md5:{number % 7:032x}", role="train"),),
        models=tuple(model(number, m) for m in range(shape.models)),
    )


def model(number: int, which: int) -> ModelReference:
    """One of the models that the run of a number logged; no bytes of it are anywhere."""
    digest = f"md5:{number * 1000 + which:032x}.dir"
    return ModelReference(f"model-{which}", ("sklearn",), digest, 1000, {"inputs": "[]"})


def folder(run: Run) -> str:
    """Where the record of a run lies on the branch."""
    return f"experiments/{run.experiment_id}/{format_time(run.started)[:10]}/{run.id[-2:]}/{run.id}"


def run_files(run: Run, logged: Iterable[Metric] = ()) -> dict[str, str]:
    """The files of one run by their path on the branch."""
    base = folder(run)
    return {
        f"{base}/metrics.tsv": format_metrics(logged),
        f"{base}/requirements.txt": REQUIREMENTS,
        f"{base}/run.yaml": yaml.dump(run.to_document()),
    }


def experiment_files(experiment: Experiment) -> dict[str, str]:
    """The file of one experiment by its path on the branch."""
    path = f"experiments/{experiment.experiment_id}/experiment.yaml"
    return {path: yaml.dump(experiment.to_document())}


def init(path: Path) -> Path:
    """Make an empty git repository, untouched by the user's own configuration."""
    path.mkdir(parents=True, exist_ok=True)
    _git(path, "init", "--quiet", "--initial-branch=main")
    return path


def commit_files(
    path: Path, files: dict[str, str | bytes | None], *, ref: str = "refs/heads/runs", new_history: bool = False
) -> None:
    """Commit files onto a branch without a work tree.

    Args:
        path: The repository.
        files: Path on the branch → content; None removes the path.
        ref: The branch, made if it is not there.
        new_history: Start a branch of one commit, not descended from the present one.

    Writes:
        One commit, and the branch.
    """
    has_tip = not new_history and _git(path, "for-each-ref", "--format=x", ref) != b""
    _fast_import(path, [_commit(ref, files, 0, ref if has_tip else None)], force=new_history)


def make_runs(
    path: Path, count: int, *, first: int = 0, shape: Shape | None = None, runs_per_commit: int = 100
) -> list[str]:
    """Add runs `first` to `first + count - 1` to the branch `runs` of a repository.

    Args:
        path: The repository; see `init`.
        count: How many runs.
        first: The number of the first.
        shape: How large each run is.
        runs_per_commit: Real histories have one; more is quicker to make and reads the same.

    Returns:
        The ids of the runs.

    Writes:
        One commit for each group of runs; the experiments' records in the first.
    """
    shape = shape or Shape()
    ids: list[str] = []

    def commits() -> Iterator[bytes]:
        parent = "refs/heads/runs" if _git(path, "for-each-ref", "--format=x", "refs/heads/runs") else None
        files: dict[str, str | bytes | None] = {}
        for number in range(shape.experiments):
            files.update(experiment_files(experiment(number)))
        for number in range(first, first + count):
            made = run(number, shape)
            ids.append(made.id)
            files.update(run_files(made, points(number, shape)))
            if len(ids) % runs_per_commit == 0 or len(ids) == count:
                yield _commit("refs/heads/runs", files, number, parent)
                parent, files = None, {}  # from the second on, fast-import goes on from the branch it holds

    _fast_import(path, commits(), force=False)
    return ids


def _commit(ref: str, files: dict[str, str | bytes | None], number: int, parent: str | None) -> bytes:
    parts = [f"commit {ref}\ncommitter {_MAIL} {1_767_225_600 + number} +0000\ndata 4\nruns\n".encode()]
    if parent is not None:
        parts.append(f"from {parent}^0\n".encode())
    for path, content in files.items():
        if content is None:
            parts.append(f"D {path}\n".encode())
            continue
        data = content.encode() if isinstance(content, str) else content
        parts += [f"M 100644 inline {path}\ndata {len(data)}\n".encode(), data, b"\n"]
    return b"".join(parts)


def _fast_import(path: Path, commits: Iterable[bytes], *, force: bool) -> None:
    command = ["git", "fast-import", "--quiet", *(["--force"] if force else [])]
    process = subprocess.Popen(command, cwd=path, env=_environment(), stdin=subprocess.PIPE)
    assert process.stdin is not None
    with process.stdin as stream:
        for commit in commits:
            stream.write(commit)
    if process.wait() != 0:
        raise RuntimeError(f"git fast-import ended with {process.returncode} in {path}")


def _git(path: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=path, env=_environment(), check=True, capture_output=True).stdout


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return kept | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


if __name__ == "__main__":
    make_runs(init(Path(sys.argv[1])), int(sys.argv[2]))
