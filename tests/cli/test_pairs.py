"""What `-p`, `-m` and `-t` understand."""

import click
import pytest

from runstone.cli.pairs import parse_metric, parse_pairs, parse_params, parse_value


def test_a_number_that_is_too_long_is_refused() -> None:
    """Python itself would refuse to read it; in quotes it is a text."""
    digits = "12345678901234567890" * 250
    with pytest.raises(click.UsageError) as caught:
        parse_value(digits)
    assert "12345678901234567890… is a number of 5000 digits. In quotes it is kept as a text." == caught.value.message
    assert digits == parse_value(f"'{digits}'")


def test_params_keep_what_stands_behind_the_first_equals_sign() -> None:
    """A value may hold `=`; NaN stays NaN."""
    assert {"a": "b=c", "n": 1} == parse_params(["a=b=c", "n=1"])
    assert str(float("nan")) == str(parse_params(["x=nan"])["x"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acc=0.93", ("acc", 0.93, 0)),
        ("val/loss=1e-3@5", ("val/loss", 0.001, 5)),
        ("x=-inf@-1", ("x", float("-inf"), -1)),
    ],
)
def test_metrics(text: str, expected: tuple[str, float, int]) -> None:
    """Key, number, and the step behind @."""
    assert expected == parse_metric(text)


@pytest.mark.parametrize("text", ["acc", "acc=", "=1", "acc=x", "acc=1@", "acc=1@x", "acc=1@2@3", "acc=@3"])
def test_what_is_no_metric(text: str) -> None:
    """A wrong call, with the text that is wrong."""
    with pytest.raises(click.UsageError, match="must be KEY=NUMBER or KEY=NUMBER@STEP") as caught:
        parse_metric(text)
    assert repr(text) in caught.value.message


@pytest.mark.parametrize("text", ["key", "=value"])
def test_what_is_no_pair(text: str) -> None:
    """A key and an equals sign must be there; the value may be empty."""
    with pytest.raises(click.UsageError, match="must be KEY=VALUE"):
        parse_pairs([text])
    assert {"key": ""} == parse_pairs(["key="])
