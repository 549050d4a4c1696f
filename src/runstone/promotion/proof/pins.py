"""Git tags of versions beside what commits, and what remotes were seen to have, say that they are: none is ever made
anew, but by a sync that puts a run which nobody has yet on the tip of a remote.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from runstone import names
from runstone.errors import InvalidName, ModelNameShared, ModelRenamed
from runstone.git.repository import Repository
from runstone.promotion.proof.provenance import Break
from runstone.promotion.proof.reviewing import Reviewed, moved_versions
from runstone.registry.history.entry import Entry
from runstone.registry.keys import find_key
from runstone.registry.tag import read_seal
from runstone.tracking.former import Former, list_former

_REMOTE_TAGS = "refs/runstone/remote-tags/"
_TAGS = "refs/tags/"
_PINNED = re.compile(r"^(Model|Version|Tag|Seal): (.*)$", re.MULTILINE)


class Pin(NamedTuple):
    """What a commit says of the git tag of a version that it moved.

    Attributes:
        commit: The commit.
        seal: What the tag says, as `tag.read_seal` tells it; None of a commit that does not name it.
        is_vouched: Whether that counts, see `Reviewed.vouched`: else anybody could say that a tag was another one.
    """

    commit: str
    seal: str | None
    is_vouched: bool = True


class Pins:
    """The git tags of versions as commits named them when they moved the versions: `Version:`, `Tag:`, `Seal:`.

    Attributes:
        found: Model and version → id of a tag → where it was named first, by a commit whose word counts if one did.
    """

    def __init__(self, repo: Repository, tip: str | None) -> None:
        self._repo, self._tip = repo, tip
        self.found: dict[tuple[str, int], dict[str, Pin]] = {}

    def add(self, entry: Entry, reviewed: Reviewed) -> None:
        """Take what an entry, and the commits that it brought, say of versions that it moved."""
        moved = {(change.key, version) for change in entry.changes for version in moved_versions(change)}
        keys = {change.model: change.key for change in entry.changes}
        for text in (entry.message, *entry.messages) if moved else ():
            for model, version, tag, seal in _named_tags(text):
                place = keys.get(model) or self._key(model, entry.commit), version
                if place in moved:
                    pin = Pin(entry.commit, seal, place in reviewed.vouched)
                    known = self.found.setdefault(place, {}).setdefault(tag, pin)
                    if pin.is_vouched and not known.is_vouched:
                        self.found[place][tag] = pin

    def _key(self, model: str, commit: str) -> str:
        """The key of a model by the name that it had: when the commit was made, or has now."""
        for at in (commit, self._tip):
            with suppress(InvalidName, ModelRenamed, ModelNameShared):
                return find_key(self._repo, model, at)
        return names.encode_component(model)


def _named_tags(message: str) -> list[tuple[str, int, str, str | None]]:
    """The model, the version, the id of its git tag and its seal, of each version that a commit's message names so."""
    model, version = "", None
    found: list[tuple[str, int, str, str | None]] = []
    for key, value in _PINNED.findall(message):
        if key == "Model":
            model, version = value, None
        elif key == "Version":
            version = names.parse_version_number(value)
        elif model and version is not None and key == "Tag":
            found.append((model, version, value, None))
        elif key == "Seal" and found and found[-1][:2] == (model, version) and found[-1][3] is None:
            found[-1] = (*found[-1][:3], value)
    return found


def find_misnamed(
    repo: Repository,
    pins: Mapping[tuple[str, int], Mapping[str, Pin]],
    key: str | None = None,
    coming: Mapping[str, str] | None = None,
) -> Iterator[Break]:
    """Git tags that a commit names otherwise than they are, where that commit's word does not count: no more is known
    than that it says so.

    Args:
        repo: The repository.
        pins: What commits say.
        key: Only the versions of this model.
        coming: Tags that a push brings: ref → object.
    """
    here = {**repo.refs.list(_TAGS), **(coming or {})}
    for (model, version), tags in pins.items():
        tag = f"{model}@v{version}"
        now = here.get(_TAGS + tag)
        if now is None or key not in (None, model):
            continue
        for oid, pin in tags.items():
            if not pin.is_vouched and oid != now and not _is_same(repo, tag, now, oid, pin):
                why = f"it says that the git tag {tag} is {oid[:7]}, and it is {now[:7]}"
                yield Break(f"{_name(model)}/{version}", f"commit {pin.commit[:7]}", why, is_certain=False)


def find_moved(repo: Repository, pins: Mapping[tuple[str, int], Mapping[str, Pin]], key: str | None) -> Iterator[Break]:
    """What is not as it was when a commit of the registry whose word counts named it, or when a remote was looked at:
    git tags of versions, and the default branch of a remote.
    """
    here = repo.refs.list(_TAGS)
    for (model, version), tags in pins.items():
        tag = f"{model}@v{version}"
        now = here.get(_TAGS + tag)
        if now is None or key not in (None, model):
            continue
        found = next(
            (
                (oid, pin)
                for oid, pin in tags.items()
                if pin.is_vouched and oid != now and not _is_same(repo, tag, now, oid, pin)
            ),
            None,
        )
        if found is not None:
            why = f"it was {found[0][:7]} when commit {found[1].commit[:7]} moved the version, and is {now[:7]}"
            yield Break(f"{_name(model)}/{version}", f"git tag {tag}", f"{why}: it was made anew since")
    told = set()
    for ref, oid in repo.refs.list(_REMOTE_TAGS).items():
        remote, _, tag = ref.removeprefix(_REMOTE_TAGS).partition("/")
        parsed = names.parse_version_tag(tag)
        now = here.get(_TAGS + tag)
        if parsed is None or now is None or now == oid or key not in (None, parsed[0]):
            continue
        told.add((remote, tag))
        why = f"it is {now[:7]} here and {oid[:7]} on `{remote}`: one of them was made anew"
        yield Break(
            f"{_name(parsed[0])}/{parsed[1]}", f"git tag {tag}", f"{why}. Compare: `git show {now[:10]} {oid[:10]}`"
        )
    for each in list_former(repo):
        if (each.remote, each.tag) not in told:
            yield from _lost(each, key)


def _lost(former: Former, key: str | None) -> Iterator[Break]:
    if former.tag is None:
        yield Break("registry", f"branch {former.branch}", str(former))
        return
    parsed = names.parse_version_tag(former.tag)
    if parsed is not None and key in (None, parsed[0]):
        yield Break(f"{_name(parsed[0])}/{parsed[1]}", f"git tag {former.tag}", str(former))


def _is_same(repo: Repository, tag: str, now: str, was: str, pin: Pin) -> bool:
    """Whether a tag that was made anew says the same of the same record, as after a sync; told by the commit that named
    it, or where that did not say, by the tag that it named, if that is still here.
    """
    seal = pin.seal
    if seal is None:
        before = repo.objects.find(was) if repo.objects.is_id(was) else None
        seal = read_seal(repo, tag, before[2]) if before is not None and before[1] == "tag" else None
    found = repo.objects.find(now)
    return seal is not None and found is not None and found[1] == "tag" and read_seal(repo, tag, found[2]) == seal


def _name(key: str) -> str:
    return names.decode_component(key)
