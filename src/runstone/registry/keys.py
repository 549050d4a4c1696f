"""A model's name ⇄ its key: the folder and the git tags keep the first name, encoded; a rename changes the name alone.

Asked at every resolve, so the usual case, a model under its own name, costs a few lookups and no scan.
"""

import re
import warnings
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from runstone import names
from runstone.errors import InvalidName, ModelNameShared, ModelRenamed, NewerFormat, RecordInvalid, RecordsSkipped
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.model_file import ModelFile
from runstone.registry import branch
from runstone.registry.layout import Place

_CUT = re.compile(r"-[0-9a-f]{10}\Z")
_KEPT = 5000
_files: WeakKeyDictionary[Repository, dict[str, ModelFile | None]] = WeakKeyDictionary()
_renamed: WeakKeyDictionary[Repository, tuple[str, dict[str, tuple[str, ...]]]] = WeakKeyDictionary()


def check_model(name: object) -> str:
    """Return the name of a model in Unicode normal form C, or raise `InvalidName`."""
    return names.check_name("model", name)


def check_new_model(repo: Repository, name: object, key: str, commit: str | None) -> None:
    """Refuse a name that a model would get now, if nobody could tell it from others; see `names.check_new_name`.

    Args:
        repo: The repository.
        name: The name as it was given.
        key: The key that `find_key` tells of it.
        commit: The commit that it was asked as of.

    Raises:
        InvalidName: There is no such model, and it is such a name.
    """
    file = None if commit is None else read_model_file(repo, commit, key)
    if file is None and repo.refs.read(f"refs/tags/{key}@v1") is None:
        names.check_new_model(name)


def is_key(folder: str) -> bool:
    """Whether a folder's name is one that a model gets: another one cannot be asked for by any name."""
    if folder.lower() in names.RESERVED_KEYS:
        return False
    try:
        return names.encode_component(check_model(names.decode_component(folder))) == folder or is_cut(folder)
    except InvalidName:
        return False


def is_cut(key: str) -> bool:
    """Whether a key may be that of a name too long for a path: then it ends in a digest."""
    return len(key.encode()) > names.MAX_COMPONENT - 16 and _CUT.search(key) is not None


def find_key(repo: Repository, name: str, commit: str | None = None) -> str:
    """The key of a model by its present name; of a name that no model has, the key that it would get.

    Args:
        repo: The repository.
        name: The model.
        commit: A full commit id, to ask as of another state; the registry's commit if None.

    Raises:
        InvalidName: It cannot be a model's name.
        ModelRenamed: The model that had this name has another one now: what had a name first keeps it.
        ModelNameShared: Several models have it, of which none goes first.
    """
    name = check_model(name)
    own = names.encode_component(name)
    if own.lower() in names.RESERVED_KEYS:
        raise InvalidName("model", name, "the registry has a file of that name")
    commit = commit or branch.registry_commit(repo)
    if commit is None:
        return own
    file = read_model_file(repo, commit, own)
    if file is not None and file.name in (None, name):
        return own
    if file is not None:
        raise ModelRenamed(name, file.name or "")
    if repo.refs.read(f"refs/tags/{own}@v1") is not None:
        return own
    others = renamed(repo, commit).get(name, ())
    folder = f"{repo.config.registry}/{own}"
    if others and repo.objects.entry(repo.objects.commit(commit).tree, folder) is not None:
        others = (own, *others)
    if len(others) > 1:
        raise ModelNameShared(name, [f"{repo.config.registry}/{key}" for key in others])
    return others[0] if others else own


def find_name(repo: Repository, key: str, commit: str | None = None) -> str:
    """The inverse of `find_key`: the present name of the model that has a key."""
    commit = commit or branch.registry_commit(repo)
    file = None if commit is None else read_model_file(repo, commit, key)
    return file.name if file is not None and file.name is not None else first_name(repo, key)


def first_name(repo: Repository, key: str) -> str:
    """The name that a model was made under: of a name too long for a path only its git tags tell."""
    if is_cut(key):
        found = repo.objects.find(f"refs/tags/{key}@v1")
        written = None if found is None else re.search(rb"^model: .+$", found[2], re.MULTILINE)
        try:
            name = check_model(yaml.load(written[0], key)["model"]) if written is not None else ""
            if name and names.encode_component(name) == key:
                return name
        except (RecordInvalid, InvalidName):
            pass  # it only looks like a version's tag
    return names.decode_component(key)


def renamed(repo: Repository, commit: str) -> Mapping[str, tuple[str, ...]]:
    """The models that a file gives a name: name → their keys, one but for files that contradict.

    Kept until the registry's folder changes.

    Warns:
        RecordsSkipped: A `model.yaml` breaks its schema, and counts as absent.
    """
    folder = repo.objects.entry(repo.objects.commit(commit).tree, repo.config.registry)
    if folder is None or not folder.is_tree:
        return {}
    kept = _renamed.get(repo)
    if kept is None or kept[0] != folder.oid:
        keys = [key for key, entry in repo.objects.tree(folder.oid).items() if entry.is_tree and is_key(key)]
        found: dict[str, tuple[str, ...]] = {}
        for key in sorted(keys):
            file = read_model_file(repo, commit, key)
            if file is not None and file.name is not None:
                found[file.name] = (*found.get(file.name, ()), key)
        kept = _renamed[repo] = folder.oid, found
    return kept[1]


def read_model_file(repo: Repository, commit: str, key: str) -> ModelFile | None:
    """`model.yaml` of one model at a commit, kept by its blob; None if it has none, or it cannot be read.

    Warns:
        RecordsSkipped: It breaks its schema, and counts as absent.
    """
    path = Place("model", key).path(repo.config.registry)
    entry = repo.objects.entry(repo.objects.commit(commit).tree, path)
    if entry is None or not entry.is_file:
        return None
    kept = _files.setdefault(repo, {})
    if entry.oid not in kept:
        if len(kept) >= _KEPT:
            kept.clear()
        kept[entry.oid] = _parse(repo.objects.blob(entry.oid), f"{path} at {commit[:7]}")
    return kept[entry.oid]


def _parse(data: bytes, where: str) -> ModelFile | None:
    try:
        file = ModelFile.from_document(yaml.load(data, where), where)
        if file.name is not None and check_model(file.name) != file.name:
            raise RecordInvalid(where, "`name` must be in Unicode normal form C")
        return file
    except (RecordInvalid, NewerFormat, InvalidName) as error:
        text = f"{where}: {error}" if isinstance(error, InvalidName) else str(error)
        warnings.warn(text, RecordsSkipped, stacklevel=4)
        return None
