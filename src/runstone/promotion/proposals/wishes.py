"""From what is asked for to a wish, given the model as it stands: which version `latest` is, who was there before."""

from runstone.errors import AliasNotFound, ModelEmpty, ModelNotFound, NoFormerHolder, UsageError
from runstone.git.repository import Repository
from runstone.names import parse_version_number
from runstone.promotion.proposals.former import former_versions
from runstone.promotion.proposals.ground import Ground
from runstone.promotion.proposals.plan import Wish
from runstone.promotion.proposals.propose import Maker
from runstone.records.stage import NO_STAGE
from runstone.registry.layout import Place
from runstone.registry.version import list_names


def promotion(
    version: str | int,
    *,
    stage: str | None = None,
    alias: str | None = None,
    archive_existing: bool = False,
    bypass: str | None = None,
    why: str | None = None,
) -> Maker:
    """A version into a stage, or an alias to it; raises `UsageError` unless one of the two is named."""
    if (stage is None) == (alias is None):
        raise UsageError("Say where to: `--stage STAGE` or `--alias ALIAS`" + ("" if stage is None else ", not both."))

    def make(ground: Ground) -> Wish:
        return Wish(
            "promote",
            ground.state.key,
            ground.model,
            (find_version(ground, version),),
            stage=stage,
            alias=alias,
            archive_existing=archive_existing,
            bypass=_one_line(bypass),
            why=why,
        )

    return make


def demotion(version: str | int, *, to: str | None = None, bypass: str | None = None, why: str | None = None) -> Maker:
    """A version out of its stage, to another one or to none."""

    def make(ground: Ground) -> Wish:
        number = find_version(ground, version)
        return Wish("demote", ground.state.key, ground.model, (number,), to=to, bypass=_one_line(bypass), why=why)

    return make


def removal(alias: str, *, bypass: str | None = None, why: str | None = None) -> Maker:
    """An alias that points at nothing any more."""

    def make(ground: Ground) -> Wish:
        return Wish("demote", ground.state.key, ground.model, alias=alias, bypass=_one_line(bypass), why=why)

    return make


def rollback(
    repo: Repository,
    *,
    stage: str | None = None,
    alias: str | None = None,
    to: str | int | None = None,
    bypass: str | None = None,
    why: str | None = None,
) -> Maker:
    """The former holders of a stage back into it, or an alias back to where it pointed; see `former`."""
    if (stage is None) == (alias is None):
        raise UsageError("Say what: `--stage STAGE` or `--alias ALIAS`" + ("" if stage is None else ", not both."))

    def make(ground: Ground) -> Wish:
        name = stage and (ground.policy.find_stage(stage) or stage)
        place = Place("stage", ground.state.key, name) if name else Place("alias", ground.state.key, alias or "")
        try:
            versions = (find_version(ground, to),) if to is not None else former_versions(repo, ground, place)
        except NoFormerHolder:
            if alias is None or alias in ground.state.aliases or repo.shallow:
                raise
            raise AliasNotFound(ground.model, alias, sorted(ground.state.aliases)) from None
        return Wish(
            "rollback",
            ground.state.key,
            ground.model,
            versions,
            stage=name,
            alias=alias,
            bypass=_one_line(bypass),
            why=why,
        )

    return make


def find_version(ground: Ground, text: str | int) -> int:
    """The number that `4`, `v4`, `@champion` or `latest` means.

    Raises:
        UsageError: It is none of these.
        AliasNotFound: There is no such alias.
        ModelNotFound: There is no version.
    """
    if isinstance(text, int):
        return text
    if text == "latest":
        if not ground.numbers.present:
            is_known = ground.state.has_file
            raise ModelEmpty(ground.model) if is_known else ModelNotFound(ground.model, list_names(ground.repo))
        return ground.numbers.present[-1]
    if text.startswith("@"):
        target = ground.state.aliases.get(text[1:])
        if target is None:
            raise AliasNotFound(ground.model, text[1:], sorted(ground.state.aliases))
        return target
    number = parse_version_number(text.removeprefix("v"))
    if number is None:
        raise UsageError(f"{text!r} is no version: write its number, `@ALIAS` or `latest`.")
    return number


def transition(version: int, stage: str, *, archive_existing: bool = False, why: str | None = None) -> Maker:
    """What MLflow's `transition_model_version_stage` means: `None` takes the version out of its stage."""
    if stage.lower() == NO_STAGE.lower():
        return demotion(version, to=NO_STAGE, why=why)
    return promotion(version, stage=stage, archive_existing=archive_existing, why=why)


def _one_line(text: str | None) -> str | None:
    return " ".join(text.split()) or None if text else None
