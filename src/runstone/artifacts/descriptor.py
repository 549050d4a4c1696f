"""What a run's artifacts are called and what they are: path, size, digest; and the listing of a folder of them.

The listing is DVC's `.dir` object, byte for byte what `dvc add` writes, so that both name one folder by one digest.
"""

import hashlib
import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from runstone.errors import InvalidName, RecordInvalid

DIR = ".dir"
"""What DVC appends to the digest of a folder's listing."""

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")

# git and DVC give these a meaning of their own wherever they lie: a `.git` brought back from a remote could run hooks,
# and DVC leaves `.dvc` and `.hg` out of a folder's digest and refuses a `.dvcignore` inside one.
_RESERVED = frozenset({".git", ".hg", ".dvc", ".dvcignore"})


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One artifact: where it lies below `artifacts/`, how long it is, and the MD5 of its bytes.

    `size` is None where only the digest is known: DVC's listings hold no sizes, so a folder that has not been
    pulled can be listed but not measured.
    """

    path: str
    size: int | None
    md5: str


def with_logged(before: Iterable[Descriptor], rows: Iterable[Sequence[Any]]) -> dict[str, Descriptor]:
    """The files of a run by path: those it had, and what its journals say of them since.

    Args:
        before: The files that were there.
        rows: `[path, size, md5]`; the later of one path wins, and one without a digest takes away what is there.
    """
    found = {entry.path: entry for entry in before}
    for path, size, md5 in rows:
        if md5 is None:
            found.pop(path, None)
        else:
            found[path] = Descriptor(path, size, md5)
    return found


def check_artifact_path(path: object) -> str:
    """Return `path` if it names a file below the folder of artifacts on every system, or raise.

    Args:
        path: A relative path with forward slashes, such as `plots/roc curve.png`.

    Raises:
        InvalidName: It is absolute, climbs out (`..`), has empty parts, backslashes or control characters, a part
            longer than 255 bytes, or a part that git or DVC keep for themselves (`.git`, `.dvc`, `.dvcignore`).
    """
    if not isinstance(path, str):
        raise InvalidName("artifact path", repr(path), "it is not text")
    why = _why_not(path)
    if why:
        raise InvalidName("artifact path", path, why)
    return path


def check_digest(digest: object) -> str:
    """Return an MD5 of 32 hex digits, with or without `.dir`, or raise `InvalidName`; it becomes a file name."""
    if not isinstance(digest, str) or not _MD5.fullmatch(digest):
        raise InvalidName("digest", str(digest), "it must be 32 hex digits, and `.dir` after them for a folder")
    return digest


def format_listing(entries: Iterable[Descriptor]) -> bytes:
    """The bytes of the `.dir` object of a folder: its files by path, sorted.

    Raises:
        InvalidName: Two files have one path, or one file's path is another's folder.

    Source: DVC, `dvc add` of a folder; compared in tests/artifacts/test_pointer.py.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    _check_no_clash([check_artifact_path(entry.path) for entry in ordered])
    return json.dumps([{"md5": check_digest(e.md5), "relpath": e.path} for e in ordered]).encode()


def parse_listing(data: bytes, where: str) -> list[Descriptor]:
    """Read a `.dir` object; the inverse of `format_listing`. It may come from other people's pushes.

    Args:
        data: The bytes of the object.
        where: What to call it in an error.

    Raises:
        RecordInvalid: It is not a listing, or names a path or a digest that cannot be.
    """
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, list):
        raise _bad_listing(where, "must be a JSON list of files")
    entries = []
    for position, item in enumerate(raw):
        if not isinstance(item, dict):
            raise _bad_listing(where, f"entry {position} must be a mapping with `md5` and `relpath`")
        size = item.get("size")
        try:
            path, md5 = check_artifact_path(item.get("relpath")), check_digest(item.get("md5"))
        except InvalidName as error:
            raise _bad_listing(where, f"entry {position}: {error}") from None
        entries.append(Descriptor(path, size if type(size) is int and size >= 0 else None, md5))
    try:
        _check_no_clash(sorted(entry.path for entry in entries))
    except InvalidName as error:
        raise _bad_listing(where, str(error)) from None
    return entries


def listing_digest(data: bytes) -> str:
    """The digest of a listing, as DVC writes it: MD5 of the bytes, then `.dir`."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest() + DIR


def _why_not(path: str) -> str | None:
    if not path:
        return "it is empty"
    if "\\" in path:
        return "it holds a backslash; write `/`"
    if path[0] == "/" or re.match(r"[A-Za-z]:", path):
        return "it is absolute; write it relative to the folder of artifacts"
    if not path.isprintable() and any(unicodedata.category(c) in ("Cc", "Cs") for c in path):
        return "it holds a control character, or bytes that are not UTF-8"
    for part in path.split("/"):
        if part in ("", "."):
            return "it has an empty part"
        if part == "..":
            return "it leaves the folder of artifacts"
        if part.lower() in _RESERVED:
            return f"`{part}` means something to git or DVC"
        if len(part) > 63 and len(part.encode()) > 255:
            return "a part of it is longer than the 255 bytes that file systems allow"
    return None


def _check_no_clash(ordered: list[str]) -> None:
    taken = set(ordered)
    if len(taken) != len(ordered):
        twice = next(a for a, b in itertools.pairwise(ordered) if a == b)
        raise InvalidName("artifact path", twice, "two files have it")
    for path in ordered:
        cut = path.rfind("/")
        while cut > 0:
            if path[:cut] in taken:
                raise InvalidName("artifact path", path, f"`{path[:cut]}` is a file, so nothing can lie below it")
            cut = path.rfind("/", 0, cut)


def _bad_listing(where: str, problem: str) -> RecordInvalid:
    return RecordInvalid(
        where, problem, next_step="Log the artifacts again, or fetch them anew: `runstone artifacts pull --all`"
    )
