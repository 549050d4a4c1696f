"""What a model is evaluated on: features, targets, perhaps predictions, and the digest of it all."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runstone.errors import UsageError
from runstone.flavors.saving import library
from runstone.git.repository import Repository
from runstone.records.dataset import Dataset
from runstone.tracking import dataset as datasets

EXTRA = "'runstone[evaluate]'"
"""What to install."""

ROLE = "eval"
"""MLflow's word for the role of such data."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Rows with known answers.

    Attributes:
        features: DataFrame or array, (n_samples, n_features).
        targets: (n_samples,).
        predictions: (n_samples,), if they were given and no model makes them.
        weights: (n_samples,), if rows count differently.
        dataset: What the run records of them.
    """

    features: Any
    targets: Any
    predictions: Any
    weights: Any
    dataset: Dataset

    @property
    def names(self) -> list[str]:
        """The names of the features."""
        if hasattr(self.features, "columns"):
            return [str(column) for column in self.features.columns]
        return [f"feature_{i + 1}" for i in range(self.features.shape[1] if self.features.ndim > 1 else 1)]


def read_cases(
    repo: Repository,
    data: Any,
    targets: Any,
    predictions: Any = None,
    *,
    feature_names: Sequence[str] | None = None,
    weights: Any = None,
    name: str | None = None,
) -> Cases:
    """Bring data, targets and predictions together.

    Args:
        repo: Where a path is recorded from.
        data: DataFrame, array, list of rows, MLflow's pandas dataset, or the path of a CSV or Parquet file.
        targets: A column of the data, or one value a row.
        predictions: Likewise; None if a model is to make them.
        feature_names: The columns that the model takes; all others but targets and predictions if None. Of an array
            the names it gets.
        weights: A column of the data, or one value a row.
        name: What people call the data.

    Raises:
        UsageError: Something is missing, or the lengths differ; or there is no such file.
    """
    pd: Any = library("pandas", "evaluate models", EXTRA)
    np: Any = library("numpy", "evaluate models", EXTRA)
    source = Path(data) if isinstance(data, str | Path) else None
    if source is not None:
        data = _read_file(pd, source)
    elif hasattr(data, "df") and not hasattr(data, "columns"):  # MLflow's PandasDataset
        targets = targets if targets is not None else getattr(data, "targets", None)
        name, data = name or getattr(data, "name", None), data.df
    if data is None:
        raise UsageError("There is nothing to evaluate on: give `data`.")
    if targets is None:
        raise UsageError("The targets are missing: name their column, or give one value a row, as `targets`.")
    if isinstance(data, pd.Series):
        data = data.to_frame()
    is_frame = isinstance(data, pd.DataFrame)
    if not is_frame:
        if not hasattr(data, "__array__") and not isinstance(data, list | tuple):
            raise UsageError(
                "`data` must be a DataFrame, an array, a list of rows or a file, but is of the type "
                f"{type(data).__name__}."
            )
        data = np.asarray(data)
    if len(data) == 0:
        raise UsageError("The data has no rows.")
    named = {key: each for key, each in _given(targets, predictions, weights) if isinstance(each, str)}
    if named and not is_frame:
        word, column = next(iter(named.items()))
        raise UsageError(f"`{word}` names the column {column!r}, but an array has none. Give the values themselves.")
    for word, column in named.items():
        if column not in data.columns:
            columns = ", ".join(repr(str(each)) for each in data.columns[:20])
            raise UsageError(f"`{word}` names the column {column!r}, which the data does not have. It has: {columns}")
    values = {
        key: _values(np, key, data[each] if isinstance(each, str) else each, len(data))
        for key, each in _given(targets, predictions, weights)
    }
    _check_weights(np, values.get("weights"))
    apart = [values[key] for key, each in _given(targets, predictions, None) if not isinstance(each, str)]
    dataset = _describe(repo, data if source is None else source, apart, name, data)
    features = _features(pd, data, list(named.values()), feature_names)
    return Cases(features, values["targets"], values.get("predictions"), values.get("weights"), dataset)


def _given(targets: Any, predictions: Any, weights: Any) -> list[tuple[str, Any]]:
    pairs = [("targets", targets), ("predictions", predictions), ("weights", weights)]
    return [(key, each) for key, each in pairs if each is not None]


def _read_file(pd: Any, path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"There is no file {str(path)!r}. Name the data: a CSV or Parquet file.")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet", ".pq"):
        raise UsageError(
            f"{str(path)!r} is no CSV or Parquet file by its name. Write it as one, or evaluate in "
            "Python, where `data` may be a DataFrame."
        )
    try:
        return pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:  # pandas' and Arrow's own errors are such
        raise UsageError(f"{str(path)!r} cannot be read: {error}") from error


def _values(np: Any, word: str, given: Any, rows: int) -> Any:
    """One value a row, as an array of one dimension; none may be missing."""
    values = np.asarray(given)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise UsageError(f"`{word}` must be one value a row, but has the shape {values.shape}.")
    if len(values) != rows:
        raise UsageError(f"`{word}` has {len(values)} values, and the data {rows} rows.")
    return check_known(np, word, values)


def _check_weights(np: Any, weights: Any) -> None:
    if weights is None:
        return
    if weights.dtype.kind not in "iufb" or not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
        raise UsageError("`sample_weights` must be numbers of 0 or more, and not all of them 0.")


def check_known(np: Any, word: str, values: Any) -> Any:
    """The values, if none is missing: a text array where they are texts, and numbers where they are numbers."""
    import pandas as pd

    lacking = pd.isna(values)
    lacking = lacking.any(axis=1) if lacking.ndim > 1 else lacking
    if lacking.any():
        first = int(np.argmax(lacking))
        raise UsageError(
            f"`{word}` lacks {int(lacking.sum())} of {len(values)} values, the first in row {first}. "
            "Leave these rows out, or fill them."
        )
    return np.asarray(values.tolist()) if values.dtype == object else values


def _features(pd: Any, data: Any, taken: list[str], names: Sequence[str] | None) -> Any:
    if isinstance(data, pd.DataFrame):
        if names is None:
            return data.drop(columns=list(dict.fromkeys(taken)))
        lacking = [each for each in names if each not in data.columns]
        if lacking:
            raise UsageError(f"`feature_names` has {lacking[0]!r}, which is no column of the data.")
        return data[list(names)]
    if names is None:
        return data
    if data.ndim != 2 or len(names) != data.shape[1]:
        raise UsageError(f"`feature_names` has {len(names)} names, and the data has the shape {data.shape}.")
    return pd.DataFrame(data, columns=list(names))


def _describe(repo: Repository, source: Any, apart: list[Any], name: str | None, data: Any) -> Dataset:
    """What the run records; its digest covers targets and predictions too, where they came apart from the data."""
    found = datasets.describe(repo, source, ROLE, name)
    if not found.shape:
        found = replace(found, shape=tuple(map(int, data.shape)))
    if not apart:
        return found
    digests = [found.digest, *(datasets.from_numpy(each).digest for each in apart)]
    joined = hashlib.md5(" ".join(digests).encode(), usedforsecurity=False).hexdigest()
    return replace(found, digest=f"md5:{joined}", path=None, dvc=None)
