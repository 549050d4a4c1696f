"""Git tags of model versions, exchanged with a remote: each side gets what it lacks, and nothing is ever overwritten.

What the remote has is kept below `refs/runstone/remote-tags/<remote>/`, so that it is known without asking. Of tags
that look like versions, only those whose message is a version's are touched: `lib@v2` may be a project's own.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from runstone import names
from runstone.errors import RefMoved, RunstoneError
from runstone.git import signing, transport
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.runs.branch import Draft
from runstone.git.runs.events import origin
from runstone.git.stream import Progress
from runstone.records import yaml
from runstone.records.model import VersionBody
from runstone.tracking import former

PATTERN = "refs/tags/*@v*"
"""What to ask a remote for."""

_TAGS = "refs/tags/"
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class VersionTag:
    """An annotated git tag of a model version, or of its retirement.

    Attributes:
        name: `churn@v4`, without `refs/tags/`.
        oid: The tag object.
        commit: What it points at.
        body: What its message says; None for a retirement.
    """

    name: str
    oid: str
    commit: str
    body: VersionBody | None


def fetch(repo: Repository, remote: str, there: Mapping[str, str], progress: Progress | None) -> None:
    """Bring the version tags of a remote that are not here.

    Args:
        repo: The repository.
        remote: The remote's name.
        there: The refs that it has, as `transport.list_remote` tells them.
        progress: Told of git's steps.

    Writes:
        Objects, and `refs/runstone/remote-tags/<remote>/`, from which goes what the remote has no longer: to
        `refs/runstone/former/<remote>/`.
    """
    prefix = _kept(remote)
    present = _annotated(there)
    whole: list[str] = []
    cut: list[str] = []

    def plan() -> list[RefUpdate]:
        known = repo.refs.list(prefix)
        wanted = {f"{prefix}{name}": oid for name, oid in present.items()}
        updates = [RefUpdate(ref, None, oid) for ref, oid in known.items() if ref not in wanted]
        before = {ref.removeprefix(prefix): oid for ref, oid in known.items()}
        updates += former.note_tags(repo, remote, before, present)
        whole.clear()
        cut.clear()
        for ref, oid in wanted.items():
            if known.get(ref) == oid:
                continue
            name = ref.removeprefix(prefix)
            if repo.objects.find(oid) is not None:
                updates.append(RefUpdate(ref, oid, known.get(ref)))
            elif repo.shallow and repo.objects.find(there[f"{_TAGS}{name}^{{}}"]) is None:
                cut.append(f"+{_TAGS}{name}:{ref}")  # with all that its commit hangs from, the code would come too
            else:
                whole.append(f"+{_TAGS}{name}:{ref}")
        return updates

    _move(repo, plan)
    for refspecs, depth in ((whole, None), (cut, 1)):
        if refspecs:
            transport.fetch(repo, remote, refspecs, depth=depth, progress=progress)
            repo.objects.close()


def local(repo: Repository) -> dict[str, str]:
    """The git tags here that are named like versions: name → what each names."""
    refs = {ref.removeprefix(_TAGS): oid for ref, oid in repo.refs.list(_TAGS).items()}
    return {name: oid for name, oid in refs.items() if names.parse_version_tag(name) is not None}


def receive(repo: Repository, remote: str, there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Make the tags that only the remote has; returns their names.

    Writes:
        `refs/tags/`, never over a tag that is there.
    """
    new = sorted(_annotated(there).keys() - here.keys())
    moves = {
        name: RefUpdate(_TAGS + name, there[_TAGS + name], None)
        for name in new
        if _read(repo, name, f"{_kept(remote)}{name}") is not None
    }
    try:
        if moves:
            repo.refs.update(list(moves.values()))
        return list(moves)
    except RefMoved:  # another process has made one of them; should that be another one, the next sync tells
        made = []
        for name, move in moves.items():
            with suppress(RefMoved):
                repo.refs.update([move])
                made.append(name)
        return made


def diverged(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """The names of versions that are one thing here and another on the remote."""
    return sorted(name for name, oid in _annotated(there).items() if here.get(name, oid) != oid)


def all_here(repo: Repository) -> list[VersionTag]:
    """The version tags here."""
    return unsent(repo, {}, local(repo))


def unsent(repo: Repository, there: Mapping[str, str], here: Mapping[str, str]) -> list[VersionTag]:
    """The version tags here of which the remote has none of the name."""
    found = (_read(repo, name, _TAGS + name) for name in sorted(here) if _TAGS + name not in there)
    return [tag for tag in found if tag is not None]


def on_line(repo: Repository, tip: str) -> set[str]:
    """The commits of a branch of runs, those of the code left out."""
    _, out = repo.git("rev-list", "--first-parent", tip)
    return set(out.decode().split())


def put_on_runs(repo: Repository, tags: list[VersionTag]) -> list[VersionTag]:
    """Make those tags anew whose commit is no longer on the branch of runs, as after a replay.

    The commit of the same event takes its place; where there is none, the newest one that holds the same model.

    Returns:
        The tags that point at commits of the branch; one that has no place there is left out.

    Writes:
        Tag objects with the same message, signed where git is set to sign tags; `refs/tags/`, by compare-and-swap.

    Raises:
        SigningFailed: A tag could not be signed; it stays where it was.
    """
    tip = repo.refs.read(repo.runs_ref)
    if tip is None or not tags:
        return []
    present = on_line(repo, tip)
    kept = []
    moved: list[VersionTag] = []
    for tag in tags:
        commit = tag.commit if tag.commit in present else _new_place(repo, tip, tag)
        if commit == tag.commit:
            kept.append(tag)
        elif commit is not None:
            made = VersionTag(tag.name, _write_again(repo, tag, commit), commit, tag.body)
            repo.refs.update([RefUpdate(_TAGS + tag.name, made.oid, tag.oid)])
            moved.append(made)
    return kept + moved


def note_sent(repo: Repository, remote: str, sent: Mapping[str, str]) -> None:
    """Keep that the remote has these tags: name → tag object."""

    def plan() -> list[RefUpdate]:
        known = repo.refs.list(_kept(remote))
        refs = {f"{_kept(remote)}{name}": oid for name, oid in sent.items()}
        updates = [RefUpdate(ref, oid, known.get(ref)) for ref, oid in refs.items() if known.get(ref) != oid]
        return [*updates, *former.forget_tags(repo, remote, sent)]

    _move(repo, plan)


def _move(repo: Repository, plan: Callable[[], list[RefUpdate]]) -> None:
    """Move what a plan says, planned anew where another process has meanwhile noted what it sent, or had seen."""
    for attempt in range(1, _ATTEMPTS + 1):
        updates = plan()
        try:
            if updates:
                repo.refs.update(updates)
            return
        except RefMoved:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(0.005 * attempt)


def _kept(remote: str) -> str:
    return f"refs/runstone/remote-tags/{remote}/"


def _annotated(there: Mapping[str, str]) -> dict[str, str]:
    """Of the refs of a remote, the annotated tags that are named like versions: name → tag object."""
    tags = {ref: oid for ref, oid in there.items() if ref.startswith(_TAGS) and f"{ref}^{{}}" in there}
    found = {ref.removeprefix(_TAGS): oid for ref, oid in tags.items()}
    return {name: oid for name, oid in found.items() if names.parse_version_tag(name) is not None}


def _read(repo: Repository, name: str, ref: str) -> VersionTag | None:
    """A version's tag; None if the ref leads to anything else."""
    parsed = names.parse_version_tag(name)
    found = repo.objects.find(ref)
    if parsed is None or found is None or found[1] != "tag":
        return None
    head = found[2].partition(b"\n\n")[0].decode("utf-8", "replace")
    fields = {key: value for key, _, value in (line.partition(" ") for line in head.split("\n"))}
    body = None
    if not parsed[2]:
        body = parse_body(found[2], ref)
        if body is None:
            return None
    return VersionTag(name, found[0], fields["object"], body) if fields.get("type") == "commit" else None


def parse_body(data: bytes, where: str) -> VersionBody | None:
    """What a tag object says of a version; None for a project's own tag that looks like one of ours."""
    message = data.decode("utf-8", "replace").partition("\n\n")[2]
    text = message.partition("\n\n")[2].partition("\n-----BEGIN ")[0] + "\n"
    try:
        return VersionBody.from_document(yaml.load(text, where), where)
    except RunstoneError:
        return None


def _new_place(repo: Repository, tip: str, tag: VersionTag) -> str | None:
    if tag.body is None:
        retired = repo.refs.read(_TAGS + tag.name.removesuffix("!"))
        return retired if retired is not None and retired in on_line(repo, tip) else None
    record = tag.body.record
    _, out = repo.git("--literal-pathspecs", "rev-list", "--first-parent", tip, "--", record)
    commits = out.decode().split()
    old = repo.objects.commit(tag.commit)
    folder = repo.objects.entry(old.tree, record)
    for commit in commits:
        found = repo.objects.commit(commit)
        if origin(found) == origin(old) or (not repo.shallow and repo.objects.entry(found.tree, record) == folder):
            return commit
    if repo.shallow:
        return tag.commit  # of the line only the newest commits are here, and each seems to have made everything
    for commit in commits:
        recorded = Draft(repo, commit).run(record)
        if recorded is not None and tag.body.digest in {model.digest for model in recorded.run.models}:
            return commit
    return None


def _write_again(repo: Repository, tag: VersionTag, commit: str) -> str:
    """The same tag for another commit, signed anew where git is set to: the signature that it had is of the old one."""
    data = repo.objects.read(tag.oid)[2].decode("utf-8", "surrogateescape")
    head, _, message = data.partition("\n\n")
    tagger = next((line.removeprefix("tagger ") for line in head.split("\n") if line.startswith("tagger ")), None)
    text = message.partition("\n-----BEGIN ")[0]
    return signing.write_tag(repo, commit, tag.name, text, tagger=tagger)
