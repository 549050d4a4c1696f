"""A model's files as a folder of its own, which appears whole or not at all."""

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from runstone.errors import DiskFull, OutputRefused
from runstone.registry.replaceable import check_replaceable
from runstone.registry.resolve import resolve
from runstone.tracking.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Pulled:
    """What was pulled.

    Attributes:
        uri: The URI.
        digests: Path → MD5 of each file.
        size: Bytes of all.
    """

    uri: str
    digests: dict[str, str]
    size: int

    @property
    def files(self) -> int:
        """How many."""
        return len(self.digests)


def pull_model(workspace: Workspace, uri: str, target: Path, *, force: bool = False) -> Pulled:
    """Copy what a URI stands for to a new folder, each file verified by its digest.

    Args:
        workspace: The repository.
        uri: `models:/…` or `runs:/…`.
        target: The folder; its parent must exist.
        force: Replace what is there.

    Writes:
        A hidden folder beside it, renamed when all is there; nothing of it stays where something fails.

    Raises:
        OutputRefused: It exists and `force` is not set, or its parent does not; or it is a repository, or holds the
            current folder.
        ModelNotFound, VersionNotFound, AliasNotFound, StageNotFound: There is no such version.
        ArtifactMissing, ArtifactCorrupt: Its bytes cannot be had, or are not those recorded.
    """
    if not target.parent.is_dir():
        raise OutputRefused(
            target, f"there is no folder {target.parent}", f"Make it: `mkdir -p {quote(str(target.parent))}`"
        )
    is_empty = target.is_dir() and not target.is_symlink() and not any(target.iterdir())
    if os.path.lexists(target) and not force and not is_empty:
        raise OutputRefused(target, "it exists", "Replace it: `--force`; or name another folder.")
    if force:
        check_replaceable(target)
    resolved = resolve(workspace, uri)
    is_file = [entry.path for entry in resolved.entries] == [resolved.path]
    strip = resolved.path.rpartition("/")[0] if is_file else resolved.path
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            workspace.artifacts.fetch(resolved.entries, part, strip=strip)
            put_in_place(part, target)
        except OSError as error:
            raise DiskFull(target, error.strerror or str(error)) from error
        sizes = [path.stat().st_size for path in target.rglob("*") if path.is_file()]
        return Pulled(uri, resolved.digests, sum(sizes))
    finally:
        shutil.rmtree(part, ignore_errors=True)


def put_in_place(part: Path, target: Path) -> None:
    """Rename a new folder to where it belongs; what is there is kept aside until that is done, then removed."""
    if not os.path.lexists(target):
        part.rename(target)
        return
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    target.rename(aside)
    try:
        part.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink()
