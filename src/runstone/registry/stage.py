"""Stages: which versions of a model are in Staging, in Production …; one small file each on the default branch.

A version is in at most one stage, and a stage without versions has no file. What may move where is the policy's
business, and is judged by promotions; here the files are read and written.
"""

from collections.abc import Mapping

from runstone.errors import ReviewRequired, StageNotFound, UnknownStage, UsageError
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.stage import NO_STAGE, Stage
from runstone.registry import branch
from runstone.registry.keys import find_key
from runstone.registry.layout import Place
from runstone.registry.message import format_message, version_rows
from runstone.registry.numbers import read_numbers
from runstone.registry.state import ModelState, read_model_state, read_policy, with_unknown
from runstone.registry.version import ModelVersion, get_version, list_versions, no_version, version_at

ARCHIVED = "Archived"
_ARCHIVING = ("Staging", "Production")


def get_version_by_stage(repo: Repository, name: str, stage: str) -> ModelVersion:
    """The newest version of a model in a stage; how the stage's name is written, large or small, does not matter.

    `None` is the newest one that is in no stage.

    Raises:
        ModelNotFound: There is no such model, or it has no version.
        StageNotFound: No version is in a stage of this name.
        VersionNotFound: The file names a version that is not there.
        RecordInvalid: The file cannot be read.

    Source: MLflow's documentation, `models:/<name>/<stage>`.
    """
    commit = branch.registry_commit(repo)
    key = find_key(repo, name, commit)
    folder = f"{repo.config.registry}/{key}/stages"
    files = {} if commit is None else branch.list_folder(repo, commit, folder)
    known = sorted(file.removesuffix(".yaml") for file, entry in files.items() if not entry.is_tree)
    found = [each for each in known if each == stage] or [each for each in known if each.lower() == stage.lower()]
    versions = _read(repo, commit, f"{folder}/{found[0]}.yaml") if commit is not None and found else ()
    if stage.lower() == NO_STAGE.lower():
        versions = tuple(each.version for each in list_versions(repo, name) if each.current_stage == NO_STAGE)
    if not versions:
        if not read_numbers(repo, key).present:
            raise no_version(repo, name, key)
        raise StageNotFound(name, stage, [each for each in known if each not in found])
    return version_at(repo, commit, name, key, max(versions))


def stage_changes(registry: str, state: ModelState, moves: Mapping[int, str]) -> dict[str, str | None]:
    """The files to write so that versions come to be in stages; see `with_unknown` for keys to carry through.

    Args:
        registry: The registry's folder.
        state: The model as it stands.
        moves: Version → its stage to be, `None` for no stage. Other versions stay where they are.

    Returns:
        Path → text; None for a stage's file that goes, since no version is left in it.
    """
    after = {stage: {v for v in versions if v not in moves} for stage, versions in state.stages.items()}
    for version, stage in moves.items():
        if stage != NO_STAGE:
            after.setdefault(stage, set()).add(version)
    return {
        Place("stage", state.key, stage).path(registry): (
            yaml.dump(Stage.of(versions).to_document()) if versions else None
        )
        for stage, versions in sorted(after.items())
        if versions != set(state.stages.get(stage, ()))
    }


def set_stage(repo: Repository, name: str, version: int, stage: str, *, archive_existing: bool = False) -> str:
    """Put a version into a stage, in place of the one that it is in, whatever gates the policy has.

    Args:
        repo: The repository.
        name: The model.
        version: The version.
        stage: One of the policy's, written large or small; `None` takes the version out of its stage.
        archive_existing: Whether all others in the stage go to Archived; only for Staging and Production.

    Returns:
        The stage, as the policy writes it.

    Writes:
        `registry/<model>/stages/`, one commit on the default branch; nothing if the version is there already.

    Raises:
        ModelNotFound, VersionNotFound: There is no such version.
        UnknownStage: The policy has no such stage.
        UsageError: `archive_existing` with another stage.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
        ReviewRequired: `runstone.yaml` says that promotions are reviewed.

    Source: MLflow's documentation, `transition_model_version_stage`.
    """
    found = get_version(repo, name, version)
    if repo.config.promotion == "review":
        raise ReviewRequired(f"{found.name} v{version}")
    key = found.key
    target = before = NO_STAGE
    displaced: tuple[int, ...] = ()

    def plan(base: str | None) -> branch.Changes:
        nonlocal target, displaced, before
        state, policy = read_model_state(repo, base, key), read_policy(repo, base, key)
        known = NO_STAGE if stage.lower() == NO_STAGE.lower() else policy.find_stage(stage)
        if known is None:
            raise UnknownStage(stage, list(policy.stages))
        if archive_existing and known not in _ARCHIVING:
            raise UsageError(
                f"Those in {known} cannot be archived: `archive_existing_versions` goes with Staging and Production."
            )
        target, before = known, state.stage_of(version)
        displaced = tuple(v for v in state.stages.get(known, ()) if v != version) if archive_existing else ()
        moves = {version: target, **dict.fromkeys(displaced, ARCHIVED)}
        return with_unknown(repo, base, stage_changes(repo.config.registry, state, moves))

    def message(base: str | None) -> str:
        del base
        is_out = target == NO_STAGE
        subject = f"Demote {found.name} v{version} from {before}"
        subject = subject if is_out else f"Promote {found.name} v{version} to {target}"
        rows = [("Model", found.name), *version_rows(repo, key, [version])]
        rows += [("Stage", before if is_out else target), *(("Replaces", v) for v in displaced)]
        return format_message(subject, rows)

    branch.commit_files(repo, plan, message)
    return target


def _read(repo: Repository, commit: str, path: str) -> tuple[int, ...]:
    where = f"{path} at {commit[:7]}"
    return Stage.from_document(yaml.load(branch.read_file(repo, commit, path) or b"", where), where).versions
