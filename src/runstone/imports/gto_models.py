"""The registry's side of an import from gto: versions registered in their order, then what the model's files say.

Stages and aliases are set where the model has none here, and moved where they are still as the import before left them.
One that somebody else has moved here is told and left: who moves it, decides it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from runstone import names
from runstone.errors import InvalidName, ModelNotFound, RunstoneError
from runstone.errors.base import in_quotes
from runstone.imports.dvc_files import Named
from runstone.imports.gto_content import FOLDER
from runstone.imports.gto_tags import Artifact, Event
from runstone.imports.intake import Intake
from runstone.imports.report import Change
from runstone.records import yaml
from runstone.records.document import format_time
from runstone.records.model_file import ModelFile
from runstone.records.policy import Policy
from runstone.records.stage import NO_STAGE
from runstone.registry import branch
from runstone.registry.alias import alias_changes
from runstone.registry.keys import find_key
from runstone.registry.layout import Place
from runstone.registry.message import format_message, version_rows
from runstone.registry.retire import retire_version
from runstone.registry.stage import stage_changes
from runstone.registry.state import ModelState, read_model_state, read_policy, reviews, with_unknown
from runstone.registry.version import ModelVersion, list_versions, register_version
from runstone.uris import RunUri

STATE_TAG = "gto.stages"
"""The model's tag that says which versions held which of gto's stages, as the last import set them here."""


_NO_FILES = "its files are not here, so it was not registered. Once they can be had, import again"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version of gto's whose run is here.

    Attributes:
        version: Its name there.
        run_id: The run.
        event: The tag that registered it.
        is_whole: Whether the run has its files.
    """

    version: str
    run_id: str
    event: Event
    is_whole: bool


@dataclass(slots=True)
class _Moves:
    """What is to be set in one commit, and gto's stages that hold here then."""

    stages: dict[int, str] = field(default_factory=dict)
    aliases: dict[str, int | None] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)


def carry_model(
    intake: Intake, artifact: Artifact, entry: Named | None, wanted: Iterable[Wanted], mapping: Mapping[str, str]
) -> None:
    """Register the versions of an artifact, and set what gto says of it.

    Args:
        intake: The import.
        artifact: What the tags tell.
        entry: What `artifacts.yaml` tells.
        wanted: Its versions, in the order registered.
        mapping: gto's stage → the stage here, as it was asked for.

    Writes:
        A git tag for each new version; and at most one commit on the default branch.

    Raises:
        RunstoneError: The model cannot have this name, or the registry cannot be written.
    """
    repo, name = intake.workspace.repo, names.check_new_model(artifact.name)
    here = {each.run_id: each for each in _versions(intake, name)}
    numbers: dict[str, int] = {}
    for each in wanted:
        found = here.get(each.run_id)
        if found is None and not each.is_whole and not intake.report.is_dry:
            intake.not_carried("version", f"{name} {each.version}", _NO_FILES)
            continue
        intake.report.count("model versions", "new" if found is None else "same")
        if found is not None:
            numbers[each.version] = found.version
        elif not intake.report.is_dry:
            tags = {"gto.version": each.version, "gto.tag": each.event.tag}
            source = RunUri(each.run_id, FOLDER)
            description = each.event.message or None
            made = register_version(intake.workspace, name, source, description=description, tags=tags)
            numbers[each.version] = made.version
    _retire(intake, artifact, name, list(here.values()))
    for stage, commit in artifact.loose.items():
        intake.not_carried("stage", f"{name} {stage}", f"the commit {commit[:7]}, which holds it, is no version")
    is_new = not here
    if intake.report.is_dry or (is_new and not numbers):
        intake.report.count("registered models", "new" if is_new else "same", int(intake.report.is_dry))
        return
    key = find_key(repo, name)
    base = branch.registry_commit(repo)
    state, policy = read_model_state(repo, base, key), read_policy(repo, base, key)
    moves = _plan_moves(intake, artifact, name, numbers, mapping, state, policy, is_reviewed=reviews(repo, base))
    is_changed = _commit(intake, name, key, _said(artifact, entry), moves)
    change: Change = "new" if is_new else "updated" if is_changed or len(numbers) > len(here) else "same"
    intake.report.count("registered models", change)


def _versions(intake: Intake, name: str) -> list[ModelVersion]:
    try:
        return list_versions(intake.workspace.repo, name, include_retired=True)
    except ModelNotFound:
        return []


def _retire(intake: Intake, artifact: Artifact, name: str, here: Iterable[ModelVersion]) -> None:
    """Versions that were imported, and whose registration was taken back since."""
    removed = {f"{event.tag.removesuffix('!')}" for event in artifact.removed.values()}
    for version in here:
        if version.retired is None and version.tags.get("gto.tag") in removed and not intake.report.is_dry:
            try:
                retire_version(intake.workspace, name, version.version, reason="Deregistered in gto")
                intake.report.count("model versions", "updated")
            except RunstoneError as error:
                intake.not_carried("version", f"{name} {version.version}", str(error))


def _said(artifact: Artifact, entry: Named | None) -> tuple[str | None, dict[str, str]]:
    """The description and the tags of the model."""
    tags = {"gto.type": entry.type} if entry is not None and entry.type else {}
    tags |= {f"gto.label.{label}": "true" for label in (entry.labels if entry is not None else ())}
    if artifact.deprecated is not None:
        tags["gto.deprecated"] = format_time(artifact.deprecated.time)
    return (entry.description if entry is not None else "") or None, tags


def _plan_moves(
    intake: Intake,
    artifact: Artifact,
    name: str,
    numbers: Mapping[str, int],
    mapping: Mapping[str, str],
    state: ModelState,
    policy: Policy,
    *,
    is_reviewed: bool,
) -> _Moves:
    moves = _Moves()
    before = _before(state)
    for stage in dict.fromkeys([*artifact.stages, *before]):
        version = artifact.stages.get(stage)
        number = numbers.get(version) if version is not None else None
        if version is not None and number is None:
            intake.not_carried("stage", f"{name} {stage}", f"{version}, which holds it, is no version here")
            continue
        former = numbers.get(before.get(stage, ""))
        asked = mapping.get(stage, stage)
        known = policy.find_stage(asked)
        if known is None and stage in mapping:
            intake.not_carried("stage", f"{name} {stage}", f"the policy has no stage {asked!r}")
            continue
        word, place = ("--stage", known) if known is not None else ("--alias", stage)
        step = f"`runstone promote {in_quotes(name)} {number} {word} {in_quotes(place)}`"
        is_so = number is not None and _holds(state, known, stage, number)
        was_so = former is not None and _holds(state, known, stage, former)
        if is_so and version is not None:
            moves.held[stage] = version
        elif number is None and not was_so:
            continue  # gone there, and gone or another's here
        elif is_reviewed:
            intake.not_carried("stage", f"{name} {stage}", f"promotions are reviewed here. Propose it: {step}")
        elif not was_so and not _is_free(state, known, stage, number, moves):
            why = f"it is held by {version} (version {number}) there, and otherwise here. To have it so: {step}"
            intake.not_carried("stage", f"{name} {stage}", why)
        else:
            try:
                if known is None and number is not None:
                    _refuse_twin(stage, (*state.aliases, *moves.aliases))
                _move(moves, known, stage, number, former if was_so else None)
            except InvalidName as error:
                step = f"Name the stage that it goes to: `--stage {in_quotes(f'{stage}=STAGE')}`"
                intake.not_carried("stage", f"{name} {stage}", f"no alias can be called so: {error.why}. {step}")
                continue
            if version is not None:
                moves.held[stage] = version
    return moves


def _before(state: ModelState) -> dict[str, str]:
    try:
        found = json.loads(state.file.tags.get(STATE_TAG, "{}"))
    except ValueError:
        return {}
    return {str(stage): str(version) for stage, version in found.items()} if isinstance(found, dict) else {}


def _holds(state: ModelState, known: str | None, alias: str, number: int) -> bool:
    return state.stage_of(number) == known if known is not None else state.aliases.get(alias) == number


def _is_free(state: ModelState, known: str | None, alias: str, number: int | None, moves: _Moves) -> bool:
    """Whether nothing here says otherwise: the stage is empty and the version in none; or there is no such alias."""
    if known is None:
        return alias not in state.aliases
    is_placed = number is None or state.stage_of(number) != NO_STAGE or number in moves.stages
    return not is_placed and not state.stages.get(known)


def _refuse_twin(alias: str, others: Iterable[str]) -> None:
    for other in others:
        if other != alias and other.casefold() == alias.casefold():
            raise InvalidName("alias", alias, f"it differs from the alias {other!r} by case alone")


def _move(moves: _Moves, known: str | None, stage: str, number: int | None, former: int | None) -> None:
    if known is None:
        moves.aliases[names.check_alias(stage)] = number
        return
    if former is not None:
        moves.stages.setdefault(former, NO_STAGE)
    if number is not None:
        moves.stages[number] = known


def _commit(intake: Intake, name: str, key: str, said: tuple[str | None, dict[str, str]], moves: _Moves) -> bool:
    """Write it; whether anything changed."""
    workspace = intake.workspace
    repo, registry = workspace.repo, workspace.repo.config.registry
    redactor = workspace.redactor
    description = redactor.text(said[0]) if said[0] else None
    tags = {key: str(redactor.param(key, value)) for key, value in said[1].items() if _is_key(intake, name, key)}
    if moves.held:
        tags[STATE_TAG] = json.dumps(moves.held, sort_keys=True)

    def plan(base: str | None) -> branch.Changes:
        state = read_model_state(repo, base, key)
        before = state.file if state.has_file else ModelFile()
        file = before._replace(description=before.description or description, tags={**before.tags, **tags})
        changes = stage_changes(registry, state, moves.stages)
        for alias, number in moves.aliases.items():
            changes |= alias_changes(registry, state, alias, number)
        changes = with_unknown(repo, base, changes)
        if file != before:
            changes[Place("model", key).path(registry)] = yaml.dump(file.to_document())
        return changes

    versions = sorted({*moves.stages, *(number for number in moves.aliases.values() if number is not None)})
    rows = [("Model", name), *version_rows(repo, key, versions)]
    rows += [("Stage", stage) for stage in sorted(set(moves.stages.values()) - {NO_STAGE})]
    rows += [("Alias", alias) for alias in sorted(moves.aliases)]
    commit = branch.commit_files(repo, plan, format_message(f"Import {name} from gto", rows))
    for kind, count in (("stages", len(moves.stages)), ("aliases", len(moves.aliases))):
        if count:
            intake.report.count(kind, "new", count)
    return commit is not None


def _is_key(intake: Intake, name: str, key: str) -> bool:
    try:
        names.check_key("tag", key)
    except InvalidName as error:
        intake.not_carried("tag", f"{name}: {key}", error.why)
        return False
    return True
