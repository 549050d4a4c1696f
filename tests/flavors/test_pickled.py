"""Pickles that are damaged, or of another version: whatever they raise is an error of the folder."""

import bz2
import operator
import pickle
from pathlib import Path
from typing import Any

import pytest

from runstone.errors import InvalidModelFolder
from runstone.flavors import pickled
from tests.flavors.support import ALLOWED


class Raises:
    """Unpickling it calls a function, which raises."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Raises(int, "x"), "ValueError: invalid literal for int() with base 10: 'x'"),
        (Raises(operator.getitem, {}, "key"), "KeyError: 'key'"),
        (Raises(hash, []), "TypeError: unhashable type: 'list'"),
        (Raises(bytearray, 10**17), "MemoryError"),
    ],
    ids=["value", "key", "type", "memory"],
)
def test_what_unpickling_raises_names_the_file(tmp_path: Path, value: Raises, why: str) -> None:
    """As other versions of a library raise it, and bits that were flipped; the cause goes along."""
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(InvalidModelFolder) as error:
        pickled.load(tmp_path, "model.pkl", "pickle", code=None, trust=ALLOWED)
    assert f"`model.pkl` cannot be unpickled: {why}" == error.value.problem
    assert error.value.__cause__ is not None


@pytest.mark.parametrize("data", [b"", b"no bzip2", bz2.compress(pickle.dumps(1))[:-4]], ids=["none", "other", "cut"])
def test_a_compressed_pickle_that_is_cut(tmp_path: Path, data: bytes) -> None:
    """Likewise what unpacking it raises."""
    (tmp_path / "model.pkl").write_bytes(data)
    with pytest.raises(InvalidModelFolder, match=r"`model\.pkl` (is no pickle|cannot be unpickled)"):
        pickled.load(tmp_path, "model.pkl", "pickle", code=None, trust=ALLOWED, unpack=bz2.decompress)
