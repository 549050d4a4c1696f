"""What a shared bare repository lets in, asked by its pre-receive hook: changes of the registry that were approved,
version tags that are new, and runs that come on top.

The same rules as `verify`, applied before instead of after: what it refuses never becomes history.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runstone import names
from runstone.errors import InvalidValue, NewerFormat, RecordInvalid, RunstoneError
from runstone.git.repository import Repository
from runstone.git.runs.branch import Draft
from runstone.promotion.proof.pins import Pins, find_misnamed
from runstone.promotion.proof.provenance import read_tag
from runstone.promotion.proof.reviewing import Reviewed
from runstone.promotion.proof.walk import LineReviewer, walk
from runstone.promotion.rules.settings import read_config
from runstone.records.stage import NO_STAGE
from runstone.registry.branch import default_branch
from runstone.registry.history.reviews import find_foreign
from runstone.registry.keys import renamed
from runstone.registry.numbers import next_number
from runstone.registry.people import NOTES_REF
from runstone.registry.state import read_states

_HEADS = "refs/heads/"
_TAGS = "refs/tags/"
_NEVER = ("refs/replace/", "refs/remotes/")


@dataclass(frozen=True, slots=True)
class Update:
    """One ref that a push would move; None stands for no object."""

    ref: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A ref that must not be moved so, and why."""

    ref: str
    why: str


def parse_updates(repo: Repository, lines: Iterable[str]) -> list[Update]:
    """Read what git hands to a pre-receive hook: `<old> <new> <ref>`, one a line.

    Raises:
        InvalidValue: A line is something else.
    """
    updates = []
    for line in lines:
        old, _, rest = line.rstrip("\n").partition(" ")
        new, _, ref = rest.partition(" ")
        if not ref.startswith("refs/") or not (repo.objects.is_id(old) and repo.objects.is_id(new)):
            form = "`<old> <new> <ref>`, as git hands it to a pre-receive hook"
            raise InvalidValue(f"A line must be {form}, but is {line[:80]!r}.")
        updates.append(Update(ref, *(None if oid == repo.objects.zero else oid for oid in (old, new))))
    return updates


def judge_push(repo: Repository, updates: Sequence[Update], *, allow_notes: bool = False) -> list[Refusal]:
    """What of a push must not be taken; nothing of it, if anything is named.

    Args:
        repo: The repository that is pushed to; its refs still are as they were.
        updates: What the push would do.
        allow_notes: Whether notes of approvals are taken. Whoever may push here may write one, so only where nobody but
            a forge's job may.
    """
    default = f"{_HEADS}{default_branch(repo)}"
    refused: list[Refusal] = []
    for update in updates:
        if update.ref == default:
            refused += (Refusal(update.ref, why) for why in _branch(repo, update, updates))
        elif update.ref == NOTES_REF and not allow_notes and update.new is not None and _is_not_own(repo, update):
            step = "To take notes: `runstone guard --allow-notes` in hooks/pre-receive"
            own = "but for what reviewers add themselves: `runstone proposals approve`"
            why = f"approvals are merges here, and a note would be anybody's word, {own}. {step}"
            refused.append(Refusal(update.ref, why))
        elif update.ref in (repo.runs_ref, NOTES_REF):
            refused += (Refusal(update.ref, why) for why in _append_only(repo, update))
        elif update.ref.startswith(_NEVER) and update.new is not None:
            refused.append(Refusal(update.ref, "it would change what the objects or branches here are taken for"))
    return [*refused, *_tags(repo, updates)]


def _branch(repo: Repository, update: Update, updates: Sequence[Update]) -> Iterator[str]:
    """Each commit that comes on top is judged by the one before it."""
    old, new = update.old, update.new
    if old is None:
        return  # nothing is guarded yet
    if new is None or _is_behind(repo, old, new):
        if _is_guarded(repo, old):
            yield "it holds reviewed changes of the registry, which a push that is no fast-forward would take back"
        return
    _, out = repo.git("rev-list", "--first-parent", "--reverse", "--end-of-options", new, f"^{old}")
    line = out.decode().split()
    start = repo.objects.commit(line[0]).parents[:1] if line else (old,)
    if start != (old,):  # the branch came in by the side, so that the pushed line would count as the reviewed one
        if _is_guarded(repo, old):
            step = "`git fetch && git checkout -B main origin/main && git merge --no-ff YOUR-BRANCH`"
            yield f"its first parents lead past {old[:7]}, where it is. Merge into it, not it into yours: {step}"
        return
    reviewer, pins = LineReviewer(), Pins(repo, new)
    for passed in walk(repo, tip=new, since=old):
        reviewed = reviewer.review(passed)
        pins.add(passed.entry, Reviewed(0, ()))
        for each in reviewed.faults:
            yield f"{each}. No commit of the push may have it: `git rebase --interactive {old[:7]}`"
        for each in reviewed.breaks:
            is_rule = each.what == "policy" or each.what.startswith("policy of ")
            step = "`runstone proposals open FILE`" if is_rule else "`runstone promote … --propose`"
            yield f"{each}. Propose it: {step}, and have somebody else merge it"
    coming = {each.ref: each.new for each in updates if each.new is not None}
    for each in find_misnamed(repo, pins.found, coming=coming):
        step = f"Leave its `Tag:` and `Seal:` out: `git rebase --interactive {old[:7]}`, reword"
        yield f"{each}. {step}"


def _append_only(repo: Repository, update: Update) -> Iterator[str]:
    if update.old is not None and (update.new is None or not _is_on_line(repo, update.old, update.new)):
        yield "it only ever grows, and this would take something back. Bring what is there first: `runstone sync`"


def _is_not_own(repo: Repository, update: Update) -> bool:
    """Whether a push of notes does anything but add what reviewers said themselves."""
    assert update.new is not None
    found = repo.objects.find(update.new)
    return found is None or found[1] != "commit" or find_foreign(repo, update.old, update.new) is not None


def _tags(repo: Repository, updates: Sequence[Update]) -> Iterator[Refusal]:
    """Version tags are made once, in the order of their numbers, on commits of the branch of runs."""
    pushed = [(update, names.parse_version_tag(update.ref.removeprefix(_TAGS))) for update in updates]
    versions = [(update, tag) for update, tag in pushed if tag is not None and update.ref.startswith(_TAGS)]
    if not versions:
        return
    highest = _highest(repo)
    for update, (key, number, is_retired) in sorted(versions, key=lambda each: (each[1][0], each[1][2], each[1][1])):
        if update.old is not None:
            deed = "deleted" if update.new is None else "moved"
            step = f"Retire the version: `runstone models retire {key} {number}`"
            yield Refusal(update.ref, f"a version is never {deed}. {step}")
            continue
        if update.new is None:
            continue
        if is_retired:
            why = _why_not_retired(repo, update, key, number, highest)
        else:
            why = _why_no_version(repo, update, key, updates)
            if why is None and key not in highest:
                why = _why_not_its_name(repo, key, updates)
        next_one = next_number(repo, key, highest.get(key, 0))
        if why is None and not is_retired and number != next_one:
            why = f"the next version of {names.decode_component(key)} is {next_one}"
        if why is not None:
            yield Refusal(update.ref, why)
        elif not is_retired:
            highest[key] = number


def _why_not_retired(repo: Repository, update: Update, key: str, number: int, highest: Mapping[str, int]) -> str | None:
    assert update.new is not None
    found = repo.objects.find(update.new)
    if found is None or found[1] != "tag":
        return "a retirement is an annotated tag, and this is none"
    if number > highest.get(key, 0):
        return "there is no such version to retire"
    tip = repo.refs.read(f"{_HEADS}{default_branch(repo)}")
    state = None if tip is None else read_states(repo, tip).get(key)
    if tip is None or state is None or not _is_guarded(repo, tip):
        return None
    if state.stage_of(number) == NO_STAGE and not state.aliases_of(number):
        return None
    return f"the version is in a guarded place. Propose its demotion first: `runstone demote {key} {number}`"


def _why_no_version(repo: Repository, update: Update, key: str, updates: Sequence[Update]) -> str | None:
    assert update.new is not None
    tag = update.ref.removeprefix(_TAGS)
    found = repo.objects.find(update.new)
    if found is None:
        return "its object is not there"
    try:
        fields, body = read_tag(tag, found)
    except (RecordInvalid, NewerFormat) as error:
        return str(error)
    if fields.get("tag") != tag or names.encode_component(body.model) != key:
        return f"it was made as {fields.get('tag')!r} for the model {body.model!r}"
    tip = next((each.new for each in updates if each.ref == repo.runs_ref), None) or repo.refs.read(repo.runs_ref)
    _, out = repo.git("rev-list", "--first-parent", "--end-of-options", tip) if tip is not None else (0, b"")
    if fields["object"] not in set(out.decode().split()):
        where = f"its commit {fields['object'][:7]} is not on the branch `{repo.config.branch}`"
        return f"{where}. Send the runs first: `runstone sync`"
    try:
        recorded = Draft(repo, fields["object"]).run(body.record)
    except RunstoneError as error:
        return str(error)
    models = {} if recorded is None or recorded.run.id != body.run else {m.path: m.digest for m in recorded.run.models}
    if models.get(body.path) != body.digest:
        return f"it says that {body.path} of run {body.run} is {body.digest}, and the record of its commit does not"
    return None


def _why_not_its_name(repo: Repository, key: str, updates: Sequence[Update]) -> str | None:
    """A model that came later would take its name from one that was renamed to it."""
    default = f"{_HEADS}{default_branch(repo)}"
    tip = next((each.new for each in updates if each.ref == default), None) or repo.refs.read(default)
    if tip is None:
        return None
    name = names.decode_component(key)
    others = [other for other in renamed(repo, tip).get(name, ()) if other != key]
    if not others:
        return None
    step = f"Register its versions under that one: they are `{others[0]}@v…`"
    return f"the model `{repo.config.registry}/{others[0]}` is called {name!r}. {step}"


def _highest(repo: Repository) -> dict[str, int]:
    found: dict[str, int] = {}
    for ref in repo.refs.list(_TAGS):
        parsed = names.parse_version_tag(ref.removeprefix(_TAGS))
        if parsed is not None and not parsed[2]:
            found[parsed[0]] = max(found.get(parsed[0], 0), parsed[1])
    return found


def _is_guarded(repo: Repository, commit: str) -> bool:
    """Whether the registry at a commit is guarded by anything: review, or a policy, be it that of one model."""
    try:
        config = read_config(repo, commit)
    except (RecordInvalid, NewerFormat):
        return True
    tree = repo.objects.commit(commit).tree
    keys = ["", *(f"{key}/" for key in read_states(repo, commit))]
    policies = (repo.objects.entry(tree, f"{config.registry}/{key}policy.yaml") for key in keys)
    return config.promotion == "review" or any(policies)


def _is_on_line(repo: Repository, old: str, new: str) -> bool:
    """Whether a commit's first parents lead to another: then nothing was put in front of that, or taken away."""
    _, out = repo.git("rev-list", "--first-parent", "--end-of-options", new, f"^{old}")
    line = out.decode().split()
    return repo.objects.commit(line[-1]).parents[:1] == (old,) if line else old == new


def _is_behind(repo: Repository, old: str, new: str) -> bool:
    return repo.git("merge-base", "--is-ancestor", old, new, allowed=(0, 1))[0] != 0
