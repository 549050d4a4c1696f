"""What is wrong with a change of the registry, whatever the gates say: moves that the policy does not know, versions
that do not exist, places that hold too many, requests that cannot be met.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from shlex import quote
from typing import Any

from runstone import names
from runstone.errors import InvalidName, ModelExists, NewerFormat, RecordInvalid, RecordsSkipped
from runstone.git.code.patch import EMPTY_TREES
from runstone.git.objects import TreeEntry
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.git.runs.branch import Draft
from runstone.promotion.rules.approvals import Rules
from runstone.promotion.rules.past import has_held
from runstone.promotion.rules.settings import changes_file, is_settings, judged_changes, read_config, settings_changes
from runstone.promotion.rules.shape import find_in_the_way, find_twins, in_two_stages
from runstone.promotion.rules.versions import TaggedVersion, contradicts_record, find_version, list_versions
from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.records.model_file import ModelFile
from runstone.records.policy import Policy, Rule
from runstone.records.registration import Registration
from runstone.records.stage import NO_STAGE, Stage
from runstone.records.version_notes import VersionNotes
from runstone.registry.card import front_matter, read_card
from runstone.registry.changes import (
    AliasChange,
    CardChange,
    Change,
    ModelChange,
    NotesChange,
    PolicyChange,
    RegistrationChange,
    StageChange,
)
from runstone.registry.former_names import refuse_former, refuse_taken
from runstone.registry.history.line import is_line_cut
from runstone.registry.layout import Kind, Place, parse_path
from runstone.registry.people import MAILMAP
from runstone.registry.state import ModelState, read_model_state, read_policy
from runstone.registry.taken import Names

_READ: dict[Kind, Callable[[Any, str], object]] = {
    "model": ModelFile.from_document,
    "stage": Stage.from_document,
    "alias": Alias.from_document,
    "notes": VersionNotes.from_document,
    "registration": Registration.from_document,
}


@dataclass
class Ground:
    """What changes are judged on: two commits, what changed between them, and what is read of them as need be.

    Attributes:
        repo: The repository.
        base: The commit whose policy judges; None before the first.
        head: The commit that is judged.
        changes: What changed.
        problems: Files that changed and cannot be read, or contradict one another.
    """

    repo: Repository
    base: str | None
    head: str
    changes: tuple[Change, ...] = ()
    problems: tuple[str, ...] = ()
    _states: dict[tuple[str | None, str], ModelState] = field(default_factory=dict)

    @classmethod
    def read(cls, repo: Repository, base: str | None, head: str) -> "Ground":
        """Find what changed from `base` to `head`."""
        ground = cls(repo, base, head)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordsSkipped)  # told as problems
            ground.problems = tuple(_broken(ground))
            ground.changes = judged_changes(repo, base, head)
        return ground

    @cached_property
    def rules(self) -> Rules:
        """What the policies and the settings at the base ask."""
        return Rules(self.repo, self.base)

    def policy(self, key: str) -> Policy:
        """The policy of a model at the base."""
        return self.rules.policy(key)

    def before(self, key: str) -> ModelState:
        """A model at the base."""
        return self._state(self.base, key)

    def after(self, key: str) -> ModelState:
        """A model at the head."""
        return self._state(self.head, key)

    @cached_property
    def touched(self) -> Mapping[str, TreeEntry | None]:
        """The files of the registry that differ: path → what is there at the head; None if nothing."""
        repo = self.repo
        base = self.base or EMPTY_TREES[repo.object_format]
        command = ("--literal-pathspecs", "diff-tree", "-r", "-z", "--raw", "--no-renames")
        _, out = repo.git(*command, base, self.head, "--", repo.config.registry)
        parts = out.split(b"\0")
        found: dict[str, TreeEntry | None] = {}
        for about, raw in zip(parts[::2], parts[1::2], strict=False):
            mode, oid = about.split(b" ")[1].decode(), about.split(b" ")[3].decode()
            found[raw.decode("utf-8", "surrogateescape")] = TreeEntry(mode, oid) if mode.strip("0") else None
        return found

    def had(self, path: str) -> bool:
        """Whether there was something at a path at the base."""
        tree = None if self.base is None else self.repo.objects.commit(self.base).tree
        return tree is not None and self.repo.objects.entry(tree, path) is not None

    def _state(self, commit: str | None, key: str) -> ModelState:
        if (commit, key) not in self._states:
            self._states[commit, key] = read_model_state(self.repo, commit, key)
        return self._states[commit, key]

    def entrants(self, key: str, stage: str) -> tuple[int, ...]:
        """The versions that a stage has at the head and did not have at the base."""
        was = self.before(key).stages.get(stage, ())
        return tuple(number for number in self.after(key).stages.get(stage, ()) if number not in was)

    def makes_room(self, change: StageChange) -> bool:
        """Whether a version leaves a stage for one that enters, to where the policy sends those who are displaced."""
        rule = self.policy(change.key).stages.get(change.before, Rule())
        return change.after == (rule.previous or NO_STAGE) and bool(self.entrants(change.key, change.before))

    def may_enter(self, change: StageChange) -> bool:
        """Whether a version enters a stage from wherever it is: it makes room, or goes back to where it was before."""
        return self.makes_room(change) or has_held(self.repo, self.base, change.key, change.after, change.version)


def find_problems(ground: Ground, change: Change) -> tuple[str, ...]:
    """What is wrong with one change: sentences, none if nothing is."""
    match change:
        case StageChange():
            return tuple(_stage(ground, change))
        case AliasChange():
            return tuple(_alias(ground, change))
        case RegistrationChange():
            return tuple(_registration(ground, change))
        case ModelChange():
            return tuple(_model(ground, change))
        case NotesChange() if change.after is not None:
            found = find_version(ground.repo, change.key, change.version)
            return () if found is not None else (_no_version(change.model, change.version),)
        case CardChange() if change.after is not None:
            return tuple(_card(ground, change))
        case PolicyChange():
            return tuple(_policy(ground, change))
        case _:
            return ()


def _stage(ground: Ground, change: StageChange) -> list[str]:
    policy, who = ground.policy(change.key), f"{change.model} v{change.version}"
    left = policy.stages.get(change.before, Rule())
    makes_room = ground.makes_room(change)
    found = []
    if left.previous is not None and not makes_room and ground.entrants(change.key, change.before):
        entrants = ", ".join(f"v{number}" for number in ground.entrants(change.key, change.before))
        found.append(
            f"{who} makes room for {entrants} in {change.before}, and the policy sends it to {left.previous} "
            f"(`previous`), not to {_stage_name(change.after)}."
        )
    if change.after == NO_STAGE:
        return found
    found += _version(ground, change.key, change.model, change.version)
    rule = policy.stages.get(change.after)
    if rule is None:
        known = ", ".join(policy.stages) or "no stages"
        step = "A new stage goes into the policy first, by a change of its own"
        return [*found, f"{change.after!r} is no stage of the policy at the base, which has {known}. {step}."]
    is_twice = sum(change.version in versions for versions in ground.after(change.key).stages.values()) > 1  # told so
    is_closed = rule.sources is not None and change.before not in rule.sources and not is_twice
    if rule.sources is not None and is_closed and not ground.may_enter(change):
        step = " (Whether it was there before is not known in this shallow clone: `git fetch --unshallow`.)"
        unknown = step if ground.base is not None and is_line_cut(ground.repo, ground.base) else ""
        allowed = " or ".join(_stage_name(source) for source in rule.sources) or "nowhere"
        found.append(
            f"{who} comes from {_stage_name(change.before)}, and the policy lets a version enter {change.after} from "
            f"{allowed} only.{unknown}"
        )
    holders = ground.after(change.key).stages.get(change.after, ())
    if rule.holders is not None and len(holders) > rule.holders:
        shown = ", ".join(f"v{number}" for number in holders)
        found.append(
            f"{change.after} of {change.model} would hold {len(holders)} versions ({shown}), and the policy allows "
            f"{rule.holders} (`holders`). {_make_room(ground, change, holders, rule)}"
        )
    return found


def _make_room(ground: Ground, change: StageChange, holders: tuple[int, ...], rule: Rule) -> str:
    """What to do about a stage that would hold too many."""
    entrants = ground.entrants(change.key, change.after)
    stage, model = quote(change.after), quote(change.model)
    if len(entrants) == 1 and rule.holders:
        return f"Let it make room: `runstone promote {model} {entrants[0]} --stage {stage} --propose`"
    name = Place("stage", change.key, change.after).path(ground.repo.config.registry)
    excess = " and ".join(f"v{number}" for number in holders[: len(holders) - (rule.holders or 0)])
    return f"Take out as many as are too much, say {excess}: `$EDITOR {quote(name)}`"


def _alias(ground: Ground, change: AliasChange) -> list[str]:
    if change.after is None:
        return []
    found = _version(ground, change.key, change.model, change.after)
    try:
        names.check_alias(change.alias)
    except InvalidName as error:
        found.append(str(error))
    aliases = ground.after(change.key).aliases
    for other in sorted(aliases):
        if other != change.alias and other.lower() == change.alias.lower():
            found.append(f"The alias {change.alias!r} differs from {other!r} by case alone.")
    return found


def _registration(ground: Ground, change: RegistrationChange) -> list[str]:
    wanted = change.after
    if wanted is None:
        return []
    repo, where = ground.repo, f"the commit {wanted.commit[:12]}"
    if wanted.run != change.run:
        return [f"The file of a request is named after its run, but {change.run!r} asks for the run {wanted.run!r}."]
    if repo.objects.find(wanted.commit) is None:
        step = "Push it (`runstone sync`), or fetch it here"
        return [f"The run {wanted.run} is to be found in {where}, which is not here. {step}."]
    try:
        recorded = Draft(repo, wanted.commit).run(wanted.record)
    except (RecordInvalid, NewerFormat) as error:
        return [f"The run {wanted.run} cannot be read: {error}"]
    if recorded is None or recorded.run.id != wanted.run:
        return [f"There is no run {wanted.run} in `{wanted.record}` of {where}."]
    found = []
    if recorded.run.lifecycle == "deleted":
        found.append(f"The run {wanted.run} is deleted. Restore it: `runstone runs restore {wanted.run}`")
    model = next((model for model in recorded.run.models if model.path == wanted.path), None)
    if model is None:
        have = ", ".join(f"`{model.path}`" for model in recorded.run.models) or "none"
        found.append(f"The run {wanted.run} logged no model `{wanted.path}`; it has {have}.")
    elif model.digest != wanted.digest:
        found.append(
            f"The model `{wanted.path}` of the run {wanted.run} has the digest {model.digest}, and the request "
            f"names {wanted.digest}."
        )
    if next(list_versions(repo, change.key), None) is None:
        found += _new_name(ground, change.key, change.model)
    return found + _registered(ground, change.key, change.model, wanted)


def _registered(ground: Ground, key: str, model: str, wanted: Registration) -> list[str]:
    """Whether a request is met already, by a version that may be retired."""
    for found in list_versions(ground.repo, key):
        if (found.body.run, found.body.path) == (wanted.run, wanted.path):
            state = ", which is retired" if found.is_retired else ""
            return [f"`{wanted.path}` of the run {wanted.run} is {model} v{found.number} already{state}."]
    return []


def _model(ground: Ground, change: ModelChange) -> list[str]:
    if change.after is None or change.after.name in (None, None if change.before is None else change.before.name):
        return []
    assert change.after.name is not None
    return _new_name(ground, change.key, change.after.name, own=change.key)


def _new_name(ground: Ground, key: str, name: str, own: str | None = None) -> list[str]:
    """What is wrong with a name that a model would get, whose key is `own` if it is there already."""
    try:
        names.check_new_model(name)
        refuse_taken(ground.repo, ground.base, name, names.encode_component(name), own=own)
        refuse_former(ground.repo, name, key, commit=ground.base)
    except (InvalidName, ModelExists) as error:
        return [str(error)]
    return []


def _card(ground: Ground, change: CardChange) -> list[str]:
    try:
        front_matter(read_card(ground.repo, ground.head, change.key) or "", f"The model card of {change.model}")
    except (RecordInvalid, NewerFormat) as error:
        return [str(error)]
    return []


def _policy(ground: Ground, change: PolicyChange) -> list[str]:
    """A policy, or settings, that could not be read would let nobody judge the next proposal."""
    try:
        if is_settings(change):  # of `.mailmap` git reads what it can
            read_config(ground.repo, ground.head)
        else:
            read_policy(ground.repo, ground.head, change.key or None)
    except (RecordInvalid, NewerFormat) as error:
        return [str(error)]
    return []


def _version(ground: Ground, key: str, model: str, number: int) -> list[str]:
    found: TaggedVersion | None = find_version(ground.repo, key, number)
    if found is None:
        return [_no_version(model, number)]
    if found.is_retired:
        return [f"{model} v{number} is retired, so it enters no stage and no alias points at it."]
    contradiction = contradicts_record(ground.repo, found)
    if contradiction is None:
        return []
    step = f"Retire it: `runstone models retire {quote(model)} {number}`"
    return [f"The git tag `{key}@v{number}` is not what its run recorded: {contradiction}. {step}"]


def _no_version(model: str, number: int) -> str:
    step = f"See what there is: `runstone models versions {quote(model)}`; what is not here yet: `runstone sync`"
    return f"There is no version {number} of {model}. {step}"


def _stage_name(stage: str) -> str:
    return "no stage" if stage == NO_STAGE else stage


def _broken(ground: Ground) -> list[str]:
    """What is wrong with the files that changed: those that cannot be read would count as gone; and what no change
    tells, since a version that is in two stages counts as being in the first.
    """
    added = [path for path, entry in ground.touched.items() if entry is not None and not ground.had(path)]
    found = find_in_the_way(ground.repo, ground.base, ground.head, ground.touched)
    added += [CONFIG_FILE, ground.repo.config.registry]  # beside those of other letters
    found += [*find_twins(ground.repo, ground.head, added), *_whose_is_whose(ground)]
    keys: set[str] = set()
    for path, entry in ground.touched.items():
        place = parse_path(ground.repo.config.registry, path)
        if place is None:
            continue
        keys.add(place.key)
        if place.kind in _READ and entry is not None and entry.is_file:
            where = f"{path} at {ground.head[:7]}"
            try:
                _READ[place.kind](yaml.load(ground.repo.objects.blob(entry.oid), where), where)
            except (RecordInvalid, NewerFormat) as error:
                found.append(str(error))
    for key in sorted(keys - {""}):
        state = ground.after(key)
        found += [
            f"{state.name} v{number} would be in {len(places)} stages at once: {', '.join(places)}."
            for number, places in in_two_stages(state.stages).items()
        ]
    given = {key for key in keys - {""} if ground.after(key).file.name != ground.before(key).file.name}
    names_ = Names(ground.repo)  # of a model that is given another name the change of its file tells
    clashes = names_.clashes(ground.head, keys - given - {""}) - names_.clashes(ground.base, keys)
    return [*found, *(clash.describe(ground.repo.config.registry) for clash in sorted(clashes))]


def _whose_is_whose(ground: Ground) -> list[str]:
    """A change that says by itself whose approvals are whose would have its author approve it."""
    repo = ground.repo
    if ground.base is None or not changes_file(repo, ground.base, ground.head, MAILMAP):
        return []
    others = (each for each in settings_changes(repo, ground.base, ground.head) if each.model != MAILMAP)
    if not ground.touched and next(others, None) is None:
        return []
    return [
        f"`{MAILMAP}` is changed, too, which says who is the same person, and so who approves what. "
        "Put that into a change of its own."
    ]
