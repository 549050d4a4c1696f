"""The files of the registry at one commit with all that is in them, and the versions that git tags say there are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from runstone import names
from runstone.git.repository import CONFIG_FILE, Repository

_MOST_FILE = 5_000_000


@dataclass(frozen=True, slots=True)
class File:
    """A file of a commit: where it is, its blob, and what is in it; None if that is not read.

    `is_plain` is false of links and submodules.
    """

    path: str
    oid: str
    data: bytes | None
    is_plain: bool = True


def read_versions(repo: Repository) -> dict[str, dict[int, bool]]:
    """The git tags of versions that are here: model → number → whether it is retired."""
    _, out = repo.git("for-each-ref", "--format=%(objecttype) %(refname)", "refs/tags/")
    lines = (line.partition(" ") for line in out.decode("utf-8", "surrogateescape").splitlines())
    return _by_model(name.removeprefix("refs/tags/") for kind, _, name in lines if kind == "tag")


def add_versions(known: Mapping[str, dict[int, bool]], tags: Iterable[str]) -> dict[str, dict[int, bool]]:
    """Those versions, and others by the names of their git tags."""
    more = _by_model(tags)
    models = known.keys() | more.keys()
    return {
        key: {
            version: known.get(key, {}).get(version, False) or more.get(key, {}).get(version, False)
            for version in known.get(key, {}).keys() | more.get(key, {}).keys()
        }
        for key in models
    }


def _by_model(tags: Iterable[str]) -> dict[str, dict[int, bool]]:
    found: dict[str, dict[int, bool]] = {}
    for tag in tags:
        parsed = names.parse_version_tag(tag)
        if parsed is not None:
            key, version, is_retired = parsed
            versions = found.setdefault(key, {})
            versions[version] = versions.get(version, False) or is_retired
    return found


def read_files(repo: Repository, commit: str) -> dict[str, File]:
    """The files of the registry at a commit, and `runstone.yaml`."""
    registry = repo.config.registry
    _, out = repo.git("ls-tree", "-r", "-z", "-l", "--full-tree", commit, "--", CONFIG_FILE, registry)
    found: dict[str, File] = {}
    for line in out.split(b"\0"):
        about, _, raw = line.partition(b"\t")
        if raw:
            mode, _, oid, size = about.decode().split()
            path, is_plain = raw.decode("utf-8", "surrogateescape"), mode.startswith("100")
            found[path] = File(path, oid, b"" if is_plain and int(size) <= _MOST_FILE else None, is_plain)
    contents = dict(repo.objects.read_many({file.oid for file in found.values() if file.data is not None}))
    return {path: replace(f, data=None if f.data is None else contents[f.oid]) for path, f in found.items()}
