"""Fixtures of the index."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runstone.git.repository import Repository
from runstone.index import cache


@pytest.fixture
def repo(path: Path) -> Iterator[Repository]:
    """The repository of the module's fixture `path`, opened."""
    opened = Repository.open(path)
    yield opened
    opened.close()
    cache.close_all()
