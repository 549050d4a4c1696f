"""What records share: times as text, and words for what was found."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone.errors import InvalidValue, RecordInvalid
from runstone.records.document import Reader, format_time, parse_time, show


@settings(max_examples=200, deadline=None)
@given(st.integers(-62135596800000, 253402300799999))
def test_a_time_comes_back_to_the_millisecond(time_ms: int) -> None:
    """From the year 1 to 9999, before 1970 too, and as Python's own calendar has it."""
    text = format_time(time_ms)
    assert time_ms == parse_time(text)
    moment = datetime.fromisoformat(text)
    assert timedelta(milliseconds=time_ms) == moment - datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time_ms", "expected"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1795327923123, "2026-11-22T06:12:03.123Z"),
        (-62135596800000, "0001-01-01T00:00:00.000Z"),
    ],
)
def test_times_are_text_of_one_length(time_ms: int, expected: str) -> None:
    """Always four digits of the year and three of the millisecond, so that text sorts as time does."""
    assert expected == format_time(time_ms)


@pytest.mark.parametrize("time_ms", [10**15, -(10**15), 10**30])
def test_a_time_out_of_the_calendar_is_refused(time_ms: int) -> None:
    """Microseconds or nanoseconds given for milliseconds are found out."""
    with pytest.raises(InvalidValue) as error:
        format_time(time_ms)
    assert f"The time {time_ms} ms is not in the years 1 to 9999." == str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2026-11-22T06:12:03Z", 1795327923000), ("2026-11-22T06:12:03.1Z", 1795327923100),
     ("2026-11-22T06:12:03.123999Z", 1795327923123)],
)  # fmt: skip
def test_times_of_other_writers_are_read(text: str, expected: int) -> None:
    """None to six digits after the second; what is finer than a millisecond is cut."""
    assert expected == parse_time(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "nothing"), ("x", 'the text "x"'), ("x" * 41, f'the text "{"x" * 39}…"'), (True, "`true`"),
        (3, "the number 3"), (0.5, "the number 0.5"), ({}, "a map"), ([], "a list"), (b"", "a bytes"),
    ],
)  # fmt: skip
def test_what_was_found_is_told_in_words(value: object, expected: str) -> None:
    """Messages show a short form of any value."""
    assert expected == show(value)


def test_a_reader_hands_back_what_nobody_asked_for() -> None:
    """Known keys are taken with their types checked; the rest is carried."""
    reader = Reader({"a": 1, "b": None, "new": [1]}, "x.yaml", "top")
    assert 1 == reader.need("a", int)
    assert reader.take("b", str) is None
    assert {"new": [1]} == reader.extra()
    with pytest.raises(RecordInvalid, match=r"`top\.c` is missing"):
        reader.need("c", str)
