"""A wheel of the Runstone that is in use, since no index need offer it: the same code, the same bytes.

It asks for what serving needs alone, so that an image holds no library of training or of the repository.
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from runstone import templates
from runstone._version import __version__
from runstone.records import schema
from runstone.serving.environment import SERVING

NAME = f"runstone-{__version__}-py3-none-any.whl"

_INFO = f"runstone-{__version__}.dist-info"
_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell


def build() -> bytes:
    """The wheel, uncompressed: what zlib makes of the same bytes differs from machine to machine."""
    package = Path(__file__).resolve().parents[1]
    files = dict(_read("runstone", package))
    files.update(_read("runstone/schemas", schema.folder()))
    files.update(_read("runstone/templates", templates.folder()))
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in SERVING)
    head = f"Metadata-Version: 2.1\nName: runstone\nVersion: {__version__}\nRequires-Python: >=3.11\n"
    files[f"{_INFO}/METADATA"] = f"{head}{needs}".encode()
    files[f"{_INFO}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: runstone\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{_INFO}/entry_points.txt"] = b"[console_scripts]\nrunstone = runstone.cli:main\n"
    record = "".join(f"{name},{_hash(data)},{len(data)}\n" for name, data in sorted(files.items()))
    files[f"{_INFO}/RECORD"] = f"{record}{_INFO}/RECORD,,\n".encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            member = zipfile.ZipInfo(name, _TIME)
            member.create_system = 3  # Unix, whatever this system is
            member.external_attr = 0o100644 << 16
            archive.writestr(member, data)
    return stream.getvalue()


def _read(prefix: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _hash(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
