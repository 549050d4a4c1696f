"""What happened to the models, one row a fact: what the default branch's line says, and the git tags of versions.

The line has an order, and so have the tags of one version; between the two only clocks tell, but for what must be so:
a version was made before anything was said of it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from runstone import names
from runstone.records.stage import NO_STAGE
from runstone.records.version_notes import VersionNotes
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
from runstone.registry.history.entry import Entry
from runstone.registry.history.tags import VersionTag


@dataclass(frozen=True, slots=True)
class Happening:
    """One fact that changed.

    Attributes:
        time: Unix milliseconds.
        key: The model's folder; empty for the policy of all models.
        model: Its name then.
        what: `version registered`, `stage`, `alias champion`, `policy` …
        version: The version that it is about, where it is about one.
        before: What was so; None for nothing.
        after: What is so since; None for nothing.
        run: The run that made the version, or whose model is to be one.
        entry: The commit of the default branch that it came with; None for a git tag.
        tag: The git tag; None for a commit.
    """

    time: int
    key: str
    model: str
    what: str
    version: int | None = None
    before: str | None = None
    after: str | None = None
    run: str | None = None
    entry: Entry | None = None
    tag: VersionTag | None = None


def tell(entries: Sequence[Entry], tags: Sequence[VersionTag], key: str | None = None) -> list[Happening]:
    """What happened, the oldest first.

    Args:
        entries: The history of the registry.
        tags: The version tags, each version's before its retirement.
        key: Only what is about one model.
    """
    current = _names(entries)
    runs = {(tag.key, tag.version): tag.body.run for tag in tags if tag.body is not None}
    made = {tag.key: tag.time for tag in tags if tag.version == 1 and not tag.is_retirement}
    facts = [_of_change(entry, change, made) for entry in entries for change in entry.changes]
    facts = [replace(f, run=runs.get((f.key, f.version))) if f.version is not None else f for f in facts]
    facts = [fact for fact in facts if key is None or fact.key == key]
    firsts: dict[tuple[str, int], int] = {}
    for at, fact in enumerate(facts):
        if fact.version is not None:
            firsts.setdefault((fact.key, fact.version), at)
    clock = 0
    times = []
    for fact in facts:  # clocks differ; the line does not
        clock = max(clock, fact.time)
        times.append(clock)
    placed: list[tuple[int, int, Happening]] = [(at, 1, fact) for at, fact in enumerate(facts)]
    for tag in tags:
        at = bisect_right(times, tag.time)
        if not tag.is_retirement:
            at = min(at, firsts.get((tag.key, tag.version), at))
        placed.append((at, 0, _of_tag(tag, current)))
    return [fact for _, _, fact in sorted(placed, key=lambda row: (row[0], row[1], row[2].time if row[1] == 0 else 0))]


def _names(entries: Iterable[Entry]) -> dict[str, str]:
    """Key → the model's latest name."""
    return {change.key: change.model for entry in entries for change in entry.changes}


def _of_tag(tag: VersionTag, current: dict[str, str]) -> Happening:
    model = current.get(tag.key) or (tag.body.model if tag.body is not None else names.decode_component(tag.key))
    what = "version retired" if tag.is_retirement else "version registered"
    run = tag.body.run if tag.body is not None else None
    return Happening(tag.time, tag.key, model, what, tag.version, run=run, tag=tag)


def _of_change(entry: Entry, change: Change, firsts: Mapping[str, int]) -> Happening:
    is_known = firsts.get(change.key, entry.time + 1) <= entry.time  # by a version, before it had a file
    what, version, before, after, run = _words(change, is_known)
    return Happening(entry.time, change.key, change.model, what, version, before, after, run, entry)


def _words(change: Change, is_known: bool) -> tuple[str, int | None, str | None, str | None, str | None]:
    match change:
        case StageChange(version=version, before=before, after=after):
            return "stage", version, _stage(before), _stage(after), None
        case AliasChange(alias=alias, before=old, after=new):
            return f"alias {alias}", new or old, _number(old), _number(new), None
        case ModelChange(before=None, after=now) if not is_known:
            return f"model {_verb(None, now)}", None, None, None, None
        case ModelChange(before=was, after=now):
            if change.renamed is not None:
                return "model renamed", None, *change.renamed, None
            return f"model {'removed' if now is None else 'edited'}", None, None, None, None
        case NotesChange(version=version, before=was, after=now):
            a, b = was or VersionNotes(), now or VersionNotes()
            if a.description != b.description:
                return "description", version, a.description, b.description, None
            return "version tags", version, _tags(a.tags), _tags(b.tags), None
        case RegistrationChange(run=run, before=was, after=now):
            verb = {"created": "requested", "removed": "withdrawn"}.get(_verb(was, now), "request edited")
            return f"registration {verb}", None, None, None, run
        case CardChange(before=before, after=after):
            return "card", None, before, after, None
        case PolicyChange(before=before, after=after):
            return "policy", None, before, after, None


def _verb(before: object, after: object) -> str:
    return "created" if before is None else "removed" if after is None else "edited"


def _stage(stage: str) -> str | None:
    return None if stage == NO_STAGE else stage


def _number(version: int | None) -> str | None:
    return None if version is None else str(version)


def _tags(tags: dict[str, str]) -> str | None:
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items())) or None
