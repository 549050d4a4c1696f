"""DVC's experiments and folders of DVCLive, made by the real programs, through `runstone import dvc`."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from runstone.client import Client
from tests.imports.tools import bring, changes, commits, files_of, history, missing, refused, runs_of
from tests.support import git, make_repository, run_python

pytest.importorskip("dvclive", reason="DVCLive is not installed")

TRAIN = """
import json, sys, yaml
from pathlib import Path
import numpy
from dvclive import Live

params = yaml.safe_load(Path("params.yaml").read_text())["train"]
with Live(report=None, dvcyaml=None, save_dvc_exp=False) as live:
    live.log_params({"alpha": params["lr"]})
    for i in range(4):
        live.log_metric("train/loss", params["lr"] / (i + 1), timestamp=True)
        live.log_metric("acc", i / 3)
        live.next_step()
    live.log_metric("final", 0.5, plot=False)
    live.log_image("picture.png", numpy.zeros((4, 4, 3), dtype="uint8"))
    live.log_sklearn_plot("confusion_matrix", [0, 1, 1], [0, 1, 0], name="cm")
Path("scores.json").write_text(json.dumps({"test": {"auc": 0.9, "n": 12}, "note": "good"}))
Path("cached.json").write_text(json.dumps({"kept": params["lr"]}))
Path("models").mkdir(exist_ok=True)
Path("models/weights.bin").write_text(f"weights {params['lr']}")
"""
PIPELINE = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [train, other.toml: ]
    outs: [models]
    metrics:
    - scores.json: {cache: false}
    - cached.json
metrics: [dvclive/metrics.json]
params: [dvclive/params.yaml]
plots:
- dvclive/plots/metrics: {x: step}
- dvclive/plots/images
- dvclive/plots/sklearn/cm.json: {template: confusion, x: actual, y: predicted}
artifacts:
  churn: {path: models/weights.bin, type: model}
"""


def dvc(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run the real DVC, with the interpreter of the tests as `python`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "DVC_STUDIO_OFFLINE": "1", **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two experiments, and what `dvc exp show` says of them."""
    folder = tmp_path_factory.mktemp("dvc")
    env = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "DVC_GLOBAL_CONFIG_DIR": str(folder / "global")}
    repo = make_repository(folder / "repo", commit=False)
    dvc("init", "-q", cwd=repo, env=env)
    (repo / "train.py").write_text(TRAIN)
    (repo / "dvc.yaml").write_text(PIPELINE)
    (repo / "params.yaml").write_text("train:\n  lr: 0.1\n  depth: 3\n")
    (repo / "other.toml").write_text('[data]\nname = "growth"\n')
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", "Begin", cwd=repo)
    for name, rate in (("exp-one", "0.2"), ("exp-two", "0.3")):
        dvc("exp", "run", "-q", "-n", name, "-S", f"train.lr={rate}", cwd=repo, env=env)
    (folder / "shown.json").write_text(dvc("exp", "show", "--json", cwd=repo, env=env))
    return repo


@pytest.fixture
def repo(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "copy", symlinks=True))


def test_experiments_come_as_dvc_shows_them(repo: Path, made: Path) -> None:
    """Params and metrics are those of `dvc exp show`, with the histories that DVCLive kept beside them."""
    report = bring(repo, "dvc", code=1)
    runs = runs_of(repo)
    assert {"exp-one", "exp-two"} == set(runs)
    shown = {
        row["revs"][0]["name"]: row["revs"][0]
        for row in json.loads((made.parent / "shown.json").read_text())[1]["experiments"]
    }
    for name, rate in (("exp-one", 0.2), ("exp-two", 0.3)):
        run, theirs = runs[name], shown[name]
        assert theirs["rev"] == run.source.snapshot
        assert ("FINISHED", "Kim Example", "dvc") == (run.status, run.user, run.experiment)
        assert rate == theirs["data"]["params"]["params.yaml"]["data"]["train"]["lr"]
        assert {"alpha": rate, "train.lr": rate, "train.depth": 3, "data.name": "growth"} == dict(run.params)
        metrics = {key: summary.last for key, summary in run.metrics.items()}
        live = theirs["data"]["metrics"]["dvclive/metrics.json"]["data"]
        assert live == {"train": {"loss": metrics["train/loss"]}, "acc": 1.0, "final": 0.5, "step": 3}
        expected = {"test.auc": 0.9, "test.n": 12.0, "kept": rate, "final": 0.5, "acc": 1.0}
        assert expected == {key: value for key, value in metrics.items() if key != "train/loss"}
        assert [(i, rate / (i + 1)) for i in range(4)] == history(repo, run, "train/loss")
        times = [point.timestamp for point in Client(repo).get_metric_history(run.id, "train/loss")]
        assert run.started <= times[0] < times[-1] <= (run.ended or 0)
        files = files_of(repo, run)
        assert f"weights {rate}".encode() == files["models/weights.bin"]
        assert files["dvclive/plots/images/picture.png"].startswith(b"\x89PNG")
        assert {"dvclive/plots/images/picture.png", "dvclive/plots/sklearn/cm.json", "models/weights.bin"} == set(files)
    assert {"run exp-one: scores.json: note", "run exp-two: scores.json: note"} == set(missing(report, "file"))


def test_the_code_of_an_experiment_is_kept(repo: Path) -> None:
    """When DVC's refs are removed and git has collected its garbage, the commit is there, and can be checked out."""
    bring(repo, "dvc", code=1)
    run = runs_of(repo)["exp-one"]
    for ref in git("for-each-ref", "--format=%(refname)", "refs/exps", cwd=repo).split("\n"):
        git("update-ref", "-d", ref, cwd=repo)
    git("reflog", "expire", "--expire=now", "--all", cwd=repo)
    git("gc", "-q", "--prune=now", cwd=repo)
    assert "lr: 0.2" in git("show", f"{run.source.snapshot}:params.yaml", cwd=repo)
    assert run.source.commit == git("rev-parse", "HEAD", cwd=repo)


def test_twice_adds_nothing_and_a_new_experiment_is_added(repo: Path) -> None:
    """The second import makes no commit; an experiment that came since is one more run."""
    assert {"new": 2} == changes(bring(repo, "dvc", code=1))
    before = commits(repo)
    assert {"same": 2} == changes(bring(repo, "dvc", code=1))
    assert before == commits(repo)
    tip = git("rev-parse", "refs/exps/" + _exps(repo)[0], cwd=repo)
    tree = git("rev-parse", f"{tip}^{{tree}}", cwd=repo)
    made = git("commit-tree", tree, "-p", "HEAD", "-m", "dvc: commit experiment x", cwd=repo)
    baseline = git("rev-parse", "HEAD", cwd=repo)
    git("update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/third", made, cwd=repo)
    assert {"new": 1, "same": 2} == changes(bring(repo, "dvc", code=1))
    assert made == runs_of(repo)["third"].source.snapshot


def _exps(repo: Path) -> list[str]:
    refs = git("for-each-ref", "--format=%(refname)", "refs/exps", cwd=repo).split("\n")
    return [ref.removeprefix("refs/exps/") for ref in refs if "/exp-" in ref]


def test_the_folder_of_an_experiment_does_not_come_twice(repo: Path) -> None:
    """What lies in the work tree is the last experiment's; changed by hand, it is a run of its own."""
    report = bring(repo, "dvc", code=1)
    assert ["dvclive"] == list(missing(report, "folder"))
    table = repo / "dvclive" / "plots" / "metrics" / "acc.tsv"
    table.write_text(table.read_text() + "4\t0.75\n")
    assert {"new": 1, "same": 2} == changes(bring(repo, "dvc", code=1))
    assert (4, 0.75) == history(repo, runs_of(repo)["dvclive"], "acc")[-1]


def test_another_repository_and_a_dry_run(git_repo: Path, repo: Path) -> None:
    """Nothing is written there or, dry, here; the code that stays there is told of."""
    before = git("for-each-ref", cwd=repo)
    report = bring(git_repo, "dvc", repo, "--dry-run", code=1)
    assert ({"new": 2}, "") == (changes(report), git("branch", "--list", "runs", cwd=git_repo))
    report = bring(git_repo, "dvc", repo, code=1)
    assert ({"new": 2}, before) == (changes(report), git("for-each-ref", cwd=repo))
    assert ["experiments"] == list(missing(report, "code"))
    run = runs_of(git_repo)["exp-one"]
    assert b"weights 0.2" == files_of(git_repo, run)["models/weights.bin"]


def test_bytes_come_from_the_remote_and_are_listed_where_they_cannot(repo: Path, tmp_path: Path) -> None:
    """Without a cache the DVC remote is asked; what that has not is told, and the rest comes; later it is added."""
    dvc("remote", "add", "-q", "-d", "store", tmp_path / "store", cwd=repo)
    shutil.move(repo / ".dvc" / "cache", tmp_path / "moved")
    report = bring(repo, "dvc", code=1)
    assert {"run exp-one: models/weights.bin", "run exp-one: cached.json"} <= _stripped(report)
    assert "kept" not in runs_of(repo)["exp-one"].metrics
    shutil.copytree(tmp_path / "moved", tmp_path / "store")
    assert {"updated": 2} == changes(bring(repo, "dvc", code=1))
    run = runs_of(repo)["exp-one"]
    assert (0.2, b"weights 0.2") == (run.metrics["kept"].last, files_of(repo, run)["models/weights.bin"])


def _stripped(report: dict[str, object]) -> set[str]:
    names = [what for what in missing(report) if what.startswith("run exp-one")]
    return set(names)


def live(folder: Path, script: str) -> Path:
    """Run a script that uses DVCLive in a folder that is no repository; the folder `dvclive`."""
    folder.mkdir(parents=True, exist_ok=True)
    head = "from dvclive import Live\nlive = Live(report=None, dvcyaml=None, save_dvc_exp=False, resume={})\n"
    run_python(head.format("resume" in script) + script, cwd=folder, env={"DVC_NO_ANALYTICS": "1"})
    return folder / "dvclive"


STEPS = """
for i in range({}):
    live.log_metric('loss', 1 / (i + 1))
    live.next_step()
live.log_param('seed', {})
live.end()
"""


def test_a_folder_grows_and_another_run_in_it_is_another(git_repo: Path, tmp_path: Path) -> None:
    """What is resumed updates its run; a run with other params in the same folder is a new one."""
    folder = live(tmp_path / "job", STEPS.format(3, 1))
    bring(git_repo, "dvc", folder)
    (run,) = runs_of(git_repo).values()
    assert ("dvclive", {"seed": 1}, [(i, 1 / (i + 1)) for i in range(3)]) == (
        run.name,
        dict(run.params),
        history(git_repo, run, "loss"),
    )
    assert {"same": 1} == changes(bring(git_repo, "dvc", tmp_path / "job"))
    live(tmp_path / "job", "# resume\nlive.log_metric('loss', 0.125)\nlive.next_step()\nlive.end()")
    assert {"updated": 1} == changes(bring(git_repo, "dvc", folder))
    (run,) = runs_of(git_repo).values()
    assert (4, 0.125) == (run.metrics["loss"].count, run.metrics["loss"].last)
    live(tmp_path / "job", STEPS.format(2, 2))
    assert {"new": 1} == changes(bring(git_repo, "dvc", folder))
    assert {4, 2} == {run.metrics["loss"].count for run in Client(git_repo).search_runs()}


def test_a_torn_folder_gives_what_is_whole(git_repo: Path, tmp_path: Path) -> None:
    """A row that is cut short, one that is no number, a table of another kind and JSON that is cut are told."""
    folder = tmp_path / "dvclive"
    (folder / "plots" / "metrics" / "deep").mkdir(parents=True)
    (folder / "plots" / "metrics" / "loss.tsv").write_text("step\tloss\n0\t1.5\n1\tx\n2\tnan\n3\tinf\n4\t0.2")
    (folder / "plots" / "metrics" / "deep" / "er.tsv").write_text("timestamp\tstep\ter\n1700000000000\t0\t7\n")
    (folder / "plots" / "metrics" / "other.tsv").write_text("a\tb\n0\t1\n")
    (folder / "metrics.json").write_text('{"loss": ')
    (folder / "params.yaml").write_text("a: 1\n")
    report = bring(git_repo, "dvc", folder, code=1)
    (run,) = runs_of(git_repo).values()
    assert [(0, 1.5), (3, math.inf)] == [point for point in history(git_repo, run, "loss") if point[0] != 2]
    assert [(0, 7.0)] == history(git_repo, run, "deep/er")
    assert {"plots/metrics/loss.tsv", "plots/metrics/other.tsv", "metrics.json"} == {
        what.partition(": ")[2] for what in missing(report)
    }


def test_links_out_of_a_folder_are_not_followed(git_repo: Path, tmp_path: Path) -> None:
    """Neither a table nor an image nor a folder that is a link is read."""
    (tmp_path / "private.tsv").write_text("step\tsecret\n0\t1\n")
    folder = tmp_path / "dvclive"
    (folder / "plots" / "metrics").mkdir(parents=True)
    (folder / "plots" / "metrics" / "loss.tsv").write_text("step\tloss\n0\t1\n")
    (folder / "plots" / "metrics" / "secret.tsv").symlink_to(tmp_path / "private.tsv")
    (folder / "plots" / "images").symlink_to(tmp_path)
    (folder / "picture.png").symlink_to(tmp_path / "private.tsv")
    bring(git_repo, "dvc", folder, code=1)
    (run,) = runs_of(git_repo).values()
    assert ({"loss"}, {}) == (set(run.metrics), files_of(git_repo, run))


def test_links_and_pipes_in_a_folder_are_told(git_repo: Path, tmp_path: Path) -> None:
    """What is left out of a folder for what it is, as a file that DVC links to its cache, is no silent loss."""
    folder = tmp_path / "logs" / "live"
    (folder / "plots" / "metrics").mkdir(parents=True)
    (folder / "plots" / "metrics" / "loss.tsv").write_text("timestamp\tstep\tloss\n1700000000000\t0\t1.0\n")
    (folder / "model.pt").symlink_to("/nowhere")
    (folder / "etc").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    report = bring(git_repo, "dvc", tmp_path / "logs", code=1)
    assert {f"run live: live/{name}" for name in ("etc", "model.pt", "pipe")} == set(missing(report, "artifact"))


def test_impossible_times_and_names_stop_nothing(git_repo: Path, tmp_path: Path) -> None:
    """A commit may say that it was made by bytes, in no possible year; the experiment comes, and so do the others."""
    source = make_repository(tmp_path / "other")
    base = git("rev-parse", "HEAD", cwd=source).strip()
    tree = git("rev-parse", "HEAD^{tree}", cwd=source).strip()
    for name, person in (("odd", b"\xff <> 99999999999999"), ("good", b"Kim <k@x> 1700000000")):
        text = b"tree %b\nparent %b\nauthor %b +0000\ncommitter %b +0000\n\nm\n"
        data = text % (tree.encode(), base.encode(), person, person)
        command = ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"]
        made = subprocess.run(command, cwd=source, input=data, capture_output=True, check=True).stdout.decode().strip()
        git("update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", made, cwd=source)
    report = bring(git_repo, "dvc", source, code=1)
    assert {"odd": 0, "good": 1_700_000_000_000} == {name: run.started for name, run in runs_of(git_repo).items()}
    assert 2 == len(missing(report, "time"))


def test_a_hostile_experiment(git_repo: Path, tmp_path: Path) -> None:
    """Paths out of the commit, YAML bombs, JSON without end, odd keys and names: told, and nothing else is touched."""
    (tmp_path / "private.yaml").write_text("secret: 1\n")
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    (git_repo / "dvc.yaml").write_text(
        "params: [../private.yaml, /etc/passwd, bomb.yaml, nested.json, odd.json, code.py]\n"
        "metrics: ['${item}.json', ../private.yaml, odd.json]\n"
        "artifacts: {evil: {path: ../../private.yaml}, gone: {path: gone.bin}}\n"
    )
    (git_repo / "bomb.yaml").write_text(bomb)
    (git_repo / "nested.json").write_text("[" * 50_000)
    (git_repo / "odd.json").write_text(json.dumps({"../up": 1, "ok": 2, "huge": 10**400}))
    (git_repo / "code.py").write_text(
        "import os\nLR = 0.5\nos.mkdir('made')\nclass Train:\n    seed = 7\n    x = open('y')\n"
    )
    (git_repo / "linked.dvc").write_text("outs:\n- {md5: ../../../../etc/passwd, path: gone.bin}\n")
    git("add", "-A", cwd=git_repo)
    head = git("rev-parse", "HEAD", cwd=git_repo)
    made = git("commit-tree", git("write-tree", cwd=git_repo), "-p", head, "-m", "x", cwd=git_repo)
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/deep/name", made, cwd=git_repo)
    report = bring(git_repo, "dvc", code=1)
    run = runs_of(git_repo)["deep/name"]
    assert {"LR": 0.5, "Train.seed": 7, "ok": 2, "huge": 10**400} == dict(run.params)
    assert ({"ok"}, {}) == (set(run.metrics), files_of(git_repo, run))
    assert not (git_repo / "made").exists()
    told = {what.partition(": ")[2] for what in missing(report)}
    assert {"bomb.yaml", "nested.json", "dvc.yaml: ${item}.json", "gone.bin", "../up", "odd.json: huge"} <= told


def test_nothing_of_dvc_is_an_error(git_repo: Path) -> None:
    """The error says what was looked for."""
    message = (
        f"There is nothing of DVC in {git_repo}: no experiment (`dvc exp list --all-commits`), and no folder that "
        "DVCLive wrote to, with `metrics.json` and `plots/metrics` in it."
    )
    assert message in refused(git_repo, "dvc").replace("\n", " ")
