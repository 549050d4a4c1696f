"""Send events to whoever waits for them, over HTTP, signed as MLflow signs its webhooks, so that one receiver verifies
both.

What is sent is `{entity, action, timestamp, data, runstone}` as JSON. With a secret, `X-MLflow-Signature` is `v1,` and
the Base64 of HMAC-SHA256 over `<delivery id>.<timestamp>.<body>`.

Source: MLflow 3.17, `mlflow.webhooks.delivery` and its page on verifying webhooks.
"""

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import IO
from urllib.parse import SplitResult, urlsplit

from runstone.errors import UsageError
from runstone.registry.history.events import Event

_RETRIED = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_PAUSE_S = 30.0
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Target:
    """Where events go.

    Attributes:
        url: The receiver.
        secret: Signs what is sent; nothing is signed without.
        timeout_s: How long one attempt may take.
        attempts: How often one event is tried.
        pause_s: How long after the first attempt the second follows; each further pause is twice as long.
    """

    url: str
    secret: str | None = None
    timeout_s: float = 10.0
    attempts: int = 4
    pause_s: float = 1.0

    @property
    def shown(self) -> str:
        """Scheme and host: the rest of such a URL is often a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one event.

    Attributes:
        event: The event.
        problem: Why it was not delivered; None if it was.
    """

    event: Event
    problem: str | None = None


def check_target(target: Target, *, insecure: bool = False) -> None:
    """Refuse a URL to which nothing should be sent.

    Args:
        target: The target.
        insecure: Whether `http:` will do for another machine than this one.

    Raises:
        UsageError: It is no such URL, or would carry what is sent in the open.
    """
    try:
        parts = urlsplit(target.url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = SplitResult("", "", "", "", ""), None
    if parts.scheme not in ("http", "https") or not host or not target.url.isprintable() or " " in target.url:
        raise UsageError("Events go to a URL such as https://example.org/hook, which this is not.")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"The URL of {host} holds a user or a password. Sign what is sent instead: `--secret-env NAME`"
        )
    if parts.scheme == "http" and not _is_loopback(host) and not insecure:
        raise UsageError(
            f"http://{host} would carry events in the open. Use https, or, if you trust the way there: `--insecure`"
        )
    if target.secret == "":
        raise UsageError("The secret that signs events is empty.")


def deliver(target: Target, events: Iterable[Event]) -> Iterator[Delivery]:
    """Send events one after another, in their order, each until it is taken or its attempts are used up.

    Where a receiver cannot be reached at all, the rest is not tried: each would cost as long.

    Args:
        target: Where to, checked.
        events: What.

    Returns:
        What became of each.
    """
    opener = _opener(urlsplit(target.url).hostname or "")
    gone = ""
    for event in events:
        if gone:
            yield Delivery(event, f"not tried, since {gone}")
            continue
        problem, is_away = _send(opener, target, event)
        gone = problem or "" if is_away else ""
        yield Delivery(event, problem)


def sign(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """The value of `X-MLflow-Signature`."""
    content = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()


def _send(opener: urllib.request.OpenerDirector, target: Target, event: Event) -> tuple[str | None, bool]:
    """Why an event was not delivered, and whether that is because nobody answers there."""
    body = json.dumps(event.to_document()).encode()
    pause, problem, is_away = target.pause_s, "no attempt was made", False
    for attempt in range(target.attempts):
        if attempt:
            time.sleep(min(pause, _LONGEST_PAUSE_S))
            pause *= 2
        try:
            with opener.open(_request(target, event.id, body), timeout=target.timeout_s) as answer:
                answer.read(_SHOWN)
            return None, False
        except urllib.error.HTTPError as error:
            with error:
                problem, is_away = _refusal(error), False
            if error.code not in _RETRIED:
                break
            pause = max(pause, _asked_pause(error.headers))
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            problem, is_away = f"{target.shown} does not answer: {getattr(error, 'reason', None) or error!r}", True
    return problem, is_away


def _request(target: Target, delivery_id: str, body: bytes) -> urllib.request.Request:
    """A request of its own for each attempt: receivers refuse timestamps that are old."""
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "runstone",
        "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": timestamp,
    }
    if target.secret is not None:
        headers["X-MLflow-Signature"] = sign(target.secret, delivery_id, timestamp, body)
    return urllib.request.Request(target.url, data=body, headers=headers, method="POST")


def _refusal(error: urllib.error.HTTPError) -> str:
    if 300 <= error.code < 400:
        where = urlsplit(error.headers.get("Location") or "").hostname or "elsewhere"
        return f"it answered {error.code} and points to {where}, which is not followed; name the right URL"
    try:
        said = error.read(_SHOWN).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException):
        said = ""
    return f"it answered {error.code} {error.reason}" + (f": {said}" if said else "")


def _asked_pause(headers: Message) -> float:
    asked = (headers.get("Retry-After") or "").strip()
    return float(asked) if asked.isdigit() and len(asked) < 6 else 0.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: what was signed for one host is not handed to another."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Follow none."""
        return


def _opener(host: str) -> urllib.request.OpenerDirector:
    """With the proxies of the environment, but for this machine itself."""
    proxies = urllib.request.ProxyHandler({}) if _is_loopback(host) else urllib.request.ProxyHandler()
    return urllib.request.build_opener(proxies, _NoRedirects())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
