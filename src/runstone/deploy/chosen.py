"""Which model versions are to run: those in a stage, or those that are named, as the registry has them now."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from runstone import names, uris
from runstone.errors import NothingInStage, RecordsSkipped, RegistryUnread, UsageError
from runstone.git.repository import Repository
from runstone.registry import branch
from runstone.registry.entity import ModelVersion
from runstone.registry.keys import find_key, find_name
from runstone.registry.resolve import resolve_version
from runstone.registry.stage import get_version_by_stage
from runstone.registry.state import ModelState, read_model_state, read_states
from runstone.registry.version import version_at
from runstone.uris import ModelUri


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model version, and the stage or the alias that led to it."""

    version: ModelVersion
    stage: str | None = None
    alias: str | None = None


def choose(repo: Repository, wanted: Sequence[str], stage: str | None) -> list[Chosen]:
    """The model versions that are to run, by model.

    Args:
        repo: The repository.
        wanted: Models, of which the newest version in the stage is meant; or `models:/…`, `NAME@ALIAS`, `NAME@v3`,
            `NAME/3`. If none is named, every model that has a version in the stage.
        stage: The stage.

    Raises:
        NothingInStage: No model is named, and none has a version in the stage.
        ModelNotFound, VersionNotFound, AliasNotFound, StageNotFound: There is no such version.
        RegistryUnread: A file of the registry is broken: what left a stage and what cannot be read are two things.
        UsageError: A model is named without a stage, or twice.
    """
    if stage is not None:
        stage = names.check_stage(stage)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RecordsSkipped)
        try:
            if wanted:
                found = [_find(repo, each, stage) for each in wanted]
            elif stage is None:
                raise UsageError("Name what is to run: models, or a stage: `--stage Production`")
            else:
                found = _all_in(repo, stage)
        except RecordsSkipped as skipped:
            raise RegistryUnread(str(skipped)) from None
    models = [each.version.name for each in found]
    twice = next((name for name in models if models.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"The model {twice!r} is named twice; one folder holds one version of a model.")
    return sorted(found, key=lambda each: each.version.name)


def _all_in(repo: Repository, stage: str) -> list[Chosen]:
    commit = branch.registry_commit(repo)
    states = read_states(repo, commit)
    found = []
    for key, state in states.items():
        known, versions = _held(state, stage)
        if versions:
            version = version_at(repo, commit, find_name(repo, key, commit), key, max(versions))
            found.append(Chosen(version, stage=known))
    if not found:
        raise NothingInStage(stage, sorted({known for state in states.values() for known in state.stages}))
    return found


def _held(state: ModelState, stage: str) -> tuple[str, tuple[int, ...]]:
    """A stage as it is written there, and what is in it; as `get_version_by_stage` finds it."""
    same = [each for each in state.stages if each.lower() == stage.lower()]
    known = stage if stage in state.stages else (same or [stage])[0]
    return known, state.stages.get(known, ())


def _find(repo: Repository, text: str, stage: str | None) -> Chosen:
    """What one word means; see `choose`."""
    is_version = text.startswith("models:/") or "@" in text or re.search(r"/[1-9][0-9]*$", text) is not None
    if text.startswith("runs:/"):
        step = "Register it first: `runstone register MODEL --run RUN`"
        raise UsageError(f"{text[:200]!r} is no version of a model, so nobody has approved it. {step}")
    if stage is not None and not is_version:
        commit = branch.registry_commit(repo)
        state = read_model_state(repo, commit, find_key(repo, text, commit))
        return Chosen(get_version_by_stage(repo, text, stage), stage=_held(state, stage)[0])
    if not is_version:
        raise UsageError(f"Which version of {text[:200]!r}? Name its stage: `--stage Production`; or `NAME@ALIAS`")
    uri = text if text.startswith("models:/") else f"models:/{text}"
    parsed = uris.parse_uri(re.sub(r"@v([1-9][0-9]{0,17})$", r"/\1", uri))
    assert isinstance(parsed, ModelUri)  # by its scheme
    version = resolve_version(repo, parsed)
    in_stage = version.current_stage if parsed.word not in (None, "latest") else None
    return Chosen(version, stage=in_stage, alias=parsed.alias)
