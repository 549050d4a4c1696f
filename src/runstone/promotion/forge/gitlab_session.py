"""python-gitlab with a session of our own: it sends the token to one host only, and keeps what Retry-After said.

By itself the library sends the token in a header of its own, which `requests` does not take off when a redirect leads
to another host; and it sleeps for as long as a server says.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from runstone.promotion.forge.asking import (
    Failure,
    Unreadable,
    explain_requests,
    raised_in,
    seconds_asked,
    spoken,
)
from runstone.promotion.forge.protocol import Patience
from runstone.promotion.forge.servers import Place


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


def settings(place: Place, patience: Patience) -> dict[str, Any]:
    """How python-gitlab is to talk to a project's server: with the token that was found for it, in our session."""
    is_job = place.variable == "CI_JOB_TOKEN"
    return {
        "private_token": None if is_job else place.token,
        "job_token": place.token if is_job else None,
        "timeout": patience.timeout_s,
        "user_agent": "runstone",
        "keep_base_url": True,
        "session": OneHost(place.server),
    }


def explain(error: Exception, patience: Patience) -> Failure | None:
    """What an exception of the library or of the session means; see `asking.Explain`."""
    import gitlab

    if isinstance(error, Unreadable | Strayed):
        return Failure(None, str(error), is_lasting=True)
    if isinstance(error, Refused):
        return Failure(error.status, spoken(error.words), seconds_asked(error.headers), error.status == 429)
    if isinstance(error, gitlab.GitlabError) and error.response_code is not None:
        return Failure(error.response_code, spoken(error.error_message))
    if isinstance(error, requests.JSONDecodeError | gitlab.GitlabParsingError):
        return Failure(None, "its answer cannot be read", is_lasting=True)
    known = explain_requests(error, patience)
    if known is None and (isinstance(error, gitlab.GitlabError) or raised_in(error, "gitlab", "json")):
        known = Failure(None, str(error) or "its answer cannot be read", is_lasting=True)
    return known
