"""Type hints of `predict` as a signature: what MLflow reads in them, and what data they let through."""

from datetime import datetime
from typing import Any, Optional

import pandas as pd
import pytest
from mlflow.types.type_hints import _infer_schema_from_list_type_hint

from runstone.errors import InputMismatch
from runstone.flavors import hints

SPOKEN = [
    list[str],
    list[int],
    list[float],
    list[bool],
    list[bytes],
    list[datetime],
    list[Any],
    list[list[str]],
    list[dict[str, str]],
    list[dict[str, list[float]]],
    list[int | str],
    list[dict[str, Optional[int]]],  # noqa: UP045  # both spellings
    list[dict[str, int | None]],
]


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hint", SPOKEN, ids=str)
def test_a_hint_means_what_mlflow_says(hint: Any) -> None:
    """The same signature from the same hint."""
    schema = hints.input_schema(hint)
    assert _infer_schema_from_list_type_hint(hint).to_json() == (schema and schema.to_json())


@pytest.mark.parametrize(
    "hint", [None, str, list, dict, pd.DataFrame, list[pd.DataFrame], dict[str, int], list[dict[int, str]], "list[str]"]
)
def test_other_hints_say_nothing(hint: Any) -> None:
    """They are Python's business, and the signature comes from the example."""
    assert hints.input_schema(hint) is None


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (list[str], '[{"type": "string", "required": true}]'),
        (float, '[{"type": "double", "required": true}]'),
        (dict[str, int], '[{"type": "map", "values": {"type": "long"}, "required": true}]'),
        (None, None),
        (Any, None),
        (pd.DataFrame, None),
    ],
    ids=str,
)
def test_the_answer_has_a_hint_too(hint: Any, expected: str | None) -> None:
    """A list is one of rows; and where nothing is known, nothing is said, which every MLflow can read."""
    schema = hints.output_schema(hint)
    assert expected == (schema and schema.to_json())


FITTING: list[tuple[Any, Any, Any]] = [
    (list[float], [1, 2.5], [1.0, 2.5]),
    (list[datetime], ["2024-01-02T03:04:05"], [datetime(2024, 1, 2, 3, 4, 5)]),
    (list[bytes], ["aGk="], [b"hi"]),
    (list[dict[str, int]], pd.DataFrame({"a": [1], "b": [2]}), [{"a": 1, "b": 2}]),
    (list[list[int]], pd.DataFrame({"a": [[1], [2, 3]]}), [[1], [2, 3]]),
    (list[dict[str, int | None]], pd.DataFrame({"a": [1, None]}, dtype=object), [{"a": 1}, {"a": None}]),
    (list[int | str], [1, "a"], [1, "a"]),
    (list[Any], [object], [object]),
]


@pytest.mark.parametrize(("hint", "data", "expected"), FITTING, ids=[str(hint) for hint, _, _ in FITTING])
def test_data_are_made_what_the_hint_says(hint: Any, data: Any, expected: Any) -> None:
    """Tables become rows, text from JSON becomes times and bytes, whole numbers become fractions."""
    assert expected == hints.fit(data, hint)


@pytest.mark.parametrize(
    ("hint", "data", "why"),
    [
        (list[str], "a", "`predict` takes list[str], and the data is the str 'a'"),
        (list[int], [1, 1.5], "`predict` takes int, and the data[1] is the float 1.5"),
        (list[dict[str, int]], [{"a": "x"}], "`predict` takes int, and the data[0]['a'] is the str 'x'"),
        (list[dict[str, int]], [{1: 1}], "`predict` takes dict[str, int], and the data[0] is the dict {1: 1}"),
        (list[datetime], ["soon"], "`predict` takes datetime, and the data[0] is the str 'soon'"),
        (list[str], ["a", None], "`predict` takes str, and the data[1] is the NoneType None"),
    ],
)
def test_data_that_do_not_fit_the_hint_are_refused(hint: Any, data: Any, why: str) -> None:
    """With the place of the value."""
    with pytest.raises(InputMismatch) as error:
        hints.fit(data, hint)
    assert why == error.value.why
