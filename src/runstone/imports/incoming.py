"""A run on its way in, as a reader of some other tracker hands it over: a record, and what is read late beside it."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from runstone.records.metric import Metric
from runstone.records.run import Run

IMPORTED = "imported"
"""The key of a record that says where it is from: `{from, id, digest}`."""

NO_DIGEST = ""
"""The digest of a model reference whose files are among the artifacts that come with the run."""

Refusal = Callable[[str, str], None]
"""Called with what cannot be carried, and why."""


class Unavailable(Exception):
    """Raised by what fetches a file: it is not there, or cannot be had; the text says why."""


class IncomingFile(NamedTuple):
    """One artifact.

    Attributes:
        path: Where it goes among the run's artifacts.
        file: Where it lies; or what writes it to the path it is given, and raises `Unavailable` where it cannot.
        size: Its size, if that is known; a file of this path and size that the run has already is not fetched again.
    """

    path: str
    file: Path | Callable[[Path], None]
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingRun:
    """One run.

    Attributes:
        run: Its record. `experiment` and `experiment_id` are those that `Intake.experiment` gave; `metrics` is made of
            the points. A model whose `digest` is `NO_DIGEST` is described by the files below its path; models that
            are found among the artifacts and not named are added.
        origin: The tracker and the place there that it is from, in a few characters: a run of one id and one origin is
            one run, which may have grown.
        points: Of its metrics, in the order written; read once, when it is the run's turn.
        artifacts: Its files; likewise.
        notes: Markdown.
        requirements: The exact packages, as `requirements.txt` holds them.
    """

    run: Run
    origin: str
    points: Iterable[Metric] = ()
    artifacts: Iterable[IncomingFile] = ()
    notes: str | None = None
    requirements: str | None = None


def unlisted(error: OSError, root: Path) -> tuple[str, str]:
    """A folder below another one that `os.walk` cannot list, and why."""
    path = Path(str(error.filename))
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return shown.as_posix(), f"it cannot be listed: {error.strerror}"


def local_files(root: Path, refuse: Refusal) -> list[IncomingFile]:
    """The files below a folder, by path.

    Args:
        root: The folder; one that is not there has none.
        refuse: Told of links that lead out of the folder or to folders, and of what is no file.
    """
    real = root.resolve()
    found: list[IncomingFile] = []

    def refuse_folder(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            refuse(*unlisted(error, root))

    for folder, folders, files in os.walk(root, onerror=refuse_folder):
        folders.sort()
        for name in sorted(files + [each for each in folders if Path(folder, each).is_symlink()]):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if path.is_symlink() and (not path.resolve().is_relative_to(real) or path.is_dir()):
                refuse(relative, "it is a symbolic link to a folder, or out of the folder of artifacts")
            elif not path.is_file():
                refuse(relative, "it is no file" if os.path.lexists(path) else "it is gone")
            else:
                found.append(IncomingFile(relative, path))
    return sorted(found)
