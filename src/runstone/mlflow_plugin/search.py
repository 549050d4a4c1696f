"""MLflow's filters and orders, read and checked by MLflow's own code, as those of the index: SQLite does the work.

Where the two languages differ in meaning, MLflow's counts here: a param is compared, and sorted, as text; a metric is
the value with the latest step, time and value; what a record has a field for is found by the tag that MLflow gives it.
"""

from collections.abc import Sequence
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.tracking import SEARCH_MAX_RESULTS_THRESHOLD
from mlflow.utils.search_utils import SearchExperimentsUtils, SearchUtils

from runstone.index.fields import Entity, Field, Kind
from runstone.index.filter import And, Comparison, Filter, Or, Order, Value
from runstone.mlflow_plugin.entities import FIELD_TAGS, MADE_FOR_MODEL, NAME_TAG, NOTE_TAG
from runstone.mlflow_plugin.place import Place

_ATTRIBUTES: dict[str, Kind] = {
    "run_id": "text",
    "run_name": "text",
    "status": "text",
    "user_id": "text",
    "start_time": "time",
    "end_time": "time",
}
_HUGE = 2**63
"""The first number that SQLite has no integer for."""
_IS_MADE_BY_USER = Comparison(Field("tag", MADE_FOR_MODEL, "text"), "NULL", False, ())


def check_max_results(max_results: int | None, *, allow_null: bool = False) -> None:
    """Refuse a size of page as MLflow's SQL store does."""
    if max_results is None and allow_null:
        return
    problem = None
    if max_results is None or max_results < 1:
        problem = "a positive integer"
    elif max_results > SEARCH_MAX_RESULTS_THRESHOLD:
        problem = f"at most {SEARCH_MAX_RESULTS_THRESHOLD}"
    if problem is not None:
        raise MlflowException(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be {problem}",
            INVALID_PARAMETER_VALUE,
        )


def page_offset(page_token: str | None) -> int:
    """Where a page begins. What is no token is refused, also where MLflow's own reader of them breaks down."""
    try:
        offset = int(SearchUtils.parse_start_offset_from_page_token(page_token))
    except (ValueError, TypeError, AttributeError):
        offset = -1
    if not 0 <= offset < _HUGE:
        raise MlflowException(f"Invalid page token: {page_token!r:.80}", INVALID_PARAMETER_VALUE)
    return offset


def check_experiment_filter(filter_string: str | None) -> None:
    """Refuse what a filter of experiments cannot say, whether there is anything to filter or not."""
    utils = SearchExperimentsUtils
    for clause in utils.parse_search_filter(filter_string):
        type_, key, operator, value = _clause(clause)
        if utils.is_numeric_attribute(type_, key, operator):
            if isinstance(value, float) or not str(value).lstrip("+-").isdecimal():  # MLflow 2 reads it as text
                problem = f"Invalid value for numeric attribute '{key}': {value!r}"
                raise MlflowException(problem, INVALID_PARAMETER_VALUE)
        elif not utils.is_string_attribute(type_, key, operator) and not utils.is_tag(type_, operator):
            raise MlflowException(f"Invalid search expression type '{type_}'", INVALID_PARAMETER_VALUE)
        elif operator in ("IN", "NOT IN") and key != "experiment_id":
            raise MlflowException(f"Invalid comparator for string attribute: {operator}", INVALID_PARAMETER_VALUE)


def run_filter(filter_string: str | None, place: Place) -> Filter:
    """A filter of runs, as the index takes it; runs that exist only to hold a logged model never meet it."""
    clauses = [_condition(clause, place) for clause in SearchUtils.parse_search_filter(filter_string)]
    return And((_IS_MADE_BY_USER, *clauses))


def run_orders(order_by: Sequence[str] | None, place: Place) -> tuple[Order, ...]:
    """The orders of a search of runs, as the index takes them."""
    seen = set()
    orders = []
    for text in order_by or ():
        type_, key, is_ascending = SearchUtils.parse_order_by_for_search_runs(text)
        key = SearchUtils.translate_key_alias(key)
        if (type_, key) in seen:  # MLflow gives this one no code
            raise MlflowException(f"`order_by` contains duplicate fields: {order_by}")
        seen.add((type_, key))
        if type_ == "dataset":
            raise MlflowException(f"Invalid identifier type '{type_}'", INVALID_PARAMETER_VALUE)
        orders.append(Order(_field(type_, key, place), not is_ascending))
    return tuple(orders)


def _condition(clause: dict[str, Any], place: Place) -> Filter:
    type_, key, operator, value = _clause(clause)
    key = SearchUtils.translate_key_alias(key)
    _check_operator(type_, key, operator)
    if type_ == "metric" or (isinstance(value, int) and not -_HUGE < value < _HUGE):
        value = float(value)
    negated = operator == "!=" or operator.startswith("NOT ") or operator == "IS NOT NULL"
    plain = {"!=": "=", "IS NULL": "NULL", "IS NOT NULL": "NULL"}.get(operator, operator.removeprefix("NOT "))
    values: tuple[Value, ...] = () if plain == "NULL" else tuple(value) if isinstance(value, list | tuple) else (value,)
    field = _field(type_, key, place)
    condition = Comparison(field, plain, negated, values)
    if type_ != "tag" or key not in FIELD_TAGS:
        return condition
    # The tag, if somebody set it; else what the record's own field says.
    shown = Comparison(Field("attribute", FIELD_TAGS[key], "text"), plain, negated, values)
    is_unset = Comparison(field, "NULL", False, ())
    if plain == "NULL":
        return And((condition, shown)) if not negated else Or((condition, shown))
    return Or((condition, And((is_unset, shown))))


def _clause(clause: dict[str, Any]) -> tuple[str, str, str, Any]:
    return clause["type"], clause["key"], clause["comparator"].upper(), clause.get("value")


def _check_operator(type_: str, key: str, operator: str) -> None:
    """Have MLflow refuse an operator that does not go with what it compares."""
    known = (
        SearchUtils.is_string_attribute(type_, key, operator)
        or SearchUtils.is_numeric_attribute(type_, key, operator)
        or SearchUtils.is_metric(type_, operator)
        or SearchUtils.is_param(type_, operator)
        or SearchUtils.is_tag(type_, operator)
        or SearchUtils.is_dataset(type_, operator)
    )
    if not known:
        raise MlflowException(f"Invalid search expression type '{type_}'", INVALID_PARAMETER_VALUE)


def _field(type_: str, key: str, place: Place) -> Field:
    if type_ == "attribute":
        if key == "artifact_uri":
            return Field("attribute", key, "text", expression=_artifact_uri(place))
        return Field("attribute", key, _ATTRIBUTES[key])
    if type_ == "tag" and key == NAME_TAG:
        return Field("attribute", "run_name", "text")
    if type_ == "tag" and key == NOTE_TAG:
        return Field("attribute", "note", "text", expression="(SELECT text FROM note WHERE path = r.path)")
    if type_ == "metric":
        return Field("metric", key, "number", "latest")
    entity: Entity = {"parameter": "param", "tag": "tag", "dataset": "dataset"}[type_]  # type: ignore[assignment]  # one of these
    return Field(entity, key, "text")


def _artifact_uri(place: Place) -> str:
    """SQL that makes the URI of a run's artifacts, as `Place.run_uri` does; the text of the place is quoted."""
    root, query = (text.replace("'", "''") for text in (place.root, place.query))
    return f"('{root}/' || r.experiment_id || '/' || r.id || '/artifacts{query}')"
