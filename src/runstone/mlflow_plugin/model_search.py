"""MLflow's searches of registered models and versions: its own parser, the meaning that its SQL store gives it.

Prompts, which MLflow keeps as models with a tag, are found only by a filter that asks for them.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cmp_to_key
from typing import Any, TypeVar

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry import (
    SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD,
    SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD,
)
from mlflow.utils.search_utils import SearchModelUtils, SearchModelVersionUtils, SearchUtils

from runstone.mlflow_plugin.model_entities import PROMPT_TAG, is_prompt
from runstone.mlflow_plugin.search import page_offset

Clause = dict[str, Any]
T = TypeVar("T")

_TEXT = ("=", "!=", "LIKE", "ILIKE")
_LISTS = ("IN", "NOT IN")
_NAMES_OF = {"source_path": "source", "version_number": "version"}
_VERSION_ORDER = ("last_updated_timestamp DESC", "name ASC", "version_number DESC")


def search_models(
    models: Iterable[RegisteredModel],
    filter_string: str | None,
    max_results: int,
    order_by: Sequence[str] | None,
    page_token: str | None,
) -> "PagedList[RegisteredModel]":
    """One page of the models that meet a filter."""
    _check_most(max_results, SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD)
    clauses = SearchModelUtils.parse_search_filter(filter_string)
    orders = [_order_of_models(each) for each in order_by or ()]
    _refuse_twice(orders, order_by)
    for clause in clauses:
        _check_model_clause(clause)
    offset = page_offset(page_token)
    clauses, wants_prompts = _split_prompts(clauses)
    found = [
        model
        for model in models
        if (wants_prompts or not is_prompt(model._tags)) and _meets(clauses, model, model._tags)
    ]
    return _page(_ordered(found, [*orders, ("name", True)]), offset, max_results)


def search_versions(
    versions: Iterable[ModelVersion],
    filter_string: str | None,
    max_results: Any,
    order_by: Sequence[str] | None,
    page_token: str | None,
) -> "PagedList[ModelVersion]":
    """One page of the versions that meet a filter."""
    if not isinstance(max_results, int) or max_results < 1:
        raise _invalid(f"Invalid value for max_results. It must be a positive integer, but got {max_results}")
    _check_most(max_results, SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD)
    clauses = [_checked(clause) for clause in SearchModelVersionUtils.parse_search_filter(filter_string)]
    orders = [_order_of_versions(each) for each in order_by or _VERSION_ORDER]
    _refuse_twice(orders, order_by)
    offset = page_offset(page_token)
    clauses, wants_prompts = _split_prompts(clauses)
    every = list(versions)
    prompts = set() if wants_prompts else {each.name for each in every if is_prompt(each._tags)}
    found = [each for each in every if each.name not in prompts and _meets(clauses, each, each._tags)]
    return _page(_ordered(found, [*orders, ("name", True), ("version", False)]), offset, max_results)


def one_name(filter_string: str | None) -> str | None:
    """The model that a filter of versions asks for, so that no other one need be read; None if it may mean several."""
    for clause in SearchModelVersionUtils.parse_search_filter(filter_string):
        if clause["type"] == "attribute" and clause["key"] == "name" and clause["comparator"] == "=":
            return str(clause["value"])
    return None


# --- inside


def _check_most(max_results: int, most: int) -> None:
    if max_results > most:
        raise _invalid(
            f"Invalid value for request parameter max_results. It must be at most {most}, but got value {max_results}"
        )


def _check_model_clause(clause: Clause) -> None:
    allowed = _TEXT if clause["type"] == "tag" else (*_TEXT, *_LISTS)
    if clause["type"] == "attribute" and clause["key"] != "name":
        raise _invalid(f"Invalid attribute name: {clause['key']}")
    if clause["comparator"] not in allowed:
        raise _invalid(f"Invalid comparator for {clause['type']}: {clause['comparator']}")


def _checked(clause: Clause) -> Clause:
    """A clause about versions, its value a number where it is compared with one."""
    kind, key, comparator = clause["type"], clause["key"], clause["comparator"]
    if kind == "tag":
        if comparator not in _TEXT:
            raise _invalid(f"Invalid comparator for tag: {comparator}")
        return clause
    if key not in SearchModelVersionUtils.VALID_SEARCH_ATTRIBUTE_KEYS:
        raise _invalid(f"Invalid attribute name: {key}")
    if key in SearchModelVersionUtils.NUMERIC_ATTRIBUTES:
        if comparator not in SearchModelVersionUtils.VALID_NUMERIC_ATTRIBUTE_COMPARATORS:
            raise _invalid(f"Invalid comparator for attribute {key}: {comparator}")
        try:
            if isinstance(clause["value"], float):
                raise TypeError
            return {**clause, "value": int(clause["value"])}
        except (TypeError, ValueError):
            raise _invalid(f"Invalid value for numeric attribute '{key}': {clause['value']!r}") from None
    if comparator not in (*_TEXT, *_LISTS) or (comparator in _LISTS and key not in ("run_id", "name")):
        raise _invalid(f"Invalid comparator for attribute: {comparator}")
    return clause


def _split_prompts(clauses: list[Clause]) -> tuple[list[Clause], bool]:
    """The clauses to be met, and whether prompts are asked for; if not, what is said of their tag is of no matter."""
    said = next((each for each in clauses if each["type"] == "tag" and each["key"] == PROMPT_TAG), None)
    if said is not None and (said["comparator"], said["value"].lower()) in (("=", "true"), ("!=", "false")):
        return clauses, True
    return [each for each in clauses if each["type"] != "tag" or each["key"] != PROMPT_TAG], False


def _meets(clauses: Iterable[Clause], found: Any, tags: dict[str, str]) -> bool:
    return all(_is_met(clause, found, tags) for clause in clauses)


def _is_met(clause: Clause, found: Any, tags: dict[str, str]) -> bool:
    key = str(clause["key"])
    value = tags.get(key) if clause["type"] == "tag" else getattr(found, _NAMES_OF.get(key, key))
    return value is not None and bool(SearchUtils.get_comparison_func(clause["comparator"])(value, clause["value"]))


def _order_of_models(text: str) -> tuple[str, bool]:
    key, is_ascending = SearchUtils.parse_order_by_for_search_registered_models(text)
    return ("name" if key == "name" else "last_updated_timestamp"), is_ascending


def _order_of_versions(text: str) -> tuple[str, bool]:
    _, key, is_ascending = SearchModelVersionUtils.parse_order_by_for_search_model_versions(text)
    if key not in SearchModelVersionUtils.VALID_ORDER_BY_ATTRIBUTE_KEYS:
        known = SearchModelVersionUtils.VALID_ORDER_BY_ATTRIBUTE_KEYS
        raise _invalid(f"Invalid order by key '{key}' specified. Valid keys are {known}")
    return _NAMES_OF.get(key, key), is_ascending


def _refuse_twice(orders: Collection[tuple[str, bool]], order_by: Sequence[str] | None) -> None:
    if len({key for key, _ in orders}) < len(orders):
        raise MlflowException(f"`order_by` contains duplicate fields: {order_by}")


def _ordered(found: list[T], orders: Sequence[tuple[str, bool]]) -> list[T]:
    """By the first order, equals by the next …; what has no value comes first, as in SQLite."""

    def compare(one: T, other: T) -> int:
        for key, is_ascending in orders:
            left, right = getattr(one, key), getattr(other, key)
            if left != right:
                is_less = left is None or (right is not None and left < right)
                return -1 if is_less == is_ascending else 1
        return 0

    key: Callable[[T], Any] = cmp_to_key(compare)
    return sorted(found, key=key)


def _page(found: list[T], offset: int, max_results: int) -> "PagedList[T]":
    end = offset + max_results
    token = SearchUtils.create_page_token(end) if len(found) > end else None
    return PagedList(found[offset:end], token)


def _invalid(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)
