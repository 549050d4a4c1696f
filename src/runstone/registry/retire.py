"""Retire a model version: a further git tag `<key>@v<N>!`. The version stays in git, and its number is never reused."""

from runstone.errors import VersionInUse, VersionNotFound
from runstone.errors.base import in_quotes, quoted
from runstone.git.repository import Repository
from runstone.records.policy import Approvals
from runstone.records.stage import NO_STAGE
from runstone.registry import branch
from runstone.registry.alias import alias_changes
from runstone.registry.allocate import retire_number
from runstone.registry.message import format_message, version_rows
from runstone.registry.numbers import read_numbers
from runstone.registry.stage import stage_changes
from runstone.registry.state import read_model_state, read_policy, reviews, with_unknown
from runstone.registry.version import ModelVersion, get_version
from runstone.tracking.values import check_text
from runstone.tracking.workspace import Workspace


def retire_version(workspace: Workspace, name: str, version: int, *, reason: str | None = None) -> ModelVersion:
    """Retire a version: it is found and listed no more, and leaves its stage and its aliases.

    Interrupted, it may be called again: what is missing is done.

    Args:
        workspace: The repository.
        name: The model.
        version: Its number.
        reason: Why, for those who come across it later.

    Returns:
        The version as it was.

    Writes:
        The git tag: on the shared remote first, where there is one, then here. One commit on the default branch, if
        the version is in a stage or has an alias.

    Raises:
        ModelNotFound, VersionNotFound: There is no such version, or it is retired already.
        VersionInUse: It is in a stage or has an alias, and who takes it from there needs approval.
        VersionNotAllotted: The remote cannot be reached, or does not take the tag. Nothing was changed.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged: The commit cannot be made now: call it again later.
    """
    repo = workspace.repo
    if reason is not None:
        reason = workspace.redactor.text(check_text("reason", "reason", reason), key="reason")
    found = get_version(repo, name, version, include_retired=True)
    is_used = bool(found.aliases) or found.current_stage != NO_STAGE
    if found.retired is not None and not is_used:
        raise VersionNotFound(name, version, read_numbers(repo, found.key).present, is_retired=True)
    _refuse_if_guarded(repo, found)
    if found.retired is None:
        message = f"Retire {found.name} version {version}\n\n{(reason or '').strip()}"
        retire_number(workspace, found.key, version, found.commit, message)
    if is_used:
        message = format_message(
            f"Retire {found.name} v{version}",
            [("Model", found.name), *version_rows(repo, found.key, [version])],
        )
        branch.commit_files(repo, lambda base: _without(repo, base, found.key, version), message)
    return found


def _refuse_if_guarded(repo: Repository, version: ModelVersion) -> None:
    """Refuse what needs somebody's approval: then it is proposed, and not done at once."""
    commit = branch.registry_commit(repo)
    policy = read_policy(repo, commit, version.key)
    usual = Approvals(count=1 if reviews(repo, commit) else 0)
    used, step = [], ""
    stage = policy.stages.get(version.current_stage)
    if version.current_stage != NO_STAGE and ((stage.approvals if stage else None) or usual).count:
        used.append(f"in {version.current_stage}")
        step = f"runstone demote {in_quotes(version.name)} {version.version} --propose"
    for alias in version.aliases:
        if (policy.alias_rule(alias).approvals or usual).count:
            used.append(f"{version.name}@{alias}")
            step = step or f"runstone models alias {in_quotes(version.name)} {quoted(alias)} --delete"
    if used:
        raise VersionInUse(version.name, version.version, used, step)


def _without(repo: Repository, base: str | None, key: str, version: int) -> dict[str, str | None]:
    """The files that name a version, without it."""
    state, registry = read_model_state(repo, base, key), repo.config.registry
    changes = stage_changes(registry, state, {version: NO_STAGE})
    for alias in state.aliases_of(version):
        changes |= alias_changes(registry, state, alias, None)
    return with_unknown(repo, base, changes)
