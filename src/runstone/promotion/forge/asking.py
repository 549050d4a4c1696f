"""Asking a forge: again where that may help, and what it says when it does not.

The client libraries' own repetition is turned off: it waits for as long as a server says, up to an hour, and knows
nothing of a call that must not be made twice.
"""

import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar

from runstone.errors import ForgeFailed, RunstoneError
from runstone.promotion.forge.protocol import Patience
from runstone.promotion.forge.servers import Place

T = TypeVar("T")
_MOST_WORDS = 600


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed.

    Attributes:
        status: The HTTP status; None where no answer came, or none that can be read.
        words: What was said.
        wait_s: For how long the forge asks to be left alone.
        is_limit: Whether it has been asked too often.
        is_lasting: Whether asking again is of no use though no status says so.
    """

    status: int | None
    words: str
    wait_s: float | None = None
    is_limit: bool = False
    is_lasting: bool = False

    @property
    def was_refused(self) -> bool:
        """Whether it is certain that nothing was done, and that it may be done later."""
        return self.is_limit or self.status in (429, 503)

    @property
    def is_passing(self) -> bool:
        """Whether the same may be answered soon."""
        return not self.is_lasting and (self.was_refused or self.status is None or self.status >= 500)


Explain = Callable[[Exception], Failure | None]
"""What an exception of a client library means; None if it is none of those, but a bug."""


class Asker:
    """Calls of one client library to one project."""

    def __init__(self, place: Place, patience: Patience, explain: Explain) -> None:
        self.place, self._patience, self._explain = place, patience, explain

    def ask(self, what: str, call: Callable[[], T], *, again: bool = True) -> T:
        """Make a call, several times if need be.

        Args:
            what: What the forge is asked, after `to`.
            call: The call.
            again: Whether it may be made again where nobody knows if it had an effect.

        Raises:
            ForgeFailed: The forge refused, or gave no answer.
        """
        for attempt in itertools.count(1):
            try:
                return call()
            except RunstoneError:
                raise
            except Exception as error:
                failure = self._explain(error)
                if failure is None:
                    raise
            may_help = (again and failure.is_passing) or failure.was_refused
            if not may_help or not self._patience.sleep(attempt, failure.wait_s):
                raise self.failed(what, failure)
        raise AssertionError("unreachable")

    def look(self, what: str, call: Callable[[], T], without: tuple[int, ...] = (401, 403, 404)) -> T | None:
        """As `ask`, of what may be missing or hidden: None where the forge refuses with one of these statuses."""
        try:
            return self.ask(what, call)
        except ForgeFailed as error:
            if error.status not in without:
                raise
            return None

    def attempt(self, what: str, call: Callable[[], T], troubles: list[str]) -> T | None:
        """Make a call that the request does not depend on; what the forge says against it joins the troubles."""
        try:
            return self.ask(what, call)
        except ForgeFailed as error:
            said = " ".join(error.words.split()) or "it gave no answer"
            troubles.append(f"{self.place.name} did not {what}: {said}")
            return None

    def failed(self, what: str, failure: Failure) -> ForgeFailed:
        """The error for a failure: no token is in it, and nothing that moves a terminal's cursor."""
        place = self.place
        words = "".join(c if c.isprintable() or c == "\n" else " " for c in place.hide(failure.words)).strip()
        if words.startswith("<"):  # a page for people, from a proxy mostly
            words = " ".join(re.sub(r"<[^>]*>", " ", words).split())
        words = words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}…"
        return ForgeFailed(place.name, place.url, what, failure.status, words, self._step(failure))

    def _step(self, failure: Failure) -> str:
        place, status = self.place, failure.status
        variable = f"`{place.variable}`" if place.variable else ""
        if failure.is_limit or status == 429:
            when = "later" if failure.wait_s is None else f"in {max(1, round(failure.wait_s / 60))} min"
            more = "" if variable else " More may be asked with a token."
            return f"It has been asked too often. Try again {when}.{more}"
        if status == 401:
            return f"The token in {variable} is not valid, or has expired: make another." if variable else _NO_TOKEN
        if status == 403:
            return f"Give the token in {variable} the right to do this, or use another." if variable else _NO_TOKEN
        if status == 404:
            who = f"the token in {variable}" if variable else "somebody without a token"
            return f"Either there is no such thing, or {who} may not see it. Look: {place.url}"
        if status is None or status >= 500:
            return f"Nothing in git is lost. See that {place.server} can be reached, and try again."
        return f"Look: {place.url}"


_NO_TOKEN = "Set a token that may see the project."


def seconds_asked(headers: Mapping[str, str] | None) -> float | None:
    """How long the headers of an answer ask to wait: seconds, or a date.

    Source: RFC 9110, "Retry-After"; GitHub REST API, "Rate limits" (`x-ratelimit-reset`); GitLab, `RateLimit-Reset`.
    """
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    after = lower.get("retry-after", "").strip()
    if after.isdecimal():
        return float(after[:9])
    if after:
        from email.utils import parsedate_to_datetime

        try:
            moment = parsedate_to_datetime(after)
        except ValueError:
            return None
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time())
    for prefix in ("x-ratelimit", "ratelimit"):
        reset = lower.get(f"{prefix}-reset", "").strip()
        if lower.get(f"{prefix}-remaining", "").strip() == "0" and reset.isdecimal():
            return max(0.0, float(reset[:12]) - time.time())
    return None


def raised_in(error: BaseException, *packages: str) -> bool:
    """Whether an error comes from inside a library: what it cannot read of an answer is no bug of ours."""
    trace: TracebackType | None = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0] in packages


def explain_requests(error: Exception, patience: Patience) -> Failure | None:
    """What an exception of the library `requests`, through which two of the client libraries talk, means."""
    import requests

    if isinstance(error, requests.Timeout):
        return no_answer(patience)
    return Failure(None, str(error)) if isinstance(error, requests.RequestException) else None


def no_answer(patience: Patience) -> Failure:
    """None came in time."""
    return Failure(None, f"no answer in {patience.timeout_s:g} s")


def spoken(message: Any) -> str:
    """A message in JSON as text: GitLab and GitHub send a text, a list, or a map of field to list."""
    if isinstance(message, bytes):
        return message.decode("utf-8", "replace")
    if isinstance(message, list | tuple):
        return "; ".join(filter(None, map(spoken, message)))
    if isinstance(message, dict):
        return "; ".join(f"{key}: {spoken(value)}" for key, value in message.items() if value)
    return "" if message is None else str(message)


class Unreadable(Exception):
    """An answer that is not what the forge's API promises."""


def need(value: Any, kind: type[T], what: str) -> T:
    """A value of an answer that must be of a type."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Unreadable(f"its answer has no {what}")
    return value


def real_mail(mail: Any) -> str | None:
    """A person's address, or None where the forge hides it behind one of its own."""
    if not isinstance(mail, str) or "@" not in mail or not mail.isprintable():
        return None
    local, _, host = mail.rpartition("@")
    hidden = "noreply" in host or "no-reply" in host or local in ("noreply", "no-reply") or host == "localhost"
    return None if hidden else mail


def time_ms(moment: Any) -> int | None:
    """A time of an answer as Unix milliseconds; None if it is none."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return None
    if not isinstance(moment, datetime):
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def object_id(value: Any) -> str | None:
    """A full object id of an answer, or None."""
    from runstone.git.objects import is_object_id

    return value if isinstance(value, str) and is_object_id(value) else None
