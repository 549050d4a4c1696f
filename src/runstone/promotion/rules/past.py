"""What stood in a stage, or where an alias pointed, in the past of the default branch: its first-parent line."""

from collections.abc import Iterator

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.records.stage import Stage
from runstone.registry.layout import Place

_MOST = 1000


def past_versions(repo: Repository, commit: str | None, place: Place) -> Iterator[tuple[int, ...]]:
    """The versions in a place after each commit that changed it, the newest first; what cannot be read is passed over.

    Args:
        repo: The repository.
        commit: The commit of the default branch to look back from; None before the first.
        place: A stage's or an alias's.
    """
    if commit is None:
        return
    path = place.path(repo.config.registry)
    options = ["--literal-pathspecs", "rev-list", "--first-parent", f"--max-count={_MOST}", commit]
    for oid in repo.git(*options, "--", path)[1].decode().split():
        entry = repo.objects.entry(repo.objects.commit(oid).tree, path)
        if entry is None or not entry.is_file:
            continue
        where = f"{path} at {oid[:7]}"
        try:
            document = yaml.load(repo.objects.blob(entry.oid), where)
            if place.kind == "stage":
                yield Stage.from_document(document, where).versions
            else:
                yield (Alias.from_document(document, where).version,)
        except (RecordInvalid, NewerFormat):
            continue


def has_held(repo: Repository, base: str | None, key: str, stage: str, version: int) -> bool:
    """Whether a version was in a stage before, by what the default branch says, whatever a proposal claims.

    Such a version goes back: what lets versions enter was asked of it then.

    Args:
        repo: The repository.
        base: The commit of the default branch.
        key: The model's folder.
        stage: The stage.
        version: The version.
    """
    return any(version in versions for versions in past_versions(repo, base, Place("stage", key, stage)))
