"""Names, labels and quantities as clusters take them."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.deploy.words import MAX_NAME, check_label, cluster_name, parse_cpu, parse_memory
from runstone.errors import InvalidName, InvalidQuantity

LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@pytest.mark.parametrize("model", ["churn", "churn-2", "a", "x" * MAX_NAME])
def test_a_name_that_is_one_stays(model: str) -> None:
    """Nobody wants a digest behind `churn`."""
    assert model == cluster_name(model)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("Churn", "churn"),
        ("team/churn", "team-churn"),
        ("2fast", "m-2fast"),
        ("модель", "m"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\n---\nkind: Secret", "a-kind-secret"),
        ("churn-a821a2e6", "churn-a821a2e6"),
        ("x" * 46, "x" * 36),
    ],
)
def test_another_name_gets_a_digest(model: str, expected: str) -> None:
    """It is cut to what a name may hold, with a digest of all of it behind."""
    assert re.fullmatch(rf"{expected}-[0-9a-f]{{8}}", cluster_name(model))


@given(st.lists(st.text(min_size=1, max_size=80), min_size=2, max_size=5, unique=True))
def test_two_models_never_share_a_name(models: list[str]) -> None:
    """Any text gives a DNS label, and what differs stays different."""
    names = [cluster_name(model) for model in models]
    assert all(LABEL.fullmatch(name) and len(name) <= MAX_NAME for name in names)
    assert len(set(models)) == len(set(names))


@given(st.text(alphabet="aA-_ .1é", min_size=1, max_size=6), st.text(alphabet="aA-_ .1é", min_size=1, max_size=6))
def test_names_that_look_alike(one: str, other: str) -> None:
    """Small and large letters, signs and accents are not what tells names apart."""
    assert (one == other) is (cluster_name(one) == cluster_name(other))


def test_a_name_made_to_meet_another() -> None:
    """Somebody who knows the digest cannot take the place of a model by calling theirs so."""
    target = cluster_name("Churn")
    assert target != cluster_name(target)
    assert cluster_name("é") != cluster_name(unicodedata.normalize("NFD", "é"))


@pytest.mark.parametrize(
    ("text", "expected"), [("1", "1"), ("0.5", "0.5"), ("500m", "0.5"), ("2.250", "2.25"), ("1500m", "1.5")]
)
def test_processors(text: str, expected: str) -> None:
    """Whole, in parts, and in thousandths."""
    assert expected == f"{parse_cpu(text).normalize():f}"


@pytest.mark.parametrize("text", ["", "0", "0m", "1x", "-1", "1e3", "1 ", "0.5m", "0.0001", ".5", "½", "١", "1" * 7])
def test_no_amount_of_processors(text: str) -> None:
    """Is told with what to write."""
    with pytest.raises(InvalidQuantity) as caught:
        parse_cpu(text)
    assert f"{text!r} is no amount of processors. Write `2` or `0.5` or `500m`." == str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"), [("512Mi", 512 * 2**20), ("1.5Gi", 3 * 2**29), ("2G", 2 * 10**9), ("1048576", 2**20)]
)
def test_memory(text: str, expected: int) -> None:
    """In thousands and in 1024s."""
    assert expected == parse_memory(text)


@pytest.mark.parametrize("text", ["", "0", "512", "1Kb", "1gb", "1GB", "-1Gi", "1Gi ", "100m", "١Gi", "1e9"])
def test_no_amount_of_memory(text: str) -> None:
    """Nor is `512`, which is bytes and was meant to be more."""
    with pytest.raises(InvalidQuantity, match=r" is no amount of memory\. Write `512Mi` or `2G`\.$"):
        parse_memory(text)


ODD = [("k" * 64, "x"), ("x", "a\nb"), ("x\n", "a"), ("x", "a\n")]


@pytest.mark.parametrize(("key", "value"), [("team", "growth"), ("example.org/team", ""), ("a.b_c-d", "v" * 63)])
def test_labels(key: str, value: str) -> None:
    """With and without a domain."""
    assert (key, value) == check_label(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", "x"),
        ("/x", "x"),
        ("a b", "x"),
        ("Ex/x", "x"),
        ("x/", "x"),
        ("x", "a b"),
        ("x", "v" * 64),
        ("x", "-v"),
        *ODD,
    ],
)
def test_no_labels(key: str, value: str) -> None:
    """What a cluster would refuse, or read as something else."""
    with pytest.raises(InvalidName):
        check_label(key, value)
