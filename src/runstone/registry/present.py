"""What the files of a model say now. Kept by the folder's tree, so it is read once and never out of date."""

from weakref import WeakKeyDictionary

from runstone.git.repository import Repository
from runstone.registry import branch
from runstone.registry.numbers import read_all_numbers, read_numbers
from runstone.registry.state import ModelState, read_model_state, read_states

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


def absent_versions(repo: Repository, key: str | None = None) -> dict[str, set[int]]:
    """Key → the versions in a stage or under an alias whose git tags are not here; all models if none is named."""
    commit = branch.registry_commit(repo)
    if key is None:
        states, numbers = read_states(repo, commit), read_all_numbers(repo)
    else:
        states, numbers = {key: present_state(repo, commit, key)}, {key: read_numbers(repo, key)}
    found = {}
    for each, state in states.items():
        named = {*state.aliases.values(), *(number for held in state.stages.values() for number in held)}
        if absent := named - (numbers[each].versions.keys() if each in numbers else set()):
            found[each] = absent
    return found
