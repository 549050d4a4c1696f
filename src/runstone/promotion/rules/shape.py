"""What no approval makes right: something other than plain files where facts and settings should be, files that are one
file on other disks, a version in two stages at once, a stage that the policy does not know, a name of another model.

Checks of proposals, the guard and verification ask here, so that all three name the same.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from runstone.git.objects import TreeEntry
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.records.policy import Policy
from runstone.records.stage import NO_STAGE
from runstone.registry.changes import ModelChange, PolicyChange, StageChange
from runstone.registry.layout import covered_path, parse_path
from runstone.registry.state import read_model_state, read_policy
from runstone.registry.taken import Names

if TYPE_CHECKING:
    from runstone.registry.history.entry import Entry

_Stages = Mapping[str, Iterable[int]]


def find_in_the_way(
    repo: Repository, base: str | None, head: str, touched: Mapping[str, TreeEntry | None]
) -> list[str]:
    """Links and submodules that a change puts where the settings, the registry or a file of it should be: what they
    lead to is judged by nobody.

    Args:
        repo: The repository.
        base: The commit before it; None before the first.
        head: The commit after it.
        touched: The paths in the registry that differ, and what is there now.
    """
    parts = repo.config.registry.split("/")
    places = [CONFIG_FILE, *("/".join(parts[: i + 1]) for i in range(len(parts)))]
    old, new = (None if each is None else repo.objects.commit(each).tree for each in (base, head))
    assert new is not None
    found = []
    for path in places:
        before = None if old is None else repo.objects.entry(old, path)
        after = repo.objects.entry(new, path)
        if after is None or after == before:
            continue
        if not (after.is_file if path == CONFIG_FILE else after.is_tree):
            found.append(path)
    for path, entry in touched.items():
        odd = covered_path(repo.config.registry, path) if entry is not None and entry.is_file else path
        if entry is not None and odd is not None and odd not in found:
            found.append(odd)
    files = {path for path in found if path == CONFIG_FILE or (path not in places and "." in path.rpartition("/")[2])}
    return [
        f"`{path}` is a link, a submodule or something else that is not read. Put a plain "
        f"{'file' if path in files else 'folder'} there."
        for path in found
    ]


def find_twins(repo: Repository, head: str, added: Iterable[str]) -> list[str]:
    """Paths that were added beside others which a disk that does not tell large letters from small ones, or how accents
    are written, takes for the same: a clone there has one of the two, whichever git writes last.

    Args:
        repo: The repository.
        head: The commit that has them.
        added: The paths of files, in the registry or at the top.
    """
    root = repo.objects.commit(head).tree
    found: dict[str, str] = {}
    known: dict[str, dict[str, list[str]]] = {}
    for path in added:
        parts = path.split("/")
        for i, name in enumerate(parts):
            folder = "/".join(parts[:i])
            if folder not in known:
                known[folder] = _by_fold(repo, root, folder)
            for other in known[folder].get(_fold(name), ()):
                if other != name:
                    one, two = sorted("/".join([*parts[:i], each]) for each in (name, other))
                    found[one] = f"`{one}` and `{two}` are one file on many disks. Keep one of them."
    return [found[path] for path in sorted(found)]


def _by_fold(repo: Repository, root: str, folder: str) -> dict[str, list[str]]:
    entry = repo.objects.entry(root, folder) if folder else None
    names = repo.objects.tree(entry.oid if entry is not None else root) if entry is None or entry.is_tree else {}
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_fold(name), []).append(name)
    return found


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def in_two_stages(stages: _Stages) -> dict[int, list[str]]:
    """The versions that stand in several stages at once → those; a version is in one or in none."""
    found: dict[int, list[str]] = {}
    for stage in sorted(stages):
        for number in stages[stage]:
            found.setdefault(number, []).append(stage)
    return {number: places for number, places in sorted(found.items()) if len(places) > 1}


class Shape:
    """Looks at the entries of a line one after the other, and at little more than what each changed."""

    def __init__(self, repo: Repository) -> None:
        """Prepare."""
        self._repo = repo
        self._stages: dict[str, dict[str, set[int]]] = {}
        self._names = Names(repo)
        self._known: set[str] = set()

    def faults(self, entry: "Entry", policy: Callable[[str], Policy]) -> Iterator[tuple[str, str]]:
        """What an entry made wrong: what it is about, and a sentence.

        Args:
            entry: The commit.
            policy: Tells the policy of a model at its parent.

        Raises:
            RecordInvalid, NewerFormat: A policy cannot be read.
        """
        repo = self._repo
        if entry.beside or "/" in repo.config.registry:
            tree = repo.objects.commit(entry.commit).tree
            inside = [path for path in entry.beside if path.startswith(f"{repo.config.registry}/")]
            touched = {path: repo.objects.entry(tree, path) for path in inside}
            for each in find_in_the_way(repo, entry.parent, entry.commit, touched):
                yield "files", each
        for each in find_twins(repo, entry.commit, entry.added):
            yield "files", each
        yield from self._taken(entry)
        moves: dict[str, list[StageChange]] = {}
        for change in entry.changes:
            if isinstance(change, StageChange):
                moves.setdefault(change.key, []).append(change)
        for key, changes in moves.items():
            yield from self._moved(entry, key, changes, policy)

    def _taken(self, entry: "Entry") -> Iterator[tuple[str, str]]:
        """Names that a model has got and another one has: only who got one is looked at, and who came anew."""
        keys = {
            change.key
            for change in entry.changes
            if isinstance(change, ModelChange)
            and change.after is not None
            and (change.before is None or change.before.name != change.after.name)
        }
        places = [parse_path(self._repo.config.registry, path) for path in entry.added]
        touched = {place.key for place in places if place is not None and place.key}
        keys |= touched - self._known
        self._known |= touched
        if not keys:
            return
        before = self._names.clashes(entry.parent, keys)
        for clash in sorted(self._names.clashes(entry.commit, keys) - before):
            yield "name", clash.describe(self._repo.config.registry)

    def _moved(
        self, entry: "Entry", key: str, changes: list[StageChange], policy: Callable[[str], Policy]
    ) -> Iterator[tuple[str, str]]:
        if key not in self._stages:
            state = read_model_state(self._repo, entry.parent, key)
            self._stages[key] = {stage: set(versions) for stage, versions in state.stages.items()}
        stages, model = self._stages[key], changes[0].model
        was = in_two_stages(stages)
        for change in changes:
            stages.get(change.before, set()).discard(change.version)
            if change.after != NO_STAGE:
                stages.setdefault(change.after, set()).add(change.version)
        for number, places in in_two_stages(stages).items():
            if was.get(number) != places:
                standing = " and in ".join(places)
                step = "A version is in one stage or in none: take it out of the others"
                yield f"{model}/{number}", f"{model} v{number} stands in {standing}. {step}"
        for stage in sorted({change.after for change in changes} - {NO_STAGE}):
            known = list(policy(key).stages)
            if stage not in known and any(isinstance(each, PolicyChange) for each in entry.changes):
                known += read_policy(self._repo, entry.commit, key).stages
            if stage not in known:
                has = ", ".join(known) or "none"
                why = f"{stage!r} is no stage of the policy, which has {has}. A new stage goes into the policy first"
                yield model, why
