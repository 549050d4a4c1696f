"""Grammar of the names people choose, and of the paths and refs made from them.

Parsing and its inverse stand side by side. A name is what people see and is kept in the record;
an id or an encoded name is what a path or a git ref can hold.
"""

import re
import unicodedata

from runstone.errors import InvalidName

MAX_NAME = 500
"""Characters a name may have; MLflow's own limit for experiments."""

MAX_COMPONENT = 150
"""Bytes one component of a ref or path may have; file systems stop at 255, `.lock` and others need room."""

RESERVED_KEYS = frozenset({"policy.yaml"})
"""What stands in the folder of the registry beside the models' folders, in lower case."""

_RUN_ID = r"[a-z0-9][a-z0-9._-]{0,98}[a-z0-9_-]"  # compiled by `re` when first used
_WINDOWS_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_REF_UNSAFE = re.compile(r"[\x00-\x20\x7f~^:?*\[\\/%@<>|\"]")
# What shows nothing, or only a space, and is no control, format or separator character by its category.
_BLANK = re.compile(
    "[\u00a0\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200a\u202f\u205f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_VERSION_TAG = re.compile(r"(?P<model>.+)@v(?P<version>[1-9][0-9]{0,17})(?P<retired>!?)", re.DOTALL)


def check_name(kind: str, name: object) -> str:
    """Return `name` in Unicode normal form C, or raise `InvalidName`.

    Args:
        kind: What is named, for the message: `experiment`, `model`, `alias` …
        name: Any text of 1 to 500 characters without control characters.

    Raises:
        InvalidName: The name is no text, is empty, too long, or holds control characters.
    """
    if not isinstance(name, str):
        raise InvalidName(kind, repr(name), "it is not text")
    name = unicodedata.normalize("NFC", name)
    if not name.strip():
        raise InvalidName(kind, name, "it is empty")
    if len(name) > MAX_NAME:
        raise InvalidName(kind, name, f"it has {len(name)} characters, and {MAX_NAME} are allowed")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise InvalidName(kind, name, "it holds a control character")
    return name


def check_new_name(kind: str, name: object) -> str:
    """Return a name that something is to get, or raise `InvalidName`: as `check_name`, but as people can tell apart.

    Of those that are there already more is taken, as they were made before, or by others: see `check_name`.

    Raises:
        InvalidName: Besides, it holds a character that nobody sees, or that Unicode does not have, as this Python knows
            it; or it is not in normal form C, so that what looks the same would be another name.
    """
    found = check_name(kind, name)
    for c in found:
        if unicodedata.category(c) in ("Cf", "Zl", "Zp", "Cn") or _BLANK.match(c):
            told = unicodedata.name(c, "").lower()
            why = f"it holds U+{ord(c):04X}{f' ({told})' if told else ''}, which nobody can see"
            if unicodedata.category(c) == "Cn":
                why = f"it holds U+{ord(c):04X}, which is no character in Unicode {unicodedata.unidata_version}"
            raise InvalidName(kind, found, why)
    if found != name:
        raise InvalidName(kind, str(name), f"it is not in Unicode normal form C; write {found!r}, that is {found!a}")
    return found


def check_new_model(name: object) -> str:
    """As `check_new_name`, of a model: its folder stands beside the files that the registry itself has.

    Raises:
        InvalidName: Besides, its folder would be such a file; or it begins or ends with a space.
    """
    found = check_new_name("model", name)
    if found != found.strip():
        raise InvalidName("model", found, f"it begins or ends with a space; write {found.strip()!r}")
    if encode_component(found).lower() in RESERVED_KEYS:
        raise InvalidName("model", found, "the registry has a file of that name")
    return found


def check_key(kind: str, key: object) -> str:
    """Return the key of a param, metric or tag, or raise `InvalidName`.

    Keys become path-like names in plots and searches, so `..`, a leading or trailing slash and
    control characters are refused; anything else, spaces and Unicode included, may stand.
    """
    if not isinstance(key, str):
        raise InvalidName(kind, repr(key), "it is not text")
    if not key or len(key) > 250:
        raise InvalidName(kind, key, f"it has {len(key)} characters, and 1 to 250 are allowed")
    if not key.isprintable():
        raise InvalidName(kind, key, "it holds a control character")
    if key[0] == "/" or key[-1] == "/" or ".." in key.split("/") or "." in key.split("/"):
        raise InvalidName(kind, key, "it would be a path such as `../x` or `/x`")
    return key


def check_run_id(run_id: object) -> str:
    """Return `run_id` if it can name a folder on every system, or raise `InvalidName`.

    A run id is 32 hex digits, or a key of the user's own: 2 to 100 lower-case letters, digits and
    `.`, `_`, `-`, beginning with a letter or digit.
    """
    if not isinstance(run_id, str) or not re.fullmatch(_RUN_ID, run_id) or ".." in run_id:
        raise InvalidName(
            "run id",
            str(run_id),
            "it must be 2 to 100 of the characters a-z 0-9 . _ - and begin with a letter or digit",
        )
    if _WINDOWS_RESERVED.fullmatch(run_id) or run_id.endswith(".lock"):
        raise InvalidName("run id", run_id, "it is reserved on some systems")
    return run_id


def experiment_id(name: str) -> str:
    """The folder of an experiment, a function of its first name alone.

    A lower-case slug, plus four hex digits of the name's SHA-1 whenever the slug is not the name
    itself; so two clones that make one experiment offline make the same path.

    Source: schemas/README.md, "Experiment ids", where the steps stand one by one.
    """
    name = unicodedata.normalize("NFC", name)
    plain = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name)).lower()
    slug = re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9._-]+|\.{2,}", "-", plain)).strip("-._")[:60].rstrip("-._")
    reserved = _WINDOWS_RESERVED.fullmatch(slug)
    if slug == name and not reserved and not slug.endswith(".lock"):
        return slug
    digest = _sha1(name)[:4]
    return f"{'x-' if reserved else ''}{slug or 'experiment'}-{digest}"


def encode_component(name: str) -> str:
    """Write a name as one component of a ref or path: what neither can hold is percent-encoded."""
    name = unicodedata.normalize("NFC", name)
    text = _REF_UNSAFE.sub(lambda m: _percent(m[0]), name)
    text = text.replace("..", ".%2E")
    if text[0] in "-.":
        text = _percent(text[0]) + text[1:]
    if text[-1] == ".":
        text = text[:-1] + "%2E"
    if text.endswith(".lock"):
        text = text[:-5] + "%2Elock"
    if _WINDOWS_RESERVED.fullmatch(text):
        text = _percent(text[0]) + text[1:]
    raw = text.encode()
    if len(raw) > MAX_COMPONENT:
        digest = _sha1(name)[:10]
        head = raw[: MAX_COMPONENT - 11].decode(errors="ignore")
        head = re.sub(r"%[0-9A-F]?$", "", head)
        return f"{head}-{digest}"
    return text


def decode_component(text: str) -> str:
    """The inverse of `encode_component`, for names short enough not to have been cut."""
    raw = re.sub(rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), text.encode())
    return raw.decode(errors="replace")


def format_version_tag(model: str, version: int) -> str:
    """The git tag of a model version: `churn`, 4 → `churn@v4`."""
    return f"{encode_component(model)}@v{version}"


def parse_version_tag(tag: str) -> tuple[str, int, bool] | None:
    """The encoded model, version and whether it marks a retirement; None if `tag` is no such tag."""
    match = _VERSION_TAG.fullmatch(tag)
    if match is None or "@" in match["model"]:
        return None
    return match["model"], int(match["version"]), bool(match["retired"])


def parse_version_number(text: str) -> int | None:
    """`4` → 4; None for what is no number of a version, such as `04`."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,17}", text) else None


def check_alias(alias: object) -> str:
    """Return an alias fit to point at a version, or raise `InvalidName`.

    `latest` and `v<digits>` are refused: they already mean versions.
    """
    alias = check_new_name("alias", alias)
    if len(alias) > 255 or not re.fullmatch(r"[\w][\w.-]*", alias):
        raise InvalidName("alias", alias, "letters, digits, `_`, `-` and `.` are allowed, 255 at most")
    if alias.lower() == "latest" or re.fullmatch(r"[vV]?[0-9]+", alias):
        raise InvalidName("alias", alias, "`latest`, numbers and `v<number>` already mean a version")
    if _WINDOWS_RESERVED.fullmatch(alias):
        raise InvalidName("alias", alias, "it is reserved on some systems")
    return alias


def check_stage(stage: object) -> str:
    """Return the name of a stage, or raise `InvalidName`. `None` is refused: it means no stage."""
    stage = check_new_name("stage", stage)
    if len(stage.encode()) > MAX_COMPONENT or not re.fullmatch(r"[\w][\w.-]*", stage):
        why = f"letters, digits, `_`, `-` and `.` are allowed, {MAX_COMPONENT} bytes at most"
        raise InvalidName("stage", stage, why)
    if stage.lower() in ("latest", "none") or stage.isdigit():
        raise InvalidName("stage", stage, "`latest`, `None` and numbers already mean something else")
    if _WINDOWS_RESERVED.fullmatch(stage):
        raise InvalidName("stage", stage, "it is reserved on some systems")
    return stage


def _sha1(name: str) -> str:
    import hashlib  # here, because few names need it and it is slow to import

    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
