"""The small files of a folder `mlruns`, read with care: the folder may be damaged, or made by somebody else.

Only regular files are read, and only below the store or a folder that the user names. What is passed over is kept, to
be told; MLflow itself passes over it in silence.
"""

import math
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from runstone.errors import RecordInvalid
from runstone.imports.incoming import Refusal
from runstone.records import yaml
from runstone.records.document import Document
from runstone.records.metric import Metric
from runstone.records.model_metric import ModelPoint

META = "meta.yaml"
BROKEN = (RecordInvalid, OSError, ValueError, KeyError, TypeError, AttributeError)
"""What is raised on a record that is none, by what reads it and by what then looks into it."""
_MAX_TEXT = 16 * 1024 * 1024
_MAX_LINE = 4096
"""Bytes of a line of a metric; MLflow's have fewer than 100, and those of logged models name a dataset, too."""


class Reader:
    """Reads files of one store.

    Args:
        root: The store's folder, which paths are told from.
        others: Further folders that may be read.
    """

    def __init__(self, root: Path, others: Iterable[Path] = ()) -> None:
        self._root = root
        self._allowed = [folder.resolve() for folder in (root, *others)]
        self._passed: dict[Path, str] = {}
        self._told: set[Path] = set()

    def pass_over(self, path: Path, why: str) -> None:
        """Keep something that is not read."""
        shown = path.relative_to(self._root) if path.is_relative_to(self._root) else path
        self._passed[shown] = why

    def tell(self, refuse: Refusal, below: Path | None = None) -> None:
        """Tell what was passed over, each once; `below` a folder alone, if one is given."""
        for path, why in self._passed.items():
            if path not in self._told and (below is None or (self._root / path).is_relative_to(below)):
                self._told.add(path)
                refuse(path.as_posix(), why)

    def folders(self, above: Path) -> list[Path]:
        """The folders in a folder, which may be none."""
        try:
            return sorted(each for each in above.iterdir() if self.is_folder(each))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.pass_over(above, reason(error))
            return []

    def is_folder(self, path: Path) -> bool:
        """Whether it is a folder that may be read."""
        if not path.is_dir():
            return False
        if not path.is_symlink() or any(path.resolve().is_relative_to(folder) for folder in self._allowed):
            return True
        step = f"If you trust the store: `--artifact-root {path.resolve().parent}`"
        self.pass_over(path, f"it is a symbolic link out of the store's folder. {step}")
        return False

    def text(self, path: Path) -> str:
        """What a small file holds.

        Raises:
            RecordInvalid: It is not regular, or not small.
            OSError: It cannot be read.
        """
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):  # to read a pipe, or /dev/zero through a link, has no end
            raise RecordInvalid(str(path), "it is a link, or no file")
        if status.st_size > _MAX_TEXT:
            raise RecordInvalid(str(path), f"it is larger than {_MAX_TEXT // 1024**2} MiB")
        return path.read_text(encoding="utf-8", errors="replace")

    def need(self, folder: Path) -> Document:
        """What `meta.yaml` says; raises as `text` does."""
        path = folder / META
        document = yaml.load(self.text(path), str(path))
        if not isinstance(document, dict):
            raise RecordInvalid(str(path), "it holds no map")
        return document

    def find(self, folder: Path, lost: Callable[[], str] | None = None) -> Document | None:
        """What `meta.yaml` says; None where there is none, or where it cannot be read, which is kept.

        Args:
            folder: Where it lies.
            lost: What is lost with it.
        """
        try:
            return self.need(folder)
        except FileNotFoundError:
            return None
        except (RecordInvalid, OSError) as error:
            self.pass_over(folder, f"{reason(error)} Not here with it: {lost()}" if lost is not None else reason(error))
            return None

    def texts(self, folder: Path) -> dict[str, str]:
        """Params or tags: a file each, whose path below the folder is the key."""
        found = {}
        for path in self._leaves(folder):
            try:
                found[path.relative_to(folder).as_posix()] = self.text(path)
            except (RecordInvalid, OSError) as error:
                self.pass_over(path, reason(error))
        return found

    def points(self, folder: Path) -> Iterator[Metric]:
        """Lines of time, value and, since MLflow 1.0, step, of each metric."""
        for path in self._leaves(folder):
            key = path.relative_to(folder).as_posix()
            yield from in_order(Metric(key, value, time, step) for time, value, step, _ in self._rows(path))

    def model_points(self, folder: Path) -> Iterator[tuple[str | None, ModelPoint]]:
        """Likewise of a logged model: time, value, step, run, and what dataset it was measured on."""
        for path in self._leaves(folder / "metrics"):
            key = path.relative_to(folder / "metrics").as_posix()
            for time, value, step, more in self._rows(path):
                run_id, dataset, digest = more if len(more) == 3 else (more[0] if more else None, None, None)
                yield run_id, ModelPoint(folder.name, key, step, time, value, dataset, digest)

    def _rows(self, path: Path) -> Iterator[tuple[int, float, int, list[str]]]:
        """The lines of a file: a time, a value, a step, and the words after it."""
        torn = 0
        try:
            with path.open("rb") as file:
                for line in iter(partial(file.readline, _MAX_LINE), b""):
                    row = line.split()
                    try:
                        time, value, step = int(row[0]), float(row[1]), int(row[2]) if len(row) > 2 else 0
                    except (ValueError, IndexError):
                        torn += 1
                        continue
                    yield time, value, step, [word.decode("utf-8", "replace") for word in row[3:6]]
        except OSError as error:
            self.pass_over(path, reason(error))
        if torn:
            self.pass_over(path, f"{torn} of its lines are torn, or no numbers; the others were carried")

    def _leaves(self, folder: Path) -> Iterator[Path]:
        try:
            if not self.is_folder(folder):
                if os.path.lexists(folder) and not folder.is_dir():
                    self.pass_over(folder, "it is no folder")
                return
        except OSError as error:
            self.pass_over(folder, reason(error))
            return
        found = []
        for above, folders, files in os.walk(folder, onerror=self._unlisted):
            for path in (Path(above, name) for name in (*files, *folders)):
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    self.pass_over(path, "it is a link, or no file")
                elif path.is_file():
                    found.append(path)
        yield from sorted(found)

    def _unlisted(self, error: OSError) -> None:
        self.pass_over(Path(str(error.filename)), reason(error))


def reason(error: Exception) -> str:
    """Why a record cannot be read."""
    if isinstance(error, RecordInvalid):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read: {error.strerror}"
    return f"it cannot be read: {error!r}"


def in_order(points: Iterable[Metric]) -> list[Metric]:
    """The points of one metric so that the last of a step is the one that MLflow calls its latest."""
    return sorted(points, key=lambda p: (p.timestamp, p.step, 0.0 if math.isnan(p.value) else p.value))
