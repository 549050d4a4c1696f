"""The Dockerfile of a serving context, from `templates/Dockerfile`.

Two stages, so that the wheels stay out of the image; commands in the form of a list, so that no shell reads them and
signals reach the server; names from outside stand in labels alone, in quotes.
"""

import json
import re
from collections.abc import Mapping, Sequence

from runstone import templates
from runstone.errors import InvalidValue
from runstone.serving.packed import Packed

PORT = 8080
HOME = "/srv/runstone"

_PYTHON = "/opt/runstone/bin/python"
_HEALTH = (
    f"import http.client as h; c = h.HTTPConnection('127.0.0.1', {PORT}, timeout=4); c.request('GET', '/ping'); "
    "raise SystemExit(c.getresponse().status != 200)"
)
_INSTALL = ("install", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--root-user-action=ignore")
_BY_HASH = ("--no-index", "--find-links=wheels", "--require-hashes")
_INDEX = "# An index of your own, for this build: --build-arg PIP_INDEX_URL=URL\nARG PIP_INDEX_URL\n"

_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:[a-z0-9]+(?:[.-][a-z0-9]+)*(?::[0-9]{{1,5}})?/)?{_PART}(?:/{_PART})*"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_MAX_IMAGE = 500


def check_image(name: str, *, with_digest: bool = False) -> str:
    """The name of an image, if it is one: `registry.example.org:5000/team/churn:3`.

    Args:
        name: The name, with or without a tag.
        with_digest: Whether `@sha256:…` may follow, as it may in what an image is built on.

    Raises:
        InvalidValue: No engine would take it; or take it for something else.

    Source: OCI distribution specification, "Pulling manifests"; the reference grammar of docker.
    """
    match = _IMAGE.fullmatch(name) if len(name) <= _MAX_IMAGE else None
    if match is None or (match["digest"] and not with_digest):
        example = "python:3.11-slim@sha256:…" if with_digest else "registry.example.org/team/churn:3"
        raise InvalidValue(f"{name[:100]!r} cannot be the name of an image. Write it in small letters: `{example}`")
    return name


def write_dockerfile(packed: Packed, *, base_image: str, by_hash: bool) -> str:
    """The Dockerfile of a context.

    Args:
        packed: What it serves.
        base_image: What it is built on, checked by `check_image`.
        by_hash: Whether all wheels lie in the context, each with its hash in `requirements.txt`.
    """
    pip = ["python", "-m", "pip", f"--python={_PYTHON}", *_INSTALL, *(_BY_HASH if by_hash else ())]
    serve = [_PYTHON, "-P", "-m", "runstone", "serve", HOME, f"--digest={packed.digest}"]
    filled = {
        "base": base_image,
        "arguments": "" if by_hash else _INDEX,
        "install": _as_list([*pip, "--requirement=requirements.txt"]),
        "labels": "\n".join(f"LABEL {quote(key)}={quote(value)}" for key, value in labels(packed).items()),
        "health": _as_list([_PYTHON, "-I", "-S", "-c", _HEALTH]),
        "entrypoint": _as_list([*serve, "--host=0.0.0.0", f"--port={PORT}"]),
    }
    return re.sub(r"@([a-z]+)@", lambda match: filled[match[1]], templates.read("Dockerfile"))


def labels(packed: Packed) -> Mapping[str, str]:
    """What the image tells of itself; what is not known is left out.

    Source: OCI image specification, annotations, "Pre-Defined Annotation Keys".
    """
    version = str(packed.version) if packed.version is not None else None
    told = {
        "org.opencontainers.image.title": packed.model or packed.pinned,
        "org.opencontainers.image.description": f"Serves {packed.pinned}",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": packed.commit,
        "runstone.model": packed.model,
        "runstone.version": version,
        "runstone.run": packed.run,
        "runstone.uri": packed.uri,
        "runstone.pinned": packed.pinned,
        "runstone.digest": packed.digest,
    }
    return {key: value for key, value in told.items() if value is not None}


def quote(text: str) -> str:
    r"""Text as one word of a Dockerfile: in quotes, where only `\`, `"` and `$` mean something, and no line ends.

    Source: Dockerfile reference, "Environment replacement"; characters that no name has become `?`.
    """
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return '"' + re.sub(r'([\\"$])', r"\\\1", plain) + '"'


def _as_list(words: Sequence[str]) -> str:
    return json.dumps(list(words))
