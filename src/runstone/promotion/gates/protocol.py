"""What a gate is handed and what it answers.

A gate is a function of a candidate and of what the policy asks. It answers with one sentence that has the figures, and
never raises: what it cannot find out is unknown, which is not passed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from runstone.errors import NewerFormat, ObjectMissing, RecordInvalid, RunstoneError
from runstone.git.runs.branch import Draft, Recorded
from runstone.promotion.rules.past import has_held
from runstone.promotion.rules.settings import read_config
from runstone.promotion.rules.versions import TaggedVersion
from runstone.records.document import Document
from runstone.records.policy import Policy
from runstone.registry.card import read_card
from runstone.registry.evaluations import Evaluation, evaluations_of
from runstone.registry.state import ModelState
from runstone.tracking.secrets import Redactor
from runstone.tracking.workspace import Workspace

Result = Literal["pass", "fail", "unknown", "bypassed"]
_UNITS = ((604_800, "weeks"), (86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a gate says: a result and a sentence."""

    result: Result
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gate of the policy says of one version.

    Attributes:
        gate: The kind of the gate.
        subject: What it asks, in few words: `auc at least 0.9`.
        result: `bypassed` is a failure, or something unknown, that was set aside by somebody who may.
        message: One sentence with the figures.
    """

    gate: str
    subject: str
    result: Result
    message: str


@dataclass(frozen=True)
class Candidate:
    """A version that is about to enter a stage or to get an alias, and all that gates look at; read when first needed.

    Attributes:
        workspace: The repository.
        base: The commit whose policy judges; programs of gates are started as they are there.
        head: The commit that is judged.
        policy: The policy of the base, the model's own rules included.
        state: The model's files at the head.
        version: The version.
        holder: The version that it is compared with; None for the first one.
        stage: The stage that it enters, or else
        alias: the alias that comes to point at it.
    """

    workspace: Workspace
    base: str
    head: str
    policy: Policy
    state: ModelState
    version: TaggedVersion
    holder: TaggedVersion | None = None
    stage: str | None = None
    alias: str | None = None
    _runs: dict[int, Recorded | None] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The version as people write it: `churn v4`."""
        return f"{self.state.name} v{self.version.number}"

    @property
    def recorded(self) -> Recorded | None:
        """The run of the version as git holds it; None if it is not here, or cannot be read."""
        return self.run_of(self.version)

    def run_of(self, version: TaggedVersion) -> Recorded | None:
        """The run of a version likewise."""
        if version.number not in self._runs:
            self._runs[version.number] = self._read_run(version)
        return self._runs[version.number]

    def _read_run(self, version: TaggedVersion) -> Recorded | None:
        repo = self.workspace.repo
        try:
            recorded = (
                Draft(repo, version.commit).run(version.body.record) if repo.objects.find(version.commit) else None
            )
        except (ObjectMissing, RecordInvalid, NewerFormat):
            return None
        return recorded if recorded is not None and recorded.run.id == version.body.run else None

    def evaluation_of(
        self, version: TaggedVersion, metric: str, data: str | None = None, *, digest: str | None = None
    ) -> Evaluation | None:
        """The newest evaluation of a version's model that has this metric.

        Args:
            version: One of the model's.
            metric: Its name.
            data: Name or digest of the data, as a policy says it; any if None.
            digest: Digest of the data; any if None.
        """
        try:
            found = evaluations_of(self.workspace.repo, version.body.digest)
        except RunstoneError:  # records that cannot be read say nothing
            return None
        measured = (each for each in found if metric in each.metrics and digest in (None, each.digest))
        return next((each for each in measured if data is None or each.is_on(data)), None)

    @cached_property
    def card(self) -> str | None:
        """The model card at the head."""
        return read_card(self.workspace.repo, self.head, self.version.key)

    @cached_property
    def redactor(self) -> Redactor:
        """What looks secret by the settings of the base: a proposal does not allow its own."""
        rules = read_config(self.workspace.repo, self.base).secrets
        return Redactor(rules.keys, rules.values, rules.allow)

    @cached_property
    def is_return(self) -> bool:
        """Whether it goes back into a stage that it was in before, by the history of the base."""
        stage, version = self.stage, self.version
        return stage is not None and has_held(self.workspace.repo, self.base, version.key, stage, version.number)

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of the version: those of its notes at the head, or, without notes, of its git tag."""
        notes = self.state.notes.get(self.version.number)
        return self.version.body.tags if notes is None else notes.tags


class Judge(Protocol):
    """A kind of gate."""

    def __call__(self, candidate: Candidate, asks: Document, /) -> Answer:
        """Judge.

        Args:
            candidate: What is judged.
            asks: What the policy asks, as `records.gate` reads it.
        """


def passed(message: str) -> Answer:
    """It holds."""
    return Answer("pass", message)


def failed(message: str) -> Answer:
    """It does not hold."""
    return Answer("fail", message)


def unknown(message: str) -> Answer:
    """Whether it holds cannot be told here; the message says what would help."""
    return Answer("unknown", message)


def run_not_here(candidate: Candidate, version: TaggedVersion) -> Answer:
    """The answer of a gate that needs a run which this clone does not have."""
    return unknown(
        f"The run {version.body.run} of {candidate.state.name} v{version.number} is not here. Fetch it: `runstone sync`"
    )


def count(number: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def some(texts: list[str]) -> str:
    """Up to five texts, in backticks."""
    shown = ", ".join(f"`{text}`" for text in texts[:5])
    return f"{shown} and {len(texts) - 5} more" if len(texts) > 5 else shown


def duration(seconds: int) -> str:
    """`3.5 days`, `26 weeks`: in the largest unit that there are two of."""
    size, name = next(((size, name) for size, name in _UNITS if seconds >= 2 * size), _UNITS[-1])
    return f"{round(seconds / size, 1):g} {name}"
