"""Refs that git passes over with a warning, or that lead nowhere: whoever needs all refs must know of them."""

import re
from pathlib import Path

from runstone.git.repository import Repository

_is_ref_text = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\n?|ref: .+\n?").fullmatch


def broken_refs(repo: Repository) -> list[Path]:
    """Files below `refs/` that hold no object's id: git then fails to fetch, or to collect garbage, for all refs."""
    folders = [repo.common_dir / "refs"]
    if repo.git_dir != repo.common_dir:
        folders.append(repo.git_dir / "refs")
    found = []
    for path in sorted({path for folder in folders for path in folder.rglob("*")}):
        if path.is_file() and path.suffix != ".lock":
            try:
                text = path.read_text(encoding="ascii", errors="replace")
            except OSError:
                continue  # moved, or packed, at this moment
            if _is_ref_text(text) is None:
                found.append(path)
    return found


def dangling_refs(repo: Repository) -> dict[str, str]:
    """Refs that name an object which is not here: full name → the object."""
    _, out = repo.git("for-each-ref", "--format=%(objectname) %(refname)")
    rows = [line.partition(" ") for line in out.decode("utf-8", "surrogateescape").split("\n")[:-1]]
    if not rows:
        return {}
    _, answers = repo.git("cat-file", "--batch-check", input="".join(f"{oid}\n" for oid, _, _ in rows).encode())
    missing = {line.split()[0].decode() for line in answers.splitlines() if line.endswith(b" missing")}
    return {name: oid for oid, _, name in rows if oid in missing}
