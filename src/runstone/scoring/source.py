"""Tables to score: CSV, JSON lines, Parquet, or a folder of one of these, read in chunks of so many rows.

CSV is read as text first: what is kept beside the predictions stays as it was written, and a value that cannot be read
is named by its row.
"""

import io
import json
import sys
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from runstone.errors import DataRefused, UsageError
from runstone.flavors.saving import library
from runstone.flavors.schema import Schema
from runstone.scoring.columns import BadCell, Typing

FORMATS = ("csv", "jsonl", "parquet")
_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
STREAM = "-"
_MAX_LINE = 64 * 1024 * 1024
_BUFFER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a table.

    Attributes:
        data: The columns for the model, typed: a pandas DataFrame.
        kept: The columns to be written beside the predictions: a DataFrame, or an Arrow record batch.
        first: The number of its first row in the file, counted from 1.
        done: How much of the file was read after it, in the unit of `Source.size`.
    """

    data: Any
    kept: Any
    first: int
    done: int


def format_of(path: str, named: str | None = None, *, option: str = "--format") -> str:
    """The format of a file: the one named, else what its name ends in; raises `UsageError`, which tells the option."""
    if named is not None:
        return named
    found = _SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        what = "What comes through `-`" if path == STREAM else f"{path!r}"
        raise UsageError(f"{what} does not tell its format. Say it: `{option} csv`, `jsonl` or `parquet`")
    return found


def list_files(folder: Path) -> list[Path]:
    """The tables below a folder, by path; hidden files and those that begin with `_` are none, as Spark has it.

    Raises:
        DataRefused: There is none, or they are of several formats, or a link leads to a folder or nowhere.
    """
    shown = [
        path
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    for path in shown:  # its rows would be missing from the output without a word
        if path.is_symlink() and (path.is_dir() or (path.suffix.lower() in _SUFFIXES and not path.exists())):
            why = "a link to a folder, which is not followed" if path.is_dir() else "a link that leads nowhere"
            raise DataRefused(str(path), f"it is {why}", "Put the files there, or remove it.")
    found = [path for path in shown if path.suffix.lower() in _SUFFIXES and path.is_file()]
    formats = sorted({_SUFFIXES[path.suffix.lower()] for path in found})
    if len(formats) != 1:
        why = f"it holds tables of several formats: {', '.join(formats)}" if formats else "it holds no table"
        raise DataRefused(str(folder), why, "Give a folder of .csv, .jsonl or .parquet files.")
    return found


class Source:
    """One table.

    Args:
        path: A file; `-` is standard input.
        format: One of `FORMATS`.
        schema: The inputs of the model's signature.
        keep: Columns to hand on; None for all.
        rows: How many a chunk has.
    """

    def __init__(self, path: str, format: str, schema: Schema | None, keep: Sequence[str] | None, rows: int) -> None:
        self.path, self.format, self._schema, self._keep, self._rows = path, format, schema, keep, rows
        self.name = "standard input" if path == STREAM else path
        self._typing = Typing(schema if schema is not None and not schema.is_tensor_spec() else None)
        if format == "parquet" and path == STREAM:
            raise UsageError("Parquet cannot be read from a pipe. Give the file, or send CSV or JSON lines.")

    @property
    def size(self) -> int | None:
        """How much there is to read, in rows of Parquet and else in bytes; None for what is not known."""
        if self.path == STREAM:
            return None
        if self.format != "parquet":
            return Path(self.path).stat().st_size
        with self._parquet() as file:
            return int(file.metadata.num_rows)

    def columns(self) -> list[str] | None:
        """The names of the columns, read before anything else; None where only the rows tell."""
        if self.format == "parquet":
            with self._parquet() as file:
                return list(file.schema_arrow.names)
        if self.format == "csv" and self.path != STREAM:
            with self._opened() as stream:
                return self._header(stream)
        return None

    def empty_frame(self) -> Any:
        """A frame of no rows with the file's own types; None where it has none."""
        if self.format != "parquet":
            return None
        with self._parquet() as file:
            return self._frame(file.schema_arrow.empty_table())

    def chunks(self) -> Iterator[Chunk]:
        """The rows in order, each chunk read while the one before is at work; raises `DataRefused`."""
        if self.path == STREAM:  # a thread that waits for input could not be interrupted
            yield from self._chunks()
            return
        chunks = self._chunks()
        try:
            with ThreadPoolExecutor(1, "runstone-read") as pool:
                coming = pool.submit(next, chunks, None)
                while (chunk := coming.result()) is not None:
                    coming = pool.submit(next, chunks, None)
                    yield chunk
        finally:
            chunks.close()

    def _chunks(self) -> Generator[Chunk, None, None]:
        if self.format == "parquet":
            yield from self._parquet_chunks()
            return
        with self._opened() as stream:
            first = 1
            for frame in self._csv_frames(stream) if self.format == "csv" else self._json_frames(stream):
                self._need(list(frame.columns))
                yield Chunk(self._typed(frame, first), self._kept(frame), first, self._position(stream))
                first += len(frame)

    # --- text

    def _typed(self, frame: Any, first: int) -> Any:
        wanted = self._needed(list(frame.columns))
        data = frame[[name for name in frame.columns if name in wanted]]
        try:
            if self.format == "csv":
                return self._typing.read_text(data)
            return self._typing.read_json(data.infer_objects())
        except BadCell as bad:
            raise self._refused(f"in row {first + bad.row}, {bad}", "Correct the row, or leave it out.") from None

    def _kept(self, frame: Any) -> Any:
        return frame if self._keep is None else frame[list(self._keep)]

    def _need(self, names: Sequence[str]) -> None:
        missing = [name for name in self._keep or () if name not in names]
        if missing:
            raise self._refused(f"there is no column {missing[0]!r} to keep; there are {', '.join(names[:20])}")

    def _header(self, stream: BinaryIO) -> list[str]:
        pandas = library("pandas", "score tables", "'runstone[pandas]'")
        try:
            return list(map(str, pandas.read_csv(stream, nrows=0, dtype=str, encoding="utf-8").columns))
        except (pandas.errors.EmptyDataError, pandas.errors.ParserError, UnicodeDecodeError) as error:
            raise self._refused(f"it is no CSV with a line of names: {error}") from None

    def _csv_frames(self, stream: BinaryIO) -> Iterator[Any]:
        pandas = library("pandas", "score tables", "'runstone[pandas]'")
        try:
            with pandas.read_csv(
                stream, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8", chunksize=self._rows
            ) as reader:
                yield from (self._unshifted(frame) for frame in reader if len(frame))
        except (pandas.errors.EmptyDataError, pandas.errors.ParserError, UnicodeDecodeError) as error:
            text = " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())
            raise self._refused(f"it is no CSV with a line of names: {text}") from None

    def _unshifted(self, frame: Any) -> Any:
        """A chunk whose rows have more fields than the line of names: pandas takes the first ones for an index.

        One empty field at the end of each row is a delimiter too many; with anything else the names do not belong to
        the columns that they stand over.
        """
        pandas = library("pandas", "score tables", "'runstone[pandas]'")
        if isinstance(frame.index, pandas.RangeIndex):
            return frame
        names = list(frame.columns)
        if frame.index.nlevels > 1 or (frame[names[-1]] != "").any():
            found = len(names) + frame.index.nlevels
            raise self._refused(f"its rows have more fields ({found}) than its line of names ({len(names)})")
        fields = [frame.index, *(frame[name] for name in names[:-1])]
        return pandas.DataFrame({name: field.to_numpy() for name, field in zip(names, fields, strict=True)})

    def _json_frames(self, stream: BinaryIO) -> Iterator[Any]:
        pandas = library("pandas", "score tables", "'runstone[pandas]'")
        rows: list[dict[str, Any]] = []
        number = 0
        while line := stream.readline(_MAX_LINE):
            number += 1
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if b"\\ud" in line or b"\\uD" in line:  # halves of a pair may stand alone there, and are no text
                    json.dumps(row, ensure_ascii=False).encode()
            except (ValueError, RecursionError) as error:
                raise self._refused(f"line {number} is no JSON: {error}") from None
            if not isinstance(row, dict):
                raise self._refused(f"line {number} is JSON, and no object")
            rows.append(row)
            if len(rows) == self._rows:
                yield pandas.DataFrame(rows, dtype=object)  # a missing value must not make the others fractions
                rows = []
        if rows:
            yield pandas.DataFrame(rows, dtype=object)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        if self.path == STREAM:
            yield io.BytesIO(sys.stdin.read().encode()) if not hasattr(sys.stdin, "buffer") else sys.stdin.buffer
            return
        try:
            with Path(self.path).open("rb") as stream:
                yield stream
        except OSError as error:
            raise self._refused(f"it cannot be read: {error.strerror}") from None

    def _position(self, stream: BinaryIO) -> int:
        try:
            return stream.tell()
        except (OSError, ValueError):
            return 0

    # --- Parquet

    @contextmanager
    def _parquet(self) -> Iterator[Any]:
        pyarrow = library("pyarrow", "score Parquet", "'runstone[parquet]'")
        from pyarrow import parquet

        try:
            # Read in pieces: whole column chunks of a row group are twice the memory, and no faster.
            with parquet.ParquetFile(self.path, buffer_size=_BUFFER, pre_buffer=False) as file:
                yield file
        except (pyarrow.ArrowException, OSError, ValueError) as error:  # what pandas noted there may be no JSON
            first = str(error).partition("\n")[0].rstrip(".")
            raise self._refused(f"it cannot be read as Parquet: {first}", "Write it again.") from None

    def _parquet_chunks(self) -> Iterator[Chunk]:
        with self._parquet() as file:
            names = file.schema_arrow.names
            self._need(names)
            keep = names if self._keep is None else list(self._keep)
            wanted = self._needed(names)
            columns = [name for name in names if name in wanted or name in keep]
            if len(set(columns)) < len(columns):
                twice = next(name for name in columns if columns.count(name) > 1)
                raise self._refused(f"there are several columns {twice!r}", "Name them apart.")
            first = 1
            for batch in file.iter_batches(batch_size=self._rows, columns=columns):
                if not batch.num_rows:
                    continue
                data = self._frame(batch.select([name for name in columns if name in wanted]))
                # What pandas noted there would make an index of an id, which is no column to write.
                kept = batch.select(keep).replace_schema_metadata(None)
                yield Chunk(data, kept, first, first + batch.num_rows - 1)
                first += batch.num_rows

    def _frame(self, table: Any) -> Any:
        """A table as pandas wrote it; what was an index there is a column again if the signature names it."""
        frame = table.to_pandas()
        named = self._schema.input_names() if self._schema is not None and self._schema.has_input_names() else []
        levels = [level for level in frame.index.names if level is not None and level in named]
        return frame.reset_index(level=levels) if levels else frame

    def _needed(self, names: Sequence[str]) -> set[str]:
        """The columns for the model: those of the signature, or all but those named to be kept."""
        if self._schema is None or not self._schema.has_input_names():
            return set(names).difference(self._keep or ())
        return {str(name) for name in self._schema.input_names()}

    def _refused(self, why: str, next_step: str = "Correct the file.") -> DataRefused:
        return DataRefused(self.name, why, next_step)
