"""Runs as a pandas DataFrame with MLflow's column names, column by column out of the index.

No `Run` is built: the rows of one key lie together in order of run, so each column is one stretch of one table
laid into an array. Columns of text stay Python objects, so that a missing param is None, as in MLflow.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from runstone.errors import MissingLibrary
from runstone.git.repository import Repository
from runstone.index.cache import open_index
from runstone.index.search import plan_runs
from runstone.index.tables import RUN_BITS, RUN_MASK

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_INFO = "r.run, r.id, r.experiment_id, r.status, r.started, r.ended, r.name, r.user, r.parent, r.git_commit, r.branch"
# Attributes that MLflow users read as tags, beside their place among the columns above.
_AS_TAGS = (
    ("tags.mlflow.runName", 6),
    ("tags.mlflow.user", 7),
    ("tags.mlflow.parentRunId", 8),
    ("tags.mlflow.source.git.commit", 9),
    ("tags.mlflow.source.git.branch", 10),
)


def runs_to_frame(
    repo: Repository,
    experiment_ids: Sequence[str] | str | None = None,
    filter_string: str | None = "",
    run_view_type: str | int = "ACTIVE_ONLY",
    max_results: int | None = None,
    order_by: Sequence[str] | str | None = None,
) -> "pd.DataFrame":
    """Runs as a table, a row each.

    Args:
        repo: The repository.
        experiment_ids: As in `search.search_runs`, and so are the rest.
        filter_string: Which runs.
        run_view_type: Deleted ones, too?
        max_results: Rows at most; None for all.
        order_by: In which order.

    Returns:
        Columns `run_id`, `experiment_id`, `status`, `artifact_uri`, `start_time`, `end_time` (UTC), then `metrics.*`
        (last values; NaN where there is none), `params.*` (text as MLflow keeps them; None where there is none) and
        `tags.*`, sorted by name. Name, user, parent, commit and branch also stand under MLflow's tag names.

    Raises:
        FilterInvalid: The filter or an order cannot be understood.

    Source: MLflow's `mlflow.search_runs`.
    """
    try:
        import numpy as np
        import pandas as pd
    except ImportError as error:
        raise MissingLibrary("pandas", "give runs as a DataFrame", "pandas") from error

    plan = plan_runs(experiment_ids, filter_string, run_view_type, order_by)

    def work(connection: sqlite3.Connection) -> dict[str, Any]:
        text, values = plan(connection).select(_INFO)
        limit = -1 if max_results is None else max_results
        rows = connection.execute(f"{text} LIMIT ?", [*values, limit]).fetchall()
        info: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * 11
        data: dict[str, Any] = {
            "run_id": _objects(info[1]),
            "experiment_id": _objects(info[2]),
            "status": _objects(info[3]),
            "artifact_uri": _objects([f"runs:/{run_id}" for run_id in info[1]]),
            "start_time": _times(info[4]),
            "end_time": _times(info[5]),
        }
        runs = np.fromiter(info[0], np.int64, len(rows))
        data |= _columns(connection, "metric", runs)
        data |= _columns(connection, "param", runs)
        tags = {name: _objects(info[at]) for name, at in _AS_TAGS if at < 8 or any(info[at])}
        tags |= _columns(connection, "tag", runs)
        return data | dict(sorted(tags.items()))

    def _times(times: Sequence[int | None]) -> Any:
        numbers = np.array([np.iinfo(np.int64).min if time is None else time for time in times], np.int64)
        return pd.to_datetime(pd.Series(numbers.view("datetime64[ms]"))).dt.tz_localize("UTC")

    return pd.DataFrame(open_index(repo).read(repo, work))


def _columns(connection: sqlite3.Connection, entity: str, runs: "np.ndarray[Any, Any]") -> dict[str, Any]:
    """The columns of all keys of an entity that any of the runs has, in order of name."""
    import numpy as np

    # Where the row of each run goes; a place beyond the end takes what belongs to runs not asked for.
    top = int(runs.max()) if len(runs) else 0
    places = np.full(top + 1, len(runs), np.int64)
    places[runs] = np.arange(len(runs))
    beyond = len(runs)
    is_number = entity == "metric"
    # NaN and missing look alike in a frame, so rows of NaN (NULL in the table) need not be read.
    value = "last FROM metric WHERE last IS NOT NULL AND" if is_number else f"text FROM {entity} WHERE"
    keys = connection.execute("SELECT name, number FROM key WHERE entity = ? ORDER BY name", (entity,)).fetchall()
    found: dict[str, Any] = {}
    for name, number in keys:
        low = number << RUN_BITS
        rows = connection.execute(f"SELECT at & {RUN_MASK}, {value} at BETWEEN ? AND ?", (low, low | top))
        flat = list(chain.from_iterable(rows))  # no pair outlives its step: a list of pairs costs twice the time
        where = places[np.fromiter(flat[::2], np.int64, len(flat) // 2)]
        if not (where < beyond).any() and not (is_number and _is_nan_somewhere(connection, low, places, beyond)):
            continue
        column = np.full(len(runs) + 1, np.nan if is_number else None, np.float64 if is_number else object)
        column[where] = np.array(flat[1::2], column.dtype)
        found[f"{entity}s.{name}"] = column[:-1] if is_number else _objects(column[:-1])
    return found


def _is_nan_somewhere(connection: sqlite3.Connection, low: int, places: "np.ndarray[Any, Any]", beyond: int) -> bool:
    """Whether any of the runs has a metric that is NaN."""
    text = f"SELECT at & {RUN_MASK} FROM metric WHERE last IS NULL AND at BETWEEN ? AND ?"
    rows = connection.execute(text, (low, low | (len(places) - 1)))
    return any(places[run] < beyond for (run,) in rows)


def _objects(values: Any) -> Any:
    """A column that pandas leaves as Python objects, instead of making None a NaN of its own."""
    import numpy as np
    import pandas as pd

    array = np.empty(len(values), object)
    array[:] = values
    return pd.Series(array, dtype=object)
