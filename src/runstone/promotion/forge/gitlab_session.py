"""The HTTP session that python-gitlab is given: it sends the token to one host only, and keeps what Retry-After said.

The library sends its token in a header of its own, which `requests` does not take off when a redirect leads to another
host; and it sleeps for as long as a server says.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests


class Strayed(Exception):
    """The forge sent us to another host."""


class Refused(Exception):
    """The forge was asked too often, or is in trouble."""

    def __init__(self, status: int, headers: Mapping[str, str], words: Any) -> None:
        self.status, self.headers, self.words = status, headers, words
        super().__init__(f"{status}")


class OneHost(requests.Session):
    """A session that talks to one server."""

    def __init__(self, server: str) -> None:
        super().__init__()
        self._origin = urlsplit(server)[:2]

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send one request; each step of a redirect comes through here.

        Raises:
            Strayed: It would go to another host, or from HTTPS to HTTP.
            Refused: The answer asks to try later.
        """
        origin = urlsplit(request.url or "")[:2]
        if origin != self._origin:
            raise Strayed(f"it leads to {origin[0]!s}://{origin[1]!s}, where no token of ours goes")
        response = super().send(request, **options)
        if response.status_code == 429 or response.status_code >= 500:
            raise Refused(response.status_code, response.headers, _words(response))
        return response


def _words(response: requests.Response) -> Any:
    try:
        said = response.json()
    except ValueError:
        return response.text
    return said.get("message") or said.get("error") or "" if isinstance(said, dict) else said
