"""One connection, as clients that mean no good and clients that mean well use it; on a socket, with small limits."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from runstone.serving import connection as module
from runstone.serving.app import App
from tests.serving.support import load_folder

PING = b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
ROW = b'{"dataframe_records": [{"do": "answer", "x": 1}]}'
POST = b"POST /invocations HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def port(odd_folder: Path) -> Iterator[int]:
    """Where the odd model is served, in this process."""
    config = uvicorn.Config(
        App(load_folder(odd_folder), access_log=None),
        http=module.Connection,
        ws="none",
        lifespan="off",
        loop="asyncio",
        interface="asgi3",
        log_config=None,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def ask(port: int, *parts: bytes) -> bytes:
    """All that comes until the server closes the connection."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        try:
            for part in parts:
                client.sendall(part)
            while data := client.recv(65536):
                answer += data
        except ConnectionError:  # it was closed while there was more to send
            pass
    return answer


def statuses(answer: bytes) -> list[int]:
    """The status of each answer on a connection."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def test_requests_without_waiting_for_answers(port: int) -> None:
    """Are answered in order, refused ones among them."""
    bad = POST + b"Content-Length: 1\r\n\r\n{"
    good = POST + b"Content-Length: %d\r\n\r\n" % len(ROW) + ROW
    assert [200, 400, 200, 404, 200] == statuses(ask(port, PING + bad + good + PING.replace(b"ping", b"none") + LAST))


def test_headers_that_are_too_large_end_the_connection(port: int) -> None:
    """What follows in the same breath gets no answer that could be taken for theirs."""
    large = PING[:-2] + b"X: " + b"a" * module.MAX_HEADERS + b"\r\n\r\n"
    answer = ask(port, large + LAST)
    assert [400] == statuses(answer)
    assert answer.endswith(b"The headers are too large.")


def test_headers_after_a_body_that_are_too_large(port: int) -> None:
    """Likewise."""
    body = b"%x\r\n%b\r\n0\r\n" % (len(ROW), ROW)
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert [200, 200] == statuses(ask(port, head + body + b"X: a\r\n\r\n" + LAST))
    assert [400] == statuses(ask(port, head + body + b"X: aaaaaaaa\r\n" * 10_000 + b"\r\n" + LAST))


def test_a_header_without_end(port: int) -> None:
    """Is refused long before it fills the memory."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET /ping HTTP/1.1\r\nX: ")
        try:
            while sent < 200 * 1024**2:
                client.sendall(b"a" * 65536)
                sent += 65536
        except ConnectionError:
            pass
    assert sent < 50 * 1024**2  # most of it lies in the system's buffers


def test_a_large_body_between_small_headers(port: int) -> None:
    """Is not counted as one, also where the next request comes with its end, in parts."""
    body = ROW + b" " * 500_000
    first = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert [200, 200] == statuses(ask(port, first + LAST[:10], LAST[10:]))


def test_the_offer_of_another_protocol(port: int) -> None:
    """Is declined, as Java's client expects it to be, and the request is answered with its body."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    answer = ask(port, POST + offer + b"Content-Length: %d\r\n\r\n" % len(ROW) + ROW + LAST)
    assert [200, 200] == statuses(answer)
    assert b'{"predictions":[2.0]}' in answer


def test_an_answer_that_nobody_reads(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is given up, and one that is read slowly is not."""
    monkeypatch.setattr(module, "UNREAD_S", 0.5)
    count = 500_000
    body = json.dumps({"dataframe_split": {"columns": ["do", "x"], "data": [["answer", 1 / 3]] * count}}).encode()
    head = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    for reads in (True, False):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.settimeout(60)
            client.connect(("127.0.0.1", port))
            client.sendall(head + body)
            size = 0
            if not reads:
                client.recv(1)
                time.sleep(3)  # as long as it likes: the server gives up on its own
            try:
                while data := client.recv(1024**2):
                    size += len(data)
                    time.sleep(0.001)
            except ConnectionError:
                pass
        assert reads == (size > 15 * count)  # 19 bytes a row; the system buffers 4 MB
