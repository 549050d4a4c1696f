"""Who was there before: the former holders of a stage, or the former target of an alias, out of the branch's history.

A rollback undoes the last change as `git revert` does: it restores what stood there before the present one came. So a
second rollback undoes the first.
"""

from runstone.errors import NoFormerHolder
from runstone.git.repository import Repository
from runstone.promotion.proposals.ground import Ground
from runstone.promotion.rules.past import past_versions
from runstone.registry.layout import Place


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
    for versions in past_versions(repo, ground.commit, place):
        kept = tuple(version for version in versions if version in live)
        if kept and kept != present:
            return kept
    raise NoFormerHolder(ground.model, place.name, shallow=repo.shallow)


def _present(ground: Ground, place: Place) -> tuple[int, ...]:
    if place.kind == "stage":
        return ground.state.stages.get(place.name, ())
    target = ground.state.aliases.get(place.name)
    return () if target is None else (target,)
