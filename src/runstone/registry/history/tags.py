"""When model versions were made and retired, as their git tags tell; read at once, whatever is told of them later."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from runstone import names
from runstone.errors import InvalidName, NewerFormat, RecordInvalid
from runstone.git.process import run_git
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.document import parse_seconds
from runstone.records.model import VersionBody
from runstone.registry.people import Person, read_people

_TAGS = "refs/tags/"
_FORMAT = (
    "%(refname)%00%(objecttype)%00%(objectname)%00%(*objectname)%00%(taggername) %(taggeremail)%00"
    "%(taggerdate:unix)%00%(contents:subject)%00%(contents:body)%00"
)
_FIELDS = 8


@dataclass(frozen=True)
class VersionTag:
    """A git tag that made a version, or retired one.

    Attributes:
        key: The model's folder, which the tag's name begins with.
        version: 1, 2, 3 …
        is_retirement: Whether it retires the version.
        tag: Its name, `churn@v4`.
        oid: The tag object.
        commit: What it points at: the run's commit.
        time: When it was made, by the clock of who made it; Unix milliseconds.
        tagger: Who made it.
        subject: The first line of its message.
        text: The rest of it: YAML for a version, the reason of a retirement if one was given.
    """

    key: str
    version: int
    is_retirement: bool
    tag: str
    oid: str
    commit: str
    time: int
    tagger: Person
    subject: str
    text: str

    @cached_property
    def body(self) -> VersionBody | None:
        """What the tag of a version says; None if that is nothing of ours, or is about another model."""
        where = f"{_TAGS}{self.tag}"
        try:
            body = None if self.is_retirement else VersionBody.from_document(yaml.load(self.text, where), where)
            is_ours = body is not None and names.encode_component(names.check_name("model", body.model)) == self.key
        except (RecordInvalid, NewerFormat, InvalidName):
            return None
        return body if is_ours else None


def read_version_tags(repo: Repository, key: str | None = None, *, commit: str | None = None) -> list[VersionTag]:
    """The version tags of this repository, by model, version, and a version before its retirement.

    Those that only look like versions, as a project's own `lib@v2`, are left out.

    Args:
        repo: The repository.
        key: Of one model only.
        commit: Whose `.mailmap` tells who the taggers are; it is not asked if None.
    """
    pattern = f"{_TAGS}{key}@v*" if key is not None else f"{_TAGS}*@v*"
    return [tag for tag in _read(repo, [pattern], commit) if key in (None, tag.key)]  # a folder may be named `*`


def read_version_tag(repo: Repository, tag: str, *, commit: str | None = None) -> VersionTag | None:
    """One version tag by its name, `churn@v4`; None if there is no such tag, or it is none of ours."""
    if names.parse_version_tag(tag) is None:
        return None
    return next((each for each in _read(repo, [f"{_TAGS}{tag}"], commit) if each.tag == tag), None)


def _read(repo: Repository, patterns: Iterable[str], commit: str | None) -> list[VersionTag]:
    command = [f"--git-dir={repo.git_dir}", "for-each-ref", f"--format={_FORMAT}", "--", *patterns]
    _, out = run_git(command, cwd=repo.git_dir)
    fields = out.decode("utf-8", "replace").split("\0")
    rows = [fields[at : at + _FIELDS] for at in range(0, len(fields) - _FIELDS, _FIELDS)]
    people = read_people(repo, {row[4] for row in rows}, commit)
    found = []
    for ref, kind, oid, target, tagger, seconds, subject, text in rows:
        tag = ref.lstrip("\n").removeprefix(_TAGS)
        parsed = names.parse_version_tag(tag)
        if parsed is None or kind != "tag" or not target:
            continue
        key, version, is_retirement = parsed
        time = parse_seconds(seconds)
        read = VersionTag(key, version, is_retirement, tag, oid, target, time, people[tagger], subject, text.strip())
        if is_retirement or read.body is not None:
            found.append(read)
    return sorted(found, key=lambda each: (each.key, each.version, each.is_retirement))
