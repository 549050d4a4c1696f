"""What the files of a model say now. Kept by the folder's tree, so it is read once and never out of date."""

from weakref import WeakKeyDictionary

from runstone.git.repository import Repository
from runstone.registry.state import ModelState, read_model_state

_KEPT = 256
_states: WeakKeyDictionary[Repository, dict[tuple[str, str], ModelState]] = WeakKeyDictionary()


def present_state(repo: Repository, commit: str | None, key: str) -> ModelState:
    """As `state.read_model_state`, remembered in this process as long as the model's files stay as they are.

    Warns:
        RecordsSkipped: A file breaks its schema; the others are read.
    """
    folder = None
    if commit is not None:
        folder = repo.objects.entry(repo.objects.commit(commit).tree, f"{repo.config.registry}/{key}")
    if folder is None:
        return ModelState(key)
    kept = _states.setdefault(repo, {})
    found = kept.get((key, folder.oid))
    if found is None:
        found = read_model_state(repo, commit, key)
        if len(kept) >= _KEPT:
            kept.clear()
        kept[key, folder.oid] = found
    return found
