"""What DVCLive writes into a folder: params, the last value of each metric, a table a metric, images and other plots.

Read from a folder or from a commit, as DVC keeps such folders in the commits of its experiments.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from runstone.errors import RecordInvalid
from runstone.imports.foreign import flatten, number, parse_json
from runstone.imports.incoming import IncomingFile, Refusal
from runstone.imports.trees import Tree
from runstone.records import yaml
from runstone.records.metric import Metric

SUMMARY, PARAMS, _TABLES = "metrics.json", "params.yaml", "plots/metrics/"


@dataclass(slots=True)
class Live:
    """What one folder of DVCLive says.

    Attributes:
        points: Those with no time of their own have the time 0.
        files: What is neither params nor metrics, below the folder's own path.
        mark: Of its content, but for the files: two folders with one mark are one run.
        first: The first point of the metric that was logged first; a run that was begun anew in the folder has another.
    """

    params: dict[str, Any] = field(default_factory=dict)
    points: list[Metric] = field(default_factory=list)
    files: list[IncomingFile] = field(default_factory=list)
    mark: str = ""
    first: str = ""


def find_folders(tree: Tree) -> list[str]:
    """The folders that DVCLive wrote to, by path; `""` is the tree itself."""
    found = set()
    for path in tree.paths:
        if path.endswith(".tsv") and f"/{_TABLES}" in f"/{path}":
            found.add(f"/{path}".partition(f"/{_TABLES}")[0].lstrip("/"))
    if SUMMARY in tree.paths:
        found.add("")
    return sorted(found)


def read_live(tree: Tree, folder: str, refuse: Refusal) -> Live:
    """Read one folder.

    Args:
        tree: Where it lies.
        folder: Its path there.
        refuse: Told of what cannot be read.
    """
    live = Live()
    start = f"{folder}/" if folder else ""
    mark = hashlib.sha256()
    for path in tree.paths:
        if not path.startswith(start):
            continue
        name = path.removeprefix(start)
        if name in (SUMMARY, PARAMS) or (name.startswith(_TABLES) and name.endswith(".tsv")):
            data = tree.read(path)
            if data is None:
                refuse(path, "it is too large, or may not be read")
                continue
            mark.update(f"{name}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data)
            if name == PARAMS:
                live.params |= _params(data, path, refuse)
            elif name != SUMMARY:
                key = name.removeprefix(_TABLES).removesuffix(".tsv")
                live.points += _table(data, key, path, refuse)
        elif not name.endswith(".dvc") and name != "dvc.yaml":
            live.files.append(tree.incoming(path, path))
    summary = _summary(tree.read(f"{start}{SUMMARY}"), f"{start}{SUMMARY}", refuse)
    live.mark = mark.hexdigest()
    live.first = _first(live, summary)
    live.points += _last(live, summary)
    return live


def _params(data: bytes, path: str, refuse: Refusal) -> dict[str, Any]:
    try:
        found = yaml.load(data, path)
    except RecordInvalid as error:
        refuse(path, str(error))
        return {}
    return {key: value for key, value in flatten(found) if key} if isinstance(found, dict) else {}


def _summary(data: bytes | None, path: str, refuse: Refusal) -> dict[str, Any]:
    """The last value of each metric by its name; `step` among them."""
    if data is None:
        return {}
    try:
        found = parse_json(data)
    except ValueError:
        refuse(path, "it is no JSON, as a file is that was being written")
        return {}
    return dict(flatten(found, separator="/")) if isinstance(found, dict) and found else {}


def _table(data: bytes, key: str, path: str, refuse: Refusal) -> Iterator[Metric]:
    """The points of one metric.

    Source: DVCLive, `log_metric`: the columns are `timestamp`, where it was asked for, `step` and the name's last part.
    """
    head, *rows = data.decode("utf-8", "replace").split("\n")
    columns = head.rstrip("\r").split("\t")
    if "step" not in columns or columns[-1] in ("step", "timestamp"):
        refuse(path, "it is no table of DVCLive: `step` and a value must be among its columns")
        return
    torn = 0
    for place, row in enumerate(rows):
        cells = row.rstrip("\r").split("\t")
        if cells == [""]:
            continue
        try:
            given = dict(zip(columns, cells, strict=True))
            point = Metric(key, float(given[columns[-1]]), int(given.get("timestamp", 0)), int(float(given["step"])))
        except (ValueError, OverflowError):
            torn += 1
            continue
        if place == len(rows) - 1:  # no line end: the number may be cut short
            torn += 1
        else:
            yield point
    if torn:
        refuse(path, f"{torn} of its rows are torn, or no numbers")


def _last(live: Live, summary: dict[str, Any]) -> Iterator[Metric]:
    """Those of the last values that no table ends with, as points of the last step."""
    step = summary.get("step")
    if type(step) is not int:
        step = max((point.step for point in live.points), default=0)
    time = max((point.timestamp for point in live.points), default=0)
    final = {point.key: point.value for point in live.points}
    for key, value in summary.items():
        found = number(value)
        if key == "step" or found is None or _is_same(final.get(key), found):
            continue
        yield Metric(f"summary/{key}" if key in final else key, found, time, step)


def _is_same(one: float | None, other: float) -> bool:
    return one is not None and (one == other or (math.isnan(one) and math.isnan(other)))


def _first(live: Live, summary: dict[str, Any]) -> str:
    by_key: dict[str, Metric] = {}
    for point in live.points:
        by_key.setdefault(point.key, point)
    key = next((key for key in summary if key in by_key), next(iter(by_key), None))
    return "" if key is None else repr(by_key[key])
