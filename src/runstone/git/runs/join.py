"""The files of one run, or one experiment's record, where two sides of the branch `runs` had changed them.

File by file: what one side changed is taken; records and metrics are joined by `merge`, folders of artifacts by the
shelf; any other file, and a record that cannot be read, is taken as a whole, and the one that lost is named by its id.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from runstone.errors import InvalidName, InvalidValue, NewerFormat, RecordInvalid
from runstone.git.objects import FILE, TreeEntry
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.git.runs.merge import ABSENT, MergeNote, merge_experiment, merge_run, note, put_summary
from runstone.git.runs.points import merge_metrics
from runstone.records.metric import Metric, format_metrics

Entries = Mapping[str, TreeEntry]
Three = tuple[TreeEntry | None, TreeEntry, TreeEntry]

UNREADABLE = (
    *(RecordInvalid, NewerFormat, InvalidName, InvalidValue),
    *(ValueError, TypeError, KeyError, AttributeError, RecursionError),
)
"""What reading a record from somebody else's push may raise. A missing object, or a full disk, is not among it."""


class MergeShelf(Protocol):
    """What the replay needs of the layer above: to join two folders of artifacts."""

    def merge_folders(self, base: bytes | None, ours: bytes | None, theirs: bytes | None) -> str | None:
        """The text of `artifacts.dvc` for the files of both; `ArtifactMissing` names a listing that must be pulled."""


class Joiner:
    """Joins files; what lost is put on the list of notes that each call is given."""

    def __init__(self, repo: Repository, shelf: MergeShelf) -> None:
        self._repo = repo
        self._shelf = shelf

    def run(
        self, run_id: str, base: Entries, ours: Entries, theirs: Entries, notes: list[MergeNote]
    ) -> dict[str, TreeEntry]:
        """The files of a run, by name.

        Writes:
            Blobs.

        Raises:
            ArtifactMissing: The listing of a folder is not here.
        """
        files: dict[str, TreeEntry] = {}
        clashes: dict[str, Three] = {}
        for name in dict.fromkeys([*theirs, *ours]):
            was, mine, other = base.get(name), ours.get(name), theirs.get(name)
            chosen = other if mine in (other, was) else mine
            if mine not in (other, was) and other != was:
                if mine is not None and other is not None:
                    clashes[name] = was, mine, other
                else:
                    chosen = mine or other
                    notes.append(MergeNote(run_id, name, "edited", "removed"))
            if chosen is not None:
                files[name] = chosen
        points = None
        if layout.METRICS in clashes:
            with suppress(*UNREADABLE):
                points, corrected = merge_metrics(*self._read(clashes[layout.METRICS]), run_id=run_id)
                files[layout.METRICS] = self.write(format_metrics(points))
                notes += corrected
                del clashes[layout.METRICS]
        if layout.ARTIFACTS in clashes:
            with suppress(RecordInvalid, InvalidName):
                joined = self._shelf.merge_folders(*self._read(clashes[layout.ARTIFACTS]))
                del files[layout.ARTIFACTS]
                if joined is not None:
                    files[layout.ARTIFACTS] = self.write(joined)
        self._record(run_id, clashes, files, points, notes)
        for name, (_, _, other) in clashes.items():
            if files.get(name) != other:
                _note_blobs(run_id, name, files.get(name), other, notes)
        return files

    def _record(
        self,
        run_id: str,
        clashes: dict[str, Three],
        files: dict[str, TreeEntry],
        points: list[Metric] | None,
        notes: list[MergeNote],
    ) -> None:
        if layout.RECORD in clashes:
            with suppress(*UNREADABLE):
                text, lost = merge_run(*self._read(clashes[layout.RECORD]), run_id=run_id, points=points)
                files[layout.RECORD] = self.write(text)
                notes += lost
                del clashes[layout.RECORD]
                return
        if points is not None and layout.RECORD in files:
            with suppress(*UNREADABLE):
                record = self._repo.objects.blob(files[layout.RECORD].oid)
                files[layout.RECORD] = self.write(put_summary(record, points, run_id=run_id))

    def experiment(self, experiment_id: str, path: str, sides: Three, notes: list[MergeNote]) -> TreeEntry:
        """The record of an experiment: base, ours and theirs joined."""
        with suppress(*UNREADABLE):
            text, lost = merge_experiment(*self._read(sides), experiment_id=experiment_id)
            notes += lost
            return self.write(text)
        _note_blobs(experiment_id, path, sides[1], sides[2], notes)
        return sides[1]

    def write(self, text: str) -> TreeEntry:
        """A file of this text."""
        return TreeEntry(FILE, self._repo.objects.write("blob", text.encode()))

    def text(self, entry: TreeEntry) -> str:
        """What a file says; of anything else, its id."""
        return self._repo.objects.blob(entry.oid).decode(errors="replace") if entry.mode == FILE else entry.oid

    def _read(self, sides: Three) -> tuple[bytes | None, bytes, bytes]:
        for entry in sides:
            if entry is not None and not entry.mode.startswith("100"):
                raise RecordInvalid("the branch of runs", "a record must be a file")
        base, ours, theirs = sides
        blob = self._repo.objects.blob
        return blob(base.oid) if base is not None else None, blob(ours.oid), blob(theirs.oid)


def _note_blobs(record: str, name: str, kept: TreeEntry | None, other: TreeEntry, notes: list[MergeNote]) -> None:
    """Tell of a file that was taken as a whole: the one that lost is in the history before."""
    notes.append(note(record, (name,), f"blob {kept.oid}" if kept is not None else ABSENT, f"blob {other.oid}"))
