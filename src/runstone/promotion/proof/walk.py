"""The history of the registry with each commit read by the settings of its day, so that a registry which was moved to
another folder is judged where it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.promotion.proof.provenance import Break
from runstone.promotion.proof.reviewing import Reviewed, Reviewer, describe
from runstone.promotion.rules.approvals import Rules
from runstone.promotion.rules.settings import read_config
from runstone.promotion.rules.shape import Shape
from runstone.registry.branch import registry_commit
from runstone.registry.changes import read_changes
from runstone.registry.history.entry import Entry
from runstone.registry.history.line import read_history
from runstone.registry.people import MAILMAP

BESIDE = (CONFIG_FILE, MAILMAP)
"""Files that state no fact, and say who guards the facts."""


@dataclass(frozen=True, slots=True)
class Step:
    """One commit of the line that changed the registry, or what guards it.

    Attributes:
        entry: The commit.
        repo: The repository by the settings that judge the commit.
        moved: The repository by those that it made, where it put the registry elsewhere.
    """

    entry: Entry
    repo: Repository
    moved: Repository | None = None


def walk(
    repo: Repository, *, tip: str | None = None, since: str | None = None, key: str | None = None
) -> tuple[Step, ...]:
    """The commits of the line, the oldest first.

    Args:
        repo: The repository.
        tip: The commit to read from, a full id; that of the registry if None.
        since: A commit of the same line, a full id: only what came after it.
        key: Only what is about one model, and what guards all.
    """
    tip = tip or registry_commit(repo)
    if tip is None:
        return ()
    last = at_commit(repo, tip)
    entries = read_history(last, tip=tip, since=since, key=key, beside=BESIDE).entries
    found: list[Step] = []
    start, moves = since, [entry for entry in entries if CONFIG_FILE in entry.beside and _is_move(repo, entry)]
    if not moves:
        return tuple(Step(entry, last) for entry in entries)
    for move in moves:
        assert move.parent is not None
        was, now = at_commit(repo, move.parent), at_commit(repo, move.commit)
        if move.parent != start:
            between = read_history(was, tip=move.parent, since=start, key=key, beside=BESIDE).entries
            found += [Step(entry, was) for entry in between]
        (left,) = read_history(was, tip=move.commit, since=move.parent, key=key, beside=BESIDE).entries
        (entered,) = read_history(now, tip=move.commit, since=move.parent, key=key, beside=BESIDE).entries
        changes = read_changes(now, move.parent, move.commit, was=was)
        makers = tuple({(each.mail, each.written): each for each in (*left.makers, *entered.makers)}.values())
        beside, added = ((*dict.fromkeys((*a, *b)),) for a, b in ((left.beside, entered.beside), (left.added, ())))
        entry = replace(entered, changes=changes, makers=makers, beside=beside, added=added)
        found.append(Step(entry, was, now))
        start = move.commit
    return (*found, *(Step(entry, last) for entry in _after(entries, moves[-1].commit)))


def _after(entries: tuple[Entry, ...], commit: str) -> tuple[Entry, ...]:
    at = next(number for number, entry in enumerate(entries) if entry.commit == commit)
    return entries[at + 1 :]


def _is_move(repo: Repository, entry: Entry) -> bool:
    return not entry.is_cut and entry.parent is not None and _folder(repo, entry.parent) != _folder(repo, entry.commit)


def at_commit(repo: Repository, commit: str) -> Repository:
    """The repository by the settings of a commit, as far as they say where the registry is."""
    folder = _folder(repo, commit)
    return repo if folder == repo.config.registry else repo.seen_with(repo.config._replace(registry=folder))


def _folder(repo: Repository, commit: str) -> str:
    try:
        return read_config(repo, commit).registry
    except (RecordInvalid, NewerFormat):
        return repo.config.registry


class LineReviewer:
    """Reviews the steps of a line one after the other, each by the settings of its day."""

    def __init__(self, key: str | None = None) -> None:
        """Prepare.

        Args:
            key: Only the changes of one model, and those of policies and settings, which are about all.
        """
        self._key = key
        self._reviewer: Reviewer | None = None

    def review(self, step: Step) -> Reviewed:
        """What became of a step; see `Reviewer.review`."""
        if self._reviewer is None:
            self._reviewer = Reviewer(step.repo, self._key)
        reviewed = self._reviewer.review(step.entry)
        if step.moved is None:
            return reviewed
        self._reviewer = None  # from here on by other settings
        return replace(reviewed, faults=(*reviewed.faults, *self._unseen(step, step.moved)))

    def _unseen(self, step: Step, moved: Repository) -> Iterator[Break]:
        """What nobody could see in a move: facts that lay in the new folder before it was the registry's, and what is
        no plain file there.
        """
        entry, where, rules = step.entry, f"commit {step.entry.commit[:7]}", Rules(step.repo, step.entry.parent)
        folder = moved.config.registry
        assert entry.parent is not None
        was_there = step.repo.objects.entry(step.repo.objects.commit(entry.parent).tree, folder) is not None
        shown = set(map(repr, read_changes(moved, entry.parent, entry.commit)))
        try:
            for change in entry.changes:
                if self._key not in (None, change.key) or not was_there or repr(change) in shown:
                    continue
                if rules.needed(change):
                    why = f"`{folder}` had this before the registry was moved there, so that no review showed it"
                    step_ = f"See what it has: `git show {entry.commit[:10]}:{folder}`"
                    yield Break(describe(change), where, f"{why}. {step_}")
            for what, why in Shape(moved).faults(replace(entry, changes=()), rules.policy):
                yield Break(what, where, why)
        except (RecordInvalid, NewerFormat):
            return  # named already, as what it was judged by
