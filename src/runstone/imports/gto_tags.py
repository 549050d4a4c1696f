"""gto's registry as git tags tell it: registrations and assignments, and what takes them back, folded into state.

Source: gto's README, "Git tags format"; compared with `gto show` in tests/imports/test_gto.py.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from runstone.git.repository import Repository

_SEMVER = r"v(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*)){2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9_/-]*[A-Za-z0-9])?"
_TAG = re.compile(
    rf"(?P<name>(?:[A-Za-z0-9_./-]+=)?{_WORD})(?:@(?:(?P<version>{_SEMVER})|(?P<word>deprecated|created))|#(?P<stage>{_WORD}))"
    r"(?P<cancel>!?)(?:#(?P<counter>[0-9]{1,9}))?"
)
_OBJECT = re.compile(
    rb"object ([0-9a-f]+)\ntype (?:commit|tag)\n(?:.*\n)*?tagger (.*?) <.*> ([0-9]{1,12}) [+-][0-9]{4}\n\n?"
)
_SIGNATURE = re.compile(r"^-----BEGIN [A-Z ]*SIGNATURE-----$.*", re.MULTILINE | re.DOTALL)
_OWN_MESSAGE = re.compile(r"(Registering artifact|Assigning stage|Unassigning stage|Deregistering|Deprecating) .*")


@dataclass(frozen=True, slots=True)
class Event:
    """One annotated tag.

    Attributes:
        tag: Its name.
        name: The artifact, with `:` after its folder.
        version: `v1.2.3`, of a registration.
        stage: Of an assignment.
        is_cancel: Whether it takes back.
        commit: What it points at.
        author: The tagger's name.
        time: Unix milliseconds.
        message: What the tagger said; empty where gto said it.
        counter: The number at the tag's end, by which gto tells repeated events apart.
    """

    tag: str
    name: str
    version: str | None
    stage: str | None
    is_cancel: bool
    commit: str
    author: str
    time: int
    message: str
    counter: int


@dataclass(slots=True)
class Artifact:
    """What the tags of one artifact say together.

    Attributes:
        versions: Registrations by version, in the order made.
        removed: Versions whose registration was taken back.
        stages: Stage → the version that holds it; the one assigned last comes first.
        loose: Stages that a commit holds which is no version.
        deprecated: When it was deprecated, if it was.
    """

    name: str
    versions: dict[str, Event] = field(default_factory=dict)
    removed: dict[str, Event] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    loose: dict[str, str] = field(default_factory=dict)
    deprecated: Event | None = None


def read_artifacts(repo: Repository) -> list[Artifact]:
    """The artifacts that the tags of a repository tell of, by name. Tags that are not annotated are none of gto's."""
    by_name: dict[str, list[Event]] = {}
    for event in sorted(_events(repo), key=_order):
        by_name.setdefault(event.name, []).append(event)
    return [_fold(name, events) for name, events in sorted(by_name.items())]


def _events(repo: Repository) -> Iterator[Event]:
    prefix = "refs/tags/"
    refs = [(ref.removeprefix(prefix), oid) for ref, oid in repo.refs.list(prefix).items()]
    wanted = [(match, oid) for tag, oid in refs if (match := _TAG.fullmatch(tag)) is not None]
    for (match, _), (_, data) in zip(wanted, repo.objects.read_many([oid for _, oid in wanted]), strict=True):
        head = _OBJECT.match(data)
        commit = repo.objects.resolve(head[1].decode()) if head is not None else None  # it may be a tag of a tag
        if head is None or commit is None or match["word"] == "created":
            continue
        text = _SIGNATURE.sub("", data[head.end() :].decode("utf-8", "replace")).strip()
        yield Event(
            tag=match[0],
            name=match["name"].replace("=", ":"),
            version=match["version"],
            stage=match["stage"],
            is_cancel=bool(match["cancel"]),
            commit=commit,
            author=head[2].decode("utf-8", "replace"),
            time=int(head[3]) * 1000,
            message="" if _OWN_MESSAGE.fullmatch(text) else text,
            counter=int(match["counter"] or 0),
        )


def _order(event: Event) -> tuple[int, int, str]:
    return event.time, event.counter, event.tag


def _fold(name: str, events: list[Event]) -> Artifact:
    found = Artifact(name)
    held: dict[str, dict[str, Event]] = {}  # stage → commit → the last event of both
    for event in events:
        if event.stage is not None:
            held.setdefault(event.stage, {})[event.commit] = event
        elif event.version is None:
            found.deprecated = event
        elif event.is_cancel:
            found.versions.pop(event.version, None)
            found.removed[event.version] = event
        else:
            found.versions[event.version] = event
            found.removed.pop(event.version, None)
    of_commit = {event.commit: version for version, event in found.versions.items()}
    removed = {event.commit for event in found.removed.values()} - of_commit.keys()
    holders = [[event for event in last.values() if not event.is_cancel] for last in held.values()]
    newest = [max(events, key=_order) for events in holders if events]  # gto shows one version a stage
    for event in sorted(newest, key=_order, reverse=True):
        stage = event.stage or ""
        if event.commit in of_commit:
            found.stages[stage] = of_commit[event.commit]
        elif event.commit not in removed:
            found.loose[stage] = event.commit
    return found
