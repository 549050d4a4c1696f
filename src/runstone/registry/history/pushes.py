"""The events of what was pushed: a range of the default branch, git tags of versions, refs as hooks are told them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from time import time

from runstone import names
from runstone.errors import CannotDecide, UsageError, VersionNotFound
from runstone.git.repository import Repository
from runstone.records.document import parse_seconds
from runstone.registry.branch import default_branch
from runstone.registry.changes import files_beside, read_changes
from runstone.registry.history.events import Event, of_change, of_entries, of_removed_tag, of_tag
from runstone.registry.history.line import read_history
from runstone.registry.history.past import line_commit
from runstone.registry.history.tags import VersionTag, read_version_tag, read_version_tags
from runstone.registry.keys import find_key, find_name

_TAGS = "refs/tags/"


@dataclass(frozen=True, slots=True)
class RefMove:
    """A ref that was pushed, as git tells its hooks: full ids, None for nothing."""

    ref: str
    old: str | None
    new: str | None


def events_between(repo: Repository, old: str | None, new: str | None) -> list[Event]:
    """The events of what came onto the default branch, commit by commit.

    Where the line of `new` does not lead back to `old`, as after a forced push, or in a shallow clone that holds just
    these two, it is the difference between them that is told, as of `new`.

    Args:
        repo: The repository.
        old: Where the branch was, a full id; None if there was none.
        new: Where it is; None if it is gone, which is no event of the registry's.
    """
    if new is None or new == old:
        return []
    if old is None or _is_on_line(repo, old, new):
        return list(of_entries(repo, read_history(repo, tip=new, since=old).entries))
    seconds = repo.objects.commit(new).committer.rsplit(" ", 2)[-2]
    moment = parse_seconds(seconds)
    origin = {"commit": new, "before": old}
    return [event for change in read_changes(repo, old, new) for event in of_change(repo, change, moment, origin)]


def events_of_refs(repo: Repository, moves: Iterable[RefMove]) -> list[Event]:
    """The events of refs that were pushed; refs that the registry has nothing to do with have none."""
    branch = f"refs/heads/{default_branch(repo)}"
    found: list[Event] = []
    for move in moves:
        if move.ref == branch:
            found += events_between(repo, move.old, move.new)
        elif move.ref.startswith(_TAGS):
            found += _of_tag_move(repo, move)
    return found


def events_of_version(repo: Repository, name: str) -> list[Event]:
    """The events of a version's git tag that exists.

    Args:
        repo: The repository.
        name: `churn/4`, `models:/churn/4`, or the tag: `churn@v4`, `churn@v4!` for its retirement.

    Raises:
        VersionNotFound: There is no such version.
        UsageError: It is the name of no version.
    """
    tag = name.removeprefix(_TAGS)
    if names.parse_version_tag(tag) is None:
        model, _, number = name.removeprefix("models:/").rpartition("/")
        if names.parse_version_number(number) is None:
            raise UsageError(f"{name!r} names no version. Write it as churn/4, or as its git tag, churn@v4.")
        tag = f"{find_key(repo, model)}@v{number}"
    made = read_version_tag(repo, tag)
    if made is None:
        key, version, _ = names.parse_version_tag(tag) or ("", 0, False)
        known = [each.version for each in read_version_tags(repo, key) if not each.is_retirement]
        raise VersionNotFound(find_name(repo, key), version, known)
    return _made(repo, made)


def _of_tag_move(repo: Repository, move: RefMove) -> list[Event]:
    tag = move.ref.removeprefix(_TAGS)
    if move.new is None:
        event = of_removed_tag(tag, move.old or "", round(time() * 1000))
        return [event] if event is not None else []
    made = read_version_tag(repo, tag)
    if made is None or made.oid != move.new:
        return []  # none of ours, or moved again since: the later push tells of it
    if move.old is None:
        return _made(repo, made)
    event = of_tag(made, find_name(repo, made.key))
    return [replace(event, action="updated", origin={**event.origin, "previous_object": move.old})]


def _made(repo: Repository, tag: VersionTag) -> list[Event]:
    """The event of a tag; a model that has no file of its own begins with its first version."""
    event = of_tag(tag, find_name(repo, tag.key))
    begins = tag.version == 1 and not tag.is_retirement and not _has_file(repo, line_commit(repo, tag.time), tag.key)
    if not begins:
        return [event]
    data = {"name": event.data["name"], "tags": {}, "description": None}
    return [replace(event, entity="registered_model", data=data), event]


def _has_file(repo: Repository, commit: str | None, key: str) -> bool:
    return bool(files_beside(repo, commit, key, stages=False))


def _is_on_line(repo: Repository, old: str, new: str) -> bool:
    """Whether the first parents of `new` lead to `old`."""
    _, out = repo.git("rev-list", "--first-parent", "--parents", new, f"^{old}")
    lines = out.decode().splitlines()
    return bool(lines) and lines[-1].split(" ")[1:2] == [old]


def resolve(repo: Repository, revision: str) -> str | None:
    """The full id of a commit that a push is about; None for none, which git writes as zeros.

    Raises:
        CannotDecide: It is not in this clone.
    """
    if revision.strip("0") == "" and len(revision) == len(repo.objects.zero):
        return None
    found = repo.objects.resolve(revision)
    if found is None:
        step = "git fetch --unshallow" if repo.shallow else "git fetch origin"
        raise CannotDecide(
            f"The commit {revision} is not in this clone, so what has changed since cannot be told. Fetch it: `{step}`"
        )
    return found
