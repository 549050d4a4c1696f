"""The fluent verbs that are about registered models and their versions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from runstone.errors import InvalidValue
from runstone.fluent.active import client, get_tracking_uri, named_repository

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstone.index.paging import PagedList
    from runstone.registry.model import RegisteredModel
    from runstone.registry.version import ModelVersion

T = TypeVar("T")


def register_model(
    model_uri: str,
    name: str,
    await_registration_for: int | None = None,
    *,
    tags: Mapping[str, Any] | None = None,
    env_pack: Any = None,
    description: str | None = None,
) -> "ModelVersion":
    """Make a model of a run the next version of a registered model: a git tag `<name>@v<N>`.

    Args:
        model_uri: `runs:/<run id>/<path>`, or `models:/<name>/<version>` to copy a version.
        name: The registered model.
        await_registration_for: For MLflow's signature only: when the call returns, the version is there.
        tags: Text to text, kept in the version's git tag.
        env_pack: For MLflow's signature only; must be None.
        description: What to say of this version; not in MLflow.

    Raises:
        RunNotFound: There is no such run.
        NotAModel: The run logged no model there.
        RunIsLive: The run has not ended.
    """
    if env_pack is not None:
        raise InvalidValue("Environments are not packed: leave `env_pack` out. The model's folder says what it needs.")
    return client().create_model_version(name, model_uri, tags=tags, description=description)


def search_registered_models(
    max_results: int | None = None, filter_string: str | None = None, order_by: Sequence[str] | None = None
) -> "list[RegisteredModel]":
    """Registered models that meet a filter; all of them if `max_results` is not given. See the client's."""
    at = client()
    return _all_pages(
        lambda size, token: at.search_registered_models(filter_string, size, order_by, token), max_results, 1000
    )


def search_model_versions(
    max_results: int | None = None, filter_string: str | None = None, order_by: Sequence[str] | None = None
) -> "list[ModelVersion]":
    """Model versions that meet a filter; all of them if `max_results` is not given. See the client's."""
    at = client()
    return _all_pages(
        lambda size, token: at.search_model_versions(filter_string, size, order_by, token), max_results, 200_000
    )


def set_model_version_tag(
    name: str, version: str | int | None = None, key: str | None = None, value: Any = None
) -> None:
    """Set a tag of a model version: one commit on the default branch."""
    client().set_model_version_tag(name, version, key, value)


def set_registry_uri(uri: str) -> None:
    """For MLflow's users: the registry of a repository is in that repository, so the one in use is all that fits.

    Raises:
        InvalidValue: It is another one.
    """
    from runstone.client import Client

    Client(named_repository(), uri)


def get_registry_uri() -> str:
    """The repository in use, as `runstone:PATH`: it holds the registry, too."""
    return get_tracking_uri()


def _all_pages(search: "Callable[[int, str | None], PagedList[T]]", max_results: int | None, limit: int) -> list[T]:
    """What a search gives, page after page, until there are enough."""
    page = search(limit if max_results is None else min(max_results, limit), None)
    found = list(page)
    while page.token is not None and (max_results is None or len(found) < max_results):
        page = search(limit if max_results is None else min(max_results - len(found), limit), page.token)
        found += page
    return found
