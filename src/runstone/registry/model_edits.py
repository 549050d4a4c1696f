"""What people do to a registered model: make it, describe it, tag it, rename it, delete it. One commit each."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from runstone import names
from runstone.errors import InvalidName, ModelExists, ModelNotFound
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.model_file import ModelFile
from runstone.records.policy import NO_STAGE
from runstone.registry import branch
from runstone.registry.former_names import refuse_former
from runstone.registry.keys import check_model, find_key, first_name, is_key
from runstone.registry.layout import Place
from runstone.registry.message import format_message
from runstone.registry.model import RegisteredModel, get_model, list_model_names
from runstone.registry.numbers import read_all_numbers, read_numbers
from runstone.registry.state import ModelState, read_model_state, read_states
from runstone.tracking.values import check_keys, check_text, tag_value
from runstone.tracking.workspace import Workspace


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
    repo, name = workspace.repo, check_model(name)
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
        _refuse_taken(repo, base, name, key, own=None)
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
        ModelExists: Another one has the new name, or had it first.
        InvalidName: It cannot be used, or differs from another model's by case alone.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
    """
    repo, name, new_name = workspace.repo, check_model(name), check_model(new_name)
    key = _need(repo, name)
    written = None if names.decode_component(key) == new_name else new_name
    path = Place("model", key).path(repo.config.registry)

    def plan(base: str | None) -> branch.Changes:
        _refuse_taken(repo, base, new_name, names.encode_component(new_name), own=key)
        refuse_former(repo, new_name, key)
        return {path: yaml.dump(_file(repo, base, key)._replace(name=written).to_document())}

    trailers = [("Model", new_name), ("Former-name", name)]
    branch.commit_files(repo, plan, format_message(f"Rename {name} to {new_name}", trailers))
    return get_model(repo, new_name)


def delete_model(workspace: Workspace, name: str) -> None:
    """Delete a model: its versions are retired, and its folder goes. All of it stays in git.

    Interrupted, it may be called again: what is missing is done.

    Writes:
        A git tag for each version, as `retire_version` does; one commit on the default branch.

    Raises:
        ModelNotFound: There is no such model.
        VersionInUse: A version is in a stage or has an alias, and who takes it from there needs approval.
        VersionNotAllotted: The remote cannot be reached, or does not take the tags that retire the versions.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
    """
    from runstone.registry.retire import retire_version

    repo = workspace.repo
    key = find_key(repo, name)
    folder, commit = f"{repo.config.registry}/{key}", branch.registry_commit(repo)
    state, numbers = read_model_state(repo, commit, key), read_numbers(repo, key).present
    if not numbers and not _paths(repo, commit, folder):
        raise ModelNotFound(name, list_model_names(repo))
    # Those in use first: where that needs approval, nothing has been retired yet.
    for number in sorted(numbers, key=lambda each: state.stage_of(each) == NO_STAGE and not state.aliases_of(each)):
        retire_version(workspace, name, number)

    def plan(base: str | None) -> branch.Changes:
        return dict.fromkeys(_paths(repo, base, folder))

    branch.commit_files(repo, plan, format_message(f"Delete the model {name}", [("Model", name)]))


def edit_model_file(workspace: Workspace, name: str, subject: str, edit: Callable[[ModelFile], ModelFile]) -> None:
    """Change `model.yaml` of a model that there is; writes and raises as `describe_model`."""
    repo, name = workspace.repo, check_model(name)
    key = _need(repo, name)
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


def _need(repo: Repository, name: str) -> str:
    """The key of a model that there is."""
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
        return ModelFile(name=None if is_told else name, created=time.time_ns() // 1_000_000)
    where = f"{path} at {base[:7]}"
    return ModelFile.from_document(yaml.load(data, where), where)


def _refuse_taken(repo: Repository, base: str | None, name: str, key: str, *, own: str | None) -> None:
    """Refuse a name that another model has, or had first, or that differs from one by case alone.

    On many disks folders and git tags that differ by case alone are one.
    """
    states = read_states(repo, base)
    known = {each: states.get(each) or ModelState(each) for each in {*states, *read_all_numbers(repo)} if is_key(each)}
    for other, state in known.items():
        if other == own:
            continue
        is_there = state.has_file or other != key
        if state.name == name and is_there:
            raise ModelExists(name)
        if other == key and is_there:
            raise ModelExists(name, f"its folder and its git tags are those of the model now called {state.name!r}")
        if other == key and own is not None:
            raise ModelExists(name, "the git tags of a model of this name are there")
        for taken in (state.name, names.decode_component(other)):
            if taken != name and taken.lower() == name.lower():
                raise InvalidName("model", name, f"it differs from the model {taken!r} by case alone")


def _paths(repo: Repository, base: str | None, folder: str) -> list[str]:
    if base is None:
        return []
    found = []
    for name, entry in branch.list_folder(repo, base, folder).items():
        path = f"{folder}/{name}"
        found += _paths(repo, base, path) if entry.is_tree else [path]
    return found
