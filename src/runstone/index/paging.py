"""Pages of results, and the tokens that lead from one to the next."""

import base64
import binascii
import json
from collections.abc import Iterable
from typing import TypeVar

from runstone.errors import InvalidPageToken, UsageError

T = TypeVar("T")


class PagedList(list[T]):
    """One page of results.

    Attributes:
        token: What to pass as `page_token` for the next page; None on the last one.
    """

    def __init__(self, items: Iterable[T] = (), token: str | None = None) -> None:
        super().__init__(items)
        self.token = token


def check_max_results(max_results: int, limit: int) -> None:
    """Refuse a size of page that is no number from 1 to `limit`; raises `UsageError`."""
    if isinstance(max_results, bool) or not isinstance(max_results, int) or not 1 <= max_results <= limit:
        raise UsageError(
            f"max_results must be a whole number from 1 to {limit}, but is {max_results!r}. "
            "Read more page by page: pass the `token` of one page as `page_token` of the next."
        )


def page(items: list[T], max_results: int, offset: int) -> PagedList[T]:
    """A page from its items and, where there is a next page, one more."""
    token = format_page_token(offset + max_results) if len(items) > max_results else None
    return PagedList(items[:max_results], token)


def format_page_token(offset: int) -> str:
    """The token of the page that begins after `offset` results, in MLflow's own form."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()


def parse_page_token(token: str | None) -> int:
    """The inverse of `format_page_token`; 0 for no token."""
    if not token:
        return 0
    try:
        offset = json.loads(base64.b64decode(token, validate=True))["offset"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise InvalidPageToken(str(token)) from None
    if type(offset) is not int or not 0 <= offset < 1 << 62:
        raise InvalidPageToken(str(token))
    return offset
