"""The numbers of model versions: which git tags `<key>@v<N>` and `<key>@v<N>!` there are, by one look at the refs.

Nothing is read here of what the tags say, so one that only looks like a version counts, too: its number is taken.
"""

import os
import re
from collections.abc import Container, Iterable, Mapping

from runstone import names
from runstone.errors import InvalidName
from runstone.git.repository import Repository

TAGS = "refs/tags/"
_SEEN = "refs/runstone/remote-tags/"


class Numbers:
    """The version tags of one model.

    Attributes:
        versions: Number → what the git tag names.
        retired: The same of the tags that retire versions.
    """

    __slots__ = ("retired", "versions")

    def __init__(self, versions: dict[int, str] | None = None, retired: dict[int, str] | None = None) -> None:
        self.versions = {} if versions is None else versions
        self.retired = {} if retired is None else retired

    @property
    def present(self) -> list[int]:
        """The numbers that are not retired, ascending."""
        return sorted(self.versions.keys() - self.retired.keys())

    @property
    def highest(self) -> int:
        """The highest number ever given; 0 if none was. A retirement gives none: anybody could burn all numbers."""
        return max(self.versions, default=0)


def read_numbers(repo: Repository, key: str) -> Numbers:
    """The version tags of one model."""
    return parse_numbers(repo.refs.list(f"{TAGS}{key}@v*")).get(key, Numbers())


def read_all_numbers(repo: Repository) -> dict[str, Numbers]:
    """The version tags of all models, by key."""
    return parse_numbers(repo.refs.list(f"{TAGS}*@v*"))


def highest_here(repo: Repository, key: str) -> int:
    """The highest number of a model's versions here; 0 if it has none. As `Numbers.highest`, retirements give none.

    Asked at every registration, so it reads git's files and starts no process, where git keeps refs in files.
    """
    if repo.git_config.get("extensions.refstorage", "files") != "files":
        return read_numbers(repo, key).highest
    start = f"{TAGS}{key}@v"
    try:
        packed = (repo.common_dir / "packed-refs").read_bytes()
    except FileNotFoundError:
        packed = b""
    found = re.findall(b" " + re.escape(start.encode()) + rb"([1-9][0-9]{0,17})$", packed, re.MULTILINE)
    loose = f"{key}@v"
    try:
        with os.scandir(repo.common_dir / "refs" / "tags") as entries:
            rest = [entry.name.removeprefix(loose) for entry in entries if entry.name.startswith(loose)]
    except FileNotFoundError:
        rest = []
    known = (names.parse_version_number(text) for text in [*map(bytes.decode, found), *rest])
    return max(filter(None, known), default=0)


def next_number(repo: Repository, key: str, highest: int, others: Container[str] = ()) -> int:
    """The number after the highest one; where that is retired before it was given, the next that is not.

    Args:
        repo: The repository.
        key: The model.
        highest: The highest number of its versions.
        others: The refs of a remote.
    """
    number = highest + 1
    while (ref := f"{TAGS}{key}@v{number}!") in others or repo.refs.read(ref) is not None:
        number += 1
    return number


def highest_seen(repo: Repository, remote: str, key: str) -> int:
    """The highest number that a remote was seen to have, by what is kept here; 0 if none."""
    refs = repo.refs.list(f"{_SEEN}{remote}/{key}@v*")
    start = f"{_SEEN}{remote}/"
    return parse_numbers({TAGS + ref.removeprefix(start): oid for ref, oid in refs.items()}).get(key, Numbers()).highest


def parse_numbers(refs: Mapping[str, str]) -> dict[str, Numbers]:
    """Refs as git or a remote lists them → the version tags among them, by key; all others are left out."""
    found: dict[str, Numbers] = {}
    for ref, oid in refs.items():
        parsed = names.parse_version_tag(ref.removeprefix(TAGS)) if ref.startswith(TAGS) else None
        if parsed is None or ref.endswith("^{}"):
            continue
        key, number, is_retired = parsed
        if key.lower() in names.RESERVED_KEYS:
            continue  # no model can be called so, whoever pushed it
        numbers = found.setdefault(key, Numbers())
        (numbers.retired if is_retired else numbers.versions)[number] = oid
    return found


def refuse_other_case(key: str, known: Iterable[str]) -> None:
    """On many disks tags that differ by case alone are one file, so a clone there would lose one of the models.

    Raises:
        InvalidName: One of the known keys is such a one.
    """
    for other in known:
        if other != key and other.lower() == key.lower():
            name, clash = names.decode_component(key), names.decode_component(other)
            raise InvalidName("model", name, f"it differs from the model {clash!r} by case alone")
