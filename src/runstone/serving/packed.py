"""A model folder away from its repository: its digest held against one that was pinned, and what it is known to be.

A serving context (`deploy.context`) is a folder with `model/` and `runstone-serving.json`. What that file tells is
shown, and believed as far as digests go; that code may be loaded follows only from a digest that the caller pins.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.artifacts.descriptor import Descriptor, format_listing, listing_digest
from runstone.errors import ArtifactCorrupt, InvalidModelFolder, InvalidName, ModelFileChanged

FILE = "runstone-serving.json"
MODEL = "model"
FORMAT = 1

_MAX_SIZE = 64 * 1024 * 1024
_BLOCK = 1024 * 1024
_TEXTS = ("uri", "pinned", "model", "run", "commit", "digest", "python")


@dataclass(frozen=True, slots=True)
class Packed:
    """What a context's file says.

    Attributes:
        uri: The URI that it was made from.
        pinned: One that will mean the same tomorrow.
        model: The registered model; None for a run's model.
        version: Its version.
        run: The run that logged it.
        commit: The commit that holds the run's record (of a version), or the commit of its code (of a run).
        digest: `md5:<hex>.dir` of the model folder.
        python: The minor version of Python to serve it with.
        files: Path in the model folder → MD5, as git recorded it.
    """

    uri: str
    pinned: str
    model: str | None
    version: int | None
    run: str | None
    commit: str | None
    digest: str
    python: str
    files: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """The file: the same value, the same bytes."""
        document = {
            "format": FORMAT,
            "uri": self.uri,
            "pinned": self.pinned,
            "model": self.model,
            "version": self.version,
            "run": self.run,
            "commit": self.commit,
            "digest": self.digest,
            "python": self.python,
            "files": dict(sorted(self.files.items())),
        }
        return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n".encode()


def read(folder: Path) -> Packed | None:
    """What the file of a context says; None for a folder that is none.

    Raises:
        InvalidModelFolder: The file cannot be read, or contradicts itself.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(_MAX_SIZE + 1)
    try:
        document = json.loads(data) if len(data) <= _MAX_SIZE else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidModelFolder(folder, f"`{FILE}` is not a file of format {FORMAT} that tells of a packed model")
    packed = _parse(document)
    if packed is None or not _is_consistent(packed):
        raise InvalidModelFolder(folder, f"`{FILE}` contradicts itself, so it was changed after it was written")
    return packed


def hash_files(folder: Path) -> dict[str, str]:
    """Path → MD5 of every file in a folder."""
    return {path.relative_to(folder).as_posix(): _md5(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def digest_of(files: Mapping[str, str]) -> str:
    """The digest `md5:<hex>.dir` that a folder of these files has in git."""
    return f"md5:{listing_digest(format_listing(Descriptor(path, None, md5) for path, md5 in files.items()))}"


def verify(folder: Path, digest: str | None) -> tuple[Path, dict[str, str]]:
    """Hold the files of a model folder, or of the model in a context, against a digest.

    Returns:
        The model folder, and path → MD5 of its files.

    Raises:
        ModelFileChanged: A file of a context differs, or is no recorded one; the first of them by name is told.
        ArtifactCorrupt: The folder as a whole has another digest.
        InvalidModelFolder: A file is missing, or the context's file cannot be read.
    """
    told = read(folder)
    model = folder if told is None else folder / MODEL
    found = hash_files(model)
    for name in sorted({*found, *told.files}) if told is not None else ():
        recorded = told.files.get(name) if told is not None else None
        if name not in found:
            raise InvalidModelFolder(model, f"the file `{name}` is missing")
        if found[name] != recorded:
            raise ModelFileChanged(model, name, recorded, found[name])
    check_digest(str(folder), digest_of(found), digest)
    return model, found


def check_digest(where: str, found: str | None, wanted: str | None) -> None:
    """Hold the digest of a model against the one that the caller pinned, if there is one.

    Raises:
        ArtifactCorrupt: It is another one.
    """
    if wanted is not None and found != wanted:
        step = "Serve what was meant: get it again, or pin the digest that git recorded."
        raise ArtifactCorrupt(wanted.removeprefix("md5:"), where, (found or "none").removeprefix("md5:"), step)


def _parse(document: Mapping[str, Any]) -> Packed | None:
    texts = {name: document.get(name) for name in _TEXTS}
    version, files = document.get("version"), document.get("files")
    if not all(isinstance(texts[name], str) for name in ("uri", "pinned", "digest", "python")):
        return None
    if not all(value is None or isinstance(value, str) for value in texts.values()):
        return None
    if version is not None and type(version) is not int:
        return None
    if not isinstance(files, dict) or not all(isinstance(md5, str) for md5 in files.values()):
        return None
    return Packed(**texts, version=version, files=files)  # type: ignore[arg-type]  # checked one by one above


def _is_consistent(packed: Packed) -> bool:
    try:
        return digest_of(packed.files) == packed.digest
    except InvalidName:
        return False


def _md5(path: Path) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            md5.update(block)
    return md5.hexdigest()
