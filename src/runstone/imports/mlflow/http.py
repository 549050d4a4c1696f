"""Requests to MLflow's tracking server by the standard library: who asks, trying again, pages, answers as JSON."""

import base64
import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from runstone.errors import RunstoneError
from runstone.imports.mlflow.source import without_credentials

_ATTEMPTS = 5
_TIMEOUT_S = 60.0
_AGAIN = (408, 429, 500, 502, 503, 504)
_MAX_ANSWER = 512 * 1024 * 1024
_TRUE = ("1", "true")
_CHUNK = 1 << 20


class ServerFailed(RunstoneError):
    """A tracking server that cannot be reached, refuses, or answers what is no answer.

    Attributes:
        status: The HTTP status; None if there was no answer.
    """

    def __init__(self, shown: str, why: str, status: int | None = None) -> None:
        self.status = status
        step = ""
        if status in (401, 403):
            step = " Say who you are: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        super().__init__(f"The server {shown} could not be asked: {' '.join(why.split())[:500]}.{step}")


class Server:
    """A tracking server.

    Args:
        uri: Its address; a user and a password in it are those to ask with.
    """

    def __init__(self, uri: str) -> None:
        try:
            parts = urlsplit(uri)
            _ = parts.port
        except ValueError as error:  # it quotes the password, where that has a `/`
            why = "its address is none. Of a password, `/` is written as `%2F`, `[` as `%5B`"
            raise ServerFailed(without_credentials(uri), why) from error
        user, at, host = parts.netloc.rpartition("@")
        self.base = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self.shown = without_credentials(self.base)
        self._host = host
        self._authorization = _authorization(user if at else "")
        self._opener = build_opener(_Redirects(), HTTPSHandler(context=_context()))

    def get(self, path: str, /, **values: Any) -> dict[str, Any]:
        """Ask by GET; what is None is left out."""
        query = urlencode({key: value for key, value in values.items() if value is not None})
        return self._json(f"{path}?{query}" if query else path, None)

    def post(self, path: str, /, **values: Any) -> dict[str, Any]:
        """Ask by POST."""
        return self._json(path, {key: value for key, value in values.items() if value is not None})

    def pages(self, how: str, path: str, key: str, /, **values: Any) -> Iterator[dict[str, Any]]:
        """The items under `key` of all pages of an answer; `how` is `get` or `post`."""
        token: str | None = None
        seen = set()
        while True:
            answer = (
                self.post(path, **values, page_token=token)
                if how == "post"
                else self.get(path, **values, page_token=token)
            )
            items = answer.get(key) or []
            if not isinstance(items, list):
                raise ServerFailed(self.shown, f"{path} answers without a list of {key}")
            yield from (each for each in items if isinstance(each, dict))
            token = answer.get("next_page_token") or None
            if token is None:
                return
            if str(token) in seen:
                raise ServerFailed(self.shown, f"{path} answers again and again that there is more after one place")
            seen.add(str(token))

    def fetch(self, path: str, target: Path, /, **values: str) -> None:
        """Write the bytes of an answer to a file."""
        for attempt in range(_ATTEMPTS):
            try:
                with self._open(f"{path}?{urlencode(values)}" if values else path, None) as answer:
                    with target.open("wb") as file:
                        while piece := answer.read(_CHUNK):
                            file.write(piece)
                    expected = answer.headers.get("Content-Length")
                if expected is None or int(expected) == target.stat().st_size or answer.headers.get("Content-Encoding"):
                    return
                failure = ServerFailed(self.shown, f"{path} was cut short")
            except ServerFailed as error:
                failure = error
                if error.status is not None and error.status not in _AGAIN:
                    raise
            _wait(attempt)
        raise failure

    def _json(self, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        for attempt in range(_ATTEMPTS):
            try:
                with self._open(path, body) as answer:
                    data = answer.read(_MAX_ANSWER + 1)
                if len(data) > _MAX_ANSWER:
                    raise ServerFailed(self.shown, f"{path} answers with more than {_MAX_ANSWER >> 20} MiB", 200)
                document = json.loads(data)
                if isinstance(document, dict):
                    return document
                raise ServerFailed(self.shown, f"{path} answers with no JSON map; it may be no server of MLflow's", 200)
            except (ValueError, RecursionError) as error:
                raise ServerFailed(
                    self.shown, f"{path} answers with no JSON; it may be no server of MLflow's", 200
                ) from error
            except ServerFailed as error:
                failure = error
                if error.status is not None and error.status not in _AGAIN:
                    raise
            _wait(attempt)
        raise failure

    def _open(self, path: str, body: Mapping[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "*/*", "User-Agent": "runstone"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = Request(f"{self.base}{path}", data, headers)  # the scheme was looked at: http or https
        if self._authorization is not None:
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            return self._opener.open(request, timeout=_TIMEOUT_S)
        except HTTPError as error:
            with error:
                raise ServerFailed(self.shown, _told(error), error.code) from error
        except (URLError, OSError, HTTPException, ValueError) as error:  # ValueError: a redirect to no address
            raise ServerFailed(self.shown, str(getattr(error, "reason", None) or error)) from error


class _Redirects(HTTPRedirectHandler):
    """Redirects are followed on the same host alone: what is asked with is for nobody else."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """See `HTTPRedirectHandler`."""
        was, now = urlsplit(req.full_url), urlsplit(newurl)
        if now.netloc != was.netloc or (was.scheme, now.scheme) == ("https", "http"):
            raise HTTPError(req.full_url, code, f"it redirects to {newurl}: name that server", headers, None)
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and req.has_header("Authorization"):
            made.add_unredirected_header("Authorization", str(req.get_header("Authorization")))
        return made


def _authorization(user: str) -> str | None:
    name, _, password = user.partition(":")
    pair = (unquote(name), unquote(password)) if user else None
    if pair is None and os.environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    if pair is not None:
        return "Basic " + base64.b64encode(":".join(pair).encode()).decode()
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return f"Bearer {token}" if token else None


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None)
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in _TRUE:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _told(error: HTTPError) -> str:
    """What the server says of an error, or else the status."""
    try:
        said = json.loads(error.read(1 << 16))["message"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        said = error.reason
    return f"{error.code} {said}"


def _wait(attempt: int) -> None:
    if attempt < _ATTEMPTS - 1:
        time.sleep(min(0.2 * 2**attempt, 5.0))


def quoted(text: str) -> str:
    """A part of a path."""
    return quote(text, safe="")
