"""What models answer → columns: `prediction`, or one for each output."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

NAME = "prediction"


def to_frame(answer: Any, taken: Collection[str]) -> Any:
    """A DataFrame of the predictions, a row for each.

    Args:
        answer: An array of shape `(n_samples,)` or `(n_samples, n_outputs)`, a DataFrame, a Series, a sparse matrix, a
            map of arrays, or a list.
        taken: The names of the columns that stand beside: an output of such a name becomes `prediction_<name>`.
    """
    import pandas

    if isinstance(answer, pandas.DataFrame):
        frame = answer.reset_index(drop=True)
    elif isinstance(answer, pandas.Series):
        frame = answer.reset_index(drop=True).to_frame(NAME)
    elif isinstance(answer, Mapping):
        frame = pandas.DataFrame({str(key): _column(value) for key, value in answer.items()})
    else:
        if hasattr(answer, "toarray"):
            answer = answer.toarray()
        shape = getattr(answer, "shape", None)
        if shape is not None and len(shape) == 2 and shape[1] != 1:
            frame = pandas.DataFrame(answer, columns=[f"{NAME}_{i}" for i in range(shape[1])])
        elif isinstance(answer, list) and answer and isinstance(answer[0], Mapping):
            frame = pandas.DataFrame(answer)
        else:
            frame = pandas.DataFrame({NAME: _column(answer)})
    labels: list[object] = list(frame.columns)
    names = [f"{NAME}_{label}" if isinstance(label, int) else str(label) for label in labels]
    frame.columns = pandas.Index(_distinct([f"{NAME}_{name}" if name in taken else name for name in names], taken))
    return frame


def _distinct(names: Sequence[str], taken: Collection[str]) -> list[str]:
    """Names that differ, since JSON and Parquet hold one value a name: `a`, `a.1`, as pandas reads a CSV file."""
    distinct: list[str] = []
    for name in names:
        number, new = 0, name
        while new in distinct or new in taken:
            number += 1
            new = f"{name}.{number}"
        distinct.append(new)
    return distinct


def _column(values: Any) -> Any:
    """One value a row; of more dimensions a list a row."""
    import pandas

    shape: Sequence[int] = getattr(values, "shape", ())
    if len(shape) == 2 and shape[1] == 1:
        values = values.reshape(-1)
    elif len(shape) > 1:
        values = values.tolist()
    return pandas.Series(values)
