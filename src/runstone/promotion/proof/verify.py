"""Proof from git alone: every change of a guarded stage or alias came by an approved merge under the policy of its day,
and the versions in use lead back to their runs, code, data and bytes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from runstone import names
from runstone.errors import UsageError
from runstone.git.repository import Repository
from runstone.promotion.proof.joins import find_replaced
from runstone.promotion.proof.pins import Pins, find_misnamed, find_moved
from runstone.promotion.proof.provenance import DEEPEN, Break, Provenance
from runstone.promotion.proof.reviewing import Reviewer as Reviewer
from runstone.promotion.proof.walk import BESIDE as BESIDE
from runstone.promotion.proof.walk import LineReviewer, walk
from runstone.promotion.rules.bypass import find_reason
from runstone.registry.branch import default_branch, registry_commit
from runstone.registry.state import read_states
from runstone.registry.taken import Names
from runstone.tracking.workspace import Workspace

Progress = Callable[[int, int], None]


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
        versions: How many versions, down to the digests of their bytes.
        unread: Of these, those with bytes that were not read, as `churn/4`: what digests say of them is not proved.
        breaks: What does not hold, the earliest first; of the commits first, then of the versions.
        bypasses: Gates that were set aside.
        noted: How many of the changes were approved by the word of notes alone, which who may push them can write.
        doubts: What commits say of git tags that are otherwise, where nobody approved that they say so.
    """

    commit: str | None
    commits: int
    changes: int
    versions: int
    breaks: tuple[Break, ...]
    bypasses: tuple[Bypass, ...] = ()
    noted: int = 0
    unread: tuple[str, ...] = ()
    doubts: tuple[Break, ...] = ()


def verify(
    workspace: Workspace,
    key: str | None = None,
    versions: Iterable[int] | None = None,
    *,
    artifacts: bool = True,
    deep: bool = False,
    since: str | None = None,
    progress: Progress | None = None,
) -> Verified:
    """Verify the registry.

    Args:
        workspace: The repository.
        key: Only this model, and the policies; all if None.
        versions: Of the model, these; those that are in a stage or have an alias if None, and all of one model.
        artifacts: Whether versions are followed down to their code, data and bytes.
        deep: Whether all bytes on the DVC remote are read.
        since: A commit of the registry's line, as `find_since` finds it: what it holds is taken for right, and only
            what came after it is judged. Versions, and what remotes have lost, are looked at all the same.
        progress: Told how many commits and versions of how many are done.

    Raises:
        GitFailed: The history cannot be read.
    """
    repo = workspace.repo
    tip = registry_commit(repo)
    steps = walk(repo, tip=tip, since=since, key=key)
    entries = [step.entry for step in steps]
    chosen = list(_versions(repo, tip, key, versions)) if artifacts else []
    total = len(entries) + len(chosen)
    breaks: list[Break] = []
    bypasses: list[Bypass] = []
    guarded, noted, reviewer, pins = 0, 0, LineReviewer(key), Pins(repo, tip)
    if repo.shallow and since is None:
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
        pins.add(entry, reviewed)
        reasons = (find_reason(text) for text in (entry.message, *entry.messages))
        bypasses += [Bypass(entry.commit, reason) for reason in reasons if reason is not None]
        if progress is not None:
            progress(done, total)
    if tip is not None:
        breaks += find_replaced(repo, tip, steps, key)
        breaks += _shared_names(repo, tip, key, breaks)
    breaks += find_moved(repo, pins.found, key)
    provenance = Provenance(workspace, tip, deep=deep)
    for done, (model, version) in enumerate(chosen, len(entries) + 1):
        breaks += provenance.check(model, version)
        if progress is not None:
            progress(done, total)
    return Verified(
        commit=tip,
        commits=len(entries),
        changes=guarded,
        versions=len(chosen),
        breaks=tuple(breaks),
        bypasses=tuple(bypasses),
        noted=noted,
        unread=tuple(provenance.unread),
        doubts=tuple(find_misnamed(repo, pins.found, key)),
    )


def _shared_names(repo: Repository, tip: str, key: str | None, told: Iterable[Break]) -> Iterator[Break]:
    """Names that two models have now, where no commit that was looked at has been told to have made it so."""
    known = {each.why for each in told}
    for clash in sorted(Names(repo).clashes(tip, None if key is None else [key])):
        why = clash.describe(repo.config.registry)
        if why not in known:
            yield Break("name", f"commit {tip[:7]}", why)


def find_since(repo: Repository, text: str) -> str | None:
    """The commit that a commit or a date means: of a date, the last one of the registry's line before the first that is
    of a later time, as a commit made later may tell of an earlier one.

    Returns:
        Its full id; None if all of the line is later.

    Raises:
        UsageError: It is neither a commit of the line nor a date.
    """
    tip = registry_commit(repo)
    _, out = (
        repo.git("log", "--first-parent", "--reverse", "--no-show-signature", "--format=%H %ct", tip)
        if tip
        else (0, b"")
    )
    line = {row.partition(" ")[0]: int(row.partition(" ")[2]) for row in out.decode().splitlines()}
    try:
        limit = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        found = repo.objects.resolve(text) if text.isprintable() and not text.startswith("-") else None
        if found in line:
            return found
        raise UsageError(
            f"{text[:80]!r} is neither a commit of the registry's branch nor a date such as 2026-05-31. See its "
            f"commits: `git log --first-parent {default_branch(repo)}`"
        ) from None
    last = None
    for commit, made in line.items():
        if made > limit:
            break
        last = commit
    return last


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
