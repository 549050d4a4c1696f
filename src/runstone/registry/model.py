"""Registered models: a name with versions and aliases. A model exists from its first version on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runstone.errors import ModelNotFound
from runstone.git.repository import Repository
from runstone.registry.alias import read_aliases
from runstone.registry.version import ModelVersion, list_names, list_versions

if TYPE_CHECKING:
    from runstone.index.paging import PagedList

_MAX_RESULTS = 1000


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One registered model.

    Attributes:
        name: The model.
        aliases: Alias to version.
        latest_versions: The version with the highest number.
        creation_timestamp: When its oldest present version was made; Unix milliseconds.
        last_updated_timestamp: When its latest version was made.
        description: None: descriptions of models come with the reviewed registry.
        tags: As `description`.
    """

    name: str
    aliases: dict[str, int]
    latest_versions: tuple[ModelVersion, ...]
    creation_timestamp: int | None
    last_updated_timestamp: int | None
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


def get_model(repo: Repository, name: str) -> RegisteredModel:
    """A registered model; raises `ModelNotFound`."""
    versions = list_versions(repo, name)
    if not versions:
        raise ModelNotFound(name, list_names(repo))
    latest, first = versions[0], versions[-1]
    return RegisteredModel(
        name=latest.name,
        aliases=read_aliases(repo, name),
        latest_versions=(latest,),
        creation_timestamp=first.creation_timestamp,
        last_updated_timestamp=latest.creation_timestamp,
    )


def search_models(
    repo: Repository,
    filter_string: str | None = None,
    max_results: int = 100,
    order_by: Sequence[str] | None = None,
    page_token: str | None = None,
) -> "PagedList[RegisteredModel]":
    """Registered models that meet a filter, one page of them; raises `FilterInvalid`."""
    from runstone.index.fields import REGISTERED_MODELS
    from runstone.index.search import search_rows

    return search_rows(
        [get_model(repo, name) for name in list_names(repo)],
        lambda m: {
            "attributes": {
                "name": m.name,
                "description": m.description,
                "alias": tuple(m.aliases),
                "creation_timestamp": m.creation_timestamp,
                "last_updated_timestamp": m.last_updated_timestamp,
            },
            "tags": m.tags,
        },
        REGISTERED_MODELS,
        filter_string=filter_string,
        order_by=order_by,
        default_order=("name",),
        max_results=max_results,
        limit=_MAX_RESULTS,
        page_token=page_token,
    )
