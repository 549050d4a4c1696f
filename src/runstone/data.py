"""Describe what a run reads, for `runstone.log_input`: DataFrames, arrays and files, each by digest."""

from pathlib import Path
from typing import Any

from runstone import fluent
from runstone.records.dataset import Dataset as Dataset
from runstone.tracking import dataset as _dataset

__all__ = ["Dataset", "from_file", "from_numpy", "from_pandas"]


def from_pandas(df: Any, source: str | None = None, targets: str | None = None, name: str | None = None) -> Dataset:
    """Describe a DataFrame.

    Args:
        df: The DataFrame.
        source: For MLflow's signature only: where it came from is not recorded; log the file itself for that.
        targets: For MLflow's signature only.
        name: What people call it.
    """
    return _dataset.from_pandas(df, name)


def from_numpy(features: Any, source: str | None = None, targets: Any = None, name: str | None = None) -> Dataset:
    """Describe an array; see `from_pandas`."""
    return _dataset.from_numpy(features, name)


def from_file(path: str | Path, name: str | None = None) -> Dataset:
    """Describe a file of the repository, or one outside it, whose path is then not recorded."""
    return _dataset.from_file(fluent.client().workspace.repo, path, name)
