"""Files of a snapshot that git does not give back as they were: a filter or an attribute converts them.

Git decides how it stores a file (line ends, `ident`, an encoding, filters such as nbstripout), and so does a snapshot,
or each of its files would differ from HEAD's. What gets lost by it is found by having git convert it back.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from runstone.errors import GitFailed, RunstoneError
from runstone.git.code.intake import Intake
from runstone.git.code.leftout import LeftOut
from runstone.git.repository import Repository

_ATTRIBUTES = ("text", "eol", "crlf", "ident", "filter", "working-tree-encoding")
_FILES = ("100644", "100755")
_BATCH = 16_000_000
"""Bytes that are held at once."""


def find_converted(repo: Repository, tree: str, plan: Intake, max_size: int) -> list[LeftOut]:
    """The files taken in that git would write with other bytes than they have on disk.

    Args:
        repo: A repository with a work tree.
        tree: The tree that was made.
        plan: What was taken in.
        max_size: Bytes; a larger file is not read again.
    """
    named = {one.path for one in plan.left_out}
    how = dict(_convertible(repo, [path for path in plan.taken if path not in named]))
    batch, room, lost = list[tuple[str, str]](), _BATCH, list[str]()
    for path in how:
        entry = repo.objects.entry(tree, path)
        size = _size(f"{repo.work_tree}/{path}")
        if entry is None or entry.mode not in _FILES or size is None or size > max_size:
            continue
        if batch and size > room:
            lost += _changed(repo, batch)
            batch, room = [], _BATCH
        batch.append((path, entry.oid))
        room -= size
    lost += _changed(repo, batch)
    return [LeftOut(path, f"git does not give back the bytes it had: {how[path]}") for path in lost]


def _convertible(repo: Repository, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The paths that git may convert, and by what."""
    if not paths:
        return
    ends = repo.git_config.get("core.autocrlf", "false").lower() not in ("false", "no", "off", "0")
    names = "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
    _, out = repo.git("check-attr", "-z", "--stdin", *_ATTRIBUTES, input=names)
    words = out.decode("utf-8", "surrogateescape").split("\0")
    for at in range(0, len(words) - 1, 3 * len(_ATTRIBUTES)):
        values = dict(zip(_ATTRIBUTES, words[at + 2 : at + 3 * len(_ATTRIBUTES) : 3], strict=True))
        is_set = {name for name, value in values.items() if value not in ("unspecified", "unset")}
        if "filter" in is_set:
            yield words[at], f"it goes through the filter `{values['filter'][:80]}`"
        elif "working-tree-encoding" in is_set:
            yield words[at], "it is stored in another encoding"
        elif "ident" in is_set:
            yield words[at], "the attribute `ident`"
        elif is_set or (ends and "unset" not in (values["text"], values["crlf"])):
            yield words[at], "its line ends are converted"


def _changed(repo: Repository, batch: Sequence[tuple[str, str]]) -> list[str]:
    """Of some paths and their blobs, those that git would not write as they are on disk."""
    if not batch:
        return []
    assert repo.work_tree is not None
    try:
        theirs = _converted_back(repo, batch)
    except RunstoneError:  # a filter that fails costs the others nothing
        return [path for each in batch for path in _changed(repo, [each])] if len(batch) > 1 else []
    return [path for path, data in theirs if data != _read(f"{repo.work_tree}/{path}")]


def _converted_back(repo: Repository, batch: Sequence[tuple[str, str]]) -> list[tuple[str, bytes]]:
    if len(batch) == 1:  # also a path with a line break, which the other form cannot ask for
        path, oid = batch[0]
        return [(path, repo.git("cat-file", "--filters", f"--path={path}", oid)[1])]
    mark = os.urandom(16).hex()  # the size that git tells is that of the blob, not of what it becomes
    names = "".join(f"{oid} {path}\n" for path, oid in batch).encode("utf-8", "surrogateescape")
    _, out = repo.git("cat-file", f"--batch={mark}", "--filters", "--buffer", input=names)
    found = out.split(f"{mark}\n".encode())[1:]
    if len(found) != len(batch):
        raise GitFailed(["cat-file"], 0, "it did not answer for each file")
    return [(path, data[:-1]) for (path, _), data in zip(batch, found, strict=True)]


def _size(file: str) -> int | None:
    with suppress(OSError):
        return os.lstat(file).st_size
    return None


def _read(file: str) -> bytes | None:
    with suppress(OSError):
        return Path(file).read_bytes()
    return None
