"""What a wish is planned on: one model's state, policy and versions at a commit of the default branch."""

from dataclasses import dataclass, replace
from functools import cached_property

from runstone.errors import ModelEmpty, ModelNotFound
from runstone.git.repository import Repository
from runstone.promotion.proposals.plan import Plan, Wish, branch_name, plan
from runstone.promotion.rules.past import has_held
from runstone.records.policy import Policy, Rule
from runstone.registry.layout import parse_path
from runstone.registry.model import find_name
from runstone.registry.model_edits import removal, renaming
from runstone.registry.numbers import TAGS, Numbers, read_numbers
from runstone.registry.state import ModelState, read_model_state, read_policy, with_unknown
from runstone.registry.version import list_names


@dataclass(frozen=True)
class Ground:
    """The model as it stands.

    Attributes:
        repo: The repository.
        model: The model's present name.
        commit: The commit of the default branch; None before the first.
        state: What the model's files say there.
        policy: What the policy says there.
    """

    repo: Repository
    model: str
    commit: str | None
    state: ModelState
    policy: Policy

    @cached_property
    def numbers(self) -> Numbers:
        """All versions that the git tags here know; a look at the refs, so only for who needs more than a few."""
        return read_numbers(self.repo, self.state.key)


def read_ground(repo: Repository, commit: str | None, key: str) -> Ground:
    """A model at a commit; an empty one if there is nothing of it.

    Raises:
        RecordInvalid, NewerFormat: The policy cannot be read, so nothing can be planned by it.
    """
    state = read_model_state(repo, commit, key)
    return Ground(repo, find_name(repo, key, commit), commit, state, read_policy(repo, commit, key))


def plan_on(ground: Ground, wish: Wish) -> Plan:
    """What a wish comes to; see `plan`. Keys of files that this version does not know are carried through.

    Raises:
        ModelNotFound, ModelEmpty: There is no version of the model at all.
    """
    if wish.kind in ("rename", "remove"):
        return _plan_edit(ground, wish)
    numbers = _find(ground, wish.versions)
    if wish.versions and not numbers.versions and not numbers.retired:
        raise ModelEmpty(wish.model) if ground.state.has_file else ModelNotFound(wish.model, list_names(ground.repo))
    made = plan(
        wish,
        ground.state,
        ground.policy,
        numbers,
        ground.repo.config.registry,
        lambda version, stage: has_held(ground.repo, ground.commit, ground.state.key, stage, version),
    )
    return replace(made, changes=with_unknown(ground.repo, ground.commit, made.changes))


def _plan_edit(ground: Ground, wish: Wish) -> Plan:
    """What a wish about a whole model comes to; raises as `model_edits.renaming`."""
    repo, model, key = ground.repo, ground.model, ground.state.key
    wish = replace(wish, model=model)
    if wish.kind == "remove":
        changes = removal(repo, ground.commit, key)
        nothing = "" if changes else f"{model} has no files in the registry."
        return Plan(wish, branch_name("remove", key), f"Delete the model {model}", changes, nothing=nothing)
    new = wish.new_name or ""
    branch, subject = branch_name("rename", key, new), f"Rename {model} to {new}"
    if new == model:
        return Plan(wish, branch, subject, nothing=f"The model is called {new} already.")
    return Plan(wish, branch, subject, renaming(repo, ground.commit, key, new))


def rules_of(ground: Ground, plan: Plan) -> list[Rule]:
    """The policy's rules of the stages and aliases that a plan changes."""
    places = [parse_path(ground.repo.config.registry, path) for path in plan.changes]
    stages = [ground.policy.stages.get(place.name) for place in places if place is not None and place.kind == "stage"]
    aliases = [ground.policy.alias_rule(place.name) for place in places if place is not None and place.kind == "alias"]
    return [rule for rule in [*stages, *aliases] if rule is not None]


def _find(ground: Ground, versions: tuple[int, ...]) -> Numbers:
    """Just these versions, if they are all there; else all that there are, for the message."""
    found = Numbers()
    for version in versions:
        tag = f"{TAGS}{ground.state.key}@v{version}"
        here = ground.repo.objects.find(tag)
        if here is None:
            return ground.numbers
        found.versions[version] = here[0]
        retired = ground.repo.objects.find(f"{tag}!")
        if retired is not None:
            found.retired[version] = retired[0]
    return found
