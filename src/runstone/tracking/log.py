"""A run while it is open: log to it, end it.

Every `log_*` appends to the run's journal and returns; no git, no network, no lock between processes on this path.
"""

import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from runstone import names
from runstone.artifacts.descriptor import Descriptor, check_artifact_path, with_logged
from runstone.artifacts.store import TakenPaths
from runstone.errors import EndingFailed, RunstoneError
from runstone.git.runs import journal, live
from runstone.git.runs.journal import Writer
from runstone.records.dataset import Dataset
from runstone.records.document import Document
from runstone.records.metric import Metric
from runstone.records.model import ModelReference
from runstone.records.run import Environment, Run, RunData, RunInfo, RunInputs
from runstone.tracking import exits, values
from runstone.tracking.read import find_recorded, recorded_artifacts
from runstone.tracking.texts import RunTexts
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from runstone.tracking.capture import Capture


class ActiveRun:
    """A run that can be logged to. Threads may share it; as a context manager it ends the run by how the block ends.

    Its `info`, `data` and `inputs` are MLflow's views of what was logged so far.
    """

    def __init__(self, workspace: Workspace, writer: Writer, begun: Run, *, capture: "Capture | None") -> None:
        """Use `start_run`, `resume_run` or `join_run`."""
        self._workspace = workspace
        self._writer = writer
        self._begun = begun
        self._capture = capture
        self._renew_locks()
        self._texts = RunTexts(workspace, begun)
        self._metric_keys: set[str] = set()
        self._kept: TakenPaths | None = None
        self._unsynced: set[str] = set()
        self._when_recorded: list[Callable[[], None]] = []
        self._is_over = False

    def __repr__(self) -> str:
        state = "open" if self.is_open else "ended"
        return f"<ActiveRun {self.id} {self._begun.name!r} of {self._begun.experiment!r}, {state}>"

    @property
    def id(self) -> str:
        """The run's id."""
        return self._begun.id

    @property
    def info(self) -> RunInfo:
        """MLflow's `run.info`, as of now. Of an open handle nothing is read, so it may be asked at every step."""
        return self._begun.info if self.is_open else self.snapshot().info

    @property
    def data(self) -> RunData:
        """MLflow's `run.data`, as of now."""
        return self.snapshot().data

    @property
    def inputs(self) -> RunInputs:
        """MLflow's `run.inputs`, as of now."""
        return self.snapshot().inputs

    @property
    def is_open(self) -> bool:
        """Whether it can still be logged to."""
        return self._writer.is_open

    @property
    def has_joined(self) -> bool:
        """Whether another process began the run; ending this handle then leaves the run open."""
        return self._writer.role == journal.JOIN

    @property
    def adds_to_ended(self) -> bool:
        """Whether this handle joined a run that had ended, so that ending it commits what it added."""
        return self.has_joined and self._begun.status != "RUNNING"

    @property
    def workspace(self) -> Workspace:
        """The repository it is recorded in."""
        return self._workspace

    def snapshot(self) -> Run:
        """The run as its journal tells so far, or as it was recorded."""
        found = live.read_live(self._workspace.repo, self.id)
        recorded = find_recorded(self._workspace, self._begun) if found is None else None
        return found or (self._begun if recorded is None else recorded.run)

    # --- metrics, params, tags

    def log_metric(self, key: str, value: float, step: int | None = None, timestamp: int | None = None) -> None:
        """Append one value to the history of a metric.

        Args:
            key: Metric name; `/` groups it, as in `val/loss`.
            value: A number; NaN and infinities are kept as such.
            step: Training step, 0 if not given. May repeat; the summary shows the highest step, and of equals the
                last written.
            timestamp: Unix time in milliseconds, UTC; now if not given. For display only, never for order.

        Writes:
            One line of the journal; when this returns, it survives `kill -9` of the process.

        Raises:
            InvalidName: The key cannot be used.
            InvalidValue: The value is no number, or the step or the time no whole number of 64 bits.
            RunEnded: The run has ended.
            DiskFull: There is no room; nothing of this call is kept.
        """
        if type(value) is not float:
            value = values.metric_value(key, value)
        if key not in self._metric_keys:
            names.check_key("metric", key)
            self._metric_keys.add(key)
        if step is None:
            step = 0
        elif type(step) is not int or not -values.MAX_INT <= step <= values.MAX_INT:
            step = values.step_value(key, step)
        if timestamp is not None:
            timestamp = values.time_value(key, timestamp)
        self._writer.metric(key, value, timestamp, step)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None, timestamp: int | None = None) -> None:
        """Append one value to each of several metrics: all of them, or none. See `log_metric`."""
        now = int(time() * 1000) if timestamp is None else timestamp
        self.log_points(Metric(key, value, now, 0 if step is None else step) for key, value in metrics.items())

    def log_points(self, points: Iterable[Metric]) -> None:
        """Append points of any metrics, steps and times: all of them, or none. See `log_metric`."""
        self._writer.metrics(values.metric_points(points))

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record params: all of them, or none.

        Args:
            params: Key to value. None, bool, int, float, text, lists and maps keep their types; anything else is
                kept as `str` shows it. Values that look like secrets are redacted, with a warning.

        Raises:
            ParamConflict: A param has another value already. The same value again is accepted.
            InvalidName: A key cannot be used.
            InvalidValue: A value cannot be recorded.
        """
        with self._lock:
            fresh = self._texts.fresh_params(params)
            if fresh:
                self._writer.event(journal.PARAMS, fresh)
                self._texts.keep_params(fresh)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; the last value wins. `mlflow.note.content` sets the notes, `mlflow.runName` the name."""
        with self._lock:
            self._set_tags(tags)

    def delete_tag(self, key: str) -> None:
        """Remove a tag."""
        self._writer.event(journal.UNTAG, [key])

    def set_note(self, text: str) -> None:
        """Set the notes (Markdown, kept as `notes.md`)."""
        self._writer.event(journal.NOTE, self._texts.text("note", text))

    def log_batch(
        self,
        metrics: Iterable[Metric] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Log metrics, params and tags together: all of them, or, if one is refused, none."""
        points = values.metric_points(metrics)
        with self._lock:
            fresh = self._texts.fresh_params(params or {})
            self._set_tags(tags or {}, [(journal.PARAMS, fresh)] if fresh else [])
            self._texts.keep_params(fresh)
        if points:
            self._writer.metrics(points)

    def log_environment(self, environment: Environment, requirements: str) -> None:
        """Record what the run runs on, where that is not this process's own Python."""
        self.wait_captured()
        self._writer.events([(journal.ENVIRONMENT, environment.to_document()), (journal.REQUIREMENTS, requirements)])

    def log_dataset(self, dataset: Dataset) -> None:
        """Record an input of the run."""
        self._writer.event(journal.DATASET, dataset.to_document())

    def log_artifact(self, local_path: Path, folder: str = "") -> list[Descriptor]:
        """Keep a file, or a folder with all below it, among the run's artifacts.

        Args:
            local_path: What to keep.
            folder: Where, below the run's artifacts. A file keeps its name; a folder's content goes right there.

        Returns:
            What was kept.

        Writes:
            The bytes into the DVC cache, then a line of the journal for each file.

        Raises:
            ArtifactRefused: It does not exist, or holds a link that leads out of it.
            InvalidName: A path that not every system can hold, or that a file or folder of the run bars.
            DiskFull: There is no room.
        """
        entries = self._workspace.artifacts.add_path(local_path, folder)
        self._record_artifacts(entries)
        return entries

    def log_bytes(self, data: bytes, path: str) -> None:
        """Keep bytes as one file among the run's artifacts; see `log_artifact`."""
        check_artifact_path(path)
        md5 = self._workspace.artifacts.cache.add_bytes(data)
        self._record_artifacts([Descriptor(path, len(data), md5)])

    def log_model(self, folder: Path, path: str, flavors: Sequence[str], signature: Document | None) -> ModelReference:
        """Keep a model folder among the artifacts and record a reference to it; see `log_artifact`."""
        entries = self.log_artifact(folder, path)
        inside = [Descriptor(e.path[len(path) + 1 :], e.size, e.md5) for e in entries]
        digest, size = self._workspace.artifacts.folder_digest(inside)
        self._unsynced.add(digest)
        reference = ModelReference(path, tuple(flavors), f"md5:{digest}", size, signature)
        self._writer.event(journal.MODEL, reference.to_document())
        return reference

    def artifacts(self) -> list[Descriptor]:
        """What the run has kept so far, by every process that logs to it."""
        composed = live.compose_live(self._workspace.repo, self.id)
        recorded = recorded_artifacts(self._workspace, self._begun)
        return list(with_logged(recorded, composed.artifacts if composed is not None else ()).values())

    # --- the end

    def wait_captured(self) -> None:
        """Return when it is in the journal where the code came from and what it runs on: both as of the start."""
        if self._capture is not None:
            self._capture.wait()

    def flush(self) -> None:
        """Return when all that was logged so far survives power loss."""
        self._sync_artifacts()
        self._writer.sync()

    def end(self, status: str = "FINISHED", end_time: int | None = None) -> None:
        """End the run and commit it. Ending it again does nothing, or finishes what failed or was interrupted.

        Args:
            status: FINISHED, FAILED or KILLED.
            end_time: Unix milliseconds; now if not given.

        Writes:
            The run's commit on the branch `runs`; when this returns, it survives power loss.

        Raises:
            InvalidValue: No run can end with this status or at this time.
            RefBlocked: git refuses to write the branch. The journal is kept: `runstone recover` tries again.
            DiskFull: There is no room; the same holds.
            RunNotRecorded: It could not be committed; the message says why, and where its journal is.
        """
        values.check_end(status)
        ended = int(time() * 1000) if end_time is None else values.time_value("end_time", end_time, is_date=True)
        with self._ending:
            if self._is_over:
                return
            if self._writer.is_idle_fork:
                self.abandon()
                return
            if self._writer.is_open:
                self._finish(status, ended)
            # Only now, so that a run whose ending was interrupted is ended when the process does.
            self._workspace.drain(own=self.id)
            self._leave()
        self._follow_up()

    def abandon(self) -> None:
        """Drop the handle and its journal: it was refused, or never used."""
        self._writer.abandon()
        self._leave()

    def when_recorded(self, action: Callable[[], None]) -> None:
        """Do something once the run is committed, as part of `end`; what it raises, `end` raises after all is done."""
        self._when_recorded.append(action)

    def __enter__(self) -> "ActiveRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
            return
        try:
            self.end(exits.status_of(error))
        except RunstoneError as failure:
            message = f"Run {self.id} could not be ended as it should: {failure}"
            error.add_note(message)
            warnings.warn(message, EndingFailed, stacklevel=2)  # for those who catch the block's exception

    # --- inside

    def _finish(self, status: str, ended: int) -> None:
        if self._capture is not None and not self.has_joined:
            self._capture.wait()
        self._sync_artifacts()
        if self.has_joined:
            self._writer.finish(journal.LEAVE, None)
        else:
            self._writer.finish(journal.END, {"status": status, "ended": ended})

    def _leave(self) -> None:
        self._is_over = True
        with self._workspace.lock:
            self._workspace.open_runs.pop(self.id, None)

    def _follow_up(self) -> None:
        failure: RunstoneError | None = None
        for action in self._when_recorded:
            try:
                action()
            except RunstoneError as error:
                if failure is not None:
                    error.add_note(f"And before it: {failure}")
                failure = error
        if self._workspace.repo.config.push == "auto":
            from runstone.tracking import autosync

            autosync.begin(self._workspace)
        if failure is not None:
            raise failure

    def _renew_locks(self) -> None:
        """In a forked child too: a thread of the parent may have held one."""
        self._lock = threading.Lock()
        self._ending = threading.RLock()

    def _set_tags(self, tags: Mapping[str, Any], events: Sequence[tuple[str, Any]] = ()) -> None:
        events = [*events, *self._texts.tag_events(tags)]
        if events:
            self._writer.events(events)
            name = dict(events).get(journal.NAME, self._begun.name)
            self._begun = replace(self._begun, name=name)

    def _record_artifacts(self, entries: Sequence[Descriptor]) -> None:
        with self._lock:
            if self._kept is None:
                self._kept = TakenPaths()
                if self._writer.role != journal.START:
                    # Brought here now: the commit of the run needs it, and must not fail for want of a network.
                    self._kept.add(self.artifacts())
            self._kept.add(entries)
            self._writer.events((journal.ARTIFACT, [e.path, e.size, e.md5]) for e in entries)
            self._unsynced.update(e.md5 for e in entries)

    def _sync_artifacts(self) -> None:
        with self._lock:
            if self._unsynced:
                self._workspace.artifacts.sync(self._unsynced)
                self._unsynced = set()
