"""The git tag of a model version, and that of its retirement, as objects: what they say, read from their text."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from runstone import names
from runstone.errors import InvalidName, RecordInvalid, RunstoneError
from runstone.records import yaml
from runstone.records.document import Document, parse_seconds
from runstone.records.model import VersionBody
from runstone.registry.numbers import TAGS

if TYPE_CHECKING:
    from runstone.git.repository import Repository

_STEP = "If it is no model version, give it another name: `git tag NEW OLD && git tag -d OLD`"
_blocks = re.compile(r"^(?=[A-Za-z_'\"])", re.MULTILINE).split
_match_head = re.compile(r"object ([0-9a-f]+)\ntype commit\n(?:.*\n)*?(?:tagger (.*)\n|\n)").match


class Tagged(NamedTuple):
    """Who made an annotated git tag, when, and of what.

    Attributes:
        commit: The commit that it points at.
        user_id: The tagger's name.
        timestamp: Unix milliseconds.
        message: All that follows the subject, without a signature.
    """

    commit: str
    user_id: str | None
    timestamp: int | None
    message: str


class Retirement(NamedTuple):
    """Who retired a version, and why.

    Attributes:
        user_id: The name of who did.
        timestamp: When, in Unix milliseconds.
        reason: What they said.
    """

    user_id: str | None
    timestamp: int | None
    reason: str | None


def parse_version(tag: str, kind: str, data: bytes) -> tuple[Tagged, VersionBody]:
    """What the git tag of a version says.

    Args:
        tag: Its name, `churn@v4`.
        kind: The kind of object that the ref names.
        data: The object.

    Raises:
        RecordInvalid: It only looks like a version's, or is about another model.
    """
    where = f"{TAGS}{tag}"
    tagged = _parse(data) if kind == "tag" else None
    if tagged is None:
        problem = "it must be an annotated tag that Runstone wrote, but is a plain one"
        raise RecordInvalid(where, problem, next_step=_STEP)
    body = VersionBody.from_document(_load(tagged.message, where), where)
    if _key(body.model, where) != tag.rpartition("@")[0]:
        raise RecordInvalid(where, f"its body is about another model, {body.model!r}", next_step=_STEP)
    return tagged, body


def parse_retirement(data: bytes) -> Retirement:
    """What a git tag that retires a version says; of a plain one, or one made by hand, as much as there is."""
    tagged = _parse(data)
    if tagged is None:
        return Retirement(None, None, None)
    return Retirement(tagged.user_id, tagged.timestamp, tagged.message.strip() or None)


def read_seal(repo: "Repository", name: str, data: bytes) -> str | None:
    """What the git tag of a version says, and the record that it leads to, as one id that tells them from any other.

    It is the id that the tag would have if it were on the folder of its run's record in place of a commit, unsigned:
    where a run goes onto the tip of a remote, its commit is another one, and all of this stays.

    Args:
        repo: The repository.
        name: The tag's name, `churn@v4`.
        data: The tag object.

    Returns:
        The id; None if it is no version's, or the record is not here.
    """
    try:
        tagged, body = parse_version(name, "tag", data)
        commit = repo.objects.resolve(tagged.commit)
        record = None if commit is None else repo.objects.entry(repo.objects.commit(commit).tree, body.record)
    except RunstoneError:
        return None
    if record is None or not record.is_tree:
        return None
    import hashlib  # here: to look a version up, which has to be quick, takes none of it

    head = data.partition(b"\n\n")[0].split(b"\n")
    rows = [
        f"object {record.oid}".encode(),
        b"type tree",
        *(row for row in head if row.startswith((b"tag ", b"tagger "))),
    ]
    text = data.partition(b"\n\n")[2].partition(b"\n-----BEGIN ")[0].rstrip(b"\n")
    sealed = b"\n".join([*rows, b"", text, b""])
    return hashlib.new(repo.object_format, b"tag %d\0" % len(sealed) + sealed).hexdigest()


def _parse(data: bytes) -> Tagged | None:
    """The parts of a tag object; None if it is none, or is no tag of a commit."""
    text = data.decode("utf-8", "replace")
    head, _, message = text.partition("\n\n")
    found = _match_head(f"{head}\n\n")
    if found is None:
        return None
    tagger = found[2] or ""
    seconds = tagger.rsplit(" ", 2)[-2:-1]
    made = parse_seconds(seconds[0]) if seconds and seconds[0].isdecimal() else None
    return Tagged(found[1], tagger.partition(" <")[0] or None, made, _unsigned(message.partition("\n\n")[2]))


def _unsigned(text: str) -> str:
    """A message without the signature that git puts after it."""
    return text.partition("\n-----BEGIN ")[0].rstrip("\n") + "\n"


def _load(text: str, where: str) -> Any:
    """As `yaml.load`, key by key: versions of one model share most of what their bodies say, which is then read once.

    The values are shared, too, so they are not to be changed.
    """
    document: Document = {}
    try:
        for block in _blocks(text):
            if not block.startswith("# yaml-language-server: ") and block:
                key, value = _block(block)
                if key in document:
                    return yaml.load(text, where)
                document[key] = value
    except (ValueError, RecordInvalid):
        return yaml.load(text, where)
    return document


@lru_cache(4096)
def _block(text: str) -> tuple[str, Any]:
    document = yaml.load(text, "")
    if not isinstance(document, dict) or len(document) != 1:
        raise ValueError(text)
    return next(iter(document.items()))


@lru_cache(256)
def _key(model: str, where: str) -> str:
    try:
        return names.encode_component(names.check_name("model", model))
    except InvalidName as error:
        raise RecordInvalid(where, f"`model` is no name of a model: {error.why}", next_step=_STEP) from None
