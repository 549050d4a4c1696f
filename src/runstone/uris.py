"""URIs of what a run or the registry holds: `runs:/…` and `models:/…`, parsed and printed."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from runstone.errors import InvalidUri


@dataclass(frozen=True, slots=True)
class RunUri:
    """An artifact of a run: `runs:/<run id>/<path>`; the path may be empty."""

    run_id: str
    path: str = ""

    def __str__(self) -> str:
        return f"runs:/{self.run_id}/{self.path}" if self.path else f"runs:/{self.run_id}"


@dataclass(frozen=True, slots=True)
class ModelUri:
    """A model version: by number, by alias, or by word (`latest`, or a stage).

    Exactly one of `version`, `alias` and `word` is set.
    """

    name: str
    version: int | None = None
    alias: str | None = None
    word: str | None = None

    def __str__(self) -> str:
        name = self.name.replace("%", "%25")
        if name.startswith("/"):
            name = f"%2F{name[1:]}"
        if self.alias is not None:
            return f"models:/{name}@{self.alias}"
        return f"models:/{name}/{self.version if self.version is not None else self.word}"


def parse_uri(uri: str) -> RunUri | ModelUri:
    """Parse a `runs:/…` or `models:/…` URI.

    Raises:
        InvalidUri: It is neither, or holds a path that would leave the run (`..`).

    Source: MLflow's documentation, "Concepts: artifact URIs"; a name with `/` may stand as it is or
    percent-encoded, the last part being the version.
    """
    scheme, found, rest = uri.partition(":/")
    rest = rest.lstrip("/")
    if not found or scheme not in ("runs", "models"):
        raise InvalidUri(uri, "its scheme is not known")
    if scheme == "runs":
        run_id, _, path = rest.partition("/")
        if run_id in ("", ".", ".."):
            raise InvalidUri(uri, "it names no run")
        return RunUri(run_id, check_relative(uri, path))
    if "@" in rest.rpartition("/")[2]:
        name, _, alias = rest.rpartition("@")
        if not name or not alias:
            raise InvalidUri(uri, "it names no alias")
        return ModelUri(_unquote(name), alias=alias)
    name, _, last = rest.rpartition("/")
    if not name or not last:
        raise InvalidUri(uri, "it names no version")
    if re.fullmatch(r"[1-9][0-9]{0,17}", last):
        return ModelUri(_unquote(name), version=int(last))
    return ModelUri(_unquote(name), word=last)


def check_relative(uri: str, path: str) -> str:
    """Return `path` without empty parts, or raise if it is absolute or climbs out with `..`."""
    if "\\" in path or "\0" in path or path.startswith("/") or re.match(r"[A-Za-z]:", path):
        raise InvalidUri(uri, f"its path {path!r} is not a relative path with forward slashes")
    parts = PurePosixPath(path).parts
    if ".." in parts:
        raise InvalidUri(uri, f"its path {path!r} leaves the folder of artifacts")
    return "/".join(parts)


def _unquote(name: str) -> str:
    from urllib.parse import unquote  # here, because most commands parse no URI and it is slow to import

    return unquote(name)
