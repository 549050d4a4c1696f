"""Whether the line that is judged is the branch that was reviewed.

Who merges the branch into work of their own, and not that into the branch, makes their own commits the line, and has
them judged by the rules of where they set out. What the branch decided stands behind such a merge's second parent then,
so the merge is judged from there, too.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.code.patch import EMPTY_TREES
from runstone.git.notes import were_never_fetched
from runstone.git.repository import Repository
from runstone.promotion.proof.provenance import Break
from runstone.promotion.proof.reviewing import NOT_FETCHED, describe
from runstone.promotion.proof.walk import BESIDE, LineReviewer, Step, at_commit, walk
from runstone.promotion.rules.approvals import Rules, lacking, weigh
from runstone.promotion.rules.settings import judged_changes
from runstone.registry.changes import AliasChange, Change, ModelChange, PolicyChange, RegistrationChange, StageChange
from runstone.registry.history.line import read_entry

_HEADER = re.compile(rb"[0-9a-f]{40,64} [0-9a-f]{40,64}\n")
_BEFORE = -1
_NOWHERE = -2


@dataclass(frozen=True, slots=True)
class _Join:
    """A merge of the line, and of its further parents one that lacks some of the commits which the line has before it.

    Attributes:
        commit: The merge.
        head: The further parent.
        fork: The newest commit of the line that the head has; None where they have nothing in common.
        passed: The commits of the line that the head lacks.
        trees: Those of the fork, the head, and the merge.
    """

    commit: str
    head: str
    fork: str | None
    passed: tuple[str, ...]
    trees: tuple[str, str, str]


def find_replaced(repo: Repository, tip: str, steps: Sequence[Step], key: str | None = None) -> Iterator[Break]:
    """What merges of the line hide: guarded changes that the rules behind their further parents did not allow.

    Args:
        repo: The repository.
        tip: The end of the line.
        steps: All that changed the registry on the line; see `walk`.
        key: Only what is about one model.
    """
    if not steps or repo.shallow:
        return  # where a history is cut short, what is behind a head cannot be told
    line = {step.entry.commit: step for step in steps}
    first = steps[0].entry.parent
    for join, is_guarding in _that_differ(repo, _read_joins(repo, tip, first), steps):
        try:
            yield from _judge(repo, join, is_guarding, line, key)
        except (RecordInvalid, NewerFormat) as error:
            why = f"what {join.head[:7]}, which it merged, was judged by cannot be read: {error}"
            yield Break("policy", f"commit {join.commit[:7]}", why)


def _judge(
    repo: Repository, join: _Join, is_guarding: bool, line: Mapping[str, Step], key: str | None
) -> Iterator[Break]:
    was, step = at_commit(repo, join.head), line.get(join.commit)
    rules = Rules(was, join.head)
    changes = [c for c in judged_changes(was, join.head, join.commit) if key in (None, c.key) or not c.key]
    asked = [(change, approvals) for change in changes for approvals in rules.needed(change)]
    if not asked:
        return
    is_related = join.fork is not None
    was_guarded = not is_related or _was_guarded(repo, join)
    is_brought = step is not None and (
        step.entry.beside or any(isinstance(c, PolicyChange) for c in step.entry.changes)
    )
    if not was_guarded and (is_brought or not is_guarding):
        return  # a proposal: new rules, which hold from here on, or something that was left out
    past = {_fact(change): line[c] for c in join.passed if c in line for change in line[c].entry.changes}
    fetched = not were_never_fetched(repo)
    joined = "with which it has no commit in common" if not is_related else "whose line it takes the place of"
    for change, approvals in asked:
        made = past.get(_fact(change))
        entry = made.entry if made is not None else step.entry if step is not None else read_entry(was, join.commit)
        for why in lacking(approvals, weigh(was, entry)):
            text = f"it merges {join.head[:7]}, {joined}, and by the rules there {why}"
            step_ = "" if was_guarded else f". Which of the two was the branch? `git log --graph {join.commit[:10]}`"
            step_ = step_ if fetched else f". {NOT_FETCHED}"
            yield Break(describe(change), f"commit {join.commit[:7]}", text + step_, was_guarded and fetched)


def _was_guarded(repo: Repository, join: _Join) -> bool:
    """Whether the line behind a merged head is one that proposals were merged into, by those who may."""
    reviewer = LineReviewer()
    own = {join.fork, *join.passed}
    for step in walk(repo, tip=join.head, since=join.fork):
        reviewed = reviewer.review(step)
        is_update = step.entry.is_merge and all(other in own for other in step.entry.others)
        if step.entry.is_merge and not is_update and reviewed.guarded and not reviewed.breaks:
            return True
    return False


def _fact(change: Change) -> tuple[str, ...]:
    """What a change is about, whatever it was and became."""
    match change:
        case StageChange():
            about = str(change.version)
        case AliasChange():
            about = change.alias
        case RegistrationChange():
            about = change.run
        case PolicyChange():
            about = change.model
        case ModelChange():
            about = ""
        case _:
            about = repr(change)
    return type(change).__name__, change.key, about


def _that_differ(repo: Repository, joins: Sequence[_Join], steps: Sequence[Step]) -> Iterator[tuple[_Join, bool]]:
    """The merges that have guarded files otherwise than their head, where the head changed the same ones, or what
    guards; and whether it did the latter.
    """
    if not joins:
        return
    views = [each for step in steps for each in (step.repo, step.moved) if each is not None]
    folders = {view.config.registry for view in views}
    lines = "".join(f"{a} {b}\n{b} {c}\n" for a, b, c in (join.trees for join in joins))
    options = ["--literal-pathspecs", "diff-tree", "--stdin", "-r", "--name-only", "--no-renames", "-z"]
    _, out = repo.git(*options, "--", *sorted(folders), *BESIDE, input=lines.encode())
    found: list[set[bytes]] = []
    for token in out.split(b"\0"):
        while _HEADER.match(token):  # of the next pair, before its first difference
            found.append(set())
            token = token.partition(b"\n")[2]
        if token:
            found[-1].add(token)
    for join, theirs, ours in zip(joins, found[::2], found[1::2], strict=True):
        is_guarding = any(
            path.decode("utf-8", "replace") in BESIDE or path.endswith(b"/policy.yaml") for path in theirs
        )
        if ours and (is_guarding or theirs & ours):
            yield join, is_guarding


def _read_joins(repo: Repository, tip: str, first: str | None) -> list[_Join]:
    """The merges of the line with a head that lacks some of it, from a commit of the line on, with one git process."""
    since = [] if first is None else [f"^{first}"]
    _, out = repo.git("log", "--topo-order", "--reverse", "--format=%H %T %P", "--no-show-signature", tip, *since)
    commits: dict[str, tuple[str, list[str]]] = {}
    for row in out.decode().splitlines():
        commit, tree, *parents = row.split(" ")
        commits[commit] = tree, [parent for parent in parents if parent]
    line: list[str] = []
    at: str | None = tip
    while at is not None and at in commits:
        line.append(at)
        at = next(iter(commits[at][1]), None)
    line.reverse()
    reach = _reach(commits, {commit: number for number, commit in enumerate(line)})
    nothing = EMPTY_TREES[repo.object_format]
    found = []
    for number, commit in enumerate(line):
        tree, parents = commits[commit]
        for head in parents[1:]:
            last = reach(head)
            passed = line[max(last, _BEFORE) + 1 : number]
            if not passed or head not in commits:
                continue
            fork = line[last] if last >= 0 else first if last == _BEFORE else None
            known = commits.get(fork or "")
            base = nothing if fork is None else known[0] if known is not None else repo.objects.commit(fork).tree
            found.append(_Join(commit, head, fork, tuple(passed), (base, commits[head][0], tree)))
    return found


def _reach(commits: Mapping[str, tuple[str, list[str]]], line: Mapping[str, int]) -> Callable[[str], int]:
    """Tells the newest commit of the line, by its number, that is behind another."""
    known = dict(line)

    def look(commit: str) -> int:
        return known.get(commit, _BEFORE)

    for commit, (_, parents) in commits.items():  # the older ones first
        if commit not in known:
            known[commit] = max(map(look, parents), default=_NOWHERE)
    return look
