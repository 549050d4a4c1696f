"""Aliases: names that point at one version of a model and may be moved; one small file each on the default branch."""

import warnings
from contextlib import suppress

from runstone import names
from runstone.errors import AliasNotFound, InvalidName, NewerFormat, RecordInvalid, RecordsSkipped, ReviewRequired
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.registry import branch
from runstone.registry.keys import find_key
from runstone.registry.layout import Place
from runstone.registry.message import format_message, version_rows
from runstone.registry.numbers import read_numbers
from runstone.registry.state import ModelState, read_model_state, with_unknown
from runstone.registry.version import ModelVersion, get_version, no_version, version_at


def alias_changes(registry: str, state: ModelState, alias: str, version: int | None) -> dict[str, str | None]:
    """The file to write so that an alias points at a version; see `with_unknown` for keys to carry through.

    Args:
        registry: The registry's folder.
        state: The model as it stands.
        alias: The alias.
        version: The version; None removes the alias.

    Returns:
        Path → text; None for a file that goes; empty if the alias is so already.

    Raises:
        InvalidName: The alias cannot be used, or differs from another one by case alone.
    """
    if version == state.aliases.get(alias):
        return {}
    path = Place("alias", state.key, alias).path(registry)
    if version is None:
        return {path: None}
    names.check_alias(alias)
    if len(alias.encode()) > names.MAX_COMPONENT:
        raise InvalidName("alias", alias, f"it has more than {names.MAX_COMPONENT} bytes")
    for other in state.aliases:
        if other != alias and other.lower() == alias.lower():
            raise InvalidName("alias", alias, f"it differs from the alias {other!r} by case alone")
    return {path: yaml.dump(Alias(version).to_document())}


def set_alias(repo: Repository, name: str, alias: str, version: int) -> None:
    """Point an alias at a version, whatever gates the policy has.

    Writes:
        `registry/<model>/aliases/<alias>.yaml`, one commit on the default branch; nothing if it points there already.

    Raises:
        ModelNotFound: There is no such model.
        VersionNotFound: It has no such version.
        InvalidName: The alias cannot be used, or differs from another one by case alone.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
        ReviewRequired: `runstone.yaml` says that promotions are reviewed.
    """
    alias = names.check_alias(alias)
    found = get_version(repo, name, version)
    key = found.key
    _refuse_under_review(repo, f"{found.name}@{alias}")
    replaced: int | None = None

    def plan(base: str | None) -> branch.Changes:
        nonlocal replaced
        state = read_model_state(repo, base, key)
        replaced = state.aliases.get(alias)
        return with_unknown(repo, base, alias_changes(repo.config.registry, state, alias, version))

    def message(base: str | None) -> str:
        del base
        rows = [("Model", found.name), *version_rows(repo, key, [version]), ("Alias", alias)]
        rows += [("Replaces", replaced)] if replaced is not None else []
        return format_message(f"Point {found.name}@{alias} at v{version}", rows)

    branch.commit_files(repo, plan, message)


def delete_alias(repo: Repository, name: str, alias: str) -> None:
    """Remove an alias.

    Writes:
        The default branch, one commit.

    Raises:
        AliasNotFound: The model has no such alias.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
        ReviewRequired: `runstone.yaml` says that promotions are reviewed.
    """
    _refuse_under_review(repo, f"{name}@{alias}")
    key = find_key(repo, name)
    path = Place("alias", key, alias).path(repo.config.registry)

    def plan(base: str | None) -> branch.Changes:
        if base is None or f"{alias}.yaml" not in branch.list_folder(repo, base, path.rpartition("/")[0]):
            raise AliasNotFound(name, alias, sorted(read_model_state(repo, base, key).aliases))
        return {path: None}  # also one whose file is broken

    def message(base: str | None) -> str:
        moved: list[tuple[str, object]] = []
        with suppress(RecordInvalid, NewerFormat):
            moved = version_rows(repo, key, [_read(repo, base or "", path)])
        return format_message(f"Remove {name}@{alias}", [("Model", name), *moved, ("Alias", alias)])

    branch.commit_files(repo, plan, message)


def read_aliases(repo: Repository, name: str) -> dict[str, int]:
    """The aliases of a model and the versions they point at, as of the registry's commit.

    Warns:
        RecordsSkipped: A file breaks its schema; the others are returned.
    """
    commit = branch.registry_commit(repo)
    if commit is None:
        return {}
    folder = f"{repo.config.registry}/{find_key(repo, name, commit)}/aliases"
    aliases = {}
    for file, entry in branch.list_folder(repo, commit, folder).items():
        alias = file.removesuffix(".yaml")
        if alias == file or not entry.is_file:
            continue
        try:
            aliases[alias] = _read(repo, commit, f"{folder}/{file}")
        except (RecordInvalid, NewerFormat) as error:
            warnings.warn(str(error), RecordsSkipped, stacklevel=2)
    return aliases


def get_version_by_alias(repo: Repository, name: str, alias: str) -> ModelVersion:
    """The version an alias points at.

    Raises:
        ModelNotFound: There is no such model, or it has no version.
        AliasNotFound: The model has no such alias.
        VersionNotFound: It points at a version that is not there.
        RecordInvalid: Its file breaks its schema.
    """
    commit = branch.registry_commit(repo)
    key = find_key(repo, name, commit)
    folder = f"{repo.config.registry}/{key}/aliases"
    entry = None if commit is None else branch.list_folder(repo, commit, folder).get(f"{alias}.yaml")
    if commit is None or entry is None or not entry.is_file:
        if not read_numbers(repo, key).present:
            raise no_version(repo, name, key)
        raise AliasNotFound(name, alias, sorted(read_aliases(repo, name)))
    return version_at(repo, commit, name, key, _read(repo, commit, f"{folder}/{alias}.yaml"))


def _read(repo: Repository, commit: str, path: str) -> int:
    where = f"{path} at {commit[:7]}"
    return Alias.from_document(yaml.load(branch.read_file(repo, commit, path) or b"", where), where).version


def _refuse_under_review(repo: Repository, what: str) -> None:
    if repo.config.promotion == "review":
        raise ReviewRequired(what)
