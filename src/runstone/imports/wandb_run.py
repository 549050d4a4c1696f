"""One run of W&B, gathered from the records of its transaction logs: config, summary, history, files, how it ended."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from runstone.imports.foreign import flatten, number, parse_json, to_ms
from runstone.records.metric import Metric

_OWN = frozenset({"_step", "_timestamp", "_runtime", "_wandb"})
_MEDIA = "_type"


@dataclass(slots=True)
class Logged:
    """An artifact that a run logged: its kind and name, and its files as `(path, md5, size, where it was)`."""

    type: str
    name: str
    files: list[tuple[str, bytes, int, str]] = field(default_factory=list)
    elsewhere: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Gathered:
    """What the records of one run say together; a run that was resumed has several logs.

    Attributes:
        config: Nested, as the run set it.
        summary: Likewise.
        points: Of the history.
        system: Of the machine: key, value, time, count so far.
        passed: What has no place in a run here: `(kind, what)` → how often.
        exit_code: None while no log says how the run ended.
    """

    run_id: str = ""
    project: str = ""
    entity: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    sweep: str = ""
    notes: str = ""
    user: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    points: list[Metric] = field(default_factory=list)
    system: list[Metric] = field(default_factory=list)
    artifacts: list[Logged] = field(default_factory=list)
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    commit: str = ""
    remote: str = ""
    program: str = ""
    arguments: tuple[str, ...] = ()
    python: str = ""
    platform: str = ""
    started: int | None = None
    last: int = 0
    step: int = 0
    exit_code: int | None = None
    _samples: int = 0

    def add(self, record: Any) -> None:
        """Take in one record."""
        kind = record.WhichOneof("record_type")
        taker = getattr(self, f"_add_{kind}", None) if kind else None
        if taker is not None:
            taker(getattr(record, kind))

    @property
    def metrics(self) -> list[Metric]:
        """The history, and those numbers of the summary that it does not end with, as points of the last step."""
        final = {point.key: repr(point.value) for point in self.points}
        found = list(self.points)
        for key, value in self._summary():
            measured = number(value)
            if measured is not None and final.get(key) != repr(measured):
                key = f"summary/{key}" if key in final else key
                found.append(Metric(key, measured, self.last or self.started or 0, self.step))
        return found

    @property
    def summary_texts(self) -> dict[str, str]:
        """What the summary says in words, of what is not in the history."""
        logged = {key for kind, key in self.passed if kind == "text"}
        return {key: value for key, value in self._summary() if isinstance(value, str) and key not in logged}

    def _summary(self) -> Iterable[tuple[str, Any]]:
        for key, value in flatten(self.summary, is_leaf=_is_media):
            if key.partition(".")[0] not in _OWN:
                yield key, value

    # --- one kind of record each, by the names that W&B gives them

    def _add_run(self, run: Any) -> None:
        for own, theirs in (
            ("run_id", "run_id"),
            ("project", "project"),
            ("entity", "entity"),
            ("name", "display_name"),
            ("group", "run_group"),
            ("job_type", "job_type"),
            ("sweep", "sweep_id"),
            ("notes", "notes"),
        ):
            setattr(self, own, getattr(run, theirs) or getattr(self, own))
        self.tags = list(run.tags) or self.tags
        self._add_git(run.git)
        self._add_config(run.config)
        self._add_summary(run.summary)
        if run.HasField("start_time"):
            self._start(run.start_time)

    def _add_environment(self, found: Any) -> None:
        self._add_git(found.git)
        self.program = found.code_path or found.program.replace("\\", "/").rpartition("/")[2] or self.program
        self.arguments = tuple(found.args) or self.arguments
        self.python = found.python.rpartition(" ")[2] or self.python
        self.platform = found.os or self.platform
        self.user = found.username or self.user
        if found.HasField("started_at"):
            self._start(found.started_at)

    def _add_git(self, found: Any) -> None:
        self.commit = found.commit or self.commit
        self.remote = found.remote_url or self.remote

    def _start(self, stamp: Any) -> None:
        found = to_ms(stamp.seconds + stamp.nanos / 1e9)
        if found is not None and (self.started is None or found < self.started):
            self.started = found

    def _add_config(self, found: Any) -> None:
        self._change(self.config, found, "param")

    def _add_summary(self, found: Any) -> None:
        self._change(self.summary, found, "summary")

    def _change(self, target: dict[str, Any], found: Any, kind: str) -> None:
        for item in found.update:
            self._set(target, item, kind)
        for item in found.remove:
            path = list(item.nested_key) or [item.key]
            for key in path[:-1]:
                inner = target.get(key)
                target = inner if isinstance(inner, dict) else {}
            target.pop(path[-1], None)

    def _set(self, target: dict[str, Any], item: Any, kind: str) -> None:
        path = list(item.nested_key) or [item.key]
        try:
            value = parse_json(item.value_json)
        except ValueError:
            self.passed[f"damaged {kind}", ".".join(path)] += 1
            return
        for key in path[:-1]:
            inner = target.get(key)
            if not isinstance(inner, dict):
                inner = target[key] = {}
            target = inner
        target[path[-1]] = value

    def _add_history(self, found: Any) -> None:
        row: dict[str, Any] = {}
        for item in found.item:
            self._set(row, item, "metric")
        step = row.get("_step", found.step.num)
        self.step = step = step if isinstance(step, int) else found.step.num
        self.last = max(to_ms(row.get("_timestamp")) or 0, self.last)
        time = to_ms(row.get("_timestamp")) or self.last or self.started or 0
        for key, value in flatten(row, is_leaf=_is_media):
            if key in _OWN:
                continue
            measured = number(value)
            if measured is not None:
                self.points.append(Metric(key, measured, time, step))
            elif not (isinstance(value, dict) and "path" in value):  # a file, which comes with the others
                self.passed[_kind_of(value), key] += 1

    def _add_stats(self, found: Any) -> None:
        time = to_ms(found.timestamp.seconds + found.timestamp.nanos / 1e9) or 0
        for item in found.item:
            try:
                measured = number(parse_json(item.value_json))
            except ValueError:
                measured = None
            if measured is not None:
                self.system.append(Metric(f"system/{item.key}", measured, time, self._samples))
        self._samples += 1

    def _add_artifact(self, found: Any) -> None:
        if found.type == "run_table":  # the tables among the media, once more
            return
        logged = Logged(found.type, found.name)
        for entry in found.manifest.contents:
            digest = entry.digest.encode("utf-8", "replace")
            if entry.ref or not entry.local_path:
                logged.elsewhere.append((entry.path, entry.ref))
            else:
                logged.files.append((entry.path, digest, entry.size, entry.local_path))
        if found.manifest.manifest_file_path:
            logged.elsewhere.append(("", "a list of its files that lies elsewhere"))
        self.artifacts.append(logged)

    def _add_use_artifact(self, found: Any) -> None:
        self.passed["used artifact", found.name] += 1

    def _add_alert(self, found: Any) -> None:
        self.passed["alert", found.title] += 1

    def _add_tbrecord(self, found: Any) -> None:
        self.passed["TensorBoard folder", found.log_dir] += 1

    def _add_exit(self, found: Any) -> None:
        self.exit_code = found.exit_code
        if self.started is not None:
            self.last = max(self.last, self.started + found.runtime * 1000)


def _is_media(value: dict[str, Any]) -> bool:
    return _MEDIA in value


def _kind_of(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get(_MEDIA, "value"))[:40]
    return "text" if isinstance(value, str) else "value"
