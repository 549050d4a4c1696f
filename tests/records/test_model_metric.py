"""Points that were measured of models: a record keeps what was added, each once, and gives it back."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import RecordInvalid
from runstone.records import yaml
from runstone.records.model_metric import ModelPoint, add, parse

NAMES = st.sampled_from(["m-1", "m-2", "acc", "val/loss 1"])
POINTS = st.builds(
    ModelPoint,
    NAMES,
    NAMES,
    st.integers(-3, 3),
    st.integers(0, 3),
    st.floats(),
    st.none() | NAMES,
    st.none() | NAMES,
)


def told(point: ModelPoint) -> tuple[Any, ...]:
    """A point whose NaN is equal to itself."""
    return (*point[:4], repr(point.value), *point[5:])


@given(st.lists(POINTS), st.lists(POINTS))
def test_what_was_added_is_read_again_each_point_once(first: list[ModelPoint], second: list[ModelPoint]) -> None:
    """Through YAML, in two parts: of one model, metric, step and time the first value stays; nothing else is lost."""
    document = add(None, first, "one")
    document = add(None if document is None else yaml.load(yaml.dump({"a": document}), "a")["a"], second, "two")
    expected: dict[Any, ModelPoint] = {}
    for point in [*first, *second]:
        expected.setdefault(point[:4], point)
    assert sorted(map(told, expected.values()), key=str) == sorted(map(told, parse(document, "a")), key=str)


def test_text_is_one_line_a_point() -> None:
    """What is measured of one model on one dataset is one text, which a diff shows line by line."""
    rows = [["m-1", "acc", 0, 7, 0.5, "train", "d1"], ["m-1", "acc", 1, 8, math.inf, "train", "d1"]]
    group = {"model": "m-1", "metric": "acc", "dataset": "train", "digest": "d1", "points": "0 7 0.5\n1 8 inf"}
    assert [group] == add(None, rows, "a")
    assert [group] == add([group], [], "a")


@pytest.mark.parametrize(
    "document",
    [
        {"model": "a"},
        ["text"],
        [{"model": "a", "metric": "b"}],
        [{"model": "a", "metric": "b", "points": "1 2"}],
        [{"model": "a", "metric": "b", "points": "1 2 x"}],
        [{"model": 1, "metric": "b", "points": "1 2 3"}],
    ],
)
def test_record_that_is_not_as_it_must_be_is_said(document: Any) -> None:
    """What another pushed may hold anything; it is refused with the place."""
    with pytest.raises(RecordInvalid, match="model_metrics"):
        list(parse(document, "run.yaml"))


@pytest.mark.parametrize("row", [["m-1"], ["m-1", "acc", "x", 1, 0.5], ["m-1", "acc", 1, 1, None, None, None]])
def test_journal_line_that_is_no_point_is_said(row: list[Any]) -> None:
    """Lines of a journal are read as carefully."""
    with pytest.raises(RecordInvalid, match="cannot be read"):
        add(None, [row], "journal")
