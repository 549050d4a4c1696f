"""What people do to a registered model: make it, describe it, tag it, rename it, delete it. One commit each."""

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from runstone import names
from runstone.errors import ModelExists, ModelNotFound, ReviewRequired
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.document import parse_seconds
from runstone.records.model_file import ModelFile
from runstone.records.stage import NO_STAGE
from runstone.registry import branch
from runstone.registry.former_names import refuse_former, refuse_taken
from runstone.registry.keys import check_model, find_key, first_name
from runstone.registry.layout import Place, parse_path
from runstone.registry.message import format_message
from runstone.registry.model import RegisteredModel, get_model, list_model_names
from runstone.registry.numbers import read_numbers
from runstone.registry.state import read_model_state
from runstone.tracking.values import check_keys, check_text, tag_value
from runstone.tracking.workspace import Workspace

_TAGGED = re.compile(rb"^tagger .*> ([0-9]{1,12}) [+-][0-9]{4}$", re.MULTILINE)
_FREE = ("card", "notes", "registration")
"""What is said of a model that leads nobody anywhere."""


def create_model(
    workspace: Workspace,
    name: str,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    *,
    owners: Sequence[str] = (),
) -> RegisteredModel:
    """Make a registered model that has no version yet.

    Args:
        workspace: The repository.
        name: Its name.
        tags: Text to text.
        description: What it is for.
        owners: Who answers for it: names, mail addresses, `@team`.

    Writes:
        `registry/<model>/model.yaml`, one commit on the default branch.

    Raises:
        ModelExists: There is one of this name, or one that had it first.
        InvalidName: It cannot be used, or differs from another model's by case alone.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
    """
    repo, name = workspace.repo, names.check_new_model(name)
    key = names.encode_component(name)
    file = ModelFile(
        name=None if names.decode_component(key) == name else name,
        description=clean_description(workspace, description),
        tags=clean_tags(workspace, tags),
        owners=tuple(check_text("owner", "owners", owner) for owner in owners),
        created=time.time_ns() // 1_000_000,
    )
    path = Place("model", key).path(repo.config.registry)

    def plan(base: str | None) -> branch.Changes:
        refuse_taken(repo, base, name, key, own=None)
        refuse_former(repo, name, key)
        if read_numbers(repo, key).present:
            raise ModelExists(name)
        return {path: yaml.dump(file.to_document())}

    branch.commit_files(repo, plan, format_message(f"Create the model {name}", [("Model", name)]))
    return get_model(repo, name)


def describe_model(workspace: Workspace, name: str, description: str | None) -> RegisteredModel:
    """Say what a model is for; None or an empty text takes it away.

    Writes:
        `registry/<model>/model.yaml`, one commit on the default branch; nothing if it says so already.

    Raises:
        ModelNotFound: There is no such model.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
    """
    text = clean_description(workspace, description)
    edit_model_file(workspace, name, f"Describe {name}", lambda file: file._replace(description=text))
    return get_model(workspace.repo, name)


def set_owners(workspace: Workspace, name: str, owners: Sequence[str]) -> None:
    """Say who answers for a model. Writes and raises as `describe_model`."""
    checked = tuple(check_text("owner", "owners", owner) for owner in owners)
    edit_model_file(workspace, name, f"Set the owners of {name}", lambda file: file._replace(owners=checked))


def set_model_tags(workspace: Workspace, name: str, tags: Mapping[str, Any]) -> None:
    """Set tags of a model. Writes and raises as `describe_model`; `InvalidName` for a key that cannot be used."""
    texts = clean_tags(workspace, tags)
    subject = f"Set {shown_tags(texts)} of {name}"
    edit_model_file(workspace, name, subject, lambda file: file._replace(tags={**file.tags, **texts}))


def delete_model_tags(workspace: Workspace, name: str, keys: Sequence[str]) -> None:
    """Remove tags of a model, those that it has. Writes and raises as `describe_model`."""
    edit_model_file(
        workspace,
        name,
        f"Remove {shown_tags(keys)} of {name}",
        lambda file: file._replace(tags={key: value for key, value in file.tags.items() if key not in keys}),
    )


def rename_model(workspace: Workspace, name: str, new_name: str) -> RegisteredModel:
    """Give a model another name. Its folder, its git tags and its history stay, and the old name means nothing more.

    Writes:
        `registry/<model>/model.yaml`, one commit on the default branch.

    Raises:
        ModelNotFound: There is no such model.
        ModelExists, InvalidName: As `renaming`.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
        ReviewRequired: `runstone.yaml` says that such changes are reviewed.
    """
    repo, name, new_name = workspace.repo, check_model(name), names.check_new_model(new_name)
    key = need_key(repo, name)
    if repo.config.promotion == "review":
        raise ReviewRequired(name, deed="renamed")
    trailers = [("Model", new_name), ("Former-name", name)]
    message = format_message(f"Rename {name} to {new_name}", trailers)
    branch.commit_files(repo, lambda base: renaming(repo, base, key, new_name), message)
    return get_model(repo, new_name)


def renaming(repo: Repository, base: str | None, key: str, new_name: str) -> dict[str, str | None]:
    """The file to write so that a model is called otherwise.

    Args:
        repo: The repository.
        base: The commit to build on.
        key: The model.
        new_name: Its name to be.

    Raises:
        ModelExists: Another one has the new name, or had it first.
        InvalidName: It cannot be used, or differs from another model's by case alone.
        RecordInvalid: The file that is there cannot be read.
    """
    refuse_taken(repo, base, check_model(new_name), names.encode_component(new_name), own=key)
    refuse_former(repo, new_name, key)
    written = None if names.decode_component(key) == new_name else new_name
    file = _file(repo, base, key)._replace(name=written)
    return {Place("model", key).path(repo.config.registry): yaml.dump(file.to_document())}


def delete_model(workspace: Workspace, name: str) -> str | None:
    """Delete a model: its versions are retired, and its folder goes. All of it stays in git.

    Interrupted, it may be called again: what is missing is done.

    Returns:
        The commit; None if there were no files.

    Writes:
        A git tag for each version, as `retire_version` does; one commit on the default branch.

    Raises:
        ModelNotFound: There is no such model.
        VersionInUse: A version is in a stage or has an alias, and who takes it from there needs approval.
        VersionNotAllotted: The remote cannot be reached, or does not take the tags that retire the versions.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
        ReviewRequired: It has files, and `runstone.yaml` says that such changes are reviewed.
    """
    from runstone.registry.retire import retire_version

    repo = workspace.repo
    key, commit = find_key(repo, name), branch.registry_commit(repo)
    state, numbers = read_model_state(repo, commit, key), read_numbers(repo, key).present
    files = removal(repo, commit, key)
    if not numbers and not files:
        raise ModelNotFound(name, list_model_names(repo))
    if is_guarded(repo, files) and repo.config.promotion == "review":
        raise ReviewRequired(name, deed="deleted")
    # Those in use first: where that needs approval, nothing has been retired yet.
    for number in sorted(numbers, key=lambda each: state.stage_of(each) == NO_STAGE and not state.aliases_of(each)):
        retire_version(workspace, name, number)
    message = format_message(f"Delete the model {name}", [("Model", name)])
    return branch.commit_files(repo, lambda base: removal(repo, base, key), message)


def removal(repo: Repository, base: str | None, key: str) -> dict[str, str | None]:
    """The files of a model, to be removed."""
    return dict.fromkeys(_paths(repo, base, f"{repo.config.registry}/{key}"))


def is_guarded(repo: Repository, paths: Iterable[str]) -> bool:
    """Whether some of a model's files are such that a reviewed project has their removal reviewed."""
    places = (parse_path(repo.config.registry, path) for path in paths)
    return any(place is not None and place.kind not in _FREE for place in places)


def edit_model_file(workspace: Workspace, name: str, subject: str, edit: Callable[[ModelFile], ModelFile]) -> None:
    """Change `model.yaml` of a model that there is; writes and raises as `describe_model`."""
    repo, name = workspace.repo, check_model(name)
    key = need_key(repo, name)
    path = Place("model", key).path(repo.config.registry)

    def plan(base: str | None) -> branch.Changes:
        old = _file(repo, base, key)
        new = edit(old)
        return {} if new == old else {path: yaml.dump(new.to_document())}

    branch.commit_files(repo, plan, format_message(subject, [("Model", name)]))


def clean_description(workspace: Workspace, description: str | None) -> str | None:
    """A description as it may be recorded: without secrets; None for an empty one."""
    if description is None or not description.strip():
        return None
    return workspace.redactor.text(check_text("description", "description", description), key="description")


def clean_tags(workspace: Workspace, tags: Mapping[str, Any] | None) -> dict[str, str]:
    """Tags as they may be recorded: texts, without secrets; raises `InvalidName` for a key that cannot be used."""
    check_keys("tag", tags or ())
    return {key: str(workspace.redactor.param(key, tag_value(key, value))) for key, value in (tags or {}).items()}


def shown_tags(keys: Collection[str]) -> str:
    """Tags as a commit's subject names them."""
    return f"the tag {next(iter(keys))}" if len(keys) == 1 else "tags"


def need_key(repo: Repository, name: str) -> str:
    """The key of a model that there is; raises `ModelNotFound`."""
    key = find_key(repo, name)
    if not read_numbers(repo, key).present and _path_of(repo, key) is None:
        raise ModelNotFound(name, list_model_names(repo))
    return key


def _path_of(repo: Repository, key: str) -> bytes | None:
    commit = branch.registry_commit(repo)
    return None if commit is None else branch.read_file(repo, commit, Place("model", key).path(repo.config.registry))


def _file(repo: Repository, base: str | None, key: str) -> ModelFile:
    """A model's file to be changed; a broken one is an error, since a change would lose what it says."""
    path = Place("model", key).path(repo.config.registry)
    data = None if base is None else branch.read_file(repo, base, path)
    if base is None or data is None:
        name = first_name(repo, key)
        is_told = names.decode_component(key) == name
        return ModelFile(name=None if is_told else name, created=_made(repo, key))
    where = f"{path} at {base[:7]}"
    return ModelFile.from_document(yaml.load(data, where), where)


def _made(repo: Repository, key: str) -> int:
    """When a model without a file was made: with its first version. So the same change is the same file again."""
    found = repo.objects.find(f"refs/tags/{key}@v1")
    written = None if found is None else _TAGGED.search(found[2])
    return time.time_ns() // 1_000_000 if written is None else parse_seconds(written[1].decode())


def _paths(repo: Repository, base: str | None, folder: str) -> list[str]:
    if base is None:
        return []
    found = []
    for name, entry in branch.list_folder(repo, base, folder).items():
        path = f"{folder}/{name}"
        found += _paths(repo, base, path) if entry.is_tree else [path]
    return found
