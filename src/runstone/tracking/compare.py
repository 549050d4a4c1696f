"""What differs between two runs: what they were given, what came out, on what, from which code.

Values only; how a difference is shown is the caller's. Params are compared as they are typed: 1, 1.0 and true are three
values. Nested params are compared leaf by leaf, so that one changed number is one line.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from runstone.artifacts import pointer
from runstone.artifacts.descriptor import Descriptor
from runstone.errors import UsageError
from runstone.git.repository import Repository
from runstone.git.runs import layout, live
from runstone.git.runs.branch import Draft, read_runs
from runstone.git.runs.compose import Composed
from runstone.index.search import get_run
from runstone.records.dataset import Dataset
from runstone.records.run import ParamValue, Run
from runstone.tracking.code import CodeComparison, compare_code, has_commit
from runstone.tracking.workspace import Workspace

State = Literal["added", "removed", "changed", "equal"]
SECTIONS = (
    "run", "params", "metrics", "tags", "datasets", "artifacts", "environment", "packages", "source", "commits", "code",
)  # fmt: skip
"""What is compared, in the order it is shown."""

MAX_COMMITS = 50
"""Commits listed for one side; all are counted."""

_REQUIREMENT = re.compile(r"(?:# )?([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:==|@)\s*(.+)")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that two runs may have.

    Attributes:
        key: Which: the name of a param, a metric, a package …
        state: `added` if only the second run has it, `removed` if only the first.
        a: What the first run has; None if it has none.
        b: What the second run has; None if it has none.
    """

    key: str
    state: State
    a: Any = None
    b: Any = None

    @property
    def change(self) -> float | None:
        """Of two finite numbers, the second less the first."""
        if self.state not in ("changed", "equal") or not (_is_number(self.a) and _is_number(self.b)):
            return None
        change = float(self.b - self.a)
        return change if math.isfinite(change) else None

    @property
    def relative(self) -> float | None:
        """The change as a part of the first value's size; None where that is 0."""
        change = self.change
        if change is None or self.a == 0:
            return None
        relative = change / abs(self.a)
        return relative if math.isfinite(relative) else None


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its id and the first line of its message."""

    id: str
    subject: str


@dataclass(frozen=True, slots=True)
class CommitRange:
    """The history between the code of two runs.

    Attributes:
        a: The commit of the first run, if it is known.
        b: The commit of the second run, if it is known.
        missing: Those of the two that this repository does not have.
        only_a: The newest commits behind the first run that are not behind the second: `git log b..a`.
        only_b: The other direction: `git log a..b`.
        count_a: How many there are of the first.
        count_b: How many there are of the second.
    """

    a: str | None
    b: str | None
    missing: tuple[str, ...] = ()
    only_a: tuple[Commit, ...] = ()
    only_b: tuple[Commit, ...] = ()
    count_a: int = 0
    count_b: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        a: The first run.
        b: The second run.
        sections: By section, in the order of `SECTIONS`, everything that either run has, sorted by key.
        commits: The history between them; None if it was not asked for.
        code: Their code; None if it was not asked for.
    """

    a: Run
    b: Run
    sections: Mapping[str, tuple[Difference, ...]]
    commits: CommitRange | None = None
    code: CodeComparison | None = None

    @property
    def differs(self) -> bool:
        """Whether anything of what was compared differs."""
        return (
            any(each.state != "equal" for section in self.sections.values() for each in section)
            or (self.commits is not None and self.commits.a != self.commits.b)
            or (self.code is not None and self.code.is_same is False)
        )


def compare_runs(
    workspace: Workspace,
    run_a: str,
    run_b: str,
    *,
    sections: Collection[str] = SECTIONS,
    paths: Sequence[str] = (),
    cwd: Path | None = None,
) -> Comparison:
    """Put two runs side by side; live ones as they stand. Nothing is fetched.

    Args:
        workspace: The repository that has both.
        run_a: The id of the first run.
        run_b: The id of the second run.
        sections: Which of `SECTIONS`; the others cost nothing.
        paths: git's pathspecs: of the code, only these.
        cwd: What they are relative to; the top of the work tree if None.

    Raises:
        RunNotFound: No run has one of the ids.
        UsageError: There is no such section.
    """
    _check_sections(sections)
    repo = workspace.repo
    draft = read_runs(repo)
    a, b = (_Side(workspace, draft, get_run(repo, run_id)) for run_id in (run_a, run_b))
    return _compare_sides(a, b, sections, paths=paths, cwd=cwd)


def compare_recorded(
    workspace: Workspace, a: tuple[Draft, Run], b: tuple[Draft, Run], *, sections: Collection[str] = SECTIONS
) -> Comparison:
    """As `compare_runs`, of two runs as commits of the branch hold them, such as those of model versions.

    Args:
        workspace: The repository.
        a: The branch as of a commit, and the first run as it is there.
        b: Likewise, the second one.
        sections: Which of `SECTIONS`.

    Raises:
        UsageError: There is no such section.
    """
    _check_sections(sections)
    return _compare_sides(_Side(workspace, *a), _Side(workspace, *b), sections)


def _check_sections(sections: Collection[str]) -> None:
    unknown = [name for name in sections if name not in SECTIONS]
    if unknown:
        raise UsageError(f"There is no section {unknown[0]!r} to compare. There are: {', '.join(SECTIONS)}.")


def _compare_sides(
    a: "_Side", b: "_Side", sections: Collection[str], *, paths: Sequence[str] = (), cwd: Path | None = None
) -> Comparison:
    repo = a.workspace.repo
    plain = [name for name in SECTIONS if name in sections and name not in ("commits", "code")]
    found = {name: _section(name, a, b) for name in plain}
    source_a, source_b = a.run.source, b.run.source
    commits = compare_commits(repo, source_a.commit, source_b.commit) if "commits" in sections else None
    code = compare_code(repo, a.run, b.run, paths=paths, cwd=cwd) if "code" in sections else None
    return Comparison(a.run, b.run, found, commits, code)


def compare_maps(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What two maps have, key by key, sorted."""
    return tuple(_compare(key, a, b) for key in sorted({*a, *b}))


def compare_params(a: Mapping[str, ParamValue], b: Mapping[str, ParamValue]) -> tuple[Difference, ...]:
    """As `compare_maps`, leaf by leaf: `{model: {depth: 3}}` is compared as `model.depth`."""
    flat_a, flat_b = list(_leaves(a)), list(_leaves(b))
    if len(dict(flat_a)) < len(flat_a) or len(dict(flat_b)) < len(flat_b):
        return compare_maps(a, b)  # `a.b` beside `{a: {b: …}}`: joined keys would hide one of them
    return compare_maps(dict(flat_a), dict(flat_b))


def compare_commits(repo: Repository, a: str | None, b: str | None) -> CommitRange:
    """The commits that lead from one to the other, in either direction, as far as the repository has them."""
    missing = tuple(each for each in dict.fromkeys((a, b)) if each is not None and not has_commit(repo, each))
    if a is None or b is None or a == b or missing:
        return CommitRange(a, b, missing)
    _, out = repo.git("rev-list", "--count", "--left-right", f"{a}...{b}")
    count_a, count_b = map(int, out.split()[:2])
    return CommitRange(
        a, b, (), _list_commits(repo, b, a) if count_a else (), _list_commits(repo, a, b) if count_b else (),
        count_a, count_b,
    )  # fmt: skip


def parse_requirements(text: str) -> dict[str, str]:
    """The packages of a run: normalised name → version, or where it came from."""
    packages = {}
    for line in text.splitlines():
        match = _REQUIREMENT.fullmatch(line.strip())
        if match:
            packages[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    return packages


# --- one section


class _Side:
    """One run, and what lies beside its record, read when it is used."""

    def __init__(self, workspace: Workspace, draft: Draft, run: Run) -> None:
        self.workspace, self.run = workspace, run
        self._draft = draft

    @cached_property
    def _live(self) -> Composed | None:
        return live.compose_live(self.workspace.repo, self.run.id)

    def packages(self) -> dict[str, str]:
        if self._live is not None and self._live.requirements is not None:
            return parse_requirements(self._live.requirements)
        return parse_requirements((self._read(layout.REQUIREMENTS) or b"").decode(errors="replace"))

    def artifacts(self) -> tuple[pointer.Pointer | None, list[Descriptor] | None]:
        """The pointer to what is recorded, and all files; None for these where the listing is not in the cache."""
        text = self._read(layout.ARTIFACTS)
        recorded = None if text is None else pointer.parse_pointer(text, layout.ARTIFACTS)
        found: dict[str, Descriptor] = {}
        if recorded is not None:
            cache = self.workspace.artifacts.cache
            if not cache.has(recorded.digest):
                return recorded, None
            found = {each.path: each for each in cache.read_dir(recorded.digest)}
        if self._live is not None:
            found |= {path: Descriptor(path, size, md5) for path, size, md5 in self._live.artifacts}
        return recorded, list(found.values())

    def _read(self, name: str) -> bytes | None:
        run = self.run
        return self._draft.read(f"{layout.run_folder(run.experiment_id, run.started, run.id)}/{name}")


def _section(name: str, a: _Side, b: _Side) -> tuple[Difference, ...]:
    if name == "params":
        return compare_params(a.run.params, b.run.params)
    if name == "packages":
        return compare_maps(a.packages(), b.packages())
    if name == "artifacts":
        return _compare_artifacts(a, b)
    view = {
        "run": _run_facts,
        "metrics": lambda run: {key: summary.last for key, summary in run.metrics.items()},
        "tags": lambda run: run.tags,
        "datasets": lambda run: _digests(run.datasets),
        "environment": lambda run: _known(python=run.environment.python, platform=run.environment.platform),
        "source": _source_facts,
    }[name]
    return compare_maps(view(a.run), view(b.run))


def _compare_artifacts(a: _Side, b: _Side) -> tuple[Difference, ...]:
    """Path by path: `{size, md5}`; where a listing is not in the cache, folders as wholes, with the number of files.

    The digest alone tells whether a file changed: of files that are not here the size may not be known.
    """
    (pointer_a, files_a), (pointer_b, files_b) = a.artifacts(), b.artifacts()
    if files_a is None or files_b is None:
        wholes = [
            {} if p is None else {f"{pointer.FOLDER}/": {"size": p.size, "md5": p.digest, "files": p.nfiles}}
            for p in (pointer_a, pointer_b)
        ]
        return compare_maps(*wholes)
    maps = [{each.path: {"size": each.size, "md5": each.md5} for each in files} for files in (files_a, files_b)]
    digests = [{path: value["md5"] for path, value in files.items()} for files in maps]
    found = compare_maps(*digests)
    return tuple(Difference(each.key, each.state, *(files.get(each.key) for files in maps)) for each in found)


def _run_facts(run: Run) -> dict[str, Any]:
    duration = None if run.ended is None else run.ended - run.started
    return _known(experiment=run.experiment, status=run.status, user=run.user, duration_ms=duration)


def _source_facts(run: Run) -> dict[str, Any]:
    source = run.source
    return _known(
        branch=source.branch,
        command=list(source.command) or None,
        commit=source.commit,
        directory=source.directory,
        dirty=source.dirty,
        snapshot=source.snapshot if source.snapshot != source.commit else None,
    )


def _digests(datasets: Collection[Dataset]) -> dict[str, str]:
    found: dict[str, str] = {}
    for dataset in datasets:
        name = f"{dataset.name} ({dataset.role})" if dataset.role else dataset.name
        key, number = name, 1
        while key in found:
            number += 1
            key = f"{name} #{number}"
        found[key] = dataset.digest
    return found


def _known(**facts: Any) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value is not None}


# --- one value


def _compare(key: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Difference:
    if key not in a:
        return Difference(key, "added", None, b[key])
    if key not in b:
        return Difference(key, "removed", a[key], None)
    return Difference(key, "equal" if _same(a[key], b[key]) else "changed", a[key], b[key])


def _same(a: Any, b: Any) -> bool:
    """Whether two values are written alike: NaN is itself, and true is not 1."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b) or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _leaves(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


# --- history


def _list_commits(repo: Repository, start: str, end: str) -> tuple[Commit, ...]:
    _, out = repo.git(
        "log", "-z", "--no-show-signature", f"--max-count={MAX_COMMITS}", "--format=%H %s", f"{start}..{end}"
    )
    entries = (entry.partition(" ") for entry in out.decode("utf-8", "replace").split("\0") if entry)
    return tuple(Commit(id_, subject) for id_, _, subject in entries)
