"""Names that a model cannot get: those that others have, and those under which a deleted one has given out versions.

A version once given under a name must never be given again as another one. A model keeps its key, so one that is made
again counts on. But a model that was renamed and then deleted leaves its last name to nobody's key, and a new one of
that name would begin at 1. The tags that retired its versions say the name, and so does the file that was removed.
"""

import re
from collections.abc import Iterator, Mapping

from runstone import names
from runstone.errors import InvalidName, ModelExists, NewerFormat, RecordInvalid
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.model_file import ModelFile
from runstone.registry.branch import registry_commit
from runstone.registry.keys import is_key
from runstone.registry.layout import parse_path
from runstone.registry.numbers import TAGS, Numbers, read_all_numbers
from runstone.registry.state import ModelState, read_states

_SUBJECT = re.compile(r"\n\nRetire (.+) version [0-9]+$", re.MULTILINE)


def refuse_former(
    repo: Repository,
    name: str,
    key: str,
    *,
    known: Mapping[str, Numbers] | None = None,
    commit: str | None = None,
) -> None:
    """Refuse a name that versions of a model with another key had when they were retired.

    Args:
        repo: The repository.
        name: What a model is to be called.
        key: The key it has or gets.
        known: The git tags of all versions; those that are here if None.
        commit: The commit of the default branch to look back from; the registry's if None.

    Raises:
        ModelExists: A deleted model had the name.
    """
    if repo.refs.read(f"{TAGS}{names.encode_component(name)}@v1") is not None:
        return  # the name's own key has given numbers, and counts on: the usual case, without a scan
    taken = ModelExists(name, "versions of a deleted model were given under this name, which mean those for ever")
    known = read_all_numbers(repo) if known is None else known
    for other, former in _removed_names(repo, commit or registry_commit(repo)):
        if former == name and other != key and other in known:
            raise taken
    for other, numbers in known.items():
        if other == key or numbers.present or not numbers.retired:
            continue
        _, _, data = repo.objects.read(numbers.retired[max(numbers.retired)])
        subject = _SUBJECT.search(data.decode("utf-8", "replace"))
        if subject is not None and subject[1] == name:
            raise taken


def refuse_taken(repo: Repository, base: str | None, name: str, key: str, *, own: str | None) -> None:
    """Refuse a name that another model has, or had first, or that differs from one by case alone.

    On many disks folders and git tags that differ by case alone are one.

    Args:
        repo: The repository.
        base: The commit to ask as of.
        name: What a model is to be called.
        key: The key that a new model of this name would get.
        own: The key of the model, if it is there already.

    Raises:
        ModelExists, InvalidName: It is taken, or nearly so.
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


def _removed_names(repo: Repository, commit: str | None) -> Iterator[tuple[str, str]]:
    """Key and name of each `model.yaml` that was removed from the default branch and gave a name of its own."""
    if commit is None:
        return
    registry = repo.config.registry
    options = [
        "--first-parent",
        "--diff-merges=first-parent",
        "--diff-filter=D",
        "--raw",
        "--no-renames",
        "--no-abbrev",
    ]
    _, out = repo.git("--literal-pathspecs", "log", "-z", "--format=", *options, commit, "--", registry)
    tokens = iter(out.decode("utf-8", "surrogateescape").split("\0"))
    for token in tokens:
        if not token.lstrip("\n").startswith(":"):
            continue
        path, blob = next(tokens, ""), token.split(" ")[2]
        place = parse_path(registry, path)
        if place is None or place.kind != "model":
            continue
        try:
            file = ModelFile.from_document(yaml.load(repo.objects.blob(blob), path), path)
        except (RecordInvalid, NewerFormat):
            continue
        if file.name is not None:
            yield place.key, file.name
