"""MLflow's model registry: models, versions with their own numbers, stages and aliases.

A version's git tag says what MLflow said of it. Stages and aliases are set where the model has none here; one that is
another here is told and left: who moves it, decides it.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runstone import names
from runstone.errors import InvalidName, RunNotFound, RunstoneError
from runstone.errors.base import in_quotes
from runstone.imports.incoming import IMPORTED, NO_DIGEST, IncomingFile, IncomingRun, Unavailable
from runstone.imports.mlflow.places import Place as Files
from runstone.imports.mlflow.places import logged_id
from runstone.imports.mlflow.source import DELETED_VERSION, SourceRegistered, SourceVersion
from runstone.imports.prepare import EMPTY_FOLDER
from runstone.records import yaml
from runstone.records.document import Document, format_time
from runstone.records.model import ModelReference, VersionBody
from runstone.records.model_file import ModelFile
from runstone.records.run import Run
from runstone.records.stage import NO_STAGE
from runstone.registry import branch, notes
from runstone.registry.alias import alias_changes
from runstone.registry.allocate import allocate_number, retire_number, shared_remote
from runstone.registry.entity import RUN_LINK_TAG
from runstone.registry.former_names import refuse_former, refuse_taken
from runstone.registry.keys import find_key
from runstone.registry.layout import Place
from runstone.registry.message import format_message, version_rows
from runstone.registry.numbers import read_numbers
from runstone.registry.stage import stage_changes
from runstone.registry.state import read_model_state, read_policy, reviews, with_unknown
from runstone.registry.version import get_version, name_in_tags, run_commit
from runstone.tracking.experiment import DEFAULT
from runstone.tracking.read import need_recorded
from runstone.tracking.shown import counted
from runstone.tracking.sync import sync
from runstone.tracking.values import check_text

if TYPE_CHECKING:
    from runstone.imports.intake import Intake
    from runstone.imports.mlflow.carry import Carrier

MODEL_ID_TAG = "mlflow.modelId"
PROMPT_TAG, PROMPT_TEXT_TAG = "mlflow.prompt.is_prompt", "mlflow.prompt.text"
_HOLDER_TAG = "runstone.loggedModelRun"


def carry_registry(carrier: "Carrier", registered: Iterable[SourceRegistered]) -> None:
    """Bring all registered models; the runs are here already. What fails of one is told, and the others come."""
    intake = carrier.intake
    registered = list(registered)
    if registered and not intake.report.is_dry and not _see_others(intake):
        return
    for model in registered:
        try:
            _Model(carrier, intake, model).carry()
        except RunstoneError as error:
            intake.not_carried("registered model", model.name, str(error))


def _see_others(intake: "Intake") -> bool:
    """Where a remote gives the numbers, learn which it has given, as others may have imported the same; whether so.

    Writes:
        As `sync`: the runs go there, and come from there.
    """
    workspace = intake.workspace
    if shared_remote(workspace.repo) is None or workspace.artifacts.remote() is None:
        return True
    try:
        sync(workspace)
    except RunstoneError as error:
        intake.not_carried("registry", "all models", f"{error} Then import again.")
        return False
    return True


@dataclass(slots=True)
class _Model:
    """One registered model on its way. `_here` has the numbers that are of the same version here as there."""

    carrier: "Carrier"
    intake: "Intake"
    model: SourceRegistered
    key: str = ""
    _here: set[int] = field(default_factory=set)

    def carry(self) -> None:
        """Bring it.

        Writes:
            `registry/<model>/model.yaml`, a git tag for each version, stages and aliases: at most two commits on the
            default branch, besides those of notes on versions that were here.
        """
        repo = self.intake.workspace.repo
        try:
            name = names.check_new_model(self.model.name)
            self.key = find_key(repo, name)
            if not self.intake.report.is_dry:
                self._model_file(name)
        except RunstoneError as error:
            number = sum(each.stage != DELETED_VERSION for each in self.model.versions)
            why = f"{error} Not here with it: {counted(number, 'version')}"
            self.intake.not_carried("registered model", self.model.name, why)
            return
        if self.intake.report.is_dry:
            known = read_numbers(repo, self.key).versions
            self.intake.report.count("registered models", "same" if known else "new")
            for version in self.model.versions:
                if version.stage != DELETED_VERSION:
                    self.intake.report.count("model versions", "same" if version.number in known else "new")
            return
        for version in self.model.versions:
            if version.stage != DELETED_VERSION:
                try:
                    self._version(name, version)
                except RunstoneError as error:
                    self._miss(version, str(error))
        self._retire(name)
        self._moves(name)

    def _model_file(self, name: str) -> None:
        workspace, model = self.intake.workspace, self.model
        repo, path = workspace.repo, Place("model", self.key).path(workspace.repo.config.registry)
        description = None
        if model.description and model.description.strip():
            description = workspace.redactor.text(check_text("description", "description", model.description))
        tags = self._tags(model.tags, f"registered model {name}")
        was_new = False

        def plan(base: str | None) -> branch.Changes:
            nonlocal was_new
            state = read_model_state(repo, base, self.key)
            was_new = not state.has_file
            if was_new and not read_numbers(repo, self.key).versions:
                refuse_taken(repo, base, name, self.key, own=None)
                refuse_former(repo, name, self.key)
            file = state.file if state.has_file else ModelFile(created=model.created)
            file = file._replace(description=file.description or description, tags={**tags, **file.tags})
            return {} if file == state.file and state.has_file else {path: yaml.dump(file.to_document())}

        commit = branch.commit_files(repo, plan, format_message(f"Import the model {name}", [("Model", name)]))
        self.intake.report.count("registered models", "same" if commit is None else "new" if was_new else "updated")

    # --- versions

    def _version(self, name: str, version: SourceVersion) -> None:
        repo = self.intake.workspace.repo
        place = self.carrier.places.find(version)
        given = None if place is None else self.intake.ids.get(place.run_id)
        tags = self._tags(version.tags, f"{name} version {version.number}")
        if place is None or given is None:
            place = self._hold(name, version)
            given = self.intake.ids[place.run_id]
        try:
            recorded = need_recorded(self.intake.workspace, given)
        except RunNotFound:
            self._miss(version, f"its run {given} is not here")
            return
        reference = next((each for each in recorded.run.models if each.path == place.path), None)
        if reference is None or reference.digest in (EMPTY_FOLDER, NO_DIGEST):
            if self.intake.without_files:
                self._miss(version, "without artifacts there is no version: import again with them", is_loss=False)
            else:
                self._miss(version, f"its files are missing: {version.location or version.source}")
            return
        if version.number in read_numbers(repo, self.key).versions:
            self._compare(name, version, tags, given, reference)
            return
        if version.run_link:
            tags[RUN_LINK_TAG] = version.run_link
        if logged_id(version) is not None:
            tags[MODEL_ID_TAG] = str(logged_id(version))
        text = version.description
        body = VersionBody(
            model=name_in_tags(repo, name, self.key),
            run=given,
            record=recorded.folder,
            path=reference.path,
            digest=reference.digest,
            flavors=reference.flavors,
            size=reference.size,
            signature=reference.signature,
            description=self.intake.workspace.redactor.text(text) if text else None,
            tags=tags,
            extra={IMPORTED: self._told(version)},
        )
        if allocate_number(
            self.intake.workspace, self.key, body, self._commit_of(given, recorded.folder), version.number
        ):
            self.intake.report.count("model versions", "new")
            self._here.add(version.number)
        elif version.number in read_numbers(repo, self.key).versions:  # another import of the same, at this moment
            self._compare(name, version, tags, given, reference)
        else:
            self._miss(version, "others gave this number meanwhile: import again")

    def _commit_of(self, run_id: str, folder: str) -> Callable[[], str]:
        """What finds a run's commit: the one just made, or, where a sync may make it anew, by looking."""
        repo = self.intake.workspace.repo
        known = self.intake.commits.get(run_id) if shared_remote(repo) is None else None
        return lambda: known or run_commit(repo, folder)

    def _compare(
        self, name: str, version: SourceVersion, tags: Mapping[str, str], run_id: str, reference: ModelReference
    ) -> None:
        """A number that is given here: to the same, of which more may be said now, or to another version."""
        workspace = self.intake.workspace
        found = get_version(workspace.repo, name, version.number, include_retired=True)
        if (found.run_id, found.path) != (run_id, reference.path):
            step = f"runstone register {in_quotes(f'runs:/{run_id}/{reference.path}')} {in_quotes(name)}"
            self._miss(version, f"version {version.number} here is another one. Register it as the next: `{step}`")
            return
        self._here.add(version.number)
        if found.retired is not None:
            self.intake.report.count("model versions", "same")
            return
        fresh = {key: value for key, value in tags.items() if key not in found.tags}
        is_described = bool(version.description) and not found.description
        if fresh:
            notes.set_version_tags(workspace, name, version.number, fresh)
        if is_described:
            notes.describe_version(workspace, name, version.number, version.description)
        self.intake.report.count("model versions", "updated" if fresh or is_described else "same")

    def _hold(self, name: str, version: SourceVersion) -> Files:
        """A run of its own for a version whose files are in no run, brought like any other."""
        path = "prompt" if self._is_prompt() else "model"
        told = f"{self.carrier.registry.origin} {name} {version.number}"
        run_id = hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:32]
        if run_id not in self.intake.ids:
            experiment = self.intake.experiment(DEFAULT, origin=self.carrier.registry.origin)
            started = version.created or 0
            run = Run(
                id=run_id,
                name=f"{name} v{version.number}"[: names.MAX_NAME],
                experiment=experiment.name,
                experiment_id=experiment.experiment_id,
                status="FINISHED",
                user=version.user or "",
                started=started,
                ended=started,
                tags={_HOLDER_TAG: f"{'prompt' if self._is_prompt() else 'version'} {name}"},
                models=(ModelReference(path, (), NO_DIGEST, 0),),
            )
            files = self._held_files(path, version)
            self.intake.run(IncomingRun(run=run, origin=self.carrier.registry.origin, artifacts=files))
            self.intake.flush()
        return Files(run_id, path)

    def _held_files(self, path: str, version: SourceVersion) -> list[IncomingFile]:
        if self._is_prompt():
            text = version.tags.get(PROMPT_TEXT_TAG, "")
            return [IncomingFile("prompt/prompt.txt", lambda target: _write(target, text))]
        refuse = self.intake.report.refusal("artifact", f"{self.model.name} version {version.number}")
        for uri in dict.fromkeys(filter(None, (version.location, version.source))):
            if uri.startswith(("models:", "runs:")):
                continue
            try:
                found = list(self.carrier.registry.place_files(uri, refuse))
            except (Unavailable, OSError, ValueError) as error:
                refuse(uri, str(error))
                continue
            if found:
                return [each._replace(path=f"{path}/{each.path}") for each in found]
        return []

    def _retire(self, name: str) -> None:
        """Numbers that MLflow gave to versions since deleted, above all others: they are never to be given again."""
        repo = self.intake.workspace.repo
        known = read_numbers(repo, self.key)
        highest = max((each.number for each in self.model.versions if each.stage != DELETED_VERSION), default=0)
        deleted = {each.number for each in self.model.versions if each.stage == DELETED_VERSION}
        for number in sorted(deleted - known.retired.keys() - known.versions.keys()):
            if number <= highest:
                continue  # numbers are counted from the highest on
            commit = branch.registry_commit(repo)
            if commit is not None:
                message = f"Retire {name} version {number}\n\nIt was deleted in MLflow, before it was imported."
                retire_number(self.intake.workspace, self.key, number, commit, message)

    # --- stages and aliases

    def _moves(self, name: str) -> None:
        repo, model = self.intake.workspace.repo, self.model
        base = branch.registry_commit(repo)
        state, policy = read_model_state(repo, base, self.key), read_policy(repo, base, self.key)
        present = self._here & set(read_numbers(repo, self.key).present)
        is_reviewed = reviews(repo, base)
        stages: dict[int, str] = {}
        aliases: dict[str, int] = {}
        for version in model.versions:
            stage = None if version.stage in (NO_STAGE, DELETED_VERSION, "") else policy.find_stage(version.stage)
            now = state.stage_of(version.number)
            if version.number not in present or version.stage in (NO_STAGE, DELETED_VERSION, "") or now == stage:
                continue
            step = f"`runstone promote {in_quotes(name)} {version.number} --stage {in_quotes(version.stage)}`"
            if stage is None:
                self._miss(version, f"the policy has no stage {version.stage!r}, in which it is", kind="stage")
            elif now != NO_STAGE:
                self._miss(version, f"it is in {version.stage} there, and in {now} here: {step}", kind="stage")
            elif is_reviewed:
                self._miss(version, f"promotions are reviewed here. Propose it: {step}", kind="stage")
            else:
                stages[version.number] = stage
        for alias, number in model.aliases.items():
            step = f"`runstone promote {in_quotes(name)} {number} --alias {in_quotes(alias)}`"
            here = state.aliases.get(alias)
            if number not in present:
                self._miss_alias(alias, f"it points at version {number}, which is not here")
            elif here == number:
                continue
            elif (other := next(filter(is_twin(alias), (*state.aliases, *aliases)), None)) is not None:
                self._miss_alias(alias, f"it differs from the alias {other!r} by case alone")
            elif here is not None:
                self._miss_alias(alias, f"it points at version {number} there, and at {here} here: {step}")
            elif is_reviewed:
                self._miss_alias(alias, f"promotions are reviewed here. Propose it: {step}")
            else:
                try:
                    aliases[names.check_alias(alias)] = number
                except InvalidName as error:
                    self._miss_alias(alias, error.why)
        if stages or aliases:
            self._commit_moves(name, stages, aliases)

    def _commit_moves(self, name: str, stages: Mapping[int, str], aliases: Mapping[str, int]) -> None:
        repo = self.intake.workspace.repo
        registry = repo.config.registry

        def plan(base: str | None) -> branch.Changes:
            state = read_model_state(repo, base, self.key)
            changes = stage_changes(registry, state, stages)
            for alias, number in aliases.items():
                changes |= alias_changes(registry, state, alias, number)
            return with_unknown(repo, base, changes)

        versions = sorted({*stages, *aliases.values()})
        rows = [("Model", name), *version_rows(repo, self.key, versions)]
        rows += [("Stage", stage) for stage in sorted(set(stages.values()))]
        rows += [("Alias", alias) for alias in sorted(aliases)]
        branch.commit_files(repo, plan, format_message(f"Import the stages and aliases of {name}", rows))
        for kind, number in (("stages", len(stages)), ("aliases", len(aliases))):
            if number:
                self.intake.report.count(kind, "new", number)

    # --- small things

    def _is_prompt(self) -> bool:
        return self.model.tags.get(PROMPT_TAG, "").lower() == "true"

    def _tags(self, tags: Mapping[str, str], told: str) -> dict[str, str]:
        found = {}
        for key, value in tags.items():
            try:
                text = check_text("tag", names.check_key("tag", key), value)
                found[key] = str(self.intake.workspace.redactor.param(key, text))
            except RunstoneError as error:
                self.intake.not_carried("tag", f"{told}: {key}", str(error))
        return found

    def _told(self, version: SourceVersion) -> Document:
        told: Document = {"from": self.carrier.registry.origin}
        if version.created is not None:
            told["created"] = format_time(version.created)
        if version.user:
            told["user"] = version.user
        return told

    def _miss(self, version: SourceVersion, why: str, *, kind: str = "model version", is_loss: bool = True) -> None:
        self.intake.not_carried(kind, f"{self.model.name} version {version.number}", why, is_loss=is_loss)

    def _miss_alias(self, alias: str, why: str) -> None:
        self.intake.not_carried("alias", f"{self.model.name}@{alias}", why)


def is_twin(name: str) -> Callable[[str], bool]:
    """What tells whether another name is this one but for case: files and git tags of both are one on many disks."""
    return lambda other: other != name and other.casefold() == name.casefold()


def _write(target: Path, text: str) -> None:
    target.write_text(text, encoding="utf-8")
