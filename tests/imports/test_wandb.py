"""Runs that the real wandb wrote offline, whole, torn, resumed and forged, through `runstone import wandb`."""

import base64
import hashlib
import math
import shutil
import struct
import zlib
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.imports.wandb_log import Log
from tests.imports.tools import bring, changes, commits, files_of, history, missing, refused, runs_of
from tests.support import git, make_repository, run_python

pytest.importorskip("wandb", reason="wandb is not installed")

STEPS = 600
SCRIPT = f"""
import os, sys, wandb, numpy
from pathlib import Path
Path("model.txt").write_text("weights")
run = wandb.init(project="churn", name="brave run", group="trees", job_type="train", tags=["a", "second tag"],
                 notes="some *notes*", config={{"lr": 0.1, "layers": [1, 2], "opt": {{"name": "adam", "b": 0.9}}}})
for i in range({STEPS}):
    run.log({{"loss": 1 / (i + 1), "val/acc": i, "nan": float("nan"), "inf": float("inf"), "deep": {{"a": i}}}})
run.log({{"text": "hello", "img": wandb.Image(numpy.zeros((4, 4, 3), dtype="uint8")), "hist": wandb.Histogram([1, 2])}})
run.summary["best"] = 0.93
run.summary["verdict"] = "good"
wandb.save("model.txt", policy="now")
artifact = wandb.Artifact("weights", "model")
artifact.add_file("model.txt")
run.log_artifact(artifact)
run.finish()
"""


def offline(folder: Path, script: str, *, code: int = 0) -> Path:
    """Run a script with the real wandb, which must not reach a network; the folder `wandb` that it leaves."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    names = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR")
    env = {name: str(home / name.lower()) for name in names}
    env |= {
        "HOME": str(home),
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(folder),
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
    }
    (folder / "train.py").write_text(script)
    done = run_python(folder / "train.py", cwd=folder, env=env, check=False)
    assert code == done.returncode, done.stderr
    return folder / "wandb"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one long run in a git repository."""
    folder = make_repository(tmp_path_factory.mktemp("wandb") / "project")
    git("remote", "add", "origin", "https://kim:secret@host.example/team/churn.git", cwd=folder)
    return offline(folder, SCRIPT)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "wandb", symlinks=True))


def log_of(folder: Path) -> Path:
    """The one log below a folder."""
    (found,) = folder.glob("offline-run-*/run-*.wandb")
    return found


def framed(records: list[bytes]) -> bytes:
    """A log with these records, each in one piece, as LevelDB's format has it."""
    data = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
    for record in records:
        assert len(data) + len(record) + 7 < 32_768
        data += struct.pack("<IHB", zlib.crc32(record, zlib.crc32(b"\x01")), len(record), 1) + record
    return data


def forged(folder: Path, change: object = None, *, run_id: str = "f0rg3d") -> Path:
    """A folder with a log of our own making: a run, what `change` adds to the list of records, and its end."""
    from wandb.proto import wandb_internal_pb2 as pb

    begun = pb.Record()
    begun.run.run_id, begun.run.project, begun.run.display_name = run_id, "forged", "forged"
    begun.run.start_time.seconds = 1_700_000_000
    records = [begun]
    if callable(change):
        change(records, pb)
    ended = pb.Record()
    ended.exit.exit_code = 0
    place = folder / f"offline-run-20260101_000000-{run_id}"
    (place / "files").mkdir(parents=True)
    (place / f"run-{run_id}.wandb").write_bytes(framed([r.SerializeToString() for r in [*records, ended]]))
    return folder


def keys(told: dict[str, str]) -> set[str]:
    """What is told of a run, without the run."""
    return {what.partition(": ")[2] for what in told}


def test_a_run_comes_whole(git_repo: Path, made: Path) -> None:
    """Config, history, summary, words, code, environment, media and logged artifacts; the rest is told."""
    report = bring(git_repo, "wandb", made, code=1)
    (run,) = runs_of(git_repo).values()
    source = git("rev-parse", "HEAD", cwd=made.parent)
    assert ("brave run", "churn", "FINISHED") == (run.name, run.experiment, run.status)
    assert {"lr": 0.1, "layers": [1, 2], "opt.name": "adam", "opt.b": 0.9} == dict(run.params)
    expected = {
        "wandb.project": "churn",
        "wandb.group": "trees",
        "wandb.job_type": "train",
        "wandb.tag.a": "true",
        "wandb.tag.second tag": "true",
        "wandb.summary.verdict": "good",
        "wandb.artifact.weights": "model",
    }
    assert expected == {key: value for key, value in run.tags.items() if key != "wandb.run_id"}
    assert [(i, 1 / (i + 1)) for i in range(STEPS)] == history(git_repo, run, "loss")
    assert [(i, float(i)) for i in range(STEPS)] == history(git_repo, run, "deep.a")
    assert (STEPS, math.inf, STEPS - 1) == (run.metrics["inf"].count, run.metrics["inf"].last, run.metrics["inf"].step)
    assert math.isnan(run.metrics["nan"].last)
    assert (0.93, 1) == (run.metrics["best"].last, run.metrics["best"].count)
    assert {"best", "deep.a", "inf", "loss", "nan", "val/acc"} == set(run.metrics)
    assert (source, "https://host.example/team/churn.git") == (run.source.commit, run.source.remote)
    assert ("python", "train.py") == run.source.command
    assert run.started < (run.ended or 0) < run.started + 120_000
    assert "some *notes*" == Client(git_repo).get_note(run.id)
    kept = git("show", f"runs:{_folder(git_repo, run.id)}/requirements.txt", cwd=git_repo)
    (requirements,) = made.glob("offline-run-*/files/requirements.txt")
    assert requirements.read_text().strip() == kept.strip()
    files = files_of(git_repo, run)
    assert b"weights" == files["weights/model.txt"]
    assert any(path.startswith("media/images/img") and data.startswith(b"\x89PNG") for path, data in files.items())
    told = missing(report)
    assert {"run brave run: text", "run brave run: hist"} <= told.keys()
    assert ["run brave run: model.txt"] == [each["what"] for each in report["not_carried"] if each["is_loss"]]


def _folder(repo: Path, run_id: str) -> str:
    (found,) = [
        p for p in git("ls-tree", "-r", "--name-only", "runs", cwd=repo).split("\n") if f"{run_id}/run.yaml" in p
    ]
    return found.removesuffix("/run.yaml")


def test_twice_adds_nothing(git_repo: Path, made: Path) -> None:
    """The second import knows the run, and makes no commit."""
    assert {"new": 1} == changes(bring(git_repo, "wandb", made, code=1))
    before = commits(git_repo)
    assert {"same": 1} == changes(bring(git_repo, "wandb", made, code=1))
    assert before == commits(git_repo)


def test_a_dry_run_writes_nothing(git_repo: Path, made: Path) -> None:
    """It tells what would come, and the branch of runs is not there afterwards."""
    report = bring(git_repo, "wandb", made, "--dry-run", code=1)
    assert (True, {"new": 1}) == (report["dry_run"], changes(report))
    assert "" == git("branch", "--list", "runs", cwd=git_repo)


def test_a_log_that_has_grown_updates_its_run(git_repo: Path, folder: Path) -> None:
    """Cut short it is FAILED, with the points so far; whole it is the same run, FINISHED."""
    log = log_of(folder)
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) // 2])
    report = bring(git_repo, "wandb", folder, code=1)
    (run,) = runs_of(git_repo).values()
    points = history(git_repo, run, "loss")
    assert ("FAILED", True) == (run.status, 10 < len(points) < STEPS)
    assert [(i, 1 / (i + 1)) for i in range(len(points))] == points
    assert ["run brave run"] == list(missing(report, "end"))
    log.write_bytes(whole)
    assert {"updated": 1} == changes(bring(git_repo, "wandb", folder, code=1))
    (grown,) = runs_of(git_repo).values()
    assert (run.id, "FINISHED", STEPS) == (grown.id, grown.status, grown.metrics["loss"].count)


def test_a_torn_log_gives_what_is_whole(folder: Path, tmp_path: Path) -> None:
    """Wherever it is cut, the records are the first ones, and the bytes that are lost are counted."""
    whole = log_of(folder).read_bytes()
    every = list(Log(log_of(folder)).records())
    torn = tmp_path / "torn.wandb"
    for end in [*range(40), *range(32_740, 32_800), *range(len(whole) - 40, len(whole))]:
        torn.write_bytes(whole[:end])
        log = Log(torn)
        found = list(log.records())
        assert every[: len(found)] == found
        assert len(found) < len(every)
        framing = end - sum(map(len, found)) - log.lost
        assert 0 <= framing <= 7 + 16 * (len(found) + 2), end


def test_after_damage_the_next_block_is_read(git_repo: Path, folder: Path) -> None:
    """A byte that changed in the first block costs the rest of that block, and is told."""
    log = log_of(folder)
    data = bytearray(log.read_bytes())
    assert len(data) > 3 * 32_768
    data[20_000] ^= 0xFF
    log.write_bytes(data)
    report = bring(git_repo, "wandb", folder, code=1)
    (run,) = runs_of(git_repo).values()
    steps = [step for step, _ in history(git_repo, run, "loss")]
    assert (0, STEPS - 1) == (steps[0], steps[-1])
    assert 100 < len(steps) < STEPS
    assert ("FINISHED", 1) == (run.status, len(missing(report, "log")))


def test_what_was_linked_comes_when_it_is_asked_for(git_repo: Path, made: Path) -> None:
    """`wandb.save` makes links out of the folder; they are followed only with --follow-links."""
    report = bring(git_repo, "wandb", made, code=1)
    assert "--follow-links" in missing(report, "artifact")["run brave run: model.txt"]
    (run,) = runs_of(git_repo).values()
    assert "model.txt" not in files_of(git_repo, run)
    report = bring(git_repo, "wandb", made, "--follow-links")
    (run,) = runs_of(git_repo).values()
    assert ({"updated": 1}, b"weights") == (changes(report), files_of(git_repo, run)["model.txt"])


def test_a_folder_that_is_a_link_is_not_followed(git_repo: Path, tmp_path: Path) -> None:
    """`files` may lead anywhere: nothing of it comes."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "id_rsa").write_text("secret")
    folder = forged(tmp_path / "wandb")
    place = next(folder.iterdir()) / "files"
    place.rmdir()
    place.symlink_to(tmp_path / "private")
    report = bring(git_repo, "wandb", folder, "--follow-links", code=1)
    assert (["run forged: ."], {}) == (
        list(missing(report, "artifact")),
        files_of(git_repo, runs_of(git_repo)["forged"]),
    )


def test_a_log_cannot_take_any_file_of_this_machine(git_repo: Path, tmp_path: Path) -> None:
    """An artifact's file comes only if it has the digest that the log tells, and lands below the artifact's name."""
    (tmp_path / "secret").write_text("private")
    (tmp_path / "mine").write_text("weights")
    right = base64.b64encode(hashlib.md5(b"weights").digest()).decode()

    def change(records: list[object], pb: object) -> None:
        record = pb.Record()  # type: ignore[attr-defined]  # protocol buffers are untyped
        record.artifact.name, record.artifact.type = "../../evil", "model"
        for name, local, digest in (
            ("a", "secret", right),
            ("b", "mine", right),
            ("../../c", "mine", right),
            ("d", "mine", "?"),
        ):
            entry = record.artifact.manifest.contents.add()
            entry.path, entry.local_path, entry.digest, entry.size = name, str(tmp_path / local), digest, 7
        records.append(record)

    report = bring(git_repo, "wandb", forged(tmp_path / "wandb", change), code=1)
    assert {"_/_/evil/b": b"weights"} == files_of(git_repo, runs_of(git_repo)["forged"])
    assert {"_/_/evil/a", "_/_/evil/d", "_/_/evil/../../c"} == keys(missing(report, "artifact"))


def test_hostile_keys_and_values_are_told_and_left(git_repo: Path, tmp_path: Path) -> None:
    """Keys that climb, numbers of a thousand digits, JSON nested without end and JSON that is none; the rest comes."""

    def change(records: list[object], pb: object) -> None:
        record = pb.Record()  # type: ignore[attr-defined]  # protocol buffers are untyped
        deep = "[" * 10_000
        for key, text in (("../up", "1"), ("good", "1"), ("deep", deep), ("broken", "{"), ("huge", "1" + "0" * 4000)):
            record.config.update.add(key=key, value_json=text)
        for key, text in (("../loss", "1"), ("loss", "2"), ("huge", "1" + "0" * 400), ("broken", "{")):
            record_item = records_history.history.item.add()
            record_item.nested_key.append(key)
            record_item.value_json = text
        records += [record, records_history]

    from wandb.proto import wandb_internal_pb2

    records_history = wandb_internal_pb2.Record()
    report = bring(git_repo, "wandb", forged(tmp_path / "wandb", change), code=1)
    run = runs_of(git_repo)["forged"]
    assert ({"good": 1}, {"loss"}) == (dict(run.params), set(run.metrics))
    assert {"../up", "deep", "broken", "huge"} == keys(missing(report, "param"))
    assert {"../loss", "broken"} == keys(missing(report, "metric"))
    assert {"huge"} == keys(missing(report, "value"))


def test_a_resumed_run_is_one(git_repo: Path, tmp_path: Path) -> None:
    """Two folders of one id: both parts of the history, and the end that the later one tells."""
    first = (
        'import wandb\nr = wandb.init(project="p", id="abc", resume="allow")\nr.log({"x": 1})\nr.finish(exit_code=3)'
    )
    folder = offline(tmp_path, first)
    bring(git_repo, "wandb", folder)
    (run,) = runs_of(git_repo).values()
    assert ("FAILED", 1) == (run.status, run.metrics["x"].count)
    offline(tmp_path, first.replace('"x": 1', '"x": 2').replace("exit_code=3", ""))
    assert 2 == len(list(folder.glob("offline-run-*")))
    assert {"updated": 1} == changes(bring(git_repo, "wandb", folder))
    (run,) = runs_of(git_repo).values()
    assert ("FINISHED", 2, 2.0) == (run.status, run.metrics["x"].count, run.metrics["x"].last)


def test_metrics_of_the_machine_come_when_they_are_asked_for(git_repo: Path, made: Path) -> None:
    """Else they are counted, and left out."""
    report = bring(git_repo, "wandb", made, code=1)
    (left,) = [each for each in report["not_carried"] if each["kind"] == "system metrics"]
    assert (False, True) == (left["is_loss"], left["number"] > 0)
    bring(git_repo, "wandb", made, "--system-metrics", "--experiment", "machines", code=1)
    (run,) = runs_of(git_repo).values()
    assert left["number"] == sum(m.count for key, m in run.metrics.items() if key.startswith("system/"))


def test_what_is_no_log_is_told(git_repo: Path, tmp_path: Path) -> None:
    """A file that begins otherwise, one of another version, and an empty one; the good one beside them comes."""
    folder = forged(tmp_path / "wandb")
    for name, data in (("x", b"no log at all"), ("y", struct.pack("<4sHB", b":W&B", 0xBEE1, 9)), ("z", b"")):
        (folder / f"offline-run-20260101_000000-{name}").mkdir()
        (folder / f"offline-run-20260101_000000-{name}" / f"run-{name}.wandb").write_bytes(data)
    report = bring(git_repo, "wandb", folder, code=1)
    assert ({"new": 1}, 3) == (changes(report), len(missing(report, "run")))
    assert "version 9" in missing(report, "run")["offline-run-20260101_000000-y/run-y.wandb"]


def test_a_logged_artifact_that_is_gone_is_listed_and_one_that_came_stays(git_repo: Path, tmp_path: Path) -> None:
    """W&B removes its copies at some time: an import before keeps the file, one after tells of it."""
    script = (
        "import wandb\nfrom pathlib import Path\nPath('model.txt').write_text('weights')\n"
        "for name in 'a', 'b':\n"
        "    run = wandb.init(project='p', id=name * 8, name=name)\n"
        "    for text in 'old', 'new':\n"
        "        Path('model.txt').write_text(text)\n"
        "        artifact = wandb.Artifact('weights', 'model')\n"
        "        artifact.add_file('model.txt')\n"
        "        run.log_artifact(artifact)\n"
        "    run.finish()\n"
    )
    folder = offline(tmp_path, script)
    (first,) = folder.glob("offline-run-*-aaaaaaaa")
    bring(git_repo, "wandb", first)
    expected = {"weights/model.txt": b"new", "weights.v0/model.txt": b"old"}
    assert expected == files_of(git_repo, runs_of(git_repo)["a"])
    for name in ("wandb_data_dir", "wandb_cache_dir"):
        shutil.rmtree(tmp_path / "home" / name, ignore_errors=True)
    report = bring(git_repo, "wandb", folder, code=1)
    assert {"same": 1, "new": 1} == changes(report)
    assert {"weights/model.txt", "weights.v0/model.txt"} == keys(missing(report, "artifact"))
    assert expected == files_of(git_repo, runs_of(git_repo)["a"])


def test_a_folder_without_runs_is_refused(git_repo: Path, tmp_path: Path) -> None:
    """The error says what was looked for."""
    message = (
        f"There is no run of W&B in {tmp_path / 'none'}: a folder `offline-run-…` with a file `run-….wandb` in it. "
        "Name the folder that W&B wrote to: `runstone import wandb DIR`"
    )
    (tmp_path / "none").mkdir()
    assert message in refused(git_repo, "wandb", tmp_path / "none").replace("\n", " ")


def test_without_wandb_it_says_what_to_install(git_repo: Path, made: Path) -> None:
    """The library is needed only here, and the error names the extra."""
    code = (
        "import sys; sys.modules['wandb'] = None\n"
        "from runstone.cli import main\n"
        f"main(['--repo', {str(git_repo)!r}, 'import', 'wandb', {str(made)!r}])"
    )
    done = run_python(code, cwd=git_repo, check=False)
    assert (1, True) == (done.returncode, "pip install 'runstone[wandb]'" in done.stderr)
    assert "" == git("branch", "--list", "runs", cwd=git_repo)
