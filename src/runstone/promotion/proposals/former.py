"""Who was there before: the former holders of a stage, or the former target of an alias, out of the branch's history.

A rollback undoes the last change as `git revert` does: it restores what stood there before the present one came. So a
second rollback undoes the first.
"""

from collections.abc import Iterator

from runstone.errors import NewerFormat, NoFormerHolder, RecordInvalid
from runstone.git.repository import Repository
from runstone.promotion.proposals.ground import Ground
from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.records.stage import Stage
from runstone.registry import branch
from runstone.registry.layout import Place

_MOST = 1000


def former_versions(repo: Repository, ground: Ground, place: Place) -> tuple[int, ...]:
    """The versions that last stood in a place and are not those there now; retired ones left out.

    Args:
        repo: The repository.
        ground: The model as it stands.
        place: A stage's or an alias's.

    Raises:
        NoFormerHolder: Nothing else ever stood there, as far as the history here reaches.
    """
    live, present = set(ground.numbers.present), _present(ground, place)
    for versions in _past(repo, ground.commit, place):
        kept = tuple(version for version in versions if version in live)
        if kept and kept != present:
            return kept
    raise NoFormerHolder(ground.model, place.name, shallow=repo.shallow)


def _present(ground: Ground, place: Place) -> tuple[int, ...]:
    if place.kind == "stage":
        return ground.state.stages.get(place.name, ())
    target = ground.state.aliases.get(place.name)
    return () if target is None else (target,)


def _past(repo: Repository, commit: str | None, place: Place) -> Iterator[tuple[int, ...]]:
    """What stood there after each commit that changed it, the newest first; what cannot be read is passed over."""
    if commit is None:
        return
    path = place.path(repo.config.registry)
    options = ["--literal-pathspecs", "rev-list", "--first-parent", f"--max-count={_MOST}", commit]
    for oid in repo.git(*options, "--", path)[1].decode().split():
        text = branch.read_file(repo, oid, path)
        if text is None:
            continue
        where = f"{path} at {oid[:7]}"
        try:
            document = yaml.load(text, where)
            if place.kind == "stage":
                yield Stage.from_document(document, where).versions
            else:
                yield (Alias.from_document(document, where).version,)
        except (RecordInvalid, NewerFormat):
            continue
