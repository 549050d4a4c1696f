"""What a run that was run again reproduced: param by param, metric by metric, artifact by artifact.

Not everything that differs means that a result was not reproduced: bytes of a model file hold times and memory
addresses, and packages are a cause and no result. What counts is said in `compare_reproduction`.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from runstone.artifacts.descriptor import Descriptor
from runstone.errors import InvalidValue, RunstoneError
from runstone.flavors.mlmodel import FILE as MODEL_FILE
from runstone.git.runs import layout
from runstone.records import yaml
from runstone.records.metric import MetricSummary
from runstone.records.run import Run
from runstone.tracking.compare import Difference, compare_maps, compare_params, parse_requirements
from runstone.tracking.read import read_artifacts, read_file
from runstone.tracking.workspace import Workspace

State = Literal["same", "close", "differs", "missing", "added"]
SECTIONS = ("run", "params", "metrics", "artifacts", "datasets", "environment", "packages", "code")
"""What is compared, in the order it is shown."""

RTOL, ATOL = 1e-9, 0.0
_LOGS = "logs/"
_NEW_WITH_EVERY_SAVING = {"artifact_path", "model_id", "model_uuid", "run_id", "utc_time_created"}
_LARGEST_MODEL_FILE = 4 * 1024 * 1024
_STATES: dict[str, State] = {"equal": "same", "changed": "differs", "removed": "missing", "added": "added"}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was compared.

    Attributes:
        section: Which of `SECTIONS`.
        key: Its name there.
        state: `close` is within the tolerance; `missing` is what only the first run has, `added` what only the second.
        old: What the first run has; None if it has none.
        new: What the second run has.
        counts: Whether it makes the run one that was not reproduced.
        note: What else to say.
    """

    section: str
    key: str
    state: State
    old: Any
    new: Any
    counts: bool
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Two runs of one thing.

    Attributes:
        old: The run that was repeated.
        new: The run that repeats it.
        items: Everything that was compared, by section and key.
        rtol: The relative tolerance of metrics.
        atol: Their absolute tolerance.
    """

    old: Run
    new: Run
    items: tuple[Item, ...]
    rtol: float
    atol: float

    @property
    def is_reproduced(self) -> bool:
        """Whether nothing that counts differs."""
        return not any(item.counts for item in self.items)

    def section(self, name: str) -> list[Item]:
        """The items of one section."""
        return [item for item in self.items if item.section == name]


def check_tolerance(name: str, value: float) -> float:
    """Return a tolerance, or raise `InvalidValue`: it must be a finite number, and not negative."""
    if not math.isfinite(value) or value < 0:
        raise InvalidValue(f"`{name}` must be a number from 0 up, but is {value!r}.")
    return value


def compare_reproduction(
    workspace: Workspace, old: Run, new: Run, *, rtol: float = RTOL, atol: float = ATOL, strict: bool = False
) -> Reproduction:
    """Compare a run with the one that repeats it.

    What counts: the status, params, metrics (the last value within the tolerance, and the number of points), and that
    every artifact is there again but for the logs. Bytes of artifacts, datasets, Python, packages and code are told,
    and count where `strict` says so.

    Args:
        workspace: The repository that has both.
        old: The run that was repeated.
        new: The run that repeats it.
        rtol: Two values are close when they differ by no more than this part of the larger.
        atol: Or by no more than this.
        strict: Whether every difference counts.

    Raises:
        InvalidValue: A tolerance is negative or no number.
    """
    check_tolerance("rtol", rtol)
    check_tolerance("atol", atol)
    items = [
        *_plain("run", compare_maps({"status": old.status}, {"status": new.status}), counts=True),
        *_plain("params", compare_params(old.params, new.params), counts=True),
        *_metrics(old.metrics, new.metrics, rtol, atol),
        *_artifacts(workspace, old, new, strict),
        *_plain("datasets", compare_maps(_datasets(old), _datasets(new)), counts=strict),
        *_plain("environment", compare_maps(_environment(old), _environment(new)), counts=strict),
        *_plain("packages", compare_maps(_packages(workspace, old), _packages(workspace, new)), counts=strict),
        *_plain("code", compare_maps(_code(old), _code(new)), counts=strict),
    ]
    return Reproduction(old, new, tuple(items), rtol, atol)


def is_close(a: float, b: float, *, rtol: float, atol: float) -> bool:
    """Whether two values of a metric are one within a tolerance; NaN is NaN, and an infinity only itself."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return True
    if not (math.isfinite(a) and math.isfinite(b)):
        return False
    return abs(a - b) <= max(rtol * max(abs(a), abs(b)), atol)


# --- sections


def _plain(section: str, differences: Collection[Difference], *, counts: bool) -> Iterator[Item]:
    for each in differences:
        state = _STATES[each.state]
        yield Item(section, each.key, state, each.a, each.b, counts and state != "same")


def _metrics(
    old: Mapping[str, MetricSummary], new: Mapping[str, MetricSummary], rtol: float, atol: float
) -> Iterator[Item]:
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if a is None or b is None:
            yield Item("metrics", key, "missing" if b is None else "added", a and a.last, b and b.last, counts=True)
            continue
        same = a.last == b.last or (math.isnan(a.last) and math.isnan(b.last))
        state: State = "same" if same else "close" if is_close(a.last, b.last, rtol=rtol, atol=atol) else "differs"
        note = None if a.count == b.count else f"{a.count} points before, {b.count} now"
        if note is not None:
            state = "differs"
        yield Item("metrics", key, state, a.last, b.last, state == "differs", note)


def _artifacts(workspace: Workspace, old: Run, new: Run, strict: bool) -> Iterator[Item]:
    try:
        before, after = ({e.path: e for e in read_artifacts(workspace, run.id)} for run in (old, new))
    except RunstoneError as error:  # the listing of the old ones may be on a remote that is gone
        yield Item("artifacts", "(all)", "missing", None, None, strict, f"They could not be compared: {error}")
        return
    models = tuple(f"{model.path}/" for model in (*old.models, *new.models))
    for path in sorted({*before, *after}):
        a, b = before.get(path), after.get(path)
        state: State = "missing" if b is None else "added" if a is None else "same" if a.md5 == b.md5 else "differs"
        note = "a file of a model" if state == "differs" and path.startswith(models) else None
        is_described = note is not None and not strict and path.rpartition("/")[2] == MODEL_FILE
        if is_described and a is not None and b is not None and _is_same_model(workspace, a, b):
            state, note = "same", "but for ids and times"
        is_lost = state == "missing" and not path.startswith(_LOGS)
        old_shown, new_shown = ({"size": e.size, "md5": e.md5} if e is not None else None for e in (a, b))
        yield Item("artifacts", path, state, old_shown, new_shown, is_lost or (strict and state != "same"), note)


def _is_same_model(workspace: Workspace, a: Descriptor, b: Descriptor) -> bool:
    """Whether two files `MLmodel` say the same, but for what is new with every saving."""
    try:
        if max(a.size or 0, b.size or 0) > _LARGEST_MODEL_FILE:
            return False
        one, other = (yaml.load(workspace.artifacts.read(entry), entry.path) for entry in (a, b))
    except RunstoneError:  # bytes that cannot be had, or that are no YAML
        return False
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    kept = [{key: value for key, value in each.items() if key not in _NEW_WITH_EVERY_SAVING} for each in (one, other)]
    return kept[0] == kept[1]


def _datasets(run: Run) -> dict[str, str]:
    found: dict[str, str] = {}
    for dataset in run.datasets:
        name = f"{dataset.name} ({dataset.role})" if dataset.role else dataset.name
        while name in found:
            name += " again"
        found[name] = dataset.digest
    return found


def _environment(run: Run) -> dict[str, str]:
    known = {"python": run.environment.python, "platform": run.environment.platform}
    return {key: value for key, value in known.items() if value is not None}


def _packages(workspace: Workspace, run: Run) -> dict[str, str]:
    return parse_requirements(read_file(workspace, run.id, layout.REQUIREMENTS) or "")


def _code(run: Run) -> dict[str, str]:
    """The snapshot; of a run from before there were snapshots, the commit."""
    commit = run.source.code
    return {} if commit is None else {"snapshot": commit}
