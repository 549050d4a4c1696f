"""Format versions: which ones this Runstone reads. Owns the number behind `schema: runstone/<kind>/v<N>`.

Every kind is at its first version, so there is nothing to upgrade yet. When a kind gets a second version, its
step from the first is added here and is never removed; unknown keys of one version are carried, not upgraded.
"""

import re
from collections.abc import Mapping
from typing import Any

from runstone.errors import NewerFormat, RecordInvalid

VERSIONS = {
    "run": 1,
    "experiment": 1,
    "metrics": 1,
    "version": 1,
    "registered-model": 1,
    "version-notes": 1,
    "stage": 1,
    "alias": 1,
    "registration": 1,
    "policy": 1,
    "approval": 1,
    "config": 1,
}
"""The newest version of each kind of record that this Runstone reads, and the one it writes."""

_parse_format = re.compile(r"runstone/([a-z]+(?:-[a-z]+)*)/v([1-9][0-9]{0,8})").fullmatch


def split_format(name: object) -> tuple[str, int] | None:
    """Kind and version of a format's name: `runstone/run/v1` → `("run", 1)`; None if it is no such name."""
    match = _parse_format(name) if isinstance(name, str) else None
    return (match[1], int(match[2])) if match else None


def check_format(document: Mapping[str, Any], kind: str, where: str) -> None:
    """Refuse a document that is not a `kind`, or is of a newer version than this Runstone reads.

    Args:
        document: What YAML gave; its `schema` key is looked at.
        kind: A key of `VERSIONS`.
        where: File and commit, for messages.

    Raises:
        RecordInvalid: The document says it is something else, or says nothing.
        NewerFormat: It is of a newer version; the message names it.
    """
    known = f"runstone/{kind}/v{VERSIONS[kind]}"
    found = document.get("schema")
    if found == known:
        return
    parts = split_format(found)
    if parts is None or parts[0] != kind:
        raise RecordInvalid(where, f"`schema` must be `{known}`, but is {found!r}")
    raise NewerFormat(where, str(found), known)
