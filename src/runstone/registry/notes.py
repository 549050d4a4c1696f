"""Notes on model versions: a git tag cannot change, so what is said of a version later stands in a file of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runstone.records import yaml
from runstone.records.version_notes import VersionNotes
from runstone.registry import branch
from runstone.registry.layout import Place
from runstone.registry.message import format_message
from runstone.registry.model_edits import clean_description, clean_tags, shown_tags
from runstone.registry.version import ModelVersion, get_version
from runstone.tracking.workspace import Workspace


def describe_version(workspace: Workspace, name: str, version: int, description: str | None) -> ModelVersion:
    """Say something of a version in place of what was said before; None or an empty text takes it away.

    Writes:
        `registry/<model>/versions/<N>.yaml`, one commit on the default branch; nothing if it says so already.

    Raises:
        ModelNotFound, VersionNotFound: There is no such version.
        RecordInvalid: The file that is there breaks its schema.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
    """
    text = clean_description(workspace, description)
    return _edit(workspace, name, version, "Describe", lambda notes: replace(notes, description=text))


def set_version_tags(workspace: Workspace, name: str, version: int, tags: Mapping[str, Any]) -> None:
    """Set tags of a version. Writes and raises as `describe_version`; `InvalidName` for a key that cannot be used."""
    texts = clean_tags(workspace, tags)
    verb = f"Set {shown_tags(texts)} of"
    _edit(workspace, name, version, verb, lambda notes: replace(notes, tags={**notes.tags, **texts}))


def delete_version_tags(workspace: Workspace, name: str, version: int, keys: Sequence[str]) -> None:
    """Remove tags of a version, those that it has. Writes and raises as `describe_version`."""
    _edit(
        workspace,
        name,
        version,
        f"Remove {shown_tags(keys)} of",
        lambda notes: replace(notes, tags={key: value for key, value in notes.tags.items() if key not in keys}),
    )


def _edit(
    workspace: Workspace, name: str, version: int, verb: str, edit: Callable[[VersionNotes], VersionNotes]
) -> ModelVersion:
    repo = workspace.repo
    found = get_version(repo, name, version)
    path = Place("notes", found.key, str(version)).path(repo.config.registry)

    def plan(base: str | None) -> branch.Changes:
        data = None if base is None else branch.read_file(repo, base, path)
        if base is None or data is None:
            old = VersionNotes(found.description, dict(found.tags))  # what the git tag says
        else:
            where = f"{path} at {base[:7]}"
            old = VersionNotes.from_document(yaml.load(data, where), where)
        new = edit(old)
        return {} if new == old else {path: yaml.dump(new.to_document())}

    trailers = [("Model", found.name), ("Version", version)]
    branch.commit_files(repo, plan, format_message(f"{verb} {found.name} v{version}", trailers))
    return get_version(repo, name, version)
