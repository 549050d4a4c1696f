"""PyGithub as it is used here: without repetition of its own, and what its exceptions mean."""

import math
from typing import TYPE_CHECKING

from runstone.errors import MissingLibrary
from runstone.promotion.forge.asking import (
    Failure,
    Unreadable,
    explain_requests,
    raised_in,
    seconds_asked,
    spoken,
)
from runstone.promotion.forge.protocol import Patience
from runstone.promotion.forge.servers import Place, api_url

if TYPE_CHECKING:
    from github import Github


def connect(place: Place, patience: Patience) -> "Github":
    """The client of a project's server, with the token that was found for it; asks nothing."""
    try:
        import github
    except ImportError as error:
        raise MissingLibrary("PyGithub", "ask GitHub", "'runstone[github]'") from error

    return github.Github(
        base_url=api_url(place),
        auth=github.Auth.Token(place.token) if place.token else None,
        timeout=math.ceil(patience.timeout_s),
        per_page=100,
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
        user_agent="runstone",
        lazy=True,  # an object asks nothing until something of it is needed
    )


def explain(error: Exception, patience: Patience) -> Failure | None:
    """What an exception of the library means; see `asking.Explain`."""
    import github

    if isinstance(error, Unreadable | github.IncompletableObject):
        return Failure(None, str(error), is_lasting=True)
    if isinstance(error, github.GithubException):
        wait_s = seconds_asked(error.headers)
        data = error.data if isinstance(error.data, dict) else {}
        words = "\n".join(filter(None, (spoken(data.get("message")), _details(data.get("errors")))))
        is_limit = error.status in (403, 429) and (wait_s is not None or "rate limit" in words.lower())
        return Failure(error.status, words or spoken(data.get("data")), wait_s, is_limit)
    if isinstance(error, RuntimeError) and "redirect" in str(error):
        return Failure(None, "it leads to another address, where no token of ours goes", is_lasting=True)
    known = explain_requests(error, patience)
    if known is None and raised_in(error, "github", "json"):
        known = Failure(None, "its answer cannot be read", is_lasting=True)
    return known


def _details(errors: object) -> str:
    """The single errors of a 422: texts, or maps with a message, or with the field and a code."""
    if not isinstance(errors, list):
        return spoken(errors)
    texts = []
    for each in errors:
        if isinstance(each, dict):
            texts.append(str(each.get("message") or f"{each.get('field', '')}: {each.get('code', '')}"))
        else:
            texts.append(str(each))
    return "\n".join(texts)
