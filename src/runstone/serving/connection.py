"""One connection: uvicorn's protocol on httptools, with what a server on an open port needs besides.

A client that connects and says nothing, says its headers one by one, or does not read its answer is closed after a
while; headers have a largest size; and one that closes its half of the connection after its request still gets the
answer. Nobody is moved to another protocol: a client that offers one is answered in HTTP/1.1.
"""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S = 20.0
"""Seconds for the headers of a request, from its first byte, or from the beginning of the connection."""

UNREAD_S = 60.0
"""Seconds in which a client must take something of an answer that is too large to be sent at once."""

MAX_HEADERS = 64 * 1024
"""Bytes of one request's line and headers."""

_UPGRADE = re.compile(rb"\r\n(?=upgrade[ \t]*:)", re.IGNORECASE)


class Connection(HttpToolsProtocol):
    """A connection whose headers and whose patience have limits."""

    _timer: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None
    _requests = 0  # that have begun
    _is_in_head = False
    _is_in_body = False
    _size = 0  # of the headers that are read
    _waiting = 0  # bytes of a header that has no end yet, and of those before it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEADERS_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop()
        self._forget_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read, unless the headers have grown too large."""
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._timer = self.loop.call_later(HEADERS_S, self.transport.close)  # the next request has begun
        if not self._is_in_body and b"pgrade" in data:
            data = _decline_upgrade(data)
        before = self._requests if self._is_in_head else None
        super().data_received(data)
        if self._is_in_head and before == self._requests:
            self._waiting += len(data)
            if self._waiting > 2 * MAX_HEADERS and not self.transport.is_closing():
                self.send_400_response("The headers are too large.")

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, and read no more."""
        super().send_400_response("The headers are too large." if self._size > MAX_HEADERS else msg)

    def on_message_begin(self) -> None:
        """Count anew."""
        self._requests += 1
        self._size = self._waiting = 0
        self._is_in_head, self._is_in_body = True, False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the headers, and those after a body in parts."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Answer."""
        self._stop()
        self._is_in_head, self._is_in_body = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What follows is the next request's."""
        self._is_in_body = False
        super().on_message_complete()

    def eof_received(self) -> Any:
        """Stay open for the answer to a request that is there as a whole."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False
            return True
        return None

    def pause_writing(self) -> None:
        """Wait until the client has read more of its answer, but not for ever."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """It has."""
        self._forget_reader()
        super().resume_writing()

    def _watch_reader(self) -> None:
        self._reader = self.loop.call_later(UNREAD_S, self._look, self.transport.get_write_buffer_size())

    def _look(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._watch_reader()
        else:
            self.transport.abort()

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > MAX_HEADERS:
            raise ValueError  # the parser stops there, so that what follows is not taken for another request

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _decline_upgrade(data: bytes) -> bytes:
    """The same request without the offer of another protocol: httptools would not read a body after one.

    Java's own client makes that offer with each first request.
    """
    head, blank, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-", head) + blank + rest
