"""The versions that proposals speak of, each looked up by its git tag: a few of however many there are.

Keys of models come from the paths of other people's pushes, so they reach git only where they can name a ref.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from runstone.errors import NewerFormat, ObjectMissing, RecordInvalid
from runstone.git.repository import Repository
from runstone.git.runs.branch import Draft
from runstone.records.model import VersionBody
from runstone.registry.numbers import TAGS, read_numbers
from runstone.registry.tag import parse_version

_OF_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\/@<>|\"]|\.\.|^[-.]|\.$|\.lock$")


@dataclass(frozen=True, slots=True)
class TaggedVersion:
    """A version as its git tag holds it.

    Attributes:
        key: The model's folder in the registry.
        number: 1, 2, 3 …
        commit: The commit that the tag points at.
        body: What the tag says.
        created: When the tag was made, Unix milliseconds; None if it does not say.
        is_retired: Whether it was retired since.
    """

    key: str
    number: int
    commit: str
    body: VersionBody
    created: int | None
    is_retired: bool


def find_version(repo: Repository, key: str, number: int) -> TaggedVersion | None:
    """A version, retired or not; None if there is no such git tag here, or it only looks like one."""
    if not _can_name(key) or not 1 <= number < 10**18:
        return None
    tag = f"{key}@v{number}"
    found = repo.objects.find(TAGS + tag)
    if found is None:
        return None
    try:
        tagged, body = parse_version(tag, found[1], found[2])
    except (RecordInvalid, NewerFormat):
        return None
    is_retired = repo.objects.find(f"{TAGS}{tag}!") is not None
    return TaggedVersion(key, number, tagged.commit, body, tagged.timestamp, is_retired)


def contradicts_record(repo: Repository, version: TaggedVersion) -> str | None:
    """What the git tag of a version says of its model and the record on its commit does not; None if all agrees.

    Anybody who may push a tag could write any digest into it. Where the commit is not here, nothing can be compared:
    see `lacks_record`.
    """
    body, commit = version.body, version.commit
    if repo.objects.find(commit) is None:
        return None
    try:
        recorded = Draft(repo, commit).run(body.record)
    except ObjectMissing:
        return None
    except (RecordInvalid, NewerFormat) as error:
        return f"the record cannot be read: {error}"
    if recorded is None or recorded.run.id != body.run:
        return f"there is no run {body.run} in `{body.record}` of its commit {commit[:12]}"
    model = next((model for model in recorded.run.models if model.path == body.path), None)
    if model is None:
        return f"the run {body.run} logged no model `{body.path}`"
    if model.digest != body.digest:
        return f"`{body.path}` of the run {body.run} has the digest {model.digest}, and the tag says {body.digest}"
    return None


def lacks_record(repo: Repository, version: TaggedVersion) -> str | None:
    """Why nobody can tell here whether the record says what the git tag of a version says; None if it is here."""
    if repo.objects.find(version.commit) is not None:
        return None
    step = "git fetch --unshallow --tags" if repo.shallow else "runstone pull"
    return f"The commit {version.commit[:12]} with the record of its run is not here. Bring it: `{step}`"


def list_versions(repo: Repository, key: str) -> Iterator[TaggedVersion]:
    """All versions of a model, retired or not."""
    numbers = read_numbers(repo, key).versions if _can_name(key) else ()
    return (found for number in numbers if (found := find_version(repo, key, number)) is not None)


def _can_name(key: str) -> bool:
    return bool(key) and _OF_NO_REF.search(key) is None
