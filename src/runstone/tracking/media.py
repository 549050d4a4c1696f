"""Artifacts made from objects: text, dictionaries, figures, images and tables become bytes of a file.

The libraries they come from are used only if the object is theirs, so they are imported already.
"""

import io
import json
import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from runstone.errors import InvalidValue, MissingLibrary
from runstone.records.document import show


def dictionary_bytes(dictionary: Any, artifact_file: str) -> bytes:
    """A dictionary as YAML if the file's name ends in `.yaml` or `.yml`, else as JSON.

    Raises:
        InvalidValue: It holds what the format cannot.
    """
    try:
        if PurePosixPath(artifact_file).suffix.lower() in (".yaml", ".yml"):
            import yaml

            return yaml.safe_dump(dictionary, indent=2, sort_keys=False, allow_unicode=True).encode()
        return json.dumps(dictionary, indent=2, default=_plain, ensure_ascii=False).encode()
    except (TypeError, ValueError, ImportError) as error:
        raise InvalidValue(f"{artifact_file!r} cannot hold this dictionary: {error}.") from error
    except Exception as error:  # PyYAML's errors share no base with ValueError
        raise InvalidValue(f"{artifact_file!r} cannot hold this dictionary: {error}.") from error


def figure_bytes(figure: Any, artifact_file: str, save_kwargs: Mapping[str, Any] | None = None) -> bytes:
    """A matplotlib figure (or axes) in the format of the file's name, or a plotly figure as HTML or image.

    Raises:
        InvalidValue: It is no figure, or the name's ending is no format it can be saved in.
        MissingLibrary: A plotly image needs kaleido.
    """
    options = dict(save_kwargs or {})
    suffix = PurePosixPath(artifact_file).suffix.lower().lstrip(".")
    buffer = io.BytesIO()
    if hasattr(figure, "write_html"):
        if suffix == "html":
            return str(figure.to_html(**{"include_plotlyjs": "cdn", **options})).encode()
        if suffix == "json":
            return str(figure.to_json()).encode()
        try:
            return bytes(figure.to_image(format=suffix, **options))
        except (ImportError, ValueError) as error:
            if "kaleido" in str(error).lower():
                raise MissingLibrary("kaleido", "save a plotly figure as an image", "kaleido") from error
            raise InvalidValue(f"A plotly figure cannot be saved as {artifact_file!r}: {error}.") from error
    figure = getattr(figure, "figure", None) or figure
    if not hasattr(figure, "savefig"):
        raise InvalidValue(f"A figure of matplotlib or plotly is needed, but this is {show(figure)}.")
    try:
        figure.savefig(buffer, format=suffix or None, **options)
    except ValueError as error:
        raise InvalidValue(f"A figure cannot be saved as {artifact_file!r}: {error}.") from error
    return buffer.getvalue()


def image_bytes(image: Any, artifact_file: str) -> bytes:
    """A PIL image, or an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), in the format of the file's name.

    Integers must lie in 0 to 255, floats in 0 to 1, as in MLflow.

    Raises:
        InvalidValue: It is no such image.
        MissingLibrary: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingLibrary("Pillow", "save an image", "pillow") from error
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_pixels(image))
    suffix = PurePosixPath(artifact_file).suffix.lower()
    format_ = Image.registered_extensions().get(suffix)
    if format_ is None:
        raise InvalidValue(f"{artifact_file!r} does not end in the name of an image format, such as `.png`.")
    buffer = io.BytesIO()
    if format_ == "JPEG" and image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    image.save(buffer, format=format_)
    return buffer.getvalue()


def table_bytes(data: Any, artifact_file: str, before: bytes | None) -> bytes:
    """A table as JSON in pandas' `split` orientation, its rows after those that were there, as MLflow keeps it.

    Args:
        data: A DataFrame, or a dictionary of columns (a single value counts as one row).
        artifact_file: A name that ends in `.json`.
        before: What the file holds so far.

    Raises:
        InvalidValue: It is no table, the name does not end in `.json`, or the file is no table.
    """
    if PurePosixPath(artifact_file).suffix.lower() != ".json":
        raise InvalidValue(f"A table is kept as JSON, so {artifact_file!r} must end in `.json`.")
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        split = data.to_dict(orient="split")
        columns, rows = [str(c) for c in split["columns"]], [list(row) for row in split["data"]]
    elif isinstance(data, Mapping):
        columns = [str(c) for c in data]
        lists = [list(v) if isinstance(v, list | tuple) or hasattr(v, "tolist") else [v] for v in data.values()]
        if len({len(values) for values in lists}) > 1:
            raise InvalidValue("The columns of a table must have one length, but these have several.")
        rows = [list(row) for row in zip(*lists, strict=True)]
    else:
        raise InvalidValue(f"A table must be a DataFrame or a dictionary of columns, but is {show(data)}.")
    rows = [[None if isinstance(cell, float) and math.isnan(cell) else cell for cell in row] for row in rows]
    if before is not None:
        columns, rows = _appended(before, artifact_file, columns, rows)
    return json.dumps({"columns": columns, "data": rows}, default=_plain, ensure_ascii=False).encode()


def _appended(
    before: bytes, artifact_file: str, columns: list[str], rows: list[list[Any]]
) -> tuple[list[str], list[list[Any]]]:
    try:
        old = json.loads(before)
        known = list(old["columns"])
        cells = [dict(zip(known, row, strict=True)) for row in old["data"]]
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidValue(f"{artifact_file!r} is no table, so no rows can be added. Choose another name.") from error
    together = known + [column for column in columns if column not in known]
    cells += [dict(zip(columns, row, strict=True)) for row in rows]
    return together, [[row.get(column) for column in together] for row in cells]


def _pixels(image: Any) -> Any:
    import numpy as np

    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InvalidValue(
            f"An image must have the shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), but has {array.shape}."
        )
    if array.dtype == bool:
        return array.astype("uint8") * 255
    if array.dtype.kind == "f":
        if array.size and not (np.nanmin(array) >= 0 and np.nanmax(array) <= 1):
            raise InvalidValue("The values of an image of floats must lie in 0 to 1.")
        return (array * 255).astype("uint8")
    if array.dtype.kind not in "iu" or (array.size and (array.min() < 0 or array.max() > 255)):
        raise InvalidValue("The values of an image must be whole numbers of 0 to 255, or floats of 0 to 1.")
    return array.astype("uint8")


def _plain(value: Any) -> Any:
    """What JSON cannot hold: scalars and arrays of numpy as Python's own, anything else as text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "item"):
        return value.item()
    return str(value)
