"""One change of a run that any process may log to: checked against what is known, written with one append."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any

from runstone.artifacts.descriptor import Descriptor, with_logged
from runstone.artifacts.store import TakenPaths
from runstone.errors import InvalidValue, RecordInvalid, RunEnded, RunIsLive, RunstoneError
from runstone.git.runs import journal, live, shared
from runstone.git.runs.lines import parse_event
from runstone.records.dataset import Dataset
from runstone.records.metric import Metric
from runstone.records.model import ModelReference
from runstone.records.model_metric import ModelPoint
from runstone.records.run import Run
from runstone.tracking import values
from runstone.tracking.read import recorded_artifacts
from runstone.tracking.texts import RunTexts
from runstone.tracking.workspace import Workspace

_KNOWN = frozenset(Run.__slots__) | {"schema", "extra"}


class Known:
    """What this process has read of one run's journal: enough to refuse what contradicts it."""

    def __init__(
        self,
        workspace: Workspace,
        path: Path,
        run: Run,
        *,
        has_ended: bool,
        is_guest: bool = False,
        texts: RunTexts | None = None,
    ) -> None:
        self.path = path
        self.run = run
        self.has_ended = has_ended
        self.is_guest = is_guest  # another process logs to the run with a journal of its own, and will end it
        self.texts = texts or RunTexts(workspace, run)
        self.models = {model.path: model for model in run.models}
        self.taken: TakenPaths | None = None
        self.unsynced: set[str] = set()
        self.size = 0

    def catch_up(self) -> None:
        """Read what was appended since; raises `FileNotFoundError` if the journal was handed over."""
        size = os.stat(self.path).st_size  # noqa: PTH116  # the hot path
        if size == self.size:
            return
        with self.path.open("rb") as file:
            file.seek(self.size)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].split(b"\n"):
            if line[:2] == b"p\t":
                with suppress(ValueError):
                    self.texts.keep_params(parse_event(line.decode()).value)
            elif line[:2] == b"N\t":
                with suppress(ValueError):
                    self.run = replace(self.run, name=parse_event(line.decode()).value)
            elif line[:2] == b"a\t" and self.taken is not None:
                self._keep_artifact(line)
            elif line[:2] == b"o\t":
                with suppress(ValueError, RecordInvalid):
                    model = ModelReference.from_document(parse_event(line.decode()).value, self.path.name, "models")
                    self.models[model.path] = model
        self.size += whole

    def _keep_artifact(self, line: bytes) -> None:
        """Remember the path of a file; what is taken away, or cannot be read, is read whole when it next matters."""
        try:
            path, size, md5 = parse_event(line.decode()).value
            if md5 is None or self.taken is None:
                raise ValueError(path)
            self.taken.add([Descriptor(path, size, md5)])
        except (ValueError, RunstoneError):
            self.taken = None


class Edit:
    """One change of a run; see `edit`."""

    def __init__(self, workspace: Workspace, known: Known) -> None:
        self._workspace = workspace
        self._known = known
        self._points: list[tuple[str, float, int, int]] = []
        self._events: list[shared.Line] = []
        self._params: dict[str, Any] = {}
        self._artifacts: list[Descriptor] = []
        self._removed: list[str] = []
        self._models: dict[str, ModelReference] | None = None
        self._end: dict[str, Any] | None = None

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._known.run.id

    @property
    def experiment_id(self) -> str:
        """The experiment it belongs to; nothing is read."""
        return self._known.run.experiment_id

    @property
    def begun(self) -> Run:
        """The run as it began, by the name that it has now; nothing is read."""
        return self._known.run

    @property
    def run(self) -> Run:
        """The run as of now, without what this block has added."""
        return live.read_live(self._workspace.repo, self.run_id) or self._known.run

    @property
    def has_ended(self) -> bool:
        """Whether the run had ended, so that this only adds to it."""
        return self._known.has_ended

    @property
    def models(self) -> Mapping[str, ModelReference]:
        """The run's models by path, as of now and with what this block has added; the run itself is not read."""
        return self._models if self._models is not None else self._known.models

    def add_points(self, points: Iterable[Metric]) -> None:
        """Append points of metrics; see `ActiveRun.log_metric`."""
        self._points += values.metric_points(points)

    def add_params(self, params: Mapping[str, Any]) -> None:
        """Record params; see `ActiveRun.log_params`."""
        fresh = self._known.texts.fresh_params(params)
        for key, value in fresh.items():
            if key in self._params and self._params[key] != value:
                raise InvalidValue(f"The param {key!r} stands twice in one batch, with different values.")
        self._params |= fresh

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; the last value wins. `mlflow.note.content` sets the notes, `mlflow.runName` the name."""
        self._events += self._known.texts.tag_events(tags)

    def delete_tag(self, key: str) -> None:
        """Remove a tag."""
        self._events.append((journal.UNTAG, [key]))

    def add_dataset(self, dataset: Dataset) -> None:
        """Record an input."""
        self._events.append((journal.DATASET, dataset.to_document()))

    def put_model(self, model: ModelReference) -> None:
        """Record a model folder, or record it anew: of one path the last counts."""
        self._models = {**self.models, model.path: model}
        self._events.append((journal.MODEL, model.to_document()))
        digest = model.digest.removeprefix("md5:")
        if self._workspace.artifacts.cache.has(digest):
            self._known.unsynced.add(digest)

    def add_model_points(self, points: Iterable[ModelPoint]) -> None:
        """Say that points of the run's metrics were measured of a model; the points themselves are added, too."""
        self._events += [(journal.MODEL_POINT, list(point)) for point in points]

    def set_extra(self, key: str, value: Any) -> None:
        """Set a key of the record that is none of Runstone's own; None takes it away."""
        if key in _KNOWN:
            raise InvalidValue(f"`{key}` is a key of every run's record, and cannot be set as an extra one.")
        self._events.append((journal.EXTRA, {key: value}))

    def add_artifacts(self, entries: Iterable[Descriptor]) -> None:
        """Record files whose bytes are in the cache.

        Raises:
            ArtifactRefused: A file and a folder would have one name.
        """
        entries = list(entries)
        if self._known.taken is None:
            taken = TakenPaths()
            composed = live.compose_live(self._workspace.repo, self.run_id)
            recorded = recorded_artifacts(self._workspace, self._known.run)
            gone = [(path, None, None) for path in self._removed]
            taken.add(list(with_logged(recorded, [*(composed.artifacts if composed else ()), *gone]).values()))
            self._known.taken = taken
        self._known.taken.add(entries)
        self._artifacts += entries

    def remove_artifacts(self, paths: Iterable[str]) -> None:
        """Take files away from the run's artifacts; their bytes stay in the cache until `runstone gc`."""
        self._removed += paths
        self._known.taken = None

    def end(self, status: str, end_time: int | None = None) -> None:
        """End the run; it is committed when the block is left.

        Raises:
            InvalidValue: No run can end with this status or at this time.
            RunEnded: It has ended.
            RunIsLive: A process logs to it that does so with a journal of its own.
        """
        values.check_end(status)
        if self._known.has_ended:
            raise RunEnded(self.run_id)
        if self._known.is_guest:
            raise RunIsLive(self.run_id, "ended")
        ended = int(time() * 1000) if end_time is None else values.time_value("end_time", end_time, is_date=True)
        self._end = {"status": status, "ended": ended}

    @property
    def is_end(self) -> bool:
        """Whether this ends the run."""
        return self._end is not None

    def write(self) -> None:
        """Append it all; the run's lock is held."""
        known = self._known
        events = list(self._events)
        if self._params:
            events.insert(0, (journal.PARAMS, self._params))
        events += [(journal.ARTIFACT, [path, None, None]) for path in self._removed]
        events += [(journal.ARTIFACT, [e.path, e.size, e.md5]) for e in self._artifacts]
        known.unsynced |= {e.md5 for e in self._artifacts}
        if self._end is not None or (known.has_ended and known.unsynced):
            self._workspace.artifacts.sync(known.unsynced)
            known.unsynced = set()
        if self._end is not None:
            events.append((journal.END, self._end))
        if events or self._points:
            shared.append(known.path, self._points, events)
            known.texts.keep_params(self._params)
        if self._end is not None:
            shared.hand_over(known.path)
