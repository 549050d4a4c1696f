"""The branch `runs`: read at its tip, changed by building commits on top and moving the ref if it is still there.

A `Draft` collects commits; `update_runs` moves the ref once for all of them and builds anew when another process
was faster. The user's branch, index and work tree are never looked at.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import SystemRandom
from typing import TypeVar

from runstone.errors import ObjectMissing, RefBlocked, RefMoved
from runstone.git import kept
from runstone.git.objects import FILE, TreeEntry
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.records import yaml
from runstone.records.experiment import Experiment
from runstone.records.run import Run

T = TypeVar("T")

_ATTEMPTS = 50
_PATIENT_ATTEMPTS = 5
_LOCK_AGE_S = 10
_random = SystemRandom()  # its own: a script that seeds `random` must not find it used up
_README = """\
# Runs

This branch is written by Runstone: one commit for each run recorded, changed, deleted or restored. Look around:

    git log --first-parent runs
    git grep 'status: FAILED' runs
    git show runs:experiments/

Each run's folder holds `run.yaml`, and, when there is something to hold, `metrics.tsv`, `requirements.txt`, `notes.md`
and `artifacts.dvc`. To get the artifacts of one run with plain DVC:

    git clone --depth 1 --sparse -b runs URL runs && cd runs
    git sparse-checkout set .dvc experiments/EXPERIMENT/DAY/XX/RUN
    dvc pull
"""
_FIRST_FILES = {
    "README.md": _README,
    ".dvcignore": "",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".gitignore": "/experiments/*/*/*/*/artifacts\n",
}
DVC_CONFIG = ".dvc/config"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as a commit of the branch holds it.

    Attributes:
        run: The record.
        folder: Where it lies.
        files: The other files of the folder by name: what git holds of them, undecoded.
    """

    run: Run
    folder: str
    files: Mapping[str, bytes]


class Draft:
    """The branch as of one commit, and the commits being put on top of it.

    Attributes:
        base: The commit it began from; None if there is no branch yet.
        tip: The newest commit put on top.
        journals: The journals that these commits record, by name without their state.
    """

    def __init__(self, repo: Repository, tip: str | None) -> None:
        self.repo = repo
        self.base = tip
        self.tip = tip
        self.journals: list[str] = []
        self._tree = repo.objects.commit(tip).tree if tip else None

    def find(self, path: str) -> TreeEntry | None:
        """What a path names, or None."""
        return self.repo.objects.entry(self._tree, path) if self._tree else None

    def read(self, path: str) -> bytes | None:
        """A file's content, or None."""
        entry = self.find(path)
        return self.repo.objects.blob(entry.oid) if entry is not None and entry.is_file else None

    def list(self, path: str) -> Mapping[str, TreeEntry]:
        """The entries of a folder; none if there is no such folder."""
        entry = self.find(path)
        return self.repo.objects.tree(entry.oid) if entry is not None and entry.is_tree else {}

    def run(self, folder: str) -> Recorded | None:
        """The run recorded in a folder, or None."""
        names = self.list(folder)
        path = layout.parse_run_folder(folder)
        if layout.RECORD not in names or not names[layout.RECORD].is_file or path is None:
            return None
        files = {name: self.repo.objects.blob(entry.oid) for name, entry in names.items() if entry.is_file}
        where = f"{folder}/{layout.RECORD}"
        document = yaml.load(files.pop(layout.RECORD), where)
        return Recorded(Run.from_document(document, path.experiment_id, where), folder, files)

    def experiment(self, experiment_id: str) -> Experiment | None:
        """The experiment of an id, or None."""
        where = layout.experiment_file(experiment_id)
        text = self.read(where)
        return None if text is None else Experiment.from_document(yaml.load(text, where), experiment_id, where)

    def find_run_folder(self, run_id: str) -> str | None:
        """The folder of a run by its id alone, looking through all experiments and days; the newest days first.

        The ids that Runstone makes tell the day. For others this reads one small tree a day; it needs no index, so it
        serves where the folder was not handed down.
        """
        experiments = [(name, entry) for name, entry in self.list(layout.EXPERIMENTS).items() if entry.is_tree]
        likely = layout.day_of(run_id)
        if likely is not None:
            for experiment_id, _ in experiments:
                folder = str(layout.RunPath(experiment_id, likely, run_id))
                if self.find(f"{folder}/{layout.RECORD}") is not None:
                    return folder
        for experiment_id, entry in experiments:
            for day in sorted(self.repo.objects.tree(entry.oid), reverse=True):
                folder = str(layout.RunPath(experiment_id, day, run_id))
                if self.find(f"{folder}/{layout.RECORD}") is not None:
                    return folder
        return None

    def commit(
        self, changes: Mapping[str, str | bytes | None], message: str, *, second_parent: str | None = None
    ) -> str | None:
        """Put one commit on top.

        Args:
            changes: Path to content; None removes the path.
            message: Subject line, blank line, body.
            second_parent: The code of a run.

        Returns:
            The commit; None if nothing would change.

        Writes:
            Objects only; the ref is moved by `update_runs`.
        """
        objects = self.repo.objects
        if self._tree is None:
            self._begin()
        blobs: dict[str, TreeEntry | None] = {}
        for path, content in changes.items():
            if content is None:
                blobs[path] = None
            else:
                data = content.encode() if isinstance(content, str) else content
                blobs[path] = TreeEntry(FILE, objects.write("blob", data))
        return self.put(blobs, message, parents=[second_parent] if second_parent is not None else [])

    def put(
        self,
        entries: Mapping[str, TreeEntry | None],
        message: str,
        *,
        parents: Sequence[str] = (),
        author: str | None = None,
        keep_empty: bool = False,
    ) -> str | None:
        """As `commit`, of objects that are there already: files, or whole folders.

        Args:
            entries: Path to entry; None removes the path.
            message: Subject line, blank line, body.
            parents: Those after the first.
            author: `Name <mail> seconds +zone`; whoever runs this, now, if None.
            keep_empty: Make the commit though it changes nothing: its message is worth keeping.

        Returns:
            The commit; None if nothing would change.

        Writes:
            Objects only.
        """
        tree = self.repo.objects.update_tree(self._tree, entries)
        if tree is None or (tree == self._tree and not keep_empty):
            return None
        return self._put(tree, message, parents, author)

    def _begin(self) -> None:
        objects = self.repo.objects
        files: dict[str, TreeEntry | None] = {
            path: TreeEntry(FILE, objects.write("blob", text.encode())) for path, text in _FIRST_FILES.items()
        }
        files[DVC_CONFIG] = TreeEntry(FILE, objects.write("blob", b""))
        tree = objects.update_tree(None, files)
        assert tree is not None
        self._put(tree, "Begin the runs of this repository")

    def _put(self, tree: str, message: str, others: Sequence[str] = (), author: str | None = None) -> str:
        parents = list(dict.fromkeys(oid for oid in (self.tip, *others) if oid is not None))
        author = author or self.repo.identity("author")
        committer = self.repo.identity("committer")
        self.tip = self.repo.objects.write_commit(tree, parents, author, committer, message)
        self._tree = tree
        return self.tip


def update_runs(repo: Repository, change: Callable[[Draft], T]) -> T:
    """Change the branch `runs`: `change` puts commits on a draft, and the ref is moved to the last of them.

    `change` may be called more than once: each time the ref turns out to have moved, it gets a draft of the new tip.

    Writes:
        Objects, their log, and the ref `runs` by compare-and-swap, once. After power loss first what was torn.

    Raises:
        RefMoved: Other processes were faster fifty times in a row.
        RefBlocked: git refuses to write the ref.
        ObjectMissing: The branch leads to a commit that is not there.
        DiskFull: There is no room.
    """
    kept.check(repo)
    for attempt in range(_ATTEMPTS):
        local = repo.refs.read(repo.runs_ref)
        draft = Draft(repo, local or repo.runs_tip())
        result = change(draft)
        if draft.tip == draft.base:
            return result
        try:
            repo.refs.update([RefUpdate(repo.runs_ref, draft.tip, local)], journals=draft.journals)
            return result
        except RefMoved:
            if attempt == _ATTEMPTS - 1:
                raise
            if local is None or attempt == _PATIENT_ATTEMPTS:
                _check_obstacles(repo)
            time.sleep(_random.uniform(0, min(0.001 * 2**attempt, 0.25)))
    raise AssertionError("unreachable")


def _check_obstacles(repo: Repository) -> None:
    """Trying again would not help against a branch that leads nowhere, or a lock file that a killed git left."""
    ref = repo.runs_ref
    code, out = repo.git("rev-parse", "--verify", "--quiet", ref, allowed=(0, 1))
    if code == 0 and repo.refs.read(ref) is None:
        raise ObjectMissing(f"{out.decode().strip()}, to which `{ref}` leads,")
    lock = repo.common_dir / f"{ref}.lock"
    try:
        age = time.time() - lock.stat().st_mtime
    except FileNotFoundError:
        return
    if age > _LOCK_AGE_S:
        why = f"{lock} bars it since {age:.0f} s, as when git was killed. If no git runs here: `rm '{lock}'`"
        raise RefBlocked(ref, why)


def read_runs(repo: Repository) -> Draft:
    """The branch as it is now, to read from."""
    return Draft(repo, repo.runs_tip())
