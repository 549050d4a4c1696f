"""The settings in `runstone.yaml` that say what is guarded: a change of them counts as one of the policy.

Else one could turn review off, or point it elsewhere, and be judged by nobody.
"""

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.records import yaml
from runstone.records.config import Config
from runstone.registry.changes import Change, PolicyChange, read_changes


def read_config(repo: Repository, commit: str | None) -> Config:
    """The settings in `runstone.yaml` at a commit; the default ones before the first.

    Raises:
        RecordInvalid, NewerFormat: The file cannot be read.
    """
    entry = None if commit is None else repo.objects.entry(repo.objects.commit(commit).tree, CONFIG_FILE)
    if commit is None or entry is None or not entry.is_file:
        return Config()
    where = f"{CONFIG_FILE} at {commit[:7]}"
    return Config.from_document(yaml.load(repo.objects.blob(entry.oid), where), where)


def settings_change(repo: Repository, base: str | None, head: str) -> PolicyChange | None:
    """The change of `promotion`, `registry` or `branch` between two commits, if there is one that guards less.

    To turn review on takes nobody's yes. What the settings of the base cannot be read for is a change, too: nobody can
    tell that it is none.

    Args:
        repo: The repository.
        base: The commit that judges; before the first nothing is guarded.
        head: The commit that is judged.
    """
    if base is None:
        return None
    before, after = (repo.objects.entry(repo.objects.commit(each).tree, CONFIG_FILE) for each in (base, head))
    if before == after:
        return None
    try:
        was, now = read_config(repo, base), read_config(repo, head)
        is_as_strict = now.promotion in (was.promotion, "review")
        if is_as_strict and (was.registry, was.branch) == (now.registry, now.branch):
            return None
    except (RecordInvalid, NewerFormat):
        pass  # a file that cannot be read guards nothing either
    blobs = (entry.oid if entry is not None else None for entry in (before, after))
    return PolicyChange("", CONFIG_FILE, *blobs)


def is_settings(change: Change) -> bool:
    """Whether a change is one of the settings: then it is told of `runstone.yaml`."""
    return isinstance(change, PolicyChange) and not change.key and change.model == CONFIG_FILE


def judged_changes(repo: Repository, base: str | None, head: str) -> tuple[Change, ...]:
    """All that is judged between two commits: what changed in the registry, and in the settings that guard it.

    Warns:
        RecordsSkipped: As `read_changes`.
    """
    found = settings_change(repo, base, head)
    return (*read_changes(repo, base, head), *([] if found is None else [found]))
