"""Events sent to a real receiver, which verifies them as MLflow's documentation says."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature

from runstone.errors import UsageError
from runstone.promotion.ci.webhook import Delivery, Target, check_target, deliver, sign
from runstone.registry.history.events import Event
from tests.support import free_port

SECRET = "grün"
EVENTS = [
    Event("model_version_alias", "created", 1_760_000_000_000, {"name": "ä", "alias": "a", "version": str(n)})
    for n in (1, 2, 3)
]


@dataclass
class Receiver:
    """A server on this machine that answers as told, and keeps what it got.

    Attributes:
        answers: Code and headers for each request to come; 204 when there are no more.
        got: Headers and body of each request.
    """

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that takes everything."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.got.append((dict(self.headers.items()), body))
            code, headers = state.answers.pop(0) if state.answers else (204, {})
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            text = b"" if code == 204 else b"no \x1b[31mroom"
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST  # noqa: N815  # as http.server calls it

        def log_message(self, format: str, *arguments: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/hook?key=s3cret"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


def send(url: str, *, secret: str | None = None, **options: Any) -> list[Delivery]:
    """What became of the three events; pauses are short."""
    target = Target(url, secret, **{"pause_s": 0.01, **options})
    check_target(target)
    return list(deliver(target, EVENTS))


def is_genuine(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """As MLflow's page on webhooks has a receiver do it: the content is `<delivery id>.<timestamp>.<payload>`."""
    version, _, signature = headers["X-Mlflow-Signature"].partition(",")
    content = f"{headers['X-Mlflow-Delivery-Id']}.{headers['X-Mlflow-Timestamp']}.{body.decode()}"
    expected = hmac.new(secret.encode(), content.encode(), hashlib.sha256).digest()
    is_fresh = abs(time.time() - int(headers["X-Mlflow-Timestamp"])) < 300
    return version == "v1" and hmac.compare_digest(base64.b64decode(signature), expected) and is_fresh


def test_each_event_arrives_signed_and_in_order(receiver: Receiver) -> None:
    """The receiver verifies it with the secret, and not with another, nor with another body."""
    assert [None, None, None] == [delivery.problem for delivery in send(receiver.url, secret=SECRET)]
    bodies = [json.loads(body) for _, body in receiver.got]
    assert ["1", "2", "3"] == [body["data"]["version"] for body in bodies]
    assert {"entity", "action", "timestamp", "data", "runstone"} == set(bodies[0])
    for headers, body in receiver.got:
        lower = {name.title(): value for name, value in headers.items()}
        assert "application/json" == lower["Content-Type"]
        assert is_genuine(lower, body, SECRET)
        assert not is_genuine(lower, body, "other")
        assert not is_genuine(lower, body.replace(b"alias", b"ALIAS"), SECRET)
        assert lower["X-Mlflow-Delivery-Id"] == json.loads(body)["runstone"]["id"]


def test_the_signature_is_mlflows_own() -> None:
    """By the function that MLflow itself signs with."""
    body = '{"a": "ä"}'
    assert _generate_hmac_signature(SECRET, "id", "123", body) == sign(SECRET, "id", "123", body.encode())


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    """But the delivery id and the timestamp are there."""
    send(receiver.url)
    names = {name.title() for name in receiver.got[0][0]}
    assert "X-Mlflow-Signature" not in names
    assert {"X-Mlflow-Delivery-Id", "X-Mlflow-Timestamp"} < names


def test_a_busy_receiver_is_tried_again(receiver: Receiver) -> None:
    """With the same delivery id, so that what was taken twice is known to be one; then the others follow."""
    receiver.answers = [(503, {"Retry-After": "0"}), (429, {}), (204, {})]
    assert [None, None, None] == [delivery.problem for delivery in send(receiver.url, secret=SECRET)]
    ids = [json.loads(body)["runstone"]["id"] for _, body in receiver.got]
    assert [EVENTS[0].id] * 3 + [EVENTS[1].id, EVENTS[2].id] == ids


def test_a_receiver_that_stays_busy_is_given_up(receiver: Receiver) -> None:
    """After so many attempts; the next event has its own."""
    receiver.answers = [(500, {})] * 2
    first, *others = send(receiver.url, attempts=2)
    assert "it answered 500 Internal Server Error: no \x1b[31mroom" == first.problem
    assert [None, None] == [delivery.problem for delivery in others]


def test_a_refusal_is_not_tried_again(receiver: Receiver) -> None:
    """It would be refused again."""
    receiver.answers = [(403, {})]
    problems = [delivery.problem for delivery in send(receiver.url)]
    assert (3, "it answered 403 Forbidden: no \x1b[31mroom") == (len(receiver.got), problems[0])
    assert [None, None] == problems[1:]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, code: int) -> None:
    """What was signed for one host is not handed to another, and not turned into a GET."""
    receiver.answers = [(code, {"Location": "http://localhost:1/other"})] * 3
    problems = [delivery.problem for delivery in send(receiver.url)]
    assert [f"it answered {code} and points to localhost, which is not followed; name the right URL"] * 3 == problems
    assert 3 == len(receiver.got)


def test_where_nobody_answers_the_rest_is_not_tried() -> None:
    """It would cost as long for each; and the secret part of the URL is not told."""
    url = f"http://127.0.0.1:{free_port()}/hook?key=s3cret"
    first, second, third = (delivery.problem or "" for delivery in send(url, attempts=2))
    assert first.startswith("http://127.0.0.1:")
    assert "does not answer" in first
    assert second == third == f"not tried, since {first}"
    assert "s3cret" not in first


def test_one_that_says_nothing_is_not_waited_for_long() -> None:
    """The time limit holds for each attempt."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        started = time.monotonic()
        assert "does not answer: " in (send(url, attempts=2, timeout_s=0.2)[0].problem or "")
        assert time.monotonic() - started < 5


def refuse(url: str, *, secret: str | None = None) -> Callable[[], None]:
    """A call that checks a URL."""
    return lambda: check_target(Target(url, secret))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://example.org/hook", "http://example.org would carry events in the open. Use https, or, if you trust"),
        ("http://127.0.0.1.evil.org/", "would carry events in the open"),
        ("http://2130706433.evil/", "would carry events in the open"),
        ("file:///etc/passwd", "which this is not"),
        ("ftp://example.org/", "which this is not"),
        ("https:///hook", "which this is not"),
        ("https://example.org:99999999/", "which this is not"),
        ("https://example.org/\r\nX-Evil: 1", "which this is not"),
        ("example.org", "which this is not"),
        ("", "which this is not"),
        ("https://user:pass@example.org/", "holds a user or a password. Sign what is sent instead"),
    ],
)
def test_urls_that_nothing_is_sent_to(url: str, problem: str) -> None:
    """Said before anything is sent, without the rest of the URL."""
    with pytest.raises(UsageError) as caught:
        refuse(url)()
    assert problem in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_urls_that_may_be_sent_to() -> None:
    """This machine by any of its names; others by https, or where the caller says that http will do."""
    for url in ("http://localhost:8080/x", "http://127.0.0.2/", "http://[::1]:1/", "https://example.org/hook?k=v"):
        refuse(url)()
    check_target(Target("http://example.org/"), insecure=True)
    with pytest.raises(UsageError, match="The secret that signs events is empty"):
        refuse("https://example.org/", secret="")()
