"""`artifacts.dvc`: the DVC pointer that stands in git for the folder `artifacts/` of a run.

Written as text, without a YAML library, byte for byte as `dvc add artifacts` writes it. That text is read without one
too, for importing it costs more than reading a thousand pointers; any other by a safe loader.
"""

import re
from dataclasses import dataclass
from typing import Any

from runstone.artifacts.descriptor import DIR, check_digest
from runstone.errors import InvalidName, RecordInvalid
from runstone.records import yaml

FOLDER = "artifacts"
"""The folder that the pointer stands for, beside it."""

_MAX_CHARACTERS = 16_384
"""A pointer has about 120; more is not one, and YAML is costly to read."""

_OWN = re.compile(
    rf"outs:\n- md5: ([0-9a-f]{{32}}\.dir)\n  size: (0|[1-9][0-9]{{0,17}})\n  nfiles: (0|[1-9][0-9]{{0,17}})\n"
    rf"  hash: md5\n  path: {FOLDER}\n",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """A folder of artifacts: the digest of its listing (`….dir`), the sum of the sizes, the number of files."""

    digest: str
    size: int
    nfiles: int


def format_pointer(pointer: Pointer) -> str:
    """The text of `artifacts.dvc`.

    Source: `dvc add artifacts`, DVC 3; compared in tests/artifacts/test_pointer.py.
    """
    return (
        f"outs:\n- md5: {check_digest(pointer.digest)}\n  size: {pointer.size}\n  nfiles: {pointer.nfiles}\n"
        f"  hash: md5\n  path: {FOLDER}\n"
    )


def parse_pointer(text: str | bytes, where: str) -> Pointer:
    """Read an `artifacts.dvc`, by whomever it was written; keys that DVC may add are ignored.

    Args:
        text: The file's text.
        where: What to call it in an error, such as its path and commit.

    Raises:
        RecordInvalid: It is not a pointer to one folder, or uses another hash than MD5.
    """
    own = _OWN.fullmatch(text if isinstance(text, str) else text.decode("utf-8", "replace"))
    if own is not None:
        return Pointer(own[1], int(own[2]), int(own[3]))
    out = _only_output(text, where)
    digest, size, nfiles = out.get("md5"), out.get("size"), out.get("nfiles")
    try:
        digest = check_digest(digest)
    except InvalidName as error:
        raise _invalid(where, f"`outs[0].md5`: {error}") from None
    if not digest.endswith(DIR):
        raise _invalid(where, f"`outs[0].md5` must be the digest of a folder, `….dir`, but is {digest!r}")
    if out.get("hash", "md5") != "md5":
        raise _invalid(where, f"`outs[0].hash` must be md5, but is {out['hash']!r}")
    return Pointer(digest, _count(size, "size", where), _count(nfiles, "nfiles", where))


def _only_output(text: str | bytes, where: str) -> dict[str, Any]:
    if len(text) > _MAX_CHARACTERS:
        raise _invalid(where, f"must be a DVC pointer, but has {len(text)} characters")
    document = yaml.load(text, where)
    outs = document.get("outs") if isinstance(document, dict) else None
    if not isinstance(outs, list) or len(outs) != 1 or not isinstance(outs[0], dict):
        raise _invalid(where, "must have `outs:` with exactly one entry")
    return outs[0]


def _count(value: object, key: str, where: str) -> int:
    if type(value) is not int or value < 0:
        raise _invalid(where, f"`outs[0].{key}` must be a whole number of 0 or more, but is {value!r}")
    return value


def _invalid(where: str, problem: str) -> RecordInvalid:
    return RecordInvalid(where, problem, next_step="Write the pointer again by logging an artifact to the run.")
