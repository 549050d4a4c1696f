"""What may be logged, and what is refused before it reaches the journal."""

import math
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import InvalidName, InvalidValue
from runstone.records import yaml
from runstone.records.metric import Metric
from runstone.tracking import values


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (3, 3),
        (True, True),
        (None, None),
        (0.1, 0.1),
        ("text", "text"),
        ((1, "a"), [1, "a"]),
        ({"a": {"b": [1.5]}, 3: None}, {"a": {"b": [1.5]}, "3": None}),
        (np.int64(7), 7),
        (np.float64(0.25), 0.25),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (PurePosixPath("a/b"), "a/b"),
        (Decimal("1.10"), "1.10"),
        (np.array([1, 2]), "[1 2]"),
    ],
)
def test_params_keep_the_types_that_yaml_has(given: Any, expected: Any) -> None:
    """Plain values stay as they are, scalars of numpy become plain, anything else is kept as its text."""
    found = values.param_value("key", given)
    assert (expected, type(expected)) == (found, type(found))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_a_param_accepts_a_record_can_hold(value: Any) -> None:
    """Whatever is accepted can be written as YAML and is read back the same: nothing accepted is lost at the end."""
    accepted = values.param_value("key", value)
    assert accepted == yaml.load(yaml.dump({"value": accepted}), "here")["value"]


def test_a_param_nested_too_deep_is_refused() -> None:
    """Also one that holds itself, which would never end."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidValue) as caught:
        values.param_value("loop", loop)
    assert "The param 'loop' is nested more than 16 deep. Log it as a file: `log_dict`." == str(caught.value)


@pytest.mark.parametrize("text", ["\ud800", "caf\udce9"])
def test_text_that_is_not_unicode_is_refused(text: str) -> None:
    """Lone surrogates, as undecodable file names have, could not be written to git."""
    for call in (values.param_value, values.tag_value):
        with pytest.raises(InvalidValue, match="holds text that is not valid Unicode"):
            call("key", text)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1, 1.0),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.array([[2.0]]), 2.0),
        (Fraction(1, 4), 0.25),
        (float("inf"), math.inf),
    ],
)
def test_metrics_are_numbers_of_any_kind(given: Any, expected: float) -> None:
    """Everything that is one number becomes a float, the infinities included."""
    found = values.metric_value("m", given)
    assert (expected, float) == (found, type(found))


def test_nan_is_a_metric() -> None:
    """NaN is a number that training gives often enough."""
    assert math.isnan(values.metric_value("m", np.float64("nan")))


@pytest.mark.parametrize("given", ["0.5", b"1", None, [1.0], np.array([1.0, 2.0]), {}, 10**400, 1j])
def test_a_metric_that_is_no_number_is_refused(given: Any) -> None:
    """Text is never read as a number, and arrays of several are not averaged."""
    with pytest.raises(
        InvalidValue, match=r"^The metric 'm' must be a number, but is .* Log text as a tag or a param\.$"
    ):
        values.metric_value("m", given)


@pytest.mark.parametrize(("given", "expected"), [(None, 0), (3, 3), (-2, -2), (np.int32(5), 5), (4.0, 4), (True, 1)])
def test_steps_are_whole_numbers(given: Any, expected: int) -> None:
    """Also those that numpy counts, and floats that are whole."""
    assert expected == values.step_value("m", given)


@pytest.mark.parametrize("given", [1.5, "3", 2**63, -(2**70), float("nan"), float("inf")])
def test_other_steps_and_times_are_refused(given: Any) -> None:
    """What no 64-bit column holds would be recorded and could never be indexed."""
    with pytest.raises(InvalidValue, match="The step of metric 'm' must"):
        values.step_value("m", given)
    with pytest.raises(InvalidValue, match="The time of 'm' must"):
        values.time_value("m", given)


def test_a_run_cannot_be_filed_under_a_time_that_is_no_date() -> None:
    """Microseconds in place of milliseconds are noticed at once, not when the run is recorded."""
    assert 10**15 == values.time_value("m", 10**15)
    with pytest.raises(InvalidValue, match="is not in the years 1 to 9999"):
        values.time_value("start_time", 10**15, is_date=True)


def test_points_are_checked_together() -> None:
    """One bad point refuses the batch, wherever it stands."""
    good = Metric("a", 1.0, 5, 0)
    assert [("a", 1.0, 5, 0)] == values.metric_points([good])
    with pytest.raises(InvalidName):
        values.metric_points([good, Metric("a\tb", 1.0, 5, 0)])


@pytest.mark.parametrize("status", ["RUNNING", "SCHEDULED", "finished", "", None, 3])
def test_a_run_ends_as_one_of_three(status: Any) -> None:
    """A run that has ended is not running, whatever the caller says."""
    with pytest.raises(InvalidValue, match="A run ends as FINISHED, FAILED, KILLED, but the status given is"):
        values.check_end(status)
