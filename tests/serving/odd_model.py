"""A model that does what its input says: answers, fails, hangs, prints, or takes its process down.

It is saved with the folders that use it.
"""

import os
import signal
import sys
import time
from typing import Any

KEPT: list[bytearray] = []


class OddModel:
    """Column `do` says what to do, column `x` with what."""

    def predict(self, data: Any) -> Any:
        """Twice `x`, mostly."""
        for do, x in zip(data["do"], data["x"], strict=True):
            if do == "raise":
                raise RuntimeError("secret detail of the model")
            if do == "refuse":
                raise ValueError("x is not to my taste\nsecond line")
            if do == "sleep":
                time.sleep(x)
            if do == "leak":
                KEPT.append(bytearray(b"x" * int(x)))
            if do == "exit":
                raise SystemExit(3)
            if do == "die":
                os._exit(4)
            if do == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            if do == "print":
                print("the model says {}\n" * int(x), flush=True)
                print("and complains", file=sys.stderr, flush=True)
        return [2 * x for x in data["x"]]
