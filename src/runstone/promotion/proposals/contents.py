"""What a proposal changes, read from its files: its subject and its trailers are whatever somebody wrote."""

from runstone.git.repository import CONFIG_FILE, Repository
from runstone.promotion.proposals.proposal import Proposal
from runstone.promotion.rules.settings import judged_changes
from runstone.registry.changes import Change


def changes_of(repo: Repository, proposal: Proposal) -> tuple[Change, ...]:
    """The facts of the registry, and the settings that guard it, that a proposal changes.

    Of one that is merged, or has nothing in common with the default branch, those of its last commit.
    """
    return judged_changes(repo, _base(repo, proposal), proposal.commit)


def contents(repo: Repository, proposal: Proposal) -> list[str]:
    """The same in words, one line a change; and what else it touches, so that nothing comes along unseen."""
    from runstone.promotion.report.described import describe

    found = [describe(change) for change in changes_of(repo, proposal)]
    beside = _beside(repo, proposal)
    if beside:
        found.append(f"files beside the registry: {', '.join(beside)}")
    return found or ["nothing"]


def _base(repo: Repository, proposal: Proposal) -> str | None:
    if proposal.base is not None and proposal.base != proposal.commit:
        return proposal.base
    parents = repo.objects.commit(proposal.commit).parents
    return parents[0] if parents else None


def _beside(repo: Repository, proposal: Proposal) -> list[str]:
    """What differs at the top of the tree, but for the registry and the settings, which are told as facts."""
    sides = []
    for commit in (_base(repo, proposal), proposal.commit):
        sides.append({} if commit is None else repo.objects.tree(repo.objects.commit(commit).tree))
    names = {name for side in sides for name in side} - {repo.config.registry.partition("/")[0], CONFIG_FILE}
    return sorted(name for name in names if sides[0].get(name) != sides[1].get(name))
