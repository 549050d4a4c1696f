"""Aliases: names that point at one version of a model and may be moved; one small file each on the default branch."""

import warnings

from runstone import names
from runstone.errors import AliasNotFound, InvalidName, NewerFormat, RecordInvalid, RecordsSkipped, ReviewRequired
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.registry import branch
from runstone.registry.version import ModelVersion, check_model, get_version


def set_alias(repo: Repository, name: str, alias: str, version: int) -> None:
    """Point an alias at a version.

    Writes:
        `registry/<model>/aliases/<alias>.yaml`, one commit on the default branch; nothing if it points there already.

    Raises:
        ModelNotFound: There is no such model.
        VersionNotFound: It has no such version.
        InvalidName: The alias cannot be used, or differs from another one by case alone.
        LocalEdits: The file has edits in the work tree.
        BranchBehind: The default branch is checked out and older than its remote.
        ReviewRequired: `runstone.yaml` says that promotions are reviewed.
    """
    alias = names.check_alias(alias)
    if len(alias.encode()) > names.MAX_COMPONENT:
        raise InvalidName("alias", alias, f"it has more than {names.MAX_COMPONENT} bytes")
    for other in read_aliases(repo, name):
        if other != alias and other.lower() == alias.lower():
            raise InvalidName("alias", alias, f"it differs from the alias {other!r} by case alone")
    found = get_version(repo, name, version)
    _refuse_under_review(repo, f"{name}@{alias}")
    message = f"Point {found.name}@{alias} at version {version}"
    branch.commit_files(repo, {_path(repo, name, alias): yaml.dump(Alias(version).to_document())}, message)


def delete_alias(repo: Repository, name: str, alias: str) -> None:
    """Remove an alias.

    Writes:
        The default branch, one commit.

    Raises:
        AliasNotFound: The model has no such alias.
        LocalEdits: The file has edits in the work tree.
        ReviewRequired: `runstone.yaml` says that promotions are reviewed.
    """
    _need(repo, name, alias)
    _refuse_under_review(repo, f"{name}@{alias}")
    branch.commit_files(repo, {_path(repo, name, alias): None}, f"Remove the alias {name}@{alias}")


def read_aliases(repo: Repository, name: str) -> dict[str, int]:
    """The aliases of a model and the versions they point at, as of the registry's commit.

    Warns:
        RecordsSkipped: A file breaks its schema; the others are returned.
    """
    commit = branch.registry_commit(repo)
    if commit is None:
        return {}
    aliases = {}
    for file, entry in branch.list_folder(repo, commit, _folder(repo, name)).items():
        alias = file.removesuffix(".yaml")
        if alias == file or entry.is_tree:
            continue
        try:
            aliases[alias] = _read(repo, commit, name, alias)
        except (RecordInvalid, NewerFormat) as error:
            warnings.warn(str(error), RecordsSkipped, stacklevel=2)
    return aliases


def get_version_by_alias(repo: Repository, name: str, alias: str) -> ModelVersion:
    """The version an alias points at.

    Raises:
        AliasNotFound: The model has no such alias.
        VersionNotFound: It points at a version that is not there.
        RecordInvalid: Its file breaks its schema.
    """
    return get_version(repo, name, _need(repo, name, alias))


def _need(repo: Repository, name: str, alias: str) -> int:
    commit = branch.registry_commit(repo)
    known = () if commit is None else branch.list_folder(repo, commit, _folder(repo, name))
    if commit is None or f"{alias}.yaml" not in known:
        raise AliasNotFound(name, alias, sorted(read_aliases(repo, name)))
    return _read(repo, commit, name, alias)


def _read(repo: Repository, commit: str, name: str, alias: str) -> int:
    path = _path(repo, name, alias)
    where = f"{path} at {commit[:7]}"
    text = branch.read_file(repo, commit, path)
    return Alias.from_document(yaml.load(text or b"", where), where).version


def _path(repo: Repository, name: str, alias: str) -> str:
    return f"{_folder(repo, name)}/{alias}.yaml"


def _folder(repo: Repository, name: str) -> str:
    return f"{repo.config.registry}/{names.encode_component(check_model(name))}/aliases"


def _refuse_under_review(repo: Repository, what: str) -> None:
    if repo.config.promotion == "review":
        raise ReviewRequired(what)
