"""`runstone demo`: a scratch folder with a work repository, a bare `origin` and a DVC remote, and real runs in them."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, emit_json, format_size, json_option
from runstone.errors import MissingLibrary, RunstoneError, UsageError

if TYPE_CHECKING:
    from runstone.records.run import Run

MODEL = "diabetes"
ALIAS = "champion"

_SCRIPT = "train.py"
_NEEDED = {"sklearn": "scikit-learn", "cloudpickle": "", "dvc": "", "matplotlib": "", "pandas": ""}
_IGNORED_BY_GIT = {".dvc/.gitignore": "/cache\n/config.local\n/tmp\n", ".gitignore": "__pycache__/\n", ".dvcignore": ""}
# The identity is the demo's own, so that it works where git has none; and a key to sign with may ask for a passphrase.
_GIT_SETTINGS = {
    "user.name": "Runstone Demo",
    "user.email": "demo@example.org",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "push.gpgSign": "false",
}


@dataclass(frozen=True, slots=True)
class Step:
    """Something to try next: what it shows, and the command."""

    shows: str
    command: str


@command(
    "demo",
    examples="""
    runstone demo             in a new temporary folder
    runstone demo scratch     in a folder of this name
    """,
)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@json_option
def demo(folder: Path | None, form: Form) -> None:
    """Make a scratch repository with real runs to look at.

    A small grid search runs as a process of its own and is tracked to git; its best model is registered, and all of it
    is pushed to a bare repository and a DVC remote beside it. DIR must be new or empty. Needs `runstone[demo]`.
    """
    _need_libraries()
    root = _make_folder(folder)
    with _says_what_is_left(root):
        work = _make_repositories(root)
        _tell(f"made {root}: work (a repository), origin.git (bare), dvc-remote (a folder)")
        _tell(f"running python {_SCRIPT}: a grid search, each run a commit")
        _train(work)
        runs = _publish(work)
    steps = _next_steps(work, runs)
    if form == "json":
        _print_json(root, runs, steps)
    else:
        print_steps(steps)


# --- what is made


def _need_libraries() -> None:
    from importlib.util import find_spec

    for module, library in _NEEDED.items():
        if find_spec(module) is None:
            raise MissingLibrary(library or module, "train and push the models of the demo", "'runstone[demo]'")


def _make_folder(folder: Path | None) -> Path:
    """A new or empty folder.

    Raises:
        UsageError: There is something in it.
    """
    if folder is None:
        from tempfile import mkdtemp

        return Path(mkdtemp(prefix="runstone-demo-")).resolve()
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty, and the demo fills a folder of its own. Name a new one.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _make_repositories(root: Path) -> Path:
    """The work repository with the script committed, its bare origin, and the folder that is the DVC remote.

    Both are named by relative paths, so that the folder may be moved, and a clone beside `work` finds them too.
    """
    from runstone.artifacts.config import format_config

    work = root / "work"
    (root / "dvc-remote").mkdir()
    _git("init", "-q", "--bare", "-b", "main", "origin.git", cwd=root)
    _git("init", "-q", "-b", "main", "work", cwd=root)
    for key, value in _GIT_SETTINGS.items():
        _git("config", key, value, cwd=work)
    _git("remote", "add", "origin", "../origin.git", cwd=work)
    (work / ".dvc").mkdir()
    remote = {"core": {"remote": "storage"}, 'remote "storage"': {"url": "../../dvc-remote"}}
    script = (Path(__file__).parent / "demo_train.py.txt").read_text("utf-8")
    for name, text in {**_IGNORED_BY_GIT, ".dvc/config": format_config(remote), _SCRIPT: script}.items():
        (work / name).write_text(text, "utf-8")
    _git("add", "--all", cwd=work)
    _git("commit", "-q", "-m", "Search a small grid of boosted trees", cwd=work)
    return work


def _train(work: Path) -> None:
    """Run the script and pass on what it prints, line by line.

    Raises:
        RunstoneError: It failed.
    """
    process = subprocess.Popen(
        [sys.executable, _SCRIPT], cwd=work, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            _tell(f"  {line.decode(errors='replace').rstrip()}")
        code = process.wait()
    except BaseException:
        _stop(process)
        raise
    finally:
        process.stdout.close()
    if code:
        again = f"cd {shlex.quote(str(work))} && {shlex.quote(sys.executable)} {_SCRIPT}"
        raise RunstoneError(f"{work / _SCRIPT} ended with {code}; what it said stands above. Run it again: `{again}`")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ctrl-C reaches the script too, which then records its run as killed; it is given time for that."""
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()


def _publish(work: Path) -> "list[Run]":
    """Push the bytes, register the best model, push the branches and the tag; returns the runs, the best first.

    Writes:
        `dvc-remote`; the tag and the alias of the model in `work`; `main`, `runs` and the tag in `origin.git`.
    """
    from runstone.client import Client
    from runstone.names import format_version_tag
    from runstone.tracking.push import push_runs

    client = Client(work)
    runs = client.search_runs(order_by=["metrics.rmse"])
    pushed = push_runs(client.workspace, [run.id for run in runs])
    _tell(f"pushed {pushed.count} files, {format_size(pushed.size)}, to the DVC remote")
    version = client.create_model_version(MODEL, f"runs:/{runs[0].id}/model", description="Lowest RMSE of the grid.")
    client.set_registered_model_alias(MODEL, ALIAS, version.version)
    _tell(f"registered {MODEL} version {version.version}, the model of {runs[0].name}, and pointed {ALIAS} at it")
    tag = format_version_tag(MODEL, version.version)
    _git("push", "-q", "--set-upstream", "origin", "main", "runs", tag, cwd=work)
    _tell(f"git push origin main runs {tag}\n")
    return list(runs)


# --- what is said


def _next_steps(work: Path, runs: "Sequence[Run]") -> list[Step]:
    best, other, last = (shlex.quote(run.name) for run in (runs[0], runs[1], runs[-1]))
    return [
        *_setup_steps(),
        Step("the repository", f"cd {shlex.quote(str(work))}"),
        Step("the runs, the best first", "runstone runs list -s metrics.rmse"),
        Step("all of the best one", f"runstone runs show {best}"),
        Step("what made the worst one worse", f"runstone diff {best} {last}"),
        Step("how they learned", f"runstone plot {best} {other} {last} -m rmse"),
        Step("the registered model and its champion", f"runstone models show {MODEL}"),
        Step("the log of runs, one commit each", "git log --oneline --first-parent runs"),
        Step("metrics of all runs, with git alone", "git grep -h ' rmse:' runs -- experiments"),
        Step(
            "all of it elsewhere, with git and DVC alone",
            "git clone -q -b runs ../origin.git ../clone && cd ../clone && dvc pull",
        ),
    ]


def print_steps(steps: Sequence[Step]) -> None:
    """Print commands to paste, each below a comment that says what it shows."""
    click.echo("# Look at it: paste these.")
    for step in steps:
        click.echo(f"\n{click.style(f'# {step.shows}', dim=True)}\n{step.command}")


def _setup_steps() -> Iterator[Step]:
    """What a shell must know before the other commands work in it; nothing where both programs are on the PATH."""
    if os.environ.get("RUNSTONE_REPO"):
        yield Step("RUNSTONE_REPO names another repository", "unset RUNSTONE_REPO")
    for name in ("runstone", "dvc"):
        if shutil.which(name) is None:
            path = f"PYTHONPATH={shlex.quote(_environment()['PYTHONPATH'])} " if "PYTHONPATH" in _environment() else ""
            program = f'{path}{shlex.quote(sys.executable)} -m {name} "$@"'
            yield Step(f"{name} is not on the PATH here", f"{name}() {{ {program}; }}")


def _print_json(root: Path, runs: "Sequence[Run]", steps: Sequence[Step]) -> None:
    emit_json(
        {
            "folder": str(root),
            "work": str(root / "work"),
            "origin": str(root / "origin.git"),
            "dvc_remote": str(root / "dvc-remote"),
            "runs": [run.id for run in runs],
            "best": runs[0].id,
            "model": {"name": MODEL, "version": 1, "alias": ALIAS},  # the first of a new repository
            "next": [{"shows": step.shows, "command": step.command} for step in steps],
        }
    )


@contextmanager
def _says_what_is_left(root: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _tell(f"not finished; what was made is left in {root}. Remove it: rm -rf {shlex.quote(str(root))}")
        raise


def _tell(text: str) -> None:
    """Progress, on standard error: standard output is for the result."""
    click.echo(click.style(clean(text, keep="\n"), dim=True), err=True)


# --- processes


def _git(*arguments: str, cwd: Path) -> None:
    from runstone.git.process import run_git

    run_git(arguments, cwd=cwd)


def _environment() -> dict[str, str]:
    """The environment for the script: this Runstone, wherever it was imported from; no repository but the demo's."""
    from sysconfig import get_paths

    from runstone.git.process import clean_environment

    env = {k: v for k, v in clean_environment().items() if not k.startswith("RUNSTONE_") or k == "RUNSTONE_CACHE_DIR"}
    given = [str(Path(entry).absolute()) for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]
    package = str(Path(__file__).resolve().parents[2])
    if package not in {*given, get_paths()["purelib"], get_paths()["platlib"]}:
        given.insert(0, package)
    if given:
        env["PYTHONPATH"] = os.pathsep.join(given)
    return env
