"""`runstone.yaml`: what a project decides. Every key has a default, so the file may be missing."""

import re
from typing import Any, NamedTuple

from runstone.records.document import EMPTY, Document, Reader, show
from runstone.records.upgrade import check_format

SCHEMA = "runstone/config/v1"
_FORGES = ("github", "gitlab", "gitea")
_WEB = r"https?://[A-Za-z0-9._\[\]:-]+(/[A-Za-z0-9._~/-]*)?"


class SecretRules(NamedTuple):
    """Patterns for what must not be recorded; empty lists mean the built-in ones.

    Attributes:
        keys: Regular expressions for keys whose text values are redacted.
        values: Regular expressions for text that is redacted wherever it stands.
        allow: Keys that are never redacted.
    """

    keys: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


class SnapshotRules(NamedTuple):
    """What a code snapshot takes in.

    Attributes:
        max_file: Bytes; a larger file that git does not track is left out.
        max_total: Bytes; once the files that git does not track come to more together, the rest is left out.
        deny: Patterns of files to leave out, besides the built-in ones, as in `.gitignore`.
        allow: Patterns of files that the built-in ones would leave out wrongly.
    """

    max_file: int = 10_000_000
    max_total: int = 100_000_000
    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


_SNAPSHOT = SnapshotRules()


class ForgeSetting(NamedTuple):
    """Which forge the project is on, where its remote's URL does not tell.

    Attributes:
        kind: `github`, `gitlab` or `gitea`, which Forgejo is to its clients.
        url: Of its web pages: `https://git.example.org`.
    """

    kind: str
    url: str


class Config(NamedTuple):
    """The settings of one repository.

    Attributes:
        branch: The branch that holds the runs.
        push: `manual`, or `auto`: what is new is synced with the remotes when a run ends.
        promotion: `direct` or `review`.
        versions: `shared`: numbers of model versions are allotted on the git remote, where there is one; or `local`:
            here, and `runstone doctor --fix` gives new numbers to those that were given twice.
        registry: The folder of the registry on the default branch.
        require_clean: Whether a run is refused when the work tree differs from HEAD.
        snapshot: What a code snapshot takes in.
        secrets: What is redacted.
        forge: Where requests for review are opened.
        unknown: Settings that this version does not know, such as `snapshot.max_fil`.
    """

    branch: str = "runs"
    push: str = "manual"
    promotion: str = "direct"
    versions: str = "shared"
    registry: str = "registry"
    require_clean: bool = False
    snapshot: SnapshotRules = SnapshotRules()
    secrets: SecretRules = SecretRules()
    forge: ForgeSetting | None = None
    unknown: tuple[str, ...] = ()
    extra: Document = EMPTY

    @classmethod
    def from_document(cls, document: Any, where: str) -> "Config":
        """Read `runstone.yaml`; raises `RecordInvalid` with the key."""
        reader = Reader({} if document is None else document, where)
        if reader.take("schema", str) is not None:
            check_format(document, "config", where)
        secrets = Reader(reader.take("secrets", dict) or {}, where, "secrets")
        snapshot = Reader(reader.take("snapshot", dict) or {}, where, "snapshot")
        given = reader.take("forge", dict)
        forge = None if given is None else Reader(given, where, "forge")
        config = cls(
            branch=reader.take("branch", str) or "runs",
            push=reader.take_choice("push", ("manual", "auto")),
            promotion=reader.take_choice("promotion", ("direct", "review")),
            versions=reader.take_choice("versions", ("shared", "local")),
            registry=reader.take_path("registry") or "registry",
            require_clean=reader.take("require_clean", bool) or False,
            snapshot=SnapshotRules(
                _take_size(snapshot, "max_file", _SNAPSHOT.max_file),
                _take_size(snapshot, "max_total", _SNAPSHOT.max_total),
                snapshot.take_texts("deny"),
                snapshot.take_texts("allow"),
            ),
            secrets=SecretRules(secrets.take_texts("keys"), secrets.take_texts("values"), secrets.take_texts("allow")),
            forge=None if forge is None else _take_forge(forge),
            extra=reader.extra(),
        )
        parts = (reader, snapshot, secrets, *([forge] if forge is not None else []))
        return config._replace(unknown=tuple(str(part.path(key)) for part in parts for key in part.extra()))


def _take_size(reader: Reader, key: str, default: int) -> int:
    size = reader.take(key, int)
    if size is not None and size < 0:
        raise reader.fail(key, f"must be a number of bytes, but is {show(size)}")
    return default if size is None else size


def _take_forge(reader: Reader) -> ForgeSetting:
    kind, url = reader.need("kind", str), reader.need("url", str)
    if kind not in _FORGES:
        raise reader.fail("kind", f"must be one of {', '.join(_FORGES)}, but is {show(kind)}")
    if re.fullmatch(_WEB, url) is None:
        raise reader.fail("url", f"must be the address of a forge such as https://git.example.org, but is {show(url)}")
    return ForgeSetting(kind, url)
