"""Gitea's and Forgejo's REST API, through the standard library.

Of the client libraries, py-gitea (0.3) knows no pull requests, and pyforgejo (2.0) loads a `.env` file of the current
folder into the process's environment when it is imported: in a project that others wrote, that could name another
server for the token. The few calls that are needed are JSON over HTTP.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

_MOST_BYTES = 50_000_000
_PAGE = 50  # what Gitea gives at most, unless its administrator says otherwise
_MOST_PAGES = 200


class Refused(Exception):
    """An answer with a status that is no success."""

    def __init__(self, status: int, headers: Mapping[str, str], words: Any) -> None:
        self.status, self.headers, self.words = status, headers, words
        super().__init__(f"{status}")


class Unreadable(Exception):
    """An answer that is not JSON, or a redirect that leads elsewhere."""


class GiteaApi:
    """One server, and one token for it."""

    def __init__(self, api: str, token: str | None, timeout_s: float) -> None:
        self._api, self._token, self._timeout_s = api, token, timeout_s
        self._opener = build_opener(_SameHost())

    def get(self, path: str, **query: str | int) -> Any:
        """What is at a path."""
        return self._call("GET", path, query=query)[0]

    def pages(self, path: str, **query: str | int) -> Iterator[dict[str, Any]]:
        """All items of a list, page after page as long as the server says that there is a next one."""
        for page in range(1, _MOST_PAGES + 1):
            items, headers = self._call("GET", path, query={**query, "limit": _PAGE, "page": page})
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise Unreadable("its answer is no list")
            yield from items
            if not items or 'rel="next"' not in headers.get("Link", ""):
                return

    def send(self, verb: str, path: str, document: Mapping[str, Any]) -> Any:
        """Send a document; what came back."""
        return self._call(verb, path, body=json.dumps(document).encode())[0]

    def _call(
        self, verb: str, path: str, *, query: Mapping[str, str | int] | None = None, body: bytes | None = None
    ) -> tuple[Any, Mapping[str, str]]:
        url = f"{self._api}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "User-Agent": "runstone"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = Request(url, data=body, headers=headers, method=verb)  # the scheme was checked
        if self._token is not None:
            request.add_unredirected_header("Authorization", f"token {self._token}")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return _read(answer.read(_MOST_BYTES)), answer.headers
        except HTTPError as error:
            with error:
                raise Refused(error.code, dict(error.headers.items()), _words(error.read(10_000))) from None


class _SameHost(HTTPRedirectHandler):
    """Follows redirects on one server only, and with the token, which is not sent along by itself."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """The request that a redirect asks for."""
        if urlsplit(req.full_url)[:2] != urlsplit(newurl)[:2]:
            there = urlsplit(newurl)
            raise Unreadable(f"it leads to {there.scheme}://{there.hostname}, where no token of ours goes")
        followed = super().redirect_request(req, fp, code, msg, headers, newurl)
        if followed is not None and "Authorization" in req.unredirected_hdrs:
            followed.add_unredirected_header("Authorization", req.unredirected_hdrs["Authorization"])
        return followed


def _read(text: bytes) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("its answer cannot be read") from None


def _words(text: bytes) -> Any:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(said, dict):
        return said
    # `errors` says more, where there is any; `url` is the address of the API's manual.
    return [said.get("message"), *(said.get("errors") or [])]
