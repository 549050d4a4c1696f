"""One run of TensorBoard, gathered from the event files of one folder: scalars, hyperparameters, texts, images."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runstone.imports.foreign import to_ms
from runstone.records.metric import Metric

_MAGIC = ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpg"), (b"GIF8", "gif"), (b"RIFF", "webp"), (b"BM", "bmp"))
_PARTS = 128
"""Images of one name and step that are kept; TensorBoard itself writes three unless it is told otherwise."""


@dataclass(slots=True)
class Gathered:
    """What the event files of a folder say together.

    Attributes:
        scratch: Where texts and images are put, so that they need not all be held in memory.
        first: The wall time of the first event, as written: with the first file's name it names the run.
        start: The same in milliseconds, not that of an earlier one that comes later: a run that grows keeps its start.
            Of a trial, when the plug-in `hparams` says that it began.
        last: The latest wall time.
        points: Of scalars.
        params: Of the plug-in `hparams`.
        files: Path among the artifacts → the file in `scratch`.
        passed: Kinds that have no place in a run here → tag → how often.
        lost: File → bytes that are torn or damaged.
        purged: Points of steps that were done again after a restart, which TensorBoard does not show either.
        status: As the plug-in `hparams` tells; None if it does not.
    """

    scratch: Path
    first: float | None = None
    start: int | None = None
    last: int | None = None
    points: list[Metric] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    group: str = ""
    status: str | None = None
    files: dict[str, Path] = field(default_factory=dict)
    passed: dict[str, Counter[str]] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    purged: int = 0
    _plugins: dict[str, str] = field(default_factory=dict)

    def add(self, event: Any) -> None:
        """Take in one event, as TensorBoard's own reader gives it."""
        time = to_ms(event.wall_time)
        if time is None:
            self._pass("event", "of no possible time")
            return
        if self.first is None:
            self.first, self.start = event.wall_time, time
        self.last = time if self.last is None else max(self.last, time)
        kind = event.WhichOneof("what")
        if kind == "summary":
            for value in event.summary.value:
                self._add_value(value, event.step, time)
        elif kind == "session_log":
            if event.session_log.status == event.session_log.START and event.step > 0:
                kept = [point for point in self.points if point.step < event.step]
                self.purged += len(self.points) - len(kept)
                self.points = kept
        elif kind not in (None, "file_version"):
            self._pass(kind, kind)

    def _add_value(self, value: Any, step: int, time: int) -> None:
        plugin = value.metadata.plugin_data.plugin_name or self._plugins.get(value.tag, "")
        self._plugins[value.tag] = plugin  # of a tag, only its first event need say it
        if plugin == "hparams":
            self._add_hparams(value.metadata.plugin_data.content)
        elif plugin == "text":
            self._add_text(value, step)
        elif plugin == "images":
            self._add_images(value, step)
        elif plugin not in ("", "scalars") or not self._add_scalar(value, step, time):
            self._pass(plugin or "tensor", value.tag)

    def _add_scalar(self, value: Any, step: int, time: int) -> bool:
        from tensorboard.util import tensor_util

        tensor = value.tensor
        size = 1
        for dim in tensor.tensor_shape.dim:
            size *= dim.size
        if size != 1 or value.WhichOneof("value") != "tensor":
            return False
        try:
            array = tensor_util.make_ndarray(tensor)
            if array.size != 1 or array.dtype.kind not in "biuf":
                return False
            found = float(array.reshape(-1)[0])
        except (TypeError, ValueError, OverflowError):
            return False
        self.points.append(Metric(value.tag, found, time, step))
        return True

    def _add_hparams(self, content: bytes) -> None:
        from google.protobuf.message import DecodeError
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        try:
            data = HParamsPluginData.FromString(content)
        except DecodeError:
            self._pass("hparams", "damaged")
            return
        kind = data.WhichOneof("data")
        if kind == "session_start_info":
            info = data.session_start_info
            self.group = info.group_name or self.group
            self.params |= {key: _plain(value) for key, value in info.hparams.items()}
            started = to_ms(info.start_time_secs) if info.start_time_secs else None
            self.start = min(self.start or started, started) if started is not None else self.start
        elif kind == "session_end_info":
            self.status = {1: "FINISHED", 2: "FAILED"}.get(data.session_end_info.status)

    def _add_text(self, value: Any, step: int) -> None:
        tag = value.tag.removesuffix("/text_summary")  # PyTorch appends it
        self._keep("text", tag, step, [(b"\n\n".join(value.tensor.string_val), "md")])

    def _add_images(self, value: Any, step: int) -> None:
        images = list(value.tensor.string_val[2 : 2 + _PARTS])  # width and height come first
        self._keep("images", value.tag, step, [(image, _extension(image)) for image in images])

    def _keep(self, kind: str, tag: str, step: int, parts: list[tuple[bytes, str]]) -> None:
        for number, (data, extension) in enumerate(parts):
            name = f"{step}-{number}" if len(parts) > 1 else str(step)
            path = f"{kind}/{_folder(tag)}/{name}.{extension}"
            file = self.files.setdefault(path, self.scratch / str(len(self.files)))
            file.write_bytes(data)

    def _pass(self, kind: str, what: str) -> None:
        self.passed.setdefault(kind, Counter())[what] += 1


def _extension(data: bytes) -> str:
    return next((name for magic, name in _MAGIC if data.startswith(magic)), "bin")


def _folder(tag: str) -> str:
    """A tag as a folder: it may be a path, but none that leaves the run's artifacts."""
    parts = ["".join(c if c.isprintable() and c not in '\\:*?"<>|' else "_" for c in part) for part in tag.split("/")]
    return "/".join(part.lstrip(".")[:80] or "_" for part in parts if part) or "_"


def _plain(value: Any) -> Any:
    """A value of a hyperparameter; TensorBoard keeps all numbers as floats, so whole ones become whole again."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if kind in ("string_value", "bool_value"):
        return getattr(value, kind)
    return _text_of(value) if kind is not None else None


def _text_of(value: Mapping[str, Any]) -> str:
    return " ".join(str(value).split())
