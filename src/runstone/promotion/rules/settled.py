"""By which settings a proposal is judged: those of its base. What the work tree says does not count, since in a job of
CI it is the proposal's own.
"""

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.repository import Repository
from runstone.promotion.rules.settings import read_config, with_settings
from runstone.records.config import Config
from runstone.tracking.workspace import Workspace


def settled(workspace: Workspace, base: str | None, head: str) -> Workspace:
    """The same repository, read by the settings that judge.

    They are those at the base. Where no registry was there, the head may say where it begins.

    Args:
        workspace: The repository.
        base: The commit that judges; None before the first.
        head: The commit that is judged.
    """
    repo = workspace.repo
    config = _config_at(repo, base)
    if base is None or repo.objects.entry(repo.objects.commit(base).tree, config.registry) is None:
        config = _config_at(repo, head)
    found = with_settings(repo, config)
    return workspace if found is repo else Workspace(found)


def _config_at(repo: Repository, commit: str | None) -> Config:
    """The settings at a commit; the usual ones if they cannot be read, which is told where they are judged."""
    try:
        return read_config(repo, commit)
    except (RecordInvalid, NewerFormat):
        return Config()
