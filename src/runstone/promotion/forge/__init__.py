"""Forges: the table of those that are known, and which of them holds the project of a git remote."""

from collections.abc import Callable

from runstone.git.repository import Repository
from runstone.promotion.forge.protocol import Forge, ForgeKind, Patience, Request, RequestInfo
from runstone.promotion.forge.servers import Place, find_place


def _github(place: Place, patience: Patience) -> Forge:
    from runstone.promotion.forge.github import GitHub

    return GitHub(place, patience)


def _gitlab(place: Place, patience: Patience) -> Forge:
    from runstone.promotion.forge.gitlab import GitLab

    return GitLab(place, patience)


def _gitea(place: Place, patience: Patience) -> Forge:
    from runstone.promotion.forge.gitea import Gitea

    return Gitea(place, patience)


FORGES: dict[ForgeKind, Callable[[Place, Patience], Forge]] = {"github": _github, "gitlab": _gitlab, "gitea": _gitea}
"""What makes the forge of a kind; its module is imported then."""


def find_forge(repo: Repository, remote: str, *, patience: Patience | None = None) -> Forge | None:
    """The forge that holds the project of a remote; None if none that is known does. Asks nobody.

    Known are github.com, gitlab.com, codeberg.org and gitea.com; what `GITHUB_SERVER_URL`, `GH_HOST`, `CI_SERVER_URL`,
    `GITLAB_URL`, `GITLAB_HOST`, `GITEA_URL` and `FORGEJO_URL` name; and what `forge` in runstone.yaml says. The token
    is that of `GH_TOKEN` or `GITHUB_TOKEN`, of `GITLAB_TOKEN` (or, to read, `CI_JOB_TOKEN`), or of `GITEA_TOKEN` or
    `FORGEJO_TOKEN`. Without one, the forge still knows its addresses (`can_write` is False).

    Args:
        repo: The repository.
        remote: A remote's name.
        patience: How long the forge is waited for.

    Raises:
        UsageError: `forge` in runstone.yaml and the remote contradict each other.
    """
    place = find_place(repo, remote)
    if place is None:
        return None
    return FORGES[place.kind](place, patience or Patience())


__all__ = ["FORGES", "Forge", "Patience", "Request", "RequestInfo", "find_forge"]
