"""Where a table is written: standard output, or a file that has its name only once it is whole."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from runstone.errors import OutputRefused


@contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """A file to write to; what is written has the name `path` when the block ends, and is gone if it raises.

    Args:
        path: The file; standard output if None.

    Raises:
        OutputRefused: It cannot be written.
    """
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists() and not path.is_file():  # a device or a pipe is written to; a rename would replace it
        try:
            with path.open("wb") as file:
                yield file
        except OSError as error:
            raise OutputRefused(path, error.strerror or str(error), "Name another place: `-o FILE`") from error
        return
    path = path.resolve()  # a link stays one
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise OutputRefused(path, error.strerror or str(error), "Name another place: `-o FILE`") from error
    finally:
        beside.unlink(missing_ok=True)
