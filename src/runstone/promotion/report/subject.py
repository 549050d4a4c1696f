"""The two sides of a report: the version that is to move, and the one that it is compared with, with their runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runstone import names
from runstone.errors import InvalidName, NewerFormat, ObjectMissing, RecordInvalid
from runstone.git.repository import Repository
from runstone.git.runs.branch import Draft, Recorded
from runstone.promotion.rules.versions import find_version
from runstone.records.document import Document
from runstone.records.registration import Registration
from runstone.records.run import Run
from runstone.tracking.compare import Comparison, Difference, compare_maps, compare_recorded
from runstone.tracking.workspace import Workspace

SECTIONS = ("metrics", "params", "datasets", "packages", "code")
"""What is compared."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A version, or a run that is to become one.

    Attributes:
        label: `v4`, or the run's id, short.
        run_id: The run.
        commit: The commit of the branch of runs that holds its record.
        recorded: The run as it is there; None if that is not here.
        digest: Of the model folder.
        flavors: What can load it.
        size: Bytes; None if not known.
        signature: As the model says it.
        description: What its author said of it.
    """

    label: str
    run_id: str
    commit: str
    recorded: Recorded | None
    digest: str
    flavors: tuple[str, ...] = ()
    size: int | None = None
    signature: Document | None = None
    description: str | None = None

    @property
    def run(self) -> Run | None:
        """The record, if it is here."""
        return None if self.recorded is None else self.recorded.run


def subject_of_version(repo: Repository, key: str, number: int) -> Subject | None:
    """A version; None if its git tag is not here."""
    found = find_version(repo, key, number)
    if found is None:
        return None
    body = found.body
    recorded = _record(repo, found.commit, body.record, body.run)
    return Subject(
        f"v{number}", body.run, found.commit, recorded, body.digest, body.flavors, body.size, body.signature,
        body.description,
    )  # fmt: skip


def subject_of_request(repo: Repository, wanted: Registration) -> Subject:
    """The run that a request wants to be registered."""
    recorded = _record(repo, wanted.commit, wanted.record, wanted.run)
    models = recorded.run.models if recorded is not None else ()
    model = next((each for each in models if each.path == wanted.path), None)
    facts: dict[str, Any] = {}
    if model is not None:
        facts = {"flavors": model.flavors, "size": model.size, "signature": model.signature}
    label, digest = wanted.run[:12], wanted.digest
    return Subject(label, wanted.run, wanted.commit, recorded, digest, description=wanted.description, **facts)


def code_of(subjects: Sequence[Subject | None]) -> set[str]:
    """The commits that hold the code of their runs, as far as records name them."""
    runs = (subject.run for subject in subjects if subject is not None)
    return {run.source.code for run in runs if run is not None and run.source.code is not None}


def compare_subjects(workspace: Workspace, a: Subject, b: Subject) -> Comparison | None:
    """Their runs side by side; None where one of them is not here."""
    if a.run is None or b.run is None:
        return None
    repo = workspace.repo
    sides = ((Draft(repo, subject.commit), run) for subject, run in ((a, a.run), (b, b.run)))
    return compare_recorded(workspace, *sides, sections=SECTIONS)


def compare_signatures(a: Document | None, b: Document | None) -> tuple[Difference, ...]:
    """What goes in and what comes out, column by column: name → type."""
    return compare_maps(_columns(a), _columns(b))


def _columns(signature: Document | None) -> dict[str, str]:
    """`inputs.age` → `double`; what is no list of columns, as a whole."""
    found: dict[str, str] = {}
    for part, value in (signature or {}).items():
        document = _parsed(value)
        if not isinstance(document, list):
            found[str(part)] = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
            continue
        for i, column in enumerate(document):
            facts = column if isinstance(column, Mapping) else {}
            rest = {key: value for key, value in facts.items() if key != "name"}
            kind = rest.get("type") if set(rest) <= {"type", "required"} and rest.get("required", True) else None
            shown = kind if isinstance(kind, str) and kind != "tensor" else json.dumps(rest or column, sort_keys=True)
            found[f"{part}.{facts.get('name', i)}"] = shown
    return found


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _record(repo: Repository, commit: str, folder: str, run_id: str) -> Recorded | None:
    """A run as a commit of the branch of runs holds it; None if that is not here, or cannot be read."""
    try:
        names.check_run_id(run_id)
        found = Draft(repo, commit).run(folder) if repo.objects.find(commit) is not None else None
    except (ObjectMissing, RecordInvalid, NewerFormat, InvalidName):
        return None
    return found if found is not None and found.run.id == run_id else None
