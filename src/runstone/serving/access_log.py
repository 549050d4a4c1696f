"""One line of JSON a request, written together for all requests that were answered in one turn of the event loop."""

import asyncio
import os
import time
from typing import Any

from runstone.serving import json_text

_AT_ONCE = 64 * 1024


class AccessLog:
    """Lines to a file descriptor.

    Args:
        descriptor: Where they go; None for nowhere.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._lines: list[bytes] = []

    def request(
        self, scope: dict[str, Any], status: int, size_in: int, size_out: int, seconds: float, id_: str
    ) -> None:
        """A request that was answered."""
        if self._descriptor is None:
            return
        client = scope.get("client")
        self._put(
            {
                "time": time.time(),
                "event": "request",
                "client": client[0] if client else None,
                "method": scope["method"],
                "path": scope["path"][:500],
                "status": status,
                "ms": round(seconds * 1000, 3),
                "bytes_in": size_in,
                "bytes_out": size_out,
                "id": id_,
            }
        )

    def _put(self, line: dict[str, Any]) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(json_text.write(line))

    def flush(self) -> None:
        """Write what waits."""
        if self._lines and self._descriptor is not None:
            data = b"\n".join([*self._lines, b""])
            self._lines.clear()
            write_all(self._descriptor, data)


def log_event(event: str, **facts: Any) -> None:
    """One line on standard error about the server itself: an error with its trace, another model taken up."""
    write_all(2, json_text.write({"time": time.time(), "event": event, **facts}) + b"\n")


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a descriptor; whoever reads it may have gone, which is no reason to stop serving."""
    try:
        while data:
            data = data[os.write(descriptor, data[:_AT_ONCE]) :]
    except OSError:
        pass
