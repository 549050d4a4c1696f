"""Searches of small sets that no table holds, as registered models and their versions: row by row, without the index.

A module of its own, since the index, with all that it reads, takes longer to import than a thousand versions to list.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from runstone.index.evaluate import Row, predicate, sort_rows
from runstone.index.fields import Vocabulary
from runstone.index.filter import parse_filter, parse_order_by
from runstone.index.paging import PagedList, check_max_results, page, parse_page_token

T = TypeVar("T")


def search_rows(
    items: Iterable[T],
    describe: Callable[[T], Row],
    vocabulary: Vocabulary,
    *,
    filter_string: str | None = "",
    order_by: Sequence[str] | str | None = None,
    default_order: Sequence[str] = (),
    max_results: int,
    limit: int,
    page_token: str | None = None,
) -> PagedList[T]:
    """One page of a small set that no table holds, as registered models and their versions.

    Args:
        items: All of them.
        describe: What a filter sees of one.
        vocabulary: The attributes it may name.
        filter_string: As in `search_runs`.
        order_by: As in `search_runs`.
        default_order: The order where `order_by` leaves ties, or is empty.
        max_results: Items in the page.
        limit: How many a page may have.
        page_token: `token` of the page before.

    Raises:
        FilterInvalid: The filter or an order cannot be understood.
        InvalidPageToken: No search gave the token out.
    """
    offset = parse_page_token(page_token)
    check_max_results(max_results, limit)
    meets = predicate(parse_filter(filter_string, vocabulary))
    asked = [order_by] if isinstance(order_by, str) else list(order_by or ())
    orders = parse_order_by([*asked, *default_order], vocabulary)
    described = ((item, describe(item)) for item in items)
    kept = {id(row): (item, row) for item, row in described if meets(row)}
    ordered = [kept[id(row)][0] for row in sort_rows([row for _, row in kept.values()], orders)]
    return page(ordered[offset : offset + max_results + 1], max_results, offset)
