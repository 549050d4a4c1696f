"""Remove objects from a cache and from a remote: only what nobody has added again since it was found to be unneeded.

Whoever adds bytes that are here already makes their file look new (`Cache` does); so the time of a file tells whether
somebody may be about to need it, and a file is put out of the way before its time is looked at for the last time.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from runstone.artifacts.cache import Cache
from runstone.artifacts.copying import writing
from runstone.artifacts.descriptor import DIR, check_digest
from runstone.errors import InvalidName

if TYPE_CHECKING:
    from runstone.artifacts.remote import Remote

_BATCH = 256


def clock(cache: Cache) -> float:
    """The time as the disk of a cache has it, for `remove`."""
    folder = _objects(cache)
    with cache.temporaries(0):
        return folder.stat().st_mtime


def list_objects(cache: Cache) -> Iterator[str]:
    """The digests of all objects of a cache, not of those in its fallback."""
    folder = _objects(cache)
    if folder.is_dir():
        for path in folder.glob("[0-9a-f][0-9a-f]/*"):
            with suppress(InvalidName):
                yield check_digest(path.parent.name + path.name)


def age_of(cache: Cache, digest: str) -> tuple[float, int] | None:
    """When an object was last added, by `clock`, and its size; None if it is not in this cache itself."""
    try:
        status = _path(cache, digest).stat()
    except FileNotFoundError:
        return None
    return status.st_mtime, status.st_size


def remove(cache: Cache, digests: Iterable[str], before: float) -> dict[str, int]:
    """Remove objects from a cache, not from its fallback: files first, the listings of folders last.

    Args:
        cache: Where from.
        digests: What; what is not here is passed over.
        before: A time of `clock`: what was added, or found to be here, later than that stays.

    Returns:
        What was removed, each with its size.

    Raises:
        DiskFull: There is no permission to do so.
    """
    removed = {}
    for digest in sorted(digests, key=lambda digest: (digest.endswith(DIR), digest)):
        path = _path(cache, digest)
        aside = _objects(cache) / f".runstone-{token_hex(8)}.tmp"  # a name that the cache sweeps away
        with suppress(FileNotFoundError), writing(cache.root):
            if path.stat().st_mtime >= before:
                continue
            path.rename(aside)
            status = aside.stat()
            if status.st_mtime >= before and not path.exists():
                aside.rename(path)
                continue
            aside.unlink()
            removed[digest] = status.st_size
    return removed


def remove_remote(
    remote: "Remote", digests: Iterable[str], progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Remove objects from a remote: files first, the listings of folders last. Repeating it is safe.

    Returns:
        Those that were there.

    Raises:
        RemoteFailed: The remote cannot be reached, or refuses.
    """
    wanted = set(digests)
    there = sorted(wanted - remote.missing(wanted), key=lambda digest: (digest.endswith(DIR), digest))
    files = sum(not digest.endswith(DIR) for digest in there)
    starts = [*range(0, files, _BATCH), *range(files, len(there), _BATCH)]
    for start in starts:
        end = min(start + _BATCH, files if start < files else len(there))
        remote.delete(there[start:end])
        if progress is not None:
            progress(end, len(there))
    return there


def _objects(cache: Cache) -> Path:
    return cache.root / "files" / "md5"


def _path(cache: Cache, digest: str) -> Path:
    return _objects(cache) / check_digest(digest)[:2] / digest[2:]
