"""Copy a model version to another model: a further git tag on the same run, which says where it is from."""

from collections.abc import Mapping
from typing import Any

from runstone.errors import InvalidUri
from runstone.records.model import VersionBody
from runstone.registry.allocate import allocate
from runstone.registry.branch import registry_commit
from runstone.registry.former_names import refuse_former
from runstone.registry.keys import check_model, check_new_model, find_key
from runstone.registry.resolve import resolve_version
from runstone.registry.version import ModelVersion, get_version, name_in_tags, said_of
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, parse_uri


def copy_version(
    workspace: Workspace,
    source: str | ModelUri,
    name: str,
    *,
    description: str | None = None,
    tags: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """Make a version of one model the next version of another: the same run, the same folder, no bytes are moved.

    Args:
        workspace: The repository.
        source: The version: `models:/churn/4`, `models:/churn@champion` …
        name: The other model; it exists from its first version on.
        description: What to say of the copy; else what was said of the version.
        tags: Its tags; else those of the version.

    Writes:
        A git tag, as `register_version`; its body says `copied_from`. Description and tags are taken along.

    Raises:
        InvalidUri: `source` is no URI of a model version.
        ModelNotFound, VersionNotFound, AliasNotFound, StageNotFound: There is no such version.
        InvalidName, ModelRenamed, ModelExists, VersionNotAllotted, ArtifactsNotShared, SigningFailed: As for
            `register_version`.

    Source: MLflow's client, `copy_model_version`.
    """
    repo = workspace.repo
    parsed = parse_uri(source) if isinstance(source, str) else source
    if not isinstance(parsed, ModelUri):
        raise InvalidUri(str(source), "a version is copied from a version: `models:/<name>/<version>`")
    found = resolve_version(repo, parsed)
    given, name = name, check_model(name)
    key = find_key(repo, name)
    check_new_model(repo, given, key, registry_commit(repo))
    refuse_former(repo, name, key)
    body = VersionBody(
        model=name_in_tags(repo, name, key),
        run=found.run_id,
        record=found.record,
        path=found.path,
        digest=found.digest,
        flavors=found.flavors,
        size=found.size,
        signature=found.signature,
        **said_of(
            workspace, found.description if description is None else description, found.tags if tags is None else tags
        ),
        copied_from=f"models:/{found.name}/{found.version}",
    )
    number = allocate(workspace, key, body, lambda: get_version(repo, found.name, found.version).commit)
    return get_version(repo, name, number)
