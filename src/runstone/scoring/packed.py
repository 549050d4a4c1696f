"""A model folder as one value that a cluster can carry: its bytes, and the digests that they are held against there."""

import hashlib
import io
import tempfile
import threading
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from runstone.flavors import pyfunc
from runstone.flavors.pyfunc import PyFuncModel
from runstone.flavors.trust import Trust

_loaded: dict[str, PyFuncModel] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Packed:
    """A model.

    Attributes:
        data: The files as a zip.
        trust: Why they may be loaded.
    """

    data: bytes
    trust: Trust

    @cached_property
    def key(self) -> str:
        """What tells it from others."""
        return hashlib.sha256(self.data).hexdigest()

    def load(self) -> PyFuncModel:
        """Load it, once in a process; raises as `flavors.pyfunc.load`."""
        with _lock:
            if self.key not in _loaded:
                with tempfile.TemporaryDirectory(prefix="runstone-") as temporary, io.BytesIO(self.data) as data:
                    zipfile.ZipFile(data).extractall(temporary)
                    _loaded[self.key] = pyfunc.load(Path(temporary), trust=self.trust)
            return _loaded[self.key]

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "trust": self.trust}


def pack(folder: Path, trust: Trust) -> Packed:
    """Pack a model folder; with digests only the files that git recorded, each verified.

    Raises:
        ModelFileChanged: A file is not the recorded one.
    """
    names = sorted(trust.digests) if trust.digests is not None else _all_files(folder)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            # Without times, so that equal models are equal bytes.
            archive.writestr(zipfile.ZipInfo(name), trust.read(folder, name))
    return Packed(stream.getvalue(), trust)


def _all_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
