"""Score tables: read a chunk, hold it against the signature, predict, write; and say which rows failed.

Memory holds one chunk at a time, whatever the table. Nothing is left where something failed.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from runstone.artifacts.descriptor import Descriptor, format_listing, listing_digest
from runstone.errors import DataRefused, InputMismatch, RunstoneError, ScoringFailed, UsageError
from runstone.flavors.enforce import enforce_input
from runstone.flavors.pyfunc import PyFuncModel
from runstone.flavors.saving import library
from runstone.scoring import output as places
from runstone.scoring.output import Hashed, Writer
from runstone.scoring.predictions import to_frame
from runstone.scoring.source import STREAM, Source, format_of, list_files

CHUNK_ROWS = 65_536
_BLOCK = 1024 * 1024

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be scored, and how.

    Attributes:
        input: A file, a folder, or `-`.
        output: Likewise.
        input_format: `csv`, `jsonl` or `parquet`; by the name if None.
        output_format: Likewise; of standard output and of folders the input's.
        keep: Columns to write beside the predictions; None for all.
        params: Params of the model.
        chunk_rows: Rows at a time.
        force: Replace what is there.
    """

    input: str
    output: str
    input_format: str | None = None
    output_format: str | None = None
    keep: tuple[str, ...] | None = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    chunk_rows: int = CHUNK_ROWS
    force: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A job that was looked at: which file is read in which format, and where its predictions go.

    Attributes:
        job: The job.
        files: The files with their formats; `-` for standard input.
        format: Of the output.
        is_folder: Whether the output is one; then each file has its own there, under its path.
    """

    job: Job
    files: tuple[tuple[str, str], ...]
    format: str
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Scored:
    """What came of a job.

    Attributes:
        rows: How many were scored.
        columns: The names of the columns written.
        input_digest: `md5:<hex>` of the file, `md5:<hex>.dir` of a folder as DVC has it; None of a stream.
        output_digest: Likewise; of a stream too.
    """

    rows: int
    columns: tuple[str, ...]
    input_digest: str | None
    output_digest: str


def plan(job: Job) -> Plan:
    """Look at what is to be read and written; nothing is loaded or written.

    Raises:
        UsageError: A format is not told, or a folder is asked for and no folder is read.
        DataRefused: There is nothing to read.
        OutputRefused: It exists, or is what is read.
    """
    library("pandas", "score tables", "'runstone[pandas]'")
    source, target = Path(job.input), Path(job.output)
    is_stream = job.input == STREAM
    if not is_stream and not source.exists():
        raise DataRefused(job.input, "there is no such file or folder", "Name what is to be scored: `-i PATH`")
    reads_folder = not is_stream and source.is_dir()
    if not is_stream and not reads_folder and not source.is_file():  # it could be read once only, and is read twice
        raise DataRefused(
            job.input, "it is a device or a pipe", f"Send it as standard input: `-i - < {quote(str(source))}`"
        )
    if reads_folder:
        files = [(str(path), format_of(path.name)) for path in list_files(source)]
    else:
        files = [(job.input, format_of(job.input, job.input_format))]
    is_folder = False
    if job.output == STREAM:
        format = job.output_format or files[0][1]
        if format == "parquet":
            raise UsageError("Parquet is not written to a pipe. Say `--output-format csv`, or name a file: `-o FILE`")
    else:
        looks_like_folder = target.is_dir() or not target.suffix or job.output.endswith(os.sep)
        is_folder = looks_like_folder and job.output_format is None
        if is_folder and not reads_folder:
            raise UsageError(f"{job.output!r} does not tell its format. Name a file: `-o FILE.csv`, .jsonl or .parquet")
        format = files[0][1] if is_folder else format_of(job.output, job.output_format, option="--output-format")
        places.check_place(target, [] if is_stream else [source], force=job.force)
    if "parquet" in (format, files[0][1]):
        library("pyarrow", "score Parquet", "'runstone[parquet]'")
    return Plan(job, tuple(files), format, is_folder)


def check(model: PyFuncModel, planned: Plan) -> list[str]:
    """Hold the columns of all files against the signature, before anything is predicted.

    Returns:
        The columns that are there and neither used nor kept, by the first file.

    Raises:
        DataRefused: A column is missing, or has another type.
    """
    schema = model.metadata.get_input_schema()
    unused: list[str] = []
    for number, (path, format) in enumerate(planned.files):
        source = Source(path, format, schema, planned.job.keep, planned.job.chunk_rows)
        names = source.columns()
        if names is None:
            continue
        for name in planned.job.keep or ():
            if name not in names:
                raise DataRefused(
                    source.name, f"there is no column {name!r} to keep", f"There are: {', '.join(names[:20])}."
                )
        if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
            continue
        missing = [str(spec.name) for spec in schema if spec.required and spec.name not in names]
        if missing:
            why = f"the model needs the columns {missing}, which are missing; there are {names[:20]}"
            raise DataRefused(source.name, why, "Add them, or score with another version.")
        empty = source.empty_frame()
        if empty is not None:
            try:
                enforce_input(empty, schema)
            except InputMismatch as error:
                raise DataRefused(source.name, error.why, "Convert it, or score with another version.") from None
        if not number and planned.job.keep is not None:
            known = {*map(str, schema.input_names()), *planned.job.keep}
            unused = [name for name in names if name not in known]
    return unused


def score(model: PyFuncModel, planned: Plan, progress: Progress | None = None) -> Scored:
    """Score all of it here.

    Args:
        model: The model.
        planned: What `plan` made of the job.
        progress: Told how much was read, of how much.

    Writes:
        The output, whole or not at all; a stream as it comes.

    Raises:
        DataRefused: A file cannot be read, its data does not fit the signature, or there are no rows.
        ScoringFailed: The model raised.
        DiskFull: There is no room.
        OutputRefused: The output came to exist meanwhile.
    """
    job = planned.job
    with InputDigest(planned) as inputs:
        meter = Meter(model, planned, progress)
        if planned.is_folder:
            with places.new_folder(Path(job.output), force=job.force) as folder:
                written = [score_into(meter, path, format, folder) for path, format in planned.files]
                _need_rows(meter, job)
                given = inputs.result()
            return Scored(
                meter.rows, meter.columns, given, folder_digest([file for file in written if file is not None])
            )
        place: AbstractContextManager[Hashed] = (
            places.standard_output() if job.output == STREAM else places.new_file(Path(job.output), force=job.force)
        )
        with place as file:
            with Writer(file, planned.format, job.output) as writer:
                for path, format in planned.files:
                    meter.score(path, format, writer)
            _need_rows(meter, job)
            given = inputs.result()
        return Scored(meter.rows, meter.columns, given, f"md5:{file.digest}")


class Meter:
    """One model at work on the files of a plan, and what it has done so far."""

    def __init__(self, model: PyFuncModel, planned: Plan, progress: Progress | None = None) -> None:
        self._model, self.plan, self._progress = model, planned, progress
        self._schema = model.metadata.get_input_schema()
        self.rows = 0
        self.columns: tuple[str, ...] = ()
        self._before = 0
        sizes = [self._source(*file).size for file in planned.files] if progress is not None else []
        self._sizes = {path: size for (path, _), size in zip(planned.files, sizes, strict=False)}
        self._total = None if None in sizes else sum(size for size in sizes if size is not None)

    def _source(self, path: str, format: str) -> Source:
        return Source(path, format, self._schema, self.plan.job.keep, self.plan.job.chunk_rows)

    def score(self, path: str, format: str, writer: Writer) -> int:
        """Score one file; returns the number of its rows."""
        source, rows = self._source(path, format), 0
        for chunk in source.chunks():
            names = [] if self.plan.job.keep == () else _names(chunk.kept)
            predictions = self._predict(source.name, chunk.data, chunk.first, names)
            writer.write(chunk.kept if names else None, predictions)
            self.columns = self.columns or (*names, *predictions.columns)
            rows += len(predictions)
            if self._progress is not None and self._total:
                self._progress(min(self._before + chunk.done, self._total), self._total)
        self._before += self._sizes.get(path) or 0
        self.rows += rows
        return rows

    def _predict(self, name: str, data: Any, first: int, taken: Sequence[str]) -> Any:
        last = first + len(data) - 1
        try:
            predictions = to_frame(self._model.predict(data, dict(self.plan.job.params) or None), taken)
        except InputMismatch as error:
            raise DataRefused(f"{name}, rows {first} to {last}", error.why, "Correct the rows.") from None
        except RunstoneError:
            raise
        except (Exception, SystemExit) as error:
            if isinstance(error, SystemExit) and type(error) is not SystemExit:
                raise  # a signal's; a model's own `exit(0)` would look like success
            text = " ".join(str(error).split())[:500].rstrip(".")
            raise ScoringFailed(name, first, last, f"{type(error).__name__}: {text}") from error
        if len(predictions) != len(data):
            raise ScoringFailed(name, first, last, f"it gave {len(predictions)} predictions for {len(data)} rows")
        return predictions


def score_into(meter: Meter, path: str, format: str, folder: Path) -> Descriptor | None:
    """Score one file of a folder into another folder, under the same path; None if it has no rows."""
    relative = Path(path).relative_to(meter.plan.job.input)
    target = folder / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    with places.new_file(target, force=True) as file, Writer(file, meter.plan.format, str(target)) as writer:
        rows = meter.score(path, format, writer)
    if not rows:
        target.unlink()
        return None
    return Descriptor(relative.as_posix(), target.stat().st_size, file.digest)


def folder_digest(files: Sequence[Descriptor]) -> str:
    """The digest that DVC gives a folder of these files."""
    return f"md5:{listing_digest(format_listing(files))}"


class InputDigest:
    """The digest of what is read, computed beside; and the proof that it did not change meanwhile."""

    def __init__(self, planned: Plan) -> None:
        self._plan = planned
        self._is_wanted = True
        self._pool = ThreadPoolExecutor(1, "runstone-digest")
        self._paths = [Path(path) for path, _ in planned.files if path != STREAM]
        self._begun = self._stamps()
        self._futures: list[Future[str]] = [self._pool.submit(self._md5, path) for path in self._paths]

    def __enter__(self) -> "InputDigest":
        return self

    def __exit__(self, *_: object) -> None:
        self._is_wanted = False  # after a failure nobody waits for it
        self._pool.shutdown(cancel_futures=True)

    def result(self) -> str | None:
        """The digest; raises `DataRefused` where a file was written to meanwhile."""
        if not self._paths:
            return None
        digests = [future.result() for future in self._futures]
        for path, before, after in zip(self._paths, self._begun, self._stamps(), strict=True):
            if before != after:
                raise DataRefused(str(path), "it was changed while it was read", "Score it again.")
        root = Path(self._plan.job.input)
        if root.is_dir():
            pairs = zip(self._paths, digests, strict=True)
            return folder_digest([Descriptor(p.relative_to(root).as_posix(), None, md5) for p, md5 in pairs])
        return f"md5:{digests[0]}"

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in self._paths]

    def _md5(self, path: Path) -> str:
        md5 = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as file:
            while self._is_wanted and (block := file.read(_BLOCK)):
                md5.update(block)
        return md5.hexdigest()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _names(kept: Any) -> list[str]:
    return list(kept.columns) if hasattr(kept, "dtypes") else list(kept.schema.names)


def _need_rows(meter: Meter, job: Job) -> None:
    if not meter.rows:
        raise DataRefused(job.input, "it has no rows", "Name what is to be scored: `-i PATH`")
