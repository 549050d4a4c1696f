"""Search model versions: by MLflow's filters, over what the registry's tags and files say now."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runstone.errors import InvalidName, ModelRenamed
from runstone.git.repository import Repository
from runstone.index.fields import MODEL_VERSIONS
from runstone.index.filter import And, Comparison, Filter, parse_filter, parse_order_by
from runstone.index.rows import search_rows
from runstone.registry.version import ModelVersion, list_versions

if TYPE_CHECKING:
    from runstone.index.paging import PagedList

_MAX_RESULTS = 200_000
_TIMES = ("creation_timestamp", "last_updated_timestamp")


def search_versions(
    repo: Repository,
    filter_string: str | None = None,
    max_results: int = 10_000,
    order_by: Sequence[str] | None = None,
    page_token: str | None = None,
    *,
    name: str | None = None,
) -> "PagedList[ModelVersion]":
    """Versions that meet a filter, one page of them; raises `FilterInvalid`.

    Args:
        repo: The repository.
        filter_string: As MLflow's: `run_id = '…' AND stage = 'Production'`.
        max_results: Versions in the page.
        order_by: `creation_timestamp DESC` …; the newest first if not given.
        page_token: `token` of the page before.
        name: Of one model only; of all if None. A filter that says so does the same, but is slower to read.
    """
    wanted = name if name is not None else _one_name(parse_filter(filter_string, MODEL_VERSIONS))
    return search_rows(
        list_versions(repo) if wanted is None else list_if_any(repo, wanted),
        lambda v: {
            "attributes": {
                "name": v.name,
                "version": v.version,
                "run_id": v.run_id,
                "source_path": v.source,
                "description": v.description,
                "alias": v.aliases,
                "stage": v.current_stage,
                "user_id": v.user_id,
                "creation_timestamp": v.creation_timestamp,
                "last_updated_timestamp": v.last_updated_timestamp,
            },
            "tags": v.tags,
        },
        MODEL_VERSIONS,
        filter_string=filter_string,
        order_by=order_by,
        default_order=("creation_timestamp DESC", "name", "version" if _is_oldest_first(order_by) else "version DESC"),
        max_results=max_results,
        limit=_MAX_RESULTS,
        page_token=page_token,
    )


def _is_oldest_first(order_by: Sequence[str] | None) -> bool:
    """Whether the oldest versions come first: then of those of one second, the lowest number does."""
    asked = [order_by] if isinstance(order_by, str) else list(order_by or ())
    orders = parse_order_by(asked, MODEL_VERSIONS)
    return bool(orders) and orders[0].field.key in _TIMES and not orders[0].is_descending


def _one_name(condition: Filter | None) -> str | None:
    """The model that a filter asks for, so that no other one has to be read; None if it may mean several."""
    match condition:
        case And(terms):
            return next((name for name in map(_one_name, terms) if name is not None), None)
        case Comparison(field, "=", False, (value,)) if (field.entity, field.key) == ("attribute", "name"):
            return str(value)
        case _:
            return None


def list_if_any(repo: Repository, name: str) -> list[ModelVersion]:
    """The versions of a model, the newest number first; none if no model can have, or has, such a name."""
    try:
        return list_versions(repo, name)
    except (InvalidName, ModelRenamed):
        return []
