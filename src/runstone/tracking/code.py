"""The code of runs: which commit holds it, and what differs between that of two.

Records come from others: what they name is looked for only if it is spelled as an id, and used only if it is a commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runstone.errors import GitFailed
from runstone.git.code.patch import FileChange, compare_trees, has_files
from runstone.git.objects import is_object_id
from runstone.git.repository import Repository
from runstone.git.runs.history import read_events, run_paths
from runstone.records.document import Document
from runstone.records.run import Run


@dataclass(frozen=True, slots=True)
class CodeComparison:
    """What differs between the code of two runs.

    Attributes:
        a: The commit that holds the code of the first run, if it is known.
        b: The commit that holds that of the second.
        missing: Those of the two that this repository does not have, or not whole, as their records name them.
        files: What differs; None if that cannot be told.
        unkept: The ids of the runs that had edits which no commit holds: the commit below them is compared.
        left_out_a: What the snapshot of the first run does not hold, as `{path, reason}`.
        left_out_b: What that of the second does not.
        paths: git's pathspecs that `files` is restricted to.
        is_matched: Whether either of the two has a file that `paths` match.
    """

    a: str | None
    b: str | None
    missing: tuple[str, ...] = ()
    files: tuple[FileChange, ...] | None = None
    unkept: tuple[str, ...] = ()
    left_out_a: tuple[Document, ...] = ()
    left_out_b: tuple[Document, ...] = ()
    paths: tuple[str, ...] = ()
    is_matched: bool = True

    @property
    def is_same(self) -> bool | None:
        """Whether both ran the same code, within `paths`; None if that cannot be told."""
        return None if self.files is None else not self.files

    @property
    def insertions(self) -> int:
        """Lines that only the second has."""
        return sum(each.insertions or 0 for each in self.files or ())

    @property
    def deletions(self) -> int:
        """Lines that only the first has."""
        return sum(each.deletions or 0 for each in self.files or ())


def compare_code(
    repo: Repository, a: Run, b: Run, *, paths: Sequence[str] = (), cwd: Path | None = None
) -> CodeComparison:
    """Compare the code of two runs: the trees of their snapshots.

    Args:
        repo: The repository.
        a: The first run.
        b: The second run.
        paths: git's pathspecs: only these.
        cwd: What they are relative to; the top of the work tree if None.

    Raises:
        GitFailed: git refuses a pathspec.
    """
    code_a, code_b = find_code(repo, a), find_code(repo, b)
    missing = tuple(each for each in dict.fromkeys((code_a, code_b)) if each is not None and not has_commit(repo, each))
    unkept = tuple(dict.fromkeys(run.id for run in (a, b) if run.source.dirty and run.source.snapshot is None))
    files: tuple[FileChange, ...] | None = None
    is_matched = True
    if code_a is not None and code_b is not None and not missing:
        try:
            files = () if code_a == code_b else compare_trees(repo, code_a, code_b, paths=paths, cwd=cwd)
            if paths and not files:  # then what matches is in both, or in neither
                is_matched = has_files(repo, code_a, paths=paths, cwd=cwd)
        except GitFailed:
            if paths:
                raise  # it may be a pathspec that git refuses
            missing = (code_a, code_b)  # the commits are here, and not all below them
    return CodeComparison(
        code_a, code_b, missing, files, unkept, a.source.left_out, b.source.left_out, tuple(paths), is_matched
    )  # fmt: skip


def find_code(repo: Repository, run: Run) -> str | None:
    """The commit that holds the code of a run, as recorded, whether this repository has it or not; None: not known.

    It is the snapshot; of a run without one the commit it ran at; of one that names neither, the second parent of the
    commit that recorded it.
    """
    code = run.source.code
    if code is not None:
        return code
    for event in read_events(repo, paths=run_paths(run.id)):
        code = event.code or code
    return code


def has_commit(repo: Repository, commit: str) -> bool:
    """Whether this is spelled as a whole id, and the repository has a commit of it."""
    if not is_object_id(commit):
        return False
    found = repo.objects.find(commit)
    return found is not None and found[1] == "commit"


def fetch_command(repo: Repository) -> str:
    """The command that brings commits that are missing here."""
    return "git fetch --unshallow" if repo.shallow else "git fetch --all"
