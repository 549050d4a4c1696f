"""Metrics out of the files that programs write: JSON, JSON lines, YAML, CSV, TSV.

The files are whatever a command left there, so each is bounded in bytes, points and keys, and what cannot be read is
told and costs the run nothing.
"""

import csv
import io
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runstone import names
from runstone.errors import InvalidName, RecordInvalid, RunstoneError, UsageError
from runstone.tracking.values import MAX_INT

MAX_BYTES = 32 * 1024 * 1024
"""Bytes a file of metrics may have; YAML half of that, as every YAML document."""

MAX_POINTS = 1_000_000
"""Points one file may give; as many are written and read within seconds."""

MAX_KEYS = 10_000
"""Metrics one file may name; a record has a line for each, and is read whole."""

MAX_DEPTH = 32
STEP_COLUMNS = ("step", "epoch", "iteration")
"""Columns and keys that number the rows, whatever their case; the first of them that is there counts."""

FORMATS = {
    ".json": "json",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".csv": "csv",
    ".tsv": "tsv",
}
_NUMBER = re.compile(
    r"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|\.?inf(?:inity)?|\.?nan)", re.ASCII | re.IGNORECASE
)


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    step: int


class Results(NamedTuple):
    """What one file gave: its points in order, and sentences on what of it was left out."""

    points: list[Point]
    warnings: list[str]


class ResultsUnreadable(RunstoneError):
    """A file of metrics that cannot be read."""

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"No metrics were read from {path!r}: {why}.")


class FileState(NamedTuple):
    """What changes when a file is written anew; None stands for no file."""

    modified: int
    size: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "FileState | None":
        """The state of a file now."""
        try:
            found = path.stat()
        except (OSError, ValueError):
            return None
        return cls(found.st_mtime_ns, found.st_size, found.st_ino)


def check_format(path: str) -> str:
    """The format that a file's name tells.

    Raises:
        UsageError: It tells none.
    """
    found = FORMATS.get(Path(path).suffix.lower())
    if found is None:
        raise UsageError(f"Metrics are read from {', '.join(FORMATS)} files, and {path!r} is none of them.")
    return found


def read_results(path: Path, name: str | None = None) -> Results:
    """The metrics of one file.

    In JSON and YAML nested keys are joined with `/`; a list of numbers is a metric with a point for each, and a list of
    maps is read as rows. Rows, those of CSV and JSON lines too, have the step that their column `step`, `epoch` or
    `iteration` says, else their number counted from 0. Whatever is no number is passed over.

    Args:
        path: The file.
        name: What to call it in messages.

    Raises:
        ResultsUnreadable: It is no regular file, too large, or not what its name says.
        UsageError: Its name does not tell its format.
    """
    name = name or str(path)
    kind = check_format(name)
    data = _read_bytes(path, name)
    reader = _Reader(name)
    try:
        text = data.decode("utf-8-sig")
        if kind == "yaml":
            from runstone.records import yaml

            reader.value(yaml.load(text, name), Path(name).stem)
        elif kind == "json":
            reader.json(text)
        elif kind == "lines":
            reader.rows(list(_json_lines(text)), "")
        else:
            reader.table(text, "\t" if kind == "tsv" else ",")
    except UnicodeDecodeError:
        raise ResultsUnreadable(name, "it is not UTF-8 text") from None
    except RecursionError:
        raise ResultsUnreadable(name, "it is nested too deep") from None
    except RecordInvalid as error:
        raise ResultsUnreadable(name, error.problem) from None
    except (ValueError, csv.Error) as error:
        raise ResultsUnreadable(name, f"it is not {kind.upper()}: {error}") from None
    return Results(reader.points, reader.warnings)


def _read_bytes(path: Path, name: str) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, for ever
            raise ResultsUnreadable(name, "it is no regular file")
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise _too_large(name)
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ResultsUnreadable(name, str(getattr(error, "strerror", None) or error)) from None
    if len(data) > MAX_BYTES:
        raise _too_large(name)
    return data


def _too_large(name: str) -> ResultsUnreadable:
    return ResultsUnreadable(name, f"it is larger than {MAX_BYTES // 1024**2} MiB; keep it as an artifact")


def _json_lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None


class _Reader:
    """Collects points, and what had to be left out, once each."""

    def __init__(self, name: str) -> None:
        self.points: list[Point] = []
        self.warnings: list[str] = []
        self._name = name
        self._keys: dict[str, bool] = {}
        self._told: set[str] = set()

    def json(self, text: str) -> None:
        """A JSON document; or JSON lines, as many write them to a file called `.json`."""
        try:
            document = json.loads(text)
        except ValueError as error:
            try:
                rows = list(_json_lines(text))
            except ValueError:
                raise error from None
            self.rows(rows, "")
            return
        self.value(document, Path(self._name).stem)

    def value(self, value: Any, stem: str) -> None:
        """A whole document; a number alone bears the name of the file."""
        if isinstance(value, dict):
            self._map(value, "", self._step(value), 0)
        else:
            self._item(stem, value, 0, 0)

    def rows(self, rows: Sequence[Any], prefix: str, depth: int = 0) -> None:
        """Maps, one a row."""
        for number, row in enumerate(rows):
            if isinstance(row, dict):
                step = self._step(row)
                self._map(row, prefix, number if step is None else step, depth)

    def table(self, text: str, delimiter: str) -> None:
        """A table with its names in the first line; semicolons part it where the first line has no comma."""
        if delimiter == "," and "," not in (first := text.partition("\n")[0]) and ";" in first:
            delimiter = ";"
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        header = [name.strip() for name in next(lines, [])]
        places = {name.lower(): at for at, name in reversed(list(enumerate(header)))}
        steps = next((places[name] for name in STEP_COLUMNS if name in places), None)
        columns = [(at, name) for at, name in enumerate(header) if name and at != steps]
        for number, row in enumerate(line for line in lines if line):
            step: int | None = number
            if steps is not None:
                step = _whole(_number(row[steps], texts=True)) if steps < len(row) else None
                if step is None:
                    self._tell(f"rows without a whole number in the column {header[steps]!r} were passed over")
                    continue
            for at, name in columns:
                if at < len(row):
                    found = _number(row[at], texts=True)
                    if found is not None:
                        self._add(name, found, step or 0)

    def _map(self, values: dict[Any, Any], prefix: str, step: int | None, depth: int) -> None:
        named = self._step_key(values)
        for key, value in values.items():
            if key != named:
                self._item(f"{prefix}{key}", value, step or 0, depth + 1)

    def _item(self, key: str, value: Any, step: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise RecursionError
        if isinstance(value, dict):
            inner = self._step(value)
            self._map(value, f"{key}/", step if inner is None else inner, depth)
        elif isinstance(value, list):
            if any(isinstance(each, dict) for each in value):
                self.rows(value, f"{key}/" if depth else "", depth)
            else:
                for number, each in enumerate(value):
                    found = _number(each)
                    if found is not None:
                        self._add(key, found, number)
        else:
            found = _number(value, texts=self._name.lower().endswith((".yaml", ".yml")))
            if found is not None:
                self._add(key, found, step)

    def _step_key(self, row: dict[Any, Any]) -> str | None:
        lower = {key.lower(): key for key in row if isinstance(key, str) and len(key) < 20}
        for name in STEP_COLUMNS:
            key = lower.get(name)
            if key is not None and _whole(_number(row[key])) is not None:
                return key
        return None

    def _step(self, row: dict[Any, Any]) -> int | None:
        key = self._step_key(row)
        return None if key is None else _whole(_number(row[key]))

    def _add(self, key: str, value: float, step: int) -> None:
        usable = self._keys.get(key)
        if usable is None:
            if len(self._keys) >= MAX_KEYS:
                raise ResultsUnreadable(self._name, f"it names more than {MAX_KEYS} metrics; keep it as an artifact")
            usable = self._keys[key] = self._check(key)
        if not usable:
            return
        if len(self.points) >= MAX_POINTS:
            raise ResultsUnreadable(self._name, f"it has more than {MAX_POINTS} values; keep it as an artifact")
        self.points.append(Point(key, value, step))

    def _check(self, key: str) -> bool:
        try:
            names.check_key("metric", key)
        except InvalidName as error:
            self._tell(str(error))
            return False
        return True

    def _tell(self, what: str) -> None:
        if what not in self._told and len(self._told) < 10:
            self._told.add(what)
            self.warnings.append(f"{self._name}: {what}")


def _number(value: Any, *, texts: bool = False) -> float | None:
    """A number as a float; of a text only where texts may be numbers, as in tables."""
    if texts and isinstance(value, str) and len(value) < 400 and _NUMBER.fullmatch(value.strip()):
        return float(value.strip().lower().replace(".inf", "inf").replace(".nan", "nan"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None  # an int beyond any float


def _whole(value: float | None) -> int | None:
    if value is None or not math.isfinite(value) or value != int(value) or abs(value) > MAX_INT:
        return None
    return int(value)
