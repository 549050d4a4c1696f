"""What clusters take for names, labels and quantities, from what people call their models and what they type.

Two models never get one name: whatever is not its own name in this form gets a digest of it behind it, and so does
what only looks as if it had one.
"""

import re
from decimal import Decimal

from runstone.errors import InvalidName, InvalidQuantity

MAX_NAME = 45
"""Letters of a name: a label has 63, and clusters write their own behind it (`-predictor-00001`)."""

_MAX_LABEL = 63
_NAME = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_DIGESTED = re.compile(r".*-[0-9a-f]{8}")
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_PREFIX = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_CPU = re.compile(r"(?P<number>[0-9]{1,6}(?:\.[0-9]{1,3})?)(?P<unit>m?)")
_MEMORY = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,3})?)(?P<unit>[KMGT]i|[kMGT]|)")
_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_LEAST = 2**20


def cluster_name(model: str) -> str:
    """The name of a model as clusters and registries of images take it: small letters, digits and `-`.

    Source: RFC 1035 labels, which Kubernetes asks of services, and KServe of its own.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    if slug == model and len(slug) <= MAX_NAME and slug[0].isalpha() and not _DIGESTED.fullmatch(slug):
        return slug
    import hashlib  # here, as elsewhere: few names need it

    digest = hashlib.sha256(model.encode()).hexdigest()[:8]
    slug = slug if slug[:1].isalpha() else f"m-{slug}"
    return f"{slug[: MAX_NAME - 9].strip('-')}-{digest}"


def check_cluster_name(kind: str, name: str) -> str:
    """The name of a namespace or of an object, if it can be one; raises `InvalidName`."""
    if len(name) > _MAX_LABEL or not _NAME.fullmatch(name):
        why = f"a small letter, then small letters, digits and `-` are allowed, {_MAX_LABEL} at most"
        raise InvalidName(kind, name, why)
    return name


def check_label(key: str, value: str) -> tuple[str, str]:
    """A label, if it can be one; raises `InvalidName`.

    Source: Kubernetes documentation, "Labels and Selectors: Syntax and character set".
    """
    prefix, slash, name = key.rpartition("/")
    is_prefix = not slash or (len(prefix) <= 253 and _PREFIX.fullmatch(prefix))
    if not is_prefix or not name or len(name) > _MAX_LABEL or not _VALUE.fullmatch(name):
        raise InvalidName("label", key, "write `team`, or with a domain before it `example.org/team`")
    if len(value) > _MAX_LABEL or not _VALUE.fullmatch(value):
        why = f"its value {value[:80]!r} may have letters, digits, `-`, `_` and `.` only, {_MAX_LABEL} at most"
        raise InvalidName("label", key, why)
    return key, value


def parse_cpu(text: str) -> Decimal:
    """Processors, as `2`, `0.5` or `500m`; raises `InvalidQuantity`.

    Source: Kubernetes documentation, "Resource units: CPU resource units".
    """
    match = _CPU.fullmatch(text)
    cpus = Decimal(match["number"]) / (1000 if match["unit"] else 1) if match is not None else Decimal(0)
    if not cpus or cpus % Decimal("0.001"):
        raise InvalidQuantity("processors", text, "2", "0.5", "500m")
    return cpus


def parse_memory(text: str) -> int:
    """Bytes of memory, as `512Mi` or `2G`, 1 MiB at least; raises `InvalidQuantity`.

    Source: Kubernetes documentation, "Resource units: Memory resource units".
    """
    match = _MEMORY.fullmatch(text)
    size = int(Decimal(match["number"]) * _BYTES[match["unit"]]) if match is not None else 0
    if size < _LEAST:
        raise InvalidQuantity("memory", text, "512Mi", "2G")
    return size
