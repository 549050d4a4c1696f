"""What commands print: tables for people, JSON and CSV for programs, and the options that choose.

On a terminal a table is cut to its width and may have colour; in a pipe it is plain, whole, aligned text. Values come
from other people's pushes, so control characters are escaped wherever text is shown.
"""

import functools
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import click

from runstone.cli.table import STATUS_COLORS, print_table
from runstone.cli.table import Column as Column
from runstone.tracking.shown import Kind as Kind
from runstone.tracking.shown import clean as clean
from runstone.tracking.shown import counted as counted
from runstone.tracking.shown import csv_cell, strict
from runstone.tracking.shown import cut as cut
from runstone.tracking.shown import display_width as display_width
from runstone.tracking.shown import format_duration as format_duration
from runstone.tracking.shown import format_iso as format_iso
from runstone.tracking.shown import format_size as format_size
from runstone.tracking.shown import format_value as format_value

Form = Literal["table", "json", "csv"]

DEFAULT_LIMIT = 20
_SORT = "Order by a field, as `name`, or `'name DESC'`; may be repeated."
_FILTER = "Only those that meet a filter; where repeated, all of the filters."
_LIMIT = f"At most so many, 0 for all.  [default: {DEFAULT_LIMIT}; all with --json and --csv]"


# --- options


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`; the command gets `form`, which is `table` or `json`."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @functools.wraps(function)
    def with_form(*arguments: Any, as_json: bool, **options: Any) -> Any:
        return function(*arguments, form="json" if as_json else "table", **options)

    return with_form


def form_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json` and `--csv`; the command gets `form`: `table`, `json` or `csv`."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
    @functools.wraps(function)
    def with_form(*arguments: Any, as_json: bool, as_csv: bool, **options: Any) -> Any:
        if as_json and as_csv:
            raise click.UsageError("--json and --csv cannot be used together.", click.get_current_context())
        return function(*arguments, form="json" if as_json else "csv" if as_csv else "table", **options)

    return with_form


def list_options(*, columns: str, fields: Any = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of a list: the command gets `form`, `columns`, `sort`, `filter_string` and `limit`.

    Args:
        columns: Examples of columns, for the help.
        fields: What completes the name of one.
    """
    which = f"Show these, as `{columns}`; with + before the first, these too."

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @click.option("-c", "--columns", multiple=True, type=fields, metavar="COLUMNS", help=which)
        @click.option("-s", "--sort", multiple=True, type=fields, metavar="FIELD", help=_SORT)
        @click.option("-f", "--filter", "filters", multiple=True, metavar="FILTER", help=_FILTER)
        @click.option("-n", "--limit", type=click.IntRange(min=0), metavar="N", help=_LIMIT)
        @form_options
        @functools.wraps(function)
        def with_list(*arguments: Any, filters: tuple[str, ...], limit: int | None, form: Form, **options: Any) -> Any:
            most = (DEFAULT_LIMIT if form == "table" else 0) if limit is None else limit
            joined = filters[0] if len(filters) == 1 else " AND ".join(f"({each})" for each in filters)
            return function(*arguments, filter_string=joined, limit=most or None, form=form, **options)

        return with_list

    return decorate


def split_columns(given: Iterable[str]) -> tuple[list[str], bool]:
    """The columns of `--columns`, parted at commas outside quotes, and whether they come on top of the usual ones."""
    texts = list(given)
    is_added = bool(texts) and texts[0].startswith("+")
    if is_added:
        texts[0] = texts[0][1:]
    parts = [part.strip() for text in texts for part in re.findall(r"(?:[^,\"'`]|\"[^\"]*\"|'[^']*'|`[^`]*`)+", text)]
    return [part for part in parts if part], is_added


# --- printing


def emit(columns: Sequence[Column], rows: Iterable[Sequence[Any]], form: Form, *, empty: str = "none") -> None:
    """Print rows as the form says.

    Args:
        columns: What the values of a row are.
        rows: The values; None for what is missing.
        form: Which.
        empty: What to say, on standard error, where a table would have no rows.
    """
    if form == "json":
        emit_json([{c.name: _plain(v, c.kind) for c, v in zip(columns, row, strict=True)} for row in rows])
    elif form == "csv":
        _emit_csv(columns, rows)
    else:
        found = list(rows)
        if found:
            print_table(columns, found)
        else:
            hint(empty)


def emit_json(value: Any) -> None:
    """Print a value as JSON; NaN and infinities, which JSON has not, become the texts nan, inf and -inf."""
    click.echo(json.dumps(strict(value), indent=2, ensure_ascii=False, default=str))


def emit_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one a line; those without a value are left out."""
    known = [(name, value) for name, value in facts if value not in (None, "", (), [])]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        click.echo(
            f"{click.style(name.ljust(width), bold=True)}  {value if isinstance(value, Styled) else clean(value)}"
        )


def hint(text: str) -> None:
    """Say something beside the result, on standard error."""
    click.echo(click.style(clean(text), dim=True), err=True)


def hint_more(limit: int | None) -> None:
    """Say that a list was cut; None: at the most that one page may hold."""
    if limit is None:
        hint("Only one page is shown; narrow the filter to see the rest.")
        return
    hint(f"Only the first {counted(limit, 'row')} {'is' if limit == 1 else 'are'} shown; all: `-n 0`.")


def heading(text: str) -> None:
    """Print a heading with an empty line before it."""
    click.echo(f"\n{click.style(text, bold=True)}")


class Styled(str):
    """Text that was cleaned before it was coloured here, so that its own escapes may stand."""

    __slots__ = ()


def styled_status(status: str) -> Styled:
    """A status in its colour."""
    return Styled(click.style(clean(status), fg=STATUS_COLORS.get(status)))


def _plain(value: Any, kind: Kind) -> Any:
    """One value as JSON and CSV hold it."""
    if value is None:
        return None
    if kind in ("time", "age"):
        return format_iso(int(value))
    if kind == "duration":
        return value / 1000
    return value


def _emit_csv(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([csv_cell(column.name) for column in columns])
    for row in rows:
        plain = (_plain(value, column.kind) for value, column in zip(row, columns, strict=True))
        writer.writerow([csv_cell(value) for value in plain])


def on_terminal() -> bool:
    """Whether what is printed goes to a person's screen."""
    return sys.stdout.isatty()
