"""Datasets: describe what a run read, by digest, from a DataFrame, an array or a file.

pandas and numpy are used only if the data is theirs, and so are imported already.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

from runstone.errors import ArtifactRefused, InvalidValue
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.dataset import Dataset


def from_pandas(data: Any, name: str | None = None, role: str | None = None) -> Dataset:
    """Describe a DataFrame or Series of shape (rows, columns) or (rows,).

    The digest covers column names, types, index and values, and does not depend on the platform.
    """
    import pandas as pd

    digest = hashlib.md5(usedforsecurity=False)
    columns = [(str(c), str(t)) for c, t in data.dtypes.items()] if hasattr(data, "columns") else [str(data.dtype)]
    digest.update(repr(columns).encode())
    try:
        digest.update(pd.util.hash_pandas_object(data, index=True).to_numpy().astype("<u8").tobytes())
    except TypeError:  # cells that cannot be hashed, such as lists
        digest.update(data.to_csv().encode())
    return Dataset(name or "dataset", f"md5:{digest.hexdigest()}", role=role, shape=tuple(map(int, data.shape)))


def from_numpy(data: Any, name: str | None = None, role: str | None = None) -> Dataset:
    """Describe an array of any shape; the digest covers its type, shape and values."""
    import numpy as np

    array = np.ascontiguousarray(data)
    digest = hashlib.md5(f"{array.dtype.newbyteorder('<')} {array.shape}".encode(), usedforsecurity=False)
    if array.dtype == object:
        digest.update(repr(array.tolist()).encode())
    else:
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return Dataset(name or "dataset", f"md5:{digest.hexdigest()}", role=role, shape=tuple(map(int, array.shape)))


def from_file(repo: Repository, path: str | Path, name: str | None = None, role: str | None = None) -> Dataset:
    """Describe a file, or a folder that DVC tracks. Only a path inside the work tree is recorded.

    A file that DVC tracks and that its pointer still describes is not read again: the pointer's digest is taken where
    size and digest of the file agree with it, which is checked.

    Raises:
        ArtifactRefused: There is no such file.
    """
    file = Path(path)
    if not file.exists():
        raise ArtifactRefused(file, "there is no such file")
    relative = _inside(repo, file)
    pointer = file.with_name(file.name + ".dvc")
    dvc = _inside(repo, pointer) if pointer.is_file() else None
    if file.is_dir():
        if dvc is None:
            raise ArtifactRefused(file, "it is a folder that DVC does not track; `dvc add` it, or log its files")
        digest = _pointer_digest(pointer)
    else:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if dvc is not None and _pointer_digest(pointer) != digest:
            dvc = None  # the file has changed since `dvc add`, so the pointer does not describe it
    return Dataset(name or file.name, f"md5:{digest}", role=role, path=relative, dvc=dvc)


def describe(repo: Repository, data: Any, role: str | None = None, name: str | None = None) -> Dataset:
    """Describe whatever a run read: a `Dataset`, a DataFrame, an array, a file's path, or an MLflow dataset.

    Raises:
        InvalidValue: It is none of these.
    """
    if isinstance(data, Dataset):
        return Dataset(name or data.name, data.digest, role or data.role, data.path, data.dvc, data.shape, data.extra)
    if isinstance(data, str | Path):
        return from_file(repo, data, name, role)
    inner = getattr(data, "df", None)  # MLflow's PandasDataset keeps its DataFrame here
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    if pandas is not None and isinstance(inner, pandas.DataFrame):
        return from_pandas(inner, name or getattr(data, "name", None), role)
    if pandas is not None and isinstance(data, pandas.DataFrame | pandas.Series):
        return from_pandas(data, name, role)
    if numpy is not None and isinstance(data, numpy.ndarray):
        return from_numpy(data, name, role)
    if isinstance(getattr(data, "name", None), str) and isinstance(getattr(data, "digest", None), str):
        return Dataset(name or data.name, str(data.digest), role=role)
    raise InvalidValue(
        f"A dataset must be a DataFrame, an array or a file's path, but is a {type(data).__name__}. "
        "Describe it first: `runstone.data.from_pandas`, `from_numpy`, `from_file`."
    )


def _inside(repo: Repository, path: Path) -> str | None:
    if repo.work_tree is None:
        return None
    try:
        # Only its folder is resolved: DVC may keep the file itself as a link into its cache.
        return (path.parent.resolve() / path.name).relative_to(repo.work_tree.resolve()).as_posix()
    except ValueError:
        return None


def _pointer_digest(pointer: Path) -> str | None:
    document = yaml.load(pointer.read_text(), pointer.name)
    try:
        return str(document["outs"][0]["md5"])
    except (KeyError, IndexError, TypeError):
        return None
