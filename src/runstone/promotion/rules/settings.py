"""The settings that say what is guarded, and whose yes is whose: a change of them counts as one of the policy.

Else one could turn review off, or point it elsewhere, or make two people of one, and be judged by nobody.
"""

from runstone.errors import NewerFormat, RecordInvalid, UsageError
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.records.config import Config
from runstone.registry.changes import Change, PolicyChange, read_changes
from runstone.registry.people import MAILMAP
from runstone.registry.state import read_config as read_config


def with_settings(repo: Repository, config: Config) -> Repository:
    """The same repository, read by settings that are not those of its work tree."""
    try:
        if config == repo.config:
            return repo
    except (RecordInvalid, NewerFormat, UsageError):
        pass  # of the work tree
    repo.objects, repo.refs  # noqa: B018  # made, so that both share them
    return repo.seen_with(config)


def settings_changes(repo: Repository, base: str | None, head: str) -> tuple[PolicyChange, ...]:
    """The changes between two commits of what decides who guards: `promotion`, `registry` or `branch` in
    `runstone.yaml`, where it guards less then, and `.mailmap`, which says who is who.

    To turn review on takes nobody's yes. What the settings of the base cannot be read for is a change, too: nobody can
    tell that it is none.

    Args:
        repo: The repository.
        base: The commit that judges; before the first nothing is guarded.
        head: The commit that is judged.
    """
    if base is None:
        return ()
    old, new = (repo.objects.commit(each).tree for each in (base, head))
    found = []
    for path in (CONFIG_FILE, MAILMAP):
        before, after = (repo.objects.entry(tree, path) for tree in (old, new))
        if before != after and (path == MAILMAP or _is_weaker(repo, base, head)):
            blobs = (entry.oid if entry is not None else None for entry in (before, after))
            found.append(PolicyChange("", path, *blobs))
    return tuple(found)


def _is_weaker(repo: Repository, base: str, head: str) -> bool:
    try:
        return guards_less(read_config(repo, base), read_config(repo, head))
    except (RecordInvalid, NewerFormat):
        return True  # a file that cannot be read guards nothing either


def guards_less(was: Config, now: Config) -> bool:
    """Whether settings end the reviews, or point them elsewhere."""
    return now.promotion not in (was.promotion, "review") or (was.registry, was.branch) != (now.registry, now.branch)


def is_settings(change: Change) -> bool:
    """Whether a change is one of the settings: then its `model` is the file, `runstone.yaml` or `.mailmap`."""
    return isinstance(change, PolicyChange) and not change.key and change.model in (CONFIG_FILE, MAILMAP)


def judged_changes(repo: Repository, base: str | None, head: str) -> tuple[Change, ...]:
    """All that is judged between two commits: what changed in the registry, and in the settings that guard it.

    Warns:
        RecordsSkipped: As `read_changes`.
    """
    return (*read_changes(repo, base, head), *settings_changes(repo, base, head))


def changes_file(repo: Repository, base: str | None, head: str, path: str) -> bool:
    """Whether what stands at a path differs between two commits."""
    trees = (None if each is None else repo.objects.commit(each).tree for each in (base, head))
    before, after = (None if tree is None else repo.objects.entry(tree, path) for tree in trees)
    return before != after
