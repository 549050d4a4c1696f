"""Values as one word of a command line writes them."""

from typing import Any

import pytest

from runstone.records.scalar import MAX_DIGITS, parse_scalar


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("-12", -12),
        ("0", 0),
        ("007", "007"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", ""),
        ("yes", "yes"),
        ("1_000", "1_000"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("'", "'"),
        ("inf", float("inf")),
        ("٣", "٣"),
        ("0.1.2", "0.1.2"),
    ],
)
def test_values_are_typed_as_in_yaml(text: str, expected: Any) -> None:
    """Numbers, booleans and null; quotes keep a text; what YAML 1.2 takes for text is text."""
    found = parse_scalar(text)
    assert (expected, type(expected)) == (found, type(found))


def test_a_number_of_thousands_of_digits_stays_a_text() -> None:
    """Python itself would refuse to read it; one digit less is a number."""
    longest = "9" * MAX_DIGITS
    assert (10**MAX_DIGITS - 1, f"{longest}9") == (parse_scalar(longest), parse_scalar(f"{longest}9"))
