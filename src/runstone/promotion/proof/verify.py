"""Proof from git alone: every change of a guarded stage or alias came by an approved merge under the policy of its day,
and the versions in use lead back to their runs, code, data and bytes.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from runstone import names
from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.objects import Commit
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.promotion.proof.provenance import Break, Provenance
from runstone.promotion.rules.approvals import Evidence, collect, lacking, needed, read_config
from runstone.records.policy import NO_STAGE
from runstone.registry.branch import registry_commit
from runstone.registry.changes import (
    AliasChange,
    Change,
    PolicyChange,
    RegistrationChange,
    StageChange,
    read_changes,
)
from runstone.registry.state import read_states
from runstone.tracking.workspace import Workspace

Progress = Callable[[int, int], None]

_REMOTE_TAGS = "refs/runstone/remote-tags/"
_PINNED = re.compile(r"^(Model|Version|Tag|Bypass): (.*)$", re.MULTILINE)


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
    """

    commit: str | None
    commits: int
    changes: int
    versions: int
    breaks: tuple[Break, ...]
    bypasses: tuple[Bypass, ...] = ()


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What became of one commit.

    Attributes:
        guarded: How many of its changes need approvals.
        breaks: Those that lack them.
    """

    guarded: int
    breaks: tuple[Break, ...]


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
    commits = [] if tip is None else registry_commits(repo, tip)
    chosen = list(_versions(repo, tip, key, versions)) if artifacts else []
    total = len(commits) + len(chosen)
    breaks: list[Break] = []
    guarded = 0
    pins: dict[tuple[str, int], tuple[str, str]] = {}
    bypasses = []
    if repo.shallow:
        why = "history is cut short in this clone, so what came before is not known: `git fetch --unshallow`"
        breaks.append(Break("history", f"commit {commits[0][:7]}" if commits else "HEAD", why, is_certain=False))
    for done, commit in enumerate(commits, 1):
        if repo.shallow and _is_cut(repo, commit):
            continue  # what it changed cannot be told, as was said above
        reviewed = review_of(repo, commit, key)
        guarded += reviewed.guarded
        breaks += reviewed.breaks
        for found in _said(repo, commit):
            if reason := found.get("Bypass"):
                bypasses.append(Bypass(commit, reason))
            if {"Model", "Version", "Tag"} <= found.keys() and names.parse_version_number(found["Version"]):
                place = names.encode_component(found["Model"]), int(found["Version"])
                pins.setdefault(place, (found["Tag"], commit))
        if progress is not None:
            progress(done, total)
    breaks += [each for each in _moved_tags(repo, pins) if key is None or each.what.startswith(f"{_name(key)}/")]
    provenance = Provenance(workspace, deep=deep)
    for done, (model, version) in enumerate(chosen, len(commits) + 1):
        breaks += provenance.check(model, version)
        if progress is not None:
            progress(done, total)
    return Verified(tip, len(commits), guarded, len(chosen), tuple(breaks), tuple(bypasses))


def _is_cut(repo: Repository, commit: str) -> bool:
    return any(repo.objects.resolve(parent) is None for parent in repo.objects.commit(commit).parents)


def registry_commits(repo: Repository, tip: str, since: str | None = None) -> list[str]:
    """The commits of a branch's first-parent line that change the registry or the settings, oldest first."""
    span = [tip, *([f"^{since}"] if since is not None else [])]
    paths = [f"{repo.config.registry}/", CONFIG_FILE]
    _, out = repo.git("rev-list", "--first-parent", "--reverse", "--end-of-options", *span, "--", *paths)
    return out.decode().split()


def review_of(repo: Repository, commit: str, key: str | None = None) -> Reviewed:
    """Whether the guarded changes of a commit were approved, by the policy and the settings at its first parent.

    Args:
        repo: The repository.
        commit: A full id, on the first-parent line.
        key: Only the changes of one model, and those of policies and settings, which are about all.
    """
    parents = repo.objects.commit(commit).parents
    base = parents[0] if parents else None
    where = f"commit {commit[:7]}"
    evidence: Evidence | None = None
    guarded, breaks = 0, []
    try:
        for change in (*read_changes(repo, base, commit), *_settings(repo, base, commit)):
            if key is not None and change.key not in ("", key):
                continue
            approvals = needed(repo, base, change)
            if approvals.count == 0:
                continue
            guarded += 1
            evidence = evidence or collect(repo, commit)
            breaks += [Break(describe(change), where, sentence) for sentence in lacking(approvals, evidence)]
    except (RecordInvalid, NewerFormat) as error:
        breaks.append(Break("policy", where, f"what it was judged by cannot be read: {error}"))
    return Reviewed(guarded, tuple(breaks))


def describe(change: Change) -> str:
    """A change in a few words: `churn/4 Staging → Production`."""
    match change:
        case StageChange():
            return f"{change.model}/{change.version} {_stage(change.before)} → {_stage(change.after)}"
        case AliasChange():
            before, after = ("nothing" if each is None else str(each) for each in (change.before, change.after))
            return f"{change.model}@{change.alias} {before} → {after}"
        case PolicyChange():
            return f"policy of {change.model}" if change.model else "policy"
        case RegistrationChange():
            return f"registration of run {change.run} as {change.model}"
        case _:
            return change.model


def _stage(stage: str) -> str:
    return "no stage" if stage == NO_STAGE else stage


def _settings(repo: Repository, base: str | None, commit: str) -> list[Change]:
    """A change of the settings that say what is guarded counts as one of the policy: else one could turn it off."""
    if base is None:
        return []
    entries = [repo.objects.entry(repo.objects.commit(each).tree, CONFIG_FILE) for each in (base, commit)]
    if entries[0] == entries[1]:
        return []
    before = read_config(repo, base)
    try:
        after = read_config(repo, commit)
        if (before.promotion, before.registry, before.branch) == (after.promotion, after.registry, after.branch):
            return []
    except (RecordInvalid, NewerFormat):
        pass  # a file that cannot be read guards nothing either
    blobs = (entry.oid if entry is not None else None for entry in entries)
    return [PolicyChange("", CONFIG_FILE, *blobs)]


def _said(repo: Repository, commit: str) -> Iterator[dict[str, str]]:
    """The trailers of a commit, and of each that it brought."""
    found = repo.objects.commit(commit)
    brought: list[Commit] = [found]
    if len(found.parents) > 1:
        _, out = repo.git("rev-list", "--end-of-options", *found.parents[1:], f"^{found.parents[0]}")
        brought += [repo.objects.commit(oid) for oid in out.decode().split()]
    for each in brought:
        yield dict(_PINNED.findall(each.message))


def _moved_tags(repo: Repository, pins: dict[tuple[str, int], tuple[str, str]]) -> Iterator[Break]:
    """Git tags that are not what they were when a commit of the registry named them, or a remote was last seen."""
    here = repo.refs.list("refs/tags/")
    for (key, version), (oid, commit) in pins.items():
        tag = f"{key}@v{version}"
        now = here.get(f"refs/tags/{tag}")
        if now is not None and now != oid:
            why = (
                f"it was {oid[:7]} when commit {commit[:7]} moved the version, and is {now[:7]}: it was made anew since"
            )
            yield Break(f"{_name(key)}/{version}", f"git tag {tag}", why)
    for ref, oid in repo.refs.list(_REMOTE_TAGS).items():
        remote, _, tag = ref.removeprefix(_REMOTE_TAGS).partition("/")
        parsed = names.parse_version_tag(tag)
        now = here.get(f"refs/tags/{tag}")
        if parsed is None or now is None or now == oid:
            continue
        what = f"{names.decode_component(parsed[0])}/{parsed[1]}"
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
