"""Folders of TensorBoard: each folder with event files is a run, as TensorBoard itself sees it."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from runstone.errors import MissingLibrary, RunstoneError
from runstone.imports.foreign import derived_id
from runstone.imports.incoming import IncomingFile, IncomingRun, unlisted
from runstone.imports.intake import Intake
from runstone.imports.tensorboard_run import Gathered
from runstone.records.experiment import Experiment
from runstone.records.run import Run

ORIGIN = "tensorboard"
_MARK = "tfevents"
_FRAME = 16
"""Bytes of an event's length and checksums, beside it in the file."""


def bring(intake: Intake, path: Path, *, experiment: str | None = None) -> None:
    """Take in the runs of a folder of TensorBoard.

    A run in a folder below that of another one is its child. The id of a run is made of its folder's name, of the name
    of its first event file, which holds time, machine and process, and of the time of its first event.

    Args:
        intake: Where to.
        path: The folder, as it is given to `tensorboard --logdir`.
        experiment: The name of the experiment; that of the folder if not given.

    Raises:
        MissingLibrary: tensorboard is not installed.
        RunstoneError: There is no event file below the folder.
    """
    library = _library()
    folders = list(_find(intake, path))
    if not folders:
        raise RunstoneError(
            f"There is no event file of TensorBoard in {path}: none with `{_MARK}` in its name. "
            "Name the folder that is given to `tensorboard --logdir`: `runstone import tensorboard DIR`"
        )
    intake.total = len(folders)
    into = intake.experiment(experiment or path.resolve().name or ORIGIN, origin=ORIGIN)
    ids: dict[Path, str] = {}
    for folder, files in folders:
        name = folder.relative_to(path).as_posix() if folder != path else path.resolve().name
        with tempfile.TemporaryDirectory(prefix="runstone-") as scratch:
            found = _read(files, library, Path(scratch))
            if found.first is None:
                intake.not_carried("run", name, "none of its events is whole")
                continue
            ids[folder] = derived_id(ORIGIN, folder.resolve().name, files[0].name, repr(found.first))
            parent = next((ids[above] for above in folder.parents if above in ids), None)
            _tell(intake, found, f"run {name}")
            intake.run(_incoming(found, ids[folder], name, parent, into))


class _Library(NamedTuple):
    """What TensorBoard's own code is needed for.

    Attributes:
        load: A file → its records that are whole, up to the first that is not.
        parse: A record, and what is known of tags → events, old ones made to look like new ones.
        damage: What these raise on what is no event, or holds a length that cannot be.
    """

    load: Callable[[str], Iterator[bytes]]
    parse: Callable[[bytes, dict[str, Any]], list[Any]]
    damage: tuple[type[Exception], ...]


def _library() -> _Library:
    try:
        from google.protobuf.message import DecodeError
        from tensorboard import data_compat, dataclass_compat
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError as error:
        raise MissingLibrary("tensorboard", "read event files", "'runstone[tensorboard]'") from error

    def parse(record: bytes, known: dict[str, Any]) -> list[Any]:
        migrated = data_compat.migrate_event(Event.FromString(record))
        return list(dataclass_compat.migrate_event(migrated, known))

    damage = (DecodeError, MemoryError, OverflowError, ValueError, TypeError, KeyError, IndexError)
    return _Library(lambda path: RawEventFileLoader(path).Load(), parse, damage)


def _find(intake: Intake, path: Path) -> Iterator[tuple[Path, list[Path]]]:
    """The folders with event files, those above before those below, each with its files in TensorBoard's order."""
    for folder, folders, names in os.walk(path, onerror=lambda e: intake.not_carried("folder", *unlisted(e, path))):
        for each in list(folders):
            if Path(folder, each).is_symlink():
                intake.not_carried("folder", str(Path(folder, each).relative_to(path)), "it is a symbolic link")
        folders.sort()
        files = []
        for name in sorted(name for name in names if _MARK in name):
            file = Path(folder, name)
            if stat.S_ISREG(file.lstat().st_mode) and os.access(file, os.R_OK):
                files.append(file)
            else:
                intake.not_carried(
                    "file", str(file.relative_to(path)), "it is a symbolic link, no file, or may not be read"
                )
        if files:
            yield Path(folder), files


def _read(files: list[Path], library: _Library, scratch: Path) -> Gathered:
    found = Gathered(scratch)
    known: dict[str, Any] = {}
    for file in files:
        whole = 0
        with suppress(*library.damage):
            for record in library.load(str(file.absolute())):
                with suppress(*library.damage):
                    for event in library.parse(record, known):
                        found.add(event)
                    whole += _FRAME + len(record)
        if whole < file.stat().st_size:
            found.lost[file.name] = file.stat().st_size - whole
    return found


def _incoming(found: Gathered, run_id: str, name: str, parent: str | None, experiment: Experiment) -> IncomingRun:
    start = found.start or 0
    run = Run(
        id=run_id,
        name=name,
        experiment=experiment.name,
        experiment_id=experiment.experiment_id,
        status=found.status or "FINISHED",
        user="",
        started=start,
        ended=max(start, found.last or 0),
        parent=parent,
        params=found.params,
        tags={"tensorboard.run": name} | ({"tensorboard.group": found.group} if found.group else {}),
    )
    return IncomingRun(
        run=run,
        origin=ORIGIN,
        points=found.points,
        artifacts=[IncomingFile(path, file) for path, file in found.files.items()],
    )


def _tell(intake: Intake, found: Gathered, told: str) -> None:
    for name, lost in found.lost.items():
        why = f"{lost} bytes of it are torn or damaged; what is whole was carried"
        intake.not_carried("event file", f"{told}: {name}", why)
    if found.purged:
        why = "its steps were done again after a restart, and TensorBoard shows the later ones alone"
        intake.not_carried("points", told, why, is_loss=False, number=found.purged)
    for kind, tags in found.passed.items():
        for tag, count in tags.items():
            why = "a run has no place for it: scalars, hyperparameters, texts and images are carried"
            intake.not_carried(kind, f"{told}: {tag}", why, is_loss=False, number=count)
