"""Searches of logged models, in MLflow's own filter language: few enough that they are looked through one by one."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList
from mlflow.utils.search_utils import SearchUtils

from runstone.errors import MissingLibrary

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Metric

_MAX_RESULTS = 100  # as MLflow's own stores
_BY_NAME = re.compile(r"name = '([^']*)'")
"""What MLflow asks for each `runs:/` URI; its own parser would import its database first, which takes half a second."""

_ATTRIBUTES: dict[str, Callable[["LoggedModel"], Any]] = {
    "model_id": lambda model: model.model_id,
    "experiment_id": lambda model: model.experiment_id,
    "name": lambda model: model.name,
    "artifact_location": lambda model: model.artifact_location,
    "creation_timestamp_ms": lambda model: model.creation_timestamp,
    "last_updated_timestamp_ms": lambda model: model.last_updated_timestamp,
    "status": lambda model: model.status.value,
    "model_type": lambda model: model.model_type,
    "source_run_id": lambda model: model.source_run_id,
}
_ALIASES = {
    "creation_time": "creation_timestamp_ms",
    "creation_timestamp": "creation_timestamp_ms",
    "last_updated_timestamp": "last_updated_timestamp_ms",
}


@dataclass(frozen=True, slots=True)
class Query:
    """A search that was read and checked.

    Attributes:
        comparisons: What models must meet, as MLflow parses it.
        datasets: On one of which a metric was measured; all if there is none.
        orders: Keys, the most significant one first, each with whether it goes down.
        offset: Models to leave out at the beginning.
        limit: Models in the page.
        token: The token of the next page.
        needs_metrics: Whether filter, datasets or order ask for metrics.
    """

    comparisons: Sequence["_Comparison"]
    datasets: Sequence[dict[str, Any]]
    orders: Sequence[tuple[Callable[["LoggedModel"], Any], bool]]
    offset: int
    limit: int
    token: str
    needs_metrics: bool

    def page(
        self, models: Iterable["LoggedModel"], measure: Callable[["LoggedModel"], None]
    ) -> "PagedList[LoggedModel]":
        """The page of those models that are searched for.

        Args:
            models: All of them, as yet without metrics.
            measure: Gives a model its metrics; called of no more models than it takes.
        """
        plain = [comparison for comparison in self.comparisons if comparison.kind != "metrics"]
        found = [model for model in models if all(self._holds(comparison, model) for comparison in plain)]
        if self.needs_metrics:
            for model in found:
                measure(model)
            found = [model for model in found if self._meets(model)]
        found.sort(key=lambda model: model.model_id)
        found.sort(key=lambda model: model.creation_timestamp, reverse=True)
        for key, descending in reversed(self.orders):
            with_value = [model for model in found if key(model) is not None]
            with_value.sort(key=key, reverse=descending)
            found = with_value + [model for model in found if key(model) is None]
        page = found[self.offset : self.offset + self.limit]
        for model in [] if self.needs_metrics else page:
            measure(model)
        return PagedList(page, self.token if len(found) > self.offset + self.limit else None)

    def _meets(self, model: "LoggedModel") -> bool:
        has_metrics = any(comparison.kind == "metrics" for comparison in self.comparisons)
        if self.datasets and not has_metrics and not any(self._is_on(metric) for metric in model.metrics or ()):
            return False
        return all(self._holds(comparison, model) for comparison in self.comparisons)

    def _holds(self, comparison: "_Comparison", model: "LoggedModel") -> bool:
        kind, key = comparison.kind, comparison.key
        if kind == "metrics":
            metrics = (metric for metric in model.metrics or () if metric.key == key and self._is_on(metric))
            values = [metric.value for metric in metrics]
        elif kind == "attributes":
            values = [_attribute(key)(model)]
        else:
            values = [(model.tags if kind == "tags" else model.params).get(key)]
        compare = SearchUtils.get_comparison_func(comparison.operator)
        return any(value is not None and compare(value, comparison.value) for value in values)

    def _is_on(self, metric: "Metric") -> bool:
        return not self.datasets or any(
            metric.dataset_name == each["dataset_name"]
            and ("dataset_digest" not in each or metric.dataset_digest == each["dataset_digest"])
            for each in self.datasets
        )


class _Comparison(NamedTuple):
    """One condition of a filter: of `attributes`, `metrics`, `params` or `tags`."""

    kind: str
    key: str
    operator: str
    value: Any


def parse(
    experiment_ids: list[str],
    filter_string: str | None,
    datasets: list[dict[str, Any]] | None,
    max_results: int | None,
    order_by: list[dict[str, Any]] | None,
    page_token: str | None,
) -> Query:
    """Read a search.

    Raises:
        MlflowException: A part of it cannot be understood, or the token is of another search.
    """
    from mlflow.utils.search_utils import SearchLoggedModelsPaginationToken as Token  # since MLflow 3

    if datasets and not all(each.get("dataset_name") for each in datasets):
        raise MlflowException.invalid_parameter_value(
            "`dataset_name` in the `datasets` clause must be specified.",
        )
    offset = 0
    if page_token:
        try:
            token = Token.decode(page_token)
        except (ValueError, TypeError, AttributeError):  # what is no token at all MLflow reads no further
            raise MlflowException.invalid_parameter_value(f"Invalid page token: {page_token!r:.80}") from None
        token.validate(experiment_ids, filter_string, order_by)
        offset = token.offset
    limit = max_results or _MAX_RESULTS
    after = Token(
        offset=offset + limit, experiment_ids=experiment_ids, filter_string=filter_string, order_by=order_by
    ).encode()
    comparisons = _comparisons(filter_string)
    orders = [(_order_key(each), not each.get("ascending", True)) for each in order_by or ()]
    fields = [comparison.kind for comparison in comparisons] + [str(each.get("field_name")) for each in order_by or ()]
    needs_metrics = bool(datasets) or any(field.startswith("metrics") for field in fields)
    return Query(comparisons, datasets or (), orders, offset, limit, after, needs_metrics)


def _comparisons(filter_string: str | None) -> list[_Comparison]:
    if not filter_string:
        return []
    plain = _BY_NAME.fullmatch(filter_string)
    if plain is not None:
        return [_Comparison("attributes", "name", "=", plain[1])]
    try:
        from mlflow.utils.search_logged_model_utils import parse_filter_string
    except ModuleNotFoundError as error:
        raise MissingLibrary(str(error.name), "filter logged models", "sqlalchemy") from error
    parsed = parse_filter_string(filter_string)
    found = [_Comparison(each.entity.type.value, each.entity.key, each.op, each.value) for each in parsed]
    for comparison in found:
        if comparison.kind == "attributes":
            _attribute(comparison.key)
    return found


def _attribute(key: str) -> Callable[["LoggedModel"], Any]:
    found = _ATTRIBUTES.get(_ALIASES.get(key, key))
    if found is None:
        known = ", ".join([*_ATTRIBUTES, *_ALIASES])
        raise MlflowException.invalid_parameter_value(f"Logged models have no attribute {key!r}, but: {known}.")
    return found


def _order_key(order: dict[str, Any]) -> Callable[["LoggedModel"], Any]:
    field = str(order.get("field_name"))
    entity, dot, metric = field.partition(".")
    if not dot:
        try:
            return _attribute(field)
        except MlflowException:
            raise MlflowException.invalid_parameter_value(f"Invalid order by field name: {field}") from None
    if entity != "metrics":
        raise MlflowException.invalid_parameter_value(
            f"Invalid order by field name: {field}. Only metrics are supported."
        )
    name, digest = order.get("dataset_name"), order.get("dataset_digest")

    def latest(model: "LoggedModel") -> float | None:
        found = [
            each
            for each in model.metrics or ()
            if each.key == metric
            and (not name or each.dataset_name == name)
            and (not digest or each.dataset_digest == digest)
        ]
        if not found:
            return None
        last = max((each.timestamp, each.step) for each in found)
        value = min((each.run_id, each.value) for each in found if (each.timestamp, each.step) == last)[1]
        return None if value != value else value  # NaN has no place in an order

    return latest
