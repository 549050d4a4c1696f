"""The list of runs: which columns, and the runs in them, in the three forms."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runstone.cli.output import Column, Form, Kind, emit, emit_json, hint_more, on_terminal, split_columns

if TYPE_CHECKING:
    from runstone.git.repository import Repository
    from runstone.records.run import Run

_AUTOMATIC = 3
"""Metrics that a table shows when nobody names columns."""

_LOOKED_AT = 20
"""Runs whose metrics decide which."""

_FIELDS: dict[str, tuple[str, Kind]] = {
    "id": ("run_id", "id"),
    "name": ("run_name", "text"),
    "experiment": ("experiment_name", "text"),
    "status": ("status", "status"),
    "age": ("start_time", "age"),
    "started": ("start_time", "time"),
    "start_time": ("start_time", "time"),
    "ended": ("end_time", "time"),
    "end_time": ("end_time", "time"),
    "duration": ("duration", "duration"),
}
"""Columns with a name or a look of their own; every other is a field of the filter language, as it stands there."""

_USUAL = ("id", "name", "experiment", "status", "age", "duration")
_METRICS_YIELD = 1
_YIELDING = {"experiment": 2, "age": 3, "duration": 4}
"""Which of the usual columns go first on a narrow terminal: what a metric is tells more than when it was."""


@dataclass(frozen=True, slots=True)
class RunList:
    """Which runs, in which order."""

    experiment_ids: Sequence[str] | None
    filter_string: str
    view: str
    sort: Sequence[str]
    limit: int | None

    def print(self, repo: "Repository", given: Sequence[str], form: Form) -> None:
        """Print the runs.

        Args:
            repo: The repository.
            given: What `--columns` said.
            form: In which form.

        Raises:
            FilterInvalid: The filter, an order or a column cannot be understood.
        """
        from runstone.cli.advice import say_unknown_fields

        names, is_added = split_columns(given)
        fields = [name for name in names if name not in _FIELDS]
        say_unknown_fields(repo, [self.filter_string], self.sort, fields, self.experiment_ids)
        if names and not is_added:
            self._print_columns(repo, [_column(name) for name in names], form)
        elif form == "json":
            from runstone.cli.run_page import run_document

            emit_json([run_document(run) for run in self._runs(repo, self.limit)])
        elif form == "csv":
            self._print_whole_csv(repo)
        else:
            usual = list(_USUAL)
            if self.view == "ALL":
                usual.insert(4, "lifecycle_stage")
            added = [name for name in names if name not in usual]
            columns = [_column(name) for name in [*usual, *added, *self._automatic(repo, names)]]
            self._print_columns(repo, [_yielding(each) if each.name not in names else each for each in columns], form)

    def _print_columns(self, repo: "Repository", columns: Sequence[Column], form: Form) -> None:
        from runstone.index.search import list_runs

        fields: list[str] = []
        for column in columns:
            field, _ = _FIELDS.get(column.name, (column.name, ""))
            fields += ["start_time", "end_time"] if field == "duration" else [field]
        rows = list_runs(
            repo,
            fields,
            experiment_ids=self.experiment_ids,
            filter_string=self.filter_string,
            run_view_type=self.view,
            max_results=None if self.limit is None else self.limit + 1,
            order_by=list(self.sort),
        )
        is_cut = self.limit is not None and len(rows) > self.limit
        shown: list[list[Any]] = [_arrange(row, columns) for row in rows[: self.limit]]
        if form == "table" and on_terminal():
            _shorten_ids(repo, columns, shown)
            columns = _keep_what_differs(columns, shown)
        emit(columns, shown, form, empty=self._nothing(repo))
        if is_cut and form == "table":
            hint_more(self.limit)

    def _nothing(self, repo: "Repository") -> str:
        from runstone.cli.advice import absent_branch

        return absent_branch(repo) or ("There are no such runs." if self.filter_string else "There are no runs yet.")

    def _automatic(self, repo: "Repository", taken: Sequence[str]) -> list[str]:
        """Metrics worth a column: what is sorted by, then what most of the first runs have, in the records' order."""
        from runstone.index.fields import key_field

        sorted_by = [name for name in map(_sorted_metric, self.sort) if name is not None and name not in taken]
        counts: Counter[str] = Counter()
        for run in self._runs(repo, min(self.limit or _LOOKED_AT, _LOOKED_AT)):
            counts.update(key for key in run.metrics)
        common = [key_field("metric", key) for key, _ in counts.most_common()]
        return list(dict.fromkeys([*sorted_by, *(name for name in common if name not in taken)]))[:_AUTOMATIC]

    def _runs(self, repo: "Repository", limit: int | None) -> "list[Run]":
        from runstone.index.search import MAX_RESULTS, search_runs

        found: list[Run] = []
        token = None
        while limit is None or len(found) < limit:
            size = MAX_RESULTS if limit is None else min(limit - len(found), MAX_RESULTS)
            page = search_runs(
                repo, self.experiment_ids, self.filter_string, self.view, size, list(self.sort), page_token=token
            )
            found += page
            token = page.token
            if token is None:
                break
        return found

    def _print_whole_csv(self, repo: "Repository") -> None:
        """One column for each param, metric (its last value) and tag that one of the runs has."""
        found = self._runs(repo, self.limit)
        params = sorted({key for run in found for key in run.params})
        metrics = sorted({key for run in found for key in run.metrics})
        tags = sorted({key for run in found for key in run.tags})
        columns = [
            *(_column(name) for name in ("id", "name", "experiment", "status")),
            Column("user"),
            *(_column(name) for name in ("started", "ended")),
            *(Column(f"params.{key}") for key in params),
            *(Column(f"metrics.{key}", "number") for key in metrics),
            *(Column(f"tags.{key}") for key in tags),
        ]
        rows = (
            [
                *(run.id, run.name, run.experiment, run.status, run.user, run.started, run.ended),
                *(run.params.get(key) for key in params),
                *(run.metrics[key].last if key in run.metrics else None for key in metrics),
                *(run.tags.get(key) for key in tags),
            ]
            for run in found
        )
        emit(columns, rows, "csv")


def _column(name: str) -> Column:
    if name in _FIELDS:
        return Column(name, _FIELDS[name][1])
    is_metric = "metric" in name.partition(".")[0].lower()
    return Column(name, "number" if is_metric else "text")


def _yielding(column: Column) -> Column:
    """A column that nobody named, which may go where a terminal is narrow."""
    is_metric = column.name not in _USUAL and column.kind == "number"
    return replace(column, yields=_YIELDING.get(column.name, _METRICS_YIELD if is_metric else 0))


def _keep_what_differs(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> list[Column]:
    """The columns, the experiment not to go unless it is the same in every row."""
    return [
        replace(each, yields=0) if each.name == "experiment" and len({row[at] for row in rows}) > 1 else each
        for at, each in enumerate(columns)
    ]


def _arrange(row: Sequence[Any], columns: Sequence[Column]) -> list[Any]:
    """The values of one run, its start and end joined to a duration."""
    values, found = iter(row), []
    for column in columns:
        value = next(values)
        if column.kind == "duration":
            ended = next(values)
            value = None if value is None or ended is None else max(0, ended - value)
        found.append(value)
    return found


def _shorten_ids(repo: "Repository", columns: Sequence[Column], rows: list[list[Any]]) -> None:
    from runstone.index.prefix import shortest_prefixes

    for at, column in enumerate(columns):
        if column.kind == "id":
            short = shortest_prefixes(repo, [row[at] for row in rows])
            for row in rows:
                row[at] = short[row[at]]


def _sorted_metric(order: str) -> str | None:
    from runstone.index.fields import RUNS
    from runstone.index.filter import parse_order_by

    field = parse_order_by([order], RUNS)[0].field
    return field.text if field.entity == "metric" else None
