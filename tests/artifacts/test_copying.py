"""Copies of bytes: what a disk refuses."""

import errno
import os
from pathlib import Path

import pytest

from runstone.artifacts.copying import writing
from runstone.errors import DiskFull, ReadOnlyRepository


@pytest.mark.parametrize(("number", "kind"), [(errno.EROFS, ReadOnlyRepository), (errno.ENOSPC, DiskFull)])
def test_what_a_disk_refuses_is_told_as_what_it_is(tmp_path: Path, number: int, kind: type[Exception]) -> None:
    """Room helps where there is none; where nothing may be written, it does not."""
    with pytest.raises(kind), writing(tmp_path):
        raise OSError(number, os.strerror(number))
