"""Who put what where it is: for each stage and alias of a model the commit that put its holder there, and the run."""

from dataclasses import dataclass

from runstone.errors import NewerFormat, ObjectMissing, RecordInvalid
from runstone.git.repository import Repository
from runstone.git.runs.branch import Draft
from runstone.records.run import Run
from runstone.registry.changes import AliasChange, Change, StageChange
from runstone.registry.history.entry import Entry
from runstone.registry.history.line import History
from runstone.registry.history.past import PastModel
from runstone.registry.history.tags import VersionTag
from runstone.registry.state import ModelState


@dataclass(frozen=True, slots=True)
class Holding:
    """A version that is in a stage, or that an alias points at.

    Attributes:
        model: The model's name.
        stage: The stage; None for an alias.
        alias: The alias; None for a stage.
        version: The version.
        entry: The commit that put it there; None where history does not go back so far.
        tag: The version's git tag; None if there is none here, or it is retired.
        run: The run that made it; None where its record is not here, or cannot be read.
    """

    model: str
    stage: str | None
    alias: str | None
    version: int
    entry: Entry | None
    tag: VersionTag | None
    run: Run | None

    @property
    def place(self) -> str:
        """`Production`, `@champion`."""
        return self.stage if self.stage is not None else f"@{self.alias}"


def blame(repo: Repository, model: PastModel, history: History) -> list[Holding]:
    """Every version in a stage or under an alias of a model, with the last commit that put it there.

    Args:
        repo: The repository.
        model: The model as it is.
        history: The history of the registry up to there.
    """
    state = model.state
    made = {tag.version: tag for tag in model.versions}
    runs = {version: _read_run(repo, tag) for version, tag in made.items() if version in _held(state)}
    last: dict[tuple[str, str, int], Entry] = {}
    for entry in history.entries:
        last.update((target, entry) for change in entry.changes if (target := _target(state.key, change)) is not None)
    held = [("stage", stage, version) for stage, versions in sorted(state.stages.items()) for version in versions]
    held += [("alias", alias, version) for alias, version in sorted(state.aliases.items())]
    found = []
    for kind, name, version in held:
        put = last.get((kind, name, version))
        is_known = put is not None and not put.is_cut
        stage, alias = (name, None) if kind == "stage" else (None, name)
        tag, run = made.get(version), runs.get(version)
        found.append(Holding(model.name, stage, alias, version, put if is_known else None, tag, run))
    return found


def _held(state: ModelState) -> set[int]:
    return {version for versions in state.stages.values() for version in versions} | set(state.aliases.values())


def _target(key: str, change: Change) -> tuple[str, str, int] | None:
    match change:
        case StageChange(key=its, version=version, after=stage) if its == key:
            return "stage", stage, version
        case AliasChange(key=its, alias=alias, after=int(version)) if its == key:
            return "alias", alias, version
        case _:
            return None


def _read_run(repo: Repository, tag: VersionTag) -> Run | None:
    if tag.body is None:
        return None
    try:
        recorded = Draft(repo, tag.commit).run(tag.body.record)
    except (ObjectMissing, RecordInvalid, NewerFormat):
        return None
    return None if recorded is None else recorded.run
