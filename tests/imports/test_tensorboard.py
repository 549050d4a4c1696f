"""Folders that TensorBoard's writers made, beside what TensorBoard itself shows of them, whole, torn and forged."""

import math
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from runstone.records.run import Run
from tests.imports.tools import bring, changes, commits, files_of, history, missing, refused, runs_of
from tests.support import git, make_repository, run_python

pytest.importorskip("tensorboard", reason="tensorboard is not installed")

SCRIPT = """
import numpy
from torch.utils.tensorboard import SummaryWriter
writer = SummaryWriter("logs/first")
for i in range(50):
    writer.add_scalar("loss/train", 1 / (i + 1), i, new_style=bool(i % 2))
    writer.add_scalar("odd", [float("nan"), float("inf"), -1.5][i % 3], 10 * i)
writer.add_text("note", "hello **x**", 2)
writer.add_text("note", "later", 3)
writer.add_image("picture", numpy.zeros((3, 4, 4)), 1)
writer.add_images("pictures", numpy.zeros((2, 3, 4, 4)), 7)
writer.add_histogram("weights", numpy.arange(10), 1)
writer.add_hparams({"lr": 0.1, "bs": 32, "opt": "adam"}, {"hp/acc": 0.5}, run_name="trial")
writer.add_scalars("many", {"a": 1, "b": 2}, 1)
writer.close()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What PyTorch's writer leaves: a run, and three below it."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    folder = tmp_path_factory.mktemp("tensorboard")
    run_python(SCRIPT, cwd=folder)
    return folder / "logs"


@pytest.fixture
def logs(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "logs"))


def main_file(logs: Path) -> Path:
    """The event file of the run at the top."""
    (found,) = [path for path in (logs / "first").iterdir() if path.is_file()]
    return found


def event(step: int = 0, wall_time: float = 1_700_000_000.0, **scalars: float) -> Any:
    """An event with scalars, as old writers had them."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
    return Event(step=step, wall_time=wall_time, summary=Summary(value=values))


def tensor_event(tag: str, tensor: Any, plugin: str = "", *, step: int = 0, wall_time: float = 1_700_000_000.0) -> Any:
    """An event with one tensor, as new writers have it."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.util.tensor_util import make_tensor_proto

    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin))
    value = Summary.Value(tag=tag, tensor=make_tensor_proto(tensor), metadata=metadata)
    return Event(step=step, wall_time=wall_time, summary=Summary(value=[value]))


def frame(record: bytes) -> bytes:
    """A record as it stands in an event file."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    length = struct.pack("<Q", len(record))
    checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, record)]
    return length + checks[0] + record + checks[1]


def write(folder: Path, events: Iterable[Any], name: str = "events.out.tfevents.1700000000.host") -> Path:
    """An event file with these events; the folder it is in."""
    from tensorboard.compat.proto.event_pb2 import Event

    folder.mkdir(parents=True, exist_ok=True)
    first = Event(wall_time=1_700_000_000.0, file_version="brain.Event:2")
    with (folder / name).open("ab") as file:
        for each in [first, *events]:
            file.write(frame(each.SerializeToString()))
    return folder


def test_a_folder_comes_as_tensorboard_shows_it(git_repo: Path, made: Path) -> None:
    """Every scalar with its steps, times and values is what TensorBoard's own reader gives; runs below have parents."""
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.util.tensor_util import make_ndarray

    report = bring(git_repo, "tensorboard", made)
    runs = runs_of(git_repo)
    shown = EventMultiplexer(tensor_size_guidance={"scalars": 0}).AddRunsFromDirectory(str(made)).Reload()
    assert set(shown.Runs()) == set(runs)
    assert {"first", "first/trial", "first/many_a", "first/many_b"} == set(runs)
    compared = 0
    for name, run in runs.items():
        scalars = shown.PluginRunToTagToContent("scalars").get(name, {})
        assert set(scalars) == set(run.metrics)
        for tag in scalars:
            expected = [(e.step, make_ndarray(e.tensor_proto).item()) for e in shown.Tensors(name, tag)]
            assert repr(expected) == repr(history(git_repo, run, tag))
            compared += len(expected)
    assert 103 == compared
    assert [None, "first", "first", "first"] == [
        _parent(runs, name) for name in sorted(runs, key=lambda n: (len(n.split("/")), n))
    ]
    assert {"logs"} == {run.experiment for run in runs.values()}
    assert {"lr": 0.1, "bs": 32, "opt": "adam"} == dict(runs["first/trial"].params)
    assert {"run first: weights"} == set(missing(report))


def _parent(runs: dict[str, Run], name: str) -> str | None:
    return next((run.name for run in runs.values() if run.id == runs[name].parent), None)


def test_texts_and_images_are_artifacts(git_repo: Path, made: Path) -> None:
    """Each step's, under its plug-in and tag."""
    bring(git_repo, "tensorboard", made)
    files = files_of(git_repo, runs_of(git_repo)["first"])
    expected = {
        "images/picture/1.png",
        "images/pictures/7-0.png",
        "images/pictures/7-1.png",
        "text/note/2.md",
        "text/note/3.md",
    }
    # PyTorch writes several images as one picture of all.
    assert expected - files.keys() <= {"images/pictures/7-0.png", "images/pictures/7-1.png"}
    assert b"hello **x**" == files["text/note/2.md"]
    assert files["images/picture/1.png"].startswith(b"\x89PNG")


def test_twice_adds_nothing(git_repo: Path, made: Path) -> None:
    """The second import knows all runs, and makes no commit; also when a folder further down is named."""
    assert {"new": 4} == changes(bring(git_repo, "tensorboard", made))
    before = commits(git_repo)
    assert {"same": 4} == changes(bring(git_repo, "tensorboard", made))
    assert before == commits(git_repo)
    report = bring(git_repo, "tensorboard", made / "first", "-e", "logs")
    assert (0, 4) == (changes(report).get("new", 0), len(runs_of(git_repo)))


def test_a_file_that_has_grown_updates_its_run(git_repo: Path, tmp_path: Path) -> None:
    """Events that were appended, and a second file beside, are added to the run of the folder."""
    logs = write(tmp_path / "logs", [event(0, loss=1.0)])
    bring(git_repo, "tensorboard", logs)
    write(logs, [event(1, 1_700_000_060.0, loss=0.5)])
    write(logs, [event(2, 1_700_000_120.0, loss=0.25)], "events.out.tfevents.1700000100.host")
    assert {"updated": 1} == changes(bring(git_repo, "tensorboard", logs))
    (run,) = runs_of(git_repo).values()
    assert [(0, 1.0), (1, 0.5), (2, 0.25)] == history(git_repo, run, "loss")
    assert (1_700_000_000_000, 1_700_000_120_000) == (run.started, run.ended)


def test_a_torn_file_gives_what_is_whole(logs: Path, tmp_path: Path) -> None:
    """Cut anywhere, it gives the first points, and the bytes that are lost are told."""
    file = main_file(logs)
    whole = file.read_bytes()
    counts = []
    for end in (len(whole) - 1, 6000, 4000, 300):
        file.write_bytes(whole[:end])
        repo = make_repository(tmp_path / str(end))
        report = bring(repo, "tensorboard", logs, code=1)
        points = history(repo, runs_of(repo)["first"], "loss/train")
        assert [(i, float(struct.unpack("f", struct.pack("f", 1 / (i + 1)))[0])) for i in range(len(points))] == points
        counts.append(len(points))
        assert [file.name] == [what.partition(": ")[2] for what in missing(report, "event file")]
    assert 50 == counts[0] >= counts[1] > counts[2] > counts[3] > 0


def test_damage_is_told_and_what_is_before_it_comes(git_repo: Path, tmp_path: Path) -> None:
    """A changed byte, a length that cannot be, and a record that is no event."""
    good = [event(i, loss=float(i)) for i in range(5)]
    file = write(tmp_path / "a", good) / "events.out.tfevents.1700000000.host"
    data = bytearray(file.read_bytes())
    data[-30] ^= 0xFF
    file.write_bytes(data)
    with (write(tmp_path / "b", good) / "events.out.tfevents.1700000000.host").open("ab") as stream:
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

        length = struct.pack("<Q", 2**62)
        stream.write(length + struct.pack("<I", masked_crc32c(length)) + b"x")
    with (write(tmp_path / "c", good[:4]) / "events.out.tfevents.1700000000.host").open("ab") as stream:
        stream.write(frame(b"\xff\xff\xff\xff no event") + frame(good[4].SerializeToString()))
    report = bring(git_repo, "tensorboard", tmp_path, "-e", "damaged", code=1)
    found = {name: [step for step, _ in history(git_repo, run, "loss")] for name, run in runs_of(git_repo).items()}
    assert {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4], "c": [0, 1, 2, 3, 4]} == found
    assert 3 == len(missing(report, "event file"))


def test_links_are_not_followed(git_repo: Path, tmp_path: Path) -> None:
    """A folder and an event file that lead out of the folder are told, and not read."""
    outside = write(tmp_path / "outside", [event(secret=1.0)])
    logs = write(tmp_path / "logs" / "run", [event(loss=1.0)]).parent
    (logs / "linked").symlink_to(outside)
    (logs / "run" / "events.out.tfevents.9.host").symlink_to(outside / "events.out.tfevents.1700000000.host")
    report = bring(git_repo, "tensorboard", logs, code=1)
    (run,) = runs_of(git_repo).values()
    assert ({"loss"}, {"linked", "run/events.out.tfevents.9.host"}) == (set(run.metrics), set(missing(report)))


def test_hostile_names_and_values(git_repo: Path, tmp_path: Path) -> None:
    """Tags that climb are no paths and no metrics; times that are none are told; numbers of any size are kept."""
    from tensorboard.compat.proto.event_pb2 import Event

    pixels = [b"1", b"1", b"\x89PNG picture"]
    events = [
        event(0, 1_700_000_000.0, **{"../../up": 1.0, "good": 3.0e38, "nan": math.nan}),
        event(2**62, good=-1.0),
        event(1, 1e300, good=5.0),
        tensor_event("../../../evil", pixels, "images"),
        tensor_event("a/../../b\\..\\c", [b"text"], "text"),
        tensor_event(".dvc/.git/hooks", [b"text"], "text"),
        tensor_event("matrix", [[1.0, 2.0]]),
        tensor_event("single", [[7.0]]),
        tensor_event("words", "seven"),
        Event(wall_time=1_700_000_001.0, graph_def=b"graph"),
    ]
    report = bring(git_repo, "tensorboard", write(tmp_path / "logs", events), code=1)
    (run,) = runs_of(git_repo).values()
    assert {"good", "nan", "single"} == set(run.metrics)
    assert [(0, float(struct.unpack("f", struct.pack("f", 3.0e38))[0])), (2**62, -1.0)] == history(
        git_repo, run, "good"
    )
    assert {"images/_/_/_/evil/0.png", "text/a/_/_/b_.._c/0.md", "text/dvc/git/hooks/0.md"} == set(
        files_of(git_repo, run)
    )
    assert {"../../up"} == {what.partition(": ")[2] for what in missing(report, "metric")}
    assert {"run logs: matrix", "run logs: words"} == set(missing(report, "tensor"))
    assert {"run logs: graph_def"} == set(missing(report, "graph_def"))


def test_steps_done_again_after_a_restart_are_shown_once(git_repo: Path, tmp_path: Path) -> None:
    """A writer that begins again at a step purges what was logged from it on, as TensorBoard does, and it is told."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    restart = Event(step=2, wall_time=1_700_000_010.0, session_log=SessionLog(status=SessionLog.START))
    events = [*(event(i, loss=float(i)) for i in range(4)), restart, event(2, loss=20.0)]
    report = bring(git_repo, "tensorboard", write(tmp_path / "logs", events))
    (run,) = runs_of(git_repo).values()
    assert [(0, 0.0), (1, 1.0), (2, 20.0)] == history(git_repo, run, "loss")
    assert [2] == [each["number"] for each in report["not_carried"]]


def test_a_failed_trial_is_failed(git_repo: Path, tmp_path: Path) -> None:
    """The plug-in `hparams` tells how a session ended, when it began, and which group it is of."""
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    begun = hparams_pb({"lr": 0.5, "deep": True, "opt": "sgd"}, trial_id="group-1", start_time_secs=1_600_000_000)
    content = plugin_data_pb2.HParamsPluginData(
        session_end_info=plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_FAILURE)
    ).SerializeToString()
    ended = tensor_event("_hparams_/session_end_info", 0.0, "hparams")
    ended.summary.value[0].metadata.plugin_data.content = content
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    first = Event(wall_time=1_700_000_000.0, summary=Summary.FromString(begun.SerializeToString()))
    bring(git_repo, "tensorboard", write(tmp_path / "logs", [first, ended]))
    (run,) = runs_of(git_repo).values()
    assert ("FAILED", {"lr": 0.5, "deep": True, "opt": "sgd"}) == (run.status, dict(run.params))
    assert (1_600_000_000_000, "group-1") == (run.started, run.tags["tensorboard.group"])


def test_a_dry_run_writes_nothing(git_repo: Path, made: Path) -> None:
    """It tells what would come, and the branch of runs is not there afterwards."""
    report = bring(git_repo, "tensorboard", made, "--dry-run")
    assert (True, {"new": 4}) == (report["dry_run"], changes(report))
    assert "" == git("branch", "--list", "runs", cwd=git_repo)


def test_a_folder_without_events_is_refused(git_repo: Path, tmp_path: Path) -> None:
    """The error says what was looked for."""
    (tmp_path / "none").mkdir()
    message = (
        f"There is no event file of TensorBoard in {tmp_path / 'none'}: none with `tfevents` in its name. "
        "Name the folder that is given to `tensorboard --logdir`: `runstone import tensorboard DIR`"
    )
    assert message in refused(git_repo, "tensorboard", tmp_path / "none").replace("\n", " ")
