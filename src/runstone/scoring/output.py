"""Where predictions go: a file that appears whole or not at all, or standard output.

It is written beside its place under another name, hashed as it is written, synced, and renamed at the end.
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Any, BinaryIO, Self

from runstone.errors import DataRefused, DiskFull, OutputRefused
from runstone.flavors.saving import library
from runstone.registry.replaceable import check_replaceable
from runstone.tracking.shown import strict

STREAM = "-"


class Hashed:
    """A file that is only written to, and its MD5."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._md5 = hashlib.md5(usedforsecurity=False)

    def write(self, data: Any) -> int:
        """Write all of it."""
        self._md5.update(data)
        self._file.write(data)
        return len(data)

    def flush(self) -> None:
        """As a file's."""
        self._file.flush()

    @property
    def digest(self) -> str:
        """Of what was written so far."""
        return self._md5.hexdigest()


class Writer:
    """One table being written: kept columns and predictions, chunk by chunk.

    Args:
        file: Where to.
        format: csv, jsonl or parquet.
        name: What to call it in messages.
    """

    def __init__(self, file: Hashed, format: str, name: str) -> None:
        self._file, self._format, self._name = file, format, name
        self._parquet: Any = None
        self._columns: list[str] | None = None

    def write(self, kept: Any, predictions: Any) -> None:
        """Add rows.

        Args:
            kept: A DataFrame or an Arrow record batch of the columns to keep; None for none.
            predictions: A DataFrame of as many rows.

        Raises:
            DataRefused: The format cannot hold them: other columns than before, or text that is no Unicode.
        """
        try:
            if self._format == "parquet":
                self._write_parquet(kept, predictions)
                return
            frame = _joined(kept, predictions)
            if self._format == "csv":
                is_first = self._columns is None
                names = list(frame.columns)
                frame = frame if self._is_same(names) else frame[self._columns]
                text = _flat(frame).to_csv(index=False, header=is_first, lineterminator="\n")
            else:
                text = "".join(_json_lines(frame))
            data = text.encode()
        except UnicodeEncodeError as error:
            raise DataRefused(self._name, f"a text is no Unicode: {error}", "Correct the data, or the model.") from None
        self._file.write(data)

    def _is_same(self, columns: list[str]) -> bool:
        """Whether they are the columns of the first chunk, which the file has, in their order."""
        if self._columns is None:
            self._columns = columns
        elif sorted(self._columns) != sorted(columns):
            why = f"the columns change from chunk to chunk: {self._columns[:20]}, then {columns[:20]}"
            raise DataRefused(self._name, why, "Write JSON lines: `-o FILE.jsonl`")
        return self._columns == columns

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Write what a format has at its end; after a failure its own does not matter any more."""
        if self._parquet is not None:
            with suppress(*([] if kind is None else [Exception])):
                self._parquet.close()

    def _write_parquet(self, kept: Any, predictions: Any) -> None:
        pyarrow = library("pyarrow", "write Parquet", "'runstone[parquet]'")
        from pyarrow import parquet

        try:
            table = pyarrow.Table.from_pandas(predictions, preserve_index=False)
            if kept is not None:
                if not isinstance(kept, pyarrow.RecordBatch):
                    kept = pyarrow.RecordBatch.from_pandas(kept, preserve_index=False)
                left = pyarrow.Table.from_batches([kept])
                columns, names = [*left.columns, *table.columns], [*left.column_names, *table.column_names]
                table = pyarrow.Table.from_arrays(columns, names=names)
        except (pyarrow.ArrowException, OverflowError) as error:
            why = f"a column holds values of several types: {str(error).partition(chr(10))[0]}"
            raise DataRefused(self._name, why, "Write CSV or JSON lines: `-o FILE.jsonl`") from None
        if not self._is_same(table.column_names):
            table = table.select(self._columns)
        table = table.replace_schema_metadata(None)
        if self._parquet is None:
            self._parquet = parquet.ParquetWriter(self._file, table.schema)
        elif table.schema != self._parquet.schema:
            try:
                table = table.cast(self._parquet.schema)
            except (pyarrow.ArrowException, ValueError) as error:
                why = f"a column changes its type from chunk to chunk: {error}"
                raise DataRefused(self._name, why, "Write CSV or JSON lines: `-o FILE.jsonl`") from None
        self._parquet.write_table(table)


def _joined(kept: Any, predictions: Any) -> Any:
    import pandas

    if kept is None:
        return predictions
    if not isinstance(kept, pandas.DataFrame):
        kept = kept.to_pandas(integer_object_nulls=True)  # a missing id must not make the others fractions
    return pandas.concat([kept.reset_index(drop=True), predictions.reset_index(drop=True)], axis=1)


def _flat(frame: Any) -> Any:
    """A frame with JSON for lists, maps and arrays, and base64 for bytes: Python's own text of them is abridged."""
    import pandas

    columns = {
        name: pandas.Series([_cell(value) for value in values], index=frame.index, dtype=object)
        for name, values in frame.items()
        if values.dtype == object
    }
    return frame.assign(**columns) if columns else frame


def _cell(value: Any) -> Any:
    if isinstance(value, bytes):
        return _plain(value)
    is_nested = isinstance(value, list | tuple | dict) or getattr(value, "shape", ()) != ()
    return json.dumps(value, ensure_ascii=False, default=_plain) if is_nested else value


def _json_lines(frame: Any) -> Iterator[str]:
    """One object a row; what is missing is null, and infinities, which JSON has not, the texts inf and -inf."""
    names = list(map(str, frame.columns))
    for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None):
        values = dict(zip(names, row, strict=True))
        try:
            yield json.dumps(values, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"
        except ValueError:
            yield json.dumps(strict(values), ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    """What JSON has no value for: times as ISO 8601, arrays as lists, bytes as base64."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


# --- places


def check_place(output: Path, sources: list[Path], *, force: bool) -> None:
    """See that something can be written there.

    Raises:
        OutputRefused: It exists and `force` is not set, or is a device, a pipe or a repository; it is what is read, or
            holds it, or lies in it; its folder does not exist.
    """
    real = output.resolve()
    for source in sources:
        other = source.resolve()
        is_same = real == other or (output.exists() and source.exists() and output.samefile(source))
        if is_same:
            raise OutputRefused(output, "it is what is to be read", "Name another: `-o FILE`")
        if (source.is_dir() and real.is_relative_to(other)) or other.is_relative_to(real):
            raise OutputRefused(output, "one of it and what is to be read lies in the other", "Name another: `-o PATH`")
    if not real.parent.is_dir():
        raise OutputRefused(
            output, f"there is no folder {output.parent}", f"Make it: `mkdir -p {quote(str(output.parent))}`"
        )
    if output.exists() and not output.is_file() and not output.is_dir():
        raise OutputRefused(output, "it is a device or a pipe", "Write standard output: `-o -`")
    if os.path.lexists(output) and not force:
        raise OutputRefused(output, "it exists", "Replace it: `--force`")
    check_replaceable(output)


@contextmanager
def new_file(output: Path, *, force: bool) -> Iterator[Hashed]:
    """A file that takes its name when the `with` block ends well, and is gone when it does not.

    Writes:
        A hidden file beside it, meanwhile.

    Raises:
        DiskFull: There is no room, or no permission.
        OutputRefused: It came to exist meanwhile and `force` is not set.
    """
    part = _part(output)
    try:
        try:
            with part.open("xb") as file:
                hashed = Hashed(file)
                yield hashed
                file.flush()
                os.fsync(file.fileno())
            _put(part, output, force=force)
        except OSError as error:
            raise DiskFull(output, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def new_folder(output: Path, *, force: bool) -> Iterator[Path]:
    """As `new_file`, a folder."""
    part = _part(output)
    try:
        try:
            part.mkdir()
            yield part
            _put(part, output, force=force)
        except OSError as error:
            raise DiskFull(output, error.strerror or str(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def standard_output() -> Iterator[Hashed]:
    """Standard output; what was written stays written."""
    buffer = getattr(sys.stdout, "buffer", None)
    sys.stdout.flush()
    hashed = Hashed(buffer if buffer is not None else _Text())  # type: ignore[arg-type]  # it has what is used
    yield hashed
    hashed.flush()


class _Text:
    def write(self, data: bytes) -> None:
        sys.stdout.write(data.decode())

    def flush(self) -> None:
        sys.stdout.flush()


def _part(output: Path) -> Path:
    return output.with_name(f".{output.name}.{secrets.token_hex(4)}.part")


def _put(part: Path, output: Path, *, force: bool) -> None:
    if not force and os.path.lexists(output):
        raise OutputRefused(output, "it came to exist meanwhile", "Replace it: `--force`")
    if force and output.is_dir() and not output.is_symlink():
        aside = _part(output)
        output.rename(aside)
        try:
            part.rename(output)
        except BaseException:
            aside.rename(output)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    else:
        if part.is_dir() and os.path.lexists(output):
            output.unlink()
        part.replace(output)
    with suppress(OSError):  # not every system syncs a folder
        descriptor = os.open(output.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
