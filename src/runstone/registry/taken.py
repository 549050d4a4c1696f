"""Names that two models have: by their own files, or as the first name, which a model keeps beside its present one for
as long as it has any file or git tag.

Whoever takes a name that another model has would be served in its place, whatever guards the other one.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from runstone.errors import RecordsSkipped
from runstone.git.repository import Repository
from runstone.names import decode_component, encode_component
from runstone.registry.keys import is_key, read_model_file
from runstone.registry.numbers import read_all_numbers


class Clash(NamedTuple):
    """A name that two models have.

    Attributes:
        name: The name, as a key.
        keys: The two, sorted.
        by_tags: Which of them has git tags alone, if one does.
    """

    name: str
    keys: tuple[str, str]
    by_tags: str | None = None

    def describe(self, registry: str) -> str:
        """A sentence, and what to do."""
        first, second = (
            f"the git tags `{key}@v…`" if key == self.by_tags else f"`{registry}/{key}`" for key in self.keys
        )
        step = "Give the one that came later another `name`"
        return f"{decode_component(self.name)!r} is a name of two models: {first} and {second}. {step}"


@dataclass
class Names:
    """Who has which name, at one commit after the other: read anew is only what differs from the one before."""

    repo: Repository
    _folder: str | None = None
    _trees: dict[str, str] = field(default_factory=dict)
    _present: dict[str, str] = field(default_factory=dict)
    _keys: dict[str, set[str]] = field(default_factory=dict)
    _tagged: frozenset[str] | None = None

    def clashes(self, commit: str | None, keys: Iterable[str] | None = None) -> set[Clash]:
        """The names that some models have at a commit and others, too.

        Args:
            commit: A full id; None before the first.
            keys: The models; all that have files if None.
        """
        if commit is None:
            return set()
        self._go_to(commit)
        if self._tagged is None:
            self._tagged = frozenset(key for key in read_all_numbers(self.repo) if is_key(key))
        found: set[Clash] = set()
        for key in self._present if keys is None else keys:
            if key not in self._present:
                continue
            for name in {key, self._present[key]}:
                others = self._keys.get(name, set()) - {key}
                found |= {_clash(name, key, other) for other in others}
                if name != key and name in self._tagged and name not in others:
                    found.add(_clash(name, key, name)._replace(by_tags=name))
        return found

    def _go_to(self, commit: str) -> None:
        repo = self.repo
        entry = repo.objects.entry(repo.objects.commit(commit).tree, repo.config.registry)
        folder = entry.oid if entry is not None and entry.is_tree else ""
        if folder == self._folder:
            return
        now = {key: each.oid for key, each in repo.objects.tree(folder).items() if each.is_tree} if folder else {}
        for key in self._trees.keys() - now.keys():
            self._forget(key)
        for key, tree in now.items():
            if self._trees.get(key) == tree or not is_key(key):
                continue
            self._forget(key)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RecordsSkipped)  # told by whoever reads the file for what it says
                file = read_model_file(repo, commit, key)
            self._present[key] = encode_component(file.name) if file is not None and file.name is not None else key
            for name in {key, self._present[key]}:
                self._keys.setdefault(name, set()).add(key)
        self._folder, self._trees = folder, now

    def _forget(self, key: str) -> None:
        for name in {key, self._present.pop(key, key)}:
            self._keys.get(name, set()).discard(key)


def _clash(name: str, one: str, other: str) -> Clash:
    first, second = sorted((one, other))
    return Clash(name, (first, second))
