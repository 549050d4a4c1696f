"""Secrets in kept output."""

from hypothesis import given
from hypothesis import strategies as st

from runstone.projects.masking import Mask


def test_whole_secrets_and_parts_at_a_cut() -> None:
    """The longest of several wins; at a cut a part of one goes, too; what is short stays."""
    mask = Mask(["hunter9", "hunter9-long", "abc"])
    assert b"[redacted] [redacted] abc" == mask.whole(b"hunter9-long hunter9 abc")
    assert b"x [redacted]" == mask.head(b"x hunter")
    assert b"[redacted] x" == mask.tail(b"nter9 x")
    assert b"plain" == mask.head(b"plain") == mask.tail(b"plain") == Mask().whole(b"plain")


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 15))
def test_no_part_that_matters_is_left(before: bytes, after: bytes, cut: int) -> None:
    """Wherever the output is cut, no four bytes of the secret stay on either side of the cut."""
    secret = "\u00e9-s3cret-\u00fc99"
    whole = before + secret.encode() + after
    at = len(before) + min(cut, len(secret.encode()))
    head, tail = Mask([secret]).head(whole[:at]), Mask([secret]).tail(whole[at:])
    left, right = secret.encode()[: at - len(before)], secret.encode()[at - len(before) :]
    assert len(left) < 4 or not head.endswith(left)
    assert len(right) < 4 or not tail.startswith(right)
