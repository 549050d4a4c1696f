"""A proposal: one commit on a branch of its own, whose trailers say what is wished. Its message, and its inverse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from runstone import names
from runstone.errors import ProposalUnclear
from runstone.git.objects import Commit
from runstone.git.repository import Repository
from runstone.promotion.proposals.plan import Kind, Plan, Wish
from runstone.records.registration import Registration
from runstone.registry import message
from runstone.registry.changes import Change, RegistrationChange, read_changes

State = Literal["open", "stale", "conflicts", "merged"]
"""`stale`: other files of the model have changed since; `conflicts`: the same ones have; `merged`: nothing is left."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as its branch holds it.

    Attributes:
        branch: The branch's short name.
        commit: Its head.
        base: Where it and the default branch part; None where they have nothing in common.
        subject: The head's subject.
        author: Who made it, as `Name <mail>`.
        time: When, Unix milliseconds.
        trailers: What the head's trailers say, by lower-case key.
        state: How it stands to the default branch.
        remote: The remote that has it; None if it is here alone.
        is_local: Whether it is a branch here.
        is_foreign: Whether only another remote than the shared one has it, as a fork.
    """

    branch: str
    commit: str
    base: str | None
    subject: str
    author: str
    time: int
    trailers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    state: State = "open"
    remote: str | None = None
    is_local: bool = False
    is_foreign: bool = False

    @property
    def name(self) -> str:
        """How it is named: its branch, after the remote's name where that is a fork."""
        return f"{self.remote}/{self.branch}" if self.is_foreign else self.branch


def format_message(repo: Repository, plan: Plan, *, direct: bool = False) -> str:
    """The message of the commit that a plan becomes; without `Proposal:` where it is made at once."""
    wish = plan.wish
    rows: list[tuple[str, object]] = [] if direct else [("Proposal", wish.kind)]
    if wish.model or wish.kind != "edit":
        rows.append(("Model", wish.new_name or wish.model))
    if wish.new_name is not None:
        rows.append(("Former-name", wish.model))
    rows += message.version_rows(repo, wish.key, wish.versions)
    if wish.registration is not None:
        rows.append(("Run", wish.registration.run))
    elif wish.alias is not None:
        rows.append(("Alias", wish.alias))
    elif wish.stage is not None:
        rows.append(("Stage", wish.stage))
    if wish.to is not None:
        rows.append(("To", wish.to))
    if wish.archive_existing:
        rows.append(("Archive-existing", "yes"))
    rows += [("Replaces", str(version)) for version in plan.displaced if version not in wish.versions]
    if wish.bypass:
        rows.append(("Bypass", wish.bypass))
    text = message.format_message(plan.subject, rows)
    if not wish.why or not wish.why.strip():
        return text
    subject, _, trailers = text.partition("\n\n")
    return f"{subject}\n\n{wish.why.strip()}\n\n{trailers}"


def parse_trailers(text: str) -> dict[str, tuple[str, ...]]:
    """The trailers of a commit's message: the last paragraph, if it is made of nothing else."""
    paragraphs = text.rstrip("\n").split("\n\n")
    if len(paragraphs) < 2:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for line in paragraphs[-1].split("\n"):
        key, colon, value = line.partition(": ")
        if not colon or not key.replace("-", "").isalnum():
            return {}
        found[key.lower()] = (*found.get(key.lower(), ()), value.strip())
    return found


def read_wish(repo: Repository, commit: Commit, branch: str) -> Wish:
    """What a proposal's commit wishes, out of its trailers and of what it changes.

    Raises:
        ProposalUnclear: They do not say.
    """
    trailers = parse_trailers(commit.message)
    changes = read_changes(repo, commit.parents[0] if commit.parents else None, commit.oid)
    keys = {change.key for change in changes}
    kind = next((kind for kind in _all(get_args(Kind)) if kind == _one(trailers, "proposal")), None)
    if kind is None:
        raise ProposalUnclear(branch, "its last commit has no trailer `Proposal:` that this version knows")
    if kind == "edit":
        return Wish(kind, "", _one(trailers, "model") or "", why=_why(commit))
    if len(keys) != 1:
        raise ProposalUnclear(branch, f"its last commit changes {'several models' if keys else 'no model'}")
    if kind in ("rename", "remove"):
        return _read_edit(kind, keys.pop(), commit, branch)
    versions = [names.parse_version_number(text) for text in trailers.get("version", ())]
    key, model = keys.pop(), _one(trailers, "model")
    stage, alias, run = (_one(trailers, name) for name in ("stage", "alias", "run"))
    is_whole = model is not None and None not in versions and sum(x is not None for x in (stage, alias, run)) == 1
    if not is_whole or bool(versions) == (run is not None):
        raise ProposalUnclear(branch, "the trailers of its last commit do not say what it proposes")
    registration = _registration(changes, run) if run is not None else None
    if run is not None and registration is None:
        raise ProposalUnclear(branch, f"its last commit holds no request for the run {run!r}")
    return Wish(
        kind=kind,
        key=key,
        model=model or "",
        versions=tuple(version for version in versions if version is not None),
        stage=stage,
        alias=alias,
        to=_one(trailers, "to"),
        archive_existing=_one(trailers, "archive-existing") == "yes",
        registration=registration,
        bypass=_one(trailers, "bypass"),
        why=_why(commit),
    )


def _read_edit(kind: Kind, key: str, commit: Commit, branch: str) -> Wish:
    """As `read_wish`, of a wish about a whole model."""
    trailers = parse_trailers(commit.message)
    model, former = _one(trailers, "model"), _one(trailers, "former-name")
    if model is None or (kind == "rename") != (former is not None):
        raise ProposalUnclear(branch, "the trailers of its last commit do not say what it proposes")
    return Wish(kind, key, former or model, new_name=model if former is not None else None, why=_why(commit))


def _why(commit: Commit) -> str | None:
    """What the proposer says of it: what stands between subject and trailers."""
    _, _, rest = commit.message.partition("\n\n")
    return "\n\n".join(rest.rstrip("\n").split("\n\n")[:-1]) or None


def _all(kinds: Sequence[Kind]) -> Sequence[Kind]:
    return kinds


def _one(trailers: Mapping[str, tuple[str, ...]], key: str) -> str | None:
    found = trailers.get(key, ())
    return found[0] if len(found) == 1 else None


def _registration(changes: Sequence[Change], run: str) -> Registration | None:
    for change in changes:
        if isinstance(change, RegistrationChange) and change.run == run:
            return change.after
    return None
