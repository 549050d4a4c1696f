"""Tables as requests hold them, in pandas' two layouts, turned into columns."""

from typing import Any

from runstone.serving.columns import Table
from runstone.serving.problem import bad_request


def read_split(data: Any) -> Table:
    """The columns of `dataframe_split`: `{"columns": [names], "data": [rows], "index": [labels]}`.

    Names and index may be left out; the index is not used, since no answer has it.

    Raises:
        Problem: It has another shape.
    """
    if not isinstance(data, dict):
        raise bad_request("`dataframe_split` must be an object with `data` and, mostly, `columns`.")
    unknown = [key for key in data if key not in ("columns", "data", "index")]
    if "data" not in data or unknown:
        raise bad_request(
            f"`dataframe_split` must have `data`, and may have `columns` and `index`; it has {list(data)[:10]}."
        )
    rows, names, index = data["data"], data.get("columns"), data.get("index")
    if not isinstance(rows, list) or not isinstance(names, list | None) or not isinstance(index, list | None):
        raise bad_request("In `dataframe_split`, `data`, `columns` and `index` must be lists.")
    if index is not None and len(index) != len(rows):
        raise bad_request(f"In `dataframe_split`, `index` has {len(index)} items, and `data` {len(rows)} rows.")
    if not any(isinstance(row, list) for row in rows):
        rows = [[value] for value in rows]  # a table of one column may be a plain list
    width = len(names) if names is not None else len(rows[0]) if rows and isinstance(rows[0], list) else 0
    if any(not isinstance(row, list) or len(row) != width for row in rows):
        raise bad_request(f"In `dataframe_split`, each row of `data` must be a list of {width} values.")
    keys: list[Any] = list(range(width)) if names is None else names
    if any(not isinstance(key, str | int | float) for key in keys) or len(set(keys)) != len(keys):
        raise bad_request("In `dataframe_split`, `columns` must be names, each another one.")
    columns = zip(*rows, strict=True) if rows else [()] * width
    return dict(zip(keys, columns, strict=True))


def read_records(data: Any, key: str) -> Table:
    """The columns of a list of rows, each an object; what a row does not name is nothing.

    Raises:
        Problem: It has another shape.
    """
    if not isinstance(data, list) or any(not isinstance(row, dict) for row in data):
        raise bad_request(f"`{key}` must be a list of objects, one for each row.")
    names = dict.fromkeys(data[0]) if data else {}
    if any(row.keys() != names.keys() for row in data):
        for row in data:
            names |= dict.fromkeys(row)
    return {name: [row.get(name) for row in data] for name in names}
