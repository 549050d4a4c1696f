"""Secrets in what a command prints: what was taken out of its command line must not stand in its kept output."""

import re
from collections.abc import Collection

from runstone.tracking.secrets import REDACTED

SHORTEST = 4
"""Shorter texts are left alone: they stand everywhere, and are no secrets worth the name."""


class Mask:
    """Replaces texts in bytes.

    Args:
        secrets: The texts.
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        # Of several that begin alike the longest counts, so that nothing of it is left.
        found = {text.encode("utf-8", "surrogateescape") for text in secrets}
        self._secrets = sorted((secret for secret in found if len(secret) >= SHORTEST), key=len, reverse=True)
        self._found = re.compile(b"|".join(map(re.escape, self._secrets)) or rb"(?!)")

    def whole(self, data: bytes) -> bytes:
        """Output that is kept from its beginning to its end."""
        return self._found.sub(REDACTED.encode(), data)

    def head(self, data: bytes) -> bytes:
        """Output of which the end is not kept: a secret may be cut there."""
        cut = max((_overlap(data, secret) for secret in self._secrets), default=0)
        return self.whole(data[: len(data) - cut]) + (REDACTED.encode() if cut else b"")

    def tail(self, data: bytes) -> bytes:
        """Output of which the beginning is not kept, likewise."""
        cut = max((_overlap(secret, data) for secret in self._secrets), default=0)
        return (REDACTED.encode() if cut else b"") + self.whole(data[cut:])


def _overlap(left: bytes, right: bytes) -> int:
    """How many of the last bytes of one text are the first of another; 0 if they are fewer than count."""
    longest = min(len(left), len(right))
    return next((n for n in range(longest, SHORTEST - 1, -1) if left.endswith(right[:n])), 0)
