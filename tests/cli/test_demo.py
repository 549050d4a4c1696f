"""`runstone demo`: what it leaves is real git and real DVC, and every command it prints works when pasted."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

import runstone.sklearn
from runstone.cli.demo import Step, print_steps
from runstone.client import Client
from tests.support import SOURCE, git, run_python

TIMEOUT_S = 120


def demo(cwd: Path, *arguments: str, check: bool = True, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run `runstone demo`."""
    return run_python(Path("-m"), "runstone", "demo", *arguments, cwd=cwd, check=check, timeout_s=TIMEOUT_S, env=env)


def bash(script: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run lines as if they were pasted, in a shell that knows nothing of this source tree; they must not fail."""
    known = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=cwd, env={**known, **env}, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def clean_module_environment(tmp_path_factory: pytest.TempPathFactory, plot_cache: Path) -> Iterator[Path]:
    """As the fixtures for every test give it, but for the one demo that the tests of this module look at."""
    home = tmp_path_factory.mktemp("demo-home")
    (home / ".gitconfig").write_text("[commit]\n\tgpgsign = true\n[tag]\n\tgpgsign = true\n")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("GIT_", "DVC_", "RUNSTONE_")):
                patch.delenv(name)
        for name, value in {"HOME": home, "GIT_CONFIG_GLOBAL": home / ".gitconfig", "GIT_CONFIG_NOSYSTEM": "1"}.items():
            patch.setenv(name, str(value))
        for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR", "XDG_CACHE_HOME"):
            patch.setenv(name, str(home / name))
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("MPLCONFIGDIR", str(plot_cache))
        yield home


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clean_module_environment: Path) -> dict[str, Any]:
    """One demo, made by a user whose git has no identity and signs everything; what `--json` said of it.

    RUNSTONE_REPO names another repository, which must not be touched.
    """
    root = tmp_path_factory.mktemp("demo")
    other = root / "other repository"
    git("init", "-q", other, cwd=root)
    done = demo(root, "a folder", "--json", RUNSTONE_REPO=str(other), RUNSTONE_EXPERIMENT_NAME="elsewhere")
    found: dict[str, Any] = json.loads(done.stdout)
    assert "" == git("for-each-ref", cwd=other)
    return {**found, "stderr": done.stderr}


def test_the_paths_it_prints(made: dict[str, Any]) -> None:
    """The folder holds the repository, its origin and the DVC remote."""
    root = Path(made["folder"])
    assert "a folder" == root.name
    assert [str(root / name) for name in ("work", "origin.git", "dvc-remote")] == [
        made[name] for name in ("work", "origin", "dvc_remote")
    ]
    assert {"work", "origin.git", "dvc-remote"} <= {path.name for path in root.iterdir()}


def test_what_it_tells_while_it_works(made: dict[str, Any]) -> None:
    """A line a step, and a line a run as it ends; on standard error, as standard output is the JSON."""
    lines = made["stderr"].splitlines()
    assert f"made {made['folder']}: work (a repository), origin.git (bare), dvc-remote (a folder)" == lines[0]
    assert len(made["runs"]) == sum("rmse" in line for line in lines)
    assert "git push origin main runs diabetes@v1" in lines


def test_the_runs_are_real(made: dict[str, Any]) -> None:
    """Each has params, metrics over steps, a dataset, a figure, a text and a model, and the commit it ran."""
    client = Client(made["work"])
    runs = client.search_runs(order_by=["metrics.rmse"])
    head = git("rev-parse", "HEAD~1", cwd=Path(made["work"]))  # before the commit of the alias
    assert made["runs"] == [run.id for run in runs]
    assert made["best"] == made["runs"][0]
    assert 6 == len(runs)
    for run in runs:
        assert ("FINISHED", head, False) == (run.status, run.source.commit, run.source.dirty)
        assert {"learning_rate", "max_depth", "n_estimators", "subsample"} == set(run.params)
        assert list(range(1, 81)) == [point.step for point in client.get_metric_history(run.id, "rmse")]
        assert ["diabetes"] == [dataset.name for dataset in run.datasets]
        assert {"importances.json", "model", "predicted.png"} == {entry.path for entry in client.list_artifacts(run.id)}
    assert 6 == len({run.metrics["rmse"].last for run in runs})


def test_the_champion_can_be_loaded(made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The best run's model is version 1, and the alias points at it."""
    assert {"name": "diabetes", "version": 1, "alias": "champion"} == made["model"]
    version = Client(made["work"]).get_model_version_by_alias("diabetes", "champion")
    assert (made["best"], 1) == (version.run_id, version.version)
    monkeypatch.chdir(made["work"])
    runstone.set_tracking_uri(made["work"])
    model = runstone.sklearn.load_model("models:/diabetes@champion")
    assert 10 == model.n_features_in_


def test_everything_is_pushed_and_clean(made: dict[str, Any]) -> None:
    """Origin has the branches and the tag, the DVC remote every object, the work tree no change."""
    work, origin = Path(made["work"]), Path(made["origin"])
    refs = ["refs/heads/main", "refs/heads/runs", "refs/tags/diabetes@v1"]
    shown = "%(objectname) %(refname)"
    assert refs == git("for-each-ref", "--format=%(refname)", cwd=origin).splitlines()
    pushed = git("for-each-ref", f"--format={shown}", cwd=origin)
    assert git("for-each-ref", f"--format={shown}", *refs, cwd=work) == pushed
    assert "## main...origin/main" == git("status", "--short", "--branch", cwd=work)
    cached = {path.relative_to(work / ".dvc/cache/files") for path in (work / ".dvc/cache/files").rglob("??/*")}
    stored = {path.relative_to(origin.parent / "dvc-remote/files") for path in Path(made["dvc_remote"]).rglob("??/*")}
    assert cached == stored
    assert len(cached) > 20
    git("fsck", "--strict", cwd=work)
    git("fsck", "--strict", cwd=origin)


def test_every_command_it_prints_works(made: dict[str, Any]) -> None:
    """Pasted one after the other in a plain shell, RUNSTONE_REPO still set, each works and says what it promises."""
    names = {run.id: run.name for run in Client(made["work"]).search_runs()}
    best, worst = names[made["best"]], names[made["runs"][-1]]
    commands = [step["command"] for step in made["next"]]
    mark = "=== next ==="
    other = str(Path(made["folder"]).parent / "other repository")
    out = bash(f"\necho '{mark}'\n".join(commands), Path(made["folder"]).parent, RUNSTONE_REPO=other).stdout
    outputs = dict(zip(commands, out.split(mark), strict=True))
    expected = {
        "runstone runs list": [best, worst, "metrics.rmse"],
        "runstone runs show": [made["best"], "max_depth"],
        "runstone diff": [f"- {best}", f"+ {worst}", "rmse"],
        "runstone plot": [f"rmse  {best}", "step"],
        "runstone models show": ["champion", made["best"]],
        "git log": [f"Record run {best}: FINISHED"],
        "git grep": ["rmse: {last: "],
        "git clone": ["files added"],
    }
    for begin, texts in expected.items():
        (command,) = [command for command in commands if command.startswith(begin)]
        for text in texts:
            assert text in outputs[command]
    assert best in outputs["runstone runs list -s metrics.rmse"].strip().splitlines()[1]


def test_the_steps_as_text_are_a_script(made: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """What people see is the same commands, with comments between, so that all of it can be pasted at once."""
    print_steps([Step(**step) for step in made["next"]])
    lines = capsys.readouterr().out.splitlines()
    assert [step["command"] for step in made["next"]] == [line for line in lines if line and not line.startswith("#")]
    assert [f"# {step['shows']}" for step in made["next"]] == [line for line in lines[1:] if line.startswith("#")]


def test_the_clone_has_every_file(made: dict[str, Any], tmp_path: Path) -> None:
    """A plain clone beside `work` and the real `dvc pull` bring each run's artifacts, byte for byte."""
    moved = tmp_path / "moved"  # the folder may be moved: both remotes are named by relative paths
    shutil.copytree(made["folder"], moved, ignore=shutil.ignore_patterns("clone"))
    git("clone", "-q", "-b", "runs", "origin.git", "plain", cwd=moved)
    subprocess.run([sys.executable, "-m", "dvc", "pull", "-q"], cwd=moved / "plain", check=True, timeout=TIMEOUT_S)
    client = Client(made["work"])
    for folder in (moved / "plain").glob("experiments/*/*/*/*/artifacts"):
        logged = Path(client.download_artifacts(folder.parent.name, dst_path=tmp_path))
        pulled = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert pulled == {name: (logged / name).read_bytes() for name in pulled}
        assert len(pulled) > 5
    assert 6 == len(list((moved / "plain").glob("experiments/*/*/*/*/artifacts")))


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    """Nothing is written into it."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("…")
    done = demo(tmp_path, "mine", check=False)
    message = "error: mine is not empty, and the demo fills a folder of its own. Name a new one.\n"
    assert (2, "", message) == (done.returncode, done.stdout, done.stderr)
    assert ["thesis.tex"] == [path.name for path in (tmp_path / "mine").iterdir()]


def test_a_library_that_is_missing_is_named(tmp_path: Path) -> None:
    """With nothing installed but click, the extra that brings the rest is said, and nothing is made."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "click").symlink_to(Path(click.__file__).parent)
    (tmp_path / "cwd").mkdir()
    done = subprocess.run(
        [sys.executable, "-S", "-m", "runstone", "demo", "new"],
        cwd=tmp_path / "cwd",
        env={**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{tmp_path / 'site'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    message = (
        "error: `scikit-learn` is needed to train and push the models of the demo, and is not installed. "
        "Install it: `pip install 'runstone[demo]'`\n"
    )
    assert (1, "", message) == (done.returncode, done.stdout, done.stderr)
    assert [] == list((tmp_path / "cwd").iterdir())


@contextmanager
def started(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A demo in a new temporary folder, stopped in the middle: when its training has said something."""
    process = subprocess.Popen(
        [sys.executable, "-m", "runstone", "demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_ctrl_c_leaves_the_folder_and_says_so(tmp_path: Path) -> None:
    """Interrupted as a terminal does it, the demo ends with 130 and names what it leaves; no run is left RUNNING."""
    with started(tmp_path) as process:
        assert process.stderr is not None
        for _ in range(2):  # when the second run speaks, the first has ended
            while "rmse" not in process.stderr.readline():
                assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    (folder,) = tmp_path.glob("runstone-demo-*")
    assert (130, "") == (process.returncode, out)
    assert f"not finished; what was made is left in {folder}. Remove it: rm -rf {folder}" in err.splitlines()
    statuses = [run.status for run in Client(folder / "work").search_runs()]
    assert "FINISHED" in statuses
    assert {"FINISHED", "KILLED", "FAILED"} >= set(statuses)
