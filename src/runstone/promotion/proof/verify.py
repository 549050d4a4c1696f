"""Proof from git alone: every change of a guarded stage or alias came by an approved merge under the policy of its day,
and the versions in use lead back to their runs, code, data and bytes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from runstone import names
from runstone.errors import InvalidName, ModelRenamed
from runstone.git.repository import Repository
from runstone.promotion.proof.joins import find_replaced
from runstone.promotion.proof.provenance import DEEPEN, Break, Provenance
from runstone.promotion.proof.reviewing import Reviewer as Reviewer
from runstone.promotion.proof.walk import BESIDE as BESIDE
from runstone.promotion.proof.walk import LineReviewer, walk
from runstone.promotion.rules.bypass import find_reason
from runstone.registry.branch import registry_commit
from runstone.registry.changes import AliasChange, StageChange
from runstone.registry.history.entry import Entry
from runstone.registry.keys import find_key
from runstone.registry.state import read_states
from runstone.tracking.workspace import Workspace

Progress = Callable[[int, int], None]

_REMOTE_TAGS = "refs/runstone/remote-tags/"
_PINNED = re.compile(r"^(Model|Version|Tag): (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bypass:
    """A gate that was set aside, with the reason that was given for it."""

    commit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified.

    Attributes:
        commit: The registry's commit.
        commits: How many commits that change the registry were looked at.
        changes: How many changes of guarded facts.
        versions: How many versions, down to their bytes.
        breaks: What does not hold, the earliest first; of the commits first, then of the versions.
        bypasses: Gates that were set aside.
        noted: How many of the changes were approved by the word of notes alone, which who may push them can write.
    """

    commit: str | None
    commits: int
    changes: int
    versions: int
    breaks: tuple[Break, ...]
    bypasses: tuple[Bypass, ...] = ()
    noted: int = 0


def verify(
    workspace: Workspace,
    key: str | None = None,
    versions: Iterable[int] | None = None,
    *,
    artifacts: bool = True,
    deep: bool = False,
    progress: Progress | None = None,
) -> Verified:
    """Verify the registry.

    Args:
        workspace: The repository.
        key: Only this model, and the policies; all if None.
        versions: Of the model, these; those that are in a stage or have an alias if None, and all of one model.
        artifacts: Whether versions are followed down to their code, data and bytes.
        deep: Whether all bytes on the DVC remote are read.
        progress: Told how many commits and versions of how many are done.

    Raises:
        GitFailed: The history cannot be read.
    """
    repo = workspace.repo
    tip = registry_commit(repo)
    steps = walk(repo, tip=tip, key=key)
    entries = [step.entry for step in steps]
    chosen = list(_versions(repo, tip, key, versions)) if artifacts else []
    total = len(entries) + len(chosen)
    breaks: list[Break] = []
    bypasses: list[Bypass] = []
    guarded, noted, reviewer, pins = 0, 0, LineReviewer(key), _Pins(repo, tip)
    if repo.shallow:
        why = f"history is cut short in this clone, so what came before is not known. Bring it: {DEEPEN}"
        where = f"commit {entries[0].commit[:7]}" if entries else "HEAD"
        breaks.append(Break("history", where, why, is_certain=False))
    for done, step in enumerate(steps, 1):
        entry = step.entry
        if entry.is_cut:
            continue  # what it changed cannot be told, as was said above
        reviewed = reviewer.review(step)
        guarded += reviewed.guarded
        noted += reviewed.noted
        breaks += [*reviewed.breaks, *reviewed.faults]
        pins.add(entry)
        reasons = (find_reason(text) for text in (entry.message, *entry.messages))
        bypasses += [Bypass(entry.commit, reason) for reason in reasons if reason is not None]
        if progress is not None:
            progress(done, total)
    if tip is not None:
        breaks += find_replaced(repo, tip, steps, key)
    breaks += _moved_tags(repo, pins.found, key)
    provenance = Provenance(workspace, tip, deep=deep)
    for done, (model, version) in enumerate(chosen, len(entries) + 1):
        breaks += provenance.check(model, version)
        if progress is not None:
            progress(done, total)
    return Verified(tip, len(entries), guarded, len(chosen), tuple(breaks), tuple(bypasses), noted)


class _Pins:
    """The git tags of versions as commits named them when they moved the versions: `Version: 4`, then `Tag: <id>`."""

    def __init__(self, repo: Repository, tip: str | None) -> None:
        self._repo, self._tip = repo, tip
        self.found: dict[tuple[str, int], dict[str, str]] = {}

    def add(self, entry: Entry) -> None:
        """Take what an entry, and the commits that it brought, say of versions that it moved."""
        moved: set[tuple[str, int]] = set()
        keys: dict[str, str] = {}
        for change in entry.changes:
            match change:
                case StageChange():
                    moved.add((change.key, change.version))
                case AliasChange():
                    moved |= {(change.key, v) for v in (change.before, change.after) if v is not None}
            keys[change.model] = change.key
        for text in (entry.message, *entry.messages) if moved else ():
            for model, version, tag in _named_tags(text):
                place = keys.get(model) or self._key(model, entry.commit), version
                if place in moved:
                    self.found.setdefault(place, {}).setdefault(tag, entry.commit)

    def _key(self, model: str, commit: str) -> str:
        """The key of a model by the name that it had: when the commit was made, or has now."""
        for at in (commit, self._tip):
            with suppress(InvalidName, ModelRenamed):
                return find_key(self._repo, model, at)
        return names.encode_component(model)


def _named_tags(message: str) -> Iterator[tuple[str, int, str]]:
    """The model, the version and the id of its git tag, of each version that a commit's message names so."""
    model, version = "", None
    for key, value in _PINNED.findall(message):
        if key == "Model":
            model, version = value, None
        elif key == "Version":
            version = names.parse_version_number(value)
        elif model and version is not None:
            yield model, version, value


def _moved_tags(
    repo: Repository, pins: Mapping[tuple[str, int], Mapping[str, str]], key: str | None
) -> Iterator[Break]:
    """Git tags that are not what they were when a commit of the registry named them, or a remote was last seen."""
    here = repo.refs.list("refs/tags/")
    for (model, version), tags in pins.items():
        tag = f"{model}@v{version}"
        now = here.get(f"refs/tags/{tag}")
        found = next(((oid, commit) for oid, commit in tags.items() if oid != now), None)
        if now is not None and found is not None and key in (None, model):
            why = f"it was {found[0][:7]} when commit {found[1][:7]} moved the version, and is {now[:7]}"
            yield Break(f"{_name(model)}/{version}", f"git tag {tag}", f"{why}: it was made anew since")
    for ref, oid in repo.refs.list(_REMOTE_TAGS).items():
        remote, _, tag = ref.removeprefix(_REMOTE_TAGS).partition("/")
        parsed = names.parse_version_tag(tag)
        now = here.get(f"refs/tags/{tag}")
        if parsed is None or now is None or now == oid or key not in (None, parsed[0]):
            continue
        what = f"{_name(parsed[0])}/{parsed[1]}"
        why = f"it is {now[:7]} here and {oid[:7]} on `{remote}`: one of them was made anew"
        yield Break(what, f"git tag {tag}", f"{why}. Compare: `git show {now[:10]} {oid[:10]}`")


def _name(key: str) -> str:
    return names.decode_component(key)


def _versions(
    repo: Repository, tip: str | None, key: str | None, versions: Iterable[int] | None
) -> Iterator[tuple[str, int]]:
    if key is not None and versions is not None:
        yield from ((key, version) for version in versions)
        return
    if key is not None:
        tags = (
            names.parse_version_tag(ref.removeprefix("refs/tags/")) for ref in repo.refs.list(f"refs/tags/{key}@v*")
        )
        numbers = [tag for tag in tags if tag is not None and tag[0] == key]
        retired = {number for _, number, is_retired in numbers if is_retired}
        yield from ((key, number) for _, number, _ in sorted(numbers) if number not in retired)
        return
    for model, state in read_states(repo, tip).items():
        used = {version for group in state.stages.values() for version in group} | set(state.aliases.values())
        yield from ((model, version) for version in sorted(used))
